//! Pi: `~/.pi/agent/sessions/<folder>/<time>_<session>.jsonl`. A session's first line is never copied; the entries of a fork are, with their ids.
//!
//! `usage.input` is without cache, `usage.output` with reasoning (which is not told apart).

mod entry;
mod session;
mod tool;

pub use session::{FileState, decode_line, looks_like_session};

/// Its name in the ledger.
pub const AGENT: &str = "pi";
