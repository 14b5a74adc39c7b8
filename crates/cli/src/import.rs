//! `ducat import`: transcripts into the ledger.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueHint;
use ducat_prices::PriceTable;
use ducat_report::figures;
use ducat_scan::{Home, Importer, agent_homes};
use ducat_server::notify_manager;
use ducat_ship::host_name;
use ducat_spool::data_folder;
use ducat_store::{DataFolder, Durability, Listener, Reader, Store, StoreOptions, TenantId};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::config::{self, Config};
use crate::report::NO_HOMES;

/// Read transcripts into the ledger
///
/// Goes on where the last import ended; importing twice changes nothing. Not needed beside `ducat serve`, which does it by itself.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat import\n  ducat import /backup/claude/projects")]
pub struct Args {
    /// Folders to read instead of the agents' homes
    #[arg(value_hint = ValueHint::DirPath)]
    paths: Vec<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::load()?;
    for folder in &args.paths {
        std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    }
    let homes = if args.paths.is_empty() { agent_homes() } else { args.paths.iter().cloned().map(Home::any).collect() };
    if homes.is_empty() {
        bail!("nothing to import: {NO_HOMES}");
    }
    let (_folder, store, _) = open_ledger(&config, None)?;
    let mut importer = Importer::new(store.clone(), TenantId::LOCAL, homes, config.excluded_folders());
    if args.paths.is_empty() {
        // What stands elsewhere may be another machine's.
        importer = importer.of_host(host_name());
    }
    let bar = progress_bar("importing", io::stderr().is_terminal());
    let imported = importer.look(&|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    for problem in &imported.problems {
        writeln!(io::stderr(), "ducat: skipped {problem}")?;
    }
    let plural = if imported.lines == 1 { "" } else { "s" };
    let (lines, changed, files) = (figures::count(imported.lines), imported.changed, imported.files);
    writeln!(io::stdout(), "{lines} new line{plural} in {changed} of {files} files.")?;
    Ok(())
}

/// A bar over files on stderr, if shown at all.
pub fn progress_bar(what: &'static str, is_shown: bool) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {bar:30} {pos}/{len} files {elapsed}");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what);
    if is_shown {
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    }
    bar
}

/// The data folder, locked, the ledger in it, and the prices it uses.
pub fn open_ledger(config: &Config, listener: Option<Arc<dyn Listener>>) -> anyhow::Result<(DataFolder, Store, Arc<PriceTable>)> {
    let path = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    let folder = DataFolder::open(&path)?;
    let pricer = Arc::new(config.price_table()?);
    tell_of_migration(&folder.database());
    let store = Store::open(StoreOptions {
        path: folder.database(),
        durability: match config.durability {
            config::Durability::Process => Durability::Process,
            config::Durability::Power => Durability::Power,
        },
        pricer: pricer.clone(),
        clock: || Timestamp::now().as_millisecond(),
        listener,
    })
    .with_context(|| format!("ledger {}", folder.database().display()))?;
    Ok((folder, store, pricer))
}

/// From this size on it takes seconds to bring a ledger to a newer form.
const LONG_TO_MIGRATE: u64 = 100 << 20;

/// Says why nothing happens for a while, once after an update.
fn tell_of_migration(database: &Path) {
    let size = std::fs::metadata(database).map_or(0, |about| about.len());
    if size >= LONG_TO_MIGRATE
        && Reader::open(database).and_then(|reader| reader.is_current()).is_ok_and(|is_current| !is_current)
    {
        let megabytes = size / 1_000_000;
        // A manager that waits five minutes would end it in the midst, again and again: five and three more a gigabyte.
        notify_manager(&format!("EXTEND_TIMEOUT_USEC={}", 300_000_000 + megabytes * 180_000));
        let _ = writeln!(
            io::stderr(),
            "ducat: bringing the ledger ({megabytes} MB) to this version's form, once; up to half a minute a gigabyte"
        );
    }
}
