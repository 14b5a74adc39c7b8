//! What Claude Code will delete of its transcripts, when, and whether the ledger has it.
//!
//! As its program does it: once a session has started, a transcript last written more than `cleanupPeriodDays` ago goes, and with it the
//! folder of its sub-agents, however new that is.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ducat_ledger::UnixMs;
use ducat_store::FileCursor;
use serde_json::Value;

use crate::homes::{Home, TranscriptFile};
use crate::retention::Retention;
use crate::transcripts::goes_on;

const DAY_MS: i64 = 86_400_000;
/// What goes within this time is counted and named.
pub const GOES_SOON_MS: i64 = 7 * DAY_MS;
/// A last line without its break is read as it is; more than this behind a cursor was not read.
const LONGEST_REST: u64 = 1 << 20;

/// The transcripts of one of Claude Code's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Which holds `projects`.
    pub folder: PathBuf,
    pub retention: Retention,
    /// When the first of them goes, at the earliest: with the next session after this. Ms since 1970; passed when it is due.
    pub next_deletion_at: Option<UnixMs>,
    /// Those that go within [`GOES_SOON_MS`], and their bytes.
    pub files: u64,
    pub bytes: u64,
    /// Those of them that the ledger has not, or not to their end.
    pub not_imported: Vec<PathBuf>,
    /// When the first of those goes.
    pub first_loss_at: Option<UnixMs>,
}

/// The histories of homes, of which these files were found. `kept` tells how far files were imported or shipped; it is asked only when
/// something goes soon.
pub fn histories(
    homes: &[Home],
    files: &[&TranscriptFile],
    managed: &[(PathBuf, Value)],
    now: UnixMs,
    kept: &dyn Fn() -> Vec<FileCursor>,
) -> Vec<History> {
    let imported = OnceCell::new();
    let is_imported = |file: &TranscriptFile| imported.get_or_init(|| Cursors::load(kept())).reach_end_of(file);
    homes.iter().map(|home| history(home, files, managed, now, &is_imported)).collect()
}

fn history(
    home: &Home,
    files: &[&TranscriptFile],
    managed: &[(PathBuf, Value)],
    now: UnixMs,
    is_imported: &dyn Fn(&TranscriptFile) -> bool,
) -> History {
    let folder = home.folder.parent().unwrap_or(&home.folder).to_owned();
    let retention = Retention::of(&folder, managed);
    let mut history =
        History { folder, retention, next_deletion_at: None, files: 0, bytes: 0, not_imported: Vec::new(), first_loss_at: None };
    let Some(days) = history.retention.days else { return history };
    let own: Vec<&TranscriptFile> = files.iter().copied().filter(|file| file.path.starts_with(&home.folder)).collect();
    let written: HashMap<&Path, UnixMs> = own.iter().map(|file| (file.path.as_path(), written_at(file))).collect();
    for file in own {
        let goes_at = goes_with(&home.folder, file, &written).saturating_add(i64::from(days).saturating_mul(DAY_MS));
        let earliest = |known: Option<UnixMs>| Some(known.map_or(goes_at, |known| known.min(goes_at)));
        history.next_deletion_at = earliest(history.next_deletion_at);
        if goes_at > now.saturating_add(GOES_SOON_MS) {
            continue;
        }
        history.files += 1;
        history.bytes += file.size;
        // Of an empty file there is nothing to lose, and no cursor.
        if file.size > 0 && !is_imported(file) {
            history.not_imported.push(file.path.clone());
            history.first_loss_at = earliest(history.first_loss_at);
        }
    }
    history
}

fn written_at(file: &TranscriptFile) -> UnixMs {
    i64::try_from(file.modified_ns / 1_000_000).unwrap_or(i64::MAX)
}

/// When the transcript was written with which this one goes: `PROJECT/SESSION.jsonl` for what is in `PROJECT/SESSION/`, else itself.
fn goes_with(projects: &Path, file: &TranscriptFile, written: &HashMap<&Path, UnixMs>) -> UnixMs {
    let mut parts = file.path.strip_prefix(projects).into_iter().flat_map(Path::components);
    let session = (parts.next(), parts.next(), parts.next());
    let parent = match session {
        (Some(project), Some(session), Some(_)) => {
            let mut name = session.as_os_str().to_owned();
            name.push(".jsonl");
            written.get(projects.join(project).join(name).as_path()).copied()
        }
        _ => None,
    };
    parent.unwrap_or_else(|| written_at(file))
}

