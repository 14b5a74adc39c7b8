//! Captured telemetry of Claude Code against what the provider's stand-in answered with, and telemetry that makes no sense.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ducat_capture::otlp::{Dimensions, Exported, Memory, Surroundings, decode_logs, decode_metrics, decode_traces};
use ducat_ledger::{DERIVED, Fact, Incident, IncidentKind, Key, Outcome, Request, ToolCall, Witness};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// After the captures.
const NOW: i64 = 1_795_500_000_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp/claude-code").join(name)
}

#[derive(Debug, Default, PartialEq)]
struct Told {
    requests: BTreeMap<Key, Request>,
    calls: BTreeMap<Key, ToolCall>,
    incidents: BTreeMap<Key, Incident>,
    facts: usize,
}

enum Export {
    Logs(ExportLogsServiceRequest),
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

impl Export {
    fn parse(signal: &str, is_json: bool, body: &[u8]) -> Option<Self> {
        fn read<T: Message + Default + DeserializeOwned>(is_json: bool, body: &[u8]) -> Option<T> {
            if is_json { serde_json::from_slice(body).ok() } else { T::decode(body).ok() }
        }
        match signal {
            "logs" => read(is_json, body).map(Self::Logs),
            "traces" => read(is_json, body).map(Self::Traces),
            _ => read(is_json, body).map(Self::Metrics),
        }
    }

    fn decode(&self, told: &mut Told) -> Exported {
        self.decode_with(&Memory::default(), told)
    }

    fn decode_with(&self, memory: &Memory, told: &mut Told) -> Exported {
        let dimensions = Dimensions::default();
        let around = Surroundings { memory, dimensions: &dimensions, now: NOW };
        let out: &mut dyn FnMut(Fact) = &mut |fact| {
            told.facts += 1;
            match fact {
                Fact::Request(fact) => {
                    told.requests.entry(fact.key).and_modify(|known| _ = known.join(&fact)).or_insert(fact);
                }
                Fact::ToolCall(fact) => _ = told.calls.entry(fact.key).and_modify(|known| _ = known.join(&fact)).or_insert(fact),
                Fact::Incident(fact) => _ = told.incidents.insert(fact.key, fact),
                _ => {}
            }
        };
        match self {
            Self::Logs(export) => decode_logs(export, &around, out),
            Self::Traces(export) => decode_traces(export, &around, out),
            Self::Metrics(export) => decode_metrics(export, &around, out),
        }
    }
}

/// The exports of a captured session with one of these signals.
fn exports(name: &str, signals: &[&str]) -> Vec<Export> {
    let mut files: Vec<_> = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut exports = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        if let Some(signal) = signals.iter().find(|signal| name.ends_with(*signal)) {
            let is_json = file.extension().unwrap() == "json";
            exports.push(Export::parse(signal, is_json, &std::fs::read(&file).unwrap()).unwrap());
        }
    }
    exports
}

fn decode<'a>(exports: impl IntoIterator<Item = &'a Export>) -> Told {
    let (mut told, memory) = (Told::default(), Memory::default());
    for export in exports {
        let exported = export.decode_with(&memory, &mut told);
        assert_eq!((exported.rejected, exported.reason), (0, None));
    }
    told
}

/// What was answered: the id and its usage.
fn truth(name: &str) -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(folder(name).join("api.jsonl")).unwrap();
    let calls = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|call| call["status"] == 200);
    calls.map(|call| (call["request_id"].as_str().unwrap().to_owned(), call["usage"].clone())).collect()
}

