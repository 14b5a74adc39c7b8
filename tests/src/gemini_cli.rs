//! The real Gemini CLI, driven by a stand-in for its provider that logs what it answered.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::stand_in::{self, StandIn};
use crate::{Machine, write};

/// The version whose captures the fixtures are.
pub const PINNED: &str = "0.61.0";

/// The client's program, installed by `scripts/setup-test`; without it says that the test skips.
pub fn client() -> Option<PathBuf> {
    stand_in::client(&format!("gemini-cli-{PINNED}"), "gemini")
}

/// The stand-in for the provider, with a script of turns.
pub struct Provider(StandIn);

impl Provider {
    /// Starts it and writes the client's settings.
    pub fn start(machine: &Machine, turns: &Value) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/mock-gemini");
        let settings = json!({
            "security": { "auth": { "selectedType": "gemini-api-key" } },
            "general": { "enableAutoUpdate": false },
            "privacy": { "usageStatisticsEnabled": false }
        });
        write(&machine.home().join(".gemini/settings.json"), &settings.to_string());
        Self(StandIn::start(&program, machine, turns))
    }

    /// What it answered.
    pub fn answered(&self) -> Vec<Value> {
        self.0.answered()
    }

    /// `gemini -p` in the machine's project folder.
    pub fn prompt(&self, machine: &Machine, client: &Path) -> Command {
        let mut command = machine.client(client, "gemini");
        command
            .args(["-p", "do it", "--yolo", "-m", "gemini-2.5-pro", "--output-format", "json"])
            .env("GEMINI_API_KEY", "dummy")
            .env("GOOGLE_GEMINI_BASE_URL", format!("http://127.0.0.1:{}", self.0.port))
            .env("GEMINI_CLI_TRUST_WORKSPACE", "true")
            .stdin(Stdio::null());
        command
    }
}

/// Tokens of an answer: input without cached, output with reasoning, cache read, cache written for five minutes and an hour.
pub fn tokens(answer: &Value) -> [u64; 5] {
    let of = |name: &str| stand_in::number(answer, &format!("/usage/{name}"));
    let cached = of("cachedContentTokenCount");
    let input = of("promptTokenCount") + of("toolUsePromptTokenCount") - cached;
    [input, of("candidatesTokenCount") + of("thoughtsTokenCount"), cached, 0, 0]
}
