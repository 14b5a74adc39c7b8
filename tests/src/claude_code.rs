//! The real Claude Code, driven by a stand-in for its provider that logs what it answered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::stand_in::{self, StandIn};
use crate::{Machine, shared};

/// The version whose captures the fixtures are.
pub const PINNED: &str = "2.1.197";

/// The client's program, installed by `scripts/setup-test`; without it says that the test skips.
pub fn client(version: &str) -> Option<PathBuf> {
    stand_in::client(&format!("claude-code-{version}"), "claude")
}

/// The stand-in for the provider, with a script of turns.
pub struct Provider(StandIn);

impl Provider {
    pub fn start(machine: &Machine, turns: &Value) -> Option<Self> {
        Some(Self(StandIn::start(&shared("tools/mock-anthropic")?, machine, turns)))
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    /// What it answered, errors left out.
    pub fn answered(&self) -> Vec<Value> {
        self.0.answered().into_iter().filter(|line| line["status"] == 200).collect()
    }
}

/// A run of the client.
pub struct Run<'a> {
    pub machine: &'a Machine,
    pub client: &'a Path,
    pub provider: &'a Provider,
}

impl Run<'_> {
    /// `claude -p` in the machine's project folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let project = self.machine.home().join("proj");
        fs::create_dir_all(&project).unwrap();
        let mut command = Command::new(self.client);
        command
            .args(["-p", "do it", "--output-format", "json"])
            .args(args)
            .current_dir(project)
            .env_clear()
            .envs(client_environment(self.machine, self.client))
            .env("IS_SANDBOX", "1")
            .env("ANTHROPIC_API_KEY", "sk-ant-dummy")
            .env("ANTHROPIC_BASE_URL", self.provider.url())
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The interactive client as a subscriber, its API asked at `port`: no question is asked before its first prompt.
    pub fn interactive(&self, port: u16) -> Command {
        let project = self.machine.home().join("proj");
        fs::create_dir_all(&project).unwrap();
        let known = serde_json::json!({
            "hasCompletedOnboarding": true, "lastOnboardingVersion": PINNED, "theme": "dark",
            "projects": { project.to_str().unwrap(): { "hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true } }
        });
        fs::write(self.machine.home().join("claude/.claude.json"), known.to_string()).unwrap();
        let mut command = Command::new(self.client);
        command
            .current_dir(project)
            .envs(client_environment(self.machine, self.client))
            .env("IS_SANDBOX", "1")
            .env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy")
            .env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}"))
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1");
        command
    }

    /// The result that the client states.
    pub fn ends(&self, child: Child) -> Value {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let words = String::from_utf8_lossy(&output.stderr);
        serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("claude said {text} {words}"))
    }

    pub fn go(&self, args: &[&str]) -> Value {
        self.ends(self.command(args).spawn().unwrap())
    }
}

/// Home, and a path on which `claude` is this client.
pub fn client_environment(machine: &Machine, client: &Path) -> Vec<(String, String)> {
    vec![
        ("HOME".to_owned(), machine.home().display().to_string()),
        ("PATH".to_owned(), machine.path_with(client, "claude")),
        ("CLAUDE_CONFIG_DIR".to_owned(), machine.home().join("claude").display().to_string()),
    ]
}

/// Tokens of an answer: input without cached, output with reasoning, cache read, cache written for five minutes and an hour.
pub fn tokens(answer: &Value) -> [u64; 5] {
    let of = |name: &str| stand_in::number(answer, &format!("/usage/{name}"));
    let written = ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"].map(|name| of(&format!("cache_creation/{name}")));
    [of("input_tokens"), of("output_tokens"), of("cache_read_input_tokens"), written[0], written[1]]
}
