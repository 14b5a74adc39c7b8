//! OpenCode's database: rows that changed, read while the client writes and without a change to any of its files.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ducat_capture::Detail;
use ducat_capture::opencode::{FileState, Mark, Row, RowOf};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Params};

/// For the moments in which the client sets its database up; longer, and the next look reads it.
const PATIENCE: Duration = Duration::from_millis(200);

/// What all rows begin with: number, time of the change, id, and of their session id, directory and whether it has a parent.
const SESSIONS: &str = "SELECT rowid, time_updated, id, id, directory, parent_id IS NOT NULL, version, time_created
    FROM session WHERE time_updated >= ?1 OR rowid > ?2";
const MESSAGES: &str =
    "SELECT message.rowid, message.time_updated, message.id, session_id, directory, parent_id IS NOT NULL, data
    FROM message LEFT JOIN session ON session.id = session_id WHERE message.time_updated >= ?1 OR message.rowid > ?2";
/// Also the parts of messages that changed: what they belong to may have.
const PARTS: &str = "SELECT part.rowid, part.time_updated, part.id, part.session_id, directory, parent_id IS NOT NULL, part.data,
        message.id, message.data
    FROM part JOIN message ON message.id = message_id LEFT JOIN session ON session.id = part.session_id
    WHERE part.rowid IN (
        SELECT rowid FROM part WHERE time_updated >= ?1 OR rowid > ?2
        UNION SELECT part.rowid FROM message CROSS JOIN part ON message_id = message.id
        WHERE message.time_updated >= ?3 OR message.rowid > ?4)";

/// A file beside the database, `-wal` or `-journal`, in which the client writes before it writes in the database itself.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(ending);
    name.into()
}

/// Tells `each` the rows that changed since, of one moment, and returns how far they reach. Parts are left out of `Detail::Requests`.
pub(crate) fn for_changed_rows(
    path: &Path,
    since: &FileState,
    detail: Detail,
    each: &mut dyn FnMut(&Row<'_>),
) -> io::Result<FileState> {
    // The files beside it stand by the file itself, not by a link to it.
    let path = fs::canonicalize(path)?;
    let is_still = !beside(&path, "-wal").exists() && !beside(&path, "-journal").exists();
    let before = fs::metadata(&path)?;
    if before.len() == 0 {
        // Made, and not yet set up.
        return Ok(FileState::default());
    }
    let reach = read(&path, is_still, since, detail, each).map_err(told)?;
    let after = fs::metadata(&path)?;
    let is_same = (before.len(), before.mtime(), before.mtime_nsec()) == (after.len(), after.mtime(), after.mtime_nsec());
    if is_still && !is_same {
        return Err(io::Error::other("changed while it was read; the next look reads it again"));
    }
    Ok(reach)
}

fn read(
    path: &Path,
    is_still: bool,
    since: &FileState,
    detail: Detail,
    each: &mut dyn FnMut(&Row<'_>),
) -> rusqlite::Result<FileState> {
    // Nobody writes in a database without files beside it: read so, it takes no lock and makes none of these files.
    let immutable = if is_still { "&immutable=1" } else { "" };
    let uri = format!("file:{}?mode=ro{immutable}", percent_encoded(path));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // A client that died left its last rows beside the database; they are its to move.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let moment = connection.unchecked_transaction()?;
    let of = |table, mark| still_there(&moment, table, mark);
    let (sessions, messages) = (of("session", &since.sessions)?, of("message", &since.messages)?);
    let parts = of("part", &since.parts)?;
    let reached_sessions = each_row(&moment, SESSIONS, (sessions.updated_at, sessions.rowid), sessions.clone(), &mut |row| {
        let version = row.get_ref(6)?.as_str_or_null().ok().flatten();
        tell(row, RowOf::Session { version, created_at: row.get(7).ok(), updated_at: row.get(1).ok() }, each)
    })?;
    let reached_messages = each_row(&moment, MESSAGES, (messages.updated_at, messages.rowid), messages.clone(), &mut |row| {
        tell(row, RowOf::Message { id: text(row, 2), data: text(row, 6) }, each)
    })?;
    let of = (parts.updated_at, parts.rowid, messages.updated_at, messages.rowid);
    let reached_parts = match detail {
        Detail::Requests => parts,
        Detail::All => each_row(&moment, PARTS, of, parts, &mut |row| {
            let of = RowOf::Part { id: text(row, 2), message: text(row, 7), data: text(row, 6), message_data: text(row, 8) };
            tell(row, of, each)
        })?,
    };
    Ok(FileState { sessions: reached_sessions, messages: reached_messages, parts: reached_parts })
}

/// The mark, unless its row is another now: then the table is read from its beginning.
fn still_there(connection: &Connection, table: &str, mark: &Mark) -> rusqlite::Result<Mark> {
    let mut statement = connection.prepare(&format!("SELECT id FROM {table} WHERE rowid = ?1"))?;
    let mut rows = statement.query([mark.rowid])?;
    let is_same = rows.next()?.is_some_and(|row| text(row, 0) == mark.id);
    Ok(if is_same { mark.clone() } else { Mark::default() })
}

/// Moves the mark over the rows that it hands on.
fn each_row(
    connection: &Connection,
    query: &str,
    of: impl Params,
    mut mark: Mark,
    each: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<Mark> {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let mut statement = connection.prepare(query)?;
    let mut rows = statement.query(of)?;
    while let Some(row) = rows.next()? {
        // A change from the future would hide those until then.
        mark.updated_at = row.get(1).map_or(mark.updated_at, |at: i64| mark.updated_at.max(at.min(now)));
        let number: i64 = row.get(0)?;
        if number > mark.rowid {
            (mark.rowid, mark.id) = (number, text(row, 2).to_owned());
        }
        each(row)?;
    }
    Ok(mark)
}

fn tell(row: &rusqlite::Row<'_>, of: RowOf<'_>, each: &mut dyn FnMut(&Row<'_>)) -> rusqlite::Result<()> {
    let directory = Some(text(row, 4)).filter(|directory| !directory.is_empty());
    each(&Row { session: text(row, 3), directory, is_subagent: row.get(5)?, of });
    Ok(())
}

/// A column that should be text; nothing, which is no JSON either, where it is not.
fn text<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> &'a str {
    row.get_ref(column).ok().and_then(|value| value.as_str().ok()).unwrap_or_default()
}

fn percent_encoded(path: &Path) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let each = path.as_os_str().as_bytes().iter();
    each.map(|&byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn told(error: rusqlite::Error) -> io::Error {
    let reason = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "not an SQLite database".to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => {
            format!("damaged, or copied while it was written ({error}); copy its -wal file with it")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "busy; the next look reads it".to_owned(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            format!("{error}; with a -wal file beside it, its folder must be writable: copy both elsewhere")
        }
        _ => format!("without the tables of OpenCode as it is known here, or not set up yet ({error})"),
    };
    io::Error::other(reason)
}
