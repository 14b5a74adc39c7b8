//! A server that is always there: installed, killed, back again, and removed without a trace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use ducat_end_to_end::claude_code::{PINNED, Provider, Run, client, client_environment};
use ducat_end_to_end::systemd::UserManager;
use ducat_end_to_end::terminal::Terminal;
use ducat_end_to_end::{Machine, eventually, write};
use serde_json::{Value, json};

fn before_call(id: u64) -> Value {
    json!({
        "session_id": "s", "cwd": "/somewhere/app", "hook_event_name": "PreToolUse", "prompt_id": "p", "tool_name": "Bash",
        "tool_use_id": format!("toolu_{id}"), "tool_input": { "command": "true" }
    })
}

/// A port that is free, outside of the range that the system gives to others.
fn free_port() -> u16 {
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
const PATIENT: (&str, &str) = ("DUCAT_HOOK_DEADLINE_MS", "60000");

/// Everything below a folder: mode, and content or where a link leads.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
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
fn get(port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn calls(port: u16) -> usize {
    get(port, "/api/v1/sessions/s").and_then(|session| Some(session["tool_calls"].as_array()?.len())).unwrap_or(0)
}

fn comes_to_calls(port: u16, expected: usize) {
    eventually(|| (calls(port) == expected).then_some(()).ok_or_else(|| format!("{} calls, not {expected}", calls(port))));
}

fn status(machine: &Machine) -> Value {
    serde_json::from_slice(&machine.run(&["service", "status", "--json"]).stdout).unwrap()
}

/// The running server, once there is one.
fn pid(machine: &Machine) -> i64 {
    eventually(|| status(machine)["pid"].as_i64().ok_or_else(|| "no server".to_owned()))
}

fn kill(pid: i64) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    eventually(|| {
        if Path::new(&format!("/proc/{pid}/cmdline")).exists() && !is_zombie(pid) { Err("lives".to_owned()) } else { Ok(()) }
    });
}

/// In a container nobody may collect what the hook left behind.
fn is_zombie(pid: i64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// A machine on which nothing was installed, and which a failing test leaves without a server.
struct OnDemand {
    machine: Machine,
    port: u16,
}

impl OnDemand {
    fn install() -> Self {
        let own = Self { machine: Machine::new(), port: free_port() };
        own.install_again();
        own
    }

    fn install_again(&self) {
        let printed = self.machine.prints(&["service", "install", "--on-demand", "--port", &self.port.to_string()]);
        assert!(printed.contains(&format!("http://localhost:{}", self.port)), "{printed}");
    }

    fn tried(&self) -> PathBuf {
        self.machine.data().join("start-on-hook.tried")
    }
}

impl Drop for OnDemand {
    fn drop(&mut self) {
        let _ = self.machine.run(&["service", "remove"]);
    }
}

#[test]
fn the_first_hook_starts_the_server_and_after_a_kill_the_next_one_does() {
    let own = OnDemand::install();
    let (machine, port) = (&own.machine, own.port);
    assert!(get(port, "/health").is_none(), "installing starts nothing");
    machine.hook(&before_call(1), &[("ANTHROPIC_API_KEY", "secret")]);
    comes_to_calls(port, 1);
    let first = pid(machine);
    let found = status(machine);
    assert_eq!((&found["way"], &found["running"], &found["fault"]), (&json!("on-demand"), &json!(true), &Value::Null), "{found}");
    assert_eq!(found["url"], format!("http://localhost:{port}"));
    assert!(found["version"].is_string() && found["since"].is_string(), "{found}");
    // What the agent has in its environment and where it stands is no affair of the server's.
    let environment = fs::read(format!("/proc/{first}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("secret"));
    assert_eq!(fs::read_link(format!("/proc/{first}/cwd")).unwrap(), Path::new("/"));
    // A session of its own: what ends the agent's does not reach it.
    let stat = fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!(fields[3], first.to_string(), "session");

    machine.hook(&before_call(2), &[PATIENT]);
    assert_eq!((calls(port), machine.spooled().len()), (2, 0), "delivered, not spooled");
    // Once it ran for a while, its end is no failed start.
    eventually(|| if own.tried().exists() { Err("not settled".to_owned()) } else { Ok(()) });
    kill(first);
    machine.hook(&before_call(3), &[]);
    comes_to_calls(port, 3);
    assert_ne!(pid(machine), first);
    let log = fs::read_to_string(machine.data().join("logs/ducat.log")).unwrap();
    assert_eq!(log.matches("the page is at").count(), 2, "{log}");
}

/// The client neither waits for the server that its hook starts nor takes it along when it ends.
#[test]
fn the_real_client_starts_it_and_leaves_it_running() {
    let own = OnDemand::install();
    let (machine, port) = (&own.machine, own.port);
    let Some(client) = client(PINNED) else { return };
    let turns = json!([
        { "text": "working", "tools": [{ "name": "Bash", "input": { "command": "echo hello", "description": "say" } }] },
        { "tools": [{ "name": "Bash", "input": { "command": "sleep 1", "description": "wait" } }] },
        { "text": "done" }
    ]);
    let Some(provider) = Provider::start(machine, &turns) else { return };
    let setup = ["setup", "claude-code", "--yes", "--no-probe"];
    assert!(machine.command(&setup).envs(client_environment(machine, &client)).output().unwrap().status.success());
    let run = Run { machine, client: &client, provider: &provider };
    let result = run.go(&["--dangerously-skip-permissions"]);
    assert_eq!(result["result"], "done", "{result}");
    let session = format!("/api/v1/sessions/{}", result["session_id"].as_str().unwrap());
    eventually(|| {
        let told = get(port, &session).unwrap_or_default();
        let calls = told["tool_calls"].as_array().map_or(0, Vec::len);
        if calls == 2 { Ok(()) } else { Err(format!("{calls} calls in {told}")) }
    });
    assert!(machine.spooled().is_empty() && status(machine)["running"] == true);
}

#[test]
fn of_two_hundred_hooks_one_starts_the_server() {
    let own = OnDemand::install();
    thread::scope(|scope| {
        for id in 0..200 {
            let machine = &own.machine;
            scope.spawn(move || machine.hook(&before_call(id), &[]));
        }
    });
    comes_to_calls(own.port, 200);
    let log = fs::read_to_string(own.machine.data().join("logs/ducat.log")).unwrap();
    assert_eq!(log.lines().count(), 1, "one server, and none that was turned away: {log}");
    assert_eq!(fs::read_to_string(own.machine.data().join("logs/start.log")).unwrap(), "");
}

#[test]
fn removing_leaves_nothing_behind() {
    let mut own = OnDemand { machine: Machine::new(), port: free_port() };
    let machine = &own.machine;
    write(&machine.home().join(".profile"), "# mine\n");
    let before = listing(machine.home());
    own.install_again();
    machine.hook(&before_call(1), &[]);
    comes_to_calls(own.port, 1);
    let server = pid(machine);
    assert!(machine.prints(&["service", "remove"]).contains("The ledger stays"));
    assert!(get(own.port, "/health").is_none() && (is_zombie(server) || !Path::new(&format!("/proc/{server}")).exists()));
    // What is left is the ledger, and what the server keeps with it.
    let left: Vec<PathBuf> = listing(machine.home()).into_keys().filter(|path| !before.contains_key(path)).collect();
    let share = machine.home().join(".local/share");
    let expected = ["", "ducat", "ducat/ledger.db", "ducat/lock", "ducat/spool", "ducat/spool/new", "ducat/spool/tmp"];
    let mut expected: Vec<PathBuf> = expected.iter().map(|name| share.join(name)).collect();
    expected.insert(0, machine.home().join(".local"));
    assert_eq!(left, expected);
    // Nobody starts it any more.
    machine.hook(&before_call(2), &[]);
    assert!(machine.spooled().len() == 1 && !own.tried().exists());
    // And it is all there for the next, which moves to another port when told to.
    own.install_again();
    machine.hook(&before_call(3), &[]);
    comes_to_calls(own.port, 3);
    own.port = free_port();
    own.install_again();
    own.machine.hook(&before_call(4), &[]);
    comes_to_calls(own.port, 4);
}

#[test]
fn purging_leaves_nothing_at_all() {
    let own = OnDemand { machine: Machine::new(), port: free_port() };
    let machine = &own.machine;
    let before = listing(machine.home());
    own.install_again();
    machine.hook(&before_call(1), &[]);
    comes_to_calls(own.port, 1);
    machine.prints(&["service", "remove", "--purge", "--yes"]);
    let after = listing(machine.home());
    assert!(
        after == before || {
            let left: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
            panic!("{left:?}")
        }
    );
    let refused = machine.run(&["service", "status"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("ducat service install"));
}

#[test]
fn a_server_that_cannot_start_is_not_tried_on_every_hook() {
    let own = OnDemand::install();
    let machine = &own.machine;
    // The port is somebody else's.
    let taken = TcpListener::bind(("127.0.0.1", own.port)).unwrap();
    for id in 0..20 {
        machine.hook(&before_call(id), &[]);
    }
    let log = || fs::read_to_string(machine.data().join("logs/ducat.log")).unwrap_or_default();
    eventually(|| if log().contains("is taken by another program") { Ok(()) } else { Err(log()) });
    machine.hook(&before_call(20), &[]);
    assert_eq!(log().matches("is taken").count(), 1, "{}", log());
    assert_eq!(machine.spooled().len(), 21);
    let found = status(machine);
    assert!(found["fault"]["words"].as_str().unwrap().contains("is taken by another program"), "{found}");
    assert!(found["fault"]["at"].is_string() && found["running"] == false, "{found}");
    assert!(!machine.run(&["service", "status"]).status.success());
    // Half a minute later it is tried again.
    drop(taken);
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(31);
    fs::File::options().write(true).open(own.tried()).unwrap().set_modified(long_ago).unwrap();
    machine.hook(&before_call(21), &[]);
    comes_to_calls(own.port, 22);
}

/// Whatever stands in the file, the hook exits 0, prints nothing, keeps its event and is not held up.
#[test]
fn a_start_that_goes_wrong_is_no_affair_of_the_agents() {
    let own = OnDemand::install();
    let machine = &own.machine;
    let place = machine.data().join("start-on-hook");
    let good = fs::read_to_string(&place).unwrap();
    let forget = || drop(fs::remove_file(own.tried()));
    let program_line = |program: &str| format!("program {program}\n");
    for (kind, text) in [
        ("gone", program_line("/nonexistent/ducat")),
        ("no program", program_line(&place.display().to_string())),
        ("ends at once", program_line("/bin/false")),
        ("hangs", format!("{}argument 30\n", program_line("/bin/sleep"))),
        ("nonsense", "\0\u{1}\n".repeat(1000)),
        ("relative", program_line("ducat")),
        ("empty", String::new()),
    ] {
        fs::write(&place, text).unwrap();
        let spooled = machine.spooled().len();
        // What it costs is the machine's affair; that it waits for nothing is ours: the program sleeps for half a minute.
        let took = machine.hook(&before_call(1), &[]);
        assert!(took < Duration::from_secs(15), "{kind}: {took:?}");
        assert_eq!(machine.spooled().len(), spooled + 1, "{kind}");
        forget();
    }
    assert!(fs::read_to_string(machine.data().join("logs/start.log")).is_ok());
    // One that others could have written is not believed.
    fs::write(&place, &good).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
    machine.hook(&before_call(2), &[]);
    assert!(!own.tried().exists());
    let found = status(machine);
    assert!(found["fault"]["words"].as_str().unwrap().contains("chmod 600"), "{found}");
    // Nor is one started for hooks that report elsewhere.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
    machine.hook(&before_call(3), &[("DUCAT_URL", "http://127.0.0.1:1")]);
    let socket = machine.home().join("other.sock").display().to_string();
    machine.hook(&before_call(4), &[("DUCAT_SOCKET", &socket)]);
    assert!(!own.tried().exists());
    machine.hook(&before_call(5), &[]);
    assert!(own.tried().exists());
}

#[test]
fn a_server_of_the_users_own_is_left_running() {
    let own = OnDemand::install();
    let machine = &own.machine;
    let server = machine.serve();
    machine.hook(&before_call(1), &[]);
    assert!(!own.tried().exists(), "there is one");
    machine.prints(&["service", "remove"]);
    assert_eq!(server.ask("/health", None, "").0, 200);
    let refused = machine.run(&["service", "remove", "--purge", "--yes"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("end it first"));
    assert!(machine.data().join("ledger.db").exists());
}

#[test]
fn what_cannot_be_installed_is_refused_with_a_word() {
    let machine = Machine::new();
    let before = listing(machine.home());
    for (args, word) in [
        (&["service", "install"][..], "--on-demand"),
        (&["service", "install", "--on-demand", "--port", "0"], "--port 0"),
        (&["service", "install", "--on-demand", "--host", "0.0.0.0"], "METRICS_API_KEY"),
        (&["service", "install", "--on-demand", "--", "--no-such-thing"], "--no-such-thing"),
        (&["service", "install", "--on-demand", "--no-socket"], "--no-socket"),
        (&["service", "remove", "--purge"], "--yes"),
        (&["service", "status"], "ducat service install"),
    ] {
        let output = machine.command(args).stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains(word), "{args:?}: {words}");
    }
    let shown =
        machine.command(&["service", "install", "--on-demand", "--dry-run"]).env("METRICS_API_KEY", "hush").output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("start-on-hook") && !shown.contains("hush"), "{shown}");
    assert!(listing(machine.home()) == before, "nothing was written");
}

#[test]
fn on_a_terminal_the_choice_is_asked() {
    let machine = Machine::new();
    let port = free_port().to_string();
    let install = machine.command(&["service", "install", "--port", &port]);
    // Twice; the shell keeps the screen when the command has ended.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\"; \"$@\"; sleep 60", "sh"]).arg(install.get_program()).args(install.get_args());
    shell.envs(install.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let Some(terminal) = Terminal::start(machine.home(), (200, 20), &shell) else { return };
    terminal.shows("Start it from the first hook? [y/N]");
    terminal.types("", "Enter");
    terminal.shows("Nothing was installed.");
    assert!(!machine.data().exists());
    terminal.types("y", "Enter");
    terminal.shows("Installed: the next hook");
    assert!(machine.data().join("start-on-hook").exists());
}

#[test]
fn what_would_keep_the_server_from_starting_is_said_at_once() {
    let machine = Machine::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = machine.run(&["service", "install", "--on-demand", "--port", &port]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("is taken by another program"), "{words}");
    write(&machine.home().join(".config/ducat/config.toml"), "[captur]\n");
    let refused = machine.run(&["service", "install", "--on-demand", "--port", &free_port().to_string()]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("captur"), "{words}");
    assert!(!machine.data().exists());
}

/// In a folder that the user named, only what Ducat keeps is deleted; and not while hooks are set up, which are undone from there.
#[test]
fn purging_spares_what_is_not_ours() {
    let own = OnDemand { machine: Machine::new(), port: free_port() };
    let (machine, folder) = (&own.machine, own.machine.home().join("figures"));
    write(&folder.join("mine.txt"), "mine");
    let named = folder.display().to_string();
    let run = |args: &[&str]| machine.command(args).env("DUCAT_DATA_DIR", &named).output().unwrap();
    assert!(run(&["service", "install", "--on-demand", "--port", &own.port.to_string()]).status.success());
    machine.hook(&before_call(1), &[("DUCAT_DATA_DIR", &named)]);
    comes_to_calls(own.port, 1);
    write(&folder.join("setup/claude-code.json"), "{}");
    let refused = run(&["service", "remove", "--purge", "--yes"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--remove"), "{refused:?}");
    fs::remove_dir_all(folder.join("setup")).unwrap();
    let removed = run(&["service", "remove", "--purge", "--yes"]);
    assert!(removed.status.success() && String::from_utf8_lossy(&removed.stdout).contains("mine.txt"), "{removed:?}");
    assert_eq!(listing(&folder).into_keys().collect::<Vec<_>>(), [folder.join("mine.txt")]);
}

#[test]
fn a_log_file_takes_the_place_of_standard_error() {
    let machine = Machine::new();
    let log = machine.home().join("logs/ducat.log");
    let mut child = machine
        .command(&["serve", "--port", "0", "--log-file", &log.display().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually(|| {
        if fs::read_to_string(&log).unwrap_or_default().contains("the page is at") { Ok(()) } else { Err("no word".to_owned()) }
    });
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o600);
    // A second one says in both places why it does not start.
    let second = machine.run(&["serve", "--port", "0", "--log-file", &log.display().to_string()]);
    assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("in use by process"));
    assert!(fs::read_to_string(&log).unwrap().contains("in use by process"));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(words, "");
    assert!(fs::read_to_string(&log).unwrap().contains("ending"));
}

/// `/dev/full` refuses what is written as a full disk does.
#[test]
fn a_full_disk_takes_the_log_and_not_the_server() {
    let (machine, port) = (Machine::new(), free_port());
    let mut child = machine.command(&["serve", "--port", &port.to_string(), "--log-file", "/dev/full"]).spawn().unwrap();
    eventually(|| get(port, "/health").map(drop).ok_or_else(|| "away".to_owned()));
    machine.hook(&before_call(1), &[PATIENT]);
    assert_eq!(calls(port), 1);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

/// Installed for a real systemd user manager; `None` where there can be none.
fn installed(machine: &Machine, port: u16, more: &[&str]) -> Option<(UserManager, String)> {
    let manager = UserManager::start(machine)?;
    let port = port.to_string();
    let args = [&["service", "install", "--port", &port], more].concat();
    let output = manager.command(machine, &args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some((manager, String::from_utf8(output.stdout).unwrap()))
}

fn main_pid(manager: &UserManager, machine: &Machine) -> i64 {
    manager.property(machine, "ducat.service", "MainPID").parse().unwrap()
}

#[test]
fn under_systemd_it_survives_a_kill_and_goes_without_a_trace() {
    let (machine, port) = (Machine::new(), free_port());
    let before = listing(machine.home());
    let Some((manager, printed)) = installed(&machine, port, &[]) else { return };
    assert!(printed.contains(&format!("the page is at http://localhost:{port}")), "{printed}");
    let first = main_pid(&manager, &machine);
    assert!(first > 0 && get(port, "/health").is_some());
    // Hooks find it over both sockets, which are the manager's.
    let runtime = manager.runtime().display().to_string();
    machine.hook(&before_call(1), &[("XDG_RUNTIME_DIR", &runtime), PATIENT]);
    machine.hook(&before_call(2), &[PATIENT]);
    assert_eq!((calls(port), machine.spooled().len()), (2, 0));
    assert_eq!(fs::metadata(machine.socket()).unwrap().mode() & 0o777, 0o600);

    kill(first);
    // Who asks while it is away waits for it instead of failing.
    assert!(get(port, "/health").is_some());
    let second = eventually(|| match main_pid(&manager, &machine) {
        pid if pid > 0 && pid != first => Ok(pid),
        pid => Err(format!("main process {pid}")),
    });
    machine.hook(&before_call(3), &[PATIENT]);
    comes_to_calls(port, 3);
    let found: Value =
        serde_json::from_slice(&manager.command(&machine, &["service", "status", "--json"]).output().unwrap().stdout).unwrap();
    assert_eq!((&found["way"], &found["pid"], &found["restarts"]), (&json!("systemd"), &json!(second), &json!(1)), "{found}");

    // Installing again updates; the ledger goes on.
    let other = free_port();
    let again = manager.command(&machine, &["service", "install", "--port", &other.to_string()]).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(get(port, "/health").is_none());
    comes_to_calls(other, 3);

    let removed = manager.command(&machine, &["service", "remove", "--purge", "--yes"]).output().unwrap();
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert!(get(other, "/health").is_none());
    assert_eq!(manager.property(&machine, "ducat.service", "LoadState"), "not-found");
    assert_eq!(manager.property(&machine, "ducat.socket", "LoadState"), "not-found");
    assert!(!manager.runtime().join("ducat").exists());
    let after = listing(machine.home());
    let left: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    assert!(after == before, "{left:?}");
}

#[test]
fn under_systemd_the_first_connection_starts_a_stopped_server() {
    let (machine, port) = (Machine::new(), free_port());
    let Some((manager, _)) = installed(&machine, port, &[]) else { return };
    assert!(manager.systemctl(&machine, &["stop", "ducat.service"]).status.success());
    assert_eq!(manager.property(&machine, "ducat.service", "ActiveState"), "inactive");
    // A hook's, this time.
    machine.hook(&before_call(1), &[PATIENT]);
    assert_eq!(machine.spooled().len(), 0);
    assert_eq!(manager.property(&machine, "ducat.service", "ActiveState"), "active");
    assert_eq!(calls(port), 1);
}

#[test]
fn under_systemd_without_a_socket_and_with_a_key() {
    let (machine, port) = (Machine::new(), free_port());
    let Some(manager) = UserManager::start(&machine) else { return };
    let port_text = port.to_string();
    let install = |more: &[&str]| {
        let args = [&["service", "install", "--port", &port_text], more].concat();
        manager.command(&machine, &args).env("METRICS_API_KEY", "hush \"$x\" 100%").output().unwrap()
    };
    let units = machine.home().join(".config/systemd/user");
    // Somebody's own unit stays.
    write(&units.join("ducat.service"), "[Service]\nExecStart=/bin/true\n");
    let refused = install(&[]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--force"));
    assert_eq!(fs::read_to_string(units.join("ducat.service")).unwrap(), "[Service]\nExecStart=/bin/true\n");
    let before = listing(machine.home());
    let shown = install(&["--force", "--dry-run"]);
    assert!(shown.status.success() && !String::from_utf8_lossy(&shown.stdout).contains("hush"));
    assert!(listing(machine.home()) == before);

    let output = install(&["--force", "--no-socket"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!units.join("ducat.socket").exists());
    assert!(!fs::read_to_string(units.join("ducat.service")).unwrap().contains("hush"));
    assert_eq!(fs::metadata(machine.data().join("service.env")).unwrap().mode() & 0o777, 0o600);
    let error = get(port, "/api/v1/sessions").unwrap();
    assert!(error["error"].is_string(), "{error}");
    let first = main_pid(&manager, &machine);
    let environment = String::from_utf8_lossy(&fs::read(format!("/proc/{first}/environ")).unwrap()).into_owned();
    assert!(environment.split('\0').any(|line| line == "METRICS_API_KEY=hush \"$x\" 100%"), "as it was, quotes and all");
    kill(first);
    eventually(|| get(port, "/health").map(drop).ok_or_else(|| "away".to_owned()));
    let removed = manager.command(&machine, &["service", "remove"]).output().unwrap();
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert!(!units.join("ducat.service").exists() && !machine.data().join("service.env").exists());
    assert!(machine.data().join("ledger.db").exists());
}

/// Has `ducat serve` started by the first who connects, with what is listened on handed over.
fn activate(machine: &Machine, listens: &[&str], variables: &[(&str, &Path)]) -> Option<Command> {
    const PROGRAM: &str = "/usr/bin/systemd-socket-activate";
    if !Path::new(PROGRAM).exists() {
        let _ = writeln!(std::io::stderr(), "skipped: systemd-socket-activate is not installed");
        return None;
    }
    let serve = machine.command(&["serve", "--port", "1"]);
    let mut command = Command::new(PROGRAM);
    command.args(listens).env_clear();
    for (name, value) in serve.get_envs() {
        command.arg("-E").arg(format!("{}={}", name.display(), value.unwrap().display()));
    }
    for (name, value) in variables {
        command.arg("-E").arg(format!("{name}={}", value.display()));
    }
    command.arg(serve.get_program()).args(serve.get_args()).stderr(Stdio::piped());
    Some(command)
}

/// The protocol alone, as any service manager speaks it.
#[test]
fn listeners_that_are_handed_over_are_served_and_kept() {
    let (machine, port) = (Machine::new(), free_port());
    let (address, socket) = (format!("127.0.0.1:{port}"), machine.socket().display().to_string());
    let place = machine.home().join("notify");
    let told = UnixDatagram::bind(&place).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let Some(mut command) = activate(&machine, &["-l", &address, "-l", &socket], &[("NOTIFY_SOCKET", &place)]) else { return };
    fs::create_dir_all(machine.socket().parent().unwrap()).unwrap();
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    eventually(|| if machine.socket().exists() { Ok(()) } else { Err("does not listen".to_owned()) });
    machine.hook(&before_call(1), &[PATIENT]);
    assert_eq!((calls(port), machine.spooled().len()), (1, 0));
    let mut word = [0; 64];
    let length = told.recv(&mut word).unwrap();
    assert_eq!(&word[..length], b"READY=1");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    let length = told.recv(&mut word).unwrap();
    assert_eq!(&word[..length], b"STOPPING=1");
    assert!(machine.socket().exists(), "it was not ours to remove");
}

#[test]
fn what_is_handed_over_and_cannot_be_served_is_refused_by_number() {
    let machine = Machine::new();
    let (one, other) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    for (listens, word) in [
        (&["--datagram", "-l", &one][..], "descriptor 3 of LISTEN_FDS"),
        (&["-l", &one, "-l", &other][..], "more than one TCP address"),
    ] {
        let Some(mut command) = activate(&machine, listens, &[]) else { return };
        let mut child = command.spawn().unwrap();
        let asker = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let ended = eventually(|| {
            let _ = asker.send_to(b"x", &one);
            drop(TcpStream::connect(&one));
            child.try_wait().unwrap().ok_or_else(|| "runs".to_owned())
        });
        let mut words = String::new();
        child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        assert!(!ended.success() && words.contains(word), "{words}");
    }
}
