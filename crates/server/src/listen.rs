//! Connections: how many, how large, how slow.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

const CONNECTIONS: u32 = 2048;
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

/// A connection of HTTP/2 without a request is ended after this; exporters send every minute or more often, and connect again.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

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
    let places = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let ending = watch::Sender::new(());
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
        let (router, ending, tls) = (router.clone(), ending.subscribe(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => answer(stream, protocol, router, ending).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(LONGEST_HEAD, tls.accept(stream)).await {
                        answer(stream, protocol, router, ending).await;
                    }
                }
            }
            drop(place);
        });
    }
    let _ = ending.send(());
    let _ = tokio::time::timeout(LAST_ANSWERS, places.acquire_many(CONNECTIONS)).await;
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
    router: Router,
    mut ending: watch::Receiver<()>,
) {
    let (stream, service) = (TokioIo::new(stream), TowerToHyperService::new(router));
    // A client that goes away is its own affair.
    match protocol {
        Protocol::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(LONGEST_HEAD).max_buf_size(LARGEST_HEAD);
            let mut connection = pin!(builder.serve_connection(stream, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = ending.changed() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        }
        Protocol::Http2 => {
            let requests = Arc::new(Requests::default());
            let open = requests.clone();
            let service = service_fn(move |request| {
                let (request, open) = (service.call(request), open.begin());
                async move {
                    let answer = request.await;
                    drop(open);
                    answer
                }
            });
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_header_list_size(LARGEST_HEAD as u32)
                .max_concurrent_streams(STREAMS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .keep_alive_interval(ASKED_EVERY);
            let mut connection = pin!(builder.serve_connection(stream, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = ending.changed() => {}
                () = requests.silence() => {}
            }
            connection.as_mut().graceful_shutdown();
            // A peer that never began to speak does not take leave either.
            let _ = tokio::time::timeout(LAST_ANSWERS, connection).await;
        }
    }
}

/// The requests of a connection: HTTP/2 knows no time in which the first must come, nor the next.
struct Requests(Mutex<UnderWay>);

struct UnderWay {
    count: usize,
    /// Unless one begins.
    silent_at: Instant,
}

/// A request under way.
struct Open(Arc<Requests>);

impl Default for Requests {
    fn default() -> Self {
        Self(Mutex::new(UnderWay { count: 0, silent_at: Instant::now() + LONGEST_HEAD }))
    }
}

impl Requests {
    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>) -> Open {
        self.under_way().count += 1;
        Open(self.clone())
    }

    /// Until there was no request for too long.
    async fn silence(&self) {
        loop {
            let until = match &*self.under_way() {
                UnderWay { count: 0, silent_at } if *silent_at <= Instant::now() => return,
                UnderWay { count: 0, silent_at } => *silent_at,
                _ => Instant::now() + LONGEST_SILENCE,
            };
            tokio::time::sleep_until(until).await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut under_way = self.0.under_way();
        under_way.count -= 1;
        under_way.silent_at = Instant::now() + LONGEST_SILENCE;
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// A peer of a connection that speaks HTTP/2; `/slow` answers after longer than silence may last.
    fn connected() -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let slow = get(|| tokio::time::sleep(2 * LONGEST_SILENCE));
        let router = Router::new().route("/", get(|| async {})).route("/slow", slow);
        tokio::spawn(async move {
            let ending = watch::Sender::new(());
            answer(ours, Protocol::Http2, router, ending.subscribe()).await;
        });
        theirs
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asks_loses_its_place() {
        for said in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
            let mut stream = connected();
            let begun = Instant::now();
            stream.write_all(said).await.unwrap();
            let ended = tokio::time::timeout(LONGEST_SILENCE, stream.read_to_end(&mut Vec::new())).await;
            assert!(ended.is_ok(), "still there after {} bytes", said.len());
            assert!(begun.elapsed() >= LONGEST_HEAD && begun.elapsed() <= LONGEST_HEAD + 2 * LAST_ANSWERS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_keeps_it_and_loses_it_after_silence() {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(connected()));
        let (mut sender, connection) = handshake.await.unwrap();
        let connection = tokio::spawn(connection);
        for (path, pause) in [("/", LONGEST_SILENCE / 2), ("/slow", LONGEST_SILENCE / 2), ("/", Duration::ZERO)] {
            let request = Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap();
            assert!(sender.send_request(request).await.unwrap().status().is_success(), "{path}");
            tokio::time::sleep(pause).await;
        }
        let begun = Instant::now();
        tokio::time::timeout(2 * LONGEST_SILENCE, connection).await.expect("still there").unwrap().unwrap();
        assert!(begun.elapsed() >= LONGEST_SILENCE / 2);
    }
}
