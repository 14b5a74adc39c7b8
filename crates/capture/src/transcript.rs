//! What all agents' transcripts have in common: how much of one is wanted, what became of a part of it, and which agent's decoder reads it.

use std::path::Path;

use ducat_ledger::Fact;
use serde::{Deserialize, Serialize};

use crate::{Workspaces, amp, claude_code, cline, codex, copilot, cursor, droid, gemini_cli, goose, opencode, pi, qwen_code};

/// How much of a line or document is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Requests and what decides their owner: all that a report needs.
    Requests,
    /// Also sessions, turns, tool calls and incidents.
    All,
}

/// What became of a line or document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineVerdict {
    Decoded,
    /// Readable, and nothing in it is a fact.
    NoFacts,
    /// Of a project that the user excluded.
    Excluded,
    /// The reason, in a few words.
    Unreadable(&'static str),
}

/// An agent whose transcripts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agent {
    ClaudeCode,
    Codex,
    GeminiCli,
    CopilotCli,
    #[serde(rename = "opencode")]
    OpenCode,
    Pi,
    Cline,
    RooCode,
    KiloCode,
    Amp,
    Goose,
    Droid,
    Cursor,
    QwenCode,
}

/// How a transcript is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Line by line, going on where the last reading ended.
    Lines,
    /// One JSON document, read whole whenever it changed.
    Document,
    /// An SQLite database, of which the rows that changed are read.
    Database,
}

impl Agent {
    /// Those whose beginnings tell most come first.
    pub const ALL: [Self; 14] = [
        Self::GeminiCli,
        Self::Codex,
        Self::CopilotCli,
        Self::Cline,
        Self::RooCode,
        Self::KiloCode,
        Self::Amp,
        Self::Goose,
        Self::Droid,
        Self::Cursor,
        Self::OpenCode,
        Self::Pi,
        Self::QwenCode,
        Self::ClaudeCode,
    ];

