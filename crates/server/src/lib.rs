//! The server: the page, the API, hooks over their socket, and who may ask.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod api;
mod failpoint;
mod history;
mod holder;
mod ingest;
mod inherited;
mod listen;
mod live;
mod log;
mod metrics;
mod page;
mod prices;
mod quota;
mod security;
mod session;
mod sessions;
mod timings;
mod tls;
mod witnesses;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use ducat_capture::Workspaces;
use ducat_capture::otlp::Dimensions;
use ducat_metrics::LabelValues;
use ducat_prices::PriceTable;
use ducat_report::Settings;
use ducat_spool::{LARGEST_PAYLOAD, Spool};
use ducat_store::{KeyError, Keys, Machines, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::{TlsAcceptor, rustls};

use ingest::EventCounts;
use ingest::hooks::Resolved;
use ingest::otlp::{Forwarder, Receiver, Transport};
use ingest::running::Running;
use ingest::socket::Socket;
use listen::Protocol;
use log::{Log, Source};

pub use holder::{Holder, port_holder};
pub use ingest::Skipped;
pub use ingest::otlp::{ForwardConfig, ForwardError};
pub use inherited::{Inherited, notify_manager};
pub use live::LiveHub;
pub use quota::quotas_json;
pub use session::session_document;
pub use sessions::{CSV_HEAD, csv_row, sessions_document};
pub use tls::{TlsError, load as load_tls};
pub use witnesses::remedy;

/// Body of a call of the first version's API, in bytes.
const LARGEST_CALL: usize = 256 << 10;

/// Where to listen, and who may ask.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub address: SocketAddr,
    /// Under which the server may be asked beside loopback names and its own address.
    pub public_urls: Vec<PublicUrl>,
    /// Without a key, only loopback addresses are listened on (see [`ServerConfig::insecure`]).
    pub api_key: Option<String>,
    /// Listen beyond loopback without a key.
    pub insecure: bool,
    /// Unix sockets for `ducat-hook`.
    pub sockets: Vec<PathBuf>,
    /// What hooks leave while no server answers.
    pub spool: Option<Spool>,
    /// After this a started call of the first version's API is given up.
    pub tool_call_lasts: Duration,
    /// Groups and currency of reports.
    pub reports: Settings,
    /// Speak TLS (see [`load_tls`]) instead of plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub otlp: OtlpConfig,
}

/// OpenTelemetry's own ports, and who else is told.
#[derive(Clone, Debug, Default)]
pub struct OtlpConfig {
    /// Port for OTLP over HTTP beside the main port; `None` is off, 0 any free one.
    pub http_port: Option<u16>,
    /// Port for OTLP over gRPC.
    pub grpc_port: Option<u16>,
    pub forward: Option<ForwardConfig>,
    /// Attributes that tell user, team and labels.
    pub dimensions: Dimensions,
}

/// A port of OpenTelemetry's own, and why it is not listened on.
#[derive(Clone, Debug)]
pub(crate) struct OtlpPort {
    pub transport: Transport,
    pub address: SocketAddr,
    pub problem: Option<String>,
}

