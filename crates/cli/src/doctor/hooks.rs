//! Ducat's hooks: there, whole, as setup wrote them, and starting a program that is there.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::finding::{Exam, shown, word};
use super::fix::Fix;
use super::machine::{Client, Machine, SettingsFile, says_version};
use crate::setup::hooks::{self, EVENTS};
use crate::setup::settings::{Record, parse};
use crate::setup::status_line;
use crate::setup::{CLAUDE_CODE, beside_own};

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn look(machine: &Machine, exam: &mut Exam) {
    let hooked: Vec<(&SettingsFile, &Value)> = machine
        .settings
        .iter()
        .filter_map(|file| file.value.as_ref().ok().filter(|value| !hooks::ours(value).is_empty()).map(|value| (file, value)))
        .collect();
    if hooked.is_empty() {
        absent(machine, exam);
    }
    for (file, value) in &hooked {
        whole(machine, file, value, exam);
        status_line(machine, file, value, exam);
    }
    let programs: BTreeSet<PathBuf> =
        hooked.iter().flat_map(|(_, value)| hooks::ours(value)).filter_map(|(_, handler)| hooks::program(handler)).collect();
    for program in programs {
        runs(&program, CLAUDE_CODE, exam);
    }
    if let Err(error) = beside_own("ducat-hook") {
        exam.error(
            "hook-not-beside",
            format!("ducat-hook is missing: {error:#}."),
            "Put ducat-hook of the same build beside ducat (`make build` makes both).",
        );
    }
    on_the_path(exam);
}

/// None of our hooks anywhere: never set up, or gone since.
fn absent(machine: &Machine, exam: &mut Exam) {
    let knows_hooks = machine.client_version().is_some_and(|version| EVENTS.iter().any(|(_, first)| *first <= version));
    let Some(data) = &machine.data else { return };
    let own = machine.settings.first().map(|file| fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone()));
    let records = Record::all(CLAUDE_CODE, data);
    // A project's hooks are for sessions of that project.
    let is_project = |record: &Record| {
        record.settings.parent().is_some_and(|folder| folder.ends_with(".claude") && Some(folder) != home_claude().as_deref())
    };
    if let Some(record) = records.iter().find(|record| Some(&record.settings) == own.as_ref()) {
        if matches!(machine.client(), Client::Missing) || machine.settings.first().is_none_or(|file| file.value.is_err()) {
            return;
        }
        exam.warning(
            "hooks-removed",
            format!(
                "Setup wrote hooks into {}, and they are gone: something wrote the file anew without them.",
                shown(&record.settings)
            ),
            "Run `ducat doctor --fix`, which writes them back, or `ducat setup claude-code --remove` if they \
                are to stay away.",
        )
        .fixed_by(Fix::WriteBack { settings: record.settings.clone(), data: data.clone() });
    } else if let Some(record) = records.iter().find(|record| !is_project(record) && record.settings.exists()) {
        exam.warning(
            "config-dir-differs",
            format!(
                "Setup wrote hooks into {}, but here Claude Code reads {} (CLAUDE_CONFIG_DIR).",
                shown(&record.settings),
                machine.settings.first().map_or_else(String::new, |file| shown(&file.path))
            ),
            "Set CLAUDE_CONFIG_DIR the same everywhere, or run `ducat setup claude-code` here too.",
        );
    } else if knows_hooks {
        exam.note(
            "hooks-missing",
            "Claude Code has no hooks of Ducat: it is heard of a second later, and of nothing but what transcripts tell.",
            "Run `ducat setup claude-code`.",
        );
    }
}

fn home_claude() -> Option<PathBuf> {
    env::var_os("HOME").map(|home| PathBuf::from(home).join(".claude"))
}

/// All events that this client knows have a hook, as setup wrote it.
fn whole(machine: &Machine, file: &SettingsFile, value: &Value, exam: &mut Exam) {
    let path = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let record = machine.data.as_deref().and_then(|data| Record::load(CLAUDE_CODE, data, &path));
    let recorded = record.as_ref().and_then(|record| parse(&record.after).ok());
    let write_back =
        || record.as_ref().zip(machine.data.clone()).map(|(_, data)| Fix::WriteBack { settings: path.clone(), data });
    let missing = machine.client_version().map(|version| hooks::missing(value, version)).unwrap_or_default();
    if !missing.is_empty() {
        let lost = recorded
            .as_ref()
            .is_some_and(|recorded| missing.iter().all(|event| hooks::ours(recorded).iter().any(|(hooked, _)| hooked == event)));
        let finding = exam.warning(
            "hooks-partial",
            format!(
                "{} lacks hooks for {}: what these events tell is heard late or \
                never.",
                shown(&file.path),
                missing.join(", ")
            ),
            if lost {
                "Run `ducat doctor --fix`, or `ducat setup claude-code`, which write them back."
            } else {
                "Run `ducat setup claude-code`: this version of Claude Code knows events that the one at setup \
                    did not, or somebody took them out."
            },
        );
        finding.fix = write_back().filter(|_| lost);
        return;
    }
    match recorded {
        Some(recorded) if hooks::ours(&recorded) != hooks::ours(value) => {
            let changed: BTreeSet<&str> = hooks::ours(value)
                .into_iter()
                .filter(|hook| !hooks::ours(&recorded).contains(hook))
                .map(|(event, _)| event)
                .collect();
            let finding = exam.warning(
                "hooks-changed",
                format!(
                    "Ducat's hooks in {} are not as setup wrote them{}.",
                    shown(&file.path),
                    if changed.is_empty() {
                        String::new()
                    } else {
                        format!(": {}", changed.into_iter().collect::<Vec<_>>().join(", "))
                    }
                ),
                "Run `ducat setup claude-code` to write them as this version does, or leave them if you changed \
                    them yourself.",
            );
            finding.fix = None;
        }
        _ => exam.sound("hooks", format!("{} hooks in {}", hooks::ours(value).len(), shown(&file.path))),
    }
}

