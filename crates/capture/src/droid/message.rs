//! Lines of `<session>.jsonl`: the session, its prompts, its tool calls and its compactions.

use std::borrow::Cow;
use std::path::Path;

use ducat_ledger::{Fact, IncidentKind, Key, Outcome, UnixMs};
use serde::{Deserialize, Serialize};
use sonic_rs::LazyValue;

use super::AGENT;
use crate::block::Block;
use crate::claude_code::target;
use crate::telling::{Telling, attribution, call_id, name, outcome, timing};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// What the lines read so far tell of those that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    session: Option<String>,
    cwd: Option<String>,
    turn: Option<Key>,
}

impl FileState {
    /// A session's file bears its id, also where its first line is damaged.
    pub fn of(path: &Path) -> Self {
        let session = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        Self { session, ..Self::default() }
    }
}

/// The first line opens the session.
pub fn looks_like_messages(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(first, word).is_some();
    has(b"\"type\":\"session_start\"") && has(b"\"cwd\"")
}

#[derive(Debug, Default)]
struct Line<'a> {
    kind: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    at: Option<UnixMs>,
    cwd: Option<Cow<'a, str>>,
    role: Option<Cow<'a, str>>,
    content: Option<LazyValue<'a>>,
    /// The client's own words to the model.
    is_hidden: bool,
}

impl<'a> Line<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut line = Self::default();
        json::for_fields(&json::object(bytes)?, |field, value| match field {
            "type" => line.kind = json::id(&value),
            "id" => line.id = json::id(&value),
            "timestamp" => line.at = json::time(&value),
            "cwd" => line.cwd = json::id(&value),
            "message" => json::for_fields(&value, |field, value| match field {
                "role" => line.role = json::id(&value),
                "content" => line.content = Some(value),
                "visibility" => line.is_hidden = json::text(&value).as_deref() == Some("llm_only"),
                _ => {}
            }),
            _ => {}
        });
        Ok(line)
    }
}

/// Tells `out` the facts of one line (without its line break).
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
    let is_start = line.kind.as_deref() == Some("session_start");
    if is_start {
        file.session = line.id.as_deref().map(str::to_owned).or(file.session.take());
        file.cwd = line.cwd.as_deref().map(str::to_owned);
    }
    let workspace = file.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    if detail == Detail::Requests && !is_start {
        return LineVerdict::NoFacts;
    }
    let session = file.session.clone();
    let telling = Telling { agent: AGENT, session: session.as_deref(), project: workspace.project, branch: None };
    let mut told = false;
    let mut out = |fact| {
        told = true;
        out(fact);
    };
    if let Some(mut session) = telling.session().filter(|_| is_start || line.at.is_some()) {
        session.opened_at = timing(line.at);
        session.started_at = timing(line.at);
        session.last_at = timing(line.at);
        session.cwd = attribution(file.cwd.clone());
        out(Fact::Session(session));
    }
    match (line.kind.as_deref(), line.id.as_deref()) {
        (Some("message"), Some(id)) => tell_message(id, &line, file, &telling, &mut out),
        (Some("message"), None) => return LineVerdict::Unreadable("a message without id"),
        (Some("compaction_state"), Some(id)) => {
            out(Fact::Incident(telling.incident(IncidentKind::Compaction, id, line.at)));
        }
        _ => {}
    }
    if told { LineVerdict::Decoded } else { LineVerdict::NoFacts }
}

fn tell_message(id: &str, line: &Line<'_>, file: &mut FileState, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
    let Some(content) = line.content.as_ref().filter(|_| !line.is_hidden) else { return };
    let mut prompt_bytes = None;
    json::for_items(content, |item| {
        let block = Block::parse(&item);
        match (block.kind.as_deref(), block.id.as_deref()) {
            (Some("text"), _) if line.role.as_deref() == Some("user") => {
                prompt_bytes = Some(prompt_bytes.unwrap_or(0_u64).saturating_add(block.text_bytes));
            }
            (Some("tool_use"), Some(call)) => {
                let mut call = telling.tool_call(&call_id(call, telling.session.unwrap_or(id)));
                call.name = attribution(name(block.name.as_deref()));
                call.input_bytes = attribution(block.input.as_ref().map(|input| input.as_raw_str().len() as u64));
                call.target = attribution(block.input.as_ref().and_then(target));
                call.started_at = timing(line.at);
                call.turn = attribution(file.turn);
                out(Fact::ToolCall(call));
            }
            (Some("tool_result"), Some(call)) => {
                let mut call = telling.tool_call(&call_id(call, telling.session.unwrap_or(id)));
                let result = block.content.as_ref().map(|content| content.as_raw_str()).unwrap_or_default();
                let (ended, kind) = judge(block.is_error, result);
                call.outcome = outcome(Some(ended));
                call.error_kind = outcome(kind.map(str::to_owned));
                call.ended_at = timing(line.at);
                call.result_bytes = attribution(Some(result.len() as u64));
                call.turn = attribution(file.turn);
                out(Fact::ToolCall(call));
            }
            _ => {}
        }
    });
    if let Some(bytes) = prompt_bytes {
        file.turn = Some(telling.turn_key(id));
        out(Fact::Turn(telling.turn(id, line.at, Some(bytes))));
    }
}

/// How a call ended; the words are the client's own. A command's exit code is the last line of its output.
fn judge(is_error: bool, result: &str) -> (Outcome, Option<&'static str>) {
    let code = result.rsplit_once("[Process exited with code ").and_then(|(_, code)| code.split_once(']')).map(|(code, _)| code);
    match code {
        Some(code) if code != "0" => (Outcome::Error, Some("exit_code")),
        _ if !is_error => (Outcome::Ok, None),
        _ if result.contains("ENOENT") => (Outcome::Error, Some("not_found")),
        _ => (Outcome::Error, Some("other")),
    }
}
