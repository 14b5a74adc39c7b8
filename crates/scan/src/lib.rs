//! Finding transcripts, reading them, and reporting from them without a server.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod cache;
mod content;
mod database;
mod file;
mod history;
mod homes;
mod import;
mod lines;
mod packing;
mod report;
mod retention;
mod transcripts;
mod workspace;
mod zstd;

pub use file::{FileRows, SessionSeen};
pub use history::{GOES_SOON_MS, History, histories};
pub use homes::{Home, TranscriptFile, agent_homes, agent_places, claude_homes, find_transcripts};
pub use import::Importer;
pub use report::{Problem, ScanOptions, Scanned, scan, unreadable_lines};
pub use retention::{Retention, managed_settings};
pub use transcripts::{Imported, Sink, Transcripts};
pub use workspace::WorkspaceResolver;
pub use zstd::ZstdReader;
