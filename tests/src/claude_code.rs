//! The real Claude Code, driven by a stand-in for its provider that logs what it answered.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::{Machine, shared};

/// The version whose captures the fixtures are.
pub const PINNED: &str = "2.1.197";

/// The client's program, installed by `scripts/setup-test`; without it says that the test skips.
pub fn client(version: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/clients");
    let program = root.join(format!("claude-code-{version}/node_modules/.bin/claude"));
    if !program.exists() {
        eprintln!("skipped: Claude Code {version} is not installed (make test does it)");
        return None;
    }
    Some(program.canonicalize().unwrap_or(program))
}

/// The stand-in for the provider, with a script of turns.
pub struct Provider {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Provider {
    pub fn start(machine: &Machine, turns: &Value) -> Option<Self> {
        let program = shared("tools/mock-anthropic")?;
        let script = machine.home().join("turns.json");
        let log = machine.home().join("api.jsonl");
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
        Some(Self { child, port, log })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it answered, errors left out.
    pub fn answered(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["status"] == 200).collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let bin = machine.home().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let _ = std::os::unix::fs::symlink(client, bin.join("claude"));
    let path = std::env::var("PATH").unwrap_or_default();
    vec![
        ("HOME".to_owned(), machine.home().display().to_string()),
        ("PATH".to_owned(), format!("{}:{path}", bin.display())),
        ("CLAUDE_CONFIG_DIR".to_owned(), machine.home().join("claude").display().to_string()),
    ]
}
