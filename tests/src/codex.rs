//! The real Codex, driven by a stand-in for its provider that logs what it answered.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::{Machine, shared, write};

/// The version whose captures the fixtures are.
pub const PINNED: &str = "0.169.0";

/// The client's program, installed by `scripts/setup-test`; without it says that the test skips.
pub fn client() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/clients");
    let program = root.join(format!("codex-{PINNED}/node_modules/.bin/codex"));
    if !program.exists() {
        eprintln!("skipped: Codex {PINNED} is not installed (make test does it)");
        return None;
    }
    program.canonicalize().ok()
}

/// The stand-in for the provider, with a script of turns.
pub struct Provider {
    child: Child,
    log: PathBuf,
}

impl Provider {
    /// Starts it and writes the client's configuration.
    pub fn start(machine: &Machine, turns: &Value) -> Option<Self> {
        let program = shared("tools/mock-openai")?;
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
        let port = line.trim().strip_prefix("ready ").unwrap();
        let config = format!(
            "model = \"gpt-5.2-codex\"\nmodel_provider = \"mock\"\napproval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n\
             [model_providers.mock]\nname = \"mock\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\nwire_api = \"responses\"\nenv_key = \"MOCK_KEY\"\n"
        );
        write(&machine.home().join(".codex/config.toml"), &config);
        Some(Self { child, log })
    }

    /// What it answered.
    pub fn answered(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
