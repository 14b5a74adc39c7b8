//! The folder events wait in: one file an event, written in `tmp/` and renamed into `new/`. No locks; any number of hooks and one server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::frame::Frame;
use crate::{EventId, now_ms};

/// What may wait; beyond it the oldest go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub files: usize,
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: 20_000, bytes: 64 << 20 }
    }
}

/// A missed deadline makes hooks spool at once for this long, doubling.
const FIRST_PAUSE_MS: u64 = 5_000;
const LONGEST_PAUSE_MS: u64 = 60_000;
/// A probe that has not ended by then was killed.
pub(crate) const PROBE_LASTS: Duration = Duration::from_secs(10);
/// A hook that has not ended writing by then was killed.
const WRITING_LASTS: Duration = Duration::from_secs(60);

/// A spool folder; it need not exist.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
}

/// An event that waits. Its name tells all but the payload: `<time ms>-<id>-<bytes>.<agent>`, time padded so that names sort by it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spooled {
    pub at_ms: u64,
    id: String,
    pub bytes: u64,
    pub agent: String,
    path: PathBuf,
}

impl Spooled {
    fn of(path: PathBuf) -> Option<Self> {
        let (stem, agent) = path.file_name()?.to_str()?.split_once('.')?;
        let mut parts = stem.split('-');
        let (at_ms, id, bytes) = (parts.next()?.parse().ok()?, parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        EventId::parse(&id)?;
        Some(Self { at_ms, id, bytes, agent: agent.to_owned(), path })
    }

    pub fn id(&self) -> EventId {
        EventId::parse(&self.id).unwrap_or_default()
    }

    pub fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(&self.path)
    }

    /// The event as it was to be delivered.
    pub fn frame(&self) -> io::Result<Frame> {
        Ok(Frame { id: self.id(), at_ms: self.at_ms, agent: self.agent.clone(), payload: self.read()? })
    }

    /// It is in the ledger.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Spool {
    pub fn new(folder: impl Into<PathBuf>, limits: Limits) -> Self {
        Self { folder: folder.into(), limits }
    }

