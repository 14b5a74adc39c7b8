//! Facts as rows: what is stored beside each, and what it adds to the roll-ups.

use std::collections::HashMap;

use ducat_ledger::{
    Attributes, Billing, Holder, Holders, Incident, Key, LatencyRollup, LatencyRollupKey, Outcome, Paired, Priced, Quota,
    Request, RequestRollup, RequestRollupKey, Role, Session, ToolCall, ToolRollup, ToolRollupKey, Turn, UnixMs, bucket_of, owner,
};
use ducat_prices::NanoUsd;
use ducat_report::Disputed;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::births::Births;
use crate::coverage::disputed_at;
use crate::{Doing, StoreError, TenantId};

/// Bucket of facts that tell no time.
pub const UNDATED: i64 = i64::MIN;

/// A fact that sessions hold copies of.
pub(crate) trait Owned: Paired + Clone + PartialEq + Serialize + DeserializeOwned {
    /// Its table, and its name in `shared`.
    const TABLE: &'static str;
    const LOAD: &'static str;
    const SAVE: &'static str;

    fn key(&self) -> Key;
    fn agent(&self) -> &str;
    fn holders(&self) -> &Holders;
    fn at(&self) -> Option<UnixMs>;
    fn join(&mut self, other: &Self) -> bool;
}

