//! Sums of requests, by the names every reader uses.

use std::collections::BTreeSet;

use ducat_ledger::RequestRollup;
use ducat_prices::{NanoUsd, Usage};
use serde::ser::SerializeMap;

use crate::Currency;

/// Sums over some requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub requests: u64,
    /// Tokens by kind; written tokens whose lifetime nobody told are counted with the five-minute ones, as they are priced.
    pub usage: Usage,
    /// Sum of the known costs.
    pub cost: NanoUsd,
    /// Requests whose cost is unknown; they are in no `cost`.
    pub unpriced_requests: u64,
    pub unpriced_models: BTreeSet<String>,
    /// Sums of unknown many requests; their tokens and costs are in the above.
    pub sums: u64,
    /// Requests whose tokens were estimated; they are in nothing above.
    pub estimated_requests: u64,
    pub estimated_tokens: u64,
    pub estimated_cost: NanoUsd,
}

impl Totals {
    /// Adds requests of one model.
    pub fn add(&mut self, model: &str, sums: &RequestRollup) {
        let count = |sum: i64| sum.max(0).unsigned_abs();
        self.requests += count(sums.requests);
        self.usage = self.usage.saturating_add(&Usage {
            input: count(sums.input_tokens),
            output: count(sums.output_tokens),
            reasoning: count(sums.reasoning_tokens),
            cache_read: count(sums.cache_read_tokens),
            cache_write_5m: count(sums.cache_write_5m_tokens),
            cache_write_1h: count(sums.cache_write_1h_tokens),
            cache_write_unsplit: 0,
            web_search_requests: count(sums.web_search_requests),
        });
        self.cost = self.cost.saturating_add(NanoUsd(sums.cost_nano));
        self.unpriced_requests += count(sums.unpriced_requests);
        self.sums += count(sums.sums);
        self.estimated_requests += count(sums.estimated_requests);
        self.estimated_tokens = self.estimated_tokens.saturating_add(count(sums.estimated_tokens));
        self.estimated_cost = self.estimated_cost.saturating_add(NanoUsd(sums.estimated_cost_nano));
        if sums.unpriced_requests > 0 && !self.unpriced_models.contains(model) {
            self.unpriced_models.insert(model.to_owned());
        }
    }

    /// Adds sums of other requests.
    pub fn unite(&mut self, other: &Self) {
        self.requests += other.requests;
        self.usage = self.usage.saturating_add(&other.usage);
        self.cost = self.cost.saturating_add(other.cost);
        self.unpriced_requests += other.unpriced_requests;
        self.sums += other.sums;
        self.estimated_requests += other.estimated_requests;
        self.estimated_tokens = self.estimated_tokens.saturating_add(other.estimated_tokens);
        self.estimated_cost = self.estimated_cost.saturating_add(other.estimated_cost);
        self.unpriced_models.extend(other.unpriced_models.iter().cloned());
    }

    /// The known cost, or `None` when there are requests and none of them could be priced.
    pub fn known_cost(&self) -> Option<NanoUsd> {
        let told = self.requests + self.sums;
        (told == 0 || self.unpriced_requests < told).then_some(self.cost)
    }

    /// Writes the sums' fields into an object under way, with the cost in a currency beside that in USD.
    pub fn serialize_into<M: SerializeMap>(&self, map: &mut M, currency: Option<&Currency>) -> Result<(), M::Error> {
        map.serialize_entry("requests", &self.requests)?;
        map.serialize_entry("input_tokens", &self.usage.input)?;
        map.serialize_entry("output_tokens", &self.usage.output)?;
        map.serialize_entry("reasoning_tokens", &self.usage.reasoning)?;
        map.serialize_entry("cache_read_tokens", &self.usage.cache_read)?;
        let five_minutes = self.usage.cache_write_5m.saturating_add(self.usage.cache_write_unsplit);
        map.serialize_entry("cache_write_5m_tokens", &five_minutes)?;
        map.serialize_entry("cache_write_1h_tokens", &self.usage.cache_write_1h)?;
        let cost = self.known_cost();
        map.serialize_entry("cost_usd", &cost.map(|cost| cost.0 as f64 / 1e9))?;
        map.serialize_entry("cost_nano_usd", &cost.map(|cost| cost.0.to_string()))?;
        if let Some(currency) = currency {
            let cost = cost.map(|cost| currency.nano(cost));
            map.serialize_entry("cost", &cost.map(|cost| cost as f64 / 1e9))?;
            map.serialize_entry("cost_nano", &cost.map(|cost| cost.to_string()))?;
        }
        if self.estimated_requests > 0 || self.estimated_tokens > 0 {
            map.serialize_entry("estimated_requests", &self.estimated_requests)?;
            map.serialize_entry("estimated_tokens", &self.estimated_tokens)?;
            map.serialize_entry("estimated_cost_usd", &self.estimated_cost.as_usd())?;
        }
        map.serialize_entry("unpriced_requests", &self.unpriced_requests)?;
        map.serialize_entry("unpriced_models", &self.unpriced_models)
    }
}
