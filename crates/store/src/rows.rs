//! Facts as rows: what is stored beside each, and what it adds to the roll-ups.

use ducat_ledger::{
    Billing, Holder, Holders, Incident, Key, Priced, Quota, Request, RequestRollup, RequestRollupKey, Session, ToolCall,
    ToolRollup, ToolRollupKey, Turn, UnixMs, bucket_of,
};
use ducat_prices::NanoUsd;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Doing, StoreError, TenantId};

/// Bucket of facts that tell no time.
pub const UNDATED: i64 = i64::MIN;

/// A fact that sessions hold copies of.
pub(crate) trait Owned: Clone + PartialEq + Serialize + DeserializeOwned {
    /// Its table, and its name in `shared`.
    const TABLE: &'static str;
    const LOAD: &'static str;
    const SAVE: &'static str;

    fn key(&self) -> Key;
    fn holders(&self) -> &Holders;
    fn at(&self) -> Option<UnixMs>;
    fn join(&mut self, other: &Self) -> bool;
}

macro_rules! owned {
    ($name:ident, $table:literal, $at:ident) => {
        impl Owned for $name {
            const TABLE: &'static str = $table;
            const LOAD: &'static str = concat!("SELECT fact, owner FROM ", $table, " WHERE tenant = ?1 AND key = ?2");
            const SAVE: &'static str =
                concat!("INSERT OR REPLACE INTO ", $table, " (tenant, key, owner, started_at, fact) VALUES (?1, ?2, ?3, ?4, ?5)");

            fn key(&self) -> Key {
                self.key
            }
            fn holders(&self) -> &Holders {
                &self.holders
            }
            fn at(&self) -> Option<UnixMs> {
                self.$at.get().copied()
            }
            fn join(&mut self, other: &Self) -> bool {
                $name::join(self, other)
            }
        }
    };
}

owned!(Request, "requests", started_at);
owned!(ToolCall, "tool_calls", started_at);
owned!(Turn, "turns", started_at);
owned!(Incident, "incidents", at);

/// A fact as it stands in its table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored<F> {
    pub fact: F,
    pub owner: Option<Key>,
}

pub(crate) fn load<F: Owned>(connection: &Connection, tenant: TenantId, key: Key) -> Result<Option<Stored<F>>, StoreError> {
    let mut statement = connection.prepare_cached(F::LOAD).doing("reading a fact")?;
    let found = statement
        .query_row(params![tenant.0, key.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<[u8; 16]>>(1)?)))
        .optional()
        .doing("reading a fact")?;
    found.map(|(fact, owner)| Ok(Stored { fact: serde_json::from_str(&fact)?, owner: owner.map(Key) })).transpose()
}

pub(crate) fn save<F: Owned>(connection: &Connection, tenant: TenantId, stored: &Stored<F>) -> Result<(), StoreError> {
    let fact = serde_json::to_string(&stored.fact)?;
    let mut statement = connection.prepare_cached(F::SAVE).doing("writing a fact")?;
    statement
        .execute(params![tenant.0, stored.fact.key().0, stored.owner.map(|owner| owner.0), stored.fact.at(), fact])
        .doing("writing a fact")?;
    Ok(())
}

/// A request's model and cost as they were when it was last written: a new price moves nothing by itself.
pub(crate) fn load_priced(connection: &Connection, tenant: TenantId, key: Key) -> Result<Option<Priced>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT model, cost_nano, billing FROM requests WHERE tenant = ?1 AND key = ?2")
        .doing("reading a price")?;
    statement.query_row(params![tenant.0, key.0], |row| priced_at(row, 0)).optional().doing("reading a price")
}

/// From the columns `model`, `cost_nano` and `billing`, which begin at `place`.
pub(crate) fn priced_at(row: &Row<'_>, place: usize) -> Result<Priced, rusqlite::Error> {
    let billing: Option<String> = row.get(place + 2)?;
    Ok(Priced {
        model: row.get(place)?,
        cost: row.get::<_, Option<i64>>(place + 1)?.map(NanoUsd),
        billing: billing.as_deref().and_then(Billing::parse),
    })
}

