//! When witnesses were heard of what was happening, and which of them have gone quiet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ducat_ledger::{
    Fact, Freshness, Holders, Key, REMEMBERED_MS, SPELL_PAUSES_MS, Spell, UnixMs, Witness, Witnesses, freshness, is_live,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::reader::Reader;
use crate::{Doing, StoreError, TenantId, schema};

/// A spell is written anew this often while it goes on.
const WRITTEN_EVERY_MS: i64 = 10_000;
/// Spells that are kept in memory; more are read again.
const MOST_KNOWN: usize = 4096;
const NO_SESSION: Key = Key([0; 16]);

type Named = (TenantId, String, Key);

/// Who told of what in one commit.
#[derive(Default)]
pub(crate) struct Voices(HashMap<Named, (Witnesses, Option<String>)>);

impl Voices {
    /// Notes who tells of a request, tool call or turn, if it is happening. Other facts show no work.
    pub fn hear(&mut self, tenant: TenantId, fact: &Fact, now: UnixMs) {
        let (agent, witnesses, holders, times) = match fact {
            // Of requests hooks tell nothing: that word is of `ducat meter`, which looks at one run and at no other.
            Fact::Request(told) => {
                let witnesses = told.witnesses.without(Witness::Hook);
                (&told.agent, witnesses, &told.holders, [&told.started_at, &told.ended_at])
            }
            Fact::ToolCall(told) => (&told.agent, told.witnesses, &told.holders, [&told.started_at, &told.ended_at]),
            Fact::Turn(told) => (&told.agent, told.witnesses, &told.holders, [&told.started_at, &told.ended_at]),
            Fact::Session(_) | Fact::Incident(_) | Fact::Quota(_) | Fact::Line(_) => return,
        };
        // The latest: something that took an hour is told of at its end.
        if !witnesses.is_empty() && times.into_iter().filter_map(|time| time.get()).max().is_some_and(|at| is_live(*at, now)) {
            self.note(tenant, agent, witnesses, holders);
        }
    }

    fn note(&mut self, tenant: TenantId, agent: &str, witnesses: Witnesses, holders: &Holders) {
        let mut note = |session: Key, project: Option<&String>| {
            let (told, place) = self.0.entry((tenant, agent.to_owned(), session)).or_default();
            told.join(witnesses);
            if place.is_none() {
                *place = project.cloned();
            }
        };
        if holders.is_empty() {
            note(NO_SESSION, None);
        }
        holders.iter().for_each(|holder| note(holder.session, holder.project.as_ref()));
    }
}

/// The spells that go on, as they are on disk.
#[derive(Default)]
pub(crate) struct Spells(HashMap<(Named, Witness), Known>);

#[derive(Clone, Copy)]
struct Known {
    began_at: UnixMs,
    heard_at: UnixMs,
    has_project: bool,
}

impl Spells {
    /// Lengthens the spells of those who told, or begins new ones. When the commit fails, `self` knows more than the disk.
    pub fn write(&mut self, connection: &Connection, voices: Voices, now: UnixMs) -> Result<(), StoreError> {
        if self.0.len() > MOST_KNOWN {
            self.0.clear();
        }
        for (named, (witnesses, project)) in voices.0 {
            for witness in witnesses.iter() {
                let last = match self.0.entry((named.clone(), witness)) {
                    Entry::Occupied(known) => Some(*known.get()),
                    Entry::Vacant(_) => load(connection, &named, witness)?,
                };
                let spell = match last {
                    // A clock that was set back goes on with the last spell.
                    Some(known) if now - known.heard_at <= SPELL_PAUSES_MS => known,
                    _ => Known { began_at: now, heard_at: UnixMs::MIN, has_project: false },
                };
                let brings_project = project.is_some() && !spell.has_project;
                if now.saturating_sub(spell.heard_at) < WRITTEN_EVERY_MS && !brings_project {
                    self.0.insert((named.clone(), witness), spell);
                    continue;
                }
                let heard_at = now.max(spell.heard_at);
                connection
                    .prepare_cached(
                        "INSERT INTO spells VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tenant, agent, session, witness, began_at)
                         DO UPDATE SET heard_at = ?6, project = COALESCE(project, ?7)",
                    )
                    .and_then(|mut save| {
                        save.execute(params![named.0.0, named.1, named.2.0, witness as u8, spell.began_at, heard_at, project])
                    })
                    .doing("writing who told")?;
                let has_project = spell.has_project || project.is_some();
                self.0.insert((named.clone(), witness), Known { began_at: spell.began_at, heard_at, has_project });
            }
        }
        Ok(())
    }
}

