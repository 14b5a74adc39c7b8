//! `ducat man`: the manual pages, made from the same words as `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueHint;
use clap_mangen::Man;

/// Print the manual page, or write the pages of all commands
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat man | man -l -\n  ducat man ~/.local/share/man/man1 && man ducat-report")]
pub struct Args {
    /// Folder to write ducat.1, ducat-report.1, … into; it is made if need be
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

pub fn run(args: &Args, command: clap::Command) -> anyhow::Result<()> {
    // As the written pages are.
    let command = command.disable_help_subcommand(true);
    match &args.folder {
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            Ok(io::stdout().write_all(&page)?)
        }
        Some(folder) => write_all(folder, command),
    }
}

fn write_all(folder: &Path, command: clap::Command) -> anyhow::Result<()> {
    let doing = || format!("writing manual pages to {}", folder.display());
    fs::create_dir_all(folder).with_context(doing)?;
    clap_mangen::generate_to(command, folder).with_context(doing)?;
    Ok(writeln!(io::stderr(), "ducat: manual pages are in {}", folder.display())?)
}
