//! The API that the page and programs read.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use ducat_ledger::{Key, UnixMs};
use ducat_report::{CoverageQuery, ReconcileQuery, Report, ReportQuery};
use ducat_store::{Machine, StoreError, TenantId, ledger_mark};
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
