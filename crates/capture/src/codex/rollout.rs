//! Lines of a rollout to facts.

use std::path::Path;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Request, Session, Told, Turn, UNLOGGED, UnixMs,
    Witness, Witnesses,
};
use serde::{Deserialize, Serialize};

use super::line::{Line, Payload};
use super::tokens::{Growth, Tokens};
use super::{AGENT, decode_rate_limits, tool};
use crate::{Detail, LineVerdict, Workspace, Workspaces};

/// What is known of a rollout by the lines read so far. Keep it to go on where a reading ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileState {
    /// The thread whose rollout it is: the first that the file names; later ones were copied from the thread it was forked from.
    session: Option<String>,
    /// The thread of the last head that was read, of a fork's head its parent: what was copied has the same as in the parent's rollout.
    head: Option<String>,
    is_fork: bool,
    /// The kind of sub-agent whose thread it is.
    subagent_type: Option<String>,
    cwd: Option<String>,
    branch: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    effort: Option<String>,
    turn: Option<String>,
    /// How many calls and incidents of this turn had to be told apart by their order.
    calls: u64,
    incidents: u64,
    /// The thread's running total.
    total: Option<Tokens>,
}

impl FileState {
    pub fn of(_path: &Path) -> Self {
        Self::default()
    }

    fn enter(&mut self, turn: Option<String>) {
        if turn.is_some() && turn != self.turn {
            (self.turn, self.calls, self.incidents) = (turn, 0, 0);
        }
    }

    fn session_key(&self) -> Option<Key> {
        self.session.as_deref().map(|id| Key::of(KeySpace::Session, AGENT, id))
    }

    fn turn_key(&self) -> Option<Key> {
        self.turn.as_deref().map(|id| Key::of(KeySpace::Turn, AGENT, id))
    }

    /// Of a call that older clients give no id. Forks copy lines with their turns' ids and in their order, so copies get the same; where
    /// turns have no ids, the head before it and the running total do.
    fn next_call(&mut self, total: &Tokens) -> String {
        self.calls += 1;
        match &self.turn {
            Some(turn) => format!("{turn}:{}", self.calls),
            None => {
                let head = self.head.as_deref().unwrap_or_default();
                format!("{head}:{}:{}:{}", total.input, total.cached, total.output)
            }
        }
    }

    fn next_incident(&mut self, kind: IncidentKind) -> String {
        self.incidents += 1;
        let within = self.turn.as_deref().or(self.session.as_deref()).unwrap_or_default();
        format!("{within}:{}:{}", kind.name(), self.incidents)
    }
}

