//! Claude Code's spans to facts: what a request took with all its attempts, and how tools ran.

use ducat_ledger::{Fact, Outcome, Request, ToolCall, UnixMs, Witness};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::super::Surroundings;
use super::super::record::Record;
use super::super::telling::Telling;
use super::speed;
use crate::claude_code::AGENT;

/// Tells `out` what a span says; the reason where it does not name what it is about.
pub fn decode(span: &Span, record: &Record<'_>, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Result<(), String> {
    let kind = span.name.as_str();
    if !matches!(kind, "claude_code.llm_request" | "claude_code.tool" | "claude_code.tool.execution") {
        return Ok(());
    }
    let session = record.text("session.id");
    let telling = Telling { agent: AGENT, witness: Witness::OtlpSpan, record, session, dimensions: around.dimensions };
    let from = record.time(span.start_time_unix_nano).unwrap_or(record.at);
    let fact = match kind {
        "claude_code.llm_request" => request(&telling, from).map(Fact::Request),
        "claude_code.tool" => Some(Fact::ToolCall(tool(&telling)?)),
        _ => Some(Fact::ToolCall(execution(&telling, from)?)),
    };
    if let Some(fact) = fact {
        telling.session(from, "service.version").map(Fact::Session).into_iter().for_each(&mut *out);
        out(fact);
    }
    Ok(())
}

/// One that was answered and has an id; the logs tell of others.
fn request(telling: &Telling<'_>, from: UnixMs) -> Option<Request> {
    let record = telling.record;
    let id = record.text("request_id").filter(|_| record.flag("success") != Some(false))?;
    let mut request = telling.request(id);
    request.model = telling.usage(record.text("model").map(str::to_owned));
    request.input_tokens = telling.usage(record.count("input_tokens"));
    request.output_tokens = telling.usage(record.count("output_tokens"));
    request.cache_read_tokens = telling.usage(record.count("cache_read_tokens"));
    request.cache_write_tokens = telling.usage(record.count("cache_creation_tokens"));
    request.speed = telling.usage(speed(record).map(str::to_owned));
    request.stop_reason = telling.usage(record.text("stop_reason").map(str::to_owned));
    request.started_at = telling.start(Some(from));
    request.ended_at = telling.timing(Some(record.at));
    request.all_attempts_ms = telling.timing(record.count("duration_ms"));
    request.ttft_ms = telling.timing(record.count("ttft_ms"));
    request.attempts = telling.timing(record.count("attempt").filter(|attempt| *attempt > 0));
    request.subagent = telling.name("agent_id");
    Some(request)
}

/// The call with the wait for the user: its name only, because its execution is what the others call the call.
fn tool(telling: &Telling<'_>) -> Result<ToolCall, String> {
    let mut call = telling.tool_call(telling.record.required_text("tool_use_id")?);
    call.name = telling.name("tool_name");
    call.subagent = telling.name("agent_id");
    Ok(call)
}

fn execution(telling: &Telling<'_>, from: UnixMs) -> Result<ToolCall, String> {
    let record = telling.record;
    let mut call = telling.tool_call(record.required_text("tool_use_id")?);
    call.outcome = telling.outcome(record.flag("success").map(|ok| if ok { Outcome::Ok } else { Outcome::Error }));
    call.started_at = telling.timing(Some(from));
    call.ended_at = telling.timing(Some(record.at));
    call.duration_ms = telling.timing(record.count("duration_ms"));
    Ok(call)
}
