//! `/metrics` for Prometheus, and `/metrics/summary` for programs and people.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use ducat_ledger::{Freshness, Quota, Session};
use ducat_metrics::{Exposition, Family, Format, Kind, LabelValues, Series};
use ducat_store::{Counters, Machine, StoreError, TenantId};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::api::{failed, off_the_runtime};
use crate::ingest::otlp::{Signal, Transport, Verdict};
use crate::ingest::{EventCounts, Way, first_version};
use crate::{App, Shared, page, witnesses};

/// A session is active while it showed a sign of life this long ago.
const ACTIVE: Duration = Duration::from_secs(5 * 60);
/// A session of the first version shows none between its start and its end.
const ACTIVE_FIRST_VERSION: Duration = Duration::from_secs(24 * 3600);
/// The last heard of; a label has no more values.
const MOST_MACHINES: usize = 200;
const TENANT: u32 = TenantId::LOCAL.0;

/// What the metrics are made of, read at once.
struct Reading {
    counters: Counters,
    active: Vec<Session>,
    quotas: Vec<Quota>,
    machines: Vec<Machine>,
    witnesses: Vec<Freshness>,
    spooled: usize,
}

fn read(app: &Shared) -> Result<Reading, StoreError> {
    let now = Timestamp::now().as_millisecond();
    let before = |ago: Duration| now - i64::try_from(ago.as_millis()).unwrap_or(0);
    let active = |session: &Session| {
        let lasts = if session.agent == first_version::AGENT { ACTIVE_FIRST_VERSION } else { ACTIVE };
        // One that was resumed after its end is active again.
        let has_ended = session.ended_at.get().is_some_and(|ended| session.last_at.get().is_none_or(|last| ended >= last));
        !has_ended && session.last_at.get().is_some_and(|last| *last >= before(lasts))
    };
    let reader = app.store.reader()?;
    let mut sessions = reader.sessions_since(TenantId::LOCAL, before(ACTIVE_FIRST_VERSION))?;
    let quotas = Quota::fold(reader.quotas(TenantId::LOCAL, now)?);
    sessions.retain(active);
    let spooled = app.config.spool.as_ref().and_then(|spool| spool.waiting().ok()).map_or(0, |waiting| waiting.len());
    let mut machines = reader.machines(TenantId::LOCAL)?;
    machines.truncate(MOST_MACHINES);
    let witnesses = app.witnesses.freshness(&reader)?;
    Ok(Reading { counters: app.store.counters(), active: sessions, quotas, machines, witnesses, spooled })
}

pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let format =
        if text(header::ACCEPT).contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus };
    let gzip = text(header::ACCEPT_ENCODING).split(',').any(|coding| coding.trim().split(';').next() == Some("gzip"));
    let made = off_the_runtime(move || {
        let text = expose(&app, &read(&app)?, format);
        if !gzip {
            return Ok(text.into_bytes());
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory cannot fail.
        let _ = packed.write_all(text.as_bytes());
        Ok(packed.finish().unwrap_or_default())
    });
    match made.await {
        Ok(body) => {
            let mut response = body.into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
            if gzip {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Err(cause) => failed(&cause),
    }
}

fn expose(app: &Shared, reading: &Reading, format: Format) -> String {
    let environment = std::env::var("NODE_ENV").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "development".to_owned());
    let constant = vec![("app".to_owned(), "ducat".to_owned()), ("environment".to_owned(), environment)];
    let mut text = Exposition::new(format, constant);
    text.series(&reading.counters.series, TENANT);
    sessions(&mut text, &reading.active);
    let mut shown_labels = app.shown_labels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    quotas(&mut text, &reading.quotas, &mut shown_labels);
    witnesses::gauges(&mut text, &reading.witnesses, &mut shown_labels);
    let shown_overflows = shown_labels.overflows().clone();
    drop(shown_labels);
    machines(&mut text, &reading.machines);
    ratios(&mut text, &reading.counters.series);
    otlp(app, &mut text);
    own_process(app, reading, &shown_overflows, &mut text);
    text.finish()
}

fn sessions(text: &mut Exposition, active: &[Session]) {
    let (mut by_agent, mut by_citizen) = (BTreeMap::<&str, u64>::new(), BTreeMap::<(&str, &str), u64>::new());
    for session in active {
        *by_agent.entry(&session.agent).or_default() += 1;
        let citizen = session.user.get().map_or("unknown", String::as_str);
        *by_citizen.entry((citizen, session.team.get().map_or("unknown", String::as_str))).or_default() += 1;
    }
    text.family("ducat_sessions_active", Kind::Gauge, "Sessions that showed a sign of life in the last five minutes.");
    by_agent.iter().for_each(|(agent, count)| text.sample(&[("agent", agent)], count));
    text.family("ai_active_sessions", Kind::Gauge, "Active sessions.");
    by_citizen.iter().for_each(|((citizen, class), count)| text.sample(&[("citizen", citizen), ("class", class)], count));
}

fn machines(text: &mut Exposition, machines: &[Machine]) {
    let seen = "When a machine that ships here was last heard of, in seconds since 1970.";
    text.family("ducat_machine_last_seen_timestamp_seconds", Kind::Gauge, seen);
    machines.iter().for_each(|machine| text.sample(&[("host", &machine.host)], machine.last_seen as f64 / 1e3));
    text.family("ducat_machine_clock_skew_seconds", Kind::Gauge, "How far its clock is ahead of ours.");
    machines.iter().for_each(|machine| text.sample(&[("host", &machine.host)], machine.clock_skew_ms as f64 / 1e3));
}

/// Of windows with the same names (several accounts), the one told of last. Names come from outside, so they are bounded.
fn quotas(text: &mut Exposition, quotas: &[Quota], known: &mut LabelValues) {
    let mut latest = BTreeMap::<[String; 3], &Quota>::new();
    for quota in quotas {
        let mut bound = |label, value: &str| known.bound(TENANT, label, value).to_owned();
        let limit = quota.limit.as_deref().map_or_else(String::new, |limit| bound("limit", limit));
        let names = [bound("agent", &quota.agent), bound("window", &quota.window()), limit];
        let known = latest.entry(names).or_insert(quota);
        if quota.told_at.get() > known.told_at.get() {
            *known = quota;
        }
    }
    let labels = |[agent, window, limit]: &'_ [String; 3]| {
        [("agent", agent.clone()), ("window", window.clone()), ("limit", limit.clone())]
    };
    let sample = |text: &mut Exposition, names: &[String; 3], value: f64| {
        let labels = labels(names);
        text.sample(&labels.each_ref().map(|(name, value)| (*name, value.as_str())), value);
    };
    text.family(
        "ducat_quota_used_ratio",
        Kind::Gauge,
        "Used share of a plan's quota, from 0 to 1, as last told, until its window resets.",
    );
    latest.iter().for_each(|(names, quota)| sample(text, names, f64::from(quota.used()) / 1e6));
    text.family(
        "ducat_quota_reset_timestamp_seconds",
        Kind::Gauge,
        "When a window of a plan's quota resets, in seconds since 1970.",
    );
    latest.iter().for_each(|(names, quota)| sample(text, names, quota.resets_at() as f64 / 1e3));
}

