//! How long tool calls and requests took: the roll-ups `rollup_tools` and `rollup_latencies`, and `timed_calls` beside them.
//!
//! A row has its durations by class in one value, not a row a class: the calls of a quarter-hour are of few tools, but each lasts as it
//! lasts. So a row that changes is read, changed and written.

use std::collections::HashMap;

use ducat_ledger::{Durations, Key, LatencyRollup, LatencyRollupKey, Request, ToolCall, ToolRollup, ToolRollupKey, UnixMs};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::check::stored;
use crate::rows::{self, Stored};
use crate::{Doing, StoreError, TenantId, spans};

const WRITING: &str = "writing how long calls took";
const MOVING: &str = "summing how long calls took";

/// Facts that are summed at once while a ledger is brought to this form; bounds what is held in memory.
const AT_ONCE: usize = 20_000;

/// New minus old of a commit, by the length of the buckets.
#[derive(Default)]
pub(crate) struct TimingChanges {
    tools: HashMap<(TenantId, i64, ToolRollupKey), ToolRollup>,
    latencies: HashMap<(TenantId, i64, LatencyRollupKey), LatencyRollup>,
    untimed: Vec<(TenantId, TimedCall)>,
    timed: Vec<(TenantId, TimedCall)>,
}

/// A row of `timed_calls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedCall {
    pub started_at: UnixMs,
    pub duration_ms: i64,
    pub key: Key,
}

impl TimedCall {
    /// Of a call that is summed.
    pub fn of(call: &ToolCall) -> Option<Self> {
        let duration_ms = i64::try_from(call.duration_ms()?).unwrap_or(i64::MAX);
        Some(Self { started_at: *call.started_at.get()?, duration_ms, key: call.key })
    }

    fn write(self, connection: &Connection, tenant: TenantId, sql: &str) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached(sql).doing(WRITING)?;
        statement.execute(params![tenant.0, self.started_at, self.duration_ms, self.key.0]).doing(WRITING).map(drop)
    }
}

/// The rows that sum a call: of its quarter-hour and of its day.
pub(crate) fn tool_rows(key: ToolRollupKey) -> impl Iterator<Item = (i64, ToolRollupKey)> {
    spans::buckets_of(key.bucket).map(move |(span, bucket)| (span, ToolRollupKey { bucket, ..key.clone() }))
}

/// Those that sum the times of a request.
pub(crate) fn latency_rows(key: LatencyRollupKey) -> impl Iterator<Item = (i64, LatencyRollupKey)> {
    spans::buckets_of(key.bucket).map(move |(span, bucket)| (span, LatencyRollupKey { bucket, ..key.clone() }))
}

impl TimingChanges {
    pub fn tool_call(&mut self, tenant: TenantId, before: Option<&Stored<ToolCall>>, after: &Stored<ToolCall>) {
        let (was, is) = (before.and_then(rows::tool_rollup), rows::tool_rollup(after));
        let timed = |stored: Option<&Stored<ToolCall>>, counts: bool| TimedCall::of(&stored.filter(|_| counts)?.fact);
        let (untimed, timed) = (timed(before, was.is_some()), timed(Some(after), is.is_some()));
        if untimed != timed {
            self.untimed.extend(untimed.map(|call| (tenant, call)));
            self.timed.extend(timed.map(|call| (tenant, call)));
        }
        if was == is {
            return;
        }
        if let Some((key, sums)) = was {
            tool_rows(key).for_each(|(span, key)| self.tools.entry((tenant, span, key)).or_default().subtract(&sums));
        }
        if let Some((key, sums)) = is {
            tool_rows(key).for_each(|(span, key)| self.tools.entry((tenant, span, key)).or_default().add(&sums));
        }
    }

    pub fn request(
        &mut self,
        tenant: TenantId,
        before: Option<(LatencyRollupKey, LatencyRollup)>,
        after: Option<(LatencyRollupKey, LatencyRollup)>,
    ) {
        if before == after {
            return;
        }
        if let Some((key, sums)) = before {
            latency_rows(key).for_each(|(span, key)| self.latencies.entry((tenant, span, key)).or_default().subtract(&sums));
        }
        if let Some((key, sums)) = after {
            latency_rows(key).for_each(|(span, key)| self.latencies.entry((tenant, span, key)).or_default().add(&sums));
        }
    }

