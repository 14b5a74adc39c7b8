//! The real Qwen Code, driven by a stand-in for its provider that logs what it answered.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::stand_in::{self, StandIn};
use crate::{Machine, Server};

/// The version whose chat the fixture is.
pub const PINNED: &str = "0.15.10";

/// The client's program, installed by `scripts/setup-test`; without it says that the test skips.
pub fn client() -> Option<PathBuf> {
    stand_in::client(&format!("qwen-code-{PINNED}"), "qwen")
}

/// The stand-in for the provider, with a script of turns.
pub struct Provider(StandIn);

impl Provider {
    pub fn start(machine: &Machine, turns: &Value) -> Self {
        Self(StandIn::start(&Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/mock-chat"), machine, turns))
    }

    /// What it answered.
    pub fn answered(&self) -> Vec<Value> {
        self.0.answered()
    }

    /// `qwen -p` in the machine's project folder, with its telemetry going to the server.
    pub fn prompt(&self, machine: &Machine, client: &Path, server: &Server) -> Command {
        let mut command = machine.client(client, "qwen");
        command
            .args(["-p", "do it", "--yolo", "--auth-type", "openai"])
            .env("OPENAI_API_KEY", "dummy")
            .env("OPENAI_BASE_URL", format!("http://127.0.0.1:{}/v1", self.0.port))
            .env("OPENAI_MODEL", "gpt-5.4")
            .env("QWEN_TELEMETRY_ENABLED", "true")
            .env("QWEN_TELEMETRY_TARGET", "local")
            .env("QWEN_TELEMETRY_OTLP_PROTOCOL", "http")
            .env("QWEN_TELEMETRY_OTLP_ENDPOINT", server.url())
            .env("QWEN_TELEMETRY_LOG_PROMPTS", "false")
            .stdin(Stdio::null());
        command
    }
}
