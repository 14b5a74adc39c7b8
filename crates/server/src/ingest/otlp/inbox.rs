//! What exports told, on disk before it is in the ledger: facts, without content, appended and acknowledged; a thread applies them behind.
//!
//! The ledger keeps how far it has come in the transaction of the facts, so a crash loses none; one told twice joins to itself.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ducat_ledger::Fact;
use ducat_store::{FileCursor, Lane, Store, StoreError, TenantId, Write};
use flate2::Crc;

/// Bytes of a segment after which a new one begins; what is applied is deleted by the segment.
const SEGMENT: u64 = 64 << 20;
/// Bytes that may wait for the ledger; more are not taken.
pub(super) const LARGEST_BACKLOG: u64 = 1 << 30;
/// Facts that are applied at once.
const TOGETHER: usize = 2048;
/// Length, checksum, tenant.
const HEAD: usize = 12;
/// The name under which the ledger keeps how far it has come.
const CURSOR: &str = "ducat:otlp-inbox";
/// While exports come, applying leaves them half of the time; for so long after the last.
const BUSY: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Inbox {
    folder: PathBuf,
    state: Mutex<State>,
    grown: Condvar,
}

struct State {
    /// The segment that is appended to, and its bytes.
    number: u64,
    file: Option<File>,
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
}

