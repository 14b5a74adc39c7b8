//! `ducat serve`: the page and the API, over a ledger that follows the transcripts.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::ValueHint;
use ducat_capture::Workspaces;
use ducat_scan::{Importer, WorkspaceResolver, agent_homes, agent_places};
use ducat_server::{Inherited, LiveHub, Parts, PublicUrl, Server, ServerConfig, Skipped, load_tls, notify_manager};
use ducat_ship::host_name;
use ducat_spool::{Limits, Spool, Start, data_folder, socket_paths, spool_folder};
use ducat_store::{Store, StoreError, TenantId};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, listening_address};
use crate::import::open_ledger;
use crate::log_file::LogFile;
use crate::pull::{self, mirrors};
use crate::watch::Watch;

/// Serve the page and the API, and follow the agents' transcripts
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat serve\n  ducat serve --port 9100\n  METRICS_API_KEY=… ducat serve --host 0.0.0.0 --public-url https://meter.example.org\n  ducat serve --log-file ~/ducat.log"
)]
pub struct Args {
    /// Address to listen on; beyond loopback it needs METRICS_API_KEY or --insecure
    ///
    /// Without it server.host of the configuration, else localhost.
    #[arg(long, env = "METRICS_HOST", value_parser = listening_address, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Port to listen on; 0 takes any free one
    ///
    /// Without it server.port of the configuration, else 9090.
    #[arg(long, env = "METRICS_PORT")]
    port: Option<u16>,
    /// A URL under which the server may be asked, beside localhost; repeatable
    #[arg(long, value_name = "URL")]
    public_url: Vec<PublicUrl>,
    /// Listen beyond loopback without a key
    #[arg(long)]
    insecure: bool,
    /// Write what happens into this file instead of standard error; at 10 MiB it is put aside, and three such are kept
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    log_file: Option<PathBuf>,
    /// Speak TLS: the certificate and its chain, PEM; read at start
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    tls_key: Option<PathBuf>,
    /// Port for OpenTelemetry over HTTP, beside the main port; 0 takes any free one
    ///
    /// Without it otlp.http_port of the configuration, else 4318. A port that is taken is told and left.
    #[arg(long, env = "DUCAT_OTLP_HTTP_PORT", value_name = "PORT")]
    otlp_http_port: Option<u16>,
    /// Port for OpenTelemetry over gRPC; 0 takes any free one
    ///
    /// Without it otlp.grpc_port of the configuration, else 4317. A port that is taken is told and left.
    #[arg(long, env = "DUCAT_OTLP_GRPC_PORT", value_name = "PORT")]
    otlp_grpc_port: Option<u16>,
    /// Listen on no ports of OpenTelemetry's own; the main port takes it still
    #[arg(long)]
    no_otlp: bool,
}

/// A server that a hook started has started well when it ran for this long.
const SETTLED: Duration = Duration::from_secs(5);
/// Tells the operator a line.
type Say = Arc<dyn Fn(&str) + Send + Sync>;

pub fn run(args: &Args) -> anyhow::Result<()> {
    // First: what was handed over is known by the numbers of its descriptors.
    let inherited = Inherited::from_environment().context("sockets of the service manager")?;
    let log = args.log_file.as_deref().map(LogFile::open).transpose()?.map(Arc::new);
    if let Some(log) = log.clone() {
        // Standard error may be a file that nobody cuts.
        std::panic::set_hook(Box::new(move |panic| log.say(&panic.to_string())));
    }
    let served = serve(args, inherited, log.clone());
    if let (Some(log), Err(error)) = (log, &served) {
        log.say(&format!("{error:#}"));
    }
    served
}

