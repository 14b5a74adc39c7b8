//! Chats to facts: lines, and the older documents, of the same messages.

use std::path::{Path, PathBuf};

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Key, KeySpace, Outcome, Request, Session, Told, ToolCall, Turn, UnixMs, Witness, Witnesses,
};
use serde::{Deserialize, Serialize};
use sonic_rs::LazyValue;

use super::{AGENT, Tokens};
use crate::{Detail, LineVerdict, Workspaces, json};

/// Longer names are no names.
const LONGEST_NAME: usize = 200;

/// What is known of a chat by its path and by the lines read so far. Keep it to go on where a reading ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileState {
    /// The agent's folder of the project, in which the working directory may be noted.
    folder: Option<PathBuf>,
    session: Option<String>,
    /// Of the working directory; what is known of it where nothing was noted.
    hash: Option<String>,
    is_subagent: bool,
    turn: Option<Key>,
}

impl FileState {
    pub fn of(path: &Path) -> Self {
        let chats = path.ancestors().find(|folder| folder.ends_with("chats"));
        Self { folder: chats.and_then(Path::parent).map(Path::to_owned), ..Self::default() }
    }
}

/// Tells `out` the facts of one line (without its line break): the head, a message, or a `$set` of some of the head's fields. A message
/// written again is the same; one that was rewound was paid for nevertheless.
pub fn decode_line(
    bytes: &[u8],
    file: &mut FileState,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    decode(bytes, file, workspaces, detail, out)
}

/// Tells `out` the facts of an older chat, which is one document.
pub fn decode_document(
    bytes: &[u8],
    path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    decode(bytes, &mut FileState::of(path), workspaces, detail, out)
}

fn decode(
    bytes: &[u8],
    file: &mut FileState,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    if json::is_too_deep(bytes) {
        return LineVerdict::Unreadable("nested too deep");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return LineVerdict::Unreadable("no UTF-8") };
    if !text.trim_start().starts_with('{') {
        return LineVerdict::Unreadable("no JSON object");
    }
    let mut record = Record::default();
    for field in sonic_rs::to_object_iter(text) {
        match field {
            Ok((name, value)) => record.take(&name, value),
            Err(_) => return LineVerdict::Unreadable("no JSON object"),
        }
    }
    if let Some(set) = record.set.take() {
        json::for_fields(&set, |name, value| record.take(name, value));
    }
    file.session = record.session.take().or(file.session.take());
    file.hash = record.hash.take().or(file.hash.take());
    file.is_subagent |= record.kind.as_deref() == Some("subagent");
    let cwd = file.folder.as_deref().and_then(|folder| workspaces.noted_in(folder)).or_else(|| file.hash.clone());
    let workspace = cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let Some(id) = file.session.clone() else { return LineVerdict::NoFacts };
    let session = Key::of(KeySpace::Session, AGENT, &id);
    let project = workspace.project.as_deref().map(str::to_owned);
    let mut chat = Chat {
        file,
        detail,
        holders: Holders::one(Holder { session, live: false, project, branch: None }),
        first: record.started_at,
        last: record.updated_at,
        out,
    };
    if record.message.id.is_some() {
        chat.tell(&record.message);
    }
    if let Some(messages) = &record.messages {
        json::for_items(messages, |message| chat.tell(&Message::of(&message)));
    }
    let (first, last) = (chat.first, chat.last);
    let mut fact = Session::new(session, AGENT, id);
    fact.witnesses = Witnesses::only(Witness::Transcript);
    fact.holders = Holders::one(Holder { session, live: false, project: None, branch: None });
    let timing = Witness::Transcript.rank(FieldClass::Timing);
    fact.started_at = Told::maybe(timing, first);
    fact.last_at = Told::maybe(timing, last);
    fact.opened_at = Told::maybe(timing, record.started_at);
    let noted = cwd.filter(|cwd| Path::new(cwd).is_absolute());
    fact.cwd = Told::maybe(Witness::Transcript.rank(FieldClass::Attribution), noted);
    out(Fact::Session(fact));
    LineVerdict::Decoded
}

