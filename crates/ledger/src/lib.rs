//! The ledger's rules: what a fact is, how what several witnesses say becomes one fact, and who owns it.
//!
//! Pure: no I/O, no clock. A store keeps facts; this crate says what they mean.
//!
//! Every fact type is a *join-semilattice*. What a witness says is itself a small fact in which only some fields are told; believing
//! it means [`join`](Request::join)ing it to what is known. Each field keeps the best `(rank of its witness, value)`, sets are
//! united, times take the earliest or latest. Join is commutative, associative and idempotent, so the believed facts depend on the
//! *set* of what was said and never on order, repetition or restarts (property-tested in `tests/semilattice.rs`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attributes;
mod billing;
mod bounds;
mod change;
mod durations;
mod fact;
mod holders;
pub mod key;
mod outcome;
mod owner;
mod pairing;
mod quiet;
mod quota;
pub mod remote;
mod rollup;
mod told;
mod witness;

pub use attributes::{Attributes, OTHER, labels};
pub use billing::{Billing, billing};
pub use bounds::{LARGEST_AMOUNT, LARGEST_COUNT, TIMES};
pub use change::{Change, Priced};
pub use durations::Durations;
pub use fact::{Fact, Incident, IncidentKind, Line, Request, Session, ToolCall, Turn, UNLOGGED, mcp_server};
pub use holders::{Holder, Holders};
pub use key::{Key, KeySpace};
pub use outcome::Outcome;
pub use owner::owner;
pub use pairing::{Paired, Role, lanes};
pub use quiet::{Freshness, Quiet, REMEMBERED_MS, SPELL_PAUSES_MS, Spell, TakenOut, freshness, is_live};
pub use quota::{Pace, Quota};
pub use rollup::{
    BUCKET_MS, LatencyRollup, LatencyRollupKey, RequestRollup, RequestRollupKey, ToolRollup, ToolRollupKey, WitnessRollup,
    WitnessRollupKey, bucket_of,
};
pub use told::Told;
pub use witness::{DERIVED, FieldClass, Witness, Witnesses};

/// Milliseconds since 1970-01-01T00:00:00Z. Negative before it.
pub type UnixMs = i64;
