//! How far each transcript was sent to a receiver: a journal beside the ledger, `ship/<hash of the URL>.jsonl`.
//!
//! A line is appended when the receiver has answered; the last line of a path counts. A journal that is torn or gone costs only that
//! facts are sent again.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ducat_ledger::{Key, key};
use ducat_store::FileCursor;
use serde::{Deserialize, Serialize};

/// Lines appended before the journal is written anew.
const LONGEST: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("another `ducat ship` sends to {0} from this data folder")]
    Running(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    File(Sent),
    Receiver(ReceiverSeen),
}

#[derive(Serialize, Deserialize)]
struct Sent {
    path: String,
    device: u64,
    inode: u64,
    offset: u64,
    #[serde(with = "key::hex")]
    tail: [u8; 16],
    state: String,
}

/// Whom the journal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ReceiverSeen {
    url: String,
    ledger: String,
    version: String,
    /// It refused facts; another version may take them.
    refused: bool,
}

/// What one receiver has; nobody else sends to it while this is held.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    journal: File,
    lines: usize,
    files: HashMap<String, FileCursor>,
    receiver: ReceiverSeen,
    _lock: File,
}

/// How far files were sent, to any receiver. Reads beside who sends.
pub fn sent_cursors(data: &Path) -> Vec<FileCursor> {
    let journals = fs::read_dir(data.join("ship")).into_iter().flatten().flatten().map(|entry| entry.path());
    let journals = journals.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
    journals
        .flat_map(|path| {
            let mut files = HashMap::new();
            for line in fs::read_to_string(path).unwrap_or_default().lines() {
                if let Ok(Entry::File(sent)) = serde_json::from_str(line) {
                    files.insert(sent.path.clone(), FileCursor::from(sent));
                }
            }
            files.into_values()
        })
        .collect()
}

impl Progress {
    pub fn open(data: &Path, url: &str) -> Result<Self, ProgressError> {
        let folder = data.join("ship");
        let name = Key(blake3::hash(url.as_bytes()).as_bytes()[..16].try_into().unwrap_or_default()).to_string();
        let path = folder.join(format!("{name}.jsonl"));
        let failed = |source| ProgressError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let writing = |path: &Path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let lock = writing(&folder.join(format!("{name}.lock"))).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProgressError::Running(url.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut files = HashMap::new();
        let mut receiver = ReceiverSeen { url: url.to_owned(), ..ReceiverSeen::default() };
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            match serde_json::from_str(line) {
                Ok(Entry::File(sent)) => drop(files.insert(sent.path.clone(), sent.into())),
                Ok(Entry::Receiver(seen)) => receiver = seen,
                // Torn by the end of a process.
                Err(_) => {}
            }
        }
        let journal = writing(&path).map_err(failed)?;
        let mut progress = Self { path: path.clone(), journal, lines: 0, files, receiver, _lock: lock };
        progress.write_anew().map_err(failed)?;
        Ok(progress)
    }

    pub fn cursor(&self, path: &str) -> Option<&FileCursor> {
        self.files.get(path)
    }

    /// Keeps what the receiver has answered for.
    pub(crate) fn keep(&mut self, cursors: Vec<FileCursor>) -> Result<(), ProgressError> {
        let mut text = String::new();
        for cursor in cursors {
            push(&mut text, &Entry::File(Sent::of(&cursor)));
            self.files.insert(cursor.path.clone(), cursor);
        }
        self.append(&text)
    }

    /// Notes who answered; true when all is to be sent again: the ledger is another, or what was refused may be taken now.
    pub(crate) fn note(&mut self, ledger: &str, version: &str, refused: bool) -> Result<bool, ProgressError> {
        let known = &self.receiver;
        let anew = !known.ledger.is_empty() && (known.ledger != ledger || (known.refused && known.version != version));
        let refused = refused || (known.refused && !anew);
        let seen = ReceiverSeen { url: known.url.clone(), ledger: ledger.to_owned(), version: version.to_owned(), refused };
        if anew {
            self.files.clear();
            self.receiver = seen;
            self.write_anew().map_err(|source| ProgressError::Io { path: self.path.clone(), source })?;
        } else if *known != seen {
            let mut text = String::new();
            push(&mut text, &Entry::Receiver(seen.clone()));
            self.receiver = seen;
            self.append(&text)?;
        }
        Ok(anew)
    }

    fn append(&mut self, text: &str) -> Result<(), ProgressError> {
        self.lines += text.lines().count();
        let written =
            if self.lines > LONGEST + self.files.len() { self.write_anew() } else { self.journal.write_all(text.as_bytes()) };
        written.map_err(|source| ProgressError::Io { path: self.path.clone(), source })
    }

    /// One line a file, whole or not at all.
    fn write_anew(&mut self) -> io::Result<()> {
        let mut text = String::new();
        push(&mut text, &Entry::Receiver(self.receiver.clone()));
        self.files.values().for_each(|cursor| push(&mut text, &Entry::File(Sent::of(cursor))));
        let unfinished = self.path.with_extension("tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&unfinished, &self.path)?;
        self.journal = OpenOptions::new().append(true).open(&self.path)?;
        self.lines = 0;
        Ok(())
    }
}

fn push(text: &mut String, entry: &Entry) {
    // Strings and numbers always serialize.
    if let Ok(line) = serde_json::to_string(entry) {
        text.push_str(&line);
        text.push('\n');
    }
}

impl Sent {
    fn of(cursor: &FileCursor) -> Self {
        let (device, inode) = cursor.identity;
        Self { path: cursor.path.clone(), device, inode, offset: cursor.offset, tail: cursor.tail, state: cursor.state.clone() }
    }
}

impl From<Sent> for FileCursor {
    fn from(sent: Sent) -> Self {
        let identity = (sent.device, sent.inode);
        Self { path: sent.path, identity, offset: sent.offset, tail: sent.tail, state: sent.state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://localhost:1";

    fn cursor(path: &str, offset: u64) -> FileCursor {
        FileCursor { path: path.to_owned(), identity: (1, u64::MAX), offset, tail: [7; 16], state: "{}".to_owned() }
    }

    #[test]
    fn what_was_kept_is_there_again_also_after_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(dir.path(), URL).unwrap();
        progress.keep(vec![cursor("/a", 1), cursor("/b", 2)]).unwrap();
        progress.keep(vec![cursor("/a", 3)]).unwrap();
        assert!(Progress::open(dir.path(), URL).unwrap_err().to_string().contains("another"));
        progress.journal.write_all(b"{\"file\":{\"path\":\"/b\",\"dev").unwrap();
        drop(progress);
        let progress = Progress::open(dir.path(), URL).unwrap();
        assert_eq!((progress.cursor("/a"), progress.cursor("/b")), (Some(&cursor("/a", 3)), Some(&cursor("/b", 2))));
        assert!(Progress::open(dir.path(), "http://localhost:2").unwrap().cursor("/a").is_none());
    }

    #[test]
    fn another_ledger_or_a_version_that_may_take_more_gets_all_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(dir.path(), URL).unwrap();
        assert!(!progress.note("l1", "1", false).unwrap());
        progress.keep(vec![cursor("/a", 1)]).unwrap();
        assert!(!progress.note("l1", "2", true).unwrap());
        assert!(!progress.note("l1", "2", false).unwrap());
        drop(progress);
        let mut progress = Progress::open(dir.path(), URL).unwrap();
        assert!(progress.note("l1", "3", false).unwrap() && progress.cursor("/a").is_none());
        assert!(!progress.note("l1", "4", false).unwrap());
        assert!(progress.note("l2", "4", false).unwrap());
    }
}