/// An origin such as `https://meter.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    pub fn origin(&self) -> &str {
        &self.0
    }

    /// Host, and port where it is not the scheme's own.
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, authority)| authority)
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = text.trim_end_matches('/').to_ascii_lowercase();
        let authority = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let is_authority = |authority: &str| !authority.is_empty() && !authority.contains(['/', '?', '#', '@', ' ']);
        if authority.is_some_and(is_authority) {
            Ok(Self(url))
        } else {
            Err("must be http://NAME[:PORT] or https://NAME[:PORT]".to_owned())
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{address} is taken by another program{}; choose another port with --port or METRICS_PORT", holder::named(*address))]
    PortTaken { address: SocketAddr },
    #[error("{address} can be reached from other machines: set METRICS_API_KEY, or say --insecure")]
    Open { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("reading the ledger: {0}")]
    Ledger(#[from] StoreError),
    #[error("telemetry that waits in {path}: {source}")]
    Inbox { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

/// What the server works with, beside its configuration.
pub struct Parts {
    pub store: Store,
    pub pricer: Arc<PriceTable>,
    /// Makes a resolver of working directories on this machine; asked again now and then, because projects change.
    pub workspaces: Arc<dyn Fn() -> Box<dyn Workspaces + Send> + Send + Sync>,
    /// The listener of the store, for live events.
    pub live: Option<Arc<LiveHub>>,
    /// What importing skipped.
    pub skipped: Arc<Skipped>,
    /// Host names that facts of this machine, and copies pulled to it, are stamped with: no machine that ships is called so.
    pub own_hosts: OwnHosts,
    /// Listeners of a service manager; they take the place of the configured address and sockets.
    pub inherited: Inherited,
}

/// Tells names of hosts; asked for each batch, because they change.
pub type OwnHosts = Box<dyn Fn() -> Vec<String> + Send + Sync>;

pub(crate) struct Shared {
    pub own_hosts: OwnHosts,
    pub store: Store,
    pub config: ServerConfig,
    pub address: SocketAddr,
    pub started: Instant,
    pub resolved: Mutex<Resolved>,
    pub events: EventCounts,
    pub pricer: Arc<PriceTable>,
    pub running: Running,
    pub live: Option<Arc<LiveHub>>,
    pub skipped: Arc<Skipped>,
    /// Told when the server ends, so that endless answers do.
    pub ending: watch::Sender<()>,
    pub log: Arc<Log>,
    pub otlp: Arc<Receiver>,
    pub otlp_ports: Vec<OtlpPort>,
    pub keys: Arc<Mutex<Keys>>,
    pub machines: Mutex<Machines>,
    /// Names of quotas and of witnesses' agents that `/metrics` has shown.
    pub shown_labels: Mutex<LabelValues>,
    pub witnesses: witnesses::LastRead,
    /// Places for batches of other machines: on their way, and being believed.
    pub coming: Semaphore,
    pub shipping: Semaphore,
}

pub(crate) type App = Arc<Shared>;

/// A server that has its port and its sockets.
pub struct Server {
    listener: TcpListener,
    sockets: Vec<Socket>,
    otlp: Vec<(Transport, TcpListener)>,
    app: App,
}

impl Server {
    /// What goes wrong is told to `log`, a line at a time: a socket that cannot be had (hooks that look for it spool), events that cannot be read.
    pub async fn bind(config: ServerConfig, parts: Parts, log: Box<dyn Fn(&str) + Send + Sync>) -> Result<Self, ServeError> {
        let address = match &parts.inherited.tcp {
            Some(listener) => listener.local_addr().map_err(|source| ServeError::Listen { address: config.address, source })?,
            None => config.address,
        };
        if !address.ip().is_loopback() && config.api_key.is_none() && !config.insecure {
            return Err(ServeError::Open { address });
        }
        let listener = match parts.inherited.tcp {
            Some(listener) => listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)),
            None => TcpListener::bind(address).await,
        };
        let listener = listener.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ServeError::PortTaken { address },
            _ => ServeError::Listen { address, source },
        })?;
        let address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        let mut sockets: Vec<Socket> = Vec::new();
        for listener in parts.inherited.unix {
            match Socket::inherit(listener) {
                Ok(socket) => sockets.push(socket),
                Err(error) => log(&format!("no hooks over a socket of the service manager: {error}")),
            }
        }
        for path in &config.sockets {
            if sockets.iter().any(|socket| socket.path() == path) {
                continue;
            }
            match Socket::bind(path) {
                Ok(socket) => sockets.push(socket),
                Err(error) => log(&format!("no hooks over {}: {error}", path.display())),
            }
        }
        let (otlp, otlp_ports) = listen_for_otlp(&config.otlp, address, &*log).await;
        let log = Arc::new(Log::new(log));
        let own: Vec<SocketAddr> = std::iter::once(address).chain(listened_on(&otlp_ports)).collect();
        let forwarder =
            config.otlp.forward.clone().map(|forward| Forwarder::start(forward, &own, log.of(Source::Forwarding))).transpose()?;
        let running = Running::restore(&parts.store, jiff::Timestamp::now().as_millisecond())?;
        let app = Arc::new(Shared {
            otlp: Receiver::start(&parts.store, config.otlp.dimensions.clone(), forwarder, log.of(Source::Inbox))?,
            otlp_ports,
            keys: Arc::new(Mutex::new(parts.store.keys()?)),
            machines: Mutex::new(parts.store.machines()?),
            shown_labels: Mutex::default(),
            witnesses: witnesses::LastRead::default(),
            coming: Semaphore::new(ingest::ship::COMING),
            shipping: Semaphore::new(ingest::ship::AT_ONCE),
            own_hosts: parts.own_hosts,
            store: parts.store,
            pricer: parts.pricer,
            running,
            live: parts.live,
            skipped: parts.skipped,
            ending: watch::Sender::new(()),
            log,
            config,
            address,
            started: Instant::now(),
            resolved: Mutex::new(Resolved::new(parts.workspaces)),
            events: EventCounts::default(),
        });
        Ok(Self { listener, sockets, otlp, app })
    }

    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// Where OpenTelemetry is taken beside the main port: `http` or `grpc`, and the address.
    pub fn otlp(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let open = self.app.otlp_ports.iter().filter(|port| port.problem.is_none());
        open.map(|port| (port.transport.name(), port.address))
    }

    /// Where hooks are taken.
    pub fn sockets(&self) -> Vec<PathBuf> {
        self.sockets.iter().map(|socket| socket.path().to_owned()).collect()
    }

    /// Serves until `shutdown`, then finishes what is under way.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut tasks = tokio::task::JoinSet::new();
        for socket in self.sockets {
            tasks.spawn(socket.run(self.app.clone()));
        }
        if let Some(spool) = self.app.config.spool.clone() {
            tasks.spawn(ingest::drain::run(self.app.clone(), spool));
        }
        tasks.spawn(ingest::running::expire(self.app.clone(), self.app.config.tool_call_lasts));
        let app = self.app.clone();
        let shutdown = async move {
            shutdown.await;
            let _ = app.ending.send(());
        };
        let tls = self.app.config.tls.clone().map(TlsAcceptor::from);
        let mut otlp = tokio::task::JoinSet::new();
        for (transport, listener) in self.otlp {
            let (protocol, tls) = match transport {
                Transport::Http => (Protocol::Http1, tls.clone()),
                Transport::Grpc => (Protocol::Http2, self.app.config.tls.as_deref().map(tls::for_http2)),
            };
            let mut ending = self.app.ending.subscribe();
            let shutdown = async move { drop(ending.changed().await) };
            otlp.spawn(listen::serve(listener, protocol, tls, otlp_router(&self.app, transport), shutdown));
        }
        let receiver = self.app.otlp.clone();
        listen::serve(self.listener, Protocol::Http1, tls, router(self.app), shutdown).await;
        while otlp.join_next().await.is_some() {}
        let _ = tokio::task::spawn_blocking(move || receiver.close()).await;
        tasks.shutdown().await;
    }
}

