//! The list of sessions: filtered, sorted and cut in one pass over their sums.

use std::cmp::Reverse;
use std::collections::HashMap;

use ducat_ledger::{Billing, Key, Session, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::{Filters, Named, SessionSort, SessionsQuery};
use rusqlite::{Row, params};

use crate::names::{Name, Names, values};
use crate::session_sums::SessionSums;
use crate::{Doing, Reader, StoreError, TenantId, schema};

const READING: &str = "reading sessions";
/// A session that showed a sign of life so recently is alive, while its end was not told.
const ALIVE_MS: i64 = 10 * 60 * 1000;
/// Of the database that are mapped, so that reading every row copies none: as much as the sums of two million sessions.
const MAPPED_BYTES: i64 = 1 << 30;

/// A session in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSummary {
    pub session: Session,
    /// The project that most of what it owns was told of; so too the others here, or else the session's own word.
    pub project: Option<String>,
    pub branch: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
    pub host: Option<String>,
    pub billing: Option<Billing>,
    /// Canonical names, that of most requests first.
    pub models: Vec<String>,
    /// Of the whole session, whatever the range.
    pub sums: SessionSums,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionPage {
    pub rows: Vec<SessionSummary>,
    /// How many match, on whatever page.
    pub total: u64,
    /// Of all that match.
    pub totals: SessionSums,
}

impl SessionPage {
    /// Sum of the known costs; unknown where none is known.
    pub fn known_cost(&self) -> Option<NanoUsd> {
        self.totals.known_cost()
    }
}

/// What matches, in order, cut to the page.
struct Found {
    sessions: Vec<Key>,
    total: u64,
    totals: SessionSums,
}

/// Where a session stands in a list: what is unknown last, then by value, then the latest alive, then by key.
type Place = (bool, Value, Reverse<UnixMs>, Key);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Rising(i64),
    Falling(Reverse<i64>),
    RisingName(String),
    FallingName(Reverse<String>),
}

impl Reader {
    /// A page of the sessions that a query asks for. Those of which nobody told a time are in no list.
    pub fn sessions(&self, tenant: TenantId, query: &SessionsQuery) -> Result<SessionPage, StoreError> {
        schema::require_current(&self.connection)?;
        // Which match, and what they are, as of one commit.
        let transaction = self.connection.unchecked_transaction().doing(READING)?;
        let found = self.find_sessions(tenant, query)?;
        let rows = found.sessions.iter().map(|session| self.summary(tenant, *session)).collect::<Result<_, _>>()?;
        transaction.finish().doing(READING)?;
        Ok(SessionPage { rows, total: found.total, totals: found.totals })
    }

    /// Shows every session that a query asks for, on whatever page, while `see` says `true`.
    pub fn each_session(
        &self,
        tenant: TenantId,
        query: &SessionsQuery,
        mut see: impl FnMut(&SessionSummary) -> bool,
    ) -> Result<(), StoreError> {
        schema::require_current(&self.connection)?;
        let transaction = self.connection.unchecked_transaction().doing(READING)?;
        let all = SessionsQuery { offset: 0, limit: u64::MAX, ..query.clone() };
        for session in self.find_sessions(tenant, &all)?.sessions {
            if !see(&self.summary(tenant, session)?) {
                break;
            }
        }
        transaction.finish().doing(READING)
    }

