//! A vendor's bill as a witness: what it says of a UTC day and a model, against what the ledger believes.

mod anthropic;
mod aws;
mod compare;
mod csv;
mod json;
mod openai;

use std::collections::BTreeSet;

use ducat_prices::NanoUsd;
use jiff::civil::Date;

use crate::Field;

pub use compare::{BillRow, BillVerdict, Billed, LedgerDay};

/// Who bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    Anthropic,
    OpenAi,
    Aws,
}

impl Vendor {
    pub fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Aws => "aws",
        }
    }
}

/// One figure of a bill.
#[derive(Clone, Debug, PartialEq)]
pub struct BillLine {
    pub day: Date,
    /// As billed; none for what is of no model.
    pub model: Option<String>,
    /// The kind of token; none for a cost that tells none.
    pub kind: Option<Field>,
    /// Tokens, or web searches.
    pub count: Option<u64>,
    pub cost: Option<NanoUsd>,
}

/// A file of a vendor's.
#[derive(Clone, Debug, PartialEq)]
pub struct Bill {
    pub vendor: Vendor,
    /// UTC days that it is of, also such with nothing billed.
    pub days: BTreeSet<Date>,
    pub lines: Vec<BillLine>,
    /// It is one page of several.
    pub has_more: bool,
}

/// Why a file is no bill that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    #[error(
        "this is no bill that is known: a CSV of the Claude Console's usage or cost, a page of Anthropic's or OpenAI's usage or cost API, or a CSV of AWS's \
         cost and usage report or Cost Explorer"
    )]
    Unknown,
    #[error("it is of no day, so there is nothing to compare")]
    NoDay,
    #[error("{0}")]
    Json(String),
    /// `place`: a line, or the path of an object in JSON.
    #[error("{place}, {field}: {problem}")]
    At { place: String, field: String, problem: String },
}

impl Bill {
    /// Reads a file, whoever's it is. One of no day would agree with everything.
    pub fn parse(bytes: &[u8]) -> Result<Self, BillError> {
        let bill = Self::read(bytes)?;
        if bill.days.is_empty() { Err(BillError::NoDay) } else { Ok(bill) }
    }

    fn read(bytes: &[u8]) -> Result<Self, BillError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.trim_ascii_start().starts_with(b"{") {
            let page: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| BillError::Json(error.to_string()))?;
            return json::page(&page);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BillError::Unknown)?;
        let rows = csv::rows(text)?;
        let Some((head, rows)) = rows.split_first() else { return Err(BillError::Unknown) };
        let table = csv::Table { head: &head.cells, rows };
        if table.has("usage_date_utc") {
            anthropic::table(&table)
        } else if aws::is_known(&table) {
            aws::table(&table)
        } else {
            Err(BillError::Unknown)
        }
    }
}

/// US dollars of a decimal number; doubles are exact to a nano-dollar up to nine million dollars.
fn dollars(text: &str) -> Option<NanoUsd> {
    NanoUsd::from_usd(text.trim().parse().ok()?)
}
