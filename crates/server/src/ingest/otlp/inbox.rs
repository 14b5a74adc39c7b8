//! What exports told, on disk before it is in the ledger: facts, without content, appended and acknowledged; a thread applies them behind.
//!
//! The ledger keeps how far it has come in the transaction of the facts, so a crash loses none; one told twice joins to itself.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ducat_ledger::Fact;
use ducat_store::{Durability, FileCursor, Lane, Store, StoreError, TenantId, Write};

use super::frame;
use crate::ServeError;

/// Bytes of a segment after which a new one begins; what is applied is deleted by the segment.
const SEGMENT: u64 = 64 << 20;
/// Bytes that may wait for the ledger; more are not taken.
const LARGEST_BACKLOG: u64 = 1 << 30;
/// Facts that are applied at once.
const TOGETHER: usize = 2048;
/// Bytes that are kept of what cannot be read.
const LARGEST_ASIDE: u64 = 64 << 20;
/// Ends the names of the files that hold it.
const ASIDE: &str = "unreadable";
/// The name under which the ledger keeps how far it has come.
const CURSOR: &str = "ducat:otlp-inbox";
/// While exports come, applying leaves them half of the time; for so long after the last.
const BUSY: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

pub(crate) struct Inbox {
    folder: PathBuf,
    durability: Durability,
    state: Mutex<State>,
    grown: Condvar,
    /// Bytes of files that are put aside.
    kept_aside: AtomicU64,
    unreadable: AtomicU64,
}

struct State {
    /// The segment that is appended to, and its bytes.
    number: u64,
    file: Option<Arc<File>>,
    written: u64,
    /// Whole segments that are yet to be applied, with their bytes.
    before: VecDeque<(u64, u64)>,
    /// Bytes of the first that are applied.
    applied: u64,
    appended_at: Option<Instant>,
    closed: bool,
}

impl State {
    fn backlog(&self) -> u64 {
        (self.before.iter().map(|(_, size)| size).sum::<u64>() + self.written).saturating_sub(self.applied)
    }

    fn begin_next(&mut self) {
        self.before.push_back((self.number, self.written));
        (self.number, self.written, self.file) = (self.number.saturating_add(1), 0, None);
    }
}

impl Inbox {
    /// Opens the inbox beside a ledger; what was appended before a crash and not applied waits in it.
    pub fn open(store: &Store) -> Result<Self, ServeError> {
        let folder = store.path().with_file_name("otlp-inbox");
        let cursor = store.reader().and_then(|reader| reader.file_cursor(TenantId::LOCAL, CURSOR))?;
        let (first, applied) = cursor.map_or((0, 0), |cursor| (cursor.identity.1, cursor.offset));
        let (mut before, mut kept_aside) = (Vec::new(), 0);
        for (path, length) in files(&folder).map_err(|source| ServeError::Inbox { path: folder.clone(), source })? {
            match path.file_name().and_then(OsStr::to_str).and_then(|name| name.rsplit_once('.')) {
                Some((number, "facts")) => match number.parse::<u64>() {
                    Ok(number) if number >= first => before.push((number, length)),
                    Ok(_) => drop(fs::remove_file(path)),
                    Err(_) => {}
                },
                Some((_, ASIDE)) => kept_aside += length,
                _ => {}
            }
        }
        before.sort_unstable();
        let applied = if before.first().is_some_and(|(number, _)| *number == first) { applied } else { 0 };
        let number = before.last().map_or(first, |(number, _)| number.saturating_add(1)).max(first.saturating_add(1));
        let (file, written, before) = (None, 0, before.into());
        let state = State { number, file, written, before, applied, appended_at: None, closed: false };
        Ok(Self {
            folder,
            durability: store.durability(),
            state: Mutex::new(state),
            grown: Condvar::new(),
            kept_aside: AtomicU64::new(kept_aside),
            unreadable: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}.facts"))
    }

    /// Bytes that wait for the ledger.
    pub fn backlog(&self) -> u64 {
        self.state().backlog()
    }

    pub fn is_full(&self) -> bool {
        self.backlog() > LARGEST_BACKLOG
    }

    /// Appends an export's frames; after it they survive the end of our process, and the loss of power where the ledger's facts do.
    pub(super) fn append(&self, frames: &[u8]) -> Result<(), Unwritten> {
        let mut state = self.state();
        // Asked before each body too; many bodies may have come since.
        if state.backlog() > LARGEST_BACKLOG {
            return Err(Unwritten::Full);
        }
        if state.written >= SEGMENT {
            state.begin_next();
        }
        let file = match &state.file {
            Some(file) => file.clone(),
            None => {
                let file = loop {
                    let path = self.path(state.number);
                    match open_new(&self.folder, &path, self.durability) {
                        Ok(file) => break Arc::new(file),
                        // What is in it was acknowledged by somebody; it is applied, and not written behind.
                        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                            state.written = fs::metadata(path)?.len();
                            state.begin_next();
                        }
                        Err(cause) => return Err(cause.into()),
                    }
                };
                state.file = Some(file.clone());
                file
            }
        };
        if let Err(cause) = (&*file).write_all(frames) {
            // Half a frame must not stand before whole ones.
            if file.set_len(state.written).is_err() {
                state.begin_next();
            }
            return Err(cause.into());
        }
        state.written += frames.len() as u64;
        state.appended_at = Some(Instant::now());
        drop(state);
        self.grown.notify_one();
        if self.durability == Durability::Power {
            // Beside the lock: the other decoder appends meanwhile, and its sync finds less to do.
            file.sync_data()?;
        }
        Ok(())
    }

