//! Whoever told of an agent still does, and what telemetry was acknowledged can be read.

use std::fs;

use ducat_ledger::Witness;
use ducat_ship::host_name;
use ducat_store::TenantId;

use super::finding::{Exam, several, shown, word};
use super::machine::Machine;
use crate::quiet;
use crate::setup::CLAUDE_CODE;

pub fn look(machine: &Machine, exam: &mut Exam) {
    unreadable(machine, exam);
    let Some(ledger) = machine.ledger() else { return };
    let own_host = host_name();
    let Ok(mut rows) = ledger.freshness(TenantId::LOCAL, &own_host, machine.now.as_millisecond()) else { return };
    // Claude Code's hooks here are looked at by themselves, with more to say.
    rows.retain(|row| row.witness != Witness::Hook || row.agent != CLAUDE_CODE || row.host != own_host);
    let notices = quiet::notices(&rows);
    if notices.is_empty() {
        exam.sound("witnesses", format!("of {} witnesses heard in seven days none is quiet while others go on", rows.len()));
    }
    for notice in notices {
        exam.warning("witness-quiet", notice.what, notice.remedy);
    }
}

/// What the server put aside of acknowledged telemetry.
fn unreadable(machine: &Machine, exam: &mut Exam) {
    let Some(inbox) = machine.data.as_ref().map(|data| data.join("otlp-inbox")) else { return };
    let entries = fs::read_dir(&inbox).into_iter().flatten().flatten().map(|entry| entry.path());
    let aside: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "unreadable")).collect();
    let bytes: u64 = aside.iter().filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.len()).sum();
    if aside.is_empty() {
        return exam.sound("otlp-inbox", "no telemetry was put aside as unreadable");
    }
    exam.warning(
        "otlp-unreadable",
        format!(
            "{} with {} of acknowledged telemetry that the ledger could not read: what it told is missing there.",
            several(aside.len() as u64, "file"),
            several(bytes, "byte")
        ),
        format!(
            "Look at the disk of {0} (`dmesg`); transcripts tell most of it again; report the files, then `rm {1}/*.unreadable`.",
            shown(&inbox),
            word(&inbox)
        ),
    );
}
