//! Transcript lines to facts.

use std::borrow::Cow;
use std::path::Path;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Key, KeySpace, Request, Session, Told, ToolCall, UnixMs, Witness, Witnesses,
};
use serde::{Deserialize, Serialize};
use sonic_rs::LazyValue;

use super::line::{self, Line};
use super::message::Message;
use super::tool::{self, blocks};
use super::{AGENT, incident, turn};
use crate::{Detail, LineVerdict, Workspaces, json};

/// What is known of a file: by its path, and by the lines read so far. Keep it to go on where a reading ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// The sub-agent whose transcript it is.
    subagent: Option<String>,
    /// Session of the last line that named one; files nearly always hold one only.
    session: Option<(String, Key)>,
    /// The last prompt's turn; what follows in the file belongs to it.
    turn: Option<Key>,
}

impl FileState {
    pub fn of(path: &Path) -> Self {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let subagent = stem.and_then(|stem| stem.strip_prefix("agent-")).map(str::to_owned);
        Self { subagent, ..Self::default() }
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

/// Tells `out` the facts of one line (without its line break).
///
/// A request is an assistant message with usage, also one nested in a `progress` line of a sub-agent; its key is `requestId`, else
/// `message.id`, else the line's uuid. Counts that are negative, fractional or above 10^12 are not told. Lines with a uuid and
/// `queue-operation` lines tell of the session's birth. A turn is a user line that asks the model something; what follows it in the file
/// is linked to it, so links (and nothing else) depend on the order of a file's lines.
pub fn decode_line(
    bytes: &[u8],
    file: &mut FileState,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let line = match Line::parse(bytes) {
        Ok(line) => line,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let Some(kind) = line.kind.as_deref() else { return LineVerdict::NoFacts };
    let workspace = line.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let mut told = false;
    let mut out = |fact| {
        told = true;
        out(fact);
    };
    let session = line.session.as_deref().map(|id| file.enter(id, &mut out));
    if let Some(session) = session {
        tell_session(&line, kind, session, detail, &mut out);
    }
    if detail == Detail::All {
        file.turn = line.prompt_id.as_deref().map(turn::key).or(file.turn);
    }
    let mut said = match kind {
        "assistant" => line.message.as_ref().map(|message| Said::of_line(&line, message)),
        "user" if detail == Detail::All => line.message.as_ref().map(|message| Said::of_line(&line, message)),
        "progress" => line.data.as_ref().and_then(Said::of_subagent),
        _ => None,
    };
    if let Some(said) = &mut said {
        said.subagent = said.subagent.take().or_else(|| file.subagent.clone().map(Cow::Owned));
    }
    let holders = || {
        let project = workspace.project.as_deref().map(str::to_owned);
        let branch = line.branch.as_deref().map(str::to_owned);
        session.map(|session| Holders::one(Holder { session, live: false, project, branch })).unwrap_or_default()
    };
    let mut request_key = None;
    if let Some(said) = said.as_ref().filter(|said| said.is_assistant && said.message.is_request()) {
        let Some(id) = said.request_id.as_deref().or(said.message.id.as_deref()).or(line.uuid.as_deref()) else {
            return LineVerdict::Unreadable("a request without requestId, message.id or uuid");
        };
        let mut request = said.request(id, file.turn);
        request.holders = holders();
        request_key = Some(request.key);
        out(Fact::Request(request));
    }
    if detail == Detail::All {
        if kind == "user" && !line.is_not_prompt {
            tell_turn(&line, file, holders, &mut out);
        }
        if let Some(said) = &said {
            said.tell_tool_calls(&line, file.turn, request_key, holders, &mut out);
        }
        let incident = match (kind, &said) {
            ("system", _) => incident::of_system_line(&line),
            ("assistant", Some(said)) if said.message.is_synthetic() => incident::synthetic(&line),
            _ => None,
        };
        if let Some(mut incident) = incident {
            incident.holders = holders();
            out(Fact::Incident(incident));
        }
    }
    if told { LineVerdict::Decoded } else { LineVerdict::NoFacts }
}

fn session(key: Key, id: &str) -> Session {
    let mut session = Session::new(key, AGENT, id);
    session.witnesses = Witnesses::only(Witness::Transcript);
    session
}

fn tell_session(line: &Line<'_>, kind: &str, key: Key, detail: Detail, out: &mut dyn FnMut(Fact)) {
    let Some(at) = line.at else { return };
    // A queue operation is never copied into a fork, so the session was there then.
    let opened = kind == "queue-operation";
    if let Some(uuid) = line.uuid.as_deref().and_then(line::uuid) {
        out(Fact::Line(ducat_ledger::Line { session: key, uuid, at }));
    }
    if detail == Detail::Requests && !opened {
        return;
    }
    let mut session = session(key, line.session.as_deref().unwrap_or_default());
    let timing = Witness::Transcript.rank(FieldClass::Timing);
    session.opened_at = Told::maybe(timing, opened.then_some(at));
    if detail == Detail::All {
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        let text = |value: &Option<Cow<'_, str>>| Told::maybe(rank, value.as_deref().map(str::to_owned));
        session.holders = Holders::one(Holder { session: key, live: false, project: None, branch: None });
        session.started_at = Told::by(timing, at);
        session.last_at = Told::by(timing, at);
        session.cwd = text(&line.cwd);
        session.version = text(&line.version);
    }
    out(Fact::Session(session));
}

/// A user line's turn, when the line asks the model something.
fn tell_turn(line: &Line<'_>, file: &mut FileState, holders: impl Fn() -> Holders, out: &mut dyn FnMut(Fact)) {
    let content = line.message.as_ref().and_then(|message| Message::parse(message).content);
    let Some(bytes) = content.as_ref().and_then(turn::prompt_bytes) else { return };
    let Some(id) = line.prompt_id.as_deref().or(line.uuid.as_deref()) else { return };
    let mut turn = turn::turn(id, bytes);
    turn.started_at = Told::maybe(Witness::Transcript.rank(FieldClass::Timing), line.at);
    turn.holders = holders();
    file.turn = Some(turn.key);
    out(Fact::Turn(turn));
}

/// A message, in a line of its own or nested in one.
struct Said<'a> {
    message: Message<'a>,
    is_assistant: bool,
    request_id: Option<Cow<'a, str>>,
    at: Option<UnixMs>,
    subagent: Option<Cow<'a, str>>,
    subagent_type: Option<Cow<'a, str>>,
    skill: Option<Cow<'a, str>>,
    mcp_server: Option<Cow<'a, str>>,
    tool_use_result: Option<LazyValue<'a>>,
}

impl<'a> Said<'a> {
    fn of_line(line: &Line<'a>, message: &LazyValue<'a>) -> Self {
        Self {
            message: Message::parse(message),
            is_assistant: line.kind.as_deref() == Some("assistant"),
            request_id: line.request_id.clone(),
            at: line.at,
            subagent: line.agent_id.clone(),
            subagent_type: line.subagent_type.clone(),
            skill: line.skill.clone(),
            mcp_server: line.mcp_server.clone(),
            tool_use_result: line.tool_use_result.clone(),
        }
    }

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
        let (mut message, mut request_id, mut at, mut tool_use_result) = (None, None, None, None);
        json::for_fields(&nested?, |name, value| match name {
            "message" => message = Some(Message::parse(&value)),
            "requestId" => request_id = json::text(&value).filter(|id| !id.is_empty()),
            "timestamp" => at = line::time(&value),
            "toolUseResult" => tool_use_result = Some(value),
            _ => {}
        });
        let message = message?;
        let is_assistant = message.role.as_deref() == Some("assistant");
        // Clients that nest messages do not attribute them.
        Some(Self {
            message,
            is_assistant,
            request_id,
            at,
            subagent,
            subagent_type: None,
            skill: None,
            mcp_server: None,
            tool_use_result,
        })
    }

    fn request(&self, id: &str, turn: Option<Key>) -> Request {
        let mut request = Request::new(Key::of(KeySpace::Request, AGENT, id), AGENT, id);
        request.witnesses = Witnesses::only(Witness::Transcript);
        self.message.tell(&mut request);
        let rank = Witness::Transcript.rank(FieldClass::Usage);
        request.started_at = Told::maybe(rank, self.at);
        request.ended_at = Told::maybe(rank, self.at);
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        request.turn = Told::maybe(rank, turn);
        let told = |value: &Option<Cow<'_, str>>| Told::maybe(rank, value.as_deref().map(str::to_owned));
        request.subagent = told(&self.subagent);
        request.subagent_type = told(&self.subagent_type);
        request.skill = told(&self.skill);
        request.mcp_server = told(&self.mcp_server);
        request.billing = Told::maybe(rank, self.message.billing());
        request
    }

    fn tell_tool_calls(
        &self,
        line: &Line<'_>,
        turn: Option<Key>,
        request: Option<Key>,
        holders: impl Fn() -> Holders,
        out: &mut dyn FnMut(Fact),
    ) {
        let Some(content) = &self.message.content else { return };
        let timing = Witness::Transcript.rank(FieldClass::Timing);
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        let at = self.at.or(line.at);
        blocks(content, |block| {
            let Some(mut call): Option<ToolCall> = block.tool_call() else { return };
            if block.is("tool_use") {
                call.started_at = Told::maybe(timing, at);
                call.request = Told::maybe(rank, request);
            } else {
                call.ended_at = Told::maybe(timing, at);
                call.duration_ms = Told::maybe(timing, self.tool_use_result.as_ref().and_then(tool::duration_ms));
            }
            call.turn = Told::maybe(rank, turn);
            call.subagent = Told::maybe(rank, self.subagent.as_deref().map(str::to_owned));
            call.holders = holders();
            out(Fact::ToolCall(call));
        });
    }
}

/// The first lines of a file are of this agent's transcripts: objects with a `type`, and a `sessionId` somewhere.
pub fn looks_like_transcript(head: &[u8]) -> bool {
    let lines = head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(20);
    let mut parsed = lines.filter_map(|line| Line::parse(line).ok());
    parsed.any(|line| line.kind.is_some() && (line.session.is_some() || line.kind.as_deref() == Some("summary")))
}
