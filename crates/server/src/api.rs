//! The API that the page and programs read.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use ducat_ledger::{Key, Session, Told, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::{CoverageQuery, ReconcileQuery, Report, ReportQuery};
use ducat_store::{Machine, SessionDetail, SessionSummary, StoreError, TenantId, ledger_mark};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{App, OtlpPort};

/// `{"error":"…"}`: what is wrong, with what, and what to do.
pub(crate) fn error(status: StatusCode, what: &str) -> Response {
    let mut response = (status, Json(json!({ "error": what }))).into_response();
    response.extensions_mut().insert(Refusal(what.to_owned()));
    response
}

/// Why a response is an error, for those that speak it in another form.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(pub String);

pub(crate) fn failed(cause: &StoreError) -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, &cause.to_string())
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    error(StatusCode::NOT_FOUND, &format!("there is nothing at {}", uri.path()))
}

pub(crate) async fn health(State(app): State<App>) -> Response {
    let uptime = app.started.elapsed().as_secs_f64();
    let timestamp = Timestamp::now().to_string();
    // `ducat doctor` tells by the last two whether it is this program, on this ledger, that answers.
    let (version, ledger) = (env!("CARGO_PKG_VERSION"), ledger_mark(app.store.path()));
    let port = |port: &OtlpPort| json!({ "transport": port.transport.name(), "address": port.address, "problem": port.problem });
    let otlp: Vec<Value> = app.otlp_ports.iter().map(port).collect();
    let body = json!({
        "status": "healthy", "uptime": uptime, "timestamp": timestamp, "version": version, "ledger": ledger, "otlp": otlp,
    });
    Json(body).into_response()
}

/// The API's description.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json")).into_response()
}

/// 200 when the store can be read.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    match off_the_runtime(move || app.store.reader()).await {
        Ok(_) => Json(json!({ "status": "ready" })).into_response(),
        Err(cause) => error(StatusCode::SERVICE_UNAVAILABLE, &cause.to_string()),
    }
}

