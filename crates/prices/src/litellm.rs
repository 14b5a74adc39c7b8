//! Reading the model price list that the LiteLLM project publishes, reduced to what Ducat uses.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::card::{HIGHEST_RATE, Kind, PicoUsd, PriceCard, Rates};

/// LiteLLM's names of the kinds.
const FIELDS: [(&str, Kind); 6] = [
    ("input_cost_per_token", Kind::Input),
    ("output_cost_per_token", Kind::Output),
    ("output_cost_per_reasoning_token", Kind::Reasoning),
    ("cache_read_input_token_cost", Kind::CacheRead),
    ("cache_creation_input_token_cost", Kind::CacheWrite5m),
    ("cache_creation_input_token_cost_above_1hr", Kind::CacheWrite1h),
];
const TIERS: [(&str, &str); 3] = [("_batches", "batch"), ("_flex", "flex"), ("_priority", "priority")];

/// Whether a document looks like LiteLLM's list rather than Ducat's own.
pub(crate) fn is_litellm(document: &Map<String, Value>) -> bool {
    !document.contains_key("models") && document.values().any(|row| row.get("litellm_provider").is_some())
}

/// The rows with a price per token. Rows whose input and output are both 0 are left out: a list's zero means free there today, or
/// that nobody filled it in, and unknown is not free.
pub(crate) fn reduce(document: &Map<String, Value>) -> BTreeMap<String, Vec<PriceCard>> {
    let rows = document.iter().filter(|(name, _)| *name != "sample_spec");
    rows.filter_map(|(name, row)| Some((name.clone(), vec![card(row.as_object()?)?]))).collect()
}

fn card(row: &Map<String, Value>) -> Option<PriceCard> {
    if !matches!(row.get("mode").and_then(Value::as_str), Some("chat" | "responses" | "completion") | None) {
        return None;
    }
    let mut by_place: BTreeMap<(Option<&str>, u64), Rates> = BTreeMap::new();
    for (name, value) in row {
        let Some((kind, tier, above)) = place(name) else {
            continue;
        };
        let Some(rate) = value.as_f64().and_then(pico) else {
            continue;
        };
        let rates =
            by_place.entry((tier, above)).or_insert_with(|| Rates { tier: tier.map(str::to_owned), above, ..Rates::default() });
        *rates.rate_mut(kind) = Some(rate);
    }
    for step in row.get("tiered_pricing").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object) {
        let above = step.get("range").and_then(|range| range.get(0)).and_then(Value::as_f64).unwrap_or(0.0) as u64;
        let rates = by_place.entry((None, above)).or_insert_with(|| Rates { above, ..Rates::default() });
        for (field, kind) in FIELDS {
            if let Some(rate) = step.get(field).and_then(Value::as_f64).and_then(pico) {
                *rates.rate_mut(kind) = Some(rate);
            }
        }
    }
    let base = by_place.get(&(None, 0))?;
    if base.input.unwrap_or(0) == 0 && base.output.unwrap_or(0) == 0 {
        return None;
    }
    let entry = row.get("provider_specific_entry");
    let mut geo_factors = BTreeMap::new();
    for (place, factor) in [
        ("us", entry.and_then(|entry| entry.get("us"))),
        ("us", row.get("regional_processing_uplift_multiplier_us")),
        ("eu", row.get("regional_processing_uplift_multiplier_eu")),
        ("regional", row.get("regional_endpoint_uplift_multiplier")),
    ] {
        if let Some(factor) = factor.and_then(milli) {
            geo_factors.insert(place.to_owned(), factor);
        }
    }
    let search = row.get("search_context_cost_per_query").and_then(|costs| costs.get("search_context_size_medium"));
    Some(PriceCard {
        provider: row.get("litellm_provider").and_then(Value::as_str).unwrap_or("unknown").to_owned(),
        rates: by_place.into_values().collect(),
        web_search: search.and_then(Value::as_f64).and_then(pico).filter(|rate| *rate > 0),
        geo_factors,
        fast_factor: entry.and_then(|entry| entry.get("fast")).and_then(milli),
        ..PriceCard::default()
    })
}

/// What a field of a row prices: kind, service tier, context length.
fn place(name: &str) -> Option<(Kind, Option<&'static str>, u64)> {
    let (name, tier) =
        TIERS.iter().find_map(|(suffix, tier)| name.strip_suffix(suffix).map(|name| (name, Some(*tier)))).unwrap_or((name, None));
    let (field, above) = match name.strip_suffix("k_tokens").and_then(|name| name.rsplit_once("_above_")) {
        Some((field, thousands)) => (field, thousands.parse::<u64>().ok()?.checked_mul(1000)?),
        None => (name, 0),
    };
    FIELDS.iter().find(|(known, _)| *known == field).map(|(_, kind)| (*kind, tier, above))
}

/// USD per unit to pico-USD. Prices have at most 12 significant digits, so the nearest integer is the price meant.
fn pico(usd: f64) -> Option<PicoUsd> {
    let pico = (usd * 1e12).round();
    (pico >= 0.0 && pico <= HIGHEST_RATE as f64).then_some(pico as PicoUsd)
}

fn milli(factor: &Value) -> Option<u32> {
    let milli = (factor.as_f64()? * 1000.0).round();
    (milli > 0.0 && milli <= 1_000_000.0).then_some(milli as u32)
}
