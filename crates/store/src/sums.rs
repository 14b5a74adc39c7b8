//! Sums of requests, which count only where nobody told of the requests one by one. One of what a transcript did not
//! log singly counts always: what tells it left out what the same file tells one by one.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;

use ducat_ledger::{Key, Request, Role};
use rusqlite::{Connection, params};

use crate::births::Births;
use crate::pairs::Settled;
use crate::rows;
use crate::{Doing, Pricer, StoreError, TenantId};

/// Gives every sum whose session (or, without one, agent) may have changed its role.
pub(crate) fn cover(
    connection: &Connection,
    births: &mut Births,
    pricer: &dyn Pricer,
    settled: &mut Settled<Request>,
) -> Result<(), StoreError> {
    let mut scopes: BTreeSet<(TenantId, Option<Key>, Option<String>)> = BTreeSet::new();
    let agent_of = |owner: Option<Key>, request: &Request| owner.is_none().then(|| request.agent.clone());
    let mut told: BTreeSet<(TenantId, &str)> = BTreeSet::new();
    for ((tenant, _), (before, after)) in settled.iter() {
        let is_sum = after.base().is_sum.or_default();
        let moved =
            before.as_ref().is_none_or(|before| before.owner != after.owner || before.base().is_sum.or_default() != is_sum);
        if moved || is_sum {
            let owners = before.iter().map(|before| before.owner).chain([after.owner]);
            scopes.extend(owners.map(|owner| (*tenant, owner, agent_of(owner, after.base()))));
        }
        if !is_sum && before.is_none() {
            told.insert((*tenant, &after.base().agent));
        }
    }
    for (tenant, agent) in told {
        let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO told_singly VALUES (?1, ?2)").doing("writing sums")?;
        if insert.execute(params![tenant.0, agent]).doing("writing sums")? > 0 {
            scopes.insert((tenant, None, Some(agent.to_owned())));
        }
    }
    let touches_sums = settled.values().any(|(_, after)| after.base().is_sum.or_default());
    for (tenant, owner, agent) in scopes {
        let mut found = connection
            .prepare_cached(
                "SELECT key FROM requests INDEXED BY requests_sums WHERE tenant = ?1 AND owner IS ?2 AND role IN (2, 3)",
            )
            .doing("reading sums")?;
        let keys =
            found.query_map(params![tenant.0, owner.map(|owner| owner.0)], |row| row.get(0).map(Key)).doing("reading sums")?;
        let keys = keys.collect::<Result<Vec<_>, _>>().doing("reading sums")?;
        if keys.is_empty() && !touches_sums {
            continue;
        }
        for key in keys {
            if let Entry::Vacant(place) = settled.entry((tenant, key))
                && let Some(before) = rows::load::<Request>(connection, tenant, key)?
            {
                let after = rows::own(connection, births, pricer, tenant, Some(&before), before.base().clone())?;
                place.insert((Some(before), after));
            }
        }
        let is_of = |of: &TenantId, stored: &rows::Stored<Request>| {
            *of == tenant && stored.owner == owner && agent.as_ref().is_none_or(|agent| stored.base().agent == *agent)
        };
        let any_sum = settled.iter().any(|((of, _), (_, after))| is_of(of, after) && after.base().is_sum.or_default());
        if !any_sum {
            continue;
        }
        let is_covered = match (owner, &agent) {
            (Some(owner), _) => has_one(connection, settled, tenant, owner)?,
            (None, agent) => was_told_singly(connection, tenant, agent.as_deref().unwrap_or_default())?,
        };
        for ((of, _), (_, after)) in settled.iter_mut() {
            if after.base().is_sum.or_default() && is_of(of, after) {
                // Of estimates a sum tells nothing that could stand for requests.
                let covered = (is_covered && !after.base().is_unlogged()) || after.base().estimated.or_default();
                after.role = if covered { Role::CoveredSum } else { Role::Sum };
            }
        }
    }
    Ok(())
}

/// Whether a session owns a single request, after this commit.
fn has_one(connection: &Connection, settled: &Settled<Request>, tenant: TenantId, owner: Key) -> Result<bool, StoreError> {
    let is_one = |after: &rows::Stored<Request>| after.owner == Some(owner) && !after.base().is_sum.or_default();
    if settled.iter().any(|((of, _), (_, after))| *of == tenant && is_one(after)) {
        return Ok(true);
    }
    let mut statement = connection
        .prepare_cached(
            "SELECT key FROM requests INDEXED BY requests_by_owner WHERE tenant = ?1 AND owner = ?2 AND role NOT IN (2, 3)",
        )
        .doing("reading sums")?;
    let mut rows = statement.query(params![tenant.0, owner.0]).doing("reading sums")?;
    while let Some(row) = rows.next().doing("reading sums")? {
        // What this commit touched is judged as it is now, above.
        if !settled.contains_key(&(tenant, Key(row.get(0).doing("reading sums")?))) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn was_told_singly(connection: &Connection, tenant: TenantId, agent: &str) -> Result<bool, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM told_singly WHERE tenant = ?1 AND agent = ?2").doing("reading sums")?;
    statement.exists(params![tenant.0, agent]).doing("reading sums")
}
