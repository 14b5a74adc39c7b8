//! Requests and tool calls that are told with and without ids, one by one and as sums: each counts once, whatever came first.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Outcome, Priced, Request, Session, Told, ToolCall,
    Turn, UnixMs, Witness, Witnesses,
};
use ducat_metrics::Family;
use ducat_prices::NanoUsd;
use ducat_report::{Document, Grouping, Report, ReportQuery};
use ducat_store::{Durability, Lane, Pricer, Store, StoreOptions, TenantId, Write};
use proptest::prelude::*;

const NOW: UnixMs = 1_795_000_000_000;

/// A nano-dollar a token.
struct Flat;

impl Pricer for Flat {
    fn price(&self, request: &Request) -> Priced {
        let usage = request.usage();
        let model = request.model.get().cloned().unwrap_or_default();
        Priced { model, cost: Some(NanoUsd((usage.input + usage.output) as i64)), billing: None }
    }
}

fn open(folder: &Path) -> Store {
    let options = StoreOptions {
        path: folder.join("ledger.db"),
        durability: Durability::Process,
        pricer: Arc::new(Flat),
        clock: || NOW,
        listener: None,
    };
    Store::open(options).unwrap()
}

fn tell(store: &Store, facts: Vec<Fact>) {
    store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
}

fn held(agent: &str, session: &str) -> Holders {
    let session = Key::of(KeySpace::Session, agent, session);
    Holders::one(Holder { session, live: false, project: None, branch: None })
}

fn session(agent: &str, id: &str) -> Fact {
    let mut session = Session::new(Key::of(KeySpace::Session, agent, id), agent, id);
    session.last_at = Told::by(1, NOW);
    Fact::Session(session)
}

fn request(agent: &str, session: &str, id: &str, witness: Witness, at: UnixMs, output: u64) -> Request {
    let mut request = Request::new(Key::of(KeySpace::Request, agent, id), agent, id);
    request.holders = held(agent, session);
    request.witnesses = Witnesses::only(witness);
    request.model = witness.tells(FieldClass::Usage, "m".to_owned());
    request.output_tokens = witness.tells(FieldClass::Usage, output);
    request.started_at = witness.tells(FieldClass::Start, at);
    request
}

fn keyless(mut request: Request) -> Request {
    request.keyless = Told::by(1, true);
    request.duration_ms = Told::by(2, 700);
    request.user = Told::by(1, "ana".to_owned());
    request
}

fn sum(mut request: Request) -> Request {
    request.is_sum = Told::by(1, true);
    request
}

fn report(store: &Store) -> Document {
    let mut report = Report::new(ReportQuery { by: Grouping::Agent, ..ReportQuery::default() });
    store.reader().unwrap().add_to(TenantId::LOCAL, (None, None), &mut report).unwrap();
    report.finish()
}

fn totals(store: &Store) -> (u64, u64, i64) {
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
    let totals = report(store).totals;
    (totals.requests, totals.usage.output, totals.cost.0)
}

/// All rows, as they are stored.
fn rows(folder: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    let mut rows = Vec::new();
    for (table, more) in [("requests", ", model, cost_nano"), ("tool_calls", ", 0, 0")] {
        let sql = format!("SELECT hex(key), fact, base, role, hex(owner), hex(pair_group){more} FROM {table} ORDER BY key");
        let mut statement = database.prepare(&sql).unwrap();
        let found = statement.query_map([], |row| {
            let values = (0..8).map(|place| row.get::<_, rusqlite::types::Value>(place)).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("{values:?}"))
        });
        rows.extend(found.unwrap().map(Result::unwrap));
    }
    rows
}

