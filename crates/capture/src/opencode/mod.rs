//! OpenCode. It keeps sessions, messages and parts of messages: in files of their own below `storage/` (before 1.2), in `opencode.db`
//! (since), and all of a session in one document as `opencode export` writes it. The three tell the same in the same words.
//!
//! `tokens.input` is without cache. `tokens.output` is without reasoning where the message tells a `total` that says so (since 1.2); before,
//! it was what the provider's library said, which for all but Google's is with reasoning.

mod copy;
mod document;
mod head;
mod message;
mod part;
mod row;
mod session;
mod state;

pub use document::decode_document;
pub use head::{is_database, is_stored, looks_like_database, looks_like_document};
pub use row::{Row, RowOf, decode_row};
pub use state::{FileState, Mark};

/// Its name in the ledger.
pub const AGENT: &str = "opencode";
