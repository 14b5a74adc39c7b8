//! `ducat serve` and `ducat import` as a user runs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use ducat_end_to_end::{Machine, Server, append, eventually, request, write};
use serde_json::Value;

const GROUPINGS: [&str; 12] = [
    "daily",
    "weekly",
    "monthly",
    "session",
    "project",
    "model",
    "branch",
    "billing",
    "subagent",
    "skill",
    "mcp_server",
    "blocks",
];

#[test]
fn the_server_follows_the_transcripts_and_agrees_with_the_report() {
    let machine = Machine::new();
    let parent = machine.projects().join("app/parent.jsonl");
    write(&parent, &(1..=4).map(|id| request("parent", id, 100)).collect::<String>());
    let server = machine.serve();
    let agree = || {
        for by in GROUPINGS {
            server.comes_to(&format!("/api/v1/report?by={by}&timezone=UTC"), &machine.report(by));
        }
    };
    agree();
    // A torn last line, its rest, its line break.
    let last = request("parent", 5, 7);
    append(&parent, &last[..30]);
    append(&parent, &last[30..last.len() - 1]);
    agree();
    append(&parent, "\n");
    append(&parent, "{broken\n");
    append(&parent, &request("parent", 6, 8));
    agree();
    // A fork, in a folder that was not there.
    let fork = machine.projects().join("new/fork.jsonl");
    write(&fork, &[request("fork", 1, 100), request("fork", 2, 100), request("fork", 9, 3)].concat());
    agree();
    let session: Value = serde_json::from_str(&server.get("/api/v1/sessions/parent")).unwrap();
    assert_eq!((session["requests"].as_array().unwrap().len(), session["tool_calls"].as_array().unwrap().len()), (6, 6));
    let listed: Value = serde_json::from_str(&server.get("/api/v1/sessions?limit=1")).unwrap();
    assert_eq!(listed["rows"].as_array().unwrap().len(), 1);
}

#[test]
fn imports_repeat_without_effect_and_files_that_vanish_leave_their_facts() {
    let machine = Machine::new();
    let file = machine.projects().join("app/a.jsonl");
    write(&file, &(1..=3).map(|id| request("a", id, 100)).collect::<String>());
    assert_eq!(machine.prints(&["import"]), "3 new lines in 1 of 1 files.\n");
    assert_eq!(machine.prints(&["import"]), "0 new lines in 0 of 1 files.\n");
    append(&file, &request("a", 4, 100));
    assert_eq!(machine.prints(&["import"]), "1 new line in 1 of 1 files.\n");
    let before = machine.report("daily");
    // Rewritten shorter, and moved: read anew, and nothing counts twice.
    write(&file, &request("a", 1, 100));
    assert_eq!(machine.prints(&["import"]), "1 new line in 1 of 1 files.\n");
    fs::rename(&file, machine.projects().join("app/b.jsonl")).unwrap();
    machine.prints(&["import"]);
    fs::remove_file(machine.projects().join("app/b.jsonl")).unwrap();
    machine.prints(&["import"]);
    let server = machine.serve();
    assert_eq!(server.get("/api/v1/report?timezone=UTC"), before);
}