#[test]
fn a_keyless_telling_lends_to_the_keyed_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, vec![session("codex", "s"), Fact::Request(keyless(request("codex", "s", "o1", Witness::OtlpLog, NOW + 3, 10)))]);
    let detail = || store.reader().unwrap().session(TenantId::LOCAL, "s").unwrap().unwrap().requests;
    assert!(detail()[0].0.is_unconfirmed());
    assert_eq!(totals(&store), (1, 10, 10));
    tell(&store, vec![Fact::Request(request("codex", "s", "resp_1", Witness::Transcript, NOW, 10))]);
    assert_eq!(totals(&store), (1, 10, 10));
    let shown = detail();
    assert_eq!(shown.len(), 1);
    let shown = &shown[0].0;
    assert_eq!((shown.id.as_str(), shown.started_at.get(), shown.duration_ms.get()), ("resp_1", Some(&NOW), Some(&700)));
    assert!(!shown.is_unconfirmed());
    assert_eq!(shown.output_tokens.claims().count(), 2, "what each said is known");
    let counted = |family| store.counters().series.sums(1, family).iter().map(|(_, sum, _)| sum).sum::<u64>();
    assert_eq!([Family::Requests, Family::Tokens, Family::Corrections].map(counted), [1, 10, 0]);
    // The transcript grows away from its twin, and back into its arms.
    tell(&store, vec![Fact::Request(request("codex", "s", "resp_1", Witness::Transcript, NOW, 11))]);
    assert_eq!(totals(&store), (2, 21, 21));
    assert!(detail()[0].0.duration_ms.is_untold(), "what a twin lent is given back");
    tell(&store, vec![Fact::Request(keyless(request("codex", "s", "o2", Witness::OtlpLog, NOW + 4, 11)))]);
    assert_eq!(totals(&store), (2, 21, 21));
}

#[test]
fn sums_count_until_a_request_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let point = |id: &str, of: &str| Fact::Request(sum(request("claude-code", of, id, Witness::OtlpMetric, NOW, 100)));
    let mut alone = sum(request("svc", "x", "m9", Witness::OtlpMetric, NOW, 5));
    alone.holders = Holders::default();
    tell(
        &store,
        vec![session("claude-code", "s"), session("claude-code", "t"), point("m1", "s"), point("m2", "t"), Fact::Request(alone)],
    );
    assert_eq!(totals(&store), (0, 205, 205));
    let listed = store.reader().unwrap().sessions(TenantId::LOCAL, 0, 9).unwrap();
    assert!(listed.iter().all(|row| row.requests == 0 && row.known_cost() == Some(NanoUsd(100))));
    tell(&store, vec![Fact::Request(request("claude-code", "s", "r1", Witness::OtlpLog, NOW, 40))]);
    assert_eq!(totals(&store), (1, 145, 145));
    let mut span = request("svc", "x", "span", Witness::OtlpSpan, NOW, 7);
    span.holders = Holders::default();
    tell(&store, vec![Fact::Request(span), point("m3", "s")]);
    assert_eq!(totals(&store), (2, 147, 147));
}

/// Copilot CLI told sums at shutdown; a session that a newer version resumes tells every request from then on.
#[test]
fn a_transcripts_sum_counts_beside_its_later_requests() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let whole = sum(request("droid", "t", "t", Witness::Transcript, NOW, 1000));
    let single_of_whole = request("droid", "t", "span", Witness::OtlpSpan, NOW, 7);
    let shutdown = || {
        let mut sum = sum(request("copilot-cli", "s", "e1/m", Witness::Transcript, NOW, 100));
        sum.query_source = Told::by(1, ducat_ledger::UNLOGGED.to_owned());
        Fact::Request(sum)
    };
    let single = Fact::Request(request("copilot-cli", "s", "call", Witness::Transcript, NOW, 40));
    tell(&store, vec![session("copilot-cli", "s"), shutdown()]);
    tell(&store, vec![single, shutdown()]);
    assert_eq!(totals(&store), (1, 140, 140));
    // One of a whole session is covered, whoever tells it.
    tell(&store, vec![session("droid", "t"), Fact::Request(whole), Fact::Request(single_of_whole)]);
    assert_eq!(totals(&store), (2, 147, 147));
}