    /// Keeps an event, whole or not at all, and drops the oldest beyond the limits.
    pub fn put(&self, id: EventId, at_ms: u64, agent: &str, payload: &[u8]) -> io::Result<()> {
        let name = format!("{at_ms:016}-{id}-{}.{agent}", payload.len());
        let (unfinished, place) = (self.folder.join("tmp").join(&name), self.folder.join("new").join(&name));
        let keep = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(payload)?;
            fs::rename(&unfinished, &place)
        };
        // Either folder may be missing: another hook may be making them just now.
        let kept = keep().or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            for folder in ["tmp", "new"] {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(self.folder.join(folder))?;
            }
            keep()
        });
        if let Err(error) = kept {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        self.drop_oldest();
        Ok(())
    }

    /// What waits, the oldest first. Files of other names are none of ours.
    pub fn waiting(&self) -> io::Result<Vec<Spooled>> {
        let entries = match fs::read_dir(self.folder.join("new")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut waiting: Vec<Spooled> = entries.flatten().filter_map(|entry| Spooled::of(entry.path())).collect();
        waiting.sort();
        Ok(waiting)
    }

    /// Puts an event that cannot be read where a person can look at it.
    pub fn set_aside(&self, event: &Spooled) -> io::Result<()> {
        let broken = self.folder.join("broken");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&broken)?;
        fs::rename(&event.path, broken.join(event.path.file_name().unwrap_or_default()))
    }

    /// Files that hooks began and never finished: their processes were killed.
    pub fn abandoned(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.join("tmp")).into_iter().flatten().flatten();
        let is_old = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| is_older(&meta, WRITING_LASTS));
        entries.map(|entry| entry.path()).filter(is_old).collect()
    }

    /// Lets whole events of dead hooks wait, and removes those that were cut off; how many of each.
    pub fn finish_abandoned(&self) -> io::Result<(usize, usize)> {
        let (mut kept, mut removed) = (0, 0);
        for path in self.abandoned() {
            let told = path.file_name().and_then(|name| Some((self.folder.join("new").join(name), Spooled::of(path.clone())?)));
            match told {
                Some((place, event)) if fs::metadata(&path)?.len() == event.bytes => {
                    fs::DirBuilder::new().recursive(true).mode(0o700).create(self.folder.join("new"))?;
                    fs::rename(&path, place)?;
                    kept += 1;
                }
                _ => {
                    fs::remove_file(&path)?;
                    removed += 1;
                }
            }
        }
        Ok((kept, removed))
    }

    /// The marks of a server that once missed a deadline, when their time is long over: the next hook tries it again anyway.
    pub fn stale_marks(&self) -> Vec<PathBuf> {
        let of = |name: &str| Some(self.folder.join(name)).filter(|path| path.exists());
        let hanging = of("hanging").filter(|_| self.hanging().is_none_or(|(until_ms, _)| until_ms + LONGEST_PAUSE_MS < now_ms()));
        let probe = of("probe").filter(|path| fs::metadata(path).is_ok_and(|meta| is_older(&meta, PROBE_LASTS)));
        hanging.into_iter().chain(probe).collect()
    }

    /// When hooks that found the server hanging try it again, in ms since 1970; `None` when it is not marked so.
    pub fn hangs_until(&self) -> Option<u64> {
        self.hanging().map(|(until_ms, _)| until_ms)
    }

    /// How many events that cannot be read were set aside.
    pub fn broken(&self) -> usize {
        fs::read_dir(self.folder.join("broken")).into_iter().flatten().flatten().count()
    }

    /// When the last event was dropped.
    pub fn dropped_at(&self) -> Option<SystemTime> {
        fs::metadata(self.folder.join("dropped")).and_then(|meta| meta.modified()).ok()
    }

    /// How many events were dropped because too many waited, ever.
    pub fn dropped(&self) -> u64 {
        fs::metadata(self.folder.join("dropped")).map_or(0, |meta| meta.len())
    }

    fn drop_oldest(&self) {
        let Ok(waiting) = self.waiting() else { return };
        let mut files = waiting.len();
        let mut bytes: u64 = waiting.iter().map(|event| event.bytes).sum();
        for event in waiting {
            if files <= self.limits.files && bytes <= self.limits.bytes {
                return;
            }
            files -= 1;
            bytes -= event.bytes;
            // Who removes it counts it; a byte a file, because appending is atomic.
            if event.remove().is_ok()
                && let Ok(mut dropped) =
                    OpenOptions::new().append(true).create(true).mode(0o600).open(self.folder.join("dropped"))
            {
                let _ = dropped.write_all(b".");
            }
        }
    }

    /// Whether to try the server. While it is marked as hanging, one of the hooks whose turn it is may, as a probe.
    pub fn may_deliver(&self) -> bool {
        let Some((until_ms, _)) = self.hanging() else { return true };
        if now_ms() < until_ms {
            return false;
        }
        let probe = self.folder.join("probe");
        if fs::metadata(&probe).is_ok_and(|meta| is_older(&meta, PROBE_LASTS)) {
            let _ = fs::remove_file(&probe);
        }
        File::create_new(&probe).is_ok()
    }

    /// The server missed a deadline: hooks leave it alone for a while, twice as long as the last time.
    pub fn mark_hanging(&self) {
        let pause = self.hanging().map_or(FIRST_PAUSE_MS, |(_, pause)| (pause * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS));
        let marker = self.folder.join("hanging");
        let unfinished = self.folder.join(format!("hanging.{}", std::process::id()));
        let text = format!("{} {pause}", now_ms() + pause);
        if fs::write(&unfinished, &text).is_err() {
            let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
            let _ = fs::write(&unfinished, text);
        }
        let _ = fs::rename(unfinished, marker);
        let _ = fs::remove_file(self.folder.join("probe"));
    }

    /// The server answers.
    pub fn mark_answering(&self) {
        if self.hanging().is_some() {
            let _ = fs::remove_file(self.folder.join("hanging"));
            let _ = fs::remove_file(self.folder.join("probe"));
        }
    }

    /// Until when hooks leave the server alone, and for how long in all.
    fn hanging(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(self.folder.join("hanging")).ok()?;
        let (until, pause) = text.split_once(' ')?;
        let (until, pause): (u64, u64) = (until.parse().ok()?, pause.parse().ok()?);
        // A clock that was set back must not silence hooks for long.
        Some((until.min(now_ms() + LONGEST_PAUSE_MS), pause))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn is_older(meta: &fs::Metadata, age: Duration) -> bool {
    meta.modified().is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    pub(crate) fn spool(files: usize, bytes: u64) -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().join("spool"), Limits { files, bytes });
        (dir, spool)
    }

    #[test]
    fn events_come_back_oldest_first() {
        let (_dir, spool) = spool(10, 1000);
        assert!(spool.waiting().unwrap().is_empty());
        let ids = [EventId::new(), EventId::new()];
        spool.put(ids[1], 20, "claude-code", b"second").unwrap();
        spool.put(ids[0], 3, "claude-code", b"first").unwrap();
        let waiting = spool.waiting().unwrap();
        assert_eq!(waiting.iter().map(Spooled::id).collect::<Vec<_>>(), ids);
        assert_eq!(
            (waiting[0].at_ms, waiting[0].agent.as_str(), waiting[0].read().unwrap()),
            (3, "claude-code", b"first".to_vec())
        );
        waiting[0].remove().unwrap();
        spool.set_aside(&waiting[1]).unwrap();
        assert!(spool.waiting().unwrap().is_empty());
        assert_eq!(fs::read_dir(spool.folder().join("broken")).unwrap().count(), 1);
        assert_eq!(fs::metadata(spool.folder().join("new")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let (_dir, by_files) = spool(3, 1000);
        let (_other, by_bytes) = spool(100, 25);
        for at in 0..10 {
            by_files.put(EventId::new(), at, "a", b"0123456789").unwrap();
            by_bytes.put(EventId::new(), at, "a", b"0123456789").unwrap();
        }
        let times = |spool: &Spool| spool.waiting().unwrap().iter().map(|event| event.at_ms).collect::<Vec<_>>();
        assert_eq!((times(&by_files), by_files.dropped()), (vec![7, 8, 9], 7));
        assert_eq!((times(&by_bytes), by_bytes.dropped()), (vec![8, 9], 8));
    }

    #[test]
    fn many_hooks_at_once_lose_nothing() {
        let (_dir, spool) = spool(1000, 1 << 20);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..50).for_each(|at| spool.put(EventId::new(), at, "a", b"x").unwrap()));
            }
        });
        assert_eq!((spool.waiting().unwrap().len(), spool.dropped()), (400, 0));
    }

    /// The first hooks of a machine come at once, each finding what the others have made so far.
    #[test]
    fn no_event_is_lost_while_the_folder_is_made() {
        for made in ["tmp", "new"] {
            let (_dir, spool) = spool(10, 1000);
            fs::create_dir_all(spool.folder().join(made)).unwrap();
            spool.put(EventId::new(), 1, "a", b"x").unwrap();
            assert_eq!(spool.waiting().unwrap().len(), 1, "{made}");
        }
        for _ in 0..50 {
            let (_dir, spool) = spool(1000, 1 << 20);
            let together = std::sync::Barrier::new(16);
            thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        together.wait();
                        spool.put(EventId::new(), 1, "a", b"x").unwrap();
                    });
                }
            });
            assert_eq!(spool.waiting().unwrap().len(), 16);
        }
    }

    #[test]
    fn what_dead_hooks_left_is_finished_or_removed() {
        let (_dir, spool) = spool(10, 1000);
        spool.put(EventId::new(), 1, "claude-code", b"whole").unwrap();
        let name = spool.waiting().unwrap()[0].path.file_name().unwrap().to_owned();
        let left = |name: &std::ffi::OsStr, bytes: &[u8], age: u64| {
            let path = spool.folder().join("tmp").join(name);
            fs::write(&path, bytes).unwrap();
            let at = SystemTime::now() - Duration::from_secs(age);
            File::options().append(true).open(&path).unwrap().set_modified(at).unwrap();
        };
        spool.waiting().unwrap()[0].remove().unwrap();
        left(&name, b"whole", 1);
        assert!(spool.abandoned().is_empty(), "its hook may still be writing");
        left(&name, b"whole", 100);
        left("0000000000000002-00-9.claude-code".as_ref(), b"cut", 100);
        assert_eq!(spool.finish_abandoned().unwrap(), (1, 1));
        assert_eq!(spool.waiting().unwrap()[0].read().unwrap(), b"whole");
        assert!(spool.abandoned().is_empty());
    }

    #[test]
    fn a_hanging_server_is_left_alone_and_probed_by_one() {
        let (_dir, spool) = spool(10, 1000);
        assert!(spool.may_deliver());
        spool.mark_hanging();
        assert!(!spool.may_deliver());
        assert_eq!(spool.hanging().unwrap().1, 5_000);
        fs::write(spool.folder().join("hanging"), "0 5000").unwrap();
        assert_eq!((0..5).filter(|_| spool.may_deliver()).count(), 1, "one probes");
        spool.mark_hanging();
        assert_eq!(spool.hanging().unwrap().1, 10_000);
        for _ in 0..10 {
            spool.mark_hanging();
        }
        assert_eq!(spool.hanging().unwrap().1, 60_000);
        spool.mark_answering();
        assert!(spool.may_deliver());
        assert!(spool.stale_marks().is_empty());
        fs::write(spool.folder().join("hanging"), "1000 5000").unwrap();
        assert_eq!(spool.stale_marks(), [spool.folder().join("hanging")]);
        fs::write(spool.folder().join("hanging"), "nonsense").unwrap();
        assert!(spool.may_deliver());
    }
}
