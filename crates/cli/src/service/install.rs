//! `ducat service install`.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use ducat_server::ServeError;
use ducat_spool::{Start, data_folder};

use super::process::{Holder, comes_up, told_by};
use super::record::{Record, Way};
use super::server::{ServerPlan, log_file};
use super::{ask, launchd, on_demand, systemd};
use crate::config::{Config, listening_address};

/// Install the server as a service of the user, and start it
///
/// On Linux a systemd user unit with socket activation, on macOS a launch agent. Where there is neither (containers, WSL without systemd),
/// `--on-demand` has the first hook that finds no server start one. Installing again updates what is installed. What decides where the
/// server reads and writes (DUCAT_DATA_DIR, DUCAT_CONFIG, CLAUDE_CONFIG_DIR, METRICS_PORT, METRICS_API_KEY, …) is carried over.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat service install\n  ducat service install --port 9100\n  ducat service install --dry-run\n  ducat service install --on-demand\n  METRICS_API_KEY=… ducat service install --host 0.0.0.0 -- --public-url https://meter.example.org"
)]
pub struct Args {
    /// Address to listen on; beyond loopback it needs METRICS_API_KEY
    ///
    /// Without it server.host of the configuration, else localhost.
    #[arg(long, env = "METRICS_HOST", value_parser = listening_address, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Port to listen on
    ///
    /// Without it server.port of the configuration, else 9090.
    #[arg(long, env = "METRICS_PORT")]
    port: Option<u16>,
    /// Without socket activation: systemd starts the server at login and does not listen for it
    #[arg(long, conflicts_with = "on_demand")]
    no_socket: bool,
    /// No service manager: the first hook that finds no server starts one
    #[arg(long)]
    on_demand: bool,
    /// Print the files and commands, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take the place of unit files that Ducat did not write
    #[arg(long)]
    force: bool,
    /// More arguments of `ducat serve`
    #[arg(last = true, value_name = "ARGUMENTS")]
    more: Vec<String>,
}

/// A server with a large ledger or much history takes its time.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let data = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    // What the server would say where nobody looks is said here.
    let config = Config::load()?;
    let address = config.server.address(args.host, args.port)?;
    let plan = ServerPlan::new(address.ip(), address.port(), &args.more, &data)?;
    let whole = [vec!["ducat".to_owned()], plan.arguments()].concat();
    if let Err(wrong) = crate::Cli::try_parse_from(whole) {
        bail!("`ducat serve` would not start with {:?}: {}", args.more, wrong.to_string().lines().next().unwrap_or_default());
    }
    let before = Record::find(&plan.data)?;
    let Some(way) = way(args, before.as_ref())? else {
        writeln!(io::stdout(), "Nothing was installed.")?;
        return Ok(());
    };
    if let Some(before) = before.as_ref().filter(|before| before.way != way) {
        bail!("there is one already ({}); `ducat service remove` takes it away first", before.way.name());
    }
    if before.is_none()
        && way != Way::OnDemand
        && let Some(holder) = Holder::of(&plan.data)
    {
        bail!("a Ducat is running already (process {}); end it first, the service takes its place", holder.pid);
    }
    let has_port = before.as_ref().is_some_and(|before| before.address.port() == plan.port);
    let address = SocketAddr::new(plan.host, plan.port);
    if !has_port
        && Holder::of(&plan.data).is_none()
        && TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    {
        bail!("{}", ServeError::PortTaken { address });
    }
    let (steps, files, folders) = match way {
        Way::Systemd => (systemd::install(&plan, !args.no_socket, args.force)?, systemd::files(&plan.data)?, systemd::folders()?),
        Way::Launchd => (launchd::install(&plan, args.force)?, vec![launchd::file()?], Vec::new()),
        Way::OnDemand => (on_demand::install(&plan)?, vec![Start::place(&plan.data)], Vec::new()),
    };
    if args.dry_run {
        let mut out = io::stdout().lock();
        steps.iter().try_for_each(|step| step.describe(&mut out))?;
        return Ok(());
    }
    // Noted first, so that what fails half-way can be removed.
    let made = folders.iter().flat_map(|folder| folder.ancestors()).filter(|folder| !folder.exists()).map(PathBuf::from);
    let mut record = Record {
        way,
        url: plan.url(),
        address: plan.address(),
        files,
        folders: made.chain(before.map(|before| before.folders).unwrap_or_default()).collect(),
    };
    record.save(&plan.data)?;
    let mut made = Vec::new();
    let old_server = on_demand::started(&plan.data);
    let taken = steps.iter().try_for_each(|step| step.take(&mut made));
    if let Some(server) = old_server {
        // It listens where it was told to before.
        server.end(&plan.data)?;
        Start::succeeded(&plan.data);
    }
    record.folders.extend(made);
    record.save(&plan.data)?;
    taken.context("`ducat service remove` undoes what was done; not installed")?;
    prove(way, &plan)
}

