//! Which rows of a group stand together. All of them in the order of time, each joins the earliest cluster that began before it, not longer ago than
//! witnesses' clocks and delays differ, after the one that its lane joined last; where there is none, it begins one. So a lane's k-th row is
//! another lane's k-th, and where a witness was away the next ones still find theirs. A function of the set, whatever came first.

use std::collections::BTreeSet;

use ducat_ledger::{Key, UnixMs, lanes};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{Doing, StoreError, TenantId};

const SIGN: u64 = 1 << 63;

/// Where a row stands in its group: its time, lane and key, in bytes that sort like these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot([u8; 25]);

impl Spot {
    pub fn new(at: UnixMs, lane: u8, key: Key) -> Self {
        let mut bytes = [0; 25];
        // The least time is the least number.
        bytes[..8].copy_from_slice(&(at as u64 ^ SIGN).to_be_bytes());
        bytes[8] = lane;
        bytes[9..].copy_from_slice(&key.0);
        Self(bytes)
    }

    fn at(self) -> UnixMs {
        let mut at = [0; 8];
        at.copy_from_slice(&self.0[..8]);
        (u64::from_be_bytes(at) ^ SIGN) as i64
    }

    fn lane(self) -> u8 {
        self.0[8]
    }

    /// Before all that may be the same as this one. What nobody dated comes last and may be any.
    fn reach(self, within: UnixMs) -> Self {
        let at = if self.at() == UnixMs::MAX { UnixMs::MIN } else { self.at().saturating_sub(within) };
        Self::new(at, 0, Key([0; 16]))
    }
}

/// A cluster by its first row.
pub(crate) type Clusters = BTreeSet<(TenantId, Key, Spot)>;

/// A group, with the milliseconds that two rows of a cluster may be apart.
pub(crate) struct Group<'c> {
    pub connection: &'c Connection,
    pub tenant: TenantId,
    pub key: Key,
    pub within: UnixMs,
}