/// What the first version exposed and follows from the counters.
fn ratios(text: &mut Exposition, series: &Series) {
    let costs = series.sums(TENANT, Family::AiTokenCost);
    text.family("ai_operational_cost_dollars", Kind::Gauge, "Cost of all tokens in USD.");
    // Where nobody told of tokens it is unknown.
    if !costs.is_empty() {
        text.sample(&[], costs.iter().map(|(_, nano, _)| nano).sum::<u64>() as f64 / 1e9);
    }
    text.family("ai_tool_failure_rate", Kind::Gauge, "Share of tool calls that did not succeed, from 0 to 1.");
    for (tool, (calls, successes)) in executions(series) {
        text.sample(&[("tool_name", &tool)], 1.0 - successes as f64 / calls.max(1) as f64);
    }
    text.family("ai_hook_overhead_percentage", Kind::Gauge, "Time of hooks in percent of the time of tool calls, as told.");
    let (mut hooks, mut tools) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    for (labels, micros, _) in series.sums(TENANT, Family::AiHookDuration) {
        *hooks.entry(labels[1].clone()).or_default() += micros;
    }
    for (labels, millis, _) in series.sums(TENANT, Family::AiToolDuration) {
        *tools.entry(labels[1].clone()).or_default() += millis * 1000;
    }
    for (citizen, micros) in hooks {
        if let Some(time) = tools.get(&citizen).filter(|time| **time > 0) {
            text.sample(&[("citizen", &citizen)], 100.0 * micros as f64 / *time as f64);
        }
    }
    text.family("ai_customer_satisfaction_score", Kind::Gauge, "Never told by any client.");
}

/// Calls and successes by tool.
fn executions(series: &Series) -> BTreeMap<String, (u64, u64)> {
    let mut tools = BTreeMap::<String, (u64, u64)>::new();
    for (labels, calls, _) in series.sums(TENANT, Family::AiToolExecutions) {
        let tool = tools.entry(labels[0].clone()).or_default();
        tool.0 += calls;
        tool.1 += if labels[2] == "true" { calls } else { 0 };
    }
    tools
}

/// What came over OTLP, and went on.
fn otlp(app: &Shared, text: &mut Exposition) {
    let counts = &app.otlp.counts;
    let routes = || Signal::ALL.into_iter().flat_map(|signal| Transport::ALL.map(|transport| (signal, transport)));
    text.family("ducat_otlp_records_total", Kind::Counter, "Log records, spans and data points over OTLP, since the start.");
    for (signal, transport) in routes() {
        for verdict in Verdict::ALL {
            let labels = [("signal", signal.name()), ("transport", transport.name()), ("verdict", verdict.name())];
            text.sample(&labels, counts.records(signal, transport, verdict));
        }
    }
    text.family("ducat_otlp_received_bytes_total", Kind::Counter, "Bytes of exports as they were sent, since the start.");
    for (signal, transport) in routes() {
        text.sample(&[("signal", signal.name()), ("transport", transport.name())], counts.bytes(signal, transport));
    }
    text.family("ducat_otlp_refused_exports_total", Kind::Counter, "Exports that were refused whole, since the start.");
    for (signal, transport) in routes() {
        text.sample(&[("signal", signal.name()), ("transport", transport.name())], counts.refused(signal, transport));
    }
    text.family("ducat_otlp_exports_waiting", Kind::Gauge, "Exports that wait to be decoded.");
    text.sample(&[], app.otlp.waiting());
    text.family("ducat_otlp_inbox_bytes", Kind::Gauge, "Acknowledged telemetry that waits on disk for the ledger.");
    text.sample(&[], app.otlp.inbox.backlog());
    let help = "Bytes of acknowledged telemetry that the ledger could not read and that were put aside, since the start.";
    text.family("ducat_otlp_inbox_unreadable_bytes_total", Kind::Counter, help);
    text.sample(&[], app.otlp.inbox.unreadable());
    if let Some(forwarder) = &app.otlp.forwarder {
        let (counts, waiting) = forwarder.counts();
        text.family(
            "ducat_otlp_forwarded_exports_total",
            Kind::Counter,
            "Exports passed on by what became of them, since the start.",
        );
        counts.iter().for_each(|(status, count)| text.sample(&[("status", status)], count));
        text.family("ducat_otlp_forward_waiting", Kind::Gauge, "Exports that wait to be passed on.");
        text.sample(&[], waiting);
    }
}

