//! What a model costs on a day: its rates in the standard tier with a short context, as this user pays them.

use jiff::civil::Date;

use crate::card::Kind;
use crate::table::PriceTable;

/// Rates of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelRates {
    /// Whose price it is, where the table has it.
    pub provider: Option<String>,
    /// US dollars per million tokens, discount taken off, in the order of [`Kind::ALL`]; none where unknown.
    pub usd_per_million: [Option<f64>; Kind::ALL.len()],
    pub source: Option<RateSource>,
    /// The configuration changes it: a price of its own, a discount, or free of charge.
    pub is_override: bool,
}

/// Where rates are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateSource {
    Table,
    Configuration,
}

impl RateSource {
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Configuration => "configuration",
        }
    }
}

/// Providers whose rows are looked for where the vendor's own has none, in this order.
const OTHER_PROVIDERS: [&str; 4] = ["bedrock", "vertex_ai", "gemini", "azure"];

impl PriceTable {
    /// The rates of a model by its canonical name; nothing known of one that neither table nor configuration has.
    pub fn rates_of(&self, model: &str, day: Date) -> ModelRates {
        let own = self.resolve(model, None);
        let names = [model, own.canonical_model.as_str()];
        let providers = OTHER_PROVIDERS.iter().map(|provider| self.resolve(model, Some(provider)));
        let rows = std::iter::once(own.clone()).chain(providers);
        let listed = rows.filter_map(|row| row.cards.iter().find(|card| card.is_valid_at(day)).cloned()).next();
        let provider = listed.as_ref().map(|card| card.provider.clone());
        if self.overrides.is_free(&names) {
            let usd_per_million = [Some(0.0); Kind::ALL.len()];
            return ModelRates { provider, usd_per_million, source: Some(RateSource::Configuration), is_override: true };
        }
        let overridden = self.overrides.card(&names);
        let (source, is_overridden) = match (&overridden, &listed) {
            (Some(_), _) => (Some(RateSource::Configuration), true),
            (None, listed) => (listed.as_ref().map(|_| RateSource::Table), false),
        };
        let Some(card) = overridden.or(listed) else { return ModelRates::default() };
        let paid_milli = self.overrides.paid_milli(&names, Some(&card.provider));
        // Pico-USD a token are micro-USD a million.
        let usd = |kind| card.rate(None, 0, kind).map(|rate| rate as f64 * f64::from(paid_milli) / 1e9);
        ModelRates { provider, usd_per_million: Kind::ALL.map(usd), source, is_override: is_overridden || paid_milli != 1000 }
    }

    /// Where the table is from, as it says.
    pub fn source(&self) -> Option<String> {
        let (_, source) = self.to_json().split_once("\"source\":")?;
        serde_json::Deserializer::from_str(source).into_iter().next()?.ok()
    }
}
