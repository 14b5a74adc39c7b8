//! What is wrong, and what to do about it.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fix::Fix;
use crate::setup::hooks::quoted;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is lost or does not run.
    Error,
    /// Something will be lost, or is not as it looks.
    Warning,
    /// Worth knowing; nothing is wrong.
    Note,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Finding {
    /// A stable word for programs.
    pub id: &'static str,
    pub severity: Severity,
    /// What is wrong with which file, port or value, in one line.
    pub what: String,
    /// What to do, in one line.
    pub remedy: String,
    /// What `--fix` does about it, where that is safe.
    pub fix: Option<Fix>,
}

impl Finding {
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "severity": self.severity.name(), "what": self.what, "remedy": self.remedy, "fixable": self.fix.is_some()
        })
    }
}

/// What was looked at, and what was found.
#[derive(Default)]
pub struct Exam {
    pub findings: Vec<Finding>,
    /// What is in order: a word for programs, a line for people.
    pub sound: Vec<(&'static str, String)>,
}

impl Exam {
    pub fn sound(&mut self, id: &'static str, what: impl Into<String>) {
        self.sound.push((id, what.into()));
    }

    pub fn error(&mut self, id: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> &mut Finding {
        self.find(Severity::Error, id, what, remedy)
    }

    pub fn warning(&mut self, id: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> &mut Finding {
        self.find(Severity::Warning, id, what, remedy)
    }

    pub fn note(&mut self, id: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> &mut Finding {
        self.find(Severity::Note, id, what, remedy)
    }

    pub fn find(
        &mut self,
        severity: Severity,
        id: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Finding {
        let place = self.findings.len();
        self.findings.push(Finding { id, severity, what: what.into(), remedy: remedy.into(), fix: None });
        &mut self.findings[place]
    }

    pub fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.sound.extend(other.sound);
    }
}

impl Finding {
    pub fn fixed_by(&mut self, fix: Fix) {
        self.fix = Some(fix);
    }
}

/// A path for people: the home folder is `~`.
pub fn shown(path: &Path) -> String {
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
        Some(rest) if !rest.as_os_str().is_empty() => format!("~/{}", rest.display()),
        _ => path.display().to_string(),
    }
}

/// A path as one word of a command; plain ones below the home folder begin with `~`.
pub fn word(path: &Path) -> String {
    let whole = path.display().to_string();
    let shown = shown(path);
    match shown.strip_prefix("~/") {
        Some(rest) if quoted(rest) == rest => shown,
        _ => quoted(&whole),
    }
}

/// `1 event`, `2 events`.
pub fn several(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", ducat_report::figures::count(count), if count == 1 { "" } else { "s" })
}
