//! A reconciliation as JSON, the same for the command and the API.

use std::collections::BTreeMap;

use crate::rfc3339;
use ducat_ledger::UnixMs;
use ducat_prices::NanoUsd;
use serde_json::{Map, Value, json};

use super::session::{Disagreement, FieldClaims, Presence, ReportedCost, SumClaims};
use super::{Field, Reconciled, Reconciliation};

impl Reconciliation {
    pub fn to_json(&self) -> Value {
        let sum = |count: fn(&Reconciled) -> u64| self.sessions.iter().map(count).sum::<u64>();
        let cost: NanoUsd = self.sessions.iter().map(|session| session.cost).sum();
        let witnesses: Vec<Value> = self
            .witnesses()
            .iter()
            .map(|(name, (sessions, one))| with(presence(name, one), [("sessions", json!(sessions))]))
            .collect();
        json!({
            "schema_version": 1,
            "agreed": self.is_agreed(),
            "tolerance_usd": self.tolerance.as_usd(),
            "rows": self.sessions.iter().map(session).collect::<Vec<_>>(),
            "totals": {
                "sessions": self.sessions.iter().filter(|session| session.session.is_some()).count(),
                "requests": sum(|session| session.requests),
                "differing_requests": sum(|session| session.differing_requests),
                "unconfirmed_requests": sum(|session| session.unconfirmed),
                "unknown_differences": sum(Reconciled::total_unknown),
                "cost_usd": cost.as_usd(), "cost_nano_usd": cost,
                "difference_usd": self.distance().as_usd(), "difference_nano_usd": self.distance(),
                "witnesses": witnesses,
            },
        })
    }
}

fn session(row: &Reconciled) -> Value {
    let session = row.session.as_ref();
    let time = |at: Option<&UnixMs>| at.copied().and_then(rfc3339);
    let present: Vec<Value> = row.witnesses.iter().map(|(name, one)| presence(name, one)).collect();
    let fields: Vec<Value> = row.fields.iter().map(|(field, claims)| field_json(*field, claims)).collect();
    let sums: Vec<Value> = row.sums.iter().map(|(name, sums)| sum_json(row, name, sums)).collect();
    let distance = row.total_distance();
    json!({
        "session": session.map(|session| &session.id), "agent": row.agent,
        "started_at": session.and_then(|session| time(session.started_at.get())),
        "last_at": session.and_then(|session| time(session.last_at.get())),
        "requests": row.requests, "uncovered_sums": row.uncovered_sums, "estimated_requests": row.estimates,
        "unconfirmed_requests": row.unconfirmed, "differing_requests": row.differing_requests,
        "unpriced_requests": row.unpriced, "unknown_differences": row.total_unknown(),
        "cost_usd": row.cost.as_usd(), "cost_nano_usd": row.cost,
        "difference_usd": distance.as_usd(), "difference_nano_usd": distance,
        "witnesses": present, "fields": fields, "sums": sums,
        "reported_cost": reported(row),
        "disagreements": row.disagreements.iter().map(disagreement).collect::<Vec<_>>(),
    })
}

fn presence(name: &str, one: &Presence) -> Value {
    json!({
        "witness": name, "told_of_session": one.session, "requests": one.requests, "tool_calls": one.tool_calls,
        "requests_told_alone": one.alone, "differing_requests": one.differing_requests,
        "difference_usd": one.difference.as_usd(), "difference_nano_usd": one.difference,
    })
}

fn field_json(field: Field, sums: &FieldClaims) -> Value {
    let is_count = !matches!(field, Field::Model | Field::Outcome);
    let claims: Vec<Value> = sums
        .claims
        .iter()
        .map(|(teller, claim)| {
            let counts = is_count.then(|| {
                let difference = i128::from(claim.claimed) - i128::from(claim.believed);
                [("claimed", json!(claim.claimed)), ("believed", json!(claim.believed)), ("difference", json!(difference as i64))]
            });
            let of = json!({ "witness": teller, "told": claim.told, "differing": claim.differing });
            with(of, counts.into_iter().flatten())
        })
        .collect();
    json!({
        "field": field.name(), "believed": is_count.then_some(sums.believed), "believed_from": counts(&sums.believed_from),
        "rule": field.rule(), "claims": claims,
    })
}

fn sum_json(row: &Reconciled, witness: &str, sums: &SumClaims) -> Value {
    let fields: Vec<Value> = sums
        .claimed
        .iter()
        .map(|(field, claimed)| {
            let believed = row.fields.get(field).map_or(0, |claims| claims.believed);
            json!({ "field": field.name(), "claimed": claimed, "believed": believed })
        })
        .collect();
    let difference = row.sum_difference(sums);
    json!({
        "witness": witness, "rows": sums.rows, "unpriced_rows": sums.unpriced, "fields": fields,
        "cost_usd": sums.cost.as_usd(), "cost_nano_usd": sums.cost,
        "difference_usd": difference.map(NanoUsd::as_usd), "difference_nano_usd": difference,
    })
}

fn reported(row: &Reconciled) -> Value {
    let ReportedCost { requests, reported, ours } = row.reported;
    let of_session = row.reported_by_session();
    json!({
        "requests": requests, "reported_usd": reported.as_usd(), "ours_usd": ours.as_usd(),
        "difference_usd": reported.saturating_sub(ours).as_usd(),
        "session_reported_usd": of_session.map(NanoUsd::as_usd),
        "session_difference_usd": of_session.map(|reported| reported.saturating_sub(row.cost).as_usd()),
    })
}

fn disagreement(one: &Disagreement) -> Value {
    let claims: Vec<Value> = one.claims.iter().map(|(teller, value)| json!({ "witness": teller, "value": value })).collect();
    let kind = if one.field == Field::Outcome { "tool_call" } else { "request" };
    json!({
        kind: one.id, "at": one.at.and_then(rfc3339), "field": one.field.name(), "believed": one.believed, "claims": claims,
        "difference_usd": one.difference.map(NanoUsd::as_usd), "difference_nano_usd": one.difference,
    })
}

fn counts(counts: &BTreeMap<&'static str, u64>) -> Value {
    Value::Object(counts.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect::<Map<_, _>>())
}

/// The same in dollars and in nano-dollars.
pub(super) fn difference_json(difference: NanoUsd) -> [(&'static str, Value); 2] {
    [("difference_usd", json!(difference.as_usd())), ("difference_nano_usd", json!(difference))]
}

pub(super) fn with(mut object: Value, more: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    if let Value::Object(object) = &mut object {
        object.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    object
}
