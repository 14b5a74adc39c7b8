//! Gemini CLI: its hooks, and its chats (`tmp/<project>/chats/session-*.jsonl`, sub-agents in `chats/<session>/<id>.jsonl`; before,
//! `session-*.json`).

mod chat;
mod hook;
mod tokens;

pub use chat::{FileState, decode_document, decode_line, looks_like_chat};
pub use hook::decode_hook;
pub(crate) use tokens::Tokens;

/// Its name in the ledger.
pub const AGENT: &str = "gemini-cli";
