//! Amp's threads, written after its published client and after open-source readers of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use ducat_capture::{Agent, AsTold, Detail, LineVerdict, decode_document};
use ducat_ledger::{Billing, Fact, Outcome, Request};

const THREAD: &str = include_str!("fixtures/amp/threads/T-0d9cdb8a-2c2e-4bd9-a1b8-6d3e2f0b1c5a.json");

fn decode(text: &str) -> (LineVerdict, Vec<Fact>) {
    let mut facts = Vec::new();
    let path = Path::new("/x/a.json");
    let verdict = decode_document(Agent::Amp, text.as_bytes(), path, &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    (verdict, facts)
}

fn requests(facts: &[Fact]) -> Vec<&Request> {
    facts.iter().filter_map(|fact| if let Fact::Request(request) = fact { Some(request) } else { None }).collect()
}

#[test]
fn answers_count_once_and_the_ledger_adds_what_no_answer_tells() {
    let (verdict, facts) = decode(THREAD);
    assert_eq!(verdict, LineVerdict::Decoded);
    let requests = requests(&facts);
    let tokens = |request: &&Request| {
        let usage = request.usage();
        (usage.input, usage.cache_read, request.cache_write_tokens.get().copied(), usage.output)
    };
    let told: Vec<_> = requests.iter().map(tokens).collect();
    assert_eq!(told, [(10, 11372, Some(986), 178), (5000, 4000, None, 80), (300, 0, None, 12)]);
    assert_eq!(requests[2].query_source.get().map(String::as_str), Some("title-generation"));
    assert_eq!(requests[0].stop_reason.get().map(String::as_str), Some("tool_use"));
    assert_eq!(requests[0].started_at.get(), Some(&1_767_830_508_000));
    assert_eq!(requests[0].holders.iter().next().unwrap().project.as_deref(), Some("/home/u/my app"));
    assert!(requests.iter().all(|request| request.billing.get() == Some(&Billing::Credits)));
}

#[test]
fn calls_end_as_their_runs_say() {
    let (_, facts) = decode(THREAD);
    let mut ended = Vec::new();
    for fact in &facts {
        if let Fact::ToolCall(call) = fact
            && let Some(outcome) = call.outcome.get()
        {
            ended.push((*outcome, call.error_kind.get().map(String::as_str)));
        }
    }
    assert_eq!(ended, [(Outcome::Error, Some("exit_code")), (Outcome::Refused, Some("permission"))]);
    let turns = facts.iter().filter(|fact| matches!(fact, Fact::Turn(_))).count();
    assert_eq!(turns, 1, "results are no prompts");
}

#[test]
fn a_thread_is_told_by_its_name_and_head() {
    let of = |path: &str, head: &str| Agent::of_file(Path::new(path), head.as_bytes());
    assert_eq!(of("/x/a.json", THREAD), Some(Agent::Amp));
    assert!(Agent::Amp.takes(Path::new("/x/T-1.json")));
    assert!(!Agent::Amp.takes(Path::new("/x/settings.json")));
}

#[test]
fn bad_threads_are_refused_or_tell_nothing() {
    assert_eq!(decode(&THREAD[..400]).0, LineVerdict::Unreadable("not JSON"));
    assert_eq!(decode("{}").0, LineVerdict::Unreadable("a thread without id"));
    assert_eq!(decode(r#"{"id":7}"#).0, LineVerdict::Unreadable("a thread without id"));
    assert_eq!(decode(&"[".repeat(200_000)).0, LineVerdict::Unreadable("nested too deep"));
    for text in [
        r#"{"id":"T-1","messages":7,"usageLedger":[]}"#,
        r#"{"id":"T-1","messages":[1,{"role":"assistant","usage":{"inputTokens":-1,"outputTokens":1e99}}]}"#,
        r#"{"id":"T-1","messages":[{"role":"assistant","messageId":"x","usage":7,"content":{}}],"env":{"initial":{"trees":[{"uri":"file:///%zz%f"}]}}}"#,
        r#"{"id":"T-1","usageLedger":{"events":[{"tokens":{"input":"5"}},null]}}"#,
    ] {
        let (verdict, facts) = decode(text);
        assert_eq!((verdict, requests(&facts).len()), (LineVerdict::Decoded, 0), "{text}");
    }
}