/// OpenTelemetry's own ports; one that cannot be had is told, and the main port takes what is sent there.
async fn listen_for_otlp(
    config: &OtlpConfig,
    main: SocketAddr,
    log: &(dyn Fn(&str) + Send + Sync),
) -> (Vec<(Transport, TcpListener)>, Vec<OtlpPort>) {
    let (mut listeners, mut ports) = (Vec::new(), Vec::new());
    for (transport, port) in [(Transport::Http, config.http_port), (Transport::Grpc, config.grpc_port)] {
        let Some(port) = port else { continue };
        let mut address = SocketAddr::new(main.ip(), port);
        let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let problem = match bound {
            Ok((at, listener)) => {
                address = at;
                listeners.push((transport, listener));
                None
            }
            Err(cause) => {
                let name = transport.name();
                log(&format!("no OTLP over {name} at {address}: {cause}; choose another port with --otlp-{name}-port"));
                Some(cause.to_string())
            }
        };
        ports.push(OtlpPort { transport, address, problem });
    }
    (listeners, ports)
}

/// Without those that could not be had: a collector may listen there, to which telemetry is passed on.
fn listened_on(ports: &[OtlpPort]) -> impl Iterator<Item = SocketAddr> {
    ports.iter().filter(|port| port.problem.is_none()).map(|port| port.address)
}