/// The way to go; `None` when the user, asked, wants none.
fn way(args: &Args, before: Option<&Record>) -> anyhow::Result<Option<Way>> {
    if args.on_demand {
        return Ok(Some(Way::OnDemand));
    }
    if systemd::is_there() {
        return Ok(Some(Way::Systemd));
    }
    if launchd::is_there() {
        return Ok(Some(Way::Launchd));
    }
    if before.is_some_and(|before| before.way == Way::OnDemand) {
        return Ok(Some(Way::OnDemand));
    }
    const CHOICE: &str =
        "no service manager answers here (systemctl --user); with --on-demand the first hook that finds no server starts one";
    if args.dry_run || !io::stdin().is_terminal() {
        bail!("{CHOICE}");
    }
    writeln!(io::stdout(), "ducat: {CHOICE}.")?;
    Ok(ask("Start it from the first hook?")?.then_some(Way::OnDemand))
}

/// Waits until a process keeps the data folder and takes connections.
fn keeps_the_ledger(plan: &ServerPlan, fails: impl Fn() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let is_up = Holder::of(&plan.data).is_some() && TcpStream::connect(plan.address()).is_ok();
        match is_up {
            true => return Ok(()),
            false if fails() || Instant::now() >= end => bail!("no server keeps {}", plan.data.display()),
            false => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn prove(way: Way, plan: &ServerPlan) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if way == Way::OnDemand {
        writeln!(out, "Installed: the next hook of an agent starts the server; the page will be at {}", plan.url())?;
        writeln!(out, "(`ducat setup claude-code` installs the hooks. The log will be {}.)", log_file(&plan.data).display())?;
        return Ok(());
    }
    let fails = || way == Way::Systemd && systemd::state().is_some_and(|(_, restarts, _)| restarts > 1);
    let came_up = if plan.is_tls() {
        // Whether we would trust its certificate says nothing of the service.
        keeps_the_ledger(plan, fails)
    } else {
        comes_up(plan.address(), plan.key.as_deref(), PATIENCE, fails).map(drop)
    };
    if let Err(fault) = came_up {
        let last_words = match way {
            Way::Systemd => told_by(&["journalctl", "--user", "--unit=ducat.service", "--lines=3", "--output=cat", "--quiet"]),
            _ => std::fs::read_to_string(log_file(&plan.data)).ok().and_then(|text| text.lines().last().map(str::to_owned)),
        };
        let last_words = last_words.filter(|words| !words.is_empty()).map(|words| format!("; it said: {words}"));
        bail!(
            "installed, but the server does not answer ({fault:#}){}. `ducat service status` tells more, `ducat service remove` takes it away",
            last_words.unwrap_or_default()
        );
    }
    writeln!(out, "Installed and running ({}): the page is at {}", way.name(), plan.url())?;
    if way == Way::Systemd && systemd::lingers() == Some(false) {
        writeln!(
            out,
            "Lingering is off: the server ends with your last session on this machine and starts with the next. `loginctl enable-linger` keeps it running."
        )?;
    }
    Ok(())
}
