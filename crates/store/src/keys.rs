//! Keys that other machines show. Several processes may open them at once: `ducat key` beside a running server.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ducat_ledger::UnixMs;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::{Doing, StoreError, TenantId, schema};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Sending facts and hook events; reading nothing.
    Ship,
}

impl Scope {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ship => "ship",
        }
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// 8 hex digits, a part of the key itself.
    pub id: String,
    pub tenant: TenantId,
    pub name: String,
    pub scope: String,
    pub created_at: UnixMs,
    pub expires_at: Option<UnixMs>,
    pub revoked_at: Option<UnixMs>,
    /// To the minute.
    pub last_used_at: Option<UnixMs>,
}

/// What a shown key is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Good(KeyRow),
    Revoked(KeyRow),
    Expired(KeyRow),
    Unknown,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("key name {0:?}: must be 1 to 64 letters, digits, dots, dashes or underscores")]
    BadName(String),
    #[error("there is a key named {0}; revoke it first, or choose another name")]
    Taken(String),
    #[error("there is no key named {0}, nor one of this id; `ducat key list` shows them")]
    Unknown(String),
    #[error("the ledger is of an older version; restart the Ducat that serves it after updating it")]
    Older,
    #[error("no randomness: {0}")]
    Random(io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A connection to the keys.
pub struct Keys(Connection);

/// Every key begins so; secret scanners and people know it by that.
const PREFIX: &str = "dk_";
/// A key's last use is noted this often.
const NOTE_EVERY_MS: i64 = 60_000;

const COLUMNS: &str = "id, tenant, name, scope, created_at, expires_at, revoked_at, last_used_at";

impl Keys {
    /// Opens the keys of a database that [`Store::open`](crate::Store::open) of this version has opened before.
    pub fn open(database: &Path) -> Result<Self, KeyError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags).doing("opening the database")?;
        schema::configure(&connection)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0).doing("opening the database")?;
        if !schema::is_current(&connection)? {
            return Err(KeyError::Older);
        }
        Ok(Self(connection))
    }

    /// Makes a key and returns it: `dk_<id>_<secret>`. It is shown nowhere again.
    pub fn create(
        &self,
        tenant: TenantId,
        name: &str,
        scope: Scope,
        now: UnixMs,
        expires_at: Option<UnixMs>,
    ) -> Result<String, KeyError> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_fine) {
            return Err(KeyError::BadName(name.to_owned()));
        }
        let (id, secret) = (hex(&random::<4>()?), hex(&random::<32>()?));
        let inserted = self.0.execute(
            "INSERT INTO keys (id, tenant, name, hash, scope, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![id, tenant.0, name, blake3::hash(secret.as_bytes()).as_bytes(), scope.name(), now, expires_at],
        );
        match inserted {
            Err(rusqlite::Error::SqliteFailure(fault, _)) if fault.code == rusqlite::ErrorCode::ConstraintViolation => {
                Err(KeyError::Taken(name.to_owned()))
            }
            inserted => inserted.doing("writing a key").map(|_| format!("{PREFIX}{id}_{secret}")).map_err(KeyError::from),
        }
    }

    /// All keys, the oldest first, also revoked ones.
    pub fn list(&self, tenant: TenantId) -> Result<Vec<KeyRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM keys WHERE tenant = ?1 ORDER BY created_at, id");
        let mut statement = self.0.prepare(&sql).doing("reading keys")?;
        let rows = statement.query_map([tenant.0], key_row).doing("reading keys")?;
        rows.collect::<Result<_, _>>().doing("reading keys")
    }

    /// Ends a key, by its name or id; the next request that shows it is refused.
    pub fn revoke(&self, tenant: TenantId, name: &str, now: UnixMs) -> Result<KeyRow, KeyError> {
        let sql = format!(
            "UPDATE keys SET revoked_at = ?3 WHERE tenant = ?1 AND (name = ?2 OR id = ?2) AND revoked_at IS NULL RETURNING {COLUMNS}"
        );
        let revoked = self.0.query_row(&sql, params![tenant.0, name, now], key_row).optional().doing("revoking a key")?;
        revoked.ok_or_else(|| KeyError::Unknown(name.to_owned()))
    }

    /// Whether a text looks like a key of ours.
    pub fn is_key(shown: &str) -> bool {
        shown.starts_with(PREFIX)
    }

    /// What a shown key is worth now; takes the same time whatever part of the secret is right.
    pub fn check(&self, shown: &str, now: UnixMs) -> Result<Shown, StoreError> {
        let Some((id, secret)) = shown.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
            return Ok(Shown::Unknown);
        };
        let sql = format!("SELECT {COLUMNS}, hash FROM keys WHERE id = ?1");
        let mut statement = self.0.prepare_cached(&sql).doing("reading a key")?;
        let found = statement.query_row([id], |row| Ok((key_row(row)?, row.get::<_, [u8; 32]>(8)?))).optional();
        let Some((key, hash)) = found.doing("reading a key")? else { return Ok(Shown::Unknown) };
        // Hashes compare in constant time.
        if blake3::hash(secret.as_bytes()) != blake3::Hash::from(hash) {
            return Ok(Shown::Unknown);
        }
        if key.revoked_at.is_some() {
            return Ok(Shown::Revoked(key));
        }
        if key.expires_at.is_some_and(|expires| expires <= now) {
            return Ok(Shown::Expired(key));
        }
        if key.last_used_at.is_none_or(|used| used.abs_diff(now) >= NOTE_EVERY_MS.unsigned_abs()) {
            // A note that cannot be written must not keep a machine from sending.
            let _ = self.0.execute("UPDATE keys SET last_used_at = ?2 WHERE id = ?1", params![key.id, now]);
        }
        Ok(Shown::Good(key))
    }
}

fn key_row(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow {
        id: row.get(0)?,
        tenant: TenantId(row.get(1)?),
        name: row.get(2)?,
        scope: row.get(3)?,
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
        revoked_at: row.get(6)?,
        last_used_at: row.get(7)?,
    })
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).map_err(KeyError::Random)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
