//! Status lines: captured from the real client, of other versions, and of no client at all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_capture::AsTold;
use ducat_capture::claude_code::{HookVerdict, StatusLine, decode_status_line};
use ducat_ledger::{Billing, Fact, Quota, Session};
use proptest::prelude::*;
use serde_json::{Value, json};

/// When the capture was made.
const AT: i64 = 1_795_574_310_000;

fn captured() -> Vec<&'static str> {
    include_str!("fixtures/claude-code-2.1.197/status-line.jsonl").lines().collect()
}

fn decode(payload: &[u8]) -> (HookVerdict, Vec<Session>, Vec<Quota>) {
    let (mut sessions, mut quotas) = (Vec::new(), Vec::new());
    let verdict = decode_status_line(payload, AT, &mut AsTold, &mut |fact| match fact {
        Fact::Session(session) => sessions.push(session),
        Fact::Quota(quota) => quotas.push(quota),
        other => panic!("{other:?}"),
    });
    (verdict, sessions, quotas)
}

#[test]
fn the_real_client_before_and_after_its_first_answer() {
    let captured = captured();
    let (verdict, sessions, quotas) = decode(captured[0].as_bytes());
    assert_eq!((verdict, sessions.len(), quotas.len()), (HookVerdict::Decoded, 0, 0), "nothing was asked yet");
    let (_, sessions, quotas) = decode(captured[1].as_bytes());
    assert_eq!(sessions[0].billing.get(), Some(&Billing::Plan));
    assert_eq!(sessions[0].reported_cost_nano.get(), Some(&58_695_000));
    let told: Vec<_> = quotas.iter().map(|quota| (quota.window_minutes, quota.used(), quota.resets_at())).collect();
    // 41.199999999999996 in the client's words.
    assert_eq!(told, [(300, 235_000, 1_795_581_510_000), (10_080, 412_000, 1_795_974_310_000)]);
    let line = StatusLine::parse(captured[1].as_bytes()).unwrap();
    assert_eq!((line.model.as_deref(), line.context_percent, line.context_size), (Some("Sonnet 5"), Some(7.0), Some(200_000)));
}

#[test]
fn what_is_delivered_tells_the_same_and_nothing_else() {
    for line in captured() {
        let mut whole: Value = serde_json::from_str(line).unwrap();
        whole["session_name"] = json!("secret plan");
        whole["a_later_field"] = json!("secret too");
        let kept = StatusLine::parse(whole.to_string().as_bytes()).unwrap().to_json().to_string();
        assert!(!kept.contains("secret"), "{kept}");
        assert_eq!(decode(kept.as_bytes()), decode(line.as_bytes()));
    }
}

#[test]
fn other_versions_and_other_types_tell_what_they_can() {
    let of = |line: Value| StatusLine::parse(line.to_string().as_bytes()).unwrap();
    assert_eq!(of(json!({})), StatusLine::default());
    assert_eq!(of(json!({ "model": "claude-opus-4-1", "cwd": "/a" })).model_id.as_deref(), Some("claude-opus-4-1"));
    assert_eq!(of(json!({ "session_id": 7, "cost": [], "rate_limits": "none", "context_window": null })), StatusLine::default());
    let odd = of(json!({
        "cost": { "total_cost_usd": "0.5", "total_duration_ms": -1 },
        "rate_limits": {
            "five_hour": { "used_percentage": -3, "resets_at": 1_795_581_510 }, "seven_day": { "used_percentage": 1 },
            "seven_day_opus": { "used_percentage": 104.5, "resets_at": 1_795_974_310 }, "thirteen_moons": { "used_percentage": 1, "resets_at": 1 }
        }
    }));
    assert_eq!((odd.cost_nano, odd.windows.len(), odd.windows[0].used_ppm), (None, 1, 1_045_000));
    let faults = odd.faults.join("; ");
    for field in ["cost.total_cost_usd", "cost.total_duration_ms", "rate_limits.five_hour.used_percentage"] {
        assert!(faults.contains(field), "{faults}");
    }
    assert_eq!(odd.quotas(AT)[0].limit.as_deref(), Some("opus"));
}

#[test]
fn windows_are_few_and_have_names() {
    let windows: serde_json::Map<String, Value> = (0..200)
        .map(|number| (format!("seven_day_m{number}"), json!({ "used_percentage": 1, "resets_at": AT / 1000 + 60 })))
        .collect();
    let of = |limits: Value| StatusLine::parse(json!({ "rate_limits": limits }).to_string().as_bytes()).unwrap().windows.len();
    assert_eq!(of(Value::Object(windows)), 8);
    let window = json!({ "used_percentage": 1, "resets_at": AT / 1000 + 60 });
    let long = format!("seven_day_{}", "x".repeat(33));
    for name in [long.as_str(), "seven_day_", "seven_days", "five_hour_Opus\n", "five_hour2"] {
        assert_eq!(of(json!({ name: window })), 0, "{name}");
    }
    assert_eq!(of(json!({ "five_hour": window, "seven_day_oauth_apps": window })), 2);
}

#[test]
fn a_window_of_another_time_is_not_believed() {
    let line = |resets_at: i64| json!({ "session_id": "s", "rate_limits": { "five_hour": { "used_percentage": 50, "resets_at": resets_at / 1000 } } });
    for (resets_at, believed) in
        [(AT + 3_600_000, 1), (AT - 3_600_000, 1), (AT - 2 * 86_400_000, 0), (AT + 300 * 60_000 + 2 * 86_400_000, 0)]
    {
        assert_eq!(decode(line(resets_at).to_string().as_bytes()).2.len(), believed, "{}", resets_at - AT);
    }
}

#[test]
fn what_is_no_status_line_is_refused_in_words() {
    let whole = captured()[1];
    let huge = format!("{{\"session_id\":\"s\",\"x\":\"{}\"}}", "x".repeat(2 << 20));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (payload, word) in [
        (&whole[..whole.len() / 2], "cut off"),
        ("", "cut off"),
        ("[]", "object"),
        ("x", "JSON"),
        (&huge, "1 MiB"),
        (&deep, "deep"),
        ("{}", "session_id"),
    ] {
        let HookVerdict::Malformed(reason) = decode(payload.as_bytes()).0 else { panic!("{payload:.80}") };
        assert!(reason.contains(word), "{reason}");
    }
}

proptest! {
    #[test]
    fn any_bytes_at_any_time(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..900, at in any::<i64>()) {
        let line = captured()[1].as_bytes();
        let mut mixed = line[..cut.min(line.len())].to_vec();
        mixed.extend(&bytes);
        for payload in [bytes.as_slice(), &mixed, line] {
            let _ = decode_status_line(payload, at, &mut AsTold, &mut drop);
        }
    }
}
