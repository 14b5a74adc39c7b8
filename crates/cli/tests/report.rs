//! `ducat report` as a user runs it: over real transcripts against their independently counted totals, and over files that change.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn ducat(cache: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ducat"))
        .args(args)
        .env("XDG_CACHE_HOME", cache)
        .env("XDG_CONFIG_HOME", cache)
        .env("XDG_DATA_HOME", cache)
        .env_remove("DUCAT_CONFIG")
        .env_remove("DUCAT_DATA_DIR")
        .output()
        .unwrap()
}

/// The JSON report, read twice with the cache and once without: the bytes must be equal.
fn report(cache: &Path, by: &str, from: &Path) -> Value {
    let run = |more: &[&str]| {
        let from = from.to_str().unwrap();
        let args: Vec<&str> =
            ["report", by, "--from", from, "--timezone", "UTC", "--json", "--breakdown"].iter().chain(more).copied().collect();
        let output = ducat(cache, &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = run(&[]);
    assert_eq!(first, run(&[]), "from the cache");
    assert_eq!(first, run(&["--no-cache"]), "without a cache");
    serde_json::from_str(&first).unwrap()
}

fn shared_transcripts() -> Option<PathBuf> {
    let shared = std::env::var_os("DUCAT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let transcripts = shared.join("data/transcripts");
    if !transcripts.is_dir() {
        println!("skipped: no real transcripts at {}", transcripts.display());
        return None;
    }
    Some(transcripts)
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} in {value}"))
}

#[test]
fn the_tarball_of_real_transcripts_to_the_token() {
    let Some(transcripts) = shared_transcripts() else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let unpacked = dir.path().join("projects");
    fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar")
        .arg("--zstd")
        .arg("-xf")
        .arg(transcripts.join("claude-code-entire.tar.zst"))
        .arg("-C")
        .arg(&unpacked)
        .status();
    if !tar.is_ok_and(|status| status.success()) {
        println!("skipped: tar with zstd is not installed");
        return;
    }
    let expected: Value = serde_json::from_reader(File::open(transcripts.join("expected.json")).unwrap()).unwrap();
    let daily = report(dir.path(), "daily", &unpacked);
    let totals = &daily["totals"];
    assert_eq!(totals["requests"], expected["requests"]);
    for (ours, theirs) in [
        ("input_tokens", "input"),
        ("output_tokens", "output"),
        ("cache_read_tokens", "cache_read"),
        ("cache_write_5m_tokens", "write_5m"),
        ("cache_write_1h_tokens", "write_1h"),
    ] {
        assert_eq!(totals[ours], expected["tokens"][theirs], "{ours}");
    }
    let days = expected["daily"].as_array().unwrap();
    assert_eq!(daily["rows"].as_array().unwrap().len(), days.len());
    for (row, day) in daily["rows"].as_array().unwrap().iter().zip(days) {
        assert_eq!(row["date"], day["date"]);
        assert_eq!(row["cache_read_tokens"], day["cache_read"], "{}", day["date"]);
        let difference = row["cost_usd"].as_f64().unwrap() - day["cost_usd"].as_f64().unwrap();
        assert!(difference.abs() < 0.0001, "{}: {difference}", day["date"]);
    }
    for by in ["session", "project", "model", "branch", "monthly", "billing", "subagent", "skill", "mcp_server"] {
        assert_eq!(report(dir.path(), by, &unpacked)["totals"], *totals, "{by}");
    }
}

#[test]
fn real_transcripts_by_source() {
    let Some(transcripts) = shared_transcripts() else {
        return;
    };
    let expected: Value = serde_json::from_reader(File::open(transcripts.join("expected-by-source.json")).unwrap()).unwrap();
    let mut sources = 0;
    for (source, sets) in expected["sets"]["dev"]["independent"].as_object().unwrap() {
        let Some(expected) = sets.get("claude").map(|claude| &claude["with_agent_progress"]) else {
            continue;
        };
        let dir = TempDir::new().unwrap();
        let unpacked = dir.path().join("claude");
        let synthetic = gunzip_tree(&transcripts.join(source).join("claude"), &unpacked);
        let daily = report(dir.path(), "daily", &unpacked);
        let totals = &daily["totals"];
        assert_eq!(number(totals, "requests") + synthetic, number(expected, "calls"), "{source}");
        for (ours, theirs) in [
            ("input_tokens", "input"),
            ("output_tokens", "output"),
            ("cache_read_tokens", "cache_read"),
            ("cache_write_5m_tokens", "cache_write_5m"),
            ("cache_write_1h_tokens", "cache_write_1h"),
        ] {
            assert_eq!(totals[ours], expected[theirs], "{source} {ours}");
        }
        let difference = totals["cost_usd"].as_f64().unwrap() - expected["cost_usd"].as_f64().unwrap();
        assert!(difference.abs() < 0.0001, "{source}: {difference}");
        // Forks: a request counts in one session only.
        assert_eq!(report(dir.path(), "session", &unpacked)["totals"], *totals, "{source}");
        sources += 1;
    }
    assert!(sources >= 4, "{sources}");
}

/// Unpacks every file; returns how many calls of `<synthetic>` there are, by their message's id.
fn gunzip_tree(from: &Path, to: &Path) -> u64 {
    let mut synthetic = std::collections::HashSet::new();
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            synthetic.extend((0..gunzip_tree(&path, &to.join(&name))).map(|place| format!("{name}/{place}")));
            continue;
        }
        let mut text = Vec::new();
        match name.strip_suffix(".gz") {
            Some(_) => std::io::copy(&mut flate2::read::GzDecoder::new(File::open(&path).unwrap()), &mut text).map(drop).unwrap(),
            None => text = fs::read(&path).unwrap(),
        }
        for line in text.split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Value>(line)
                && line["message"]["model"] == "<synthetic>"
                && line["type"] == "assistant"
            {
                synthetic.insert(line["message"]["id"].to_string());
            }
        }
        fs::write(to.join(name.trim_end_matches(".gz")), text).unwrap();
    }
    synthetic.len() as u64
}

