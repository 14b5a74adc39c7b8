//! Real Python applications on the official OpenTelemetry SDK, by hand and instrumented by OpenInference and OpenLLMetry, against a
//! stand-in for the provider: metered to the token, over HTTP and gRPC.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ducat_end_to_end::{Machine, Server, eventually};
use serde_json::{Value, json};

/// Python with the libraries, installed by `scripts/setup-test`; without it says that the test skips.
fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/genai");
    if !folder.join("ready").exists() {
        eprintln!("skipped: Python with OpenTelemetry is not installed (make test does it)");
        return None;
    }
    // Not its canonical path: that is of the Python without the libraries.
    Some(folder.join("bin/python"))
}

fn stand_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins").join(name)
}

/// The provider's stand-in; how it answered is in its log.
struct Chat {
    child: Child,
    url: String,
    log: PathBuf,
}

impl Chat {
    fn start(machine: &Machine, python: &Path) -> Self {
        let usage = |prompt: u64, cached: u64, completion: u64, reasoning: u64| json!({ "prompt_tokens": prompt, "cached": cached, "completion_tokens": completion, "reasoning": reasoning });
        let turns = json!([
            { "text": "", "calls": [["weather", {}]], "usage": usage(9000, 4096, 80, 30) },
            { "text": "sunny", "usage": usage(9200, 8192, 90, 0) },
            { "text": "sunny", "usage": usage(9300, 0, 100, 50) },
        ]);
        let (script, log) = (machine.home().join("turns.json"), machine.home().join("api.jsonl"));
        fs::write(&script, turns.to_string()).unwrap();
        let mut child = Command::new(python)
            .arg(stand_in("mock-chat"))
            .args(["--script".as_ref(), script.as_os_str(), "--log".as_ref(), log.as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = format!("http://127.0.0.1:{}/v1", line.trim().strip_prefix("ready ").unwrap());
        Self { child, url, log }
    }

    fn answered(&self) -> Vec<Value> {
        fs::read_to_string(&self.log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tokens by kind and cost in nano-USD: input without cache, cached, output.
type Spent = (u64, u64, u64, u64);

/// At gpt-5.4's rates in the price table: 2.50, 0.25 and 15 USD for a million.
fn spent(answers: &[Value]) -> Spent {
    answers.iter().fold((0, 0, 0, 0), |(input, cached, output, cost), answer| {
        let count = |name: &str| answer["usage"].pointer(name).unwrap().as_u64().unwrap();
        let read = count("/prompt_tokens_details/cached_tokens");
        let (fresh, written) = (count("/prompt_tokens") - read, count("/completion_tokens"));
        (input + fresh, cached + read, output + written, cost + fresh * 2500 + read * 250 + written * 15_000)
    })
}

fn run(server: &Server, python: &Path, convention: &str, protocol: &str, chat: &Chat) {
    let health = server.get_json("/health");
    let listeners = health["otlp"].as_array().unwrap();
    let address = listeners[usize::from(protocol == "grpc")]["address"].as_str().unwrap();
    let ran = Command::new(python)
        .arg(stand_in("genai-app"))
        .args([convention, protocol, &chat.url])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", address.rsplit(':').next().unwrap()))
        .env("OTEL_EXPORTER_OTLP_INSECURE", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && !said.contains("Failed to export"), "{convention} over {protocol}: {said}");
}

#[test]
fn applications_of_each_convention_are_metered_to_the_token() {
    let Some(python) = python() else { return };
    for (convention, protocol) in
        [("opentelemetry", "grpc"), ("opentelemetry", "http"), ("openinference", "http"), ("openllmetry", "grpc")]
    {
        let machine = Machine::new();
        let server = machine.serve();
        let chat = Chat::start(&machine, &python);
        run(&server, &python, convention, protocol, &chat);
        let answers = chat.answered();
        assert_eq!(answers.len(), 3);
        let (input, cached, output, cost) = spent(&answers);
        // What the metrics repeat and the parents sum up does not count; the call that failed used nothing.
        let want = json!([3, input, cached, output]);
        let row = eventually(|| {
            let report = server.get_json("/api/v1/report?by=agent&timezone=UTC");
            let got =
                ["requests", "input_tokens", "cache_read_tokens", "output_tokens"].map(|name| report["totals"][name].clone());
            if json!(got) == want { Ok(report["totals"].clone()) } else { Err(format!("{convention}: {report}, not {want}")) }
        });
        let usd: f64 = row["cost_usd"].as_f64().or_else(|| row["cost_usd"].as_str()?.parse().ok()).unwrap();
        assert_eq!((usd * 1e9).round() as u64, cost, "{convention}: {row}");

        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        let (mut turns, mut errors) = (0, Vec::new());
        let sessions = server.get_json("/api/v1/sessions");
        for session in sessions["rows"].as_array().unwrap() {
            assert_eq!(session["agent"], format!("weather-bot-{convention}"));
            let session = server.get_json(&format!("/api/v1/sessions/{}", session["session"].as_str().unwrap()));
            turns += session["turns"].as_array().unwrap().len();
            for call in session["tool_calls"].as_array().unwrap() {
                assert_eq!(call["name"], "weather");
                *outcomes.entry(call["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            errors.extend(
                session["incidents"].as_array().unwrap().iter().map(|error| error["detail"].as_str().unwrap().to_owned()),
            );
        }
        let want = BTreeMap::from([("ok".to_owned(), 1), ("error".to_owned(), 1)]);
        assert_eq!((outcomes, turns), (want, 2), "{convention}: {sessions}");
        assert!(errors.len() == 1 && errors[0].ends_with("APIConnectionError"), "{convention}: {errors:?}");
        // OpenLLMetry's own spans name no session, so a trace is one.
        let expected = if convention == "openllmetry" { 2 } else { 1 };
        assert_eq!(sessions["rows"].as_array().unwrap().len(), expected, "{convention}: {sessions}");
        server.stop();
    }
}
