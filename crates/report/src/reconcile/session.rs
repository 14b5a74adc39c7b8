//! What the witnesses of one session say, against each other and against what is believed.

use std::collections::BTreeMap;

use ducat_ledger::{Request, Role, Session, ToolCall, UnixMs, Witness, Witnesses};
use ducat_prices::NanoUsd;

use super::claim::{Field, Teller};
use super::dispute::{Dispute, Disputed, Pricing};

/// Claims of one field, over a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldClaims {
    /// What is believed, added up; nothing of models and outcomes.
    pub believed: u64,
    /// How many facts believe whom.
    pub believed_from: BTreeMap<Teller, u64>,
    pub claims: BTreeMap<Teller, ClaimSums>,
}

/// What one witness claims of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimSums {
    /// Requests, or tool calls, of which it tells the field.
    pub told: u64,
    /// What it tells, and what is believed of the same facts.
    pub claimed: u64,
    pub believed: u64,
    /// Of how many it tells another than is believed.
    pub differing: u64,
}

/// One witness of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// It told of the session itself.
    pub session: bool,
    pub requests: u64,
    pub tool_calls: u64,
    /// Requests that nobody else told.
    pub alone: u64,
    pub differing_requests: u64,
    /// What its claims cost by our table, less what the believed ones do.
    pub difference: NanoUsd,
}

/// Sums of several requests, which count nowhere because the requests are told one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SumClaims {
    pub rows: u64,
    pub claimed: BTreeMap<Field, u64>,
    pub cost: NanoUsd,
    pub unpriced: u64,
}

/// A client's own cost against ours of the same requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportedCost {
    pub requests: u64,
    pub reported: NanoUsd,
    pub ours: NanoUsd,
}

type Claims = Vec<(Teller, String)>;

/// A fact of which witnesses tell different things.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    pub field: Field,
    /// The agent's id of the request or tool call.
    pub id: String,
    pub at: Option<UnixMs>,
    pub believed: String,
    /// With what each tells, the believed one last.
    pub claims: Claims,
    /// The largest of the differences of the request's witnesses; unknown where a price is.
    pub difference: Option<NanoUsd>,
}

/// A session, or what an agent told of no session.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconciled {
    pub session: Option<Session>,
    pub agent: String,
    pub witnesses: BTreeMap<Teller, Presence>,
    pub fields: BTreeMap<Field, FieldClaims>,
    pub requests: u64,
    /// Sums that count, because nobody told of their requests.
    pub uncovered_sums: u64,
    pub estimates: u64,
    /// Told without an id, by one witness.
    pub unconfirmed: u64,
    pub differing_requests: u64,
    /// What is believed to have been spent, as it was priced then.
    pub cost: NanoUsd,
    pub unpriced: u64,
    pub sums: BTreeMap<Teller, SumClaims>,
    pub reported: ReportedCost,
    /// All differences of requests' claims added up, each without its sign.
    pub distance: NanoUsd,
    /// Requests whose difference is unknown, because a price is.
    pub unknown_differences: u64,
    pub disagreements: Vec<Disagreement>,
}

impl Reconciled {
    pub fn new(session: Option<Session>, agent: &str) -> Self {
        let mut witnesses = BTreeMap::<Teller, Presence>::new();
        for name in session.iter().flat_map(|session| session.witnesses.names()) {
            witnesses.entry(name).or_default().session = true;
        }
        Self {
            session,
            agent: agent.to_owned(),
            witnesses,
            fields: BTreeMap::new(),
            requests: 0,
            uncovered_sums: 0,
            estimates: 0,
            unconfirmed: 0,
            differing_requests: 0,
            cost: NanoUsd::ZERO,
            unpriced: 0,
            sums: BTreeMap::new(),
            reported: ReportedCost::default(),
            distance: NanoUsd::ZERO,
            unknown_differences: 0,
            disagreements: Vec::new(),
        }
    }

    /// Nobody told of anything used.
    pub fn is_empty(&self) -> bool {
        self.witnesses.values().all(|one| one.requests == 0 && one.tool_calls == 0)
            && self.sums.is_empty()
            && self.reported_by_session().is_none()
    }

    /// What the client said the whole session cost.
    pub fn reported_by_session(&self) -> Option<NanoUsd> {
        self.session.as_ref()?.reported_cost_nano.get().map(|nano| NanoUsd(*nano))
    }

    /// A row of the ledger that counts, or a sum that does not; `cost` as it was priced.
    pub fn add_request(&mut self, request: &Request, role: Role, cost: Option<NanoUsd>, price: Pricing<'_>) {
        match role {
            Role::Twin => return,
            Role::CoveredSum => return self.add_covered(request, price),
            Role::Estimate => self.estimates += 1,
            Role::Sum => self.uncovered_sums += 1,
            Role::One => self.requests += 1,
        }
        self.is_told(request.witnesses, |one| &mut one.requests);
        if role == Role::Estimate {
            return;
        }
        match cost {
            Some(cost) => self.cost = self.cost.saturating_add(cost),
            None => self.unpriced += 1,
        }
        self.unconfirmed += u64::from(request.is_unconfirmed());
        if role == Role::One
            && let [alone] = request.witnesses.names()[..]
        {
            self.witnesses.entry(alone).or_default().alone += 1;
        }
        if let (Some(reported), Some(ours)) = (request.reported_cost_nano.get(), cost) {
            self.reported.requests += 1;
            self.reported.reported = self.reported.reported.saturating_add(NanoUsd(*reported));
            self.reported.ours = self.reported.ours.saturating_add(ours);
        }
        self.compare(request, price);
    }

