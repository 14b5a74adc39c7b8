//! What hook events of several agents have in common: the fields, the session that they open, the sizes of what was redacted.

use std::borrow::Cow;

use ducat_ledger::{Fact, FieldClass, Holder, Holders, Key, KeySpace, Session, Told, ToolCall, Turn, UnixMs, Witness, Witnesses};
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::claude_code::tool;
use crate::{Workspaces, claude_code, codex, gemini_cli, json};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookVerdict {
    Decoded,
    /// Readable, and nothing in it is a fact: an event we do not ask for, or one that tells nothing new.
    NoFacts,
    /// Of a project that the user excluded.
    Excluded,
    /// The reason, naming the field.
    Malformed(&'static str),
}

/// Tells the facts of an event, whole or redacted, that happened at a time.
pub type DecodeEvent = fn(&[u8], UnixMs, &mut dyn Workspaces, &mut dyn FnMut(Fact)) -> HookVerdict;

/// What decodes events by the name of who tells them; hooks of agents, and what else comes the same way.
pub const EVENTS: [(&str, DecodeEvent); 6] = [
    (claude_code::AGENT, claude_code::decode_hook),
    (codex::AGENT, codex::decode_hook),
    (gemini_cli::AGENT, gemini_cli::decode_hook),
    (claude_code::STATUS_LINE, claude_code::decode_status_line),
    (claude_code::RESULT, claude_code::decode_result),
    (codex::RESULT, codex::decode_result),
];

/// The decoder of one who tells events; the error names those that are known.
pub fn event_decoder(agent: &str) -> Result<DecodeEvent, String> {
    let known = EVENTS.iter().find(|(name, _)| *name == agent).map(|(_, decode)| *decode);
    known.ok_or_else(|| format!("agent: {agent:?} is not known; there are {}", EVENTS.map(|(name, _)| name).join(", ")))
}

/// The fields that Codex and Gemini CLI write as Claude Code does.
#[derive(Default)]
pub(crate) struct Event<'a> {
    pub name: Cow<'a, str>,
    pub session: Cow<'a, str>,
    pub cwd: Option<Cow<'a, str>>,
    /// RFC 3339, from Gemini CLI.
    pub timestamp: Option<Cow<'a, str>>,
    /// From Codex.
    pub turn_id: Option<Cow<'a, str>>,
    pub tool_use_id: Option<Cow<'a, str>>,
    pub reason: Option<Cow<'a, str>>,
    pub prompt: Option<LazyValue<'a>>,
    pub tool_name: Option<Cow<'a, str>>,
    pub tool_input: Option<LazyValue<'a>>,
    pub tool_response: Option<LazyValue<'a>>,
}

impl<'a> Event<'a> {
    /// The event, or what is wrong with it.
    pub fn parse(payload: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(payload).map_err(|_| "the event is not UTF-8")?;
        if json::is_too_deep(payload) {
            return Err("the event is nested too deep");
        }
        let mut event = Self::default();
        for field in sonic_rs::to_object_iter(text) {
            let (name, value) = field.map_err(|_| "the event is not a JSON object")?;
            let id = || json::text(&value).filter(|id| !id.is_empty());
            match &*name {
                "hook_event_name" => event.name = id().unwrap_or_default(),
                "session_id" => event.session = id().unwrap_or_default(),
                "cwd" => event.cwd = id(),
                "timestamp" => event.timestamp = id(),
                "turn_id" => event.turn_id = id(),
                "tool_use_id" => event.tool_use_id = id(),
                "reason" => event.reason = json::text(&value),
                "tool_name" => event.tool_name = json::text(&value),
                "prompt" => event.prompt = Some(value),
                "tool_input" => event.tool_input = Some(value),
                "tool_response" => event.tool_response = Some(value),
                _ => {}
            }
        }
        match () {
            () if event.name.is_empty() => Err("hook_event_name: missing or no string"),
            () if event.session.is_empty() => Err("session_id: missing or no string"),
            () => Ok(event),
        }
    }
}

