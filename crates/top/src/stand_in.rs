//! A server that gives the answers of a test.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// Status and body by path.
type ByPath = Vec<(&'static str, u16, String)>;

#[derive(Clone)]
pub struct Answers(Arc<Mutex<ByPath>>);

impl Answers {
    /// A server as it was before it told of tools and hours, that heard of nothing.
    pub fn older() -> Self {
        let answers = Self(Arc::default());
        let totals = json!({ "requests": 0, "cost_usd": 0.0, "cost_nano_usd": "0", "unpriced_requests": 0 });
        answers.set("report?by=billing", 200, json!({ "schema_version": 1, "rows": [], "totals": totals }));
        answers.set("report", 400, json!({ "error": "by: \"hourly\" is no grouping" }));
        answers.set("sessions", 200, json!({ "schema_version": 1, "rows": [] }));
        answers.set("quota", 200, json!({ "schema_version": 1, "quotas": [] }));
        answers
    }

    pub fn busy() -> Self {
        let answers = Self::older();
        let sums = |requests: u64, nano: &str, unpriced: u64| json!({ "requests": requests, "cost_nano_usd": nano, "unpriced_requests": unpriced });
        let with = |name: &str, value: &str, mut sums: Value| {
            sums[name] = json!(value);
            sums
        };
        answers.set(
            "report?by=billing",
            200,
            json!({ "rows": [with("billing", "plan", sums(812, "38120000000", 0))], "totals": sums(812, "38120000000", 0) }),
        );
        answers.set(
            "report?by=session",
            200,
            json!({ "rows": [with("session", "24a274a3-1111", sums(82, "4200000000", 0)), with("session", "5218aaaa", sums(20, "1904000000", 0))],
                "totals": sums(102, "6104000000", 0) }),
        );
        let hour = |hour: u64, nano: &str| with("hour", &format!("2026-11-25T{hour:02}:00:00+00:00"), sums(9, nano, 0));
        answers.set(
            "report?by=hourly",
            200,
            json!({ "rows": [hour(8, "500000000"), hour(9, "2000000000"), hour(10, "9000000000"), hour(12, "4000000000"), hour(14, "6104000000")],
                "totals": sums(45, "38120000000", 0) }),
        );
        answers.set(
            "quota",
            200,
            json!({ "quotas": [
                { "agent": "claude-code", "limit": null, "window": "5h", "used_percent": 62.0, "resets_at": "2026-11-25T15:00:00Z", "used_up_at": null },
                { "agent": "claude-code", "limit": "opus", "window": "7d", "used_percent": 99.0, "resets_at": "2026-11-27T15:00:00Z" },
                { "agent": "claude-code", "limit": null, "window": "7d", "used_percent": 91.0, "resets_at": "2026-11-27T15:00:00Z", "used_up_at": "2026-11-26T18:00:00Z" },
            ] }),
        );
        let session = |id: &str, project: &str, model: &str, last: &str, cost: Value| {
            json!({
                "session": id, "agent": "claude-code", "cwd": format!("/w/{project}"), "project": format!("/w/{project}"), "branch": "main", "user": null,
                "team": null, "host": "vm", "models": [model], "started_at": "2026-11-25T13:02:00Z", "last_at": last, "ended_at": null, "turns": 82,
                "requests": 412, "tool_calls": 1300, "failed_tool_calls": 3, "unpriced_requests": 0, "cost_nano_usd": cost,
            })
        };
        answers.set(
            "sessions",
            200,
            json!({ "rows": [
                session("24a274a3-1111", "ducat", "claude-opus-5", "2026-11-25T14:03:11Z", json!("6980000000")),
                session("5218aaaa", "website", "claude-sonnet-5-20260901", "2026-11-25T14:01:00Z", json!("1904000000")),
                session("\u{1b}[2J\u{202e}evil\r\n", "日本語\u{1b}]0;x\u{7}", "gpt-x", "2026-11-24T09:00:00Z", Value::Null),
            ], "total": 3 }),
        );
        let tool = |name: &str, calls: u64, failed: u64, p50: Value| json!({ "tool": name, "calls": calls, "failed": failed, "p50_ms": p50, "p95_ms": 9800.0, "p99_ms": 61000, "result_bytes": 41_230 });
        answers.set(
            "tools",
            200,
            json!({ "rows": [tool("Bash", 412, 12, json!(1100)), tool("mcp__browser__click\u{1b}[31m", 7, 2, Value::Null)] }),
        );
        answers
    }

    /// In place of what was answered there before; a path with parameters is those that it begins with.
    pub fn set(&self, path: &'static str, status: u16, body: Value) {
        let mut answers = self.0.lock().unwrap();
        answers.retain(|(old, ..)| *old != path);
        // A text is answered as it is.
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        answers.push((path, status, body));
        answers.sort_by_key(|(path, ..)| std::cmp::Reverse(path.len()));
    }

    fn answer(&self, asked: &str) -> (u16, String) {
        let answers = self.0.lock().unwrap();
        let found = answers.iter().find(|(path, ..)| {
            let rest = asked.strip_prefix("/api/v1/").and_then(|asked| asked.strip_prefix(path));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '&']))
        });
        found.map_or_else(
            || (404, json!({ "error": format!("there is nothing at {asked}") }).to_string()),
            |(_, status, body)| (*status, body.clone()),
        )
    }
}

pub struct StandIn {
    port: u16,
}

impl StandIn {
    /// Answers as long as the test runs.
    pub fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answers = answers.clone();
                thread::spawn(move || talk(stream.unwrap(), &answers));
            }
        });
        Self { port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn talk(mut stream: TcpStream, answers: &Answers) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let _ = lines.find(String::is_empty);
    let (status, body) = answers.answer(first.split(' ').nth(1).unwrap_or_default());
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}
