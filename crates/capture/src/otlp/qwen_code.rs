//! Qwen Code's log events to facts: Gemini CLI's under another name, with the ids of answers. Its spans and counters tell the same again.

use ducat_ledger::{Fact, Incident, IncidentKind, Request, ToolCall, Witness};

use super::Surroundings;
use super::record::Record;
use super::telling::Telling;
use crate::qwen_code::{AGENT, Tokens, ended, error_id};

const CALL_IDENTITY: [&str; 6] = ["response_id", "prompt_id", "function_name", "duration_ms", "status", "content_length"];

/// Tells `out` what a log event says; the reason where it names no session or not what it is about.
///
/// A prompt tells its session only, and a compaction nothing: chats name them by what no event has.
pub fn decode(record: &Record<'_>, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Result<(), String> {
    let Some(event) = record.text("event.name").and_then(|name| name.strip_prefix("qwen-code.")) else { return Ok(()) };
    if !matches!(event, "user_prompt" | "api_response" | "api_error" | "tool_call") {
        return Ok(());
    }
    let session = Some(record.required_text("session.id")?);
    let telling = Telling { agent: AGENT, witness: Witness::OtlpLog, record, session, dimensions: around.dimensions };
    let fact = match event {
        "api_response" => Some(Fact::Request(request(&telling)?)),
        "tool_call" => Some(Fact::ToolCall(tool_call(&telling)?)),
        "api_error" => Some(Fact::Incident(api_error(&telling))),
        _ => None,
    };
    telling.session(record.began(), "app.version").map(Fact::Session).into_iter().for_each(&mut *out);
    fact.into_iter().for_each(out);
    Ok(())
}

fn request(telling: &Telling<'_>) -> Result<Request, String> {
    let record = telling.record;
    let model = record.required_text("model")?;
    let tokens = Tokens {
        input: Some(record.required_count("input_token_count")?),
        output: Some(record.required_count("output_token_count")?),
        cached: record.count("cached_content_token_count"),
        thoughts: record.count("thoughts_token_count"),
        total: record.count("total_token_count"),
    };
    let mut request = match record.text("response_id") {
        Some(id) => telling.request(id),
        None => telling.keyless_request(&record.identity(&["prompt_id", "model", "duration_ms", "total_token_count"])),
    };
    tokens.tell(telling.witness, &mut request);
    request.model = telling.usage(Some(model.to_owned()));
    request.started_at = telling.start(Some(record.began()));
    request.ended_at = telling.timing(Some(record.at));
    request.duration_ms = telling.timing(record.count("duration_ms"));
    request.subagent_type = telling.name("subagent_name");
    Ok(request)
}

fn tool_call(telling: &Telling<'_>) -> Result<ToolCall, String> {
    let record = telling.record;
    let name = record.required_text("function_name")?;
    let mut call = telling.keyless_tool_call(&record.identity(&CALL_IDENTITY));
    call.name = telling.attribution(Some(name.to_owned()));
    // Of a shell every exit is a success to it.
    let is_unknown = name == "run_shell_command" && record.text("status") == Some("success");
    let end = ended(record.text("status"), record.text("error_type"), None).filter(|_| !is_unknown);
    call.outcome = telling.outcome(end.map(|(outcome, _)| outcome));
    call.error_kind = telling.outcome(end.and_then(|(_, kind)| kind).map(str::to_owned));
    call.started_at = telling.timing(Some(record.began()));
    call.ended_at = telling.timing(Some(record.at));
    call.duration_ms = telling.timing(record.count("duration_ms"));
    Ok(call)
}

fn api_error(telling: &Telling<'_>) -> Incident {
    let record = telling.record;
    let id = error_id(record.text("prompt_id"), record.text("model"), record.count("duration_ms"));
    let mut incident = telling.incident_of(IncidentKind::ApiError, &format!("{}/{id}", IncidentKind::ApiError.name()));
    incident.value = telling.attribution(record.count("status_code").and_then(|status| i64::try_from(status).ok()));
    incident.detail = telling.attribution(record.text("error_type").filter(|kind| kind.len() <= 64).map(str::to_owned));
    incident
}
