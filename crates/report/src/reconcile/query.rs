//! What is to be reconciled.

use ducat_ledger::UnixMs;
use ducat_prices::NanoUsd;
use jiff::Timestamp;

use crate::{QueryError, ReportQuery, Settings};

/// Which sessions, and from which difference on their witnesses do not agree.
#[derive(Clone, Debug, Default)]
pub struct ReconcileQuery {
    /// Its id, or the beginning of it.
    pub session: Option<String>,
    pub agent: Option<String>,
    /// Sessions that were alive in it are shown whole: cut ones could not be compared with sums.
    pub range: (Option<UnixMs>, Option<UnixMs>),
    pub tolerance: NanoUsd,
    /// At most so many rows: the latest sessions of which anything was told. Figures and verdict are of these.
    pub limit: Option<usize>,
}

impl ReconcileQuery {
    /// From names and values as in a query string: `session`, `agent`, `since`, `until`, `timezone`, `tolerance`, `limit`.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<Self, QueryError> {
        let (mut query, mut of_report) = (Self::default(), Vec::new());
        for (name, value) in pairs {
            match name {
                "session" => query.session = Some(value.to_owned()),
                "tolerance" => query.tolerance = tolerance(value)?,
                "limit" => query.limit = Some(limit(value)?),
                "agent" | "since" | "until" | "timezone" => of_report.push((name, value)),
                other => {
                    return Err(QueryError::Unknown {
                        field: other.to_owned(),
                        known: "session, agent, since, until, timezone, tolerance, limit",
                    });
                }
            }
        }
        let of_report = ReportQuery::parse(of_report, now, &Settings::default())?;
        query.range = of_report.time_range();
        query.agent = of_report.filters.agent;
        Ok(query)
    }
}

fn limit(value: &str) -> Result<usize, QueryError> {
    let limit = value.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| QueryError::Value { field: "limit", value: value.to_owned(), wanted: "whole number from 1" })
}

fn tolerance(value: &str) -> Result<NanoUsd, QueryError> {
    let usd = value.parse::<f64>().ok().and_then(NanoUsd::from_usd).filter(|usd| usd.0 >= 0);
    let wanted = "amount of US dollars from 0, such as 0.01";
    usd.ok_or_else(|| QueryError::Value { field: "tolerance", value: value.to_owned(), wanted })
}