pub(crate) fn save_request(
    connection: &Connection,
    tenant: TenantId,
    stored: &Stored<Request>,
    priced: &Priced,
) -> Result<(), StoreError> {
    let fact = serde_json::to_string(&stored.fact)?;
    let mut statement = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO requests (tenant, key, owner, started_at, model, cost_nano, billing, fact) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .doing("writing a request")?;
    let owner = stored.owner.map(|owner| owner.0);
    let cost = priced.cost.map(|cost| cost.0);
    let billing = priced.billing.map(Billing::name);
    statement
        .execute(params![tenant.0, stored.fact.key.0, owner, stored.fact.at(), priced.model, cost, billing, fact])
        .doing("writing a request")?;
    Ok(())
}

pub(crate) fn load_session(connection: &Connection, tenant: TenantId, key: Key) -> Result<Option<Session>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT fact FROM sessions WHERE tenant = ?1 AND key = ?2").doing("reading a session")?;
    let fact: Option<String> =
        statement.query_row(params![tenant.0, key.0], |row| row.get(0)).optional().doing("reading a session")?;
    fact.map(|fact| Ok(serde_json::from_str(&fact)?)).transpose()
}

pub(crate) fn save_session(connection: &Connection, tenant: TenantId, session: &Session) -> Result<(), StoreError> {
    let fact = serde_json::to_string(session)?;
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO sessions (tenant, key, id, agent, last_at, fact) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        .doing("writing a session")?;
    let last_at = session.last_at.get().copied();
    statement.execute(params![tenant.0, session.key.0, session.id, session.agent, last_at, fact]).doing("writing a session")?;
    Ok(())
}

pub(crate) fn load_quota(connection: &Connection, tenant: TenantId, key: Key) -> Result<Option<Quota>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT fact FROM quotas WHERE tenant = ?1 AND key = ?2").doing("reading a quota")?;
    let fact: Option<String> =
        statement.query_row(params![tenant.0, key.0], |row| row.get(0)).optional().doing("reading a quota")?;
    fact.map(|fact| Ok(serde_json::from_str(&fact)?)).transpose()
}

pub(crate) fn save_quota(connection: &Connection, tenant: TenantId, quota: &Quota) -> Result<(), StoreError> {
    let fact = serde_json::to_string(quota)?;
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO quotas (tenant, key, resets_at, used_up_at, fact) VALUES (?1, ?2, ?3, ?4, ?5)")
        .doing("writing a quota")?;
    let used_up_at = quota.used_up_at.get().copied();
    statement.execute(params![tenant.0, quota.key.0, quota.resets_at(), used_up_at, fact]).doing("writing a quota")?;
    Ok(())
}

fn bucket(at: Option<UnixMs>) -> i64 {
    at.map_or(UNDATED, bucket_of)
}

/// What a request adds to the roll-ups, and where.
pub(crate) fn request_rollup(stored: &Stored<Request>, priced: &Priced) -> (RequestRollupKey, RequestRollup) {
    let request = &stored.fact;
    let owner = owner_copy(stored);
    let key = RequestRollupKey {
        bucket: bucket(request.at()),
        agent: request.agent.clone(),
        model: priced.model.clone(),
        project: owner.and_then(|owner| owner.project.clone()),
        branch: owner.and_then(|owner| owner.branch.clone()),
        user: request.user.get().cloned(),
        team: request.team.get().cloned(),
        host: request.host.get().cloned(),
        billing: priced.billing,
        subagent_type: request.subagent_type.get().cloned(),
        skill: request.skill.get().cloned(),
        mcp_server: request.mcp_server.get().cloned(),
    };
    (key, RequestRollup::of(&request.usage(), priced.cost))
}

/// What a tool call adds; nothing until it has got a result.
pub(crate) fn tool_rollup(stored: &Stored<ToolCall>) -> Option<(ToolRollupKey, ToolRollup)> {
    let call = &stored.fact;
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let key = ToolRollupKey {
        bucket: bucket(call.at()),
        agent: call.agent.clone(),
        tool: call.name.get().cloned().unwrap_or_default(),
        outcome: *call.outcome.get()?,
        project: owner_copy(stored).and_then(|owner| owner.project.clone()),
        user: call.user.get().cloned(),
        team: call.team.get().cloned(),
    };
    let duration_ms = call.duration_ms().map_or(0, signed);
    Some((key, ToolRollup { calls: 1, duration_ms, result_bytes: signed(call.result_bytes.or_default()) }))
}

pub(crate) fn owner_copy<F: Owned>(stored: &Stored<F>) -> Option<&Holder> {
    stored.fact.holders().get(&stored.owner?)
}