    pub fn write(self, connection: &Connection) -> Result<(), StoreError> {
        for (tenant, call) in self.untimed {
            let sql = "DELETE FROM timed_calls WHERE tenant = ?1 AND started_at = ?2 AND duration_ms = ?3 AND key = ?4";
            call.write(connection, tenant, sql)?;
        }
        for (tenant, call) in self.timed {
            call.write(connection, tenant, "INSERT OR REPLACE INTO timed_calls VALUES (?1, ?2, ?3, ?4)")?;
        }
        // In order, so that neighbours are written together.
        for ((tenant, span, key), change) in sorted(self.tools) {
            write_tools(connection, tenant, span, &key, change)?;
        }
        for ((tenant, span, key), change) in sorted(self.latencies) {
            write_latencies(connection, tenant, span, &key, change)?;
        }
        Ok(())
    }
}

/// What changes; a call that moves within a day leaves the sums of the day as they were.
fn sorted<K: Ord, V: Default + PartialEq>(changes: HashMap<K, V>) -> Vec<(K, V)> {
    let mut changes: Vec<_> = changes.into_iter().filter(|(_, change)| *change != V::default()).collect();
    changes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    changes
}

fn write_tools(
    connection: &Connection,
    tenant: TenantId,
    span: i64,
    key: &ToolRollupKey,
    mut sums: ToolRollup,
) -> Result<(), StoreError> {
    const ROW: &str =
        "tenant = ?1 AND span = ?2 AND bucket = ?3 AND agent = ?4 AND tool = ?5 AND outcome = ?6 AND error_kind = ?7 AND project = ?8
                       AND user = ?9 AND team = ?10";
    let text = |name: &'_ Option<String>| name.clone().unwrap_or_default();
    let (error_kind, project, user, team) = (text(&key.error_kind), text(&key.project), text(&key.user), text(&key.team));
    let outcome = key.outcome.name();
    let names = params![tenant.0, span, key.bucket, key.agent, key.tool, outcome, error_kind, project, user, team];
    let sql =
        format!("SELECT calls, duration_ms, sized_calls, result_bytes, input_bytes, durations FROM rollup_tools WHERE {ROW}");
    if let Some(known) = one(connection, &sql, names, |row| tool_sums_at(row, 0))? {
        sums.add(&known);
    }
    if sums == ToolRollup::default() {
        return execute(connection, &format!("DELETE FROM rollup_tools WHERE {ROW}"), names);
    }
    let sql =
        "INSERT OR REPLACE INTO rollup_tools VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let ToolRollup { calls, duration_ms, sized_calls, result_bytes, input_bytes, durations } = sums;
    let row = params![
        tenant.0,
        span,
        key.bucket,
        key.agent,
        key.tool,
        outcome,
        error_kind,
        project,
        user,
        team,
        calls,
        duration_ms,
        sized_calls,
        result_bytes,
        input_bytes,
        durations.to_bytes()
    ];
    execute(connection, sql, row)
}

fn write_latencies(
    connection: &Connection,
    tenant: TenantId,
    span: i64,
    key: &LatencyRollupKey,
    mut sums: LatencyRollup,
) -> Result<(), StoreError> {
    const ROW: &str = "tenant = ?1 AND span = ?2 AND bucket = ?3 AND agent = ?4 AND model = ?5 AND project = ?6";
    let project = key.project.clone().unwrap_or_default();
    let names = params![tenant.0, span, key.bucket, key.agent, key.model, project];
    let sql = format!("SELECT output_tokens, output_ms, durations, ttfts FROM rollup_latencies WHERE {ROW}");
    if let Some(known) = one(connection, &sql, names, |row| latency_sums_at(row, 0))? {
        sums.add(&known);
    }
    if sums == LatencyRollup::default() {
        return execute(connection, &format!("DELETE FROM rollup_latencies WHERE {ROW}"), names);
    }
    let sql = "INSERT OR REPLACE INTO rollup_latencies VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let LatencyRollup { output_tokens, output_ms, durations, ttfts } = sums;
    let (durations, ttfts) = (durations.to_bytes(), ttfts.to_bytes());
    let row = params![tenant.0, span, key.bucket, key.agent, key.model, project, output_tokens, output_ms, durations, ttfts];
    execute(connection, sql, row)
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    names: impl Params,
    at: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    connection.prepare_cached(sql).and_then(|mut row| row.query_row(names, at).optional()).doing(WRITING)
}

