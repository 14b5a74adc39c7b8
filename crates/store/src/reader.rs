//! Reading the ledger.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ducat_ledger::{
    Attributes, BUCKET_MS, Billing, Incident, Key, Quota, Request, RequestRollup, Role, Session, ToolCall, Turn, UnixMs, Witness,
    Witnesses, bucket_of,
};
use ducat_prices::NanoUsd;
use ducat_report::{BLOCK_MINUTES, Report, RequestRow};
use rusqlite::{Connection, OpenFlags, Params, Row, params};

use crate::copies::{self, Copies};
use crate::request_columns::RequestView;
use crate::rows::{Owned, Stored, UNDATED, owner_copy, priced_at};
use crate::{Doing, FileCursor, StoreError, TenantId, batch, schema};

/// 1972-06-01. Before, a zone was not a whole number of quarter-hours from UTC (Liberia), and a day of it is no sum of buckets.
const ROLLED_UP_SINCE: UnixMs = 76_204_800_000;

/// Windows that have not reset: more accounts and limits than anybody has at once.
const MOST_QUOTAS: usize = 64;
/// Five-hour windows of nearly six years.
const MOST_PAST_QUOTAS: usize = 10_000;

/// A read-only connection; every call sees the state of one commit.
pub struct Reader {
    pub(crate) connection: Connection,
    /// Of the writer's own process.
    pub(crate) copies: Option<Arc<Copies>>,
}

/// A request with its canonical model and known cost.
pub type PricedRequest = (Request, String, Option<NanoUsd>);

/// A session and all that it owns, each in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionDetail {
    pub session: Session,
    pub turns: Vec<Turn>,
    pub requests: Vec<PricedRequest>,
    pub tool_calls: Vec<ToolCall>,
    pub incidents: Vec<Incident>,
}

/// The sums of a row of `rollup_requests`, behind what they are summed by.
pub(crate) fn rollup_at(row: &Row<'_>) -> Result<RequestRollup, StoreError> {
    let mut columns = [0; RequestRollup::COLUMNS];
    for (place, column) in (11..).zip(&mut columns) {
        *column = row.get(place).doing("reading roll-ups")?;
    }
    Ok(RequestRollup::from_columns(columns))
}

