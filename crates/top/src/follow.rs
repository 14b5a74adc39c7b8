//! Keeping up with the server, on threads of their own: one asks for figures, one listens for live events.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::detail::Detail;
use crate::event::Event;
use crate::server::{Server, Unanswered};
use crate::snapshot::Snapshot;
use crate::sse::Parser;

/// Figures are asked for at most this often, and at least.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);
/// While the server is away.
const AWAY: Duration = Duration::from_secs(3);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is told to whoever draws.
pub enum Message {
    Figures(Result<Box<Snapshot>, Unanswered>),
    Detail(Result<Box<Detail>, Unanswered>),
    Event(Event),
    /// Live events are heard from now on.
    Listening,
    /// They are not; why.
    Deaf(Unanswered),
    /// A key, or a new size.
    Input(crossterm::event::Event),
    /// No key can be read any more.
    NoInput(std::io::Error),
    Signal(i32),
}

/// What the asking thread is asked for.
pub enum Ask {
    /// There is news.
    Figures,
    /// A session, now and whenever there is news.
    Open(String),
    Close,
}

/// Asks for figures when there is news and every 30 s, until nobody reads them.
pub fn ask(server: &Server, zone: &TimeZone, asks: &Receiver<Ask>, out: &SyncSender<Message>) {
    let mut open: Option<String> = None;
    let mut pause = Duration::ZERO;
    let mut asked_at: Option<Instant> = None;
    loop {
        let mut is_key = false;
        match asks.recv_timeout(pause) {
            Ok(first) => {
                for ask in std::iter::once(first).chain(asks.try_iter()) {
                    match ask {
                        Ask::Figures => {}
                        Ask::Open(session) => (open, is_key) = (Some(session), true),
                        Ask::Close => open = None,
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // What a key asked for is not kept waiting.
        let since = asked_at.map_or(SOONEST, |at| at.elapsed());
        if !is_key && since < SOONEST {
            pause = SOONEST.saturating_sub(since);
            continue;
        }
        if let Some(session) = &open
            && out.send(Message::Detail(Detail::ask(server, session).map(Box::new))).is_err()
        {
            return;
        }
        let figures = Snapshot::ask(server, zone, Timestamp::now()).map(Box::new);
        asked_at = Some(Instant::now());
        pause = if figures.is_ok() { LATEST } else { AWAY };
        if out.send(Message::Figures(figures)).is_err() {
            return;
        }
    }
}

/// Listens for live events, and again after longer and longer pauses, until nobody reads them.
pub fn listen(server: &Server, asks: &SyncSender<Ask>, out: &SyncSender<Message>) {
    let mut pause = Duration::from_secs(1);
    loop {
        let trouble = match server.listen() {
            Ok(stream) => {
                pause = Duration::from_secs(1);
                // What happened in between was not heard.
                if out.send(Message::Listening).is_err() || !hear(stream, asks, out) {
                    return;
                }
                None
            }
            Err(trouble) => Some(trouble),
        };
        // One that ended may have ended with its server.
        if !poke(asks) {
            return;
        }
        if let Some(trouble) = trouble {
            if out.send(Message::Deaf(trouble)).is_err() {
                return;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            thread::sleep(pause);
        }
    }
}

/// False when nobody listens any more.
fn hear(mut stream: impl Read, asks: &SyncSender<Ask>, out: &SyncSender<Message>) -> bool {
    let mut parser = Parser::default();
    let mut piece = [0; 8192];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        let events = parser.take(&piece[..read]);
        if !events.is_empty() && !poke(asks) {
            return false;
        }
        for event in events {
            let event = Event::parse(&event.data, Timestamp::now());
            if event.is_some_and(|event| out.send(Message::Event(event)).is_err()) {
                return false;
            }
        }
    }
    true
}

/// One wish that waits is as good as many. False when nobody takes them.
fn poke(asks: &SyncSender<Ask>) -> bool {
    !matches!(asks.try_send(Ask::Figures), Err(TrySendError::Disconnected(_)))
}

/// Starts both; they end when what they tell is not read any more.
pub fn follow(server: &Arc<Server>, zone: &TimeZone, out: &SyncSender<Message>) -> SyncSender<Ask> {
    let (asks, asked) = std::sync::mpsc::sync_channel(16);
    let (of_asking, zone, to) = (Arc::clone(server), zone.clone(), out.clone());
    thread::spawn(move || ask(&of_asking, &zone, &asked, &to));
    let (of_listening, to, wishes) = (Arc::clone(server), out.clone(), asks.clone());
    thread::spawn(move || listen(&of_listening, &wishes, &to));
    asks
}
