//! Lines of a chat to facts.

use std::borrow::Cow;

use ducat_ledger::{Fact, IncidentKind, Key, UnixMs, Witness};
use serde::{Deserialize, Serialize};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::tokens::Tokens;
use super::{AGENT, error_id, tool};
use crate::telling::{Telling, attribution, name, start, timing, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// What the lines read so far tell of those that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Of the first line that is no fork's copy.
    opened_at: Option<UnixMs>,
    turn: Option<Key>,
    /// The answer that was told last.
    request: Option<Key>,
    /// Answers are told by the client's telemetry in the chat; messages tell no further ones then.
    has_answers: bool,
}

/// The beginning of a file is a chat's: its lines are of a session, and the client's parts are not Claude Code's content.
pub fn looks_like_chat(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(first, word).is_some();
    first.starts_with(b"{\"uuid\":") && has(b"\"sessionId\":") && (has(b"\"parts\":[") || has(b"\"systemPayload\":"))
}

#[derive(Debug, Default)]
struct Record<'a> {
    id: Option<Cow<'a, str>>,
    session: Option<Cow<'a, str>>,
    at: Option<UnixMs>,
    kind: Option<Cow<'a, str>>,
    subtype: Option<Cow<'a, str>>,
    cwd: Option<Cow<'a, str>>,
    branch: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    /// A fork copies its parent's lines with their ids.
    is_copy: bool,
    message: Option<LazyValue<'a>>,
    tokens: Tokens,
    event: Option<LazyValue<'a>>,
    result: Option<LazyValue<'a>>,
}

impl<'a> Record<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut record = Self::default();
        json::for_fields(&json::object(bytes)?, |field, value| match field {
            "uuid" => record.id = json::id(&value),
            "sessionId" => record.session = json::id(&value),
            "timestamp" => record.at = json::time(&value),
            "type" => record.kind = json::id(&value),
            "subtype" => record.subtype = json::id(&value),
            "cwd" => record.cwd = json::id(&value),
            "gitBranch" => record.branch = json::id(&value),
            "version" => record.version = json::id(&value),
            "model" => record.model = json::id(&value),
            "forkedFrom" => record.is_copy = value.is_object(),
            "message" => record.message = Some(value),
            "usageMetadata" => record.tokens = usage_metadata(&value),
            "systemPayload" => json::for_fields(&value, |field, value| {
                if field == "uiEvent" {
                    record.event = Some(value);
                }
            }),
            "toolCallResult" => record.result = Some(value),
            _ => {}
        });
        Ok(record)
    }
}

fn usage_metadata(value: &LazyValue<'_>) -> Tokens {
    let mut tokens = Tokens::default();
    json::for_fields(value, |field, value| {
        let count = match field {
            "promptTokenCount" => &mut tokens.input,
            "candidatesTokenCount" => &mut tokens.output,
            "cachedContentTokenCount" => &mut tokens.cached,
            "thoughtsTokenCount" => &mut tokens.thoughts,
            "totalTokenCount" => &mut tokens.total,
            _ => return,
        };
        *count = json::count(&value);
    });
    tokens
}

