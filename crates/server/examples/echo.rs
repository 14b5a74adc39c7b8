//! A bare axum handler that answers a POST with its body: what `scripts/bench-events` compares the server with.
//! Usage: echo PORT

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use tokio::net::TcpListener;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9099);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let echo = || post(|body: Bytes| async { body });
    axum::serve(listener, Router::new().route("/metrics/tool/start", echo()).route("/metrics/tool/end", echo())).await
}
