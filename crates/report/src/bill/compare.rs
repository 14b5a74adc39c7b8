//! A bill against the ledger, by UTC day and model.

use std::collections::BTreeMap;

use ducat_ledger::RequestRollup;
use ducat_prices::NanoUsd;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::{Bill, Vendor};
use crate::Field;

/// What the ledger believes of a UTC day and a model.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerDay {
    pub day: Date,
    /// Canonical.
    pub model: String,
    /// Not on a plan, nor from credits, nor local.
    pub is_billed: bool,
    pub sums: RequestRollup,
}

/// One day and model.
#[derive(Clone, Debug, PartialEq)]
pub struct BillRow {
    pub day: Date,
    pub model: String,
    pub billed: BTreeMap<Field, u64>,
    pub billed_cost: Option<NanoUsd>,
    /// Parts of `billed_cost`, where the bill tells kinds.
    pub billed_cost_by_kind: BTreeMap<Field, NanoUsd>,
    pub is_billed: bool,
    pub ours: RequestRollup,
}

/// What bills of web searches, which are of no model, are called.
const SEARCHES: &str = "web search";

/// How a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillVerdict {
    Same,
    Differs,
    /// It was billed, and nobody told the ledger.
    NeverSeen,
    /// The ledger has it, the bill has not.
    NeverBilled,
}

impl BillVerdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::NeverSeen => "never_seen",
            Self::NeverBilled => "never_billed",
        }
    }
}

/// A bill held against the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Billed {
    pub vendor: Vendor,
    pub rows: Vec<BillRow>,
    /// Costs of no model, such as code execution.
    pub other_cost: NanoUsd,
    /// List-price value of requests in the bill's time that nobody bills: on a plan, from credits, local.
    pub unbilled_value: NanoUsd,
    pub tolerance: NanoUsd,
}

impl Billed {
    /// `canonical` names a model as the ledger does; `searched` is what a day's web searches cost, which Anthropic bills apart from the
    /// model. All bills are one vendor's: the usage and the cost of the same days, or pages.
    pub fn compare(
        bills: &[Bill],
        ledger: &[LedgerDay],
        canonical: &dyn Fn(&str) -> String,
        searched: &dyn Fn(&LedgerDay) -> NanoUsd,
        tolerance: NanoUsd,
    ) -> Option<Self> {
        let vendor = bills.first()?.vendor;
        let mut billed = Self { vendor, rows: Vec::new(), other_cost: NanoUsd::ZERO, unbilled_value: NanoUsd::ZERO, tolerance };
        let mut rows = BTreeMap::<(Date, String), BillRow>::new();
        for line in bills.iter().flat_map(|bill| &bill.lines) {
            let searches = (line.kind == Some(Field::WebSearches)).then_some(SEARCHES);
            let Some(model) = line.model.as_deref().or(searches) else {
                billed.other_cost = billed.other_cost.saturating_add(line.cost.unwrap_or_default());
                continue;
            };
            let is_named = line.model.is_some();
            let model = if is_named { undated(&canonical(&dashed(model))) } else { model.to_owned() };
            let row = row(&mut rows, line.day, model);
            row.is_billed |= line.count.unwrap_or(0) > 0 || line.cost.is_some_and(|cost| cost != NanoUsd::ZERO);
            if let (Some(kind), Some(count)) = (line.kind, line.count) {
                let sum = row.billed.entry(kind).or_default();
                *sum = sum.saturating_add(count);
            }
            if let Some(cost) = line.cost {
                row.billed_cost = Some(row.billed_cost.unwrap_or_default().saturating_add(cost));
                if let Some(kind) = line.kind {
                    let sum = row.billed_cost_by_kind.entry(kind).or_default();
                    *sum = sum.saturating_add(cost);
                }
            }
        }
        let bills_searches =
            vendor == Vendor::Anthropic && bills.iter().flat_map(|bill| &bill.lines).any(|line| line.cost.is_some());
        for day in ledger {
            let model = undated(&day.model);
            let is_named = rows.keys().any(|(_, named)| *named == model);
            if !is_named && !is_of(vendor, &model) {
                continue;
            }
            if day.is_billed {
                row(&mut rows, day.day, model.clone()).ours.add(&day.sums);
                let searched = searched(day).0;
                if searched != 0 && bills_searches {
                    let ours = &mut row(&mut rows, day.day, model).ours;
                    ours.cost_nano = ours.cost_nano.saturating_sub(searched);
                    let ours = &mut row(&mut rows, day.day, SEARCHES.to_owned()).ours;
                    ours.cost_nano = ours.cost_nano.saturating_add(searched);
                }
            } else {
                billed.unbilled_value = billed.unbilled_value.saturating_add(NanoUsd(day.sums.cost_nano));
            }
        }
        billed.rows = rows.into_values().filter(|row| row.is_billed || row.is_seen()).collect();
        Some(billed)
    }

    /// The dollars that bill and ledger are apart, each row's without its sign.
    pub fn distance(&self) -> NanoUsd {
        self.rows.iter().filter_map(BillRow::difference).map(|apart| NanoUsd(apart.0.saturating_abs())).sum()
    }

    /// Within the tolerance; where the bill tells no dollars, every count must be the same.
    pub fn is_agreed(&self) -> bool {
        let counts_agree = |row: &BillRow| row.difference().is_some() || row.verdict() == BillVerdict::Same;
        self.distance() <= self.tolerance && self.rows.iter().all(counts_agree)
    }

