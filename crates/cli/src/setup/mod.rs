//! `ducat setup`: hooks and telemetry into an agent's settings, and out of them.

mod change;
mod claude_code;
pub mod client;
mod codex;
mod gemini_cli;
pub mod hooks;
pub mod probe;
mod receiver;
mod retention;
pub mod settings;
pub mod status_line;
mod telemetry;
pub mod wiring;

use std::env;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Subcommand;
use ducat_ledger::Witness;
use ducat_ship::host_name;
use ducat_spool::data_folder;
use ducat_store::{DataFolder, TakenOut, TenantId};
use serde::Serialize;

pub use claude_code::{CLAUDE_CODE, probe_obstacle, write_back};
use wiring::Wiring;

/// How long a client may take to start: Gemini CLI takes seconds, more the first time.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(20);

/// Set an agent up to report to Ducat as it works
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat setup claude-code\n  ducat setup codex --dry-run\n  ducat setup gemini --remove")]
pub struct Args {
    #[command(subcommand)]
    agent: Agent,
}

#[derive(Subcommand)]
enum Agent {
    ClaudeCode(claude_code::ClaudeCode),
    Codex(codex::Codex),
    Gemini(gemini_cli::GeminiCli),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (agent, consent, remove, no_telemetry) = match &args.agent {
        Agent::ClaudeCode(args) => {
            (ducat_capture::Agent::ClaudeCode, args.consent, args.remove && !args.project, args.no_telemetry)
        }
        Agent::Codex(args) => (ducat_capture::Agent::Codex, args.consent, args.remove, args.no_telemetry),
        Agent::Gemini(args) => (ducat_capture::Agent::GeminiCli, args.consent, args.remove, args.no_telemetry),
    };
    match &args.agent {
        Agent::ClaudeCode(args) => claude_code::run(args),
        Agent::Codex(args) => codex::run(args),
        Agent::Gemini(args) => gemini_cli::run(args),
    }?;
    if !consent.dry_run {
        // What was done is done: a ledger that cannot be written costs an alarm, which ends after a week.
        let _ = note_silence(agent, remove, remove || no_telemetry);
    }
    Ok(())
}

/// Tells the ledger which witnesses are meant to be silent from now on, because they were asked to be and are, and which are not any more.
fn note_silence(agent: ducat_capture::Agent, no_hooks: bool, no_telemetry: bool) -> anyhow::Result<()> {
    let Some(database) = data_folder().map(|data| DataFolder::database_in(&data)).filter(|path| path.exists()) else {
        return Ok(());
    };
    let Some(ledger) = TakenOut::open(&database)? else { return Ok(()) };
    let Wired { hooks, telemetry } = wired(agent).unwrap_or_default();
    let by_telemetry = [Witness::OtlpLog, Witness::OtlpSpan, Witness::OtlpMetric];
    for (is_out, is_there, witnesses) in [(no_hooks, hooks, &[Witness::Hook][..]), (no_telemetry, telemetry, &by_telemetry)] {
        for witness in witnesses.iter().filter(|_| is_out || is_there) {
            ledger.note(TenantId::LOCAL, agent.name(), &host_name(), *witness, !is_there)?;
        }
    }
    Ok(())
}

/// What of a setup stands in an agent's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wired {
    pub hooks: bool,
    pub telemetry: bool,
}

/// `None` for agents that no setup is for. Settings that cannot be read have nothing of ours.
pub fn wired(agent: ducat_capture::Agent) -> Option<Wired> {
    let data = data_folder().unwrap_or_default();
    let wired = match agent {
        ducat_capture::Agent::ClaudeCode => claude_code::wired(&data),
        ducat_capture::Agent::Codex => codex::wired(&data),
        ducat_capture::Agent::GeminiCli => gemini_cli::wired(&data),
        _ => return None,
    };
    Some(wired.unwrap_or_default())
}

/// How each agent that a setup is for is wired, or why its settings cannot be read. `variable` is one as Claude Code has it.
pub fn wirings(data: &Path, variable: &dyn Fn(&str) -> Option<String>) -> [(&'static str, anyhow::Result<Wiring>); 3] {
    [
        ("Claude Code", claude_code::wiring(data, variable)),
        ("Codex", codex::wiring(data)),
        ("Gemini CLI", gemini_cli::wiring(data)),
    ]
}

/// Next to this program, where the build and every package put it.
pub fn beside_own(name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("finding this program")?;
    let program = own.with_file_name(name);
    if !program.is_file() {
        bail!("{} is not there; it belongs beside {} (`make build` makes both)", program.display(), own.display());
    }
    Ok(program)
}

/// A folder in the user's home.
fn below_home(name: &str) -> anyhow::Result<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty());
    Ok(PathBuf::from(home.with_context(|| format!("there is no HOME to find ~/{name} in"))?).join(name))
}

/// A question whose answer is no unless it is yes.
fn ask(question: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn say(words: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{words}")?)
}
