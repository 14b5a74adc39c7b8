//! Hook events of the real client against its own transcripts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ducat_capture::claude_code::{FileState, HookVerdict, decode_hook, decode_line};
use ducat_capture::{AsTold, Workspace, Workspaces};
use ducat_capture::{Detail, LineVerdict};
use ducat_ledger::{Fact, IncidentKind, Key, ToolCall, Turn};
use proptest::prelude::*;
use serde_json::json;

const NOW: i64 = 1_780_000_000_000;

fn events() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude-code-2.1.197");
    ["json", "protobuf", "resumed"]
        .iter()
        .flat_map(|name| {
            let text = fs::read_to_string(folder.join(format!("hooks-{name}.jsonl"))).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

fn decode(payload: &[u8], at: i64) -> (HookVerdict, Vec<Fact>) {
    let mut facts = Vec::new();
    let verdict = decode_hook(payload, at, &mut AsTold, &mut |fact| facts.push(fact));
    (verdict, facts)
}

#[derive(Debug, Default, PartialEq)]
struct Known {
    calls: BTreeMap<Key, ToolCall>,
    turns: BTreeMap<Key, Turn>,
    sessions: BTreeSet<Key>,
}

impl Known {
    fn believe(&mut self, fact: Fact) {
        match fact {
            Fact::ToolCall(told) => drop(self.calls.entry(told.key).or_insert_with(|| told.clone()).join(&told)),
            Fact::Turn(told) => drop(self.turns.entry(told.key).or_insert_with(|| told.clone()).join(&told)),
            Fact::Session(told) => drop(self.sessions.insert(told.key)),
            _ => {}
        }
    }

    fn of(events: &[String], change: impl Fn(&str) -> Vec<u8>) -> Self {
        let mut known = Self::default();
        for (place, event) in events.iter().enumerate() {
            let (verdict, facts) = decode(&change(event), NOW + place as i64);
            assert!(matches!(verdict, HookVerdict::Decoded | HookVerdict::NoFacts), "{verdict:?}: {event}");
            facts.into_iter().for_each(|fact| known.believe(fact));
        }
        known
    }

    fn of_transcripts() -> Self {
        let mut known = Self::default();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude-code-2.1.197/projects/-home-dev-proj");
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                    let mut state = FileState::of(&path);
                    for line in fs::read_to_string(&path).unwrap().lines() {
                        let verdict =
                            decode_line(line.as_bytes(), &mut state, &mut AsTold, Detail::All, &mut |fact| known.believe(fact));
                        assert!(!matches!(verdict, LineVerdict::Unreadable(_)));
                    }
                }
            }
        }
        known
    }
}

fn whole(event: &str) -> Vec<u8> {
    event.as_bytes().to_vec()
}

#[test]
fn hooks_tell_the_calls_and_turns_that_the_transcripts_tell() {
    let (hooks, transcripts) = (Known::of(&events(), whole), Known::of_transcripts());
    assert_eq!(hooks.calls.keys().collect::<Vec<_>>(), transcripts.calls.keys().collect::<Vec<_>>());
    assert_eq!(hooks.turns.keys().collect::<Vec<_>>(), transcripts.turns.keys().collect::<Vec<_>>());
    assert_eq!(hooks.sessions, transcripts.sessions);
    for (key, call) in &hooks.calls {
        let other = &transcripts.calls[key];
        assert_eq!((call.name.get(), call.outcome.get()), (other.name.get(), other.outcome.get()), "{}", call.id);
        assert_eq!((call.error_kind.get(), call.target.get()), (other.error_kind.get(), other.target.get()), "{}", call.id);
        assert_eq!((call.turn.get(), call.subagent.get()), (other.turn.get(), other.subagent.get()), "{}", call.id);
        assert_eq!(call.input_bytes.get(), other.input_bytes.get(), "{}", call.id);
    }
    for (key, turn) in &hooks.turns {
        assert_eq!(turn.prompt_bytes.get(), transcripts.turns[key].prompt_bytes.get());
        assert!(turn.ended_at.is_told());
    }
}

