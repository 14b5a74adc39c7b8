//! How long requests took, and how long until their first token.

use std::cmp::Reverse;
use std::collections::HashMap;

use ducat_ledger::{LatencyRollup, UnixMs};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::timings::{Where, percentiles};
use crate::{Names, QueryError, Settings};

/// What the rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatencyGrouping {
    #[default]
    Model,
    Agent,
    Project,
}

impl LatencyGrouping {
    const ALL: [Self; 3] = [Self::Model, Self::Agent, Self::Project];

    /// As in `by=`, and the key that names a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Agent => "agent",
            Self::Project => "project",
        }
    }
}

/// Which requests, and what they are summed by.
#[derive(Clone, Debug, Default)]
pub struct LatencyQuery {
    pub by: LatencyGrouping,
    place: Where,
}

const PARAMETERS: &str = "by, since, until, timezone, agent, model, project, group";

/// Times of requests that share these names.
#[derive(Clone, Copy, Debug)]
pub struct LatencyRow<'a> {
    pub agent: &'a str,
    /// Canonical name; empty where nobody told.
    pub model: &'a str,
    pub project: Option<&'a str>,
    /// All but the durations.
    pub sums: &'a LatencyRollup,
    /// As [`ducat_ledger::Durations::to_bytes`] makes them.
    pub durations: &'a [u8],
    pub ttfts: &'a [u8],
}

/// The answer in the making.
#[derive(Clone, Debug)]
pub struct Latencies {
    query: LatencyQuery,
    rows: HashMap<Option<String>, LatencyRollup>,
}

impl LatencyQuery {
    /// Reads `(name, value)` pairs as they stand in a URL. Relative days count back from `now` in the asked zone.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<Self, QueryError> {
        let mut query = Self::default();
        let filters = ["agent", "model", "project", "group"];
        query.place = Where::parse(pairs, &filters, now, settings, |name, value| match name {
            "by" => {
                let by = LatencyGrouping::ALL.into_iter().find(|by| by.name() == value);
                let wanted = "grouping: model, agent or project";
                query.by = by.ok_or_else(|| QueryError::Value { field: "by", value: value.to_owned(), wanted })?;
                Ok(())
            }
            other => Err(QueryError::Unknown { field: other.to_owned(), known: PARAMETERS }),
        })?;
        Ok(query)
    }
}

impl Latencies {
    pub fn new(query: LatencyQuery) -> Self {
        Self { query, rows: HashMap::new() }
    }

    /// The times that rows are asked of, from inclusive to exclusive, at quarter-hours.
    pub fn range(&self) -> (Option<UnixMs>, Option<UnixMs>) {
        self.query.place.range
    }

    /// Adds a row if the query asks for it.
    pub fn add(&mut self, row: &LatencyRow<'_>) {
        let names = Names { agent: Some(row.agent), model: Some(row.model), project: row.project, ..Names::default() };
        if !self.query.place.asks_for(names) {
            return;
        }
        let name = match self.query.by {
            LatencyGrouping::Model => Some(row.model).filter(|model| !model.is_empty()),
            LatencyGrouping::Agent => Some(row.agent),
            LatencyGrouping::Project => row.project,
        };
        let sums = self.rows.entry(name.map(str::to_owned)).or_default();
        sums.add(row.sums);
        sums.durations.add_bytes(row.durations);
        sums.ttfts.add_bytes(row.ttfts);
    }

    /// Rows by the number of their requests, and totals.
    pub fn to_json(&self) -> Value {
        let mut totals = LatencyRollup::default();
        self.rows.values().for_each(|row| totals.add(row));
        let mut rows: Vec<_> = self.rows.iter().collect();
        // Of equals the unnamed one last.
        rows.sort_by_key(|(name, row)| (Reverse(row.durations.count().max(row.ttfts.count())), name.is_none(), *name));
        let row = |(name, sums): (&Option<String>, &LatencyRollup)| {
            let mut row = fields(sums);
            row.insert(self.query.by.name().to_owned(), json!(name));
            row
        };
        json!({ "schema_version": 1, "rows": rows.into_iter().map(row).collect::<Vec<_>>(), "totals": fields(&totals) })
    }
}

fn fields(sums: &LatencyRollup) -> Map<String, Value> {
    let [p50, p95, p99] = percentiles(&sums.durations);
    let [ttft_p50, ttft_p95, ttft_p99] = percentiles(&sums.ttfts);
    let rate = (sums.output_ms > 0).then(|| sums.output_tokens as f64 * 1e3 / sums.output_ms as f64);
    let fields = [
        ("timed_requests", sums.durations.count().into()),
        ("p50_ms", p50),
        ("p95_ms", p95),
        ("p99_ms", p99),
        ("ttft_requests", sums.ttfts.count().into()),
        ("ttft_p50_ms", ttft_p50),
        ("ttft_p95_ms", ttft_p95),
        ("ttft_p99_ms", ttft_p99),
        ("output_tokens_per_second", rate.into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
