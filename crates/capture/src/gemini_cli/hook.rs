//! Hook events to facts: what Gemini CLI writes to a hook's standard input.

use ducat_ledger::{Fact, FieldClass, Outcome, UnixMs, Witness};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::AGENT;
use crate::hook::{Context, Event, HookVerdict};
use crate::{Workspaces, json};

/// Tells `out` the facts of one event, whole or redacted, that happened at `at`.
///
/// No event has an id of its call or turn. A call is told by AfterTool alone, for a BeforeTool of the same tool and input may be of another
/// call; a turn by BeforeAgent alone, so it has no end. AfterModel's usage leaves cached tokens out and comes with every streamed part: no
/// request is told. SessionStart tells nothing: a session opens with its first prompt.
pub fn decode_hook(payload: &[u8], at: UnixMs, workspaces: &mut dyn Workspaces, out: &mut dyn FnMut(Fact)) -> HookVerdict {
    let event = match Event::parse(payload) {
        Ok(event) => event,
        Err(reason) => return HookVerdict::Malformed(reason),
    };
    let Some(context) = Context::new(AGENT, &event, at, workspaces) else { return HookVerdict::Excluded };
    let fact = match &*event.name {
        "SessionEnd" => {
            out(context.ended(&event));
            return HookVerdict::Decoded;
        }
        "BeforeAgent" => {
            let Some(id) = identity(&event, "") else { return NO_TIMESTAMP };
            Some(Fact::Turn(context.asked(&event, &id)))
        }
        "AfterTool" => {
            let Some(tool) = event.tool_name.as_deref() else {
                return HookVerdict::Malformed("tool_name: missing or no string");
            };
            let Some(id) = identity(&event, tool) else { return NO_TIMESTAMP };
            let mut call = context.call(&event, &id);
            call.keyless = Witness::Hook.tells(FieldClass::Attribution, true);
            call.ended_at = Witness::Hook.tells(FieldClass::Timing, at);
            if let Some(response) = &event.tool_response {
                let outcome = if has_error(response) { Outcome::Error } else { Outcome::Ok };
                call.outcome = Witness::Hook.tells(FieldClass::Outcome, outcome);
            }
            Some(Fact::ToolCall(call))
        }
        "BeforeTool" | "AfterAgent" => None,
        _ => return HookVerdict::NoFacts,
    };
    out(context.working(&event));
    fact.into_iter().for_each(out);
    HookVerdict::Decoded
}

const NO_TIMESTAMP: HookVerdict = HookVerdict::Malformed("timestamp: missing or no string");

/// What no other event of this kind has. Calls that end in one millisecond differ by their input.
fn identity(event: &Event<'_>, tool: &str) -> Option<String> {
    let input = event.tool_input.as_ref().map_or(0, input_hash);
    Some(format!("{}/{}/{tool}/{input:016x}", event.session, event.timestamp.as_deref()?))
}

/// FNV-1a (64 bits) of the JSON, also of one that was redacted.
fn input_hash(input: &LazyValue<'_>) -> u64 {
    let mut told = None;
    json::for_fields(input, |name, value| {
        if name == "ducat_hash" {
            told = json::text(&value).and_then(|hex| u64::from_str_radix(&hex, 16).ok());
        }
    });
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    told.unwrap_or_else(|| input.as_raw_str().bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// Whether the tool answered with an error; redaction keeps that there was one.
fn has_error(response: &LazyValue<'_>) -> bool {
    let mut found = false;
    json::for_fields(response, |name, value| found |= name == "error" && !value.is_null());
    found
}
