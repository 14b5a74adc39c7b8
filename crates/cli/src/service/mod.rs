//! `ducat service`: a server that is always there.

mod install;
mod launchd;
mod on_demand;
mod plan;
pub mod process;
pub mod record;
mod remove;
mod server;
pub mod status;
mod systemd;

use clap::Subcommand;

/// Keep the server running: installed as a service of the user, or started by the first hook
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat service install\n  ducat service status")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Install(install::Args),
    Remove(remove::Args),
    Status(status::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Install(args) => install::run(args),
        Command::Remove(args) => remove::run(args),
        Command::Status(args) => status::run(args),
    }
}

/// Asks a yes or no question on a terminal.
fn ask(question: &str) -> anyhow::Result<bool> {
    use std::io::{BufRead, Write};
    let mut out = std::io::stdout().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
