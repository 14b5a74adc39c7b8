//! A server that is always there without a service manager: started by a hook, killed, back again, and removed without a trace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ducat_end_to_end::claude_code::{PINNED, Provider, Run, client, client_environment};
use ducat_end_to_end::service::{
    PATIENT, before_call, calls, comes_to_calls, free_port, get, is_zombie, kill, listing, pid, status,
};
use ducat_end_to_end::terminal::Terminal;
use ducat_end_to_end::{Machine, eventually, write};
use serde_json::{Value, json};

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
    // The last hooks may have spooled while the server was busy, which then takes what waits.
    eventually(|| match (machine.spooled(), status(machine)) {
        (spooled, status) if spooled.is_empty() && status["running"] == true => Ok(()),
        (spooled, status) => Err(format!("{spooled:?} {status}")),
    });
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
    // The ports for telemetry are told beside, whether it has them or another server of this machine does.
    let lines = log.lines().filter(|line| !line.contains(" OpenTelemetry over ") && !line.contains(" no OTLP over "));
    assert_eq!(lines.count(), 1, "one server, and none that was turned away: {log}");
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
    assert!(get(own.port, "/health").is_none());
    eventually(|| {
        if is_zombie(server) || !Path::new(&format!("/proc/{server}")).exists() { Ok(()) } else { Err("lives".to_owned()) }
    });
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
