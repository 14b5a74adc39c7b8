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
use super::super::outer::Outer;
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
    outer: &Outer<'_>,
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
            sum(point, delta, outer, around)?.into_iter().for_each(&mut *out);
        }
        Ok(())
    };
    points.iter().map(tell).collect()
}

/// The stream's total since it began, of which the largest is the last; or, of a delta, one interval's. `None` where it is of a kind that is
/// a part of input or output.
fn sum(point: &Point<'_>, delta: bool, outer: &Outer<'_>, around: &Surroundings<'_>) -> Result<Option<Request>, String> {
    let record = Record::of_attributes(point.attributes, &outer.attributes, around.now);
    let tokens = point.tokens.ok_or("sum: missing, or no count of tokens")?;
    let (input, output) = match record.text("gen_ai.token.type").ok_or("gen_ai.token.type: missing or no string")? {
        "input" | "prompt" => (Some(tokens), None),
        "output" | "completion" => (None, Some(tokens)),
        _ => return Ok(None),
    };
    let agent = agent(record.text("service.name"));
    let id = stream(point, delta, outer, &agent);
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
fn stream(point: &Point<'_>, delta: bool, outer: &Outer<'_>, agent: &str) -> String {
    let end = if delta { point.nanos } else { 0 };
    let said = format!("{}\n{}\n{end}\n{}", outer.identity(), point.start_nanos, record::identity_of(point.attributes));
    format!("{TOKEN_USAGE}/{}", Key::of(KeySpace::Request, agent, &said))
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
    use opentelemetry_proto::tonic::metrics::v1::Sum;
    use opentelemetry_proto::tonic::resource::v1::Resource;

    use super::super::super::outer::Process;
    use super::super::super::{Dimensions, Memory};
    use super::*;

    fn attribute(key: &str, text: &str) -> KeyValue {
        let value = Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    /// The streams' ids of so many points.
    fn streams(of_resource: &[KeyValue], scope: &str, of_scope: &[KeyValue], points: usize) -> Vec<String> {
        let resource = Resource { attributes: of_resource.to_vec(), ..Resource::default() };
        let scope =
            InstrumentationScope { name: scope.to_owned(), attributes: of_scope.to_vec(), ..InstrumentationScope::default() };
        let data_points = (0..points).map(|number| NumberDataPoint {
            attributes: vec![attribute("gen_ai.token.type", "input"), attribute("number", &number.to_string())],
            value: Some(Value::AsInt(1)),
            ..NumberDataPoint::default()
        });
        let sum = Sum { data_points: data_points.collect(), aggregation_temporality: 2, is_monotonic: true };
        let metric = Metric { name: TOKEN_USAGE.to_owned(), data: Some(Data::Sum(sum)), ..Metric::default() };
        let (memory, dimensions) = (Memory::default(), Dimensions::default());
        let around = Surroundings { memory: &memory, dimensions: &dimensions, now: 1_000 };
        let (process, mut ids) = (Process::of(Some(&resource)), Vec::new());
        let outer = Outer::of(&process, Some(&scope));
        let told = decode(&metric, &outer, &around, &mut |request| ids.push(request.id));
        assert!(told.iter().all(Result::is_ok), "{told:?}");
        ids
    }

    #[test]
    fn streams_of_a_process_and_scope_are_their_own() {
        let (one, other) = (attribute("host.name", "one"), attribute("host.name", "other"));
        let version = attribute("service.version", "1");
        let of = |resource: &[&KeyValue], scope: &str, of_scope: &[&KeyValue]| {
            let owned = |attributes: &[&KeyValue]| attributes.iter().map(|of| (*of).clone()).collect::<Vec<_>>();
            streams(&owned(resource), scope, &owned(of_scope), 2)
        };
        let known = of(&[&one, &version], "lib", &[]);
        assert_ne!(known[0], known[1]);
        assert_eq!(of(&[&version, &one], "lib", &[]), known);
        for different in
            [of(&[&other, &version], "lib", &[]), of(&[&one, &version], "lib2", &[]), of(&[&one], "lib", &[&version])]
        {
            assert!(different.iter().all(|id| !known.contains(id)), "{different:?}");
        }
    }

    /// A long resource is read once: for each of its points it took hours.
    #[test]
    fn a_long_resource_is_read_once() {
        let begun = Instant::now();
        let long = [attribute("long", &"x".repeat(4 << 20))];
        assert_eq!(streams(&long, "lib", &[], 10_000).len(), 10_000);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