fn serve(args: &Args, inherited: Inherited, log: Option<Arc<LogFile>>) -> anyhow::Result<()> {
    let say: Say = Arc::new(move |what: &str| match &log {
        Some(log) => log.say(what),
        None => drop(writeln!(io::stderr(), "ducat: {what}")),
    });
    let config = Config::load()?;
    let server_config = ServerConfig {
        address: config.server.address(args.host, args.port)?,
        public_urls: if args.public_url.is_empty() { config.server.public_urls()? } else { args.public_url.clone() },
        api_key: std::env::var("METRICS_API_KEY").ok().filter(|key| !key.is_empty()),
        insecure: args.insecure,
        sockets: data_folder().map(|data| socket_paths(&data)).unwrap_or_default(),
        spool: data_folder().map(|data| Spool::new(spool_folder(&data), Limits::default())),
        tool_call_lasts: Duration::from_secs(config.first_version.tool_call_lasts_s),
        reports: config.report_settings()?,
        tls: match (&args.tls_cert, &args.tls_key) {
            (Some(certificate), Some(key)) => Some(load_tls(certificate, key)?),
            _ => None,
        },
        otlp: if args.no_otlp {
            config.otlp.without_ports()
        } else {
            config.otlp.listening(args.otlp_http_port, args.otlp_grpc_port)
        },
    };
    let scheme = if server_config.tls.is_some() { "https" } else { "http" };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("starting")?;
    runtime.block_on(async {
        // Before anybody learns that we run: who is told so may end us in the same moment.
        let asked_to_end = signal(SignalKind::terminate()).context("waiting for the signal to end")?;
        let live = Arc::new(LiveHub::default());
        let (_folder, store, pricer) = open_ledger(&config, Some(live.clone()))?;
        let excluded = config.excluded_folders();
        let resolvers = {
            let excluded = excluded.clone();
            Arc::new(move || Box::new(WorkspaceResolver::new(excluded.clone())) as Box<dyn Workspaces + Send>)
        };
        let log = Box::new({
            let say = say.clone();
            move |what: &str| say(what)
        });
        let skipped = Arc::new(Skipped::default());
        let own_hosts = Box::new(|| {
            let pulled = data_folder().map(|data| mirrors(&data)).unwrap_or_default();
            pulled.into_iter().map(|(_, host)| host).chain([host_name()]).collect()
        });
        let parts = Parts {
            store: store.clone(),
            pricer,
            workspaces: resolvers,
            live: Some(live),
            skipped: skipped.clone(),
            own_hosts,
            inherited,
        };
        let server = Server::bind(server_config, parts, log).await?;
        say(&format!("the page is at {scheme}://{}", named(server.address())));
        for (transport, address) in server.otlp() {
            say(&format!("OpenTelemetry over {transport} is taken at {scheme}://{}", named(address)));
        }
        notify_manager("READY=1");
        if let Some(data) = data_folder() {
            tokio::spawn(async move {
                tokio::time::sleep(SETTLED).await;
                Start::succeeded(&data);
            });
        }
        let follower = (store.clone(), say.clone());
        thread::Builder::new()
            .name("ducat-follow".to_owned())
            .spawn(move || follow(&follower.0, excluded, &skipped, &*follower.1))
            .context("starting")?;
        server.run(ended(asked_to_end, say)).await;
        store.close();
        Ok(())
    })
}

/// `localhost` reads better than the number.
fn named(address: SocketAddr) -> String {
    if address.ip().is_loopback() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

/// SIGINT or SIGTERM; a second one ends the process at once.
async fn ended(mut asked_to_end: Signal, say: Say) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = asked_to_end.recv() => {}
    }
    notify_manager("STOPPING=1");
    say("ending; once more ends at once");
    tokio::spawn(async {
        let _ = tokio::signal::ctrl_c().await;
        std::process::exit(130);
    });
}

/// Imports what the agents write, until the store is closed.
fn follow(store: &Store, excluded: Vec<PathBuf>, skipped: &Skipped, say: &dyn Fn(&str)) {
    let mut watch = Watch::new();
    let mut importer = Importer::new(store.clone(), TenantId::LOCAL, Vec::new(), excluded.clone()).of_host(host_name());
    let data = data_folder();
    let pull_folder = data.as_ref().map(|data| data.join("pull"));
    let mut pulled: HashMap<(PathBuf, String), Importer> = HashMap::new();
    loop {
        // Homes appear when an agent is first used.
        agent_places().iter().for_each(|home| watch.add_home(home));
        let homes = agent_homes();
        importer.set_homes(homes);
        if let Some(folder) = &pull_folder {
            watch.add(folder);
        }
        let mirrors = data.as_deref().map(mirrors).unwrap_or_default();
        // A copy may have been pulled anew under another name.
        pulled.retain(|copy, _| mirrors.contains(copy));
        for (place, host) in mirrors {
            let make = || pull::importer(store.clone(), &place, host.clone(), excluded.clone());
            pulled.entry((place.clone(), host.clone())).or_insert_with(make);
        }
        for importer in std::iter::once(&mut importer).chain(pulled.values_mut()) {
            match importer.look(&|_, _| {}) {
                Ok(imported) => {
                    imported.problems.iter().for_each(|problem| say(&format!("skipped {problem}")));
                    imported.unreadable.iter().for_each(|(reason, lines)| skipped.count(reason, *lines));
                }
                Err(StoreError::Closed) => return,
                Err(error) => say(&format!("reading transcripts: {error}; trying again")),
            }
        }
        watch.wait();
    }
}
