//! `ducat-hook`, its server and its spool: every event once, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use ducat_end_to_end::{Machine, Server, eventually};
use ducat_spool::{Answer, EventId, Frame, Status};
use serde_json::{Value, json};

/// What the agent sends before a tool call; each call has an id of its own.
fn before_call(id: u64) -> Value {
    json!({
        "session_id": "s", "cwd": "/somewhere/app", "hook_event_name": "PreToolUse", "prompt_id": "p", "tool_name": "Bash",
        "tool_use_id": format!("toolu_{id}"), "tool_input": { "command": "echo secret" }
    })
}

/// An event whose every telling would make an incident of its own: it has no id but the hook's.
fn announced_compaction() -> Value {
    json!({ "session_id": "s", "cwd": "/somewhere/app", "hook_event_name": "PreCompact", "trigger": "auto" })
}

fn calls(server: &Server) -> usize {
    let (status, body) = server.ask("/api/v1/sessions/s", None, "");
    let session: Value = if status == 200 { serde_json::from_str(&body).unwrap() } else { json!({}) };
    session["tool_calls"].as_array().map_or(0, Vec::len)
}

fn comes_to_calls(server: &Server, expected: usize) {
    eventually(|| (calls(server) == expected).then_some(()).ok_or_else(|| format!("{} calls, not {expected}", calls(server))));
}

#[test]
fn an_answered_event_is_in_the_ledger_and_nothing_is_spooled() {
    let machine = Machine::new();
    let server = machine.serve();
    for id in 0..20 {
        machine.hook(&before_call(id), &[]);
    }
    assert_eq!(calls(&server), 20);
    assert!(machine.spooled().is_empty());
    let folder = fs::metadata(machine.socket().parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    server.kill();
    // The socket of a killed server is in nobody's way.
    let server = machine.serve();
    machine.hook(&before_call(20), &[]);
    assert_eq!(calls(&server), 21);
    server.stop();
    assert!(!machine.socket().exists());
}

#[test]
fn over_tcp_where_a_url_says_so() {
    let machine = Machine::new();
    let server = machine.serve_with(&[("METRICS_API_KEY", "secret")]);
    let url = server.url();
    machine.hook(&before_call(1), &[("DUCAT_URL", &url), ("DUCAT_API_KEY", "secret"), ("DUCAT_DATA_DIR", "/nonexistent")]);
    let asks = || server.ask("/api/v1/sessions/s", None, "Authorization: Bearer secret\r\n").0;
    assert_eq!(asks(), 200);
    // Without the key nobody answered with the event's id.
    machine.hook(&before_call(2), &[("DUCAT_URL", &url)]);
    assert_eq!(machine.spooled().len(), 1);
}

#[test]
fn what_comes_while_the_server_is_away_waits_without_its_content() {
    let machine = Machine::new();
    for id in 0..5 {
        machine.hook(&before_call(id), &[]);
    }
    machine.hook(&before_call(5), &[("DUCAT_SPOOL_CONTENT", "1")]);
    let texts: Vec<String> = machine.spooled().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!((texts.len(), texts.iter().filter(|text| text.contains("secret")).count()), (6, 1));
    assert_eq!(fs::metadata(machine.data().join("spool/new")).unwrap().permissions().mode() & 0o777, 0o700);
    let server = machine.serve();
    comes_to_calls(&server, 6);
    eventually(|| if machine.spooled().is_empty() { Ok(()) } else { Err("still spooled".to_owned()) });
    machine.hook(&before_call(6), &[]);
    assert_eq!(calls(&server), 7);
}

#[test]
fn a_spooled_event_that_cannot_be_read_is_set_aside() {
    let machine = Machine::new();
    machine.hook(&json!("no event"), &[]);
    machine.hook(&before_call(1), &[]);
    let server = machine.serve();
    comes_to_calls(&server, 1);
    eventually(|| if machine.spooled().is_empty() { Ok(()) } else { Err("still spooled".to_owned()) });
    assert_eq!(fs::read_dir(machine.data().join("spool/broken")).unwrap().count(), 1);
}

#[test]
fn a_server_that_hangs_costs_one_deadline() {
    let machine = Machine::new();
    fs::create_dir_all(machine.socket().parent().unwrap()).unwrap();
    let hanging = UnixListener::bind(machine.socket()).unwrap();
    let slow = machine.hook(&before_call(1), &[("DUCAT_HOOK_DEADLINE_MS", "700")]);
    assert!(slow >= Duration::from_millis(700), "{slow:?}");
    // Marked: the others do not wait. (700 ms is what waiting would take; the machine may be busy.)
    let quick = (2..6).map(|id| machine.hook(&before_call(id), &[("DUCAT_HOOK_DEADLINE_MS", "700")])).min().unwrap();
    assert!(quick < Duration::from_millis(600), "{quick:?}");
    assert_eq!(machine.spooled().len(), 5);
    drop(hanging);
    let server = machine.serve();
    comes_to_calls(&server, 5);
    machine.hook(&before_call(6), &[]);
    assert_eq!(calls(&server), 6);
}

/// The process ends at this place; afterwards every event is in the ledger, once.
fn crash_at(place: &str, spooled_before: bool) {
    let machine = Machine::new();
    if spooled_before {
        machine.hook(&announced_compaction(), &[]);
        machine.hook(&announced_compaction(), &[]);
    }
    let mut server = machine.serve_with(&[("DUCAT_FAILPOINT", place)]);
    if !spooled_before {
        machine.hook(&announced_compaction(), &[]);
    }
    let ended = server.child.wait().unwrap();
    assert!(!ended.success(), "{place} was not reached");
    if !spooled_before {
        machine.hook(&announced_compaction(), &[]);
    }
    let server = machine.serve();
    eventually(|| if machine.spooled().is_empty() { Ok(()) } else { Err("still spooled".to_owned()) });
    let session = server.get_json("/api/v1/sessions/s");
    assert_eq!(session["incidents"].as_array().unwrap().len(), 2, "{place}: {session}");
}

#[test]
fn a_crash_after_the_commit_counts_once() {
    crash_at("after_commit_before_answer", false);
}

#[test]
fn a_crash_after_the_answer_counts_once() {
    crash_at("after_answer", false);
}

#[test]
fn a_crash_in_a_drain_counts_once() {
    crash_at("mid_drain", true);
}

#[test]
fn an_event_is_taken_once_by_its_id_and_refused_when_too_old() {
    let machine = Machine::new();
    let server = machine.serve();
    let tell = |id: EventId, at: u64| {
        let headers = format!("Content-Type: application/json\r\nX-Ducat-Event-Id: {id}\r\nX-Ducat-Event-Time: {at}\r\n");
        let (status, head, _) =
            server.talk("POST", "/api/v1/hooks/claude-code", None, &headers, &announced_compaction().to_string());
        assert!(head.to_lowercase().contains(&format!("x-ducat-event-id: {id}")), "{head}");
        let code = head.lines().find_map(|line| line.strip_prefix("x-ducat-event-status: ")).unwrap().to_owned();
        (status, code)
    };
    let (id, now) = (EventId::new(), ducat_spool::now_ms());
    assert_eq!(tell(id, now), (200, "0".to_owned()));
    assert_eq!(tell(id, now), (200, "1".to_owned()));
    assert_eq!(tell(EventId::new(), now - 31 * 86_400_000), (200, "2".to_owned()));
    assert_eq!(tell(EventId::new(), u64::MAX).0, 400);
    assert_eq!(tell(EventId::new(), i64::MAX.unsigned_abs()).0, 400);
    assert_eq!(server.get_json("/api/v1/sessions/s")["incidents"].as_array().unwrap().len(), 1);
}

/// Whoever may post can tell any number; reports go on.
#[test]
fn numbers_beyond_measure_end_no_report() {
    let machine = Machine::new();
    let server = machine.serve();
    let result = |id: u64, fields: Value| {
        let mut request =
            json!({ "request_id": format!("r{id}"), "is_final": true, "at": 1_795_000_000_000_u64, "model": "claude-opus-4-8" });
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let body = json!({ "session_id": "s", "requests": [request] });
        server.post("/api/v1/hooks/claude-code-result", &body).0
    };
    for id in 0..3 {
        assert_eq!(result(id, json!({ "input_tokens": i64::MAX, "output_tokens": 5 })), 200);
    }
    assert_eq!(result(4, json!({ "at": i64::MIN, "input_tokens": 1 })), 400);
    for by in ["daily", "blocks", "session"] {
        assert!(server.get(&format!("/api/v1/report?by={by}")).contains("\"requests\":3"), "{by}");
    }
}

#[test]
fn nothing_of_an_excluded_project_is_stored_by_hooks() {
    let machine = Machine::new();
    let project = machine.home().join("secret-project");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join(".ducatignore"), "").unwrap();
    let mut event = before_call(1);
    event["cwd"] = json!(project);
    machine.hook(&event, &[]);
    let server = machine.serve();
    machine.hook(&event, &[]);
    eventually(|| if machine.spooled().is_empty() { Ok(()) } else { Err("still spooled".to_owned()) });
    assert_eq!(server.get_json("/api/v1/sessions")["rows"], json!([]));
}

