//! A network at its worst between a client and a server: it cuts, delays and repeats what it carries, by the dice.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What happened so far.
#[derive(Default)]
pub struct Mishaps {
    pub cut_requests: AtomicU64,
    pub cut_answers: AtomicU64,
    pub delayed: AtomicU64,
    pub repeated: AtomicU64,
    pub carried: AtomicU64,
}

/// Carries HTTP requests to a port that may change.
pub struct HostileProxy {
    pub port: u16,
    pub to: Arc<AtomicU16>,
    pub mishaps: Arc<Mishaps>,
}

impl HostileProxy {
    pub fn start(to: u16, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, mishaps) = (Arc::new(AtomicU16::new(to)), Arc::new(Mishaps::default()));
        let (target, counts) = (to.clone(), mishaps.clone());
        thread::spawn(move || {
            for (number, stream) in (1_u64..).zip(listener.incoming()) {
                let (target, counts) = (target.clone(), counts.clone());
                let dice = Dice(seed.wrapping_mul(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                thread::spawn(move || stream.and_then(|stream| carry(stream, &target, &counts, dice)));
            }
        });
        Self { port, to, mishaps }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Numbers that look random and are the same in every run (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// Request after request of a connection, until one meets with a mishap that ends it.
fn carry(mut client: TcpStream, target: &AtomicU16, counts: &Mishaps, mut dice: Dice) -> io::Result<()> {
    loop {
        let request = message(&mut client)?;
        let deliver = |bytes: &[u8]| -> io::Result<TcpStream> {
            let mut server = TcpStream::connect(("127.0.0.1", target.load(Ordering::Relaxed)))?;
            server.write_all(bytes)?;
            Ok(server)
        };
        let happens = |what: &AtomicU64| {
            what.fetch_add(1, Ordering::Relaxed);
        };
        match dice.below(10) {
            0 | 1 => {
                // The server gets a part.
                let part = dice.below(request.len() as u64) as usize;
                let _ = deliver(&request[..part]);
                happens(&counts.cut_requests);
                return Ok(());
            }
            2 | 3 => {
                // The server gets all of it and answers; the client learns nothing, or a part.
                let answer = message(&mut deliver(&request)?)?;
                client.write_all(&answer[..dice.below(answer.len() as u64) as usize])?;
                happens(&counts.cut_answers);
                return Ok(());
            }
            4 => {
                thread::sleep(Duration::from_millis(dice.below(1500)));
                happens(&counts.delayed);
            }
            5 | 6 => {
                // The same again, while the first is perhaps still at it.
                let mut first = deliver(&request)?;
                if dice.below(2) == 0 {
                    let _ = message(&mut first);
                }
                happens(&counts.repeated);
            }
            _ => {}
        }
        let answer = message(&mut deliver(&request)?)?;
        client.write_all(&answer)?;
        happens(&counts.carried);
    }
}

/// A request or an answer, whole: its head, and as much of a body as that tells.
fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..read]);
        let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0_usize);
        if bytes.len() >= head + 4 + length {
            return Ok(bytes);
        }
    }
}