/// What all facts of an event share.
pub(crate) struct Context {
    pub agent: &'static str,
    pub at: UnixMs,
    session: Key,
    holders: Holders,
}

impl Context {
    /// `None` where the user excluded the project.
    pub fn new(agent: &'static str, event: &Event<'_>, at: UnixMs, workspaces: &mut dyn Workspaces) -> Option<Self> {
        let workspace = event.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
        let session = Key::of(KeySpace::Session, agent, &event.session);
        let project = workspace.project.as_deref().map(str::to_owned);
        let holders = Holders::one(Holder { session, live: true, project, branch: None });
        (!workspace.excluded).then_some(Self { agent, at, session, holders })
    }

    fn new_session(&self, event: &Event<'_>) -> Session {
        let mut session = Session::new(self.session, self.agent, &*event.session);
        session.witnesses = Witnesses::only(Witness::Hook);
        session.holders = Holders::one(Holder { session: self.session, live: true, project: None, branch: None });
        session
    }

    /// The session, at work.
    pub fn working(&self, event: &Event<'_>) -> Fact {
        let mut session = self.new_session(event);
        session.started_at = Witness::Hook.tells(FieldClass::Timing, self.at);
        session.last_at = Witness::Hook.tells(FieldClass::Timing, self.at);
        session.opened_at = Witness::Hook.tells(FieldClass::Timing, self.at);
        session.cwd = attribution(event.cwd.as_deref());
        Fact::Session(session)
    }

    /// The session, at its end.
    pub fn ended(&self, event: &Event<'_>) -> Fact {
        let mut session = self.new_session(event);
        session.ended_at = Witness::Hook.tells(FieldClass::Timing, self.at);
        session.end_reason = attribution(event.reason.as_deref());
        Fact::Session(session)
    }

    pub fn turn(&self, id: &str) -> Turn {
        let mut turn = Turn::new(Key::of(KeySpace::Turn, self.agent, id), self.agent, id);
        turn.witnesses = Witnesses::only(Witness::Hook);
        turn.holders = self.holders.clone();
        turn
    }

    pub fn asked(&self, event: &Event<'_>, id: &str) -> Turn {
        let mut turn = self.turn(id);
        turn.started_at = Witness::Hook.tells(FieldClass::Timing, self.at);
        turn.prompt_bytes = Told::maybe(Witness::Hook.rank(FieldClass::Attribution), event.prompt.as_ref().and_then(text_bytes));
        turn
    }

    pub fn call(&self, event: &Event<'_>, id: &str) -> ToolCall {
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, self.agent, id), self.agent, id);
        call.witnesses = Witnesses::only(Witness::Hook);
        call.holders = self.holders.clone();
        call.name = attribution(event.tool_name.as_deref());
        let rank = Witness::Hook.rank(FieldClass::Attribution);
        if let Some(input) = &event.tool_input {
            call.input_bytes = Told::maybe(rank, json_bytes(input));
            call.target = Told::maybe(rank, tool::target(input));
        }
        call
    }
}

/// UTF-8 bytes of a string, also of one that was redacted.
pub(crate) fn text_bytes(value: &LazyValue<'_>) -> Option<u64> {
    json::text(value).map(|text| text.len() as u64).or_else(|| redacted(value, "ducat_text_bytes"))
}

/// Bytes of the JSON of an object, also of one that was redacted.
pub(crate) fn json_bytes(value: &LazyValue<'_>) -> Option<u64> {
    redacted(value, "ducat_json_bytes").or_else(|| value.is_object().then(|| value.as_raw_str().len() as u64))
}

fn redacted(value: &LazyValue<'_>, measure: &str) -> Option<u64> {
    let mut bytes = None;
    let mut is_redacted = false;
    json::for_fields(value, |name, field| {
        is_redacted |= name == "ducat_hash";
        if name == measure {
            bytes = json::count(&field);
        }
    });
    bytes.filter(|_| is_redacted)
}

pub(crate) fn attribution(value: Option<&str>) -> Told<String> {
    Told::maybe(Witness::Hook.rank(FieldClass::Attribution), value.map(str::to_owned))
}
