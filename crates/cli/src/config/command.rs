//! `ducat config`: what is in effect and where it comes from; reading and writing keys; checking a file.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Subcommand, ValueHint};
use serde_json::{Value, json};

use super::fault::nearest;
use super::keys::{Effective, KEYS, Source, effective};
use super::{Config, config_path, edit};
use crate::table;

/// Show, set and check the configuration
///
/// A flag is over an environment variable, over the file, over the default. docs/configuration.md describes every key.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ducat config show
  ducat config set server.port 9100
  ducat config set report.currency EUR report.rate 0.92 report.rate_date 2026-11-24
  ducat config validate";

#[derive(Subcommand)]
enum Command {
    /// Every key and variable: its value, and where that comes from
    #[command(
        after_help = "Examples:\n  ducat config show\n  ducat config show --json | jq '.keys[] | select(.source.kind != \"default\")'"
    )]
    Show {
        /// JSON: {"schema_version":1,"file":…,"keys":[{"key","value","source"}]}
        #[arg(long)]
        json: bool,
    },
    /// Print the value of one key
    #[command(after_help = "Example:\n  ducat config get server.port")]
    Get {
        /// As `ducat config show` names it
        #[arg(value_name = "KEY", value_parser = KeyParser, hide_possible_values = true)]
        key: String,
    },
    /// Write keys into the file, keeping its comments and order
    #[command(
        after_help = "Examples:\n  ducat config set server.port 9100\n  ducat config set capture.exclude '[\"~/clients/secret\"]'\n  ducat config set prices.discount.anthropic 0.15"
    )]
    Set {
        /// Keys, each followed by its value
        #[arg(value_name = "KEY VALUE", num_args = 2.., required = true, value_parser = KeyParser, hide_possible_values = true)]
        pairs: Vec<String>,
    },
    /// Take keys out of the file
    #[command(after_help = "Example:\n  ducat config unset server.port")]
    Unset {
        /// As `ducat config show` names them
        #[arg(value_name = "KEY", required = true, value_parser = KeyParser, hide_possible_values = true)]
        keys: Vec<String>,
    },
    /// Check the file, or another
    #[command(
        after_help = "Examples:\n  ducat config validate\n  ducat config validate new.toml && mv new.toml ~/.config/ducat/config.toml"
    )]
    Validate {
        /// Another than the one in use
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Print where the file is, or would be
    #[command(after_help = "Example:\n  $EDITOR \"$(ducat config path)\"")]
    Path,
}

/// Any key is taken; shells are offered those that need no name of the user's own.
#[derive(Clone)]
struct KeyParser;

impl TypedValueParser for KeyParser {
    type Value = String;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&clap::Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(KEYS.iter().map(|key| PossibleValue::new(key.name))))
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Show { json } => show(*json),
        Command::Get { key } => get(key),
        Command::Set { pairs } => set(pairs),
        Command::Unset { keys } => change(&keys.iter().map(|key| (key.as_str(), None)).collect::<Vec<_>>()),
        Command::Validate { file } => validate(file.as_deref()),
        Command::Path => Ok(writeln!(io::stdout(), "{}", own_path()?.display())?),
    }
}

fn own_path() -> anyhow::Result<PathBuf> {
    let (path, _) = config_path().context("no home folder for the configuration; name the file with DUCAT_CONFIG")?;
    Ok(path)
}

/// The file's text; empty where there is none.
fn own_text(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("configuration {}", path.display())),
    }
}

/// What is in effect; the file must be sound.
fn in_effect() -> anyhow::Result<(PathBuf, Vec<Effective>)> {
    Config::load()?;
    let path = own_path()?;
    let values = effective(&own_text(&path)?).with_context(|| format!("configuration {}", path.display()))?;
    Ok((path, values))
}