/// The last spell of a witness.
fn load(connection: &Connection, (tenant, agent, session): &Named, witness: Witness) -> Result<Option<Known>, StoreError> {
    let sql = "SELECT began_at, heard_at, project IS NOT NULL FROM spells
               WHERE tenant = ?1 AND agent = ?2 AND session = ?3 AND witness = ?4 ORDER BY began_at DESC LIMIT 1";
    let mut last = connection.prepare_cached(sql).doing("reading who told")?;
    last.query_row(params![tenant.0, agent, session.0, witness as u8], |row| {
        Ok(Known { began_at: row.get(0)?, heard_at: row.get(1)?, has_project: row.get(2)? })
    })
    .optional()
    .doing("reading who told")
}

/// Forgets the spells that are too old to say anything.
pub(crate) fn prune(connection: &Connection, now: UnixMs) -> Result<usize, StoreError> {
    connection.execute("DELETE FROM spells WHERE heard_at < ?1", [now - REMEMBERED_MS]).doing("forgetting who told")
}

impl Reader {
    /// How it stands with the witnesses that were heard in the last days. What no host was told of is of `own_host`.
    pub fn freshness(&self, tenant: TenantId, own_host: &str, now: UnixMs) -> Result<Vec<Freshness>, StoreError> {
        if !schema::is_current(&self.connection)? {
            return Ok(Vec::new());
        }
        let mut taken_out = self
            .connection
            .prepare_cached("SELECT agent, host, witness FROM taken_out WHERE tenant = ?1")
            .doing("reading who was taken out")?;
        let taken_out = taken_out
            .query_map([tenant.0], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, u8>(2)?)))
            .and_then(Iterator::collect::<Result<Vec<(String, String, u8)>, _>>)
            .doing("reading who was taken out")?;
        let taken_out =
            taken_out.into_iter().filter_map(|(agent, host, code)| Some((agent, host, Witness::from_code(code)?))).collect();
        let sql =
            "SELECT spells.agent, json_extract(sessions.fact, '$.host[1]'), spells.session, witness, project, began_at, heard_at
                   FROM spells LEFT JOIN sessions ON sessions.tenant = spells.tenant AND sessions.key = spells.session
                   WHERE spells.tenant = ?1 AND heard_at >= ?2";
        let mut spells = self.connection.prepare_cached(sql).doing("reading who told")?;
        let spells = spells
            .query_map(params![tenant.0, now - REMEMBERED_MS], |row| {
                let host = row.get::<_, Option<String>>(1)?.unwrap_or_else(|| own_host.to_owned());
                let spell = |witness| -> rusqlite::Result<Spell> {
                    let (agent, session, project) = (row.get(0)?, Key(row.get(2)?), row.get(4)?);
                    Ok(Spell { agent, host, session, witness, project, from: row.get(5)?, until: row.get(6)? })
                };
                Witness::from_code(row.get(3)?).map(spell).transpose()
            })
            .and_then(|rows| rows.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>())
            .doing("reading who told")?;
        Ok(freshness(&spells, &taken_out, now))
    }
}

/// A connection that notes whose silence is meant, beside the writer of facts.
pub struct TakenOut(Connection);

impl TakenOut {
    /// Opens the notes of a database; `None` where it is not of this version's schema.
    pub fn open(database: &std::path::Path) -> Result<Option<Self>, StoreError> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database, flags).doing("opening the database")?;
        schema::configure(&connection)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0).doing("opening the database")?;
        Ok(schema::is_current(&connection)?.then_some(Self(connection)))
    }

    /// From now on a witness is to be heard no more, or again.
    pub fn note(&self, tenant: TenantId, agent: &str, host: &str, witness: Witness, is_out: bool) -> Result<(), StoreError> {
        let sql = if is_out {
            "INSERT OR IGNORE INTO taken_out VALUES (?1, ?2, ?3, ?4)"
        } else {
            "DELETE FROM taken_out WHERE tenant = ?1 AND agent = ?2 AND host = ?3 AND witness = ?4"
        };
        self.0.execute(sql, params![tenant.0, agent, host, witness as u8]).doing("writing who was taken out")?;
        Ok(())
    }
}
