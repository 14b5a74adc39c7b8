//! When each witness last told of each agent.

use std::collections::BTreeMap;

use ducat_ledger::{UnixMs, Witnesses};
use rusqlite::params;

use crate::reader::Reader;
use crate::{Doing, StoreError, TenantId};

/// Sessions of each agent that are looked at, the last alive first: witnesses that were silent for longer than these are not found.
const SESSIONS: i64 = 50;

impl Reader {
    /// By agent and name of the witness: the newest request, tool call or turn that it told of, among the last sessions of each agent.
    pub fn last_witnessed(&self, tenant: TenantId) -> Result<BTreeMap<String, BTreeMap<&'static str, UnixMs>>, StoreError> {
        let mut last: BTreeMap<String, BTreeMap<&'static str, UnixMs>> = BTreeMap::new();
        for table in ["requests", "tool_calls", "turns"] {
            let sql = format!(
                "WITH recent AS (
                     SELECT key, agent, ROW_NUMBER() OVER (PARTITION BY agent ORDER BY last_at DESC) AS place
                     FROM sessions WHERE tenant = ?1)
                 SELECT recent.agent, json_extract(facts.fact, '$.witnesses') AS told, MAX(facts.started_at)
                 FROM recent CROSS JOIN {table} AS facts INDEXED BY {table}_by_owner
                 ON facts.tenant = ?1 AND facts.owner = recent.key
                 WHERE recent.place <= ?2 AND facts.started_at IS NOT NULL GROUP BY recent.agent, told"
            );
            let mut statement = self.connection.prepare_cached(&sql).doing("reading who told")?;
            let rows = statement
                .query_map(params![tenant.0, SESSIONS], |row| Ok((row.get(0)?, row.get::<_, u8>(1)?, row.get(2)?)))
                .doing("reading who told")?;
            for row in rows {
                let (agent, told, at): (String, u8, UnixMs) = row.doing("reading who told")?;
                let of_agent = last.entry(agent).or_default();
                for witness in Witnesses(told).names() {
                    let latest = of_agent.entry(witness).or_insert(at);
                    *latest = at.max(*latest);
                }
            }
        }
        Ok(last)
    }
}
