//! Hooks that are there also fire: of what the transcripts told the ledger, hooks told too.

use std::time::{Duration, SystemTime};

use ducat_ledger::Witness;
use ducat_ship::host_name;
use ducat_store::TenantId;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::finding::Exam;
use super::machine::Machine;
use crate::setup::CLAUDE_CODE;
use crate::setup::client::says;
use crate::setup::hooks;
use crate::setup::settings::Record;

/// A session that began before setup has no hooks to its end, and goes on writing its transcript.
const A_SESSION_LASTS_MS: i64 = 3_600_000;

pub fn look(machine: &Machine, exam: &mut Exam) {
    // Why no hook can fire is told elsewhere.
    let Some(file) = machine.settings.first() else { return };
    let Ok(value) = &file.value else { return };
    if hooks::ours(value).is_empty() || says(value, "disableAllHooks") {
        return;
    }
    if let Some(url) = machine.hook_url() {
        return exam.sound("hooks-fire", format!("hooks deliver to {url}, whose ledger knows when they last fired"));
    }
    let Some(data) = &machine.data else { return };
    let path = std::fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let set_up = Record::written_at(CLAUDE_CODE, data, &path).and_then(unix_ms);
    let Some((ledger, set_up)) = machine.ledger().zip(set_up) else { return };
    // What other machines ship says nothing of the hooks here.
    let host = host_name();
    let told = |witness| ledger.last_told(TenantId::LOCAL, witness, &host);
    let (Ok(mut heard), Ok(read)) = (told(Witness::Hook), told(Witness::Transcript)) else { return };
    let spooled = machine.spool().and_then(|spool| spool.waiting().ok()?.last().map(|event| event.at_ms));
    heard.extend(spooled.and_then(|at| i64::try_from(at).ok()).map(|at| ("event that waits in the spool", at)));
    let newest = heard.iter().map(|(_, at)| *at).max();
    // Not the files' times: of excluded folders neither hooks nor transcripts tell anything.
    let went_on = read.iter().filter(|(kind, _)| *kind != "incident").map(|(_, at)| *at).max();
    let by_kind: Vec<String> = heard.iter().map(|(kind, at)| format!("last {kind} {}", local(*at))).collect();
    let since = newest.map_or(set_up, |newest| newest.max(set_up)).saturating_add(A_SESSION_LASTS_MS);
    let Some(went_on) = went_on.filter(|at| *at > since) else {
        let told = if by_kind.is_empty() { "no session since the hooks were set up".to_owned() } else { by_kind.join(", ") };
        return exam.sound("hooks-fire", told);
    };
    let remedy = "End running sessions and begin new ones (a session keeps the hooks it began with); `ducat \
        doctor --probe` shows whether the client runs them.";
    match newest {
        None => exam.warning(
            "hooks-never-fired",
            format!("No hook has fired since setup ({}), though sessions went on until {}.", local(set_up), local(went_on)),
            remedy,
        ),
        Some(_) => exam.warning(
            "hooks-not-firing",
            format!("Hooks no longer fire: {}, though sessions went on until {}.", by_kind.join(", "), local(went_on)),
            remedy,
        ),
    };
}

fn unix_ms(at: SystemTime) -> Option<i64> {
    i64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis()).ok()
}

/// A time for people, in their zone.
pub fn local(at: i64) -> String {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    Timestamp::from_millisecond(at)
        .map_or_else(|_| "at no time".to_owned(), |at| at.to_zoned_datetime(zone).strftime("%Y-%m-%d %H:%M").to_string())
}
