//! OpenCode, Pi, GitHub Copilot CLI and Qwen Code, as the real clients wrote it against a stand-in that logged what it answered with: requests of 9000, 9500 and
//! 9800 input tokens (4000, 9000 and 9216 of them cached) and 80, 70 and 33 output tokens (30, 0 and 11 of them reasoning).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ducat_capture::opencode::{Row, RowOf, decode_row};
use ducat_capture::otlp::{Dimensions, Memory, Surroundings, decode_logs};
use ducat_capture::{Agent, AsTold, Detail, FileState, LineVerdict, Workspace, Workspaces, decode_document};
use ducat_ledger::{Billing, Fact, Key, Outcome, Request, ToolCall};
use serde_json::Value;

fn fixture(name: &str) -> (PathBuf, Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn lines(agent: Agent, bytes: &[u8], workspaces: &mut dyn Workspaces) -> Vec<Fact> {
    let mut state = FileState::of(agent, Path::new("x/events.jsonl"));
    let mut facts = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let verdict = state.decode_line(line, workspaces, Detail::All, &mut |fact| facts.push(fact));
        assert!(!matches!(verdict, LineVerdict::Unreadable(_)), "{verdict:?}: {}", String::from_utf8_lossy(line));
    }
    facts
}

fn document(bytes: &[u8]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let verdict =
        decode_document(Agent::OpenCode, bytes, Path::new("x.json"), &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    assert_eq!(verdict, LineVerdict::Decoded);
    facts
}

fn requests(facts: &[Fact]) -> Vec<Request> {
    let mut requests = BTreeMap::<Key, Request>::new();
    for fact in facts {
        if let Fact::Request(request) = fact {
            requests.entry(request.key).and_modify(|known| _ = known.join(request)).or_insert_with(|| request.clone());
        }
    }
    let mut requests: Vec<_> = requests.into_values().collect();
    requests.sort_by_key(|request| request.started_at.get().copied());
    requests
}

fn calls(facts: &[Fact]) -> Vec<(String, Option<Outcome>, Option<String>)> {
    let mut calls = BTreeMap::<Key, ToolCall>::new();
    for fact in facts {
        if let Fact::ToolCall(call) = fact {
            calls.entry(call.key).and_modify(|known| _ = known.join(call)).or_insert_with(|| call.clone());
        }
    }
    let mut calls: Vec<_> = calls.into_values().collect();
    calls.sort_by(|one, other| one.id.cmp(&other.id));
    calls
        .iter()
        .map(|call| (call.name.get().unwrap().clone(), call.outcome.get().copied(), call.error_kind.get().cloned()))
        .collect()
}

/// Input, cache read, output, reasoning.
fn tokens(request: &Request) -> [u64; 4] {
    let usage = request.usage();
    [usage.input, usage.cache_read, usage.output, usage.reasoning]
}

const ANSWERED: [[u64; 4]; 3] = [[5000, 4000, 80, 30], [500, 9000, 70, 0], [584, 9216, 33, 11]];

#[test]
fn opencode_exports_input_without_cache_and_reasoning_beside_output() {
    let facts = document(&fixture("opencode/export-1.18.33.json").1);
    let requests = requests(&facts);
    assert_eq!(requests.iter().map(tokens).collect::<Vec<_>>(), ANSWERED);
    assert_eq!(requests[0].reported_cost_nano.get(), Some(&14_700_000));
    assert_eq!(requests[0].provider.get().map(String::as_str), Some("mock"));
    let ended = |name: &str, outcome, kind: Option<&str>| (name.to_owned(), Some(outcome), kind.map(str::to_owned));
    assert_eq!(
        calls(&facts),
        [
            ended("bash", Outcome::Ok, None),
            ended("read", Outcome::Error, Some("not_found")),
            ended("bash", Outcome::Error, Some("exit_code"))
        ]
    );
    let turns: Vec<_> = facts.iter().filter_map(|fact| if let Fact::Turn(turn) = fact { Some(turn) } else { None }).collect();
    assert_eq!((turns.len(), turns[0].prompt_bytes.get()), (1, Some(&7)));
}

#[test]
fn opencode_tells_the_same_from_export_files_and_rows() {
    let (_, bytes) = fixture("opencode/export-1.18.33.json");
    let told = requests(&document(&bytes));
    let export: Value = serde_json::from_slice(&bytes).unwrap();
    let (mut files, mut rows) = (Vec::new(), Vec::new());
    for message in export["messages"].as_array().unwrap() {
        let info = &message["info"];
        if info["role"] == "assistant" {
            files.extend(document(info.to_string().as_bytes()));
        }
        let mut data = info.clone();
        data.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "sessionID");
        let (id, data) = (info["id"].as_str().unwrap(), data.to_string());
        let row = Row {
            session: info["sessionID"].as_str().unwrap(),
            directory: None,
            is_subagent: false,
            of: RowOf::Message { id, data: &data },
        };
        decode_row(&row, &mut AsTold, Detail::All, &mut |fact| rows.push(fact));
    }
    assert_eq!(requests(&files), told);
    assert_eq!(requests(&rows), told);
}

