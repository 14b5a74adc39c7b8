//! The figures of one moment, as the server's API tells them.

use std::collections::HashMap;

use ducat_prices::NanoUsd;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

use crate::server::{Server, Unanswered};

/// As long as a session counts as active in the metrics.
const ACTIVE: SignedDuration = SignedDuration::from_mins(5);
/// Bars of the sparkline.
pub const HOURS: usize = 24;
const SESSIONS: usize = 200;

/// Figures; none where the server is older and does not tell them.
pub struct Snapshot {
    pub at: Timestamp,
    pub today: Totals,
    /// Requests are paid by a plan: costs are values at list price.
    pub is_plan: bool,
    pub last_hour: Option<LastHour>,
    /// What each of the last 24 hours cost, the present one last.
    pub hours: Option<Vec<Totals>>,
    /// The plans' windows of all use, those that reset first before the others.
    pub quotas: Vec<Quota>,
    /// The latest first.
    pub sessions: Vec<Session>,
    /// Of today, by calls.
    pub tools: Option<Vec<Tool>>,
}

/// Sums of requests.
#[derive(Clone, Copy, Default, Deserialize)]
pub struct Totals {
    pub requests: u64,
    pub unpriced_requests: u64,
    /// What is known of it; none where nothing could be priced.
    #[serde(rename = "cost_nano_usd")]
    pub cost: Option<NanoUsd>,
}

pub struct LastHour {
    pub all: Totals,
    pub by_session: HashMap<String, Totals>,
}

#[derive(Deserialize)]
pub struct Quota {
    pub agent: String,
    /// What it bounds, where not all use.
    pub limit: Option<String>,
    pub window: String,
    pub used_percent: f64,
    #[serde(default, deserialize_with = "time")]
    pub resets_at: Option<Timestamp>,
    /// When it is used up at its present pace; none where it lasts.
    #[serde(default, deserialize_with = "time")]
    pub used_up_at: Option<Timestamp>,
}

#[derive(Deserialize)]
pub struct Session {
    pub session: String,
    pub agent: String,
    pub cwd: Option<String>,
    pub project: Option<String>,
    pub branch: Option<String>,
    pub user: Option<String>,
    pub host: Option<String>,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default, deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub last_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub ended_at: Option<Timestamp>,
    pub turns: u64,
    pub requests: Option<u64>,
    pub tool_calls: u64,
    pub failed_tool_calls: Option<u64>,
    #[serde(default)]
    pub unpriced_requests: u64,
    #[serde(rename = "cost_nano_usd")]
    pub cost: Option<NanoUsd>,
}

impl Session {
    /// Had a sign of life in the last five minutes, and none of an end after it.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.last_at.is_some_and(|last| now.duration_since(last) <= ACTIVE && self.ended_at.is_none_or(|ended| ended < last))
    }
}

#[derive(Deserialize)]
pub struct Tool {
    /// None for calls of an unknown tool.
    pub tool: Option<String>,
    pub calls: u64,
    pub failed: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub result_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Rows<R> {
    rows: Vec<R>,
}

#[derive(Deserialize)]
struct Report<R> {
    rows: Vec<R>,
    totals: Totals,
}

#[derive(Deserialize)]
struct Quotas {
    quotas: Vec<Quota>,
}

#[derive(Deserialize)]
struct OfBilling {
    billing: Option<String>,
}

#[derive(Deserialize)]
struct OfHour {
    hour: Option<String>,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Deserialize)]
struct OfSession {
    session: Option<String>,
    #[serde(flatten)]
    totals: Totals,
}

impl Snapshot {
    pub fn ask(server: &Server, zone: &TimeZone, now: Timestamp) -> Result<Self, Unanswered> {
        let name = zone.iana_name().unwrap_or("UTC");
        let today = format!("since={0}&until={0}&timezone={name}", zone.to_datetime(now).date());
        let report: Report<OfBilling> = server.get(&format!("report?by=billing&{today}"))?;
        let quotas: Quotas = server.get("quota")?;
        let sessions: Rows<Session> = server.get(&format!("sessions?limit={SESSIONS}"))?;
        let tools: Option<Rows<Tool>> = known(server.get(&format!("tools?{today}")))?;
        let hour_ago = now - SignedDuration::from_hours(1);
        let hour: Option<Report<OfSession>> = known(server.get(&format!("report?by=session&since={hour_ago:.0}")))?;
        let first = hours_begin(now, zone);
        // Asked only of a server that knew the one before: both came together.
        let hours: Option<Report<OfHour>> = match &hour {
            Some(_) => known(server.get(&format!("report?by=hourly&since={first:.0}&timezone={name}")))?,
            None => None,
        };
        Ok(Self {
            at: now,
            today: report.totals,
            is_plan: report.rows.iter().any(|row| row.billing.as_deref() == Some("plan")),
            last_hour: hour.map(|hour| LastHour {
                all: hour.totals,
                by_session: hour.rows.into_iter().filter_map(|row| Some((row.session?, row.totals))).collect(),
            }),
            hours: hours.map(|hours| by_hour(hours.rows, first)),
            quotas: quotas.quotas.into_iter().filter(|quota| quota.limit.is_none()).collect(),
            sessions: sessions.rows,
            tools: tools.map(|tools| tools.rows),
        })
    }

    pub fn live_sessions(&self, now: Timestamp) -> usize {
        self.sessions.iter().filter(|session| session.is_live(now)).count()
    }

    /// The last sign of life of any session.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.sessions.iter().filter_map(|session| session.last_at).max()
    }
}

/// None of what an older server does not know.
fn known<T>(answer: Result<T, Unanswered>) -> Result<Option<T>, Unanswered> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Unanswered::Unknown(_) | Unanswered::Foreign { .. }) => Ok(None),
        Err(why) => Err(why),
    }
}

/// When the first of the 24 hours began, by the zone's clock.
fn hours_begin(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let local = zone.to_datetime(now);
    let into_hour = SignedDuration::from_secs(i64::from(local.minute()) * 60 + i64::from(local.second()));
    now - into_hour - SignedDuration::from_nanos(now.subsec_nanosecond().into()) - SignedDuration::from_hours(HOURS as i64 - 1)
}

fn by_hour(rows: Vec<OfHour>, first: Timestamp) -> Vec<Totals> {
    let mut hours = vec![Totals { cost: Some(NanoUsd::ZERO), ..Totals::default() }; HOURS];
    for row in rows {
        let begun = row.hour.and_then(|hour| hour.parse::<Timestamp>().ok());
        let place = begun.and_then(|begun| usize::try_from(begun.duration_since(first).as_hours()).ok());
        if let Some(hour) = place.and_then(|place| hours.get_mut(place)) {
            *hour = row.totals;
        }
    }
    hours
}

/// A time that cannot be read is none.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}
