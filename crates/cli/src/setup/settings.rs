//! A settings file: read, changed with everything else kept, written whole or not at all, and restored.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// A settings file as it stands.
pub struct Settings {
    /// Where it really is: a link is followed, so that it stays one.
    pub path: PathBuf,
    /// `None` when there is no file.
    pub text: Option<String>,
    pub value: Value,
}

impl Settings {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let (path, text) = read_text(path)?;
        let value = match text.as_deref().filter(|text| !text.trim().is_empty()) {
            Some(text) => parse(text).with_context(|| format!("{} was left as it is", path.display()))?,
            None => Value::Object(serde_json::Map::new()),
        };
        if !value.is_object() {
            bail!("{} was left as it is: it is no JSON object", path.display());
        }
        Ok(Self { path, text, value })
    }

    /// The text of a changed value, indented as this file is.
    pub fn render(&self, value: &Value) -> anyhow::Result<String> {
        let text = self.text.as_deref().unwrap_or("");
        let indent = text.lines().find_map(|line| {
            let body = line.trim_start();
            (body.len() < line.len() && !body.is_empty()).then(|| &line[..line.len() - body.len()])
        });
        let mut out = Vec::new();
        let formatter = PrettyFormatter::with_indent(indent.unwrap_or("  ").as_bytes());
        value.serialize(&mut Serializer::with_formatter(&mut out, formatter))?;
        let mut out = String::from_utf8(out)?;
        if text.is_empty() || text.ends_with('\n') {
            out.push('\n');
        }
        Ok(out)
    }
}

/// Says what is wrong where; a comment is named as such.
pub fn parse(text: &str) -> anyhow::Result<Value> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(body).map_err(|error| {
        let line = body.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        let rest = line.get(error.column().saturating_sub(1)..).unwrap_or_default();
        if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#') {
            anyhow::anyhow!(
                "line {} has a comment, which JSON has none of and a rewritten file could not keep; remove it first",
                error.line()
            )
        } else {
            anyhow::anyhow!("it is no JSON: {error}")
        }
    })
}

/// Where a file really is, and its text; `None` when there is no file.
pub fn read_text(path: &Path) -> anyhow::Result<(PathBuf, Option<String>)> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, Some(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, None)),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Writes a file whole or not at all, with the mode it had.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().context("a settings file has a folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(|| folder.display().to_string())?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    if let Ok(meta) = fs::metadata(path) {
        fs::set_permissions(file.path(), meta.permissions())?;
    }
    file.persist(path).with_context(|| path.display().to_string())?;
    Ok(())
}

/// What a setup did, kept in the data folder, so that it can be undone to the byte.
#[derive(Serialize, Deserialize)]
pub struct Record {
    pub settings: PathBuf,
    /// The text before the first setup; `None` when there was no file.
    pub before: Option<String>,
    /// The text as setup left it.
    pub after: String,
}

impl Record {
    fn place(agent: &str, data: &Path, settings: &Path) -> PathBuf {
        let name: String =
            settings.to_string_lossy().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        data.join("setup").join(format!("{agent}{name}.json"))
    }

    pub fn load(agent: &str, data: &Path, settings: &Path) -> Option<Self> {
        let text = fs::read_to_string(Self::place(agent, data, settings)).ok()?;
        serde_json::from_str(&text).ok().filter(|record: &Self| record.settings == settings)
    }

    /// Those of all settings files of an agent that a setup wrote.
    pub fn all(agent: &str, data: &Path) -> Vec<Self> {
        let entries = fs::read_dir(data.join("setup")).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        let records = paths.iter().filter_map(|path| serde_json::from_str(&fs::read_to_string(path).ok()?).ok().zip(Some(path)));
        records
            .filter(|(record, path): &(Self, _)| Self::place(agent, data, &record.settings) == **path)
            .map(|(record, _)| record)
            .collect()
    }

    /// When the last setup wrote it.
    pub fn written_at(agent: &str, data: &Path, settings: &Path) -> Option<SystemTime> {
        fs::metadata(Self::place(agent, data, settings)).ok()?.modified().ok()
    }

    pub fn save(&self, agent: &str, data: &Path) -> anyhow::Result<()> {
        write(&Self::place(agent, data, &self.settings), &serde_json::to_string_pretty(self)?)
    }

    pub fn forget(&self, agent: &str, data: &Path) {
        let _ = fs::remove_file(Self::place(agent, data, &self.settings));
    }

    /// What the file said before and after, as JSON; null where it was none.
    pub fn values(&self) -> (Value, Value) {
        let value = |text: &str| parse(text).unwrap_or_default();
        (self.before.as_deref().map(value).unwrap_or_default(), value(&self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("settings.json");
        fs::write(&path, text).unwrap();
        Settings::read(&path)
    }

    #[test]
    fn faults_are_named_with_their_line() {
        for (text, word) in [
            ("{\n  // mine\n  \"a\": 1\n}", "line 2 has a comment"),
            ("{\n  \"a\": 1, /* mine */\n}", "line 2 has a comment"),
            ("{\"a\": }", "line 1 column 7"),
            ("[]", "no JSON object"),
            ("{\"a\": 1,}", "line 1"),
        ] {
            let message = format!("{:#}", read(text).err().unwrap());
            assert!(message.contains(word) && message.contains("was left as it is"), "{text}: {message}");
        }
        assert!(read("").is_ok() && read("\u{feff}{}").is_ok());
    }

    #[test]
    fn files_keep_their_indentation_and_order() {
        for text in
            ["{\n  \"z\": 1,\n  \"a\": [\n    true\n  ]\n}\n", "{\n\t\"z\": {\n\t\t\"b\": null\n\t}\n}", "{\n    \"a\": 1.5\n}\n"]
        {
            let settings = read(text).unwrap();
            assert_eq!(settings.render(&settings.value).unwrap(), text);
        }
    }
}
