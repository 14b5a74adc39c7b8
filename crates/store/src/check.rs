//! Roll-ups against the facts they sum.

use std::collections::BTreeMap;

use ducat_ledger::{Attributes, Key, Request, RequestRollup, Role, ToolCall, ToolRollup};
use rusqlite::Row;
use rusqlite::types::Value;

use crate::coverage;
use crate::rows::{self, Stored};
use crate::session_sums::{self, ROW, SUMS, SessionChanges, SessionSums};
use crate::{Doing, Reader, StoreError, TenantId};

/// A roll-up row that is not the sum of its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Table and names of the row.
    pub row: String,
    pub stored: Option<Vec<i64>>,
    pub recomputed: Option<Vec<i64>>,
}

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
            Ok(())
        })?;
        self.each("SELECT fact, owner, role FROM tool_calls WHERE tenant = ?1", tenant, |row| {
            if let Some((key, ToolRollup { calls, duration_ms, result_bytes })) = rows::tool_rollup(&stored::<ToolCall>(row)?) {
                let names =
                    [Some(key.agent), Some(key.tool), Some(key.outcome.name().to_owned()), key.project, key.user, key.team];
                let names = names.map(Option::unwrap_or_default);
                add(format!("tools {} {names:?}", key.bucket), vec![calls, duration_ms, result_bytes]);
            }
            Ok(())
        })?;
        let mut kept = Rows::new();
        // Behind the names of requests stands the number of their set.
        for (kind, table, names, number, sums) in
            [("requests", "rollup_requests", 8, 1, RequestRollup::COLUMNS), ("tools", "rollup_tools", 6, 0, 3)]
        {
            self.each(&format!("SELECT * FROM {table} WHERE tenant = ?1"), tenant, |row| {
                let bucket: i64 = row.get(1).doing("reading roll-ups")?;
                let names =
                    (2..2 + names).map(|place| row.get(place)).collect::<Result<Vec<String>, _>>().doing("reading roll-ups")?;
                let from = 2 + names.len() + number;
                let mut name = format!("{kind} {bucket} {names:?}");
                if number > 0 {
                    let set = row.get(from - 1).doing("reading roll-ups")?;
                    name.push_str(&format!(" {}", shown(known.set(set))));
                }
                let sums =
                    (from..from + sums).map(|place| row.get(place)).collect::<Result<Vec<i64>, _>>().doing("reading roll-ups")?;
                kept.insert(name, sums);
                Ok(())
            })?;
        }
        self.each("SELECT * FROM rollup_witnesses WHERE tenant = ?1", tenant, |row| {
            let span: i64 = row.get(1).doing("reading roll-ups")?;
            let (key, sums) = coverage::rollup_at(row).doing("reading roll-ups")?;
            kept.insert(format!("witnesses of {span} {key:?}"), sums.columns().to_vec());
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