/// A line or document: head, message and changes share their fields' names.
#[derive(Default)]
struct Record<'a> {
    session: Option<String>,
    hash: Option<String>,
    kind: Option<String>,
    started_at: Option<UnixMs>,
    updated_at: Option<UnixMs>,
    set: Option<LazyValue<'a>>,
    messages: Option<LazyValue<'a>>,
    message: Message<'a>,
}

impl<'a> Record<'a> {
    fn take(&mut self, name: &str, value: LazyValue<'a>) {
        match name {
            "sessionId" => self.session = self::name(&value),
            "projectHash" => self.hash = self::name(&value),
            "kind" => self.kind = self::name(&value),
            "startTime" => self.started_at = time(&value),
            "lastUpdated" => self.updated_at = time(&value),
            "$set" => self.set = Some(value),
            "messages" => self.messages = Some(value),
            _ => self.message.take(name, value),
        }
    }
}

#[derive(Default)]
struct Message<'a> {
    id: Option<String>,
    kind: Option<String>,
    at: Option<UnixMs>,
    model: Option<String>,
    tokens: Option<LazyValue<'a>>,
    content: Option<LazyValue<'a>>,
    tool_calls: Option<LazyValue<'a>>,
}

impl<'a> Message<'a> {
    fn of(value: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(value, |name, value| message.take(name, value));
        message
    }

    fn take(&mut self, name: &str, value: LazyValue<'a>) {
        match name {
            "id" => self.id = self::name(&value),
            "type" => self.kind = self::name(&value),
            "timestamp" => self.at = time(&value),
            "model" => self.model = self::name(&value),
            "tokens" => self.tokens = Some(value),
            "content" => self.content = Some(value),
            "toolCalls" => self.tool_calls = Some(value),
            _ => {}
        }
    }
}

/// A chat whose messages are told.
struct Chat<'a, 'b> {
    file: &'a mut FileState,
    detail: Detail,
    holders: Holders,
    first: Option<UnixMs>,
    last: Option<UnixMs>,
    out: &'b mut dyn FnMut(Fact),
}

impl Chat<'_, '_> {
    fn tell(&mut self, message: &Message<'_>) {
        let Some(id) = message.id.as_deref() else { return };
        self.first = [self.first, message.at].into_iter().flatten().min();
        self.last = self.last.max(message.at);
        match message.kind.as_deref() {
            Some("user") if self.detail == Detail::All => self.tell_turn(id, message),
            Some("gemini") => {
                let request = message.tokens.as_ref().and_then(|tokens| self.request(id, message, tokens));
                let key = request.as_ref().map(|request| request.key);
                if let Some(request) = request {
                    (self.out)(Fact::Request(request));
                }
                if let (Detail::All, Some(calls)) = (self.detail, &message.tool_calls) {
                    json::for_items(calls, |call| {
                        if let Some(call) = self.tool_call(&call, message, key) {
                            (self.out)(Fact::ToolCall(call));
                        }
                    });
                }
            }
            _ => {}
        }
    }

    fn request(&self, id: &str, message: &Message<'_>, tokens: &LazyValue<'_>) -> Option<Request> {
        let (mut input, mut output, mut cached, mut thoughts, mut tool) = (None, None, None, None, None);
        json::for_fields(tokens, |name, value| {
            let field = match name {
                "input" => &mut input,
                "output" => &mut output,
                "cached" => &mut cached,
                "thoughts" => &mut thoughts,
                "tool" => &mut tool,
                _ => return,
            };
            *field = json::count(&value);
        });
        input.or(output)?;
        let mut request = Request::new(Key::of(KeySpace::Request, AGENT, id), AGENT, id);
        request.witnesses = Witnesses::only(Witness::Transcript);
        let count = |count: Option<u64>| count.unwrap_or_default();
        let (input, output, cached) = (count(input), count(output), count(cached));
        Tokens { input, output, cached, thoughts: count(thoughts), tool: count(tool) }.tell(Witness::Transcript, &mut request);
        request.model = Told::maybe(Witness::Transcript.rank(FieldClass::Usage), message.model.clone());
        let start = Witness::Transcript.rank(FieldClass::Start);
        (request.started_at, request.ended_at) = (Told::maybe(start, message.at), Told::maybe(start, message.at));
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        request.turn = Told::maybe(rank, self.file.turn);
        request.subagent = Told::maybe(rank, self.subagent());
        request.holders = self.holders.clone();
        Some(request)
    }

