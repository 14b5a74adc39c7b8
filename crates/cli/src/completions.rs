//! `ducat completions`: the scripts by which shells complete.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whose
    shell: Shell,
}

const EXAMPLES: &str = "Examples:
  ducat completions bash > ~/.local/share/bash-completion/completions/ducat
  ducat completions zsh > ~/.zfunc/_ducat    (with fpath+=~/.zfunc before compinit)
  ducat completions fish > ~/.config/fish/completions/ducat.fish";

pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ducat", &mut script);
    if args.shell == Shell::Fish {
        script.extend_from_slice(fish_values(&command)?.as_bytes());
    }
    Ok(io::stdout().write_all(&script)?)
}

/// The values of arguments without a flag, which the generator leaves out for fish.
fn fish_values(command: &clap::Command) -> anyhow::Result<String> {
    let mut lines = String::new();
    for outer in command.get_subcommands() {
        let condition = format!("__fish_ducat_using_subcommand {}", outer.get_name());
        offer(outer, &condition, &mut lines)?;
        for inner in outer.get_subcommands() {
            offer(inner, &format!("{condition}; and __fish_seen_subcommand_from {}", inner.get_name()), &mut lines)?;
        }
    }
    Ok(lines)
}

fn offer(command: &clap::Command, condition: &str, lines: &mut String) -> anyhow::Result<()> {
    for arg in command.get_positionals() {
        let values: Vec<String> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        if !values.is_empty() {
            writeln!(lines, "complete -c ducat -n \"{condition}\" -f -a \"{}\"", values.join(" "))?;
        }
    }
    Ok(())
}
