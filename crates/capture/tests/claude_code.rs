//! Captures of the real client: what it wrote down must be what the provider's side logged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use ducat_capture::AsTold;
use ducat_capture::claude_code::{FileState, decode_line};
use ducat_capture::{Detail, LineVerdict};
use ducat_ledger::{Fact, IncidentKind, Key, Outcome, Request, Session, ToolCall, Turn};
use ducat_prices::{NanoUsd, PriceQuery, PriceTable};
use proptest::prelude::*;

/// Facts joined by key, as any store does.
#[derive(Clone, Debug, Default, PartialEq)]
struct Ledger {
    requests: HashMap<Key, Request>,
    tool_calls: HashMap<Key, ToolCall>,
    turns: HashMap<Key, Turn>,
    sessions: HashMap<Key, Session>,
    incidents: Vec<IncidentKind>,
}

impl Ledger {
    fn believe(&mut self, fact: Fact) {
        fn join<T: Clone>(known: &mut HashMap<Key, T>, key: Key, told: T, join: impl Fn(&mut T, &T) -> bool) {
            match known.get_mut(&key) {
                Some(known) => drop(join(known, &told)),
                None => drop(known.insert(key, told)),
            }
        }
        match fact {
            Fact::Request(told) => join(&mut self.requests, told.key, told, Request::join),
            Fact::ToolCall(told) => join(&mut self.tool_calls, told.key, told, ToolCall::join),
            Fact::Turn(told) => join(&mut self.turns, told.key, told, Turn::join),
            Fact::Session(told) => join(&mut self.sessions, told.key, told, Session::join),
            Fact::Incident(told) => self.incidents.extend(told.kind.get()),
            Fact::Line(_) | Fact::Quota(_) => {}
        }
    }

    fn read(files: &[(PathBuf, Vec<String>)]) -> Self {
        let mut ledger = Self::default();
        for (path, lines) in files {
            let mut state = FileState::of(path);
            for line in lines {
                let verdict =
                    decode_line(line.as_bytes(), &mut state, &mut AsTold, Detail::All, &mut |fact| ledger.believe(fact));
                assert!(!matches!(verdict, LineVerdict::Unreadable(_)), "{verdict:?}: {line}");
            }
        }
        ledger
    }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/claude-code-2.1.197")
}

fn transcripts(folder: &Path) -> Vec<(PathBuf, Vec<String>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(transcripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
            files.push((path, lines));
        }
    }
    files.sort();
    files
}

fn captured() -> Ledger {
    Ledger::read(&transcripts(&fixture().join("projects")))
}

#[test]
fn requests_are_those_the_provider_answered_and_cost_what_the_client_says() {
    let ledger = captured();
    let prices = PriceTable::embedded();
    let mut sum = NanoUsd::ZERO;
    let log = fs::read_to_string(fixture().join("api.jsonl")).unwrap();
    for answer in log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        if answer["status"] != 200 {
            continue;
        }
        let id = answer["request_id"].as_str().unwrap();
        let request = ledger.requests.values().find(|request| request.id == id).unwrap_or_else(|| panic!("{id} is missing"));
        let usage = request.usage();
        let told = &answer["usage"];
        assert_eq!(told["input_tokens"], usage.input, "{id}");
        assert_eq!(told["output_tokens"], usage.output, "{id}");
        assert_eq!(told["cache_read_input_tokens"], usage.cache_read, "{id}");
        assert_eq!(told["cache_creation_input_tokens"], usage.cache_write_5m + usage.cache_write_1h, "{id}");
        let query = PriceQuery {
            model: request.model.get().unwrap(),
            at_unix_ms: *request.started_at.get().unwrap(),
            ..Default::default()
        };
        sum = sum.saturating_add(prices.cost(&query, &usage).amount().unwrap());
    }
    assert_eq!(sum, NanoUsd(236_355_000));
}