impl Inbox {
    /// Opens the inbox beside a ledger; what was appended before a crash and not applied waits in it.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let folder = store.path().with_file_name("otlp-inbox");
        let cursor = store.reader()?.file_cursor(TenantId::LOCAL, CURSOR)?;
        let (first, applied) = cursor.map_or((0, 0), |cursor| (cursor.identity.1, cursor.offset));
        let mut before = Vec::new();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Some(number): Option<u64> = entry.file_name().to_str().and_then(|name| name.strip_suffix(".facts")?.parse().ok())
            else {
                continue;
            };
            if number < first {
                let _ = fs::remove_file(entry.path());
            } else {
                before.push((number, entry.metadata().map_or(0, |meta| meta.len())));
            }
        }
        before.sort_unstable();
        let applied = if before.first().is_some_and(|(number, _)| *number == first) { applied } else { 0 };
        let number = before.last().map_or(first, |(number, _)| number.saturating_add(1)).max(first.saturating_add(1));
        let (file, written, before) = (None, 0, before.into());
        let state = State { number, file, written, before, applied, appended_at: None, closed: false };
        Ok(Self { folder, state: Mutex::new(state), grown: Condvar::new() })
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

    /// Appends an export's facts; after it they survive the end of our process.
    pub fn append(&self, tenant: TenantId, facts: &[Fact]) -> io::Result<()> {
        let mut frame = vec![0; HEAD];
        serde_json::to_writer(&mut frame, facts)?;
        let length = u32::try_from(frame.len() - HEAD).map_err(|_| io::Error::other("more than 4 GiB of facts"))?;
        let mut crc = Crc::new();
        crc.update(&frame[HEAD..]);
        frame[..4].copy_from_slice(&length.to_le_bytes());
        frame[4..8].copy_from_slice(&crc.sum().to_le_bytes());
        frame[8..HEAD].copy_from_slice(&tenant.0.to_le_bytes());
        let mut state = self.state();
        if state.written >= SEGMENT {
            let whole = (state.number, state.written);
            state.before.push_back(whole);
            (state.number, state.written, state.file) = (state.number + 1, 0, None);
        }
        let path = self.path(state.number);
        let mut file = match state.file.take() {
            Some(file) => file,
            None => open_new(&self.folder, &path)?,
        };
        if let Err(cause) = file.write_all(&frame) {
            // Half a frame must not stand before whole ones.
            file.set_len(state.written)?;
            state.file = Some(file);
            return Err(cause);
        }
        state.file = Some(file);
        state.written += frame.len() as u64;
        state.appended_at = Some(Instant::now());
        drop(state);
        self.grown.notify_one();
        Ok(())
    }

    /// Applies what is appended until the inbox is closed; what is left then is applied by the next start.
    pub fn apply(&self, store: &Store, say: &dyn Fn(&str)) {
        let mut open: Option<(u64, File)> = None;
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
            match self.apply_some(&mut open, number, from, end, store) {
                Ok(to) => {
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
                    say(&format!("telemetry waits in {}: {fault}; trying again", self.path(number).display()));
                    open = None;
                    let state = self.state();
                    drop(self.grown.wait_timeout_while(state, RETRY, |state| !state.closed));
                }
            }
        }
    }

    /// Applies some frames of a segment from an offset; returns the offset after them.
    fn apply_some(&self, open: &mut Option<(u64, File)>, number: u64, from: u64, end: u64, store: &Store) -> Result<u64, Fault> {
        let file = match open {
            Some((known, file)) if *known == number => file,
            open => &mut open.insert((number, File::open(self.path(number))?)).1,
        };
        file.seek(SeekFrom::Start(from))?;
        let (mut at, mut facts, mut of) = (from, Vec::new(), None);
        while at < end && facts.len() < TOGETHER {
            let Some((tenant, body)) = frame(file, end - at)? else {
                // Torn by the end of a machine, so never acknowledged; nothing whole stands behind it.
                at = end;
                break;
            };
            if of.is_some_and(|of| of != tenant) {
                break;
            }
            of = Some(tenant);
            at += (HEAD + body.len()) as u64;
            facts.extend(serde_json::from_slice::<Vec<Fact>>(&body).map_err(StoreError::from)?);
        }
        let cursor =
            FileCursor { path: CURSOR.to_owned(), identity: (0, number), offset: at, tail: [0; 16], state: String::new() };
        // The cursor's row is of the one tenant that reads it; a file of another's facts is no fact.
        let tenant = of.unwrap_or(TenantId::LOCAL);
        let cursors = if tenant == TenantId::LOCAL { vec![cursor] } else { Vec::new() };
        store.write(Write { lane: Lane::Bulk, tenant, facts, event: None, cursors }).map_err(Fault::Store)?;
        Ok(at)
    }

    pub fn close(&self) {
        self.state().closed = true;
        self.grown.notify_all();
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The next frame within so many bytes; `None` where it is not whole.
fn frame(file: &mut File, left: u64) -> io::Result<Option<(TenantId, Vec<u8>)>> {
    let mut head = [0; HEAD];
    if left < HEAD as u64 {
        return Ok(None);
    }
    file.read_exact(&mut head)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if u64::from(word(0)) > left - HEAD as u64 {
        return Ok(None);
    }
    let mut body = vec![0; word(0) as usize];
    file.read_exact(&mut body)?;
    let mut crc = Crc::new();
    crc.update(&body);
    Ok((crc.sum() == word(4)).then_some((TenantId(word(8)), body)))
}

fn open_new(folder: &Path, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ducat_ledger::{FieldClass, Key, KeySpace, Session, Witness, Witnesses};
    use ducat_prices::PriceTable;
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

    /// What was appended before a crash is applied after it, whatever half frame ends the file.
    #[test]
    fn what_was_appended_is_in_the_ledger_after_a_crash() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = store(folder.path());
        let inbox = Inbox::open(&store).unwrap();
        for number in 0..50 {
            inbox.append(TenantId::LOCAL, &[session(2 * number), session(2 * number + 1)]).unwrap();
        }
        let (path, waiting) = (inbox.path(1), inbox.backlog());
        drop(inbox);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[200, 0, 0, 0, 1, 2, 3]).unwrap();

        for _ in 0..2 {
            let inbox = Inbox::open(&store).unwrap();
            assert!([waiting + 7, 0].contains(&inbox.backlog()));
            std::thread::scope(|scope| {
                scope.spawn(|| inbox.apply(&store, &|what| panic!("{what}")));
                let begun = Instant::now();
                while inbox.backlog() > 0 && begun.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                inbox.close();
            });
            assert_eq!(inbox.backlog(), 0);
            assert_eq!(store.reader().unwrap().sessions(TenantId::LOCAL, 0, 1000).unwrap().len(), 100);
            assert!(!path.exists());
        }
    }
}
