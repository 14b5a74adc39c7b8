//! Connections: how many, how large, how slow.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

const CONNECTIONS: usize = 2048;
/// Head of a request, in bytes.
const LARGEST_HEAD: usize = 64 << 10;
const LONGEST_HEAD: Duration = Duration::from_secs(10);
/// What is under way at the end may take this long.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 64;
/// Bytes of bodies that a stream, and a connection, may send ahead of their being read.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A peer that is silent this long is asked whether it is still there.
const ASKED_EVERY: Duration = Duration::from_secs(30);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// HTTP/2 known beforehand, as gRPC has it.
    Http2,
}

/// Serves until `shutdown`, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    protocol: Protocol,
    tls: Option<TlsAcceptor>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            // Closed by nobody, so there is always a place in the end.
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors: others must end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (router, watcher, tls) = (router.clone(), graceful.watcher(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => answer(stream, protocol, router, watcher).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(LONGEST_HEAD, tls.accept(stream)).await {
                        answer(stream, protocol, router, watcher).await;
                    }
                }
            }
            drop(place);
        });
    }
    let _ = tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await;
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
    router: Router,
    watcher: Watcher,
) {
    let (stream, service) = (TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that goes away is its own affair.
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(LONGEST_HEAD).max_buf_size(LARGEST_HEAD);
            let _ = watcher.watch(builder.serve_connection(stream, service)).await;
        }
        Protocol::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(LARGEST_HEAD as u32)
                .max_concurrent_streams(STREAMS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .keep_alive_interval(ASKED_EVERY);
            let _ = watcher.watch(builder.serve_connection(stream, service)).await;
        }
    }
}
