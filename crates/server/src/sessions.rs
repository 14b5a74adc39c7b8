//! Sessions: the list, and one with all that it owns.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ducat_ledger::{Billing, Incident, Key, Outcome, Session, Told, ToolCall, Turn, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::figures::csv_field;
use ducat_report::{SessionFormat, SessionsQuery};
use ducat_store::{PricedRequest, SessionDetail, SessionPage, SessionSummary, SessionSums, StoreError, TenantId};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::App;
use crate::api::{error, failed, off_the_runtime, rfc3339};

/// Bytes of a CSV that are sent at once, and how many such may wait for a slow reader.
const CHUNK: usize = 64 << 10;
const CHUNKS_WAITING: usize = 4;

/// Sessions that a query asks for, with how many they are and their sums; see `openapi.json`.
pub(crate) async fn sessions(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let query = match SessionsQuery::parse(pairs, Timestamp::now(), &app.config.reports) {
        Ok(query) => query,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    if query.format == SessionFormat::Csv {
        return csv(app, query).await;
    }
    let listed = off_the_runtime(move || {
        let page = app.store.reader()?.sessions(TenantId::LOCAL, &query)?;
        Ok(serde_json::to_vec(&sessions_document(&page))?)
    });
    json(listed.await)
}

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

fn json(made: Result<Vec<u8>, StoreError>) -> Response {
    match made {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(cause) => failed(&cause),
    }
}

/// Every row, sent as it is read: a reader that falls behind holds back the reading, one that is gone ends it.
async fn csv(app: App, query: SessionsQuery) -> Response {
    // Opened before the answer begins, so that what fails is no empty file.
    let reader = match off_the_runtime(move || app.store.reader()).await {
        Ok(reader) => reader,
        Err(cause) => return failed(&cause),
    };
    let (chunks, sent) = mpsc::channel::<Result<Bytes, StoreError>>(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut text = CSV_HEAD.to_owned();
        let read = reader.each_session(TenantId::LOCAL, &query, |row| {
            text.push_str(&csv_row(row));
            text.len() < CHUNK || chunks.blocking_send(Ok(std::mem::take(&mut text).into())).is_ok()
        });
        // Nobody reads any more.
        let _ = chunks.blocking_send(read.map(|()| text.into()));
    });
    let mut sent = ReceiverStream::new(sent);
    // The first decides the status.
    match sent.next().await {
        Some(Err(cause)) => failed(&cause),
        first => {
            let chunks = tokio_stream::iter(first).chain(sent);
            let head = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"sessions.csv\""),
            ];
            (head, Body::from_stream(chunks)).into_response()
        }
    }
}

/// The columns of [`csv_row`].
pub const CSV_HEAD: &str = "session,agent,cwd,project,branch,user,team,host,version,models,started_at,last_at,ended_at,turns,requests,tool_calls,failed_tool_calls,incidents,api_errors,unpriced_requests,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,billing,cost_usd,reported_cost_usd\n";

/// A line of comma-separated values, named as in the JSON; what is unknown is empty, models are set apart by `; `.
pub fn csv_row(row: &SessionSummary) -> String {
    let SessionRow { about, project, branch, user, team, models, sums, unpriced_requests, reported_cost_usd, .. } =
        SessionRow::of(row);
    let text = |text: Option<&str>| csv_field(text.unwrap_or_default());
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let reported = reported_cost_usd.map(|usd| usd.to_string()).unwrap_or_default();
    let fields = [
        csv_field(about.session),
        csv_field(about.agent),
        text(about.cwd),
        text(project),
        text(branch),
        text(user),
        text(team),
        text(about.host),
        text(about.version),
        csv_field(&models.join("; ")),
        text(about.started_at.as_deref()),
        text(about.last_at.as_deref()),
        text(about.ended_at.as_deref()),
        sums.turns.to_string(),
        number(sums.requests),
        sums.tool_calls.to_string(),
        sums.failed_tool_calls.to_string(),
        sums.incidents.to_string(),
        sums.api_errors.to_string(),
        unpriced_requests.to_string(),
        sums.input_tokens.to_string(),
        sums.output_tokens.to_string(),
        sums.cache_read_tokens.to_string(),
        sums.cache_write_tokens.to_string(),
        text(about.billing.map(Billing::name)),
        row.sums.known_cost().map(NanoUsd::exact).unwrap_or_default(),
        reported,
    ];
    fields.join(",") + "\n"
}

