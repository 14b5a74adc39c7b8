//! `ducat report` straight from transcripts, and over the ledger that imported them: the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn prints(home: &Path, args: &[&str]) -> String {
    let mut ducat = Command::new(env!("CARGO_BIN_EXE_ducat"));
    for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        ducat.env(name, home);
    }
    let output = ducat.args(args).env_remove("DUCAT_CONFIG").env_remove("DUCAT_DATA_DIR").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const GROUPINGS: [&str; 18] = [
    "daily",
    "hourly",
    "quarter_hourly",
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

/// A report by each grouping, anew, kept and from what was kept, and that of the ledger which imported the same.
fn are_the_same(from: &Path) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = from.to_str().unwrap();
    prints(home.path(), &["import", folder]);
    compare(home.path(), &["--from", folder]);
    home
}

fn compare(home: &Path, transcripts: &[&str]) {
    for by in GROUPINGS {
        let asked = ["report", by, "--timezone", "UTC", "--json", "--breakdown"];
        let report = |source: &[&str]| prints(home, &[&asked[..], source].concat());
        let ledger = report(&["--ledger"]);
        assert_eq!(report(&[transcripts, &["--no-cache"]].concat()), ledger, "{transcripts:?} by {by}");
        for cached in ["kept", "from what was kept"] {
            assert_eq!(report(transcripts), ledger, "{transcripts:?} by {by}, {cached}");
        }
    }
}

/// What is asked for by time, by name and broken down, in zones whose hours are not UTC's.
fn narrowed(home: &Path, transcripts: &[&str]) {
    let report = |asked: &[String], source: &[&str]| {
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        prints(home, &[&["report", "--json"], &asked[..], source].concat())
    };
    let rows = |by: &str| -> Vec<serde_json::Value> {
        let json: serde_json::Value = serde_json::from_str(&report(&[by.to_owned()], &["--ledger"])).unwrap();
        json["rows"].as_array().unwrap().clone()
    };
    let mut asked: Vec<Vec<String>> = Vec::new();
    let mut ask = |words: &[&str]| asked.push(words.iter().map(|word| (*word).to_owned()).collect());
    for zone in ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"] {
        ask(&["hourly", "--timezone", zone, "--breakdown=project"]);
        ask(&["daily", "--timezone", zone]);
    }
    for by in ["agent", "branch", "user", "host", "billing", "subagent", "skill", "query_source", "effort"] {
        ask(&["weekly", "--timezone", "UTC", &format!("--breakdown={by}")]);
    }
    for (by, largest) in [("project", 3), ("model", 2), ("branch", 2), ("agent", 2)] {
        for row in rows(by).iter().take(largest) {
            ask(&["daily", "--timezone", "UTC", &format!("--{by}={}", row[by].as_str().unwrap_or(""))]);
        }
        ask(&["project", &format!("--{by}=")]);
    }
    for none in ["user", "team", "host", "billing"] {
        ask(&["session", &format!("--{none}=")]);
    }
    // To the millisecond, from a request on and to one.
    let sessions = rows("session");
    let times: Vec<&str> = sessions.iter().filter_map(|row| row["last_request_at"].as_str()).collect();
    if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
        for by in ["quarter_hourly", "hourly", "monthly", "blocks"] {
            ask(&[by, "--timezone", "UTC", "--since", first, "--breakdown"]);
            ask(&[by, "--timezone", "UTC", "--until", last]);
        }
        ask(&["hourly", "--timezone", "Asia/Kathmandu", "--since", &first[..16]]);
        ask(&["daily", "--timezone", "Asia/Kathmandu", "--until", &format!("{}:30", &last[..13])]);
    }
    for asked in &asked {
        assert_eq!(report(asked, transcripts), report(asked, &["--ledger"]), "{transcripts:?} {asked:?}");
    }
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn real_transcripts() {
    let shared = std::env::var_os("DUCAT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let all = shared.join("data/transcripts");
    if !all.exists() {
        return println!("skipped: nothing at {}", all.display());
    }
    for source in folders(&all) {
        for (place, folder) in folders(&source).iter().enumerate() {
            let home = are_the_same(folder);
            if place == 0 {
                narrowed(home.path(), &["--from", folder.to_str().unwrap()]);
            }
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/tests/fixtures")
}

/// Of all agents where those keep them; Copilot CLI's older versions tell sums.
#[test]
fn transcripts_in_their_homes() {
    let home = tempfile::tempdir().unwrap();
    let claude = "b90ad2ff-60b5-42d4-a6e5-106ec4c48bc8.jsonl";
    let codex = "rollout-2026-11-24T02-45-35-01a20b71-c575-70f2-8d67-7e7e98989150.jsonl";
    let gemini = "session-2026-11-24T02-47-37f9f967.jsonl";
    for (place, fixture) in [
        (format!(".claude/projects/proj/{claude}"), format!("claude-code-2.1.197/projects/-home-dev-proj/{claude}")),
        (format!(".codex/sessions/2026/11/24/{codex}"), format!("otlp/codex/{codex}")),
        (format!(".gemini/tmp/proj/chats/{gemini}"), format!("otlp/gemini-cli/{gemini}")),
        (".pi/agent/sessions/proj/session-0.73.1.jsonl".to_owned(), "pi/session-0.73.1.jsonl".to_owned()),
        (".copilot/session-state/one/events.jsonl".to_owned(), "copilot-cli/events-1.0.40.jsonl".to_owned()),
        (".copilot/session-state/two/events.jsonl".to_owned(), "copilot-cli/events-1.0.70.jsonl".to_owned()),
        (".copilot/session-state/three/events.jsonl".to_owned(), "copilot-cli/events-1.0.102.jsonl".to_owned()),
    ] {
        let place = home.path().join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(fixtures().join(fixture), place).unwrap();
    }
    prints(home.path(), &["import"]);
    let agents = prints(home.path(), &["report", "agent", "--json", "--ledger"]);
    for agent in ["claude-code", "codex", "gemini-cli", "pi", "copilot-cli"] {
        assert!(agents.contains(&format!("{agent:?}")), "{agents}");
    }
    compare(home.path(), &[]);
    narrowed(home.path(), &[]);
}

/// A provider decides a price.
#[test]
fn providers() {
    are_the_same(&fixtures().join("opencode"));
    let folder = tempfile::tempdir().unwrap();
    let pi = fs::read_to_string(fixtures().join("pi/session-0.73.1.jsonl")).unwrap();
    let provider = pi.split("\"provider\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let azure = pi.replace(&format!("\"provider\":\"{provider}\""), "\"provider\":\"azure\"");
    let model = azure.split("\"model\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let azure = azure.replace(&model, "gpt-4o-2024-05-13");
    fs::write(folder.path().join("azure.jsonl"), &azure).unwrap();
    are_the_same(folder.path());
}

#[test]
fn damaged_and_appended_archives() {
    let text: Vec<u8> =
        files(&fixtures().join("claude-code-2.1.197/projects")).iter().flat_map(|file| fs::read(file).unwrap()).collect();
    let (first, rest) = text.split_at(text.len() / 2);
    let packed = |text: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("all.jsonl.gz");
    fs::write(&archive, [packed(first), packed(rest)].concat()).unwrap();
    are_the_same(folder.path());
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() - 200]).unwrap();
    are_the_same(folder.path());
    let home = tempfile::tempdir().unwrap();
    let report = prints(home.path(), &["report", "daily", "--json", "--from", folder.path().to_str().unwrap()]);
    assert!(!report.contains(r#""rows":[]"#), "what is before the damage counts: {report}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
