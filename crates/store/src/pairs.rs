//! Which rows are one fact told twice: those of one place in the lanes of a group, see [`ducat_ledger::Request::pair_group`].

use std::collections::{BTreeSet, HashMap};

use ducat_ledger::{Incident, Key, Request, Role, ToolCall, Turn};
use rusqlite::{Connection, OptionalExtension, params};

use crate::births::Births;
use crate::rows::{self, Owned, Stored, UNDATED};
use crate::{Doing, Pricer, StoreError, TenantId};

/// A fact that may be told without its id.
pub(crate) trait Paired: Owned {
    fn pair_group(&self, owner: Option<Key>, pricer: &dyn Pricer) -> Option<Key>;
    fn lane(&self) -> u8;
    fn borrow_from(&mut self, twin: &Self, owner: Option<Key>);
    /// How it counts where nobody else tells it.
    fn role(&self) -> Role;
}

impl Paired for Request {
    fn pair_group(&self, owner: Option<Key>, pricer: &dyn Pricer) -> Option<Key> {
        // A model's name costs a search in the table.
        if !self.may_pair() {
            return None;
        }
        Request::pair_group(self, owner, &pricer.price(self).model)
    }
    fn lane(&self) -> u8 {
        Request::lane(self)
    }
    fn borrow_from(&mut self, twin: &Self, owner: Option<Key>) {
        Request::borrow_from(self, twin, owner);
    }
    fn role(&self) -> Role {
        Request::role(self)
    }
}

/// Facts that nothing sums up.
macro_rules! paired {
    ($($name:ident)*) => {$(
        impl Paired for $name {
            fn pair_group(&self, owner: Option<Key>, _: &dyn Pricer) -> Option<Key> {
                $name::pair_group(self, owner)
            }
            fn lane(&self) -> u8 {
                $name::lane(self)
            }
            fn borrow_from(&mut self, twin: &Self, owner: Option<Key>) {
                $name::borrow_from(self, twin, owner);
            }
            fn role(&self) -> Role {
                Role::One
            }
        }
    )*};
}

paired!(ToolCall Turn Incident);

/// Facts of a commit: as they were, and as they are.
pub(crate) type Settled<F> = HashMap<(TenantId, Key), (Option<Stored<F>>, Stored<F>)>;

/// Where a row stands in its group; the lane's order is that of time and key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Spot {
    group: Key,
    lane: u8,
    at: i64,
    key: Key,
}

fn spot<F: Paired>(stored: &Stored<F>) -> Option<Spot> {
    let base = stored.base();
    Some(Spot { group: stored.group?, lane: base.lane(), at: base.at().unwrap_or(UNDATED), key: base.key() })
}

/// A cluster: the rows at one place of a group.
type Clusters = BTreeSet<(TenantId, Key, i64)>;

