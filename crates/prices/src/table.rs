//! The table of prices. Parsing all of it would take longer than a whole report, so a row is found by binary search in the sorted text
//! and parsed when first asked for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::card::PriceCard;
use crate::litellm;
use crate::overrides::PriceOverrides;
use crate::resolve::Resolved;

const EMBEDDED: &str = include_str!("../data/model_prices.json");

/// Names asked for that are remembered; names come from outside, so there must be an end.
const MEMO_LIMIT: usize = 4096;

/// A price list that cannot be read; names the row and field.
#[derive(Debug, thiserror::Error)]
pub enum PriceTableError {
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("models: missing; a price list is {{\"models\":{{…}}}} or LiteLLM's model_prices_and_context_window.json")]
    NoModels,
    #[error("models.{model:?}: {fault}")]
    Row { model: String, fault: String },
    #[error("models: none has a price per token")]
    Empty,
}

/// By reported name and provider.
type Memo = HashMap<(String, Option<String>), Arc<Resolved>>;

/// Prices of models, with the user's overrides on top.
#[derive(Debug)]
pub struct PriceTable {
    /// `{"source":…,"models":{` and then one `"name":[cards],` a line, sorted by name.
    text: Cow<'static, str>,
    pub(crate) overrides: PriceOverrides,
    memo: Mutex<Memo>,
}

impl PriceTable {
    /// The table that comes with this version of Ducat.
    pub fn embedded() -> Self {
        Self::of(Cow::Borrowed(EMBEDDED))
    }

    fn of(text: Cow<'static, str>) -> Self {
        Self { text, overrides: PriceOverrides::default(), memo: Mutex::default() }
    }

    pub fn with_overrides(mut self, overrides: PriceOverrides) -> Self {
        self.overrides = overrides;
        self.memo = Mutex::default();
        self
    }

    /// Reads a price list: Ducat's own form, or LiteLLM's, which is reduced.
    pub fn from_json(json: &str) -> Result<Self, PriceTableError> {
        let document: Map<String, Value> = serde_json::from_str(json)?;
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or("unknown").to_owned();
        if litellm::is_litellm(&document) {
            let models = litellm::reduce(&document);
            return Self::from_cards("LiteLLM's model_prices_and_context_window.json (MIT)", &models);
        }
        let Some(Value::Object(rows)) = document.get("models") else {
            return Err(PriceTableError::NoModels);
        };
        let mut models = BTreeMap::new();
        for (model, row) in rows {
            let cards = serde_json::from_value(row.clone())
                .map_err(|error| PriceTableError::Row { model: model.clone(), fault: error.to_string() })?;
            models.insert(model.clone(), cards);
        }
        Self::from_cards(&text("source"), &models)
    }

    fn from_cards(source: &str, models: &BTreeMap<String, Vec<PriceCard>>) -> Result<Self, PriceTableError> {
        if models.is_empty() {
            return Err(PriceTableError::Empty);
        }
        let mut text = format!(
            "{{\"source\":{},\"generated_by\":\"scripts/reduce-prices\",\"unit\":\"pico-USD per token\",\"models\":{{",
            Value::from(source)
        );
        for (number, (model, cards)) in models.iter().enumerate() {
            let fault = |fault: String| PriceTableError::Row { model: model.clone(), fault };
            if model.contains(['"', '\\', '\n']) {
                return Err(fault("the name holds a quote, a backslash or a line break".to_owned()));
            }
            if let Some(wrong) = cards.iter().find_map(PriceCard::fault) {
                return Err(fault(wrong));
            }
            if cards.is_empty() {
                return Err(fault("no price".to_owned()));
            }
            let comma = if number == 0 { "" } else { "," };
            text.push_str(&format!("{comma}\n\"{model}\":{}", serde_json::to_string(cards)?));
        }
        text.push_str("\n}}\n");
        Ok(Self::of(Cow::Owned(text)))
    }

    /// The whole table as JSON, one model a line.
    pub fn to_json(&self) -> &str {
        &self.text
    }

    /// Changes when any price does: the first 16 hex digits of a 64-bit FNV-1a over the text and the overrides.
    pub fn fingerprint(&self) -> String {
        let overrides = serde_json::to_string(&self.overrides).unwrap_or_default();
        let bytes = self.text.bytes().chain(overrides.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// All rows by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<PriceCard>)> {
        self.text.lines().filter_map(row_of).filter_map(|(name, json)| Some((name, serde_json::from_str(json).ok()?)))
    }

    /// The row of exactly this name.
    pub(crate) fn row(&self, name: &str) -> Option<Vec<PriceCard>> {
        let text = self.text.as_bytes();
        let line_around = |at: usize| {
            let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
            let end = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |newline| at + newline);
            (start, end)
        };
        let first = self.text.find('\n')? + 1;
        let (mut low, mut high) = (first, self.text.rfind("\n}}")? + 1);
        while low < high {
            let (start, end) = line_around(low + (high - low) / 2);
            let (known, json) = row_of(self.text.get(start..end)?)?;
            match known.cmp(name) {
                std::cmp::Ordering::Equal => return serde_json::from_str(json).ok(),
                std::cmp::Ordering::Less => low = end + 1,
                std::cmp::Ordering::Greater => high = start,
            }
        }
        None
    }

    /// What a name that a client reports stands for, remembered.
    pub fn resolve(&self, model: &str, provider: Option<&str>) -> Arc<Resolved> {
        let key = (model.to_owned(), provider.map(str::to_owned));
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = memo.get(&key) {
            return known.clone();
        }
        let resolved = Arc::new(self.resolve_anew(model, provider));
        if memo.len() < MEMO_LIMIT {
            memo.insert(key, resolved.clone());
        }
        resolved
    }

    /// What differs from this table to a newer one, by name.
    pub fn diff(&self, newer: &Self) -> Vec<PriceChange> {
        let ours: BTreeMap<_, _> = self.iter().collect();
        let theirs: BTreeMap<_, _> = newer.iter().collect();
        let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let change = |name: &&str| {
            (ours.get(*name) != theirs.get(*name)).then(|| PriceChange {
                model: (*name).to_owned(),
                before: ours.get(*name).cloned(),
                after: theirs.get(*name).cloned(),
            })
        };
        names.into_iter().filter_map(change).collect()
    }
}

/// A row that differs between two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChange {
    pub model: String,
    pub before: Option<Vec<PriceCard>>,
    pub after: Option<Vec<PriceCard>>,
}

/// `"name":[…],` to its name and JSON.
fn row_of(line: &str) -> Option<(&str, &str)> {
    let (name, json) = line.strip_prefix('"')?.split_once("\":")?;
    Some((name, json.strip_suffix(',').unwrap_or(json)))
}
