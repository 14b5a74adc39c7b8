//! Hook events to facts: what Claude Code writes to a hook's standard input. The payload has no time; whoever took it first says when.

use std::borrow::Cow;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Outcome, Session, Told, ToolCall, Turn, UnixMs,
    Witness, Witnesses,
};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::{AGENT, tool, turn};
use crate::hook::{HookVerdict, attribution, json_bytes, text_bytes};
use crate::{Workspaces, json};

/// The rank of a batch's word for an outcome: below the call's own event, which saw more than the text that the model gets.
const BATCH_RANK: u8 = 1;

#[derive(Default)]
struct Event<'a> {
    name: Option<Cow<'a, str>>,
    session: Option<Cow<'a, str>>,
    cwd: Option<Cow<'a, str>>,
    prompt_id: Option<Cow<'a, str>>,
    agent_id: Option<Cow<'a, str>>,
    agent_type: Option<Cow<'a, str>>,
    prompt: Option<LazyValue<'a>>,
    reason: Option<Cow<'a, str>>,
    trigger: Option<Cow<'a, str>>,
    call: Call<'a>,
    calls: Option<LazyValue<'a>>,
}

/// The fields of one tool call, in an event of its own or in a batch.
#[derive(Default)]
struct Call<'a> {
    id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    input: Option<LazyValue<'a>>,
    response: Option<LazyValue<'a>>,
    error: Option<LazyValue<'a>>,
    is_interrupt: bool,
    duration_ms: Option<u64>,
}

/// Tells `out` the facts of one event, whole or redacted, that happened at `at`.
///
/// SessionStart tells nothing: on a fork it names the parent. A session opens with its first prompt.
pub fn decode_hook(payload: &[u8], at: UnixMs, workspaces: &mut dyn Workspaces, out: &mut dyn FnMut(Fact)) -> HookVerdict {
    let event = match Event::parse(payload) {
        Ok(event) => event,
        Err(reason) => return HookVerdict::Malformed(reason),
    };
    let Some(name) = event.name.as_deref() else { return HookVerdict::Malformed("hook_event_name: missing or no string") };
    let Some(session) = event.session.as_deref() else { return HookVerdict::Malformed("session_id: missing or no string") };
    let workspace = event.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return HookVerdict::Excluded;
    }
    if name == "SessionStart" {
        return HookVerdict::NoFacts;
    }
    let key = Key::of(KeySpace::Session, AGENT, session);
    let project = workspace.project.as_deref().map(str::to_owned);
    let context = Context {
        at,
        session: key,
        turn: event.prompt_id.as_deref().map(turn::key),
        subagent: event.agent_id.as_deref().map(str::to_owned),
        holders: Holders::one(Holder { session: key, live: true, project, branch: None }),
    };
    let mut fact = None;
    match name {
        "UserPromptSubmit" => fact = event.turn(&context).map(Fact::Turn),
        "PreToolUse" => fact = event.call.asked(&context).map(Fact::ToolCall),
        "PostToolUse" | "PostToolUseFailure" => {
            let Some(call) = event.call.ended(&context, name == "PostToolUseFailure") else {
                return HookVerdict::Malformed("tool_use_id: missing or no string");
            };
            fact = Some(Fact::ToolCall(call));
        }
        "PostToolBatch" => {
            if let Some(calls) = &event.calls {
                json::for_items(calls, |item| {
                    let mut call = Call::default();
                    json::for_fields(&item, |name, value| call.see(name, value));
                    call.in_batch(&context).map(Fact::ToolCall).into_iter().for_each(&mut *out);
                });
            }
        }
        "Stop" => fact = event.stopped(&context).map(Fact::Turn),
        "SubagentStart" => fact = event.subagent_incident(&context, IncidentKind::SubagentStart),
        "SubagentStop" => fact = event.subagent_incident(&context, IncidentKind::SubagentStop),
        "PreCompact" => {
            let id = format!("{session}/{at}");
            fact = Some(context.incident(IncidentKind::CompactionAnnounced, &id, event.trigger.as_deref()));
        }
        "PermissionRequest" => {
            let id = event.call.id.as_deref().map_or_else(|| format!("{session}/{at}"), str::to_owned);
            fact = Some(context.incident(IncidentKind::PermissionRequest, &id, event.call.name.as_deref()));
        }
        "SessionEnd" => {
            let mut ended = context.new_session(session);
            ended.ended_at = Witness::Hook.tells(FieldClass::Timing, at);
            ended.end_reason = attribution(event.reason.as_deref());
            out(Fact::Session(ended));
            return HookVerdict::Decoded;
        }
        _ => return HookVerdict::NoFacts,
    }
    let mut known = context.new_session(session);
    known.started_at = Witness::Hook.tells(FieldClass::Timing, at);
    known.last_at = Witness::Hook.tells(FieldClass::Timing, at);
    known.opened_at = Witness::Hook.tells(FieldClass::Timing, at);
    known.cwd = attribution(event.cwd.as_deref());
    out(Fact::Session(known));
    fact.into_iter().for_each(out);
    HookVerdict::Decoded
}

/// What all facts of an event share.
struct Context {
    at: UnixMs,
    session: Key,
    turn: Option<Key>,
    subagent: Option<String>,
    holders: Holders,
}

impl Context {
    fn new_session(&self, id: &str) -> Session {
        let mut session = Session::new(self.session, AGENT, id);
        session.witnesses = Witnesses::only(Witness::Hook);
        session.holders = Holders::one(Holder { session: self.session, live: true, project: None, branch: None });
        session
    }

