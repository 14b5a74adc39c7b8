//! GitHub Copilot CLI: `~/.copilot/session-state/<session>/events.jsonl`.
//!
//! `inputTokens` includes cached ones, read and written; `outputTokens` the reasoning. Versions of about 1.0.80 on write a usage record for every
//! request. Older ones tell what a session used when it shuts down, summed by model: such sums are told as one request that is a sum,
//! and a session that never shut down tells no usage. Up to about 1.0.62 a shutdown tells what was used since the session was resumed,
//! later ones what was used since it began; the number of requests tells the two apart.

mod events;
mod sums;
mod usage;

pub use events::{FileState, decode_line, looks_like_events};

/// Its name in the ledger.
pub const AGENT: &str = "copilot-cli";