/// Tells `out` the facts of one line (without its line break).
///
/// A request is a `token_usage_record`, by its `response_id`; where there are none, what the running total of a `token_count` grew by.
/// A total that stands still is told again and is no call; one that grew by more than the last call is besides that a call which
/// nobody logged (`query_source` `unlogged`); one that fell began anew.
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
    let payload = &line.payload;
    if line.kind.as_deref() == Some("session_meta") || (line.kind.is_none() && file.session.is_none()) {
        file.head = payload.text("forked_from_id").or_else(|| payload.text("id")).or(file.head.take());
    }
    match line.kind.as_deref() {
        Some("session_meta") if file.session.is_none() => meet(file, payload),
        // The oldest clients begin with a session's head and write bare items.
        None if file.session.is_none() => meet(file, payload),
        Some("turn_context") => {
            file.enter(payload.text("turn_id"));
            file.cwd = payload.text("cwd").or(file.cwd.take());
            file.model = payload.text("model").or(file.model.take());
            file.effort = payload.text("effort").or_else(|| payload.effort()).or(file.effort.take());
        }
        Some("event_msg") => file.enter(payload.text("turn_id")),
        _ => {}
    }
    let workspace = file.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let mut told = false;
    let mut out = |fact| {
        told = true;
        out(fact);
    };
    let context = Context { at: line.at, workspace: &workspace, session: file.session_key() };
    if let (Detail::All, Some(key), Some(at)) = (detail, file.session_key(), line.at) {
        let mut session = context.session(file, key);
        let timing = Witness::Transcript.rank(FieldClass::Timing);
        (session.started_at, session.last_at) = (Told::by(timing, at), Told::by(timing, at));
        out(Fact::Session(session));
    }
    match (line.kind.as_deref(), payload.kind()) {
        (Some("session_meta"), _) | (None, None) => context.tell_session(file, payload, &mut out),
        (Some("token_usage_record"), _) => {
            let (Some(id), Some(usage)) = (payload.text("response_id"), payload.tokens("usage")) else {
                return LineVerdict::Unreadable("a token_usage_record without response_id or usage");
            };
            file.enter(payload.text("turn_id"));
            file.total = payload.tokens("thread_token_usage").or_else(|| Some(file.total.unwrap_or_default().plus(&usage)));
            out(Fact::Request(context.request(file, &id, &usage)));
        }
        (Some("event_msg"), Some("token_count")) => {
            if let Some((total, last)) = payload.totals() {
                let growth = Growth::of(file.total, total, last, file.is_fork);
                file.total = Some(total);
                if let Some(call) = growth.call {
                    let id = file.next_call(&total);
                    out(Fact::Request(context.request(file, &id, &call)));
                    if let Some(unlogged) = growth.unlogged {
                        let mut request = context.request(file, &format!("{id}:unlogged"), &unlogged);
                        request.query_source = Witness::Transcript.tells(FieldClass::Attribution, UNLOGGED.to_owned());
                        out(Fact::Request(request));
                    }
                }
            }
            if detail == Detail::All {
                decode_rate_limits(bytes, &mut out);
            }
        }
        (kind, item) if detail == Detail::All => context.tell(file, kind, item, payload, &mut out),
        _ => {}
    }
    if told { LineVerdict::Decoded } else { LineVerdict::NoFacts }
}

/// Takes up what the head of a rollout tells.
fn meet(file: &mut FileState, payload: &Payload<'_>) {
    file.session = payload.text("id");
    file.is_fork = payload.text("forked_from_id").is_some();
    file.subagent_type = payload.subagent_type();
    file.cwd = payload.text("cwd");
    file.branch = payload.nested("git", "branch");
    file.provider = payload.text("model_provider");
}

/// What all facts of a line share.
pub(super) struct Context<'a> {
    pub at: Option<UnixMs>,
    workspace: &'a Workspace,
    session: Option<Key>,
}

