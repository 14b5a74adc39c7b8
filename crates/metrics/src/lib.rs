//! What Prometheus reads: which counters a changed fact moves, and the text they are exposed in.
//!
//! Pure: a store keeps the series in the transaction that changes the facts ([`Counting`]), and hands them back at its start ([`Series`]).
//! Counters never fall and never jump for the past: a fact enters them once, when it is first believed, under the labels then known, and
//! only if it happened after the ledger began to count. What grows later adds its growth; everything else shows in
//! `ducat_corrections_total`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod counting;
mod exposition;
mod family;
mod labels;
mod series;

pub use counting::Counting;
pub use exposition::{Exposition, Format, Kind};
pub use family::Family;
pub use labels::LabelValues;
pub use series::{Exemplar, Increments, Row, Series, SeriesKey};
