//! The data folder: ours alone, on a disk of this machine with room, with a ledger that can be read, and a clock to date it by.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ducat_store::{Reader, StoreError, TenantId, network_file_system};
use jiff::Timestamp;

use super::finding::{Exam, shown, word};
use super::firing::local;
use super::fix::Fix;
use super::machine::Machine;

const MB: u64 = 1_000_000;
const LEAST_FREE: u64 = 200 * MB;
/// SQLite's log is folded at a few MB; one of this size is held open by somebody, or nobody folds it.
const ODD_LOG: u64 = 512 * MB;
const FUTURE_MS: i64 = 5 * 60_000;
/// 2025-01-01: no clock of a machine that runs this stands before.
const EARLIEST_S: i64 = 1_735_689_600;

pub fn look(machine: &Machine, exam: &mut Exam) {
    clock(machine.now, exam);
    let Some(data) = &machine.data else {
        exam.error(
            "no-data-folder",
            "There is no HOME to keep the ledger in.",
            "Set HOME, or DUCAT_DATA_DIR to a folder of this disk.",
        );
        return;
    };
    if data.is_relative() {
        exam.warning(
            "data-folder-relative",
            format!("DUCAT_DATA_DIR is {}: each working folder gets a ledger of its own.", data.display()),
            "Set DUCAT_DATA_DIR to a path that begins with /.",
        );
    }
    // Before the first run there is no folder; what is above it decides.
    let existing = data.ancestors().find(|folder| folder.exists()).unwrap_or(data);
    disk(machine, existing, exam);
    folders(machine, data, exam);
    if let Some(path) = machine.database().filter(|path| path.exists()) {
        ledger(machine, &path, exam);
    }
}

fn clock(now: Timestamp, exam: &mut Exam) {
    if now.as_second() < EARLIEST_S {
        exam.error(
            "clock-wrong",
            format!("The clock says {}: everything is dated wrong.", now.strftime("%Y-%m-%d")),
            "Set it by the network: `timedatectl set-ntp true`.",
        );
    } else {
        exam.sound("clock", now.strftime("%Y-%m-%d %H:%M UTC").to_string());
    }
}

fn disk(machine: &Machine, folder: &Path, exam: &mut Exam) {
    if let Ok(free) = free_bytes(folder) {
        disk_room(folder, free, exam);
    }
    let mounts = fs::read_to_string(machine.root.join("proc/self/mountinfo")).unwrap_or_default();
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    if let Some(kind) = network_file_system(&mounts, &real) {
        exam.error(
            "network-file-system",
            format!("{} is on a network file system ({kind}), where a database can be damaged.", shown(folder)),
            "Set DUCAT_DATA_DIR to a folder on a disk of this machine.",
        );
    }
}

fn free_bytes(folder: &Path) -> rustix::io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn disk_room(folder: &Path, free: u64, exam: &mut Exam) {
    if free < LEAST_FREE {
        exam.error(
            "disk-full",
            format!("The disk of {} has {} MB left: without room, events are lost.", shown(folder), free / MB),
            format!("Free some room (`df -h {}`), or set DUCAT_DATA_DIR to a folder on another disk.", word(folder)),
        );
    } else {
        exam.sound("disk", format!("{} GB free for {}", free / (1000 * MB), shown(folder)));
    }
}

