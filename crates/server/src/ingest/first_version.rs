//! The API of the first version, whose clients are in use: the same calls and answers, on the ledger.
//!
//! Its facts have the agent `first-version` and never merge with those of agents. Every answer follows its commit.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ducat_ledger::{
    Fact, FieldClass, Incident, IncidentKind, Key, KeySpace, Outcome, Request, Session, ToolCall, Turn, UnixMs, Witness,
    Witnesses,
};
use ducat_spool::EventId;
use ducat_store::{Event, Lane, Pricer, TenantId, Write};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::body::{Body, LONGEST_NAME, MISSING, Refused, bad};
use super::hooks::commit;
use super::running::OpenCall;
use crate::{App, Shared};

/// Their name in the ledger.
pub(crate) const AGENT: &str = "first-version";
const MOST_TOKENS: u64 = 1_000_000_000_000;
/// Calls that may run at once; more are calls that nobody ends.
const MOST_RUNNING: usize = 1_000_000;
/// Separates what a client calls a thing from what makes it unique.
pub(super) const MARK: char = '#';

/// An id and key of their own. The key is ordered by time, so that what happens together lies together on disk.
fn identity(told: &str) -> (Key, String) {
    let unique = EventId::new();
    (Key(unique.0), format!("{told}{MARK}{unique}"))
}

fn told<T>(value: T) -> ducat_ledger::Told<T> {
    Witness::Api.tells(FieldClass::Attribution, value)
}

fn witnesses() -> Witnesses {
    Witnesses::only(Witness::Api)
}

pub(super) fn now() -> UnixMs {
    Timestamp::now().as_millisecond()
}

/// Stores facts of a call; a call repeated with its `Idempotency-Key` is stored once.
pub(super) async fn store(app: &Shared, headers: &HeaderMap, facts: Vec<Fact>) -> Result<(), Refused> {
    let event = match headers.get("idempotency-key") {
        None => None,
        Some(key) if key.len() > LONGEST_NAME => return Err(bad(format!("Idempotency-Key: longer than {LONGEST_NAME} bytes"))),
        // Hashed, so that any text is an id.
        Some(key) => {
            Some(Event { id: Key::of(KeySpace::Incident, AGENT, &String::from_utf8_lossy(key.as_bytes())).0, at: now() })
        }
    };
    let write = Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event, cursors: Vec::new() };
    match commit(app, write).await {
        Ok(_) => Ok(()),
        Err(cause) => Err(Refused(StatusCode::SERVICE_UNAVAILABLE, cause.to_string())),
    }
}

/// What every call answers.
type Answer = Result<Json<Value>, Refused>;

pub(crate) async fn tool_start(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let (tool, tracking) = (body.required("toolName")?, body.required("trackingId")?);
    let (citizen, team) = (body.citizen()?, body.team()?);
    let started_at = body.timestamp()?.unwrap_or_else(now);
    let (key, id) = identity(tracking);
    let mut call = ToolCall::new(key, AGENT, id);
    call.witnesses = witnesses();
    call.name = told(tool.to_owned());
    call.started_at = told(started_at);
    call.user = told(citizen.to_owned());
    call.team = told(team.to_owned());
    let is_new = {
        let mut open = app.running.open();
        // The same id while the call runs is the same call.
        let is_new = !open.calls.contains_key(tracking);
        if is_new && open.calls.len() >= MOST_RUNNING {
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, format!("{MOST_RUNNING} calls are running and none has ended")));
        }
        if is_new {
            open.calls.insert(tracking.to_owned(), OpenCall { call: call.clone(), since: Instant::now() });
        }
        is_new
    };
    if is_new && let Err(refused) = store(&app, &headers, vec![Fact::ToolCall(call)]).await {
        app.running.open().calls.remove(tracking);
        return Err(refused);
    }
    Ok(Json(json!({ "success": true, "trackingId": tracking })))
}

