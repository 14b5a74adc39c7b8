//! `GET /api/v1/prices`: what the models of the ledger cost.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ducat_prices::{Kind, PriceTable, RateSource};
use ducat_store::TenantId;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::App;
use crate::api::{error, failed, off_the_runtime};

/// Today's rates of every model that the ledger has.
pub(crate) async fn prices(State(app): State<App>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    if let Some((name, _)) = pairs.first() {
        return error(StatusCode::BAD_REQUEST, &format!("unknown parameter {name:?}; there are none"));
    }
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let made = off_the_runtime(move || {
        let models = app.store.reader()?.models(TenantId::LOCAL)?;
        Ok(prices_json(&models, &app.pricer, today))
    });
    match made.await {
        Ok(json) => Json(json).into_response(),
        Err(cause) => failed(&cause),
    }
}

/// Rates of models in the standard tier with a short context, as this user pays them on a day; null where unknown.
fn prices_json(models: &[String], table: &PriceTable, day: Date) -> Value {
    let rows: Vec<_> = models.iter().map(|model| row(model, table, day)).collect();
    json!({ "schema_version": 1, "rows": rows, "table": { "source": table.source() } })
}

fn row(model: &str, table: &PriceTable, day: Date) -> Map<String, Value> {
    let rates = table.rates_of(model, day);
    let about = [
        ("model", json!(model)),
        ("provider", json!(rates.provider)),
        ("source", json!(rates.source.map(RateSource::name))),
        ("is_override", json!(rates.is_override)),
    ];
    let about = about.into_iter().map(|(name, value)| (name.to_owned(), value));
    let usd = Kind::ALL.into_iter().zip(rates.usd_per_million);
    about.chain(usd.map(|(kind, usd)| (format!("{}_usd_per_million", kind.name()), json!(usd)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_price_has_no_rates() {
        let models = ["claude-opus-5", "nobody's"].map(str::to_owned);
        let json = prices_json(&models, &PriceTable::embedded(), jiff::civil::date(2026, 11, 25));
        assert_eq!(json["rows"][0]["input_usd_per_million"], 5.0);
        assert_eq!(json["rows"][0]["cache_write_1h_usd_per_million"], 10.0);
        assert_eq!(json["rows"][0]["source"], "table");
        let unknown = json!({
            "model": "nobody's", "provider": null, "source": null, "is_override": false, "input_usd_per_million": null,
            "output_usd_per_million": null, "reasoning_usd_per_million": null, "cache_read_usd_per_million": null,
            "cache_write_5m_usd_per_million": null, "cache_write_1h_usd_per_million": null,
        });
        assert_eq!(json["rows"][1], unknown);
    }
}
