//! Applications instrumented by OpenTelemetry's, OpenInference's and OpenLLMetry's conventions, captured from the real libraries
//! (`tests/stand-ins/genai-app`), against what the provider's stand-in answered with; and what no library should tell.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ducat_capture::otlp::{Dimensions, Exported, Memory, Surroundings, decode_logs, decode_metrics, decode_traces};
use ducat_ledger::{Billing, Fact, IncidentKind, Key, Outcome, Request, Session, ToolCall, Turn, Witness};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// After the captures.
const NOW: i64 = 1_795_700_000_000;
const CONVENTIONS: [&str; 3] = ["opentelemetry", "openinference", "openllmetry"];

/// What is believed of all facts that were told.
#[derive(Debug, Default, PartialEq)]
struct Believed {
    requests: BTreeMap<Key, Request>,
    tool_calls: BTreeMap<Key, ToolCall>,
    turns: BTreeMap<Key, Turn>,
    sessions: BTreeMap<Key, Session>,
    errors: BTreeMap<Key, String>,
}

impl Believed {
    fn hear(&mut self, fact: Fact) {
        macro_rules! join {
            ($facts:expr, $fact:expr) => {{
                let fact = $fact;
                $facts.entry(fact.key).and_modify(|known| _ = known.join(&fact)).or_insert(fact);
            }};
        }
        match fact {
            Fact::Request(fact) => join!(self.requests, fact),
            Fact::ToolCall(fact) => join!(self.tool_calls, fact),
            Fact::Turn(fact) => join!(self.turns, fact),
            Fact::Session(fact) => join!(self.sessions, fact),
            Fact::Incident(fact) => {
                assert_eq!(fact.kind.get(), Some(&IncidentKind::ApiError));
                self.errors.insert(fact.key, fact.detail.get().unwrap().clone());
            }
            Fact::Quota(_) | Fact::Line(_) => panic!("{fact:?}"),
        }
    }

    fn only(&self) -> &Request {
        assert_eq!(self.requests.len(), 1, "{:?}", self.requests);
        self.requests.values().next().unwrap()
    }
}

fn fixture<T: DeserializeOwned>(convention: &str, file: &str) -> T {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp/genai").join(convention).join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn answered(convention: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp/genai").join(convention).join("api.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn decode_all(traces: &[ExportTraceServiceRequest], metrics: &[ExportMetricsServiceRequest]) -> (Believed, Exported) {
    let around = Surroundings { memory: &Memory::default(), dimensions: &Dimensions::default(), now: NOW };
    let (mut believed, mut exported) = (Believed::default(), Exported::default());
    for metrics in metrics {
        exported = decode_metrics(metrics, &around, &mut |fact| believed.hear(fact));
    }
    for traces in traces {
        exported = decode_traces(traces, &around, &mut |fact| believed.hear(fact));
    }
    (believed, exported)
}

/// A span of a service by this scope.
fn span(service: &str, scope: &str, attributes: &[(&str, Value)]) -> Value {
    let attributes: Vec<Value> = attributes
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => json!({ "key": name, "value": { "stringValue": text } }),
            Value::Number(number) if number.is_i64() => json!({ "key": name, "value": { "intValue": number.to_string() } }),
            Value::Number(number) => json!({ "key": name, "value": { "doubleValue": number } }),
            other => panic!("{other}"),
        })
        .collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] },
        "scopeSpans": [{ "scope": { "name": scope }, "spans": [{
            "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "chat gpt-5.4", "kind": 3,
            "startTimeUnixNano": "1795600000000000000", "endTimeUnixNano": "1795600002500000000", "attributes": attributes,
        }] }],
    }] })
}

fn decode_span(value: Value) -> (Believed, Exported) {
    decode_all(&[serde_json::from_value(value).unwrap()], &[])
}

fn decode(attributes: &[(&str, Value)]) -> (Believed, Exported) {
    decode_span(span("shop", "by-hand", attributes))
}