    fn incident(&self, kind: IncidentKind, id: &str, detail: Option<&str>) -> Fact {
        let id = format!("{}/{id}", kind.name());
        let mut incident = Incident::new(Key::of(KeySpace::Incident, AGENT, &id), AGENT, id);
        incident.witnesses = Witnesses::only(Witness::Hook);
        incident.holders = self.holders.clone();
        incident.kind = Witness::Hook.tells(FieldClass::Attribution, kind);
        incident.at = Witness::Hook.tells(FieldClass::Attribution, self.at);
        incident.detail = attribution(detail.filter(|word| word.len() <= 64));
        Fact::Incident(incident)
    }
}

impl<'a> Event<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(payload).map_err(|_| "the event is not UTF-8")?;
        if json::is_too_deep(payload) {
            return Err("the event is nested too deep");
        }
        let mut event = Self::default();
        for field in sonic_rs::to_object_iter(text) {
            let (name, value) = field.map_err(|_| "the event is not a JSON object")?;
            let id = || json::text(&value).filter(|id| !id.is_empty());
            match &*name {
                "hook_event_name" => event.name = id(),
                "session_id" => event.session = id(),
                "cwd" => event.cwd = id(),
                "prompt_id" => event.prompt_id = id(),
                "agent_id" => event.agent_id = id(),
                "agent_type" => event.agent_type = id(),
                "reason" => event.reason = json::text(&value),
                "trigger" => event.trigger = json::text(&value),
                "prompt" => event.prompt = Some(value),
                "tool_calls" => event.calls = Some(value),
                _ => event.call.see(&name, value),
            }
        }
        Ok(event)
    }

    fn turn(&self, context: &Context) -> Option<Turn> {
        // Clients before 2.1.43 have no prompt ids; the transcript tells their turns.
        let mut told = new_turn(self.prompt_id.as_deref()?, context);
        told.started_at = Witness::Hook.tells(FieldClass::Timing, context.at);
        told.prompt_bytes = Told::maybe(Witness::Hook.rank(FieldClass::Attribution), self.prompt.as_ref().and_then(text_bytes));
        Some(told)
    }

    fn stopped(&self, context: &Context) -> Option<Turn> {
        let mut told = new_turn(self.prompt_id.as_deref()?, context);
        told.ended_at = Witness::Hook.tells(FieldClass::Timing, context.at);
        Some(told)
    }

    fn subagent_incident(&self, context: &Context, kind: IncidentKind) -> Option<Fact> {
        Some(context.incident(kind, self.agent_id.as_deref()?, self.agent_type.as_deref()))
    }
}

fn new_turn(id: &str, context: &Context) -> Turn {
    let mut told = Turn::new(turn::key(id), AGENT, id);
    told.witnesses = Witnesses::only(Witness::Hook);
    told.holders = context.holders.clone();
    told
}

impl<'a> Call<'a> {
    fn see(&mut self, name: &str, value: LazyValue<'a>) {
        match name {
            "tool_use_id" => self.id = json::text(&value).filter(|id| !id.is_empty()),
            "tool_name" => self.name = json::text(&value),
            "tool_input" => self.input = Some(value),
            "tool_response" => self.response = Some(value),
            "error" => self.error = Some(value),
            "is_interrupt" => self.is_interrupt = value.as_bool() == Some(true),
            "duration_ms" => self.duration_ms = json::count(&value),
            _ => {}
        }
    }

    /// The call, as far as every event tells of it.
    fn call(&self, context: &Context) -> Option<ToolCall> {
        let id = self.id.as_deref()?;
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, id), AGENT, id);
        call.witnesses = Witnesses::only(Witness::Hook);
        call.holders = context.holders.clone();
        call.name = attribution(self.name.as_deref());
        let rank = Witness::Hook.rank(FieldClass::Attribution);
        call.turn = Told::maybe(rank, context.turn);
        call.subagent = Told::maybe(rank, context.subagent.clone());
        if let Some(input) = &self.input {
            call.input_bytes = Told::maybe(rank, json_bytes(input));
            call.target = Told::maybe(rank, tool::target(input));
        }
        Some(call)
    }

    fn asked(&self, context: &Context) -> Option<ToolCall> {
        let mut call = self.call(context)?;
        call.started_at = Witness::Hook.tells(FieldClass::Timing, context.at);
        Some(call)
    }

    fn ended(&self, context: &Context, failed: bool) -> Option<ToolCall> {
        let mut call = self.call(context)?;
        call.ended_at = Witness::Hook.tells(FieldClass::Timing, context.at);
        call.duration_ms = Told::maybe(Witness::Hook.rank(FieldClass::Timing), self.duration_ms);
        let (outcome, kind) = match self.error.as_ref().and_then(json::text) {
            _ if !failed => (Outcome::Ok, None),
            _ if self.is_interrupt => (Outcome::Interrupted, Some("user")),
            Some(error) => tool::judge(&error),
            None => (Outcome::Error, None),
        };
        call.outcome = Witness::Hook.tells(FieldClass::Outcome, outcome);
        call.error_kind = Told::maybe(Witness::Hook.rank(FieldClass::Outcome), kind.map(str::to_owned));
        Some(call)
    }

    /// A batch alone tells of calls that never ran: their answer is an error of the client's own.
    fn in_batch(&self, context: &Context) -> Option<ToolCall> {
        let mut call = self.call(context)?;
        let Some(response) = &self.response else { return Some(call) };
        let rank = Witness::Hook.rank(FieldClass::Attribution);
        call.result_bytes = Told::maybe(rank, text_bytes(response));
        let text = json::text(response).unwrap_or_default();
        if text.starts_with("<tool_use_error>") || text.starts_with("Error: No such tool available") {
            let (outcome, kind) = tool::judge(&text);
            call.outcome = Told::by(BATCH_RANK, outcome);
            call.error_kind = Told::maybe(BATCH_RANK, kind.map(str::to_owned));
        }
        Some(call)
    }
}
