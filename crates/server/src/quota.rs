//! Plans' quotas: `GET /api/v1/quota`, and their form in JSON.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ducat_ledger::{Quota, UnixMs};
use ducat_report::rfc3339;
use ducat_store::TenantId;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::App;
use crate::api::{failed, off_the_runtime};

/// Windows that have not reset.
pub(crate) async fn quota(State(app): State<App>) -> Response {
    let now = Timestamp::now().as_millisecond();
    match off_the_runtime(move || app.store.reader()?.quotas(TenantId::LOCAL, now)).await {
        Ok(quotas) => Json(quotas_json(quotas, now)).into_response(),
        Err(cause) => failed(&cause),
    }
}

/// Windows that have not reset at `now`, those that reset first before the others, each with where it is going at its present pace.
pub fn quotas_json(quotas: Vec<Quota>, now: UnixMs) -> Value {
    let rows = Quota::fold(quotas).into_iter().filter_map(|quota| {
        let pace = quota.pace(now)?;
        Some(json!({
            "agent": quota.agent, "account": quota.account, "limit": quota.limit, "window": quota.window(), "window_minutes": quota.window_minutes,
            "used_percent": percent(quota.used().into()), "resets_at": rfc3339(quota.resets_at()), "told_at": rfc3339(quota.told_at.or_default()),
            "plan": quota.plan.get(), "percent_per_hour": percent(pace.ppm_per_hour), "projected_percent": percent(pace.projected_ppm),
            "used_up_at": pace.used_up_at.and_then(rfc3339), "lasts": pace.used_up_at.is_none(), "witnesses": quota.witnesses.names(),
        }))
    });
    json!({ "schema_version": 1, "quotas": rows.collect::<Vec<_>>() })
}

fn percent(ppm: u64) -> f64 {
    ppm as f64 / 1e4
}
