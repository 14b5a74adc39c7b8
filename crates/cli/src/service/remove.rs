//! `ducat service remove`: nothing of the installation is left.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ducat_spool::{data_folder, socket_paths};

use super::process::Holder;
use super::record::{Record, Way};
use super::{ask, launchd, on_demand, systemd};
use crate::config::report_cache;

/// End the server and take the service away
///
/// The ledger stays, unless `--purge` is said.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat service remove\n  ducat service remove --purge   (the ledger too)")]
pub struct Args {
    /// Delete the ledger, the spool and the report's cache as well: everything that Ducat ever kept
    #[arg(long)]
    purge: bool,
    /// Purge without asking
    #[arg(long, short, requires = "purge")]
    yes: bool,
    /// Remove unit files that Ducat did not write
    #[arg(long)]
    force: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let data = std::path::absolute(data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?)?;
    if args.purge && !may_purge(args, &data)? {
        writeln!(io::stdout(), "Nothing was removed.")?;
        return Ok(());
    }
    let record = Record::find(&data)?;
    if let Some(record) = &record {
        match record.way {
            Way::Systemd => systemd::remove(&data, args.force)?.iter().try_for_each(|step| step.take(&mut Vec::new()))?,
            Way::Launchd => launchd::remove(args.force)?.iter().try_for_each(|step| step.take(&mut Vec::new()))?,
            Way::OnDemand => on_demand::remove(&data)?,
        }
        on_demand::leavings(&data).iter().for_each(|file| drop(fs::remove_file(file)));
        let _ = fs::remove_dir(data.join("logs"));
        let _ = fs::remove_file(Record::place(&data));
        remove_socket_folders(&data);
    }
    if args.purge {
        purge(&data)?;
    }
    // Only what was made for it, and only what is empty by now.
    record.iter().flat_map(|record| &record.folders).for_each(|folder| drop(fs::remove_dir(folder)));
    let mut out = io::stdout().lock();
    match (record, args.purge) {
        (None, false) => writeln!(out, "No service is installed; nothing to remove.")?,
        (None, true) => writeln!(out, "Removed everything that Ducat kept.")?,
        (Some(record), true) => writeln!(out, "Removed ({}), with everything that Ducat kept.", record.way.name())?,
        (Some(record), false) => {
            writeln!(out, "Removed ({}). The ledger stays in {}.", record.way.name(), data.display())?;
        }
    }
    Ok(())
}

/// Of a server that was there; a live one's are not empty.
fn remove_socket_folders(data: &Path) {
    socket_paths(data).iter().filter_map(|socket| socket.parent()).for_each(|folder| drop(fs::remove_dir(folder)));
}

fn may_purge(args: &Args, data: &Path) -> anyhow::Result<bool> {
    if fs::read_dir(data.join("setup")).is_ok_and(|mut setups| setups.next().is_some()) {
        bail!("hooks are still in an agent's settings; run `ducat setup claude-code --remove` first");
    }
    if args.yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        bail!("--purge deletes the ledger in {}; nobody to ask: say --yes too", data.display());
    }
    ask(&format!("Delete {} and all figures in it?", data.display()))
}

/// Names of what stands in a data folder.
const KEPT: [&str; 16] = [
    "ledger.db",
    "ledger.db-wal",
    "ledger.db-shm",
    "lock",
    "spool",
    "run",
    "setup",
    "model_prices.json",
    "service.env",
    "service.json",
    "start-on-hook",
    "start-on-hook.tried",
    "logs",
    "machine-id",
    "ship",
    "pull",
];

fn purge(data: &Path) -> anyhow::Result<()> {
    if let Some(holder) = Holder::of(data) {
        bail!("a Ducat is running (process {}), which is not the service; end it first", holder.pid);
    }
    remove_all(&report_cache().unwrap_or_default())?;
    if let Some(folder) = report_cache().as_deref().and_then(Path::parent) {
        let _ = fs::remove_dir(folder);
    }
    // A folder of our own name is ours; in one that the user named, other things may stand.
    if env::var_os("DUCAT_DATA_DIR").is_none_or(|told| told.is_empty()) {
        return remove_all(data);
    }
    KEPT.iter().try_for_each(|name| remove_all(&data.join(name)))?;
    let _ = fs::remove_dir(data);
    let left: Vec<PathBuf> = fs::read_dir(data).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    if !left.is_empty() {
        writeln!(
            io::stdout(),
            "Not of Ducat, and left: {}",
            left.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        )?;
    }
    Ok(())
}

fn remove_all(path: &Path) -> anyhow::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(|| path.display().to_string()),
        _ => Ok(()),
    }
}