/// Tells `out` the facts of one line (without its line break).
pub fn decode_line(
    bytes: &[u8],
    file: &mut FileState,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let record = match Record::parse(bytes) {
        Ok(record) => record,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let workspace = record.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let (session, branch) = (record.session.as_deref(), record.branch.as_deref());
    let telling = Telling { agent: AGENT, session, project: workspace.project, branch };
    let Some(mut session) = telling.session() else { return LineVerdict::NoFacts };
    if !record.is_copy {
        file.opened_at = file.opened_at.or(record.at);
        session.last_at = timing(record.at);
    }
    session.opened_at = timing(file.opened_at);
    session.started_at = session.opened_at.clone();
    session.cwd = attribution(record.cwd.as_deref().map(str::to_owned));
    session.version = attribution(name(record.version.as_deref()));
    out(Fact::Session(session));
    match (record.kind.as_deref(), record.subtype.as_deref()) {
        (Some("system"), Some("ui_telemetry")) => tell_event(&record, file, &telling, detail, out),
        (Some("system"), Some("chat_compression")) if detail == Detail::All => {
            if let Some(id) = &record.id {
                out(Fact::Incident(telling.incident(IncidentKind::Compaction, id, record.at)));
            }
        }
        (Some("assistant"), _) => tell_message(&record, file, &telling, detail, out),
        (Some("tool_result"), _) if detail == Detail::All => {
            if let Some(result) = &record.result {
                tool::tell_ended(result, record.message.as_ref(), record.at, &telling, out);
            }
        }
        // What the client says in the user's name has a subtype.
        (Some("user"), None) => tell_turn(&record, file, &telling, detail, out),
        _ => {}
    }
    LineVerdict::Decoded
}

/// An event of the client's telemetry.
fn tell_event(record: &Record<'_>, file: &mut FileState, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) {
    let Some(event) = &record.event else { return };
    let (mut kind, mut id, mut model, mut prompt, mut subagent, mut error) = (None, None, None, None, None, None);
    let (mut tokens, mut duration_ms, mut status) = (Tokens::default(), None, None);
    json::for_fields(event, |field, value| match field {
        "event.name" => kind = json::id(&value),
        "response_id" => id = json::id(&value),
        "model" => model = json::id(&value),
        "prompt_id" => prompt = json::id(&value),
        "subagent_name" => subagent = json::id(&value),
        "error_type" => error = json::id(&value),
        "status_code" => status = value.as_i64(),
        "duration_ms" => duration_ms = json::count(&value),
        "input_token_count" => tokens.input = json::count(&value),
        "output_token_count" => tokens.output = json::count(&value),
        "cached_content_token_count" => tokens.cached = json::count(&value),
        "thoughts_token_count" => tokens.thoughts = json::count(&value),
        "total_token_count" => tokens.total = json::count(&value),
        _ => {}
    });
    match kind.as_deref() {
        Some("qwen-code.api_response") if !tokens.is_zero() => {
            // A provider that gives its answers no id has them told by their lines.
            let Some(id) = id.as_deref().or(record.id.as_deref()) else { return };
            let mut request = telling.request(id);
            tokens.tell(Witness::Transcript, &mut request);
            request.model = usage(name(model));
            let began = record.at.map(|at| at.saturating_sub(i64::try_from(duration_ms.unwrap_or_default()).unwrap_or(0)));
            (request.started_at, request.ended_at) = (start(began), usage(record.at));
            request.duration_ms = timing(duration_ms);
            request.subagent_type = attribution(name(subagent.as_deref()));
            request.turn = attribution(file.turn);
            file.has_answers = true;
            if subagent.is_none() {
                file.request = Some(request.key);
            }
            out(Fact::Request(request));
        }
        Some("qwen-code.api_error") if detail == Detail::All => {
            let id = error_id(prompt.as_deref(), model.as_deref(), duration_ms);
            let mut incident = telling.incident(IncidentKind::ApiError, &id, record.at);
            incident.value = attribution(status);
            incident.detail = attribution(name(error));
            out(Fact::Incident(incident));
        }
        _ => {}
    }
}

fn tell_message(record: &Record<'_>, file: &mut FileState, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) {
    let Some(id) = record.id.as_deref() else { return };
    if !file.has_answers && !record.tokens.is_zero() {
        let mut request = telling.request(id);
        record.tokens.tell(Witness::Transcript, &mut request);
        request.model = usage(name(record.model.as_deref()));
        (request.started_at, request.ended_at) = (start(record.at), usage(record.at));
        request.turn = attribution(file.turn);
        file.request = Some(request.key);
        out(Fact::Request(request));
    }
    if let (Detail::All, Some(message)) = (detail, &record.message) {
        tool::tell_asked(message, record.at, file.turn, file.request, telling, out);
    }
}

fn tell_turn(record: &Record<'_>, file: &mut FileState, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) {
    let Some(id) = record.id.as_deref() else { return };
    file.turn = Some(telling.turn_key(id));
    if detail == Detail::All {
        let mut bytes = None;
        if let Some(message) = &record.message {
            json::for_fields(message, |field, value| {
                if field == "parts" {
                    json::for_items(&value, |part| {
                        json::for_fields(&part, |field, value| {
                            if let Some(text) = json::text(&value).filter(|_| field == "text") {
                                bytes = Some(bytes.unwrap_or(0) + text.len() as u64);
                            }
                        });
                    });
                }
            });
        }
        out(Fact::Turn(telling.turn(id, record.at, bytes)));
    }
}
