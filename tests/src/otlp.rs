//! Telemetry for the tests: exports of captured records, sent over HTTP and gRPC.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

pub const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
pub const JSON: (&str, &str) = ("Content-Type", "application/json");
pub const LOGS_SERVICE: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// Status, head and body of an answer to a POST; status 0 when the server went away.
pub fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Vec<u8>) {
    let head = format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    let head = headers.iter().fold(head, |head, (name, value)| format!("{head}{name}: {value}\r\n"));
    talk(port, &head, body)
}

pub fn get(port: u16, path: &str) -> (u16, String, Vec<u8>) {
    talk(port, &format!("GET {path} HTTP/1.1\r\n"), b"")
}

fn talk(port: u16, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let away = || (0, String::new(), Vec::new());
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return away() };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(format!("{head}Host: localhost\r\nConnection: close\r\n\r\n").as_bytes());
    // A body that is too large is not read to its end.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return away() };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    (head[9..12].parse().unwrap(), head, answer[end + 4..].to_vec())
}

/// What a call over gRPC was answered: head and trailers in one, and the message.
pub struct Answer {
    pub said: HeaderMap,
    pub message: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> i32 {
        self.said["grpc-status"].to_str().unwrap().parse().unwrap()
    }
}

/// A call over a connection of its own.
pub fn grpc(port: u16, path: &str, headers: &[(&str, &str)], message: &[u8]) -> Answer {
    let mut framed = vec![0; 5];
    framed[1..].copy_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let request = Request::post(format!("http://localhost:{port}{path}")).header("content-type", "application/grpc");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::new(Bytes::from(framed))).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        assert_eq!(head.status, 200, "gRPC says what went wrong in its own status");
        let whole = body.collect().await.unwrap();
        let mut said = head.headers;
        said.extend(whole.trailers().cloned().unwrap_or_default());
        Answer { said, message: whole.to_bytes().to_vec() }
    })
}

/// A length-delimited field of protobuf.
pub fn field(number: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = inner.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(inner);
    out
}

/// Logs of so many empty records, as protobuf.
pub fn logs(records: usize) -> Vec<u8> {
    let records: Vec<u8> = (0..records).flat_map(|_| field(2, &[])).collect();
    field(1, &field(2, &records))
}

/// A request that Claude Code told of, to be told again under other ids.
pub struct Captured {
    resource: Value,
    request: Value,
}

impl Captured {
    pub fn new() -> Self {
        let file = "../crates/capture/tests/fixtures/otlp/claude-code/json/002-v1-logs.json";
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let export: Value = serde_json::from_slice(&bytes).unwrap();
        let logs = &export["resourceLogs"][0];
        let is_request = |record: &&Value| record["body"]["stringValue"] == "claude_code.api_request";
        let request = logs["scopeLogs"][0]["logRecords"].as_array().unwrap().iter().find(is_request).unwrap();
        Self { resource: logs["resource"].clone(), request: request.clone() }
    }

    /// An export of a session's requests, as JSON: each with an output of 90 tokens.
    pub fn session(&self, session: &str, requests: usize) -> Vec<u8> {
        let stamped = |number: usize| {
            let mut record = self.request.clone();
            for attribute in record["attributes"].as_array_mut().unwrap() {
                let told = match attribute["key"].as_str().unwrap() {
                    "session.id" => session.to_owned(),
                    "request_id" => format!("req_{session}_{number}"),
                    "prompt.id" => format!("prompt_{session}"),
                    _ => continue,
                };
                attribute["value"] = json!({ "stringValue": told });
            }
            record
        };
        let records: Vec<Value> = (0..requests).map(stamped).collect();
        json!({ "resourceLogs": [{ "resource": self.resource, "scopeLogs": [{ "logRecords": records }] }] })
            .to_string()
            .into_bytes()
    }

    /// The same as protobuf, every value a text.
    pub fn protobuf(&self, session: &str, requests: usize) -> Vec<u8> {
        let export: Value = serde_json::from_slice(&self.session(session, requests)).unwrap();
        let attributes = |of: &Value, number: u8| -> Vec<u8> {
            let as_field = |attribute: &Value| {
                let value = attribute["value"].as_object().unwrap().values().next().unwrap();
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let key = field(1, attribute["key"].as_str().unwrap().as_bytes());
                field(number, &[key, field(2, &field(1, text.as_bytes()))].concat())
            };
            of["attributes"].as_array().unwrap().iter().flat_map(as_field).collect()
        };
        let logs = &export["resourceLogs"][0];
        let records = logs["scopeLogs"][0]["logRecords"].as_array().unwrap();
        let records: Vec<u8> = records.iter().flat_map(|record| field(2, &attributes(record, 6))).collect();
        field(1, &[field(1, &attributes(&logs["resource"], 1)), field(2, &records)].concat())
    }
}

impl Default for Captured {
    fn default() -> Self {
        Self::new()
    }
}
