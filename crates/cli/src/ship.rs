//! `ducat ship`: what happens on this machine, to a Ducat elsewhere.

use std::env;
use std::fs::DirBuilder;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueHint;
use ducat_report::figures;
use ducat_scan::{Imported, agent_homes, agent_places};
use ducat_ship::{KeySource, Patience, Progress, Receiver, Shipped, Shipper, host_name, machine_id, pool_id, show};
use ducat_spool::{Limits, Spool, data_folder, socket_paths, spool_folder};

use crate::config::Config;
use crate::import::progress_bar;
use crate::watch::Watch;

/// Send what agents do on this machine to a Ducat elsewhere: facts, never content
///
/// Follows the transcripts, and takes hook events that wait in the spool while no server runs here. Sends ids, times, sizes, token counts,
/// names of models and tools, working directories, branches and paths of files that tools worked on; no prompt, no output, no file. What
/// the receiver has acknowledged is not sent again; while it is away nothing is lost, because the transcripts stay.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where `ducat serve` runs: http://HOST[:PORT] or https://HOST[:PORT]
    #[arg(long, value_name = "URL", env = "DUCAT_SHIP_TO", value_hint = ValueHint::Url)]
    to: String,
    /// Send what is new and end; exits 0 when all of it is acknowledged
    #[arg(long)]
    once: bool,
    /// Print what would be sent, and how much, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// A file that holds the key, instead of DUCAT_SHIP_KEY; may be replaced while we run
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key_file: Option<PathBuf>,
    /// What to call this machine instead of its host name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// For containers and runners that come and go: all of one pool are one machine of this name
    #[arg(long, value_name = "NAME", conflicts_with = "host")]
    pool: Option<String>,
    /// Certificates to trust instead of the system's, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca: Option<PathBuf>,
    /// With --once: how many seconds to try while nobody answers
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "once")]
    wait: u64,
}

const EXAMPLES: &str = "Examples:
  ducat key create laptop                                  where the page is: a key, shown once
  DUCAT_SHIP_KEY=dk_… ducat ship --to https://meter:9090   on the laptop, as long as it runs
  ducat ship --once --to http://meter:9090 --pool runners --key-file /run/secrets/ducat   the last step of a container
  ducat ship --dry-run --to http://meter:9090              what it would send, line by line

A new machine of the same kind, in one line:
  scp $(which ducat ducat-hook ducat-statusline) box:/usr/local/bin/ && ducat key create box |
    ssh box 'umask 077; cat >~/.ducat-key; ducat setup claude-code --yes; ducat ship --once --to URL --key-file ~/.ducat-key'";

/// Words that --dry-run prints.
const SHOWN: usize = 20;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::load()?;
    let data = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    let progress = Progress::open(&data, args.to.trim_end_matches('/'))?;
    let excluded = config.excluded_folders();
    if args.dry_run {
        let shown = show(&progress, agent_homes(), spool(&data).as_ref(), excluded, SHOWN)?;
        for word in &shown.words {
            writeln!(io::stdout(), "{}", serde_json::to_string(word)?)?;
        }
        let (facts, events) = (figures::count(shown.facts), figures::count(shown.events));
        writeln!(io::stderr(), "ducat: would send {facts} facts and {events} hook events to {}; sent nothing", args.to)?;
        return Ok(());
    }
    let receiver = Receiver::new(&args.to, key(args)?, args.ca.as_deref())?;
    let (machine, host) = match &args.pool {
        Some(pool) => (pool_id(pool), pool.clone()),
        None => {
            let id = machine_id(&data).with_context(|| format!("machine-id in {}", data.display()))?;
            (id, args.host.clone().unwrap_or_else(host_name))
        }
    };
    let patience = if args.once { Patience::Limited(Duration::from_secs(args.wait)) } else { Patience::Endless };
    let say = Box::new(|what: &str| drop(writeln!(io::stderr(), "ducat: {what}")));
    let mut shipper = Shipper::new(receiver, progress, (machine, host), patience, say);
    let mut watch = Watch::new();
    // There from the start, so that a first event is noticed at once.
    let events = spool_folder(&data).join("new");
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(&events);
    watch.add(&events);
    let mut is_first = true;
    loop {
        agent_places().iter().for_each(|home| watch.add_home(home));
        let homes = agent_homes();
        shipper.set_sources(homes, spool(&data), excluded.clone());
        let bar = progress_bar("shipping", is_first && io::stderr().is_terminal());
        let looked = shipper.look(&|done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        match looked {
            Ok((shipped, imported)) => tell(&args.to, &shipped, &imported, is_first)?,
            Err(error) if args.once => return Err(error.into()),
            // The disk here is full, or the like; the next look tries again.
            Err(error) => writeln!(io::stderr(), "ducat: {error}; trying again")?,
        }
        if args.once {
            return Ok(());
        }
        is_first = false;
        watch.wait();
    }
}

/// Never an argument: those can be read by everybody on the machine.
fn key(args: &Args) -> anyhow::Result<KeySource> {
    match (&args.key_file, env::var("DUCAT_SHIP_KEY").ok().filter(|key| !key.is_empty())) {
        (Some(file), _) => Ok(KeySource::File(file.clone())),
        (None, Some(key)) => Ok(KeySource::Told(key)),
        (None, None) => {
            bail!("no key: set DUCAT_SHIP_KEY or name a file with --key-file; `ducat key create NAME` there makes one")
        }
    }
}

/// Events are a running server's own, where there is one.
fn spool(data: &Path) -> Option<Spool> {
    let served = socket_paths(data).iter().any(|path| UnixStream::connect(path).is_ok());
    (!served).then(|| Spool::new(spool_folder(data), Limits::default()))
}

/// A clock that is further off than this is worth a word.
const SKEW_MS: u64 = 60_000;

fn tell(to: &str, shipped: &Shipped, imported: &Imported, is_first: bool) -> io::Result<()> {
    if is_first {
        for problem in &imported.problems {
            writeln!(io::stderr(), "ducat: skipped {problem}")?;
        }
        if shipped.clock_skew_ms.unsigned_abs() > SKEW_MS {
            let (seconds, way) =
                (shipped.clock_skew_ms.unsigned_abs() / 1000, if shipped.clock_skew_ms > 0 { "ahead of" } else { "behind" });
            writeln!(
                io::stderr(),
                "ducat: the clock of this machine is {seconds} s {way} the receiver's; times are kept as told here"
            )?;
        }
        let (facts, events) = (figures::count(shipped.facts), figures::count(shipped.events));
        let bytes = figures::tokens(shipped.bytes);
        writeln!(io::stdout(), "{facts} facts and {events} hook events of {} are at {to} ({bytes} bytes).", shipped.host)?;
    }
    if shipped.refused_lines > 0 {
        writeln!(
            io::stderr(),
            "ducat: {} facts were refused there, and are sent again once it is updated",
            shipped.refused_lines
        )?;
    }
    Ok(())
}