/// What OpenTelemetry's own ports answer.
fn otlp_router(app: &App, transport: Transport) -> Router {
    ingest::otlp::routes(transport)
        .fallback(api::not_found)
        .layer(axum::middleware::from_fn_with_state(app.clone(), security::guard))
        .layer(axum::Extension(security::OtlpOnly))
        .layer(axum::middleware::from_fn(ingest::otlp::in_their_form))
        .with_state(app.clone())
}

fn router(app: App) -> Router {
    page::VIEWS
        .iter()
        .fold(Router::new(), |router, view| router.route(view, get(page::index)))
        .route("/assets/{version}/{*name}", get(page::asset))
        .route("/health", get(api::health))
        .route("/ready", get(api::ready))
        .route("/api/v1/report", get(api::report))
        .route("/api/v1/sessions", get(sessions::sessions))
        .route("/api/v1/sessions/{id}", get(session::session))
        .route("/api/v1/reconcile", get(api::reconcile))
        .route("/api/v1/coverage", get(api::coverage))
        .route("/api/v1/tools", get(timings::tools))
        .route("/api/v1/latency", get(timings::latency))
        .route("/api/v1/prices", get(prices::prices))
        .route("/api/v1/quota", get(quota::quota))
        .route("/api/v1/hooks/{agent}", post(ingest::hooks::post).layer(DefaultBodyLimit::max(LARGEST_PAYLOAD as usize)))
        .route("/api/v1/ship", post(ingest::ship::post))
        .route("/api/v1/machines", get(api::machines))
        .route("/api/v1/openapi.json", get(api::openapi))
        .route("/api/v1/witnesses", get(witnesses::witnesses))
        .route("/api/v1/history", get(history::history))
        .route("/api/v1/live", get(live::live))
        .route("/metrics", get(metrics::metrics))
        .route("/metrics/summary", get(metrics::summary))
        .merge(first_version_routes())
        .merge(ingest::otlp::routes(Transport::Http))
        .fallback(api::not_found)
        .layer(axum::middleware::from_fn_with_state(app.clone(), security::guard))
        .layer(axum::middleware::from_fn(ingest::otlp::in_their_form))
        .with_state(app)
}

fn first_version_routes() -> Router<App> {
    use ingest::first_version as first;
    Router::new()
        .route("/metrics/tool/start", post(first::tool_start))
        .route("/metrics/tool/end", post(first::tool_end))
        .route("/metrics/tokens/used", post(first::tokens_used))
        .route("/metrics/prompt/analysis", post(first::prompt_analysis))
        .route("/metrics/session/start", post(first::session_start))
        .route("/metrics/session/end", post(first::session_end))
        .route("/metrics/optimization/suggestion", post(first::optimization_suggestion))
        .route("/metrics/hook/performance", post(first::hook_performance))
        .route("/metrics/business/revenue", post(first::revenue))
        .route("/metrics/revenue", post(first::revenue))
        .layer(DefaultBodyLimit::max(LARGEST_CALL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_another_has_is_none_of_ours() {
        let port = |port, problem: Option<&str>| OtlpPort {
            transport: Transport::Http,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            problem: problem.map(str::to_owned),
        };
        let ports = [port(4318, Some("taken")), port(4317, None)];
        assert_eq!(listened_on(&ports).map(|at| at.port()).collect::<Vec<_>>(), [4317]);
    }
}
