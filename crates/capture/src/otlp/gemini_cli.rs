//! Gemini CLI's log events to facts. Its spans and `gen_ai.client.inference.operation.details` tell the same requests again.

use ducat_ledger::{Fact, Incident, IncidentKind, Outcome, Request, ToolCall, Witness};

use super::Surroundings;
use super::record::Record;
use super::telling::Telling;
use crate::gemini_cli::{AGENT, Tokens};

/// What tells two requests of one record time apart; no event with counts has a request's id.
const REQUEST_IDENTITY: [&str; 8] = [
    "prompt_id",
    "model",
    "duration_ms",
    "input_token_count",
    "output_token_count",
    "cached_content_token_count",
    "thoughts_token_count",
    "tool_token_count",
];
const CALL_IDENTITY: [&str; 5] = ["prompt_id", "function_name", "duration_ms", "success", "content_length"];

/// Tells `out` what a log event says; the reason where it names no session or not what it is about.
///
/// A prompt tells its session only: chats and hooks name turns by what no event has.
pub fn decode(record: &Record<'_>, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Result<(), String> {
    let Some(event) = record.text("event.name").and_then(|name| name.strip_prefix("gemini_cli.")) else { return Ok(()) };
    if !matches!(event, "user_prompt" | "api_response" | "api_error" | "tool_call" | "chat_compression") {
        return Ok(());
    }
    let session = Some(record.required_text("session.id")?);
    let telling = Telling { agent: AGENT, witness: Witness::OtlpLog, record, session, dimensions: around.dimensions };
    let fact = match event {
        "api_response" => Some(Fact::Request(request(&telling)?)),
        "tool_call" => Some(Fact::ToolCall(tool_call(&telling)?)),
        "api_error" => Some(Fact::Incident(api_error(&telling))),
        "chat_compression" => Some(Fact::Incident(compression(&telling))),
        _ => None,
    };
    // The resource's service.version is that of Node.js.
    telling.session(record.began(), "app.version").map(Fact::Session).into_iter().for_each(&mut *out);
    fact.into_iter().for_each(out);
    Ok(())
}

fn request(telling: &Telling<'_>) -> Result<Request, String> {
    let record = telling.record;
    let model = record.required_text("model")?;
    let part = |name| record.count(name).unwrap_or_default();
    let tokens = Tokens {
        input: record.required_count("input_token_count")?,
        output: record.required_count("output_token_count")?,
        cached: part("cached_content_token_count"),
        thoughts: part("thoughts_token_count"),
        tool: part("tool_token_count"),
    };
    let mut request = telling.keyless_request(&record.identity(&REQUEST_IDENTITY));
    tokens.tell(telling.witness, &mut request);
    request.model = telling.usage(Some(model.to_owned()));
    request.stop_reason = telling.usage(record.first_text("finish_reasons").map(str::to_owned));
    request.started_at = telling.start(Some(record.began()));
    request.ended_at = telling.timing(Some(record.at));
    request.duration_ms = telling.timing(record.count("duration_ms"));
    request.query_source = telling.name("role");
    Ok(request)
}

fn tool_call(telling: &Telling<'_>) -> Result<ToolCall, String> {
    let record = telling.record;
    let name = record.required_text("function_name")?;
    let mut call = telling.keyless_tool_call(&record.identity(&CALL_IDENTITY));
    call.name = telling.attribution(Some(name.to_owned()));
    let (outcome, error) = match (record.text("decision"), record.flag("success")) {
        (Some("reject"), _) => (Some(Outcome::Refused), Some("permission")),
        (_, Some(true)) => (Some(Outcome::Ok), None),
        (_, Some(false)) => (Some(Outcome::Error), None),
        (_, None) => (None, None),
    };
    call.outcome = telling.outcome(outcome);
    call.error_kind = telling.outcome(error.map(str::to_owned));
    call.started_at = telling.timing(Some(record.began()));
    call.ended_at = telling.timing(Some(record.at));
    call.duration_ms = telling.timing(record.count("duration_ms"));
    Ok(call)
}

fn api_error(telling: &Telling<'_>) -> Incident {
    let mut incident = telling.incident(IncidentKind::ApiError);
    let status = ["status_code", "http.status_code"].iter().find_map(|name| telling.record.count(name));
    incident.value = telling.attribution(status.and_then(|status| i64::try_from(status).ok()));
    let kind = ["error_type", "error.type"].iter().find_map(|name| telling.record.text(name));
    incident.detail = telling.attribution(kind.filter(|kind| kind.len() <= 64).map(str::to_owned));
    incident
}

fn compression(telling: &Telling<'_>) -> Incident {
    let mut incident = telling.incident(IncidentKind::Compaction);
    let before = telling.record.count("tokens_before").and_then(|tokens| i64::try_from(tokens).ok());
    incident.value = telling.attribution(before);
    incident
}
