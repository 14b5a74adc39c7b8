//! The outer fields of a line, and of the message in it.

use std::borrow::Cow;

use ducat_ledger::UnixMs;
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::json;

#[derive(Debug, Default)]
pub struct Entry<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub id: Option<Cow<'a, str>>,
    pub at: Option<UnixMs>,
    pub cwd: Option<Cow<'a, str>>,
    pub message: Option<Message<'a>>,
    pub thinking_level: Option<Cow<'a, str>>,
    pub tokens_before: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Message<'a> {
    pub role: Option<Cow<'a, str>>,
    pub at: Option<UnixMs>,
    /// A string, or an array of blocks.
    pub content: Option<LazyValue<'a>>,
    pub provider: Option<Cow<'a, str>>,
    pub model: Option<Cow<'a, str>>,
    pub response: Option<Cow<'a, str>>,
    pub stop_reason: Option<Cow<'a, str>>,
    pub usage: Option<Usage>,
    pub call: Option<Cow<'a, str>>,
    pub tool: Option<Cow<'a, str>>,
    pub is_error: bool,
}

#[derive(Debug, Default)]
pub struct Usage {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub reasoning: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    pub cost_usd: Option<f64>,
}

impl<'a> Entry<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut entry = Self::default();
        json::for_fields(&json::object(bytes)?, |field, value| match field {
            "type" => entry.kind = json::id(&value),
            "id" => entry.id = json::id(&value),
            "timestamp" => entry.at = json::time(&value),
            "cwd" => entry.cwd = json::id(&value),
            "thinkingLevel" => entry.thinking_level = json::id(&value),
            "tokensBefore" => entry.tokens_before = json::count(&value),
            "message" if value.is_object() => entry.message = Some(Message::parse(&value)),
            _ => {}
        });
        Ok(entry)
    }
}

impl<'a> Message<'a> {
    fn parse(value: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(value, |field, value| match field {
            "role" => message.role = json::id(&value),
            "timestamp" => message.at = json::time(&value),
            "content" => message.content = Some(value),
            "provider" => message.provider = json::id(&value),
            "model" => message.model = json::id(&value),
            "responseId" => message.response = json::id(&value),
            "stopReason" => message.stop_reason = json::id(&value),
            "usage" if value.is_object() => message.usage = Some(Usage::parse(&value)),
            "toolCallId" => message.call = json::id(&value),
            "toolName" => message.tool = json::id(&value),
            "isError" => message.is_error = value.as_bool() == Some(true),
            _ => {}
        });
        message
    }
}

impl Usage {
    fn parse(value: &LazyValue<'_>) -> Self {
        let mut usage = Self::default();
        json::for_fields(value, |field, value| match field {
            "input" => usage.input = json::count(&value),
            "output" => usage.output = json::count(&value),
            "reasoning" => usage.reasoning = json::count(&value),
            "cacheRead" => usage.cache_read = json::count(&value),
            "cacheWrite" => usage.cache_write = json::count(&value),
            "cost" => json::for_fields(&value, |field, value| {
                if field == "total" {
                    usage.cost_usd = json::number(&value);
                }
            }),
            _ => {}
        });
        usage
    }

    pub fn is_zero(&self) -> bool {
        [self.input, self.output, self.cache_read, self.cache_write].into_iter().all(|count| count.unwrap_or_default() == 0)
    }
}
