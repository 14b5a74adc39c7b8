//! Hook events to facts: what Codex writes to a hook's standard input.

use ducat_ledger::{Fact, FieldClass, Key, KeySpace, Told, UnixMs, Witness};

use super::AGENT;
use crate::Workspaces;
use crate::hook::{Context, Event, HookVerdict};

/// Tells `out` the facts of one event, whole or redacted, that happened at `at`.
///
/// PostToolUse says nothing of success: the outcome stays unknown here. Codex has no event for a session's end.
pub fn decode_hook(payload: &[u8], at: UnixMs, workspaces: &mut dyn Workspaces, out: &mut dyn FnMut(Fact)) -> HookVerdict {
    let event = match Event::parse(payload) {
        Ok(event) => event,
        Err(reason) => return HookVerdict::Malformed(reason),
    };
    let Some(context) = Context::new(AGENT, &event, at, workspaces) else { return HookVerdict::Excluded };
    let timing = |at| Witness::Hook.tells(FieldClass::Timing, at);
    let fact = match &*event.name {
        "UserPromptSubmit" => event.turn_id.as_deref().map(|id| Fact::Turn(context.asked(&event, id))),
        "Stop" => event.turn_id.as_deref().map(|id| {
            let mut turn = context.turn(id);
            turn.ended_at = timing(at);
            Fact::Turn(turn)
        }),
        name @ ("PreToolUse" | "PostToolUse") => {
            let Some(id) = event.tool_use_id.as_deref() else {
                return HookVerdict::Malformed("tool_use_id: missing or no string");
            };
            let mut call = context.call(&event, id);
            let turn = event.turn_id.as_deref().map(|id| Key::of(KeySpace::Turn, AGENT, id));
            call.turn = Told::maybe(Witness::Hook.rank(FieldClass::Attribution), turn);
            *(if name == "PreToolUse" { &mut call.started_at } else { &mut call.ended_at }) = timing(at);
            Some(Fact::ToolCall(call))
        }
        _ => return HookVerdict::NoFacts,
    };
    out(context.working(&event));
    fact.into_iter().for_each(out);
    HookVerdict::Decoded
}
