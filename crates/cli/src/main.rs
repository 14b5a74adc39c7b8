//! `ducat`: the meter for AI agents.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod agents;
mod blocks;
mod completions;
mod config;
mod doctor;
mod import;
mod key;
mod log_file;
mod man;
mod meter;
mod prices;
mod pull;
mod quiet;
mod reconcile;
mod report;
mod serve;
mod service;
mod sessions;
mod setup;
mod ship;
mod status;
mod status_line;
mod table;
mod top;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The meter for AI agents: what every session, prompt and tool call of your coding agents cost.
#[derive(Parser)]
#[command(name = "ducat", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ducat serve                       the page at http://localhost:9090
  ducat service install             have the server always there
  ducat setup claude-code           have Claude Code tell of each tool call
  ducat top                         what is spent now, in the terminal
  ducat report                      what every day cost
  ducat report session --since 7d   the sessions of the last seven days
  ducat report blocks --live        the plan's five hours, as they go
  ducat reconcile                   where transcripts, hooks and telemetry differ
  ducat sessions                    the last sessions; `ducat session ID`: one
  ducat report project --json       the projects, for a program
  ducat meter -- claude -p …        a headless run, and what it cost
  ducat key create laptop           a key for another machine: `ducat ship`
  ducat prices list opus            the prices of all models named opus
  ducat doctor                      what is wrong here; nothing when all is well

Configuration: ~/.config/ducat/config.toml (`ducat config show`)";

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Service(service::Args),
    Setup(setup::Args),
    Agents(agents::Args),
    Import(import::Args),
    Report(report::Args),
    Reconcile(reconcile::Args),
    Meter(meter::Args),
    Status(status::Args),
    Top(top::Args),
    Sessions(sessions::ListArgs),
    Session(sessions::ShowArgs),
    Prices(prices::Args),
    Statusline(status_line::Args),
    Config(config::command::Args),
    Man(man::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Ship(ship::Args),
    Pull(pull::Args),
    Key(key::Args),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // 1 is their answer that witnesses differ, or that one is quiet.
    let failure =
        if matches!(command, Command::Reconcile(_) | Command::Agents(_)) { ExitCode::from(2) } else { ExitCode::FAILURE };
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            // A reader that has seen enough (`| head`) is no fault.
            if error
                .chain()
                .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
            {
                return ExitCode::SUCCESS;
            }
            let _ = writeln!(io::stderr(), "ducat: {error:#}");
            failure
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Reconcile(args) => return reconcile::run(&args),
        Command::Agents(args) => return agents::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Service(args) => service::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Meter(args) => meter::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Sessions(args) => sessions::list(&args),
        Command::Session(args) => sessions::show(&args),
        Command::Prices(args) => prices::run(args),
        Command::Statusline(args) => status_line::run(args),
        Command::Config(args) => config::command::run(&args),
        Command::Man(args) => man::run(&args, Cli::command()),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Doctor(args) => doctor::run(&args),
        Command::Ship(args) => ship::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::Key(args) => key::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// A command is learnt from its examples.
    #[test]
    fn every_command_has_examples_and_every_argument_says_what_it_is() {
        fn walk(command: &clap::Command, name: &str, lacking: &mut Vec<String>) {
            let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default();
            let examples = help.split_once("Example").map(|(_, examples)| examples).unwrap_or_default();
            if !examples.contains(name) {
                lacking.push(name.to_owned());
            }
            let silent = command.get_arguments().filter(|arg| arg.get_help().is_none() && !arg.is_hide_set());
            lacking.extend(silent.map(|arg| format!("{name}: {} says nothing", arg.get_id())));
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                walk(inner, &format!("{name} {}", inner.get_name()), lacking);
            }
        }
        let mut lacking = Vec::new();
        walk(&Cli::command(), "ducat", &mut lacking);
        assert!(lacking.is_empty(), "without an example, or help: {lacking:#?}");
    }

    /// Words as a shell takes them, as far as examples need it: up to another program's, or an explanation behind two blanks.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in line.chars().chain([' ']) {
            match (letter, quote) {
                ('\'' | '"', None) => quote = Some(letter),
                (letter, Some(open)) if letter == open => quote = None,
                (' ', None) if word.is_empty() || matches!(word.as_str(), "|" | ">" | "2>" | "<" | "&&") => break,
                (' ', None) => words.push(std::mem::take(&mut word)),
                _ => word.push(letter),
            }
        }
        words
    }

    #[test]
    fn every_example_is_a_command_line_that_parses() {
        fn walk(command: &clap::Command, examples: &mut Vec<String>) {
            let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default();
            examples.extend(help.lines().map(str::trim).filter(|line| line.starts_with("ducat ")).map(str::to_owned));
            command.get_subcommands().for_each(|inner| walk(inner, examples));
        }
        let mut examples = Vec::new();
        walk(&Cli::command(), &mut examples);
        assert!(examples.len() > 40, "{}", examples.len());
        for example in examples {
            let parsed = Cli::command().try_get_matches_from(words(&example));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}