/// A page of a list of sessions, as the API tells it.
pub fn sessions_document(page: &SessionPage) -> impl Serialize + use<'_> {
    SessionsDocument {
        schema_version: 1,
        rows: page.rows.iter().map(SessionRow::of).collect(),
        total: page.total,
        totals: Totals {
            sums: Sums::of(&page.totals),
            unpriced_requests: page.totals.requests.unpriced_requests,
            cost: Cost::of(page.totals.known_cost()),
        },
    }
}

#[derive(Serialize)]
struct SessionsDocument<'s> {
    schema_version: u8,
    rows: Vec<SessionRow<'s>>,
    total: u64,
    totals: Totals,
}

#[derive(Serialize)]
struct Totals {
    #[serde(flatten)]
    sums: Sums,
    unpriced_requests: i64,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Serialize)]
struct SessionRow<'s> {
    #[serde(flatten)]
    about: About<'s>,
    project: Option<&'s str>,
    branch: Option<&'s str>,
    user: Option<&'s str>,
    team: Option<&'s str>,
    models: &'s [String],
    #[serde(flatten)]
    sums: Sums,
    unpriced_requests: i64,
    #[serde(flatten)]
    cost: Cost,
    reported_cost_usd: Option<f64>,
}

impl<'s> SessionRow<'s> {
    fn of(row: &'s SessionSummary) -> Self {
        let about = About { host: row.host.as_deref(), billing: row.billing, ..About::of(&row.session) };
        Self {
            about,
            project: row.project.as_deref(),
            branch: row.branch.as_deref(),
            user: row.user.as_deref(),
            team: row.team.as_deref(),
            models: &row.models,
            sums: Sums::of(&row.sums),
            unpriced_requests: row.sums.requests.unpriced_requests,
            cost: Cost::of(row.sums.known_cost()),
            reported_cost_usd: reported(&row.session),
        }
    }
}

/// What a session itself was told of.
#[derive(Serialize)]
struct About<'s> {
    session: &'s str,
    agent: &'s str,
    cwd: Option<&'s str>,
    version: Option<&'s str>,
    started_at: Option<String>,
    last_at: Option<String>,
    ended_at: Option<String>,
    billing: Option<Billing>,
    host: Option<&'s str>,
}

impl<'s> About<'s> {
    fn of(session: &'s Session) -> Self {
        Self {
            session: &session.id,
            agent: &session.agent,
            cwd: text(&session.cwd),
            version: text(&session.version),
            started_at: time(&session.started_at),
            last_at: time(&session.last_at),
            ended_at: time(&session.ended_at),
            billing: session.billing.get().copied(),
            host: text(&session.host),
        }
    }
}

#[derive(Serialize)]
struct Sums {
    turns: i64,
    requests: Option<i64>,
    tool_calls: i64,
    failed_tool_calls: i64,
    incidents: i64,
    api_errors: i64,
    input_tokens: i64,
    output_tokens: i64,
    cache_read_tokens: i64,
    cache_write_tokens: i64,
}

impl Sums {
    fn of(sums: &SessionSums) -> Self {
        let of = &sums.requests;
        Self {
            turns: sums.turns,
            requests: sums.known_requests(),
            tool_calls: sums.tool_calls,
            failed_tool_calls: sums.failed_tool_calls,
            incidents: sums.incidents,
            api_errors: sums.api_errors,
            input_tokens: of.input_tokens,
            output_tokens: of.output_tokens,
            cache_read_tokens: of.cache_read_tokens,
            cache_write_tokens: of.cache_write_5m_tokens.saturating_add(of.cache_write_1h_tokens),
        }
    }
}

#[derive(Serialize)]
struct Cost {
    cost_usd: Option<f64>,
    cost_nano_usd: Option<NanoUsd>,
}

impl Cost {
    fn of(cost: Option<NanoUsd>) -> Self {
        Self { cost_usd: cost.map(NanoUsd::as_usd), cost_nano_usd: cost }
    }
}

/// What the client itself said the session cost, since it was started or resumed.
fn reported(session: &Session) -> Option<f64> {
    session.reported_cost_nano.get().map(|nano| NanoUsd(*nano).as_usd())
}

fn time(at: &Told<UnixMs>) -> Option<String> {
    at.get().copied().and_then(rfc3339)
}

fn text(told: &Told<String>) -> Option<&str> {
    told.get().map(String::as_str)
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
    kind: Option<ducat_ledger::IncidentKind>,
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