    /// Its name in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => claude_code::AGENT,
            Self::Codex => codex::AGENT,
            Self::GeminiCli => gemini_cli::AGENT,
            Self::CopilotCli => copilot::AGENT,
            Self::OpenCode => opencode::AGENT,
            Self::Pi => pi::AGENT,
            Self::Cline => cline::CLINE,
            Self::RooCode => cline::ROO_CODE,
            Self::KiloCode => cline::KILO_CODE,
            Self::Amp => amp::AGENT,
            Self::Goose => goose::AGENT,
            Self::Droid => droid::AGENT,
            Self::Cursor => cursor::AGENT,
            Self::QwenCode => qwen_code::AGENT,
        }
    }

    /// Whether a file in this agent's home is a transcript, by its name without the ending of a compression.
    pub fn takes(self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match self {
            Self::ClaudeCode | Self::Pi | Self::Goose => name.ends_with(".jsonl"),
            Self::CopilotCli => name == "events.jsonl",
            Self::Cline => cline::is_task(name) || cline::is_session(name),
            Self::RooCode | Self::KiloCode => cline::is_task(name),
            Self::Amp => amp::is_thread(name),
            Self::Droid => droid::is_of_session(name),
            Self::Cursor => name.ends_with(".csv"),
            Self::OpenCode => opencode::is_database(name) || opencode::is_stored(path),
            Self::Codex => name.starts_with("rollout-") && name.ends_with(".jsonl"),
            Self::QwenCode => name.ends_with(".jsonl") && path.parent().is_some_and(|folder| folder.ends_with("chats")),
            Self::GeminiCli => {
                let is_chat = path.ancestors().skip(1).take(2).any(|folder| folder.ends_with("chats"));
                is_chat && (name.ends_with(".jsonl") || (name.starts_with("session-") && name.ends_with(".json")))
            }
        }
    }

    /// How a file that the agent takes is read.
    pub fn form(self, path: &Path) -> Form {
        match self {
            Self::Goose => Form::Document,
            _ if path.extension().is_some_and(|kind| kind == "json") => Form::Document,
            Self::OpenCode => Form::Database,
            _ => Form::Lines,
        }
    }

    /// Whose transcript a file is that lies anywhere, by its path without the ending of a compression, and by how it begins. Lines of an
    /// agent that nobody knows are taken for Claude Code's, whose damaged files begin in any way.
    pub fn of_file(path: &Path, head: &[u8]) -> Option<Self> {
        if path.extension().is_some_and(|kind| kind == "db") {
            return (Self::OpenCode.takes(path) && opencode::looks_like_database(head)).then_some(Self::OpenCode);
        }
        let by_name = || Self::Codex.takes(path).then_some(Self::Codex);
        let is_task = Self::RooCode.takes(path);
        let of_task = || Self::ALL.into_iter().find(|agent| is_task && agent.name() == cline::whose_task(path, head));
        let is_lines = path.extension().is_some_and(|kind| kind == "jsonl");
        let is_table = path.extension().is_some_and(|kind| kind == "csv");
        // The words of a document may stand in a prompt at the head of anybody's lines.
        let may_be = |agent: &Self| match agent {
            Self::Cursor => is_table,
            Self::OpenCode | Self::Amp | Self::Cline => !is_lines && !is_table,
            _ => !is_table,
        };
        let by_head = || Self::ALL.into_iter().filter(may_be).find(|agent| agent.looks_like(head));
        by_name().or_else(of_task).or_else(by_head).or(is_lines.then_some(Self::ClaudeCode))
    }

    /// Whether the beginning of a file is of one of this agent's transcripts.
    fn looks_like(self, head: &[u8]) -> bool {
        match self {
            Self::ClaudeCode => claude_code::looks_like_transcript(head),
            Self::Codex => codex::looks_like_rollout(head),
            Self::GeminiCli => gemini_cli::looks_like_chat(head),
            Self::CopilotCli => copilot::looks_like_events(head),
            Self::OpenCode => opencode::looks_like_document(head),
            Self::Pi => pi::looks_like_session(head),
            Self::Cline => cline::looks_like_session(head),
            Self::RooCode | Self::KiloCode => false,
            Self::Amp => amp::looks_like_thread(head),
            Self::Goose => goose::looks_like_session(head),
            Self::Cursor => cursor::looks_like_export(head),
            Self::Droid => droid::looks_like_messages(head) || droid::looks_like_settings(head),
            Self::QwenCode => qwen_code::looks_like_chat(head),
        }
    }
}

/// What is known of a file by its path and by what was read of it so far. Keep it to go on where a reading ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    ClaudeCode(claude_code::FileState),
    Codex(codex::FileState),
    GeminiCli(gemini_cli::FileState),
    CopilotCli(copilot::FileState),
    #[serde(rename = "opencode")]
    OpenCode(opencode::FileState),
    Pi(pi::FileState),
    Cline,
    RooCode,
    KiloCode,
    Amp,
    Goose,
    Droid(droid::FileState),
    Cursor(cursor::FileState),
    QwenCode(qwen_code::FileState),
}

/// Changes whenever a decoder tells more or other facts than before: what was read is then read again.
const VERSION: u32 = 2;

impl FileState {
    pub fn of(agent: Agent, path: &Path) -> Self {
        match agent {
            Agent::ClaudeCode => Self::ClaudeCode(claude_code::FileState::of(path)),
            Agent::Codex => Self::Codex(codex::FileState::of(path)),
            Agent::GeminiCli => Self::GeminiCli(gemini_cli::FileState::of(path)),
            Agent::CopilotCli => Self::CopilotCli(copilot::FileState::of(path)),
            Agent::OpenCode => Self::OpenCode(opencode::FileState::default()),
            Agent::Pi => Self::Pi(pi::FileState::of(path)),
            Agent::Cline => Self::Cline,
            Agent::RooCode => Self::RooCode,
            Agent::KiloCode => Self::KiloCode,
            Agent::Amp => Self::Amp,
            Agent::Goose => Self::Goose,
            Agent::Droid => Self::Droid(droid::FileState::of(path)),
            Agent::Cursor => Self::Cursor(cursor::FileState::of(path)),
            Agent::QwenCode => Self::QwenCode(qwen_code::FileState::default()),
        }
    }

