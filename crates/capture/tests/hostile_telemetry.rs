//! Whatever telemetry tells: no decoder panics, and every record is counted as accepted or rejected.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_capture::otlp::{Dimensions, Exported, Memory, Surroundings, decode_logs, decode_metrics, decode_traces};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Names that decoding looks at, and any other.
fn name() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "gen_ai.operation.name",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.total_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.response.id",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.token.type",
        "gen_ai.tool.call.id",
        "openinference.span.kind",
        "llm.token_count.prompt",
        "llm.cost.total",
        "event.name",
        "error.type",
        "service.name",
        "session.id",
    ];
    prop_oneof![4 => proptest::sample::select(KNOWN).prop_map(str::to_owned), 1 => ".{0,12}"]
}

fn value() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &["chat", "execute_tool", "invoke_agent", "LLM", "TOOL", "input", "9", "NaN", "claude-code"];
    prop_oneof![
        any::<i64>().prop_map(|number| json!({ "intValue": number.to_string() })),
        any::<f64>().prop_map(|number| json!({ "doubleValue": number })),
        proptest::sample::select(WORDS).prop_map(|text| json!({ "stringValue": text })),
        ".{0,40}".prop_map(|text| json!({ "stringValue": text })),
        any::<bool>().prop_map(|flag| json!({ "boolValue": flag })),
        Just(json!({ "arrayValue": { "values": [] } })),
        Just(json!({})),
    ]
}

fn is_counted(decode: impl FnOnce(&mut Surroundings<'_>) -> Exported) -> bool {
    let told =
        decode(&mut Surroundings { memory: &Memory::default(), dimensions: &Dimensions::default(), now: 1_795_700_000_000 });
    told.accepted + told.rejected == 1 && (told.rejected > 0) == told.reason.is_some()
}

proptest! {
    #[test]
    fn no_decoder_panics_and_every_record_is_counted(
        attributes in proptest::collection::vec((name(), value()), 0..12),
        trace in "[0-9a-f]{32}|", span in "[0-9a-f]{16}|[0-9a-f]{4}",
        start in any::<u64>(), end in any::<u64>(), sum in any::<f64>(), temporality in 0..4,
    ) {
        let attributes: Value = attributes.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let (start, end) = (start.to_string(), end.to_string());
        let traces = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{
            "traceId": trace, "spanId": span, "name": "", "startTimeUnixNano": start, "endTimeUnixNano": end, "attributes": attributes,
        }] }] }] });
        // NaN is null in JSON.
        if let Ok(traces) = serde_json::from_value(traces) {
            prop_assert!(is_counted(|around| decode_traces(&traces, around, &mut |_| ())));
        }
        let logs = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{
            "traceId": trace, "spanId": span, "eventName": "gen_ai.client.inference.operation.details", "timeUnixNano": end,
            "attributes": attributes,
        }] }] }] });
        if let Ok(logs) = serde_json::from_value(logs) {
            prop_assert!(is_counted(|around| decode_logs(&logs, around, &mut |_| ())));
        }
        let metrics = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{
            "name": "gen_ai.client.token.usage", "histogram": { "aggregationTemporality": temporality, "dataPoints": [{
                "startTimeUnixNano": start, "timeUnixNano": end, "count": "1", "sum": sum, "attributes": attributes,
                "bucketCounts": [], "explicitBounds": [],
            }] },
        }] }] }] });
        if let Ok(metrics) = serde_json::from_value(metrics) {
            prop_assert!(is_counted(|around| decode_metrics(&metrics, around, &mut |_| ())));
        }
    }
}
