//! A machine where all is well, for tests that plant faults in it.

use std::any::Any;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::claude_code::{PINNED, client, client_environment};
use crate::terminal::Terminal;
use crate::{Machine, Server, append, eventually, program, request, write};

pub const HOUR: u64 = 3600;
pub const DAY: u64 = 24 * HOUR;

/// A machine where all is well: the real client with our hooks, a server, one session that both told of.
pub struct Scene {
    pub machine: Machine,
    pub server: Option<Server>,
    /// Of the doctor, beside those of the machine; the last of a name counts.
    pub variables: Vec<(String, String)>,
    /// What a plant leaves running.
    pub kept: Vec<Box<dyn Any>>,
}

impl Scene {
    /// `None` where the client is not installed.
    pub fn new() -> Option<Self> {
        let client = client(PINNED)?;
        let machine = Machine::new();
        for folder in ["proj", "root"] {
            fs::create_dir_all(machine.home().join(folder)).unwrap();
        }
        write(&machine.projects().join("-app/s.jsonl"), &request("s", 1, 5));
        let variables = client_environment(&machine, &client);
        let mut scene = Self { machine, server: None, variables, kept: Vec::new() };
        // Of the programs of whoever runs the tests, nothing but the system's.
        let path = format!("{}:/usr/bin:/bin", scene.home("bin").display());
        scene.set("PATH", &path);
        let set_up = scene.command(&["setup", "claude-code", "--yes", "--no-probe"]).output().unwrap();
        assert!(set_up.status.success(), "{}", String::from_utf8_lossy(&set_up.stderr));
        scene.serve();
        scene.fire();
        Some(scene)
    }

    /// A server that has read the transcripts.
    pub fn serve(&mut self) {
        self.serve_with(&[]);
    }

    pub fn serve_with(&mut self, variables: &[(&str, &str)]) {
        let server = self.machine.serve_with(variables);
        let expected = self.machine.report("session");
        server.comes_to("/api/v1/report?by=session", &expected);
        self.variables.retain(|(name, _)| name != "METRICS_PORT");
        self.set("METRICS_PORT", &server.port.to_string());
        self.server = Some(server);
    }

