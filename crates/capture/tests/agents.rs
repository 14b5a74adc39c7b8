//! Codex's and Gemini CLI's transcripts: what of them counts, and that no damage panics.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use ducat_capture::{Agent, AsTold, Detail, FileState, LineVerdict, decode_document};
use ducat_ledger::{Fact, Outcome, Request, ToolCall};
use proptest::prelude::*;

const ROLLOUT: [&str; 7] = [
    r#"{"timestamp":"2026-11-24T02:45:35.264Z","type":"session_meta","payload":{"id":"a","timestamp":"2026-11-24T02:45:35.234Z","cwd":"/app","cli_version":"0.118.0","source":"cli","model_provider":"openai"}}"#,
    r#"{"timestamp":"2026-11-24T02:45:36Z","type":"turn_context","payload":{"turn_id":"t1","cwd":"/app","model":"gpt-5.4","effort":"high"}}"#,
    r#"{"timestamp":"2026-11-24T02:45:37Z","type":"response_item","payload":{"type":"function_call","name":"exec_command","arguments":"{}","call_id":"c1"}}"#,
    r#"{"timestamp":"2026-11-24T02:45:38Z","type":"response_item","payload":{"type":"function_call_output","call_id":"c1","output":"Chunk ID: 1\nProcess exited with code 3\nOutput:\n"}}"#,
    r#"{"timestamp":"2026-11-24T02:45:39Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":100,"cached_input_tokens":40,"output_tokens":9,"reasoning_output_tokens":4},"last_token_usage":{"input_tokens":100,"cached_input_tokens":40,"output_tokens":9,"reasoning_output_tokens":4}}}}"#,
    r#"{"timestamp":"2026-11-24T02:45:40Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":100,"cached_input_tokens":40,"output_tokens":9,"reasoning_output_tokens":4},"last_token_usage":{"input_tokens":100,"cached_input_tokens":40,"output_tokens":9,"reasoning_output_tokens":4}}}}"#,
    r#"{"timestamp":"2026-11-24T02:45:41Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":190,"cached_input_tokens":40,"output_tokens":20,"reasoning_output_tokens":4},"last_token_usage":{"input_tokens":70,"cached_input_tokens":0,"output_tokens":6,"reasoning_output_tokens":0}}}}"#,
];

const CHAT: [&str; 3] = [
    r#"{"sessionId":"g","projectHash":"bb97","startTime":"2026-11-24T02:47:33.001Z","lastUpdated":"2026-11-24T02:47:33.001Z","kind":"main"}"#,
    r#"{"id":"m1","timestamp":"2026-11-24T02:47:33.149Z","type":"gemini","content":"x","tokens":{"input":7000,"output":40,"cached":1000,"thoughts":100,"tool":5,"total":7145},"model":"gemini-2.5-pro"}"#,
    r#"{"id":"m1","timestamp":"2026-11-24T02:47:33.149Z","type":"gemini","content":"x","tokens":{"input":7000,"output":40,"cached":1000,"thoughts":100,"tool":5,"total":7145},"model":"gemini-2.5-pro","toolCalls":[{"id":"c","name":"read_file","args":{},"result":[],"status":"cancelled","timestamp":"2026-11-24T02:47:33.220Z"}]}"#,
];

