//! Adding requests up.

use std::collections::{BTreeMap, HashMap};

use ducat_ledger::{Attributes, Billing, Quota, RequestRollup, UnixMs};
use jiff::civil::Date;

use crate::blocks::{BLOCK_MINUTES, Points};
use crate::calendar::LocalTime;
use crate::period::is_within;
use crate::{Calendar, Document, Grouping, Names, ReportQuery, Row, Totals};

/// A request, or the sum of some that share all names and a quarter-hour, under the owner's session, project and branch.
#[derive(Clone, Copy, Debug)]
pub struct RequestRow<'a> {
    /// Of a sum, any time of its quarter-hour.
    pub started_at: Option<UnixMs>,
    /// Empty in a sum: those are over sessions.
    pub session: &'a str,
    pub agent: &'a str,
    /// Canonical model name.
    pub model: &'a str,
    pub project: Option<&'a str>,
    pub branch: Option<&'a str>,
    pub user: Option<&'a str>,
    pub team: Option<&'a str>,
    pub host: Option<&'a str>,
    pub billing: Option<Billing>,
    pub attributes: Attributes<&'a str>,
    pub sums: RequestRollup,
}

impl RequestRow<'_> {
    fn names<'n>(&'n self, group: Option<&'n str>) -> Names<'n> {
        Names {
            project: self.project,
            model: Some(self.model),
            branch: self.branch,
            agent: Some(self.agent),
            user: self.user,
            team: self.team,
            host: self.host,
            billing: self.billing.map(Billing::name),
            group,
        }
    }

    /// What it is under by a grouping that asks the request alone; none by all others.
    fn name_of(&self, by: Grouping) -> Option<&str> {
        match by {
            Grouping::Project => self.project,
            Grouping::Model => Some(self.model),
            Grouping::Branch => self.branch,
            Grouping::Agent => Some(self.agent),
            Grouping::User => self.user,
            Grouping::Team => self.team,
            Grouping::Host => self.host,
            Grouping::Billing => self.billing.map(Billing::name),
            Grouping::Subagent => self.attributes.subagent_type,
            Grouping::Skill => self.attributes.skill,
            Grouping::McpServer => self.attributes.mcp_server,
            Grouping::Plugin => self.attributes.plugin,
            Grouping::QuerySource => self.attributes.query_source,
            Grouping::Effort => self.attributes.effort,
            _ => None,
        }
    }
}