fn show(as_json: bool) -> anyhow::Result<()> {
    let (path, values) = in_effect()?;
    let mut out = io::stdout().lock();
    if as_json {
        let file = path.display().to_string();
        let keys: Vec<Value> = values
            .iter()
            .map(|value| json!({ "key": value.name, "value": json_of(value), "source": source(value, &file) }))
            .collect();
        return Ok(writeln!(out, "{}", json!({ "schema_version": 1, "file": file, "keys": keys }))?);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut rows = table::table(&["KEY", "VALUE", "FROM"], 3);
    for value in &values {
        let from = match &value.source {
            Source::Default => "default".to_owned(),
            Source::File(line) => format!("{name}:{line}"),
            Source::Variable(variable) if *variable == value.name => "environment".to_owned(),
            Source::Variable(variable) => (*variable).to_owned(),
        };
        rows.add_row([value.name.clone(), if value.value.is_empty() { "-".to_owned() } else { value.value.clone() }, from]);
    }
    let is_there = if path.exists() { "" } else { " (not there: the defaults hold)" };
    writeln!(out, "{}{is_there}\n\n{}", path.display(), table::lines(&rows))?;
    Ok(())
}

/// Keys are TOML; variables are texts.
fn json_of(value: &Effective) -> Value {
    if value.value.is_empty() {
        return Value::Null;
    }
    let is_variable = value.name.bytes().all(|letter| letter.is_ascii_uppercase() || letter == b'_');
    let parsed = || toml::from_str::<Value>(&format!("value = {}", value.value)).ok();
    match if is_variable { None } else { parsed() } {
        Some(mut parsed) => parsed["value"].take(),
        None => Value::from(value.value.as_str()),
    }
}

fn source(value: &Effective, file: &str) -> Value {
    match &value.source {
        Source::Default => json!({ "kind": "default" }),
        Source::File(line) => json!({ "kind": "file", "path": file, "line": line }),
        Source::Variable(variable) => json!({ "kind": "environment", "variable": variable }),
    }
}

fn get(key: &str) -> anyhow::Result<()> {
    let (_, values) = in_effect()?;
    let Some(value) = values.iter().find(|value| value.name == key) else {
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        match nearest(key, &names) {
            Some(nearest) => bail!("there is no key {key:?}; did you mean {nearest:?}?"),
            None => bail!("there is no key {key:?}; `ducat config show` lists them"),
        }
    };
    let text = match json_of(value) {
        Value::String(text) => text,
        Value::Null => String::new(),
        _ => value.value.clone(),
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}

fn set(pairs: &[String]) -> anyhow::Result<()> {
    if !pairs.len().is_multiple_of(2) {
        bail!("{}: without a value; write KEY VALUE pairs", pairs.last().map_or("", String::as_str));
    }
    let pairs: Vec<_> = pairs.chunks_exact(2).map(|pair| (pair[0].as_str(), Some(pair[1].as_str()))).collect();
    change(&pairs)
}

/// Writes all of it or nothing.
fn change(changes: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
    let path = own_path()?;
    let before = own_text(&path)?;
    let mut text = before.clone();
    for (key, value) in changes {
        let (changed, was_there) = edit::with(&text, key, *value).with_context(|| path.display().to_string())?;
        if value.is_none() && !was_there {
            bail!("{key} is not in {}", path.display());
        }
        text = changed;
    }
    edit::check(changes.last().map_or("", |(key, _)| key), &text)?;
    if text != before {
        edit::write(&path, &text)?;
    }
    let words = if text == before { "as it was" } else { "written" };
    writeln!(io::stderr(), "{}: {words}; a running server reads it when it starts again", path.display())?;
    Ok(())
}

fn validate(file: Option<&Path>) -> anyhow::Result<()> {
    let path = file.map_or_else(own_path, |file| Ok(file.to_owned()))?;
    if file.is_none() && !path.exists() {
        return Ok(writeln!(io::stdout(), "{} is not there: the defaults hold", path.display())?);
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Config::parse(&text).with_context(|| path.display().to_string())?;
    Ok(writeln!(io::stdout(), "{}: sound", path.display())?)
}
