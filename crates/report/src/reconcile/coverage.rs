//! Who told of requests, how many of them somebody disputes, and of which sessions those are.

use std::collections::BTreeMap;

use ducat_ledger::{Session, UnixMs, WitnessRollup, Witnesses};
use ducat_prices::NanoUsd;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::claim::Fields;
use super::dispute::Disputed;
use super::json::{difference_json, with};
use crate::timings::quarter_hours;
use crate::{AskedPeriod, QueryError};

/// Disputed sessions that are listed.
const MOST_SESSIONS: usize = 50;

/// Which requests.
#[derive(Clone, Debug, Default)]
pub struct CoverageQuery {
    pub agent: Option<String>,
    /// From inclusive to exclusive, at quarter-hours; what told no time is in none.
    pub range: (Option<UnixMs>, Option<UnixMs>),
}

impl CoverageQuery {
    /// From names and values as in a query string: `agent`, `since`, `until`, `timezone`. A range is rounded outward to quarter-hours.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<Self, QueryError> {
        let (mut agent, mut period) = (None, AskedPeriod::default());
        for (name, value) in pairs {
            match name {
                "agent" => agent = Some(value.to_owned()),
                name if period.take(name, value) => {}
                other => return Err(QueryError::Unknown { field: other.to_owned(), known: "agent, since, until, timezone" }),
            }
        }
        Ok(Self { agent, range: quarter_hours(period.period(now)?.range()) })
    }
}

/// Sums of requests, and of those of them that are disputed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    pub all: WitnessRollup,
    pub disputed: WitnessRollup,
}

/// A session with disputed requests; all of it but `requests` is of the time that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct DisputedSession {
    /// None of requests of no session, which are a row for each agent.
    pub session: Option<Session>,
    pub agent: String,
    pub project: Option<String>,
    /// All of the session; none of no session, and where nobody told of single ones.
    pub requests: Option<u64>,
    pub sums: DisputeSums,
}

/// What is disputed of several requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DisputeSums {
    pub requests: u64,
    pub difference: NanoUsd,
    pub unknown_differences: u64,
    pub fields: Fields,
}

impl DisputeSums {
    pub fn add(&mut self, one: &Disputed) {
        self.requests += 1;
        self.difference = self.difference.saturating_add(one.difference);
        self.unknown_differences += u64::from(one.is_unknown);
        self.fields.join(one.fields);
    }
}

/// By agent and by who told of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    pub rows: BTreeMap<(String, Witnesses), Covered>,
    /// The costliest first.
    pub disputed: Vec<DisputedSession>,
    pub disputed_sessions: u64,
}

impl Coverage {
    pub const MOST_SESSIONS: usize = MOST_SESSIONS;

    pub fn add(&mut self, agent: &str, witnesses: Witnesses, is_disputed: bool, sums: &WitnessRollup) {
        let row = self.rows.entry((agent.to_owned(), witnesses)).or_default();
        row.all.add(sums);
        if is_disputed {
            row.disputed.add(sums);
        }
    }

    pub fn totals(&self) -> Covered {
        self.rows.values().fold(Covered::default(), |mut totals, row| {
            totals.all.add(&row.all);
            totals.disputed.add(&row.disputed);
            totals
        })
    }

    /// Rows of most requests first.
    pub fn to_json(&self) -> Value {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.all.requests));
        let row = |((agent, witnesses), row): (&(String, Witnesses), &Covered)| {
            with(covered(row), [("agent", json!(agent)), ("witnesses", json!(witnesses.names()))])
        };
        json!({
            "schema_version": 1,
            "rows": rows.into_iter().map(row).collect::<Vec<_>>(),
            "totals": with(covered(&self.totals()), [("disputed_sessions", json!(self.disputed_sessions))]),
            "disputed": self.disputed.iter().map(disputed).collect::<Vec<_>>(),
        })
    }
}

fn covered(Covered { all, disputed }: &Covered) -> Value {
    let known = json!({
        "requests": all.requests, "sums": all.sums, "disputed_requests": disputed.requests.saturating_add(disputed.sums),
        "unpriced_requests": all.unpriced_requests, "unknown_differences": all.unknown_differences,
        "cost_usd": all.known_cost().map(NanoUsd::as_usd), "cost_nano_usd": all.known_cost(),
    });
    with(known, difference_json(NanoUsd(all.difference_nano)))
}

fn disputed(row: &DisputedSession) -> Value {
    let session = row.session.as_ref();
    let known = json!({
        "session": session.map(|session| &session.id), "agent": row.agent, "project": row.project,
        "cwd": session.and_then(|session| session.cwd.get()), "requests": row.requests, "disputed_requests": row.sums.requests,
        "unknown_differences": row.sums.unknown_differences, "fields": row.sums.fields.names(),
    });
    with(known, difference_json(row.sums.difference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_of_which_nothing_is_known_is_none() {
        let cost = |requests, sums, unpriced_requests| {
            let mut coverage = Coverage::default();
            let sums = WitnessRollup { requests, sums, cost_nano: 7, unpriced_requests, ..WitnessRollup::default() };
            coverage.add("a", Witnesses(1), false, &sums);
            coverage.to_json()["rows"][0]["cost_nano_usd"].clone()
        };
        assert_eq!([cost(2, 0, 2), cost(1, 1, 2)], [Value::Null, Value::Null]);
        assert_eq!([cost(2, 0, 1), cost(0, 1, 0)], [json!("7"), json!("7")]);
        assert_eq!(Coverage::default().to_json()["totals"]["cost_nano_usd"], "0");
    }
}