#[test]
fn logs_alone_tell_every_request_and_the_split_of_its_cache_writes() {
    let (mut solved, mut written) = (0, 0);
    for name in ["json", "resumed", "protobuf"] {
        let requests = decode(&exports(name, &["logs"])).requests;
        let truth = truth(name);
        assert_eq!(requests.len(), truth.len(), "{name}");
        for (id, want) in truth {
            let request = requests.values().find(|request| request.id == id).unwrap_or_else(|| panic!("{name}: no {id}"));
            let (usage, split) = (request.usage(), &want["cache_creation"]);
            assert_eq!(usage.input, want["input_tokens"], "{id}");
            assert_eq!(usage.output, want["output_tokens"], "{id}");
            assert_eq!(usage.cache_read, want["cache_read_input_tokens"], "{id}");
            assert_eq!(usage.cache_write_5m, split["ephemeral_5m_input_tokens"].as_u64().unwrap_or(0), "{id}");
            assert_eq!(usage.cache_write_1h, split["ephemeral_1h_input_tokens"].as_u64().unwrap_or(0), "{id}");
            assert_eq!(usage.cache_write_unsplit, 0, "{id}");
            assert!(matches!(request.cache_write_5m_tokens.rank(), 0 | DERIVED), "{id}");
            written += usize::from(want["cache_creation_input_tokens"] != 0);
            solved += usize::from(request.cache_write_5m_tokens.is_told());
        }
    }
    assert_eq!((solved, written), (10, 10));
}

#[test]
fn spans_add_what_logs_do_not_know() {
    for (name, id) in [("json", "req_mockA00005"), ("protobuf", "req_mockB00005")] {
        let (logs, all) = (decode(&exports(name, &["logs"])), decode(&exports(name, &["logs", "traces"])));
        assert!(logs.requests.keys().eq(all.requests.keys()) && logs.calls.keys().eq(all.calls.keys()));
        let request = all.requests.values().find(|request| request.id == id).unwrap();
        assert_eq!(request.attempts.get(), Some(&2));
        assert!(request.all_attempts_ms.get() > request.duration_ms.get(), "{request:?}");
        assert!(request.ttft_ms.get().is_some_and(|ttft| ttft <= request.duration_ms.get().unwrap()));
        assert_eq!(request.model.get(), logs.requests[&request.key].model.get(), "the span's has a suffix");
        assert!(all.requests.values().all(|request| request.ttft_ms.is_told() && request.stop_reason.is_told()));
        // Spans alone count the same.
        let spans = decode(&exports(name, &["traces"])).requests;
        let count = |requests: &BTreeMap<Key, Request>| -> Vec<_> {
            requests.values().map(|request| (request.key, request.usage().input, request.usage().output)).collect()
        };
        assert_eq!(count(&spans), count(&logs.requests));
    }
}

#[test]
fn metrics_are_sums_of_the_same_tokens() {
    for name in ["json", "resumed", "protobuf"] {
        let sums = decode(&exports(name, &["metrics"])).requests;
        let (mut input, mut output, mut read, mut written, mut cost) = (0, 0, 0, 0, 0);
        for sum in sums.values() {
            assert!(sum.is_sum.or_default() && sum.keyless.or_default() && sum.model.is_told());
            input += sum.input_tokens.or_default();
            output += sum.output_tokens.or_default();
            read += sum.cache_read_tokens.or_default();
            written += sum.cache_write_tokens.or_default();
            cost += sum.reported_cost_nano.or_default();
        }
        let total = |field: &str| truth(name).iter().map(|(_, usage)| usage[field].as_u64().unwrap()).sum::<u64>();
        assert_eq!(
            [input, output, read, written],
            ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"].map(total),
            "{name}"
        );
        let logs = decode(&exports(name, &["logs"])).requests;
        assert_eq!(cost, logs.values().map(|request| request.reported_cost_nano.or_default()).sum::<i64>(), "{name}");
    }
}

#[test]
fn order_and_repetition_change_nothing() {
    for name in ["json", "protobuf"] {
        let exports = exports(name, &["logs", "traces", "metrics"]);
        let once = decode(&exports);
        let again = decode(exports.iter().rev().chain(&exports).chain(exports.iter().step_by(2)));
        assert_eq!((once.requests, once.calls, once.incidents), (again.requests, again.calls, again.incidents));
    }
}

