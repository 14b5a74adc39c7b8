//! Whether a file is OpenCode's, by its name and how it begins.

use std::path::Path;

/// A document of OpenCode begins with a session's record, or is a message or part of one: its ids have prefixes that nobody else uses.
pub fn looks_like_document(head: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    head.trim_ascii_start().first() == Some(&b'{')
        && has(b"\"ses_")
        && (has(b"\"projectID\"") || has(b"\"messageID\"") || has(b"\"msg_"))
}

/// Whether a file of the name of a database is one, or one that was just made.
pub fn looks_like_database(head: &[u8]) -> bool {
    head.is_empty() || head.starts_with(b"SQLite format 3\0")
}

/// Whether a file is named as the database, also that of a channel of releases (`opencode-dev.db`).
pub fn is_database(name: &str) -> bool {
    name == "opencode.db" || (name.starts_with("opencode-") && name.ends_with(".db"))
}

/// Whether a path below `storage/` is of a session, message or part: diffs, to-dos and projects lie beside them.
pub fn is_stored(path: &Path) -> bool {
    let kinds = ["session", "message", "part"];
    path.extension().is_some_and(|kind| kind == "json")
        && path.ancestors().skip(1).any(|folder| kinds.iter().any(|kind| folder.ends_with(kind)))
}
