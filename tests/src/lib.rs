//! A user's machine for the tests: a home of its own, the real programs in it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod browser;
pub mod claude_code;
pub mod codex;
pub mod gemini_cli;
pub mod heard;
pub mod otlp;
pub mod past;
pub mod plan;
pub mod proxy;
pub mod qwen_code;
pub mod scene;
pub mod service;
pub mod stand_in;
pub mod systemd;
pub mod terminal;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A program of this workspace, built as the tests are.
pub fn program(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "-p", "ducat-cli", "-p", "ducat-hook", "-p", "ducat-status-line"])
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    });
    // The tests' own program stands in target/PROFILE/deps.
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join(name)
}

/// A home with transcripts, and a data folder.
pub struct Machine(TempDir);

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    pub fn new() -> Self {
        let machine = Self(TempDir::new().unwrap());
        fs::create_dir_all(machine.projects()).unwrap();
        machine
    }

    pub fn home(&self) -> &Path {
        self.0.path()
    }

    pub fn projects(&self) -> PathBuf {
        self.home().join("claude/projects")
    }

    pub fn data(&self) -> PathBuf {
        self.home().join(".local/share/ducat")
    }

    pub fn socket(&self) -> PathBuf {
        self.data().join("run/hook.sock")
    }

    /// Events in the spool.
    pub fn spooled(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.data().join("spool/new")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A program of the workspace in this home, without the variables of whoever runs the tests.
    pub fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command.args(args).env_clear().env("HOME", self.home()).env("CLAUDE_CONFIG_DIR", self.home().join("claude"));
        // Several servers run beside each other.
        command.env("DUCAT_OTLP_HTTP_PORT", "0").env("DUCAT_OTLP_GRPC_PORT", "0");
        command
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.program("ducat", args)
    }

    /// A path on which this client goes by this name.
    pub fn path_with(&self, client: &Path, name: &str) -> String {
        let bin = self.home().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let _ = std::os::unix::fs::symlink(client, bin.join(name));
        format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default())
    }

    /// An agent's client in this home and the project folder, by this name.
    pub fn client(&self, client: &Path, name: &str) -> Command {
        let project = self.home().join("proj");
        fs::create_dir_all(&project).unwrap();
        let mut command = Command::new(client);
        command.env_clear().env("HOME", self.home()).env("PATH", self.path_with(client, name)).current_dir(project);
        command
    }

    /// `ducat setup ARGS` with this client on the path, for this server; it must succeed.
    pub fn set_up(&self, client: (&Path, &str), server: &Server, args: &[&str]) -> String {
        let mut command = self.command(&[&["setup"], args].concat());
        let path = self.path_with(client.0, client.1);
        let output = command.env("PATH", path).env("METRICS_PORT", server.port.to_string()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a run prints; it must succeed.
    pub fn prints(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, variables: &[(&str, &str)]) -> Server {
        Server::start(self.command(&["serve", "--port", "0"]).envs(variables.iter().copied()))
    }

    /// Runs the hook as an agent does; it must succeed and print nothing. How long it took.
    pub fn hook(&self, event: &Value, variables: &[(&str, &str)]) -> Duration {
        let begun = Instant::now();
        let mut child = self
            .program("ducat-hook", &[])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(event.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let took = begun.elapsed();
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        took
    }

    /// The report from transcripts, whose bytes every other way must give.
    pub fn report(&self, by: &str) -> String {
        self.prints(&["report", by, "--timezone", "UTC", "--json"]).trim_end().to_owned()
    }
}

pub struct Server {
    pub child: Child,
    pub port: u16,
}

impl Server {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut words = BufReader::new(child.stderr.take().unwrap());
        // Before it listens it may say what it could not have.
        let mut said = String::new();
        let port = loop {
            let begin = said.len();
            assert!(words.read_line(&mut said).unwrap() > 0, "{said}");
            if let Ok(port) = said[begin..].trim().rsplit(':').next().unwrap_or_default().parse() {
                break port;
            }
        };
        std::thread::spawn(move || words.read_to_end(&mut Vec::new()));
        Self { child, port }
    }

    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Status, header lines and body of a request with these header lines beside `Host`; status 0 when the server hung up, which it may
    /// where it was sent more than it takes.
    pub fn talk(&self, method: &str, path: &str, host: Option<&str>, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = host.map_or_else(|| format!("localhost:{}", self.port), str::to_owned);
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let _ = write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{length}{headers}\r\n{body}");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return (0, String::new(), String::new()) };
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
    }

    /// Status and body of a GET.
    pub fn ask(&self, path: &str, host: Option<&str>, headers: &str) -> (u16, String) {
        let (status, _, body) = self.talk("GET", path, host, headers, "");
        (status, body)
    }

    pub fn get(&self, path: &str) -> String {
        let (status, body) = self.ask(path, None, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub fn get_json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    /// Status and JSON of a POST.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, text) = self.talk("POST", path, None, "Content-Type: application/json\r\n", &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Asks until the answer is this one: the server follows the files on its own time.
    pub fn comes_to(&self, path: &str, expected: &str) {
        eventually(|| {
            let answer = self.get(path);
            if answer == expected { Ok(()) } else { Err(format!("{path}: {answer} instead of {expected}")) }
        });
    }

    /// As `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As Ctrl-C or a service manager does; waits for the end.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until it succeeds; what others do on their own time.
pub fn eventually<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(what) => assert!(Instant::now() < end, "{what}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A transcript's line of a request with a tool call.
pub fn request(session: &str, id: u64, output: u64) -> String {
    let mut line = json!({
        "type": "assistant", "sessionId": session, "uuid": format!("00000000-0000-0000-0000-{id:012}"), "cwd": "/somewhere/app",
        "timestamp": format!("2026-01-02T10:{:02}:00.000Z", id % 60), "requestId": format!("req_{id}"),
        "message": { "id": format!("msg_{id}"), "role": "assistant", "model": "claude-opus-4-8",
            "content": [{ "type": "tool_use", "id": format!("toolu_{id}"), "name": "Bash", "input": {} }],
            "usage": { "input_tokens": 10, "output_tokens": output } },
    });
    if id.is_multiple_of(2) {
        line["attributionSkill"] = json!("review");
        line["attributionMcpServer"] = json!("browser");
        line["attributionAgent"] = json!("Explore");
    }
    format!("{line}\n")
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub fn append(path: &Path, text: &str) {
    File::options().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The material beside the project, when it is there; else says that the test skips.
pub fn shared(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DUCAT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = folder.join(what);
    if !path.exists() {
        let _ = writeln!(std::io::stderr(), "skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}
