//! Counters never fall, never jump for the past, and count what grows once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_ledger::{Change, FieldClass, Holder, Key, Outcome, Priced, Request, Told, ToolCall, Witness};
use ducat_metrics::{Counting, Exposition, Family, Format, Increments, LabelValues, Series};
use ducat_prices::NanoUsd;
use proptest::prelude::*;

const SINCE: i64 = 1_000_000;
const NOW: i64 = 2_000_000;

#[derive(Default)]
struct Counters {
    labels: LabelValues,
    series: Series,
}

impl Counters {
    fn count(&mut self, change: &Change<'_>) {
        let mut counting = Counting::new(&mut self.labels, SINCE, NOW);
        counting.count(1, change, Some("session-1"));
        let increments: Increments = counting.into_increments();
        let rows = self.series.after(&increments, NOW);
        let before = self.series.clone();
        self.series.apply(increments, NOW);
        for row in rows {
            assert_eq!(self.series.values(&row.key), row.values, "what is stored is what is exposed");
            for (old, new) in before.values(&row.key).iter().zip(&row.values) {
                assert!(old <= new, "{:?} fell", row.key);
            }
        }
    }

    fn sum(&self, family: Family) -> u64 {
        self.series.sums(1, family).iter().map(|(_, sum, _)| sum).sum()
    }

    fn text(&self, format: Format) -> String {
        let mut text = Exposition::new(format, vec![("app".to_owned(), "ducat".to_owned())]);
        text.series(&self.series, 1);
        text.finish()
    }
}

fn request(at: i64, output: u64) -> Request {
    let mut request = Request::new(Key([1; 16]), "claude-code", "r");
    request.model = Witness::Transcript.tells(FieldClass::Usage, "m".to_owned());
    request.started_at = Witness::Transcript.tells(FieldClass::Usage, at);
    request.output_tokens = Witness::Transcript.tells(FieldClass::Usage, output);
    request
}

fn priced(cost: Option<i64>) -> Priced {
    Priced { model: "m".to_owned(), cost: cost.map(NanoUsd), billing: None }
}

