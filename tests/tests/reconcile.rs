//! What two witnesses say of one request, through the real server and command.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_end_to_end::{Machine, eventually, request, write};
use serde_json::{Value, json};

/// An export of one `api_request` of Claude Code.
fn export(output: u64) -> Value {
    let text = |name: &str, value: &str| json!({ "key": name, "value": { "stringValue": value } });
    let attributes = [
        ("event.name", "api_request"),
        ("session.id", "s"),
        ("request_id", "req_1"),
        ("model", "claude-opus-4-8"),
        ("input_tokens", "10"),
        ("output_tokens", &output.to_string()),
        ("cache_read_tokens", "0"),
        ("cache_creation_tokens", "0"),
        ("cost_usd_micros", "2600"),
        ("event.timestamp", "2026-01-02T10:01:02.000Z"),
    ];
    let attributes: Vec<Value> = attributes.iter().map(|(name, value)| text(name, value)).collect();
    json!({ "resourceLogs": [{ "resource": { "attributes": [text("service.name", "claude-code")] },
        "scopeLogs": [{ "logRecords": [{ "attributes": attributes }] }] }] })
}

#[test]
fn a_transcripts_small_output_is_seen_by_command_and_api_alike() {
    let machine = Machine::new();
    write(&machine.projects().join("-app/s.jsonl"), &(request("s", 1, 2) + &request("s", 3, 7)));
    let code = |args: &[&str]| machine.run(args).status.code();
    assert_eq!(code(&["reconcile"]), Some(0), "one witness agrees with itself");

    let server = machine.serve();
    assert_eq!(server.post("/v1/logs", &export(100)).0, 200);
    let found = eventually(|| {
        let found = server.get_json("/api/v1/reconcile");
        if found["totals"]["differing_requests"] == json!(1) { Ok(found) } else { Err(found.to_string()) }
    });
    let row = &found["rows"][0];
    assert_eq!((&row["requests"], &found["agreed"]), (&json!(2), &json!(false)));
    // 98 tokens of 25 USD a million fewer, by the transcript; the log's is believed.
    assert_eq!(found["totals"]["difference_nano_usd"], json!("2450000"));
    let one = &row["disagreements"][0];
    assert_eq!((&one["request"], &one["field"], &one["believed"]), (&json!("req_1"), &json!("output_tokens"), &json!("100")));
    assert_eq!(one["claims"], json!([{ "witness": "transcript", "value": "2" }, { "witness": "otlp_log", "value": "100" }]));
    let cost = &row["reported_cost"];
    assert_eq!((&cost["requests"], &cost["reported_usd"], &cost["ours_usd"]), (&json!(1), &json!(0.0026), &json!(0.00255)));

    let covered = server.get_json("/api/v1/coverage?since=2026-01-02&until=2026-01-02&agent=claude-code");
    let totals = &covered["totals"];
    assert_eq!(
        (&totals["requests"], &totals["disputed_requests"], &totals["disputed_sessions"]),
        (&json!(2), &json!(1), &json!(1))
    );
    for name in ["cost_nano_usd", "difference_nano_usd"] {
        assert_eq!(totals[name], found["totals"][name], "{name}");
    }
    let rows: Vec<&Value> = covered["rows"].as_array().unwrap().iter().map(|row| &row["witnesses"]).collect();
    assert!(rows.contains(&&json!(["transcript"])) && rows.contains(&&json!(["transcript", "otlp_log"])), "{rows:?}");
    let disputed = &covered["disputed"][0];
    assert_eq!(
        (&disputed["session"], &disputed["requests"], &disputed["fields"]),
        (&json!("s"), &json!(2), &json!(["output_tokens"]))
    );
    assert_eq!(server.get_json("/api/v1/coverage?since=2026-01-03")["rows"], json!([]));
    for (path, part) in
        [("?project=p", "project"), ("?since=soon", "since"), ("?agent=%00&until=9", "until"), ("?timezone=x", "timezone")]
    {
        let (status, answer) = server.ask(&format!("/api/v1/coverage{path}"), None, "");
        assert!(status == 400 && answer.contains(part), "{path}: {answer}");
    }

    let printed = machine.run(&["reconcile", "--timezone", "UTC", "--json"]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap().trim_end(), server.get("/api/v1/reconcile"));
    assert_eq!(printed.status.code(), Some(1));
    assert_eq!(code(&["reconcile", "--tolerance", "0.003"]), Some(0));
    assert_eq!(code(&["reconcile", "--session", "s"]), Some(1));
    assert_eq!(code(&["reconcile", "--session", "nobody"]), Some(2));
    assert_eq!(code(&["reconcile", "--since", "soon"]), Some(2));
    for (path, status) in [
        ("?session=nobody", 404),
        ("?since=soon", 400),
        ("?sinze=today", 400),
        ("?tolerance=x", 400),
        ("?limit=0", 400),
        ("?limit=1", 200),
    ] {
        assert_eq!(server.ask(&format!("/api/v1/reconcile{path}"), None, "").0, status, "{path}");
    }
}

#[test]
fn a_bill_is_held_against_the_ledger() {
    let machine = Machine::new();
    write(&machine.projects().join("-app/s.jsonl"), &request("s", 1, 100));
    let bill = |output: &str| {
        let text = format!(
            "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_output_tokens\n2026-01-02,claude-opus-4-8,10,{output}\n"
        );
        let path = machine.home().join("bill.csv");
        write(&path, &text);
        machine.run(&["reconcile", "--json", "--bill", path.to_str().unwrap()])
    };
    let same = bill("100");
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stderr));
    let more = bill("101");
    let json: Value = serde_json::from_slice(&more.stdout).unwrap();
    assert_eq!((more.status.code(), &json["rows"][0]["verdict"]), (Some(1), &json!("differs")));
    assert_eq!(json["rows"][0]["tokens"]["output_tokens"], json!({ "billed": 101, "ours": 100 }));
    let bad = bill("many");
    assert_eq!(bad.status.code(), Some(2));
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(said.contains("bill.csv: line 2, usage_output_tokens: \"many\" is no whole number"), "{said}");
}
