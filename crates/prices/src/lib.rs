//! What a model call costs: money, tokens by kind, the price table, and the user's overrides.
//!
//! Pure: no I/O, no clock. Rates are integer pico-USD; a request's cost is summed exactly and rounded once to nano-USD. Prices come from
//! LiteLLM's list (MIT), reduced by `scripts/reduce-prices`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod card;
mod cost;
mod litellm;
mod model_rates;
mod money;
mod overrides;
mod resolve;
mod split;
mod table;
mod usage;

pub use card::{Kind, PicoUsd, PriceCard, Rates};
pub use cost::{Cost, CostLine, Explanation, PriceQuery, UnknownCost};
pub use model_rates::{ModelRates, RateSource};
pub use money::{NanoUsd, amount_text};
pub use overrides::{ModelPrice, OverrideError, PriceOverrides};
pub use resolve::Resolved;
pub use table::{PriceChange, PriceTable, PriceTableError};
pub use usage::Usage;