#[test]
fn strangers_are_refused() {
    let machine = Machine::new();
    let server = machine.serve();
    let own = format!("Origin: http://localhost:{}\r\n", server.port);
    let page = server.get("/");
    let (_, named) = page.split_once("src=\"/assets/").unwrap();
    let asset = format!("/assets/{}", named.split('"').next().unwrap());
    for (path, host, headers, status) in [
        ("/api/v1/sessions", None, own.as_str(), 200),
        ("/api/v1/sessions", Some("127.0.0.1"), "", 200),
        ("/api/v1/sessions", Some("[::1]:9090"), "", 200),
        ("/api/v1/sessions", Some("evil.example"), "", 421),
        ("/api/v1/sessions", Some("localhost.evil.example"), "", 421),
        ("/api/v1/sessions", Some("169.254.169.254"), "", 421),
        ("/api/v1/sessions", None, "Origin: http://evil.example\r\n", 403),
        ("/api/v1/sessions", None, "Origin: null\r\n", 403),
        ("/api/v1/sessions", None, "Sec-Fetch-Site: cross-site\r\n", 403),
        ("/api/v1/sessions", None, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 403),
        ("/", None, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", 200),
        ("/", None, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: iframe\r\n", 403),
        ("/health", None, "", 200),
        ("/ready", None, "", 200),
        (asset.as_str(), None, "", 200),
        ("/assets/any/page.js", None, "", 404),
        ("/assets/any/..%2f..%2fetc%2fpasswd", None, "", 404),
        ("/nothing", None, "", 404),
        ("/api/v1/report?by=year", None, "", 400),
        ("/api/v1/report?sinze=today", None, "", 400),
        ("/api/v1/sessions?limit=-1", None, "", 400),
        ("/api/v1/sessions/none", None, "", 404),
    ] {
        let (got, body) = server.ask(path, host, headers);
        assert_eq!(got, status, "{path} {host:?} {headers:?}: {body}");
    }
}

#[test]
fn a_second_server_and_an_open_address_are_refused_in_words() {
    let machine = Machine::new();
    let server = machine.serve();
    let refused = |machine: &Machine, args: &[&str]| {
        let output = machine.run(args);
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let words = refused(&machine, &["serve", "--port", "0"]);
    assert!(words.contains(&format!("in use by process {}", server.child.id())), "{words}");
    let other = Machine::new();
    let words = refused(&other, &["serve", "--port", &server.port.to_string()]);
    assert!(words.contains("is taken by another program: ducat (process") && words.contains("choose another port"), "{words}");
    let words = refused(&other, &["serve", "--host", "0.0.0.0", "--port", "0"]);
    assert!(words.contains("METRICS_API_KEY"), "{words}");
}

#[test]
fn a_key_is_asked_for_when_there_is_one() {
    let machine = Machine::new();
    let server = machine.serve_with(&[("METRICS_API_KEY", "secret")]);
    assert_eq!(server.ask("/api/v1/sessions", None, "").0, 401);
    assert_eq!(server.ask("/api/v1/sessions", None, "Authorization: Bearer secres\r\n").0, 401);
    assert_eq!(server.ask("/api/v1/sessions", None, "Authorization: Bearer secret\r\n").0, 200);
    // What browsers and Prometheus send: any name, and the key as the password.
    assert_eq!(server.ask("/api/v1/sessions", None, "Authorization: Basic bWU6c2VjcmV0\r\n").0, 200);
    assert_eq!(server.ask("/api/v1/sessions", None, "Authorization: Basic bWU6c2VjcmV\r\n").0, 401);
    assert_eq!(server.ask("/health", None, "").0, 200);
}

#[test]
fn a_public_url_is_a_name_and_an_origin() {
    let machine = Machine::new();
    let server = Server::start(&mut machine.command(&["serve", "--port", "0", "--public-url", "https://meter.example.org"]));
    let host = Some("meter.example.org");
    assert_eq!(server.ask("/health", host, "Origin: https://meter.example.org\r\n").0, 200);
    assert_eq!(server.ask("/health", host, "Origin: https://evil.example.org\r\n").0, 403);
    let (status, body) = server.ask("/", Some("<b>.example"), "Accept: text/html\r\n");
    assert!(status == 421 && body.contains("&lt;b>.example") && body.contains("--public-url"), "{status} {body}");
    let words = String::from_utf8(machine.run(&["serve", "--public-url", "meter"]).stderr).unwrap();
    assert!(words.contains("http://NAME"), "{words}");
}

#[test]
fn only_json_is_posted_and_only_in_measure() {
    let machine = Machine::new();
    let server = machine.serve();
    let post = |headers: &str, body: &str| server.talk("POST", "/api/v1/hooks/claude-code", None, headers, body);
    assert_eq!(post("", "{}").0, 415);
    assert_eq!(post("Content-Type: text/plain\r\n", "{}").0, 415);
    assert_eq!(post("Content-Type: application/json\r\n", "{}").0, 400);
    let (status, _, body) = post("Content-Type: application/json; charset=utf-8\r\nX-Ducat-Event-Id: 7\r\n", "{}");
    assert!(status == 400 && body.contains("x-ducat-event-id"), "{body}");
    assert_eq!(server.ask("/api/v1/hooks/claude-code", None, "").0, 405);
    let (status, _) = server.ask("/health", None, &format!("X-Long: {}\r\n", "x".repeat(1_000_000)));
    assert!(matches!(status, 431 | 0), "{status}");
}

#[test]
fn sessions_read_the_same_with_and_without_a_server() {
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &(1..=3).map(|id| request("a-session", id, 100)).collect::<String>());
    write(&machine.projects().join("app/b.jsonl"), &request("b-session", 9, 100));
    let commands: [&[&str]; 5] = [
        &["sessions", "--timezone", "UTC"],
        &["sessions", "--json"],
        &["sessions", "--csv", "--limit", "1"],
        &["session", "a-", "--timezone", "UTC"],
        &["session", "a-session", "--json"],
    ];
    let without = commands.map(|args| machine.prints(args));
    assert!(
        without[0].contains("a-sessio") && without[3].contains("├─ Bash · no result yet")
            || without[3].contains("└─ Bash · no result yet"),
        "{without:?}"
    );
    let server = machine.serve();
    assert_eq!(commands.map(|args| machine.prints(args)), without);
    assert_eq!(serde_json::from_str::<Value>(&without[4]).unwrap(), server.get_json("/api/v1/sessions/a-session"));
    let words = String::from_utf8(machine.run(&["session", "none"]).stderr).unwrap();
    assert!(words.contains("ducat sessions"), "{words}");
}

#[test]
fn the_description_of_the_api_is_true() {
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &request("a", 1, 100));
    let server = machine.serve();
    let document = server.get_json("/api/v1/openapi.json");
    for (path, methods) in document["paths"].as_object().unwrap() {
        let place = path.replace("{id}", "none").replace("{agent}", "claude-code");
        for method in methods.as_object().unwrap().keys().filter(|_| path != "/api/v1/live") {
            let (status, _, body) = server.talk(
                &method.to_uppercase(),
                &place,
                None,
                "Content-Type: application/json\r\n",
                if method == "post" { "{}" } else { "" },
            );
            assert!(
                methods[method]["responses"].get(status.to_string()).is_some(),
                "{method} {path}: {status} {body} is not described"
            );
        }
    }
    server.comes_to("/api/v1/report?timezone=UTC", &machine.report("daily"));
    // A currency adds its figures.
    for (schema, address, place) in [
        ("Totals", "/api/v1/report?currency=EUR&rate=0.9", "/rows/0"),
        ("Session", "/api/v1/sessions", "/rows/0"),
        ("Tools", "/api/v1/tools", "/totals"),
        ("Latency", "/api/v1/latency", "/totals"),
        ("Rates", "/api/v1/prices", "/rows/0"),
    ] {
        let row = server.get_json(address).pointer(place).unwrap().clone();
        let properties = document["components"]["schemas"][schema]["properties"].as_object().unwrap();
        for name in properties.keys() {
            assert!(row.get(name).is_some(), "{name} is not in {row}");
        }
        for name in row.as_object().unwrap().keys().filter(|name| *name != "date") {
            assert!(properties.contains_key(name), "{name} is not described");
        }
    }
}

#[test]
fn tool_calls_are_told_by_tool_and_by_who_called() {
    let machine = Machine::new();
    let server = machine.serve();
    for (id, success) in [("a", true), ("b", false)] {
        let start = serde_json::json!({ "toolName": "mcp__ops__deploy", "citizen": "ana", "trackingId": id });
        assert_eq!(server.post("/metrics/tool/start", &start).0, 200);
        assert_eq!(server.post("/metrics/tool/end", &serde_json::json!({ "trackingId": id, "success": success })).0, 200);
    }
    let told = server.get_json("/api/v1/tools?by=mcp_server&user=ana&since=today&timezone=UTC");
    assert_eq!((&told["rows"][0]["mcp_server"], &told["totals"]["calls"]), (&"ops".into(), &2.into()));
    assert_eq!((&told["totals"]["failed"], &told["slowest"][1]["name"]), (&1.into(), &"mcp__ops__deploy".into()));
    assert_eq!(server.get_json("/api/v1/tools?user=ben")["totals"]["calls"], 0);
    for (address, field) in [
        ("tools?by=model", "by"),
        ("tools?outcome=maybe", "outcome"),
        ("tools?since=2026-99-99", "since"),
        ("latency?timezone=Mars", "timezone"),
        ("latency?user=ana", "user"),
        ("prices?model=m", "model"),
    ] {
        let (status, body) = server.ask(&format!("/api/v1/{address}"), None, "");
        assert!(status == 400 && body.contains(field), "{address}: {status} {body}");
    }
}

#[test]
fn live_events_come_and_end_with_the_server() {
    use std::io::{BufRead, BufReader, Write};
    let machine = Machine::new();
    let server = machine.serve();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    write!(stream, "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("event: hello")));
    assert_eq!(
        server.post("/metrics/tool/start", &serde_json::json!({ "toolName": "Deploy", "citizen": "ana", "trackingId": "t" })).0,
        200
    );
    let event =
        lines.find_map(|line| line.strip_prefix("data: ").filter(|data| data.contains("Deploy")).map(str::to_owned)).unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!((&event["kind"], &event["name"], &event["outcome"]), (&"tool_call".into(), &"Deploy".into(), &Value::Null));
    server.stop();
    // The stream ends with the server instead of keeping it.
    lines.for_each(drop);
}

/// A home that appears after the server's start is found by its parents, not a minute later.
#[test]
fn an_agents_first_session_is_found_at_once() {
    let machine = Machine::new();
    let server = machine.serve();
    let agents = || server.get_json("/api/v1/report?by=agent")["rows"].to_string();
    let has = |agent: &str| if agents().contains(&format!("\"{agent}\"")) { Ok(()) } else { Err(agents()) };
    // The first look is over.
    write(&machine.projects().join("app/a.jsonl"), &request("a", 1, 100));
    eventually(|| has("claude-code"));
    let fixture = |path: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/capture/tests/fixtures").join(path);
        fs::read_to_string(path).unwrap()
    };
    let rollout = "rollout-2026-11-24T02-45-35-01a20b71-c575-70f2-8d67-7e7e98989150.jsonl";
    let codex = machine.home().join(".codex/sessions/2026/11/24").join(rollout);
    let pi = machine.home().join(".pi/agent/sessions/--p--/s.jsonl");
    for (path, text, agent) in
        [(codex, fixture(&format!("otlp/codex/{rollout}")), "codex"), (pi, fixture("pi/session-0.73.1.jsonl"), "pi")]
    {
        write(&path, &text);
        let written = std::time::Instant::now();
        eventually(|| has(agent));
        println!("{agent} was found after {:?}", written.elapsed());
    }
}
