//! Goose. It keeps sessions and their messages in `sessions.db`, earlier in `<session>.jsonl`, rewritten whole, whose first line is the session's
//! record. Both tell what a session used as a sum; of single requests nothing is kept.
//!
//! Input includes the cache, which only newer databases tell; output is as the provider tells it.

mod legacy;
mod message;
mod row;
mod session;

pub use legacy::{decode_document, looks_like_session};
pub use row::{MessageRow, SessionRow, decode_message, decode_session};

/// Its name in the ledger.
pub const AGENT: &str = "goose";
