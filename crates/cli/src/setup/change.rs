//! A settings file changed with its owner's consent, and back to what it was.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use similar::TextDiff;

use super::settings::{self, Record};
use super::{ask, say};

/// What may be done without asking.
#[derive(clap::Args, Clone, Copy)]
pub struct Consent {
    /// Print what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write without asking
    #[arg(long, short)]
    pub yes: bool,
}

/// A file of an agent's, as it stands.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// As records name it.
    pub agent: &'static str,
    /// Where it really is.
    pub path: &'a Path,
    /// `None` when there is no file.
    pub text: Option<&'a str>,
    /// Ducat's data folder.
    pub data: &'a Path,
}

impl Place<'_> {
    pub fn record(&self) -> Option<Record> {
        Record::load(self.agent, self.data, self.path)
    }

    pub fn backup_path(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".before-ducat");
        self.path.with_file_name(name)
    }

    /// Shows the change to `after`, with keys left out, and asks whether to make it.
    pub fn show_and_ask(&self, consent: Consent, after: &str) -> anyhow::Result<bool> {
        let name = self.path.display().to_string();
        let diff = TextDiff::from_lines(self.text.unwrap_or(""), after);
        let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        let shown = diff.unified_diff().context_radius(2).header(&name, &name).to_string();
        let mut out = io::stdout().lock();
        for line in shown.lines().map(without_keys) {
            match line.as_bytes().first() {
                Some(b'+') if colours => writeln!(out, "\x1b[32m{line}\x1b[0m")?,
                Some(b'-') if colours => writeln!(out, "\x1b[31m{line}\x1b[0m")?,
                _ => writeln!(out, "{line}")?,
            }
        }
        if consent.dry_run {
            writeln!(out, "Nothing was written (--dry-run).")?;
            return Ok(false);
        }
        if consent.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            bail!("nobody to ask: say --yes to write this, or --dry-run to see it only");
        }
        drop(out);
        let yes = ask("Write this?")?;
        if !yes {
            say("Nothing was written.")?;
        }
        Ok(yes)
    }

    /// Writes the settings; the first time keeps what was there. `without` is the text as it stands without what is ours, `None` when
    /// nothing of it is.
    pub fn write_and_keep(&self, after: &str, without: Option<String>) -> anyhow::Result<()> {
        let before = match self.record() {
            // A later setup over an earlier one: what was there before the first is what removing restores.
            Some(record) if Some(record.after.as_str()) == self.text => record.before,
            _ => without.or_else(|| self.text.map(str::to_owned)),
        };
        if let Some(before) = &before {
            settings::write(&self.backup_path(), before)?;
        }
        Record { settings: self.path.to_owned(), before, after: after.to_owned() }.save(self.agent, self.data)?;
        settings::write(self.path, after)
    }

    /// Says where the file as it was is kept.
    pub fn say_written(&self) -> anyhow::Result<()> {
        match self.text {
            Some(_) => say(&format!("Written. The file as it was: {}", self.backup_path().display())),
            None => say("Written."),
        }
    }

    /// Undoes a write that this setup made; `record` is that of the setup before, by which what it wrote is known.
    pub fn restore(&self, record: Option<&Record>) -> anyhow::Result<()> {
        match self.text {
            Some(text) => settings::write(self.path, text)?,
            None => fs::remove_file(self.path)?,
        }
        match (record, self.record()) {
            (Some(record), _) => record.save(self.agent, self.data)?,
            (None, Some(written)) => written.forget(self.agent, self.data),
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes out what is ours: a file that is as setup left it becomes what it was, to the byte. Whether there was anything.
    pub fn take_out(&self, consent: Consent, without: Option<String>) -> anyhow::Result<bool> {
        let record = self.record();
        let untouched = record.as_ref().filter(|record| Some(record.after.as_str()) == self.text);
        if self.text.is_none() || (untouched.is_none() && without.is_none()) {
            // It is to stay away: nobody asks any more where it went.
            if let Some(record) = record.filter(|_| !consent.dry_run) {
                record.forget(self.agent, self.data);
            }
            return Ok(false);
        }
        let before = match untouched {
            Some(record) => record.before.clone(),
            None => without,
        };
        if !self.show_and_ask(consent, before.as_deref().unwrap_or(""))? {
            return Ok(true);
        }
        match &before {
            Some(before) => settings::write(self.path, before)?,
            None => fs::remove_file(self.path)?,
        }
        if let Some(record) = record {
            record.forget(self.agent, self.data);
        }
        let _ = fs::remove_file(self.backup_path());
        say(&format!("Removed from {}.", self.path.display()))?;
        Ok(true)
    }
}

/// A line of settings with the value of every `Authorization` left out: in JSON and TOML, and in a list of headers within a string.
fn without_keys(line: &str) -> String {
    const NAME: &str = "authorization";
    let (mut shown, mut rest) = (String::new(), line);
    // Lowering ASCII alone keeps every byte where it is.
    while let Some(at) = rest.to_ascii_lowercase().find(NAME) {
        let after = &rest[at + NAME.len()..];
        let value = after.trim_start_matches(['"', '\'', ' ', '\t']);
        let Some(value) = value.strip_prefix(['=', ':']).map(str::trim_start) else {
            shown.push_str(&rest[..at + NAME.len()]);
            rest = after;
            continue;
        };
        let quote = value.chars().next().filter(|letter| matches!(letter, '"' | '\''));
        let value = quote.map_or(value, |quote| value.trim_start_matches(quote));
        shown.push_str(&rest[..rest.len() - value.len()]);
        shown.push('…');
        let is_end = |letter: char| quote.map_or(matches!(letter, '"' | '\'' | ','), |quote| letter == quote);
        rest = &value[end_of(value, is_end)..];
    }
    shown.push_str(rest);
    shown
}

/// Where a value ends; what a backslash stands before does not end it.
fn end_of(value: &str, is_end: impl Fn(char) -> bool) -> usize {
    let mut is_escaped = false;
    let ends = |(_, letter): &(usize, char)| {
        let ends = !is_escaped && is_end(*letter);
        is_escaped = *letter == '\\' && !is_escaped;
        ends
    };
    value.char_indices().find(ends).map_or(value.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_that_fails_after_another_leaves_that_ones_record() {
        let dir = tempfile::tempdir().unwrap();
        let (path, data) = (dir.path().join("settings.json"), dir.path().join("data"));
        let (mine, first, second) = ("{\"a\":1}", "{\"a\":1,\"hooks\":1}", "{\"a\":1,\"hooks\":2}");
        let place = |text| Place { agent: "x", path: &path, text, data: &data };
        place(Some(mine)).write_and_keep(first, None).unwrap();
        let earlier = place(Some(first)).record();
        place(Some(first)).write_and_keep(second, Some(mine.to_owned())).unwrap();
        place(Some(first)).restore(earlier.as_ref()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        let consent = Consent { dry_run: false, yes: true };
        assert!(place(Some(first)).take_out(consent, None).unwrap(), "what the first wrote is known");
        assert_eq!(fs::read_to_string(&path).unwrap(), mine);
        // A first one that fails leaves nothing.
        place(Some(mine)).write_and_keep(first, None).unwrap();
        place(Some(mine)).restore(None).unwrap();
        assert!(place(Some(mine)).record().is_none());
    }

    #[test]
    fn no_line_shows_a_key() {
        for (line, shown) in [
            (
                r#"-    "OTEL_EXPORTER_OTLP_HEADERS": "x=1,Authorization=Bearer%20KEY,y=2","#,
                r#"-    "OTEL_EXPORTER_OTLP_HEADERS": "x=1,Authorization=…,y=2","#,
            ),
            (
                r#" "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer KEY""#,
                r#" "OTEL_EXPORTER_OTLP_HEADERS": "authorization=…""#,
            ),
            (r#"+  "Authorization": "Bearer KEY, KEY","#, r#"+  "Authorization": "…","#),
            (r#"+  "Authorization": "KEY \"KEY","#, r#"+  "Authorization": "…","#),
            (
                r#"+exporter = { otlp-http = { headers = { Authorization = "Bearer KEY" } } }"#,
                r#"+exporter = { otlp-http = { headers = { Authorization = "…" } } }"#,
            ),
            ("+'authorization' = 'KEY'", "+'authorization' = '…'"),
            ("+Authorization: KEY", "+Authorization: …"),
            (" \"authorizations\": 1", " \"authorizations\": 1"),
            (" # é authorization", " # é authorization"),
        ] {
            assert_eq!(without_keys(line), shown);
        }
    }
}
