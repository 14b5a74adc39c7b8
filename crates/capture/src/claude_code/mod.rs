//! Claude Code: its transcripts (`projects/<folder>/<session>.jsonl`, with sub-agents in `<session>/subagents/agent-<id>.jsonl`).

mod line;
mod message;
mod transcript;

pub use transcript::{FileState, LineVerdict, decode_line, looks_like_transcript};

/// Its name in the ledger.
pub const AGENT: &str = "claude-code";