#[test]
fn each_convention_tells_every_request_exactly() {
    for convention in CONVENTIONS {
        let (believed, exported) = decode_all(&[fixture(convention, "traces.json")], &[]);
        assert_eq!((exported.rejected, exported.reason), (0, None), "{convention}");
        let mut got: Vec<&Request> = believed.requests.values().collect();
        got.sort_by_key(|request| *request.started_at.get().unwrap());
        let want = answered(convention);
        assert_eq!(got.len(), want.len(), "{convention}");
        for (request, want) in got.iter().zip(&want) {
            let (usage, want_usage) = (request.usage(), &want["usage"]);
            let cached = want_usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
            assert_eq!(usage.input + cached, want_usage["prompt_tokens"], "{convention}");
            assert_eq!(usage.cache_read, cached, "{convention}");
            assert_eq!(usage.output, want_usage["completion_tokens"], "{convention}");
            let thought = &want_usage["completion_tokens_details"]["reasoning_tokens"];
            assert!(request.reasoning_tokens.is_untold() || usage.reasoning == *thought, "{convention}");
            assert_eq!(request.model.get().unwrap(), "gpt-5.4");
            assert_eq!(request.provider.get().unwrap(), "openai");
            assert_eq!(request.agent, format!("weather-bot-{convention}"));
            assert_eq!(request.team.get().unwrap(), "meteo");
            assert!(request.duration_ms.get().unwrap() < &60_000 && request.turn.is_told());
            if convention != "openinference" {
                assert_eq!(request.id, want["response_id"].as_str().unwrap());
            }
        }
        let streamed = got[2];
        assert_eq!(streamed.ttft_ms.is_told(), convention != "opentelemetry", "{convention}");
        let sessions: Vec<&str> = believed.sessions.values().map(|session| session.id.as_str()).collect();
        let turns: Vec<&str> = believed.turns.values().map(|turn| turn.id.as_str()).collect();
        assert_eq!(turns.len(), 2, "{convention}");
        if convention == "openllmetry" {
            assert_eq!(believed.sessions.len(), 2);
            assert!(sessions.iter().all(|session| turns.contains(session)));
        } else {
            assert_eq!(sessions, ["conversation-1"], "{convention}");
        }
        let mut outcomes: Vec<_> =
            believed.tool_calls.values().map(|call| (call.name.get().unwrap(), call.outcome.get())).collect();
        outcomes.sort();
        let weather = "weather".to_owned();
        assert_eq!(outcomes, [(&weather, Some(&Outcome::Ok)), (&weather, Some(&Outcome::Error))], "{convention}");
        let errors: Vec<&str> = believed.errors.values().map(String::as_str).collect();
        assert!(errors.len() == 1 && errors[0].ends_with("APIConnectionError"), "{convention}: {errors:?}");
    }
}

#[test]
fn metrics_alone_tell_the_same_sums_whatever_comes_again() {
    for convention in ["opentelemetry", "openllmetry"] {
        let metrics: ExportMetricsServiceRequest = fixture(convention, "metrics.json");
        let mut earlier = metrics.clone();
        for point in points(&mut earlier) {
            point.sum = point.sum.map(|sum| (sum / 2.0).floor());
        }
        for exports in [vec![metrics.clone()], vec![earlier.clone(), metrics.clone()], vec![metrics.clone(), earlier, metrics]] {
            let (believed, exported) = decode_all(&[], &exports);
            assert_eq!(exported.reason, None);
            let told = answered(convention);
            let sum = |name: &str| told.iter().map(|answer| answer["usage"][name].as_u64().unwrap()).sum::<u64>();
            let of = |count: fn(&Request) -> u64| believed.requests.values().map(count).sum::<u64>();
            assert_eq!(of(|request| request.usage().input), sum("prompt_tokens"), "{convention}");
            assert_eq!(of(|request| request.usage().output), sum("completion_tokens"), "{convention}");
            for request in believed.requests.values() {
                assert!(request.is_sum.or_default() && request.holders.is_empty(), "{convention}");
                assert!(request.witnesses.contains(Witness::OtlpMetric));
            }
        }
    }
}