/// How far files were read, by device and inode: the same file may have been read under another path.
struct Cursors(HashMap<(u64, u64), Vec<FileCursor>>);

impl Cursors {
    fn load(cursors: Vec<FileCursor>) -> Self {
        let mut by_identity: HashMap<_, Vec<FileCursor>> = HashMap::new();
        cursors.into_iter().for_each(|cursor| by_identity.entry(cursor.identity).or_default().push(cursor));
        Self(by_identity)
    }

    fn reach_end_of(&self, file: &TranscriptFile) -> bool {
        let Some(cursors) = self.0.get(&file.identity) else { return false };
        let Ok(open) = File::open(&file.path) else { return false };
        cursors.iter().any(|cursor| {
            goes_on(cursor, file, &open)
                && (cursor.offset == file.size || is_one_line(&open, cursor.offset, file.size - cursor.offset))
        })
    }
}

fn is_one_line(file: &File, offset: u64, length: u64) -> bool {
    let mut rest = Vec::new();
    let from = At { file, offset };
    length <= LONGEST_REST && from.take(length).read_to_end(&mut rest).is_ok() && memchr::memchr(b'\n', &rest).is_none()
}

/// Reads from a place of a file that others read too.
struct At<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use ducat_capture::Agent;

    use super::*;
    use crate::homes::find_transcripts;
    use std::fs::{self, FileTimes};
    use std::time::{Duration, SystemTime};

    fn aged(path: &Path, days: u64) {
        aged_with(path, days, "{}\n");
    }

    fn aged_with(path: &Path, days: u64, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        let at = SystemTime::now() - Duration::from_secs(days * 86_400);
        File::options().append(true).open(path).unwrap().set_times(FileTimes::new().set_modified(at)).unwrap();
    }

    fn history_of(folder: &Path) -> History {
        let homes = [Home::of(Agent::ClaudeCode, folder.join("projects"))];
        let files = find_transcripts(&homes, &mut Vec::new());
        let files: Vec<&TranscriptFile> = files.iter().collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        let mut found = histories(&homes, &files, &[], now, &Vec::new);
        let history = found.remove(0);
        let in_days = |at: Option<UnixMs>| at.map(|at| (at - now + DAY_MS / 2).div_euclid(DAY_MS));
        History { next_deletion_at: in_days(history.next_deletion_at), first_loss_at: in_days(history.first_loss_at), ..history }
    }

    #[test]
    fn what_goes_is_counted_by_its_session_and_dated() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("projects/-p");
        aged(&project.join("new.jsonl"), 0);
        assert_eq!((history_of(dir.path()).next_deletion_at, history_of(dir.path()).files), (Some(30), 0));
        aged(&project.join("old.jsonl"), 25);
        // It goes with its session, though it was written later; one without a session goes by itself.
        aged(&project.join("old/subagents/agent-1.jsonl"), 1);
        aged(&project.join("gone/subagents/agent-2.jsonl"), 1);
        aged_with(&project.join("empty.jsonl"), 24, "");
        let history = history_of(dir.path());
        assert_eq!((history.next_deletion_at, history.files, history.bytes), (Some(5), 3, 6));
        assert_eq!((history.not_imported.len(), history.first_loss_at), (2, Some(5)));
        fs::write(dir.path().join("settings.json"), r#"{"cleanupPeriodDays":3650}"#).unwrap();
        assert_eq!((history_of(dir.path()).next_deletion_at, history_of(dir.path()).files), (Some(3625), 0));
        fs::write(dir.path().join("settings.json"), r#"{"cleanupPeriodDays":0}"#).unwrap();
        assert_eq!((history_of(dir.path()).next_deletion_at, history_of(dir.path()).retention.days), (None, None));
    }
}
