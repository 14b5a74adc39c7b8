//! How an agent is wired at this moment, whoever wrote it: its hooks of ours, and where its telemetry goes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::hooks;
use super::settings::Record;

pub struct Wiring {
    /// As `ducat setup` names it.
    pub setup: &'static str,
    /// As people do.
    pub title: &'static str,
    /// Its client's program.
    pub program: &'static str,
    pub hooks: Hooks,
    pub telemetry: Telemetry,
    /// A setup wrote telemetry.
    pub telemetry_was_set_up: bool,
}

pub struct Hooks {
    pub file: PathBuf,
    /// What they start.
    pub programs: Vec<PathBuf>,
    /// Events that setup writes hooks for and that have none.
    pub lacking: Vec<&'static str>,
    pub was_set_up: bool,
    /// The setting that keeps them from running.
    pub off: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Telemetry {
    /// Nobody asks for it.
    Unset,
    /// The setting that switches it off, though others ask for it.
    Off(String),
    /// Whither, as the setting says, and the setting.
    To { endpoint: String, setting: String },
}

impl Hooks {
    /// Those in a settings file of JSON.
    pub fn of(agent: &str, data: &Path, file: &Path, settings: &Value, events: impl Iterator<Item = &'static str>) -> Self {
        let ours = hooks::ours(settings);
        let record = Record::load(agent, data, file);
        let mut programs: Vec<PathBuf> = ours.iter().filter_map(|(_, handler)| hooks::program(handler)).collect();
        programs.sort();
        programs.dedup();
        Self {
            file: file.to_owned(),
            programs,
            lacking: events.filter(|event| !ours.iter().any(|(hooked, _)| hooked == event)).collect(),
            was_set_up: record.is_some_and(|record| !hooks::ours(&record.values().1).is_empty()),
            off: None,
        }
    }
}

/// Whether a variable or setting switches something on.
pub fn is_on(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}