fn points(
    metrics: &mut ExportMetricsServiceRequest,
) -> impl Iterator<Item = &mut opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint> {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let scopes = metrics.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics);
    let usage = scopes.flat_map(|scope| &mut scope.metrics).filter(|metric| metric.name == "gen_ai.client.token.usage");
    usage.flat_map(|metric| match &mut metric.data {
        Some(Data::Histogram(histogram)) => &mut histogram.data_points[..],
        _ => &mut [],
    })
}

#[test]
fn deltas_add_up_and_restarts_are_streams_of_their_own() {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let cumulative: ExportMetricsServiceRequest = fixture("opentelemetry", "metrics.json");
    let mut restarted = cumulative.clone();
    points(&mut restarted).for_each(|point| point.start_time_unix_nano += 1_000_000_000);
    let total = |exports: &[ExportMetricsServiceRequest]| {
        decode_all(&[], exports).0.requests.values().map(|request| request.usage().tokens()).sum::<u64>()
    };
    let once = total(std::slice::from_ref(&cumulative));
    assert_eq!(once, 27_770);
    assert_eq!(total(&[cumulative.clone(), restarted]), 2 * once);

    let mut delta = cumulative;
    for metric in
        delta.resource_metrics.iter_mut().flat_map(|resource| &mut resource.scope_metrics).flat_map(|scope| &mut scope.metrics)
    {
        if let Some(Data::Histogram(histogram)) = &mut metric.data {
            histogram.aggregation_temporality = 1;
        }
    }
    let mut next = delta.clone();
    for point in points(&mut next) {
        (point.start_time_unix_nano, point.time_unix_nano) = (point.time_unix_nano, point.time_unix_nano + 1_000_000_000);
    }
    assert_eq!(total(&[delta.clone(), next.clone(), delta.clone(), next]), 2 * once);

    let mut of_another_kind = delta.clone();
    points(&mut of_another_kind)
        .flat_map(|point| &mut point.attributes)
        .filter(|said| said.key == "gen_ai.token.type")
        .for_each(|said| said.value = serde_json::from_value(json!({ "stringValue": "reasoning" })).unwrap());
    let (believed, exported) = decode_all(&[], &[of_another_kind]);
    assert!(believed.requests.is_empty() && exported.reason.is_none() && exported.accepted > 2);

    points(&mut delta).for_each(|point| point.sum = Some(f64::NAN));
    let (believed, exported) = decode_all(&[], &[delta]);
    assert!(believed.requests.is_empty());
    assert!(exported.reason.unwrap().ends_with("sum: missing, or no count of tokens"));
}

#[test]
fn order_and_repetition_change_nothing() {
    let traces: Vec<ExportTraceServiceRequest> =
        CONVENTIONS.iter().map(|convention| fixture(convention, "traces.json")).collect();
    let mut shuffled = traces.clone();
    shuffled.extend(traces.clone());
    shuffled.reverse();
    for scope in shuffled.iter_mut().flat_map(|export| &mut export.resource_spans).flat_map(|resource| &mut resource.scope_spans)
    {
        scope.spans.reverse();
    }
    assert_eq!(decode_all(&traces, &[]).0, decode_all(&shuffled, &[]).0);
}

