//! What one request costs, and the lines that it adds up from.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::card::{Kind, PicoUsd, PriceCard};
use crate::table::PriceTable;
use crate::{NanoUsd, Usage};

/// What of a request decides its price, as the client reported it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriceQuery<'a> {
    pub model: &'a str,
    /// `anthropic`, `bedrock`, `vertex_ai`, …, where told.
    pub provider: Option<&'a str>,
    /// Where inference ran: `us`, `global`, …; empty and `not_available` tell nothing.
    pub inference_geo: Option<&'a str>,
    /// `standard`, `batch`, `flex` or `priority`.
    pub service_tier: Option<&'a str>,
    /// `fast` or `standard`.
    pub speed: Option<&'a str>,
    pub at_unix_ms: i64,
}

/// A request's cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    Known(NanoUsd),
    /// The user marked the model as free or local.
    Free,
    Unknown(UnknownCost),
}

/// Why a cost is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownCost {
    /// The table has no row for this name.
    Model,
    /// The row has no price valid at the request's time.
    Date,
    /// The row has no price for a kind of which there are tokens.
    Kind(&'static str),
    /// The row has no prices for this service tier.
    ServiceTier(String),
    /// The row has no factor for this place of inference.
    InferenceGeo(String),
    /// The row has no factor for fast mode.
    Speed(String),
}

impl fmt::Display for UnknownCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => write!(f, "no price for this model"),
            Self::Date => write!(f, "no price valid at that time"),
            Self::Kind(kind) => write!(f, "no price for {kind}"),
            Self::ServiceTier(tier) => write!(f, "no price for service tier {tier:?}"),
            Self::InferenceGeo(geo) => write!(f, "no price for inference in {geo:?}"),
            Self::Speed(speed) => write!(f, "no price for speed {speed:?}"),
        }
    }
}

impl Cost {
    /// The amount; nothing for free ones, `None` when unknown.
    pub fn amount(&self) -> Option<NanoUsd> {
        match self {
            Self::Known(amount) => Some(*amount),
            Self::Free => Some(NanoUsd::ZERO),
            Self::Unknown(_) => None,
        }
    }
}

/// One kind of a request's cost. `zepto_usd` = `quantity` × `rate` × the factors; a request's lines add up to its cost exactly, which
/// is rounded once, half up, to nano-USD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostLine {
    pub kind: &'static str,
    /// Tokens or web searches.
    pub quantity: u64,
    /// Pico-USD for one.
    pub rate: PicoUsd,
    /// Product of all factors (place, speed, discount), in billionths.
    pub factor_nano: u64,
    /// 10^-21 USD.
    pub zepto_usd: i128,
}

/// How a request's cost comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub canonical_model: String,
    /// The table's row, or `override`.
    pub price_key: Option<String>,
    pub lines: Vec<CostLine>,
    pub cost: Cost,
}

const ZEPTO_PER_NANO: i128 = 1_000_000_000_000;
/// Beyond any real request; keeps every product within 128 bits.
const MOST_TOKENS: u64 = 1_000_000_000_000_000;

impl PriceTable {
    pub fn cost(&self, query: &PriceQuery<'_>, usage: &Usage) -> Cost {
        self.price(query, usage, |_| ())
    }

    pub fn explain(&self, query: &PriceQuery<'_>, usage: &Usage) -> Explanation {
        let mut lines = Vec::new();
        let cost = self.price(query, usage, |line| lines.push(line));
        let resolved = self.resolve(query.model, query.provider);
        let names = [query.model, &resolved.canonical_model];
        let overridden = self.overrides.card(&names).map(|card| card.provider);
        Explanation {
            canonical_model: resolved.canonical_model.clone(),
            price_key: overridden.or_else(|| resolved.price_key.clone()),
            lines,
            cost,
        }
    }