#[test]
fn an_opencode_forks_copy_counts_in_its_parent() {
    let (_, bytes) = fixture("opencode/export-1.18.33.json");
    let mut export: Value = serde_json::from_slice(&bytes).unwrap();
    export["info"]["id"] = "ses_dee3e0925ffeiK3eE9YhthtXU1".into();
    for (message, id) in export["messages"].as_array_mut().unwrap().iter_mut().zip(["e5", "f93", "f94", "f95"]) {
        message["info"]["id"] = format!("msg_{:0<12}D0Rx9i30iJHH", format!("211c1{id}4")).replace("211c1e5", "211c1fe5").into();
    }
    let mut facts = Vec::new();
    let copy = export.to_string();
    decode_document(Agent::OpenCode, copy.as_bytes(), Path::new("x.json"), &mut AsTold, Detail::All, &mut |fact| {
        facts.push(fact)
    });
    assert!(requests(&facts).is_empty());
    assert!(calls(&facts).is_empty());
}

#[test]
fn an_opencode_before_totals_has_reasoning_in_output_unless_google_answered() {
    let told = |provider: &str| {
        let message = format!(
            r#"{{"id":"msg_1","sessionID":"ses_1","role":"assistant","providerID":"{provider}","modelID":"m","time":{{"created":1}},
            "cost":0,"tokens":{{"input":10,"output":50,"reasoning":20,"cache":{{"read":5,"write":0}}}}}}"#
        );
        requests(&document(message.as_bytes())).remove(0)
    };
    assert_eq!(tokens(&told("openai")), [10, 5, 50, 20]);
    assert_eq!(tokens(&told("google")), [10, 5, 70, 20]);
    assert_eq!(told("openai").reported_cost_nano.get(), None, "a cost of 0 tells nothing");
    assert_eq!(told("github-copilot").billing.get(), Some(&Billing::Credits));
    assert_eq!(told("ollama").billing.get(), Some(&Billing::Local));
}

#[test]
fn pi_tells_input_without_cache_and_output_with_reasoning() {
    let facts = lines(Agent::Pi, &fixture("pi/session-0.73.1.jsonl").1, &mut AsTold);
    let requests = requests(&facts);
    let without_reasoning = ANSWERED.map(|[input, cached, output, _]| [input, cached, output, 0]);
    assert_eq!(requests.iter().map(tokens).collect::<Vec<_>>(), without_reasoning);
    assert_eq!(requests[0].reported_cost_nano.get(), Some(&14_700_000));
    assert!(requests[0].id.starts_with("chatcmpl-"));
    assert_eq!(requests[0].duration_ms.get(), Some(&23));
    let outcomes: Vec<_> = calls(&facts).into_iter().map(|(_, outcome, kind)| (outcome.unwrap(), kind)).collect();
    let kind = |kind: &str| Some(kind.to_owned());
    assert_eq!(outcomes, [(Outcome::Ok, None), (Outcome::Error, kind("not_found")), (Outcome::Error, kind("exit_code"))]);
}

/// Ollama draws its ids from 999.
#[test]
fn a_short_response_id_of_pi_names_one_request_of_its_entry_only() {
    let line = |entry: &str| {
        format!(
            r#"{{"type":"message","id":"{entry}","timestamp":"2026-11-24T10:00:00.000Z","message":{{"role":"assistant","responseId":"chatcmpl-417","provider":"ollama","model":"m","usage":{{"input":1,"output":1,"cacheRead":0,"cacheWrite":0}},"timestamp":1795514400000}}}}"#
        )
    };
    let facts = lines(Agent::Pi, [line("a1"), line("b2"), line("a1")].join("\n").as_bytes(), &mut AsTold);
    let ids: Vec<_> = requests(&facts).into_iter().map(|request| request.id).collect();
    assert_eq!(ids, ["a1/1795514400000/chatcmpl-417", "b2/1795514400000/chatcmpl-417"]);
}

