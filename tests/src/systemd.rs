//! A real systemd user manager for a test: in name spaces and a control group of its own, so that it sees and moves no process but its own.
//! It takes root (or a container's) to make them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Machine;

const PROGRAMS: [&str; 2] = ["/lib/systemd/systemd", "/usr/lib/systemd/systemd"];

pub struct UserManager {
    child: Child,
    group: PathBuf,
    runtime: tempfile::TempDir,
}

impl UserManager {
    /// Starts one whose home is the machine's; says why when it cannot.
    pub fn start(machine: &Machine) -> Option<Self> {
        Self::try_start(machine).map_err(|why| drop(writeln!(std::io::stderr(), "skipped: no systemd user manager: {why}"))).ok()
    }

    fn try_start(machine: &Machine) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let program = PROGRAMS.iter().find(|path| Path::new(path).exists()).ok_or("systemd is not installed")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = own_group()?.join(format!("ducat-test-{}-{number}", std::process::id()));
        fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        let runtime = tempfile::tempdir().map_err(|error| error.to_string())?;
        // It starts only where it finds a booted systemd, and keeps house in whatever group is its root: both are made for it alone.
        let inside = format!(
            "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec {program} --user"
        );
        let child = Command::new("sh")
            .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec unshare --mount --cgroup sh -c \"$1\""])
            .args([group.as_os_str(), inside.as_ref()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", machine.home())
            .env("XDG_RUNTIME_DIR", runtime.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut manager = Self { child, group, runtime };
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if manager.systemctl(machine, &["show", "--property=Version"]).status.success() {
                return Ok(manager);
            }
            if let Ok(Some(status)) = manager.child.try_wait() {
                return Err(format!("it ended with {status}; making its name spaces takes root"));
            }
            if Instant::now() > end {
                return Err("it does not answer".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn runtime(&self) -> &Path {
        self.runtime.path()
    }

    /// A command of Ducat's in this user's session.
    pub fn command(&self, machine: &Machine, args: &[&str]) -> Command {
        let mut command = machine.command(args);
        command.env("XDG_RUNTIME_DIR", self.runtime()).env("PATH", "/usr/bin:/bin");
        command
    }

    pub fn systemctl(&self, machine: &Machine, args: &[&str]) -> Output {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(args).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", machine.home());
        command.env("XDG_RUNTIME_DIR", self.runtime()).output().unwrap()
    }

    /// Value of a unit's property.
    pub fn property(&self, machine: &Machine, unit: &str, name: &str) -> String {
        let output = self.systemctl(machine, &["show", unit, &format!("--property={name}"), "--value"]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for UserManager {
    fn drop(&mut self) {
        let _ = fs::write(self.group.join("cgroup.kill"), "1");
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Groups go from the inside, once their processes have.
        for _ in 0..100 {
            if remove_groups(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten().filter(|entry| entry.path().is_dir()) {
        remove_groups(&entry.path())?;
    }
    fs::remove_dir(group)
}

/// The folder of our own control group, in the second version's hierarchy.
fn own_group() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mounts = read("/proc/self/mountinfo")?;
    let mounted = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    let mounted = mounted.ok_or("no control groups of version 2 are mounted")?;
    let groups = read("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).ok_or("no control group of version 2")?;
    Ok(Path::new(mounted).join(own.trim_start_matches('/')))
}
