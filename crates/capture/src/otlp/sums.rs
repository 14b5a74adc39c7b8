//! Counters of tokens and cost: sums of several requests, which count only where nobody tells of the requests one by one.

use std::collections::BTreeMap;
use std::fmt::Write;

use ducat_ledger::{Fact, Witness};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, NumberDataPoint, metric::Data};

use super::record::{self, Record};
use super::telling::Telling;
use super::{Exported, Sender, Surroundings};
use crate::{claude_code, gemini_cli};

/// The attribute by which a counter's points tell kinds of tokens apart; its other attributes name the stream.
const KIND: &str = "type";
/// What of a resource tells two processes apart.
const PROCESS: [&str; 3] = ["service.instance.id", "process.pid", "host.name"];
const NANO_PER_USD: f64 = 1e9;
const MOST_USD: f64 = 1e6;

/// A counter that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    ClaudeTokens,
    ClaudeCost,
    GeminiTokens,
}

/// What a stream counted until a time: tokens by kind, or nano-USD under no kind.
struct Counted<'a> {
    record: Record<'a>,
    start_nanos: u64,
    by_kind: BTreeMap<&'a str, u64>,
}

/// Tells `out` the sums of a metric, if it is one that counts tokens or cost. The points of one stream and time (deltas), or of one stream
/// since one start (cumulative ones, of which the largest is the last), are one sum.
pub fn decode(
    sender: Sender,
    metric: &Metric,
    outer: &[&[KeyValue]],
    around: &Surroundings<'_>,
    exported: &mut Exported,
    out: &mut dyn FnMut(Fact),
) {
    let counter = match (sender, metric.name.as_str()) {
        (Sender::ClaudeCode, "claude_code.token.usage") => Counter::ClaudeTokens,
        (Sender::ClaudeCode, "claude_code.cost.usage") => Counter::ClaudeCost,
        (Sender::GeminiCli, "gemini_cli.token.usage") => Counter::GeminiTokens,
        _ => {
            exported.accepted += points(metric);
            return;
        }
    };
    let Some(Data::Sum(sum)) = &metric.data else {
        for _ in 0..points(metric) {
            exported.count("data point", Err(format!("{}: no sum", metric.name)));
        }
        return;
    };
    let is_delta = sum.aggregation_temporality == AggregationTemporality::Delta as i32;
    let mut streams: BTreeMap<String, Counted<'_>> = BTreeMap::new();
    for point in &sum.data_points {
        let taken = take(counter, is_delta, point, outer, around, &mut streams);
        exported.count("data point", taken.map_err(|reason| format!("{}: {reason}", metric.name)));
    }
    for (stream, counted) in &streams {
        tell(counter, is_delta, stream, counted, around, out);
    }
}

/// How many data points a metric has.
pub fn points(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    points as u64
}

fn take<'a>(
    counter: Counter,
    is_delta: bool,
    point: &'a NumberDataPoint,
    outer: &[&'a [KeyValue]],
    around: &Surroundings<'_>,
    streams: &mut BTreeMap<String, Counted<'a>>,
) -> Result<(), String> {
    if is_delta && point.time_unix_nano == 0 {
        return Err("a delta without a time".to_owned());
    }
    let record = Record::of_point(point, outer, around.now);
    record.required_text("model")?;
    let (kind, value) = match counter {
        Counter::ClaudeCost => ("", nano_usd(point)?),
        _ => (record.required_text(KIND)?, count(point)?),
    };
    let mut stream = String::new();
    for name in PROCESS {
        stream.push_str(record.text(name).unwrap_or_default());
        stream.push('\n');
    }
    let mut attributes: Vec<_> = point.attributes.iter().filter(|attribute| attribute.key != KIND).collect();
    attributes.sort_by(|one, other| one.key.cmp(&other.key));
    for attribute in attributes {
        // Writing to a string cannot fail.
        let _ = writeln!(stream, "{}={}", attribute.key, text(attribute.value.as_ref()));
    }
    if is_delta {
        let _ = write!(stream, "{}-{}", point.start_time_unix_nano, point.time_unix_nano);
    }
    let start_nanos = point.start_time_unix_nano;
    if !is_delta {
        around.memory.counters.note(&format!("{counter:?}/{kind}/{start_nanos}/{stream}"), point.time_unix_nano, value)?;
    }
    let counted = streams.entry(stream).or_insert(Counted { record, start_nanos, by_kind: BTreeMap::new() });
    // The kinds of a stream were counted for the first time a moment apart.
    counted.start_nanos = counted.start_nanos.min(start_nanos);
    let known = counted.by_kind.entry(kind).or_default();
    *known = value.max(*known);
    Ok(())
}

