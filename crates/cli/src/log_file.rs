//! A log file that cannot grow without end.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use jiff::Timestamp;

/// Beyond this many bytes the file is put aside.
const LARGEST: u64 = 10 << 20;
/// Files put aside: `ducat.log.1`, the newest, to `ducat.log.3`.
const KEPT: u32 = 3;
/// Of a line, in bytes; what is foreign in it has no end of its own.
const LONGEST_LINE: usize = 8 << 10;

/// A file of timestamped lines, private to the user. Any number of threads, and of processes, may write to it.
pub struct LogFile {
    path: PathBuf,
    largest: u64,
    /// `None` after it could not be opened; the next line tries again.
    file: Mutex<Option<File>>,
}

impl LogFile {
    /// Opens it, making its folder (mode 0700) if need be.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Self::open_with(path, LARGEST)
    }

    fn open_with(path: &Path, largest: u64) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .with_context(|| format!("log folder {}", folder.display()))?;
        }
        let file = append_to(&path).with_context(|| format!("log file {}", path.display()))?;
        Ok(Self { path, largest, file: Mutex::new(Some(file)) })
    }

    /// Appends a line. A full or broken disk loses it, and nothing else: the server goes on.
    pub fn say(&self, words: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let end = (0..=words.len().min(LONGEST_LINE)).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
        // One write, so that lines of several processes do not mix.
        let line = format!("{:.3} {}\n", Timestamp::now(), words[..end].replace(['\n', '\r'], " "));
        if self.was_moved(file.as_ref()) {
            *file = append_to(&self.path).ok();
        }
        if file.as_ref().and_then(|file| file.metadata().ok()).is_some_and(|meta| meta.len() + line.len() as u64 > self.largest) {
            *file = self.put_aside(file.take());
        }
        if let Some(open) = file.as_mut() {
            let _ = open.write_all(line.as_bytes());
        }
    }

    /// Somebody removed or renamed it, or another process put it aside.
    fn was_moved(&self, file: Option<&File>) -> bool {
        let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
        let open = file.and_then(|file| file.metadata().ok());
        open.is_none_or(|open| !fs::metadata(&self.path).is_ok_and(|there| identity(&there) == identity(&open)))
    }

    fn put_aside(&self, full: Option<File>) -> Option<File> {
        let place = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..KEPT).rev() {
            let _ = fs::rename(place(number), place(number + 1));
        }
        match fs::rename(&self.path, place(1)).and_then(|()| append_to(&self.path)) {
            Ok(file) => Some(file),
            // Where nothing can be put aside, what is there goes: the bound holds.
            Err(_) => full.filter(|file| file.set_len(0).is_ok()),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// All files of a log, the oldest first.
    fn files(path: &Path) -> Vec<PathBuf> {
        let aside = (1..=KEPT + 1).rev().map(|number| PathBuf::from(format!("{}.{number}", path.display())));
        aside.chain([path.to_owned()]).filter(|path| path.exists()).collect()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/ducat.log");
        let log = LogFile::open_with(&path, 1000).unwrap();
        (0..500).for_each(|number| log.say(&format!("line {number}")));
        let files = files(&path);
        assert_eq!(files.len(), 1 + KEPT as usize);
        assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 1000));
        assert!(files.iter().all(|file| fs::metadata(file).unwrap().permissions().mode() & 0o777 == 0o600));
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        // What is left is the end, without a gap.
        let kept: Vec<String> = files.iter().flat_map(|file| lines(file)).collect();
        let numbers: Vec<usize> = kept.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (500 - numbers.len()..500).collect::<Vec<_>>());
        assert!(kept[0].split(' ').next().unwrap().parse::<Timestamp>().is_ok(), "{}", kept[0]);
    }

    #[test]
    fn many_threads_and_two_openers_write_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ducat.log");
        let logs = [LogFile::open_with(&path, 1 << 20).unwrap(), LogFile::open_with(&path, 1 << 20).unwrap()];
        thread::scope(|scope| {
            for thread in 0..8 {
                let log = &logs[thread % 2];
                scope.spawn(move || (0..200).for_each(|number| log.say(&format!("thread {thread} line {number}"))));
            }
        });
        let lines = lines(&path);
        assert_eq!(lines.len(), 8 * 200);
        assert!(lines.iter().all(|line| line.split(' ').count() == 5), "{lines:?}");
    }

    #[test]
    fn a_second_opener_follows_when_the_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ducat.log");
        let (one, other) = (LogFile::open_with(&path, 300).unwrap(), LogFile::open_with(&path, 300).unwrap());
        (0..10).for_each(|_| one.say("a line of one"));
        other.say("a line of the other");
        assert!(lines(&path).last().unwrap().ends_with("a line of the other"));
        fs::remove_file(&path).unwrap();
        one.say("after it was removed");
        assert_eq!(lines(&path).len(), 1);
    }

    #[test]
    fn a_line_has_one_line_and_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ducat.log");
        let log = LogFile::open(&path).unwrap();
        log.say(&format!("two\nlines {}", "ü".repeat(LONGEST_LINE)));
        let lines = lines(&path);
        assert!(lines.len() == 1 && lines[0].len() < LONGEST_LINE + 64, "{}", lines.len());
    }

    /// `/dev/full` refuses every write as a full disk does.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_loses_lines_and_nothing_else() {
        let log = LogFile::open(Path::new("/dev/full")).unwrap();
        log.say("lost");
        log.say("lost too");
    }

    #[test]
    fn where_nothing_can_be_put_aside_the_bound_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ducat.log");
        let log = LogFile::open_with(&path, 300).unwrap();
        // No file can take the place of a folder, not even root's.
        fs::create_dir_all(dir.path().join("ducat.log.1/x")).unwrap();
        fs::create_dir_all(dir.path().join("ducat.log.2/x")).unwrap();
        fs::create_dir_all(dir.path().join("ducat.log.3/x")).unwrap();
        (0..50).for_each(|number| log.say(&format!("line {number}")));
        assert!(fs::metadata(&path).unwrap().len() <= 300);
        assert!(lines(&path).last().unwrap().ends_with("line 49"));
    }
}
