//! The report's cache: rows of files that have not changed since they were read.
//!
//! Two files, because the lines are needed only when sessions share requests (forks): `rows`, and `lines`. A cache that is missing,
//! damaged or of another version costs time and nothing else.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ducat_ledger::{Key, Line};
use serde::{Deserialize, Serialize};

use crate::file::FileRows;
use crate::homes::TranscriptFile;

/// Changes whenever what a file is decoded to does.
const FORMAT: &str = concat!("ducat-report-cache 5 ", env!("CARGO_PKG_VERSION"));
/// What of a file's end must be unchanged, besides size and time.
const TAIL: u64 = 4096;

/// State of a file when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Stamp {
    identity: (u64, u64),
    size: u64,
    modified_ns: i128,
    tail: [u8; 16],
}

impl Stamp {
    /// `None` when the file cannot be read.
    pub fn of(file: &TranscriptFile) -> Option<Self> {
        let mut end = [0; TAIL as usize];
        let length = file.size.min(TAIL);
        let end = &mut end[..length as usize];
        File::open(&file.path).ok()?.read_exact_at(end, file.size - length).ok()?;
        let mut tail = [0; 16];
        tail.copy_from_slice(&blake3::hash(end).as_bytes()[..16]);
        Some(Self { identity: file.identity, size: file.size, modified_ns: file.modified_ns, tail })
    }
}

#[derive(Default, Serialize, Deserialize)]
struct RowsFile {
    format: String,
    files: Vec<(Stamp, FileRows)>,
}

#[derive(Default, Serialize, Deserialize)]
struct LinesFile {
    format: String,
    files: Vec<(Stamp, Vec<StoredLine>)>,
}

type StoredLine = ([u8; 16], [u8; 16], i64);

/// What earlier reports read of the same homes.
#[derive(Default)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
    rows: HashMap<Stamp, FileRows>,
}

impl Cache {
    /// `folder`: where to keep it; none keeps nothing.
    pub fn open(folder: Option<&Path>) -> Self {
        let rows: RowsFile = folder.and_then(|folder| read(&folder.join("rows"))).unwrap_or_default();
        let rows = if rows.format == FORMAT { rows.files.into_iter().collect() } else { HashMap::new() };
        Self { folder: folder.map(Path::to_owned), rows }
    }

    pub fn take(&mut self, stamp: &Stamp) -> Option<FileRows> {
        self.rows.remove(stamp)
    }

    /// The lines of files whose rows were taken from the cache.
    pub fn lines(&self) -> HashMap<Stamp, Vec<Line>> {
        let lines: LinesFile = self.folder.as_ref().and_then(|folder| read(&folder.join("lines"))).unwrap_or_default();
        if lines.format != FORMAT {
            return HashMap::new();
        }
        let line = |(session, uuid, at)| Line { session: Key(session), uuid, at };
        lines.files.into_iter().map(|(stamp, lines)| (stamp, lines.into_iter().map(line).collect())).collect()
    }

    /// Keeps what was read, in place of what was kept. Failing to is not worth a word: the next report reads again.
    pub fn keep<'a>(&self, files: impl Iterator<Item = (&'a Stamp, &'a FileRows, &'a [Line])> + Clone) -> Option<()> {
        let folder = self.folder.as_ref()?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
        let stored = |line: &Line| (line.session.0, line.uuid, line.at);
        let lines = files.clone().map(|(stamp, _, lines)| (stamp.clone(), lines.iter().map(stored).collect())).collect();
        // Lines first: rows must never be there without theirs.
        write(&folder.join("lines"), &LinesFile { format: FORMAT.to_owned(), files: lines })?;
        let rows = files.map(|(stamp, rows, _)| (stamp.clone(), rows.clone())).collect();
        write(&folder.join("rows"), &RowsFile { format: FORMAT.to_owned(), files: rows })
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    postcard::from_bytes(&fs::read(path).ok()?).ok()
}

/// Written beside and renamed, so that two reports at a time leave one whole cache.
fn write(path: &Path, value: &impl Serialize) -> Option<()> {
    let bytes = postcard::to_stdvec(value).ok()?;
    let draft = path.with_extension(std::process::id().to_string());
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft).ok()?;
    file.write_all(&bytes).ok()?;
    fs::rename(&draft, path).ok()
}
