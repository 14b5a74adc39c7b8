//! The sums of all sessions in memory: filtered, sorted, cut and summed up in one pass.
//!
//! Reading a hundred thousand rows takes SQLite a tenth of a second, a pass over them in memory a few milliseconds. The one writer says which
//! sessions it wrote, so that only those are read again.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ducat_ledger::{Key, UnixMs};
use ducat_report::{SessionSort, SessionsQuery};
use rusqlite::{Row, params};

use crate::names::{Name, Names};
use crate::session_list::{Filter, SessionPage, SessionSummary};
use crate::session_sums::SessionSums;
use crate::{Doing, Reader, Store, StoreError, TenantId, schema};

const READING: &str = "reading sessions";
const COLUMNS: &str = "session, last_at, started_at, ended_at, sums, agent, project, names, searched";

/// A name by its number; sessions share most of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TextId(u32);

/// Of a name that no session has.
const NO_TEXT: TextId = TextId(u32::MAX);

#[derive(Default)]
pub(crate) struct Texts {
    numbers: HashMap<String, TextId>,
    texts: Vec<String>,
}

impl Texts {
    pub fn get(&self, number: TextId) -> &str {
        self.texts.get(number.0 as usize).map_or("", String::as_str)
    }

    pub fn find(&self, text: &str) -> TextId {
        self.numbers.get(text).copied().unwrap_or(NO_TEXT)
    }

