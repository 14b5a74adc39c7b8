//! The last word of each session's status line, which waits in a place of its own: updates come three times a second, and must push no hook
//! event out.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::folder::PROBE_LASTS;
use crate::{Frame, Spool};

/// Where the last word of each session's status line waits.
const LATEST: &str = "latest";
/// Sessions whose last word waits; beyond them the oldest words go.
const MOST_LATEST: usize = 1000;

/// The last event of its name, taken out to be stored.
#[derive(Debug)]
pub struct Latest {
    pub frame: Frame,
    path: PathBuf,
}

impl Latest {
    /// It is in the ledger. One that is not stays, and is taken again.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// A session's id as a file's name.
fn file_name(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).take(100).collect()
}

impl Spool {
    /// Keeps an event in place of the one before under the same name: of a status line only the last word matters. One that is being
    /// drained is left to the drain.
    pub fn put_latest(&self, name: &str, frame: &Frame) -> io::Result<()> {
        let folder = self.folder().join(LATEST);
        let unfinished = folder.join(format!("{}.tmp", frame.id));
        let bytes = frame.encode();
        let write = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?.write_all(&bytes);
        let written = write().or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            write()
        });
        let place = folder.join(file_name(name));
        let kept = written.and_then(|()| {
            // Where a file is replaced, some file systems write the new one out first, which takes as long as all else together. In between
            // there is neither, and a process that ends right there loses a word that the next update repeats.
            let is_first = fs::remove_file(&place).is_err();
            fs::rename(&unfinished, place).map(|()| is_first)
        });
        match kept {
            Ok(true) => self.drop_oldest_latest(),
            Ok(false) => {}
            Err(_) => drop(fs::remove_file(&unfinished)),
        }
        kept.map(drop)
    }

    /// Of more sessions than may wait, those that said nothing for the longest go.
    fn drop_oldest_latest(&self) {
        let entries = fs::read_dir(self.folder().join(LATEST)).into_iter().flatten().flatten();
        let mut waiting: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.extension().is_none()).collect();
        let Some(surplus) = waiting.len().checked_sub(MOST_LATEST).filter(|surplus| *surplus > 0) else { return };
        waiting.sort_by_cached_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH));
        waiting.iter().take(surplus).for_each(|path| drop(fs::remove_file(path)));
    }

    /// Takes the latest events out, each under a name that no writer uses. `Err` in one says that it cannot be read; it is gone.
    pub fn take_latest(&self) -> Vec<io::Result<Latest>> {
        let entries = fs::read_dir(self.folder().join(LATEST)).into_iter().flatten().flatten();
        let mut taken = Vec::new();
        for entry in entries.take(MOST_LATEST) {
            let path = entry.path();
            let is_abandoned = || {
                entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > PROBE_LASTS))
            };
            let draining = match path.extension().and_then(|extension| extension.to_str()) {
                // A process that was killed left it.
                Some("tmp") if is_abandoned() => {
                    let _ = fs::remove_file(&path);
                    continue;
                }
                Some("tmp") => continue,
                // So did a drain.
                Some("draining") => path,
                _ => {
                    let draining = path.with_extension("draining");
                    // Its word before is not in the ledger yet: this one comes with the next drain.
                    if draining.exists() || fs::rename(&path, &draining).is_err() {
                        continue;
                    }
                    draining
                }
            };
            taken.push(fs::read(&draining).and_then(|bytes| match Frame::decode(&bytes) {
                Ok(frame) => Ok(Latest { frame, path: draining }),
                Err(_) => {
                    let _ = fs::remove_file(&draining);
                    Err(io::Error::other("a spooled status line is no event"))
                }
            }));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventId;
    use crate::folder::tests::spool;
    use std::fs::File;
    use std::time::Duration;

    #[test]
    fn of_a_status_line_the_last_word_waits() {
        let (_dir, spool) = spool(10, 1000);
        let frame = |payload: &str| Frame { id: EventId::new(), at_ms: 7, agent: "a".into(), payload: payload.into() };
        let (first, second) = (frame("first"), frame("second"));
        spool.put_latest("session/1", &first).unwrap();
        spool.put_latest("session/1", &second).unwrap();
        spool.put_latest("session-2", &frame("other")).unwrap();
        assert!(spool.waiting().unwrap().is_empty(), "none of them is in the hooks' way");
        let taken: Vec<Latest> = spool.take_latest().into_iter().map(Result::unwrap).collect();
        assert_eq!(taken.len(), 2);
        assert!(taken.iter().any(|latest| latest.frame == second));
        // One that came meanwhile is not removed with the one before.
        spool.put_latest("session/1", &first).unwrap();
        taken.iter().for_each(|latest| latest.remove().unwrap());
        let again: Vec<Latest> = spool.take_latest().into_iter().map(Result::unwrap).collect();
        assert_eq!(again.iter().map(|latest| &latest.frame).collect::<Vec<_>>(), [&first]);
        // A drain that was killed leaves it to the next.
        assert_eq!(spool.take_latest().len(), 1);
        fs::write(spool.folder().join("latest/broken"), "no frame").unwrap();
        assert_eq!(spool.take_latest().iter().filter(|taken| taken.is_err()).count(), 1);
    }

    #[test]
    fn a_word_that_cannot_be_written_takes_none_away() {
        let (_dir, spool) = spool(10, 1000);
        let frame = |payload: &str| Frame { id: EventId::new(), at_ms: 7, agent: "a".into(), payload: payload.into() };
        let (first, second) = (frame("first"), frame("second"));
        spool.put_latest("s", &first).unwrap();
        // Stands for a full disk: the file that it would be written to is there.
        fs::create_dir(spool.folder().join(format!("latest/{}.tmp", second.id))).unwrap();
        spool.put_latest("s", &second).unwrap_err();
        assert_eq!(fs::read(spool.folder().join("latest/s")).unwrap(), first.encode());
    }

    #[test]
    fn a_newer_word_waits_until_the_one_before_is_drained() {
        let (_dir, spool) = spool(10, 1000);
        let frame = |payload: &str| Frame { id: EventId::new(), at_ms: 7, agent: "a".into(), payload: payload.into() };
        let (first, second) = (frame("first"), frame("second"));
        spool.put_latest("s", &first).unwrap();
        // This drain was killed, or the ledger did not take it.
        assert_eq!(spool.take_latest().len(), 1);
        spool.put_latest("s", &second).unwrap();
        for expected in [&first, &second] {
            let taken: Vec<Latest> = spool.take_latest().into_iter().map(Result::unwrap).collect();
            assert_eq!(taken.iter().map(|latest| &latest.frame).collect::<Vec<_>>(), [expected]);
            taken.iter().for_each(|latest| latest.remove().unwrap());
        }
        assert!(spool.take_latest().is_empty());
    }

    #[test]
    fn the_last_words_of_old_sessions_go() {
        let (_dir, spool) = spool(10, 1000);
        let frame = Frame { id: EventId::new(), at_ms: 7, agent: "a".into(), payload: b"x".to_vec() };
        for number in 0..MOST_LATEST {
            spool.put_latest(&format!("s{number}"), &Frame { id: EventId::new(), ..frame.clone() }).unwrap();
            let at = SystemTime::now() - Duration::from_secs(2000 - number as u64);
            File::open(spool.folder().join(format!("latest/s{number}"))).unwrap().set_modified(at).unwrap();
        }
        spool.put_latest("one-more", &frame).unwrap();
        let is_there = |name: &str| spool.folder().join("latest").join(name).exists();
        assert!(!is_there("s0") && is_there("s1") && is_there("one-more"));
    }
}
