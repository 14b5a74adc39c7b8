//! What the tests of a server that is always there look at: its port, its process, and all that it leaves on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::{Machine, eventually};

/// What the agent sends before a tool call.
pub fn before_call(id: u64) -> Value {
    json!({
        "session_id": "s", "cwd": "/somewhere/app", "hook_event_name": "PreToolUse", "prompt_id": "p", "tool_name": "Bash",
        "tool_use_id": format!("toolu_{id}"), "tool_input": { "command": "true" }
    })
}

/// A port that is free, outside of the range that the system gives to others.
pub fn free_port() -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 100) as u16 * 100;
    loop {
        let port = first + TRIED.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// For a hook that shall be heard on a busy machine too.
pub const PATIENT: (&str, &str) = ("DUCAT_HOOK_DEADLINE_MS", "60000");

/// Everything below a folder: mode, and content or where a link leads.
pub fn listing(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap_or_default()
            };
            all.insert(path, (meta.mode(), content));
        }
    }
    all
}

/// Body of a GET; nothing when nobody answers.
pub fn get(port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// Tool calls of the session `s`.
pub fn calls(port: u16) -> usize {
    get(port, "/api/v1/sessions/s").and_then(|session| Some(session["tool_calls"].as_array()?.len())).unwrap_or(0)
}

pub fn comes_to_calls(port: u16, expected: usize) {
    eventually(|| (calls(port) == expected).then_some(()).ok_or_else(|| format!("{} calls, not {expected}", calls(port))));
}

pub fn status(machine: &Machine) -> Value {
    serde_json::from_slice(&machine.run(&["service", "status", "--json"]).stdout).unwrap()
}

/// The running server, once there is one.
pub fn pid(machine: &Machine) -> i64 {
    eventually(|| status(machine)["pid"].as_i64().ok_or_else(|| "no server".to_owned()))
}

/// As `kill -9` does; waits for the end.
pub fn kill(pid: i64) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    eventually(|| {
        if Path::new(&format!("/proc/{pid}/cmdline")).exists() && !is_zombie(pid) { Err("lives".to_owned()) } else { Ok(()) }
    });
}

/// In a container nobody may collect what the hook left behind. The other threads may still end, and hold its locks and ports till then.
pub fn is_zombie(pid: i64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
        && fs::read_dir(format!("/proc/{pid}/task")).map_or(true, |threads| threads.count() <= 1)
}
