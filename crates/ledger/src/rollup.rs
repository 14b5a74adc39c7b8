//! Roll-ups: sums over facts in quarter-hour buckets, kept in the same transaction as the facts.
//!
//! A quarter of an hour because every time zone in use is a multiple of it away from UTC, so days and weeks of any zone can be cut from
//! buckets exactly.

use ducat_prices::{NanoUsd, Usage};

use crate::{Billing, Outcome, UnixMs};

/// Length of a bucket in milliseconds.
pub const BUCKET_MS: i64 = 15 * 60 * 1000;

/// The bucket a time falls into: quarter-hours since 1970, rounded down (also before 1970).
pub fn bucket_of(at: UnixMs) -> i64 {
    at.div_euclid(BUCKET_MS)
}

/// What requests are summed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestRollupKey {
    pub bucket: i64,
    pub agent: String,
    /// Canonical model name, or the reported one where the table knows none.
    pub model: String,
    pub project: Option<String>,
    pub branch: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
    pub host: Option<String>,
    pub billing: Option<Billing>,
    pub subagent_type: Option<String>,
    pub skill: Option<String>,
    pub mcp_server: Option<String>,
}

/// Sums of requests. Signed, because a changed fact is taken out under its old key and put in under the new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestRollup {
    pub requests: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub reasoning_tokens: i64,
    pub cache_read_tokens: i64,
    /// Five-minute writes and those whose lifetime nobody told.
    pub cache_write_5m_tokens: i64,
    pub cache_write_1h_tokens: i64,
    pub web_search_requests: i64,
    pub cost_nano: i64,
    /// Requests whose cost is unknown; they are in no `cost_nano`.
    pub unpriced_requests: i64,
}

impl RequestRollup {
    /// What one request adds.
    pub fn of(usage: &Usage, cost: Option<NanoUsd>) -> Self {
        let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        Self {
            requests: 1,
            input_tokens: signed(usage.input),
            output_tokens: signed(usage.output),
            reasoning_tokens: signed(usage.reasoning),
            cache_read_tokens: signed(usage.cache_read),
            cache_write_5m_tokens: signed(usage.cache_write_5m.saturating_add(usage.cache_write_unsplit)),
            cache_write_1h_tokens: signed(usage.cache_write_1h),
            web_search_requests: signed(usage.web_search_requests),
            cost_nano: cost.map_or(0, |cost| cost.0),
            unpriced_requests: i64::from(cost.is_none()),
        }
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        for (ours, theirs) in self.columns_mut().into_iter().zip(other.columns()) {
            *ours = with(*ours, theirs);
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    /// The sums in the order of their declaration.
    pub fn columns(&self) -> [i64; 10] {
        [
            self.requests,
            self.input_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.cache_read_tokens,
            self.cache_write_5m_tokens,
            self.cache_write_1h_tokens,
            self.web_search_requests,
            self.cost_nano,
            self.unpriced_requests,
        ]
    }

    fn columns_mut(&mut self) -> [&mut i64; 10] {
        [
            &mut self.requests,
            &mut self.input_tokens,
            &mut self.output_tokens,
            &mut self.reasoning_tokens,
            &mut self.cache_read_tokens,
            &mut self.cache_write_5m_tokens,
            &mut self.cache_write_1h_tokens,
            &mut self.web_search_requests,
            &mut self.cost_nano,
            &mut self.unpriced_requests,
        ]
    }

    /// The sums from columns in the order of their declaration.
    pub fn from_columns(columns: [i64; 10]) -> Self {
        let mut sums = Self::default();
        for (sum, column) in sums.columns_mut().into_iter().zip(columns) {
            *sum = column;
        }
        sums
    }
}

/// What tool calls are summed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolRollupKey {
    pub bucket: i64,
    pub agent: String,
    pub tool: String,
    pub outcome: Outcome,
    pub project: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
}

/// Sums of tool calls that got a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolRollup {
    pub calls: i64,
    pub duration_ms: i64,
    pub result_bytes: i64,
}
