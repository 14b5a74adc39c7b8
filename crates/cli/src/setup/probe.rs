//! The proof that the client reads the settings: it is started, and its first hook is caught. No model is asked.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use ducat_spool::{EventId, Frame};
use serde_json::Value;

/// A client that starts for the first time takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

pub enum Proof {
    /// A hook of ours ran.
    Read,
    /// The client came to its end, or to the end of our patience, without it; what it printed.
    Silent(String),
}

/// Starts `claude -p` in `folder` with its API pointed at a port of ours, catches the first event that its hooks deliver, and ends it.
pub fn run(program: &Path, folder: &Path) -> anyhow::Result<Proof> {
    let place = tempfile::tempdir().context("a folder for the probe")?;
    let socket = place.path().join("probe.sock");
    let hooks = UnixListener::bind(&socket).context("the probe's socket")?;
    hooks.set_nonblocking(true)?;
    let api = TcpListener::bind(("127.0.0.1", 0)).context("the probe's port")?;
    let url = format!("http://{}", api.local_addr()?);
    thread::spawn(move || refuse_all(&api));
    let session = uuid();
    let mut command = Command::new(program);
    command.args(["-p", "ducat setup probe", "--session-id", &session]).current_dir(folder);
    for elsewhere in
        ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY", "ANTHROPIC_AUTH_TOKEN", "DUCAT_URL"]
    {
        command.env_remove(elsewhere);
    }
    let output = fs::File::create(place.path().join("output"))?;
    let mut child = command
        .env("ANTHROPIC_BASE_URL", url)
        .env("ANTHROPIC_API_KEY", "sk-ant-ducat-probe")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .env("DUCAT_SOCKET", &socket)
        .env("DUCAT_DATA_DIR", place.path().join("data"))
        .env("DUCAT_HOOK_DEADLINE_MS", "5000")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let read = caught(&hooks, &mut child);
    let _ = child.kill();
    let _ = child.wait();
    forget_session(&session);
    Ok(if read { Proof::Read } else { Proof::Silent(fs::read_to_string(place.path().join("output")).unwrap_or_default()) })
}

/// Whether a hook delivered an event before the client ended.
fn caught(hooks: &UnixListener, child: &mut Child) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok((mut stream, _)) = hooks.accept() {
            let _ = stream.set_nonblocking(false);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let mut bytes = vec![0; 64];
            // The head tells that it is ours; the hook waits for an answer until the client is ended.
            if stream.read(&mut bytes).is_ok_and(|read| Frame::missing(&bytes[..read]).is_ok() && read > 0) {
                return true;
            }
        }
        if matches!(child.try_wait(), Ok(Some(_))) {
            return hooks.accept().is_ok();
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Answers whoever asks the model that there is none, so that nothing is retried.
fn refuse_all(api: &TcpListener) {
    const BODY: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"a probe of ducat setup"}}"#;
    for mut stream in api.incoming().flatten() {
        thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
            let _ = stream.read(&mut [0; 65536]);
            let length = BODY.len();
            let _ = write!(
                stream,
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{BODY}"
            );
        });
    }
}

fn uuid() -> String {
    let mut hex = EventId::new().to_string();
    // Version 4, variant 1: the client checks the form.
    hex.replace_range(12..13, "4");
    hex.replace_range(16..17, "8");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Removes the transcript that the client may have begun.
fn forget_session(session: &str) {
    let Ok(config) = super::client::config_folder() else { return };
    for project in fs::read_dir(config.join("projects")).into_iter().flatten().flatten() {
        let _ = fs::remove_file(project.path().join(format!("{session}.jsonl")));
        let _ = fs::remove_dir_all(project.path().join(session));
        // Only when the probe made it: a folder with anything in it stays.
        let _ = fs::remove_dir(project.path());
    }
}

/// Whether a server answers at a URL, or something listens at a socket, that the settings name.
pub fn reach(settings: &Value) -> Vec<String> {
    let named = |name: &str| settings.pointer(&format!("/env/{name}")).and_then(Value::as_str);
    let mut words = Vec::new();
    if let Some(url) = named("DUCAT_URL") {
        let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let answers = std::net::TcpStream::connect(authority).is_ok();
        words.push(format!(
            "DUCAT_URL {url}: {}",
            if answers { "something answers there" } else { "nothing answers there from here" }
        ));
    }
    if let Some(path) = named("DUCAT_SOCKET") {
        let answers = std::os::unix::net::UnixStream::connect(path).is_ok();
        words.push(format!(
            "DUCAT_SOCKET {path}: {}",
            if answers { "something listens there" } else { "nothing listens there from here" }
        ));
    }
    words
}
