//! Events of a session to facts.

use std::borrow::Cow;
use std::path::Path;

use ducat_ledger::{Billing, Fact, IncidentKind, Key, Outcome, UNLOGGED, UnixMs};
use serde::{Deserialize, Serialize};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::AGENT;
use super::sums::Sums;
use super::usage::Usage;
use crate::claude_code::target;
use crate::telling::{Telling, attribution, name, outcome, start, timing, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// What the events read so far tell of those that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    session: Option<String>,
    cwd: Option<String>,
    branch: Option<String>,
    version: Option<String>,
    opened_at: Option<UnixMs>,
    turn: Option<Key>,
    /// Usage records tell every request; sums tell nothing then.
    has_records: bool,
    sums: Sums,
}

impl FileState {
    /// The folder of the file is named by the session.
    pub fn of(path: &Path) -> Self {
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let is_named = path.file_name().is_some_and(|name| name == "events.jsonl");
        Self { session: folder.filter(|_| is_named).map(str::to_owned), ..Self::default() }
    }
}

/// The first event names its producer.
pub fn looks_like_events(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(first, word).is_some();
    has(b"\"type\":\"session.start\"") && has(b"\"copilotVersion\"")
}

#[derive(Debug, Default)]
struct Event<'a> {
    kind: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    at: Option<UnixMs>,
    data: Option<LazyValue<'a>>,
}

impl<'a> Event<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut event = Self::default();
        json::for_fields(&json::object(bytes)?, |field, value| match field {
            "type" => event.kind = json::id(&value),
            "id" => event.id = json::id(&value),
            "timestamp" => event.at = json::time(&value),
            "data" if value.is_object() => event.data = Some(value),
            _ => {}
        });
        Ok(event)
    }
}

