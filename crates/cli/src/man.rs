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
            Ok(io::stdout().write_all(with_examples(&String::from_utf8_lossy(&page)).as_bytes())?)
        }
        Some(folder) => write_all(folder, command),
    }
}

fn write_all(folder: &Path, command: clap::Command) -> anyhow::Result<()> {
    let doing = || format!("writing manual pages to {}", folder.display());
    let made = tempfile::tempdir().with_context(doing)?;
    clap_mangen::generate_to(command, made.path()).with_context(doing)?;
    fs::create_dir_all(folder).with_context(doing)?;
    for page in fs::read_dir(made.path()).with_context(doing)? {
        let page = page.with_context(doing)?;
        let text = fs::read_to_string(page.path()).with_context(doing)?;
        fs::write(folder.join(page.file_name()), with_examples(&text)).with_context(doing)?;
    }
    Ok(writeln!(io::stderr(), "ducat: manual pages are in {}", folder.display())?)
}

/// What stands behind the help is a section of examples, whose lines are not to be filled up.
fn with_examples(page: &str) -> String {
    let Some((before, after)) = page.split_once("\n.SH EXTRA\n") else { return page.to_owned() };
    let (examples, rest) = match after.find("\n.SH ") {
        Some(end) => after.split_at(end + 1),
        None => (after, ""),
    };
    let examples = examples.strip_prefix("Examples:\n").or_else(|| examples.strip_prefix("Example:\n")).unwrap_or(examples);
    format!("{before}\n.SH EXAMPLES\n.nf\n{examples}.fi\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_a_section_of_their_own() {
        let page = ".TH x\n.SH EXTRA\nExamples:\n  x y\n\nmore\n.SH VERSION\nv1\n";
        assert_eq!(with_examples(page), ".TH x\n.SH EXAMPLES\n.nf\n  x y\n\nmore\n.fi\n.SH VERSION\nv1\n");
        assert_eq!(with_examples(".TH x\n.SH EXTRA\nExample:\n  x\n"), ".TH x\n.SH EXAMPLES\n.nf\n  x\n.fi\n");
        assert_eq!(with_examples(".TH x\n"), ".TH x\n");
    }
}
