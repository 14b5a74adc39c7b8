//! One commit: what is waiting is joined to what is known, and then everything that follows from it is derived once.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

use ducat_ledger::{Change, Fact, Holder, Incident, Key, Quota, Request, Session, ToolCall, Turn, UnixMs};
use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::billings::Billings;
use crate::births::Births;
use crate::coverage::{self, CoverageChanges};
use crate::heard::Heard;
use crate::pairs::{self, Settled};
use crate::rollups::{RequestChanges, RollupChanges};
use crate::rows::{self, Owned, Stored};
use crate::session_sums::{InSession, SessionChanges};
use crate::spells::Voices;
use crate::stirred::{Stirred, tell};
use crate::sums;
use crate::{Doing, EVENT_ID_DAYS, Event, FileCursor, Pricer, Receipt, StoreError, TenantId};

const DAY_MS: i64 = 86_400_000;

/// The facts touched in a commit.
pub(crate) struct Batch<'c> {
    connection: &'c Connection,
    pricer: &'c dyn Pricer,
    now: UnixMs,
    requests: Touched<Request>,
    tool_calls: Touched<ToolCall>,
    turns: Touched<Turn>,
    incidents: Touched<Incident>,
    sessions: Joined<Session>,
    quotas: Joined<Quota>,
    births: Births,
    voices: Voices,
}

/// A fact of no owner, before the commit and as it is believed now.
pub(crate) type Joined<F> = HashMap<(TenantId, Key), (Option<F>, F)>;

type Touched<F> = HashMap<(TenantId, Key), Touch<F>>;

/// A fact before the commit and as it is believed now.
struct Touch<F> {
    before: Option<Stored<F>>,
    after: F,
}

impl<'c> Batch<'c> {
    /// `connection` is in a transaction.
    pub fn new(connection: &'c Connection, pricer: &'c dyn Pricer, now: UnixMs) -> Self {
        Self {
            connection,
            pricer,
            now,
            requests: HashMap::new(),
            tool_calls: HashMap::new(),
            turns: HashMap::new(),
            incidents: HashMap::new(),
            sessions: HashMap::new(),
            quotas: HashMap::new(),
            births: Births::default(),
            voices: Voices::default(),
        }
    }

    /// Who told of what is happening, once all of it is believed.
    pub fn take_voices(&mut self) -> Voices {
        std::mem::take(&mut self.voices)
    }

    /// Whether an event's facts are to be believed; notes its id if so.
    pub fn accept(&self, tenant: TenantId, event: &Event) -> Result<Receipt, StoreError> {
        if event.at < self.now.saturating_sub(EVENT_ID_DAYS * DAY_MS) {
            return Ok(Receipt::Stale);
        }
        // An event of the future is believed as told, but its id must not outlive its keeping.
        let at = event.at.min(self.now);
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO event_ids VALUES (?1, ?2, ?3)")
            .doing("writing an event's id")?;
        let new = insert.execute(params![tenant.0, event.id, at]).doing("writing an event's id")?;
        Ok(if new == 0 { Receipt::Duplicate } else { Receipt::Stored })
    }

    pub fn believe(&mut self, tenant: TenantId, fact: Fact) -> Result<(), StoreError> {
        self.voices.hear(tenant, &fact, self.now);
        match fact {
            Fact::Request(told) => join(&mut self.requests, self.connection, tenant, told),
            Fact::ToolCall(told) => join(&mut self.tool_calls, self.connection, tenant, told),
            Fact::Turn(told) => join(&mut self.turns, self.connection, tenant, told),
            Fact::Incident(told) => join(&mut self.incidents, self.connection, tenant, told),
            Fact::Session(told) => self.join_session(tenant, told),
            Fact::Quota(told) => self.join_quota(tenant, told),
            Fact::Line(line) => self.births.see_line(self.connection, tenant, &line),
        }
    }

    fn join_session(&mut self, tenant: TenantId, told: Session) -> Result<(), StoreError> {
        if told.opened_at.is_told() {
            self.births.see_opening(tenant, told.key);
        }
        match self.sessions.entry((tenant, told.key)) {
            MapEntry::Occupied(mut known) => {
                known.get_mut().1.join(&told);
            }
            MapEntry::Vacant(place) => {
                let before = rows::load_session(self.connection, tenant, told.key)?;
                let mut after = before.clone().unwrap_or_else(|| told.clone());
                after.join(&told);
                place.insert((before, after));
            }
        }
        Ok(())
    }