/// Nobody else may write where hooks and server trust what they find, and we may.
fn folders(machine: &Machine, data: &Path, exam: &mut Exam) {
    let mut folders: Vec<PathBuf> =
        vec![data.to_owned(), data.join("spool"), data.join("spool/new"), data.join("spool/tmp"), data.join("setup")];
    folders.extend(machine.listeners().iter().filter_map(|(path, _)| path.parent().map(Path::to_owned)));
    let count = exam.findings.len();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let Ok(meta) = fs::metadata(folder) else { continue };
        let mode = meta.permissions().mode();
        // A folder such as /tmp, where everybody may write and nobody remove, is the user's choice for a socket.
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            exam.warning(
                "folder-open-to-others",
                format!(
                    "Others may write to {} (mode {:o}): they could forge events, and the server takes no socket there.",
                    shown(folder),
                    mode & 0o777
                ),
                format!("Run `ducat doctor --fix`, or `chmod go-w {}`.", word(folder)),
            )
            .fixed_by(Fix::Forbid(folder.clone(), 0o022));
        }
        if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
            let is_own = meta.uid() == rustix::process::geteuid().as_raw();
            let finding = exam.error(
                "folder-not-writable",
                format!(
                    "{} may not be written by this user (owner {}, mode {:o}): hooks and server fail there.",
                    shown(folder),
                    meta.uid(),
                    mode & 0o777
                ),
                if is_own {
                    format!("Run `ducat doctor --fix`, or `chmod u+rwx {}`.", word(folder))
                } else {
                    format!("Run `sudo chown -R \"$USER\" {0} && chmod -R u+rwX {0}`.", word(folder))
                },
            );
            finding.fix = is_own.then(|| Fix::Allow(folder.clone(), 0o700));
        }
    }
    if exam.findings.len() == count {
        exam.sound("folders", format!("{} and what is below it is ours alone", shown(data)));
    }
}

fn ledger(machine: &Machine, path: &Path, exam: &mut Exam) {
    let newest = Reader::open(path).and_then(|reader| {
        reader.check_schema()?;
        reader.sessions_since(TenantId::LOCAL, machine.now.as_millisecond().saturating_add(FUTURE_MS))
    });
    match newest {
        Err(error @ StoreError::Newer { .. }) => {
            exam.error(
                "ledger-newer",
                format!("{}: {error}.", shown(path)),
                "Install the newer ducat and ducat-hook everywhere on the PATH.",
            );
        }
        Err(error) => {
            exam.error(
                "ledger-unreadable",
                format!("{} cannot be read: {error}.", shown(path)),
                format!(
                    "End the server, move the file away (`mv {0} {0}.broken`) and run `ducat import`: \
                transcripts that are still there fill a new one.",
                    word(path)
                ),
            );
        }
        Ok(future) => match future.iter().filter_map(|session| session.last_at.get()).max() {
            Some(at) => {
                exam.warning(
                    "events-from-the-future",
                    format!(
                        "The ledger has events of {}, which is not yet: a clock was wrong, here or where they come from.",
                        local(*at)
                    ),
                    "Set clocks by the network (`timedatectl set-ntp true`); what is dated so stays so.",
                );
            }
            None => exam.sound(
                "ledger",
                format!(
                    "{}, {} \
                MB",
                    shown(path),
                    fs::metadata(path).map_or(0, |meta| meta.len()) / MB
                ),
            ),
        },
    }
    let log = path.with_extension("db-wal");
    let size = fs::metadata(&log).map_or(0, |meta| meta.len());
    if size > ODD_LOG {
        exam.note(
            "ledger-log-large",
            format!(
                "{} has grown to {} MB: a program keeps the ledger open, or the server cannot fold it.",
                shown(&log),
                size / MB
            ),
            "Start `ducat serve` again: it folds the log when it ends.",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_and_a_clock_of_the_past_are_errors() {
        let found = |look: &dyn Fn(&mut Exam)| {
            let mut exam = Exam::default();
            look(&mut exam);
            exam.findings.iter().map(|finding| (finding.id, finding.remedy.clone())).collect::<Vec<_>>()
        };
        let full = found(&|exam| disk_room(Path::new("/data"), LEAST_FREE - 1, exam));
        assert!(
            full[0].0 == "disk-full" && full[0].1.contains("df -h /data") && full[0].1.contains("DUCAT_DATA_DIR"),
            "{full:?}"
        );
        assert!(found(&|exam| disk_room(Path::new("/data"), LEAST_FREE, exam)).is_empty());
        let past = found(&|exam| clock("2024-12-31T23:59:59Z".parse().unwrap(), exam));
        assert!(past[0].0 == "clock-wrong" && past[0].1.contains("timedatectl"), "{past:?}");
        assert!(found(&|exam| clock("2025-01-01T00:00:00Z".parse().unwrap(), exam)).is_empty());
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
    }
}