/// A report under way.
#[derive(Debug)]
pub struct Report {
    pub(crate) query: ReportQuery,
    calendar: Calendar,
    rows: HashMap<RowKey, RowSums>,
    totals: Totals,
    /// Of blocks: what they are cut from.
    points: Points,
    quotas: Vec<Quota>,
    /// The times that the query can need.
    range: (Option<UnixMs>, Option<UnixMs>),
    /// Group and tag of each project seen: patterns are tried once a project.
    grouped: HashMap<String, (Option<String>, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RowKey {
    /// The first day of the day, week or month.
    Day(Date),
    /// The beginning of the hour or quarter-hour.
    Time(LocalTime),
    /// No name: what tells no time, or is attributed to none.
    Named(Option<String>),
    Session {
        agent: String,
        session: String,
    },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct RowSums {
    pub totals: Totals,
    pub parts: BTreeMap<Option<String>, Totals>,
    pub first_at: Option<UnixMs>,
    /// Time, project and branch of the latest request; the largest names among equals.
    pub latest: (Option<UnixMs>, Option<String>, Option<String>),
}

impl Report {
    pub fn new(query: ReportQuery) -> Self {
        let calendar = Calendar::new(query.period.timezone.clone());
        let range = query.time_range();
        Self {
            query,
            calendar,
            rows: HashMap::new(),
            totals: Totals::default(),
            points: Points::default(),
            quotas: Vec::new(),
            range,
            grouped: HashMap::new(),
        }
    }

    /// Whether it asks for quotas, see [`Report::tell_quotas`].
    pub fn wants_quotas(&self) -> bool {
        self.query.by == Grouping::Blocks
    }

    /// Windows of quotas that were told, for blocks; others than those of all use in five hours are left out.
    pub fn tell_quotas(&mut self, quotas: Vec<Quota>) {
        let is_block = |quota: &Quota| quota.window_minutes == BLOCK_MINUTES && quota.limit.is_none();
        self.quotas = Quota::fold(quotas).into_iter().filter(is_block).collect();
    }

    /// Whether rows must be single requests: sums know no session.
    pub fn wants_requests(&self) -> bool {
        matches!(self.query.by, Grouping::Session | Grouping::Blocks)
    }

    /// Whether rows must tell [`RequestRow::attributes`].
    pub fn wants_attributes(&self) -> bool {
        self.query.by.is_attribute() || self.query.breakdown.is_some_and(Grouping::is_attribute)
    }

    /// Adds a row if the query asks for it.
    pub fn add(&mut self, row: &RequestRow<'_>) {
        if !self.is_in_range(row.started_at) || !self.asks_for(row) {
            return;
        }
        let (group, tag) = self.group_of(row.project);
        if let (Grouping::Blocks, Some(at)) = (self.query.by, row.started_at) {
            return self.points.at(row.agent, at).see(row, &self.query);
        }
        let key = self.row_of_time(row.started_at).unwrap_or_else(|| match self.query.by {
            Grouping::Session => RowKey::Session { agent: row.agent.to_owned(), session: row.session.to_owned() },
            // What tells no time is in no block.
            Grouping::Blocks => RowKey::Named(None),
            Grouping::Group => named(group),
            Grouping::Tag => named(tag),
            Grouping::Label => named(self.query.label.as_deref().and_then(|name| row.attributes.label(name))),
            by => named(row.name_of(by)),
        });
        self.totals.add(row.model, &row.sums);
        self.rows.entry(key).or_default().see(row, &self.query);
    }

    pub(crate) fn is_in_range(&self, started_at: Option<UnixMs>) -> bool {
        // Of blocks more: they are chosen when they are cut.
        is_within(self.range, started_at)
    }

    /// Whether the query asks for the names of a row, whatever its time.
    pub fn asks_for(&mut self, row: &RequestRow<'_>) -> bool {
        self.look_up(row.project);
        self.query.filters.matches(&row.names(self.group_of(row.project).0))
    }

    /// The row that a request is in by its time alone; none where names decide.
    pub(crate) fn row_of_time(&self, started_at: Option<UnixMs>) -> Option<RowKey> {
        let by = self.query.by;
        by.is_calendar().then(|| started_at.map_or(RowKey::Named(None), |at| self.time_key(by, at)))
    }

    fn time_key(&self, by: Grouping, at: UnixMs) -> RowKey {
        let date = || self.calendar.date(at);
        match by {
            Grouping::Hourly => RowKey::Time(self.calendar.hour(at)),
            Grouping::QuarterHourly => RowKey::Time(self.calendar.quarter_hour(at)),
            Grouping::Weekly => RowKey::Day(Calendar::week(date())),
            Grouping::Monthly => RowKey::Day(Calendar::month(date())),
            _ => RowKey::Day(date()),
        }
    }

    fn look_up(&mut self, project: Option<&str>) {
        let query = &self.query;
        let wants_groups = query.filters.group.is_some() || matches!(query.by, Grouping::Group | Grouping::Tag);
        if let Some(project) = project.filter(|project| wants_groups && !self.grouped.contains_key(*project)) {
            let group = query.groups.of(project);
            let tag = query.tag.as_deref().and_then(|name| group?.tags.get(name)).cloned();
            self.grouped.insert(project.to_owned(), (group.map(|group| group.name.clone()), tag));
        }
    }

    fn group_of(&self, project: Option<&str>) -> (Option<&str>, Option<&str>) {
        let found = project.and_then(|project| self.grouped.get(project));
        found.map_or((None, None), |(group, tag)| (group.as_deref(), tag.as_deref()))
    }

    /// The finished report: hours and days in order, sessions by their first request, all else by cost.
    pub fn finish(self) -> Document {
        let by = self.query.by;
        if by == Grouping::Blocks {
            return self.finish_blocks();
        }
        let mut rows: Vec<_> = self.rows.into_iter().collect();
        rows.sort_by(|(key, sums), (other_key, other)| match by {
            _ if by.is_calendar() => order_of(key).cmp(&order_of(other_key)),
            Grouping::Session => (sums.first_at, order_of(key)).cmp(&(other.first_at, order_of(other_key))),
            _ => (other.totals.cost, order_of(key)).cmp(&(sums.totals.cost, order_of(other_key))),
        });
        let rows = rows.into_iter().map(|(key, sums)| row_of(by, key, sums)).collect();
        Document { by, breakdown: self.query.breakdown, currency: self.query.currency, rows, totals: self.totals }
    }
}

impl Report {
    /// Blocks that begin in the asked period, and then what tells no time.
    fn finish_blocks(self) -> Document {
        let Self { query, points, quotas, mut totals, rows: undated, .. } = self;
        let mut rows = Vec::new();
        for (mut block, sums) in points.cut(&quotas, query.now) {
            block.whole = !query.filters.cuts_agents();
            if query.period.holds(Some(block.start)) {
                totals.unite(&sums.totals);
                rows.push(Row::of_block(block, sums));
            }
        }
        rows.extend(undated.into_values().map(|sums| Row::new(None, None, sums)));
        Document { by: query.by, breakdown: query.breakdown, currency: query.currency, rows, totals }
    }
}

impl RowSums {
    fn see(&mut self, row: &RequestRow<'_>, query: &ReportQuery) {
        self.totals.add(row.model, &row.sums);
        if matches!(query.by, Grouping::Session | Grouping::Blocks) {
            self.saw(row);
        }
        if let Some(by) = query.breakdown {
            self.parts.entry(row.name_of(by).map(str::to_owned)).or_default().add(row.model, &row.sums);
        }
    }

    /// Adds the sums of later requests.
    pub(crate) fn add(&mut self, other: &Self) {
        self.totals.unite(&other.totals);
        for (name, totals) in &other.parts {
            self.parts.entry(name.clone()).or_default().unite(totals);
        }
        self.first_at = [self.first_at, other.first_at].into_iter().flatten().min();
        self.latest = self.latest.clone().max(other.latest.clone());
    }

    fn saw(&mut self, row: &RequestRow<'_>) {
        let (at, project, branch) = &self.latest;
        if (row.started_at, row.project, row.branch) > (*at, project.as_deref(), branch.as_deref()) {
            self.latest = (row.started_at, row.project.map(str::to_owned), row.branch.map(str::to_owned));
        }
        if let Some(at) = row.started_at {
            self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        }
    }
}

fn named(name: Option<&str>) -> RowKey {
    RowKey::Named(name.map(str::to_owned))
}

/// Undated and unattributed rows come last.
fn order_of(key: &RowKey) -> (bool, Option<Date>, Option<LocalTime>, &str, &str) {
    match key {
        RowKey::Day(date) => (false, Some(*date), None, "", ""),
        RowKey::Time(time) => (false, None, Some(*time), "", ""),
        RowKey::Named(name) => (name.is_none(), None, None, name.as_deref().unwrap_or(""), ""),
        RowKey::Session { agent, session } => (false, None, None, session, agent),
    }
}

fn row_of(by: Grouping, key: RowKey, sums: RowSums) -> Row {
    let (name, agent) = match key {
        RowKey::Day(date) if by == Grouping::Monthly => (Some(date.strftime("%Y-%m").to_string()), None),
        RowKey::Day(date) => (Some(date.to_string()), None),
        RowKey::Time(time) => (Some(time.name()), None),
        RowKey::Named(name) => (name, None),
        RowKey::Session { agent, session } => (Some(session), Some(agent)),
    };
    Row::new(name, agent, sums)
}
