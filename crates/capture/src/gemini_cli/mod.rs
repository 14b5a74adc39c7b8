//! Gemini CLI: its chats (`tmp/<project>/chats/session-*.jsonl`, sub-agents in `chats/<session>/<id>.jsonl`; before, `session-*.json`).

mod chat;

pub use chat::{FileState, decode_document, decode_line, looks_like_chat};

/// Its name in the ledger.
pub const AGENT: &str = "gemini-cli";
