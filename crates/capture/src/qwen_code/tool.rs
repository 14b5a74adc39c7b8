//! Tool calls: asked for in the model's message, ended in a record of their own.

use std::borrow::Cow;

use ducat_ledger::{Fact, Key, Outcome, UnixMs};
use sonic_rs::LazyValue;

use crate::claude_code::target;
use crate::json;
use crate::telling::{Telling, attribution, name, outcome, timing};

/// Tells `out` the calls that a model's message asks for.
pub fn tell_asked(
    message: &LazyValue<'_>,
    at: Option<UnixMs>,
    turn: Option<Key>,
    request: Option<Key>,
    telling: &Telling<'_>,
    out: &mut dyn FnMut(Fact),
) {
    for_parts(message, "functionCall", &mut |part| {
        let (mut id, mut tool, mut input) = (None, None, None);
        json::for_fields(&part, |field, value| match field {
            "id" => id = json::id(&value),
            "name" => tool = json::id(&value),
            "args" => input = Some(value),
            _ => {}
        });
        let Some(id) = id else { return };
        let mut call = telling.tool_call(&id);
        call.name = attribution(name(tool));
        call.started_at = timing(at);
        call.input_bytes = attribution(input.as_ref().map(|input| input.as_raw_str().len() as u64));
        call.target = attribution(input.as_ref().and_then(target));
        (call.turn, call.request) = (attribution(turn), attribution(request));
        out(Fact::ToolCall(call));
    });
}

/// Tells `out` how a call ended.
pub fn tell_ended(
    result: &LazyValue<'_>,
    message: Option<&LazyValue<'_>>,
    at: Option<UnixMs>,
    telling: &Telling<'_>,
    out: &mut dyn FnMut(Fact),
) {
    let (mut id, mut status, mut error) = (None, None, None);
    json::for_fields(result, |field, value| match field {
        "callId" => id = json::id(&value),
        "status" => status = json::id(&value),
        "errorType" => error = json::id(&value),
        _ => {}
    });
    let Some(id) = id else { return };
    let (mut bytes, mut exit_code) = (None, None);
    if let Some(message) = message {
        for_parts(message, "functionResponse", &mut |part| {
            let mut tool = None;
            json::for_fields(&part, |field, value| match field {
                "name" => tool = json::id(&value),
                "response" => {
                    bytes = Some(value.as_raw_str().len() as u64);
                    exit_code = code(&value).filter(|_| tool.as_deref() == Some("run_shell_command"));
                }
                _ => {}
            });
        });
    }
    let mut call = telling.tool_call(&id);
    let end = ended(status.as_deref(), error.as_deref(), exit_code);
    call.outcome = outcome(end.map(|(outcome, _)| outcome));
    call.error_kind = outcome(end.and_then(|(_, kind)| kind).map(str::to_owned));
    call.ended_at = timing(at);
    call.result_bytes = attribution(bytes);
    out(Fact::ToolCall(call));
}

/// A shell's exit code; the status says success for all of them.
fn code(response: &LazyValue<'_>) -> Option<i64> {
    let mut code = None;
    json::for_fields(response, |field, value| {
        if field == "output" {
            let text = json::text(&value).unwrap_or(Cow::Borrowed(""));
            // The last such line is the client's own.
            code = text.lines().rev().find_map(|line| line.strip_prefix("Exit Code: ")?.trim().parse().ok());
        }
    });
    code
}

/// Outcome and kind of error of a call by its status, as chats and telemetry call them.
pub fn ended(status: Option<&str>, error: Option<&str>, exit_code: Option<i64>) -> Option<(Outcome, Option<&'static str>)> {
    Some(match (status?, error) {
        (_, Some("execution_denied" | "permission_denied")) => (Outcome::Refused, Some("permission")),
        (_, Some("invalid_tool_params" | "tool_not_registered")) => (Outcome::Refused, Some("validation")),
        ("success", _) if exit_code.is_some_and(|code| code != 0) => (Outcome::Error, Some("exit_code")),
        ("success", _) => (Outcome::Ok, None),
        ("cancelled", _) => (Outcome::Interrupted, Some("user")),
        ("error", Some("file_not_found" | "search_path_not_found")) => (Outcome::Error, Some("not_found")),
        ("error", _) => (Outcome::Error, Some("other")),
        _ => return None,
    })
}

fn for_parts<'a>(message: &LazyValue<'a>, kind: &str, each: &mut dyn FnMut(LazyValue<'a>)) {
    json::for_fields(message, |field, value| {
        if field == "parts" {
            json::for_items(&value, |part| {
                json::for_fields(&part, |field, value| {
                    if field == kind {
                        each(value);
                    }
                });
            });
        }
    });
}