    pub fn add_tool_call(&mut self, call: &ToolCall) {
        self.is_told(call.witnesses, |one| &mut one.tool_calls);
        let Some(believed) = call.outcome.get() else { return };
        let sums = self.fields.entry(Field::Outcome).or_default();
        *sums.believed_from.entry(Field::Outcome.teller(call.outcome.rank())).or_default() += 1;
        for (rank, outcome) in call.outcome.claims() {
            let claim = sums.claims.entry(Field::Outcome.teller(rank)).or_default();
            claim.told += 1;
            claim.differing += u64::from(outcome != believed);
        }
        if call.outcome.claims().any(|(_, outcome)| outcome != believed) {
            let claims = call.outcome.claims().map(|(rank, outcome)| (Field::Outcome.teller(rank), outcome.name().to_owned()));
            self.disagreements.push(Disagreement {
                field: Field::Outcome,
                id: call.id.clone(),
                at: call.started_at.get().or(call.ended_at.get()).copied(),
                believed: believed.name().to_owned(),
                claims: claims.collect(),
                difference: Some(NanoUsd::ZERO),
            });
        }
    }

    fn is_told(&mut self, witnesses: Witnesses, count: impl Fn(&mut Presence) -> &mut u64) {
        for name in witnesses.names() {
            *count(self.witnesses.entry(name).or_default()) += 1;
        }
    }

    fn add_covered(&mut self, request: &Request, price: Pricing<'_>) {
        let teller = request.witnesses.names().first().copied().unwrap_or(Witness::OtlpMetric.name());
        self.witnesses.entry(teller).or_default();
        let sums = self.sums.entry(teller).or_default();
        sums.rows += 1;
        for field in Field::ALL {
            if let Some(count) = field.count(request).and_then(|count| count.get()) {
                let sum = sums.claimed.entry(field).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        match price(request).cost {
            Some(cost) => sums.cost = sums.cost.saturating_add(cost),
            None => sums.unpriced += 1,
        }
    }

    /// Notes each claim of a request, and what it would cost were it believed.
    fn compare(&mut self, request: &Request, price: Pricing<'_>) {
        for field in Field::ALL {
            let Some(count) = field.count(request).filter(|count| count.is_told()) else { continue };
            let believed = count.or_default();
            let sums = self.fields.entry(field).or_default();
            sums.believed = sums.believed.saturating_add(believed);
            *sums.believed_from.entry(field.teller(count.rank())).or_default() += 1;
            for (rank, claimed) in count.claims() {
                let claim = sums.claims.entry(field.teller(rank)).or_default();
                claim.told += 1;
                claim.claimed = claim.claimed.saturating_add(*claimed);
                claim.believed = claim.believed.saturating_add(believed);
            }
        }
        if request.model.is_told() {
            let sums = self.fields.entry(Field::Model).or_default();
            *sums.believed_from.entry(Field::Model.teller(request.model.rank())).or_default() += 1;
            for (rank, _) in request.model.claims() {
                sums.claims.entry(Field::Model.teller(rank)).or_default().told += 1;
            }
        }
        if let Some(dispute) = Dispute::of(request, price) {
            self.add_dispute(request, &dispute);
        }
    }

    fn add_dispute(&mut self, request: &Request, dispute: &Dispute) {
        let Disputed { difference, is_unknown, .. } = dispute.sums();
        self.differing_requests += 1;
        self.distance = self.distance.saturating_add(difference);
        self.unknown_differences += u64::from(is_unknown);
        for (teller, difference) in &dispute.differences {
            let presence = self.witnesses.entry(teller).or_default();
            presence.differing_requests += 1;
            presence.difference = presence.difference.saturating_add(difference.unwrap_or(NanoUsd::ZERO));
        }
        for (field, others) in &dispute.fields {
            let sums = self.fields.entry(*field).or_default();
            for teller in others {
                sums.claims.entry(teller).or_default().differing += 1;
            }
            let claims = field.claims(request);
            self.disagreements.push(Disagreement {
                field: *field,
                id: request.id.clone(),
                at: request.started_at.get().copied(),
                believed: claims.last().map(|(_, believed)| believed.clone()).unwrap_or_default(),
                claims,
                difference: dispute.largest(),
            });
        }
    }

    /// What a witness's sums cost, less what its session's requests are believed to; unknown where it does not tell all kinds, or of no session.
    pub fn sum_difference(&self, sums: &SumClaims) -> Option<NanoUsd> {
        let tells = |field: &Field| sums.claimed.contains_key(field);
        let is_whole = self.fields.iter().all(|(field, claims)| {
            let is_part = matches!(field, Field::Reasoning | Field::CacheWrite5m | Field::CacheWrite1h | Field::WebSearches);
            is_part || claims.believed == 0 || tells(field)
        });
        let is_known = self.session.is_some() && sums.unpriced == 0 && self.unpriced == 0;
        (is_whole && is_known).then(|| sums.cost.saturating_sub(self.cost))
    }

    /// Differences whose price is unknown: of requests, and of sums that claim other counts than are believed. Sums of no session may be of
    /// requests anywhere.
    pub fn total_unknown(&self) -> u64 {
        let differs = |sums: &SumClaims| {
            let believed = |field| self.fields.get(field).map_or(0, |claims| claims.believed);
            sums.claimed.iter().any(|(field, claimed)| *claimed != believed(field))
        };
        let is_unknown = |sums: &&SumClaims| self.session.is_some() && self.sum_difference(sums).is_none() && differs(sums);
        self.unknown_differences + self.sums.values().filter(is_unknown).count() as u64
    }

    /// What counts against agreement: the distance of the requests' claims, and that of the sums.
    pub fn total_distance(&self) -> NanoUsd {
        let sums = self.sums.values().filter_map(|sums| self.sum_difference(sums));
        self.distance.saturating_add(sums.map(|difference| NanoUsd(difference.0.saturating_abs())).sum())
    }
}
