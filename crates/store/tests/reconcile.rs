//! What witnesses said against what is believed, read from a ledger.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Key, KeySpace, Outcome, Request, Session, Told, ToolCall, Witness, Witnesses,
};
use ducat_prices::{NanoUsd, PriceTable};
use ducat_report::{Field, ReconcileQuery, Reconciliation};
use ducat_store::{Durability, Lane, Store, StoreOptions, TenantId, Write};
use jiff::Timestamp;

const AGENT: &str = "claude-code";
const AT: i64 = 1_795_000_000_000;
const OPUS: &str = "claude-opus-4-8";

fn told(facts: Vec<Fact>) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        path: folder.path().join("ledger.db"),
        durability: Durability::Process,
        pricer: Arc::new(PriceTable::embedded()),
        clock: || AT,
        listener: None,
    };
    let store = Store::open(options).unwrap();
    store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
    (folder, store)
}

fn query(pairs: &[(&'static str, &'static str)]) -> ReconcileQuery {
    ReconcileQuery::parse(pairs.iter().copied(), Timestamp::from_millisecond(AT).unwrap()).unwrap()
}

fn reconcile(store: &Store, pairs: &[(&'static str, &'static str)]) -> Option<Reconciliation> {
    store.reader().unwrap().reconcile(TenantId::LOCAL, &query(pairs), &PriceTable::embedded()).unwrap()
}

fn session(id: &str, witness: Witness) -> Session {
    let mut session = Session::new(Key::of(KeySpace::Session, AGENT, id), AGENT, id);
    session.witnesses = Witnesses::only(witness);
    session.started_at = Told::by(1, AT);
    session.last_at = Told::by(1, AT);
    session
}

/// A request of session `s`, of 100 input tokens.
fn request(id: &str, witness: Witness, output: u64) -> Request {
    let mut request = Request::new(Key::of(KeySpace::Request, AGENT, id), AGENT, id);
    let owner = Key::of(KeySpace::Session, AGENT, "s");
    request.holders = Holders::one(Holder { session: owner, live: true, project: None, branch: None });
    request.witnesses = Witnesses::only(witness);
    request.model = witness.tells(FieldClass::Usage, OPUS.to_owned());
    request.input_tokens = witness.tells(FieldClass::Usage, 100);
    request.output_tokens = witness.tells(FieldClass::Usage, output);
    request.started_at = witness.tells(FieldClass::Start, AT);
    request
}

#[test]
fn a_transcripts_small_output_is_shown_with_its_price() {
    let log = request("r1", Witness::OtlpLog, 1000);
    let (_folder, store) = told(vec![
        Fact::Session(session("s", Witness::Transcript)),
        Fact::Request(request("r1", Witness::Transcript, 10)),
        Fact::Request(log),
        Fact::Request(request("r2", Witness::Transcript, 50)),
    ]);
    let all = reconcile(&store, &[]).unwrap();
    let row = &all.sessions[0];
    assert_eq!((row.requests, row.differing_requests, row.disagreements.len()), (2, 1, 1));
    // 990 tokens of 25 USD a million fewer.
    assert_eq!(row.witnesses["transcript"].difference, NanoUsd(-24_750_000));
    assert_eq!(row.witnesses["otlp_log"].difference, NanoUsd::ZERO);
    assert_eq!((row.witnesses["transcript"].alone, row.witnesses["transcript"].requests), (1, 2));
    let output = &row.fields[&Field::Output];
    assert_eq!(output.believed, 1050);
    assert_eq!((output.claims["transcript"].claimed, output.claims["transcript"].differing), (60, 1));
    assert_eq!((output.claims["otlp_log"].claimed, output.claims["otlp_log"].told), (1000, 1));
    assert!(!all.is_agreed());
    assert!(!reconcile(&store, &[("tolerance", "0.02")]).unwrap().is_agreed());
    assert!(reconcile(&store, &[("tolerance", "0.03")]).unwrap().is_agreed());
    let json = all.to_json();
    assert_eq!(json["rows"][0]["disagreements"][0]["claims"][0]["value"], "10");
    assert_eq!(json["totals"]["difference_nano_usd"], "24750000");
    assert_eq!(reconcile(&store, &[("session", "s")]).unwrap().to_json()["rows"], json["rows"], "--session shows the same");
}

#[test]
fn names_of_one_model_agree() {
    let mut metric_like = request("r1", Witness::Transcript, 10);
    metric_like.model = Witness::Transcript.tells(FieldClass::Usage, format!("{OPUS}[1m]"));
    let (_folder, store) = told(vec![
        Fact::Session(session("s", Witness::Hook)),
        Fact::Request(metric_like),
        Fact::Request(request("r1", Witness::OtlpLog, 10)),
    ]);
    let all = reconcile(&store, &[]).unwrap();
    assert!(all.is_agreed() && all.sessions[0].disagreements.is_empty(), "{:?}", all.sessions[0]);
    let names: Vec<_> = all.sessions[0].witnesses.keys().copied().collect();
    assert_eq!(names, ["hook", "otlp_log", "transcript"]);
}

