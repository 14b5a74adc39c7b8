//! Gemini CLI: its hooks.

mod hook;

pub use hook::decode_hook;

/// Its name in the ledger.
pub const AGENT: &str = "gemini-cli";
