//! `gen_ai.client.token.usage`: sums of requests, which count only where no span tells of the requests themselves.

use std::borrow::Cow;

use ducat_ledger::{FieldClass, Key, KeySpace, Request, Told, Witness, Witnesses};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    SummaryDataPoint,
};

use super::super::Surroundings;
use super::super::record::{self, Record};
use super::operation::{agent, user_of};

const TOKEN_USAGE: &str = "gen_ai.client.token.usage";
const METRIC: Witness = Witness::OtlpMetric;

/// A data point as far as it matters here.
struct Point<'a> {
    attributes: &'a [KeyValue],
    start_nanos: u64,
    nanos: u64,
    flags: u32,
    tokens: Option<u64>,
}

/// Tells `out` what each of a metric's points says; of what is another metric nothing. One result a point.
pub fn decode(
    metric: &Metric,
    outer: &[&[KeyValue]],
    scope: &str,
    around: &Surroundings<'_>,
    out: &mut dyn FnMut(Request),
) -> Vec<Result<(), String>> {
    let (points, temporality) = points(metric);
    // Most metrics are about something else.
    if metric.name != TOKEN_USAGE {
        return points.iter().map(|_| Ok(())).collect();
    }
    let tell = |point: &Point<'_>| {
        let delta = match AggregationTemporality::try_from(temporality) {
            Ok(AggregationTemporality::Cumulative) => false,
            Ok(AggregationTemporality::Delta) => true,
            _ => return Err("aggregation_temporality: neither delta nor cumulative".to_owned()),
        };
        if point.flags & DataPointFlags::NoRecordedValueMask as u32 == 0 {
            sum(point, delta, outer, scope, around)?.into_iter().for_each(&mut *out);
        }
        Ok(())
    };
    points.iter().map(tell).collect()
}

/// The stream's total since it began, of which the largest is the last; or, of a delta, one interval's. `None` where it is of a kind that is
/// a part of input or output.
fn sum(
    point: &Point<'_>,
    delta: bool,
    outer: &[&[KeyValue]],
    scope: &str,
    around: &Surroundings<'_>,
) -> Result<Option<Request>, String> {
    let record = Record::of_attributes(point.attributes, outer, around.now);
    let tokens = point.tokens.ok_or("sum: missing, or no count of tokens")?;
    let (input, output) = match record.text("gen_ai.token.type").ok_or("gen_ai.token.type: missing or no string")? {
        "input" | "prompt" => (Some(tokens), None),
        "output" | "completion" => (None, Some(tokens)),
        _ => return Ok(None),
    };
    let agent = agent(record.text("service.name"));
    let id = stream(point, delta, outer, scope, &agent);
    if !delta {
        around.memory.counters.note(&id, point.nanos, tokens).map_err(|reason| format!("{TOKEN_USAGE}: {reason}"))?;
    }
    let mut request = Request::new(Key::of(KeySpace::Request, &agent, &id), agent, id);
    request.witnesses = Witnesses::only(METRIC);
    let usage = |count| Told::maybe(METRIC.rank(FieldClass::Usage), count);
    let text = |class, names: &[&str]| Told::maybe(METRIC.rank(class), record.any_text(names).map(str::to_owned));
    let attribution = |value| Told::maybe(METRIC.rank(FieldClass::Attribution), value);
    let model = record.any_text(&["gen_ai.response.model", "gen_ai.request.model"]).unwrap_or("unknown");
    request.model = METRIC.tells(FieldClass::Usage, model.to_owned());
    (request.input_tokens, request.output_tokens) = (usage(input), usage(output));
    let ended_at = record.time(point.nanos).unwrap_or(around.now);
    let started_at = record.time(point.start_nanos).unwrap_or(ended_at);
    request.started_at = METRIC.tells(FieldClass::Start, started_at);
    request.ended_at = METRIC.tells(FieldClass::Timing, ended_at);
    request.provider = text(FieldClass::Attribution, &["gen_ai.provider.name", "gen_ai.system"]);
    request.host = text(FieldClass::Attribution, &["host.name"]);
    request.user = user_of(&record, around.dimensions, METRIC);
    request.team = attribution(around.dimensions.team_of(&record).map(Cow::into_owned));
    request.labels = attribution(around.dimensions.labels_of(&record));
    request.keyless = METRIC.tells(FieldClass::Attribution, true);
    request.is_sum = METRIC.tells(FieldClass::Attribution, true);
    Ok(Some(request))
}

/// What makes a stream: the process that tells it, the instrumentation, and what is said of its points, in any order; and its start.
fn stream(point: &Point<'_>, delta: bool, outer: &[&[KeyValue]], scope: &str, agent: &str) -> String {
    let mut said: Vec<String> =
        outer.iter().copied().flatten().chain(point.attributes).map(|said| format!("{}={:?}", said.key, said.value)).collect();
    said.sort_unstable();
    let end = if delta { point.nanos } else { 0 };
    let times = format!("{scope}\n{}\n{end}\n", point.start_nanos);
    format!("{TOKEN_USAGE}/{}", Key::of(KeySpace::Request, agent, &(times + &said.join("\n"))))
}

/// All points with their temporality, which gauges and summaries have none of.
fn points(metric: &Metric) -> (Vec<Point<'_>>, i32) {
    fn point(attributes: &[KeyValue], start_nanos: u64, nanos: u64, flags: u32, tokens: Option<u64>) -> Point<'_> {
        Point { attributes, start_nanos, nanos, flags, tokens }
    }
    let whole = |sum: Option<f64>| sum.and_then(record::whole);
    macro_rules! points {
        ($metric:expr, $tokens:expr) => {{
            let points = $metric.data_points.iter();
            points.map(|of| point(&of.attributes, of.start_time_unix_nano, of.time_unix_nano, of.flags, $tokens(of))).collect()
        }};
    }
    let number = |point: &NumberDataPoint| match point.value? {
        Value::AsInt(tokens) => u64::try_from(tokens).ok(),
        Value::AsDouble(tokens) => record::whole(tokens),
    };
    match &metric.data {
        Some(Data::Histogram(of)) => (points!(of, |point: &HistogramDataPoint| whole(point.sum)), of.aggregation_temporality),
        Some(Data::ExponentialHistogram(of)) => {
            (points!(of, |point: &ExponentialHistogramDataPoint| whole(point.sum)), of.aggregation_temporality)
        }
        Some(Data::Sum(of)) => (points!(of, number), of.aggregation_temporality),
        Some(Data::Gauge(of)) => (points!(of, number), 0),
        Some(Data::Summary(of)) => (points!(of, |point: &SummaryDataPoint| whole(Some(point.sum))), 0),
        None => (Vec::new(), 0),
    }
}
