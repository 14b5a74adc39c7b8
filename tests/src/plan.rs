//! A provider's front that tells a subscriber's quota with each answer, as the real one does, before the stand-in.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Shares used, from 0 to 1, and when the windows reset, in seconds since 1970.
#[derive(Clone, Copy)]
pub struct Plan {
    pub five_hour: (f64, u64),
    pub seven_day: (f64, u64),
}

impl Plan {
    fn headers(&self) -> String {
        let mut headers = "anthropic-ratelimit-unified-status: allowed\r\n".to_owned();
        for (name, (used, resets_at)) in [("5h", self.five_hour), ("7d", self.seven_day)] {
            headers.push_str(&format!(
                "anthropic-ratelimit-unified-{name}-status: allowed\r\nanthropic-ratelimit-unified-{name}-utilization: {used}\r\n\
                 anthropic-ratelimit-unified-{name}-reset: {resets_at}\r\n"
            ));
        }
        headers
    }

    /// Serves in front of a server on this machine; the port to ask.
    pub fn serve(self, upstream: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                thread::spawn(move || pass(client, upstream, &self.headers()));
            }
        });
        port
    }
}

/// One connection with one request: `connection: close` both ways keeps it simple.
fn pass(mut client: TcpStream, upstream: u16, more: &str) -> Option<()> {
    let (head, body) = read_message(&mut client)?;
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
    let (first, rest) = head.split_once("\r\n")?;
    write!(server, "{first}\r\nconnection: close\r\n{}", without_connection(rest)).ok()?;
    server.write_all(&body).ok()?;
    let (head, body) = read_message(&mut server)?;
    let (first, rest) = head.split_once("\r\n")?;
    write!(client, "{first}\r\n{more}connection: close\r\n{}", without_connection(rest)).ok()?;
    client.write_all(&body).ok()
}

fn without_connection(head: &str) -> String {
    let lines = head.split_inclusive("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.collect()
}

/// Head with its empty line, and body by its length.
fn read_message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|place| place + 4) {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if bytes.len() >= end + length.unwrap_or(0) {
                return Some((head, bytes[end..].to_vec()));
            }
        }
        match stream.read(&mut part) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}
