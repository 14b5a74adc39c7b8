//! Passing on: what came in goes on to another OTLP endpoint, unchanged, and never holds up receiving.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use ducat_ship::ReceiverError;

use super::{Encoding, Signal};

/// Bytes that may wait; then the oldest are dropped.
const LARGEST_QUEUE: usize = 32 << 20;
/// What an export takes beside its body.
const AROUND: usize = 128;
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tries of one export.
const TRIES: u32 = 8;

/// Names the servers that passed an export on, separated by commas; what comes back goes no further.
const FORWARDED: &str = "ducat-forwarded";
/// Servers in a row, and bytes of their names; more are a loop that our name is not in.
const MOST_SERVERS: usize = 8;
const LONGEST_THROUGH: usize = 512;

/// Where to pass on to.
#[derive(Clone, Debug)]
pub struct ForwardConfig {
    /// Base URL; `/v1/logs` and so on are appended.
    pub url: String,
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    // It is not repeated: a password may be in it.
    #[error(
        "otlp.forward_url: must be http://HOST[:PORT] or https://HOST[:PORT], perhaps with a path; a user and password go into otlp.forward_headers"
    )]
    Url,
    #[error("otlp.forward_url: {0} is this server itself")]
    Loop(String),
    #[error(
        "otlp.forward_url: no certificate authority is known to this system; install its certificates (package ca-certificates)"
    )]
    NoAuthority,
    #[error("cannot start passing on: {0}")]
    Thread(std::io::Error),
}

pub(super) struct Forwarded {
    pub signal: Signal,
    pub encoding: Encoding,
    pub body: Bytes,
    /// The servers that it came through.
    through: String,
}

impl Forwarded {
    pub fn new(signal: Signal, encoding: Encoding, headers: &HeaderMap, body: Bytes) -> Self {
        let through = headers.get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
        Self { signal, encoding, body, through }
    }

    /// Bytes that it takes in the queue.
    fn size(&self) -> usize {
        self.body.len() + self.through.len() + AROUND
    }

    fn went_through(&self, server: &str) -> bool {
        self.through.len() > LONGEST_THROUGH
            || self.through.split(',').count() > MOST_SERVERS
            || self.through.split(',').any(|id| id.trim() == server)
    }
}

pub(crate) struct Forwarder(Arc<Shared>);

