//! The transcripts: readable, in the ledger, of known price, and not about to be deleted before they are imported.

use std::time::{Duration, Instant};

use ducat_report::{Report, ReportQuery, Settings};
use ducat_scan::{Problem, TranscriptFile, unreadable_lines};
use ducat_store::TenantId;

use super::finding::{Exam, several, shown, word};
use super::history;
use super::machine::Machine;

/// Reading is given up after this; the latest files come first.
const READING_LASTS: Duration = Duration::from_millis(800);
/// A server imports what it hears of within a second, and looks for the rest every minute.
const IMPORT_LAGS_MS: i64 = 3 * 60_000;
const SHOWN: usize = 5;

pub fn look(machine: &Machine, exam: &mut Exam) {
    let (files, problems) = machine.transcripts();
    if machine.homes.is_empty() {
        exam.note(
            "transcripts-missing",
            "No transcripts are found: there is no ~/.claude/projects, no ~/.config/claude/projects and nothing \
                in CLAUDE_CONFIG_DIR.",
            "Set CLAUDE_CONFIG_DIR to Claude Code's folder if it is elsewhere; else they come with its first session.",
        );
        return;
    }
    let end = Instant::now() + READING_LASTS;
    unreadable(problems, exam);
    let mut exposed = Exam::default();
    history::look(machine, &mut exposed);
    behind(machine, &mut exposed);
    prices(machine, &mut exposed);
    exam.add(exposed);
    lines(files.clone(), end, exam);
}

/// Lines that cannot be read, as far as a short look comes.
fn lines(files: Vec<TranscriptFile>, end: Instant, exam: &mut Exam) {
    let all = files.len();
    let (problems, read) = unreadable_lines(files, end);
    let (faulty, closed): (Vec<Problem>, Vec<Problem>) =
        problems.into_iter().partition(|problem| problem.reason.starts_with("line "));
    unreadable(&closed, exam);
    if let Some(first) = faulty.first() {
        exam.note(
            "lines-unreadable",
            format!(
                "{} with lines that cannot be read, such as {}: {}.",
                several(faulty.len() as u64, "transcript"),
                shown(&first.path),
                first.reason
            ),
            "Nothing to do: the rest counts. A session that was killed cuts a line short; report others.",
        );
    }
    if faulty.is_empty() && closed.is_empty() {
        exam.sound(
            "transcripts",
            format!("{} found, {read} of them read to see whether all lines can be", several(all as u64, "transcript")),
        );
    }
}

/// Files and folders that this user may not read.
fn unreadable(problems: &[Problem], exam: &mut Exam) {
    let Some(first) = problems.first() else { return };
    let more = if problems.len() == 1 { String::new() } else { format!(" (and {} more)", problems.len() - 1) };
    exam.warning(
        "transcripts-unreadable",
        format!("{}: {}{more}.", shown(&first.path), first.reason),
        format!("Make it readable for this user: `sudo chown -R \"$USER\" {0} && chmod -R u+rX {0}`.", word(&first.path)),
    );
}

/// A server that runs and does not import what is here was started with other variables.
fn behind(machine: &Machine, exam: &mut Exam) {
    if !machine.is_served() {
        return;
    }
    let Some(cursors) = machine.ledger().and_then(|ledger| ledger.file_cursors(TenantId::LOCAL).ok()) else { return };
    let now_ns = i128::from(machine.now.as_millisecond() - IMPORT_LAGS_MS) * 1_000_000;
    let read: std::collections::HashSet<(u64, u64)> = cursors.iter().map(|cursor| cursor.identity).collect();
    let unread: Vec<&TranscriptFile> = machine
        .transcripts()
        .0
        .iter()
        .filter(|file| file.modified_ns < now_ns && file.size > 0 && !read.contains(&file.identity))
        .collect();
    match unread.first() {
        Some(first) => {
            exam.warning(
                "import-behind",
                format!(
                    "A server runs and has not read {}, such as \
                {}.",
                    several(unread.len() as u64, "transcript"),
                    shown(&first.path)
                ),
                "Start `ducat serve` with the same HOME and CLAUDE_CONFIG_DIR as Claude Code, or run `ducat import` \
                once while it is ended.",
            );
        }
        None => exam.sound("import", "the server has read all transcripts"),
    }
}

/// Requests whose cost is unknown.
fn prices(machine: &Machine, exam: &mut Exam) {
    let Some(ledger) = machine.ledger() else { return };
    let Ok(query) = ReportQuery::parse([("by", "model"), ("timezone", "UTC")], machine.now, &Settings::default()) else { return };
    let mut report = Report::new(query);
    if ledger.add_to(TenantId::LOCAL, (None, None), &mut report).is_err() {
        return;
    }
    let totals = report.finish().totals;
    let models: Vec<&str> =
        totals.unpriced_models.iter().map(|model| if model.is_empty() { "no model told" } else { model.as_str() }).collect();
    if models.is_empty() {
        return exam.sound("prices", format!("all {} in the ledger have a price", several(totals.requests, "request")));
    }
    let first = totals.unpriced_models.iter().find(|model| !model.is_empty()).map_or("MODEL", String::as_str);
    exam.warning(
        "models-unpriced",
        format!(
            "The cost of {} in the ledger is unknown: {} no price ({}).",
            several(totals.unpriced_requests, "request"),
            if models.len() == 1 { "1 model has".to_owned() } else { format!("{} models have", models.len()) },
            models.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ")
        ),
        format!(
            "Give prices in config.toml under [prices.models.\"{first}\"] (or list it in `free`), or take a \
            newer table: `ducat prices update FILE`."
        ),
    );
}
