//! Droid (Factory). A session is two files of one name below `~/.factory/sessions`: `<session>.jsonl` with its messages, and
//! `<session>.settings.json`, rewritten whole, with the sum of what it used. Of single requests nothing is kept.
//!
//! Input is without cache, output with thinking.

mod message;
mod settings;

pub use message::{FileState, decode_line, looks_like_messages};
pub use settings::{decode_document, looks_like_settings};

/// Its name in the ledger.
pub const AGENT: &str = "droid";

const SETTINGS: &str = ".settings.json";

/// Whether a file is one of a session's, by its name.
pub fn is_of_session(name: &str) -> bool {
    name.ends_with(".jsonl") || name.ends_with(SETTINGS)
}
