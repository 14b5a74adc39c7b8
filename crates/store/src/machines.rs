//! Machines that ship their facts here.

use std::path::Path;

use ducat_ledger::UnixMs;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use crate::{Doing, Reader, StoreError, TenantId, schema};

/// A machine as it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub machine: [u8; 16],
    /// What it is called here: its own name, or with a part of its id behind where another had the name first.
    pub host: String,
    /// What it calls itself.
    pub told: String,
    /// Its version of Ducat.
    pub client: String,
    /// The id of the key that it last showed.
    pub key: String,
    pub first_seen: UnixMs,
    pub last_seen: UnixMs,
    /// How far its clock is ahead of ours.
    pub clock_skew_ms: i64,
    /// Facts and events that were taken in, repeated ones too, and lines that were refused.
    pub facts: u64,
    pub events: u64,
    pub refused: u64,
}

/// Who sends, as a batch's head says it.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub machine: [u8; 16],
    pub told: &'a str,
    pub client: &'a str,
    pub key: &'a str,
    pub clock_skew_ms: i64,
}

/// A connection that writes machines, beside the writer of facts.
pub struct Machines(Connection);

const COLUMNS: &str = "machine, host, told, client, key, first_seen, last_seen, clock_skew_ms, facts, events, refused";

impl Machines {
    /// Opens the machines of a database that [`Store::open`](crate::Store::open) has opened before.
    pub fn open(database: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags).doing("opening the database")?;
        schema::configure(&connection)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0).doing("opening the database")?;
        Ok(Self(connection))
    }

    /// Notes that a machine is there; returns what it is called, which is none of the names in `taken`.
    pub fn see(&mut self, tenant: TenantId, sender: &Sender<'_>, taken: &[String], now: UnixMs) -> Result<String, StoreError> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate).doing("writing a machine")?;
        let known: Option<(String, String)> = transaction
            .query_row(
                "SELECT host, told FROM machines WHERE tenant = ?1 AND machine = ?2",
                params![tenant.0, sender.machine],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .doing("reading a machine")?;
        let host = match known {
            Some((host, told)) if told == sender.told && !taken.contains(&host) => host,
            _ => free_name(&transaction, tenant, sender, taken)?,
        };
        transaction
            .execute(
                "INSERT INTO machines VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, 0, 0, 0) ON CONFLICT (tenant, machine) DO UPDATE SET
                 host = ?3, told = ?4, client = ?5, key = ?6, last_seen = ?7, clock_skew_ms = ?8",
                params![
                    tenant.0,
                    sender.machine,
                    host,
                    sender.told,
                    sender.client,
                    sender.key,
                    now,
                    sender.clock_skew_ms
                ],
            )
            .doing("writing a machine")?;
        transaction.commit().doing("writing a machine")?;
        Ok(host)
    }

    /// Adds what was taken in and refused of a machine's batch.
    pub fn count(
        &self,
        tenant: TenantId,
        machine: [u8; 16],
        (facts, events, refused): (u64, u64, u64),
    ) -> Result<(), StoreError> {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.0
            .execute(
                "UPDATE machines SET facts = facts + ?3, events = events + ?4, refused = refused + ?5 WHERE tenant = ?1 AND machine = ?2",
                params![tenant.0, machine, signed(facts), signed(events), signed(refused)],
            )
            .doing("writing a machine")?;
        Ok(())
    }
}

/// The told name, or with as much of the machine's id as tells it from all others.
fn free_name(connection: &Connection, tenant: TenantId, sender: &Sender<'_>, taken: &[String]) -> Result<String, StoreError> {
    let id: String = sender.machine.iter().map(|byte| format!("{byte:02x}")).collect();
    let names =
        std::iter::once(sender.told.to_owned()).chain((4..=32).map(|length| format!("{}-{}", sender.told, &id[..length])));
    for name in names.filter(|name| !taken.contains(name)) {
        let taken: bool = connection
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM machines WHERE tenant = ?1 AND host = ?2 AND machine != ?3)",
                params![tenant.0, name, sender.machine],
                |row| row.get(0),
            )
            .doing("reading machines")?;
        if !taken {
            return Ok(name);
        }
    }
    Ok(id)
}

impl Reader {
    /// Machines, the last heard of first.
    pub fn machines(&self, tenant: TenantId) -> Result<Vec<Machine>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM machines WHERE tenant = ?1 ORDER BY last_seen DESC, host");
        let mut statement = self.connection.prepare_cached(&sql).doing("reading machines")?;
        let rows = statement.query_map([tenant.0], machine).doing("reading machines")?;
        rows.collect::<Result<_, _>>().doing("reading machines")
    }

    /// Which ledger this is: 16 hex digits, made with the database.
    pub fn identity(&self) -> Result<String, StoreError> {
        self.connection.query_row("SELECT lower(hex(id)) FROM identity", [], |row| row.get(0)).doing("reading the ledger's id")
    }
}

fn machine(row: &Row<'_>) -> rusqlite::Result<Machine> {
    let count = |place| row.get::<_, i64>(place).map(i64::unsigned_abs);
    Ok(Machine {
        machine: row.get(0)?,
        host: row.get(1)?,
        told: row.get(2)?,
        client: row.get(3)?,
        key: row.get(4)?,
        first_seen: row.get(5)?,
        last_seen: row.get(6)?,
        clock_skew_ms: row.get(7)?,
        facts: count(8)?,
        events: count(9)?,
        refused: count(10)?,
    })
}
