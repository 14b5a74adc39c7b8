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

    /// Shows the change to `after`, with `secret` left out, and asks whether to make it.
    pub fn show_and_ask(&self, consent: Consent, after: &str, secret: Option<&str>) -> anyhow::Result<bool> {
        let name = self.path.display().to_string();
        let diff = TextDiff::from_lines(self.text.unwrap_or(""), after);
        let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        let mut shown = diff.unified_diff().context_radius(2).header(&name, &name).to_string();
        if let Some(secret) = secret {
            shown = shown.replace(secret, "…");
        }
        let mut out = io::stdout().lock();
        for line in shown.lines() {
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

    /// Undoes a write that this setup made.
    pub fn restore(&self) -> anyhow::Result<()> {
        match self.text {
            Some(text) => settings::write(self.path, text)?,
            None => fs::remove_file(self.path)?,
        }
        if let Some(record) = self.record() {
            record.forget(self.agent, self.data);
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
        if !self.show_and_ask(consent, before.as_deref().unwrap_or(""), None)? {
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
