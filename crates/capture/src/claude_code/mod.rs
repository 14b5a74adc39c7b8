//! Claude Code: its transcripts (`projects/<folder>/<session>.jsonl`, with sub-agents in `<session>/subagents/agent-<id>.jsonl`), its
//! hooks, its status line, and what a headless run prints.

mod headless;
mod hook;
mod incident;
mod line;
mod message;
mod status_line;
pub(crate) mod tool;
mod transcript;
pub(crate) mod turn;

pub use crate::hook::HookVerdict;
pub use headless::{Headless, HeadlessRequest, HeadlessRun, HeadlessUsage, RESULT, decode_result};
pub use hook::decode_hook;
pub use status_line::{LARGEST_STATUS_LINE, STATUS_LINE, StatusLine, Window, decode_status_line};
pub(crate) use tool::{blocks, target};
pub use transcript::{FileState, decode_line, looks_like_transcript};

/// Its name in the ledger.
pub const AGENT: &str = "claude-code";
