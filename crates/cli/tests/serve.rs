//! `ducat serve` and `ducat import` as a user runs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A user's machine: a home with transcripts, and a data folder.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(TempDir::new().unwrap());
        fs::create_dir_all(machine.projects()).unwrap();
        machine
    }

    fn projects(&self) -> PathBuf {
        self.0.path().join("claude/projects")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ducat"));
        command.args(args).env_clear().env("HOME", self.0.path()).env("CLAUDE_CONFIG_DIR", self.0.path().join("claude"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn import(&self) -> String {
        let output = self.run(&["import"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn serve(&self) -> Server {
        let mut child = self.command(&["serve", "--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        words.read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        std::thread::spawn(move || words.read_to_end(&mut Vec::new()));
        Server { child, port }
    }

    /// The report from transcripts, whose bytes every other way must give.
    fn report(&self, by: &str) -> String {
        let output = self.run(&["report", by, "--timezone", "UTC", "--json"]);
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Status and body of a GET with these header lines beside `Host`.
    fn ask(&self, path: &str, host: Option<&str>, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = host.map_or_else(|| format!("localhost:{}", self.port), str::to_owned);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn get(&self, path: &str) -> String {
        let (status, body) = self.ask(path, None, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Asks until the answer is this one: the server follows the files on its own time.
    fn comes_to(&self, path: &str, expected: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.get(path) != expected {
            assert!(Instant::now() < end, "{path}: {} instead of {expected}", self.get(path));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn request(session: &str, id: u64, output: u64) -> String {
    let line = json!({
        "type": "assistant", "sessionId": session, "uuid": format!("00000000-0000-0000-0000-{id:012}"), "cwd": "/somewhere/app",
        "timestamp": format!("2026-01-02T10:{:02}:00.000Z", id % 60), "requestId": format!("req_{id}"),
        "message": { "id": format!("msg_{id}"), "role": "assistant", "model": "claude-opus-4-8",
            "content": [{ "type": "tool_use", "id": format!("toolu_{id}"), "name": "Bash", "input": {} }],
            "usage": { "input_tokens": 10, "output_tokens": output } },
    });
    format!("{line}\n")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn append(path: &Path, text: &str) {
    File::options().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

const GROUPINGS: [&str; 7] = ["daily", "weekly", "monthly", "session", "project", "model", "branch"];

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
    assert_eq!(machine.import(), "3 new lines in 1 of 1 files.\n");
    assert_eq!(machine.import(), "0 new lines in 0 of 1 files.\n");
    append(&file, &request("a", 4, 100));
    assert_eq!(machine.import(), "1 new line in 1 of 1 files.\n");
    let before = machine.report("daily");
    // Rewritten shorter, and moved: read anew, and nothing counts twice.
    write(&file, &request("a", 1, 100));
    assert_eq!(machine.import(), "1 new line in 1 of 1 files.\n");
    fs::rename(&file, machine.projects().join("app/b.jsonl")).unwrap();
    machine.import();
    fs::remove_file(machine.projects().join("app/b.jsonl")).unwrap();
    machine.import();
    let server = machine.serve();
    assert_eq!(server.get("/api/v1/report?timezone=UTC"), before);
}

#[test]
fn strangers_are_refused() {
    let machine = Machine::new();
    let server = machine.serve();
    let own = format!("Origin: http://localhost:{}\r\n", server.port);
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
        ("/assets/page.js", None, "", 200),
        ("/assets/..%2f..%2fetc%2fpasswd", None, "", 404),
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
    assert!(words.contains("is taken by another program; choose another port"), "{words}");
    let words = refused(&other, &["serve", "--host", "0.0.0.0", "--port", "0"]);
    assert!(words.contains("METRICS_API_KEY"), "{words}");
}

#[test]
fn a_key_is_asked_for_when_there_is_one() {
    let machine = Machine::new();
    let mut child =
        machine.command(&["serve", "--port", "0"]).env("METRICS_API_KEY", "secret").stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let server = Server { child, port: line.trim().rsplit(':').next().unwrap().parse().unwrap() };
    assert_eq!(server.ask("/api/v1/sessions", None, "").0, 401);
    assert_eq!(server.ask("/api/v1/sessions", None, "Authorization: Bearer secres\r\n").0, 401);
    assert_eq!(server.ask("/api/v1/sessions", None, "Authorization: Bearer secret\r\n").0, 200);
    assert_eq!(server.ask("/health", None, "").0, 200);
}
