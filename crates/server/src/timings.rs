//! `GET /api/v1/tools` and `/api/v1/latency`: how long tool calls and requests took.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ducat_report::{Latencies, LatencyQuery, Tools, ToolsQuery};
use ducat_store::{StoreError, TenantId};
use jiff::Timestamp;
use serde_json::Value;

use crate::App;
use crate::api::{error, failed, off_the_runtime};

pub(crate) async fn tools(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let query = match ToolsQuery::parse(borrowed(&pairs), Timestamp::now(), &app.config.reports) {
        Ok(query) => query,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    answer(move || {
        let mut tools = Tools::new(query);
        let slowest = app.store.reader()?.add_tools_to(TenantId::LOCAL, &mut tools)?;
        Ok(tools.to_json(&slowest))
    })
    .await
}

pub(crate) async fn latency(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let query = match LatencyQuery::parse(borrowed(&pairs), Timestamp::now(), &app.config.reports) {
        Ok(query) => query,
        Err(wrong) => return error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    };
    answer(move || {
        let mut latencies = Latencies::new(query);
        app.store.reader()?.add_latencies_to(TenantId::LOCAL, &mut latencies)?;
        Ok(latencies.to_json())
    })
    .await
}

fn borrowed(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

async fn answer(work: impl FnOnce() -> Result<Value, StoreError> + Send + 'static) -> Response {
    match off_the_runtime(work).await {
        Ok(json) => Json(json).into_response(),
        Err(cause) => failed(&cause),
    }
}