#[test]
fn tool_calls_end_as_the_model_was_told() {
    let ledger = captured();
    let calls: BTreeMap<&str, (&str, &str, &str)> = ledger
        .tool_calls
        .values()
        .filter(|call| call.id.starts_with("toolu_mockA0000"))
        .map(|call| {
            let outcome = call.outcome.get().unwrap().name();
            (call.id.as_str(), (call.name.get().unwrap().as_str(), outcome, call.error_kind.get().map_or("", String::as_str)))
        })
        .collect();
    let expected = BTreeMap::from([
        ("toolu_mockA000010", ("Read", "ok", "")),
        ("toolu_mockA000020", ("Bash", "ok", "")),
        ("toolu_mockA000021", ("Bash", "error", "exit_code")),
        ("toolu_mockA000030", ("Read", "ok", "")),
        ("toolu_mockA000031", ("Write", "ok", "")),
        ("toolu_mockA000032", ("Grep", "refused", "unknown_tool")),
        ("toolu_mockA000050", ("Edit", "ok", "")),
        ("toolu_mockA000060", ("Agent", "ok", "")),
        ("toolu_mockA000070", ("Bash", "ok", "")),
    ]);
    assert_eq!(calls, expected);
    let call = |id: &str| ledger.tool_calls.values().find(|call| call.id == id).unwrap();
    assert_eq!(call("toolu_mockA000010").target.get().unwrap(), "/home/dev/proj/notes.txt");
    assert_eq!(call("toolu_mockA000010").input_bytes.get(), Some(&(r#"{"file_path":"/home/dev/proj/notes.txt"}"#.len() as u64)));
    assert_eq!(call("toolu_mockA000010").result_bytes.get(), Some(&25));
    assert_eq!(call("toolu_mockA000070").subagent.get().unwrap(), "af7e700777bb2b82e");
    assert!(ledger.tool_calls.values().all(|call| call.started_at.get() <= call.ended_at.get() && call.request.is_told()));
}

#[test]
fn every_request_and_call_belongs_to_a_prompt() {
    let ledger = captured();
    assert!(ledger.requests.values().all(|request| ledger.turns.contains_key(request.turn.get().unwrap())));
    assert!(ledger.tool_calls.values().all(|call| ledger.turns.contains_key(call.turn.get().unwrap())));
    let first = ledger.turns.values().find(|turn| turn.id == "ac4923ab-2b1a-458c-a840-62550d2377ad").unwrap();
    assert_eq!(first.prompt_bytes.get(), Some(&("Read the notes and work on them".len() as u64)));
    for session in ledger.sessions.values() {
        assert_eq!(session.version.get().unwrap(), "2.1.197");
        assert!(session.started_at.get() < session.last_at.get());
    }
}

fn decoded(line: &str) -> Vec<Fact> {
    let mut facts = Vec::new();
    decode_line(line.as_bytes(), &mut FileState::default(), &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    facts
}

#[test]
fn what_is_no_prompt() {
    let line = |content: &str, more: &str| {
        format!(
            r#"{{"type":"user","sessionId":"s","uuid":"91be74e6-150a-40aa-9e40-2862066b760b",{more}"message":{{"role":"user","content":{content}}}}}"#
        )
    };
    let is_turn = |line: String| decoded(&line).iter().any(|fact| matches!(fact, Fact::Turn(_)));
    for content in [
        "\"hello\"",
        "[{\"type\":\"text\",\"text\":\"x\"}]",
        "[{\"type\":\"image\"}]",
        "\"<command-message>review</command-message>\"",
    ] {
        assert!(is_turn(line(content, "")), "{content}");
    }
    for content in [
        "\"<command-name>/exit</command-name>\"",
        "\"<local-command-stdout>Bye</local-command-stdout>\"",
        "[{\"type\":\"text\",\"text\":\"[Request interrupted by user for tool use]\"}]",
        "[{\"type\":\"tool_result\",\"tool_use_id\":\"t\"},{\"type\":\"text\",\"text\":\"and\"}]",
        "[]",
        "7",
    ] {
        assert!(!is_turn(line(content, "")), "{content}");
    }
    for flag in ["isMeta", "isSidechain", "isCompactSummary", "isVisibleInTranscriptOnly"] {
        assert!(!is_turn(line("\"hello\"", &format!("\"{flag}\":true,"))), "{flag}");
        assert!(is_turn(line("\"hello\"", &format!("\"{flag}\":false,"))), "{flag}");
    }
}

#[test]
fn how_calls_end() {
    let ended = |content: &str| {
        let line = format!(
            r#"{{"type":"user","sessionId":"s","message":{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","is_error":true,"content":{}}}]}},"toolUseResult":{{"durationMs":12}}}}"#,
            serde_json::to_string(content).unwrap()
        );
        let call = decoded(&line).into_iter().find_map(|fact| match fact {
            Fact::ToolCall(call) => Some(call),
            _ => None,
        });
        let call = call.unwrap();
        assert_eq!((call.duration_ms.get(), call.result_bytes.get()), (Some(&12), Some(&(content.len() as u64))));
        (*call.outcome.get().unwrap(), call.error_kind.get().unwrap().clone())
    };
    for (content, outcome, kind) in [
        ("Exit code 1\nno", Outcome::Error, "exit_code"),
        ("The user doesn't want to proceed with this tool use.", Outcome::Refused, "permission"),
        ("<tool_use_error>String to replace not found in file.</tool_use_error>", Outcome::Refused, "validation"),
        ("<tool_use_error>File does not exist.</tool_use_error>", Outcome::Refused, "not_found"),
        ("<tool_use_error>Sibling tool call errored</tool_use_error>", Outcome::Interrupted, "sibling"),
        ("[Request interrupted by user for tool use]", Outcome::Interrupted, "user"),
        ("ENOENT: no such file or directory, posix_spawn", Outcome::Error, "not_found"),
        ("screenshot failed: Screenshot timed out after 5 s", Outcome::Error, "timeout"),
        ("Pre-commit validation failed: é", Outcome::Error, "other"),
    ] {
        assert_eq!(ended(content), (outcome, kind.to_owned()), "{content}");
    }
}

#[test]
fn incidents() {
    let of = |line: &str| {
        let incident = decoded(line).into_iter().find_map(|fact| match fact {
            Fact::Incident(incident) => Some(incident),
            _ => None,
        });
        let incident = incident.unwrap();
        (*incident.kind.get().unwrap(), incident.value.get().copied(), incident.detail.get().cloned().unwrap_or_default())
    };
    let system =
        |rest: &str| of(&format!(r#"{{"type":"system","sessionId":"s","uuid":"u","timestamp":"2026-01-14T10:41:23Z",{rest}}}"#));
    assert_eq!(
        system(r#""subtype":"compact_boundary","compactMetadata":{"trigger":"auto","preTokens":155598}"#),
        (IncidentKind::Compaction, Some(155_598), "auto".to_owned())
    );
    assert_eq!(
        system(r#""subtype":"api_error","error":{"status":529,"error":{"type":"error","error":{"type":"overloaded_error"}}}"#),
        (IncidentKind::ApiError, Some(529), "overloaded_error".to_owned())
    );
    assert_eq!(
        of(r#"{"type":"assistant","uuid":"u","isApiErrorMessage":true,"message":{"model":"<synthetic>","usage":{}}}"#),
        (IncidentKind::SyntheticMessage, None, "api_error".to_owned())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn requests_and_calls_are_the_same_in_any_order_and_number(seed in any::<u64>(), again in 0_usize..30) {
        let mut files = transcripts(&fixture().join("projects"));
        let straight = Ledger::read(&files);
        for (_, lines) in &mut files {
            let repeated: Vec<String> = lines.iter().take(again).cloned().collect();
            lines.extend(repeated);
            // A shuffle by a linear congruential sequence: the seed is all that a failure needs.
            let mut state = seed;
            for place in (1..lines.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                lines.swap(place, (state >> 33) as usize % (place + 1));
            }
        }
        let shuffled = Ledger::read(&files);
        // Which turn a line belongs to depends on the order within its file; nothing else does.
        let unlinked = |ledger: &Ledger| {
            let mut ledger = ledger.clone();
            ledger.requests.values_mut().for_each(|request| request.turn = Default::default());
            ledger.tool_calls.values_mut().for_each(|call| call.turn = Default::default());
            ledger.incidents.clear();
            ledger
        };
        prop_assert_eq!(unlinked(&straight), unlinked(&shuffled));
    }
}