/// Lets each cluster that changed have one row that counts and knows what the others tell.
pub(crate) fn pair<F: Paired>(
    connection: &Connection,
    births: &mut Births,
    pricer: &dyn Pricer,
    settled: &mut Settled<F>,
) -> Result<(), StoreError> {
    for (tenant, group, place) in clusters(connection, settled)? {
        let members = members(connection, tenant, group, place)?;
        for key in &members {
            // Not touched in this commit: it owns what it owned.
            if !settled.contains_key(&(tenant, *key))
                && let Some(before) = rows::load::<F>(connection, tenant, *key)?
            {
                let after = rows::own(connection, births, pricer, tenant, Some(&before), before.base().clone())?;
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
        lead.role = lead.base().role();
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

/// Notes where rows stand now; returns the clusters that lost, got or hold a changed row. In a lane only what is from the first change on is
/// looked at, and rows mostly come in order: a group of thousands costs no more than a small one.
fn clusters<F: Paired>(connection: &Connection, settled: &Settled<F>) -> Result<Clusters, StoreError> {
    let mut changed = Clusters::new();
    let mut lanes: HashMap<(TenantId, Key, u8), (i64, Key)> = HashMap::new();
    let mut stirred = |tenant: TenantId, spot: Spot| {
        let from = (spot.at, spot.key);
        lanes.entry((tenant, spot.group, spot.lane)).and_modify(|least| *least = from.min(*least)).or_insert(from);
    };
    let mut stayed = Vec::new();
    for ((tenant, _), (before, after)) in settled {
        let (old, new) = (before.as_ref().and_then(spot), spot(after));
        if old == new {
            let same = before.as_ref().is_some_and(|before| before.base() == after.base());
            stayed.extend(new.filter(|_| !same).map(|spot| (*tenant, spot)));
            continue;
        }
        if let Some(old) = old {
            if let Some(place) = place(connection, *tenant, old)? {
                changed.insert((*tenant, old.group, place));
            }
            let sql = "DELETE FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND at = ?4 AND key = ?5";
            let mut delete = connection.prepare_cached(sql).doing("pairing")?;
            delete.execute(params![tenant.0, old.group.0, old.lane, old.at, old.key.0]).doing("pairing")?;
            stirred(*tenant, old);
        }
        if let Some(new) = new {
            let mut insert = connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO pairs (tenant, pair_group, lane, at, key, place) VALUES (?1, ?2, ?3, ?4, ?5, -1)",
                )
                .doing("pairing")?;
            insert.execute(params![tenant.0, new.group.0, new.lane, new.at, new.key.0]).doing("pairing")?;
            stirred(*tenant, new);
        }
    }
    for ((tenant, group, lane), from) in lanes {
        number(connection, (tenant, group, lane), from, &mut changed)?;
    }
    for (tenant, spot) in stayed {
        changed.extend(place(connection, tenant, spot)?.map(|place| (tenant, spot.group, place)));
    }
    Ok(changed)
}

/// Numbers a lane's rows from `from` on.
fn number(
    connection: &Connection,
    (tenant, group, lane): (TenantId, Key, u8),
    (at, key): (i64, Key),
    changed: &mut Clusters,
) -> Result<(), StoreError> {
    let mut before = connection
        .prepare_cached(
            "SELECT place FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND (at, key) < (?4, ?5)
             ORDER BY at DESC, key DESC LIMIT 1",
        )
        .doing("pairing")?;
    let last: Option<i64> =
        before.query_row(params![tenant.0, group.0, lane, at, key.0], |row| row.get(0)).optional().doing("pairing")?;
    let first = last.map_or(0, |place| place + 1);
    let mut rest = connection
        .prepare_cached(
            "SELECT at, key, place FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND (at, key) >= (?4, ?5) ORDER BY at, key",
        )
        .doing("pairing")?;
    let rows = rest
        .query_map(params![tenant.0, group.0, lane, at, key.0], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 16]>(1)?, row.get::<_, i64>(2)?))
        })
        .doing("pairing")?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>().doing("pairing")?;
    let mut set = connection
        .prepare_cached(
            "UPDATE pairs SET place = ?6 WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND at = ?4 AND key = ?5",
        )
        .doing("pairing")?;
    for (next, (at, key, place)) in (first..).zip(rows) {
        if place != next {
            set.execute(params![tenant.0, group.0, lane, at, key, next]).doing("pairing")?;
            changed.extend([place, next].into_iter().filter(|place| *place >= 0).map(|place| (tenant, group, place)));
        }
    }
    Ok(())
}

fn place(connection: &Connection, tenant: TenantId, spot: Spot) -> Result<Option<i64>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT place FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND at = ?4 AND key = ?5")
        .doing("pairing")?;
    let parameters = params![tenant.0, spot.group.0, spot.lane, spot.at, spot.key.0];
    let found: Option<i64> = statement.query_row(parameters, |row| row.get(0)).optional().doing("pairing")?;
    Ok(found.filter(|place| *place >= 0))
}

/// The rows at a place, the one that leads first.
fn members(connection: &Connection, tenant: TenantId, group: Key, place: i64) -> Result<Vec<Key>, StoreError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT key FROM pairs INDEXED BY pairs_by_place WHERE tenant = ?1 AND pair_group = ?2 AND place = ?3 ORDER BY lane, at, key",
        )
        .doing("pairing")?;
    let rows = statement.query_map(params![tenant.0, group.0, place], |row| row.get(0).map(Key)).doing("pairing")?;
    rows.collect::<Result<_, _>>().doing("pairing")
}