    /// Applies what is appended until the inbox is closed; what is left then is applied by the next start.
    pub fn apply(&self, store: &Store, say: &dyn Fn(&str)) {
        let (mut open, mut pause): (Option<(u64, File)>, _) = (None, FIRST_PAUSE);
        loop {
            let (number, from, end, is_whole) = {
                let mut state = self.state();
                while state.backlog() == 0 && state.before.is_empty() && !state.closed {
                    state = self.grown.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.closed {
                    return;
                }
                match state.before.front() {
                    Some((number, size)) => (*number, state.applied, *size, true),
                    None => (state.number, state.applied, state.written, false),
                }
            };
            let begun = Instant::now();
            match self.apply_some(&mut open, number, from, end, store, say) {
                Ok(to) => {
                    pause = FIRST_PAUSE;
                    let mut state = self.state();
                    if is_whole && to >= end {
                        state.before.pop_front();
                        state.applied = 0;
                        open = None;
                        let _ = fs::remove_file(self.path(number));
                    } else {
                        state.applied = to;
                    }
                    let is_busy = state.appended_at.is_some_and(|at| at.elapsed() < BUSY);
                    drop(state);
                    if is_busy {
                        std::thread::sleep(begun.elapsed().min(BUSY));
                    }
                }
                Err(Fault::Store(StoreError::Closed)) => return,
                Err(fault) => {
                    let (path, seconds) = (self.path(number), pause.as_secs());
                    say(&format!("telemetry waits in {}: {fault}; trying again in {seconds} s", path.display()));
                    open = None;
                    let state = self.state();
                    drop(self.grown.wait_timeout_while(state, pause, |state| !state.closed));
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Applies some frames of a segment from an offset; returns the offset after them.
    fn apply_some(
        &self,
        open: &mut Option<(u64, File)>,
        number: u64,
        from: u64,
        end: u64,
        store: &Store,
        say: &dyn Fn(&str),
    ) -> Result<u64, Fault> {
        let file = match open {
            Some((known, file)) if *known == number => file,
            open => &mut open.insert((number, File::open(self.path(number))?)).1,
        };
        file.seek(SeekFrom::Start(from))?;
        let (mut at, mut facts, mut of) = (from, Vec::new(), None);
        while at < end && facts.len() < TOGETHER {
            let Some((tenant, body)) = frame::read(file, end - at)? else {
                file.seek(SeekFrom::Start(at))?;
                let mut rest = Vec::new();
                file.take(end - at).read_to_end(&mut rest)?;
                let length = frame::next_whole(&rest).unwrap_or(rest.len());
                self.put_aside(number, at, &rest[..length], "is no whole export (torn, or damaged on disk)", say)?;
                at = if length == rest.len() { end } else { at + length as u64 };
                file.seek(SeekFrom::Start(at))?;
                continue;
            };
            if of.is_some_and(|of| of != tenant) {
                break;
            }
            match serde_json::from_slice::<Vec<Fact>>(&body) {
                Ok(told) => (of, _) = (Some(tenant), facts.extend(told)),
                Err(cause) => self.put_aside(number, at, &body, &format!("cannot be read as facts: {cause}"), say)?,
            }
            at += (frame::HEAD + body.len()) as u64;
        }
        let cursor =
            FileCursor { path: CURSOR.to_owned(), identity: (0, number), offset: at, tail: [0; 16], state: String::new() };
        // The cursor's row is of the one tenant that reads it; a file of another's facts is no fact.
        let tenant = of.unwrap_or(TenantId::LOCAL);
        let cursors = if tenant == TenantId::LOCAL { vec![cursor] } else { Vec::new() };
        store.write(Write { lane: Lane::Bulk, tenant, facts, event: None, cursors }).map_err(Fault::Store)?;
        Ok(at)
    }

    /// What the ledger cannot take must not hold up what stands behind it: it is kept beside, told and counted.
    fn put_aside(&self, number: u64, at: u64, bytes: &[u8], why: &str, say: &dyn Fn(&str)) -> io::Result<()> {
        let path = self.folder.join(format!("{number:012}-{at}.{ASIDE}"));
        let length = bytes.len() as u64;
        let kept = if self.kept_aside.load(Ordering::Relaxed) + length <= LARGEST_ASIDE {
            // A name of its place: done again after a crash, it is the same file.
            fs::write(&path, bytes)?;
            self.kept_aside.fetch_add(length, Ordering::Relaxed);
            format!("put aside as {}", path.display())
        } else {
            format!("dropped, because {} MiB are put aside already", LARGEST_ASIDE >> 20)
        };
        self.unreadable.fetch_add(length, Ordering::Relaxed);
        say(&format!("telemetry: {length} bytes at {at} of {}: {why}; {kept}", self.path(number).display()));
        Ok(())
    }

    /// Bytes that the ledger could not take, since the start.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    pub fn close(&self) {
        self.state().closed = true;
        self.grown.notify_all();
    }
}

/// Why an export was not appended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    #[error("full")]
    Full,
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is in a folder, with its bytes. That nothing can be read is not that nothing is there: segments would be taken for applied.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let is_gone = |cause: &io::Error| cause.kind() == io::ErrorKind::NotFound;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if is_gone(&cause) => return Ok(Vec::new()),
        Err(cause) => return Err(cause),
    };
    let with_length = |entry: io::Result<fs::DirEntry>| {
        let path = entry?.path();
        match fs::symlink_metadata(&path) {
            Ok(meta) => Ok(Some((path, meta.len()))),
            Err(cause) if is_gone(&cause) => Ok(None),
            Err(cause) => Err(cause),
        }
    };
    entries.filter_map(|entry| with_length(entry).transpose()).collect()
}

fn open_new(folder: &Path, path: &Path, durability: Durability) -> io::Result<File> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
    if durability == Durability::Power {
        // The file's name, and the folder's.
        File::open(folder)?.sync_all()?;
        folder.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ducat_ledger::{FieldClass, Key, KeySpace, Session, Witness, Witnesses};
    use ducat_prices::PriceTable;
    use ducat_report::SessionsQuery;
    use ducat_store::{Durability, StoreOptions};

    use super::*;

    fn store(folder: &Path) -> Store {
        let (path, pricer) = (folder.join("ducat.db"), Arc::new(PriceTable::embedded()));
        Store::open(StoreOptions { path, durability: Durability::Process, pricer, clock: || 1_000, listener: None }).unwrap()
    }

    fn session(number: usize) -> Fact {
        let id = format!("s{number}");
        let mut session = Session::new(Key::of(KeySpace::Session, "a", &id), "a", id);
        session.witnesses = Witnesses::only(Witness::OtlpLog);
        session.last_at = Witness::OtlpLog.tells(FieldClass::Attribution, 500);
        Fact::Session(session)
    }

    fn append(inbox: &Inbox, facts: &[Fact]) {
        let mut frame = Vec::new();
        frame::encode(TenantId::LOCAL, facts, &mut frame).unwrap();
        inbox.append(&frame).unwrap();
    }

    /// Applies all that waits; what was said of it.
    fn apply_all(inbox: &Inbox, store: &Store) -> Vec<String> {
        let said = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| inbox.apply(store, &|what| said.lock().unwrap().push(what.to_owned())));
            let begun = Instant::now();
            while inbox.backlog() > 0 && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            inbox.close();
        });
        assert_eq!(inbox.backlog(), 0);
        said.into_inner().unwrap()
    }

    fn sessions(store: &Store) -> usize {
        store.reader().unwrap().sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap().total as usize
    }

    /// What was appended before a crash is applied after it, whatever half frame ends the file.
    #[test]
    fn what_was_appended_is_in_the_ledger_after_a_crash() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(folder.path());
        let inbox = Inbox::open(&store).unwrap();
        for number in 0..50 {
            append(&inbox, &[session(2 * number), session(2 * number + 1)]);
        }
        let (path, waiting) = (inbox.path(1), inbox.backlog());
        drop(inbox);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[200, 0, 0, 0, 1, 2, 3]).unwrap();

        for (backlog, unreadable) in [(waiting + 7, 7), (0, 0)] {
            let inbox = Inbox::open(&store).unwrap();
            assert_eq!(inbox.backlog(), backlog);
            assert_eq!((apply_all(&inbox, &store).len(), inbox.unreadable()), ((unreadable / 7) as usize, unreadable));
            assert_eq!(sessions(&store), 100);
            assert!(!path.exists());
        }
    }

    /// A damaged export and one that no version can read are put aside, told and counted; those before and behind are in the ledger.
    #[test]
    fn what_cannot_be_read_holds_up_nothing() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(folder.path());
        let inbox = Inbox::open(&store).unwrap();
        let mut ends = Vec::new();
        for number in 0..6 {
            append(&inbox, &[session(number)]);
            ends.push(inbox.backlog() as usize);
        }
        let path = inbox.path(1);
        drop(inbox);
        let mut bytes = fs::read(&path).unwrap();
        // The second's facts are damaged, the fourth's length; the sixth is whole, and nothing of ours.
        bytes[ends[0] + frame::HEAD + 20] ^= 1;
        bytes[ends[2] + 2] ^= 0x40;
        let mut foreign = vec![0; frame::HEAD];
        foreign.extend(br#"[{"planet":{"name":"Mars"}}]"#);
        bytes.truncate(ends[4]);
        frame::seal(TenantId::LOCAL, &mut foreign).unwrap();
        bytes.extend(&foreign);
        fs::write(&path, &bytes).unwrap();

        let inbox = Inbox::open(&store).unwrap();
        let said = apply_all(&inbox, &store);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("no whole export") && said[2].contains("cannot be read as facts"), "{said:?}");
        assert_eq!(sessions(&store), 3);
        let aside: u64 = (ends[1] - ends[0] + ends[3] - ends[2] + foreign.len() - frame::HEAD) as u64;
        assert_eq!(inbox.unreadable(), aside);
        drop(inbox);
        let inbox = Inbox::open(&store).unwrap();
        assert_eq!((inbox.backlog(), inbox.kept_aside.load(Ordering::Relaxed)), (0, aside));
    }

    /// Exports that were let in while there was room find out when they are written.
    #[test]
    fn a_full_inbox_takes_no_more() {
        let folder = tempfile::TempDir::new().unwrap();
        let inbox = Inbox::open(&store(folder.path())).unwrap();
        inbox.state().before.push_back((0, LARGEST_BACKLOG));
        append(&inbox, &[session(1)]);
        assert!(matches!(inbox.append(b"frame"), Err(Unwritten::Full)));
        assert!(inbox.is_full());
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_not_empty() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(folder.path());
        let path = folder.path().join("otlp-inbox");
        fs::write(&path, "no folder").unwrap();
        assert!(matches!(Inbox::open(&store), Err(ServeError::Inbox { path: of, .. }) if of == path));
    }

    /// A segment that was not seen at the start is applied too, and nothing is written behind what is in it.
    #[test]
    fn a_number_is_not_used_twice() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(folder.path());
        let inbox = Inbox::open(&store).unwrap();
        append(&inbox, &[session(1)]);
        let unseen = Inbox::open(&store).unwrap();
        unseen.state().number = 1;
        unseen.state().before.clear();
        append(&unseen, &[session(2)]);
        append(&unseen, &[session(3)]);
        assert_eq!(fs::metadata(unseen.path(1)).unwrap().len(), inbox.backlog());
        assert_eq!(apply_all(&unseen, &store), Vec::<String>::new());
        assert_eq!(sessions(&store), 3);
    }
}
