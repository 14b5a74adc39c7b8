//! Requests and tool calls that are told with and without ids, one by one and as sums: each counts once, whatever came first.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telling;

use std::path::Path;
use std::sync::Arc;

use ducat_ledger::{
    Fact, FieldClass, Holders, Incident, IncidentKind, Key, KeySpace, Outcome, Request, Told, ToolCall, Turn, UnixMs, Witness,
    Witnesses,
};
use ducat_metrics::Family;
use ducat_prices::NanoUsd;
use ducat_report::SessionsQuery;
use ducat_store::{Store, TenantId};
use telling::*;

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

/// Logs of Claude Code before 2.1.112 tell no request's id, where transcripts do.
#[test]
fn older_claude_code_counts_once_whichever_came_first() {
    let logs =
        |at: i64| Fact::Request(keyless(request("claude-code", "s", &format!("log/{at}"), Witness::OtlpLog, NOW + at + 3, 10)));
    let line = |at: i64| Fact::Request(request("claude-code", "s", &format!("req_{at}"), Witness::Transcript, NOW + at, 9));
    for log_first in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        tell(&store, vec![session("claude-code", "s")]);
        for at in [0, 5_000] {
            let told = if log_first { [logs(at), line(at)] } else { [line(at), logs(at)] };
            told.into_iter().for_each(|fact| tell(&store, vec![fact]));
        }
        assert_eq!(totals(&store), (2, 20, 20));
        let shown = store.reader().unwrap().session(TenantId::LOCAL, "s").unwrap().unwrap().requests;
        assert!(shown.iter().all(|(request, ..)| request.id.starts_with("req_") && request.duration_ms.is_told()));
    }
}

fn call(id: &str, witness: Witness, times: (Option<i64>, Option<i64>), target: &str) -> Fact {
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, "gemini-cli", id), "gemini-cli", id);
    call.holders = held("gemini-cli", "s");
    call.witnesses = Witnesses::only(witness);
    call.name = Told::by(1, "write_file".to_owned());
    call.outcome = witness.tells(FieldClass::Outcome, Outcome::Ok);
    let timing = witness.rank(FieldClass::Timing);
    (call.started_at, call.ended_at) = (Told::maybe(timing, times.0), Told::maybe(timing, times.1));
    call.target = Told::maybe(1, (!target.is_empty()).then(|| target.to_owned()));
    call.keyless = Told::maybe(1, (witness != Witness::Transcript).then_some(true));
    Fact::ToolCall(call)
}

/// Gemini's AfterTool knows only when a call ended.
#[test]
fn a_hook_that_tells_only_the_end_is_the_call_that_ended_then() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, vec![session("gemini-cli", "s")]);
    for n in 0..6 {
        let (start, end) = (Some(NOW + n * 60_000), Some(NOW + n * 60_000 + 1000));
        tell(&store, vec![call(&format!("c{n}"), Witness::Transcript, (start, end), "")]);
        tell(&store, vec![call(&format!("hook/{n}"), Witness::Hook, (None, end), &format!("file{n}"))]);
    }
    let calls = store.reader().unwrap().session(TenantId::LOCAL, "s").unwrap().unwrap().tool_calls;
    let of = |call: &ToolCall| (call.id.clone(), call.target.get().cloned().unwrap(), call.duration_ms().unwrap());
    let expected: Vec<_> = (0..6).map(|n| (format!("c{n}"), format!("file{n}"), 1000)).collect();
    assert_eq!(calls.iter().map(of).collect::<Vec<_>>(), expected);
}

#[test]
fn another_name_of_the_model_splits_no_twins() {
    let dir = tempfile::tempdir().unwrap();
    let log = || Fact::Request(keyless(request("codex", "s", "o1", Witness::OtlpLog, NOW + 3, 10)));
    let line = || Fact::Request(request("codex", "s", "resp_1", Witness::Transcript, NOW, 10));
    let store = open(dir.path());
    tell(&store, vec![session("codex", "s"), log(), line()]);
    drop(store);
    let store = open_priced(dir.path(), Arc::new(Renamed));
    for again in [line(), log()] {
        tell(&store, vec![again]);
        assert_eq!(totals(&store), (1, 10, 10));
    }
}

/// Telemetry that was switched on in the middle tells of the last, not of the first.
#[test]
fn a_late_witness_lends_to_what_it_saw() {
    const HOUR: i64 = 3_600_000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, vec![session("gemini-cli", "s")]);
    let times = |n: i64| (Some(NOW + n * HOUR), Some(NOW + n * HOUR + 1000));
    tell(&store, (0..3).map(|n| call(&format!("c{n}"), Witness::Transcript, times(n), "")).collect());
    tell(&store, vec![call("log", Witness::OtlpLog, times(2), "f")]);
    let calls = store.reader().unwrap().session(TenantId::LOCAL, "s").unwrap().unwrap().tool_calls;
    let told: Vec<_> = calls.iter().map(|call| (call.id.as_str(), call.target.get().map(String::as_str))).collect();
    assert_eq!(told, [("c0", None), ("c1", None), ("c2", Some("f"))]);
    // Two requests of equal counts, each of which one witness alone saw, are two.
    tell(&store, vec![session("codex", "t"), Fact::Request(request("codex", "t", "r", Witness::Transcript, NOW, 10))]);
    tell(&store, vec![Fact::Request(keyless(request("codex", "t", "l", Witness::OtlpLog, NOW + HOUR, 10)))]);
    assert_eq!(totals(&store).0, 2);
}