fn tell(
    counter: Counter,
    is_delta: bool,
    stream: &str,
    counted: &Counted<'_>,
    around: &Surroundings<'_>,
    out: &mut dyn FnMut(Fact),
) {
    let record = &counted.record;
    let agent = if counter == Counter::GeminiTokens { gemini_cli::AGENT } else { claude_code::AGENT };
    let telling = Telling {
        agent,
        witness: Witness::OtlpMetric,
        record,
        session: record.text("session.id"),
        dimensions: around.dimensions,
    };
    let started_at = record.time(counted.start_nanos).unwrap_or(record.at);
    let identity = if is_delta { stream.to_owned() } else { format!("{stream}{}", counted.start_nanos) };
    let mut request = telling.keyless_request(&identity);
    request.is_sum = telling.attribution(Some(true));
    request.model = telling.usage(record.text("model").map(str::to_owned));
    let of = |kind: &str| counted.by_kind.get(kind).copied();
    match counter {
        Counter::ClaudeTokens => {
            request.input_tokens = telling.usage(of("input"));
            request.output_tokens = telling.usage(of("output"));
            request.cache_read_tokens = telling.usage(of("cacheRead"));
            request.cache_write_tokens = telling.usage(of("cacheCreation"));
        }
        Counter::ClaudeCost => request.reported_cost_nano = telling.usage(of("").and_then(|nano| i64::try_from(nano).ok())),
        Counter::GeminiTokens => {
            let part = |kind| of(kind).unwrap_or_default();
            let (input, output, cached) = (part("input"), part("output"), part("cache"));
            gemini_cli::Tokens { input, output, cached, thoughts: part("thought"), tool: part("tool") }
                .tell(telling.witness, &mut request);
        }
    }
    request.started_at = telling.start(Some(started_at));
    request.ended_at = telling.timing(Some(record.at));
    request.query_source = telling.name("query_source");
    request.effort = telling.name("effort");
    request.subagent_type = telling.name("agent.name");
    request.skill = telling.name("skill.name");
    request.plugin = telling.name("plugin.name");
    request.mcp_server = telling.name("mcp_server.name");
    telling.session(started_at, "app.version").map(Fact::Session).into_iter().for_each(&mut *out);
    out(Fact::Request(request));
}

fn count(point: &NumberDataPoint) -> Result<u64, String> {
    let count = match point.value {
        Some(Number::AsInt(number)) => u64::try_from(number).ok(),
        Some(Number::AsDouble(number)) => record::whole(number),
        None => None,
    };
    count.filter(|count| *count <= record::MOST).ok_or_else(|| "value: missing or no count".to_owned())
}

fn nano_usd(point: &NumberDataPoint) -> Result<u64, String> {
    let usd = match point.value {
        Some(Number::AsInt(number)) => number as f64,
        Some(Number::AsDouble(number)) => number,
        None => f64::NAN,
    };
    let is_amount = (0.0..=MOST_USD).contains(&usd);
    is_amount.then(|| (usd * NANO_PER_USD).round() as u64).ok_or_else(|| "value: missing or no amount".to_owned())
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        _ => String::new(),
    }
}
