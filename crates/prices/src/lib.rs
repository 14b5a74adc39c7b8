//! What a model call costs: money, tokens by kind, the price table, and the user's overrides.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod money;
mod usage;

pub use money::NanoUsd;
pub use usage::Usage;
