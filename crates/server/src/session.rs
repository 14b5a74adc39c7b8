//! One session with all that it owns.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use ducat_ledger::{Incident, IncidentKind, Key, Outcome, Session, Told, ToolCall, Turn};
use ducat_store::{PricedRequest, SessionDetail, TenantId};
use serde::Serialize;

use crate::App;
use crate::api::{error, off_the_runtime};
use crate::sessions::{About, Cost, json, reported, text, time};

/// A session with all that it owns; the id may be cut short while it is the only one to begin so.
pub(crate) async fn session(State(app): State<App>, Path(id): Path<String>) -> Response {
    let asked = id.clone();
    let found = off_the_runtime(move || {
        let found = app.store.reader()?.session(TenantId::LOCAL, &asked)?;
        Ok(found.map(|found| serde_json::to_vec(&session_document(&found))).transpose()?)
    });
    match found.await.transpose() {
        Some(found) => json(found),
        None => error(StatusCode::NOT_FOUND, &format!("there is no one session whose id is or begins with {id:?}")),
    }
}

fn number(told: &Told<u64>) -> Option<u64> {
    told.get().copied()
}

/// One session and all that it owns, as the API tells it. Not by way of `Value`: a session may have ten thousand requests.
pub fn session_document(found: &SessionDetail) -> impl Serialize + use<'_> {
    let session = &found.session;
    let ids: HashMap<Key, &str> = found.requests.iter().map(|(request, ..)| (request.key, request.id.as_str())).collect();
    SessionDocument {
        schema_version: 1,
        about: About::of(session),
        reported_cost_usd: reported(session),
        reported_tokens: ReportedTokens::of(session),
        turns: found.turns.iter().map(TurnRow::of).collect(),
        requests: found.requests.iter().map(RequestRow::of).collect(),
        tool_calls: found.tool_calls.iter().map(|call| ToolCallRow::of(call, &ids)).collect(),
        incidents: found.incidents.iter().map(IncidentRow::of).collect(),
    }
}

#[derive(Serialize)]
struct SessionDocument<'s> {
    schema_version: u8,
    #[serde(flatten)]
    about: About<'s>,
    reported_cost_usd: Option<f64>,
    reported_tokens: Option<ReportedTokens>,
    turns: Vec<TurnRow>,
    requests: Vec<RequestRow<'s>>,
    tool_calls: Vec<ToolCallRow<'s>>,
    incidents: Vec<IncidentRow<'s>>,
}

/// Sums that the client told, where it tells no requests.
#[derive(Serialize)]
struct ReportedTokens {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_tokens: Option<u64>,
}

impl ReportedTokens {
    fn of(session: &Session) -> Option<Self> {
        let told = [&session.reported_input_tokens, &session.reported_output_tokens, &session.reported_cache_read_tokens];
        let [input_tokens, output_tokens, cache_read_tokens] = told.map(number);
        told.iter().any(|told| told.is_told()).then_some(Self { input_tokens, output_tokens, cache_read_tokens })
    }
}

#[derive(Serialize)]
struct TurnRow {
    turn: Key,
    started_at: Option<String>,
    ended_at: Option<String>,
    prompt_bytes: Option<u64>,
}

impl TurnRow {
    fn of(turn: &Turn) -> Self {
        let (started_at, ended_at) = (time(&turn.started_at), time(&turn.ended_at));
        Self { turn: turn.key, started_at, ended_at, prompt_bytes: number(&turn.prompt_bytes) }
    }
}

#[derive(Serialize)]
struct RequestRow<'s> {
    request: &'s str,
    model: &'s str,
    turn: Option<Key>,
    subagent: Option<&'s str>,
    subagent_type: Option<&'s str>,
    skill: Option<&'s str>,
    mcp_server: Option<&'s str>,
    query_source: Option<&'s str>,
    effort: Option<&'s str>,
    speed: Option<&'s str>,
    started_at: Option<String>,
    duration_ms: Option<u64>,
    all_attempts_ms: Option<u64>,
    ttft_ms: Option<u64>,
    attempts: Option<u64>,
    unconfirmed: bool,
    is_sum: bool,
    estimated: bool,
    witnesses: Vec<&'static str>,
    stop_reason: Option<&'s str>,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_5m_tokens: u64,
    cache_write_1h_tokens: u64,
    #[serde(flatten)]
    cost: Cost,
}

impl<'s> RequestRow<'s> {
    fn of((request, model, cost): &'s PricedRequest) -> Self {
        let usage = request.usage();
        Self {
            request: &request.id,
            model,
            turn: request.turn.get().copied(),
            subagent: text(&request.subagent),
            subagent_type: text(&request.subagent_type),
            skill: text(&request.skill),
            mcp_server: text(&request.mcp_server),
            query_source: text(&request.query_source),
            effort: text(&request.effort),
            speed: text(&request.speed),
            started_at: time(&request.started_at),
            duration_ms: number(&request.duration_ms),
            all_attempts_ms: number(&request.all_attempts_ms),
            ttft_ms: number(&request.ttft_ms),
            attempts: number(&request.attempts),
            unconfirmed: request.is_unconfirmed(),
            is_sum: request.is_sum.or_default(),
            estimated: request.is_estimated(),
            witnesses: request.witnesses.names(),
            stop_reason: text(&request.stop_reason),
            input_tokens: usage.input,
            output_tokens: usage.output,
            cache_read_tokens: usage.cache_read,
            cache_write_5m_tokens: usage.cache_write_5m.saturating_add(usage.cache_write_unsplit),
            cache_write_1h_tokens: usage.cache_write_1h,
            cost: Cost::of(*cost),
        }
    }
}

#[derive(Serialize)]
struct ToolCallRow<'s> {
    tool_call: &'s str,
    name: Option<&'s str>,
    mcp_server: Option<&'s str>,
    target: Option<&'s str>,
    turn: Option<Key>,
    /// The request whose answer asked for it, where the session owns it.
    request: Option<&'s str>,
    subagent: Option<&'s str>,
    outcome: Option<Outcome>,
    error_kind: Option<&'s str>,
    started_at: Option<String>,
    duration_ms: Option<u64>,
    unconfirmed: bool,
    witnesses: Vec<&'static str>,
    input_bytes: Option<u64>,
    result_bytes: Option<u64>,
}

impl<'s> ToolCallRow<'s> {
    fn of(call: &'s ToolCall, requests: &HashMap<Key, &'s str>) -> Self {
        Self {
            tool_call: &call.id,
            name: text(&call.name),
            mcp_server: call.mcp_server(),
            target: text(&call.target),
            turn: call.turn.get().copied(),
            request: call.request.get().and_then(|request| requests.get(request).copied()),
            subagent: text(&call.subagent),
            outcome: call.outcome.get().copied(),
            error_kind: text(&call.error_kind),
            started_at: time(&call.started_at),
            duration_ms: call.duration_ms(),
            unconfirmed: call.is_unconfirmed(),
            witnesses: call.witnesses.names(),
            input_bytes: number(&call.input_bytes),
            result_bytes: number(&call.result_bytes),
        }
    }
}

#[derive(Serialize)]
struct IncidentRow<'s> {
    kind: Option<IncidentKind>,
    at: Option<String>,
    value: Option<i64>,
    detail: Option<&'s str>,
}

impl<'s> IncidentRow<'s> {
    fn of(incident: &'s Incident) -> Self {
        let value = incident.value.get().copied();
        Self { kind: incident.kind.get().copied(), at: time(&incident.at), value, detail: text(&incident.detail) }
    }
}