fn own_process(app: &Shared, reading: &Reading, shown_overflows: &BTreeMap<&'static str, u64>, text: &mut Exposition) {
    text.family("ducat_build_info", Kind::Gauge, "Always 1; the version is the label.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family(
        "ducat_events_total",
        Kind::Counter,
        "Hook events by the way they came and what became of them, since the start.",
    );
    for way in Way::ALL {
        for (status, name) in EventCounts::STATUSES {
            text.sample(&[("way", way.name()), ("status", name)], app.events.get(way, status));
        }
    }
    text.family("ducat_spooled_events", Kind::Gauge, "Events that wait on disk for the server.");
    text.sample(&[], reading.spooled);
    text.family("ducat_spool_dropped_events_total", Kind::Counter, "Events that were dropped because too many waited.");
    text.sample(&[], app.config.spool.as_ref().map_or(0, |spool| spool.dropped()));
    text.family(
        "ducat_skipped_lines_total",
        Kind::Counter,
        "Lines of transcripts that could not be read, by reason, since the start.",
    );
    for (reason, lines) in app.skipped.counts() {
        text.sample(&[("reason", reason)], lines);
    }
    text.family(
        "ducat_label_overflows_total",
        Kind::Counter,
        "Facts counted, and quotas and witnesses shown, under `other` because a label had too many values, since the start.",
    );
    let mut overflows = reading.counters.overflows.clone();
    shown_overflows.iter().for_each(|(label, count)| *overflows.entry(label).or_default() += count);
    overflows.iter().for_each(|(label, count)| text.sample(&[("label", label)], count));
    text.family("ducat_series", Kind::Gauge, "Series that facts moved.");
    text.sample(&[], reading.counters.series.len());
    let (live, bulk) = app.store.waiting();
    text.family("ducat_writes_waiting", Kind::Gauge, "Writes that wait for their commit.");
    text.sample(&[("lane", "live")], live);
    text.sample(&[("lane", "bulk")], bulk);
    let started = SystemTime::now().checked_sub(app.started.elapsed()).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    text.family("process_start_time_seconds", Kind::Gauge, "When the server started, in seconds since 1970.");
    text.sample(&[], started.map_or(0.0, |at| at.as_secs_f64()));
    if let Some(bytes) = resident_bytes() {
        text.family("process_resident_memory_bytes", Kind::Gauge, "Memory of the server.");
        text.sample(&[], bytes);
    }
}

/// From `/proc`; elsewhere nobody tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The first version's summary: JSON for programs, a page for people.
pub(crate) async fn summary(State(app): State<App>, headers: HeaderMap) -> Response {
    let wants_page =
        headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|kinds| kinds.contains("text/html"));
    match off_the_runtime(move || Ok(summarize(&read(&app)?))).await {
        Ok(summary) if wants_page => Html(page(&summary)).into_response(),
        Ok(summary) => Json(summary).into_response(),
        Err(cause) => failed(&cause),
    }
}

fn summarize(reading: &Reading) -> Value {
    let series = &reading.counters.series;
    let mut metrics = Map::new();
    for family in Family::ALL.iter().copied() {
        let (is_histogram, scale) = (family.is_histogram(), 10_f64.powi(family.unit().digits() as i32));
        let values = series.sums(TENANT, family).into_iter().map(|(labels, sum, count)| {
            let labels: Map<String, Value> =
                family.labels().iter().map(|label| label.to_string()).zip(labels.into_iter().map(Value::from)).collect();
            let value = if family.unit().digits() == 0 { json!(sum) } else { json!(sum as f64 / scale) };
            if is_histogram {
                json!({ "labels": labels, "sum": value, "count": count })
            } else {
                json!({ "labels": labels, "value": value })
            }
        });
        let kind = if is_histogram { "histogram" } else { "counter" };
        metrics.insert(
            family.name().to_owned(),
            json!({ "help": family.help(), "type": kind, "values": values.collect::<Vec<_>>() }),
        );
    }
    let sum = |family| series.sums(TENANT, family).iter().map(|(_, sum, _)| sum).sum::<u64>();
    let tools = executions(series)
        .into_iter()
        .map(|(tool, (calls, successes))| (tool, json!({ "executions": calls, "successes": successes })));
    json!({
        "timestamp": Timestamp::now().to_string(),
        "totalMetrics": metrics.len(),
        "metrics": metrics,
        "totalExecutions": sum(Family::AiToolExecutions),
        "totalTokens": sum(Family::AiTokens),
        "totalCost": sum(Family::AiTokenCost) as f64 / 1e9,
        "activeSessions": reading.active.len(),
        "toolStats": tools.collect::<Map<_, _>>(),
    })
}

