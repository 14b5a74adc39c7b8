//! The transcripts of every agent: their report is the ledger's that imported them, anew and from the cache.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use ducat_end_to_end::{Machine, write};
use serde_json::Value;

const GROUPINGS: [&str; 16] = [
    "daily",
    "weekly",
    "monthly",
    "session",
    "project",
    "model",
    "branch",
    "agent",
    "billing",
    "subagent",
    "skill",
    "mcp_server",
    "plugin",
    "query_source",
    "effort",
    "blocks",
];

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/capture/tests/fixtures").join(name);
    fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Transcripts of all agents where those keep them; the homes.
fn transcripts(machine: &Machine) -> Vec<PathBuf> {
    let claude = "claude-code-2.1.197/projects/-home-dev-proj/b90ad2ff-60b5-42d4-a6e5-106ec4c48bc8.jsonl";
    let codex = "rollout-2026-11-24T02-45-35-01a20b71-c575-70f2-8d67-7e7e98989150.jsonl";
    let gemini = "session-2026-11-24T02-47-37f9f967.jsonl";
    for (place, text) in [
        ("claude/projects/proj/b90ad2ff-60b5-42d4-a6e5-106ec4c48bc8.jsonl", fixture(claude)),
        (&format!(".codex/sessions/2026/11/24/{codex}"), fixture(&format!("otlp/codex/{codex}"))),
        (&format!(".gemini/tmp/proj/chats/{gemini}"), fixture(&format!("otlp/gemini-cli/{gemini}"))),
        (".pi/agent/sessions/proj/session-0.73.1.jsonl", fixture("pi/session-0.73.1.jsonl")),
        (".copilot/session-state/one/events.jsonl", fixture("copilot-cli/events-1.0.40.jsonl")),
        (".copilot/session-state/two/events.jsonl", fixture("copilot-cli/events-1.0.70.jsonl")),
        (".copilot/session-state/three/events.jsonl", fixture("copilot-cli/events-1.0.102.jsonl")),
    ] {
        write(&machine.home().join(place), &text);
    }
    let homes = ["claude/projects", ".codex/sessions", ".gemini/tmp", ".pi/agent/sessions", ".copilot/session-state"];
    homes.map(|home| machine.home().join(home)).to_vec()
}

#[test]
fn the_report_of_transcripts_is_the_ledgers() {
    let machine = Machine::new();
    let homes = transcripts(&machine);
    let from: Vec<&str> = homes.iter().flat_map(|home| ["--from", home.to_str().unwrap()]).collect();
    let report = |by: &str, source: &[&str]| {
        let text = machine.prints(&[&["report", by, "--timezone", "UTC", "--json", "--breakdown"], source].concat());
        serde_json::from_str::<Value>(&text).unwrap()
    };
    machine.prints(&["import"]);
    let by_agent = report("agent", &["--ledger"]);
    let agents: Vec<&str> = by_agent["rows"].as_array().unwrap().iter().map(|row| row["agent"].as_str().unwrap()).collect();
    for agent in ["claude-code", "codex", "gemini-cli", "pi", "copilot-cli"] {
        assert!(agents.contains(&agent), "{agents:?}");
    }
    for by in GROUPINGS {
        let of_ledger = report(by, &["--ledger"]);
        let read_anew = [&from[..], &["--no-cache"]].concat();
        // The first keeps what it read, the second reads what was kept.
        for source in [&read_anew, &from, &from] {
            assert_eq!(report(by, source), of_ledger, "{by} {source:?}");
        }
    }
}
