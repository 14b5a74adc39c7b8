//! What agents say, decoded into facts: bytes in, facts out. Pure: no I/O, no clock.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod amp;
mod block;
pub mod claude_code;
pub mod cline;
pub mod codex;
pub mod copilot;
pub mod cursor;
pub mod droid;
pub mod gemini_cli;
pub mod goose;
mod hook;
mod json;
pub mod opencode;
pub mod otlp;
pub mod pi;
pub mod qwen_code;
mod telling;
mod transcript;

use std::path::Path;
use std::sync::Arc;

pub use hook::{DecodeEvent, EVENTS, HookVerdict, event_decoder};
pub use transcript::{Agent, Detail, FileState, Form, LineVerdict, decode_document};

/// Where an agent worked, as the caller resolved it from a working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    /// The repository's root, or the working directory where there is none.
    pub project: Option<Arc<str>>,
    /// The user wants nothing of this project stored.
    pub excluded: bool,
}

/// Resolves working directories; asked for every line, so implementations remember.
pub trait Workspaces {
    fn resolve(&mut self, cwd: &str) -> Workspace;

    /// The working directory that an agent noted in this folder beside its transcripts, where these tell none.
    fn noted_in(&mut self, _folder: &Path) -> Option<String> {
        None
    }

    /// The content of a file of moderate size that the agent keeps beside its transcripts; `None` where there is none.
    fn beside(&mut self, _file: &Path) -> Option<Arc<[u8]>> {
        None
    }
}

/// Every working directory is its own project and none is excluded.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsTold;

impl Workspaces for AsTold {
    fn resolve(&mut self, cwd: &str) -> Workspace {
        Workspace { project: Some(cwd.into()), excluded: false }
    }
}
