//! When sessions were born, which decides who owns what several of them hold.

use std::collections::{HashMap, HashSet};

use ducat_ledger::{Key, Line, UnixMs};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{Doing, StoreError, TenantId};

/// Births asked for in a commit, and the sessions whose birth may have changed.
#[derive(Default)]
pub(crate) struct Births {
    known: HashMap<(TenantId, Key), Option<UnixMs>>,
    stale: HashSet<(TenantId, Key)>,
}

impl Births {
    /// Notes a transcript line of a session.
    pub fn see_line(&mut self, connection: &Connection, tenant: TenantId, line: &Line) -> Result<(), StoreError> {
        let mut insert = connection
            .prepare_cached(
                "INSERT INTO lines (tenant, uuid, session, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at < at",
            )
            .doing("writing a line")?;
        let changed = insert.execute(params![tenant.0, line.uuid, line.session.0, line.at]).doing("writing a line")?;
        if changed == 0 {
            return Ok(());
        }
        let mut others = connection
            .prepare_cached("SELECT session FROM lines WHERE tenant = ?1 AND uuid = ?2 AND session != ?3")
            .doing("reading lines")?;
        let mut rows = others.query(params![tenant.0, line.uuid, line.session.0]).doing("reading lines")?;
        let mut shared = false;
        while let Some(row) = rows.next().doing("reading lines")? {
            shared = true;
            self.stale.insert((tenant, Key(row.get(0).doing("reading lines")?)));
        }
        // A shared line says nothing of the birth; one of its own may.
        if !shared {
            self.stale.insert((tenant, line.session));
        }
        Ok(())
    }

    pub fn see_opening(&mut self, tenant: TenantId, session: Key) {
        self.stale.insert((tenant, session));
    }

    /// The birth as stored.
    pub fn birth(&mut self, connection: &Connection, tenant: TenantId, session: Key) -> Result<Option<UnixMs>, StoreError> {
        if let Some(birth) = self.known.get(&(tenant, session)) {
            return Ok(*birth);
        }
        let mut statement =
            connection.prepare_cached("SELECT at FROM births WHERE tenant = ?1 AND session = ?2").doing("reading a birth")?;
        let birth: Option<Option<UnixMs>> =
            statement.query_row(params![tenant.0, session.0], |row| row.get(0)).optional().doing("reading a birth")?;
        let birth = birth.flatten();
        self.known.insert((tenant, session), birth);
        Ok(birth)
    }

    /// Takes the sessions whose birth may have changed.
    pub fn take_stale(&mut self) -> Vec<(TenantId, Key)> {
        self.stale.drain().collect()
    }

    /// Sets a session's birth from its opening and its own lines; true when it changed.
    pub fn settle(
        &mut self,
        connection: &Connection,
        tenant: TenantId,
        session: Key,
        opened_at: Option<UnixMs>,
    ) -> Result<bool, StoreError> {
        let before = self.birth(connection, tenant, session)?;
        let mut statement = connection
            .prepare_cached(
                "SELECT own.at FROM lines own WHERE own.tenant = ?1 AND own.session = ?2
                 AND NOT EXISTS (SELECT 1 FROM lines other WHERE other.tenant = ?1 AND other.uuid = own.uuid AND other.session != ?2)
                 ORDER BY own.at LIMIT 1",
            )
            .doing("reading lines")?;
        let first: Option<UnixMs> =
            statement.query_row(params![tenant.0, session.0], |row| row.get(0)).optional().doing("reading lines")?;
        let birth = [first, opened_at].into_iter().flatten().min();
        self.known.insert((tenant, session), birth);
        if birth != before {
            let mut set =
                connection.prepare_cached("INSERT OR REPLACE INTO births VALUES (?1, ?2, ?3)").doing("writing a birth")?;
            set.execute(params![tenant.0, session.0, birth]).doing("writing a birth")?;
        }
        Ok(birth != before)
    }
}
