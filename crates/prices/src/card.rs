//! One model's prices, as a row of the table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Price of one unit (a token, a web search) in pico-USD: 5 USD per million tokens is 5,000,000.
pub type PicoUsd = u64;

/// No real price is near 0.1 USD per token; a row above it is a mistake.
pub(crate) const HIGHEST_RATE: PicoUsd = 100_000_000_000;

/// A model's prices at one provider, while they are valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceCard {
    pub provider: String,
    /// First day of validity (UTC), `2026-01-31`; without one, valid from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<jiff::civil::Date>,
    /// First day it is no longer valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::civil::Date>,
    /// Where the dates are written; a card with dates needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub rates: Vec<Rates>,
    /// Pico-USD per web search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search: Option<PicoUsd>,
    /// Factors on all token rates by the place of inference, in thousandths; `regional` is any place but `global`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub geo_factors: BTreeMap<String, u32>,
    /// Factor on all token rates in fast mode, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fast_factor: Option<u32>,
}

/// Rates of one service tier, from a context length on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// `batch`, `flex` or `priority`; none is the standard tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Applies when the context is longer than this many tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub above: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PicoUsd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<PicoUsd>,
    /// Where reasoning costs other than output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<PicoUsd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PicoUsd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<PicoUsd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PicoUsd>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A kind of token with a rate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Input,
    Output,
    Reasoning,
    CacheRead,
    CacheWrite5m,
    CacheWrite1h,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Input, Self::Output, Self::Reasoning, Self::CacheRead, Self::CacheWrite5m, Self::CacheWrite1h];

    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
        }
    }
}

impl Rates {
    pub fn rate(&self, kind: Kind) -> Option<PicoUsd> {
        match kind {
            Kind::Input => self.input,
            Kind::Output => self.output,
            Kind::Reasoning => self.reasoning,
            Kind::CacheRead => self.cache_read,
            Kind::CacheWrite5m => self.cache_write_5m,
            Kind::CacheWrite1h => self.cache_write_1h,
        }
    }

    pub(crate) fn rate_mut(&mut self, kind: Kind) -> &mut Option<PicoUsd> {
        match kind {
            Kind::Input => &mut self.input,
            Kind::Output => &mut self.output,
            Kind::Reasoning => &mut self.reasoning,
            Kind::CacheRead => &mut self.cache_read,
            Kind::CacheWrite5m => &mut self.cache_write_5m,
            Kind::CacheWrite1h => &mut self.cache_write_1h,
        }
    }
}

impl PriceCard {
    /// The rate of a kind in a tier for a context of this length: of the longest tier passed that tells it.
    pub fn rate(&self, tier: Option<&str>, context_tokens: u64, kind: Kind) -> Option<PicoUsd> {
        self.rates
            .iter()
            .filter(|rates| rates.tier.as_deref() == tier && (rates.above == 0 || context_tokens > rates.above))
            .filter_map(|rates| rates.rate(kind).map(|rate| (rates.above, rate)))
            .max_by_key(|(above, _)| *above)
            .map(|(_, rate)| rate)
    }

    pub(crate) fn has_tier(&self, tier: Option<&str>) -> bool {
        self.rates.iter().any(|rates| rates.tier.as_deref() == tier)
    }

    pub(crate) fn is_valid_at(&self, day: jiff::civil::Date) -> bool {
        self.from.is_none_or(|from| day >= from) && self.until.is_none_or(|until| day < until)
    }

    /// What is wrong with the row, naming the field.
    pub(crate) fn fault(&self) -> Option<String> {
        if (self.from.is_some() || self.until.is_some()) && self.source.is_none() {
            return Some("source: a price with dates needs one".to_owned());
        }
        if self.rates.is_empty() {
            return Some("rates: there are none".to_owned());
        }
        for rates in &self.rates {
            for kind in Kind::ALL {
                if rates.rate(kind).is_some_and(|rate| rate > HIGHEST_RATE) {
                    return Some(format!("rates.{}: more than 0.1 USD per token", kind.name()));
                }
            }
        }
        None
    }
}