    fn subagent(&self) -> Option<String> {
        self.file.session.clone().filter(|_| self.file.is_subagent)
    }

    /// A user's message that is none of a tool's results.
    fn tell_turn(&mut self, id: &str, message: &Message<'_>) {
        let Some(content) = &message.content else { return };
        let (mut bytes, mut is_prompt) = (json::text(content).map(|text| text.len()), true);
        json::for_items(content, |part| {
            json::for_fields(&part, |name, value| match name {
                "text" => {
                    let text = json::text(&value).unwrap_or_default();
                    // The client introduces itself in the user's name.
                    is_prompt &= !text.starts_with("<session_context>");
                    bytes = Some(bytes.unwrap_or(0) + text.len());
                }
                "functionResponse" => is_prompt = false,
                _ => {}
            });
        });
        let Some(bytes) = bytes.filter(|_| is_prompt) else { return };
        let mut turn = Turn::new(Key::of(KeySpace::Turn, AGENT, id), AGENT, id);
        turn.witnesses = Witnesses::only(Witness::Transcript);
        turn.started_at = Told::maybe(Witness::Transcript.rank(FieldClass::Timing), message.at);
        turn.prompt_bytes = Witness::Transcript.tells(FieldClass::Attribution, bytes as u64);
        turn.holders = self.holders.clone();
        self.file.turn = Some(turn.key);
        (self.out)(Fact::Turn(turn));
    }

    fn tool_call(&self, value: &LazyValue<'_>, message: &Message<'_>, request: Option<Key>) -> Option<ToolCall> {
        let (mut id, mut tool, mut status, mut ended_at, mut input, mut result) = (None, None, None, None, None, None);
        json::for_fields(value, |field, value| match field {
            "id" => id = name(&value),
            "name" => tool = name(&value),
            "status" => status = name(&value),
            "timestamp" => ended_at = time(&value),
            "args" => input = Some(value.as_raw_str().len() as u64),
            "result" => result = Some(value.as_raw_str().len() as u64),
            _ => {}
        });
        let id = id?;
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, &id), AGENT, id);
        call.witnesses = Witnesses::only(Witness::Transcript);
        let rank = Witness::Transcript.rank(FieldClass::Outcome);
        call.outcome = Told::maybe(
            rank,
            match status.as_deref() {
                Some("success") => Some(Outcome::Ok),
                Some("error") => Some(Outcome::Error),
                // By the user, before it ran or while it did.
                Some("cancelled") => Some(Outcome::Interrupted),
                _ => None,
            },
        );
        let timing = Witness::Transcript.rank(FieldClass::Timing);
        call.started_at = Told::maybe(timing, message.at);
        call.ended_at = Told::maybe(timing, ended_at);
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        call.name = Told::maybe(rank, tool);
        call.input_bytes = Told::maybe(rank, input);
        call.result_bytes = Told::maybe(rank, result);
        call.turn = Told::maybe(rank, self.file.turn);
        call.request = Told::maybe(rank, request);
        call.subagent = Told::maybe(rank, self.subagent());
        call.holders = self.holders.clone();
        Some(call)
    }
}

fn name(value: &LazyValue<'_>) -> Option<String> {
    json::text(value).filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME).map(|name| name.into_owned())
}

fn time(value: &LazyValue<'_>) -> Option<UnixMs> {
    json::text(value)?.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond())
}

/// The beginning of a file is a chat's: its head names the session and the hash of the project. What is in values may be anybody's words.
pub fn looks_like_chat(head: &[u8]) -> bool {
    let head = head[..head.len().min(4096)].trim_ascii_start();
    let whole = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let names = || sonic_rs::to_object_iter(whole).map_while(Result::ok).map(|(name, _)| name);
    ["sessionId", "projectHash"].iter().all(|wanted| names().any(|name| name == *wanted))
}
