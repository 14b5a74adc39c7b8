//! Roll-ups: sums over facts in quarter-hour buckets, kept in the same transaction as the facts.
//!
//! A quarter of an hour because every time zone in use is a multiple of it away from UTC, so days and weeks of any zone can be cut from
//! buckets exactly.

use ducat_prices::NanoUsd;

use crate::{Attributes, Billing, Durations, Outcome, Request, Role, ToolCall, UnixMs, Witnesses};

/// Length of a bucket in milliseconds.
pub const BUCKET_MS: i64 = 15 * 60 * 1000;

/// The bucket a time falls into: quarter-hours since 1970, rounded down (also before 1970).
pub fn bucket_of(at: UnixMs) -> i64 {
    at.div_euclid(BUCKET_MS)
}

const COLUMNS: usize = 14;

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
    pub attributes: Attributes,
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
    /// Requests, and sums of such, whose cost is unknown; they are in no `cost_nano`.
    pub unpriced_requests: i64,
    /// Sums that nobody told one by one: their tokens and cost are in the figures above, how many requests they are is unknown.
    pub sums: i64,
    /// Requests whose tokens were estimated; they and theirs are in no figure above.
    pub estimated_requests: i64,
    /// Of all kinds.
    pub estimated_tokens: i64,
    /// Known costs of estimated tokens.
    pub estimated_cost_nano: i64,
}

impl RequestRollup {
    /// What it sums, in the order of the declaration.
    pub const COLUMNS: usize = COLUMNS;

    /// What one request adds.
    pub fn of(request: &Request, cost: Option<NanoUsd>) -> Self {
        let (usage, is_sum) = (request.usage(), request.is_sum.or_default());
        if request.is_estimated() {
            return Self {
                estimated_requests: i64::from(!is_sum),
                estimated_tokens: signed(usage.tokens()),
                estimated_cost_nano: cost.map_or(0, |cost| cost.0),
                ..Self::default()
            };
        }
        Self {
            requests: i64::from(!is_sum),
            sums: i64::from(is_sum),
            input_tokens: signed(usage.input),
            output_tokens: signed(usage.output),
            reasoning_tokens: signed(usage.reasoning),
            cache_read_tokens: signed(usage.cache_read),
            cache_write_5m_tokens: signed(usage.cache_write_5m.saturating_add(usage.cache_write_unsplit)),
            cache_write_1h_tokens: signed(usage.cache_write_1h),
            web_search_requests: signed(usage.web_search_requests),
            cost_nano: cost.map_or(0, |cost| cost.0),
            unpriced_requests: i64::from(cost.is_none()),
            ..Self::default()
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

    /// Whether it sums nothing any more; sums and estimates are in rows without requests.
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.sums == 0 && self.estimated_requests == 0 && self.estimated_tokens == 0
    }

    /// The sums in the order of their declaration.
    pub fn columns(&self) -> [i64; COLUMNS] {
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
            self.sums,
            self.estimated_requests,
            self.estimated_tokens,
            self.estimated_cost_nano,
        ]
    }

    fn columns_mut(&mut self) -> [&mut i64; COLUMNS] {
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
            &mut self.sums,
            &mut self.estimated_requests,
            &mut self.estimated_tokens,
            &mut self.estimated_cost_nano,
        ]
    }

    /// The sums from columns in the order of their declaration.
    pub fn from_columns(columns: [i64; COLUMNS]) -> Self {
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
    /// Of calls that did not end well.
    pub error_kind: Option<String>,
    pub project: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
}

/// Sums of tool calls that got a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolRollup {
    pub calls: i64,
    /// Of timed calls: those in `durations`.
    pub duration_ms: i64,
    /// Calls that told how large their result is.
    pub sized_calls: i64,
    pub result_bytes: i64,
    pub input_bytes: i64,
    pub durations: Durations,
}

impl ToolRollup {
    /// What one call adds.
    pub fn of(call: &ToolCall) -> Self {
        let duration = call.duration_ms();
        Self {
            calls: 1,
            duration_ms: duration.map_or(0, signed),
            sized_calls: i64::from(call.result_bytes.is_told()),
            result_bytes: signed(call.result_bytes.or_default()),
            input_bytes: signed(call.input_bytes.or_default()),
            durations: duration.map(Durations::one).unwrap_or_default(),
        }
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.calls = with(self.calls, other.calls);
        self.duration_ms = with(self.duration_ms, other.duration_ms);
        self.sized_calls = with(self.sized_calls, other.sized_calls);
        self.result_bytes = with(self.result_bytes, other.result_bytes);
        self.input_bytes = with(self.input_bytes, other.input_bytes);
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
        self.durations.add(&other.durations);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
        self.durations.subtract(&other.durations);
    }
}