    fn price(&self, query: &PriceQuery<'_>, usage: &Usage, mut line: impl FnMut(CostLine)) -> Cost {
        let resolved = self.resolve(query.model, query.provider);
        let names = [query.model, resolved.canonical_model.as_str()];
        if self.overrides.is_free(&names) {
            return Cost::Free;
        }
        let overridden = self.overrides.card(&names);
        let day =
            TimeZone::UTC.to_datetime(Timestamp::from_millisecond(query.at_unix_ms).unwrap_or(Timestamp::UNIX_EPOCH)).date();
        let card = match &overridden {
            Some(card) => card,
            None if resolved.cards.is_empty() => return Cost::Unknown(UnknownCost::Model),
            None => match resolved.cards.iter().find(|card| card.is_valid_at(day)) {
                Some(card) => card,
                None => return Cost::Unknown(UnknownCost::Date),
            },
        };
        let (tier, token_factor) = match terms(card, query, overridden.is_some()) {
            Ok(terms) => terms,
            Err(unknown) => return Cost::Unknown(unknown),
        };
        let paid = u64::from(self.overrides.paid_milli(&names, Some(&card.provider)));
        let context = usage.context_tokens();
        let rate = |kind| card.rate(tier, context, kind);
        let reasoning = if rate(Kind::Reasoning).is_some() { usage.reasoning.min(usage.output) } else { 0 };
        let quantities = [
            ("input", usage.input, rate(Kind::Input), token_factor),
            ("output", usage.output - reasoning, rate(Kind::Output), token_factor),
            ("reasoning", reasoning, rate(Kind::Reasoning), token_factor),
            ("cache_read", usage.cache_read, rate(Kind::CacheRead), token_factor),
            ("cache_write_5m", usage.cache_write_5m, rate(Kind::CacheWrite5m), token_factor),
            ("cache_write_1h", usage.cache_write_1h, rate(Kind::CacheWrite1h), token_factor),
            ("cache_write_unsplit", usage.cache_write_unsplit, rate(Kind::CacheWrite5m), token_factor),
            ("web_search_requests", usage.web_search_requests, card.web_search, 1_000_000),
        ];
        let mut sum = 0_i128;
        for (kind, quantity, rate, factor) in quantities {
            if quantity == 0 {
                continue;
            }
            let Some(rate) = rate else {
                return Cost::Unknown(UnknownCost::Kind(kind));
            };
            let factor_nano = factor * paid;
            let zepto_usd = i128::from(quantity.min(MOST_TOKENS)) * i128::from(rate) * i128::from(factor_nano);
            sum += zepto_usd;
            line(CostLine { kind, quantity, rate, factor_nano, zepto_usd });
        }
        let nano = (sum + ZEPTO_PER_NANO / 2) / ZEPTO_PER_NANO;
        Cost::Known(NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX)))
    }
}

/// The service tier and the factor on token rates, in millionths.
fn terms<'a>(card: &PriceCard, query: &PriceQuery<'a>, overridden: bool) -> Result<(Option<&'a str>, u64), UnknownCost> {
    if overridden {
        // The user's price is the price, whatever the tier.
        return Ok((None, 1_000_000));
    }
    let tier = query.service_tier.filter(|tier| !matches!(*tier, "" | "standard" | "default" | "auto" | "on_demand"));
    if let Some(tier) = tier
        && !card.has_tier(Some(tier))
    {
        return Err(UnknownCost::ServiceTier(tier.to_owned()));
    }
    let geo = query.inference_geo.filter(|geo| !matches!(*geo, "" | "global" | "not_available") && !card.geo_factors.is_empty());
    let geo_factor = match geo {
        None => 1000,
        Some(geo) => *card
            .geo_factors
            .get(geo)
            .or_else(|| card.geo_factors.get("regional"))
            .ok_or_else(|| UnknownCost::InferenceGeo(geo.to_owned()))?,
    };
    let speed = query.speed.filter(|speed| !matches!(*speed, "" | "standard"));
    let speed_factor = match speed {
        None => 1000,
        Some("fast") => card.fast_factor.ok_or_else(|| UnknownCost::Speed("fast".to_owned()))?,
        Some(other) => return Err(UnknownCost::Speed(other.to_owned())),
    };
    Ok((tier, u64::from(geo_factor) * u64::from(speed_factor)))
}
