//! Telemetry under a company's own resource attributes, from the port to terminal and API.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_end_to_end::otlp::{Captured, JSON, post};
use ducat_end_to_end::{Machine, eventually, write};
use serde_json::{Value, json};

fn export(session: &str, requests: usize, said: &[(&str, &str)]) -> Vec<u8> {
    let mut export: Value = serde_json::from_slice(&Captured::new().session(session, requests)).unwrap();
    let attributes = export["resourceLogs"][0]["resource"]["attributes"].as_array_mut().unwrap();
    attributes.extend(said.iter().map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })));
    export.to_string().into_bytes()
}

fn requests_by(report: &str, key: &str) -> Vec<(Value, u64)> {
    let report: Value = serde_json::from_str(report).unwrap();
    let mut rows: Vec<_> =
        report["rows"].as_array().unwrap().iter().map(|row| (row[key].clone(), row["requests"].as_u64().unwrap())).collect();
    rows.sort_by_key(|(name, _)| name.to_string());
    assert_eq!(rows.iter().map(|(_, requests)| requests).sum::<u64>(), report["totals"]["requests"]);
    rows
}

#[test]
fn resource_attributes_are_rows_of_reports() {
    let machine = Machine::new();
    let otlp = "[otlp]\nlabels = [\"cost_center\", \"shift\", \"project=project.code\"]\nteam = [\"squad\"]\n";
    write(&machine.home().join(".config/ducat/config.toml"), otlp);
    // Without a ledger nobody knows of labels but the configuration.
    let unknown = machine.run(&["report", "label:departmint"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && said.contains("there are cost_center, project, shift"), "{said}");
    let server = machine.serve();
    for (session, requests, said) in [
        ("a", 3, &[("cost_center", "eng-42"), ("project.code", "apollo"), ("squad", "blue")][..]),
        ("b", 2, &[("cost_center", "eng-7")]),
        ("c", 1, &[]),
    ] {
        assert_eq!(post(server.port, "/v1/logs", &[JSON], &export(session, requests, said)).0, 200);
    }
    let report = |by: &str| {
        let report = machine.report(by);
        assert_eq!(server.get(&format!("/api/v1/report?by={by}&timezone=UTC")), report, "{by}");
        report
    };
    eventually(|| {
        let report: Value = server.get_json("/api/v1/report?by=daily");
        if report["totals"]["requests"] == 6 { Ok(()) } else { Err(report.to_string()) }
    });
    let by_center = [(json!("eng-42"), 3), (json!("eng-7"), 2), (Value::Null, 1)];
    assert_eq!(requests_by(&report("label:cost_center"), "label"), by_center);
    assert_eq!(requests_by(&report("label:project"), "label"), [(json!("apollo"), 3), (Value::Null, 3)]);
    assert_eq!(requests_by(&report("label:shift"), "label"), [(Value::Null, 6)], "configured, and told by nobody");
    assert_eq!(requests_by(&report("team"), "team"), [(json!("blue"), 3), (Value::Null, 3)]);
    assert_eq!(requests_by(&report("query_source"), "query_source"), [(json!("sdk"), 6)]);
    assert_eq!(requests_by(&report("effort"), "effort"), [(json!("high"), 6)]);
    assert_eq!(requests_by(&report("plugin"), "plugin"), [(Value::Null, 6)]);
    let table = machine.prints(&["report", "label:cost_center"]);
    assert!(table.contains("eng-42") && table.contains("unattributed"), "{table}");

    let (status, body) = server.ask("/api/v1/report?by=label:cost", None, "");
    assert_eq!((status, body.contains("there are cost_center, project, shift")), (400, true), "{body}");
    for by in ["label", "label:"] {
        let wrong = machine.run(&["report", by]);
        let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(wrong.status.code() == Some(2) && said.contains("label:NAME"), "{by}: {said}");
    }
}