    fn join_quota(&mut self, tenant: TenantId, told: Quota) -> Result<(), StoreError> {
        match self.quotas.entry((tenant, told.key)) {
            MapEntry::Occupied(mut known) => {
                known.get_mut().1.join(&told);
            }
            MapEntry::Vacant(place) => {
                let before = rows::load_quota(self.connection, tenant, told.key)?;
                let mut after = before.clone().unwrap_or_else(|| told.clone());
                after.join(&told);
                place.insert((before, after));
            }
        }
        Ok(())
    }

    pub fn keep_cursor(&self, tenant: TenantId, cursor: &FileCursor) -> Result<(), StoreError> {
        let mut set = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO file_cursors VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
            .doing("writing a file's cursor")?;
        // SQLite's integers are signed; the bits are what counts.
        let (device, inode) = (cursor.identity.0 as i64, cursor.identity.1 as i64);
        set.execute(params![tenant.0, cursor.path, device, inode, cursor.offset as i64, cursor.tail, cursor.state])
            .doing("writing a file's cursor")?;
        Ok(())
    }

    /// Derives owners, prices and roll-ups, writes what changed and tells `heard` of it; returns what changed in the roll-ups.
    pub fn settle(mut self, heard: &mut Heard<'_, '_>) -> Result<RequestChanges, StoreError> {
        self.settle_births()?;
        self.touch_rebilled()?;
        let Self { connection, pricer, requests, tool_calls, turns, incidents, sessions, quotas, mut births, .. } = self;
        let mut billings = Billings::new(connection, &sessions, &quotas);
        let (mut rollups, mut session_sums) = (RollupChanges::default(), SessionChanges::default());
        let mut covered = CoverageChanges::default();
        let ids = |tenant: TenantId, owner: Option<&Holder>| {
            let (_, session) = sessions.get(&(tenant, owner?.session))?;
            Some(session.id.as_str())
        };
        let mut requests = own_all(connection, &mut births, requests)?;
        pairs::pair(connection, &mut births, &mut requests)?;
        sums::cover(connection, &mut births, &mut requests)?;
        let mut stirred = Vec::new();
        for ((tenant, key), (before, after)) in requests {
            let known = if before.is_some() { rows::load_priced(connection, tenant, key)? } else { None };
            let (known, was_disputed) = known.unzip();
            let before = before.zip(known);
            let mut priced = match &before {
                // A new price moves no past cost by itself.
                Some((stored, priced)) if price_terms(&stored.fact) == price_terms(&after.fact) => priced.clone(),
                _ => pricer.price(&after.fact),
            };
            priced.billing = billings.of(tenant, &after)?;
            if before.as_ref().is_some_and(|(stored, known)| *stored == after && *known == priced) {
                continue;
            }
            let disputed = coverage::dispute_of(&after, pricer);
            rows::save_request(connection, tenant, &after, &priced, disputed)?;
            let was =
                before.as_ref().and_then(|(stored, priced)| coverage::rollup_of(stored, priced.cost, was_disputed.flatten()));
            covered.request(tenant, was, coverage::rollup_of(&after, priced.cost, disputed));
            let was = before.as_ref().and_then(|(stored, priced)| rows::request_rollup(stored, priced));
            rollups.request(tenant, was, rows::request_rollup(&after, &priced));
            let was = before.as_ref().and_then(|(stored, priced)| rows::latency_rollup(stored, priced));
            rollups.timings.request(tenant, was, rows::latency_rollup(&after, &priced));
            let was = before.as_ref().and_then(|(stored, priced)| Request::part(stored, priced));
            session_sums.change(tenant, was, Request::part(&after, &priced));
            stirred.push(Stirred::new(tenant, before, (after, priced)));
        }
        tell(stirred, |tenant, before, after| match (before, after) {
            (before, Some((after, priced))) => {
                let owner = rows::owner_copy(after);
                let before = before.map(|(stored, priced)| (&stored.fact, priced));
                heard.hear(tenant, &Change::Request { before, after: &after.fact, priced, owner }, ids(tenant, owner));
            }
            (Some((before, _)), None) => heard.hear(tenant, &Change::Ceased { fact: "request", at: before.fact.at() }, None),
            (None, None) => {}
        });
        let touched = own_all(connection, &mut births, tool_calls)?;
        let stirred = write_paired(connection, &mut births, touched, &mut session_sums, |tenant, before, after| {
            rollups.timings.tool_call(tenant, before, after);
        })?;
        let mut hear =
            |tenant: TenantId, change: &Change<'_>, owner: Option<&Holder>| heard.hear(tenant, change, ids(tenant, owner));
        tell_plain(stirred, "tool_call", &mut hear, |before, after, owner| Change::ToolCall { before, after, owner });
        let touched = own_all(connection, &mut births, turns)?;
        let stirred = write_paired(connection, &mut births, touched, &mut session_sums, |_, _, _| {})?;
        tell_plain(stirred, "turn", &mut hear, |before, after, owner| Change::Turn { before, after, owner });
        let touched = own_all(connection, &mut births, incidents)?;
        let stirred = write_paired(connection, &mut births, touched, &mut session_sums, |_, _, _| {})?;
        tell_plain(stirred, "incident", &mut hear, |before, after, owner| Change::Incident { before, after, owner });
        for ((tenant, _), (before, after)) in &sessions {
            if before.as_ref() != Some(after) {
                rows::save_session(connection, *tenant, after)?;
                heard.hear(*tenant, &Change::Session { before: before.as_ref(), after }, Some(&after.id));
            }
        }
        for ((tenant, _), (before, after)) in &quotas {
            if before.as_ref() != Some(after) {
                rows::save_quota(connection, *tenant, after)?;
                heard.hear(*tenant, &Change::Quota { before: before.as_ref(), after }, None);
            }
        }
        heard.sessions = session_sums.write(connection, &sessions)?;
        covered.write(connection)?;
        rollups.write(connection)
    }

