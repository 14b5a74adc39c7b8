//! Reading how long tool calls and requests took.

use std::cmp::Reverse;
use std::ops::Range;

use ducat_ledger::{BUCKET_MS, Durations, Key, LatencyRollup, Outcome, ToolCall, UnixMs};
use ducat_report::{Grouping, Latencies, LatencyRow, Report, ReportQuery, SLOWEST, SlowCall, ToolRow, Tools};
use rusqlite::{Row, params};

use crate::check::stored;
use crate::rows;
use crate::timings::plain_tool_sums_at;
use crate::{Doing, Reader, StoreError, TenantId, schema, spans};

const READING: &str = "reading how long calls took";

/// From when until when.
type Times = (UnixMs, UnixMs);
/// Buckets of a roll-up, and how long they are.
type Part = (i64, Range<i64>);

impl Reader {
    /// Adds the tool calls of the query's range, and finds the slowest of them.
    pub fn add_tools_to(&self, tenant: TenantId, tools: &mut Tools) -> Result<Vec<SlowCall>, StoreError> {
        schema::require_current(&self.connection)?;
        // Sums and calls as of one commit.
        let transaction = self.connection.unchecked_transaction().doing(READING)?;
        self.each_row("rollup_tools", tenant, spans::parts(tools.range()), |times, row| {
            tool_row(times, row, &mut |row| tools.add(row))
        })?;
        self.narrow(tenant, tools)?;
        let slowest = self.slowest_calls(tenant, tools)?;
        transaction.finish().doing(READING)?;
        Ok(slowest)
    }

    /// Adds the times of the requests of the query's range.
    pub fn add_latencies_to(&self, tenant: TenantId, latencies: &mut Latencies) -> Result<(), StoreError> {
        schema::require_current(&self.connection)?;
        self.each_row("rollup_latencies", tenant, spans::parts(latencies.range()), |_, row| {
            let plain = |place: usize| row.get(place).doing(READING);
            let sums = LatencyRollup { output_tokens: plain(6)?, output_ms: plain(7)?, ..LatencyRollup::default() };
            latencies.add(&LatencyRow {
                agent: text(row, 3)?,
                model: text(row, 4)?,
                project: name(row, 5)?,
                sums: &sums,
                durations: bytes(row, 8)?,
                ttfts: bytes(row, 9)?,
            });
            Ok(())
        })
    }

