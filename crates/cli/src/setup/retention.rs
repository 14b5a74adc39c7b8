//! How long the client keeps its transcripts: offered to be raised, and taken back.

use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::Context;
use ducat_scan::{Retention, managed_settings};
use serde_json::{Value, json};

use super::claude_code::ClaudeCode;
use super::say;
use super::settings::{Record, Settings};

const KEY: &str = "cleanupPeriodDays";
/// Ten years: what the client's vendor names for keeping long.
const LONG: u32 = 3650;

/// Asks whether transcripts are to be kept long, where somebody is there to answer and something else is written anyway.
pub fn ask(args: &ClaudeCode, settings: &Settings, wanted: &Value) -> anyhow::Result<Option<u32>> {
    let answers = io::stdin().is_terminal() && !args.consent.yes && !args.consent.dry_run && !args.project;
    if !answers || args.keep_transcripts.is_some() || *wanted == settings.value {
        return Ok(None);
    }
    let folder = settings.path.parent().unwrap_or(Path::new(""));
    let managed = managed_settings(Path::new("/"));
    // An administrator's word stands whatever is written.
    let Some(days) = Retention::of(folder, &managed).days.filter(|days| *days < LONG) else { return Ok(None) };
    if managed.iter().any(|(_, settings)| settings.get(KEY).is_some()) {
        return Ok(None);
    }
    say(&format!("Claude Code deletes transcripts {days} days after their last line; what Ducat has imported stays."))?;
    let yes = super::ask(&format!("Have it keep them for ten years ({KEY} {LONG})?"))?;
    Ok(yes.then_some(LONG))
}

pub fn keep(settings: &mut Value, days: Option<u32>) -> anyhow::Result<()> {
    let Some(days) = days else { return Ok(()) };
    settings.as_object_mut().context("the settings are no JSON object")?.insert(KEY.to_owned(), json!(days));
    Ok(())
}

/// Makes it what it was before the setup that set it, unless somebody else has set it since.
pub fn take_back(settings: &mut Value, record: &Record) {
    let (before, after) = record.values();
    let (before, after) = (before.get(KEY), after.get(KEY));
    let Some(fields) = settings.as_object_mut() else { return };
    if before == after || fields.get(KEY) != after {
        return;
    }
    match before {
        Some(before) => drop(fields.insert(KEY.to_owned(), before.clone())),
        None => drop(fields.shift_remove(KEY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_setup_set_is_taken_back_and_what_others_set_is_left() {
        let record = |before: &str| Record {
            settings: "/s".into(),
            before: Some(before.to_owned()),
            after: r#"{"cleanupPeriodDays":3650}"#.to_owned(),
        };
        for (before, now, then) in [
            ("{}", json!({ "cleanupPeriodDays": 3650, "model": "x" }), json!({ "model": "x" })),
            (r#"{"cleanupPeriodDays":60}"#, json!({ "cleanupPeriodDays": 3650 }), json!({ "cleanupPeriodDays": 60 })),
            ("{}", json!({ "cleanupPeriodDays": 90 }), json!({ "cleanupPeriodDays": 90 })),
            (r#"{"cleanupPeriodDays":3650}"#, json!({ "cleanupPeriodDays": 3650 }), json!({ "cleanupPeriodDays": 3650 })),
        ] {
            let mut settings = now;
            take_back(&mut settings, &record(before));
            assert_eq!(settings, then);
        }
    }
}
