//! Codex: what a headless run prints, its hooks, and what its rollouts (`sessions/YYYY/MM/DD/rollout-*.jsonl`) tell of the plan's quota.

mod headless;
mod hook;
mod line;
mod rate_limits;
mod rollout;
mod tokens;
mod tool;

pub use headless::{Headless, HeadlessRun, RESULT, decode_result};
pub use hook::decode_hook;
pub use rate_limits::decode_rate_limits;
pub use rollout::{FileState, decode_line, looks_like_rollout};
pub(crate) use tokens::Tokens;
pub(crate) use tool::outcome_of_output;

/// Its name in the ledger.
pub const AGENT: &str = "codex";