pub(crate) async fn tool_end(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let tracking = body.required("trackingId")?;
    let success = match body.get("success") {
        None => true,
        Some(Value::Bool(success)) => *success,
        Some(_) => return Err(bad("success: must be true or false")),
    };
    let duration = body.number("duration")?.filter(|duration| *duration > 0.0);
    let result_bytes = body.count("resultSize")?;
    let failure = match body.get("error") {
        None => None,
        Some(Value::String(text)) => Some(error_kind(text)),
        Some(_) => return Err(bad("error: must be a string or null")),
    };
    let Some(started) = app.running.open().calls.remove(tracking) else {
        return Err(Refused(StatusCode::NOT_FOUND, "Tracking ID not found".to_owned()));
    };
    let ended_at = now();
    let measured = || ended_at.saturating_sub(started.call.started_at.or_default()).max(0).unsigned_abs();
    let duration_ms = duration.map_or_else(measured, |duration| duration.round() as u64);
    let mut ended = started.call.clone();
    ended.ended_at = told(ended_at);
    ended.duration_ms = told(duration_ms);
    ended.outcome = told(if success { Outcome::Ok } else { Outcome::Error });
    if let Some(bytes) = result_bytes {
        ended.result_bytes = told(bytes);
    }
    if !success {
        ended.error_kind = told(failure.unwrap_or_else(|| "error".to_owned()));
    }
    if let Err(refused) = store(&app, &headers, vec![Fact::ToolCall(ended)]).await {
        app.running.open().calls.insert(tracking.to_owned(), started);
        return Err(refused);
    }
    match duration {
        Some(duration) => Ok(Json(json!({ "success": true, "duration": number(duration) }))),
        None => Ok(Json(json!({ "success": true, "duration": duration_ms }))),
    }
}

/// Whole numbers as they came.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as u64) } else { json!(value) }
}

/// The name an error begins with (`TimeoutError: …`); the text itself is content.
fn error_kind(text: &str) -> String {
    let first = text.split([':', ' ', '\n']).next().unwrap_or("");
    let is_name =
        !first.is_empty() && first.len() <= 40 && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name { first.to_owned() } else { "error".to_owned() }
}

pub(crate) async fn tokens_used(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let citizen = body.citizen()?;
    let tokens = body.count("tokens")?.filter(|tokens| *tokens > 0).ok_or_else(|| bad(MISSING))?;
    if tokens > MOST_TOKENS {
        return Err(bad("tokens: must be from 0 to 10^12"));
    }
    let kind = body.text("type")?.unwrap_or("completion");
    let (key, id) = identity(citizen);
    let mut request = Request::new(key, AGENT, id);
    request.witnesses = witnesses();
    request.model = told(body.text("model")?.unwrap_or("claude").to_owned());
    request.user = told(citizen.to_owned());
    request.team = told(body.team()?.to_owned());
    request.started_at = told(now());
    match kind {
        "completion" => request.output_tokens = told(tokens),
        "prompt" => request.input_tokens = told(tokens),
        _ => return Err(bad("type: must be completion or prompt")),
    }
    let cost = Pricer::price(&*app.pricer, &request).cost;
    store(&app, &headers, vec![Fact::Request(request)]).await?;
    let (usd, formatted) = match cost {
        Some(cost) => (json!(cost.as_usd()), format!("${:.4}", cost.as_usd())),
        // Unknown is not nothing.
        None => (Value::Null, "unknown".to_owned()),
    };
    Ok(Json(json!({ "success": true, "cost": usd, "costFormatted": formatted })))
}

pub(crate) async fn prompt_analysis(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let citizen = body.citizen()?;
    let score = body.number("complexityScore")?.ok_or_else(|| bad(MISSING))?;
    if score > 1e9 {
        return Err(bad("complexityScore: must be from 0 to 10^9"));
    }
    let (key, id) = identity(citizen);
    let mut turn = Turn::new(key, AGENT, id);
    turn.witnesses = witnesses();
    turn.started_at = told(now());
    turn.complexity_milli = told((score * 1000.0).round() as u64);
    turn.thinking_mode = told(body.text("thinkingMode")?.unwrap_or("standard").to_owned());
    if let Some(length) = body.count("promptLength")? {
        turn.prompt_bytes = told(length);
    }
    turn.user = told(citizen.to_owned());
    turn.team = told(body.team()?.to_owned());
    store(&app, &headers, vec![Fact::Turn(turn)]).await?;
    Ok(Json(json!({ "success": true })))
}

