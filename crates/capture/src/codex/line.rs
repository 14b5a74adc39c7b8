//! A line of a rollout, taken apart without parsing what it holds.

use std::borrow::Cow;

use ducat_ledger::UnixMs;
use sonic_rs::{JsonValueTrait, LazyValue};

use super::tokens::Tokens;
use crate::json;

/// Longer names are no names.
const LONGEST_NAME: usize = 200;

pub struct Line<'a> {
    /// `None` in lines of the oldest clients, which are payloads themselves.
    pub kind: Option<Cow<'a, str>>,
    pub at: Option<UnixMs>,
    pub payload: Payload<'a>,
}

impl<'a> Line<'a> {
    /// The error says why it is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        if json::is_too_deep(bytes) {
            return Err("nested too deep");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "no UTF-8")?;
        if !text.trim_start().starts_with('{') {
            return Err("no JSON object");
        }
        let (mut kind, mut at, mut payload, mut bare) = (None, None, None, Vec::new());
        for field in sonic_rs::to_object_iter(text) {
            let (name, value) = field.map_err(|_| "no JSON object")?;
            match &*name {
                "type" => kind = json::text(&value),
                "timestamp" => at = time(&value),
                "payload" => payload = Some(Payload::of(&value)),
                _ => {}
            }
            bare.push((name.to_string(), value));
        }
        Ok(match payload {
            Some(payload) => Self { kind, at, payload },
            None => Self { kind: None, at, payload: Payload(bare) },
        })
    }
}

pub fn time(value: &LazyValue<'_>) -> Option<UnixMs> {
    json::text(value)?.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond())
}

/// The fields of a payload.
pub struct Payload<'a>(Vec<(String, LazyValue<'a>)>);

impl<'a> Payload<'a> {
    pub fn of(value: &LazyValue<'a>) -> Self {
        let mut fields = Vec::new();
        json::for_fields(value, |name, value| fields.push((name.to_owned(), value)));
        Self(fields)
    }

    pub fn get(&self, name: &str) -> Option<&LazyValue<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn inner(&self, name: &str) -> Payload<'a> {
        self.get(name).map_or(Payload(Vec::new()), Payload::of)
    }

    pub fn kind(&self) -> Option<&str> {
        self.get("type").and_then(|value| value.as_str())
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(json::text).filter(|text| !text.is_empty()).map(Cow::into_owned)
    }

    pub fn name(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| text.len() <= LONGEST_NAME)
    }

    pub fn nested(&self, outer: &str, name: &str) -> Option<String> {
        self.inner(outer).name(name)
    }

    pub fn time(&self, name: &str) -> Option<UnixMs> {
        self.get(name).and_then(time)
    }

    pub fn tokens(&self, name: &str) -> Option<Tokens> {
        self.get(name).and_then(Tokens::parse)
    }

    /// The running total and the last call's counts of a `token_count`.
    pub fn totals(&self) -> Option<(Tokens, Option<Tokens>)> {
        let info = self.inner("info");
        Some((info.tokens("total_token_usage")?, info.tokens("last_token_usage")))
    }

    /// Newer clients tell it among the settings of how they collaborate.
    pub fn effort(&self) -> Option<String> {
        self.inner("collaboration_mode").nested("settings", "reasoning_effort")
    }

    /// Of a thread that a sub-agent is: its role, else how it came to be.
    pub fn subagent_type(&self) -> Option<String> {
        let source = self.inner("source");
        let spawned = source.inner("subagent").inner("thread_spawn");
        let spawned = spawned.name("agent_role").or_else(|| (!spawned.0.is_empty()).then(|| "thread_spawn".to_owned()));
        spawned.or_else(|| source.nested_name("subagent"))
    }

    /// A word, or the name of an object's only field: how enumerations are written.
    pub fn nested_name(&self, name: &str) -> Option<String> {
        let first = || self.inner(name).0.into_iter().next().map(|(name, _)| name).filter(|name| name.len() <= LONGEST_NAME);
        self.name(name).or_else(first)
    }
}