impl Reader {
    /// Opens a database that another process may be writing.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .doing("opening the database")?;
        schema::configure_reader(&connection)?;
        Ok(Self { connection, copies: None })
    }

    /// Adds what a time range has to a report: its roll-ups, and single requests where it cuts a quarter-hour or the report must tell
    /// sessions apart.
    pub fn add_to(
        &self,
        tenant: TenantId,
        range: (Option<UnixMs>, Option<UnixMs>),
        report: &mut Report,
    ) -> Result<(), StoreError> {
        // Rows, and what their numbers stand for, as of one commit.
        let (transaction, view) = match &self.copies {
            Some(copies) if !report.wants_requests() => {
                let (transaction, view) = copies.begin(&self.connection, tenant)?;
                (transaction, Some(view))
            }
            _ => (copies::begin(&self.connection)?, None),
        };
        if report.wants_quotas() {
            report.tell_quotas(self.past_quotas(tenant, BLOCK_MINUTES)?);
        }
        if report.wants_requests() {
            self.add_requests_to(tenant, range, report)?;
            return transaction.finish().doing("reading the ledger");
        }
        let (from, until) = (range.0.unwrap_or(UnixMs::MIN), range.1.unwrap_or(UnixMs::MAX));
        let first = -(-from.max(ROLLED_UP_SINCE)).div_euclid(BUCKET_MS);
        let end = range.1.map_or(i64::MAX, bucket_of);
        let [first_at, end_at] = [first, end].map(|bucket| bucket.saturating_mul(BUCKET_MS));
        for (from, until) in [(from, until.min(first_at)), (end_at.max(first_at), until)] {
            let may_have = |view: &RequestView| view.has_rows(bucket_of(from)..bucket_of(until - 1) + 1);
            if from < until && view.as_ref().is_none_or(may_have) {
                self.add_requests_to(tenant, (Some(from), Some(until)), report)?;
            }
        }
        // What tells no time is in no range.
        let undated = range == (None, None);
        match view {
            Some(view) => view.add_to(first..end, undated, report),
            None => self.add_rollups_to(tenant, first..end, undated, report)?,
        }
        transaction.finish().doing("reading the ledger")
    }

    fn add_rollups_to(
        &self,
        tenant: TenantId,
        buckets: Range<i64>,
        undated: bool,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT * FROM rollup_requests WHERE tenant = ?1
                 AND ((bucket >= ?2 AND bucket < ?3) OR (bucket = ?4 AND ?5))",
            )
            .doing("reading roll-ups")?;
        let known = report.wants_attributes().then(|| self.known_attributes(tenant)).transpose()?;
        let mut rows =
            statement.query(params![tenant.0, buckets.start, buckets.end, UNDATED, undated]).doing("reading roll-ups")?;
        while let Some(row) = rows.next().doing("reading roll-ups")? {
            let text = |place| row.get_ref(place).and_then(|value| Ok(value.as_str()?)).doing("reading roll-ups");
            let name = |place| text(place).map(|name| Some(name).filter(|name| !name.is_empty()));
            let bucket: i64 = row.get(1).doing("reading roll-ups")?;
            report.add(&RequestRow {
                started_at: (bucket != UNDATED).then(|| bucket * BUCKET_MS),
                session: "",
                agent: text(2)?,
                model: text(3)?,
                project: name(4)?,
                branch: name(5)?,
                user: name(6)?,
                team: name(7)?,
                host: name(8)?,
                billing: name(9)?.and_then(Billing::parse),
                attributes: match &known {
                    Some(known) => known.set(row.get(10).doing("reading roll-ups")?),
                    None => Attributes::default(),
                },
                sums: rollup_at(row)?,
            });
        }
        Ok(())
    }

    fn add_requests_to(
        &self,
        tenant: TenantId,
        (from, until): (Option<UnixMs>, Option<UnixMs>),
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let sessions = if report.wants_requests() { self.session_ids(tenant)? } else { HashMap::new() };
        let known = report.wants_attributes().then(|| self.known_attributes(tenant)).transpose()?;
        // Another statement without a range, because an index serves no condition that may be none.
        let within = if from.is_none() && until.is_none() { "?2 <= ?3" } else { "started_at BETWEEN ?2 AND ?3" };
        let mut statement = self
            .connection
            .prepare_cached(&format!(
                "SELECT fact, owner, model, cost_nano, billing FROM requests WHERE tenant = ?1 AND role NOT IN (0, 3) AND {within}"
            ))
            .doing("reading requests")?;
        let (first, last) = (from.unwrap_or(UnixMs::MIN), until.map_or(UnixMs::MAX, |until| until.saturating_sub(1)));
        let mut rows = statement.query(params![tenant.0, first, last]).doing("reading requests")?;
        while let Some(row) = rows.next().doing("reading requests")? {
            let fact =
                row.get_ref(0).doing("reading requests")?.as_str().map_err(rusqlite::Error::from).doing("reading requests")?;
            let owner: Option<[u8; 16]> = row.get(1).doing("reading requests")?;
            let priced = priced_at(row, 2).doing("reading requests")?;
            let stored = Stored::alone(serde_json::from_str::<Request>(fact)?, owner.map(Key), Role::One);
            let copy = owner_copy(&stored);
            let request = &stored.fact;
            let attributes = known.as_ref().map(|known| known.fold(Attributes::of(request))).transpose()?.unwrap_or_default();
            report.add(&RequestRow {
                started_at: request.started_at.get().copied(),
                session: stored.owner.and_then(|owner| sessions.get(&owner)).map_or("", String::as_str),
                agent: &request.agent,
                model: &priced.model,
                project: copy.and_then(|copy| copy.project.as_deref()),
                branch: copy.and_then(|copy| copy.branch.as_deref()),
                user: request.user.get().map(String::as_str),
                team: request.team.get().map(String::as_str),
                host: request.host.get().map(String::as_str),
                billing: priced.billing,
                attributes: attributes.as_deref(),
                sums: RequestRollup::of(request, priced.cost),
            });
        }
        Ok(())
    }

    fn session_ids(&self, tenant: TenantId) -> Result<HashMap<Key, String>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT key, id FROM sessions WHERE tenant = ?1").doing("reading sessions")?;
        let rows = statement.query_map([tenant.0], |row| Ok((Key(row.get(0)?), row.get(1)?))).doing("reading sessions")?;
        rows.collect::<Result<_, _>>().doing("reading sessions")
    }

    /// A session by its agent's id, or the beginning of it when that is told by one session only.
    pub(crate) fn find_session(&self, tenant: TenantId, id: &str) -> Result<Option<Session>, StoreError> {
        let find = |sql: &str| {
            let mut statement = self.connection.prepare_cached(sql).doing("reading a session")?;
            let rows = statement.query_map(params![tenant.0, id], |row| row.get::<_, String>(0)).doing("reading a session")?;
            rows.collect::<Result<Vec<_>, _>>().doing("reading a session")
        };
        let mut found =
            find("SELECT fact FROM sessions INDEXED BY sessions_by_id WHERE tenant = ?1 AND id = ?2 ORDER BY key LIMIT 1")?;
        if found.is_empty() {
            // What begins with it is in the index between it and it with the last of all characters.
            found = find(
                "SELECT fact FROM sessions INDEXED BY sessions_by_id WHERE tenant = ?1 AND id >= ?2 AND id < ?2 || char(1114111, 1114111) LIMIT 2",
            )?;
        }
        let [fact] = found.as_slice() else { return Ok(None) };
        Ok(Some(serde_json::from_str(fact)?))
    }

    /// Like [`Reader::find_session`], with all that it owns.
    pub fn session(&self, tenant: TenantId, id: &str) -> Result<Option<SessionDetail>, StoreError> {
        let Some(session) = self.find_session(tenant, id)? else { return Ok(None) };
        let mut requests = Vec::new();
        self.each_owned::<Request>(tenant, session.key, ", model, cost_nano", |request, row| {
            let cost = row.get::<_, Option<i64>>(2).doing("reading a session")?;
            requests.push((request, row.get(1).doing("reading a session")?, cost.map(NanoUsd)));
            Ok(())
        })?;
        Ok(Some(SessionDetail {
            turns: self.owned(tenant, session.key)?,
            requests,
            tool_calls: self.owned(tenant, session.key)?,
            incidents: self.owned(tenant, session.key)?,
            session,
        }))
    }

    /// Tool calls of an agent whose facts we gave keys ([`ordered by time`](ducat_ledger::Key)), that began between two times and
    /// have not ended.
    pub fn open_tool_calls(
        &self,
        tenant: TenantId,
        agent: &str,
        (since, until): (UnixMs, UnixMs),
    ) -> Result<Vec<ToolCall>, StoreError> {
        // Compared as text first: most have ended, and reading each would take long.
        let mut statement = self
            .connection
            .prepare(
                "SELECT fact FROM tool_calls WHERE tenant = ?1 AND key >= ?2 AND key <= ?3 AND owner IS NULL AND fact NOT LIKE '%\"outcome\":%'",
            )
            .doing("reading open tool calls")?;
        // Such a key begins with its nanoseconds since 1970; hashes that fall between are few.
        let key = |at: UnixMs, rest: u8| {
            let mut key = [rest; 16];
            key[..8].copy_from_slice(&(at.max(0).unsigned_abs().saturating_mul(1_000_000)).to_be_bytes());
            key
        };
        let (first, last) = (key(since, 0), key(until, 0xff));
        let rows = statement
            .query_map(params![tenant.0, first, last], |row| row.get::<_, String>(0))
            .doing("reading open tool calls")?;
        let calls = rows.map(|fact| Ok(serde_json::from_str::<ToolCall>(&fact.doing("reading open tool calls")?)?));
        calls.filter(|call| call.as_ref().map_or(true, |call| call.agent == agent && call.outcome.is_untold())).collect()
    }

    /// Sessions that showed a sign of life since a time.
    pub fn sessions_since(&self, tenant: TenantId, since: UnixMs) -> Result<Vec<Session>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT fact FROM sessions WHERE tenant = ?1 AND last_at >= ?2 ORDER BY last_at")
            .doing("reading sessions")?;
        let rows = statement.query_map(params![tenant.0, since], |row| row.get::<_, String>(0)).doing("reading sessions")?;
        rows.map(|fact| Ok(serde_json::from_str(&fact.doing("reading sessions")?)?)).collect()
    }

    /// Windows of quotas that reset after a time, those that reset first before the others; at most [`MOST_QUOTAS`].
    // By an index: a status line reads them too, and what SQLite needs for sorting by JSON takes 330 KiB.
    pub fn quotas(&self, tenant: TenantId, reset_after: UnixMs) -> Result<Vec<Quota>, StoreError> {
        let sql = format!("SELECT fact FROM quotas WHERE tenant = ?1 AND resets_at > ?2 ORDER BY resets_at LIMIT {MOST_QUOTAS}");
        self.read_quotas(&sql, params![tenant.0, reset_after])
    }

    /// Every window of all use and of this length that was ever told, in the order of their resets; of more than [`MOST_PAST_QUOTAS`] the
    /// latest.
    pub fn past_quotas(&self, tenant: TenantId, window_minutes: u32) -> Result<Vec<Quota>, StoreError> {
        let sql = format!(
            "SELECT fact FROM quotas WHERE tenant = ?1 AND json_extract(fact, '$.window_minutes') = ?2 AND json_extract(fact, '$.limit') IS NULL
             ORDER BY resets_at DESC, key LIMIT {MOST_PAST_QUOTAS}"
        );
        self.read_quotas(&sql, params![tenant.0, window_minutes])
    }

    fn read_quotas(&self, sql: &str, params: impl Params) -> Result<Vec<Quota>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).doing("reading quotas")?;
        let rows = statement.query_map(params, |row| row.get::<_, String>(0)).doing("reading quotas")?;
        let mut quotas = rows
            .map(|fact| Ok(serde_json::from_str(&fact.doing("reading quotas")?)?))
            .collect::<Result<Vec<Quota>, StoreError>>()?;
        quotas.sort_by_key(|quota| (quota.resets_at(), quota.key));
        Ok(quotas)
    }

    pub(crate) fn owned<F: Owned>(&self, tenant: TenantId, session: Key) -> Result<Vec<F>, StoreError> {
        let mut facts = Vec::new();
        self.each_owned(tenant, session, "", |fact, _| {
            facts.push(fact);
            Ok(())
        })?;
        Ok(facts)
    }

    /// Reads what a session owns, with further columns (`, model, …`) of each row.
    fn each_owned<F: Owned>(
        &self,
        tenant: TenantId,
        session: Key,
        columns: &str,
        mut see: impl FnMut(F, &Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Named, because SQLite takes the primary key by itself: every fact of the tenant.
        let sql = format!(
            // What another row tells too is shown once.
            "SELECT fact{columns} FROM {0} INDEXED BY {0}_by_owner WHERE tenant = ?1 AND owner = ?2 AND role NOT IN (0, 3) ORDER BY started_at, key",
            F::TABLE
        );
        let mut statement = self.connection.prepare_cached(&sql).doing("reading a session")?;
        let mut rows = statement.query(params![tenant.0, session.0]).doing("reading a session")?;
        while let Some(row) = rows.next().doing("reading a session")? {
            let fact =
                row.get_ref(0).doing("reading a session")?.as_str().map_err(rusqlite::Error::from).doing("reading a session")?;
            see(serde_json::from_str(fact)?, row)?;
        }
        Ok(())
    }

    /// When each kind of fact was last told by a witness, among the sessions of this host, or of none that was told, that were alive last;
    /// kinds that it told none of are left out.
    pub fn last_told(&self, tenant: TenantId, witness: Witness, host: &str) -> Result<Vec<(&'static str, UnixMs)>, StoreError> {
        let mut last = Vec::new();
        for (kind, table) in [("prompt", "turns"), ("tool call", "tool_calls"), ("incident", "incidents")] {
            let sql = format!(
                "SELECT MAX(started_at) FROM {table} WHERE tenant = ?1 AND json_extract(fact, '$.witnesses') & ?2 != 0
                 AND owner IN (SELECT key FROM sessions WHERE tenant = ?1
                 AND IFNULL(json_extract(fact, '$.host[1]'), ?3) = ?3 ORDER BY last_at DESC LIMIT 50)"
            );
            let at: Option<UnixMs> = self
                .connection
                .query_row(&sql, params![tenant.0, Witnesses::only(witness).0, host], |row| row.get(0))
                .doing("reading the last events")?;
            last.extend(at.map(|at| (kind, at)));
        }
        Ok(last)
    }

    /// Fails with [`StoreError::Newer`] when a newer Ducat wrote the database.
    pub fn check_schema(&self) -> Result<(), StoreError> {
        schema::check(&self.connection).map(drop)
    }

    /// Whether the database is as this version writes it; an older one is brought to that when it is opened to write.
    pub fn is_current(&self) -> Result<bool, StoreError> {
        schema::is_current(&self.connection)
    }

    /// How far each file was read.
    pub fn file_cursors(&self, tenant: TenantId) -> Result<Vec<FileCursor>, StoreError> {
        batch::load_cursors(&self.connection, tenant)
    }

    /// How far a file was read.
    pub fn file_cursor(&self, tenant: TenantId, path: &str) -> Result<Option<FileCursor>, StoreError> {
        batch::load_cursor(&self.connection, tenant, path)
    }
}