struct Shared {
    config: ForwardConfig,
    /// Tells this server from others that pass on; of this run, because nothing waits beyond its end.
    id: String,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    queue: Mutex<Queue>,
    work: Condvar,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    exports: VecDeque<Forwarded>,
    bytes: usize,
    closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forwarder {
    /// Starts passing on; `own` are the addresses that this server listens on.
    pub fn start(config: ForwardConfig, own: &[SocketAddr], say: Arc<dyn Fn(&str) + Send + Sync>) -> Result<Self, ForwardError> {
        let config = ForwardConfig { url: config.url.trim_end_matches('/').to_owned(), ..config };
        let agent = ducat_ship::agent(&config.url, None, TIMEOUT).map_err(|error| match error {
            ReceiverError::NoAuthority => ForwardError::NoAuthority,
            ReceiverError::Url(_) | ReceiverError::Certificates { .. } => ForwardError::Url,
        })?;
        if is_own(&config.url, own)? {
            return Err(ForwardError::Loop(config.url));
        }
        let shared = Arc::new(Shared {
            config,
            id: format!("{:016x}", RandomState::new().build_hasher().finish()),
            say,
            queue: Mutex::default(),
            work: Condvar::new(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let sending = shared.clone();
        // Not joined at the end: an answer may be long in coming, and what is not sent is not ours to keep.
        thread::Builder::new()
            .name("ducat-otlp-forward".to_owned())
            .spawn(move || sending.run(&agent))
            .map_err(ForwardError::Thread)?;
        Ok(Self(shared))
    }

    /// Queues an export; the oldest make room.
    pub(super) fn pass(&self, export: Forwarded) {
        if export.went_through(&self.0.id) {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            (self.0.say)(&format!("telemetry that was passed on to {} came back; it goes no further", self.0.config.url));
            return;
        }
        let mut queue = self.0.queue();
        queue.bytes += export.size();
        queue.exports.push_back(export);
        while queue.bytes > LARGEST_QUEUE {
            let Some(oldest) = queue.exports.pop_front() else { break };
            queue.bytes -= oldest.size();
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(queue);
        self.0.work.notify_one();
    }

    /// Exports by what became of them, and how many wait.
    pub fn counts(&self) -> ([(&'static str, u64); 3], usize) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let shared = &self.0;
        let counts = [("sent", read(&shared.sent)), ("failed", read(&shared.failed)), ("dropped", read(&shared.dropped))];
        (counts, shared.queue().exports.len())
    }

    pub(super) fn close(&self) {
        self.0.queue().closed = true;
        self.0.work.notify_all();
    }
}

/// What became of a try.
enum Tried {
    Taken,
    Later(Option<Duration>),
    Refused(String),
}

impl Shared {
    fn run(&self, agent: &ureq::Agent) {
        while let Some(export) = self.next() {
            let mut pause = FIRST_PAUSE;
            for attempt in 1..=TRIES {
                match self.send(agent, &export) {
                    Tried::Taken => {
                        self.sent.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    Tried::Later(after) if attempt < TRIES => {
                        let queue = self.queue();
                        let wait = after.unwrap_or(pause).min(LONGEST_PAUSE);
                        drop(self.work.wait_timeout_while(queue, wait, |queue| !queue.closed));
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Tried::Later(_) => {
                        self.failed.fetch_add(1, Ordering::Relaxed);
                        (self.say)(&format!(
                            "{} does not take telemetry; an export was given up after {TRIES} tries",
                            self.config.url
                        ));
                    }
                    Tried::Refused(why) => {
                        self.failed.fetch_add(1, Ordering::Relaxed);
                        (self.say)(&format!("{} refused telemetry: {why}", self.config.url));
                        break;
                    }
                }
                if self.queue().closed {
                    return;
                }
            }
        }
    }

    /// The oldest export; `None` when it is time to end.
    fn next(&self) -> Option<Forwarded> {
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(export) = queue.exports.pop_front() {
                queue.bytes -= export.size();
                return Some(export);
            }
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn send(&self, agent: &ureq::Agent, export: &Forwarded) -> Tried {
        let mut request = agent
            .post(format!("{}/v1/{}", self.config.url, export.signal.name()))
            .header("content-type", export.encoding.content_type())
            .header(
                FORWARDED,
                if export.through.is_empty() { self.id.clone() } else { format!("{},{}", export.through, self.id) },
            );
        for (name, value) in &self.config.headers {
            request = request.header(name, value);
        }
        match request.send(&export.body[..]) {
            // What the protocol calls retryable; all else would be refused again.
            Ok(answer) => match answer.status().as_u16() {
                200..=299 => Tried::Taken,
                429 | 502 | 503 | 504 => {
                    let seconds = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                    Tried::Later(seconds.map(Duration::from_secs))
                }
                status => Tried::Refused(format!("HTTP {status}")),
            },
            Err(_) => Tried::Later(None),
        }
    }
}

/// Whether a URL leads back to where we listen. Of names only those of loopback are known; what they hide, [`FORWARDED`] shows.
fn is_own(url: &str, own: &[SocketAddr]) -> Result<bool, ForwardError> {
    let parsed: axum::http::Uri = url.parse().map_err(|_| ForwardError::Url)?;
    let default = match parsed.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(ForwardError::Url),
    };
    let host = parsed.host().ok_or(ForwardError::Url)?.trim_matches(['[', ']']).to_ascii_lowercase();
    let port = parsed.port_u16().unwrap_or(default);
    let is_loopback_name = host == "localhost" || host.ends_with(".localhost");
    let address = if is_loopback_name { Some(IpAddr::V4(Ipv4Addr::LOCALHOST)) } else { host.parse().ok() };
    let leads_to = |own: IpAddr| {
        address.is_some_and(|address| {
            // Connecting to the unspecified address reaches loopback; who listens on it is reached by both.
            let is_here = address.is_loopback() || address.is_unspecified();
            address == own || (is_here && (own.is_loopback() || own.is_unspecified()))
        })
    };
    Ok(own.iter().any(|own| own.port() == port && leads_to(own.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_addresses_are_known() {
        let at = |address: &str| vec![address.parse::<SocketAddr>().unwrap()];
        for (url, own, expected) in [
            ("http://192.168.1.5:4318", "192.168.1.5:4318", true),
            ("http://192.168.1.5:4318/path", "192.168.1.6:4318", false),
            ("http://192.168.1.5:4317", "192.168.1.5:4318", false),
            ("http://localhost:4318", "127.0.0.1:4318", true),
            ("http://127.0.0.1:4318", "0.0.0.0:4318", true),
            ("http://[::1]:4318", "[::]:4318", true),
            ("http://0.0.0.0:4318", "127.0.0.1:4318", true),
            // Another program may listen on loopback.
            ("http://localhost:4318", "192.168.1.5:4318", false),
            ("https://collector.example.org", "0.0.0.0:443", false),
            ("http://127.0.0.1", "127.0.0.1:80", true),
        ] {
            assert_eq!(is_own(url, &at(own)).unwrap(), expected, "{url} {own}");
        }
    }

    /// A password in a URL is not said again.
    #[test]
    fn a_url_that_is_wrong_is_not_repeated() {
        for url in ["https://me:secret@collector.example.org", "http://me:secret@localhost:9090", "secret", "http://secret path"]
        {
            let config = ForwardConfig { url: url.to_owned(), headers: Vec::new() };
            let own = [SocketAddr::from(([127, 0, 0, 1], 9090))];
            let error = Forwarder::start(config, &own, Arc::new(|_| {})).err().unwrap().to_string();
            assert!(error.contains("otlp.forward_headers") && !error.contains("secret"), "{error}");
        }
    }

    fn export(through: &[&str], bytes: usize) -> Forwarded {
        let through = through.iter().map(|ids| (axum::http::HeaderName::from_static(FORWARDED), ids.parse().unwrap()));
        Forwarded::new(Signal::Logs, Encoding::Json, &through.collect(), vec![0; bytes].into())
    }

    /// A forwarder that sends nothing.
    fn forwarder() -> Forwarder {
        Forwarder(Arc::new(Shared {
            config: ForwardConfig { url: String::new(), headers: Vec::new() },
            id: "me".to_owned(),
            say: Arc::new(|_| {}),
            queue: Mutex::default(),
            work: Condvar::new(),
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    #[test]
    fn what_comes_back_goes_no_further() {
        let waiting = |through: &[&str]| {
            let forwarder = forwarder();
            forwarder.pass(export(through, 1));
            forwarder.counts().1
        };
        assert_eq!(waiting(&[]), 1);
        assert_eq!(waiting(&["you,she"]), 1);
        assert_eq!(waiting(&["you, me"]), 0);
        assert_eq!(waiting(&["you", "me"]), 0);
        assert_eq!(waiting(&["1,2,3,4,5,6,7,8,9"]), 0);
    }

    /// Also of bodies of nothing.
    #[test]
    fn what_waits_is_bounded() {
        let forwarder = forwarder();
        (0..LARGEST_QUEUE / AROUND + 100).for_each(|_| forwarder.pass(export(&[], 0)));
        let (counts, waiting) = forwarder.counts();
        assert_eq!((counts[2], waiting), (("dropped", 100), LARGEST_QUEUE / AROUND));
    }
}
