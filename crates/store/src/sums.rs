//! Sums of requests, which count only where nobody told of the requests one by one. One of what a transcript did not
//! log singly counts always: what tells it left out what the same file tells one by one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use ducat_ledger::{Key, Request, Role};
use rusqlite::{Connection, params};

use crate::births::Births;
use crate::pairs::Settled;
use crate::rows::{self, Stored};
use crate::{Doing, StoreError, TenantId};

/// Whose requests are the same as those of a sum: a session's, or those of an agent without one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Scope {
    Session(Key),
    Agent(String),
}

impl Scope {
    fn of(owner: Option<Key>, request: &Request) -> Self {
        owner.map_or_else(|| Self::Agent(request.agent.clone()), Self::Session)
    }
}

/// A single request whose tokens somebody counted: what tells none, or only guesses, says nothing that a sum could repeat.
fn is_one(stored: &Stored<Request>) -> bool {
    stored.role == Role::One && stored.fact.is_metered()
}

/// What a commit did in a scope.
#[derive(Default)]
struct Touched {
    has_one: bool,
    /// A single request came or went: sums that this commit did not touch may count otherwise than before.
    may_flip: bool,
    sums: Vec<Key>,
}

/// Gives every sum whose session (or, without one, agent) may have changed its role.
pub(crate) fn cover(connection: &Connection, births: &mut Births, settled: &mut Settled<Request>) -> Result<(), StoreError> {
    let mut scopes: BTreeMap<(TenantId, Scope), Touched> = BTreeMap::new();
    let mut told: BTreeSet<(TenantId, &str)> = BTreeSet::new();
    for ((tenant, key), (before, after)) in settled.iter() {
        let scope = (*tenant, Scope::of(after.owner, after.base()));
        if after.base().is_sum.or_default() {
            scopes.entry(scope).or_default().sums.push(*key);
        } else {
            let was = before.as_ref().filter(|before| is_one(before)).map(|before| Scope::of(before.owner, before.base()));
            let is = is_one(after).then_some(&scope.1);
            if was.as_ref() != is {
                let left = was.into_iter().map(|was| (*tenant, was));
                left.chain([scope.clone()]).for_each(|scope| scopes.entry(scope).or_default().may_flip = true);
            }
        }
        if is_one(after) {
            scopes.entry((*tenant, Scope::of(after.owner, after.base()))).or_default().has_one = true;
            if !before.as_ref().is_some_and(is_one) {
                told.insert((*tenant, &after.base().agent));
            }
        }
    }
    for (tenant, agent) in told {
        let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO told_singly VALUES (?1, ?2)").doing("writing sums")?;
        if insert.execute(params![tenant.0, agent]).doing("writing sums")? > 0 {
            scopes.entry((tenant, Scope::Agent(agent.to_owned()))).or_default().may_flip = true;
        }
    }
    for ((tenant, scope), touched) in scopes {
        if touched.sums.is_empty() && !touched.may_flip {
            continue;
        }
        let is_covered = match &scope {
            Scope::Session(_) if touched.has_one => true,
            Scope::Session(owner) => has_one(connection, settled, tenant, *owner)?,
            Scope::Agent(agent) => was_told_singly(connection, tenant, agent)?,
        };
        let mut sums = touched.sums;
        if touched.may_flip {
            let others = if is_covered { Role::Sum } else { Role::CoveredSum };
            for key in untouched(connection, tenant, &scope, others)? {
                if let Entry::Vacant(place) = settled.entry((tenant, key))
                    && let Some(before) = rows::load::<Request>(connection, tenant, key)?
                {
                    let after = rows::own(connection, births, tenant, Some(&before), before.base().clone())?;
                    place.insert((Some(before), after));
                    sums.push(key);
                }
            }
        }
        for key in sums {
            if let Some((_, after)) = settled.get_mut(&(tenant, key)) {
                // Of estimates a sum tells nothing that could stand for requests.
                let covered = (is_covered && !after.base().is_unlogged()) || after.base().is_estimated();
                after.role = if covered { Role::CoveredSum } else { Role::Sum };
            }
        }
    }
    Ok(())
}

/// The sums of a scope that are stored with a role; after a change of its coverage all of those that had the other.
fn untouched(connection: &Connection, tenant: TenantId, scope: &Scope, role: Role) -> Result<Vec<Key>, StoreError> {
    let (owner, agent) = match scope {
        Scope::Session(owner) => (Some(owner.0), None),
        Scope::Agent(agent) => (None, Some(agent)),
    };
    // The words of the index `requests_sums`, or it would not be used.
    let of_agent = if agent.is_some() { "AND json_extract(fact, '$.agent') = ?4" } else { "AND ?4 IS NULL" };
    let sql = format!(
        "SELECT key FROM requests INDEXED BY requests_sums
         WHERE tenant = ?1 AND owner IS ?2 AND role IN (2, 3) AND role = ?3 {of_agent}"
    );
    let mut found = connection.prepare_cached(&sql).doing("reading sums")?;
    let keys = found.query_map(params![tenant.0, owner, role as u8, agent], |row| row.get(0).map(Key)).doing("reading sums")?;
    keys.collect::<Result<_, _>>().doing("reading sums")
}

/// Whether a session owns a single request, besides those that this commit touched.
fn has_one(connection: &Connection, settled: &Settled<Request>, tenant: TenantId, owner: Key) -> Result<bool, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT key FROM requests INDEXED BY requests_by_owner WHERE tenant = ?1 AND owner = ?2 AND role = 1")
        .doing("reading sums")?;
    let mut rows = statement.query(params![tenant.0, owner.0]).doing("reading sums")?;
    while let Some(row) = rows.next().doing("reading sums")? {
        let key = Key(row.get(0).doing("reading sums")?);
        if !settled.contains_key(&(tenant, key)) && rows::load(connection, tenant, key)?.as_ref().is_some_and(is_one) {
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
