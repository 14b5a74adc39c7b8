//! What Claude Code will delete of its transcripts, and whether the ledger has it.

use std::path::Path;

use ducat_scan::{History, Home, TranscriptFile, histories, managed_settings};
use ducat_spool::data_folder;
use ducat_store::{DataFolder, Reader};

use super::finding::{Exam, several, shown};
use super::firing::local;
use super::machine::{Machine, kept};

const KEEP: &str = "`ducat setup claude-code --keep-transcripts 3650`";

pub fn look(machine: &Machine, exam: &mut Exam) {
    let files: Vec<&TranscriptFile> = machine.transcripts().0.iter().collect();
    let now = machine.now.as_millisecond();
    for history in histories(&machine.homes, &files, &machine.managed, now, &|| machine.kept()) {
        judge(machine, &history, now, exam);
    }
}

fn judge(machine: &Machine, history: &History, now: i64, exam: &mut Exam) {
    let folder = shown(&history.folder);
    let told_by = history.retention.told_by.as_deref();
    // Whatever the user writes, an administrator's word stands.
    let is_managed = told_by.is_some_and(|path| machine.managed.iter().any(|(managed, _)| managed == path));
    let Some(days) = history.retention.days else {
        exam.warning(
            "cleanup-period-invalid",
            format!(
                "cleanupPeriodDays in {} must be a whole number from 1: Claude Code refuses it (older ones then write \
                 no transcripts).",
                told_by.map_or_else(String::new, shown)
            ),
            if is_managed {
                "Have the administrator set it to 3650, to keep transcripts for ten years.".to_owned()
            } else {
                format!("Run {KEEP}, to keep transcripts for ten years.")
            },
        );
        return;
    };
    let also = if is_managed { String::new() } else { format!("; {KEEP} keeps the files too") };
    if let Some(at) = history.first_loss_at {
        exam.warning(
            "history-going",
            format!(
                "Claude Code deletes {} that the ledger does not have {} ({days} days after the last line, {folder}).",
                several(history.not_imported.len() as u64, "transcript"),
                when(at, now)
            ),
            format!("Run `ducat import` before (or keep `ducat serve` running){also}."),
        );
    } else if let Some(at) = history.next_deletion_at.filter(|_| history.files > 0) {
        exam.note(
            "history-imported",
            format!(
                "Claude Code deletes {} ({} MB) {}; what the ledger has of them stays.",
                several(history.files, "transcript"),
                history.bytes.div_ceil(1_000_000),
                when(at, now)
            ),
            format!("Nothing to do{also}."),
        );
    } else {
        let first = history.next_deletion_at.map(|at| format!("; the first goes on {}", local(at))).unwrap_or_default();
        exam.sound("history", format!("transcripts in {folder} are kept for {days} days{first}"));
    }
}

/// When the client deletes what it may delete from a time on.
fn when(at: i64, now: i64) -> String {
    if at <= now { "with its next session".to_owned() } else { format!("from {} on", local(at)) }
}

/// For `ducat report`: what goes soon and no ledger has, in one line.
pub fn hint(homes: &[Home], files: &[&TranscriptFile], now: i64) -> Option<String> {
    let data = data_folder();
    let ledger = || Reader::open(&DataFolder::database_in(data.as_deref()?)).ok();
    let histories = histories(homes, files, &managed_settings(Path::new("/")), now, &|| kept(data.as_deref(), ledger()));
    let at = histories.iter().filter_map(|history| history.first_loss_at).min()?;
    let lost: usize = histories.iter().map(|history| history.not_imported.len()).sum();
    let lost = several(lost as u64, "transcript");
    Some(format!("Claude Code deletes {lost} {}; `ducat import` keeps what they tell (ducat doctor)", when(at, now)))
}
