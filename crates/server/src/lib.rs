//! The HTTP server: the page, the API, and who may ask.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod api;
mod page;
mod security;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use ducat_store::Store;
use tokio::net::TcpListener;

/// Where to listen, and who may ask.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub address: SocketAddr,
    /// Host names beside the loopback ones under which the server may be asked.
    pub hosts: Vec<String>,
    /// Without a key, only loopback addresses are listened on (see [`ServerConfig::insecure`]).
    pub api_key: Option<String>,
    /// Listen beyond loopback without a key.
    pub insecure: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{address} is taken by another program; choose another port with --port or METRICS_PORT")]
    PortTaken { address: SocketAddr },
    #[error("{address} can be reached from other machines: set METRICS_API_KEY, or say --insecure")]
    Open { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("serving: {0}")]
    Serve(std::io::Error),
}

pub(crate) struct Shared {
    pub store: Store,
    pub config: ServerConfig,
    pub address: SocketAddr,
    pub started: Instant,
}

pub(crate) type App = Arc<Shared>;

/// A server that has its port.
pub struct Server {
    listener: TcpListener,
    app: App,
}

impl Server {
    pub async fn bind(config: ServerConfig, store: Store) -> Result<Self, ServeError> {
        let address = config.address;
        if !address.ip().is_loopback() && config.api_key.is_none() && !config.insecure {
            return Err(ServeError::Open { address });
        }
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ServeError::PortTaken { address },
            _ => ServeError::Listen { address, source },
        })?;
        let address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        let app = Arc::new(Shared { store, config, address, started: Instant::now() });
        Ok(Self { listener, app })
    }

    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// Serves until `shutdown`, then finishes what is under way.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        axum::serve(self.listener, router(self.app)).with_graceful_shutdown(shutdown).await.map_err(ServeError::Serve)
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/dashboard", get(page::index))
        .route("/assets/{name}", get(page::asset))
        .route("/health", get(api::health))
        .route("/ready", get(api::ready))
        .route("/api/v1/report", get(api::report))
        .route("/api/v1/sessions", get(api::sessions))
        .route("/api/v1/sessions/{id}", get(api::session))
        .fallback(api::not_found)
        .layer(axum::middleware::from_fn_with_state(app.clone(), security::guard))
        .with_state(app)
}
