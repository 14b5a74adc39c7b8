//! OpenCode's database, as the real client made it (1.18.33, against a stand-in that logged its answers), while somebody writes in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use ducat_ledger::{Fact, Key};
use ducat_prices::PriceTable;
use ducat_scan::{Home, Imported, ScanOptions, Scanned, Sink, Transcripts, scan};
use ducat_store::FileCursor;
use rusqlite::Connection;

const REAL: &str = include_str!("fixtures/opencode-1.18.33.sql");
/// Input without cache, cache read, output with reasoning, reasoning, of the answers that the client wrote down: one prompt, and one in a fork.
const ANSWERED: [[u64; 4]; 4] = [[100, 0, 10, 0], [500, 9000, 70, 0], [584, 9216, 33, 11], [5000, 4000, 80, 30]];

/// The real session in a database; keep the connection, and it is that of a client which runs.
fn client(path: &Path) -> Connection {
    let client = Connection::open(path).unwrap();
    client.pragma_update(None, "journal_mode", "WAL").unwrap();
    client.execute_batch(REAL).unwrap();
    client
}

/// What was handed on, as a ledger would keep it.
#[derive(Default)]
struct Kept {
    facts: BTreeMap<Key, [u64; 4]>,
    handed_on: usize,
    links: usize,
    cursors: BTreeMap<String, FileCursor>,
}

impl Sink for Kept {
    type Error = Infallible;

    fn cursor(&mut self, path: &str) -> Result<Option<FileCursor>, Infallible> {
        Ok(self.cursors.get(path).cloned())
    }

    fn write(&mut self, facts: Vec<Fact>, cursor: FileCursor) -> Result<(), Infallible> {
        self.handed_on += facts.len();
        for fact in facts {
            match fact {
                Fact::Request(request) => {
                    let usage = request.usage();
                    self.facts.insert(request.key, [usage.input, usage.cache_read, usage.output, usage.reasoning]);
                }
                Fact::ToolCall(call) => self.links += usize::from(call.request.get().is_some()),
                _ => {}
            }
        }
        self.cursors.insert(cursor.path.clone(), cursor);
        Ok(())
    }
}

impl Kept {
    /// A look of a process that knows nothing but what was kept.
    fn look(&mut self, folder: &Path) -> Imported {
        let Ok(imported) = Transcripts::new(vec![Home::any(folder.to_owned())], Vec::new()).look(self, &|_, _| {});
        imported
    }

    fn requests(&self) -> Vec<[u64; 4]> {
        let mut requests: Vec<_> = self.facts.values().copied().collect();
        requests.sort_unstable();
        requests
    }
}

fn report(folder: &Path, cache: Option<PathBuf>) -> Scanned {
    scan(&ScanOptions { homes: vec![Home::any(folder.to_owned())], excluded: Vec::new(), cache }, &|_, _| {})
}

fn reported(scanned: &Scanned) -> Vec<[u64; 4]> {
    let mut rows = Vec::new();
    scanned.for_each(&PriceTable::embedded(), &mut |row| {
        let sums = [row.sums.input_tokens, row.sums.cache_read_tokens, row.sums.output_tokens, row.sums.reasoning_tokens];
        rows.push(sums.map(|sum| u64::try_from(sum).unwrap()));
    });
    rows.sort_unstable();
    rows
}

fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
    // Readers note in it where they read; it is no part of the data.
    named.filter(|(name, _)| !name.ends_with("-shm")).collect()
}

#[test]
fn a_database_is_read_while_its_client_runs_and_after_and_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a #?% folder");
    fs::create_dir(&folder).unwrap();
    let client = client(&folder.join("opencode.db"));
    // All of it is in the log yet, and a write is under way.
    client.execute_batch("BEGIN IMMEDIATE; UPDATE message SET data = '{}'").unwrap();
    let before = bytes(&folder);
    assert!(before["opencode.db-wal"].len() > 16_000);
    let mut kept = Kept::default();
    assert_eq!(kept.look(&folder).problems, []);
    assert_eq!(kept.requests(), ANSWERED);
    assert_eq!(kept.links, 3, "calls know their requests");
    assert_eq!(reported(&report(&folder, None)), ANSWERED);
    assert_eq!(bytes(&folder), before);
    // As a client that was killed leaves it.
    let left = dir.path().join("left");
    fs::create_dir(&left).unwrap();
    ["opencode.db", "opencode.db-wal"].iter().for_each(|name| _ = fs::copy(folder.join(name), left.join(name)).unwrap());
    let as_left = bytes(&left);
    let mut of_left = Kept::default();
    assert_eq!(of_left.look(&left).problems, []);
    assert_eq!((of_left.requests().as_slice(), bytes(&left)), (ANSWERED.as_slice(), as_left));
    // It was kept from nothing, not even from closing.
    client.execute_batch("ROLLBACK; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    client.close().unwrap();
    let closed = bytes(&folder);
    assert_eq!(closed.keys().collect::<Vec<_>>(), ["opencode.db"]);
    let cache = dir.path().join("cache");
    for _ in 0..2 {
        assert_eq!(reported(&report(&folder, Some(cache.clone()))), ANSWERED);
    }
    assert_eq!(bytes(&folder), closed, "nothing was made beside it");
}

