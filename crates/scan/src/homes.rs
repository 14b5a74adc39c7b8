//! Where agents keep their transcripts.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ducat_capture::{Agent, Form};

use crate::Problem;
use crate::database::beside;
use crate::packing::Packing;

/// A folder to look for transcripts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// Whose transcripts are in it; `None` when any agent's may be, and each file is looked at.
    pub agent: Option<Agent>,
    pub folder: PathBuf,
    /// Only the files in the folder itself are taken: what lies below it is none of ours.
    pub is_flat: bool,
}

impl Home {
    pub fn of(agent: Agent, folder: PathBuf) -> Self {
        Self { agent: Some(agent), folder, is_flat: false }
    }

    /// A folder of which nobody said what is in it.
    pub fn any(folder: PathBuf) -> Self {
        Self { agent: None, folder, is_flat: false }
    }

    fn takes(&self, path: &Path) -> bool {
        let path = Packing::strip(path);
        match self.agent {
            Some(agent) => agent.takes(&path),
            None => {
                path.extension().is_some_and(|kind| kind == "jsonl" || kind == "json" || kind == "csv")
                    || Agent::OpenCode.takes(&path)
            }
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
    /// Nanoseconds since 1970; of a database, when it or its write-ahead log was written last.
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
    home.iter().flat_map(|home| places.map(|(agent, folder)| Home::of(agent, home.join(folder)))).collect()
}

/// Folders below the user's home in which an editor of VS Code's family keeps `User/globalStorage`.
const EDITORS: [&str; 14] = [
    ".config/Code",
    ".config/Code - Insiders",
    ".config/VSCodium",
    ".config/Cursor",
    ".config/Windsurf",
    "Library/Application Support/Code",
    "Library/Application Support/Code - Insiders",
    "Library/Application Support/VSCodium",
    "Library/Application Support/Cursor",
    "Library/Application Support/Windsurf",
    ".vscode-server/data",
    ".vscode-server-insiders/data",
    ".cursor-server/data",
    ".windsurf-server/data",
];

/// Extensions of editors by the name of their folder.
const EXTENSIONS: [(Agent, &str); 3] = [
    (Agent::Cline, "saoudrizwan.claude-dev"),
    (Agent::RooCode, "rooveterinaryinc.roo-cline"),
    (Agent::KiloCode, "kilocode.kilo-code"),
];

/// Cline's homes: `tasks` of its extension in every editor, and `tasks` and `sessions` in `CLINE_DATA_DIR`, else in `data` in `CLINE_DIR` or
/// `~/.cline`; Roo Code's and Kilo Code's: `tasks` of their extensions, and of Kilo Code's first command line.
fn cline_places() -> Vec<Home> {
    let told = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = told("HOME");
    let of_editor = |editor: PathBuf| {
        EXTENSIONS.map(|(agent, extension)| Home::of(agent, editor.join("User/globalStorage").join(extension).join("tasks")))
    };
    let mut homes: Vec<Home> = home.iter().flat_map(|home| EDITORS.map(|editor| home.join(editor))).flat_map(of_editor).collect();
    let cline = told("CLINE_DIR").or_else(|| Some(home.as_ref()?.join(".cline")));
    let data = told("CLINE_DATA_DIR").or_else(|| Some(cline?.join("data")));
    homes.extend(data.iter().flat_map(|data| ["tasks", "sessions"].map(|name| Home::of(Agent::Cline, data.join(name)))));
    homes.extend(home.iter().map(|home| Home::of(Agent::KiloCode, home.join(".kilocode/cli/global/tasks"))));
    homes
}

/// Amp's homes: `threads` in every folder of the comma-separated `AMP_DATA_DIR`, else in `amp` in `XDG_DATA_HOME` or `~/.local/share`.
fn amp_places() -> Vec<Home> {
    let told = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty());
    let folders = match told("AMP_DATA_DIR") {
        Some(told) => told.to_string_lossy().split(',').map(|folder| PathBuf::from(folder.trim())).collect(),
        None => {
            let home = || told("HOME").map(|home| PathBuf::from(home).join(".local/share"));
            let data = told("XDG_DATA_HOME").map(PathBuf::from).or_else(home);
            data.into_iter().map(|data| data.join("amp")).collect::<Vec<_>>()
        }
    };
    folders.into_iter().map(|folder| Home::of(Agent::Amp, folder.join("threads"))).collect()
}

/// Goose's homes: `data/sessions` in `GOOSE_PATH_ROOT`, else `goose/sessions` in `XDG_DATA_HOME` or `~/.local/share`, and where macOS keeps it.
fn goose_places() -> Vec<Home> {
    let told = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folders = match (told("GOOSE_PATH_ROOT"), told("HOME")) {
        (Some(root), _) => vec![root.join("data/sessions")],
        (None, None) => Vec::new(),
        (None, Some(home)) => {
            let data = told("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
            let block = home.join("Library/Application Support/Block/goose");
            vec![data.join("goose/sessions"), block.join("sessions"), block.join("data/sessions")]
        }
    };
    folders.into_iter().map(|folder| Home::of(Agent::Goose, folder)).collect()
}

/// Droid's home: `.factory/sessions` in `FACTORY_HOME_OVERRIDE` (as the client reads it) or in the user's home folder.
fn droid_places() -> Vec<Home> {
    let told = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = told("FACTORY_HOME_OVERRIDE").or_else(|| told("HOME"));
    home.map(|home| Home::of(Agent::Droid, home.join(".factory/sessions"))).into_iter().collect()
}

/// OpenCode's homes: its databases in `opencode` in `XDG_DATA_HOME`, else in `~/.local/share` (on every system, as the client reads it), and
/// the files that versions before 1.2 kept below `storage` in it.
fn opencode_places() -> Vec<Home> {
    let told = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let data = told("XDG_DATA_HOME").or_else(|| Some(told("HOME")?.join(".local/share")));
    let Some(folder) = data.map(|data| data.join("opencode")) else { return Vec::new() };
    // The client keeps copies of whole projects beside its database.
    let databases = Home { agent: Some(Agent::OpenCode), folder: folder.clone(), is_flat: true };
    vec![databases, Home::of(Agent::OpenCode, folder.join("storage"))]
}

/// Qwen Code's homes: `projects` in `QWEN_RUNTIME_DIR`, else in `QWEN_HOME`, else in `~/.qwen`.
fn qwen_places() -> Vec<Home> {
    let told = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = told("QWEN_RUNTIME_DIR").or_else(|| told("QWEN_HOME")).or_else(|| Some(told("HOME")?.join(".qwen")));
    folder.map(|folder| Home::of(Agent::QwenCode, folder.join("projects"))).into_iter().collect()
}

/// Where agents would keep their transcripts, there or not.
pub fn agent_places() -> Vec<Home> {
    let of_agents = [claude_places(), codex_places(), gemini_places(), opencode_places(), qwen_places(), further_places()];
    let of_more = [cline_places(), amp_places(), goose_places(), droid_places()];
    of_agents.into_iter().chain(of_more).flatten().collect()
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
                Ok(meta) if meta.is_dir() && home.is_flat => {}
                Ok(meta) if meta.is_dir() => folders.push((home, path)),
                Ok(meta) if meta.is_file() && is_transcript && seen.insert((meta.dev(), meta.ino())) => {
                    files.push(TranscriptFile::of(path, meta, home.agent));
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
    fn of(path: PathBuf, meta: fs::Metadata, agent: Option<Agent>) -> Self {
        let ns = |meta: fs::Metadata| i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let (identity, size, mut modified_ns) = ((meta.dev(), meta.ino()), meta.size(), ns(meta));
        if Agent::OpenCode.takes(&path) && Agent::OpenCode.form(&path) == Form::Database {
            // What the client writes comes into the file itself much later.
            let written = fs::canonicalize(&path).and_then(|path| fs::metadata(beside(&path, "-wal")));
            modified_ns = written.map_or(modified_ns, |written| modified_ns.max(ns(written)));
        }
        Self { path, identity, size, modified_ns, agent }
    }
}