/// The report of `ducat report --json`, the same bytes.
pub(crate) async fn report(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let query = match ReportQuery::parse(pairs, Timestamp::now(), &app.config.reports) {
        Ok(query) => query,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    let made = off_the_runtime(move || {
        let reader = app.store.reader()?;
        if query.label.is_some()
            && let Err(unknown) = query.check_label(reader.label_names(TenantId::LOCAL)?)
        {
            return Ok(Err(unknown));
        }
        let range = query.time_range();
        let mut report = Report::new(query);
        reader.add_to(TenantId::LOCAL, range, &mut report)?;
        Ok(Ok(report.finish().to_json()))
    });
    match made.await {
        Ok(Err(unknown)) => error(StatusCode::BAD_REQUEST, &unknown.to_string()),
        Ok(Ok(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(cause) => failed(&cause),
    }
}

const PAGE: u64 = 50;
const LARGEST_PAGE: u64 = 500;

/// Sessions, the latest first; `offset` and `limit` (up to 500) page.
pub(crate) async fn sessions(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let (mut offset, mut limit) = (0, PAGE);
    for (name, value) in &pairs {
        let field = match name.as_str() {
            "offset" => &mut offset,
            "limit" => &mut limit,
            other => return error(StatusCode::BAD_REQUEST, &format!("unknown parameter {other:?}; there are offset, limit")),
        };
        *field = match value.parse() {
            Ok(number) => number,
            Err(_) => return error(StatusCode::BAD_REQUEST, &format!("{name}: {value:?} is no whole number from 0")),
        };
    }
    let limit = limit.min(LARGEST_PAGE);
    match off_the_runtime(move || app.store.reader()?.sessions(TenantId::LOCAL, offset, limit)).await {
        Ok(sessions) => Json(sessions_json(&sessions)).into_response(),
        Err(cause) => failed(&cause),
    }
}

/// A session with all that it owns; the id may be cut short while it is the only one to begin so.
pub(crate) async fn session(State(app): State<App>, Path(id): Path<String>) -> Response {
    let asked = id.clone();
    match off_the_runtime(move || app.store.reader()?.session(TenantId::LOCAL, &asked)).await {
        Ok(Some(found)) => Json(session_json(&found)).into_response(),
        Ok(None) => error(StatusCode::NOT_FOUND, &format!("there is no one session whose id is or begins with {id:?}")),
        Err(cause) => failed(&cause),
    }
}

/// What each witness said, the same as `ducat reconcile --json`.
pub(crate) async fn reconcile(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let query = match ReconcileQuery::parse(pairs, Timestamp::now()) {
        Ok(query) => query,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    let asked = query.session.clone().unwrap_or_default();
    match off_the_runtime(move || app.store.reader()?.reconcile(TenantId::LOCAL, &query, &*app.pricer)).await {
        Ok(Some(reconciliation)) => Json(reconciliation.to_json()).into_response(),
        Ok(None) => error(StatusCode::NOT_FOUND, &format!("there is no one session whose id is or begins with {asked:?}")),
        Err(cause) => failed(&cause),
    }
}

/// Who told of requests, and the sessions whose witnesses' claims differ by most.
pub(crate) async fn coverage(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let query = match CoverageQuery::parse(pairs, Timestamp::now()) {
        Ok(query) => query,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    match off_the_runtime(move || app.store.reader()?.coverage(TenantId::LOCAL, &query)).await {
        Ok(coverage) => Json(coverage.to_json()).into_response(),
        Err(cause) => failed(&cause),
    }
}

/// Machines that ship their facts here, the last heard of first.
pub(crate) async fn machines(State(app): State<App>) -> Response {
    match off_the_runtime(move || app.store.reader()?.machines(TenantId::LOCAL)).await {
        Ok(machines) => {
            let rows: Vec<Value> = machines.iter().map(machine).collect();
            Json(json!({ "schema_version": 1, "rows": rows })).into_response()
        }
        Err(cause) => failed(&cause),
    }
}

fn machine(machine: &Machine) -> Value {
    let at = |at: UnixMs| Timestamp::from_millisecond(at).ok().map(|at| format!("{at:.3}"));
    json!({
        "host": machine.host, "name": machine.told, "machine": Key(machine.machine), "client_version": machine.client,
        "key": machine.key, "first_seen": at(machine.first_seen), "last_seen": at(machine.last_seen),
        "clock_skew_ms": machine.clock_skew_ms, "facts": machine.facts, "events": machine.events, "refused_lines": machine.refused,
    })
}

/// SQLite waits for the disk, so it is asked on a thread of its own.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed))
}

fn time(at: &Told<UnixMs>) -> Option<String> {
    at.get().copied().and_then(rfc3339)
}

/// To the millisecond; none for times that a calendar cannot hold.
pub(crate) fn rfc3339(at: UnixMs) -> Option<String> {
    Timestamp::from_millisecond(at).ok().map(|at| format!("{at:.3}"))
}

fn usd(cost: Option<NanoUsd>) -> Value {
    json!({ "cost_usd": cost.map(NanoUsd::as_usd), "cost_nano_usd": cost })
}

fn merged(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

/// A list of sessions.
pub fn sessions_json(sessions: &[SessionSummary]) -> Value {
    json!({ "schema_version": 1, "rows": sessions.iter().map(summary).collect::<Vec<_>>() })
}

fn summary(row: &SessionSummary) -> Value {
    let session = &row.session;
    let about = json!({
        "session": session.id, "agent": session.agent, "cwd": session.cwd.get(), "version": session.version.get(),
        "started_at": time(&session.started_at), "last_at": time(&session.last_at), "ended_at": time(&session.ended_at),
        "turns": row.turns, "requests": row.known_requests(), "tool_calls": row.tool_calls, "unpriced_requests": row.unpriced_requests,
        "billing": session.billing.get(), "host": session.host.get(), "reported_cost_usd": reported(session),
    });
    merged(about, usd(row.known_cost()))
}

/// What the client itself said the session cost, since it was started or resumed.
fn reported(session: &Session) -> Option<f64> {
    session.reported_cost_nano.get().map(|nano| NanoUsd(*nano).as_usd())
}

/// Sums that the client told, where it tells no requests.
fn reported_tokens(session: &Session) -> Value {
    let tokens = [&session.reported_input_tokens, &session.reported_cache_read_tokens, &session.reported_output_tokens];
    if tokens.iter().all(|tokens| tokens.is_untold()) {
        return Value::Null;
    }
    let [input, cache_read, output] = tokens.map(Told::get);
    json!({ "input_tokens": input, "cache_read_tokens": cache_read, "output_tokens": output })
}

/// One session and all that it owns.
pub fn session_json(found: &SessionDetail) -> Value {
    let session = &found.session;
    let turns = found.turns.iter().map(|turn| {
        json!({ "turn": turn.key, "started_at": time(&turn.started_at), "ended_at": time(&turn.ended_at), "prompt_bytes": turn.prompt_bytes.get() })
    });
    let requests = found.requests.iter().map(|(request, model, cost)| {
        let usage = request.usage();
        let about = json!({
            "request": request.id, "model": model, "turn": request.turn.get(), "subagent": request.subagent.get(),
            "started_at": time(&request.started_at), "duration_ms": request.duration_ms.get(), "unconfirmed": request.is_unconfirmed(),
            "is_sum": request.is_sum.or_default(), "estimated": request.is_estimated(), "witnesses": request.witnesses.names(), "stop_reason": request.stop_reason.get(),
            "input_tokens": usage.input, "output_tokens": usage.output, "cache_read_tokens": usage.cache_read,
            "cache_write_5m_tokens": usage.cache_write_5m + usage.cache_write_unsplit, "cache_write_1h_tokens": usage.cache_write_1h,
        });
        merged(about, usd(*cost))
    });
    let tool_calls = found.tool_calls.iter().map(|call| {
        json!({
            "tool_call": call.id, "name": call.name.get(), "target": call.target.get(), "turn": call.turn.get(), "subagent": call.subagent.get(),
            "outcome": call.outcome.get(), "error_kind": call.error_kind.get(), "started_at": time(&call.started_at),
            "duration_ms": call.duration_ms(), "unconfirmed": call.is_unconfirmed(), "witnesses": call.witnesses.names(), "input_bytes": call.input_bytes.get(), "result_bytes": call.result_bytes.get(),
        })
    });
    let incidents = found.incidents.iter().map(|incident| {
        json!({ "kind": incident.kind.get(), "at": time(&incident.at), "value": incident.value.get(), "detail": incident.detail.get() })
    });
    json!({
        "schema_version": 1, "session": session.id, "agent": session.agent, "cwd": session.cwd.get(), "version": session.version.get(),
        "started_at": time(&session.started_at), "last_at": time(&session.last_at), "ended_at": time(&session.ended_at),
        "billing": session.billing.get(), "host": session.host.get(), "reported_cost_usd": reported(session),
        "reported_tokens": reported_tokens(session),
        "turns": turns.collect::<Vec<_>>(), "requests": requests.collect::<Vec<_>>(),
        "tool_calls": tool_calls.collect::<Vec<_>>(), "incidents": incidents.collect::<Vec<_>>(),
    })
}
