//! One try to deliver, in one round trip.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ducat_spool::{Answer, EventId, Frame, FrameError, Status, socket_paths};

use crate::os;

const DEFAULT_DEADLINE_MS: u64 = 100;
const LONGEST_DEADLINE_MS: u64 = 60_000;

/// How long delivering may take: `DUCAT_HOOK_DEADLINE_MS`, 100 ms unless set, a minute at most.
pub fn deadline_from_environment() -> Duration {
    let told = env::var("DUCAT_HOOK_DEADLINE_MS").ok().and_then(|text| text.parse().ok());
    Duration::from_millis(told.unwrap_or(DEFAULT_DEADLINE_MS).min(LONGEST_DEADLINE_MS))
}

/// Where the server is.
pub enum Target {
    Sockets(Vec<PathBuf>),
    Http { authority: String, path: String, key: Option<String> },
}

/// How a try ended.
pub enum Outcome {
    /// The server answered with this event's id; what to print for the agent.
    Delivered(Vec<u8>),
    /// Nobody is there, or it said no for now.
    Away,
    /// No answer in time.
    Late,
}

impl Target {
    /// `None` when `DUCAT_URL` is one that cannot be asked: events are spooled.
    pub fn from_environment(data: &Path) -> Option<Self> {
        match env::var("DUCAT_URL").ok().filter(|url| !url.is_empty()) {
            None => Some(Self::Sockets(socket_paths(data))),
            Some(url) => {
                let rest = url.strip_prefix("http://")?;
                let (authority, folder) = rest.split_once('/').unwrap_or((rest, ""));
                let folder = folder.trim_end_matches('/');
                let prefix = if folder.is_empty() { String::new() } else { format!("/{folder}") };
                let authority = if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
                    authority.to_owned()
                } else {
                    format!("{authority}:80")
                };
                let key = env::var("DUCAT_API_KEY").ok().filter(|key| !key.is_empty() && !key.contains(['\r', '\n']));
                Some(Self::Http { authority, path: format!("{prefix}/api/v1/hooks/"), key })
            }
        }
    }

    /// Looking a name up cannot be given a time limit.
    pub fn may_wait(&self) -> bool {
        matches!(self, Self::Http { .. })
    }

    pub fn deliver(&self, frame: &Frame, deadline: Instant) -> Outcome {
        let result = match self {
            Self::Sockets(paths) => over_socket(paths, frame, deadline),
            Self::Http { authority, path, key } => over_http(authority, path, key.as_deref(), frame, deadline),
        };
        match result {
            Ok(answer) if answer.id == frame.id && answer.status.is_final() => Outcome::Delivered(answer.body),
            Ok(_) => Outcome::Away,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Outcome::Late,
            Err(_) => Outcome::Away,
        }
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn over_socket(paths: &[PathBuf], frame: &Frame, deadline: Instant) -> io::Result<Answer> {
    let mut stream = Err(io::ErrorKind::NotConnected.into());
    for path in paths {
        stream = os::connect_at_once(path)
            .and_then(|stream| if os::is_trusted(&stream) { Ok(stream) } else { Err(io::ErrorKind::PermissionDenied.into()) });
        // A full queue is a server that hangs.
        if stream.as_ref().map_or_else(|error: &io::Error| error.kind() == io::ErrorKind::WouldBlock, |_| true) {
            break;
        }
    }
    let mut stream = Within { stream: stream?, deadline };
    stream.write_all(&frame.encode())?;
    Answer::read(stream).map_err(|error| match error {
        FrameError::Io(error) => error,
        FrameError::Malformed(what) => io::Error::new(io::ErrorKind::InvalidData, what),
    })
}

/// A stream on which all reads and writes together end by a deadline, also when bytes come one by one.
struct Within {
    stream: UnixStream,
    deadline: Instant,
}

impl Read for Within {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(into)
    }
}

impl Write for Within {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn over_http(authority: &str, path: &str, key: Option<&str>, frame: &Frame, deadline: Instant) -> io::Result<Answer> {
    let address = authority.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_nodelay(true)?;
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    let mut request = format!(
        "POST {path}{} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         x-ducat-event-id: {}\r\nx-ducat-event-time: {}\r\n{key}\r\n",
        frame.agent,
        frame.payload.len(),
        frame.id,
        frame.at_ms
    )
    .into_bytes();
    request.extend_from_slice(&frame.payload);
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(&request)?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    read_answer(BufReader::new(stream))
}

/// The id and status that the server names in headers, and the body.
fn read_answer(mut from: impl BufRead) -> io::Result<Answer> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let (mut id, mut status, mut length) = (None, None, 0_u64);
    for _ in 0..100 {
        let mut line = String::new();
        from.by_ref().take(8192).read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "x-ducat-event-id" => id = EventId::parse(value),
            "x-ducat-event-status" => status = value.parse().ok().and_then(Status::from_code),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = Vec::new();
    from.take(length.min(1 << 20)).read_to_end(&mut body)?;
    // `{}` says nothing to the agent.
    if body == b"{}" {
        body.clear();
    }
    Ok(Answer { id: id.ok_or_else(malformed)?, status: status.ok_or_else(malformed)?, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_name_the_event() {
        let id = EventId::new();
        let good =
            format!("HTTP/1.1 200 OK\r\nX-Ducat-Event-Id: {id}\r\nX-Ducat-Event-Status: 0\r\nContent-Length: 2\r\n\r\n{{}}");
        let answer = read_answer(good.as_bytes()).unwrap();
        assert_eq!((answer.id, answer.status, answer.body), (id, Status::Stored, Vec::new()));
        assert!(read_answer(&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"[..]).is_err());
        assert!(read_answer(&b""[..]).is_err());
    }
}