/// An assistant's line: request `id` of `session` on a day, with a uuid of its own.
fn request(session: &str, id: u64, day: u64, output: u64) -> String {
    json!({
        "type": "assistant", "sessionId": session, "uuid": format!("00000000-0000-0000-0000-{id:012}"), "cwd": "/somewhere/app", "gitBranch": "main",
        "timestamp": format!("2026-01-{day:02}T10:00:00.000Z"), "requestId": format!("req_{id}"),
        "message": { "id": format!("msg_{id}"), "role": "assistant", "model": "claude-opus-4-8", "usage": { "input_tokens": 10, "output_tokens": output } },
    })
    .to_string()
}

fn write_lines(path: &Path, lines: &[String]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn appended_truncated_deleted_and_forked_files() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("home");
    let requests = |value: &Value| number(&value["totals"], "requests");
    let parent = home.join("app/parent.jsonl");
    let lines: Vec<String> = (1..=4).map(|id| request("parent", id, id, 100)).collect();
    write_lines(&parent, &lines);
    assert_eq!(requests(&report(dir.path(), "daily", &home)), 4);

    // A line without its line break counts as soon as it parses, and not again when the break comes.
    let mut file = File::options().append(true).open(&parent).unwrap();
    let last = request("parent", 5, 5, 100);
    file.write_all(&last.as_bytes()[..40]).unwrap();
    assert_eq!(requests(&report(dir.path(), "daily", &home)), 4);
    file.write_all(&last.as_bytes()[40..]).unwrap();
    assert_eq!(requests(&report(dir.path(), "daily", &home)), 5);
    file.write_all(b"\n").unwrap();
    assert_eq!(requests(&report(dir.path(), "daily", &home)), 5);

    // A fork holds copies of three of the parent's lines, with its own session id, and goes on.
    let mut forked: Vec<String> = (1..=3).map(|id| request("fork", id, id, 100)).collect();
    forked.push(request("fork", 6, 6, 100));
    write_lines(&home.join("app/fork.jsonl"), &forked);
    let sessions = report(dir.path(), "session", &home);
    let by_session: BTreeMap<_, _> = sessions["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["session"].as_str().unwrap(), number(row, "requests")))
        .collect();
    assert_eq!(by_session, BTreeMap::from([("parent", 5), ("fork", 1)]));
    assert_eq!(sessions["totals"], report(dir.path(), "daily", &home)["totals"]);

    write_lines(&parent, &lines[..2]);
    assert_eq!(requests(&report(dir.path(), "daily", &home)), 4);
    fs::remove_file(&parent).unwrap();
    assert_eq!(requests(&report(dir.path(), "daily", &home)), 4);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_counts() {
    let dir = TempDir::new().unwrap();
    let home = dir.path().join("home");
    let mut bytes = request("s", 1, 1, 100).into_bytes();
    bytes.extend_from_slice(b"\nno json\n{\"type\":\"assistant\",\"message\":\xff}\n[1]\n{\"type\":7}\n{}\n");
    bytes.extend("[".repeat(200_000).bytes());
    bytes.extend(format!("\n{{\"type\":\"user\",\"message\":\"{}\"}}\n", "x".repeat(10_000_000)).bytes());
    bytes.extend(format!("{{\"a\":{}1{}}}\n", "[".repeat(100_000), "]".repeat(100_000)).bytes());
    for absurd in ["-5", "1e300", "\"7\"", "18446744073709551616", "99999999999999", "1.5", "null"] {
        bytes.extend(request("s", 2, 1, 0).replace("\"output_tokens\":0", &format!("\"output_tokens\":{absurd}")).bytes());
        bytes.push(b'\n');
    }
    bytes.extend(request("s", 3, 1, 7).replace("2026-01-01", "1970-01-01").bytes());
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("a.jsonl"), &bytes).unwrap();
    fs::hard_link(home.join("a.jsonl"), home.join("b.jsonl")).unwrap();
    std::os::unix::fs::symlink(&home, home.join("loop")).unwrap();
    let daily = report(dir.path(), "daily", &home);
    assert_eq!((number(&daily["totals"], "requests"), number(&daily["totals"], "output_tokens")), (3, 107));
    assert_eq!(daily["rows"][0]["date"], "1970-01-01");
    let output = ducat(dir.path(), &["report", "--from", home.to_str().unwrap(), "--json"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains(": line 2: not a JSON object; 5 of its lines"), "{words}");
}

#[test]
fn excluded_projects_leave_no_trace() {
    let dir = TempDir::new().unwrap();
    let (home, secret) = (dir.path().join("home"), dir.path().join("secret"));
    fs::create_dir_all(&secret).unwrap();
    let secret_line = request("s", 1, 1, 1).replace("/somewhere/app", secret.to_str().unwrap());
    write_lines(&home.join("a.jsonl"), &[secret_line, request("s", 2, 1, 1)]);
    assert_eq!(number(&report(dir.path(), "daily", &home)["totals"], "requests"), 2);
    fs::write(secret.join(".ducatignore"), "").unwrap();
    assert_eq!(number(&report(dir.path(), "daily", &home)["totals"], "requests"), 1);
    fs::remove_file(secret.join(".ducatignore")).unwrap();
    assert_eq!(number(&report(dir.path(), "daily", &home)["totals"], "requests"), 2);
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let dir = TempDir::new().unwrap();
    for (args, part) in [
        (&["report", "yearly"][..], "daily, hourly, quarter_hourly, weekly"),
        (&["report", "--from", "/does/not/exist"], "/does/not/exist"),
        (&["report", "--since", "soon", "--from", "."], "since"),
        (&["report", "--until", "2026-11-25T25:00", "--from", "."], "until: \"2026-11-25T25:00\""),
        (
            &["report", "--since", "2026-11-25T14:00", "--until", "2026-11-25T14:00", "--from", "."],
            "since: 2026-11-25T14:00 is not before until",
        ),
        (&["report", "--timezone", "Mars/Base", "--from", "."], "timezone"),
        (&["report", "--billing", "free", "--from", "."], "billing: \"free\""),
        (&["report", "--group", "pay", "--from", "."], "group: \"pay\""),
        (&["report", "--breakdown=session", "--from", "."], "breakdown: \"session\""),
        (&["report", "--user", "ana", "--from", "."], "--user: no transcript tells it"),
        (&["report", "--host", "one"], "--host: no transcript tells it"),
        (&["prices", "update", "/does/not/exist"], "/does/not/exist"),
        (&["prices", "list", "no-such-model"], "no-such-model"),
    ] {
        let output = ducat(dir.path(), args);
        assert!(!output.status.success(), "{args:?}");
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.contains(part), "{args:?}: {words}");
    }
}

#[test]
fn prices_explain_adds_up() {
    let dir = TempDir::new().unwrap();
    let output =
        ducat(dir.path(), &["prices", "explain", "claude-opus-4-8[1m]", "--input", "1000", "--cache-read", "100000", "--json"]);
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["cost_nano_usd"], "55000000");
    assert_eq!(explained["rows"].as_array().unwrap().len(), 2);
}