#[test]
fn another_model_is_a_difference_and_an_unknown_one_is_of_unknown_price() {
    let mut other = request("r1", Witness::Transcript, 10);
    other.model = Witness::Transcript.tells(FieldClass::Usage, "no-such-model".to_owned());
    let facts = vec![
        Fact::Session(session("s", Witness::Hook)),
        Fact::Request(other),
        Fact::Request(request("r1", Witness::OtlpLog, 10)),
    ];
    let (_folder, store) = told(facts);
    let all = reconcile(&store, &[("tolerance", "1000")]).unwrap();
    assert_eq!((all.sessions[0].unknown_differences, all.is_agreed()), (1, false));
    assert_eq!(all.sessions[0].disagreements[0].difference, None);
}

#[test]
fn sums_are_held_against_the_requests_they_sum() {
    let mut sum = request("m1", Witness::OtlpMetric, 70);
    sum.is_sum = Told::by(1, true);
    let (_folder, store) = told(vec![
        Fact::Session(session("s", Witness::OtlpLog)),
        Fact::Request(request("r1", Witness::OtlpLog, 60)),
        Fact::Request(sum),
    ]);
    let all = reconcile(&store, &[]).unwrap();
    let row = &all.sessions[0];
    let metric = &row.sums["otlp_metric"];
    assert_eq!((metric.rows, metric.claimed[&Field::Output], row.fields[&Field::Output].believed), (1, 70, 60));
    assert_eq!(row.sum_difference(metric), Some(NanoUsd(250_000)));
    assert_eq!((row.requests, all.is_agreed()), (1, false));
}

#[test]
fn a_sum_that_differs_at_an_unknown_price_is_no_agreement() {
    let told_with = |output| {
        let unpriced = |id: &str, witness, output| {
            let mut request = request(id, witness, output);
            request.model = witness.tells(FieldClass::Usage, "no-such-model".to_owned());
            request
        };
        let mut sum = unpriced("m1", Witness::OtlpMetric, output);
        sum.is_sum = Told::by(1, true);
        let (_folder, store) = told(vec![
            Fact::Session(session("s", Witness::OtlpLog)),
            Fact::Request(unpriced("r1", Witness::OtlpLog, 60)),
            Fact::Request(sum),
        ]);
        let all = reconcile(&store, &[("tolerance", "1000")]).unwrap();
        (all.sessions[0].total_unknown(), all.is_agreed())
    };
    assert_eq!(told_with(70), (1, false));
    assert_eq!(told_with(60), (0, true));
}

#[test]
fn a_smaller_sum_of_cache_writes_is_priced() {
    let mut transcript = request("r1", Witness::Transcript, 10);
    transcript.cache_write_tokens = Witness::Transcript.tells(FieldClass::Usage, 1000);
    transcript.cache_write_1h_tokens = Witness::Transcript.tells(FieldClass::Usage, 400);
    transcript.cache_write_5m_tokens = Witness::Transcript.tells(FieldClass::Usage, 600);
    let mut span = request("r1", Witness::OtlpSpan, 10);
    span.cache_write_tokens = Witness::OtlpSpan.tells(FieldClass::Usage, 1000);
    let mut api = request("r1", Witness::Api, 10);
    api.cache_write_tokens = Witness::Api.tells(FieldClass::Usage, 500);
    let facts = [transcript, span, api].map(Fact::Request);
    let (_folder, store) = told([Fact::Session(session("s", Witness::Hook))].into_iter().chain(facts).collect());
    let row = &reconcile(&store, &[]).unwrap().sessions[0];
    // 500 five-minute tokens fewer, of 6.25 USD a million.
    assert_eq!(row.witnesses["api"].difference, NanoUsd(-3_125_000));
    assert_eq!(row.witnesses["transcript"].difference, NanoUsd::ZERO);
}

#[test]
fn outcomes_reported_costs_and_what_is_of_no_session() {
    let owner = Key::of(KeySpace::Session, AGENT, "s");
    let call = |witness: Witness, outcome| {
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, "t1"), AGENT, "t1");
        call.holders = Holders::one(Holder { session: owner, live: true, project: None, branch: None });
        call.witnesses = Witnesses::only(witness);
        call.outcome = witness.tells(FieldClass::Outcome, outcome);
        Fact::ToolCall(call)
    };
    let mut priced = request("r1", Witness::OtlpLog, 100);
    priced.reported_cost_nano = Witness::OtlpLog.tells(FieldClass::Usage, 4_000_000);
    let mut loose = request("r2", Witness::OtlpLog, 1);
    loose.holders = Holders::default();
    let mut session = session("s", Witness::StatusLine);
    session.reported_cost_nano = Told::by(1, 5_000_000);
    let (_folder, store) = told(vec![
        Fact::Session(session),
        Fact::Request(priced),
        Fact::Request(loose),
        call(Witness::Transcript, Outcome::Error),
        call(Witness::OtlpLog, Outcome::Ok),
    ]);
    let all = reconcile(&store, &[]).unwrap();
    assert!(all.is_agreed(), "an outcome costs nothing");
    assert_eq!(all.sessions.iter().map(|row| row.session.is_some()).collect::<Vec<_>>(), [true, false]);
    let json = all.to_json();
    let (row, cost) = (&json["rows"][0], &json["rows"][0]["reported_cost"]);
    // 100 input and 100 output tokens are 3 mUSD.
    assert_eq!(
        (&cost["reported_usd"], &cost["ours_usd"], &cost["session_difference_usd"]),
        (&0.004.into(), &0.003.into(), &0.002.into())
    );
    assert_eq!(row["disagreements"][0]["tool_call"], "t1");
    assert_eq!(row["disagreements"][0]["believed"], "error");
    assert_eq!(row["disagreements"][0]["claims"][0]["witness"], "otlp");
}