    pub fn agent(&self) -> Agent {
        match self {
            Self::ClaudeCode(_) => Agent::ClaudeCode,
            Self::Codex(_) => Agent::Codex,
            Self::GeminiCli(_) => Agent::GeminiCli,
            Self::CopilotCli(_) => Agent::CopilotCli,
            Self::OpenCode(_) => Agent::OpenCode,
            Self::Pi(_) => Agent::Pi,
            Self::Cline => Agent::Cline,
            Self::RooCode => Agent::RooCode,
            Self::KiloCode => Agent::KiloCode,
            Self::Amp => Agent::Amp,
            Self::Goose => Agent::Goose,
            Self::Droid(_) => Agent::Droid,
            Self::Cursor(_) => Agent::Cursor,
            Self::QwenCode(_) => Agent::QwenCode,
        }
    }

    /// As text, to be kept.
    pub fn keep(&self) -> String {
        serde_json::to_string(&(VERSION, self)).unwrap_or_default()
    }

    /// What [`FileState::keep`] wrote; `None` when another version did.
    pub fn kept(text: &str) -> Option<Self> {
        let (version, state): (u32, Self) = serde_json::from_str(text).ok()?;
        (version == VERSION).then_some(state)
    }

    /// Tells `out` the facts of one line (without its line break).
    pub fn decode_line(
        &mut self,
        bytes: &[u8],
        workspaces: &mut dyn Workspaces,
        detail: Detail,
        out: &mut dyn FnMut(Fact),
    ) -> LineVerdict {
        match self {
            Self::ClaudeCode(state) => claude_code::decode_line(bytes, state, workspaces, detail, out),
            Self::Codex(state) => codex::decode_line(bytes, state, workspaces, detail, out),
            Self::GeminiCli(state) => gemini_cli::decode_line(bytes, state, workspaces, detail, out),
            Self::CopilotCli(state) => copilot::decode_line(bytes, state, workspaces, detail, out),
            Self::OpenCode(_) => LineVerdict::Unreadable("this agent writes documents and a database, no lines"),
            Self::Cline | Self::RooCode | Self::KiloCode | Self::Amp | Self::Goose => {
                LineVerdict::Unreadable("this agent writes documents, no lines")
            }
            Self::Pi(state) => pi::decode_line(bytes, state, workspaces, detail, out),
            Self::Droid(state) => droid::decode_line(bytes, state, workspaces, detail, out),
            Self::Cursor(state) => cursor::decode_line(bytes, state, detail, out),
            Self::QwenCode(state) => qwen_code::decode_line(bytes, state, workspaces, detail, out),
        }
    }
}

/// Tells `out` the facts of a file that is one document.
pub fn decode_document(
    agent: Agent,
    bytes: &[u8],
    path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    match agent {
        Agent::GeminiCli => gemini_cli::decode_document(bytes, path, workspaces, detail, out),
        Agent::OpenCode => opencode::decode_document(bytes, path, workspaces, detail, out),
        Agent::Droid => droid::decode_document(bytes, path, workspaces, detail, out),
        Agent::Goose => goose::decode_document(bytes, path, workspaces, detail, out),
        Agent::Amp => amp::decode_document(bytes, path, workspaces, detail, out),
        Agent::Cline | Agent::RooCode | Agent::KiloCode => {
            cline::decode_document(agent.name(), bytes, path, workspaces, detail, out)
        }
        Agent::ClaudeCode | Agent::Codex | Agent::CopilotCli | Agent::Pi | Agent::QwenCode | Agent::Cursor => {
            LineVerdict::Unreadable("this agent writes lines, no document")
        }
    }
}
