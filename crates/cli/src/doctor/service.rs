//! The service that `ducat service install` made: running, started by a program that is there, and believed by hooks.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use ducat_spool::Start;

use super::finding::{Exam, shown, word};
use super::fix::Fix;
use super::machine::Machine;
use crate::service::record::Record;
use crate::service::status;

const AGAIN: &str = "Run `ducat service install` anew; `ducat service status` tells more.";

pub fn look(machine: &Machine, exam: &mut Exam) {
    let Some(data) = &machine.data else { return };
    if let Err(error) = Record::load(data) {
        exam.error(
            "service-record-unreadable",
            format!("{error:#}."),
            format!("Run `rm {}`, then `ducat service install`.", word(&Record::place(data))),
        );
        return;
    }
    if machine.service.is_none() {
        return;
    }
    let count = exam.findings.len();
    if machine.starts_on_demand() {
        start_file(machine, exam);
    }
    // Why the file starts nothing explains why nothing runs.
    if exam.findings.len() > count {
        return;
    }
    match status::find() {
        Err(error) => {
            exam.warning("service-unknown", format!("How the service is cannot be told: {error:#}."), AGAIN);
        }
        Ok(status) => {
            if let Some((_, fault)) = &status.fault {
                exam.warning(
                    "service-failed",
                    format!("The service does not run: {}.", fault.trim().trim_end_matches('.')),
                    AGAIN,
                );
            } else if status.lingering == Some(false) {
                exam.note(
                    "service-not-lingering",
                    "The service ends with your last session (lingering is off).",
                    "Run `loginctl enable-linger` to keep it running.",
                );
            } else if let Some(way) = status.way {
                exam.sound("service", way.name());
            }
        }
    }
}

/// The file by which a hook starts the server: hooks believe it only where nobody else can have written it.
fn start_file(machine: &Machine, exam: &mut Exam) {
    let Some(path) = machine.data.as_deref().map(Start::place) else { return };
    let user = rustix::process::geteuid().as_raw();
    match File::open(&path).and_then(|mut file| Start::read(&mut file, user)) {
        Ok(start) if !start.program.is_file() => {
            exam.error(
                "service-program-missing",
                format!("Hooks are to start {}, which is not there.", shown(&start.program)),
                "Run `ducat service install --on-demand`, which writes the path of this ducat.",
            );
        }
        Ok(_) => {}
        Err(_) if fs::metadata(&path).is_ok_and(|meta| meta.uid() != user) => {
            exam.warning(
                "start-file-of-another",
                format!("{} is another user's, so hooks do not believe it: no server is started.", shown(&path)),
                format!("Run `sudo rm {}`, then `ducat service install --on-demand` without sudo.", word(&path)),
            );
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && fs::metadata(&path).is_ok() => {
            exam.warning(
                "start-file-open-to-others",
                format!("{} can be read or written by others, so hooks do not believe it: no server is started.", shown(&path)),
                format!("Run `ducat doctor --fix`, or `chmod go= {}`.", word(&path)),
            )
            .fixed_by(Fix::Forbid(path, 0o077));
        }
        Err(error) => {
            exam.warning(
                "start-file-unreadable",
                format!("{} cannot be read: {error}; hooks start no server.", shown(&path)),
                "Run `ducat service install --on-demand` anew, or `ducat service remove`.",
            );
        }
    }
}
