//! Tool calls of a rollout: asked for, answered, and how they ended.

use ducat_ledger::{FieldClass, Key, KeySpace, Outcome, Told, ToolCall, UnixMs, Witness, Witnesses};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::AGENT;
use super::line::Payload;
use crate::json;

/// What an item or event tells of a tool call, if it does.
pub fn tool_call(payload: &Payload<'_>, at: Option<UnixMs>) -> Option<ToolCall> {
    let timing = Witness::Transcript.rank(FieldClass::Timing);
    let kind = payload.kind()?;
    match kind {
        "function_call" | "custom_tool_call" | "local_shell_call" => {
            let mut call = new(payload.name("call_id").or_else(|| payload.name("id"))?);
            let rank = Witness::Transcript.rank(FieldClass::Attribution);
            let name = payload.name("name").or_else(|| (kind == "local_shell_call").then(|| "local_shell".to_owned()));
            call.name = Told::maybe(rank, name);
            call.started_at = Told::maybe(timing, at);
            let input = ["arguments", "input", "action"].iter().find_map(|name| payload.get(name));
            call.input_bytes = Told::maybe(rank, input.map(bytes));
            Some(call)
        }
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            let mut call = new(payload.name("call_id")?);
            call.ended_at = Told::maybe(timing, at);
            let output = payload.get("output");
            call.result_bytes = Told::maybe(Witness::Transcript.rank(FieldClass::Attribution), output.map(bytes));
            let (outcome, error) =
                output.map_or((Outcome::Ok, None), |output| outcome_of_output(&json::text(output).unwrap_or_default()));
            Some(ended(call, outcome, error))
        }
        "exec_command_end" | "patch_apply_end" | "mcp_tool_call_end" => {
            let call = measured(new(payload.name("call_id")?), payload);
            Some(of_end(call, payload))
        }
        "item_completed" => {
            let item = payload.inner("item");
            matches!(item.kind()?, "CommandExecution" | "FileChange" | "McpToolCall").then_some(())?;
            let call = measured(new(item.name("id")?), &item);
            Some(of_end(call, &item))
        }
        _ => None,
    }
}

fn new(id: String) -> ToolCall {
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, &id), AGENT, id);
    call.witnesses = Witnesses::only(Witness::Transcript);
    call
}

fn ended(mut call: ToolCall, outcome: Outcome, error: Option<&str>) -> ToolCall {
    let rank = Witness::Transcript.rank(FieldClass::Outcome);
    call.outcome = Told::by(rank, outcome);
    call.error_kind = Told::maybe(rank, error.map(str::to_owned));
    call
}

/// An end as an event tells it; without a word of failure nothing, because the output tells too.
fn of_end(call: ToolCall, payload: &Payload<'_>) -> ToolCall {
    let exit_code = payload.get("exit_code").and_then(JsonValueTrait::as_i64);
    let failed = payload.get("success").and_then(JsonValueTrait::as_bool) == Some(false);
    let failed = failed || payload.inner("result").get("Err").is_some();
    match (exit_code, payload.name("status").as_deref()) {
        (_, Some("declined")) => ended(call, Outcome::Refused, Some("permission")),
        (Some(code), _) if code != 0 => ended(call, Outcome::Error, Some("exit_code")),
        (Some(_), _) => ended(call, Outcome::Ok, None),
        (None, Some("failed")) => ended(call, Outcome::Error, None),
        (None, _) if failed => ended(call, Outcome::Error, None),
        _ => call,
    }
}

fn measured(mut call: ToolCall, payload: &Payload<'_>) -> ToolCall {
    let duration = payload.inner("duration");
    let part = |name: &str| duration.get(name).and_then(json::count);
    let ms = part("secs").map(|secs| secs.saturating_mul(1000).saturating_add(part("nanos").unwrap_or(0) / 1_000_000));
    call.duration_ms = Told::maybe(Witness::Transcript.rank(FieldClass::Timing), ms);
    call
}

/// UTF-8 bytes of a text, else of the JSON.
fn bytes(value: &LazyValue<'_>) -> u64 {
    json::text(value).map_or_else(|| value.as_raw_str().len(), |text| text.len()) as u64
}

/// What of an output is looked at.
const HEAD: usize = 400;

/// How a call ended by the output that the model got: clients write the exit code at its beginning, or around it as JSON.
pub fn outcome_of_output(text: &str) -> (Outcome, Option<&'static str>) {
    if text.starts_with('{') {
        let metadata =
            (!json::is_too_deep(text.as_bytes())).then(|| sonic_rs::get(text, ["metadata", "exit_code"]).ok()).flatten();
        return match metadata.and_then(|code| code.as_i64()) {
            Some(code) if code != 0 => (Outcome::Error, Some("exit_code")),
            _ => (Outcome::Ok, None),
        };
    }
    let end = (0..=HEAD.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let head = &text[..end];
    let refusals = ["exec command rejected", "patch rejected", "rejected by user", "unsupported call"];
    if refusals.iter().any(|refusal| head.starts_with(refusal)) {
        return (Outcome::Refused, Some("permission"));
    }
    if head.starts_with("aborted") {
        return (Outcome::Interrupted, None);
    }
    let code = ["Process exited with code ", "Exit code: "].iter().find_map(|mark| {
        let digits = head.lines().take(6).find_map(|line| line.strip_prefix(mark))?;
        digits.trim().parse::<i64>().ok()
    });
    match code {
        Some(code) if code != 0 => (Outcome::Error, Some("exit_code")),
        _ => (Outcome::Ok, None),
    }
}