    /// Touches the requests whose billing may be another than before.
    fn touch_rebilled(&mut self) -> Result<(), StoreError> {
        for ((tenant, session), (before, after)) in &self.sessions {
            if before.as_ref().and_then(|before| before.billing.get()) != after.billing.get() {
                let sql = "SELECT key FROM requests INDEXED BY requests_by_owner WHERE tenant = ?1 AND owner = ?2";
                touch_found(&mut self.requests, self.connection, *tenant, sql, params![tenant.0, session.0])?;
            }
        }
        for ((tenant, _), (before, after)) in &self.quotas {
            if before.as_ref().and_then(Quota::used_up) == after.used_up() {
                continue;
            }
            // What it was is within what it is: the beginning only gets earlier, the reset only later.
            if let Some((since, until)) = after.used_up() {
                let sql = "SELECT key FROM requests WHERE tenant = ?1 AND started_at >= ?2 AND started_at < ?3";
                touch_found(&mut self.requests, self.connection, *tenant, sql, params![tenant.0, since, until])?;
            }
        }
        Ok(())
    }

    /// Settles births that may have changed, and touches the facts whose owner hangs on them.
    fn settle_births(&mut self) -> Result<(), StoreError> {
        for (tenant, session) in self.births.take_stale() {
            let opened_at = match self.sessions.get(&(tenant, session)) {
                Some((_, known)) => known.opened_at.get().copied(),
                None => rows::load_session(self.connection, tenant, session)?.and_then(|known| known.opened_at.get().copied()),
            };
            if !self.births.settle(self.connection, tenant, session, opened_at)? {
                continue;
            }
            let mut shared = self
                .connection
                .prepare_cached("SELECT kind, key FROM shared WHERE tenant = ?1 AND session = ?2")
                .doing("reading shared facts")?;
            let mut found = shared.query(params![tenant.0, session.0]).doing("reading shared facts")?;
            while let Some(row) = found.next().doing("reading shared facts")? {
                let kind: String = row.get(0).doing("reading shared facts")?;
                let key = Key(row.get(1).doing("reading shared facts")?);
                match kind.as_str() {
                    Request::TABLE => touch(&mut self.requests, self.connection, tenant, key)?,
                    ToolCall::TABLE => touch(&mut self.tool_calls, self.connection, tenant, key)?,
                    Turn::TABLE => touch(&mut self.turns, self.connection, tenant, key)?,
                    _ => touch(&mut self.incidents, self.connection, tenant, key)?,
                }
            }
        }
        Ok(())
    }
}

/// What of a request decides its price.
fn price_terms(request: &Request) -> impl PartialEq + use<'_> {
    (
        request.is_metered(),
        request.usage(),
        [&request.model, &request.provider, &request.service_tier, &request.inference_geo, &request.speed].map(|told| told.get()),
        request.started_at.get(),
    )
}

fn join<F: Owned>(touched: &mut Touched<F>, connection: &Connection, tenant: TenantId, told: F) -> Result<(), StoreError> {
    match touched.entry((tenant, told.key())) {
        MapEntry::Occupied(mut known) => {
            known.get_mut().after.join(&told);
        }
        MapEntry::Vacant(place) => {
            let before = rows::load::<F>(connection, tenant, told.key())?;
            let mut after = before.as_ref().map_or_else(|| told.clone(), |stored| stored.base().clone());
            after.join(&told);
            place.insert(Touch { before, after });
        }
    }
    Ok(())
}