/// A log record of Claude Code with these attributes, as JSON.
fn log(event: &str, mut attributes: Value) -> Export {
    attributes["event.name"] = json!(event);
    let value = |value: &Value| match value {
        Value::String(text) => json!({ "stringValue": text }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number }),
        other => json!({ "boolValue": other }),
    };
    let attributes: Vec<_> =
        attributes.as_object().unwrap().iter().map(|(key, of)| json!({ "key": key, "value": value(of) })).collect();
    let service = json!([{ "key": "service.name", "value": { "stringValue": "claude-code" } }]);
    let record = json!({ "timeUnixNano": "1795486954244000000", "attributes": attributes });
    let body = json!({ "resourceLogs": [{ "resource": { "attributes": service }, "scopeLogs": [{ "logRecords": [record] }] }] });
    Export::parse("logs", true, body.to_string().as_bytes()).unwrap()
}

fn api_request() -> Value {
    json!({ "session.id": "s", "model": "claude-opus-4-8", "input_tokens": "3", "output_tokens": 4.0, "cache_read_tokens": 5,
        "cache_creation_tokens": 0, "duration_ms": "35", "speed": "normal" })
}

#[test]
fn a_request_without_an_id_is_keyless_and_one_without_counts_is_rejected_by_name() {
    let told = decode([&log("api_request", api_request()), &log("api_request", api_request())]);
    assert_eq!(told.requests.len(), 1);
    let request = told.requests.values().next().unwrap();
    assert!(request.keyless.or_default());
    let usage = request.usage();
    assert_eq!((usage.input, usage.output, usage.cache_read, request.duration_ms.get()), (3, 4, 5, Some(&35)));
    let mut other = api_request();
    other["prompt.id"] = json!("p");
    assert_eq!(decode([&log("api_request", api_request()), &log("api_request", other)]).requests.len(), 2);
    let mut known = api_request();
    known["request_id"] = json!("req_1");
    known["session.id"] = json!("");
    let told = decode([&log("api_request", known)]);
    assert_eq!((told.requests.len(), told.facts), (1, 1), "a request of no session");
    for (field, wrong, reason) in [
        ("output_tokens", json!(-1), "output_tokens: missing or no count"),
        ("output_tokens", json!(1.5), "output_tokens: missing or no count"),
        ("input_tokens", json!("NaN"), "input_tokens: missing or no count"),
        ("input_tokens", json!(9_000_000_000_000_000_000_u64), "input_tokens: missing or no count"),
        ("model", json!(7), "model: missing or no string"),
        ("session.id", json!(""), "session.id: missing or no string"),
    ] {
        let mut attributes = api_request();
        attributes[field] = wrong;
        let mut told = Told::default();
        let exported = log("api_request", attributes).decode(&mut told);
        assert_eq!((exported.rejected, exported.reason), (1, Some(format!("log record 1: {reason}"))));
        assert_eq!(told.facts, 0);
    }
}

/// As clients before 2.1.112 tell it.
#[test]
fn a_call_without_an_id_is_keyless_and_no_fault_of_the_sender() {
    let result = json!({ "session.id": "s", "tool_name": "Bash", "success": "true", "duration_ms": "40" });
    let unnamed = json!({ "session.id": "s", "tool_name": "mcp_tool", "success": "true" });
    let refused = json!({ "session.id": "s", "tool_name": "Bash", "decision": "reject" });
    let mut told = Told::default();
    for export in [
        log("tool_result", result.clone()),
        log("tool_result", result),
        log("tool_result", unnamed),
        log("tool_decision", refused),
    ] {
        let done = export.decode(&mut told);
        assert_eq!(done.rejected, 0, "{:?}", done.reason);
    }
    let calls: Vec<_> = told.calls.values().collect();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].keyless.get(), calls[0].duration_ms()), (Some(&true), Some(40)));
}

#[test]
fn attributes_become_user_team_host_and_labels() {
    let mut attributes = api_request();
    for (name, value) in
        [("user.account_uuid", "u"), ("team.id", "blue"), ("host.name", "box"), ("department", "R=D"), ("cost_center", "7")]
    {
        attributes[name] = json!(value);
    }
    attributes["organization.id"] = json!("two\nlines");
    let of = |attributes: &Value| decode([&log("api_request", attributes.clone())]).requests.into_values().next().unwrap();
    let request = of(&attributes);
    let told = [&request.user, &request.team, &request.host, &request.labels].map(|told| told.get().unwrap().as_str());
    assert_eq!(told, ["u", "blue", "box", "cost_center=7\ndepartment=R=D"]);
    attributes["user.email"] = json!("ana@example.org");
    assert_eq!(of(&attributes).user.get().unwrap(), "ana@example.org");
    attributes["user.email"] = json!("x".repeat(257));
    assert_eq!(of(&attributes).user.get().unwrap(), "u");
}

