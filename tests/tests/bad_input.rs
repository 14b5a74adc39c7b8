//! Bad input of every kind, and real transcripts that come in pieces, in any order, and go: what is good is counted once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ducat_end_to_end::{Machine, append, eventually, request, shared, write};
use serde_json::{Value, json};

#[test]
fn what_is_good_around_bad_lines_counts_everywhere() {
    let machine = Machine::new();
    let file = machine.projects().join("app/a.jsonl");
    write(&file, &request("a", 1, 10));
    let bad: [&[u8]; 8] = [
        b"{\"type\":\"assistant\", torn\n",
        b"\xff\xfe\xfd not UTF-8\n",
        b"\n",
        b"{\"type\":\"a-type-of-tomorrow\",\"sessionId\":\"a\"}\n",
        b"{\"type\":\"assistant\",\"sessionId\":\"a\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"model\":\"claude-opus-4-8\"}}\n",
        b"[1,2,3]\n",
        b"null\n",
        b"\0\0\0\0\n",
    ];
    let mut open = fs::File::options().append(true).open(&file).unwrap();
    bad.iter().for_each(|line| open.write_all(line).unwrap());
    // A line of 10 MB that is good, and one of brackets.
    open.write_all(
        request("a", 2, 10).replace("\"input\":{}", &format!("\"input\":{{\"x\":\"{}\"}}", "y".repeat(10 << 20))).as_bytes(),
    )
    .unwrap();
    open.write_all(format!("{}\n", "[".repeat(1 << 20)).as_bytes()).unwrap();
    // Counts that nobody has, and clocks that stand wrong.
    append(&file, &request("a", 3, 10).replace("\"input_tokens\":10", "\"input_tokens\":-5"));
    append(&file, &request("a", 4, 10).replace("\"input_tokens\":10", "\"input_tokens\":99999999999999999999"));
    append(&file, &request("a", 5, 10).replace("2026-01-02T10:05", "1970-01-01T00:00"));
    append(&file, &request("a", 6, 10).replace("2026-01-02T10:06", "2100-01-01T00:00"));
    append(&file, &request("a", 7, 10).replace("2026-01-02T10:07:00.000Z", "yesterday"));
    // The same file under other paths, a loop, a folder that may not be read, a last line without its break.
    fs::hard_link(&file, machine.projects().join("app/same.jsonl")).unwrap();
    symlink(&file, machine.projects().join("app/link.jsonl")).unwrap();
    symlink(machine.projects(), machine.projects().join("app/loop")).unwrap();
    write(&machine.projects().join("closed/b.jsonl"), &request("b", 8, 10));
    fs::set_permissions(machine.projects().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    append(&file, request("a", 9, 10).trim_end());

    let report: Value = serde_json::from_str(&machine.report("daily")).unwrap();
    // Root may read what is closed.
    let expected = if fs::read_dir(machine.projects().join("closed")).is_ok() { 9 } else { 8 };
    assert_eq!(
        (&report["totals"]["requests"], &report["totals"]["output_tokens"]),
        (&json!(expected), &json!(expected * 10)),
        "{report}"
    );
    let days: Vec<&str> = report["rows"].as_array().unwrap().iter().filter_map(|row| row["date"].as_str()).collect();
    assert!(days.contains(&"1970-01-01") && days.contains(&"2100-01-01") && days.contains(&"2026-01-02"), "{days:?}");

    let server = machine.serve();
    server.comes_to("/api/v1/report?timezone=UTC", &machine.report("daily"));
    append(&file, "\n");
    append(&file, &request("a", 10, 10));
    server.comes_to("/api/v1/report?timezone=UTC", &machine.report("daily"));
    let skipped: Vec<String> = eventually(|| {
        let text = server.get("/metrics");
        let lines: Vec<String> =
            text.lines().filter(|line| line.starts_with("ducat_skipped_lines_total{")).map(str::to_owned).collect();
        if lines.len() >= 3 { Ok(lines) } else { Err(format!("{lines:?}")) }
    });
    for reason in ["not UTF-8", "not a JSON object", "nested too deep"] {
        assert!(skipped.iter().any(|line| line.contains(reason)), "{reason}: {skipped:?}");
    }
    fs::set_permissions(machine.projects().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// The files of a folder, unpacked, in an order that has nothing to do with their names.
fn real_files(machine: &Machine) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let source = shared("data/transcripts/jandedobbeleer-oh-my-posh/claude")?;
    let place = machine.home().join("source");
    assert!(Command::new("cp").arg("-r").arg(&source).arg(&place).status().unwrap().success());
    assert!(Command::new("chmod").args(["-R", "u+w"]).arg(&place).status().unwrap().success());
    assert!(
        Command::new("find").arg(&place).args(["-name", "*.gz", "-exec", "gzip", "-d", "{}", "+"]).status().unwrap().success()
    );
    let mut files = Vec::new();
    let mut folders = vec![place.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(&place).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort_by_key(|(path, bytes)| (bytes.len() % 97, path.clone()));
    Some(files)
}

fn tool_uses(bytes: &[u8]) -> Vec<(String, String)> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let used = lines.flat_map(|line| {
        let session = line["sessionId"].as_str().unwrap_or_default().to_owned();
        let blocks = line["message"]["content"].as_array().cloned().unwrap_or_default();
        blocks
            .into_iter()
            .filter(|block| block["type"] == "tool_use")
            .map(move |block| (session.clone(), block["id"].as_str().unwrap_or_default().to_owned()))
    });
    used.take(3).collect()
}

#[test]
fn real_transcripts_in_pieces_in_any_order_with_hooks_and_deletions() {
    let machine = Machine::new();
    let Some(files) = real_files(&machine) else { return };
    let from = machine.home().join("source");
    let expected = |by: &str| {
        machine.prints(&["report", by, "--timezone", "UTC", "--json", "--from", from.to_str().unwrap()]).trim_end().to_owned()
    };
    let server = machine.serve();
    let place = |path: &Path| machine.projects().join(path);
    for (number, (path, bytes)) in files.iter().enumerate() {
        let target = place(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        // Cut anywhere, also in a line.
        fs::write(&target, &bytes[..bytes.len() * (number % 5) / 5]).unwrap();
    }
    std::thread::sleep(Duration::from_millis(500));
    for (number, (path, bytes)) in files.iter().enumerate().rev() {
        let target = place(path);
        let have = fs::metadata(&target).unwrap().len() as usize;
        fs::File::options().append(true).open(&target).unwrap().write_all(&bytes[have..]).unwrap();
        if number % 10 == 0 {
            for (session, id) in tool_uses(bytes) {
                let event = json!({ "session_id": session, "cwd": "/somewhere", "hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": id, "duration_ms": 3 });
                machine.hook(&event, &[]);
            }
        }
    }
    for by in ["daily", "monthly", "model"] {
        server.comes_to(&format!("/api/v1/report?by={by}&timezone=UTC"), &expected(by));
    }
    // Their files go, their facts stay; what comes back counts nothing.
    for (path, _) in files.iter().step_by(3) {
        fs::remove_file(place(path)).unwrap();
    }
    server.stop();
    assert!(machine.run(&["import", from.to_str().unwrap()]).status.success());
    let server = machine.serve();
    for by in ["daily", "model"] {
        assert_eq!(server.get(&format!("/api/v1/report?by={by}&timezone=UTC")), expected(by));
    }
    // What sessions cost is what days cost.
    let sum = |by: &str| {
        let document: Value = serde_json::from_str(&expected(by)).unwrap();
        let rows = document["rows"].as_array().unwrap().clone();
        rows.iter().filter_map(|row| row["cost_nano_usd"].as_str()?.parse::<i64>().ok()).sum::<i64>()
    };
    assert_eq!(sum("session"), sum("daily"));
}

/// Needs to mount a small disk, so to be root.
#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    let machine = Machine::new();
    let disk = machine.home().join("disk");
    fs::create_dir_all(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    }
    let unmount = || assert!(Command::new("umount").arg("-l").arg(&disk).status().unwrap().success());
    let data = disk.to_str().unwrap();
    let server = machine.serve_with(&[("DUCAT_DATA_DIR", data)]);
    let (mut stored, mut refused) = (0_u64, 0);
    for _ in 0..3000 {
        match server.post("/metrics/tokens/used", &json!({ "citizen": "ana", "tokens": 1 })) {
            (200, _) => stored += 1,
            (503, answer) => {
                assert!(answer["error"].as_str().unwrap().contains("full"), "{answer}");
                refused += 1;
                if refused == 5 {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let hook = json!({ "session_id": "s", "hook_event_name": "PreToolUse", "tool_use_id": "t", "tool_name": "Bash" });
    machine.hook(&hook, &[("DUCAT_DATA_DIR", data)]);
    let read = server.get_json("/api/v1/report")["totals"]["requests"].clone();
    let more = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&disk).status().unwrap();
    assert!(more.success());
    let after = server.post("/metrics/tokens/used", &json!({ "citizen": "ana", "tokens": 1 })).0;
    let total = server.get_json("/api/v1/report")["totals"]["requests"].clone();
    drop(server);
    unmount();
    assert_eq!((refused, after), (5, 200), "{stored} stored");
    assert_eq!((read, total), (json!(stored), json!(stored + 1)));
}