    /// A hook, as the client starts it.
    pub fn fire(&self) {
        let event = json!({ "session_id": "s", "cwd": "/somewhere/app", "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "toolu_1" });
        self.machine.hook(&event, &[]);
        // On a busy machine it waits in the spool first.
        eventually(|| if self.machine.spooled().is_empty() { Ok(()) } else { Err("an event is still spooled".to_owned()) });
    }

    /// Hooks were set up eight hours ago, one fired then or none did, and a session goes on now.
    pub fn is_set_up_long_ago(&mut self, fired: Option<&str>) {
        self.stop();
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(self.machine.data().join(name));
        }
        touch(&self.record(), -8 * HOUR as i64);
        append(&self.transcript(), &request("s", 2, 5).replace("2026-01-02T10:02:00.000Z", &date("now", "+%FT%T.000Z")));
        self.serve();
        if let Some(ago) = fired {
            let at = date(ago, "+%s000");
            let headers = format!("Content-Type: application/json\r\nX-Ducat-Event-Time: {at}\r\n");
            let event = json!({ "session_id": "s", "cwd": "/somewhere/app", "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "toolu_7" });
            let server = self.server.as_ref().unwrap();
            assert_eq!(server.talk("POST", "/api/v1/hooks/claude-code", None, &headers, &event.to_string()).0, 200);
        }
    }

    pub fn stop(&mut self) {
        self.server.take().unwrap().stop();
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.machine.command(args);
        command.current_dir(self.home("proj")).envs(self.variables.iter().cloned());
        command
    }

    pub fn doctor(&self, args: &[&str]) -> Output {
        let root = self.home("root");
        self.command(&[&["doctor", "--root", root.to_str().unwrap()], args].concat()).output().unwrap()
    }

    /// What it finds, and its exit code.
    pub fn finds(&self) -> (Vec<Value>, Option<i32>) {
        let output = self.doctor(&["--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let json: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(json["schema_version"], 1);
        (json["findings"].as_array().unwrap().clone(), output.status.code())
    }

    pub fn is_well(&self) {
        let output = self.doctor(&[]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.is_empty() && output.stderr.is_empty() && output.status.code() == Some(0), "{said}");
    }

    pub fn home(&self, path: &str) -> PathBuf {
        self.machine.home().join(path)
    }

    pub fn settings(&self) -> PathBuf {
        self.home("claude/settings.json")
    }

    pub fn edit_settings(&self, edit: impl FnOnce(&mut Value)) {
        let mut settings: Value = serde_json::from_str(&fs::read_to_string(self.settings()).unwrap()).unwrap();
        edit(&mut settings);
        fs::write(self.settings(), settings.to_string()).unwrap();
    }

    pub fn transcript(&self) -> PathBuf {
        self.machine.projects().join("-app/s.jsonl")
    }

    /// What setup kept of what it did.
    pub fn record(&self) -> PathBuf {
        fs::read_dir(self.machine.data().join("setup")).unwrap().next().unwrap().unwrap().path()
    }

    /// A `claude` that says this and nothing more.
    pub fn client_says(&self, script: &str) {
        let place = self.home("bin/claude");
        fs::remove_file(&place).unwrap();
        executable(&place, script);
    }

    /// Setup ran from another place, where ducat-hook is now this.
    pub fn hooks_start(&self, path: &Path) {
        let own = program("ducat-hook");
        for file in [self.settings(), self.record()] {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(own.to_str().unwrap()));
            fs::write(&file, text.replace(own.to_str().unwrap(), path.to_str().unwrap())).unwrap();
        }
    }

    /// A program that answers whoever asks over HTTP with this, or keeps silent; its port.
    pub fn answers(&mut self, answer: Option<String>) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let Some(answer) = answer else {
            self.kept.push(Box::new(listener));
            return port;
        };
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        port
    }

    /// A command in a terminal that stays when it ends.
    pub fn in_terminal(&self, name: &str, args: &[&str]) -> Option<Terminal> {
        let command = self.command(args);
        let words: Vec<String> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.display().to_string()).collect();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{}; exec sleep 1000", words.join(" "))]).current_dir(command.get_current_dir().unwrap());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // A terminal that ends holds its socket for a moment.
        fs::create_dir_all(self.home(name)).unwrap();
        Terminal::start(&self.home(name), (80, 50), &shell)
    }
}

pub fn date(when: &str, format: &str) -> String {
    let output = Command::new("date").args(["-u", "-d", when, format]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn executable(path: &Path, script: &str) {
    write(path, &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Gives a file a time so many seconds from now.
pub fn touch(path: &Path, later: i64) {
    let seconds = Duration::from_secs(later.unsigned_abs());
    let at = if later < 0 { SystemTime::now() - seconds } else { SystemTime::now() + seconds };
    File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
}

/// The words of findings.
pub fn ids(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

/// What is planted, and what doctor is to say of it.
pub struct Fault {
    /// The finding first, then those that belong to it.
    pub finds: &'static [&'static str],
    pub severity: &'static str,
    /// A part of what is said of it, and of what is to be done.
    pub what: &'static str,
    pub remedy: &'static str,
    pub plant: fn(&mut Scene),
}

pub const fn fault(
    finds: &'static [&'static str],
    severity: &'static str,
    what: &'static str,
    remedy: &'static str,
    plant: fn(&mut Scene),
) -> Fault {
    Fault { finds, severity, what, remedy, plant }
}

/// Plants each in a machine of its own; what doctor says that it can repair, it must repair.
pub fn all_are_found(faults: &[Fault]) {
    for Fault { finds, severity, what, remedy, plant } in faults {
        let Some(mut scene) = Scene::new() else { return };
        scene.is_well();
        plant(&mut scene);
        let (findings, code) = scene.finds();
        let mut found = ids(&findings);
        found.sort_unstable();
        let mut expected = finds.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{findings:#?}");
        let finding = findings.iter().find(|finding| finding["id"] == finds[0]).unwrap();
        assert_eq!(finding["severity"], *severity, "{finding}");
        assert!(finding["what"].as_str().unwrap().contains(what), "{finding}");
        assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{finding}");
        let is_bad = findings.iter().any(|finding| finding["severity"] != "note");
        assert_eq!(code, Some(i32::from(is_bad)), "{findings:#?}");
        let said = String::from_utf8(scene.doctor(&[]).stdout).unwrap();
        for finding in &findings {
            assert!(said.contains(finding["remedy"].as_str().unwrap()), "{said}");
        }
        // What it says it can repair, it repairs.
        let fixable: Vec<&Value> = findings.iter().filter(|finding| finding["fixable"] == true).collect();
        let fixed = scene.doctor(&["--fix"]);
        let said = String::from_utf8(fixed.stdout).unwrap();
        assert_eq!(said.matches("fixed").count(), fixable.len(), "{said}");
        let left: Vec<&Value> = findings.iter().filter(|finding| finding["fixable"] == false).collect();
        let (findings, _) = scene.finds();
        let left: Vec<&str> = left.iter().map(|finding| finding["id"].as_str().unwrap()).collect();
        assert_eq!(ids(&findings), left, "{finds:?}: {said}");
        if left.is_empty() {
            scene.is_well();
        }
    }
}