/// The status line that setup wrote is there, and starts a program that is.
fn status_line(machine: &Machine, file: &SettingsFile, value: &Value, exam: &mut Exam) {
    let remedy = "Run `ducat setup claude-code --status-line`.";
    if let Some(program) = status_line::program(value) {
        match says_version(&program) {
            Ok(version) if version == VERSION => exam.sound("status-line", format!("{} {version}", shown(&program))),
            Ok(version) => {
                exam.warning(
                    "status-line-other-version",
                    format!("The status line starts {} of version {version}; this is ducat {VERSION}.", shown(&program)),
                    remedy,
                );
            }
            Err(error) => {
                exam.error(
                    "status-line-fails",
                    format!(
                        "The status line in {} starts {}, which does not run: {error:#}.",
                        shown(&file.path),
                        shown(&program)
                    ),
                    remedy,
                );
            }
        }
        return;
    }
    let path = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let Some(data) = &machine.data else { return };
    let recorded = Record::load(CLAUDE_CODE, data, &path).and_then(|record| parse(&record.after).ok());
    if recorded.is_some_and(|recorded| status_line::is_installed(&recorded)) {
        let finding = exam.warning(
            "status-line-removed",
            format!(
                "Setup wrote a status line into {}, and it is gone: nothing tells of the plan's \
                quota.",
                shown(&file.path)
            ),
            remedy,
        );
        // One that somebody put in its place is theirs to keep.
        finding.fix = value.get("statusLine").is_none().then(|| Fix::WriteBack { settings: path.clone(), data: data.clone() });
    }
}

/// The program that hooks start is there, may be started, and is of this version. `setup` is the agent as `ducat setup` names it.
pub fn runs(program: &Path, setup: &str, exam: &mut Exam) {
    let again = || format!("Run `ducat setup {setup}`, which writes the path of the ducat-hook beside this ducat.");
    let Ok(meta) = fs::metadata(program) else {
        exam.error("hook-program-missing", format!("The hooks start {}, which is not there.", shown(program)), again());
        return;
    };
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        exam.error(
            "hook-program-not-executable",
            format!("The hooks start {}, which is no program that can be started.", shown(program)),
            format!("Run `chmod +x {}`, or `ducat setup {setup}` for another.", word(program)),
        );
        return;
    }
    match says_version(program) {
        Ok(version) if version == VERSION => exam.sound("hook-program", format!("{} {version}", shown(program))),
        Ok(version) => {
            exam.warning(
                "hook-program-other-version",
                format!("The hooks start {} of version {version}; this is ducat {VERSION}.", shown(program)),
                again(),
            );
        }
        Err(error) => {
            exam.error(
                "hook-program-fails",
                format!("The hooks start {}, which does not run: {error:#}.", shown(program)),
                again(),
            );
        }
    }
}

/// Programs of ours on the PATH, each of which somebody could start, are of one version.
fn on_the_path(exam: &mut Exam) {
    let folders: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let own = env::current_exe().and_then(fs::canonicalize).ok();
    let mut seen = BTreeSet::new();
    for name in ["ducat", "ducat-hook", status_line::PROGRAM] {
        for found in folders.iter().map(|folder| folder.join(name)).filter(|path| path.is_file()) {
            let real = fs::canonicalize(&found).unwrap_or_else(|_| found.clone());
            if Some(&real) == own.as_ref() || !seen.insert(real) {
                continue;
            }
            match says_version(&found) {
                Ok(version) if version == VERSION => exam.sound("path", format!("{} {version}", shown(&found))),
                told => {
                    exam.warning(
                        "programs-differ",
                        format!(
                            "{} on the PATH is {}; this is ducat {VERSION}.",
                            shown(&found),
                            told.map_or_else(|_| "no Ducat that runs".to_owned(), |version| format!("of version {version}"))
                        ),
                        format!("Remove it (`rm {}`), or put this version in its place.", word(&found)),
                    );
                }
            }
        }
    }
}