#[test]
fn copilot_tells_every_request_by_its_record_and_nothing_twice() {
    let facts = lines(Agent::CopilotCli, &fixture("copilot-cli/events-1.0.102.jsonl").1, &mut AsTold);
    let requests = requests(&facts);
    assert_eq!(requests.iter().map(tokens).collect::<Vec<_>>(), [ANSWERED, ANSWERED].concat());
    assert!(requests.iter().all(|request| request.is_sum.is_untold() && request.billing.is_untold()), "its own provider");
    assert_eq!(requests[0].ttft_ms.get(), Some(&30));
}

#[test]
fn older_copilots_tell_sums_at_shutdown_each_in_its_way() {
    // Until 1.0.62 since the resume, later since the beginning: both ran twice, with the same requests.
    for version in ["1.0.40", "1.0.70"] {
        let facts = lines(Agent::CopilotCli, &fixture(&format!("copilot-cli/events-{version}.jsonl")).1, &mut AsTold);
        let requests = requests(&facts);
        let sum = [6084, 22216, 183, 41];
        assert_eq!(requests.iter().map(tokens).collect::<Vec<_>>(), [sum, sum], "{version}");
        assert!(requests.iter().all(|request| request.is_sum.get() == Some(&true) && request.is_unlogged()));
        assert_eq!(requests[0].billing.get(), Some(&Billing::Credits));
        assert_eq!(calls(&facts).len(), 6);
    }
}

#[test]
fn qwen_code_tells_every_answer_by_its_id_and_how_calls_ended() {
    let (path, bytes) = fixture("qwen-code/chat-0.15.10.jsonl");
    assert_eq!(Agent::of_file(&path, &bytes), Some(Agent::QwenCode));
    let facts = lines(Agent::QwenCode, &bytes, &mut AsTold);
    let told = requests(&facts);
    assert_eq!(told.iter().map(tokens).collect::<Vec<_>>(), ANSWERED);
    assert_eq!(told[0].id, "chatcmpl-mock35d39c16b6000001");
    assert!(told.iter().all(|request| request.turn.get().is_some() && request.duration_ms.get().is_some()));
    let ended = |name: &str, outcome, kind: Option<&str>| (name.to_owned(), Some(outcome), kind.map(str::to_owned));
    assert_eq!(
        calls(&facts),
        [
            ended("run_shell_command", Outcome::Ok, None),
            ended("read_file", Outcome::Error, Some("not_found")),
            ended("run_shell_command", Outcome::Error, Some("exit_code"))
        ]
    );
    let of = |fact: &Fact| if let Fact::Turn(turn) = fact { turn.prompt_bytes.get().copied() } else { None };
    assert_eq!(facts.iter().filter_map(of).collect::<Vec<_>>(), [5]);
    // Without the telemetry in it, messages tell the same.
    let text = String::from_utf8(bytes).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("ui_telemetry")).collect();
    let messages = requests(&lines(Agent::QwenCode, without.join("\n").as_bytes(), &mut AsTold));
    assert_eq!(messages.iter().map(tokens).collect::<Vec<_>>(), ANSWERED);
}

#[test]
fn qwen_code_telemetry_tells_the_answers_of_its_chat() {
    let chat = requests(&lines(Agent::QwenCode, &fixture("qwen-code/chat-0.15.10.jsonl").1, &mut AsTold));
    let (memory, dimensions) = (Memory::default(), Dimensions::default());
    let now = 1_795_700_000_000;
    let around = Surroundings { memory: &memory, dimensions: &dimensions, now };
    let mut facts = Vec::new();
    for export in fixture("qwen-code/logs-0.15.10.jsonl").1.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        decode_logs(&serde_json::from_slice(export).unwrap(), &around, &mut |fact| facts.push(fact));
    }
    let told = requests(&facts);
    assert_eq!(told.iter().map(tokens).collect::<Vec<_>>(), ANSWERED);
    assert_eq!(
        told.iter().map(|request| request.key).collect::<Vec<_>>(),
        chat.iter().map(|request| request.key).collect::<Vec<_>>()
    );
    let mut ended: Vec<_> = calls(&facts).into_iter().map(|(name, outcome, _)| (name, outcome)).collect();
    ended.sort();
    // Whether a shell's command failed it does not say.
    let shell = || ("run_shell_command".to_owned(), None);
    assert_eq!(ended, [("read_file".to_owned(), Some(Outcome::Error)), shell(), shell()]);
}