impl Group<'_> {
    /// Takes rows out and in; adds the clusters that lost or got a row. What is looked at is what the change reaches: mostly the rows themselves.
    pub fn change(&self, out: &[Spot], into: &[Spot], changed: &mut Clusters) -> Result<(), StoreError> {
        let mut todo = BTreeSet::new();
        for spot in out {
            let old = self.cluster(*spot)?;
            let sql = "DELETE FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND spot = ?4";
            let mut delete = self.connection.prepare_cached(sql).doing("pairing")?;
            delete.execute(params![self.tenant.0, self.key.0, spot.lane(), spot.0]).doing("pairing")?;
            changed.extend(old.map(|old| (self.tenant, self.key, old)));
            todo.extend(self.next(*spot)?);
            if old == Some(*spot) {
                self.reached(*spot, &mut todo)?;
            }
        }
        for spot in into {
            let sql = "INSERT OR REPLACE INTO pairs (tenant, pair_group, lane, spot, cluster) VALUES (?1, ?2, ?3, ?4, NULL)";
            let mut insert = self.connection.prepare_cached(sql).doing("pairing")?;
            insert.execute(params![self.tenant.0, self.key.0, spot.lane(), spot.0]).doing("pairing")?;
            todo.insert(*spot);
        }
        // In order: what is before a row is settled when it is looked at, and only what is after it may change with it.
        while let Some(spot) = todo.pop_first() {
            let old = self.cluster(spot)?;
            let after = self.last_joined(spot)?.map_or(spot.reach(self.within), |last| last.max(spot.reach(self.within)));
            let new = self.first_begun(after, spot)?.unwrap_or(spot);
            if old == Some(new) {
                continue;
            }
            let sql = "UPDATE pairs SET cluster = ?5 WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND spot = ?4";
            let mut set = self.connection.prepare_cached(sql).doing("pairing")?;
            if set.execute(params![self.tenant.0, self.key.0, spot.lane(), spot.0, new.0]).doing("pairing")? == 0 {
                // Taken out meanwhile.
                continue;
            }
            changed.extend(old.into_iter().chain([new]).map(|cluster| (self.tenant, self.key, cluster)));
            todo.extend(self.next(spot)?);
            if (old == Some(spot)) != (new == spot) {
                self.reached(spot, &mut todo)?;
            }
        }
        Ok(())
    }

    /// The cluster of a row; none where the row is not there, or has got none yet.
    pub fn cluster(&self, spot: Spot) -> Result<Option<Spot>, StoreError> {
        let sql = "SELECT cluster FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND spot = ?4";
        self.spot(sql, spot.lane(), spot, spot)
    }

    /// The rows of a cluster, the one that leads first.
    pub fn members(&self, cluster: Spot) -> Result<Vec<Key>, StoreError> {
        let sql = "SELECT spot FROM pairs INDEXED BY pairs_by_cluster WHERE tenant = ?1 AND pair_group = ?2 AND cluster = ?3 ORDER BY lane, spot";
        let mut statement = self.connection.prepare_cached(sql).doing("pairing")?;
        let rows = statement.query_map(params![self.tenant.0, self.key.0, cluster.0], |row| row.get::<_, [u8; 25]>(0));
        let spots = rows.doing("pairing")?.collect::<Result<Vec<_>, _>>().doing("pairing")?;
        Ok(spots.iter().filter_map(|spot| Key::from_slice(&spot[9..])).collect())
    }

    /// The row after one in its lane.
    fn next(&self, spot: Spot) -> Result<Option<Spot>, StoreError> {
        let sql =
            "SELECT spot FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND spot > ?4 ORDER BY spot LIMIT 1";
        self.spot(sql, spot.lane(), spot, spot)
    }

    /// What the row before one in its lane joined.
    fn last_joined(&self, spot: Spot) -> Result<Option<Spot>, StoreError> {
        let sql = "SELECT cluster FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND spot < ?4 ORDER BY spot DESC LIMIT 1";
        self.spot(sql, spot.lane(), spot, spot)
    }

    /// The first cluster that begins between two spots. Its index is a partial one with this very condition.
    fn first_begun(&self, after: Spot, before: Spot) -> Result<Option<Spot>, StoreError> {
        let sql = "SELECT spot FROM pairs INDEXED BY pairs_begun WHERE tenant = ?1 AND pair_group = ?2 AND ?3 >= 0 AND spot > ?4 AND spot < ?5
                   AND cluster = spot ORDER BY spot LIMIT 1";
        self.spot(sql, before.lane(), after, before)
    }

    /// The rows of other lanes that would join a cluster which begins here: the first that joined none before.
    fn reached(&self, spot: Spot, todo: &mut BTreeSet<Spot>) -> Result<(), StoreError> {
        let sql = "SELECT spot FROM pairs WHERE tenant = ?1 AND pair_group = ?2 AND lane = ?3 AND spot > ?4 AND cluster >= ?5 ORDER BY spot LIMIT 1";
        for lane in lanes().filter(|lane| *lane != spot.lane()) {
            todo.extend(self.spot(sql, lane, spot, spot)?);
        }
        Ok(())
    }

    /// `sql` may name `?3` the lane, `?4` and `?5` the spots.
    fn spot(&self, sql: &str, lane: u8, first: Spot, second: Spot) -> Result<Option<Spot>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).doing("pairing")?;
        let read = |row: &rusqlite::Row<'_>| row.get::<_, Option<[u8; 25]>>(0);
        let found = if statement.parameter_count() == 4 {
            statement.query_row(params![self.tenant.0, self.key.0, lane, first.0], read)
        } else {
            statement.query_row(params![self.tenant.0, self.key.0, lane, first.0, second.0], read)
        };
        Ok(found.optional().doing("pairing")?.flatten().map(Spot))
    }
}
