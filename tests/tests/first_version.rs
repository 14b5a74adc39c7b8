//! The first version's API, as its clients call it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ducat_end_to_end::{Machine, Server, eventually, write};
use serde_json::{Value, json};

fn ok(server: &Server, path: &str, body: Value) -> Value {
    let (status, answer) = server.post(path, &body);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Value of the one sample of `/metrics` that begins so.
fn sample(server: &Server, begin: &str) -> Option<f64> {
    let text = server.get("/metrics");
    text.lines().find(|line| line.starts_with(begin)).and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

#[test]
fn every_call_answers_as_it_did() {
    let machine = Machine::new();
    let server = machine.serve();
    let start = json!({ "toolName": "Bash", "citizen": "ana", "citizenClass": "platform", "trackingId": "t1", "timestamp": "2026-01-31T12:00:00" });
    assert_eq!(ok(&server, "/metrics/tool/start", start), json!({ "success": true, "trackingId": "t1" }));
    let end = json!({ "trackingId": "t1", "success": true, "duration": 150, "resultSize": 10, "error": null });
    assert_eq!(ok(&server, "/metrics/tool/end", end.clone()), json!({ "success": true, "duration": 150 }));
    assert_eq!(server.post("/metrics/tool/end", &end), (404, json!({ "error": "Tracking ID not found" })));
    let priced = ok(&server, "/metrics/tokens/used", json!({ "citizen": "ana", "tokens": 1000, "model": "claude-opus-4-8" }));
    assert_eq!(priced, json!({ "success": true, "cost": 0.025, "costFormatted": "$0.0250" }));
    let unknown =
        ok(&server, "/metrics/tokens/used", json!({ "user": "ana", "team": "platform", "tokens": 5, "type": "prompt" }));
    assert_eq!(unknown, json!({ "success": true, "cost": null, "costFormatted": "unknown" }));
    for (path, body) in [
        (
            "/metrics/prompt/analysis",
            json!({ "citizen": "ana", "complexityScore": 0, "thinkingMode": "deep", "promptLength": 9, "factors": {} }),
        ),
        ("/metrics/session/start", json!({ "citizen": "ana" })),
        ("/metrics/session/start", json!({ "citizen": "ana" })),
        ("/metrics/session/end", json!({ "citizen": "ana" })),
        ("/metrics/session/end", json!({ "citizen": "never started" })),
        ("/metrics/optimization/suggestion", json!({ "type": "caching", "citizen": "ana", "potentialSavings": 1.5 })),
        ("/metrics/hook/performance", json!({ "hookType": "pre", "citizen": "ana", "duration": 61.5 })),
        ("/metrics/business/revenue", json!({ "citizen": "ana", "business": "shop", "amount": 12.25, "source": "web" })),
        ("/metrics/revenue", json!({ "citizen": "ana", "business": "shop", "amount": 0.75, "source": "web" })),
    ] {
        assert_eq!(ok(&server, path, body), json!({ "success": true }), "{path}");
    }
    let health = server.get_json("/health");
    assert!(health["status"] == "healthy" && health["uptime"].is_number() && health["timestamp"].is_string());
    assert!(server.get("/dashboard").contains("<html"));
    for (begin, value) in [
        ("ai_tokens_used_total{type=\"completion\",citizen=\"ana\",model=\"claude-opus-4-8\",class=\"unknown\"", 1000.0),
        ("ai_token_cost_dollars{citizen=\"ana\"", 0.025),
        ("ai_token_cost_dollars_total{citizen=\"ana\"", 0.025),
        ("ai_operational_cost_dollars", 0.025),
        ("ai_active_sessions{citizen=\"ana\"", 1.0),
        ("ai_session_duration_seconds_count{citizen=\"ana\"", 1.0),
        ("ai_prompt_complexity_score_count{citizen=\"ana\",thinking_mode=\"deep\"", 1.0),
        ("ai_thinking_mode_usage_total{mode=\"deep\"", 1.0),
        ("ai_optimization_suggestions_total{type=\"caching\",citizen=\"ana\",tool=\"general\"", 1.0),
        ("ai_potential_savings_dollars{citizen=\"ana\",optimization_type=\"caching\"", 1.5),
        ("ai_hook_execution_duration_seconds_sum{hook_type=\"pre\",citizen=\"ana\"", 0.0615),
        ("ai_revenue_generated_dollars{citizen=\"ana\",business=\"shop\",source=\"web\"", 13.0),
        ("ducat_unpriced_requests_total{agent=\"first-version\",model=\"claude\"", 1.0),
    ] {
        assert_eq!(sample(&server, begin), Some(value), "{begin} in\n{}", server.get("/metrics"));
    }
    // The call began in January, before this ledger: it is in the ledger, and in no counter.
    assert_eq!(sample(&server, "ai_tool_executions_total{"), None);
    assert_eq!(sample(&server, "ducat_corrections_total{fact=\"tool_call\",reason=\"history\"}"), Some(1.0));
    ok(&server, "/metrics/tool/start", json!({ "toolName": "Bash", "citizen": "ana", "trackingId": "t1" }));
    let failed = json!({ "trackingId": "t1", "success": false, "error": "TimeoutError: took too long in /secret/place" });
    assert!(ok(&server, "/metrics/tool/end", failed)["duration"].is_u64(), "measured from the start");
    assert_eq!(sample(&server, "ai_errors_total{error_type=\"TimeoutError\",tool=\"Bash\",citizen=\"ana\""), Some(1.0));
    assert_eq!(sample(&server, "ai_tool_failure_rate{tool_name=\"Bash\""), Some(1.0));
    let summary = server.get_json("/metrics/summary");
    assert_eq!(
        (&summary["totalExecutions"], &summary["totalTokens"], &summary["totalCost"]),
        (&json!(1), &json!(1005), &json!(0.025))
    );
    assert_eq!(summary["toolStats"], json!({ "Bash": { "executions": 1, "successes": 0 } }));
    assert_eq!(summary["activeSessions"], 1);
    assert!(
        summary["metrics"]["ai_tool_executions_total"]["type"] == "counter" && summary["totalMetrics"].as_u64().unwrap() > 10
    );
    let (status, page) = server.ask("/metrics/summary", None, "Accept: text/html\r\n");
    assert!(status == 200 && page.contains("<table>") && !page.contains("secret"));
}

#[test]
fn faults_name_their_field() {
    let machine = Machine::new();
    let server = machine.serve();
    for (path, body, word) in [
        ("/metrics/tool/start", json!({ "citizen": "a", "trackingId": "t" }), "Missing required fields"),
        ("/metrics/tool/start", json!({ "toolName": "x", "citizen": "", "trackingId": "t" }), "Missing required fields"),
        ("/metrics/tool/start", json!({ "toolName": 7, "citizen": "a", "trackingId": "t" }), "toolName"),
        (
            "/metrics/tool/start",
            json!({ "toolName": "x", "citizen": "a", "trackingId": "t", "timestamp": "yesterday" }),
            "timestamp",
        ),
        ("/metrics/tool/start", json!({ "toolName": "x", "citizen": "a", "trackingId": "t".repeat(300) }), "trackingId"),
        ("/metrics/tool/end", json!({}), "Missing required fields"),
        ("/metrics/tool/end", json!({ "trackingId": "t", "duration": -1 }), "duration"),
        ("/metrics/tool/end", json!({ "trackingId": "t", "success": "yes" }), "success"),
        ("/metrics/tool/end", json!({ "trackingId": "t", "resultSize": 1.5 }), "resultSize"),
        ("/metrics/tool/end", json!({ "trackingId": "t", "error": {} }), "error"),
        ("/metrics/tokens/used", json!({ "citizen": "a" }), "Missing required fields"),
        ("/metrics/tokens/used", json!({ "citizen": "a", "tokens": -5 }), "tokens"),
        ("/metrics/tokens/used", json!({ "citizen": "a", "tokens": 1e300 }), "tokens"),
        ("/metrics/tokens/used", json!({ "citizen": "a", "tokens": 5, "type": "free" }), "type"),
        ("/metrics/prompt/analysis", json!({ "citizen": "a" }), "Missing required fields"),
        ("/metrics/prompt/analysis", json!({ "citizen": "a", "complexityScore": "high" }), "complexityScore"),
        ("/metrics/session/start", json!({}), "Missing citizen field"),
        ("/metrics/session/end", json!({}), "Missing citizen field"),
        ("/metrics/optimization/suggestion", json!({ "citizen": "a" }), "Missing required fields"),
        ("/metrics/hook/performance", json!({ "citizen": "a", "hookType": "x" }), "Missing required fields"),
        ("/metrics/revenue", json!({ "citizen": "a", "amount": -1 }), "amount"),
        ("/metrics/revenue", json!([]), "body"),
    ] {
        let (status, answer) = server.post(path, &body);
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(word), "{path} {body}: {status} {answer}");
    }
    let (status, _, body) =
        server.talk("POST", "/metrics/tool/start", None, "Content-Type: application/json\r\n", "{\"toolName\": ");
    assert!(status == 400 && body.contains("body: not JSON"), "{status} {body}");
    let deep = "[".repeat(100_000);
    assert_eq!(server.talk("POST", "/metrics/tool/start", None, "Content-Type: application/json\r\n", &deep).0, 400);
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let (status, ..) = server.talk("POST", "/metrics/tool/start", None, "Content-Type: application/json\r\n", &huge);
    assert!(matches!(status, 413 | 0), "{status}");
    assert_eq!(server.ask("/metrics/tool/start", None, "").0, 405);
}

#[test]
fn a_restart_forgets_nothing() {
    let machine = Machine::new();
    let server = machine.serve();
    ok(&server, "/metrics/session/start", json!({ "citizen": "ana" }));
    for id in ["a", "b#c", "d"] {
        ok(&server, "/metrics/tool/start", json!({ "toolName": "Read", "citizen": "ana", "trackingId": id }));
    }
    ok(&server, "/metrics/tool/end", json!({ "trackingId": "a", "duration": 10 }));
    server.kill();
    let server = machine.serve();
    assert_eq!(sample(&server, "ai_active_sessions{citizen=\"ana\""), Some(1.0));
    assert_eq!(server.post("/metrics/tool/end", &json!({ "trackingId": "a" })).0, 404, "it has ended");
    ok(&server, "/metrics/tool/end", json!({ "trackingId": "b#c", "duration": 10 }));
    // An id that has ended starts a new call; one that runs is the same call.
    for id in ["a", "a", "d"] {
        ok(&server, "/metrics/tool/start", json!({ "toolName": "Read", "citizen": "ana", "trackingId": id }));
    }
    for id in ["a", "d"] {
        ok(&server, "/metrics/tool/end", json!({ "trackingId": id, "duration": 10 }));
    }
    ok(&server, "/metrics/session/end", json!({ "citizen": "ana" }));
    assert_eq!(sample(&server, "ai_tool_executions_total{tool_name=\"Read\""), Some(4.0));
    assert_eq!(sample(&server, "ai_active_sessions{"), None);
}

#[test]
fn a_call_repeated_with_its_key_counts_once() {
    let machine = Machine::new();
    let server = machine.serve();
    for _ in 0..3 {
        let headers = "Content-Type: application/json\r\nIdempotency-Key: order-7\r\n";
        let body = json!({ "citizen": "ana", "tokens": 10, "model": "claude-opus-4-8" }).to_string();
        assert_eq!(server.talk("POST", "/metrics/tokens/used", None, headers, &body).0, 200);
    }
    assert_eq!(sample(&server, "ai_tokens_used_total{"), Some(10.0));
}

#[test]
fn a_call_that_never_ends_expires() {
    let machine = Machine::new();
    write(&machine.home().join(".config/ducat/config.toml"), "[first_version]\ntool_call_lasts_s = 1\n");
    let server = machine.serve();
    ok(&server, "/metrics/tool/start", json!({ "toolName": "Read", "citizen": "ana", "trackingId": "t" }));
    eventually(|| match sample(&server, "ai_tool_calls_expired_total{tool_name=\"Read\",citizen=\"ana\"") {
        Some(1.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(server.post("/metrics/tool/end", &json!({ "trackingId": "t" })).0, 404);
    // Found open again after a restart, given up again, counted once.
    server.stop();
    let server = machine.serve();
    thread::sleep(Duration::from_millis(1600));
    assert_eq!(sample(&server, "ai_tool_calls_expired_total{"), Some(1.0));
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_under_load() {
    let machine = Machine::new();
    let server = machine.serve();
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for worker in 0..8 {
            let (server, acknowledged, stop) = (&server, &acknowledged, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    let body = json!({ "citizen": format!("u{worker}"), "tokens": 1, "trackingId": number }).to_string();
                    let Ok(200) = try_post(server.port, "/metrics/tokens/used", &body) else { return };
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        thread::sleep(Duration::from_millis(700));
        // While they write.
        assert!(std::process::Command::new("kill").args(["-9", &server.child.id().to_string()]).status().unwrap().success());
        thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::SeqCst);
    });
    let acknowledged = acknowledged.into_inner();
    assert!(acknowledged > 20, "{acknowledged}");
    drop(server);
    let server = machine.serve();
    let stored = server.get_json("/api/v1/report")["totals"]["requests"].as_u64().unwrap();
    // Each worker may have had one on its way.
    assert!((acknowledged..=acknowledged + 8).contains(&stored), "{acknowledged} acknowledged, {stored} stored");
    let counted: f64 = sums(&server.get("/metrics"), "ai_tokens_used_total");
    assert_eq!(counted, stored as f64, "the counters are what is stored");
}

fn sums(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn try_post(port: u16, path: &str, body: &str) -> std::io::Result<u16> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

#[test]
fn labels_are_bounded() {
    let machine = Machine::new();
    let server = machine.serve();
    let mut seen = BTreeMap::new();
    for number in 0..230 {
        ok(&server, "/metrics/tokens/used", json!({ "citizen": format!("made-up-{number}"), "tokens": 1 }));
        *seen.entry(number % 7).or_insert(0) += 1;
    }
    let text = server.get("/metrics");
    assert_eq!(text.lines().filter(|line| line.starts_with("ai_tokens_used_total{")).count(), 201);
    assert_eq!(sample(&server, "ai_tokens_used_total{type=\"completion\",citizen=\"other\""), Some(30.0));
    assert!(sample(&server, "ducat_label_overflows_total{label=\"citizen\"}").unwrap() >= 30.0);
}