/// Whatever it is given, the hook exits 0 and prints nothing.
#[test]
fn odd_surroundings_do_not_disturb_the_agent() {
    let machine = Machine::new();
    let event = before_call(1);
    for variables in [
        &[("DUCAT_HOOK_DEADLINE_MS", "18446744073709551615")][..],
        &[("DUCAT_HOOK_DEADLINE_MS", "soon")],
        &[("DUCAT_HOOK_DEADLINE_MS", "0")],
        &[("DUCAT_URL", "https://meter.example.org")],
        &[("DUCAT_URL", "http://")],
        &[("DUCAT_URL", "http://127.0.0.1:1")],
        &[("DUCAT_URL", "http://no-such-host.invalid:9090")],
        &[("DUCAT_SOCKET", "/nonexistent/socket")],
        &[("DUCAT_DATA_DIR", "/proc/nonexistent")],
        &[("HOME", ""), ("XDG_DATA_HOME", "relative")],
    ] {
        machine.hook(&event, variables);
    }
    machine.hook(&json!("x".repeat(3 << 20)), &[]);
    let server = machine.serve();
    comes_to_calls(&server, 1);
}

/// A whole answer, a byte at a time: the deadline is for all of it.
#[test]
fn an_answer_that_trickles_is_late() {
    let machine = Machine::new();
    fs::create_dir_all(machine.socket().parent().unwrap()).unwrap();
    let server = UnixListener::bind(machine.socket()).unwrap();
    let trickling = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut bytes = Vec::new();
        while Frame::missing(&bytes).unwrap() > 0 {
            let mut part = [0; 1024];
            let read = stream.read(&mut part).unwrap();
            bytes.extend_from_slice(&part[..read]);
        }
        let answer = Answer { id: Frame::decode(&bytes).unwrap().id, status: Status::Stored, body: Vec::new() };
        for byte in answer.encode() {
            thread::sleep(Duration::from_millis(60));
            if stream.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    machine.hook(&before_call(1), &[("DUCAT_HOOK_DEADLINE_MS", "300")]);
    assert_eq!(machine.spooled().len(), 1, "1.5 s of bytes are no answer within 0.3 s");
    trickling.join().unwrap();
}