#[test]
fn estimates_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut guess = request("cursor", "s", "g", Witness::Transcript, NOW, 500);
    guess.estimated = Told::by(1, true);
    tell(
        &store,
        vec![
            session("cursor", "s"),
            Fact::Request(guess),
            Fact::Request(request("codex", "s", "r", Witness::Transcript, NOW, 4)),
        ],
    );
    assert_eq!(totals(&store), (1, 4, 4));
    assert!(report(&store).to_json().contains(r#""estimated_requests":1,"estimated_tokens":500"#));
}

#[test]
fn thousands_of_equal_requests_are_no_burden() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, vec![session("codex", "s")]);
    let told = |witness, at: i64| {
        let one = request("codex", "s", &format!("{}{at}", witness as u8), witness, NOW + at, 10);
        Fact::Request(if witness == Witness::OtlpLog { keyless(one) } else { one })
    };
    let begun = Instant::now();
    for hundred in 0..100 {
        tell(&store, (0..100).map(|at| told(Witness::OtlpLog, hundred * 100 + at)).collect());
    }
    for hundred in 0..100 {
        tell(&store, (0..100).map(|at| told(Witness::Transcript, hundred * 100 + at)).collect());
    }
    let bulk = begun.elapsed();
    let begun = Instant::now();
    for at in 10_000..10_050 {
        tell(&store, vec![told(Witness::OtlpLog, at)]);
        tell(&store, vec![told(Witness::Transcript, at)]);
    }
    let each = begun.elapsed() / 100;
    println!("20,000 rows of one group in {bulk:?}; then {each:?} a commit");
    assert_eq!(totals(&store), (10_050, 100_500, 100_500));
    assert!(each.as_millis() < 50, "{each:?} a commit");
}

fn observed() -> impl Strategy<Value = Vec<Fact>> {
    let agent = prop::sample::select(vec!["codex", "claude-code"]);
    let one = (agent, 0_u8..5, 0_i64..4, 1_u64..3, 0_u8..2, 0_u8..6).prop_map(|(agent, id, at, output, of, kind)| {
        let (at, of) = (NOW + at * 1000, format!("s{of}"));
        let told = |name: &str, witness| request(agent, &of, &format!("{name}{id}{of}{output}{at}"), witness, at, output);
        match kind {
            0 => Fact::Request(keyless(told("log", Witness::OtlpLog))),
            1 => Fact::Request(keyless(told("span", Witness::OtlpSpan))),
            2 => Fact::Request(sum(told("point", Witness::OtlpMetric))),
            3 => {
                let name = format!("call{id}{at}");
                let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, agent, &name), agent, name);
                call.holders = held(agent, &of);
                call.witnesses = Witnesses::only(Witness::Hook);
                call.name = Told::by(1, "Bash".to_owned());
                call.outcome = Told::by(1, Outcome::Ok);
                call.started_at = Told::by(1, at);
                if id % 2 == 0 {
                    call.keyless = Told::by(1, true);
                }
                Fact::ToolCall(call)
            }
            // Grows, and is held by two sessions.
            _ => Fact::Request(request(agent, &of, &format!("req{id}"), Witness::Transcript, at, output)),
        }
    });
    prop::collection::vec(one, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn any_order_repetition_cutting_and_restart(facts in observed(), seed in any::<u64>(), size in 1_usize..6) {
        let sessions = ["codex", "claude-code"].into_iter().flat_map(|agent| ["s0", "s1"].map(|of| session(agent, of)));
        let facts: Vec<Fact> = sessions.chain(facts).collect();
        let one = tempfile::tempdir().unwrap();
        let store = open(one.path());
        tell(&store, facts.clone());

        let mut shuffled: Vec<Fact> = facts.iter().cloned().chain(facts.iter().take(7).cloned()).collect();
        let mut state = seed;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(place, (state >> 33) as usize % (place + 1));
        }
        let other = tempfile::tempdir().unwrap();
        let (first, rest) = shuffled.split_at(shuffled.len() / 2);
        for part in [first, rest] {
            let pieces = open(other.path());
            part.chunks(size).for_each(|piece| tell(&pieces, piece.to_vec()));
            prop_assert_eq!(pieces.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
        }
        prop_assert_eq!(rows(other.path()), rows(one.path()));
        let pieces = open(other.path());
        prop_assert_eq!(totals(&pieces), totals(&store));
    }

    #[test]
    fn dropping_a_witness_moves_nothing(outputs in prop::collection::vec(1_u64..3, 1..12), dropped in 0_usize..4, seed in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut facts = vec![session("codex", "s")];
        for (place, output) in outputs.iter().enumerate() {
            let at = NOW + place as i64 * 1000;
            let told = |name: &str, witness, late: i64| request("codex", "s", &format!("{name}{place}"), witness, at + late, *output);
            let all = [told("r", Witness::Transcript, 0), keyless(told("l", Witness::OtlpLog, 3)), keyless(told("p", Witness::OtlpSpan, 9)), sum(told("m", Witness::OtlpMetric, 20))];
            facts.extend(all.into_iter().enumerate().filter(|(witness, _)| *witness != dropped).map(|(_, fact)| Fact::Request(fact)));
        }
        let turn = seed as usize % facts.len();
        facts.rotate_left(turn);
        facts.into_iter().for_each(|fact| tell(&store, vec![fact]));
        let total = outputs.iter().sum::<u64>();
        prop_assert_eq!(totals(&store), (outputs.len() as u64, total, total as i64));
    }
}

