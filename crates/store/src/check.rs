//! Roll-ups against the facts they sum.

use std::collections::BTreeMap;

use ducat_ledger::{Key, Request, RequestRollup, Role, ToolCall, ToolRollup};
use rusqlite::Row;

use crate::rows::{self, Stored};
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
        let mut recomputed = Rows::new();
        let mut add = |row: String, sums: Vec<i64>| {
            let known = recomputed.entry(row).or_insert_with(|| vec![0; sums.len()]);
            known.iter_mut().zip(sums).for_each(|(known, sum)| *known = known.saturating_add(sum));
        };
        self.each("SELECT fact, owner, role, model, cost_nano, billing FROM requests WHERE tenant = ?1", tenant, |row| {
            let stored = stored::<Request>(row)?;
            let priced = rows::priced_at(row, 3).doing("reading requests")?;
            let Some((key, sums)) = rows::request_rollup(&stored, &priced) else { return Ok(()) };
            let billing = key.billing.map(|billing| billing.name().to_owned());
            let names = [
                Some(key.agent),
                Some(key.model),
                key.project,
                key.branch,
                key.user,
                key.team,
                key.host,
                billing,
                key.subagent_type,
                key.skill,
                key.mcp_server,
            ];
            add(format!("requests {} {:?}", key.bucket, names.map(Option::unwrap_or_default)), sums.columns().to_vec());
            Ok(())
        })?;
        self.each("SELECT fact, owner, role FROM tool_calls WHERE tenant = ?1", tenant, |row| {
            if let Some((key, ToolRollup { calls, duration_ms, result_bytes })) = rows::tool_rollup(&stored::<ToolCall>(row)?) {
                let names =
                    [Some(key.agent), Some(key.tool), Some(key.outcome.name().to_owned()), key.project, key.user, key.team];
                add(
                    format!("tools {} {:?}", key.bucket, names.map(Option::unwrap_or_default)),
                    vec![calls, duration_ms, result_bytes],
                );
            }
            Ok(())
        })?;
        let mut kept = Rows::new();
        for (kind, table, names, sums) in
            [("requests", "rollup_requests", 11, RequestRollup::COLUMNS), ("tools", "rollup_tools", 6, 3)]
        {
            self.each(&format!("SELECT * FROM {table} WHERE tenant = ?1"), tenant, |row| {
                let bucket: i64 = row.get(1).doing("reading roll-ups")?;
                let names =
                    (2..2 + names).map(|place| row.get(place)).collect::<Result<Vec<String>, _>>().doing("reading roll-ups")?;
                let from = 2 + names.len();
                let sums =
                    (from..from + sums).map(|place| row.get(place)).collect::<Result<Vec<i64>, _>>().doing("reading roll-ups")?;
                kept.insert(format!("{kind} {bucket} {names:?}"), sums);
                Ok(())
            })?;
        }
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

fn stored<F: rows::Owned>(row: &Row<'_>) -> Result<Stored<F>, StoreError> {
    let fact: String = row.get(0).doing("checking roll-ups")?;
    let owner: Option<[u8; 16]> = row.get(1).doing("checking roll-ups")?;
    let role: u8 = row.get(2).doing("checking roll-ups")?;
    Ok(Stored::alone(serde_json::from_str(&fact)?, owner.map(Key), Role::from_code(role).unwrap_or(Role::One)))
}
