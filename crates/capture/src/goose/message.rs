//! Messages: the user's prompts are turns, what the model asked for and got back are tool calls.

use std::borrow::Cow;

use ducat_ledger::{Fact, Key, Outcome, UnixMs};
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::claude_code::target;
use crate::json;
use crate::telling::{Telling, attribution, call_id, name, outcome, timing};

#[derive(Debug, Default)]
pub struct Message<'a> {
    pub role: Option<Cow<'a, str>>,
    pub created_at: Option<UnixMs>,
    pub content: Option<LazyValue<'a>>,
}

/// Seconds since 1970, as Goose keeps them, to milliseconds; larger numbers are milliseconds already.
pub fn from_seconds(seconds: i64) -> UnixMs {
    const LATEST: i64 = 100_000_000_000;
    if seconds.unsigned_abs() < LATEST.unsigned_abs() { seconds * 1000 } else { seconds }
}

impl<'a> Message<'a> {
    pub fn parse(value: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(value, |field, value| match field {
            "role" => message.role = json::id(&value),
            "created" => message.created_at = value.as_i64().map(from_seconds),
            "content" => message.content = Some(value),
            _ => {}
        });
        message
    }

    /// Tells a turn or tool calls. `turn`: the last prompt's, which becomes this one's where it is a prompt.
    pub fn tell(&self, turn: &mut Option<Key>, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
        let Some(content) = &self.content else { return };
        let session = telling.session.unwrap_or_default();
        let mut prompt_bytes = None;
        json::for_items(content, |item| {
            let block = Block::parse(&item);
            match (block.kind.as_deref(), block.id.as_deref()) {
                (Some("text"), _) if self.role.as_deref() == Some("user") => {
                    prompt_bytes = Some(prompt_bytes.unwrap_or(0_u64).saturating_add(block.text_bytes));
                }
                (Some("toolRequest"), Some(id)) => {
                    let mut call = telling.tool_call(&call_id(id, session));
                    call.name = attribution(name(block.name.as_deref()));
                    call.input_bytes = attribution(block.input.as_ref().map(|input| input.as_raw_str().len() as u64));
                    call.target = attribution(block.input.as_ref().and_then(target));
                    call.started_at = timing(self.created_at);
                    call.turn = attribution(*turn);
                    out(Fact::ToolCall(call));
                }
                (Some("toolResponse"), Some(id)) => {
                    let mut call = telling.tool_call(&call_id(id, session));
                    let (ended, kind) = block.ended();
                    call.outcome = outcome(Some(ended));
                    call.error_kind = outcome(kind.map(str::to_owned));
                    call.ended_at = timing(self.created_at);
                    call.result_bytes = attribution(block.result.as_ref().map(|result| result.as_raw_str().len() as u64));
                    call.turn = attribution(*turn);
                    out(Fact::ToolCall(call));
                }
                _ => {}
            }
        });
        if let (Some(bytes), Some(at)) = (prompt_bytes, self.created_at) {
            // Files and database give messages other ids; their times are the same.
            let id = format!("{session}/{at}");
            *turn = Some(telling.turn_key(&id));
            out(Fact::Turn(telling.turn(&id, Some(at), Some(bytes))));
        }
    }
}

/// A part of a message's content.
#[derive(Debug, Default)]
struct Block<'a> {
    kind: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    text_bytes: u64,
    name: Option<Cow<'a, str>>,
    input: Option<LazyValue<'a>>,
    is_success: bool,
    is_error: bool,
    result: Option<LazyValue<'a>>,
}

impl<'a> Block<'a> {
    fn parse(item: &LazyValue<'a>) -> Self {
        let mut block = Self::default();
        json::for_fields(item, |field, value| match field {
            "type" => block.kind = json::id(&value),
            "id" => block.id = json::id(&value),
            "text" => block.text_bytes = json::text(&value).map_or(0, |text| text.len() as u64),
            "toolCall" => json::for_fields(&value, |field, value| {
                if field == "value" {
                    json::for_fields(&value, |field, value| match field {
                        "name" => block.name = json::id(&value),
                        "arguments" => block.input = Some(value),
                        _ => {}
                    });
                }
            }),
            "toolResult" => json::for_fields(&value, |field, value| match field {
                "status" => block.is_success = json::text(&value).as_deref() == Some("success"),
                "value" | "error" => {
                    json::for_fields(&value, |field, value| {
                        if field == "isError" {
                            block.is_error = value.as_bool() == Some(true);
                        }
                    });
                    block.result = Some(value);
                }
                _ => {}
            }),
            _ => {}
        });
        block
    }

    /// How the call ended; the words are the client's own.
    fn ended(&self) -> (Outcome, Option<&'static str>) {
        let says = |words: &str| self.result.as_ref().is_some_and(|result| result.as_raw_str().contains(words));
        if says("user has declined to run this tool") {
            (Outcome::Refused, Some("permission"))
        } else if self.is_success && !self.is_error {
            (Outcome::Ok, None)
        } else {
            (Outcome::Error, Some("other"))
        }
    }
}
