//! What takes long: fuzz, kill rounds, a soak. `make test-long` runs them; `DUCAT_LONG_SECONDS` (default 60) is how long each may take,
//! `DUCAT_SEED` (printed) makes a run repeatable.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ducat_capture::claude_code::{FileState, decode_hook, decode_line, decode_status_line};
use ducat_capture::codex::decode_rate_limits;
use ducat_capture::{Agent, AsTold, Detail, decode_document};
use ducat_end_to_end::otlp::{Captured, JSON, PROTOBUF, logs, post};
use ducat_end_to_end::{Machine, append, eventually, request, write};
use ducat_ledger::remote::Word;
use ducat_prices::PriceTable;
use ducat_report::{ReportQuery, Settings};
use ducat_spool::{Frame, redact};
use ducat_status_line::Template;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

fn lasts() -> Duration {
    Duration::from_secs(std::env::var("DUCAT_LONG_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60))
}

/// Xorshift: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn seeded(test: &str) -> Self {
        let told = std::env::var("DUCAT_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = told.unwrap_or_else(|| ducat_spool::now_ms() | 1);
        let _ = writeln!(std::io::stderr(), "{test}: DUCAT_SEED={seed}");
        Self(seed.max(1))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Pieces that parsers trip over.
const PIECES: [&[u8]; 16] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\u0000",
    b"\\ud800",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"null",
    b"\xff\xfe",
    b"\0",
    b",",
    b"[[[[[[[[[[[[",
];

fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if !bytes.is_empty() => {
                let at = at % bytes.len();
                bytes[at] ^= 1 << random.below(8);
            }
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            3 => {
                let end = (at + random.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let end = (at + random.below(60)).min(bytes.len());
                let again = bytes[at..end].repeat(1 + random.below(20));
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

fn lines_below(folder: &Path, into: &mut Vec<Vec<u8>>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            lines_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            into.extend(
                fs::read(&path).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec),
            );
        }
    }
}

#[test]
#[ignore = "long"]
fn no_bytes_make_a_parser_panic() {
    let mut random = Random::seeded("fuzz");
    let mut corpus = Vec::new();
    lines_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/capture/tests/fixtures"), &mut corpus);
    let frames: Vec<Vec<u8>> = corpus
        .iter()
        .take(20)
        .map(|line| {
            Frame { id: ducat_spool::EventId([7; 16]), at_ms: 1, agent: "claude-code".into(), payload: line.clone() }.encode()
        })
        .collect();
    corpus.extend(frames);
    corpus.push(br#"{"version":1,"models":{"m":{"input":1.5}}}"#.to_vec());
    corpus.push(b"since=7d&until=today&by=weekly&timezone=Europe/Berlin".to_vec());
    corpus.push(br#"{"timestamp":"2026-04-06T13:42:13.523Z","payload":{"rate_limits":{"limit_id":"codex","primary":{"used_percent":13.0,"window_minutes":300,"resets_at":1775490660},"plan_type":"plus"}}}"#.to_vec());
    corpus.push(br#"{"timestamp":"2026-04-06T13:42:13Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":9,"output_tokens":2},"last_token_usage":{"input_tokens":9}}}}"#.to_vec());
    corpus.push(br#"{"sessionId":"s","projectHash":"h","$set":{"messages":[{"id":"m","type":"gemini","tokens":{"input":7,"cached":1},"toolCalls":[{"id":"c"}]}]}}"#.to_vec());
    corpus.push("{model}[ · 5h {five_hour}][[{{lines}}]]".as_bytes().to_vec());
    let words: Vec<Vec<u8>> = corpus
        .iter()
        .map(|line| {
            let mut facts = Vec::new();
            decode_line(line, &mut FileState::default(), &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
            serde_json::to_vec(&Word { event: None, facts }).unwrap()
        })
        .collect();
    corpus.extend(words);
    let (begun, mut tried) = (Instant::now(), 0_u64);
    while begun.elapsed() < lasts() {
        let bytes = mutated(&corpus, &mut random);
        let mut facts = 0;
        decode_line(&bytes, &mut FileState::default(), &mut AsTold, Detail::All, &mut |_| facts += 1);
        for agent in Agent::ALL {
            let mut state = ducat_capture::FileState::of(agent, Path::new("x"));
            state.decode_line(&bytes, &mut AsTold, Detail::All, &mut |_| facts += 1);
            decode_document(agent, &bytes, Path::new("x"), &mut AsTold, Detail::All, &mut |_| facts += 1);
        }
        decode_hook(&bytes, 1_780_000_000_000, &mut AsTold, &mut |_| facts += 1);
        decode_hook(&redact(&bytes), 1_780_000_000_000, &mut AsTold, &mut |_| facts += 1);
        decode_status_line(&bytes, 1_795_574_310_000, &mut AsTold, &mut |_| facts += 1);
        decode_rate_limits(&bytes, &mut |_| facts += 1);
        let _ = Frame::decode(&bytes);
        // A line of another machine: what is believed of a stranger.
        if let Ok(word) = serde_json::from_slice::<Word>(&bytes) {
            let _ = word.check();
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = text.parse::<Template>();
        let _ = PriceTable::from_json(&text);
        let pairs: Vec<(&str, &str)> = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let _ = ReportQuery::parse(pairs, "2026-11-24T12:00:00Z".parse().unwrap(), &Settings::default());
        tried += 1;
    }
    let _ = writeln!(std::io::stderr(), "fuzz: {tried} inputs");
    assert!(tried > 1000, "{tried}");
}

/// Whatever is sent as telemetry is answered: taken, or refused as what it is; then the server takes what is good.
#[test]
#[ignore = "long"]
fn no_export_hurts_the_server() {
    let mut random = Random::seeded("fuzz of exports");
    let machine = Machine::new();
    let server = machine.serve();
    let captured = Captured::new();
    let packed = |bytes: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let (json, protobuf) = (captured.session("fuzz", 2), captured.protobuf("fuzz", 2));
    let gzip = ("Content-Encoding", "gzip");
    let forms = [
        (vec![JSON], vec![json.clone(), b"{\"resourceLogs\":[{}],\"resourceSpans\":[],\"resourceMetrics\":null}".to_vec()]),
        (vec![PROTOBUF], vec![protobuf.clone(), logs(3)]),
        (vec![JSON, gzip], vec![packed(&json)]),
        (vec![PROTOBUF, gzip], vec![packed(&protobuf)]),
        (vec![PROTOBUF, ("Content-Encoding", "deflate")], vec![protobuf.clone()]),
        (vec![PROTOBUF, ("Content-Encoding", "zstd")], vec![b"\x28\xb5\x2f\xfd\x24\x05\x29\0\0hello\xa6\x55\x22\x5f".to_vec()]),
    ];
    let (begun, mut tried, mut taken) = (Instant::now(), 0_u64, 0_u64);
    while begun.elapsed() < lasts() {
        let (headers, corpus) = &forms[random.below(forms.len())];
        let body = mutated(corpus, &mut random);
        let path = ["/v1/logs", "/v1/metrics", "/v1/traces"][random.below(3)];
        let (status, head, _) = post(server.port, path, headers, &body);
        assert!(matches!(status, 200 | 400 | 413 | 429), "{path} {headers:?} {status} {head}: {body:02x?}");
        (tried, taken) = (tried + 1, taken + u64::from(status == 200));
    }
    let _ = writeln!(std::io::stderr(), "fuzz of exports: {tried}, {taken} taken");
    assert!(tried > 100 && taken > 0, "{tried} {taken}");
    for (headers, body) in [(JSON, captured.session("json", 3)), (PROTOBUF, captured.protobuf("protobuf", 3))] {
        assert_eq!(post(server.port, "/v1/logs", &[headers], &body).0, 200);
    }
    eventually(|| {
        let report: Value = server.get_json("/api/v1/report?by=session&timezone=UTC");
        let text = report.to_string();
        if text.contains("\"json\"") && text.contains("\"protobuf\"") { Ok(()) } else { Err(text) }
    });
}

/// Hooks deliver while the server is killed again and again: afterwards every event is in the ledger once.
#[test]
#[ignore = "long"]
fn kill_rounds_lose_and_repeat_nothing() {
    let mut random = Random::seeded("kill rounds");
    let machine = Machine::new();
    // Counting begins with the ledger.
    machine.serve().stop();
    let told = AtomicU64::new(0);
    let begun = Instant::now();
    let mut rounds = 0;
    thread::scope(|scope| {
        let ended = || begun.elapsed() >= lasts();
        for worker in 0..3 {
            let (machine, told) = (&machine, &told);
            scope.spawn(move || {
                for number in 0.. {
                    if ended() {
                        return;
                    }
                    let event = json!({ "session_id": "s", "cwd": "/a", "hook_event_name": "PostToolUse", "tool_name": "Bash",
                        "tool_use_id": format!("toolu_{worker}_{number}"), "duration_ms": 1 });
                    machine.hook(&event, &[("DUCAT_HOOK_DEADLINE_MS", "400")]);
                    told.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while !ended() {
            let server = machine.serve();
            thread::sleep(Duration::from_millis(20 + random.below(1500) as u64));
            server.kill();
            thread::sleep(Duration::from_millis(random.below(200) as u64));
            rounds += 1;
        }
    });
    let server = machine.serve();
    eventually(|| if machine.spooled().is_empty() { Ok(()) } else { Err(format!("{} still spooled", machine.spooled().len())) });
    let stored = server.get_json("/api/v1/sessions/s")["tool_calls"].as_array().unwrap().len() as u64;
    let told = told.into_inner();
    let _ = writeln!(std::io::stderr(), "kill rounds: {rounds} rounds, {told} events");
    assert_eq!(stored, told);
    let counted: f64 = server
        .get("/metrics")
        .lines()
        .filter(|line| line.starts_with("ducat_tool_calls_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(counted, told as f64, "the counters are what is stored");
}

/// All ways in at once, for a while: every reader agrees at the end, and memory stays bounded.
#[test]
#[ignore = "long"]
fn a_soak_leaves_all_readers_agreed() {
    let mut random = Random::seeded("soak");
    let machine = Machine::new();
    let server = machine.serve();
    let (begun, mut number) = (Instant::now(), 0_u64);
    let mut first_version = 0_u64;
    while begun.elapsed() < lasts() {
        number += 1;
        let session = format!("s{}", random.below(20));
        let file = machine.projects().join(format!("app/{session}.jsonl"));
        match random.below(6) {
            0 | 1 => {
                if !file.exists() {
                    write(&file, "");
                }
                append(&file, &request(&session, number, 1 + random.below(900) as u64));
            }
            2 => {
                // A fork: the same lines under another session, a few times each. Written once; what a rewritten file said before stays in the
                // ledger.
                let fork = format!("f{session}-{}", random.below(3));
                let there = machine.projects().join(format!("app/{fork}.jsonl")).exists();
                if let Ok(text) = fs::read_to_string(&file)
                    && !there
                    && number > 500
                {
                    let lines = text.replace(&format!("\"sessionId\":\"{session}\""), &format!("\"sessionId\":\"{fork}\""));
                    write(&machine.projects().join(format!("app/{fork}.jsonl")), &lines);
                }
            }
            3 => {
                // Of sessions without transcripts: a live witness may know an owner better than a report of transcripts can.
                let event = json!({ "session_id": format!("h{session}"), "cwd": "/somewhere/app", "hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": format!("toolu_{number}"), "duration_ms": number });
                machine.hook(&event, &[]);
            }
            4 => {
                assert_eq!(
                    server.post("/metrics/tokens/used", &json!({ "citizen": format!("u{}", random.below(400)), "tokens": 3 })).0,
                    200
                );
                first_version += 1;
            }
            _ => drop(server.get("/metrics")),
        }
        thread::sleep(Duration::from_millis(2));
    }
    for by in ["daily", "session", "model", "project"] {
        let expected: Value = serde_json::from_str(&machine.report(by)).unwrap();
        eventually(|| {
            let got = server.get_json(&format!("/api/v1/report?by={by}&timezone=UTC&agent=claude-code"));
            let rows = |document: &Value| document["rows"].as_array().unwrap().clone();
            let differ = rows(&got).into_iter().zip(rows(&expected)).find(|(got, expected)| got != expected);
            if got == expected { Ok(()) } else { Err(format!("{by}: {differ:?}")) }
        });
    }
    assert_eq!(server.get_json("/api/v1/report?agent=first-version")["totals"]["requests"], first_version);
    let memory = server
        .get("/metrics")
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes ")?.parse::<f64>().ok())
        .unwrap();
    let _ = writeln!(std::io::stderr(), "soak: {number} steps, {:.0} MiB", memory / 1048576.0);
    assert!(memory < 200e6, "{memory}");
}

/// Clients that send their head or their body byte by byte are let go, and keep nobody else waiting.
#[test]
#[ignore = "long"]
fn slow_clients_are_let_go() {
    let machine = Machine::new();
    let server = machine.serve();
    let open = |text: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    };
    let mut slow: Vec<TcpStream> = (0..200).map(|_| open("GET /health HTTP/1.1\r\nHost: localhost\r\n")).collect();
    let body =
        "POST /metrics/tool/start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow.push(open(body));
    let begun = Instant::now();
    server.get("/health");
    for stream in &mut slow {
        let mut answer = Vec::new();
        // Closed with a word or without one; not left open.
        let _ = stream.read_to_end(&mut answer);
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
}

/// Every command that the README shows.
#[test]
#[ignore = "long"]
fn the_commands_of_the_documents_run() {
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &(1..=3).map(|id| request("b90a0000", id, 100)).collect::<String>());
    write(&machine.home().join("backup/projects/app/a.jsonl"), &request("old", 9, 100));
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let shown = readme.lines().filter_map(|line| line.strip_prefix("$ "));
    let mut ran = 0;
    for command in shown {
        let words: Vec<&str> = command.trim_start_matches("target/release/").split_whitespace().collect();
        assert_eq!(words[0], "ducat", "{command}");
        // They need the client, or a systemd of the user's own, and are tested with it.
        if matches!(words[1], "setup" | "meter" | "service" | "doctor") {
            continue;
        }
        let output = machine.command(&words[1..]).current_dir(machine.home()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        ran += 1;
    }
    assert!(ran >= 3, "{ran}");
}
