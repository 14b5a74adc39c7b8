//! `ducat-statusline`: see `ducat statusline --help`.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use ducat_status_line::Options;

const HELP: &str = "ducat-statusline: draws Claude Code's status line (`ducat setup claude-code --status-line` installs it)

Usage: ducat-statusline [--template TEMPLATE] [--wrap COMMAND] [--color auto|always|never] < session.json

`ducat statusline --help` says more; both are the same.";

fn main() -> ExitCode {
    let wrong = match options(env::args().skip(1)) {
        Ok(Some(options)) => ducat_status_line::run(&options).err().map(|fault| format!("{fault:#}")),
        Ok(None) => return ExitCode::SUCCESS,
        Err(wrong) => Some(wrong),
    };
    match wrong {
        None => ExitCode::SUCCESS,
        Some(wrong) => {
            let _ = writeln!(io::stderr(), "ducat-statusline: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// None when help or version was asked for, and printed.
fn options(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if matches!(name.as_str(), "--help" | "-h") {
            let _ = writeln!(io::stdout(), "{HELP}");
            return Ok(None);
        }
        if matches!(name.as_str(), "--version" | "-V") {
            let _ = writeln!(io::stdout(), "ducat-statusline {}", env!("CARGO_PKG_VERSION"));
            return Ok(None);
        }
        let mut value = || inline.clone().or_else(|| words.next()).ok_or_else(|| format!("{name}: its value is missing"));
        match name.as_str() {
            "--template" => options.template = Some(value()?.parse().map_err(|fault| format!("--template: {fault}"))?),
            "--wrap" => options.wrap = Some(value()?),
            "--color" => options.colors = value()?.parse().map_err(|fault| format!("--color: {fault}"))?,
            other => return Err(format!("unknown option {other}; there are --template, --wrap, --color")),
        }
    }
    Ok(Some(options))
}
