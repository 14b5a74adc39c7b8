//! A copy of another machine's transcripts in the data folder, `pull/<the URL>/`, that only grows as theirs do.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

use super::remote::{Part, RemoteFile};

/// Bytes before the new ones that are fetched again, to see that the file was only appended to.
const OVERLAP: u64 = 512;

pub struct Mirror {
    folder: PathBuf,
    _lock: File,
}

impl Mirror {
    /// `host` is noted, for whoever takes the copy in.
    pub fn open(data: &Path, url: &str, host: &str) -> anyhow::Result<Self> {
        let folder = data.join("pull").join(file_name(url));
        let failed = || folder.display().to_string();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(failed)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))
            .with_context(failed)?;
        lock.try_lock().map_err(|_| anyhow::anyhow!("another `ducat pull` of {url} is running"))?;
        fs::write(folder.join("host"), host).with_context(failed)?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where the transcripts are.
    pub fn place(&self) -> PathBuf {
        self.folder.join("projects")
    }

    /// A file's copy; none for a name that leads elsewhere.
    fn copy_of(&self, file: &RemoteFile) -> Option<PathBuf> {
        let name = Path::new(&file.name);
        let is_plain = !file.name.is_empty() && name.components().all(|part| matches!(part, Component::Normal(_)));
        is_plain.then(|| self.place().join(file.home.to_string()).join(name))
    }

    /// What is new there.
    pub fn wanted(&self, listed: &[RemoteFile]) -> Vec<Part> {
        let part = |file: &RemoteFile| {
            let have = fs::metadata(self.copy_of(file)?).map_or(0, |meta| meta.len());
            // A file that became shorter is another.
            let is_anew = have > file.size;
            let offset = if is_anew { 0 } else { have.saturating_sub(OVERLAP) };
            (have != file.size).then(|| Part { file: file.clone(), offset, length: file.size - offset, is_anew })
        };
        listed.iter().filter_map(part).collect()
    }

    /// Appends what was fetched; a file that is not what its copy continues is named in `damaged`, to be fetched whole.
    pub fn keep(&self, part: &Part, bytes: &mut dyn Read, damaged: &mut Vec<Part>) -> anyhow::Result<()> {
        let Some(copy) = self.copy_of(&part.file) else { return Ok(()) };
        let failed = || copy.display().to_string();
        if let Some(folder) = copy.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(failed)?;
        }
        if part.is_anew {
            return write_anew(&copy, bytes).with_context(failed);
        }
        let mut open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&copy)
            .with_context(failed)?;
        let have = open.metadata().with_context(failed)?.len();
        let mut known = vec![0; usize::try_from(have.saturating_sub(part.offset)).unwrap_or(0)];
        open.read_exact_at(&mut known, part.offset).with_context(failed)?;
        let mut again = vec![0; known.len()];
        if bytes.read_exact(&mut again).is_err() {
            return Ok(());
        }
        if again != known {
            damaged.push(Part { file: part.file.clone(), offset: 0, length: part.file.size, is_anew: true });
            return Ok(());
        }
        open.seek(SeekFrom::End(0)).with_context(failed)?;
        io::copy(bytes, &mut open).with_context(failed)?;
        Ok(())
    }
}

/// Whole or not at all, and as another file, so that it is read from its beginning.
fn write_anew(copy: &Path, bytes: &mut dyn Read) -> io::Result<()> {
    let unfinished = copy.with_extension("unfinished");
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    io::copy(bytes, &mut open)?;
    open.flush()?;
    fs::rename(unfinished, copy)
}

/// A URL as one name of a file: what is no letter or digit as `%` and two hex digits.
fn file_name(url: &str) -> String {
    let bytes = url.trim_start_matches("ssh://").bytes();
    bytes
        .enumerate()
        .map(|(place, byte)| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            b'-' | b'_' | b'.' if place > 0 => char::from(byte).to_string(),
            byte => format!("%{byte:02x}"),
        })
        .collect()
}

/// All copies in a data folder: where the transcripts are, and their machine.
pub fn all(data: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(data.join("pull")).into_iter().flatten().flatten();
    let copies = entries.filter_map(|entry| {
        let host = fs::read_to_string(entry.path().join("host")).ok().filter(|host| !host.is_empty())?;
        Some((entry.path().join("projects"), host)).filter(|(place, _)| place.is_dir())
    });
    copies.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64) -> RemoteFile {
        RemoteFile { home: 0, path: format!("/h/{name}"), name: name.to_owned(), size }
    }

    fn pull(mirror: &Mirror, name: &str, content: &[u8]) -> Vec<Part> {
        let mut damaged = Vec::new();
        for part in mirror.wanted(&[file(name, content.len() as u64)]) {
            let mut bytes = &content[part.offset as usize..][..part.length as usize];
            mirror.keep(&part, &mut bytes, &mut damaged).unwrap();
        }
        damaged
    }

    #[test]
    fn copies_grow_and_are_made_anew_where_they_must() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(dir.path(), "ssh://ana@box:1/a b", "box").unwrap();
        assert!(Mirror::open(dir.path(), "ssh://ana@box:1/a b", "box").is_err());
        let copy = mirror.place().join("0/p/a.jsonl");
        let read = || fs::read(&copy).unwrap();
        let mut content = b"x".repeat(1000);
        assert!(pull(&mirror, "p/a.jsonl", &content).is_empty());
        content.extend(b"y".repeat(1000));
        let wanted = mirror.wanted(&[file("p/a.jsonl", 2000)]);
        assert_eq!((wanted[0].offset, wanted[0].length), (1000 - OVERLAP, 1000 + OVERLAP));
        assert!(pull(&mirror, "p/a.jsonl", &content).is_empty() && read() == content);
        // Written anew there: longer, and shorter.
        let other = b"z".repeat(3000);
        let damaged = pull(&mirror, "p/a.jsonl", &other);
        mirror.keep(&damaged[0], &mut &other[..], &mut Vec::new()).unwrap();
        assert_eq!(read(), other);
        assert!(pull(&mirror, "p/a.jsonl", b"short").is_empty() && read() == b"short");
        assert!(pull(&mirror, "p/a.jsonl", b"s").is_empty() && read() == b"s");
        // A name that leads elsewhere is nobody's.
        assert!(mirror.wanted(&[file("../../x.jsonl", 5), file("/etc/x.jsonl", 5), file("", 5)]).is_empty());
        assert_eq!(all(dir.path()), [(mirror.place(), "box".to_owned())]);
    }
}
