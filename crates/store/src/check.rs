//! Roll-ups against the facts they sum.

use std::collections::BTreeMap;

use ducat_ledger::{Attributes, Durations, Key, LatencyRollup, Request, Role, ToolCall, ToolRollup};
use rusqlite::Row;
use rusqlite::types::Value;

use crate::coverage;
use crate::reader::rollup_at;
use crate::rows::{self, Stored};
use crate::session_sums::{self, ROW, SUMS, SessionChanges, SessionSums};
use crate::timings::{TimedCall, latency_rows, latency_sums_at, timed_call_at, tool_rows, tool_sums_at};
use crate::{Doing, Reader, StoreError, TenantId};

/// A roll-up row that is not the sum of its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Table and names of the row.
    pub row: String,
    pub stored: Option<Vec<i64>>,
    pub recomputed: Option<Vec<i64>>,
}

const READING: &str = "reading roll-ups";

type Rows = BTreeMap<String, Vec<i64>>;

impl Reader {
    /// Recomputes a tenant's roll-ups from its facts; returns what differs.
    pub fn check_rollups(&self, tenant: TenantId) -> Result<Vec<Mismatch>, StoreError> {
        let known = self.known_attributes(tenant)?;
        let mut recomputed = Rows::new();
        let mut add = |row: String, sums: Vec<i64>| {
            let known = recomputed.entry(row).or_insert_with(|| vec![0; sums.len()]);
            known.iter_mut().zip(sums).for_each(|(known, sum)| *known = known.saturating_add(sum));
        };
        self.each("SELECT fact, owner, role, model, cost_nano, billing, disputed_fields, difference_nano, is_difference_unknown FROM requests WHERE tenant = ?1", tenant, |row| {
            let stored = stored::<Request>(row)?;
            let priced = rows::priced_at(row, 3).doing("reading requests")?;
            let disputed = coverage::disputed_at(row, 6).doing("reading requests")?;
            if let Some((key, sums)) = coverage::rollup_of(&stored, priced.cost, disputed) {
                coverage::rows_of(key).for_each(|(span, key)| add(format!("witnesses of {span} {key:?}"), sums.columns().to_vec()));
            }
            let Some((key, sums)) = rows::request_rollup(&stored, &priced) else { return Ok(()) };
            let billing = key.billing.map(|billing| billing.name().to_owned());
            let names = [Some(key.agent), Some(key.model), key.project, key.branch, key.user, key.team, key.host, billing];
            let attributes = known.fold(key.attributes.as_deref())?;
            let names = names.map(Option::unwrap_or_default);
            add(format!("requests {} {names:?} {}", key.bucket, shown(attributes.as_deref())), sums.columns().to_vec());
            if let Some((key, sums)) = rows::latency_rollup(&stored, &priced) {
                for (span, key) in latency_rows(key) {
                    let names = [key.agent, key.model, key.project.unwrap_or_default()];
                    latencies(format!("of {span} {} {names:?}", key.bucket), &sums, &mut add);
                }
            }
            Ok(())
        })?;
        self.each("SELECT fact, owner, role FROM tool_calls WHERE tenant = ?1", tenant, |row| {
            let stored = stored::<ToolCall>(row)?;
            let Some((key, sums)) = rows::tool_rollup(&stored) else { return Ok(()) };
            for (span, key) in tool_rows(key) {
                let outcome = key.outcome.name().to_owned();
                let names = [Some(key.agent), Some(key.tool), Some(outcome), key.error_kind, key.project, key.user, key.team];
                tools(format!("of {span} {} {:?}", key.bucket, names.map(Option::unwrap_or_default)), &sums, &mut add);
            }
            TimedCall::of(&stored.fact).into_iter().for_each(|call| add(format!("{call:?}"), vec![1]));
            Ok(())
        })?;
        let mut kept = Rows::new();
        self.each("SELECT * FROM rollup_requests WHERE tenant = ?1", tenant, |row| {
            let set = known.set(row.get(10).doing(READING)?);
            kept.insert(format!("requests {} {}", names_at(row, 1, 8)?, shown(set)), rollup_at(row)?.columns().to_vec());
            Ok(())
        })?;
        self.each("SELECT * FROM rollup_witnesses WHERE tenant = ?1", tenant, |row| {
            let span: i64 = row.get(1).doing("reading roll-ups")?;
            let (key, sums) = coverage::rollup_at(row).doing("reading roll-ups")?;
            kept.insert(format!("witnesses of {span} {key:?}"), sums.columns().to_vec());
            Ok(())
        })?;
        let mut keep = |row: String, sums: Vec<i64>| drop(kept.insert(row, sums));
        self.each("SELECT * FROM rollup_tools WHERE tenant = ?1", tenant, |row| {
            let span: i64 = row.get(1).doing(READING)?;
            tools(format!("of {span} {}", names_at(row, 2, 7)?), &tool_sums_at(row, 10).doing(READING)?, &mut keep);
            Ok(())
        })?;
        self.each("SELECT * FROM rollup_latencies WHERE tenant = ?1", tenant, |row| {
            let span: i64 = row.get(1).doing(READING)?;
            latencies(format!("of {span} {}", names_at(row, 2, 3)?), &latency_sums_at(row, 6).doing(READING)?, &mut keep);
            Ok(())
        })?;
        self.each("SELECT * FROM timed_calls WHERE tenant = ?1", tenant, |row| {
            keep(format!("{:?}", timed_call_at(row).doing(READING)?), vec![1]);
            Ok(())
        })?;
        recomputed.extend(self.recomputed_sessions(tenant)?);
        self.each("SELECT * FROM session_sums WHERE tenant = ?1", tenant, |row| {
            let key = Key(row.get(1).doing("reading sessions' sums")?);
            let columns = (2..2 + ROW).map(|place| row.get(place)).collect::<Result<Vec<Value>, _>>();
            kept.extend([session_row(key, &columns.doing("reading sessions' sums")?)]);
            Ok(())
        })?;
        let names: std::collections::BTreeSet<&String> = recomputed.keys().chain(kept.keys()).collect();
        let mismatch = |row: &&String| {
            let (stored, recomputed) = (kept.get(*row), recomputed.get(*row));
            (stored != recomputed).then(|| Mismatch {
                row: (*row).clone(),
                stored: stored.cloned(),
                recomputed: recomputed.cloned(),
            })
        };
        Ok(names.iter().filter_map(mismatch).collect())
    }