/// Tells `out` the facts of one event (a line without its line break).
pub fn decode_line(
    bytes: &[u8],
    file: &mut FileState,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let event = match Event::parse(bytes) {
        Ok(event) => event,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let (Some(kind), Some(data)) = (event.kind.as_deref(), &event.data) else { return LineVerdict::NoFacts };
    if matches!(kind, "session.start" | "session.resume") {
        file.enter(data, kind == "session.start");
    }
    let workspace = file.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let (session, branch) = (file.session.clone(), file.branch.clone());
    let telling = Telling { agent: AGENT, session: session.as_deref(), project: workspace.project, branch: branch.as_deref() };
    let mut told = false;
    let mut out = |fact| {
        told = true;
        out(fact);
    };
    tell_session(kind, &event, file, &telling, detail, &mut out);
    match kind {
        "session.usage_record" => tell_request(&event, data, file, &telling, &mut out),
        "session.shutdown" => tell_sums(&event, data, file, &telling, &mut out),
        "assistant.message" => file.sums.note_message(),
        _ if detail == Detail::Requests => {}
        "user.message" => tell_turn(&event, data, file, &telling, &mut out),
        "tool.execution_start" | "tool.execution_complete" => tell_call(kind, &event, data, file, &telling, &mut out),
        "session.compaction_complete" | "session.error" => {
            let of = if kind == "session.error" { IncidentKind::ApiError } else { IncidentKind::Compaction };
            if let Some(id) = &event.id {
                let mut incident = telling.incident(of, id, event.at);
                json::for_fields(data, |field, value| match field {
                    "preCompactionTokens" | "statusCode" => incident.value = attribution(value.as_i64()),
                    "errorType" => incident.detail = attribution(name(json::id(&value))),
                    _ => {}
                });
                out(Fact::Incident(incident));
            }
        }
        _ => {}
    }
    if told { LineVerdict::Decoded } else { LineVerdict::NoFacts }
}

impl FileState {
    fn enter(&mut self, data: &LazyValue<'_>, is_start: bool) {
        json::for_fields(data, |field, value| match field {
            "sessionId" => self.session = json::id(&value).map(Cow::into_owned),
            "copilotVersion" => self.version = name(json::id(&value)),
            "startTime" if is_start => self.opened_at = json::time(&value),
            "context" => json::for_fields(&value, |field, value| match field {
                "cwd" => self.cwd = json::id(&value).map(Cow::into_owned),
                "branch" => self.branch = name(json::id(&value)),
                _ => {}
            }),
            _ => {}
        });
    }
}

fn tell_session(
    kind: &str,
    event: &Event<'_>,
    file: &FileState,
    telling: &Telling<'_>,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) {
    let is_start = kind == "session.start";
    let Some(mut session) = telling.session().filter(|_| is_start || detail == Detail::All) else { return };
    session.last_at = timing(event.at);
    if is_start {
        session.opened_at = timing(file.opened_at.or(event.at));
        session.started_at = session.opened_at.clone();
        session.cwd = attribution(file.cwd.clone());
        session.version = attribution(file.version.clone());
    }
    if kind == "session.shutdown" {
        session.ended_at = timing(event.at);
    }
    out(Fact::Session(session));
}

fn tell_request(event: &Event<'_>, data: &LazyValue<'_>, file: &mut FileState, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
    let mut record = None;
    json::for_fields(data, |field, value| {
        if field == "usage" {
            record = Some(Usage::parse(&value));
        }
    });
    let Some(record) = record else { return };
    let Some(id) = record.call.as_deref().or(event.id.as_deref()) else { return };
    file.has_records = true;
    file.sums.note_record(record.model.as_deref().unwrap_or_default(), &record.counts);
    let mut request = telling.request(id);
    record.tell(event.at, &mut request);
    request.turn = attribution(file.turn);
    out(Fact::Request(request));
}

fn tell_sums(event: &Event<'_>, data: &LazyValue<'_>, file: &mut FileState, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
    let Some(id) = event.id.as_deref() else { return };
    let mut metrics = None;
    json::for_fields(data, |field, value| {
        if field == "modelMetrics" {
            metrics = Some(value);
        }
    });
    let new = metrics.map(|metrics| file.sums.settle(&metrics)).unwrap_or_default();
    for (model, counts) in new.into_iter().filter(|_| !file.has_records) {
        let mut request = telling.request(&format!("{id}/{model}"));
        counts.tell(&mut request);
        request.model = usage(name(Some(&model)));
        request.provider = usage(Some("github-copilot".to_owned()));
        request.billing = attribution(Some(Billing::Credits));
        request.started_at = start(event.at);
        request.is_sum = attribution(Some(true));
        request.query_source = attribution(Some(UNLOGGED.to_owned()));
        out(Fact::Request(request));
    }
}

fn tell_turn(event: &Event<'_>, data: &LazyValue<'_>, file: &mut FileState, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
    let (mut bytes, mut is_own) = (None, true);
    json::for_fields(data, |field, value| match field {
        "content" => bytes = json::text(&value).map(|text| text.len() as u64),
        // What the client says in the user's name, such as a skill's text.
        "source" => is_own = json::id(&value).is_none_or(|source| source == "user"),
        _ => {}
    });
    if let Some(id) = event.id.as_deref().filter(|_| is_own) {
        file.turn = Some(telling.turn_key(id));
        out(Fact::Turn(telling.turn(id, event.at, bytes)));
    }
}

fn tell_call(
    kind: &str,
    event: &Event<'_>,
    data: &LazyValue<'_>,
    file: &FileState,
    telling: &Telling<'_>,
    out: &mut dyn FnMut(Fact),
) {
    let (mut id, mut tool, mut input, mut success, mut result, mut exit_code, mut error) =
        (None, None, None, None, None, None, None);
    json::for_fields(data, |field, value| match field {
        "toolCallId" => id = json::id(&value),
        "toolName" => tool = json::id(&value),
        "arguments" => input = Some(value),
        "success" => success = value.as_bool(),
        "result" => json::for_fields(&value, |field, value| {
            if field == "content" {
                result = json::text(&value).map(|text| text.len() as u64);
            }
        }),
        "shellExecution" => json::for_fields(&value, |field, value| {
            if field == "exitCode" {
                exit_code = value.as_i64();
            }
        }),
        "error" => json::for_fields(&value, |field, value| {
            if field == "code" {
                error = json::id(&value);
            }
        }),
        _ => {}
    });
    let Some(id) = id else { return };
    let mut call = telling.tool_call(&id);
    call.name = attribution(name(tool));
    call.turn = attribution(file.turn);
    if kind == "tool.execution_start" {
        call.started_at = timing(event.at);
        call.input_bytes = attribution(input.as_ref().map(|input| input.as_raw_str().len() as u64));
        call.target = attribution(input.as_ref().and_then(target));
    } else {
        let (ended, why) = match (success, error.as_deref(), exit_code) {
            (_, Some("denied" | "rejected"), _) => (Outcome::Refused, Some("permission")),
            (Some(true), _, None | Some(0)) => (Outcome::Ok, None),
            (Some(true), _, Some(_)) => (Outcome::Error, Some("exit_code")),
            _ => (Outcome::Error, Some("other")),
        };
        call.outcome = outcome(Some(ended));
        call.error_kind = outcome(why.map(str::to_owned));
        call.ended_at = timing(event.at);
        call.result_bytes = attribution(result);
    }
    out(Fact::ToolCall(call));
}
