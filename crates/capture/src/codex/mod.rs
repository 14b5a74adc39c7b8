//! Codex: what a headless run prints.

mod headless;

pub use headless::{Headless, HeadlessRun, RESULT, decode_result};

/// Its name in the ledger.
pub const AGENT: &str = "codex";