#[test]
fn every_name_of_a_count_is_read() {
    let operation = ("gen_ai.operation.name", json!("chat"));
    let model = ("gen_ai.request.model", json!("claude-opus-4-8"));
    for (names, kind) in [
        (
            [
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.output_tokens",
                "gen_ai.usage.cache_read.input_tokens",
                "gen_ai.usage.cache_creation.input_tokens",
                "gen_ai.usage.reasoning.output_tokens",
            ],
            operation.clone(),
        ),
        (
            [
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.output_tokens",
                "gen_ai.usage.cache_read_input_tokens",
                "gen_ai.usage.cache_creation_input_tokens",
                "gen_ai.usage.reasoning_tokens",
            ],
            operation,
        ),
        (
            [
                "gen_ai.usage.prompt_tokens",
                "gen_ai.usage.completion_tokens",
                "gen_ai.usage.cache_read_input_tokens",
                "gen_ai.usage.cache_creation_input_tokens",
                "llm.usage.reasoning_tokens",
            ],
            ("gen_ai.system", json!("anthropic")),
        ),
        (
            [
                "llm.token_count.prompt",
                "llm.token_count.completion",
                "llm.token_count.prompt_details.cache_read",
                "llm.token_count.prompt_details.cache_write",
                "llm.token_count.completion_details.reasoning",
            ],
            ("openinference.span.kind", json!("LLM")),
        ),
        (
            [
                "llm.usage.prompt_tokens",
                "llm.usage.completion_tokens",
                "llm.usage.cache_read_input_tokens",
                "llm.usage.cache_creation_input_tokens",
                "llm.usage.reasoning_tokens",
            ],
            ("llm.request.type", json!("chat")),
        ),
    ] {
        let mut attributes = vec![kind, model.clone()];
        // Numbers as strings and doubles, too.
        let counts = [json!(1000), json!("300"), json!(600.0), json!(100), json!(50)];
        attributes.extend(names.into_iter().zip(counts));
        let (believed, exported) = decode(&attributes);
        assert_eq!(exported.reason, None);
        let usage = believed.only().usage();
        let got = (usage.input, usage.output, usage.cache_read, usage.cache_write_unsplit, usage.reasoning);
        assert_eq!(got, (300, 300, 600, 100, 50), "{names:?}");

        let past = |name: &str, count: Value| {
            let mut attributes = attributes.clone();
            attributes.iter_mut().find(|(known, _)| *known == name).unwrap().1 = count;
            let (believed, exported) = decode(&attributes);
            assert!(believed == Believed::default() && exported.rejected == 1, "{name}");
            exported.reason.unwrap()
        };
        assert_eq!(past(names[2], json!(901)), format!("span 1: {}: larger than {}, which it is a part of", names[2], names[0]));
        assert!(past(names[4], json!(301)).contains(&format!("larger than {}", names[1])));
        for wrong in [json!(-1), json!("many"), json!(0.5), json!(2_000_000_000_000_000_i64)] {
            assert_eq!(past(names[0], wrong), format!("span 1: {}: no count of tokens", names[0]));
        }
    }
}

#[test]
fn a_total_or_a_known_instrumentation_says_that_parts_stand_beside_their_wholes() {
    let kind = ("openinference.span.kind", json!("LLM"));
    let usage = [
        kind,
        ("llm.token_count.prompt", json!(100)),
        ("llm.token_count.prompt_details.cache_read", json!(700)),
        ("llm.token_count.completion", json!(70)),
        ("llm.token_count.completion_details.reasoning", json!(60)),
    ];
    for (total, input, output) in [(870, 100, 70), (930, 100, 130)] {
        let mut told = usage.to_vec();
        told.push(("llm.token_count.total", json!(total)));
        let (believed, exported) = decode(&told);
        assert_eq!(exported.reason, None);
        let usage = believed.only().usage();
        assert_eq!((usage.input, usage.output, usage.cache_read, usage.reasoning), (input, output, 700, 60));
    }
    assert_eq!(decode(&usage).1.rejected, 1);
    let bedrock = [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.usage.input_tokens", json!(100)),
        ("gen_ai.usage.cache_read_input_tokens", json!(40)),
        ("gen_ai.usage.output_tokens", json!(7)),
        ("gen_ai.usage.total_tokens", json!(107)),
    ];
    let (believed, _) = decode_span(span("shop", "opentelemetry.instrumentation.bedrock", &bedrock));
    assert_eq!((believed.only().usage().input, believed.only().usage().cache_read), (100, 40));
}

