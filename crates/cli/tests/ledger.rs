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

/// Groupings and what else is asked.
const REPORTS: [&str; 20] = [
    "quarter_hourly --timezone Asia/Kathmandu",
    "hourly",
    "daily",
    "daily --breakdown=skill --since 2026-01-05T10:20 --until 2026-08-01T09:20:30.5Z",
    "daily --breakdown=project --branch main",
    "weekly",
    "monthly",
    "session",
    "session --model claude-opus-4-5-20251101 --branch",
    "project",
    "model",
    "branch",
    "agent",
    "billing",
    "subagent",
    "skill",
    "mcp_server",
    "plugin",
    "query_source --breakdown=effort",
    "blocks",
];

/// A report by each grouping, anew, kept and from what was kept, and that of the ledger which imported the same.
fn are_the_same(from: &Path) {
    let home = tempfile::tempdir().unwrap();
    let folder = from.to_str().unwrap();
    prints(home.path(), &["import", folder]);
    compare(home.path(), &["--from", folder]);
}

fn compare(home: &Path, transcripts: &[&str]) {
    for by in REPORTS {
        let mut asked: Vec<&str> = ["report", "--json"].into_iter().chain(by.split(' ')).collect();
        if by.ends_with("--branch") {
            asked.push("");
        }
        if !by.contains("--timezone") {
            asked.extend(["--timezone", "UTC"]);
        }
        if !by.contains("--breakdown") {
            asked.push("--breakdown");
        }
        let report = |source: &[&str]| prints(home, &[&asked[..], source].concat());
        let ledger = report(&["--ledger"]);
        assert_eq!(report(&[transcripts, &["--no-cache"]].concat()), ledger, "{transcripts:?} by {by}");
        for cached in ["kept", "from what was kept"] {
            assert_eq!(report(transcripts), ledger, "{transcripts:?} by {by}, {cached}");
        }
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
        folders(&source).iter().for_each(|folder| are_the_same(folder));
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
