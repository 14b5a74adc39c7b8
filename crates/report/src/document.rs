//! A finished report, as JSON.

use std::collections::BTreeMap;

use ducat_ledger::UnixMs;
use ducat_prices::NanoUsd;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::blocks::BlockColumns;
use crate::report::RowSums;
use crate::{Currency, Grouping, Totals, rfc3339};

/// `{"schema_version":1,"rows":[…],"totals":{…}}`.
#[derive(Clone, Debug)]
pub struct Document {
    pub by: Grouping,
    pub breakdown: Option<Grouping>,
    /// What costs are told in beside USD.
    pub currency: Option<Currency>,
    pub rows: Vec<Row>,
    pub totals: Totals,
}

/// One row of a report.
#[derive(Clone, Debug)]
pub struct Row {
    /// Date, week, month, session, project, …; none for what could not be attributed.
    pub name: Option<String>,
    pub totals: Totals,
    /// Sums by what the breakdown is by; nobody's under no name.
    pub parts: BTreeMap<Option<String>, Totals>,
    /// Only for sessions.
    pub session: Option<SessionColumns>,
    /// Only for blocks.
    pub block: Option<BlockColumns>,
}

/// What a session's row says besides its sums.
#[derive(Clone, Debug)]
pub struct SessionColumns {
    pub agent: String,
    pub project: Option<String>,
    pub branch: Option<String>,
    pub first_request_at: Option<UnixMs>,
    pub last_request_at: Option<UnixMs>,
}

impl Row {
    pub(crate) fn new(name: Option<String>, agent: Option<String>, sums: RowSums) -> Self {
        let session = agent.map(|agent| SessionColumns {
            agent,
            project: sums.latest.1,
            branch: sums.latest.2,
            first_request_at: sums.first_at,
            last_request_at: sums.latest.0,
        });
        Self { name, totals: sums.totals, parts: sums.parts, session, block: None }
    }

    pub(crate) fn of_block(block: BlockColumns, sums: RowSums) -> Self {
        let name = rfc3339(block.start);
        Self { name, totals: sums.totals, parts: sums.parts, session: None, block: Some(block) }
    }
}

impl Row {
    /// What all of a told window is worth, by what its used share cost; unknown under one percent, and where not all that was used is summed
    /// or has a price.
    pub fn limit(&self) -> Option<NanoUsd> {
        let block = self.block.as_ref().filter(|block| block.whole && self.totals.unpriced_requests == 0)?;
        let used = block.used_ppm.filter(|used| *used >= 10_000)?;
        let cost = i128::from(self.totals.known_cost()?.0);
        i64::try_from(cost * 1_000_000 / i128::from(used)).ok().map(NanoUsd)
    }
}

impl Document {
    /// One line of JSON, the same bytes for the same requests wherever they come from.
    pub fn to_json(&self) -> String {
        // A document holds nothing that JSON cannot: strings, integers and finite floats.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema_version", &1)?;
        if let Some(currency) = &self.currency {
            map.serialize_entry("currency", currency)?;
        }
        map.serialize_entry("rows", &Rows(self))?;
        map.serialize_entry("totals", &TotalsOf(self))?;
        map.end()
    }
}

struct Rows<'a>(&'a Document);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.rows.len()))?;
        for row in &self.0.rows {
            rows.serialize_element(&KeyedRow { document: self.0, row })?;
        }
        rows.end()
    }
}

struct TotalsOf<'a>(&'a Document);

impl Serialize for TotalsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.totals.serialize_into(&mut map, self.0.currency.as_ref())?;
        map.end()
    }
}

struct KeyedRow<'a> {
    document: &'a Document,
    row: &'a Row,
}

impl Serialize for KeyedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.document.by.row_key(), &self.row.name)?;
        if let Some(session) = &self.row.session {
            map.serialize_entry("agent", &session.agent)?;
            map.serialize_entry("project", &session.project)?;
            map.serialize_entry("branch", &session.branch)?;
            map.serialize_entry("first_request_at", &session.first_request_at.and_then(rfc3339))?;
            map.serialize_entry("last_request_at", &session.last_request_at.and_then(rfc3339))?;
        }
        if let Some(block) = &self.row.block {
            map.serialize_entry("block_end", &rfc3339(block.end))?;
            map.serialize_entry("guessed", &block.guessed)?;
            map.serialize_entry("active", &block.active)?;
            map.serialize_entry("agent", &block.agent)?;
            map.serialize_entry("used_percent", &block.used_ppm.map(|used| f64::from(used) / 1e4))?;
            let outlook = block.outlook.as_ref();
            map.serialize_entry("cost_usd_per_hour", &outlook.map(|outlook| outlook.nano_per_hour as f64 / 1e9))?;
            map.serialize_entry("projected_cost_usd", &outlook.map(|outlook| outlook.projected_nano as f64 / 1e9))?;
            let projected = outlook.and_then(|outlook| outlook.projected_ppm);
            map.serialize_entry("projected_percent", &projected.map(|projected| projected as f64 / 1e4))?;
            map.serialize_entry("used_up_at", &outlook.and_then(|outlook| outlook.used_up_at).and_then(rfc3339))?;
            map.serialize_entry("limit_cost_usd", &self.row.limit().map(|limit| limit.as_usd()))?;
        }
        let currency = self.document.currency.as_ref();
        self.row.totals.serialize_into(&mut map, currency)?;
        if let Some(by) = self.document.breakdown {
            map.serialize_entry("breakdown", &Breakdown { by, parts: &self.row.parts, currency })?;
        }
        map.end()
    }
}

/// Sums by what the breakdown is by, the costliest first.
struct Breakdown<'a> {
    by: Grouping,
    parts: &'a BTreeMap<Option<String>, Totals>,
    currency: Option<&'a Currency>,
}

impl Serialize for Breakdown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by(|(name, totals), (other_name, other)| (other.cost, name).cmp(&(totals.cost, other_name)));
        let mut rows = serializer.serialize_seq(Some(parts.len()))?;
        for (name, totals) in parts {
            rows.serialize_element(&Part { by: self.by, name: name.as_deref(), totals, currency: self.currency })?;
        }
        rows.end()
    }
}

struct Part<'a> {
    by: Grouping,
    name: Option<&'a str>,
    totals: &'a Totals,
    currency: Option<&'a Currency>,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.by.row_key(), &self.name)?;
        self.totals.serialize_into(&mut map, self.currency)?;
        map.end()
    }
}