    fn number(&mut self, text: &str) -> TextId {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = TextId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// A session as far as a query looks at it.
pub(crate) struct Listed {
    session: Key,
    pub last_at: UnixMs,
    pub started_at: Option<UnixMs>,
    pub ended_at: Option<UnixMs>,
    pub sums: SessionSums,
    pub agent: TextId,
    project: TextId,
    pub names: Box<[(Name, TextId)]>,
    pub searched: Box<str>,
}

/// What matches, in order, cut to the page.
pub(crate) struct Found {
    pub sessions: Vec<Key>,
    pub total: u64,
    pub totals: SessionSums,
}

/// Where a session stands in a list: what is unknown last, then by value, then the latest alive, then by key.
type Place<'i> = (bool, Value<'i>, Reverse<UnixMs>, Key);

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value<'i> {
    Rising(i64),
    Falling(Reverse<i64>),
    RisingName(&'i str),
    FallingName(Reverse<&'i str>),
}

/// The sessions of a tenant.
#[derive(Default)]
pub(crate) struct SessionIndex {
    rows: Vec<Listed>,
    places: HashMap<Key, usize>,
    texts: Texts,
}

impl SessionIndex {
    pub fn load(reader: &Reader, tenant: TenantId) -> Result<Self, StoreError> {
        schema::require_current(&reader.connection)?;
        let mut index = Self::default();
        let sql = format!("SELECT {COLUMNS} FROM session_sums WHERE tenant = ?1 AND last_at IS NOT NULL");
        let mut statement = reader.connection.prepare(&sql).doing(READING)?;
        let mut rows = statement.query([tenant.0]).doing(READING)?;
        while let Some(row) = rows.next().doing(READING)? {
            index.put(row)?;
        }
        Ok(index)
    }

    /// Reads sessions again. A session whose time was told stays told of, so none is taken out.
    fn refresh(&mut self, reader: &Reader, tenant: TenantId, stale: &HashSet<Key>) -> Result<(), StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM session_sums WHERE tenant = ?1 AND session = ?2 AND last_at IS NOT NULL");
        let mut statement = reader.connection.prepare(&sql).doing(READING)?;
        for session in stale {
            let mut rows = statement.query(params![tenant.0, session.0]).doing(READING)?;
            if let Some(row) = rows.next().doing(READING)? {
                self.put(row)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        let text = |place| row.get_ref(place).and_then(|value| Ok(value.as_str()?)).doing(READING);
        let names = Names::parse_shown(text(7)?);
        let names = Name::ALL.into_iter().flat_map(|kind| names.all(kind).map(move |name| (kind, name)));
        let listed = Listed {
            session: Key(row.get(0).doing(READING)?),
            last_at: row.get(1).doing(READING)?,
            started_at: row.get(2).doing(READING)?,
            ended_at: row.get(3).doing(READING)?,
            sums: SessionSums::parse(text(4)?.as_bytes()),
            agent: self.texts.number(text(5)?),
            project: self.texts.number(text(6)?),
            names: names.map(|(kind, name)| (kind, self.texts.number(name))).collect(),
            searched: text(8)?.into(),
        };
        match self.places.get(&listed.session) {
            Some(place) => self.rows[*place] = listed,
            None => {
                self.places.insert(listed.session, self.rows.len());
                self.rows.push(listed);
            }
        }
        Ok(())
    }

    pub fn find(&self, query: &SessionsQuery) -> Found {
        let mut filter = Filter::new(query, &self.texts);
        let (mut places, mut totals): (Vec<Place<'_>>, _) = (Vec::new(), SessionSums::default());
        for row in self.rows.iter().filter(|row| filter.takes(row)) {
            totals.add(&row.sums);
            places.push(self.place(row, query));
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
        Found { sessions, total: total as u64, totals }
    }

    fn place(&self, row: &Listed, query: &SessionsQuery) -> Place<'_> {
        let name = |text: TextId| {
            let text = self.texts.get(text);
            let value = if query.is_ascending { Value::RisingName(text) } else { Value::FallingName(Reverse(text)) };
            (text.is_empty(), value)
        };
        let number = |number: Option<i64>| {
            let known = number.unwrap_or_default();
            (number.is_none(), if query.is_ascending { Value::Rising(known) } else { Value::Falling(Reverse(known)) })
        };
        let sums = &row.sums;
        let (is_unknown, value) = match query.sort {
            SessionSort::LastAt => number(Some(row.last_at)),
            SessionSort::StartedAt => number(row.started_at),
            SessionSort::Cost => number(sums.known_cost().map(|cost| cost.0)),
            SessionSort::Duration => number(row.started_at.map(|started_at| row.last_at.saturating_sub(started_at))),
            SessionSort::Turns => number(Some(sums.turns)),
            SessionSort::Requests => number(sums.known_requests()),
            SessionSort::ToolCalls => number(Some(sums.tool_calls)),
            SessionSort::Errors => number(Some(sums.errors())),
            SessionSort::Tokens => number(Some(sums.tokens())),
            SessionSort::Agent => name(row.agent),
            SessionSort::Project => name(row.project),
        };
        (is_unknown, value, Reverse(row.last_at), row.session)
    }
}

/// The sessions that were asked for once, and those that were written since.
#[derive(Default)]
pub(crate) struct SessionIndexes {
    known: Mutex<HashMap<TenantId, SessionIndex>>,
    /// Apart, because the writer must not wait for a query. Tenants that nobody asked for are not in it.
    stale: Mutex<HashMap<TenantId, HashSet<Key>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionIndexes {
    /// Told after the commit: what was read before is read again.
    pub fn wrote(&self, sessions: &[(TenantId, Key)]) {
        let mut stale = locked(&self.stale);
        for (tenant, session) in sessions {
            if let Some(stale) = stale.get_mut(tenant) {
                stale.insert(*session);
            }
        }
    }

    fn find(&self, reader: &Reader, tenant: TenantId, query: &SessionsQuery) -> Result<Found, StoreError> {
        let mut known = locked(&self.known);
        // Before reading, so that a commit meanwhile is read again. One that fails begins anew the next time.
        let stale = locked(&self.stale).insert(tenant, HashSet::new()).unwrap_or_default();
        let index = match known.remove(&tenant) {
            Some(mut index) => {
                index.refresh(reader, tenant, &stale)?;
                index
            }
            None => SessionIndex::load(reader, tenant)?,
        };
        let found = index.find(query);
        known.insert(tenant, index);
        Ok(found)
    }
}

impl Store {
    /// A page of the sessions that a query asks for, as [`Reader::sessions`]; what was read once is kept, about half a kilobyte a session.
    pub fn sessions(&self, tenant: TenantId, query: &SessionsQuery) -> Result<SessionPage, StoreError> {
        let reader = self.reader()?;
        reader.page(tenant, self.session_indexes().find(&reader, tenant, query)?)
    }

    /// Shows every session that a query asks for, on whatever page, while `see` says `true`.
    pub fn each_session(
        &self,
        tenant: TenantId,
        query: &SessionsQuery,
        see: impl FnMut(&SessionSummary) -> bool,
    ) -> Result<(), StoreError> {
        let reader = self.reader()?;
        let all = SessionsQuery { offset: 0, limit: u64::MAX, ..query.clone() };
        let found = self.session_indexes().find(&reader, tenant, &all)?;
        reader.each_session(tenant, &found.sessions, see)
    }
}
