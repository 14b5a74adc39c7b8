//! One session of each real client, with all that can tell of it on at once: what the provider answered, once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ducat_end_to_end::{Machine, Server, claude_code, codex, eventually, gemini_cli, qwen_code};
use serde_json::{Value, json};

/// Requests, and their tokens: input without cached, output with reasoning, cache read, cache written for five minutes and an hour.
type Sums = [u64; 6];

const NAMES: [&str; 6] =
    ["requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"];

fn sums(answers: &[Value], tokens: fn(&Value) -> [u64; 5]) -> Sums {
    answers.iter().fold([0; 6], |mut sums, answer| {
        sums[0] += 1;
        tokens(answer).iter().zip(&mut sums[1..]).for_each(|(tokens, sum)| *sum += tokens);
        sums
    })
}

fn qwen_sums(answers: &[Value]) -> Sums {
    sums(answers, |answer| {
        let cached = number(answer, "/usage/prompt_tokens_details/cached_tokens");
        [number(answer, "/usage/prompt_tokens") - cached, number(answer, "/usage/completion_tokens"), cached, 0, 0]
    })
}

fn number(answer: &Value, pointer: &str) -> u64 {
    answer.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// A session as the ledger has it, once it has these sums, and the witnesses of its requests and calls are at least these.
fn comes_to(server: &Server, expected: Sums, of_requests: &[&str], of_calls: &[&str]) -> Value {
    let look = || {
        let totals = &server.get_json("/api/v1/report")["totals"];
        let got = NAMES.map(|name| totals[name].as_u64().unwrap_or(0));
        let rows = server.get_json("/api/v1/sessions")["rows"].as_array().unwrap().clone();
        let [row] = rows.as_slice() else { return Err(format!("not one session: {rows:?}")) };
        let session = server.get_json(&format!("/api/v1/sessions/{}", row["session"].as_str().unwrap()));
        let heard = |kind: &str, wanted: &[&str]| {
            let facts = session[kind].as_array().unwrap();
            facts.iter().all(|fact| {
                let names: BTreeSet<&str> =
                    fact["witnesses"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
                wanted.iter().all(|name| names.contains(name))
            })
        };
        if got != expected || !heard("requests", of_requests) || !heard("tool_calls", of_calls) {
            return Err(format!("{NAMES:?} {got:?}, the provider answered {expected:?}: {session}"));
        }
        Ok(session)
    };
    eventually(look);
    // What comes late must not count again.
    thread::sleep(Duration::from_secs(3));
    // Each was heard, of one machine, and none is missed.
    let heard = server.get_json("/api/v1/witnesses")["rows"].as_array().unwrap().clone();
    let names: BTreeSet<&str> = heard.iter().map(|row| row["witness"].as_str().unwrap()).collect();
    assert!(of_requests.iter().chain(of_calls).all(|name| names.contains(name)), "{heard:?}");
    assert!(heard.iter().all(|row| row["quiet"].is_null() && row["host"] == heard[0]["host"]), "{heard:?}");
    look().unwrap()
}

fn runs(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    said
}

/// A server on this machine's ledger that finds no transcript of it.
fn without_transcripts(machine: &Machine) -> Server {
    let elsewhere = machine.home().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    let data = machine.data();
    machine.serve_with(&[
        ("HOME", elsewhere.to_str().unwrap()),
        ("CLAUDE_CONFIG_DIR", elsewhere.join("claude").to_str().unwrap()),
        ("DUCAT_DATA_DIR", data.to_str().unwrap()),
    ])
}

fn claude_turns() -> Value {
    json!([
        { "text": "reading", "tools": [{ "name": "Bash", "input": { "command": "echo hello > notes.txt", "description": "write" } }],
          "usage": { "cache_creation_input_tokens": 5000, "cache_creation": { "ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000 } } },
        { "status": 529 },
        { "tools": [{ "name": "Bash", "input": { "command": "exit 3", "description": "fail" } }],
          "usage": { "cache_read_input_tokens": 5000, "output_tokens": 60 } },
        { "tools": [{ "name": "Agent", "input": { "description": "look", "prompt": "look around", "subagent_type": "general-purpose" } }] },
        { "text": "the sub-agent looks", "tools": [{ "name": "Bash", "input": { "command": "ls", "description": "list" } }] },
        { "text": "the sub-agent is done", "usage": { "output_tokens": 33 } },
        { "text": "all done", "usage": { "output_tokens": 44, "cache_read_input_tokens": 9000 } }
    ])
}

fn claude_goes(machine: &Machine, client: &std::path::Path, provider: &claude_code::Provider) -> Value {
    claude_code::Run { machine, client, provider }.go(&["--dangerously-skip-permissions"])
}

#[test]
fn claude_code_told_by_all_three() {
    let machine = Machine::new();
    let Some(client) = claude_code::client(claude_code::PINNED) else { return };
    let Some(provider) = claude_code::Provider::start(&machine, &claude_turns()) else { return };
    let server = machine.serve();
    let said = machine.set_up((&client, "claude"), &server, &["claude-code", "--yes"]);
    assert!(said.contains("which answered a probe") && said.contains("Proved"), "{said}");
    let result = claude_goes(&machine, &client, &provider);
    let session = comes_to(
        &server,
        sums(&provider.answered(), claude_code::tokens),
        &["transcript", "otlp_log"],
        &["transcript", "otlp_log", "hook"],
    );
    assert_eq!(session["session"], result["session_id"]);
    assert_eq!((session["tool_calls"].as_array().unwrap().len(), session["turns"].as_array().unwrap().len()), (4, 1));

    let agents = |args: &[&str]| {
        let output = machine.command(args).env("PATH", machine.path_with(&client, "claude")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed: Value = serde_json::from_str(&agents(&["agents", "--json"])).unwrap();
    let row = listed["rows"].as_array().unwrap().iter().find(|row| row["agent"] == "claude-code").unwrap();
    assert_eq!((&row["version"], &row["wired"]), (&json!(claude_code::PINNED), &json!({ "hooks": true, "telemetry": true })));
    let told: Vec<&String> = row["last_told_at"].as_object().unwrap().keys().collect();
    for witness in ["hook", "otlp_log", "transcript"] {
        assert!(told.iter().any(|name| *name == witness), "{row}");
    }
    // The session's and its sub-agent's.
    assert_eq!(row["transcripts"], 2, "{row}");
    assert!(agents(&["agents"]).contains("hooks, telemetry"));
}

/// Hooks alone tell sessions, turns and calls; of requests and cost nothing is known, which is not 0.
#[test]
fn claude_code_told_by_hooks_alone() {
    let machine = Machine::new();
    let Some(client) = claude_code::client(claude_code::PINNED) else { return };
    let Some(provider) = claude_code::Provider::start(&machine, &claude_turns()) else { return };
    let server = without_transcripts(&machine);
    machine.set_up((&client, "claude"), &server, &["claude-code", "--yes", "--no-telemetry"]);
    claude_goes(&machine, &client, &provider);
    let session = comes_to(&server, [0; 6], &[], &["hook"]);
    assert_eq!((&session["requests"], session["turns"].as_array().unwrap().len()), (&json!([]), 1));
    let mut outcomes: Vec<String> =
        session["tool_calls"].as_array().unwrap().iter().map(|call| format!("{} {}", call["name"], call["outcome"])).collect();
    outcomes.sort();
    assert_eq!(outcomes, [r#""Agent" "ok""#, r#""Bash" "error""#, r#""Bash" "ok""#, r#""Bash" "ok""#]);
    let row = &server.get_json("/api/v1/sessions")["rows"][0];
    assert_eq!((&row["cost_usd"], &row["requests"]), (&Value::Null, &Value::Null), "{row}");
}

fn codex_turns() -> Value {
    json!([
        { "text": "Looking.", "calls": [["exec_command", { "cmd": "ls -la" }]], "usage": { "input_tokens": 9000, "cached": 0, "output_tokens": 80, "reasoning": 30 } },
        { "calls": [["exec_command", { "cmd": "cat /nonexistent; exit 3" }]], "usage": { "input_tokens": 9300, "cached": 8960, "output_tokens": 60, "reasoning": 20 } },
        { "text": "All done.", "usage": { "input_tokens": 9700, "cached": 9216, "output_tokens": 200, "reasoning": 128 } }
    ])
}

#[test]
fn codex_told_by_all_three() {
    let machine = Machine::new();
    let Some(client) = codex::client() else { return };
    let Some(provider) = codex::Provider::start(&machine, &codex_turns()) else { return };
    let server = machine.serve();
    let said = machine.set_up((&client, "codex"), &server, &["codex", "--yes"]);
    assert!(said.contains("which answered a probe") && said.contains("trusted them"), "{said}");
    runs(&mut codex::exec(&machine, &client));
    comes_to(
        &server,
        sums(&provider.answered(), codex::tokens),
        &["transcript", "otlp_log"],
        &["transcript", "otlp_log", "hook"],
    );
}

fn gemini_turns() -> Value {
    json!([
        { "text": "Looking.", "calls": [["run_shell_command", { "command": "ls -la", "description": "list" }]], "usage": { "prompt": 9000, "candidates": 80, "thoughts": 30 } },
        { "calls": [["read_file", { "file_path": "/nonexistent/file" }]], "usage": { "prompt": 9300, "cached": 8960, "candidates": 60, "thoughts": 20 } },
        { "text": "All done.", "usage": { "prompt": 9700, "cached": 9216, "candidates": 200 } }
    ])
}

#[test]
fn gemini_cli_told_by_all_three() {
    let machine = Machine::new();
    let Some(client) = gemini_cli::client() else { return };
    let provider = gemini_cli::Provider::start(&machine, &gemini_turns());
    let server = machine.serve();
    let said = machine.set_up((&client, "gemini"), &server, &["gemini", "--yes"]);
    assert!(said.contains("which answered a probe"), "{said}");
    runs(&mut provider.prompt(&machine, &client));
    comes_to(&server, sums(&provider.answered(), gemini_cli::tokens), &["transcript", "otlp_log"], &["transcript", "otlp_log"]);
}

fn qwen_turns() -> Value {
    json!([
        { "text": "Looking.", "calls": [["run_shell_command", { "command": "ls", "is_background": false }],
              ["read_file", { "file_path": "/nonexistent/file" }]],
          "usage": { "prompt_tokens": 9000, "cached": 4000, "completion_tokens": 80, "reasoning": 30 } },
        { "calls": [["run_shell_command", { "command": "exit 3", "is_background": false }]],
          "usage": { "prompt_tokens": 9500, "cached": 9000, "completion_tokens": 70 } },
        { "text": "All done.", "usage": { "prompt_tokens": 9800, "cached": 9216, "completion_tokens": 33, "reasoning": 11 } }
    ])
}

#[test]
fn qwen_code_told_by_chats_and_telemetry() {
    let machine = Machine::new();
    let Some(client) = qwen_code::client() else { return };
    let provider = qwen_code::Provider::start(&machine, &qwen_turns());
    let server = machine.serve();
    runs(&mut provider.prompt(&machine, &client, &server));
    let expected = qwen_sums(&provider.answered());
    let session = comes_to(&server, expected, &["transcript", "otlp_log"], &["transcript", "otlp_log"]);
    let outcomes: Vec<_> = session["tool_calls"].as_array().unwrap().iter().map(|call| call["outcome"].as_str()).collect();
    assert_eq!(
        outcomes.iter().filter(|outcome| **outcome == Some("error")).count(),
        2,
        "a file that is not there, and an exit code: {session}"
    );
    // The chat alone.
    let totals: Value = serde_json::from_str(&machine.report("daily")).unwrap();
    assert_eq!(NAMES.map(|name| totals["totals"][name].as_u64().unwrap_or(0)), expected);
}

#[test]
fn qwen_code_told_by_its_telemetry_alone() {
    let machine = Machine::new();
    let Some(client) = qwen_code::client() else { return };
    let provider = qwen_code::Provider::start(&machine, &qwen_turns());
    let server = without_transcripts(&machine);
    runs(&mut provider.prompt(&machine, &client, &server));
    comes_to(&server, qwen_sums(&provider.answered()), &["otlp_log"], &["otlp_log"]);
}
