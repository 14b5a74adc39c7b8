//! Claude Code's log events to facts, under the keys that its hooks and transcripts use.

use ducat_ledger::{Fact, Incident, IncidentKind, Key, Outcome, Request, Told, ToolCall, Turn, Witness, Witnesses};

use super::super::Surroundings;
use super::super::record::Record;
use super::super::telling::Telling;
use super::{REQUEST_IDENTITY, speed};
use crate::claude_code::{AGENT, turn};

const NANO_PER_MICRO: i64 = 1000;
/// What tells a record of a tool call from others, where it has no id.
const CALL_IDENTITY: [&str; 4] = ["prompt.id", "tool_name", "duration_ms", "success"];
/// How every MCP tool is called while the user does not let details be told.
const UNNAMED_TOOL: &str = "mcp_tool";

/// Tells `out` what a log event says; the reason where it does not name what it is about.
pub fn decode(record: &Record<'_>, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Result<(), String> {
    let event = record.required_text("event.name")?;
    if !matches!(event, "api_request" | "api_error" | "user_prompt" | "tool_result" | "tool_decision" | "compaction") {
        return Ok(());
    }
    // A user may leave it out (OTEL_METRICS_INCLUDE_SESSION_ID); what has an id of its own is known without.
    let has_id = match event {
        "api_request" => record.text("request_id").is_some(),
        "api_error" | "compaction" => false,
        "tool_result" => record.text("tool_use_id").is_some(),
        _ => true,
    };
    let session = if has_id { record.text("session.id") } else { Some(record.required_text("session.id")?) };
    let telling = Telling { agent: AGENT, witness: Witness::OtlpLog, record, session, dimensions: around.dimensions };
    let (fact, from) = match event {
        "api_request" => {
            let mut request = request(&telling)?;
            around.memory.cache_splits.solve(&mut request).into_iter().map(Fact::Request).for_each(&mut *out);
            (Fact::Request(request), record.began())
        }
        "tool_result" => match tool_call(&telling) {
            Some(call) => (Fact::ToolCall(call), record.began()),
            None => return Ok(()),
        },
        "tool_decision" => match refused_call(&telling) {
            Some(call) => (Fact::ToolCall(call), record.at),
            None => return Ok(()),
        },
        "user_prompt" => (Fact::Turn(prompt(&telling)?), record.at),
        "api_error" => (Fact::Incident(api_error(&telling)), record.at),
        _ => (Fact::Incident(compaction(&telling)), record.at),
    };
    telling.session(from, "service.version").map(Fact::Session).into_iter().for_each(&mut *out);
    out(fact);
    Ok(())
}

/// Input is without cache; output is with reasoning, which is not told apart. Without an id it is known by its record: some providers give none.
fn request(telling: &Telling<'_>) -> Result<Request, String> {
    let record = telling.record;
    let model = record.required_text("model")?;
    let input_tokens = record.required_count("input_tokens")?;
    let output_tokens = record.required_count("output_tokens")?;
    let cache_read_tokens = record.required_count("cache_read_tokens")?;
    let cache_write_tokens = record.required_count("cache_creation_tokens")?;
    let cost_nano = record.count("cost_usd_micros").and_then(|micros| i64::try_from(micros).ok()?.checked_mul(NANO_PER_MICRO));

    let mut request = match record.text("request_id") {
        Some(id) => telling.request(id),
        None => telling.keyless_request(&record.identity(&REQUEST_IDENTITY)),
    };
    request.model = telling.usage(Some(model.to_owned()));
    request.input_tokens = telling.usage(Some(input_tokens));
    request.output_tokens = telling.usage(Some(output_tokens));
    request.cache_read_tokens = telling.usage(Some(cache_read_tokens));
    request.cache_write_tokens = telling.usage(Some(cache_write_tokens));
    request.speed = telling.usage(speed(record).map(str::to_owned));
    request.reported_cost_nano = telling.usage(cost_nano);
    request.started_at = telling.start(Some(record.began()));
    request.ended_at = telling.timing(Some(record.at));
    request.duration_ms = telling.timing(record.count("duration_ms"));
    request.turn = caused_by(telling);
    request.subagent_type = telling.name("agent.name");
    request.skill = telling.name("skill.name");
    request.plugin = telling.name("plugin.name");
    request.mcp_server = telling.name("mcp_server.name");
    request.query_source = telling.name("query_source");
    request.effort = telling.name("effort");
    Ok(request)
}

fn prompt(telling: &Telling<'_>) -> Result<Turn, String> {
    let id = telling.record.required_text("prompt.id")?;
    let mut told = Turn::new(turn::key(id), AGENT, id);
    told.witnesses = Witnesses::only(telling.witness);
    told.holders = telling.holders();
    told.started_at = telling.timing(Some(telling.record.at));
    (told.user, told.team) = (telling.user(), telling.team());
    Ok(told)
}

/// Older clients tell no id, and the call is known by its record; of an MCP tool they may tell no name besides, and then it is nobody's twin.
fn tool_call(telling: &Telling<'_>) -> Option<ToolCall> {
    let record = telling.record;
    let mut call = match record.text("tool_use_id") {
        Some(id) => telling.tool_call(id),
        None if record.text("tool_name").is_none_or(|name| name == UNNAMED_TOOL) => return None,
        None => telling.keyless_tool_call(&record.identity(&CALL_IDENTITY)),
    };
    call.name = telling.name("tool_name");
    call.outcome = telling.outcome(record.flag("success").map(|ok| if ok { Outcome::Ok } else { Outcome::Error }));
    call.started_at = telling.timing(Some(record.began()));
    call.ended_at = telling.timing(Some(record.at));
    call.duration_ms = telling.timing(record.count("duration_ms"));
    call.turn = caused_by(telling);
    Some(call)
}

/// Of decisions only a refusal tells something: what was allowed has a result. Without an id it is left to the transcript, which tells it too.
fn refused_call(telling: &Telling<'_>) -> Option<ToolCall> {
    let record = telling.record;
    let id = record.text("tool_use_id").filter(|_| record.text("decision") == Some("reject"))?;
    let mut call = telling.tool_call(id);
    call.name = telling.name("tool_name");
    call.outcome = telling.outcome(Some(Outcome::Refused));
    call.error_kind = telling.outcome(Some("permission".to_owned()));
    call.ended_at = telling.timing(Some(record.at));
    call.turn = caused_by(telling);
    Some(call)
}

fn api_error(telling: &Telling<'_>) -> Incident {
    let mut incident = telling.incident(IncidentKind::ApiError);
    let status = telling.record.count("status_code").and_then(|status| i64::try_from(status).ok());
    incident.value = telling.attribution(status);
    incident
}

/// The transcript's boundary line tells of the same one.
fn compaction(telling: &Telling<'_>) -> Incident {
    let mut incident = telling.incident(IncidentKind::CompactionAnnounced);
    let tokens = telling.record.count("pre_tokens").and_then(|tokens| i64::try_from(tokens).ok());
    incident.value = telling.attribution(tokens);
    incident.detail = telling.name("trigger");
    incident
}

fn caused_by(telling: &Telling<'_>) -> Told<Key> {
    telling.attribution(telling.record.text("prompt.id").map(turn::key))
}