    /// One pass over the sums: any sort then costs the same, and no index must follow every commit.
    fn find_sessions(&self, tenant: TenantId, query: &SessionsQuery) -> Result<Found, StoreError> {
        self.connection.pragma_update(None, "mmap_size", MAPPED_BYTES).doing(READING)?;
        let mut filter = Filter::new(query);
        let sql = format!(
            "SELECT session, last_at, started_at, sums, {}, {}, {} FROM session_sums WHERE tenant = ?1 AND last_at IS NOT NULL
             AND (?2 IS NULL OR last_at >= ?2) AND (?3 IS NULL OR ifnull(started_at, last_at) < ?3) AND (?4 IS NULL OR instr(searched, ?4))
             AND (?5 IS NULL OR (last_at >= ?5 AND (ended_at IS NULL OR ended_at < last_at)))",
            // What is not looked at is not read.
            if query.sort == SessionSort::Agent || query.filters.agent.is_some() { "agent" } else { "''" },
            if query.sort == SessionSort::Project { "project" } else { "''" },
            if filter.wants_names() { "names" } else { "''" },
        );
        let alive_since = query.live.then(|| query.now.saturating_sub(ALIVE_MS));
        let mut statement = self.connection.prepare_cached(&sql).doing(READING)?;
        let (since, until) = (query.period.from, query.period.until);
        let mut rows = statement.query(params![tenant.0, since, until, query.search.as_deref(), alive_since]).doing(READING)?;
        let (mut places, mut totals): (Vec<Place>, _) = (Vec::new(), SessionSums::default());
        while let Some(row) = rows.next().doing(READING)? {
            let bytes = |place| row.get_ref(place).and_then(|value| Ok(value.as_bytes()?)).doing(READING);
            let sums = SessionSums::parse(bytes(3)?);
            if !filter.takes(row, &sums)? {
                continue;
            }
            totals.add(&sums);
            places.push(place(row, &sums, query)?);
        }
        let total = places.len();
        let [offset, limit] = [query.offset, query.limit].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let end = offset.saturating_add(limit).min(total);
        if end < total && end > 0 {
            places.select_nth_unstable(end - 1);
        }
        places.truncate(end);
        places.sort_unstable();
        let sessions = places.into_iter().skip(offset).map(|(.., key)| key).collect();
        Ok(Found { sessions, total: total as u64, totals })
    }

    fn summary(&self, tenant: TenantId, session: Key) -> Result<SessionSummary, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT s.fact, x.sums, x.names FROM session_sums x JOIN sessions s ON s.tenant = x.tenant AND s.key = x.session
                 WHERE x.tenant = ?1 AND x.session = ?2",
            )
            .doing(READING)?;
        let (fact, sums, names) = statement
            .query_row(params![tenant.0, session.0], |row| {
                let names = Names::parse_shown(row.get_ref(2)?.as_str()?);
                Ok((row.get::<_, String>(0)?, SessionSums::parse(row.get_ref(1)?.as_bytes()?), names))
            })
            .doing(READING)?;
        let main = |kind| names.main(kind).map(str::to_owned);
        Ok(SessionSummary {
            session: serde_json::from_str(&fact)?,
            project: main(Name::Project),
            branch: main(Name::Branch),
            user: main(Name::User),
            team: main(Name::Team),
            host: main(Name::Host),
            billing: names.main(Name::Billing).and_then(Billing::parse),
            models: names.all(Name::Model).map(str::to_owned).collect(),
            sums,
        })
    }
}

fn place(row: &Row<'_>, sums: &SessionSums, query: &SessionsQuery) -> Result<Place, StoreError> {
    let last_at: UnixMs = row.get(1).doing(READING)?;
    let started_at = || row.get::<_, Option<UnixMs>>(2).doing(READING);
    let name = |text: String| {
        (text.is_empty(), if query.is_ascending { Value::RisingName(text) } else { Value::FallingName(Reverse(text)) })
    };
    let number = |number: Option<i64>| {
        let known = number.unwrap_or_default();
        (number.is_none(), if query.is_ascending { Value::Rising(known) } else { Value::Falling(Reverse(known)) })
    };
    let (is_unknown, value) = match query.sort {
        SessionSort::LastAt => number(Some(last_at)),
        SessionSort::StartedAt => number(started_at()?),
        SessionSort::Cost => number(sums.known_cost().map(|cost| cost.0)),
        SessionSort::Duration => number(started_at()?.map(|started_at| last_at.saturating_sub(started_at))),
        SessionSort::Turns => number(Some(sums.turns)),
        SessionSort::Requests => number(sums.known_requests()),
        SessionSort::ToolCalls => number(Some(sums.tool_calls)),
        SessionSort::Errors => number(Some(sums.errors())),
        SessionSort::Tokens => number(Some(sums.tokens())),
        SessionSort::Agent => name(row.get(4).doing(READING)?),
        SessionSort::Project => name(row.get(5).doing(READING)?),
    };
    Ok((is_unknown, value, Reverse(last_at), Key(row.get(0).doing(READING)?)))
}