    pub fn to_json(&self) -> Value {
        json!({
            "schema_version": 1, "vendor": self.vendor.name(), "agreed": self.is_agreed(), "tolerance_usd": self.tolerance.as_usd(),
            "rows": self.rows.iter().map(BillRow::to_json).collect::<Vec<_>>(),
            "totals": {
                "difference_usd": self.distance().as_usd(), "difference_nano_usd": self.distance(),
                "other_billed_cost_usd": self.other_cost.as_usd(), "unbilled_value_usd": self.unbilled_value.as_usd(),
            },
        })
    }
}

impl BillRow {
    fn is_seen(&self) -> bool {
        self.ours != RequestRollup::default()
    }

    /// What we believe of a kind that bills tell.
    pub fn ours_of(&self, kind: Field) -> u64 {
        let (five, hour) = (self.ours.cache_write_5m_tokens, self.ours.cache_write_1h_tokens);
        let count = match kind {
            Field::Input => self.ours.input_tokens,
            Field::Output => self.ours.output_tokens,
            Field::Reasoning => self.ours.reasoning_tokens,
            Field::CacheRead => self.ours.cache_read_tokens,
            Field::CacheWrite => five.saturating_add(hour),
            Field::CacheWrite5m => five,
            Field::CacheWrite1h => hour,
            Field::WebSearches => self.ours.web_search_requests,
            Field::Model | Field::Outcome => 0,
        };
        count.max(0).unsigned_abs()
    }

    /// Our cost less the billed one; unknown where one of them is.
    pub fn difference(&self) -> Option<NanoUsd> {
        let billed = if self.is_billed { self.billed_cost? } else { NanoUsd::ZERO };
        (self.ours.unpriced_requests == 0).then(|| NanoUsd(self.ours.cost_nano).saturating_sub(billed))
    }

    pub fn verdict(&self) -> BillVerdict {
        match (self.is_billed, self.is_seen()) {
            (true, false) => BillVerdict::NeverSeen,
            (false, _) => BillVerdict::NeverBilled,
            (true, true) => {
                let counts = self.billed.iter().all(|(kind, count)| self.ours_of(*kind) == *count);
                let costs = self.billed_cost.is_none() || self.difference() == Some(NanoUsd::ZERO);
                if counts && costs { BillVerdict::Same } else { BillVerdict::Differs }
            }
        }
    }

    fn to_json(&self) -> Value {
        let counts = self
            .billed
            .iter()
            .map(|(kind, count)| (kind.name().to_owned(), json!({ "billed": count, "ours": self.ours_of(*kind) })));
        let costs = self.billed_cost_by_kind.iter().map(|(kind, cost)| (kind.name().to_owned(), json!(cost.as_usd())));
        json!({
            "date": self.day.to_string(), "model": self.model, "verdict": self.verdict().name(), "requests": self.ours.requests,
            "tokens": counts.collect::<Map<_, _>>(), "billed_cost_by_kind_usd": costs.collect::<Map<_, _>>(),
            "billed_cost_usd": self.billed_cost.map(NanoUsd::as_usd), "cost_usd": NanoUsd(self.ours.cost_nano).as_usd(),
            "unpriced_requests": self.ours.unpriced_requests, "difference_usd": self.difference().map(NanoUsd::as_usd),
            "difference_nano_usd": self.difference(),
        })
    }
}

fn row(rows: &mut BTreeMap<(Date, String), BillRow>, day: Date, model: String) -> &mut BillRow {
    rows.entry((day, model.clone())).or_insert_with(|| BillRow {
        day,
        model,
        billed: BTreeMap::new(),
        billed_cost: None,
        billed_cost_by_kind: BTreeMap::new(),
        is_billed: false,
        ours: RequestRollup::default(),
    })
}

/// `Claude Haiku 4.5 (Amazon Bedrock Edition)` as an id: `claude-haiku-4-5`. Ids stay as they are.
fn dashed(model: &str) -> String {
    let name = model.split(" (").next().unwrap_or(model).trim();
    if name.contains(' ') { name.to_ascii_lowercase().replace([' ', '.'], "-") } else { name.to_owned() }
}

/// Without the day of the model's release, which bills tell or not: `-20251001`, `-2025-10-01`.
fn undated(model: &str) -> String {
    for (dashes, length) in [(0, 9), (2, 11)] {
        let Some((name, end)) = model.len().checked_sub(length).and_then(|at| model.split_at_checked(at)) else { continue };
        let digits = end.bytes().filter(u8::is_ascii_digit).count();
        let found = end.bytes().filter(|byte| *byte == b'-').count();
        if end.starts_with("-20") && digits == 8 && found == dashes + 1 {
            return name.to_owned();
        }
    }
    model.to_owned()
}

/// Whether a model that no bill names is this vendor's to bill. AWS sells others' models, so only what it names is its.
fn is_of(vendor: Vendor, model: &str) -> bool {
    match vendor {
        Vendor::Anthropic => model.contains("claude"),
        Vendor::OpenAi => {
            let is_o = model.strip_prefix('o').is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
            is_o || ["gpt", "chatgpt", "codex"].iter().any(|name| model.starts_with(name))
        }
        Vendor::Aws => false,
    }
}
