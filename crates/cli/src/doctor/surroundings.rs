//! Traps of WSL, containers and sudo.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Exam, shown};
use super::machine::Machine;

pub fn look(machine: &Machine, exam: &mut Exam) {
    let count = exam.findings.len();
    if machine.is_wsl() {
        wsl(machine, exam);
    }
    if machine.is_container() && machine.hook_url().is_none() && !machine.is_served() && !machine.starts_on_demand() {
        exam.note(
            "container-alone",
            "This is a container, and no server answers in it: events stay in its spool, and go with it.",
            "Run `ducat serve` here, reach a server on the host with `ducat setup claude-code --url \
                http://host.docker.internal:9090`, or share its socket and name it with --socket.",
        );
    }
    if let Some(home) = &machine.home {
        anothers_home(home, exam);
    }
    if exam.findings.len() == count {
        let kinds = [(machine.is_wsl(), "in WSL"), (machine.is_container(), "in a container")];
        let kinds: Vec<&str> = kinds.into_iter().filter_map(|(is, kind)| is.then_some(kind)).collect();
        exam.sound(
            "surroundings",
            if kinds.is_empty() {
                "neither WSL nor a \
            container"
                    .to_owned()
            } else {
                kinds.join(", ")
            },
        );
    }
}

fn wsl(machine: &Machine, exam: &mut Exam) {
    let drives = machine.root.join("mnt");
    let on_windows = |path: &Path| {
        let below = path.strip_prefix(&drives).ok();
        below.and_then(|rest| rest.components().next()).is_some_and(|drive| drive.as_os_str().len() == 1)
    };
    for path in machine.home.iter().chain(&machine.data).filter(|path| on_windows(path)).take(1) {
        exam.warning(
            "wsl-windows-disk",
            format!("{} is on a Windows disk: locks do not hold there, and nothing tells of changes.", path.display()),
            "Set HOME (or DUCAT_DATA_DIR) to a folder of Linux's own disk, such as /home/NAME.",
        );
    }
    let windows: Vec<PathBuf> = fs::read_dir(&drives)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|drive| drive.file_name().len() == 1)
        .flat_map(|drive| fs::read_dir(drive.path().join("Users")).into_iter().flatten().flatten())
        .map(|user| user.path().join(".claude"))
        .filter(|folder| folder.join("projects").is_dir() && !machine.homes.iter().any(|home| home.folder.starts_with(folder)))
        .collect();
    if let Some(folder) = windows.first() {
        exam.note(
            "wsl-windows-transcripts",
            format!("Claude Code on Windows keeps transcripts in {}, which are not read here.", folder.display()),
            format!("Add that folder: `export CLAUDE_CONFIG_DIR={},{}`.", own_folder(machine), folder.display()),
        );
    }
}

/// The client takes the first of several.
fn own_folder(machine: &Machine) -> String {
    machine.claude.as_deref().map_or_else(|| "~/.claude".to_owned(), |folder| folder.display().to_string())
}

/// What another user writes into a home, its owner cannot write any more.
fn anothers_home(home: &Path, exam: &mut Exam) {
    let Ok(owner) = fs::metadata(home).map(|meta| meta.uid()) else {
        exam.error(
            "home-missing",
            format!("HOME is {}, which is not there.", home.display()),
            "Set HOME to \
            your own folder.",
        );
        return;
    };
    let user = rustix::process::geteuid().as_raw();
    if owner != user {
        exam.warning(
            "anothers-home",
            format!(
                "HOME is {}, which belongs to user {owner}; this runs as user {user} (sudo?): files get the wrong owner.",
                shown(home)
            ),
            "Run ducat as the user who runs Claude Code, without sudo (or with `sudo -H`).",
        );
    }
}