#[test]
fn whose_a_file_is_says_its_head_and_no_words_in_it() {
    let of = |head: &str| Agent::of_file(Path::new("/from/some.jsonl"), head.as_bytes());
    assert_eq!(of(&CHAT.join("\n")), Some(Agent::GeminiCli));
    assert_eq!(of(r#"{"sessionId":"g","projectHash":"bb97","messages":[{"id":"cut off"#), Some(Agent::GeminiCli));
    let told = r#"{"sessionId":"s","type":"assistant","message":{"content":[{"type":"tool_use","input":{"pattern":"projectHash","projectHash":1}}]}}"#;
    assert_eq!(of(told), Some(Agent::ClaudeCode));
}

fn decode(agent: Agent, lines: &[&str]) -> (Vec<Request>, Vec<ToolCall>) {
    let mut state = FileState::of(agent, Path::new("/h/chats/session-x.jsonl"));
    let (mut requests, mut calls): (Vec<Request>, Vec<ToolCall>) = (Vec::new(), Vec::new());
    for line in lines {
        // As a cursor keeps it.
        state = FileState::kept(&state.keep()).unwrap();
        state.decode_line(line.as_bytes(), &mut AsTold, Detail::All, &mut |fact| match fact {
            Fact::Request(told) => match requests.iter_mut().find(|known| known.key == told.key) {
                Some(known) => drop(known.join(&told)),
                None => requests.push(told),
            },
            Fact::ToolCall(told) => match calls.iter_mut().find(|known| known.key == told.key) {
                Some(known) => drop(known.join(&told)),
                None => calls.push(told),
            },
            _ => {}
        });
    }
    (requests, calls)
}

fn counts(request: &Request) -> [u64; 4] {
    let usage = request.usage();
    [usage.input, usage.cache_read, usage.output, usage.reasoning]
}

#[test]
fn a_rollout_counts_what_its_total_grew_by() {
    let (requests, calls) = decode(Agent::Codex, &ROLLOUT);
    let figures: Vec<_> = requests.iter().map(counts).collect();
    // The second total is told again; the third grew by 90 where 70 were logged.
    assert_eq!(figures, [[60, 40, 9, 4], [70, 0, 6, 0], [20, 0, 5, 0]]);
    assert_eq!(requests[2].query_source.get().unwrap(), "unlogged");
    assert_eq!(requests[0].model.get().unwrap(), "gpt-5.4");
    assert_eq!(requests[0].effort.get().unwrap(), "high");
    assert_eq!(calls[0].outcome.get(), Some(&Outcome::Error));
    assert_eq!(calls[0].duration_ms(), Some(1000));
}

#[test]
fn a_forks_copies_are_its_parents() {
    let (parents, _) = decode(Agent::Codex, &ROLLOUT);
    let head = ROLLOUT[0].replace("\"id\":\"a\"", "\"id\":\"b\",\"forked_from_id\":\"a\"");
    let mut lines = vec![head.as_str()];
    // Copied lines get the time of copying.
    let copied: Vec<String> = ROLLOUT.iter().map(|line| line.replace("02:45", "03:45")).collect();
    lines.extend(copied.iter().map(String::as_str));
    let (copies, _) = decode(Agent::Codex, &lines);
    let keys = |requests: &[Request]| requests.iter().map(|request| request.key).collect::<Vec<_>>();
    assert_eq!(keys(&copies), keys(&parents));
    assert_ne!(copies[0].holders, parents[0].holders);
}

/// The oldest clients' turns have no ids; two threads may begin with the same counts.
#[test]
fn calls_of_turns_without_ids_are_of_their_thread_and_a_forks_copies_of_the_parents() {
    let bare: Vec<String> = ROLLOUT.iter().map(|line| line.replace("\"turn_id\":\"t1\",", "")).collect();
    assert!(!bare.concat().contains("turn_id"), "{bare:?}");
    let keys = |heads: &[(&str, &str)]| {
        let head = |(id, from): &(&str, &str)| bare[0].replace("\"id\":\"a\"", &format!("\"id\":\"{id}\"{from}"));
        let lines: Vec<String> = heads.iter().map(head).chain(bare[1..].iter().cloned()).collect();
        let (requests, _) = decode(Agent::Codex, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        requests.iter().map(|request| request.key).collect::<Vec<_>>()
    };
    let parents = keys(&[("a", "")]);
    let others = keys(&[("c", "")]);
    assert!(parents.iter().all(|key| !others.contains(key)));
    assert_eq!(keys(&[("b", ",\"forked_from_id\":\"a\""), ("a", "")]), parents);
}

#[test]
fn a_record_counts_by_its_response_id_and_its_total_once() {
    let record = r#"{"timestamp":"2026-11-24T02:45:38.5Z","type":"token_usage_record","payload":{"turn_id":"t1","response_id":"resp_1","usage":{"input_tokens":100,"cached_input_tokens":40,"output_tokens":9,"reasoning_output_tokens":4},"thread_token_usage":{"input_tokens":100,"cached_input_tokens":40,"output_tokens":9,"reasoning_output_tokens":4}}}"#;
    let (requests, _) = decode(Agent::Codex, &[ROLLOUT[0], ROLLOUT[1], record, ROLLOUT[4], ROLLOUT[5]]);
    assert_eq!(requests.iter().map(|request| request.id.as_str()).collect::<Vec<_>>(), ["resp_1"]);
    assert_eq!(counts(&requests[0]), [60, 40, 9, 4]);
}

#[test]
fn a_chats_message_counts_once() {
    let (requests, calls) = decode(Agent::GeminiCli, &CHAT);
    assert_eq!(requests.iter().map(counts).collect::<Vec<_>>(), [[6005, 1000, 140, 100]]);
    assert_eq!((calls[0].outcome.get(), calls[0].request.get()), (Some(&Outcome::Interrupted), Some(&requests[0].key)));
    let document = format!(r#"{{"sessionId":"g","projectHash":"bb97","messages":[{},{}]}}"#, CHAT[1], CHAT[2]);
    let mut told = Vec::new();
    let path = Path::new("/h/chats/session-x.json");
    decode_document(Agent::GeminiCli, document.as_bytes(), path, &mut AsTold, Detail::Requests, &mut |fact| {
        if let Fact::Request(request) = fact {
            told.push(request.key);
        }
    });
    assert_eq!(told, [requests[0].key; 2]);
}

#[test]
fn agents_are_told_by_their_files() {
    let of = |path: &str, head: &str| Agent::of_file(Path::new(path), head.as_bytes());
    assert_eq!(of("/x/rollout-1.jsonl", ""), Some(Agent::Codex));
    assert_eq!(of("/x/a.jsonl", ROLLOUT[0]), Some(Agent::Codex));
    assert_eq!(of("/x/a.jsonl", CHAT[0]), Some(Agent::GeminiCli));
    assert_eq!(of("/x/a.json", "{\n \"sessionId\": \"a\",\n \"projectHash\": \"b\""), Some(Agent::GeminiCli));
    assert_eq!(of("/x/a.jsonl", "{damaged"), Some(Agent::ClaudeCode));
    assert_eq!(of("/x/package.json", "{\"name\":\"x\"}"), None);
}

fn try_all(bytes: &[u8]) {
    for agent in Agent::ALL {
        let mut state = FileState::of(agent, Path::new("x"));
        state.decode_line(bytes, &mut AsTold, Detail::All, &mut |_| {});
        decode_document(agent, bytes, Path::new("x"), &mut AsTold, Detail::All, &mut |_| {});
    }
}

#[test]
fn too_deep_is_refused() {
    let deep = format!("{{\"type\":\"event_msg\",\"payload\":{}", "[".repeat(200_000));
    for agent in [Agent::Codex, Agent::GeminiCli] {
        let mut state = FileState::of(agent, Path::new("x"));
        let verdict = state.decode_line(deep.as_bytes(), &mut AsTold, Detail::All, &mut |_| {});
        assert_eq!(verdict, LineVerdict::Unreadable("nested too deep"));
    }
}

proptest! {
    #[test]
    fn damage_never_panics(which in 0..ROLLOUT.len() + CHAT.len(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut line = ROLLOUT.iter().chain(&CHAT).nth(which).unwrap().as_bytes().to_vec();
        for (place, byte) in damage {
            let place = place.index(line.len());
            line[place] = byte;
        }
        try_all(&line);
        line.truncate(cut.index(line.len()));
        try_all(&line);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_all(&bytes);
    }
}

/// Files that Gemini CLI keeps beside its chats.
#[test]
fn of_gemini_s_files_only_chats_are_chats() {
    let takes = |path: &str| Agent::GeminiCli.takes(Path::new(path));
    assert!(takes("/h/.gemini/tmp/proj/chats/session-2026-11-25T14-35-cbb34314.jsonl"));
    assert!(takes("/h/.gemini/tmp/4bc0/chats/session-2026-01-25T14-35-cbb34314.json"));
    let checkpoint = "/h/.gemini/tmp/4bc0/checkpoints/2026-11-25T14-35-00_000Z-notes.txt-write_file.json";
    for path in
        ["/h/.gemini/projects.json", "/h/.gemini/tmp/4bc0/logs.json", "/h/.gemini/tmp/4bc0/checkpoint-tag.json", checkpoint]
    {
        assert!(!takes(path), "{path}");
    }
    // Wherever they lie, by how they begin.
    for head in [
        r#"{"projects":{"/tmp/app":"app"}}"#,
        r#"[{"sessionId":"a","messageId":0,"type":"user","message":"do it"}]"#,
        r#"{"history":[{"role":"user","parts":[{"text":"the \"sessionId\" and the projectHash"}]}],"authType":"gemini-api-key"}"#,
        r#"{"history":[],"clientHistory":[],"toolCall":{"name":"write_file","args":{}},"commitHash":"c5ff"}"#,
    ] {
        assert_eq!(Agent::of_file(Path::new("/backup/file.json"), head.as_bytes()), None, "{head}");
    }
}
