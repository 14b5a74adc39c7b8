//! The list of sessions.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use ducat_ledger::{Billing, Session, Told, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::figures::csv_field;
use ducat_report::{SessionFormat, SessionsQuery, rfc3339};
use ducat_store::{SessionPage, SessionSummary, SessionSums, Store, StoreError, TenantId};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::App;
use crate::api::{error, failed, off_the_runtime};

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
        return csv(app.store.clone(), query).await;
    }
    let listed = off_the_runtime(move || {
        let page = app.store.sessions(TenantId::LOCAL, &query)?;
        Ok(serde_json::to_vec(&sessions_document(&page))?)
    });
    json(listed.await)
}

pub(crate) fn json(made: Result<Vec<u8>, StoreError>) -> Response {
    match made {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(cause) => failed(&cause),
    }
}

/// Lists being read as CSV: each holds a thread for as long as its reader takes, and others need those.
static CSVS: Semaphore = Semaphore::const_new(8);

/// Every row, sent as it is read: a reader that falls behind holds back the reading, one that is gone ends it.
async fn csv(store: Store, query: SessionsQuery) -> Response {
    let Ok(place) = CSVS.try_acquire() else {
        return error(
            StatusCode::SERVICE_UNAVAILABLE,
            "eight lists of sessions are being read as CSV; try again when one has ended",
        );
    };
    let (chunks, sent) = mpsc::channel::<Result<Bytes, StoreError>>(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut text = CSV_HEAD.to_owned();
        let read = store.each_session(TenantId::LOCAL, &query, |row| {
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
pub(crate) struct About<'s> {
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
    pub fn of(session: &'s Session) -> Self {
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
pub(crate) struct Cost {
    cost_usd: Option<f64>,
    cost_nano_usd: Option<NanoUsd>,
}

impl Cost {
    pub fn of(cost: Option<NanoUsd>) -> Self {
        Self { cost_usd: cost.map(NanoUsd::as_usd), cost_nano_usd: cost }
    }
}

/// What the client itself said the session cost, since it was started or resumed.
pub(crate) fn reported(session: &Session) -> Option<f64> {
    session.reported_cost_nano.get().map(|nano| NanoUsd(*nano).as_usd())
}

pub(crate) fn time(at: &Told<UnixMs>) -> Option<String> {
    at.get().copied().and_then(rfc3339)
}

pub(crate) fn text(told: &Told<String>) -> Option<&str> {
    told.get().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ducat_ledger::{Fact, Holder, Holders, Key, KeySpace, Request};
    use ducat_prices::PriceTable;
    use ducat_store::{Durability, Lane, StoreOptions, Write};
    use http_body_util::BodyExt;

    use super::*;

    /// A store with sessions of the names, each with a request of a known cost.
    fn store(folder: &std::path::Path, names: &[String]) -> Store {
        let pricer = Arc::new(PriceTable::embedded());
        let clock = || 1_790_000_000_000;
        let options =
            StoreOptions { path: folder.join("ledger.db"), durability: Durability::Process, pricer, clock, listener: None };
        let store = Store::open(options).unwrap();
        let facts = names.iter().flat_map(|name| {
            let mut session = Session::new(Key::of(KeySpace::Session, "a", name), "a", name);
            (session.last_at, session.cwd) = (Told::by(1, clock()), Told::by(1, name.clone()));
            let mut request = Request::new(Key::of(KeySpace::Request, "a", name), "a", name);
            request.holders =
                Holders::one(Holder { session: session.key, live: false, project: Some(name.clone()), branch: None });
            (request.model, request.output_tokens) = (Told::by(1, "claude-opus-4-5".to_owned()), Told::by(1, 1_000));
            [Fact::Session(session), Fact::Request(request)]
        });
        let (facts, cursors) = (facts.collect(), Vec::new());
        store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors }).unwrap();
        store
    }

    #[tokio::test]
    async fn a_csv_has_every_row_and_no_formula() {
        let folder = tempfile::tempdir().unwrap();
        let mut names: Vec<String> = (0..3_000).map(|number| format!("/code/{number:04}")).collect();
        names.push("=HYPERLINK(\"http://evil\"),x".to_owned());
        let store = store(folder.path(), &names);
        let query = SessionsQuery { limit: 1, offset: 7, ..SessionsQuery::default() };
        let response = csv(store.clone(), query.clone()).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.len() > 3 * CHUNK, "several chunks");
        assert!(text.starts_with(CSV_HEAD) && text.lines().count() == names.len() + 1);
        assert!(text.contains("\"'=HYPERLINK(\"\"http://evil\"\"),x\",a,"), "{text}");
        let columns = CSV_HEAD.split(',').count();
        let plain = text.lines().skip(1).filter(|line| !line.contains('"'));
        assert!(plain.clone().all(|line| line.split(',').count() == columns && line.ends_with(",0.025000000,")), "{text}");
        // Who goes away ends the reading, and nothing waits for it.
        drop(csv(store.clone(), query).await);
    }

    #[test]
    fn a_page_is_told_as_described() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), &["/code/one".to_owned()]);
        let page = store.reader().unwrap().sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap();
        let told = serde_json::to_value(sessions_document(&page)).unwrap();
        let description: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let described = |name: &str| {
            let properties = description["components"]["schemas"][name]["properties"].as_object().unwrap();
            properties.keys().cloned().collect::<std::collections::BTreeSet<_>>()
        };
        let has =
            |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(has(&told["rows"][0]), described("Session"));
        assert_eq!(has(&told["totals"]), described("SessionTotals"));
        assert_eq!((&told["total"], &told["totals"]["cost_nano_usd"]), (&1.into(), &told["rows"][0]["cost_nano_usd"]));
        assert_eq!(told["rows"][0]["models"], serde_json::json!(["claude-opus-4-5"]));
    }
}
