//! Telemetry under load, for `scripts/bench-otlp`.
//! Usage: otlp drop HTTP_PORT GRPC_PORT          a bare handler that decodes logs and drops them
//!        otlp send http|grpc PORT SECONDS       sends logs of Claude Code in batches of 500; prints what was acknowledged
//! A sender's records are captured ones under new ids, so that every request and tool call is one of its own.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::net::TcpListener;

type Failed = Box<dyn Error + Send + Sync>;

const RECORDS: usize = 500;
const SENDERS: usize = 4;
const GRPC_PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// Stands where a number of 16 digits comes.
const MARK: &str = "################";

fn main() -> Result<(), Failed> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["drop", http, grpc] => runtime()?.block_on(drop_all(http.parse()?, grpc.parse()?)),
        ["send", transport, port, seconds] => send(transport, port.parse()?, Duration::from_secs(seconds.parse()?)),
        _ => Err("usage: otlp drop HTTP_PORT GRPC_PORT | otlp send http|grpc PORT SECONDS".into()),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

async fn drop_all(http: u16, grpc: u16) -> Result<(), Failed> {
    let over_http =
        post(
            |body: Bytes| async move { ExportLogsServiceRequest::decode(body).map(|_| ()).map_err(|_| StatusCode::BAD_REQUEST) },
        );
    let over_grpc = post(|body: Bytes| async move {
        let status = match ExportLogsServiceRequest::decode(body.slice(body.len().min(5)..)) {
            Ok(_) => "0",
            Err(_) => "3",
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
        Response::new(Body::new(body)).into_response()
    });
    let listener = TcpListener::bind(("127.0.0.1", grpc)).await?;
    let router = Router::new().route(GRPC_PATH, over_grpc);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    let listener = TcpListener::bind(("127.0.0.1", http)).await?;
    Ok(axum::serve(listener, Router::new().route("/v1/logs", over_http)).await?)
}

/// A batch with places for numbers.
struct Batch {
    bytes: Vec<u8>,
    /// Where numbers stand, and which of the batch's.
    places: Vec<(usize, u64)>,
    numbers: u64,
    requests: u64,
}

impl Batch {
    /// All captured records, over and over until there are enough.
    fn captured() -> Result<Self, Failed> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/tests/fixtures/otlp/claude-code/json");
        let mut files: Vec<_> = std::fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
        files.sort_by_key(std::fs::DirEntry::path);
        let mut whole: Option<ExportLogsServiceRequest> = None;
        let mut captured = Vec::new();
        for file in files.iter().map(std::fs::DirEntry::path).filter(|path| path.to_string_lossy().ends_with("logs.json")) {
            let export: ExportLogsServiceRequest = serde_json::from_slice(&std::fs::read(file)?)?;
            let records = export.resource_logs.iter().flat_map(|logs| &logs.scope_logs).flat_map(|logs| &logs.log_records);
            captured.extend(records.cloned());
            whole.get_or_insert(export);
        }
        let mut whole = whole.ok_or("no captured logs")?;
        let mut records: Vec<_> = captured.iter().cycle().take(RECORDS).cloned().collect();
        let mut requests = 0;
        for record in &mut records {
            for attribute in &mut record.attributes {
                let is_id = matches!(attribute.key.as_str(), "request_id" | "tool_use_id" | "prompt.id" | "session.id");
                requests += u64::from(attribute.key == "request_id" && is_request(&record.body));
                if let Some(Value::StringValue(text)) = attribute.value.as_mut().and_then(|value| value.value.as_mut())
                    && is_id
                {
                    *text = format!("{}_{MARK}", &attribute.key[..3]);
                }
            }
        }
        let logs = whole.resource_logs.first_mut().ok_or("no captured logs")?;
        logs.scope_logs.truncate(1);
        logs.scope_logs.first_mut().ok_or("no captured logs")?.log_records = records;
        whole.resource_logs.truncate(1);
        let bytes = whole.encode_to_vec();
        let (mut places, mut numbers) = (Vec::new(), 1);
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(MARK.len()).position(|window| window == MARK.as_bytes()) {
            at += found;
            // One session a batch, one prompt a batch, all else by itself.
            let is_shared = matches!(&bytes[at - 4..at], b"ses_" | b"pro_");
            places.push((at, if is_shared { 0 } else { numbers }));
            numbers += u64::from(!is_shared);
            at += MARK.len();
        }
        Ok(Self { bytes, places, numbers, requests })
    }

    /// The batch of this number, of all senders'.
    fn write(&self, number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        for (at, nth) in &self.places {
            let mut rest = number * self.numbers + nth;
            for digit in out[begin + at..begin + at + MARK.len()].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }
}

fn is_request(body: &Option<opentelemetry_proto::tonic::common::v1::AnyValue>) -> bool {
    matches!(body.as_ref().and_then(|body| body.value.as_ref()), Some(Value::StringValue(name)) if name == "claude_code.api_request")
}

#[derive(Default)]
struct Told {
    next: AtomicU64,
    acknowledged: AtomicU64,
    full: AtomicU64,
}

fn send(transport: &str, port: u16, lasts: Duration) -> Result<(), Failed> {
    let (batch, told) = (Batch::captured()?, Told::default());
    // Numbers of another run do not come again.
    told.next.store(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs() % 100_000_000 * 10_000, Ordering::Relaxed);
    let begun = Instant::now();
    match transport {
        "http" => thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(|| over_http(&batch, &told, port, begun + lasts))).collect();
            senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| Failed::from("a sender panicked"))?)
        })?,
        "grpc" => runtime()?.block_on(over_grpc(&batch, &told, port, begun + lasts))?,
        _ => return Err("http or grpc".into()),
    }
    let seconds = begun.elapsed().as_secs_f64();
    let acknowledged = told.acknowledged.load(Ordering::Relaxed);
    let rate = (acknowledged * RECORDS as u64) as f64 / seconds;
    let full = told.full.load(Ordering::Relaxed);
    Ok(writeln!(
        std::io::stdout(),
        "{rate:.0} records/s {acknowledged} acknowledged {full} full {} requests {} bytes",
        acknowledged * batch.requests,
        batch.bytes.len()
    )?)
}