fn touch<F: Owned>(touched: &mut Touched<F>, connection: &Connection, tenant: TenantId, key: Key) -> Result<(), StoreError> {
    if let MapEntry::Vacant(place) = touched.entry((tenant, key))
        && let Some(before) = rows::load::<F>(connection, tenant, key)?
    {
        let after = before.base().clone();
        place.insert(Touch { before: Some(before), after });
    }
    Ok(())
}

fn touch_found(
    requests: &mut Touched<Request>,
    connection: &Connection,
    tenant: TenantId,
    sql: &str,
    parameters: impl Params,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).doing("reading requests to bill")?;
    let keys = statement.query_map(parameters, |row| row.get::<_, [u8; 16]>(0)).doing("reading requests to bill")?;
    for key in keys {
        touch(requests, connection, tenant, Key(key.doing("reading requests to bill")?))?;
    }
    Ok(())
}

fn own_all<F: Owned>(connection: &Connection, births: &mut Births, touched: Touched<F>) -> Result<Settled<F>, StoreError> {
    let own = |((tenant, key), Touch { before, after })| {
        let after = rows::own(connection, births, tenant, before.as_ref(), after)?;
        Ok(((tenant, key), (before, after)))
    };
    touched.into_iter().map(own).collect()
}

/// Pairs and writes facts that have no price; returns those that changed.
fn write_paired<F: InSession<()>>(
    connection: &Connection,
    births: &mut Births,
    mut settled: Settled<F>,
    session_sums: &mut SessionChanges,
    mut derive: impl FnMut(TenantId, Option<&Stored<F>>, &Stored<F>),
) -> Result<Vec<Stirred<F, ()>>, StoreError> {
    pairs::pair(connection, births, &mut settled)?;
    let mut stirred = Vec::new();
    for ((tenant, _), (before, after)) in settled {
        if before.as_ref() != Some(&after) {
            rows::save(connection, tenant, &after)?;
            derive(tenant, before.as_ref(), &after);
            session_sums.change(tenant, before.as_ref().and_then(|before| F::part(before, &())), F::part(&after, &()));
            stirred.push(Stirred::new(tenant, before.map(|before| (before, ())), (after, ())));
        }
    }
    Ok(stirred)
}

/// Tells of them; `kind` is what is said of one that ceased.
fn tell_plain<F: Owned>(
    stirred: Vec<Stirred<F, ()>>,
    kind: &'static str,
    hear: &mut impl FnMut(TenantId, &Change<'_>, Option<&Holder>),
    change: impl for<'a> Fn(Option<&'a F>, &'a F, Option<&'a Holder>) -> Change<'a>,
) {
    tell(stirred, |tenant, before, after| match (before, after) {
        (before, Some((after, ()))) => {
            let (owner, before) = (rows::owner_copy(after), before.map(|(stored, ())| &stored.fact));
            hear(tenant, &change(before, &after.fact, owner), owner);
        }
        (Some((before, ())), None) => hear(tenant, &Change::Ceased { fact: kind, at: before.fact.at() }, None),
        (None, None) => {}
    });
}

/// Forgets event ids that are too old to be repeated; a few at a time.
pub(crate) fn prune_event_ids(connection: &Connection, now: UnixMs) -> Result<usize, StoreError> {
    let before = now.saturating_sub(EVENT_ID_DAYS * DAY_MS);
    connection
        .execute(
            "DELETE FROM event_ids WHERE (tenant, id) IN (SELECT tenant, id FROM event_ids WHERE at < ?1 LIMIT 1000)",
            [before],
        )
        .doing("forgetting event ids")
}

/// A file's cursor, if it was ever read.
pub(crate) fn load_cursor(connection: &Connection, tenant: TenantId, path: &str) -> Result<Option<FileCursor>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT path, device, inode, offset, tail, state FROM file_cursors WHERE tenant = ?1 AND path = ?2")
        .doing("reading a file's cursor")?;
    statement.query_row(params![tenant.0, path], cursor_of).optional().doing("reading a file's cursor")
}

pub(crate) fn load_cursors(connection: &Connection, tenant: TenantId) -> Result<Vec<FileCursor>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT path, device, inode, offset, tail, state FROM file_cursors WHERE tenant = ?1")
        .doing("reading the files' cursors")?;
    let rows = statement.query_map(params![tenant.0], cursor_of).doing("reading the files' cursors")?;
    rows.collect::<Result<_, _>>().doing("reading the files' cursors")
}

fn cursor_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<FileCursor> {
    Ok(FileCursor {
        path: row.get(0)?,
        identity: (row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64),
        offset: row.get::<_, i64>(3)? as u64,
        tail: row.get(4)?,
        state: row.get(5)?,
    })
}
