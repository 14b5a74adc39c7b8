//! Finding transcripts, reading them, and reporting from them without a server.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod cache;
mod file;
mod homes;
mod import;
mod lines;
mod report;
mod workspace;

pub use file::{FileRows, SessionSeen};
pub use homes::{Home, TranscriptFile, claude_homes, find_transcripts};
pub use import::{Imported, Importer};
pub use report::{Problem, ScanOptions, Scanned, scan};
pub use workspace::WorkspaceResolver;
