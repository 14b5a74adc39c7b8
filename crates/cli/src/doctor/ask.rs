//! Who answers: on a port, and on a socket. Nothing waits longer than a few seconds, whatever hangs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;

/// A service manager that listens for the server starts it first.
const PATIENCE: Duration = Duration::from_secs(2);
const LARGEST_ANSWER: u64 = 1 << 20;

/// What a Ducat says of itself.
#[derive(Debug, Default)]
pub struct Told {
    /// `None` before versions were told.
    pub version: Option<String>,
    pub ledger: Option<String>,
    /// Ports for OpenTelemetry that it could not have.
    pub closed: Vec<Closed>,
    /// Those that it has.
    pub open: Vec<SocketAddr>,
    /// How far its clock is ahead of ours, in seconds.
    pub ahead_s: i64,
}

/// A port that a server wanted and did not get.
#[derive(Debug)]
pub struct Closed {
    /// `http` or `grpc`.
    pub transport: String,
    pub address: SocketAddr,
    pub problem: String,
}

impl Closed {
    /// `None` where the port is open.
    fn of(port: &Value) -> Option<Self> {
        let text = |name: &str| port[name].as_str();
        let transport = text("transport").filter(|name| matches!(*name, "http" | "grpc"))?.to_owned();
        Some(Self { transport, address: text("address")?.parse().ok()?, problem: text("problem")?.to_owned() })
    }
}

#[derive(Debug)]
pub enum Served {
    Nobody,
    Ducat(Told),
    /// It takes the connection and says nothing.
    Hangs,
    Other,
}

/// An HTTP answer.
pub struct Answer {
    pub status: u16,
    pub date: Option<String>,
    pub body: String,
}

/// Asks who serves at an address, under a name of it.
pub fn health(authority: &str, address: SocketAddr) -> Served {
    match get(authority, address, "/health", None) {
        Ok(answer) => {
            let now = Timestamp::now();
            let value: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            if answer.status != 200 || value["status"] != "healthy" {
                return Served::Other;
            }
            let text = |name: &str| value[name].as_str().map(str::to_owned);
            let at = answer.date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
            let ahead_s = at.map_or(0, |at| at.as_second() - now.as_second());
            let ports = || value["otlp"].as_array().into_iter().flatten();
            let closed = ports().filter_map(Closed::of).collect();
            let open = ports().filter(|port| port["problem"].is_null()).filter_map(|port| port["address"].as_str()?.parse().ok());
            let open = open.collect();
            Served::Ducat(Told { version: text("version"), ledger: text("ledger"), closed, open, ahead_s })
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Served::Hangs,
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Served::Nobody,
        Err(_) => Served::Other,
    }
}

/// The address of a host and port; looking a name up takes as long as it likes, so it is given up too.
pub fn resolve(authority: &str) -> Option<SocketAddr> {
    let (tell, told) = mpsc::channel();
    let authority = authority.to_owned();
    thread::spawn(move || tell.send(authority.to_socket_addrs().ok().and_then(|mut found| found.next())));
    told.recv_timeout(PATIENCE).ok().flatten()
}

/// GET over one connection. `NotConnected` when nobody is there, `TimedOut` or `WouldBlock` when it hangs; on other errors, what is
/// there speaks no HTTP.
pub fn get(authority: &str, address: SocketAddr, path: &str, key: Option<&str>) -> io::Result<Answer> {
    talk(authority, address, &format!("GET {path}"), key, "\r\n")
}

/// POST of JSON, as [`get`].
pub fn post(authority: &str, address: SocketAddr, path: &str, key: Option<&str>, json: &str) -> io::Result<Answer> {
    let body = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{json}", json.len());
    talk(authority, address, &format!("POST {path}"), key, &body)
}

/// `rest` is what follows the common header lines: more of them, the empty line and the body.
fn talk(authority: &str, address: SocketAddr, verb: &str, key: Option<&str>, rest: &str) -> io::Result<Answer> {
    let end = Instant::now() + PATIENCE;
    let left = || match end.saturating_duration_since(Instant::now()) {
        left if left.is_zero() => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    // Nobody there and a wall in between look the same from here.
    let mut stream = TcpStream::connect_timeout(&address, left()?).map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    stream.set_write_timeout(Some(left()?))?;
    let request = format!("{verb} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{key}{rest}");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) if bytes.len() as u64 + read as u64 <= LARGEST_ANSWER => bytes.extend_from_slice(&part[..read]),
            Ok(_) => break,
            // Who resets the connection after its answer has answered.
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let mut lines = head.lines();
    let first = lines.next().filter(|line| line.starts_with("HTTP/1."));
    let status = first.and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let date = lines.find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("date")));
    Ok(Answer { status, date: date.map(|(_, value)| value.trim().to_owned()), body: body.to_owned() })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    Absent,
    /// The file is there, and nobody behind it.
    Stale,
    /// It takes the connection, and does not answer.
    Hangs,
    Answers,
    /// We may not connect.
    Forbidden,
}

/// Who listens at a socket. What is written is no event, which a Ducat answers by hanging up.
pub fn listener(path: &Path) -> Listener {
    if !path.exists() {
        return Listener::Absent;
    }
    let path = path.to_owned();
    let (tell, told) = mpsc::channel();
    // Connecting waits while the queue is full.
    thread::spawn(move || {
        let talk = || -> io::Result<()> {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"ducat doctor")?;
            match stream.read(&mut [0; 1]) {
                Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
                _ => Ok(()),
            }
        };
        tell.send(talk())
    });
    match told.recv_timeout(PATIENCE * 3 / 2) {
        Ok(Ok(())) => Listener::Answers,
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Listener::Stale,
            io::ErrorKind::NotFound => Listener::Absent,
            io::ErrorKind::PermissionDenied => Listener::Forbidden,
            // Whoever hangs up while we write is there.
            io::ErrorKind::BrokenPipe => Listener::Answers,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Listener::Hangs,
            _ => Listener::Stale,
        },
        Err(_) => Listener::Hangs,
    }
}