#[test]
fn redacted_events_tell_the_same_but_what_an_error_said() {
    let (whole, redacted) = (Known::of(&events(), whole), Known::of(&events(), |event| ducat_spool::redact(event.as_bytes())));
    assert_eq!(whole.turns, redacted.turns);
    assert_eq!(whole.calls.keys().collect::<Vec<_>>(), redacted.calls.keys().collect::<Vec<_>>());
    for (key, call) in &whole.calls {
        let (mut call, mut other) = (call.clone(), redacted.calls[key].clone());
        for told in [&mut call, &mut other] {
            told.error_kind = Default::default();
            // That a call was refused stands in the text of a batch; the transcript tells it.
            if told.started_at.is_untold() {
                told.outcome = Default::default();
            }
        }
        assert_eq!(call, other);
    }
}

#[test]
fn a_session_starts_with_its_first_prompt_and_tells_its_end() {
    let event = |name: &str| json!({"session_id": "s", "cwd": "/a", "hook_event_name": name, "prompt_id": "p", "prompt": "hi", "reason": "other", "source": "startup"});
    assert_eq!(decode(event("SessionStart").to_string().as_bytes(), NOW), (HookVerdict::NoFacts, vec![]));
    let (_, facts) = decode(event("UserPromptSubmit").to_string().as_bytes(), NOW);
    assert!(matches!(&facts[..], [Fact::Session(session), Fact::Turn(turn)] if session.opened_at.get() == Some(&NOW)
        && turn.holders.iter().all(|holder| holder.live && holder.project.as_deref() == Some("/a"))));
    let (_, facts) = decode(event("SessionEnd").to_string().as_bytes(), NOW);
    assert!(
        matches!(&facts[..], [Fact::Session(session)] if session.ended_at.get() == Some(&NOW) && session.last_at.is_untold())
    );
    assert_eq!(decode(event("SomethingNew").to_string().as_bytes(), NOW).0, HookVerdict::NoFacts);
}

#[test]
fn the_rest_are_incidents() {
    for (name, kind) in [
        ("SubagentStart", IncidentKind::SubagentStart),
        ("SubagentStop", IncidentKind::SubagentStop),
        ("PreCompact", IncidentKind::CompactionAnnounced),
        ("PermissionRequest", IncidentKind::PermissionRequest),
    ] {
        let event = json!({"session_id": "s", "hook_event_name": name, "agent_id": "a", "agent_type": "Explore", "trigger": "auto", "tool_name": "Bash"});
        let (verdict, facts) = decode(event.to_string().as_bytes(), NOW);
        assert_eq!(verdict, HookVerdict::Decoded);
        assert!(
            facts.iter().any(|fact| matches!(fact, Fact::Incident(incident) if incident.kind.get() == Some(&kind))),
            "{name}"
        );
    }
}

#[test]
fn faults_name_the_field() {
    for (event, word) in [
        ("", "JSON"),
        ("[1]", "JSON"),
        ("{}", "hook_event_name"),
        (r#"{"hook_event_name":7,"session_id":"s"}"#, "hook_event_name"),
        (r#"{"hook_event_name":"Stop"}"#, "session_id"),
        (r#"{"hook_event_name":"PostToolUse","session_id":"s"}"#, "tool_use_id"),
    ] {
        let HookVerdict::Malformed(reason) = decode(event.as_bytes(), NOW).0 else { panic!("{event} was taken") };
        assert!(reason.contains(word), "{event}: {reason}");
    }
    assert!(matches!(decode(&[b'{', 0xff], NOW).0, HookVerdict::Malformed(_)));
    assert!(matches!(decode("[".repeat(1_000_000).as_bytes(), NOW).0, HookVerdict::Malformed(_)));
}

#[test]
fn excluded_projects_tell_nothing() {
    struct Excluded;
    impl Workspaces for Excluded {
        fn resolve(&mut self, _: &str) -> Workspace {
            Workspace { project: None, excluded: true }
        }
    }
    for event in events() {
        assert_eq!(decode_hook(event.as_bytes(), NOW, &mut Excluded, &mut |_| panic!("told")), HookVerdict::Excluded);
    }
}

proptest! {
    #[test]
    fn damaged_events_do_not_panic(which in 0_usize..40, at in 0_usize..4000, byte: u8, cut: bool) {
        let events = events();
        let mut bytes = events[which % events.len()].clone().into_bytes();
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        decode(&bytes, NOW);
        decode(&ducat_spool::redact(&bytes), NOW);
    }
}