/// A row for each request of every session would cost an import dearly.
#[test]
fn what_has_an_id_everywhere_is_in_no_group() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(
        &store,
        vec![session("claude-code", "s"), Fact::Request(request("claude-code", "s", "req_1", Witness::Transcript, NOW, 9))],
    );
    let database = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
    let of = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(of("SELECT COUNT(*) FROM pairs"), 0);
    tell(&store, vec![Fact::Request(keyless(request("claude-code", "s", "log", Witness::OtlpLog, NOW + 3, 10)))]);
    assert_eq!(of("SELECT COUNT(*) FROM pairs"), 2);
    assert_eq!(totals(&store), (1, 10, 10));
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
    let listed = store.reader().unwrap().sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap().rows;
    assert!(listed.iter().all(|row| row.sums.known_requests().is_none() && row.sums.known_cost() == Some(NanoUsd(100))));
    tell(&store, vec![Fact::Request(request("claude-code", "s", "r1", Witness::OtlpLog, NOW, 40))]);
    assert_eq!(totals(&store), (1, 145, 145));
    let mut span = request("svc", "x", "span", Witness::OtlpSpan, NOW, 7);
    span.holders = Holders::default();
    tell(&store, vec![Fact::Request(span), point("m3", "s")]);
    assert_eq!(totals(&store), (2, 147, 147));
}

/// Spans without usage, and guesses, repeat nothing of what a metric told.
#[test]
fn only_counted_requests_stand_for_sums() {
    for of_session in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let told = |mut request: Request| {
            if !of_session {
                request.holders = Holders::default();
            }
            tell(&store, vec![Fact::Request(request)]);
        };
        tell(&store, vec![session("svc", "s")]);
        told(sum(request("svc", "s", "m", Witness::OtlpMetric, NOW, 1000)));
        let mut guess = request("svc", "s", "guess", Witness::Transcript, NOW, 40);
        guess.estimated = Witness::Transcript.tells(FieldClass::Usage, true);
        told(guess);
        let mut span = request("svc", "s", "span", Witness::OtlpSpan, NOW, 7);
        span.output_tokens = Told::default();
        told(span);
        assert_eq!(totals(&store), (1, 1000, 1000));
        told(sum(request("svc", "s", "m2", Witness::OtlpMetric, NOW, 1)));
        assert_eq!(totals(&store), (1, 1001, 1001));
        // Its tokens come later.
        told(request("svc", "s", "span", Witness::OtlpSpan, NOW, 7));
        assert_eq!(totals(&store), (1, 7, 7));
        told(sum(request("svc", "s", "m3", Witness::OtlpMetric, NOW, 1)));
        assert_eq!(totals(&store), (1, 7, 7));
    }
}

/// Rows that a commit may write anew; by their count, as clocks depend on the machine.
fn written(store: &Store, folder: &Path, fact: Fact) -> i64 {
    let database = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS written (what TEXT);
             CREATE TRIGGER IF NOT EXISTS w1 AFTER INSERT ON requests BEGIN INSERT INTO written VALUES ('request'); END;
             CREATE TRIGGER IF NOT EXISTS w2 AFTER INSERT ON tool_calls BEGIN INSERT INTO written VALUES ('tool_call'); END;
             CREATE TRIGGER IF NOT EXISTS w3 AFTER INSERT ON pairs BEGIN INSERT INTO written VALUES ('pair'); END;
             CREATE TRIGGER IF NOT EXISTS w4 AFTER UPDATE ON pairs BEGIN INSERT INTO written VALUES ('pair'); END;
             DELETE FROM written;",
        )
        .unwrap();
    tell(store, vec![fact]);
    database.query_row("SELECT COUNT(*) FROM written", [], |row| row.get(0)).unwrap()
}

