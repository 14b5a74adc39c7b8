//! Hook events of Codex and Gemini CLI, whole and redacted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_capture::{AsTold, HookVerdict, Workspace, Workspaces, codex, gemini_cli};
use ducat_ledger::{Fact, Outcome, Session, ToolCall, Turn};
use ducat_spool::redact;
use proptest::prelude::*;
use serde_json::{Value, json};

const AT: i64 = 1_780_000_000_000;
const GEMINI: &str = include_str!("fixtures/gemini-cli-0.61.0/hooks.jsonl");
type Decode = fn(&[u8], i64, &mut dyn Workspaces, &mut dyn FnMut(Fact)) -> HookVerdict;

fn facts(decode: Decode, payload: &[u8]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let verdict = decode(payload, AT, &mut AsTold, &mut |fact| facts.push(fact));
    assert_eq!(verdict == HookVerdict::Decoded, !facts.is_empty(), "{verdict:?}");
    facts
}

fn sorted(facts: Vec<Fact>) -> (Vec<Session>, Vec<Turn>, Vec<ToolCall>) {
    let mut sorted = (Vec::new(), Vec::new(), Vec::new());
    for fact in facts {
        match fact {
            Fact::Session(session) => sorted.0.push(session),
            Fact::Turn(turn) => sorted.1.push(turn),
            Fact::ToolCall(call) => sorted.2.push(call),
            other => panic!("neither a request nor anything else is told: {other:?}"),
        }
    }
    sorted
}

#[test]
fn a_gemini_session_is_told_but_for_its_requests() {
    let whole: Vec<Fact> = GEMINI.lines().flat_map(|line| facts(gemini_cli::decode_hook, line.as_bytes())).collect();
    let spooled: Vec<Fact> = GEMINI.lines().flat_map(|line| facts(gemini_cli::decode_hook, &redact(line.as_bytes()))).collect();
    assert_eq!(whole, spooled, "redaction takes no fact");
    let (sessions, turns, calls) = sorted(whole);
    assert!(sessions.iter().all(|session| session.key == sessions[0].key));
    assert_eq!(sessions.last().unwrap().end_reason.get().unwrap(), "exit");
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].prompt_bytes.get(), Some(&31));
    let told: Vec<_> = calls.iter().map(|call| (call.name.get().unwrap().as_str(), *call.outcome.get().unwrap())).collect();
    assert_eq!(told, [("read_file", Outcome::Ok), ("run_shell_command", Outcome::Ok)]);
    assert!(calls.iter().all(|call| call.keyless.get() == Some(&true)));
}

fn after_tool(timestamp: &str, command: &str, response: &Value) -> Vec<u8> {
    let event = json!({ "session_id": "s", "hook_event_name": "AfterTool", "timestamp": timestamp, "tool_name": "run_shell_command",
        "tool_input": { "command": command }, "tool_response": response });
    event.to_string().into_bytes()
}

#[test]
fn gemini_calls_that_look_alike_stay_apart_and_errors_are_errors() {
    let fine = json!({ "llmContent": "x", "error": null });
    let events = [("1", "ls", &fine), ("2", "ls", &fine), ("2", "pwd", &fine)];
    let calls: Vec<_> = events
        .iter()
        .flat_map(|(at, command, answer)| sorted(facts(gemini_cli::decode_hook, &after_tool(at, command, answer))).2)
        .collect();
    assert!(calls[0].key != calls[1].key && calls[1].key != calls[2].key);
    let failed = after_tool("1", "ls", &json!({ "llmContent": "x", "error": { "message": "no" } }));
    for payload in [redact(&failed), failed] {
        assert_eq!(sorted(facts(gemini_cli::decode_hook, &payload)).2[0].outcome.get(), Some(&Outcome::Error));
    }
}

#[test]
fn a_codex_call_is_one_call_and_its_outcome_unknown() {
    let event = |name: &str| {
        let event = json!({ "session_id": "s", "hook_event_name": name, "cwd": "/p", "turn_id": "t", "tool_use_id": "c", "tool_name": "Bash",
            "prompt": "hello", "tool_input": { "command": "ls" }, "tool_response": "done", "model": "m", "transcript_path": null });
        event.to_string().into_bytes()
    };
    let told = |name: &str| {
        let whole = facts(codex::decode_hook, &event(name));
        assert_eq!(whole, facts(codex::decode_hook, &redact(&event(name))), "{name}");
        sorted(whole)
    };
    assert_eq!(told("SessionStart").0.len(), 0);
    let (asked, answered) = (told("PreToolUse").2.remove(0), told("PostToolUse").2.remove(0));
    assert_eq!(asked.key, answered.key);
    assert_eq!((asked.started_at.get(), answered.ended_at.get(), answered.outcome.get()), (Some(&AT), Some(&AT), None));
    let (begun, ended) = (told("UserPromptSubmit").1.remove(0), told("Stop").1.remove(0));
    assert_eq!((begun.key, begun.prompt_bytes.get(), ended.ended_at.get()), (ended.key, Some(&5), Some(&AT)));
    assert_eq!(asked.turn.get(), Some(&begun.key));
}

struct Excluding;

impl Workspaces for Excluding {
    fn resolve(&mut self, _cwd: &str) -> Workspace {
        Workspace { project: None, excluded: true }
    }
}

#[test]
fn bad_events_and_excluded_projects_tell_nothing() {
    for decode in [codex::decode_hook as Decode, gemini_cli::decode_hook] {
        for bad in ["", "[]", "{}", "{\"session_id\":\"s\"}", "{\"hook_event_name\":\"Stop\"}", "{\"session_id\":1"] {
            let verdict = decode(bad.as_bytes(), AT, &mut AsTold, &mut |fact| panic!("{fact:?}"));
            assert!(matches!(verdict, HookVerdict::Malformed(_)), "{bad} {verdict:?}");
        }
        let event = json!({ "session_id": "s", "hook_event_name": "SessionEnd", "cwd": "/p" }).to_string();
        assert_eq!(decode(event.as_bytes(), AT, &mut Excluding, &mut |fact| panic!("{fact:?}")), HookVerdict::Excluded);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, at: i64) {
        for decode in [codex::decode_hook as Decode, gemini_cli::decode_hook] {
            decode(&bytes, at, &mut AsTold, &mut |_| {});
        }
    }
}