/// A number without `.0`.
fn plain(number: &Value) -> String {
    number.as_f64().map_or_else(String::new, |number| number.to_string())
}

fn page(summary: &Value) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut body = String::new();
    for (name, what) in [
        ("totalExecutions", "tool calls"),
        ("totalTokens", "tokens"),
        ("totalCost", "USD"),
        ("activeSessions", "active sessions"),
    ] {
        body.push_str(&format!("<li><b>{}</b> {what}</li>", plain(&summary[name])));
    }
    let mut tables = String::new();
    for (name, metric) in summary["metrics"].as_object().into_iter().flatten() {
        let values = metric["values"].as_array().map_or(&[][..], Vec::as_slice);
        let Some(first) = values.first() else { continue };
        let labels: Vec<&String> = first["labels"].as_object().into_iter().flat_map(Map::keys).collect();
        let is_histogram = metric["type"] == "histogram";
        let heads: String = labels.iter().map(|label| format!("<th>{label}</th>")).collect();
        let amounts = if is_histogram { "<th class=n>count</th><th class=n>sum</th>" } else { "<th class=n>value</th>" };
        let rows: String = values
            .iter()
            .map(|value| {
                let cells: String = labels
                    .iter()
                    .map(|label| format!("<td>{}</td>", escaped(value["labels"][label.as_str()].as_str().unwrap_or(""))))
                    .collect();
                let amounts = if is_histogram {
                    format!("<td class=n>{}</td><td class=n>{}</td>", value["count"], plain(&value["sum"]))
                } else {
                    format!("<td class=n>{}</td>", plain(&value["value"]))
                };
                format!("<tr>{cells}{amounts}</tr>")
            })
            .collect();
        let help = escaped(metric["help"].as_str().unwrap_or(""));
        tables.push_str(&format!(
            "<h2>{name}</h2><p>{help}</p><div class=scroll><table><tr>{heads}{amounts}</tr>{rows}</table></div>"
        ));
    }
    if tables.is_empty() {
        tables.push_str("<p>Nothing has been counted yet: the counters begin with what happens from now on. The ledger's history is on the <a href=/>page</a>.</p>");
    }
    let assets = page::assets();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><meta name=color-scheme content='light dark'><title>Ducat: metrics</title>\
         <link rel=stylesheet href={assets}/style/tokens.css><link rel=stylesheet href={assets}/style/page.css><link rel=stylesheet href={assets}/style/parts.css><link rel=stylesheet href={assets}/style/summary.css><main class=summary><h1>Metrics</h1>\
         <p>Since this ledger began to count. For Prometheus: <a href=/metrics>/metrics</a>.</p><ul>{body}</ul>{tables}</main></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_quotas_are_bounded_over_all_scrapes() {
        let mut known = LabelValues::default();
        let mut seen = std::collections::BTreeSet::new();
        for scrape in 0..10 {
            let quotas: Vec<Quota> =
                (0..64).map(|number| Quota::new("codex", None, Some(&format!("l{scrape}_{number}")), 300, 1)).collect();
            let mut text = Exposition::new(Format::Prometheus, Vec::new());
            super::quotas(&mut text, &quotas, &mut known);
            seen.extend(text.finish().lines().filter(|line| line.contains("used_ratio{")).map(str::to_owned));
        }
        assert!(seen.len() <= 201 && seen.iter().any(|line| line.contains("limit=\"other\"")), "{}", seen.len());
        assert!(known.overflows()["limit"] > 0);
    }
}
