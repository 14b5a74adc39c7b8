//! Claude Code: there, old enough to know hooks, and reading its settings.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::finding::{Exam, several, shown, word};
use super::machine::{Client, Machine};
use crate::setup::client::{Version, forbidden_by, says};
use crate::setup::hooks::{self, EVENTS};
use crate::setup::probe::{self, Proof};
use crate::setup::probe_obstacle;

/// Before, one unknown event made the client skip its whole settings file.
const SKIPS_NO_FILE: Version = Version(2, 1, 101);
/// Events of the client that carry no facts for us; those that a version does not know are among ours, or in neither list.
const OTHER_EVENTS: [&str; 18] = [
    "Notification",
    "UserPromptExpansion",
    "StopFailure",
    "PostCompact",
    "PermissionDenied",
    "Setup",
    "TeammateIdle",
    "TaskCreated",
    "TaskCompleted",
    "Elicitation",
    "ElicitationResult",
    "ConfigChange",
    "WorktreeCreate",
    "WorktreeRemove",
    "InstructionsLoaded",
    "CwdChanged",
    "FileChanged",
    "MessageDisplay",
];

pub fn look(machine: &Machine, exam: &mut Exam) {
    match machine.client() {
        Client::Missing if machine.transcripts().0.is_empty() => {
            exam.sound("client", "no Claude Code on the PATH, and no transcripts")
        }
        Client::Missing => {
            exam.note(
                "client-missing",
                format!(
                    "Claude Code has written {}, but no `claude` is on the PATH.",
                    several(machine.transcripts().0.len() as u64, "transcript")
                ),
                "Put it on the PATH of this shell if it is installed; Ducat goes on reading its transcripts.",
            );
        }
        Client::Unreadable { program, why } => {
            exam.warning(
                "client-unreadable",
                format!("{} --version cannot be read: {why}.", shown(program)),
                format!("Run `{} --version`; when it fails, install Claude Code anew (`claude update`).", word(program)),
            );
        }
        Client::Known { version, .. } if EVENTS.iter().all(|(_, first)| version < first) => {
            exam.note(
                "client-knows-no-hooks",
                format!("Claude Code {version} knows no hooks: Ducat hears of its sessions from the transcripts alone."),
                "Update it with `claude update`, then run `ducat setup claude-code`.",
            );
        }
        Client::Known { program, version } => exam.sound("client", format!("Claude Code {version}, {}", shown(program))),
    }
    settings(machine, exam);
    silenced(machine, exam);
}

/// The settings files can be read, by us and by this version of the client.
fn settings(machine: &Machine, exam: &mut Exam) {
    for file in &machine.settings {
        match &file.value {
            Err(why) => {
                exam.error(
                    "settings-unreadable",
                    format!("{}: {why}.", shown(&file.path)),
                    format!(
                        "Correct it (`claude doctor` shows what the client thinks of it), then run `ducat doctor` again: {}",
                        word(&file.path)
                    ),
                );
            }
            Ok(value) => {
                key(&file.path, value, exam);
                let unknown = machine.client_version().and_then(|version| unknown_event(value, version));
                match unknown {
                    Some(event) => {
                        exam.error(
                            "unknown-hook-event",
                            format!(
                                "{} has hooks for {event}, which Claude Code {} does not know: it skips the whole file.",
                                shown(&file.path),
                                machine.client_version().map_or_else(String::new, |version| version.to_string())
                            ),
                            format!("Update it with `claude update`, or take hooks.{event} out of {}.", word(&file.path)),
                        );
                    }
                    None => exam.sound(
                        "settings",
                        format!(
                            "{}{}",
                            shown(&file.path),
                            if file.exists {
                                ""
                            } else {
                                ": \
                            no such file"
                            }
                        ),
                    ),
                }
            }
        }
    }
}

/// A key of ours in a file that others may read.
fn key(path: &Path, settings: &Value, exam: &mut Exam) {
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if settings.pointer("/env/DUCAT_API_KEY").is_some() && mode & 0o077 != 0 {
        exam.warning(
            "key-open-to-others",
            format!("{} holds DUCAT_API_KEY, and others may read it (mode {:o}).", shown(path), mode & 0o777),
            format!("Run `chmod go= {}`, or have the key in the environment of Claude Code only.", word(path)),
        );
    }
}

