//! The installed Claude Code: where it keeps its settings, which version it is.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::Context;
use ducat_scan::managed_settings;
use serde_json::Value;

/// Three numbers, as `claude --version` begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten(), numbers.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(Self(major, minor, patch)),
            _ => Err("must be three numbers, such as 2.1.197".to_owned()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The program on the `PATH`.
pub fn find() -> Option<PathBuf> {
    on_path("claude")
}

pub fn on_path(name: &str) -> Option<PathBuf> {
    let places = env::var_os("PATH")?;
    env::split_paths(&places).map(|folder| folder.join(name)).find(|path| path.is_file())
}

pub fn version(program: &Path) -> anyhow::Result<Version> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {} --version", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.split_whitespace().next().unwrap_or_default();
    first
        .parse()
        .map_err(|_| anyhow::anyhow!("{} --version said {:?}; name it with --client-version", program.display(), text.trim()))
}

/// The folder of the user's settings and transcripts.
pub fn config_folder() -> anyhow::Result<PathBuf> {
    if let Some(told) = env::var("CLAUDE_CONFIG_DIR").ok().filter(|told| !told.is_empty()) {
        return Ok(PathBuf::from(told.split(',').next().unwrap_or_default().trim()));
    }
    super::below_home(".claude")
}

/// Why no hook of a user's would run, if an administrator or the file itself says so.
pub fn silenced_by(settings: &Value) -> Option<String> {
    if says(settings, "disableAllHooks") {
        return Some("it says disableAllHooks".to_owned());
    }
    forbidden_by(&managed_settings(Path::new("/"))).map(|(path, what)| format!("{} says {what}", path.display()))
}

/// The administrator's settings that let no hook of a user's run, and the setting.
pub fn forbidden_by(managed: &[(PathBuf, Value)]) -> Option<(&Path, &'static str)> {
    managed.iter().find_map(|(path, settings)| {
        let what = ["allowManagedHooksOnly", "disableAllHooks"].into_iter().find(|what| says(settings, what))?;
        Some((path.as_path(), what))
    })
}

pub fn says(settings: &Value, what: &str) -> bool {
    settings.get(what).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("2.1.9") < version("2.1.10") && version("1.99.0") < version("2.0.0"));
        for bad in ["", "2", "2.1", "2.1.x", "2.1.1.1"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_that_silence_hooks_are_seen() {
        assert!(silenced_by(&serde_json::json!({ "disableAllHooks": true })).is_some());
        let managed = |what: &str| vec![(PathBuf::from("/etc/m.json"), serde_json::json!({ what: true }))];
        assert_eq!(forbidden_by(&managed("allowManagedHooksOnly")), Some((Path::new("/etc/m.json"), "allowManagedHooksOnly")));
        assert_eq!(forbidden_by(&managed("model")), None);
    }
}
