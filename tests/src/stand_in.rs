//! A stand-in for a provider: hands out a script's answers and logs what they said, the truth to compare an accounting with.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::Machine;

pub struct StandIn {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl StandIn {
    /// Starts the program with a script of turns.
    pub fn start(program: &Path, machine: &Machine, turns: &Value) -> Self {
        let (script, log) = (machine.home().join("turns.json"), machine.home().join("api.jsonl"));
        fs::write(&script, turns.to_string()).unwrap();
        let mut child = Command::new(program)
            .args(["--port", "0", "--script"])
            .arg(&script)
            .arg("--log")
            .arg(&log)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("ready ").unwrap().parse().unwrap();
        Self { child, port, log }
    }

    /// What it answered.
    pub fn answered(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client's program, installed by `scripts/setup-test`; without it says that the test skips.
pub fn client(folder: &str, program: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/clients");
    let program = root.join(folder).join("node_modules/.bin").join(program);
    if !program.exists() {
        eprintln!("skipped: {folder} is not installed (make test does it)");
        return None;
    }
    program.canonicalize().ok()
}

/// A count of an answer, 0 where it tells none.
pub fn number(answer: &Value, pointer: &str) -> u64 {
    answer.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The port of a provider that answers everything with this error.
pub fn refusing(status: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = r#"{"error":{"type":"invalid_request_error","code":"invalid_request_error","message":"made to fail"}}"#;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = || -> std::io::Result<()> {
                let mut words = BufReader::new(&stream);
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    words.read_line(&mut line)?;
                    let line = line.trim_end().to_ascii_lowercase();
                    if line.is_empty() {
                        break;
                    }
                    length = line.strip_prefix("content-length:").and_then(|length| length.trim().parse().ok()).unwrap_or(length);
                }
                words.read_exact(&mut vec![0; length])?;
                let head = format!("HTTP/1.1 {status} Refused\r\nContent-Type: application/json\r\nConnection: close\r\n");
                write!(&stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())
            };
            // A client that hangs up is no news.
            let _ = answer();
        }
    });
    port
}