impl Context<'_> {
    pub fn holders(&self, file: &FileState) -> Holders {
        let project = self.workspace.project.as_deref().map(str::to_owned);
        let holder = |session| Holder { session, live: false, project: project.clone(), branch: file.branch.clone() };
        self.session.map(|session| Holders::one(holder(session))).unwrap_or_default()
    }

    fn session(&self, file: &FileState, key: Key) -> Session {
        let mut session = Session::new(key, AGENT, file.session.as_deref().unwrap_or_default());
        session.witnesses = Witnesses::only(Witness::Transcript);
        session.holders = Holders::one(Holder { session: key, live: false, project: None, branch: None });
        session
    }

    /// The head of the file's own thread; those that were copied tell nothing of it.
    fn tell_session(&self, file: &FileState, payload: &Payload<'_>, out: &mut dyn FnMut(Fact)) {
        let Some(key) = self.session.filter(|_| payload.text("id") == file.session) else { return };
        let mut session = self.session(file, key);
        let timing = Witness::Transcript.rank(FieldClass::Timing);
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        // A thread is born with its head, and calls that it holds from before are copies.
        session.opened_at = Told::maybe(timing, payload.time("timestamp").or(self.at));
        session.cwd = Told::maybe(rank, file.cwd.clone());
        session.version = Told::maybe(rank, payload.text("cli_version"));
        out(Fact::Session(session));
    }

    fn request(&self, file: &FileState, id: &str, usage: &Tokens) -> Request {
        let mut request = Request::new(Key::of(KeySpace::Request, AGENT, id), AGENT, id);
        request.witnesses = Witnesses::only(Witness::Transcript);
        usage.tell(Witness::Transcript, &mut request);
        let rank = Witness::Transcript.rank(FieldClass::Usage);
        request.model = Told::maybe(rank, file.model.clone());
        let start = Witness::Transcript.rank(FieldClass::Start);
        (request.started_at, request.ended_at) = (Told::maybe(start, self.at), Told::maybe(start, self.at));
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        request.turn = Told::maybe(rank, file.turn_key());
        request.effort = Told::maybe(rank, file.effort.clone());
        request.provider = Told::maybe(rank, file.provider.clone());
        if file.subagent_type.is_some() {
            request.subagent = Told::maybe(rank, file.session.clone());
            request.subagent_type = Told::maybe(rank, file.subagent_type.clone());
        }
        request.holders = self.holders(file);
        request
    }

    fn tell(
        &self,
        file: &mut FileState,
        kind: Option<&str>,
        item: Option<&str>,
        payload: &Payload<'_>,
        out: &mut dyn FnMut(Fact),
    ) {
        match (kind, item) {
            (Some("event_msg"), Some("task_started" | "task_complete" | "turn_aborted" | "user_message")) => {
                self.tell_turn(file, item, payload, out);
            }
            (Some("compacted"), _) => self.tell_incident(file, IncidentKind::Compaction, None, out),
            (Some("event_msg"), Some("error" | "stream_error")) => {
                let detail = payload.nested_name("codex_error_info");
                self.tell_incident(file, IncidentKind::ApiError, detail, out);
            }
            (Some("response_item" | "event_msg") | None, Some(_)) => {
                if let Some(mut call) = tool::tool_call(payload, self.at) {
                    let rank = Witness::Transcript.rank(FieldClass::Attribution);
                    call.turn = Told::maybe(rank, file.turn_key());
                    call.subagent = Told::maybe(rank, file.subagent_type.as_ref().and(file.session.clone()));
                    call.holders = self.holders(file);
                    out(Fact::ToolCall(call));
                }
            }
            _ => {}
        }
    }

    fn tell_turn(&self, file: &FileState, item: Option<&str>, payload: &Payload<'_>, out: &mut dyn FnMut(Fact)) {
        let (Some(key), Some(id)) = (file.turn_key(), file.turn.as_deref()) else { return };
        let mut turn = Turn::new(key, AGENT, id);
        turn.witnesses = Witnesses::only(Witness::Transcript);
        turn.holders = self.holders(file);
        let timing = Witness::Transcript.rank(FieldClass::Timing);
        match item {
            Some("task_started") => turn.started_at = Told::maybe(timing, self.at),
            Some("user_message") => {
                turn.started_at = Told::maybe(timing, self.at);
                let bytes = payload.text("message").map(|text| text.len() as u64);
                turn.prompt_bytes = Told::maybe(Witness::Transcript.rank(FieldClass::Attribution), bytes);
            }
            _ => turn.ended_at = Told::maybe(timing, self.at),
        }
        out(Fact::Turn(turn));
    }

    fn tell_incident(&self, file: &mut FileState, kind: IncidentKind, detail: Option<String>, out: &mut dyn FnMut(Fact)) {
        let id = file.next_incident(kind);
        let mut incident = Incident::new(Key::of(KeySpace::Incident, AGENT, &id), AGENT, id);
        incident.witnesses = Witnesses::only(Witness::Transcript);
        let rank = Witness::Transcript.rank(FieldClass::Attribution);
        incident.kind = Told::by(rank, kind);
        incident.at = Told::maybe(rank, self.at);
        incident.detail = Told::maybe(rank, detail);
        incident.holders = self.holders(file);
        out(Fact::Incident(incident));
    }
}

/// The first line of a file is a rollout's.
pub fn looks_like_rollout(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first.starts_with(b"{") && memchr::memmem::find(first, b"\"type\":\"session_meta\"").is_some()
}
