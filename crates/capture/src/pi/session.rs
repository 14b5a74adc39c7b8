//! Lines of a session to facts.

use std::borrow::Cow;
use std::path::Path;

use ducat_ledger::{Fact, IncidentKind, Key};
use serde::{Deserialize, Serialize};

use super::AGENT;
use super::entry::{Entry, Message};
use super::tool::judge;
use crate::claude_code::{blocks, target};
use crate::telling::{Telling, attribution, billing, call_id, name, outcome, reported_cost, start, timing, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// What the lines read so far tell of those that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    session: Option<String>,
    cwd: Option<String>,
    /// The last prompt's turn; what follows in the file belongs to it.
    turn: Option<Key>,
    effort: Option<String>,
}

impl FileState {
    pub fn of(_path: &Path) -> Self {
        Self::default()
    }
}

/// The first line of a session has `type` `session`, its working directory and its format's version.
pub fn looks_like_session(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(first, word).is_some();
    has(b"\"type\":\"session\"") && has(b"\"cwd\"") && has(b"\"id\"")
}

/// Tells `out` the facts of one line (without its line break). A request's key is the provider's id of its answer; else the entry's id, which
/// has eight digits only and is told apart by the message's own time, which copies keep.
pub fn decode_line(
    bytes: &[u8],
    file: &mut FileState,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let entry = match Entry::parse(bytes) {
        Ok(entry) => entry,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    if entry.kind.as_deref() == Some("session") {
        file.session = entry.id.as_deref().map(str::to_owned);
        file.cwd = entry.cwd.as_deref().map(str::to_owned);
    }
    let workspace = file.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let session = file.session.clone();
    let telling = Telling { agent: AGENT, session: session.as_deref(), project: workspace.project, branch: None };
    let mut told = false;
    let mut out = |fact| {
        told = true;
        out(fact);
    };
    tell_session(&entry, file, &telling, detail, &mut out);
    match (entry.kind.as_deref(), &entry.message) {
        (Some("thinking_level_change"), _) => {
            file.effort = entry.thinking_level.as_deref().filter(|level| *level != "off").map(str::to_owned);
        }
        (Some("compaction"), _) if detail == Detail::All => {
            if let Some(id) = &entry.id {
                let mut incident = telling.incident(IncidentKind::Compaction, id, entry.at);
                incident.value = attribution(entry.tokens_before.and_then(|tokens| i64::try_from(tokens).ok()));
                out(Fact::Incident(incident));
            }
        }
        (Some("message"), Some(message)) => {
            let at = message.at.or(entry.at);
            let Some(id) = entry.id.as_deref().map(|id| format!("{id}/{}", at.unwrap_or_default())) else {
                return LineVerdict::Unreadable("a message without id");
            };
            match message.role.as_deref() {
                Some("assistant") => tell_assistant(&id, &entry, message, file, &telling, detail, &mut out),
                Some("user") if detail == Detail::All => {
                    file.turn = Some(telling.turn_key(&id));
                    out(Fact::Turn(telling.turn(&id, at, message.content.as_ref().map(text_bytes))));
                }
                Some("toolResult") if detail == Detail::All => tell_result(&id, message, file, &telling, &mut out),
                _ => {}
            }
        }
        _ => {}
    }
    if told { LineVerdict::Decoded } else { LineVerdict::NoFacts }
}

fn tell_session(entry: &Entry<'_>, file: &FileState, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) {
    let is_first = entry.kind.as_deref() == Some("session");
    let Some(mut session) = telling.session().filter(|_| is_first || detail == Detail::All) else { return };
    if is_first {
        session.opened_at = timing(entry.at);
        session.started_at = timing(entry.at);
        session.cwd = attribution(file.cwd.clone());
    }
    session.last_at = timing(entry.at);
    out(Fact::Session(session));
}

fn tell_assistant(
    id: &str,
    entry: &Entry<'_>,
    message: &Message<'_>,
    file: &FileState,
    telling: &Telling<'_>,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) {
    let at = message.at.or(entry.at);
    let provider = message.provider.as_deref();
    // A call that failed or was given up before the provider said what it used.
    let told_usage = message.usage.as_ref().filter(|usage| !usage.is_zero());
    let mut request_key = None;
    if let Some(tokens) = told_usage {
        let key = message.response.as_deref().map_or(Cow::Borrowed(id), |response| Cow::Owned(call_id(response, id)));
        let mut request = telling.request(&key);
        request.model = usage(name(message.model.as_deref()));
        request.provider = usage(name(provider));
        request.input_tokens = usage(tokens.input);
        request.output_tokens = usage(tokens.output);
        request.reasoning_tokens = usage(tokens.reasoning.filter(|reasoning| Some(*reasoning) <= tokens.output));
        request.cache_read_tokens = usage(tokens.cache_read);
        request.cache_write_tokens = usage(tokens.cache_write);
        request.reported_cost_nano = reported_cost(tokens.cost_usd);
        request.started_at = start(at);
        request.ended_at = usage(entry.at);
        let took = entry.at.zip(message.at).and_then(|(end, begin)| u64::try_from(end.checked_sub(begin)?).ok());
        request.duration_ms = timing(took);
        request.stop_reason = usage(name(message.stop_reason.as_deref()));
        request.effort = attribution(file.effort.clone());
        request.billing = attribution(provider.and_then(billing));
        request.turn = attribution(file.turn);
        request_key = Some(request.key);
        out(Fact::Request(request));
    }
    if detail == Detail::Requests {
        return;
    }
    if message.stop_reason.as_deref() == Some("error") {
        out(Fact::Incident(telling.incident(IncidentKind::ApiError, id, at)));
    }
    let Some(content) = &message.content else { return };
    json::for_items(content, |block| {
        let (mut is_call, mut call, mut tool, mut input) = (false, None, None, None);
        json::for_fields(&block, |field, value| match field {
            "type" => is_call = json::text(&value).as_deref() == Some("toolCall"),
            "id" => call = json::id(&value),
            "name" => tool = json::id(&value),
            "arguments" => input = Some(value),
            _ => {}
        });
        let Some(call) = call.filter(|_| is_call) else { return };
        let mut call = telling.tool_call(&call_id(&call, session_or(id, telling)));
        call.name = attribution(name(tool));
        call.input_bytes = attribution(input.as_ref().map(|input| input.as_raw_str().len() as u64));
        call.target = attribution(input.as_ref().and_then(target));
        call.started_at = timing(entry.at);
        call.request = attribution(request_key);
        call.turn = attribution(file.turn);
        out(Fact::ToolCall(call));
    });
}

/// A result names no message, so short ids of calls are told apart by the session.
fn session_or<'a>(id: &'a str, telling: &Telling<'a>) -> &'a str {
    telling.session.unwrap_or(id)
}

fn tell_result(id: &str, message: &Message<'_>, file: &FileState, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
    let Some(call) = message.call.as_deref() else { return };
    let mut call = telling.tool_call(&call_id(call, session_or(id, telling)));
    let mut text = String::new();
    let mut bytes = 0;
    if let Some(content) = &message.content {
        blocks(content, |block| match block.text {
            Some(part) => {
                bytes += part.len() as u64;
                if text.is_empty() {
                    text = part.into_owned();
                }
            }
            None => bytes += block.bytes,
        });
    }
    let (ended, kind) = judge(message.is_error, &text);
    call.name = attribution(name(message.tool.as_deref()));
    call.outcome = outcome(Some(ended));
    call.error_kind = outcome(kind.map(str::to_owned));
    call.ended_at = timing(message.at);
    call.result_bytes = attribution(Some(bytes));
    call.turn = attribution(file.turn);
    out(Fact::ToolCall(call));
}

/// UTF-8 bytes of a prompt.
fn text_bytes(content: &sonic_rs::LazyValue<'_>) -> u64 {
    let mut bytes = 0;
    blocks(content, |block| bytes += block.text.map_or(0, |text| text.len() as u64));
    bytes
}