/// An estimate is one while nobody counted better, under the same key or without one.
#[test]
fn the_believed_claim_says_whether_it_is_an_estimate() {
    for (id, is_keyless) in [("g", false), ("log", true)] {
        for exact_first in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            tell(&store, vec![session("codex", "s")]);
            let mut guess = request("codex", "s", "g", Witness::Transcript, NOW, 500);
            guess.estimated = Witness::Transcript.tells(FieldClass::Usage, true);
            let exact = request("codex", "s", id, Witness::OtlpLog, NOW, 500);
            let mut told = [Fact::Request(guess), Fact::Request(if is_keyless { keyless(exact) } else { exact })];
            if exact_first {
                told.reverse();
            }
            told.into_iter().for_each(|fact| tell(&store, vec![fact]));
            assert_eq!(totals(&store), (1, 500, 500));
            assert_eq!(report(&store).totals.estimated_requests, 0);
            let counted = |family| store.counters().series.sums(1, family).iter().map(|(_, sum, _)| sum).sum::<u64>();
            assert_eq!([Family::Requests, Family::Tokens].map(counted), [1, 500]);
        }
    }
}

/// Thousands of points may lie there already, also of other agents.
#[test]
fn a_point_costs_no_more_among_many() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let told = |agent: &str, id: &str, is_sum: bool| {
        let mut one = request(agent, "x", id, Witness::OtlpMetric, NOW, 5);
        one.holders = Holders::default();
        Fact::Request(if is_sum { sum(one) } else { one })
    };
    tell(&store, (0..500).map(|n| told("a", &format!("a{n}"), true)).collect());
    tell(&store, (0..500).map(|n| told("b", &format!("b{n}"), true)).collect());
    assert_eq!(written(&store, dir.path(), told("a", "new", true)), 1);
    assert_eq!(written(&store, dir.path(), told("b", "one", false)), 501, "all of its own agent are covered now");
    assert_eq!(totals(&store), (1, 501 * 5 + 5, 501 * 5 + 5));
}

/// What a sum of one agent was is no "before" of another agent's request, though no session tells them apart.
#[test]
fn counters_take_no_agents_sum_for_anothers_request() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let told = |agent: &str, id: &str, at: i64, output: u64| {
        let mut one = request(agent, "x", id, Witness::OtlpSpan, NOW + at, output);
        one.holders = Holders::default();
        one
    };
    tell(&store, vec![Fact::Request(sum(told("a", "m", 0, 50)))]);
    // B's comes first in time, but it is A's that covers.
    tell(&store, vec![Fact::Request(told("b", "1", 1, 7)), Fact::Request(told("a", "2", 2, 60))]);
    let counters = store.counters();
    let of = |family, agent: &str| -> u64 {
        let all = counters.series.sums(1, family);
        all.iter().filter(|(labels, ..)| labels.iter().any(|label| label == agent)).map(|(_, sum, _)| sum).sum()
    };
    assert_eq!([of(Family::Tokens, "a"), of(Family::Tokens, "b")], [60, 7]);
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
    guess.estimated = Witness::Transcript.tells(FieldClass::Usage, true);
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

/// A row more costs the same in a group of ten times the rows: those written are counted, as clocks depend on the machine.
#[test]
fn thousands_of_equal_requests_are_no_burden() {
    let told = |witness, at: i64| {
        let one = request("codex", "s", &format!("{}{at}", witness as u8), witness, NOW + at, 10);
        Fact::Request(if witness == Witness::OtlpLog { keyless(one) } else { one })
    };
    let costs = |hundreds: i64| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        tell(&store, vec![session("codex", "s")]);
        for witness in [Witness::OtlpLog, Witness::Transcript] {
            for hundred in 0..hundreds {
                tell(&store, (0..100).map(|at| told(witness, hundred * 100 + at)).collect());
            }
        }
        let next = hundreds * 100;
        let log = written(&store, dir.path(), told(Witness::OtlpLog, next));
        let line = written(&store, dir.path(), told(Witness::Transcript, next));
        let count = next as u64 + 1;
        assert_eq!(totals(&store), (count, count * 10, count as i64 * 10));
        (log, line)
    };
    let few = costs(2);
    assert_eq!(costs(20), few);
    assert!(few.0 + few.1 < 16, "{few:?} rows for a telling each");
}

/// Six hundred calls of one tool, of which hooks tell the end only.
#[test]
fn a_hook_event_costs_no_more_late_in_a_session() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, vec![session("gemini-cli", "s")]);
    let times = |n: i64| (NOW + n * 60_000, NOW + n * 60_000 + 1000);
    let line = |n: i64| call(&format!("c{n}"), Witness::Transcript, (Some(times(n).0), Some(times(n).1)), "");
    let hook = |n: i64| call(&format!("hook/{n}"), Witness::Hook, (None, Some(times(n).1)), &format!("file{n}"));
    tell(&store, (0..600).flat_map(|n| [line(n), hook(n)]).collect());
    tell(&store, vec![line(600)]);
    assert!(written(&store, dir.path(), hook(600)) < 8);
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
        let listed = reader.sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap().rows;
        assert!(listed.iter().all(|summary| summary.sums.turns == 2));
        let shown = (codex, gemini);
        assert_eq!(*first.get_or_insert_with(|| shown.clone()), shown, "round {round}");
        facts.rotate_left(1);
    }
}
