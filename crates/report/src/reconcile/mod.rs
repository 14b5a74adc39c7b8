//! What several witnesses say of the same requests, what of it is believed, and what the difference costs.

mod claim;
mod coverage;
mod dispute;
mod json;
mod query;
mod session;

use std::collections::BTreeMap;

use ducat_prices::NanoUsd;

pub use claim::{Field, Fields};
pub use coverage::{Coverage, CoverageQuery, Covered, DisputeSums, DisputedSession};
pub use dispute::{Dispute, Disputed, Pricing};
pub use query::ReconcileQuery;
pub use session::{ClaimSums, Disagreement, FieldClaims, Presence, Reconciled, SumClaims};

/// How many disagreements of a session are shown unless it is the only one.
const SHOWN: usize = 20;

/// The sessions asked for, the latest first, then what was told of no session.
#[derive(Clone, Debug, Default)]
pub struct Reconciliation {
    pub sessions: Vec<Reconciled>,
    pub tolerance: NanoUsd,
    /// All disagreements of each session are kept.
    pub is_full: bool,
}

impl Reconciliation {
    pub fn new(query: &ReconcileQuery) -> Self {
        Self { sessions: Vec::new(), tolerance: query.tolerance, is_full: query.session.is_some() }
    }

    /// Adds a session with all its facts told; one of which nothing was told is left out.
    pub fn add(&mut self, mut session: Reconciled) {
        if session.is_empty() && !self.is_full {
            return;
        }
        // The costliest first; what cannot be priced before all.
        session
            .disagreements
            .sort_by_key(|one| std::cmp::Reverse(one.difference.map_or(i64::MAX, |cost| cost.0.saturating_abs())));
        if !self.is_full {
            session.disagreements.truncate(SHOWN);
        }
        self.sessions.push(session);
    }

    /// No claim and no sum is further from what is believed than the tolerance, all together.
    pub fn is_agreed(&self) -> bool {
        self.distance() <= self.tolerance && self.sessions.iter().all(|session| session.total_unknown() == 0)
    }

    /// All differences added up without their signs.
    pub fn distance(&self) -> NanoUsd {
        self.sessions.iter().map(Reconciled::total_distance).sum()
    }

    /// By witness, over all sessions; whether it told of a session is how many.
    pub fn witnesses(&self) -> BTreeMap<&'static str, (u64, Presence)> {
        let mut all = BTreeMap::<_, (u64, Presence)>::new();
        for (name, one) in self.sessions.iter().flat_map(|session| &session.witnesses) {
            let (sessions, sums) = all.entry(*name).or_default();
            *sessions += 1;
            sums.session |= one.session;
            sums.requests += one.requests;
            sums.tool_calls += one.tool_calls;
            sums.alone += one.alone;
            sums.differing_requests += one.differing_requests;
            sums.difference = sums.difference.saturating_add(one.difference);
        }
        all
    }
}
