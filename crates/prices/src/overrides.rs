//! The user's own prices, from the configuration; they win over the table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::card::{HIGHEST_RATE, PicoUsd, PriceCard, Rates};

/// The `[prices]` part of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceOverrides {
    /// Prices by reported or canonical model name.
    pub models: BTreeMap<String, ModelPrice>,
    /// Share taken off, 0 to 1 (0.15 is 15 % off), by model or by provider; a model's wins.
    pub discount: BTreeMap<String, f64>,
    /// Models that cost nothing: local, or free of charge.
    pub free: Vec<String>,
    /// Names of proxies and inference profiles, and the model each stands for.
    pub aliases: BTreeMap<String, String>,
}

/// Prices in USD per million tokens; a kind without a price is unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelPrice {
    pub input: Option<f64>,
    pub output: Option<f64>,
    pub cache_read: Option<f64>,
    pub cache_write_5m: Option<f64>,
    pub cache_write_1h: Option<f64>,
    /// USD per thousand web searches.
    pub web_search: Option<f64>,
}

/// A value that is no price; names its key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("prices.{key}: {fault}")]
pub struct OverrideError {
    pub key: String,
    pub fault: &'static str,
}

impl PriceOverrides {
    /// Refuses negative, absurd and contradictory values.
    pub fn validate(&self) -> Result<(), OverrideError> {
        let wrong = |key: String, fault| Err(OverrideError { key, fault });
        for (model, price) in &self.models {
            for (field, value) in price.fields() {
                if value.is_some_and(|value| !(0.0..=HIGHEST_RATE as f64 / 1e6).contains(&value)) {
                    return wrong(
                        format!("models.{model:?}.{field}"),
                        "must be from 0 to 100,000 USD per million tokens (web_search: per thousand)",
                    );
                }
            }
        }
        for (name, share) in &self.discount {
            if !(0.0..=1.0).contains(share) {
                return wrong(format!("discount.{name:?}"), "must be a share from 0 to 1; 0.15 is 15 % off");
            }
        }
        match self.aliases.iter().find(|(name, model)| name == model || model.is_empty()) {
            Some((name, _)) => wrong(format!("aliases.{name:?}"), "must name another model"),
            None => Ok(()),
        }
    }

    pub(crate) fn alias(&self, reported: &str) -> Option<&str> {
        self.aliases.get(reported).map(String::as_str)
    }

    pub(crate) fn is_free(&self, names: &[&str]) -> bool {
        self.free.iter().any(|free| names.contains(&free.as_str()))
    }

    pub(crate) fn card(&self, names: &[&str]) -> Option<PriceCard> {
        names.iter().find_map(|name| self.models.get(*name)).map(ModelPrice::card)
    }

    /// What is left to pay, in thousandths.
    pub(crate) fn paid_milli(&self, names: &[&str], provider: Option<&str>) -> u32 {
        let share = names.iter().copied().chain(provider).find_map(|name| self.discount.get(name)).copied().unwrap_or(0.0);
        1000 - (share.clamp(0.0, 1.0) * 1000.0).round() as u32
    }
}

impl ModelPrice {
    fn fields(&self) -> [(&'static str, Option<f64>); 6] {
        [
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
            ("web_search", self.web_search),
        ]
    }

    fn card(&self) -> PriceCard {
        let pico = |usd: Option<f64>, unit: f64| usd.map(|usd| (usd * unit).round() as PicoUsd);
        PriceCard {
            provider: "override".to_owned(),
            rates: vec![Rates {
                input: pico(self.input, 1e6),
                output: pico(self.output, 1e6),
                cache_read: pico(self.cache_read, 1e6),
                cache_write_5m: pico(self.cache_write_5m, 1e6),
                cache_write_1h: pico(self.cache_write_1h, 1e6),
                ..Rates::default()
            }],
            web_search: pico(self.web_search, 1e9),
            ..PriceCard::default()
        }
    }
}