fn over_http(batch: &Batch, told: &Told, port: u16, end: Instant) -> Result<(), Failed> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        batch.bytes.len()
    );
    let (mut out, mut answer) = (Vec::new(), [0; 4096]);
    while Instant::now() < end {
        out.clear();
        out.extend_from_slice(head.as_bytes());
        batch.write(told.next.fetch_add(1, Ordering::Relaxed), &mut out);
        stream.write_all(&out)?;
        let mut read = 0;
        // What is answered to logs is short and without a body, or with one that came with its head.
        while !answer[..read].windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut answer[read..])? {
                0 => return Err("the server hung up".into()),
                more => read += more,
            }
        }
        match answer[..read].get(9..12) {
            Some(b"200") => drop(told.acknowledged.fetch_add(1, Ordering::Relaxed)),
            Some(b"429") => {
                told.full.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
            _ => return Err(String::from_utf8_lossy(&answer[..read]).into()),
        }
    }
    Ok(())
}

async fn over_grpc(batch: &Batch, told: &Told, port: u16, end: Instant) -> Result<(), Failed> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.max_send_buf_size(1 << 20);
    let (sender, connection) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let one = || {
        let mut sender = sender.clone();
        async move {
            while Instant::now() < end {
                let mut out = Vec::with_capacity(batch.bytes.len() + 5);
                out.push(0);
                out.extend_from_slice(&u32::try_from(batch.bytes.len())?.to_be_bytes());
                batch.write(told.next.fetch_add(1, Ordering::Relaxed), &mut out);
                let request = Request::post(format!("http://localhost:{port}{GRPC_PATH}"));
                let request = request.header("content-type", "application/grpc").header("te", "trailers");
                let (head, body) = sender.send_request(request.body(Full::new(Bytes::from(out)))?).await?.into_parts();
                let whole = body.collect().await?;
                let status =
                    whole.trailers().and_then(|trailers| trailers.get("grpc-status")).or(head.headers.get("grpc-status"));
                match status.map(HeaderValue::as_bytes) {
                    Some(b"0") => drop(told.acknowledged.fetch_add(1, Ordering::Relaxed)),
                    Some(b"8") => {
                        told.full.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    _ => return Err(format!("{:?} {:?}", head.headers, whole.trailers()).into()),
                }
            }
            Ok::<(), Failed>(())
        }
    };
    // As many streams as there are connections over HTTP.
    let ended = tokio::join!(one(), one(), one(), one());
    [ended.0, ended.1, ended.2, ended.3].into_iter().collect()
}