macro_rules! owned {
    ($name:ident, $table:literal, $at:ident) => {
        impl Owned for $name {
            const TABLE: &'static str = $table;
            const LOAD: &'static str =
                concat!("SELECT fact, owner, base, pair_group, role FROM ", $table, " WHERE tenant = ?1 AND key = ?2");
            const SAVE: &'static str = concat!(
                "INSERT OR REPLACE INTO ",
                $table,
                " (tenant, key, owner, started_at, fact, base, pair_group, role) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            );

            fn key(&self) -> Key {
                self.key
            }
            fn agent(&self) -> &str {
                &self.agent
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
    /// What is believed, with what its twins tell.
    pub fact: F,
    /// What was told of this row alone, where that is less.
    base: Option<F>,
    pub owner: Option<Key>,
    pub group: Option<Key>,
    pub role: Role,
}

impl<F: Owned> Stored<F> {
    /// A row of which no twin is known.
    pub fn alone(fact: F, owner: Option<Key>, role: Role) -> Self {
        Self { fact, base: None, owner, group: None, role }
    }

    pub fn base(&self) -> &F {
        self.base.as_ref().unwrap_or(&self.fact)
    }

    /// Sets what is believed of it, which is its base or more.
    pub fn show(&mut self, fact: F) {
        let base = self.base.take().unwrap_or_else(|| self.fact.clone());
        self.base = Some(base).filter(|base| *base != fact);
        self.fact = fact;
    }

    fn base_json(&self) -> Result<Option<String>, StoreError> {
        Ok(self.base.as_ref().map(serde_json::to_string).transpose()?)
    }
}

pub(crate) fn load<F: Owned>(connection: &Connection, tenant: TenantId, key: Key) -> Result<Option<Stored<F>>, StoreError> {
    let mut statement = connection.prepare_cached(F::LOAD).doing("reading a fact")?;
    let mut rows = statement.query(params![tenant.0, key.0]).doing("reading a fact")?;
    let Some(row) = rows.next().doing("reading a fact")? else { return Ok(None) };
    let text = |place| row.get::<_, Option<String>>(place).doing("reading a fact");
    let hash = |place| row.get::<_, Option<[u8; 16]>>(place).map(|hash| hash.map(Key)).doing("reading a fact");
    let role: u8 = row.get(4).doing("reading a fact")?;
    Ok(Some(Stored {
        fact: serde_json::from_str(&text(0)?.unwrap_or_default())?,
        owner: hash(1)?,
        base: text(2)?.map(|base| serde_json::from_str(&base)).transpose()?,
        group: hash(3)?,
        role: Role::from_code(role).unwrap_or(Role::One),
    }))
}

pub(crate) fn save<F: Owned>(connection: &Connection, tenant: TenantId, stored: &Stored<F>) -> Result<(), StoreError> {
    let fact = serde_json::to_string(&stored.fact)?;
    let mut statement = connection.prepare_cached(F::SAVE).doing("writing a fact")?;
    let (key, owner, at) = (stored.fact.key().0, stored.owner.map(|owner| owner.0), stored.fact.at());
    let group = stored.group.map(|group| group.0);
    let row = params![tenant.0, key, owner, at, fact, stored.base_json()?, group, stored.role as u8];
    statement.execute(row).doing("writing a fact").map(drop)
}

/// A fact that may have twins, with its owner and group; how it counts is as it was until its cluster is looked at.
pub(crate) fn own<F: Owned>(
    connection: &Connection,
    births: &mut Births,
    tenant: TenantId,
    before: Option<&Stored<F>>,
    base: F,
) -> Result<Stored<F>, StoreError> {
    let owner = owner_of(connection, births, tenant, before, &base)?;
    let group = base.pair_group(owner);
    Ok(match before {
        Some(before) if group.is_some() && before.group == group && *before.base() == base => Stored { owner, ..before.clone() },
        _ => Stored { role: base.role(), fact: base, base: None, owner, group },
    })
}

/// The session that a fact counts in; notes new sharing.
pub(crate) fn owner_of<F: Owned>(
    connection: &Connection,
    births: &mut Births,
    tenant: TenantId,
    before: Option<&Stored<F>>,
    fact: &F,
) -> Result<Option<Key>, StoreError> {
    let holders = fact.holders();
    let mut born = HashMap::new();
    if holders.len() > 1 {
        for holder in holders.iter() {
            born.insert(holder.session, births.birth(connection, tenant, holder.session)?);
        }
        if before.is_none_or(|stored| stored.base().holders().len() < holders.len()) {
            let mut insert = connection
                .prepare_cached("INSERT OR IGNORE INTO shared VALUES (?1, ?2, ?3, ?4)")
                .doing("writing shared facts")?;
            for holder in holders.iter() {
                insert.execute(params![tenant.0, holder.session.0, F::TABLE, fact.key().0]).doing("writing shared facts")?;
            }
        }
    }
    Ok(owner(holders, fact.at(), |session| born.get(session).copied().flatten()).map(|holder| holder.session))
}

/// A request's model and cost, and what is disputed of it, as they were when it was last written: a new price moves nothing by itself.
pub(crate) fn load_priced(
    connection: &Connection,
    tenant: TenantId,
    key: Key,
) -> Result<Option<(Priced, Option<Disputed>)>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT model, cost_nano, billing, disputed_fields, difference_nano, is_difference_unknown FROM requests
             WHERE tenant = ?1 AND key = ?2",
        )
        .doing("reading a price")?;
    let read = |row: &Row<'_>| Ok((priced_at(row, 0)?, disputed_at(row, 3)?));
    statement.query_row(params![tenant.0, key.0], read).optional().doing("reading a price")
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
    disputed: Option<Disputed>,
) -> Result<(), StoreError> {
    let fact = serde_json::to_string(&stored.fact)?;
    let mut statement = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO requests (tenant, key, owner, started_at, model, cost_nano, billing, fact, base, pair_group, role,
             disputed_fields, difference_nano, is_difference_unknown, disputed_agent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )
        .doing("writing a request")?;
    let owner = stored.owner.map(|owner| owner.0);
    let cost = priced.cost.map(|cost| cost.0);
    let billing = priced.billing.map(Billing::name);
    statement
        .execute(params![
            tenant.0,
            stored.fact.key.0,
            owner,
            stored.fact.at(),
            priced.model,
            cost,
            billing,
            fact,
            stored.base_json()?,
            stored.group.map(|group| group.0),
            stored.role as u8,
            disputed.map(|disputed| disputed.fields.0),
            disputed.map(|disputed| disputed.difference.0),
            disputed.map(|disputed| disputed.is_unknown),
            disputed.map(|_| &stored.fact.agent)
        ])
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
        // An id never changes, and its entry in the index is left as it is.
        .prepare_cached(
            "INSERT INTO sessions (tenant, key, id, agent, last_at, fact) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET last_at = excluded.last_at, fact = excluded.fact",
        )
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

pub(crate) fn bucket(at: Option<UnixMs>) -> i64 {
    at.map_or(UNDATED, bucket_of)
}

/// What a request adds to the roll-ups, and where; nothing where another row counts.
pub(crate) fn request_rollup(stored: &Stored<Request>, priced: &Priced) -> Option<(RequestRollupKey, RequestRollup)> {
    if !stored.role.counts() {
        return None;
    }
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
        attributes: Attributes::of(request).to_owned(),
    };
    Some((key, RequestRollup::of(request, priced.cost)))
}

/// What a tool call adds; nothing until it has got a result, or where another row counts.
pub(crate) fn tool_rollup(stored: &Stored<ToolCall>) -> Option<(ToolRollupKey, ToolRollup)> {
    if !stored.role.counts() {
        return None;
    }
    let call = &stored.fact;
    let outcome = *call.outcome.get()?;
    let key = ToolRollupKey {
        bucket: bucket(call.at()),
        agent: call.agent.clone(),
        tool: call.name.get().cloned().unwrap_or_default(),
        outcome,
        error_kind: call.error_kind.get().filter(|_| outcome != Outcome::Ok).cloned(),
        project: owner_copy(stored).and_then(|owner| owner.project.clone()),
        user: call.user.get().cloned(),
        team: call.team.get().cloned(),
    };
    Some((key, ToolRollup::of(call)))
}

/// What the times of a request add; nothing where it told none, or where another row counts.
pub(crate) fn latency_rollup(stored: &Stored<Request>, priced: &Priced) -> Option<(LatencyRollupKey, LatencyRollup)> {
    let request = Some(&stored.fact).filter(|_| stored.role.counts())?;
    let key = LatencyRollupKey {
        bucket: bucket(request.at()),
        agent: request.agent.clone(),
        model: priced.model.clone(),
        project: owner_copy(stored).and_then(|owner| owner.project.clone()),
    };
    Some((key, LatencyRollup::of(request)?))
}

pub(crate) fn owner_copy<F: Owned>(stored: &Stored<F>) -> Option<&Holder> {
    stored.fact.holders().get(&stored.owner?)
}
