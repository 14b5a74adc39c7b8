//! What waits in the spool, and whether anybody takes it in.

use std::time::Duration;

use super::finding::{Exam, several, shown, word};
use super::firing::local;
use super::fix::Fix;
use super::machine::Machine;

/// A server takes in what waits every second.
const WAITS_MS: i64 = 15_000;
/// So much is no pause between two runs of a server any more.
const MANY: usize = 1_000;
const FUTURE_MS: i64 = 5 * 60_000;
/// Older losses are past; the metrics remember them.
const NEWS_LASTS: Duration = Duration::from_secs(7 * 86_400);

pub fn look(machine: &Machine, exam: &mut Exam) {
    let Some(spool) = machine.spool().filter(|spool| spool.folder().exists()) else { return };
    let folder = spool.folder();
    let count = exam.findings.len();
    let now = machine.now.as_millisecond();
    // Why the folder cannot be listed is told with the folders.
    let waiting = spool.waiting().unwrap_or_default();
    let at = |at_ms: u64| i64::try_from(at_ms).unwrap_or(i64::MAX);
    if let Some(oldest) = waiting.first().map(|event| at(event.at_ms)) {
        if machine.is_served() && now.saturating_sub(oldest) > WAITS_MS {
            exam.warning(
                "spool-not-drained",
                format!(
                    "A server runs, and does not take in {} that waited in {} since {}.",
                    several(waiting.len() as u64, "event"),
                    shown(folder),
                    local(oldest)
                ),
                "Start `ducat serve` again, and see what it says of them.",
            );
        } else if machine.hook_url().is_some() && !machine.is_served() {
            exam.warning(
                "spool-waiting",
                format!(
                    "{} waiting in {}, and only a server on this machine takes them in.",
                    several(waiting.len() as u64, "event"),
                    shown(folder)
                ),
                "Run `ducat serve` here once, until they are gone.",
            );
        } else if waiting.len() > MANY {
            exam.warning(
                "spool-waiting",
                format!(
                    "{} waiting in {} since {}; beyond 20,000 the oldest go.",
                    several(waiting.len() as u64, "event"),
                    shown(folder),
                    local(oldest)
                ),
                "Run `ducat serve`, which takes them in.",
            );
        }
    }
    if let Some(newest) = waiting.last().map(|event| at(event.at_ms)).filter(|newest| *newest > now.saturating_add(FUTURE_MS)) {
        exam.warning(
            "events-from-the-future",
            format!("An event in {} is of {}, which is not yet: the clock was wrong.", shown(folder), local(newest)),
            "Set the clock by the network: `timedatectl set-ntp true`.",
        );
    }
    if spool.dropped_at().is_some_and(|at| at.elapsed().unwrap_or_default() < NEWS_LASTS) {
        exam.warning(
            "spool-dropped",
            format!("{} dropped lately because more than 20,000 (or 64 MiB) waited.", several(spool.dropped(), "event")),
            "Keep a server running: `ducat serve`; `ducat import` brings what the transcripts still tell.",
        );
    }
    if spool.broken() > 0 {
        let broken = folder.join("broken");
        exam.warning(
            "spool-broken",
            format!("{} that cannot be read were set aside in {}.", several(spool.broken() as u64, "event"), shown(&broken)),
            format!("Look at them, report what wrote them, and remove them: `rm -r {}`.", word(&broken)),
        );
    }
    let abandoned = spool.abandoned();
    if !abandoned.is_empty() {
        exam.warning(
            "spool-unfinished",
            format!(
                "{} in {} left half-way by hooks that were killed.",
                several(abandoned.len() as u64, "event"),
                shown(&folder.join("tmp"))
            ),
            "Run `ducat doctor --fix`, which lets whole ones wait and removes the others.",
        )
        .fixed_by(Fix::FinishSpooled(folder.to_owned()));
    }
    let marks = spool.stale_marks();
    if !marks.is_empty() {
        exam.warning(
            "spool-marks-stale",
            format!(
                "{} say that a server hangs, and their time is over.",
                marks.iter().map(|path| shown(path)).collect::<Vec<_>>().join(" and ")
            ),
            "Run `ducat doctor --fix`, which removes them.",
        )
        .fixed_by(Fix::Remove(marks));
    } else if let Some(until) = spool.hangs_until() {
        exam.warning(
            "server-marked-hanging",
            format!(
                "Hooks found the server hanging and leave it alone until {}: events wait in the \
                spool.",
                local(at(until))
            ),
            "If it was busy, wait; else end it and start `ducat serve` again.",
        );
    }
    if exam.findings.len() == count {
        exam.sound("spool", format!("{} waiting in {}", several(waiting.len() as u64, "event"), shown(folder)));
    }
}