#[test]
fn a_qwen_code_fork_counts_what_it_copied_in_its_parent() {
    let (_, bytes) = fixture("qwen-code/chat-0.15.10.jsonl");
    let parent = lines(Agent::QwenCode, &bytes, &mut AsTold);
    let text = String::from_utf8(bytes).unwrap().replace("64169137", "aaaaaaaa");
    let copy =
        text.replace("\"parentUuid\"", r#""forkedFrom":{"sessionId":"64169137-3306-46a2-8629-7980a183fe84"},"parentUuid""#);
    let fork = lines(Agent::QwenCode, copy.as_bytes(), &mut AsTold);
    let all = [parent.clone(), fork.clone()].concat();
    assert_eq!(requests(&all).len(), 3);
    assert_eq!(calls(&all).len(), 3);
    let opened = |facts: &[Fact]| {
        let of = |fact: &Fact| if let Fact::Session(session) = fact { session.opened_at.get().copied() } else { None };
        facts.iter().find_map(of)
    };
    assert_eq!((opened(&parent), opened(&fork)), (Some(1_795_616_161_694), None), "it wrote nothing of its own yet");
}

#[test]
fn excluded_places_tell_nothing() {
    struct Nowhere;
    impl Workspaces for Nowhere {
        fn resolve(&mut self, _: &str) -> Workspace {
            Workspace { project: None, excluded: true }
        }
    }
    assert!(lines(Agent::Pi, &fixture("pi/session-0.73.1.jsonl").1, &mut Nowhere).is_empty());
    assert!(lines(Agent::CopilotCli, &fixture("copilot-cli/events-1.0.102.jsonl").1, &mut Nowhere).is_empty());
    assert!(lines(Agent::QwenCode, &fixture("qwen-code/chat-0.15.10.jsonl").1, &mut Nowhere).is_empty());
    let (path, bytes) = fixture("opencode/export-1.18.33.json");
    let mut facts = 0;
    decode_document(Agent::OpenCode, &bytes, &path, &mut Nowhere, Detail::All, &mut |_| facts += 1);
    assert_eq!(facts, 0);
}

#[test]
fn hostile_bytes_are_refused_or_tell_nothing() {
    let deep = "[".repeat(200_000);
    let hostile = [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "\u{0}",
        r#"{"type":"message"}"#,
        r#"{"type":"message","message":{"role":"assistant","usage":7}}"#,
        r#"{"type":"session.shutdown","id":"x","data":{"modelMetrics":{"m":{"usage":{"inputTokens":-1,"outputTokens":1e99}}}}}"#,
        r#"{"type":"session.usage_record","data":{"usage":{"apiCallId":"x","inputTokens":1,"cacheReadTokens":99}}}"#,
        r#"{"info":{"id":7},"messages":[1,{"info":[]},{"parts":{}},{"info":{"id":"msg_","role":"assistant","tokens":"many"}}]}"#,
        &deep,
    ];
    for text in hostile {
        for agent in Agent::ALL {
            let mut state = FileState::of(agent, Path::new("/"));
            state.decode_line(text.as_bytes(), &mut AsTold, Detail::All, &mut |_| {});
            decode_document(agent, text.as_bytes(), Path::new("/"), &mut AsTold, Detail::All, &mut |_| {});
        }
    }
    let mut state = FileState::of(Agent::CopilotCli, Path::new("/"));
    let mut told = Vec::new();
    state.decode_line(hostile[9].as_bytes(), &mut AsTold, Detail::All, &mut |fact| told.push(fact));
    let request = requests(&told).remove(0);
    assert_eq!((request.input_tokens.get(), request.cache_read_tokens.get()), (Some(&1), None), "a part larger than its whole");
}

#[test]
fn words_of_documents_in_a_prompt_make_no_lines_another_agents() {
    let prompt = r#"{"type":"user","message":{"content":"{ \"tokenUsage\" \"cacheCreationTokens\" \"thinkingTokens\" }"},"id":"T-1","messages":1,
        "updated_at":1,"agent":1,"sessionId":"ses_1","tokenUsage":1,"cacheCreationTokens":1,"thinkingTokens":1,"projectID":1}"#;
    assert_eq!(Agent::of_file(Path::new("/x/a.jsonl"), prompt.as_bytes()), Some(Agent::ClaudeCode));
    assert_eq!(Agent::of_file(Path::new("/x/a.csv"), prompt.as_bytes()), None);
}
