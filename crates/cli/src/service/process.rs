//! The server as it runs: who holds the data folder, what it answers, and its end.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

/// A server that is told to end finishes its answers first, for five seconds at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process that holds a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    /// Its arguments, without the program.
    pub arguments: Vec<String>,
}

impl Holder {
    /// Read from the folder's lock file. Nothing is locked to find out: that would turn a server away that starts now.
    pub fn of(data: &Path) -> Option<Self> {
        let lock = fs::canonicalize(data.join("lock")).ok()?;
        let text = fs::read_to_string(&lock).ok()?;
        let pid: i32 = text.trim().strip_prefix("process ")?.parse().ok()?;
        test_kill_process(Pid::from_raw(pid)?).ok()?;
        Some(Self { pid, arguments: arguments_of_ducat(pid, &lock)? })
    }

    /// Ends it; waits until it has.
    pub fn end(&self, data: &Path) -> anyhow::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = kill_process(pid, signal);
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end {
                if Self::of(data).as_ref() != Some(self) {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        bail!("process {} does not end", self.pid)
    }
}

/// Of a process that has the lock file open; a number that went to another process since is none.
#[cfg(target_os = "linux")]
fn arguments_of_ducat(pid: i32, lock: &Path) -> Option<Vec<String>> {
    let folder = Path::new("/proc").join(pid.to_string());
    let holds = |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|target| target == lock);
    fs::read_dir(folder.join("fd")).ok()?.flatten().any(holds).then_some(())?;
    let line = fs::read(folder.join("cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    words.next()?;
    let mut arguments: Vec<String> = words.collect();
    // Each argument ends with a zero.
    arguments.pop();
    Some(arguments)
}

/// By its name: what it has open is not told here.
#[cfg(not(target_os = "linux"))]
fn arguments_of_ducat(pid: i32, _lock: &Path) -> Option<Vec<String>> {
    let output = Command::new("ps").args(["-p", &pid.to_string(), "-o", "args="]).output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let at = line.find("ducat serve")?;
    Some(line[at + "ducat ".len()..].split_whitespace().map(str::to_owned).collect())
}

/// What `/health` answers.
pub fn health(address: SocketAddr, key: Option<&str>) -> anyhow::Result<Value> {
    let second = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, second).with_context(|| format!("connecting to {address}"))?;
    // With socket activation the connection waits for the server's start.
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(second))?;
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{key}\r\n")?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => anyhow::anyhow!("nobody takes what {address} is asked"),
        _ => error.into(),
    })?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let answered: Value = serde_json::from_str(body).unwrap_or_default();
    if !answer.starts_with("HTTP/1.1 200") || answered["status"] != "healthy" {
        bail!("{address} answers, but not as Ducat does");
    }
    Ok(answered)
}

/// Asks until it answers, for a while, unless it is seen to fail.
pub fn comes_up(address: SocketAddr, key: Option<&str>, patience: Duration, failed: impl Fn() -> bool) -> anyhow::Result<Value> {
    let end = Instant::now() + patience;
    loop {
        match health(address, key) {
            Ok(answer) => return Ok(answer),
            Err(error) if failed() || Instant::now() >= end => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// What a command prints, when there is one and it succeeds.
pub fn told_by(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
