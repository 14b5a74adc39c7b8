//! A stand-in for a provider: hands out a script's answers and logs what they said, the truth to compare an accounting with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
