//! `ducat pull` from a real sshd on a port of loopback, with keys of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use ducat_end_to_end::{Machine, append, eventually, request, write};
use serde_json::Value;

/// A machine that can be reached over ssh, by us.
struct Sshd {
    child: Child,
    port: u16,
    /// The ssh that is let in.
    ssh: String,
    folder: PathBuf,
}

impl Sshd {
    /// `home` is what the login finds as its home.
    fn start(machine: &Machine) -> Option<Self> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/openssh/usr");
        let programs = [unpacked.join("sbin/sshd"), "/usr/sbin/sshd".into(), "/usr/local/sbin/sshd".into()];
        let Some(program) = programs.into_iter().filter_map(|path| path.canonicalize().ok()).next() else {
            eprintln!("skipped: there is no sshd (make test fetches it)");
            return None;
        };
        let libraries = fs::read_dir(unpacked.join("lib")).into_iter().flatten().flatten().map(|entry| entry.path());
        let libraries = libraries.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
        let folder = machine.home().join("sshd");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        for name in ["host", "user"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]).status().unwrap();
            assert!(made.success());
        }
        // Root's sshd wants it; others do without.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv HOME={}\n",
            path("host"),
            path("user.pub"),
            machine.home().display()
        );
        fs::write(folder.join("config"), config).unwrap();
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f", &path("config")]).env("LD_LIBRARY_PATH", libraries);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let ssh = format!(
            "ssh -F none -i {} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile={} -o LogLevel=ERROR",
            path("user"),
            path("known_hosts")
        );
        let sshd = Self { child, port, ssh, folder };
        eventually(|| TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string()));
        Some(sshd)
    }

    fn pull(&self, machine: &Machine, folder: &str, more: &[&str]) -> Output {
        let url = format!("ssh://127.0.0.1:{}{folder}", self.port);
        let path = std::env::var("PATH").unwrap_or_default();
        machine.command(&["pull", &url, "--ssh", &self.ssh]).args(more).env("PATH", path).output().unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_remote_machine_without_ducat_is_taken_in_under_its_name() {
    let remote = Machine::new();
    let Some(sshd) = Sshd::start(&remote) else { return };
    let home = remote.home().join(".claude/projects");
    let first = home.join("-somewhere it's $(touch broken) `x`/a.jsonl");
    write(&first, &(1..=3).map(|id| request("a", id, 100)).collect::<String>());
    write(&remote.home().join(".config/claude/projects/other/b.jsonl"), &request("b", 10, 100));
    write(&home.join("notes.txt"), "nothing for a meter");
    let own = Machine::new();
    write(&own.projects().join("app/c.jsonl"), &request("c", 20, 100));
    let output = sshd.pull(&own, "", &[]);
    assert!(output.status.success() && said(&output).contains("2 of 2 files on 127.0.0.1"), "{}", said(&output));
    let output = sshd.pull(&own, "", &["--host", "box"]);
    assert!(said(&output).contains("0 of 2 files on box"), "{}", said(&output));

    // What grows there comes, alone, and a running server takes it in by itself.
    let server = own.serve();
    let by_host = || server.get_json("/api/v1/report?by=host&timezone=UTC");
    append(&first, &request("a", 4, 100));
    let output = sshd.pull(&own, "", &["--host", "box"]);
    assert!(
        said(&output).contains("1 of 2 files on box") && said(&output).contains("server that runs here"),
        "{}",
        said(&output)
    );
    let row_comes = |total: u64| {
        eventually(|| {
            let found = by_host()["totals"]["requests"].clone();
            if found == total { Ok(()) } else { Err(format!("{found} instead of {total}")) }
        });
    };
    row_comes(6);
    let shares = by_host()["rows"].as_array().unwrap().clone();
    let of_the_machine = |row: &&Value| ["box", "127.0.0.1"].iter().any(|name| row["host"] == *name);
    let own_requests: u64 = shares.iter().filter(|row| !of_the_machine(row)).map(|row| row["requests"].as_u64().unwrap()).sum();
    assert_eq!(own_requests, 1, "{shares:?}");
    // A file that was written anew there is fetched whole; nothing counts twice.
    write(&first, &(1..=9).rev().filter(|id| *id != 5).map(|id| request("a", id, 100)).collect::<String>());
    let output = sshd.pull(&own, "", &["--host", "box"]);
    assert!(output.status.success(), "{}", said(&output));
    row_comes(10);
    // One that goes there stays here.
    fs::remove_file(&first).unwrap();
    assert!(sshd.pull(&own, "", &["--host", "box"]).status.success());
    row_comes(10);
    assert!(!remote.home().join("broken").exists() && !Path::new("broken").exists());

    // Another folder, another name; and nothing.
    let output = sshd.pull(&own, remote.home().join(".config/claude/projects").to_str().unwrap(), &["--host", "other"]);
    assert!(said(&output).contains("1 of 1 files on other"), "{}", said(&output));
    let output = sshd.pull(&own, "/nonexistent", &[]);
    assert!(!output.status.success() && said(&output).contains("no transcripts there"), "{}", said(&output));
    let modes = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(modes(&own.data().join("pull")), 0o700);
    server.stop();
}

/// A stand-in for ssh that has a shell here run the script, with tools that know no more than POSIX (no `-printf`).
#[test]
fn a_remote_machine_without_gnu_tools_is_read_too() {
    let remote = Machine::new();
    let tools = remote.home().join("tools");
    write(&tools.join("find"), "#!/bin/sh\nfor word do [ \"$word\" != -printf ] || exit 1; done\nexec /usr/bin/find \"$@\"\n");
    let ssh = remote.home().join("ssh");
    let home = remote.home().display();
    write(&ssh, &format!("#!/bin/sh\necho Welcome\nHOME={home} PATH={}:$PATH exec sh\n", tools.display()));
    for program in [&tools.join("find"), &ssh] {
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let file = remote.home().join(".claude/projects/it's here/a.jsonl");
    write(&file, &request("a", 1, 100));
    let own = Machine::new();
    let path = std::env::var("PATH").unwrap_or_default();
    let pull = || own.command(&["pull", "ssh://box", "--ssh", ssh.to_str().unwrap()]).env("PATH", &path).output().unwrap();
    let output = pull();
    assert!(said(&output).contains("1 of 1 files on box") && said(&output).contains("1 new lines"), "{}", said(&output));
    append(&file, &request("a", 2, 100));
    let output = pull();
    assert!(said(&output).contains("1 of 1 files on box") && said(&output).contains("1 new lines"), "{}", said(&output));
    assert!(said(&pull()).contains("0 of 1 files"));

    // One that cannot be read there is named, copied as nothing, and tried again.
    append(&file, &request("a", 3, 100));
    let blind = format!("#!/bin/sh\nHOME={home} exec sh -c \"$(cat | sed 's/\\[ -r/[ -r \\/nonexistent -a -r/')\"\n");
    let sighted = fs::read_to_string(&ssh).unwrap();
    fs::write(&ssh, blind).unwrap();
    let output = pull();
    assert!(output.status.success() && said(&output).contains("a.jsonl on box cannot be read"), "{}", said(&output));
    assert!(said(&output).contains("0 of 1 files on box"), "{}", said(&output));
    fs::write(&ssh, sighted).unwrap();
    let output = pull();
    assert!(said(&output).contains("1 of 1 files on box") && said(&output).contains("1 new lines"), "{}", said(&output));
}

#[test]
fn what_ssh_says_is_passed_on() {
    let machine = Machine::new();
    for (url, ssh, part) in [
        ("ssh://127.0.0.1:1", "ssh -F none -o BatchMode=yes", "ssh ended without an answer"),
        ("ssh://box", "/nonexistent/ssh", "running /nonexistent/ssh"),
        ("ssh://-oProxyCommand=touch", "ssh", "must be ssh://"),
        ("box", "ssh", "must be ssh://"),
    ] {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = machine.command(&["pull", url, "--ssh", ssh]).env("PATH", path).output().unwrap();
        assert!(!output.status.success() && said(&output).contains(part), "{url}: {}", said(&output));
    }
    // A list that breaks off is no list.
    let broken = machine.home().join("broken-ssh");
    write(&broken, "#!/bin/sh\nprintf 'welcome\\nducat-begins\\n0 home /x\\0005 file /x/a.jsonl\\000'\n");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let output = machine.run(&["pull", "ssh://box", "--ssh", broken.to_str().unwrap()]);
    assert!(!output.status.success() && said(&output).contains("broke off"), "{}", said(&output));
}