#[test]
fn a_parent_counts_nothing_whatever_it_sums_up() {
    for kind in [
        ("gen_ai.operation.name", json!("invoke_agent")),
        ("gen_ai.operation.name", json!("invoke_workflow")),
        ("gen_ai.operation.name", json!("plan")),
        ("openinference.span.kind", json!("CHAIN")),
        ("openinference.span.kind", json!("AGENT")),
        ("traceloop.span.kind", json!("workflow")),
        ("llm.request.type", json!("rerank")),
    ] {
        let usage = ("gen_ai.usage.input_tokens", json!(5));
        let model = ("gen_ai.request.model", json!("gpt-5.4"));
        let (believed, exported) = decode(&[kind.clone(), usage, model, ("llm.token_count.prompt", json!(5))]);
        assert_eq!((believed.requests.len(), exported.accepted), (0, 1), "{kind:?}");
    }
}

#[test]
fn two_instrumentations_and_an_event_of_one_call_tell_one_request() {
    let attributes = [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.response.id", json!("chatcmpl-BQ3f9x2Lq7")),
        ("gen_ai.response.model", json!("gpt-5.4")),
        ("gen_ai.usage.input_tokens", json!(10)),
        ("gen_ai.usage.output_tokens", json!(3)),
        ("gen_ai.usage.cost", json!(0.25)),
    ];
    let first = span("shop", "one", &attributes);
    let mut second = span("shop", "other", &attributes);
    second["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"] = json!("eee19b7ec3c1b175");
    let mut log = first["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone();
    log["eventName"] = json!("gen_ai.client.inference.operation.details");
    log["timeUnixNano"] = log["endTimeUnixNano"].clone();
    let logs = json!({ "resourceLogs": [{
        "resource": first["resourceSpans"][0]["resource"], "scopeLogs": [{ "scope": { "name": "one" }, "logRecords": [log] }]
    }] });
    let (mut believed, _) = decode_all(&[first, second].map(|span| serde_json::from_value(span).unwrap()), &[]);
    let around = Surroundings { memory: &Memory::default(), dimensions: &Dimensions::default(), now: NOW };
    let told = decode_logs(&serde_json::from_value(logs).unwrap(), &around, &mut |fact| believed.hear(fact));
    assert_eq!((told.accepted, told.reason), (1, None));
    let request = believed.only();
    assert_eq!(request.id, "chatcmpl-BQ3f9x2Lq7");
    assert_eq!(request.reported_cost_nano.get(), Some(&250_000_000));
    assert_eq!(request.started_at.get(), Some(&1_795_600_000_000));
    assert_eq!(request.witnesses.names(), ["otlp_log", "otlp_span"]);
}

#[test]
fn an_event_without_a_span_is_known_by_its_answers_id() {
    let decode_event = |id: &str, session: Option<&str>| {
        let text = |key: &str, text: &str| json!({ "key": key, "value": { "stringValue": text } });
        let mut attributes = vec![text("gen_ai.operation.name", "chat"), text("gen_ai.response.id", id)];
        attributes.extend(session.map(|session| text("session.id", session)));
        attributes.push(json!({ "key": "gen_ai.usage.output_tokens", "value": { "intValue": "7" } }));
        let log = json!({ "timeUnixNano": "1795600000000000000", "eventName": "gen_ai.client.inference.operation.details", "attributes": attributes });
        let logs = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [log] }] }] });
        let (mut believed, dimensions, memory) = (Believed::default(), Dimensions::default(), Memory::default());
        let around = Surroundings { memory: &memory, dimensions: &dimensions, now: NOW };
        let told = decode_logs(&serde_json::from_value(logs).unwrap(), &around, &mut |fact| believed.hear(fact));
        (believed, told)
    };
    let (believed, told) = decode_event("chatcmpl-BQ3f9x2Lq7", None);
    assert_eq!((told.accepted, told.reason), (1, None));
    let request = believed.only();
    assert_eq!((request.id.as_str(), request.usage().output), ("chatcmpl-BQ3f9x2Lq7", 7));
    assert!(request.holders.is_empty() && request.turn.is_untold() && believed.turns.is_empty() && believed.sessions.is_empty());
    assert_eq!(decode_event("chatcmpl-BQ3f9x2Lq7", Some("s")).0.sessions.len(), 1);
    let (believed, told) = decode_event("chatcmpl-417", Some("s"));
    assert_eq!((believed, told.rejected), (Believed::default(), 1));
    assert_eq!(told.reason.unwrap(), "log record 1: trace_id: not 16 bytes, or all zero");
}

