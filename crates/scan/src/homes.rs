//! Where agents keep their transcripts.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ducat_capture::Agent;

use crate::Problem;
use crate::packing::Packing;

/// A folder to look for transcripts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Whose transcripts are in it; `None` when any agent's may be, and each file is looked at.
    pub agent: Option<Agent>,
    pub folder: PathBuf,
}

impl Home {
    pub fn of(agent: Agent, folder: PathBuf) -> Self {
        Self { agent: Some(agent), folder }
    }

    /// A folder of which nobody said what is in it.
    pub fn any(folder: PathBuf) -> Self {
        Self { agent: None, folder }
    }

    fn takes(&self, path: &Path) -> bool {
        let path = Packing::strip(path);
        match self.agent {
            Some(agent) => agent.takes(&path),
            None => path.extension().is_some_and(|kind| kind == "jsonl" || kind == "json"),
        }
    }
}

/// A transcript on disk. Two paths to the same file are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscriptFile {
    pub path: PathBuf,
    /// Device and inode.
    pub identity: (u64, u64),
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i128,
    /// Of the home it was found in; where that is `None`, [`crate::content::Content`] tells.
    pub agent: Option<Agent>,
}

/// Claude Code's homes: `~/.claude/projects`, `~/.config/claude/projects` and `projects` in every folder of the comma-separated
/// `CLAUDE_CONFIG_DIR`.
fn claude_places() -> Vec<Home> {
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
    folders.into_iter().map(|folder| Home::of(Agent::ClaudeCode, folder.join("projects"))).collect()
}

/// Codex's homes: `sessions` and `archived_sessions` in `CODEX_HOME`, else in `~/.codex`.
fn codex_places() -> Vec<Home> {
    let told = env::var_os("CODEX_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = told.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".codex")));
    let homes = folder
        .into_iter()
        .flat_map(|folder| ["sessions", "archived_sessions"].map(|name| Home::of(Agent::Codex, folder.join(name))));
    homes.collect()
}

/// Gemini CLI's homes: `tmp` in `GEMINI_DATA_DIR`, else in `.gemini` in `GEMINI_CLI_HOME` (as the client reads it) or in the user's home
/// folder.
fn gemini_places() -> Vec<Home> {
    let told = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || told("GEMINI_CLI_HOME").or_else(|| told("HOME")).map(|home| home.join(".gemini"));
    let home = told("GEMINI_DATA_DIR").or_else(home).map(|folder| Home::of(Agent::GeminiCli, folder.join("tmp")));
    home.into_iter().collect()
}

/// Pi's and GitHub Copilot CLI's homes.
fn further_places() -> Vec<Home> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let places = [(Agent::Pi, ".pi/agent/sessions"), (Agent::CopilotCli, ".copilot/session-state")];
    let homes = home.iter().flat_map(|home| places.map(|(agent, folder)| Home::of(agent, home.join(folder))));
    homes.collect()
}

/// Where agents would keep their transcripts, there or not.
pub fn agent_places() -> Vec<Home> {
    [claude_places(), codex_places(), gemini_places(), further_places()].concat()
}

/// All homes whose transcripts are read: the places that are there.
pub fn agent_homes() -> Vec<Home> {
    there(agent_places())
}

/// Claude Code's homes that are there.
pub fn claude_homes() -> Vec<Home> {
    there(claude_places())
}

fn there(mut places: Vec<Home>) -> Vec<Home> {
    places.retain(|home| home.folder.is_dir());
    places
}

/// Every transcript below the homes, in the order of their paths. Symbolic links are followed, each folder and file is taken once; what
/// cannot be read is told to `problems` and skipped.
pub fn find_transcripts(homes: &[Home], problems: &mut Vec<Problem>) -> Vec<TranscriptFile> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    let mut folders: Vec<(&Home, PathBuf)> = homes.iter().rev().map(|home| (home, home.folder.clone())).collect();
    while let Some((home, folder)) = folders.pop() {
        let entries = match fs::metadata(&folder).and_then(|meta| Ok((meta, fs::read_dir(&folder)?))) {
            Ok((meta, entries)) if seen.insert((meta.dev(), meta.ino())) => entries,
            Ok(_) => continue,
            Err(error) => {
                problems.push(Problem::unreadable(&folder, &error));
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    problems.push(Problem::unreadable(&folder, &error));
                    continue;
                }
            };
            let (path, kind) = (entry.path(), entry.file_type().ok());
            let is_transcript = home.takes(&path);
            if !is_transcript && kind.is_some_and(|kind| kind.is_file()) {
                continue;
            }
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => folders.push((home, path)),
                Ok(meta) if meta.is_file() && is_transcript && seen.insert((meta.dev(), meta.ino())) => {
                    files.push(TranscriptFile::of(path, &meta, home.agent));
                }
                Ok(_) => {}
                // A file that went away while we looked, or a link to nowhere, holds nothing.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => problems.push(Problem::unreadable(&path, &error)),
            }
        }
    }
    files.sort_by(|one: &TranscriptFile, other| one.path.cmp(&other.path));
    files
}

impl TranscriptFile {
    fn of(path: PathBuf, meta: &fs::Metadata, agent: Option<Agent>) -> Self {
        let modified_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Self { path, identity: (meta.dev(), meta.ino()), size: meta.size(), modified_ns, agent }
    }
}
