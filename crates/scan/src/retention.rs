//! How long Claude Code keeps transcripts: `cleanupPeriodDays`, in the user's settings or an administrator's.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Without a setting.
const DEFAULT_DAYS: u32 = 30;

/// Where an administrator's settings stand, below the system's root; the folder beside each holds more of them.
const MANAGED: [&str; 2] = ["etc/claude-code", "Library/Application Support/ClaudeCode"];

/// The administrator's settings below `root` (`/`), the file before what its `managed-settings.d` adds to it; unreadable ones are left out.
pub fn managed_settings(root: &Path) -> Vec<(PathBuf, Value)> {
    let mut paths = Vec::new();
    for folder in MANAGED.map(|folder| root.join(folder)) {
        paths.push(folder.join("managed-settings.json"));
        let entries = fs::read_dir(folder.join("managed-settings.d")).into_iter().flatten().flatten();
        let mut more: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        more.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        more.sort();
        paths.extend(more);
    }
    paths.into_iter().filter_map(|path| read(&path).map(|value| (path, value))).collect()
}

fn read(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)).ok()
}

/// For how long transcripts are kept, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// From the last write of a transcript on. `None` where the setting is one that the client refuses: it then deletes nothing.
    pub days: Option<u32>,
    /// `None` when nobody says anything.
    pub told_by: Option<PathBuf>,
}

impl Retention {
    /// Of one of Claude Code's folders. What an administrator says goes before the user's word.
    pub fn of(folder: &Path, managed: &[(PathBuf, Value)]) -> Self {
        let user = folder.join("settings.json");
        let user = read(&user).map(|value| (user, value));
        let all = managed.iter().rev().chain(&user);
        let mut told = all.filter_map(|(path, value)| Some((path, value.get("cleanupPeriodDays")?)));
        match told.next() {
            None => Self { days: Some(DEFAULT_DAYS), told_by: None },
            Some((path, value)) => {
                // 0 is refused since it once meant that nothing was to be written at all.
                let days = value.as_u64().filter(|days| *days > 0).map(|days| u32::try_from(days).unwrap_or(u32::MAX));
                Self { days, told_by: Some(path.clone()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_administrator_goes_before_the_user_and_the_later_file_before_the_earlier() {
        let dir = tempfile::tempdir().unwrap();
        let (root, folder) = (dir.path().join("root"), dir.path().join("claude"));
        let says = |path: PathBuf, days: Value| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, json!({ "cleanupPeriodDays": days }).to_string()).unwrap();
            path
        };
        let days = || {
            let retention = Retention::of(&folder, &managed_settings(&root));
            (retention.days, retention.told_by)
        };
        assert_eq!(days(), (Some(30), None));
        for (refused, kept) in
            [(json!(0), None), (json!("90"), None), (json!(-1), None), (json!(90), Some(90)), (json!(1u64 << 40), Some(u32::MAX))]
        {
            let path = says(folder.join("settings.json"), refused);
            assert_eq!(days(), (kept, Some(path)));
        }
        let path = says(root.join("etc/claude-code/managed-settings.json"), json!(60));
        assert_eq!(days(), (Some(60), Some(path)));
        let path = says(root.join("etc/claude-code/managed-settings.d/20-days.json"), json!(20));
        says(root.join("etc/claude-code/managed-settings.d/10-days.json"), json!(10));
        assert_eq!(days(), (Some(20), Some(path)));
    }
}
