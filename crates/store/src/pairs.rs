//! Which rows are one fact told twice: those of one cluster of a group, see [`ducat_ledger::Paired`].

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use ducat_ledger::{Key, Role};
use rusqlite::{Connection, params};

use crate::births::Births;
use crate::clusters::{Clusters, Group, Spot};
use crate::rows::{self, Owned, Stored};
use crate::{Doing, StoreError, TenantId};

/// Facts of a commit: as they were, and as they are.
pub(crate) type Settled<F> = HashMap<(TenantId, Key), (Option<Stored<F>>, Stored<F>)>;

/// Where a row stands, and in which group.
fn spot<F: Owned>(stored: &Stored<F>) -> Option<(Key, Spot)> {
    let base = stored.base();
    Some((stored.group?, Spot::new(base.pairs_at(), base.lane(), base.key())))
}

/// Lets each cluster that changed have one row that counts and knows what the others tell.
pub(crate) fn pair<F: Owned>(connection: &Connection, births: &mut Births, settled: &mut Settled<F>) -> Result<(), StoreError> {
    enter(connection, births, settled)?;
    for (tenant, key, cluster) in clusters(connection, settled)? {
        let members = Group { connection, tenant, key, within: F::WITHIN }.members(cluster)?;
        for key in &members {
            // Not touched in this commit: it owns what it owned.
            if !settled.contains_key(&(tenant, *key))
                && let Some(before) = rows::load::<F>(connection, tenant, *key)?
            {
                let after = before.clone();
                settled.insert((tenant, *key), (Some(before), after));
            }
        }
        let Some((leader, twins)) = members.split_first() else { continue };
        let known = |key: &Key| settled.get(&(tenant, *key)).map(|(_, after)| after);
        let Some(mut lead) = known(leader).cloned() else { continue };
        let mut shown = lead.base().clone();
        for twin in twins.iter().filter_map(known) {
            shown.borrow_from(twin.base(), lead.owner);
        }
        lead.show(shown);
        // By what is believed: a twin may have counted what the leader guessed.
        lead.role = lead.fact.role();
        for key in twins {
            if let Some((_, twin)) = settled.get_mut(&(tenant, *key)) {
                twin.show(twin.base().clone());
                twin.role = Role::Twin;
            }
        }
        if let Some((_, after)) = settled.get_mut(&(tenant, *leader)) {
            *after = lead;
        }
    }
    Ok(())
}

/// Leaves rows with an id out of the groups while their session holds none without: most sessions never do, and would pay for each row.
/// With the first one all rows of the session come in.
fn enter<F: Owned>(connection: &Connection, births: &mut Births, settled: &mut Settled<F>) -> Result<(), StoreError> {
    let owners = |is_asked: fn(&F) -> bool| -> BTreeSet<(TenantId, Key)> {
        let asked = settled.iter().filter(|(_, (_, after))| after.group.is_some() && is_asked(after.base()));
        asked.filter_map(|((tenant, _), (_, after))| Some((*tenant, after.owner?))).collect()
    };
    let mut open = BTreeSet::new();
    let mut begun = Vec::new();
    for (tenant, owner) in owners(|base| base.is_keyless()) {
        let mut insert =
            connection.prepare_cached("INSERT OR IGNORE INTO keyless_sessions VALUES (?1, ?2, ?3)").doing("pairing")?;
        if insert.execute(params![tenant.0, F::TABLE, owner.0]).doing("pairing")? > 0 {
            begun.push((tenant, owner));
        }
        open.insert((tenant, owner));
    }
    for (tenant, owner) in owners(|base| !base.is_keyless()) {
        let sql = "SELECT 1 FROM keyless_sessions WHERE tenant = ?1 AND kind = ?2 AND session = ?3";
        let mut known = connection.prepare_cached(sql).doing("pairing")?;
        if !open.contains(&(tenant, owner)) && known.exists(params![tenant.0, F::TABLE, owner.0]).doing("pairing")? {
            open.insert((tenant, owner));
        }
    }
    for (tenant, owner) in begun {
        let sql = format!("SELECT key FROM {0} INDEXED BY {0}_by_owner WHERE tenant = ?1 AND owner = ?2", F::TABLE);
        let mut owned = connection.prepare_cached(&sql).doing("pairing")?;
        let keys = owned.query_map(params![tenant.0, owner.0], |row| row.get(0).map(Key)).doing("pairing")?;
        for key in keys.collect::<Result<Vec<_>, _>>().doing("pairing")? {
            if let Entry::Vacant(place) = settled.entry((tenant, key))
                && let Some(before) = rows::load::<F>(connection, tenant, key)?
            {
                let after = rows::own(connection, births, tenant, Some(&before), before.base().clone())?;
                place.insert((Some(before), after));
            }
        }
    }
    for ((tenant, _), (_, after)) in settled.iter_mut() {
        if after.owner.is_some_and(|owner| !open.contains(&(*tenant, owner))) {
            after.group = None;
        }
    }
    Ok(())
}

/// Rows that left a group, and that came.
type Moves = (Vec<Spot>, Vec<Spot>);

/// Notes where rows stand now; returns the clusters that lost, got or hold a changed row.
fn clusters<F: Owned>(connection: &Connection, settled: &Settled<F>) -> Result<Clusters, StoreError> {
    let mut changed = Clusters::new();
    let mut moves: BTreeMap<(TenantId, Key), Moves> = BTreeMap::new();
    let mut stayed = Vec::new();
    for ((tenant, _), (before, after)) in settled {
        let (old, new) = (before.as_ref().and_then(spot), spot(after));
        if old == new {
            let same = before.as_ref().is_some_and(|before| before.base() == after.base());
            stayed.extend(new.filter(|_| !same).map(|(group, spot)| (*tenant, group, spot)));
            continue;
        }
        if let Some((group, spot)) = old {
            moves.entry((*tenant, group)).or_default().0.push(spot);
        }
        if let Some((group, spot)) = new {
            moves.entry((*tenant, group)).or_default().1.push(spot);
        }
    }
    let group = |tenant, key| Group { connection, tenant, key, within: F::WITHIN };
    for ((tenant, key), (out, into)) in moves {
        group(tenant, key).change(&out, &into, &mut changed)?;
    }
    for (tenant, key, spot) in stayed {
        changed.extend(group(tenant, key).cluster(spot)?.map(|cluster| (tenant, key, cluster)));
    }
    Ok(changed)
}
