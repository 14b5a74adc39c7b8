//! `rollup_requests` as columns, and how a report reads them.

use std::ops::Range;

use ducat_ledger::{Attributes, BUCKET_MS, Billing, RequestRollup, RequestRollupKey};
use ducat_report::{Grouping, Report, RequestRow};
use rusqlite::Connection;

use crate::columns::{Columns, View};
use crate::reader::rollup_at;
use crate::rows::UNDATED;
use crate::{Doing, StoreError, TenantId, attributes};

/// What the names are called, those of [`Attributes`] last.
const NAMES: [Grouping; 15] = [
    Grouping::Agent,
    Grouping::Model,
    Grouping::Project,
    Grouping::Branch,
    Grouping::User,
    Grouping::Team,
    Grouping::Host,
    Grouping::Billing,
    Grouping::Subagent,
    Grouping::Skill,
    Grouping::McpServer,
    Grouping::Plugin,
    Grouping::QuerySource,
    Grouping::Effort,
    Grouping::Label,
];
const SUMS: usize = RequestRollup::COLUMNS;

pub(crate) struct RequestColumns(Columns<{ NAMES.len() }, SUMS>);

/// The roll-ups of one moment.
pub(crate) struct RequestView(View<{ NAMES.len() }, SUMS>);

/// The names of a row.
fn names<'a>(main: [&'a str; 8], attributes: Attributes<&'a str>) -> [&'a str; NAMES.len()] {
    let [agent, model, project, branch, user, team, host, billing] = main;
    let [subagent, skill, mcp_server, plugin, source, effort, labels] =
        attributes.columns().map(|name| name.copied().unwrap_or_default());
    [agent, model, project, branch, user, team, host, billing, subagent, skill, mcp_server, plugin, source, effort, labels]
}

fn row(names: [&str; NAMES.len()], bucket: i64, sums: RequestRollup) -> RequestRow<'_> {
    let told = names.map(|name| Some(name).filter(|name| !name.is_empty()));
    let [_, _, project, branch, user, team, host, billing, attributes @ ..] = told;
    RequestRow {
        started_at: started_at(bucket),
        session: "",
        agent: names[0],
        model: names[1],
        project,
        branch,
        user,
        team,
        host,
        billing: billing.and_then(Billing::parse),
        attributes: Attributes::from_columns(attributes),
        sums,
    }
}

fn started_at(bucket: i64) -> Option<i64> {
    (bucket != UNDATED).then(|| bucket.saturating_mul(BUCKET_MS))
}

impl RequestColumns {
    /// The tenant's rows as a transaction sees them.
    pub fn load(connection: &Connection, tenant: TenantId) -> Result<Self, StoreError> {
        let sets = attributes::sets(connection, tenant)?;
        let mut columns = Columns::new(|sums| RequestRollup::from_columns(*sums).is_empty());
        let mut statement = connection.prepare("SELECT * FROM rollup_requests WHERE tenant = ?1").doing("reading roll-ups")?;
        let mut rows = statement.query([tenant.0]).doing("reading roll-ups")?;
        while let Some(row) = rows.next().doing("reading roll-ups")? {
            let mut main = [""; 8];
            for (place, name) in (2..).zip(&mut main) {
                *name = row.get_ref(place).and_then(|value| Ok(value.as_str()?)).doing("reading roll-ups")?;
            }
            let set: i64 = row.get(10).doing("reading roll-ups")?;
            let set = sets.get(&set).map(Attributes::as_deref).unwrap_or_default();
            columns.add(row.get(1).doing("reading roll-ups")?, names(main, set), &rollup_at(row)?.columns());
        }
        columns.shrink();
        Ok(Self(columns))
    }

    /// Adds the difference that a commit made to a row.
    pub fn add(&mut self, key: &RequestRollupKey, change: &RequestRollup) {
        let RequestRollupKey { bucket, agent, model, project, branch, user, team, host, billing, attributes } = key;
        let billing = billing.map_or("", Billing::name);
        let [project, branch, user, team, host] =
            [project, branch, user, team, host].map(|name| name.as_deref().unwrap_or_default());
        let main = [agent, model, project, branch, user, team, host, billing];
        self.0.add(*bucket, names(main, attributes.as_deref()), &change.columns());
    }

    pub fn view(&self) -> RequestView {
        RequestView(self.0.view())
    }
}

impl RequestView {
    /// Whether there is a row of a bucket in a range.
    pub fn has_rows(&self, buckets: Range<i64>) -> bool {
        self.0.has_rows(buckets)
    }

    #[cfg(test)]
    #[allow(clippy::type_complexity)]
    pub fn rows(&self) -> Vec<(i64, [&str; NAMES.len()], [i64; SUMS])> {
        self.0.rows()
    }

    /// Adds a range of buckets to a report: what is one to it is summed by number first, because it looks at every name of a row.
    pub fn add_to(&self, buckets: Range<i64>, is_undated_asked: bool, report: &mut Report) {
        let is_told_apart = NAMES.map(|name| report.tells_apart(name));
        let groups = self.0.group(is_told_apart, |names| report.asks_for(&row(names, UNDATED, RequestRollup::default())));
        let undated = if is_undated_asked { UNDATED..UNDATED + 1 } else { 0..0 };
        for buckets in [undated, buckets] {
            let moment = |report: &Report, bucket| report.moment(started_at(bucket));
            self.0.sum(buckets, &groups, report, moment, |report, bucket, combination, sums| {
                let names = self.0.names(combination);
                in_rows(sums, |sums| report.add(&row(names, bucket, sums)));
            });
        }
    }
}

/// A sum past 64 bits is given in several rows; the report stops it at its own end.
fn in_rows(mut rest: [i128; SUMS], mut see: impl FnMut(RequestRollup)) {
    loop {
        let part = rest.map(|sum| i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX }));
        see(RequestRollup::from_columns(part));
        rest.iter_mut().zip(part).for_each(|(rest, part)| *rest -= i128::from(part));
        if rest == [0; SUMS] {
            return;
        }
    }
}