pub(crate) async fn session_start(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let citizen = body.citizen().map_err(missing_citizen)?;
    let (key, id) = identity(citizen);
    let mut session = Session::new(key, AGENT, id);
    session.witnesses = witnesses();
    session.started_at = told(now());
    session.last_at = told(now());
    session.user = told(citizen.to_owned());
    session.team = told(body.team()?.to_owned());
    store(&app, &headers, vec![Fact::Session(session.clone())]).await?;
    app.running.open().sessions.entry(citizen.to_owned()).or_default().push(session);
    Ok(Json(json!({ "success": true })))
}

/// Ends the citizen's latest session; one that never started was begun before our time.
pub(crate) async fn session_end(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let citizen = body.citizen().map_err(missing_citizen)?;
    let started = app.running.open().sessions.get_mut(citizen).and_then(Vec::pop);
    if let Some(mut session) = started {
        let before = session.clone();
        session.ended_at = told(now());
        session.last_at = told(now());
        if let Err(refused) = store(&app, &headers, vec![Fact::Session(session)]).await {
            app.running.open().sessions.entry(citizen.to_owned()).or_default().push(before);
            return Err(refused);
        }
    }
    Ok(Json(json!({ "success": true })))
}

fn missing_citizen(refused: Refused) -> Refused {
    if refused.1 == MISSING { bad("Missing citizen field") } else { refused }
}

pub(super) fn incident(kind: IncidentKind, user: &str) -> Incident {
    let (key, id) = identity(user);
    let mut incident = Incident::new(key, AGENT, format!("{}/{id}", kind.name()));
    incident.witnesses = witnesses();
    incident.kind = told(kind);
    incident.at = told(now());
    incident.user = told(user.to_owned());
    incident
}

/// Dollars to nano-USD.
fn nano(dollars: f64) -> i64 {
    // The largest number taken is 10^12: 10^21 would not fit.
    (dollars.min(9e9) * 1e9).round() as i64
}

pub(crate) async fn optimization_suggestion(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let (kind, citizen) = (body.required("type")?, body.citizen()?);
    let mut suggestion = incident(IncidentKind::OptimizationSuggestion, citizen);
    suggestion.detail = told(kind.to_owned());
    suggestion.subject = told(body.text("tool")?.unwrap_or("general").to_owned());
    suggestion.value = told(nano(body.number("potentialSavings")?.unwrap_or(0.0)));
    store(&app, &headers, vec![Fact::Incident(suggestion)]).await?;
    Ok(Json(json!({ "success": true })))
}

pub(crate) async fn hook_performance(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let (kind, citizen) = (body.required("hookType")?, body.citizen()?);
    let duration = body.number("duration")?.ok_or_else(|| bad(MISSING))?;
    let mut timed = incident(IncidentKind::HookPerformance, citizen);
    timed.detail = told(kind.to_owned());
    timed.value = told((duration * 1000.0).round() as i64);
    store(&app, &headers, vec![Fact::Incident(timed)]).await?;
    Ok(Json(json!({ "success": true })))
}

pub(crate) async fn revenue(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Answer {
    let body = Body::parse(&body)?;
    let citizen = body.citizen()?;
    let amount = body.number("amount")?.ok_or_else(|| bad(MISSING))?;
    let mut earned = incident(IncidentKind::Revenue, citizen);
    earned.subject = told(body.text("business")?.unwrap_or("unknown").to_owned());
    earned.detail = told(body.text("source")?.unwrap_or("unknown").to_owned());
    earned.value = told(nano(amount));
    store(&app, &headers, vec![Fact::Incident(earned)]).await?;
    Ok(Json(json!({ "success": true })))
}
