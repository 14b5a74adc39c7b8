//! Where agents keep their transcripts.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Problem;

/// A folder to look for transcripts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(pub PathBuf);

/// A transcript on disk. Two paths to the same file are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscriptFile {
    pub path: PathBuf,
    /// Device and inode.
    pub identity: (u64, u64),
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i128,
}

impl TranscriptFile {
    /// A session of Codex, by its name; all others are Claude Code's.
    pub fn is_rollout(&self) -> bool {
        self.path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("rollout-"))
    }
}

/// Claude Code's homes: `~/.claude/projects`, `~/.config/claude/projects` and `projects` in every folder of the comma-separated
/// `CLAUDE_CONFIG_DIR`. Those that do not exist are left out.
pub fn claude_homes() -> Vec<Home> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(home) = &home {
        folders.push(home.join(".claude"));
    }
    match env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()) {
        Some(config) => folders.push(PathBuf::from(config).join("claude")),
        None => folders.extend(home.iter().map(|home| home.join(".config/claude"))),
    }
    if let Some(told) = env::var_os("CLAUDE_CONFIG_DIR") {
        folders.extend(told.to_string_lossy().split(',').map(str::trim).filter(|folder| !folder.is_empty()).map(PathBuf::from));
    }
    folders.into_iter().map(|folder| Home(folder.join("projects"))).filter(|home| home.0.is_dir()).collect()
}

/// Codex's homes: `sessions` and `archived_sessions` in `CODEX_HOME`, else in `~/.codex`. Those that do not exist are left out.
pub fn codex_homes() -> Vec<Home> {
    let told = env::var_os("CODEX_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = told.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".codex")));
    let homes = folder.into_iter().flat_map(|folder| ["sessions", "archived_sessions"].map(|name| Home(folder.join(name))));
    homes.filter(|home| home.0.is_dir()).collect()
}

/// All homes that are read into a ledger.
pub fn agent_homes() -> Vec<Home> {
    claude_homes().into_iter().chain(codex_homes()).collect()
}

/// Every `*.jsonl` below the homes, in the order of their paths. Symbolic links are followed, each folder and file is taken once; what
/// cannot be read is told to `problems` and skipped.
pub fn find_transcripts(homes: &[Home], problems: &mut Vec<Problem>) -> Vec<TranscriptFile> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = homes.iter().rev().map(|home| home.0.clone()).collect();
    while let Some(folder) = folders.pop() {
        let entries = match fs::metadata(&folder).and_then(|meta| Ok((meta, fs::read_dir(&folder)?))) {
            Ok((meta, entries)) if seen.insert((meta.dev(), meta.ino())) => entries,
            Ok(_) => continue,
            Err(error) => {
                problems.push(Problem::unreadable(&folder, &error));
                continue;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => visit(&entry.path(), entry.file_type().ok(), &mut folders, &mut files, &mut seen, problems),
                Err(error) => problems.push(Problem::unreadable(&folder, &error)),
            }
        }
    }
    files.sort_by(|one: &TranscriptFile, other| one.path.cmp(&other.path));
    files
}

fn visit(
    path: &Path,
    kind: Option<fs::FileType>,
    folders: &mut Vec<PathBuf>,
    files: &mut Vec<TranscriptFile>,
    seen: &mut HashSet<(u64, u64)>,
    problems: &mut Vec<Problem>,
) {
    let is_transcript = path.extension().is_some_and(|extension| extension == "jsonl");
    if !is_transcript && kind.is_some_and(|kind| kind.is_file()) {
        return;
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => folders.push(path.to_owned()),
        Ok(meta) if meta.is_file() && is_transcript => {
            let identity = (meta.dev(), meta.ino());
            if seen.insert(identity) {
                let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
                files.push(TranscriptFile { path: path.to_owned(), identity, size: meta.size(), modified_ns });
            }
        }
        Ok(_) => {}
        // A file that went away while we looked, or a link to nowhere, holds nothing.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => problems.push(Problem::unreadable(path, &error)),
    }
}
