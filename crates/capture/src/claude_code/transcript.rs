//! Transcript lines to facts.

use std::path::Path;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Key, KeySpace, Request, Session, Told, UnixMs, Witness,
    Witnesses,
};
use sonic_rs::LazyValue;
use std::borrow::Cow;

use super::AGENT;
use super::line::{self, Line};
use super::message::Message;
use crate::{Workspaces, json};

/// What is known of a file: by its path, and by the lines read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileState {
    /// The sub-agent whose transcript it is.
    subagent: Option<String>,
    /// Session of the last line that named one; files nearly always hold one only.
    session: Option<(String, Key)>,
}

impl FileState {
    pub fn of(path: &Path) -> Self {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        Self {
            subagent: stem
                .and_then(|stem| stem.strip_prefix("agent-"))
                .map(str::to_owned),
            session: None,
        }
    }

    /// The key of a line's session; tells of the session when it is another than the line's before.
    fn enter(&mut self, id: &str, out: &mut dyn FnMut(Fact)) -> Key {
        match &self.session {
            Some((known, key)) if known == id => *key,
            _ => {
                let key = Key::of(KeySpace::Session, AGENT, id);
                out(Fact::Session(session(key, id)));
                self.session = Some((id.to_owned(), key));
                key
            }
        }
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineVerdict {
    Decoded,
    /// Readable, and nothing in it is a fact.
    NoFacts,
    /// Of a project that the user excluded.
    Excluded,
    /// The reason, in a few words.
    Unreadable(&'static str),
}

/// Tells `out` the facts of one line (without its line break).
///
/// A request is an assistant message with usage, also one nested in a `progress` line of a sub-agent; its key is `requestId`, else
/// `message.id`, else the line's uuid. Counts that are negative, fractional or above 10^12 are not told. Lines with a uuid and
/// `queue-operation` lines tell of the session's birth.
pub fn decode_line(
    bytes: &[u8],
    file: &mut FileState,
    workspaces: &mut dyn Workspaces,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let line = match Line::parse(bytes) {
        Ok(line) => line,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let Some(kind) = line.kind.as_deref() else {
        return LineVerdict::NoFacts;
    };
    let workspace = line
        .cwd
        .as_deref()
        .map(|cwd| workspaces.resolve(cwd))
        .unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let mut told = false;
    let mut out = |fact| {
        told = true;
        out(fact);
    };
    let session = line.session.as_deref().map(|id| file.enter(id, &mut out));
    if let (Some(session), Some(at)) = (session, line.at) {
        match line.uuid.as_deref().and_then(line::uuid) {
            Some(uuid) => out(Fact::Line(ducat_ledger::Line { session, uuid, at })),
            None if kind == "queue-operation" => {
                let mut opened =
                    self::session(session, line.session.as_deref().unwrap_or_default());
                // A queue operation is never copied into a fork, so the session was there then.
                opened.opened_at = Witness::Transcript.tells(FieldClass::Timing, at);
                out(Fact::Session(opened));
            }
            None => {}
        }
    }
    let call = match kind {
        "assistant" => line.message.as_ref().map(|message| Call {
            message: Message::parse(message),
            request_id: line.request_id.clone(),
            at: line.at,
            subagent: line
                .agent_id
                .clone()
                .or_else(|| file.subagent.as_deref().map(Into::into)),
        }),
        "progress" => line.data.as_ref().and_then(Call::of_subagent),
        _ => None,
    };
    if let Some(call) = call.filter(|call| call.message.is_request()) {
        let Some(id) = call
            .request_id
            .as_deref()
            .or(call.message.id.as_deref())
            .or(line.uuid.as_deref())
        else {
            return LineVerdict::Unreadable("a request without requestId, message.id or uuid");
        };
        let mut request = Request::new(Key::of(KeySpace::Request, AGENT, id), AGENT, id);
        request.witnesses = Witnesses::only(Witness::Transcript);
        if let Some(session) = session {
            let project = workspace.project.as_deref().map(str::to_owned);
            request.holders = Holders::one(Holder {
                session,
                live: false,
                project,
                branch: line.branch.as_deref().map(str::to_owned),
            });
        }
        call.message.tell(&mut request);
        let rank = Witness::Transcript.rank(FieldClass::Usage);
        request.started_at = Told::maybe(rank, call.at);
        request.ended_at = Told::maybe(rank, call.at);
        request.subagent = Told::maybe(rank, call.subagent.as_deref().map(str::to_owned));
        out(Fact::Request(request));
    }
    if told {
        LineVerdict::Decoded
    } else {
        LineVerdict::NoFacts
    }
}

/// A model call that a line tells of.
struct Call<'a> {
    message: Message<'a>,
    request_id: Option<Cow<'a, str>>,
    at: Option<UnixMs>,
    subagent: Option<Cow<'a, str>>,
}

impl<'a> Call<'a> {
    /// From the data of a `progress` line: older clients nest a sub-agent's messages there.
    fn of_subagent(data: &LazyValue<'a>) -> Option<Self> {
        let (mut kind, mut nested, mut subagent) = (None, None, None);
        json::for_fields(data, |name, value| match name {
            "type" => kind = json::text(&value),
            "message" => nested = Some(value),
            "agentId" => subagent = json::text(&value),
            _ => {}
        });
        if kind.as_deref() != Some("agent_progress") {
            return None;
        }
        let (mut message, mut request_id, mut at) = (None, None, None);
        json::for_fields(&nested?, |name, value| match name {
            "message" => message = Some(Message::parse(&value)),
            "requestId" => request_id = json::text(&value).filter(|id| !id.is_empty()),
            "timestamp" => at = line::time(&value),
            _ => {}
        });
        let message = message.filter(|message| message.role.as_deref() == Some("assistant"))?;
        Some(Self {
            message,
            request_id,
            at,
            subagent,
        })
    }
}

fn session(key: Key, id: &str) -> Session {
    let mut session = Session::new(key, AGENT, id);
    session.witnesses = Witnesses::only(Witness::Transcript);
    session
}

/// The first lines of a file are of this agent's transcripts: objects with a `type`, and a `sessionId` somewhere.
pub fn looks_like_transcript(head: &[u8]) -> bool {
    let lines = head
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .take(20);
    let mut parsed = lines.filter_map(|line| Line::parse(line).ok());
    parsed.any(|line| {
        line.kind.is_some() && (line.session.is_some() || line.kind.as_deref() == Some("summary"))
    })
}