/// Ollama draws its ids from 999.
#[test]
fn a_short_response_id_names_one_request_of_its_trace_only() {
    let attributes = [("gen_ai.operation.name", json!("chat")), ("gen_ai.response.id", json!("chatcmpl-417"))];
    let first = span("shop", "one", &attributes);
    let (mut twice, mut later) = (first.clone(), first.clone());
    twice["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"] = json!("eee19b7ec3c1b175");
    later["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = json!("5b8efff798038103d269b633813fc60d");
    let believed = decode_all(&[first, twice, later].map(|span| serde_json::from_value(span).unwrap()), &[]).0;
    assert_eq!(believed.requests.len(), 2);
}

#[test]
fn services_become_agents_and_never_another_one() {
    let kind = [("openinference.span.kind", json!("LLM")), ("llm.system", json!("ollama"))];
    for (service, agent) in [
        ("My Shop (prod)", "my-shop-prod"),
        ("Claude Code", "otlp-claude-code"),
        ("amp", "otlp-amp"),
        ("", "unknown-service"),
        ("買い物", "unknown-service"),
        ("unknown_service:python", "unknown-service-python"),
    ] {
        let (believed, _) = decode_span(span(service, "", &kind));
        assert_eq!(believed.only().agent, agent);
        assert_eq!(believed.only().billing.get(), Some(&Billing::Local));
        assert!(believed.only().input_tokens.is_untold());
    }
    assert_eq!(decode_span(span(&"x".repeat(200), "", &kind)).0.only().agent, "x".repeat(64));
    // Those of agents are decoded as theirs, or repeat what their transcripts tell under other ids.
    for service in ["claude-code", "codex_exec", "gemini-cli", "qwen-code", "github-copilot", "copilot-cli", "opencode", "pi"] {
        assert_eq!(decode_span(span(service, "", &kind)).0, Believed::default(), "{service}");
    }
}

#[test]
fn other_spans_tell_nothing_and_ids_are_asked_for() {
    let (believed, exported) = decode(&[("http.request.method", json!("GET")), ("session.id", json!("s"))]);
    assert_eq!((believed, exported.accepted), (Believed::default(), 1));
    for (field, id) in [("traceId", ""), ("traceId", "00000000000000000000000000000000"), ("spanId", "eee1"), ("spanId", "")] {
        let mut broken = span("shop", "", &[("gen_ai.operation.name", json!("chat"))]);
        broken["resourceSpans"][0]["scopeSpans"][0]["spans"][0][field] = json!(id);
        let (believed, exported) = decode_span(broken);
        assert_eq!((believed, exported.rejected), (Believed::default(), 1));
        let name = if field == "traceId" { "trace_id" } else { "span_id" };
        assert!(exported.reason.unwrap().contains(name));
    }
    // No times, an end before the start: when it came in.
    let mut timeless = span("shop", "", &[("gen_ai.operation.name", json!("chat"))]);
    let of = &mut timeless["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    (of["startTimeUnixNano"], of["endTimeUnixNano"]) = (json!("0"), json!("0"));
    assert_eq!(decode_span(timeless).0.only().started_at.get(), Some(&NOW));
}