fn incident(agent: &str, id: &str, witness: Witness, kind: IncidentKind, at: UnixMs) -> Incident {
    let mut incident = Incident::new(Key::of(KeySpace::Incident, agent, id), agent, id);
    incident.holders = held(agent, agent);
    incident.witnesses = Witnesses::only(witness);
    incident.kind = witness.tells(FieldClass::Attribution, kind);
    incident.at = witness.tells(FieldClass::Attribution, at);
    incident
}

fn turn(agent: &str, id: &str, witness: Witness, at: UnixMs) -> Turn {
    let mut turn = Turn::new(Key::of(KeySpace::Turn, agent, id), agent, id);
    turn.holders = held(agent, agent);
    turn.witnesses = Witnesses::only(witness);
    turn.started_at = witness.tells(FieldClass::Timing, at);
    turn
}

/// An error that telemetry and transcript tell, each under its own id, is one error; a turn of Gemini CLI likewise.
#[test]
fn turns_and_incidents_of_several_witnesses_count_once() {
    let mut status = incident("codex", "otlp/1", Witness::OtlpLog, IncidentKind::ApiError, NOW - 90);
    status.value = Witness::OtlpLog.tells(FieldClass::Attribution, 503);
    let mut facts = vec![
        session("codex", "codex"),
        session("gemini-cli", "gemini-cli"),
        Fact::Incident(status),
        Fact::Incident(incident("codex", "otlp/2", Witness::OtlpLog, IncidentKind::ApiError, NOW - 60)),
        Fact::Incident(incident("codex", "line", Witness::Transcript, IncidentKind::ApiError, NOW - 80)),
        // Of another kind, and of an agent whose ids all witnesses share.
        Fact::Incident(incident("codex", "other", Witness::OtlpLog, IncidentKind::Compaction, NOW - 80)),
        Fact::Turn(turn("codex", "hook", Witness::Hook, NOW - 80)),
        Fact::Turn(turn("codex", "line", Witness::Transcript, NOW - 80)),
        Fact::Turn(turn("gemini-cli", "hook", Witness::Hook, NOW - 80)),
        Fact::Turn(turn("gemini-cli", "chat", Witness::Transcript, NOW - 79)),
        Fact::Turn(turn("gemini-cli", "hook 2", Witness::Hook, NOW - 20)),
    ];
    let mut first = None;
    for round in 0..facts.len() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        facts.iter().for_each(|fact| tell(&store, vec![fact.clone()]));
        tell(&store, facts.clone());
        let reader = store.reader().unwrap();
        let of = |id| reader.session(TenantId::LOCAL, id).unwrap().unwrap();
        let (codex, gemini) = (of("codex"), of("gemini-cli"));
        assert_eq!((codex.turns.len(), gemini.turns.len(), codex.incidents.len()), (2, 2, 3), "round {round}");
        let error = codex.incidents.iter().find(|incident| incident.id == "line").unwrap();
        assert_eq!(error.value.get(), Some(&503), "what telemetry knows of it is kept");
        let listed = reader.sessions(TenantId::LOCAL, 0, 9).unwrap();
        assert!(listed.iter().all(|summary| summary.turns == 2));
        let shown = (codex, gemini);
        assert_eq!(*first.get_or_insert_with(|| shown.clone()), shown, "round {round}");
        facts.rotate_left(1);
    }
}
