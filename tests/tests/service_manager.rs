//! A server under a service manager: a real systemd's, and the protocols alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ducat_end_to_end::service::{PATIENT, before_call, calls, comes_to_calls, free_port, get, kill, listing};
use ducat_end_to_end::systemd::UserManager;
use ducat_end_to_end::{Machine, eventually, write};
use serde_json::{Value, json};

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

#[test]
fn under_systemd_a_server_that_cannot_start_is_told_and_removed() {
    let (machine, port) = (Machine::new(), free_port().to_string());
    let Some(manager) = UserManager::start(&machine) else { return };
    write(&machine.data().join("ledger.db"), &"no ledger".repeat(1000));
    let before = listing(machine.home());
    for more in [&[][..], &["--no-socket"]] {
        let args = [&["service", "install", "--port", &port], more].concat();
        let output = manager.command(&machine, &args).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && words.contains("does not answer") && words.contains("ducat service remove"),
            "{words}"
        );
        let output = manager.command(&machine, &["service", "status"]).output().unwrap();
        assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("fault"), "{output:?}");
        assert!(manager.command(&machine, &["service", "remove"]).output().unwrap().status.success());
        let after = listing(machine.home());
        let left: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
        // The lock names who held the folder last.
        assert_eq!(left, [&machine.data().join("lock")]);
        fs::remove_file(machine.data().join("lock")).unwrap();
    }
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