#[test]
fn a_request_enters_once_and_its_growth_follows() {
    let mut counters = Counters::default();
    let (first, more) = (request(SINCE, 10), request(SINCE, 25));
    let owner = Holder { session: Key([2; 16]), live: false, project: Some("/app".to_owned()), branch: None };
    counters.count(&Change::Request { before: None, after: &first, priced: &priced(Some(100)), owner: Some(&owner) });
    counters.count(&Change::Request {
        before: Some((&first, &priced(Some(100)))),
        after: &more,
        priced: &priced(Some(250)),
        owner: Some(&owner),
    });
    assert_eq!((counters.sum(Family::Requests), counters.sum(Family::Tokens), counters.sum(Family::Cost)), (1, 25, 250));
    // Down again, as a better witness may say: the counters stay, the correction shows.
    counters.count(&Change::Request {
        before: Some((&more, &priced(Some(250)))),
        after: &first,
        priced: &priced(None),
        owner: None,
    });
    assert_eq!((counters.sum(Family::Requests), counters.sum(Family::Tokens), counters.sum(Family::Cost)), (1, 25, 250));
    assert_eq!((counters.sum(Family::Corrections), counters.sum(Family::UnpricedRequests)), (1, 1));
    let text = counters.text(Format::OpenMetrics);
    for part in [
        "# TYPE ducat_requests counter\n",
        "ducat_requests_total{agent=\"claude-code\",model=\"m\",project=\"/app\",user=\"unknown\",team=\"unknown\"} 1 # {session_id=\"session-1\"} 1 2000\n",
        "ducat_requests_created{agent=\"claude-code\",model=\"m\",project=\"/app\",user=\"unknown\",team=\"unknown\"} 2000\n",
        "# TYPE ai_token_cost_dollars unknown\n",
        "ai_token_cost_dollars{citizen=\"unknown\",model=\"m\",class=\"unknown\",app=\"ducat\"} 0.00000025\n",
        "ai_token_cost_dollars_total{citizen=\"unknown\",model=\"m\",class=\"unknown\",app=\"ducat\"} 0.00000025\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_past_and_the_future_are_no_live_facts() {
    let mut counters = Counters::default();
    for at in [SINCE - 1, NOW + 3_600_000, 0] {
        counters.count(&Change::Request { before: None, after: &request(at, 10), priced: &priced(Some(1)), owner: None });
    }
    let undated = Request::new(Key([1; 16]), "claude-code", "r");
    counters.count(&Change::Request { before: None, after: &undated, priced: &priced(None), owner: None });
    assert_eq!((counters.sum(Family::Requests), counters.sum(Family::Corrections)), (0, 4));
}

#[test]
fn a_tool_call_counts_when_it_has_ended() {
    let mut counters = Counters::default();
    let mut started = ToolCall::new(Key([1; 16]), "claude-code", "t");
    started.name = Told::by(1, "Bash".to_owned());
    started.started_at = Told::by(3, SINCE + 10);
    counters.count(&Change::ToolCall { before: None, after: &started, owner: None });
    assert_eq!(counters.sum(Family::ToolCalls), 0);
    let mut ended = started.clone();
    ended.outcome = Told::by(2, Outcome::Error);
    ended.ended_at = Told::by(3, SINCE + 260);
    counters.count(&Change::ToolCall { before: Some(&started), after: &ended, owner: None });
    let mut refused = ended.clone();
    refused.outcome = Told::by(3, Outcome::Refused);
    counters.count(&Change::ToolCall { before: Some(&ended), after: &refused, owner: None });
    assert_eq!((counters.sum(Family::ToolCalls), counters.sum(Family::ToolErrors), counters.sum(Family::Corrections)), (1, 1, 1));
    let text = counters.text(Format::Prometheus);
    for part in [
        "ducat_tool_call_duration_seconds_bucket{agent=\"claude-code\",tool=\"Bash\",le=\"0.1\"} 0\n",
        "ducat_tool_call_duration_seconds_bucket{agent=\"claude-code\",tool=\"Bash\",le=\"0.25\"} 1\n",
        "ducat_tool_call_duration_seconds_bucket{agent=\"claude-code\",tool=\"Bash\",le=\"+Inf\"} 1\n",
        "ducat_tool_call_duration_seconds_sum{agent=\"claude-code\",tool=\"Bash\"} 0.25\n",
        "ai_tool_executions_total{tool_name=\"Bash\",citizen=\"unknown\",success=\"false\",class=\"unknown\",app=\"ducat\"} 1\n",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

proptest! {
    /// Whatever a request becomes, step by step: nothing falls, and what grew only is counted exactly.
    #[test]
    fn any_history_of_a_request(steps in prop::collection::vec((SINCE - 5..SINCE + 5, 0_u64..50, prop::option::of(0_i64..50)), 1..8)) {
        let mut counters = Counters::default();
        let mut known: Option<(Request, Priced)> = None;
        for (at, output, cost) in steps {
            let (after, cost) = (request(at, output), priced(cost));
            let before = known.as_ref().map(|(request, priced)| (request, priced));
            counters.count(&Change::Request { before, after: &after, priced: &cost, owner: None });
            known = Some((after, cost));
        }
        let mut growing = Counters::default();
        let mut before: Option<(Request, Priced)> = None;
        for output in [3, 9, 9, 30] {
            let (after, cost) = (request(SINCE, output), priced(Some(output as i64 * 2)));
            growing.count(&Change::Request { before: before.as_ref().map(|(request, priced)| (request, priced)), after: &after, priced: &cost, owner: None });
            before = Some((after, cost));
        }
        prop_assert_eq!((growing.sum(Family::Requests), growing.sum(Family::Tokens), growing.sum(Family::Cost)), (1, 30, 60));
        prop_assert_eq!(growing.sum(Family::Corrections), 0);
    }
}