/// What the times of requests are summed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LatencyRollupKey {
    pub bucket: i64,
    pub agent: String,
    /// As in [`RequestRollupKey`].
    pub model: String,
    pub project: Option<String>,
}

/// Times of requests that told any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyRollup {
    /// Output tokens of the requests that told them and their duration, and how long these took together.
    pub output_tokens: i64,
    pub output_ms: i64,
    /// How long requests took.
    pub durations: Durations,
    /// How long until the first token.
    pub ttfts: Durations,
}

impl LatencyRollup {
    /// What one request adds; nothing where it told no time, or is the sum of several.
    pub fn of(request: &Request) -> Option<Self> {
        let (duration, ttft) = (request.duration_ms.get().copied(), request.ttft_ms.get().copied());
        if request.is_sum.or_default() || (duration.is_none() && ttft.is_none()) {
            return None;
        }
        let output = request.output_tokens.get().copied().filter(|_| !request.is_estimated()).zip(duration);
        let (output_tokens, output_ms) = output.map_or((0, 0), |(tokens, duration)| (signed(tokens), signed(duration)));
        let class = |told: Option<u64>| told.map(Durations::one).unwrap_or_default();
        Some(Self { output_tokens, output_ms, durations: class(duration), ttfts: class(ttft) })
    }

    pub fn add(&mut self, other: &Self) {
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.output_ms = self.output_ms.saturating_add(other.output_ms);
        self.durations.add(&other.durations);
        self.ttfts.add(&other.ttfts);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.output_tokens = self.output_tokens.saturating_sub(other.output_tokens);
        self.output_ms = self.output_ms.saturating_sub(other.output_ms);
        self.durations.subtract(&other.durations);
        self.ttfts.subtract(&other.ttfts);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What requests are summed by to say who told of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WitnessRollupKey {
    pub bucket: i64,
    pub agent: String,
    /// All who told of each of them.
    pub witnesses: Witnesses,
    /// Somebody claims something else than is believed.
    pub is_disputed: bool,
}

/// Sums of requests by who told of them. Signed, as [`RequestRollup`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WitnessRollup {
    pub requests: i64,
    /// Sums that nobody told one by one; their cost is in the figures below, how many requests they are is unknown.
    pub sums: i64,
    pub cost_nano: i64,
    /// Requests and sums whose cost is unknown; they are in no `cost_nano`.
    pub unpriced_requests: i64,
    /// What the claims that are not believed would cost more or less, without signs.
    pub difference_nano: i64,
    /// Requests and sums some of whose difference is unknown.
    pub unknown_differences: i64,
}

impl WitnessRollup {
    /// What it sums, in the order of the declaration.
    pub const COLUMNS: usize = 6;

    /// What one row of the ledger adds; nothing where another row counts, or where nobody counted its tokens.
    pub fn of(role: Role, cost: Option<NanoUsd>) -> Option<Self> {
        let (requests, sums) = match role {
            Role::One => (1, 0),
            Role::Sum => (0, 1),
            Role::Twin | Role::CoveredSum | Role::Estimate => return None,
        };
        let (cost_nano, unpriced_requests) = (cost.map_or(0, |cost| cost.0), i64::from(cost.is_none()));
        Some(Self { requests, sums, cost_nano, unpriced_requests, ..Self::default() })
    }

    /// Unknown where none of them has a price.
    pub fn known_cost(&self) -> Option<NanoUsd> {
        (self.unpriced_requests == 0 || self.unpriced_requests < self.requests.saturating_add(self.sums))
            .then_some(NanoUsd(self.cost_nano))
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        let (ours, theirs) = (self.columns(), other.columns());
        *self = Self::from_columns(std::array::from_fn(|place| with(ours[place], theirs[place])));
    }

    /// The sums in the order of their declaration.
    pub fn columns(&self) -> [i64; Self::COLUMNS] {
        let Self { requests, sums, cost_nano, unpriced_requests, difference_nano, unknown_differences } = *self;
        [requests, sums, cost_nano, unpriced_requests, difference_nano, unknown_differences]
    }

    /// The sums from columns in the order of their declaration.
    pub fn from_columns(columns: [i64; Self::COLUMNS]) -> Self {
        let [requests, sums, cost_nano, unpriced_requests, difference_nano, unknown_differences] = columns;
        Self { requests, sums, cost_nano, unpriced_requests, difference_nano, unknown_differences }
    }
}
