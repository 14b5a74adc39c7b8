//! The real Codex, driven by a stand-in for its provider that logs what it answered.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::stand_in::{self, StandIn};
use crate::{Machine, shared, write};

/// The version whose captures the fixtures are.
pub const PINNED: &str = "0.169.0";

/// The client's program, installed by `scripts/setup-test`; without it says that the test skips.
pub fn client() -> Option<PathBuf> {
    stand_in::client(&format!("codex-{PINNED}"), "codex")
}

/// The stand-in for the provider, with a script of turns.
pub struct Provider(StandIn);

impl Provider {
    /// Starts it and writes the client's configuration.
    pub fn start(machine: &Machine, turns: &Value) -> Option<Self> {
        let stand_in = StandIn::start(&shared("tools/mock-openai")?, machine, turns);
        let port = stand_in.port;
        let config = format!(
            "model = \"gpt-5.2-codex\"\nmodel_provider = \"mock\"\napproval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n\
             [model_providers.mock]\nname = \"mock\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\nwire_api = \"responses\"\nenv_key = \"MOCK_KEY\"\n"
        );
        write(&machine.home().join(".codex/config.toml"), &config);
        Some(Self(stand_in))
    }

    /// What it answered.
    pub fn answered(&self) -> Vec<Value> {
        self.0.answered()
    }
}

/// `codex exec` in the machine's project folder; the hooks of its home run without being reviewed.
pub fn exec(machine: &Machine, client: &Path) -> Command {
    let mut command = machine.client(client, "codex");
    command
        .args(["exec", "--skip-git-repo-check", "--json", "--dangerously-bypass-hook-trust", "do it"])
        .env("MOCK_KEY", "x")
        .stdin(Stdio::null());
    command
}

/// Tokens of an answer: input without cached, output with reasoning, cache read, cache written for five minutes and an hour.
pub fn tokens(answer: &Value) -> [u64; 5] {
    let of = |name: &str| stand_in::number(answer, &format!("/usage/{name}"));
    let cached = of("input_tokens_details/cached_tokens");
    [of("input_tokens") - cached, of("output_tokens"), cached, 0, 0]
}
