//! A real Prometheus scrapes the server while sessions go on, history is imported, a session is forked and the server is killed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ducat_end_to_end::{Machine, Server, append, eventually, past, request, write};
use ducat_ledger::Witness;
use serde_json::{Value, json};

/// Debian's `prometheus` package brings both; without it says that the test skips.
fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed (make test does it)");
    }
    found
}

/// A request of just now.
fn live(session: &str, id: u64, output: u64) -> String {
    let now = ducat_spool::now_ms();
    let now = format!("@{}.{:03}", now / 1000, now % 1000);
    let time = Command::new("date").args(["-u", "-d", &now, "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output().unwrap();
    let time = String::from_utf8(time.stdout).unwrap();
    let old = format!("2026-01-02T10:{:02}:00.000Z", id % 60);
    request(session, id, output).replace(&old, time.trim())
}

/// The rules of the documents are rules.
#[test]
fn promtool_takes_the_example_alerts() {
    if !installed("promtool") {
        return;
    }
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/quiet.md")).unwrap();
    let rules = document.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = Machine::new();
    let file = folder.home().join("rules.yml");
    fs::write(&file, rules).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && words.contains("2 rules found"), "{words}{}", String::from_utf8_lossy(&output.stderr));
}

struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    fn scraping(machine: &Machine, target: u16) -> Self {
        let config = machine.home().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs: [{{job_name: ducat, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
        );
        fs::write(&config, text).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", machine.home().join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// Value of a query with one answer.
    fn ask(&self, query: &str) -> Option<f64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let body = format!("query={}", query.replace('%', "%25").replace('+', "%2B").replace('&', "%26"));
        let length = body.len();
        write!(
            stream,
            "POST /api/v1/query HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let value: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        value["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    fn comes_to(&self, query: &str, expected: f64) {
        eventually(|| match self.ask(query) {
            Some(value) if value == expected => Ok(()),
            other => Err(format!("{query} is {other:?}, not {expected}")),
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn increases_are_the_live_facts_over_import_fork_and_restart() {
    if !installed("prometheus") {
        return;
    }
    let machine = Machine::new();
    let file = machine.projects().join("app/a.jsonl");
    write(&file, &(1..=5).map(|id| request("a", id, 100)).collect::<String>());
    let server = machine.serve();
    // The series exist before the first scrape: Prometheus counts no increase from nothing.
    append(&file, &live("a", 100, 7));
    let prometheus = Prometheus::scraping(&machine, server.port);
    prometheus.comes_to("sum(ducat_requests_total)", 1.0);
    // More history than was ever live, in a new file.
    write(&machine.projects().join("old/b.jsonl"), &(10..=60).map(|id| request("b", id, 100)).collect::<String>());
    prometheus.comes_to("sum(ducat_corrections_total{fact='request',reason='history'})", 56.0);
    // Live, then torn and grown, then forked.
    append(&file, &live("a", 101, 10));
    append(&file, &live("a", 102, 3));
    prometheus.comes_to("sum(ducat_requests_total)", 3.0);
    append(&file, &live("a", 102, 20));
    let lines = fs::read_to_string(&file).unwrap().replace("\"sessionId\":\"a\"", "\"sessionId\":\"fork\"");
    write(&machine.projects().join("app/fork.jsonl"), &(lines + &live("fork", 103, 30)));
    prometheus.comes_to("sum(ducat_requests_total)", 4.0);
    // Killed; what happens meanwhile is live too.
    let port = server.port.to_string();
    server.kill();
    append(&file, &live("a", 104, 40));
    let server = Server::start(&mut machine.command(&["serve", "--port", &port]));
    prometheus.comes_to("sum(ducat_requests_total)", 5.0);
    prometheus.comes_to("sum(ducat_tokens_total{kind='output'})", 7.0 + 10.0 + 20.0 + 30.0 + 40.0);
    thread::sleep(Duration::from_secs(1));
    for (series, live) in [("sum(ducat_requests_total)", 4.0), ("sum(ducat_tokens_total{kind='output'})", 100.0)] {
        let over = format!("({series})[2m:100ms]");
        assert_eq!(prometheus.ask(&format!("max_over_time({over}) - min_over_time({over})")), Some(live), "{series}");
    }
    // increase() itself extrapolates to the edges of its window, by less than one scrape interval here.
    assert_eq!(prometheus.ask("round(sum(increase(ducat_requests_total[2m])))"), Some(4.0));
    let increase = prometheus.ask("sum(increase(ducat_tokens_total{kind='output'}[2m]))").unwrap();
    assert!((100.0..110.0).contains(&increase), "{increase}");
    for family in
        ["ducat_requests_total", "ducat_tokens_total", "ducat_cost_usd_total", "ducat_corrections_total", "ai_token_cost_dollars"]
    {
        assert_eq!(prometheus.ask(&format!("sum(resets({family}[2m]))")), Some(0.0), "{family} fell");
    }
    // Both names of a counter whose first name breaks the rules, through OpenMetrics.
    let cost = prometheus.ask("sum(ai_token_cost_dollars)");
    assert!(cost.unwrap() > 0.0 && cost == prometheus.ask("sum(ai_token_cost_dollars_total)"));
    drop(server);
}

#[test]
fn promtool_finds_nothing_but_the_odd_names() {
    if !installed("promtool") {
        return;
    }
    let machine = Machine::new();
    past::told(&machine, "codex", &[(Witness::Hook, 90, 50), (Witness::Transcript, 90, 0)]);
    let server = machine.serve();
    write(&machine.projects().join("app/a.jsonl"), &live("a", 1, 7));
    for (path, body) in [
        ("/metrics/tool/start", json!({ "toolName": "Bash \"quoted\" \\ \n", "citizen": "ana", "trackingId": "t1" })),
        ("/metrics/tool/end", json!({ "trackingId": "t1", "duration": 5, "resultSize": 7 })),
        ("/metrics/tokens/used", json!({ "citizen": "ana", "tokens": 1000, "model": "claude-opus-4-8" })),
        ("/metrics/hook/performance", json!({ "hookType": "pre", "citizen": "ana", "duration": 61.5 })),
        ("/metrics/revenue", json!({ "citizen": "ana", "business": "shop", "amount": 0.75 })),
        ("/metrics/optimization/suggestion", json!({ "type": "caching", "citizen": "ana", "potentialSavings": 1.5 })),
        ("/metrics/prompt/analysis", json!({ "citizen": "ana", "complexityScore": 3 })),
        ("/metrics/session/start", json!({ "citizen": "ana" })),
    ] {
        assert_eq!(server.post(path, &body).0, 200, "{path}");
    }
    let text = eventually(|| {
        let text = server.get("/metrics");
        if text.contains("\nducat_requests_total{agent=\"claude-code\"") { Ok(text) } else { Err("not imported".to_owned()) }
    });
    assert!(text.contains("ducat_witness_quiet{agent=\"codex\",witness=\"hook\"} 1"));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let words = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let named: BTreeSet<&str> = words.lines().filter_map(|line| line.split(' ').next()).collect();
    let odd = BTreeSet::from(["ai_potential_savings_dollars", "ai_revenue_generated_dollars", "ai_token_cost_dollars"]);
    assert_eq!(named, odd, "{words}");
    // OpenMetrics: asked for, ended, exemplars only there.
    let (_, head, open) =
        server.talk("GET", "/metrics", None, "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n", "");
    assert!(head.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(
        open.ends_with("# EOF\n") && open.contains("ducat_requests_created{") && open.contains("# {session_id=\"a\"}"),
        "{open}"
    );
    assert!(!text.contains("_created") && !text.contains("# {"));
    let (_, head, _) = server.talk("GET", "/metrics", None, "Accept-Encoding: gzip\r\n", "");
    assert!(head.to_lowercase().contains("content-encoding: gzip"), "{head}");
}
