//! Parts of messages: a tool's call, a compaction, the text of a prompt.

use std::borrow::Cow;

use ducat_ledger::{Fact, IncidentKind, Key, Outcome, UnixMs};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::copy::is_copy;
use crate::claude_code::target;
use crate::json;
use crate::telling::{Telling, attribution, call_id, name, outcome, timing};

#[derive(Debug, Default)]
pub struct Part<'a> {
    pub id: Option<Cow<'a, str>>,
    pub message: Option<Cow<'a, str>>,
    pub session: Option<Cow<'a, str>>,
    kind: Option<Cow<'a, str>>,
    tool: Option<Cow<'a, str>>,
    call: Option<Cow<'a, str>>,
    state: State<'a>,
    /// UTF-8 bytes of a text part that the user wrote.
    text_bytes: Option<u64>,
    is_synthetic: bool,
    is_automatic: Option<bool>,
}

#[derive(Debug, Default)]
struct State<'a> {
    status: Option<Cow<'a, str>>,
    input: Option<LazyValue<'a>>,
    output_bytes: Option<u64>,
    error: Option<Cow<'a, str>>,
    exit_code: Option<i64>,
    started_at: Option<UnixMs>,
    ended_at: Option<UnixMs>,
}

/// Which message a part is of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Of<'a> {
    pub message: Option<&'a str>,
    pub created_at: Option<UnixMs>,
    pub request: Option<Key>,
    pub turn: Option<Key>,
}

impl<'a> Part<'a> {
    pub fn parse(value: &LazyValue<'a>) -> Self {
        let mut part = Self::default();
        json::for_fields(value, |field, value| match field {
            "id" => part.id = json::id(&value),
            "messageID" => part.message = json::id(&value),
            "sessionID" => part.session = json::id(&value),
            "type" => part.kind = json::id(&value),
            "tool" => part.tool = json::id(&value),
            "callID" => part.call = json::id(&value),
            "state" => part.state = State::parse(&value),
            "text" => part.text_bytes = json::text(&value).map(|text| text.len() as u64),
            "synthetic" => part.is_synthetic = value.as_bool() == Some(true),
            "auto" => part.is_automatic = value.as_bool(),
            _ => {}
        });
        part
    }

    /// Bytes of a prompt, where the part is a piece of one.
    pub fn prompt_bytes(&self) -> Option<u64> {
        self.text_bytes.filter(|_| self.kind.as_deref() == Some("text") && !self.is_synthetic)
    }

    /// Tells its tool call or compaction; false when it is neither.
    pub fn tell(&self, of: Of<'_>, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) -> bool {
        let Some(message) = of.message.or(self.message.as_deref()) else { return false };
        if is_copy(message, of.created_at.or(self.state.started_at)) {
            return false;
        }
        match self.kind.as_deref() {
            Some("tool") => self.tell_call(message, of, telling, out),
            Some("compaction") => {
                let Some(id) = self.id.as_deref() else { return false };
                let mut incident = telling.incident(IncidentKind::Compaction, id, of.created_at);
                let word = self.is_automatic.map(|automatic| if automatic { "auto" } else { "manual" });
                incident.detail = attribution(word.map(str::to_owned));
                out(Fact::Incident(incident));
                true
            }
            _ => false,
        }
    }

    fn tell_call(&self, message: &str, of: Of<'_>, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) -> bool {
        let Some(id) = self.call.as_deref() else { return false };
        let mut call = telling.tool_call(&call_id(id, message));
        let ended = self.state.ended(self.tool.as_deref());
        call.name = attribution(name(self.tool.as_deref()));
        call.outcome = outcome(ended.map(|(ended, _)| ended));
        call.error_kind = outcome(ended.and_then(|(_, kind)| kind).map(str::to_owned));
        call.started_at = timing(self.state.started_at);
        call.ended_at = timing(self.state.ended_at);
        call.input_bytes = attribution(self.state.input.as_ref().map(|input| input.as_raw_str().len() as u64));
        call.result_bytes = attribution(self.state.output_bytes);
        call.target = attribution(self.state.input.as_ref().and_then(target));
        call.request = attribution(of.request);
        call.turn = attribution(of.turn);
        out(Fact::ToolCall(call));
        true
    }
}

impl<'a> State<'a> {
    fn parse(value: &LazyValue<'a>) -> Self {
        let mut state = Self::default();
        json::for_fields(value, |field, value| match field {
            "status" => state.status = json::id(&value),
            "input" => state.input = Some(value).filter(LazyValue::is_object),
            "output" => state.output_bytes = json::text(&value).map(|text| text.len() as u64),
            "error" => state.error = json::text(&value),
            "metadata" => json::for_fields(&value, |field, value| {
                if field == "exit" {
                    state.exit_code = value.as_i64();
                }
            }),
            "time" => json::for_fields(&value, |field, value| match field {
                "start" => state.started_at = json::time(&value),
                "end" => state.ended_at = json::time(&value),
                _ => {}
            }),
            _ => {}
        });
        state
    }

    /// How the call ended; not at all while it is pending or running. A call that cannot be made is given to the tool `invalid`.
    fn ended(&self, tool: Option<&str>) -> Option<(Outcome, Option<&'static str>)> {
        match self.status.as_deref()? {
            "completed" if tool == Some("invalid") => Some((Outcome::Refused, Some("validation"))),
            "completed" => match self.exit_code {
                None | Some(0) => Some((Outcome::Ok, None)),
                Some(_) => Some((Outcome::Error, Some("exit_code"))),
            },
            "error" => Some(judge(self.error.as_deref().unwrap_or_default())),
            _ => None,
        }
    }
}

/// What an error says of the call; the words are the client's own.
fn judge(error: &str) -> (Outcome, Option<&'static str>) {
    if error.contains("rejected permission") || error.contains("prevents you from using") {
        (Outcome::Refused, Some("permission"))
    } else if error.contains("invalid arguments") {
        (Outcome::Refused, Some("validation"))
    } else if error.starts_with("Tool execution aborted") || error.starts_with("The operation was aborted") {
        (Outcome::Interrupted, Some("user"))
    } else if error.starts_with("File not found") || error.starts_with("ENOENT") {
        (Outcome::Error, Some("not_found"))
    } else if error.contains("timed out") {
        (Outcome::Error, Some("timeout"))
    } else {
        (Outcome::Error, Some("other"))
    }
}