#[test]
fn what_is_asked_for_is_found_or_refused() {
    let (_folder, store) =
        told(vec![Fact::Session(session("s", Witness::Hook)), Fact::Request(request("r", Witness::Transcript, 1))]);
    assert!(reconcile(&store, &[("session", "nobody")]).is_none());
    assert!(reconcile(&store, &[("agent", "codex")]).unwrap().sessions.is_empty());
    assert!(reconcile(&store, &[("until", "2020-01-01")]).unwrap().sessions.is_empty());
    assert_eq!(reconcile(&store, &[("since", "2020-01-01")]).unwrap().sessions.len(), 1);
    let now = Timestamp::from_millisecond(AT).unwrap();
    for (name, value, part) in [
        ("tolerance", "-1", "tolerance"),
        ("tolerance", "NaN", "tolerance"),
        ("limit", "0", "limit"),
        ("limit", "-1", "limit"),
        ("limit", "18446744073709551616", "limit"),
        ("sinse", "1", "session, agent"),
        ("since", "x", "since"),
    ] {
        assert!(ReconcileQuery::parse([(name, value)], now).unwrap_err().to_string().contains(part), "{name}");
    }
}

#[test]
fn a_limit_shows_the_latest_sessions_that_told_something() {
    let mut facts = vec![Fact::Session(session("silent", Witness::Hook))];
    for (number, id) in ["first", "second", "third"].into_iter().enumerate() {
        let mut session = session(id, Witness::Hook);
        session.last_at = Told::by(1, AT + number as i64);
        let mut request = request(&format!("r{number}"), Witness::Transcript, 1);
        request.holders = Holders::one(Holder { session: session.key, live: true, project: None, branch: None });
        facts.extend([Fact::Session(session), Fact::Request(request)]);
    }
    let mut loose = request("loose", Witness::OtlpLog, 1);
    loose.holders = Holders::default();
    facts.push(Fact::Request(loose));
    let (_folder, store) = told(facts);
    let shown = |pairs: &[(&'static str, &'static str)]| {
        let all = reconcile(&store, pairs).unwrap();
        let id = |row: &ducat_report::Reconciled| row.session.as_ref().map(|session| session.id.clone());
        all.sessions.iter().map(id).collect::<Vec<_>>()
    };
    let of = |ids: &[&str]| ids.iter().map(|id| Some((*id).to_owned())).collect::<Vec<_>>();
    assert_eq!(shown(&[("limit", "2")]), of(&["third", "second"]));
    assert_eq!(shown(&[("limit", "3")]), of(&["third", "second", "first"]));
    assert_eq!(shown(&[("limit", "9")]), [of(&["third", "second", "first"]), vec![None]].concat());
    assert_eq!(shown(&[("limit", "9"), ("agent", "codex")]), []);
    assert_eq!(shown(&[("limit", "1"), ("session", "first")]), of(&["first"]));
}

#[test]
fn days_of_utc_are_told_to_bills() {
    let mut late = request("r1", Witness::Transcript, 10);
    late.started_at = Told::by(3, "2026-11-24T23:59:59Z".parse::<Timestamp>().unwrap().as_millisecond());
    let mut next = request("r2", Witness::Transcript, 20);
    next.started_at = Told::by(3, "2026-11-25T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond());
    let mut on_plan = request("r3", Witness::Transcript, 30);
    on_plan.started_at = next.started_at.clone();
    on_plan.billing = Told::by(1, ducat_ledger::Billing::Plan);
    let (_folder, store) = told([late, next, on_plan].map(Fact::Request).to_vec());
    let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
    let days = |from, until| {
        let days = store.reader().unwrap().ledger_days(TenantId::LOCAL, at(from), at(until)).unwrap();
        days.into_iter().map(|day| (day.day.to_string(), day.is_billed, day.sums.output_tokens)).collect::<Vec<_>>()
    };
    let [first, second, plan] = [("2026-11-24", true, 10), ("2026-11-25", true, 20), ("2026-11-25", false, 30)]
        .map(|(day, billed, out)| (day.to_owned(), billed, out));
    assert_eq!(days("2026-11-24T00:00:00Z", "2026-11-26T00:00:00Z"), [first.clone(), plan, second]);
    assert_eq!(days("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"), [first]);
}
