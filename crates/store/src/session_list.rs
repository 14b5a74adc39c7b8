//! The list of sessions: what a query asks of each, and the rows as they are told.

use std::collections::HashMap;

use ducat_ledger::{Billing, Key, Session, UnixMs};
use ducat_report::SessionsQuery;
use rusqlite::params;

use crate::names::{Name, Names};
use crate::session_index::{Found, Listed, SessionIndex, TextId, Texts};
use crate::session_sums::SessionSums;
use crate::{Doing, Reader, StoreError, TenantId};

const READING: &str = "reading sessions";
/// A session that showed a sign of life so recently is alive, while its end was not told.
const ALIVE_MS: i64 = 10 * 60 * 1000;

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

impl Reader {
    /// A page of the sessions that a query asks for. Those of which nobody told a time are in no list. Reads every row: who asks again
    /// and again asks [`crate::Store::sessions`].
    pub fn sessions(&self, tenant: TenantId, query: &SessionsQuery) -> Result<SessionPage, StoreError> {
        self.page(tenant, SessionIndex::load(self, tenant)?.find(query))
    }

    /// What was found, as it is told.
    pub(crate) fn page(&self, tenant: TenantId, found: Found) -> Result<SessionPage, StoreError> {
        let rows = found.sessions.iter().map(|session| self.summary(tenant, *session)).collect::<Result<_, _>>()?;
        Ok(SessionPage { rows, total: found.total, totals: found.totals })
    }

    /// Shows sessions one by one, while `see` says `true`.
    pub(crate) fn each_session(
        &self,
        tenant: TenantId,
        sessions: &[Key],
        mut see: impl FnMut(&SessionSummary) -> bool,
    ) -> Result<(), StoreError> {
        for session in sessions {
            if !see(&self.summary(tenant, *session)?) {
                break;
            }
        }
        Ok(())
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

/// What a query asks of each session.
pub(crate) struct Filter<'q> {
    query: &'q SessionsQuery,
    texts: &'q Texts,
    /// What must be among the names of a kind, none of them for an empty one; an unknown name is a number that no session has.
    names: Vec<(Name, Option<TextId>)>,
    agent: Option<Option<TextId>>,
    /// Whether a project is asked for: the sessions of most ledgers are of few.
    projects: HashMap<TextId, bool>,
    alive_since: Option<UnixMs>,
}

impl<'q> Filter<'q> {
    pub fn new(query: &'q SessionsQuery, texts: &'q Texts) -> Self {
        let filters = &query.filters;
        let number = |name: &String| if name.is_empty() { None } else { Some(texts.find(name)) };
        let names = [
            (Name::Model, &filters.model),
            (Name::Branch, &filters.branch),
            (Name::User, &filters.user),
            (Name::Team, &filters.team),
            (Name::Host, &filters.host),
            (Name::Billing, &filters.billing),
        ];
        let names = names.into_iter().filter_map(|(kind, name)| Some((kind, number(name.as_ref()?)))).collect();
        let agent = filters.agent.as_ref().map(number);
        let alive_since = query.live.then(|| query.now.saturating_sub(ALIVE_MS));
        Self { query, texts, names, agent, projects: HashMap::new(), alive_since }
    }

    pub fn takes(&mut self, row: &Listed) -> bool {
        let query = self.query;
        let (since, until) = query.range;
        if since.is_some_and(|since| row.last_at < since)
            || until.is_some_and(|until| row.started_at.unwrap_or(row.last_at) >= until)
            || self.alive_since.is_some_and(|since| row.last_at < since || row.ended_at.is_some_and(|at| at >= row.last_at))
            || (query.errors && row.sums.errors() == 0)
        {
            return false;
        }
        if query.min_cost.is_some() || query.max_cost.is_some() {
            let Some(cost) = row.sums.known_cost() else { return false };
            if query.min_cost.is_some_and(|min| cost < min) || query.max_cost.is_some_and(|max| cost > max) {
                return false;
            }
        }
        if self.agent.is_some_and(|agent| agent != Some(row.agent)) {
            return false;
        }
        let has = |(kind, name): &(Name, Option<TextId>)| match name {
            Some(name) => row.names.contains(&(*kind, *name)),
            None => !row.names.iter().any(|(of, _)| of == kind),
        };
        self.names.iter().all(has)
            && ((query.filters.project.is_none() && query.filters.group.is_none()) || self.takes_project(row))
            // Last, as it takes longest.
            && query.search.as_deref().is_none_or(|part| row.searched.contains(part))
    }

    /// Whether one of the projects is asked for, or none where what is of no project is.
    fn takes_project(&mut self, row: &Listed) -> bool {
        let mut projects = row.names.iter().filter(|(kind, _)| *kind == Name::Project).peekable();
        if projects.peek().is_none() {
            return self.asks_for_project(None);
        }
        projects.any(|(_, project)| match self.projects.get(project) {
            Some(asked) => *asked,
            None => {
                let asked = self.asks_for_project(Some(self.texts.get(*project)));
                self.projects.insert(*project, asked);
                asked
            }
        })
    }

    fn asks_for_project(&self, project: Option<&str>) -> bool {
        self.query.filters.matches_project(project, self.query.groups.name_of(project))
    }
}