/// What of a query is asked of each row that SQL found.
struct Filter<'q> {
    query: &'q SessionsQuery,
    only_project: Filters,
    /// What must be among the names of a kind, as JSON; none of them for an empty one.
    names: Vec<(Name, String)>,
    /// Whether a project, as JSON, is asked for: the sessions of most ledgers are of few.
    projects: HashMap<String, bool>,
}

impl<'q> Filter<'q> {
    fn new(query: &'q SessionsQuery) -> Self {
        let filters = &query.filters;
        let names = [
            (Name::Model, &filters.model),
            (Name::Branch, &filters.branch),
            (Name::User, &filters.user),
            (Name::Team, &filters.team),
            (Name::Host, &filters.host),
            (Name::Billing, &filters.billing),
        ];
        let json =
            |name: &String| if name.is_empty() { String::new() } else { serde_json::Value::from(name.as_str()).to_string() };
        let names = names.into_iter().filter_map(|(kind, name)| Some((kind, json(name.as_ref()?)))).collect();
        let only_project = Filters { project: filters.project.clone(), ..Filters::default() };
        Self { query, only_project, names, projects: HashMap::new() }
    }

    fn wants_project(&self) -> bool {
        self.query.filters.project.is_some() || self.query.filters.group.is_some()
    }

    fn wants_names(&self) -> bool {
        self.wants_project() || !self.names.is_empty()
    }

    fn takes(&mut self, row: &Row<'_>, sums: &SessionSums) -> Result<bool, StoreError> {
        let query = self.query;
        if query.errors && sums.errors() == 0 {
            return Ok(false);
        }
        if query.min_cost.is_some() || query.max_cost.is_some() {
            let Some(cost) = sums.known_cost() else { return Ok(false) };
            if query.min_cost.is_some_and(|min| cost < min) || query.max_cost.is_some_and(|max| cost > max) {
                return Ok(false);
            }
        }
        let text = |place| row.get_ref(place).and_then(|value| Ok(value.as_str()?)).doing(READING);
        if let Some(agent) = &query.filters.agent
            && text(4)? != agent
        {
            return Ok(false);
        }
        if !self.wants_names() {
            return Ok(true);
        }
        let names = text(6)?;
        let has = |(kind, name): &(Name, String)| {
            let mut values = values(names, *kind);
            if name.is_empty() { values.next().is_none() } else { values.any(|value| value == name) }
        };
        Ok(self.names.iter().all(has) && (!self.wants_project() || self.takes_project(names)))
    }

    /// Whether one of the projects is asked for, or none where what is of no project is.
    fn takes_project(&mut self, names: &str) -> bool {
        let mut projects = values(names, Name::Project).peekable();
        if projects.peek().is_none() {
            return self.asks_for_project(None);
        }
        projects.any(|project| match self.projects.get(project) {
            Some(asked) => *asked,
            None => {
                let asked = serde_json::from_str(project).is_ok_and(|project: String| self.asks_for_project(Some(&project)));
                self.projects.insert(project.to_owned(), asked);
                asked
            }
        })
    }

    fn asks_for_project(&self, project: Option<&str>) -> bool {
        let Self { query, only_project, .. } = self;
        query.filters.ask_for_group(&query.groups, project) && only_project.ask_for(&Named { project, ..Named::default() })
    }
}
