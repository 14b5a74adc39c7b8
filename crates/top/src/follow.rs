//! Keeping up with the server, on threads of their own: one asks for figures, one listens for live events.

use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::detail::Detail;
use crate::event::Event;
use crate::server::{Server, Unanswered};
use crate::snapshot::Snapshot;
use crate::sse::Parser;
use crate::wishes::Wishes;

/// Figures are asked for at most this often, and at least.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);
/// While the server is away.
const AWAY: Duration = Duration::from_secs(3);
/// Between attempts to listen.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

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

/// Asks for figures when there is news and every 30 s, until nobody reads them.
fn ask(server: &Server, zone: &TimeZone, wishes: &Wishes, out: &SyncSender<Message>) {
    let mut pause = LATEST;
    loop {
        let wanted = wishes.next(pause);
        if let Some(session) = &wanted.open
            && out.send(Message::Detail(Detail::ask(server, session).map(Box::new))).is_err()
        {
            return;
        }
        let figures = Snapshot::ask(server, zone, Timestamp::now()).map(Box::new);
        pause = if figures.is_ok() { LATEST } else { AWAY };
        if out.send(Message::Figures(figures)).is_err() {
            return;
        }
        wishes.rest(SOONEST);
    }
}

/// Listens for live events, and again after longer and longer pauses, until nobody reads them.
fn listen(server: &Server, wishes: &Wishes, out: &SyncSender<Message>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        match server.listen() {
            Ok(stream) => {
                pause = SHORTEST_PAUSE;
                if out.send(Message::Listening).is_err() || !hear(stream, wishes, out) {
                    return;
                }
            }
            Err(trouble) => {
                if out.send(Message::Deaf(trouble)).is_err() {
                    return;
                }
            }
        }
        // What ended may have ended with its server.
        wishes.news();
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// False when nobody listens any more.
fn hear(mut stream: impl Read, wishes: &Wishes, out: &SyncSender<Message>) -> bool {
    let mut parser = Parser::default();
    let mut piece = [0; 8192];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        for event in parser.take(&piece[..read]) {
            // The first one, which says hello, too: what happened before it was not heard.
            wishes.news();
            let event = Event::parse(&event.data, Timestamp::now());
            if event.is_some_and(|event| out.send(Message::Event(event)).is_err()) {
                return false;
            }
        }
    }
    true
}

/// Starts both; they end when what they tell is not read any more.
pub fn follow(server: &Arc<Server>, zone: &TimeZone, out: &SyncSender<Message>) -> Arc<Wishes> {
    let wishes = Arc::new(Wishes::default());
    let (of_asking, zone, wanted, to) = (Arc::clone(server), zone.clone(), Arc::clone(&wishes), out.clone());
    thread::spawn(move || ask(&of_asking, &zone, &wanted, &to));
    let (of_listening, heard, to) = (Arc::clone(server), Arc::clone(&wishes), out.clone());
    thread::spawn(move || listen(&of_listening, &heard, &to));
    wishes
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use serde_json::json;

    use super::*;
    use crate::stand_in::{Answers, StandIn};

    /// Waits for a message that this is made of.
    fn comes<T>(messages: &Receiver<Message>, mut wanted: impl FnMut(Message) -> Option<T>) -> T {
        loop {
            let message = messages.recv_timeout(Duration::from_secs(20)).unwrap();
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    #[test]
    fn news_are_heard_and_a_server_that_was_away_is_found_again() {
        let answers = Answers::busy();
        let event =
            |name: &str| format!("data: {}\n\n", json!({ "kind": "tool_call", "session": "s", "name": name, "outcome": "ok" }));
        answers.set(
            "live",
            200,
            json!(format!("event: hello\ndata: {{}}\n\nnonsense\n\n{}data: {{\n\n{}", event("Bash"), event("\u{1b}[2J"))),
        );
        let stand_in = StandIn::start(answers.clone());
        let server = Arc::new(Server::new(&stand_in.url(), None, None).unwrap());
        let (out, messages) = sync_channel(256);
        let wishes = follow(&server, &TimeZone::UTC, &out);
        comes(&messages, |message| matches!(message, Message::Listening).then_some(()));
        let mut heard = Vec::new();
        comes(&messages, |message| {
            heard.extend(if let Message::Event(event) = message { Some(event.what) } else { None });
            (heard.len() == 2).then_some(())
        });
        assert_eq!(heard, ["Bash", "[2J"]);
        // Figures come with the news, long before their 30 seconds.
        let sessions =
            comes(
                &messages,
                |message| if let Message::Figures(Ok(figures)) = message { Some(figures.sessions.len()) } else { None },
            );
        assert_eq!(sessions, 3);
        answers.set("live", 503, json!({ "error": "too many live readers" }));
        answers.set("quota", 500, json!({ "error": "the disk is full" }));
        wishes.news();
        let why = comes(&messages, |message| if let Message::Figures(Err(why)) = message { Some(why.to_string()) } else { None });
        assert!(why.contains("the disk is full"), "{why}");
        comes(&messages, |message| matches!(message, Message::Deaf(_)).then_some(()));
        answers.set("quota", 200, json!({ "quotas": [] }));
        comes(&messages, |message| matches!(message, Message::Figures(Ok(_))).then_some(()));
        answers.set("sessions/24a274a3-1111", 200, json!({ "agent": "claude-code" }));
        wishes.open("24a274a3-1111".to_owned());
        let head = comes(&messages, |message| if let Message::Detail(Ok(detail)) = message { Some(detail.head) } else { None });
        assert_eq!(head[0], "session 24a274a3-1111");
    }
}