    /// Each row of these parts of a roll-up, with the times of its bucket, which what tells no time has not.
    fn each_row(
        &self,
        table: &str,
        tenant: TenantId,
        parts: impl IntoIterator<Item = Part>,
        mut see: impl FnMut(Option<Times>, &Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT * FROM {table} WHERE tenant = ?1 AND span = ?2 AND bucket >= ?3 AND bucket < ?4");
        let mut statement = self.connection.prepare_cached(&sql).doing(READING)?;
        for (span, buckets) in parts {
            let mut rows = statement.query(params![tenant.0, span, buckets.start, buckets.end]).doing(READING)?;
            while let Some(row) = rows.next().doing(READING)? {
                see(spans::times(span, row.get(2).doing(READING)?), row)?;
            }
        }
        Ok(())
    }

    /// Finds the quarter-hours of the slowest calls in the days of which their sums tell that they have them.
    fn narrow(&self, tenant: TenantId, tools: &mut Tools) -> Result<(), StoreError> {
        let places = tools.slow_places();
        let Some((_, least_ms)) = places.first().copied() else { return Ok(()) };
        if places.iter().all(|((from, until), _)| until - from <= BUCKET_MS) {
            return Ok(());
        }
        tools.forget_slow_places();
        let parts = places.iter().map(|((from, until), _)| (1, from.div_euclid(BUCKET_MS)..until.div_euclid(BUCKET_MS)));
        self.each_row("rollup_tools", tenant, parts, |times, row| {
            // Before its names are read: most have no call that is long enough.
            if Durations::longest_of(bytes(row, 15)?).is_none_or(|longest| longest < least_ms) {
                return Ok(());
            }
            tool_row(times, row, &mut |row| tools.see_slow(row))
        })
    }

    /// The slowest calls that were added, looked for where the roll-ups tell that they are.
    fn slowest_calls(&self, tenant: TenantId, tools: &mut Tools) -> Result<Vec<SlowCall>, StoreError> {
        // In this order: SQLite may begin with every call of the tenant.
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT fact, owner, role FROM timed_calls t CROSS JOIN tool_calls c ON c.tenant = t.tenant AND c.key = t.key
                 WHERE t.tenant = ?1 AND t.started_at >= ?2 AND t.started_at < ?3 AND t.duration_ms >= ?4",
            )
            .doing(READING)?;
        let mut found: Vec<(Option<Key>, SlowCall)> = Vec::new();
        for ((from, until), least_ms) in tools.slow_places() {
            let least_ms = i64::try_from(least_ms).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![tenant.0, from, until, least_ms]).doing(READING)?;
            while let Some(row) = rows.next().doing(READING)? {
                let stored = stored::<ToolCall>(row)?;
                let Some((key, sums)) = rows::tool_rollup(&stored) else { continue };
                let asked = ToolRow {
                    times: Some((from, until)),
                    agent: &key.agent,
                    tool: &key.tool,
                    outcome: key.outcome,
                    error_kind: key.error_kind.as_deref(),
                    project: key.project.as_deref(),
                    user: key.user.as_deref(),
                    team: key.team.as_deref(),
                    sums: &sums,
                    durations: &[],
                };
                if !tools.asks_for(&asked) {
                    continue;
                }
                let call = stored.fact;
                let slow = SlowCall {
                    name: call.name.get().cloned(),
                    target: call.target.get().cloned(),
                    session: None,
                    project: key.project,
                    started_at: call.started_at.or_default(),
                    duration_ms: call.duration_ms().unwrap_or_default(),
                    outcome: key.outcome,
                    tool_call: call.id,
                    agent: call.agent,
                };
                found.push((stored.owner, slow));
            }
        }
        found.sort_by(|(_, one), (_, other)| order_of(one).cmp(&order_of(other)));
        found.truncate(SLOWEST);
        let slowest = found.into_iter().map(|(owner, call)| {
            let session = owner.map(|owner| rows::load_session(&self.connection, tenant, owner)).transpose()?.flatten();
            Ok(SlowCall { session: session.map(|session| session.id), ..call })
        });
        slowest.collect()
    }

    /// Names of the models that requests are summed by, in order.
    pub fn models(&self, tenant: TenantId) -> Result<Vec<String>, StoreError> {
        let mut report = Report::new(ReportQuery { by: Grouping::Model, ..ReportQuery::default() });
        self.add_to(tenant, (None, None), &mut report)?;
        let mut models: Vec<String> = report.finish().rows.into_iter().filter_map(|row| row.name).collect();
        models.retain(|model| !model.is_empty());
        models.sort_unstable();
        Ok(models)
    }
}

/// Reads a row of `rollup_tools`; one of an outcome that nobody knows is none.
fn tool_row(times: Option<Times>, row: &Row<'_>, see: &mut dyn FnMut(&ToolRow<'_>)) -> Result<(), StoreError> {
    let Some(outcome) = Outcome::parse(text(row, 5)?) else { return Ok(()) };
    let (sums, durations) = (plain_tool_sums_at(row, 10).doing(READING)?, bytes(row, 15)?);
    let (agent, tool, error_kind) = (text(row, 3)?, text(row, 4)?, name(row, 6)?);
    let (project, user, team) = (name(row, 7)?, name(row, 8)?, name(row, 9)?);
    see(&ToolRow { times, agent, tool, outcome, error_kind, project, user, team, sums: &sums, durations });
    Ok(())
}

/// The longest first, of equals the latest.
fn order_of(call: &SlowCall) -> (Reverse<u64>, Reverse<UnixMs>, &str) {
    (Reverse(call.duration_ms), Reverse(call.started_at), &call.tool_call)
}

fn text<'r>(row: &'r Row<'_>, place: usize) -> Result<&'r str, StoreError> {
    row.get_ref(place).and_then(|value| Ok(value.as_str()?)).doing(READING)
}

/// None where nobody told it.
fn name<'r>(row: &'r Row<'_>, place: usize) -> Result<Option<&'r str>, StoreError> {
    text(row, place).map(|name| Some(name).filter(|name| !name.is_empty()))
}

fn bytes<'r>(row: &'r Row<'_>, place: usize) -> Result<&'r [u8], StoreError> {
    row.get_ref(place).and_then(|value| Ok(value.as_blob()?)).doing(READING)
}
