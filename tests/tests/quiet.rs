//! A witness that goes quiet while another goes on: told by the API, the metrics and `ducat agents`, and not when it is meant.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use ducat_end_to_end::{Machine, Server, past, write};
use ducat_ledger::Witness;
use serde_json::Value;

const GONE: [(Witness, i64, i64); 2] = [(Witness::Hook, 120, 60), (Witness::Transcript, 120, 0)];

/// The witnesses of an agent that the API says are quiet.
fn quiet(server: &Server) -> Vec<String> {
    let rows = server.get_json("/api/v1/witnesses")["rows"].as_array().unwrap().clone();
    rows.iter().filter(|row| !row["quiet"].is_null()).map(|row| row["witness"].as_str().unwrap().to_owned()).collect()
}

fn agents(machine: &Machine) -> (Option<i32>, Value, String) {
    let json = machine.run(&["agents", "--json"]);
    let text = machine.run(&["agents"]);
    assert_eq!(json.status.code(), text.status.code());
    (json.status.code(), serde_json::from_slice(&json.stdout).unwrap(), String::from_utf8(text.stdout).unwrap())
}

#[test]
fn a_quiet_witness_is_told_everywhere() {
    let machine = Machine::new();
    past::told(&machine, "codex", &GONE);
    let server = machine.serve();
    assert_eq!(quiet(&server), ["hook"]);
    let row = server.get_json("/api/v1/witnesses")["rows"][1].clone();
    assert_eq!((&row["witness"], &row["quiet"]["others"][0]), (&"hook".into(), &"transcript".into()));
    assert!(row["quiet"]["remedy"].as_str().unwrap().contains("`ducat setup codex`"), "{row}");
    let metrics = server.get("/metrics");
    assert!(metrics.contains("\nducat_witness_quiet{agent=\"codex\",witness=\"hook\"} 1\n"), "{metrics}");
    assert!(metrics.contains("\nducat_witness_quiet{agent=\"codex\",witness=\"transcript\"} 0\n"));
    let line =
        metrics.lines().find(|line| line.starts_with("ducat_witness_last_seen_timestamp_seconds{") && line.contains("hook"));
    let seen: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let ago = ducat_spool::now_ms() as f64 / 1e3 - seen;
    assert!((3590.0..3800.0).contains(&ago), "{ago}");
    let (code, json, text) = agents(&machine);
    assert_eq!((code, &json["quiet"][0]["witness"]), (Some(1), &"hook".into()), "{text}");
    assert!(text.contains("hook of codex: quiet since ") && text.contains("ducat setup codex --remove"), "{text}");
    // It is heard again.
    server.stop();
    past::told(&machine, "codex", &[(Witness::Hook, 0, 0)]);
    assert_eq!((agents(&machine).0, quiet(&machine.serve())), (Some(0), vec![]));
}

#[test]
fn what_is_meant_or_long_over_is_no_alarm() {
    let machine = Machine::new();
    // An idle agent, and one of which only transcripts ever told.
    past::told(&machine, "codex", &[(Witness::Hook, 300, 200), (Witness::Transcript, 300, 200)]);
    past::told(&machine, "gemini-cli", &[(Witness::Transcript, 300, 0)]);
    let (code, json, _) = agents(&machine);
    assert_eq!((code, json["quiet"].as_array().unwrap().len()), (Some(0), 0));
    // A ledger that cannot be read is no answer.
    fs::write(machine.data().join("ledger.db"), "no database").unwrap();
    assert_eq!(machine.run(&["agents"]).status.code(), Some(2));
}

#[test]
fn hooks_that_setup_took_out_are_not_missed() {
    let machine = Machine::new();
    let set_up = |args: &[&str]| {
        let output = machine.run(&[&["setup", "claude-code", "--yes"], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let install = ["--no-probe", "--no-telemetry", "--client-version", "2.1.197"];
    set_up(&install);
    past::told(&machine, "claude-code", &GONE);
    assert_eq!(agents(&machine).0, Some(1));
    set_up(&["--remove"]);
    assert_eq!(agents(&machine).0, Some(0));
    set_up(&install);
    assert_eq!(agents(&machine).0, Some(1));
    // Taken out by who knows whom is no removal, until it is said to be one.
    write(&machine.home().join("claude/settings.json"), "{}");
    assert_eq!(agents(&machine).0, Some(1));
    let doctor = || String::from_utf8(machine.run(&["doctor", "--json"]).stdout).unwrap();
    set_up(&["--remove", "--dry-run"]);
    assert_eq!(agents(&machine).0, Some(1));
    set_up(&["--remove"]);
    assert_eq!(agents(&machine).0, Some(0));
    assert!(!doctor().contains("hooks-removed"), "{}", doctor());
}
