//! How far a database was read.

use serde::{Deserialize, Serialize};

/// What of `opencode.db` was read. Keep it to read only rows that changed since. Of documents there is nothing to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileState {
    pub sessions: Mark,
    pub messages: Mark,
    pub parts: Mark,
}

/// How far a table was read: rows behind it are new, or were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// The latest change that was read, in milliseconds since 1970.
    pub updated_at: i64,
    /// The last row by its number: one that was moved here with its old times has a higher one.
    pub rowid: i64,
    /// That row's id; where another row has its number, the table was written anew.
    pub id: String,
}
