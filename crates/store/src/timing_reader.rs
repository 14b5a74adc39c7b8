//! Reading how long tool calls and requests took.

use std::cmp::Reverse;

use ducat_ledger::{BUCKET_MS, Key, LatencyRollup, Outcome, ToolCall, UnixMs};
use ducat_report::{Grouping, Latencies, LatencyRow, Report, ReportQuery, SLOWEST, SlowCall, ToolRow, Tools};
use rusqlite::{Row, params};

use crate::check::stored;
use crate::rows::{self, UNDATED};
use crate::timings::plain_tool_sums_at;
use crate::{Doing, Reader, StoreError, TenantId, schema};

const READING: &str = "reading how long calls took";

type Range = (Option<UnixMs>, Option<UnixMs>);

impl Reader {
    /// Adds the tool calls of the query's range, and finds the slowest of them.
    pub fn add_tools_to(&self, tenant: TenantId, tools: &mut Tools) -> Result<Vec<SlowCall>, StoreError> {
        schema::require_current(&self.connection)?;
        // Sums and calls as of one commit.
        let transaction = self.connection.unchecked_transaction().doing(READING)?;
        self.each_row("rollup_tools", tenant, tools.range(), |began, row| {
            let Some(outcome) = Outcome::parse(text(row, 4)?) else { return Ok(()) };
            let (sums, durations) = (plain_tool_sums_at(row, 9).doing(READING)?, bytes(row, 14)?);
            let (agent, tool, error_kind) = (text(row, 2)?, text(row, 3)?, name(row, 5)?);
            let (project, user, team) = (name(row, 6)?, name(row, 7)?, name(row, 8)?);
            tools.add(&ToolRow { began, agent, tool, outcome, error_kind, project, user, team, sums: &sums, durations });
            Ok(())
        })?;
        let slowest = self.slowest_calls(tenant, tools)?;
        transaction.finish().doing(READING)?;
        Ok(slowest)
    }

    /// Adds the times of the requests of the query's range.
    pub fn add_latencies_to(&self, tenant: TenantId, latencies: &mut Latencies) -> Result<(), StoreError> {
        schema::require_current(&self.connection)?;
        self.each_row("rollup_latencies", tenant, latencies.range(), |_, row| {
            let plain = |place: usize| row.get(place).doing(READING);
            let sums = LatencyRollup { output_tokens: plain(5)?, output_ms: plain(6)?, ..LatencyRollup::default() };
            latencies.add(&LatencyRow {
                agent: text(row, 2)?,
                model: text(row, 3)?,
                project: name(row, 4)?,
                sums: &sums,
                durations: bytes(row, 7)?,
                ttfts: bytes(row, 8)?,
            });
            Ok(())
        })
    }

    /// Each row of a roll-up in a range, with the beginning of its quarter-hour; what tells no time is in no range.
    fn each_row(
        &self,
        table: &str,
        tenant: TenantId,
        (from, until): Range,
        mut see: impl FnMut(Option<UnixMs>, &Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT * FROM {table} WHERE tenant = ?1 AND bucket >= ?2 AND bucket < ?3");
        let mut statement = self.connection.prepare_cached(&sql).doing(READING)?;
        let dated = UNDATED + 1;
        let first = from.map_or(if until.is_none() { UNDATED } else { dated }, |from| from.div_euclid(BUCKET_MS));
        let end = until.map_or(UnixMs::MAX, |until| until.div_euclid(BUCKET_MS));
        let mut rows = statement.query(params![tenant.0, first, end]).doing(READING)?;
        while let Some(row) = rows.next().doing(READING)? {
            let bucket: i64 = row.get(1).doing(READING)?;
            see((bucket != UNDATED).then(|| bucket.saturating_mul(BUCKET_MS)), row)?;
        }
        Ok(())
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
                    began: Some(from),
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