#[test]
fn refusals_errors_and_compactions_are_told() {
    let refused =
        json!({ "session.id": "s", "tool_use_id": "t", "tool_name": "Bash", "decision": "reject", "source": "user_reject" });
    let accepted = json!({ "session.id": "s", "tool_use_id": "u", "tool_name": "Bash", "decision": "accept" });
    let error = json!({ "session.id": "s", "status_code": "529", "error": "Overloaded", "attempt": "10" });
    let compacted = json!({ "session.id": "s", "trigger": "auto", "pre_tokens": 150_000 });
    let told = decode([
        &log("tool_decision", refused),
        &log("tool_decision", accepted),
        &log("api_error", error),
        &log("compaction", compacted),
    ]);
    let calls: Vec<_> = told.calls.values().map(|call| (call.id.as_str(), call.outcome.get().copied())).collect();
    assert_eq!(calls, [("t", Some(Outcome::Refused))]);
    let mut incidents: Vec<_> = told.incidents.values().map(|of| (*of.kind.get().unwrap(), of.value.get().copied())).collect();
    incidents.sort();
    assert_eq!(incidents, [(IncidentKind::CompactionAnnounced, Some(150_000)), (IncidentKind::ApiError, Some(529))]);
}

/// A cumulative point of Gemini CLI's token counter.
fn gemini_tokens(kind: &str, start: u64, time: u64, value: Value) -> Value {
    let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let attributes = [attribute("session.id", "g"), attribute("model", "gemini-2.5-pro"), attribute("type", kind)];
    let mut point = json!({ "attributes": attributes, "startTimeUnixNano": start.to_string(), "timeUnixNano": time.to_string() });
    point.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    point
}