#[test]
fn what_was_read_is_not_read_again_and_what_changed_is() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("opencode.db"));
    let mut kept = Kept::default();
    let all = kept.look(dir.path()).lines;
    assert_eq!(all, 2 + 10 + 28);
    assert_eq!(kept.look(dir.path()).changed, 0);
    // A message ends: it and its part are all that is read, besides the last rows of before.
    let handed_on = kept.handed_on;
    client
        .execute_batch(
            "UPDATE message SET time_updated = 1795594300000, data = json_set(data, '$.tokens.output', 99, '$.tokens.total', 9129)
             WHERE id = 'msg_211c117820012sWp4QAQe6oxQm'",
        )
        .unwrap();
    let look = kept.look(dir.path());
    assert!(look.lines < 12 && kept.handed_on < handed_on + 12, "{look:?}");
    assert!(kept.requests().contains(&[5000, 4000, 129, 30]), "{:?}", kept.requests());
    // Rows that come with old times, as those do that a client moves here from elsewhere.
    client
        .execute_batch(
            "INSERT INTO message SELECT 'msg_1', session_id, 1, 1, json_set(data, '$.tokens.input', 7, '$.time.created', 1) FROM message
             WHERE id = 'msg_211c11ba60018dxUIklPWXUalN'",
        )
        .unwrap();
    assert!(kept.look(dir.path()).lines < 12);
    assert_eq!(kept.requests().len(), 5);
    // Written anew: its rows have other numbers.
    client.execute_batch("DELETE FROM message WHERE id = 'msg_1'; VACUUM").unwrap();
    assert_eq!(kept.look(dir.path()).problems, []);
    assert_eq!(kept.requests().len(), 5);
}

#[test]
fn what_is_no_database_of_opencode_is_said_and_read_when_it_is_one() {
    let reason = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("opencode.db");
        make(&path);
        let mut kept = Kept::default();
        let problems = kept.look(dir.path()).problems;
        assert_eq!(report(dir.path(), None).problems, problems, "a report says the same");
        fs::remove_file(&path).unwrap();
        client(&path).close().unwrap();
        kept.look(dir.path());
        assert_eq!(kept.requests().len(), 4, "read once it is whole");
        problems.into_iter().map(|problem| problem.reason).collect::<String>()
    };
    assert_eq!(reason(&|path| fs::write(path, "").unwrap()), "", "just made");
    let damaged = reason(&|path| {
        client(path).close().unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes.truncate(bytes.len() / 2);
        fs::write(path, bytes).unwrap();
    });
    assert!(damaged.starts_with("damaged, or copied while it was written"), "{damaged}");
    let other = reason(&|path| Connection::open(path).unwrap().execute_batch("CREATE TABLE session (id TEXT)").unwrap());
    assert!(other.starts_with("without the tables of OpenCode as it is known here, or not set up yet (no such table"), "{other}");
    let garbled = reason(&|path| fs::write(path, [b"SQLite format 3\0".as_slice(), &[0xff; 4096]].concat()).unwrap());
    assert_eq!(garbled, "not an SQLite database");
    let text = reason(&|path| fs::write(path, "no database at all").unwrap());
    assert_eq!(text, "", "nobody's file");
}

#[test]
fn rows_that_cannot_be_read_are_counted_and_hide_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("opencode.db"));
    client.execute_batch("UPDATE message SET data = 'x' WHERE rowid = 2; UPDATE part SET data = x'00' WHERE rowid = 12").unwrap();
    let mut kept = Kept::default();
    let problems = kept.look(dir.path()).problems;
    // The message, its five parts, and the part of another.
    assert_eq!(problems[0].reason, "7 of its rows could not be read: not JSON");
    assert_eq!(report(dir.path(), None).problems[0].reason, "1 of its rows could not be read: not JSON");
    assert_eq!(kept.requests().len(), 3);
}

#[test]
fn a_database_that_is_locked_is_read_at_the_next_look() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&dir.path().join("opencode.db"));
    client.pragma_update(None, "journal_mode", "DELETE").unwrap();
    // The one mode in which a writer keeps readers out; OpenCode does not use it.
    client.execute_batch("BEGIN EXCLUSIVE; UPDATE message SET time_updated = 1").unwrap();
    let mut kept = Kept::default();
    let problems = kept.look(dir.path()).problems;
    assert_eq!(problems.iter().map(|problem| problem.reason.as_str()).collect::<Vec<_>>(), ["busy; the next look reads it"]);
    client.execute_batch("ROLLBACK").unwrap();
    assert_eq!(kept.look(dir.path()).problems, []);
    assert_eq!(kept.requests(), ANSWERED);
}
