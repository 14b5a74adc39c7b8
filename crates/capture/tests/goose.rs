//! Goose's files and rows, written after its source.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use ducat_capture::goose::{MessageRow, SessionRow, decode_message, decode_session};
use ducat_capture::{Agent, AsTold, Detail, Form, LineVerdict, Workspace, Workspaces, decode_document};
use ducat_ledger::{Fact, Outcome, Request};

const FILE: &str = include_str!("fixtures/goose/20260108_000145.jsonl");

fn decode(text: &str) -> (LineVerdict, Vec<Fact>) {
    let mut facts = Vec::new();
    let path = Path::new("/x/20260108_000145.jsonl");
    let verdict = decode_document(Agent::Goose, text.as_bytes(), path, &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    (verdict, facts)
}

fn row(row: &SessionRow<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    assert_eq!(decode_session(row, &mut AsTold, Detail::All, &mut |fact| facts.push(fact)), LineVerdict::Decoded);
    facts
}

fn sum(facts: &[Fact]) -> &Request {
    let mut requests = facts.iter().filter_map(|fact| if let Fact::Request(request) = fact { Some(request) } else { None });
    let request = requests.next().unwrap();
    assert!(requests.next().is_none(), "one sum");
    assert_eq!(request.is_sum.get(), Some(&true));
    request
}

#[test]
fn a_file_tells_its_session_as_a_sum() {
    let (verdict, facts) = decode(FILE);
    assert_eq!(verdict, LineVerdict::Decoded);
    let sum = sum(&facts);
    assert_eq!((sum.input_tokens.get(), sum.output_tokens.get()), (Some(&18500), Some(&150)));
    assert!(sum.model.is_untold() && sum.cache_read_tokens.is_untold());
    assert_eq!(sum.started_at.get(), Some(&1_767_830_505_000));
    assert_eq!(sum.holders.iter().next().unwrap().project.as_deref(), Some("/home/u/project"));
    let ended: Vec<_> = facts
        .iter()
        .filter_map(|fact| if let Fact::ToolCall(call) = fact { call.outcome.get().copied() } else { None })
        .collect();
    assert_eq!(ended, [Outcome::Ok]);
    assert_eq!(facts.iter().filter(|fact| matches!(fact, Fact::Turn(_))).count(), 1);
}

#[test]
fn a_row_tells_the_same_sum_and_more() {
    let (_, file) = decode(FILE);
    let facts = row(&SessionRow {
        id: "20260108_000145",
        working_dir: Some("/home/u/project"),
        created_at: Some("2026-01-08 00:01:45"),
        provider_name: Some("openai"),
        model_config_json: Some(r#"{"model_name":"gpt-5"}"#),
        accumulated: [Some(18500), Some(150), Some(13000), Some(0)],
        accumulated_cost: Some(0.25),
        ..SessionRow::default()
    });
    let told = sum(&facts);
    assert_eq!(told.key, sum(&file).key);
    assert_eq!((told.input_tokens.get(), told.cache_read_tokens.get()), (Some(&5500), Some(&13000)));
    assert_eq!(told.model.get().map(String::as_str), Some("gpt-5"));
    assert_eq!(told.reported_cost_nano.get(), Some(&250_000_000));
}

#[test]
fn messages_tell_turns_and_calls_under_the_keys_of_files() {
    let (_, file) = decode(FILE);
    let keys = |facts: &[Fact]| -> Vec<_> {
        let key = |fact: &Fact| match fact {
            Fact::Turn(turn) => Some(turn.key),
            Fact::ToolCall(call) => Some(call.key),
            _ => None,
        };
        facts.iter().filter_map(key).collect()
    };
    let mut facts = Vec::new();
    for line in FILE.lines().skip(1) {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let row = MessageRow {
            session: "20260108_000145",
            working_dir: Some("/home/u/project"),
            role: message["role"].as_str().unwrap(),
            content_json: &message["content"].to_string(),
            created_timestamp: message["created"].as_i64().unwrap(),
        };
        decode_message(&row, &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    }
    assert_eq!(keys(&facts), keys(&file));
}

#[test]
fn the_oldest_sessions_tell_at_least_their_last_request() {
    let facts = row(&SessionRow { id: "a", last: [Some(9500), Some(70), None, None], ..SessionRow::default() });
    assert_eq!(sum(&facts).input_tokens.get(), Some(&9500));
}

#[test]
fn a_file_is_told_by_its_first_line_and_read_whole() {
    let path = Path::new("/x/20260108_000145.jsonl");
    assert_eq!(Agent::of_file(path, FILE.as_bytes()), Some(Agent::Goose));
    assert_eq!(Agent::Goose.form(path), Form::Document);
}

#[test]
fn excluded_places_tell_nothing() {
    struct Nowhere;
    impl Workspaces for Nowhere {
        fn resolve(&mut self, _: &str) -> Workspace {
            Workspace { project: None, excluded: true }
        }
    }
    let (path, mut facts) = (Path::new("/x/a.jsonl"), 0);
    let verdict = decode_document(Agent::Goose, FILE.as_bytes(), path, &mut Nowhere, Detail::All, &mut |_| facts += 1);
    assert_eq!((verdict, facts), (LineVerdict::Excluded, 0));
    let row = SessionRow { id: "a", working_dir: Some("/x"), accumulated: [Some(1); 4], ..SessionRow::default() };
    let verdict = decode_session(&row, &mut Nowhere, Detail::All, &mut |_| facts += 1);
    assert_eq!((verdict, facts), (LineVerdict::Excluded, 0));
}

#[test]
fn bad_files_and_rows_are_refused_or_tell_no_usage() {
    assert_eq!(decode("{\"working_dir\":").0, LineVerdict::Unreadable("not JSON"));
    assert_eq!(decode("[]").0, LineVerdict::Unreadable("not a JSON object"));
    assert_eq!(decode("\n\n").0, LineVerdict::NoFacts);
    assert_eq!(decode(&"[".repeat(200_000)).0, LineVerdict::Unreadable("nested too deep"));
    for text in [
        "{}",
        "{\"accumulated_input_tokens\":-5}",
        "{\"input_tokens\":\"9\"}\n{\"role\":7,\"content\":[1,{\"type\":\"toolResponse\"}]}",
    ] {
        let (verdict, facts) = decode(text);
        assert_eq!(verdict, LineVerdict::Decoded, "{text}");
        assert!(!facts.iter().any(|fact| matches!(fact, Fact::Request(_))), "{text}");
    }
    let (verdict, facts) = decode(&format!("{FILE}{{cut"));
    assert_eq!(
        (verdict, sum(&facts).input_tokens.get()),
        (LineVerdict::Unreadable("not JSON"), Some(&18500)),
        "the others tell theirs"
    );
    let mut facts = Vec::new();
    let bad = SessionRow {
        id: "a",
        created_at: Some("never"),
        model_config_json: Some("{"),
        accumulated: [Some(-1), Some(i64::MAX), None, None],
        accumulated_cost: Some(f64::NAN),
        ..SessionRow::default()
    };
    decode_session(&bad, &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::Request(_))));
    assert_eq!(
        decode_session(&SessionRow::default(), &mut AsTold, Detail::All, &mut |_| {}),
        LineVerdict::Unreadable("a session without id")
    );
    let row = MessageRow { session: "a", role: "user", content_json: "[{", created_timestamp: i64::MAX, ..MessageRow::default() };
    assert_eq!(decode_message(&row, &mut AsTold, Detail::All, &mut |_| {}), LineVerdict::Unreadable("not JSON"));
}
