//! `ducat`: the meter for AI agents.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod blocks;
mod config;
mod import;
mod log_file;
mod meter;
mod prices;
mod report;
mod serve;
mod service;
mod sessions;
mod setup;
mod status;
mod status_line;
mod table;

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
  ducat serve                       the page at http://localhost:9090, fed as sessions go on
  ducat service install             have the server always there
  ducat setup claude-code           have Claude Code report each tool call as it happens
  ducat report                      what every day cost
  ducat report session --since 7d   the sessions of the last seven days
  ducat sessions                    the last sessions; `ducat session ID` shows one
  ducat report project --json       the projects, for a program
  ducat meter -- claude -p …        a headless run, and what it cost
  ducat prices list opus            the prices of all models with opus in their name

Configuration: $XDG_CONFIG_HOME/ducat/config.toml (or ~/.config/ducat/config.toml, or DUCAT_CONFIG)";

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Service(service::Args),
    Setup(setup::Args),
    Import(import::Args),
    Report(report::Args),
    Meter(meter::Args),
    Status(status::Args),
    Sessions(sessions::ListArgs),
    Session(sessions::ShowArgs),
    Prices(prices::Args),
    Statusline(status_line::Args),
    Config(config::command::Args),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  ducat completions bash > ~/.local/share/bash-completion/completions/ducat")]
    Completions {
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A reader that has seen enough (`| head`) is no fault.
            if error
                .chain()
                .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
            {
                return ExitCode::SUCCESS;
            }
            let _ = writeln!(io::stderr(), "ducat: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Service(args) => service::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Meter(args) => meter::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Sessions(args) => sessions::list(&args),
        Command::Session(args) => sessions::show(&args),
        Command::Prices(args) => prices::run(args),
        Command::Statusline(args) => status_line::run(args),
        Command::Config(args) => config::command::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ducat", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