fn gemini_metric(points: &[Value]) -> Export {
    let sum = json!({ "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points });
    let service = json!([{ "key": "service.name", "value": { "stringValue": "gemini-cli" } }]);
    let metrics = json!([{ "name": "gemini_cli.token.usage", "sum": sum }]);
    let body =
        json!({ "resourceMetrics": [{ "resource": { "attributes": service }, "scopeMetrics": [{ "metrics": metrics }] }] });
    Export::parse("metrics", true, body.to_string().as_bytes()).unwrap()
}

#[test]
fn a_cumulative_counter_counts_its_last_value_and_a_restart_goes_on() {
    const START: u64 = 1_795_488_453_147_000_000;
    let of = |start, time, input: u64, cached: u64| {
        let int = |value: u64| json!({ "asInt": value.to_string() });
        gemini_metric(&[
            gemini_tokens("input", start, time, int(input)),
            gemini_tokens("cache", start + 1_000_000, time, int(cached)),
        ])
    };
    let (first, second) = (of(START, START + 60, 100, 30), of(START, START + 120, 250, 90));
    let restarted = of(START + 200_000_000_000, START + 260_000_000_000, 40, 0);
    let told = decode([&second, &first, &restarted, &second]);
    let mut sums: Vec<_> = told.requests.values().map(|sum| (sum.usage().input, sum.usage().cache_read)).collect();
    sums.sort();
    assert_eq!(sums, [(40, 0), (160, 90)]);
    assert!(told.requests.values().all(|sum| sum.witnesses.contains(Witness::OtlpMetric)));
    let mut told = Told::default();
    let wrong = gemini_metric(&[gemini_tokens("input", 0, 0, json!({ "asDouble": -0.5 }))]);
    let exported = wrong.decode(&mut told);
    assert_eq!(exported.reason.unwrap(), "data point 1: gemini_cli.token.usage: value: missing or no count");
    assert_eq!((exported.rejected, told.facts), (1, 0));
}

#[test]
fn a_counter_that_fell_without_a_new_start_is_named_and_not_added() {
    const START: u64 = 1_795_488_453_147_000_000;
    let of =
        |time, input: u64| gemini_metric(&[gemini_tokens("input", START, START + time, json!({ "asInt": input.to_string() }))]);
    let (mut told, memory) = (Told::default(), Memory::default());
    for (time, input) in [(60, 100), (120, 100), (30, 70)] {
        assert_eq!(of(time, input).decode_with(&memory, &mut told).rejected, 0, "{input}");
    }
    let exported = of(180, 40).decode_with(&memory, &mut told);
    let reason = "data point 1: gemini_cli.token.usage: value: fell from 100 to 40 without a new start; it is not counted";
    assert_eq!((exported.rejected, exported.reason.as_deref()), (1, Some(reason)));
    assert_eq!(told.requests.values().map(|sum| sum.usage().input).collect::<Vec<_>>(), [100]);
}

const SIGNALS: [&str; 3] = ["logs", "traces", "metrics"];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|number| json!({ "intValue": number.to_string() })),
        any::<u64>().prop_map(|number| json!({ "stringValue": number.to_string() })),
        Just(json!({ "doubleValue": "NaN" })),
        any::<f64>().prop_map(|number| json!({ "doubleValue": number })),
        "\\PC{0,12}".prop_map(|text| json!({ "stringValue": text })),
        any::<bool>().prop_map(|flag| json!({ "boolValue": flag })),
        Just(json!({ "arrayValue": { "values": [{ "stringValue": "stop" }, {}] } })),
        Just(json!({})),
    ]
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), signal in 0usize..3) {
        for is_json in [true, false] {
            if let Some(export) = Export::parse(SIGNALS[signal], is_json, &bytes) {
                export.decode(&mut Told::default());
            }
        }
    }

    #[test]
    fn no_damage_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(), file in 0usize..12) {
        let mut files: Vec<_> = std::fs::read_dir(folder("protobuf")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().unwrap() == "pb");
        files.sort();
        let mut body = std::fs::read(&files[file]).unwrap();
        let signal = SIGNALS.iter().find(|signal| files[file].to_str().unwrap().contains(*signal)).unwrap();
        let at = at.index(body.len());
        body[at] = byte;
        for body in [&body[..], &body[..cut.index(body.len())]] {
            if let Some(export) = Export::parse(signal, false, body) {
                export.decode(&mut Told::default());
            }
        }
    }

    #[test]
    fn no_attribute_panics(
        service in prop::sample::select(vec!["claude-code", "codex_exec", "gemini-cli", "other"]),
        event in prop::sample::select(vec![
            "api_request", "api_error", "tool_result", "tool_decision", "user_prompt", "compaction", "codex.sse_event", "codex.tool_result",
            "codex.api_request", "codex.tool_decision", "gemini_cli.api_response", "gemini_cli.tool_call", "gemini_cli.api_error",
        ]),
        values in prop::collection::vec((0usize..20, value()), 0..20),
        time in prop_oneof![Just(0u64), any::<u64>()],
        with_resource in any::<bool>(),
    ) {
        const NAMES: [&str; 20] = [
            "session.id", "conversation.id", "model", "input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens",
            "cost_usd_micros", "duration_ms", "tool_use_id", "call_id", "function_name", "input_token_count", "output_token_count",
            "cached_token_count", "output", "event.timestamp", "decision", "finish_reasons", "request_id",
        ];
        let text = |key: &str, text: &str| json!({ "key": key, "value": { "stringValue": text } });
        let mut attributes = vec![text("event.name", event), text("session.id", "s"), text("conversation.id", "c")];
        attributes.extend(values.iter().map(|(name, value)| json!({ "key": NAMES[*name], "value": value })));
        let resource = if with_resource { json!({ "attributes": [text("service.name", service)] }) } else { Value::Null };
        let record = json!({ "timeUnixNano": time.to_string(), "attributes": attributes });
        let body = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [record] }] }] });
        if let Some(export) = Export::parse("logs", true, body.to_string().as_bytes()) {
            let mut told = Told::default();
            let exported = export.decode(&mut told);
            prop_assert_eq!(exported.accepted + exported.rejected, 1);
            prop_assert!(exported.rejected == 0 || told.facts == 0);
        }
    }
}
