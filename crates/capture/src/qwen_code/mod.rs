//! Qwen Code, a fork of Gemini CLI with chats and ids of its own (`projects/<project>/chats/<session>.jsonl` in `~/.qwen`).
//!
//! A chat holds the client's telemetry beside what was said: every answer with its provider's id, also those to sub-agents, whose own files
//! (`subagents/`) are therefore not read.

mod chat;
mod tokens;
mod tool;

pub use chat::{FileState, decode_line, looks_like_chat};
pub(crate) use tokens::Tokens;
pub(crate) use tool::ended;

/// Its name in the ledger.
pub const AGENT: &str = "qwen-code";

/// What tells a failed request from others, in chats and telemetry alike: it has no id.
pub(crate) fn error_id(prompt: Option<&str>, model: Option<&str>, duration_ms: Option<u64>) -> String {
    format!("{}/{}/{}", prompt.unwrap_or_default(), model.unwrap_or_default(), duration_ms.unwrap_or_default())
}