    fn recomputed_sessions(&self, tenant: TenantId) -> Result<Vec<(String, Vec<i64>)>, StoreError> {
        let mut changes = SessionChanges::default();
        session_sums::sum(&self.connection, tenant, &mut changes)?;
        let rows = changes.rows(|session| rows::load_session(&self.connection, tenant, session))?;
        Ok(rows.into_iter().map(|(key, columns)| session_row(key, &columns)).collect())
    }

    fn each(
        &self,
        sql: &str,
        tenant: TenantId,
        mut see: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare(sql).doing("checking roll-ups")?;
        let mut found = statement.query([tenant.0]).doing("checking roll-ups")?;
        while let Some(row) = found.next().doing("checking roll-ups")? {
            see(row)?;
        }
        Ok(())
    }
}

/// Bucket and names of a roll-up's row, which begin at `place`.
fn names_at(row: &Row<'_>, place: usize, count: usize) -> Result<String, StoreError> {
    let bucket: i64 = row.get(place).doing(READING)?;
    let names = (place + 1..place + 1 + count).map(|place| row.get(place)).collect::<Result<Vec<String>, _>>().doing(READING)?;
    Ok(format!("{bucket} {names:?}"))
}

fn tools(row: String, sums: &ToolRollup, see: &mut impl FnMut(String, Vec<i64>)) {
    let ToolRollup { calls, duration_ms, sized_calls, result_bytes, input_bytes, durations: classes } = sums;
    durations(&format!("tools {row}"), classes, see);
    see(format!("tools {row}"), vec![*calls, *duration_ms, *sized_calls, *result_bytes, *input_bytes]);
}

fn latencies(row: String, sums: &LatencyRollup, see: &mut impl FnMut(String, Vec<i64>)) {
    durations(&format!("durations {row}"), &sums.durations, see);
    durations(&format!("ttfts {row}"), &sums.ttfts, see);
    see(format!("latencies {row}"), vec![sums.output_tokens, sums.output_ms]);
}

/// A row a class, so that each is compared.
fn durations(row: &str, durations: &Durations, see: &mut impl FnMut(String, Vec<i64>)) {
    durations.classes().for_each(|(shortest, count)| see(format!("{row} from {shortest} ms"), vec![count]));
}

/// The names of a session's row and its sums.
fn session_row(key: Key, columns: &[Value]) -> (String, Vec<i64>) {
    let (names, sums): (Vec<_>, Vec<_>) = columns.iter().enumerate().partition(|(place, _)| *place != SUMS);
    let sums = sums.into_iter().find_map(|(_, sums)| if let Value::Text(sums) = sums { Some(sums) } else { None });
    let sums = sums.map_or_else(Vec::new, |sums| SessionSums::parse(sums.as_bytes()).columns().to_vec());
    (format!("session {key} {names:?}"), sums)
}

fn shown(attributes: Attributes<&str>) -> String {
    format!("{:?}", attributes.columns().map(|value| value.copied().unwrap_or_default()))
}

/// A row of a fact, its owner and its role.
pub(crate) fn stored<F: rows::Owned>(row: &Row<'_>) -> Result<Stored<F>, StoreError> {
    let fact: String = row.get(0).doing("checking roll-ups")?;
    let owner: Option<[u8; 16]> = row.get(1).doing("checking roll-ups")?;
    let role: u8 = row.get(2).doing("checking roll-ups")?;
    Ok(Stored::alone(serde_json::from_str(&fact)?, owner.map(Key), Role::from_code(role).unwrap_or(Role::One)))
}
