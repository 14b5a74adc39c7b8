//! Reports: sums of requests by day, week, month, session, project, model and so on.
//!
//! The one way from requests to the figures of `ducat report` and `/api/v1/report`, whether the requests come from transcripts, from the
//! cache or from the store. Pure: the time zone and "now" are parameters.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod bill;
mod blocks;
mod calendar;
mod currency;
mod document;
pub mod figures;
mod filters;
mod fold;
mod grouping;
mod groups;
mod latencies;
mod period;
mod query;
mod reconcile;
mod report;
mod sessions_query;
mod settings;
mod slowest;
mod timings;
mod tools;
mod totals;

pub use bill::{Bill, BillError, BillLine, BillRow, BillVerdict, Billed, LedgerDay, Vendor};
pub use blocks::{BLOCK_MINUTES, BlockColumns, Outlook};
pub use calendar::{Calendar, rfc3339};
pub use currency::{Currency, CurrencyError};
pub use document::{Document, Row};
pub use filters::{Filters, Names};
pub use fold::{Apart, Moment};
pub use grouping::Grouping;
pub use groups::{Group, Groups, last_part};
pub use latencies::{Latencies, LatencyGrouping, LatencyQuery, LatencyRow};
pub use period::{AskedPeriod, Period, parse_timezone};
pub use query::{QueryError, ReportQuery};
pub use reconcile::{
    ClaimSums, Coverage, CoverageQuery, Covered, Disagreement, Dispute, DisputeSums, Disputed, DisputedSession, Field,
    FieldClaims, Fields, Presence, Pricing, ReconcileQuery, Reconciled, Reconciliation, SumClaims,
};
pub use report::{Report, RequestRow};
pub use sessions_query::{SessionFormat, SessionSort, SessionsQuery};
pub use settings::Settings;
pub use slowest::SLOWEST;
pub use tools::{SlowCall, ToolGrouping, ToolRow, Tools, ToolsQuery};
pub use totals::Totals;
