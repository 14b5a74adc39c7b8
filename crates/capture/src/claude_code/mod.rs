//! Claude Code: its transcripts (`projects/<folder>/<session>.jsonl`, with sub-agents in `<session>/subagents/agent-<id>.jsonl`) and its
//! hooks.

mod hook;
mod incident;
mod line;
mod message;
mod tool;
mod transcript;
mod turn;

pub use hook::{HookVerdict, decode_hook};
pub use transcript::{Detail, FileState, LineVerdict, decode_line, looks_like_transcript};

/// Its name in the ledger.
pub const AGENT: &str = "claude-code";