fn unknown_event(settings: &Value, version: Version) -> Option<&str> {
    let reads_hooks = EVENTS.iter().any(|(_, first)| *first <= version);
    if version >= SKIPS_NO_FILE || !reads_hooks {
        return None;
    }
    let events = settings.get("hooks")?.as_object()?.keys();
    let is_known = |event: &str| match EVENTS.iter().find(|(known, _)| *known == event) {
        Some((_, first)) => *first <= version,
        None => OTHER_EVENTS.contains(&event),
    };
    events.map(String::as_str).find(|event| !is_known(event))
}

/// No settings keep hooks from running.
fn silenced(machine: &Machine, exam: &mut Exam) {
    let count = exam.findings.len();
    for file in &machine.settings {
        if file.value.as_ref().is_ok_and(|value| says(value, "disableAllHooks")) {
            exam.warning(
                "hooks-disabled",
                format!("{} says disableAllHooks: no hook runs.", shown(&file.path)),
                format!("Take disableAllHooks out of {}.", word(&file.path)),
            );
        }
    }
    if let Some((path, what)) = forbidden_by(&machine.managed) {
        exam.warning(
            "hooks-forbidden",
            format!("An administrator lets no hook of yours run: {} says {what}.", path.display()),
            "Ask for ducat-hook to be allowed, or take the hooks out with `ducat setup claude-code --remove`; \
                transcripts still tell all costs.",
        );
    }
    if exam.findings.len() == count {
        exam.sound("hooks-allowed", "no settings disable or forbid hooks");
    }
}

/// Starts the client, without asking a model, and sees whether it runs our hooks.
pub fn probe(machine: &Machine, exam: &mut Exam) {
    let Client::Known { program, .. } = machine.client() else { return };
    let Some((file, value)) = machine.settings.first().and_then(|file| Some((file, file.value.as_ref().ok()?))) else { return };
    if hooks::ours(value).is_empty() {
        return exam.sound("probe", "not done: there is no hook of Ducat in the user's settings");
    }
    if let Some(obstacle) = probe_obstacle(value) {
        return exam.sound("probe", format!("not done: {obstacle}"));
    }
    let proof = tempfile::tempdir().map_err(anyhow::Error::from).and_then(|empty| probe::run(program, empty.path()));
    match proof {
        Ok(Proof::Read) => exam.sound("probe", "Claude Code was started, read its settings and ran ducat-hook"),
        Ok(Proof::Silent(words)) => {
            let words: String = words.trim().chars().take(200).collect();
            exam.error(
                "settings-not-read",
                format!("Claude Code was started and ran no hook of {}; it said {words:?}.", shown(&file.path)),
                "Run `claude doctor`, which says what it refuses; then `ducat setup claude-code`.",
            );
        }
        Err(error) => {
            exam.warning(
                "probe-failed",
                format!("Claude Code could not be started for the probe: {error:#}."),
                format!("Run `{} --version`; when it fails, install Claude Code anew.", word(program)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_old_clients_stumble_over_events_they_do_not_know() {
        let settings = json!({ "hooks": { "Stop": [], "Notification": [], "PostToolBatch": [] } });
        assert_eq!(unknown_event(&settings, Version(2, 1, 100)), Some("PostToolBatch"));
        assert_eq!(unknown_event(&settings, Version(2, 1, 101)), None);
        assert_eq!(unknown_event(&json!({ "hooks": { "Stopp": [] } }), Version(2, 0, 0)), Some("Stopp"));
        assert_eq!(unknown_event(&json!({ "hooks": { "Stop": [] } }), Version(2, 0, 0)), None);
        assert_eq!(unknown_event(&json!({}), Version(2, 0, 0)), None);
        assert_eq!(unknown_event(&settings, Version(0, 2, 109)), None, "it reads no hooks");
    }
}
