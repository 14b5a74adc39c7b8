//! Claude Code's log events to facts, under the keys that its hooks and transcripts use.

use ducat_ledger::{
    DERIVED, Fact, FieldClass, Holder, Holders, Key, KeySpace, Outcome, Request, Session, Told, ToolCall, Turn, UnixMs, Witness,
    Witnesses,
};

use super::record::Record;
use super::{CacheWrites, SplitCacheWrites};
use crate::claude_code::{AGENT, turn};

const LOG: Witness = Witness::OtlpLog;
const NANO_PER_MICRO: i64 = 1000;

/// Tells `out` what a log event says; the reason where it names no session or not what it is about.
pub fn decode_event(record: &Record<'_>, split: &dyn SplitCacheWrites, out: &mut dyn FnMut(Fact)) -> Result<(), &'static str> {
    let Some(event) = record.text("event.name") else { return Err("event.name: missing or no string") };
    if !matches!(event, "api_request" | "user_prompt" | "tool_result") {
        return Ok(());
    }
    let id = record.text("session.id").ok_or("session.id: missing or no string")?;
    let session = Key::of(KeySpace::Session, AGENT, id);
    let holders = Holders::one(Holder { session, live: true, project: None, branch: None });
    let mut known = Session::new(session, AGENT, id);
    known.witnesses = Witnesses::only(LOG);
    known.holders = holders.clone();
    let mut fact = match event {
        "api_request" => Fact::Request(request(record, split)?),
        "user_prompt" => Fact::Turn(prompt(record)?),
        _ => Fact::ToolCall(tool_call(record)?),
    };
    let started_at = match &mut fact {
        Fact::Request(Request { holders: held, started_at, .. })
        | Fact::ToolCall(ToolCall { holders: held, started_at, .. })
        | Fact::Turn(Turn { holders: held, started_at, .. }) => {
            *held = holders;
            started_at.get().copied()
        }
        _ => None,
    };
    known.started_at = LOG.tells(FieldClass::Timing, started_at.unwrap_or(record.at));
    known.last_at = LOG.tells(FieldClass::Timing, record.at);
    known.opened_at = known.started_at.clone();
    known.version = attribution(record, "service.version");
    known.user = attribution(record, "user.email");
    known.team = attribution(record, "team.id");
    known.host = attribution(record, "host.name");
    out(Fact::Session(known));
    out(fact);
    Ok(())
}

/// Input is without cache; output is with reasoning, which is not told apart.
fn request(record: &Record<'_>, split: &dyn SplitCacheWrites) -> Result<Request, &'static str> {
    let id = record.text("request_id").ok_or("request_id: missing or no string")?;
    let model = record.text("model").ok_or("model: missing or no string")?;
    let required = |name, reason| record.count(name).ok_or(reason);
    let input_tokens = required("input_tokens", "input_tokens: missing or no count")?;
    let output_tokens = required("output_tokens", "output_tokens: missing or no count")?;
    let cache_read_tokens = required("cache_read_tokens", "cache_read_tokens: missing or no count")?;
    let cache_write_tokens = required("cache_creation_tokens", "cache_creation_tokens: missing or no count")?;
    let cost_nano = record.count("cost_usd_micros").and_then(|micros| i64::try_from(micros).ok()?.checked_mul(NANO_PER_MICRO));
    // Telemetry's `normal` is what transcripts and prices call `standard`.
    let speed = record.text("speed").map(|speed| if speed == "normal" { "standard" } else { speed });
    let at = began(record);

    let mut request = Request::new(Key::of(KeySpace::Request, AGENT, id), AGENT, id);
    request.witnesses = Witnesses::only(LOG);
    let usage = |count| LOG.tells(FieldClass::Usage, count);
    request.model = LOG.tells(FieldClass::Usage, model.to_owned());
    request.input_tokens = usage(input_tokens);
    request.output_tokens = usage(output_tokens);
    request.cache_read_tokens = usage(cache_read_tokens);
    request.cache_write_tokens = usage(cache_write_tokens);
    request.speed = Told::maybe(LOG.rank(FieldClass::Usage), speed.map(str::to_owned));
    request.reported_cost_nano = Told::maybe(LOG.rank(FieldClass::Usage), cost_nano);
    if let Some(cost_nano) = cost_nano.filter(|_| cache_write_tokens > 0) {
        let writes =
            CacheWrites { model, speed, at, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_nano };
        if let Some((five, hour)) = split.split(&writes) {
            request.cache_write_5m_tokens = Told::by(DERIVED, five);
            request.cache_write_1h_tokens = Told::by(DERIVED, hour);
        }
    }
    request.started_at = LOG.tells(FieldClass::Start, at);
    request.ended_at = LOG.tells(FieldClass::Timing, record.at);
    request.duration_ms = Told::maybe(LOG.rank(FieldClass::Timing), record.count("duration_ms"));
    request.turn = caused_by(record);
    request.subagent_type = attribution(record, "agent.name");
    request.skill = attribution(record, "skill.name");
    request.plugin = attribution(record, "plugin.name");
    request.mcp_server = attribution(record, "mcp_server.name");
    request.query_source = attribution(record, "query_source");
    request.effort = attribution(record, "effort");
    request.user = attribution(record, "user.email");
    request.team = attribution(record, "team.id");
    request.host = attribution(record, "host.name");
    Ok(request)
}

fn prompt(record: &Record<'_>) -> Result<Turn, &'static str> {
    let id = record.text("prompt.id").ok_or("prompt.id: missing or no string")?;
    let mut told = Turn::new(turn::key(id), AGENT, id);
    told.witnesses = Witnesses::only(LOG);
    told.started_at = LOG.tells(FieldClass::Timing, record.at);
    told.user = attribution(record, "user.email");
    told.team = attribution(record, "team.id");
    Ok(told)
}

fn tool_call(record: &Record<'_>) -> Result<ToolCall, &'static str> {
    let id = record.text("tool_use_id").ok_or("tool_use_id: missing or no string")?;
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, id), AGENT, id);
    let outcome = record.flag("success").map(|ok| if ok { Outcome::Ok } else { Outcome::Error });
    call.witnesses = Witnesses::only(LOG);
    call.name = attribution(record, "tool_name");
    call.outcome = Told::maybe(LOG.rank(FieldClass::Outcome), outcome);
    call.started_at = LOG.tells(FieldClass::Timing, began(record));
    call.ended_at = LOG.tells(FieldClass::Timing, record.at);
    call.duration_ms = Told::maybe(LOG.rank(FieldClass::Timing), record.count("duration_ms"));
    call.turn = caused_by(record);
    call.user = attribution(record, "user.email");
    call.team = attribution(record, "team.id");
    call.host = attribution(record, "host.name");
    Ok(call)
}

/// The event is written at the end.
fn began(record: &Record<'_>) -> UnixMs {
    let duration = record.count("duration_ms").and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
    Some(record.at.saturating_sub(duration)).filter(|at| *at > 0).unwrap_or(record.at)
}

fn caused_by(record: &Record<'_>) -> Told<Key> {
    Told::maybe(LOG.rank(FieldClass::Attribution), record.text("prompt.id").map(turn::key))
}

fn attribution(record: &Record<'_>, name: &str) -> Told<String> {
    Told::maybe(LOG.rank(FieldClass::Attribution), record.text(name).map(str::to_owned))
}