fn execute(connection: &Connection, sql: &str, row: impl Params) -> Result<(), StoreError> {
    connection.prepare_cached(sql).and_then(|mut write| write.execute(row)).doing(WRITING).map(drop)
}

pub(crate) fn timed_call_at(row: &Row<'_>) -> rusqlite::Result<TimedCall> {
    Ok(TimedCall { started_at: row.get(1)?, duration_ms: row.get(2)?, key: Key(row.get(3)?) })
}

/// The sums of a row of `rollup_tools`, the first of which is at `place`.
pub(crate) fn tool_sums_at(row: &Row<'_>, place: usize) -> rusqlite::Result<ToolRollup> {
    Ok(ToolRollup { durations: durations_at(row, place + 5)?, ..plain_tool_sums_at(row, place)? })
}

/// All but the durations.
pub(crate) fn plain_tool_sums_at(row: &Row<'_>, place: usize) -> rusqlite::Result<ToolRollup> {
    Ok(ToolRollup {
        calls: row.get(place)?,
        duration_ms: row.get(place + 1)?,
        sized_calls: row.get(place + 2)?,
        result_bytes: row.get(place + 3)?,
        input_bytes: row.get(place + 4)?,
        durations: Durations::default(),
    })
}

/// The sums of a row of `rollup_latencies`, the first of which is at `place`.
pub(crate) fn latency_sums_at(row: &Row<'_>, place: usize) -> rusqlite::Result<LatencyRollup> {
    Ok(LatencyRollup {
        output_tokens: row.get(place)?,
        output_ms: row.get(place + 1)?,
        durations: durations_at(row, place + 2)?,
        ttfts: durations_at(row, place + 3)?,
    })
}

fn durations_at(row: &Row<'_>, place: usize) -> rusqlite::Result<Durations> {
    let mut durations = Durations::default();
    durations.add_bytes(row.get_ref(place)?.as_blob()?);
    Ok(durations)
}

/// Sums all facts of a ledger whose roll-ups had no durations.
pub(crate) fn sum_anew(connection: &Connection) -> Result<(), StoreError> {
    let mut changes = TimingChanges::default();
    let mut begun = 0;
    let mut next = |changes: &mut TimingChanges| {
        begun += 1;
        if begun % AT_ONCE == 0 { std::mem::take(changes).write(connection) } else { Ok(()) }
    };
    let mut calls = connection.prepare("SELECT fact, owner, role, tenant FROM tool_calls WHERE role = 1").doing(MOVING)?;
    let mut found = calls.query([]).doing(MOVING)?;
    while let Some(row) = found.next().doing(MOVING)? {
        changes.tool_call(TenantId(row.get(3).doing(MOVING)?), None, &stored(row)?);
        next(&mut changes)?;
    }
    // Looked for in the text first: most requests were told by transcripts, which tell no times.
    let sql = "SELECT fact, owner, role, model, cost_nano, billing, tenant FROM requests
               WHERE fact LIKE '%\"duration_ms\":%' OR fact LIKE '%\"ttft_ms\":%'";
    let mut requests = connection.prepare(sql).doing(MOVING)?;
    let mut found = requests.query([]).doing(MOVING)?;
    while let Some(row) = found.next().doing(MOVING)? {
        let after = rows::latency_rollup(&stored::<Request>(row)?, &rows::priced_at(row, 3).doing(MOVING)?);
        changes.request(TenantId(row.get(6).doing(MOVING)?), None, after);
        next(&mut changes)?;
    }
    changes.write(connection)
}
