//! `ducat pull`: transcripts of another machine over ssh, where no Ducat is needed.

mod mirror;
mod remote;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use ducat_report::figures;
use ducat_scan::{Home, Importer};
use ducat_spool::data_folder;
use ducat_store::{FolderError, Store, TenantId};

use crate::config::Config;
use crate::import::{open_ledger, progress_bar};

use mirror::Mirror;
use remote::{Remote, SshUrl};

/// Fetch what agents did on another machine over ssh, and take it in under that machine's name
///
/// Needs sh, find, head and tail there, no Ducat. Reads ~/.claude/projects and ~/.config/claude/projects, or the folder in the URL, and
/// fetches only what is new. Unlike `ducat ship` it brings whole transcripts over the wire, prompts and outputs with them, to a copy in
/// this machine's data folder (`pull/`, readable by you alone), because they are read here. `.ducatignore` files and excluded folders of
/// that machine are not known here: what is excluded is what this machine's configuration excludes, by the paths of that one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// ssh://[USER@]HOST[:PORT][/FOLDER]; names of ~/.ssh/config are known
    url: SshUrl,
    /// What to call that machine instead of HOST
    #[arg(long, value_name = "NAME", value_parser = host_label)]
    host: Option<String>,
    /// The ssh to run, with options
    #[arg(long, value_name = "COMMAND", default_value = "ssh")]
    ssh: String,
}

const EXAMPLES: &str = "Examples:
  ducat pull ssh://box                           what is new on box, each time it is run
  ducat pull ssh://ana@10.0.0.7:2222/srv/agents/projects --host build

Ports, keys and jump hosts belong into ~/.ssh/config; from cron, BatchMode too. --ssh 'ssh -i FILE' runs another ssh, or one with options.";

fn host_label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 253 || text.contains(char::is_control) {
        return Err("must be 1 to 253 bytes without control characters".to_owned());
    }
    Ok(text.to_owned())
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::load()?;
    let data = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    let host = args.host.clone().unwrap_or_else(|| args.url.host.clone());
    let mirror = Mirror::open(&data, &args.url.to_string(), &host)?;
    let remote = Remote::new(&args.ssh, args.url.clone())?;
    let listed = remote.list()?;
    if listed.is_empty() {
        bail!("{}: no transcripts there; name their folder as ssh://{}/FOLDER", args.url, args.url.authority());
    }
    let wanted = mirror.wanted(&listed);
    let bytes: u64 = wanted.iter().map(|part| part.length).sum();
    let bar = progress_bar("fetching", io::stderr().is_terminal());
    bar.set_length(wanted.len() as u64);
    let mut damaged = Vec::new();
    let mut unreadable = remote.fetch(&wanted, &mut |part, bytes| {
        bar.inc(1);
        mirror.keep(part, bytes, &mut damaged)
    })?;
    // Files that were written anew there, and not only at their end.
    unreadable.extend(remote.fetch(&damaged, &mut |part, bytes| mirror.keep(part, bytes, &mut Vec::new()))?);
    bar.finish_and_clear();
    for path in &unreadable {
        writeln!(
            io::stderr(),
            "ducat: {path} on {host} cannot be read by the user that ssh logs in as; it is tried again with the next pull"
        )?;
    }
    let mut out = io::stdout();
    writeln!(
        out,
        "{} of {} files on {host} had something new ({} bytes).",
        wanted.len().saturating_sub(unreadable.len()),
        listed.len(),
        figures::tokens(bytes)
    )?;
    match open_ledger(&config, None) {
        Ok((_folder, store, _)) => {
            let mut importer = importer(store, &mirror.place(), host, config.excluded_folders());
            let bar = progress_bar("importing", io::stderr().is_terminal());
            let imported = importer.look(&|done, total| {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
            })?;
            bar.finish_and_clear();
            for problem in &imported.problems {
                writeln!(io::stderr(), "ducat: skipped {problem}")?;
            }
            writeln!(out, "{} new lines taken in.", figures::count(imported.lines))?;
        }
        Err(error) => match error.downcast_ref::<FolderError>() {
            Some(FolderError::InUse { .. }) => writeln!(out, "The server that runs here takes them in within a minute.")?,
            _ => return Err(error),
        },
    }
    Ok(())
}

/// The copies that were pulled to a data folder, each with its machine's name.
pub fn mirrors(data: &std::path::Path) -> Vec<(PathBuf, String)> {
    mirror::all(data)
}

/// An importer of one copy.
pub fn importer(store: Store, mirror: &std::path::Path, host: String, excluded: Vec<PathBuf>) -> Importer {
    Importer::new(store, TenantId::LOCAL, vec![Home::any(mirror.to_owned())], excluded).of_host(host)
}
