//! Codex's log events to facts. Its spans and metrics tell the same again, and no more.

use ducat_ledger::{Fact, Incident, IncidentKind, Outcome, Request, ToolCall, Witness};

use super::Surroundings;
use super::record::Record;
use super::telling::Telling;
use crate::codex::{AGENT, Tokens, outcome_of_output};

/// What tells two requests of one record time apart; no event has a request's id.
const REQUEST_IDENTITY: [&str; 6] = [
    "model",
    "input_token_count",
    "output_token_count",
    "cached_token_count",
    "cache_write_token_count",
    "reasoning_token_count",
];

/// Tells `out` what a log event says; the reason where it names no session or not what it is about.
///
/// A prompt tells its session only: no event names the turn.
pub fn decode(record: &Record<'_>, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Result<(), String> {
    // The client exports logs of its libraries too, which are no events.
    let event = record.text("event.name").unwrap_or_default();
    if !matches!(
        event,
        "codex.conversation_starts"
            | "codex.user_prompt"
            | "codex.sse_event"
            | "codex.api_request"
            | "codex.tool_result"
            | "codex.tool_decision"
    ) {
        return Ok(());
    }
    let session = Some(record.required_text("conversation.id")?);
    let telling = Telling { agent: AGENT, witness: Witness::OtlpLog, record, session, dimensions: around.dimensions };
    let fact = match event {
        "codex.sse_event" => request(&telling)?.map(Fact::Request),
        "codex.api_request" => api_error(&telling).map(Fact::Incident),
        "codex.tool_result" => Some(Fact::ToolCall(tool_call(&telling)?)),
        "codex.tool_decision" => refused_call(&telling)?.map(Fact::ToolCall),
        _ => None,
    };
    if fact.is_none() && !matches!(event, "codex.conversation_starts" | "codex.user_prompt") {
        return Ok(());
    }
    telling.session(record.at, "app.version").map(Fact::Session).into_iter().for_each(&mut *out);
    fact.into_iter().for_each(out);
    Ok(())
}

/// Of the two events that a finished answer has, the one with its counts.
fn request(telling: &Telling<'_>) -> Result<Option<Request>, String> {
    let record = telling.record;
    if record.count("input_token_count").is_none() && record.count("output_token_count").is_none() {
        return Ok(None);
    }
    let model = record.required_text("model")?;
    let part = |name| record.count(name).unwrap_or_default();
    let tokens = Tokens {
        input: record.required_count("input_token_count")?,
        cached: part("cached_token_count"),
        cache_write: part("cache_write_token_count"),
        output: record.required_count("output_token_count")?,
        reasoning: part("reasoning_token_count"),
    };
    let mut request = telling.keyless_request(&record.identity(&REQUEST_IDENTITY));
    tokens.tell(telling.witness, &mut request);
    request.model = telling.usage(Some(model.to_owned()));
    // When the answer was complete, as the rollouts tell it.
    request.started_at = telling.start(Some(record.at));
    request.ended_at = telling.timing(Some(record.at));
    Ok(Some(request))
}

/// An attempt that the provider refused.
fn api_error(telling: &Telling<'_>) -> Option<Incident> {
    let status = telling.record.count("http.response.status_code").filter(|status| (400..600).contains(status))?;
    let mut incident = telling.incident(IncidentKind::ApiError);
    incident.value = telling.attribution(i64::try_from(status).ok());
    Some(incident)
}

/// `success` says that the tool answered, also where a command failed: only what it put out tells that. Without it (content is off) success is
/// unknown.
fn tool_call(telling: &Telling<'_>) -> Result<ToolCall, String> {
    let record = telling.record;
    let mut call = telling.tool_call(record.required_text("call_id")?);
    call.name = telling.name("tool_name");
    let (outcome, error) = match record.long_text("output").filter(|output| !output.is_empty()) {
        _ if record.flag("success") == Some(false) => (Some(Outcome::Error), None),
        Some(output) => {
            let (outcome, error) = outcome_of_output(output);
            (Some(outcome), error)
        }
        None => (None, None),
    };
    call.outcome = telling.outcome(outcome);
    call.error_kind = telling.outcome(error.map(str::to_owned));
    call.started_at = telling.timing(Some(record.began()));
    call.ended_at = telling.timing(Some(record.at));
    call.duration_ms = telling.timing(record.count("duration_ms"));
    call.input_bytes = telling.attribution(record.long_text("arguments").map(|input| input.len() as u64));
    Ok(call)
}

/// Of decisions only a refusal tells something: what was approved has a result.
fn refused_call(telling: &Telling<'_>) -> Result<Option<ToolCall>, String> {
    let (outcome, error) = match telling.record.text("decision") {
        Some("denied") => (Outcome::Refused, Some("permission")),
        Some("abort") => (Outcome::Interrupted, None),
        _ => return Ok(None),
    };
    let mut call = telling.tool_call(telling.record.required_text("call_id")?);
    call.name = telling.name("tool_name");
    call.outcome = telling.outcome(Some(outcome));
    call.error_kind = telling.outcome(error.map(str::to_owned));
    call.ended_at = telling.timing(Some(telling.record.at));
    Ok(Some(call))
}
