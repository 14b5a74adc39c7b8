//! What a rollout tells of the plan's quota: `rate_limits` of its `token_count` events.

use ducat_ledger::{Fact, FieldClass, Quota, Told, UnixMs, Witness, Witnesses};
use serde_json::{Map, Value};

use super::AGENT;

/// The limit on all use; others are named.
const WHOLE: &str = "codex";
/// Some versions round a window's minutes down: 299 for five hours.
const ROUNDED_MINUTES: u64 = 5;
/// No window is longer than a year.
const LONGEST_MINUTES: u64 = 366 * 1440;
const DAY_MS: i64 = 86_400_000;

/// Tells `out` the quota that one line of a rollout (without its line break) tells; nothing for lines that tell none, and for windows that make
/// no sense at the line's time.
pub fn decode_rate_limits(line: &[u8], out: &mut dyn FnMut(Fact)) {
    // Most lines are others, and are not parsed.
    if memchr::memmem::find(line, b"\"rate_limits\"").is_none() || crate::json::is_too_deep(line) {
        return;
    }
    let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
    let at = line["timestamp"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).map(|at| at.as_millisecond());
    let (Some(at), Some(limits)) = (at, line.pointer("/payload/rate_limits").and_then(Value::as_object)) else { return };
    let name = ["limit_name", "limit_id"].iter().find_map(|name| limits.get(*name)?.as_str());
    // `GPT-5.3-Codex-Spark` is `gpt_5_3_codex_spark`.
    let limit = name.filter(|name| *name != WHOLE).map(Quota::limit_of);
    if limit.as_deref().is_some_and(|limit| !Quota::is_limit(limit)) {
        return;
    }
    for window in ["primary", "secondary"] {
        let window = limits.get(window).and_then(Value::as_object);
        if let Some(mut quota) = window.and_then(|window| quota(window, limit.as_deref(), at)) {
            let plan = limits.get("plan_type").and_then(Value::as_str).filter(|plan| plan.len() <= 64);
            quota.plan = Told::maybe(Witness::Transcript.rank(FieldClass::Attribution), plan.map(str::to_owned));
            out(Fact::Quota(quota));
        }
    }
}

fn quota(window: &Map<String, Value>, limit: Option<&str>, at: UnixMs) -> Option<Quota> {
    let used = window.get("used_percent")?.as_f64().filter(|used| (0.0..=1e4).contains(used))?;
    let minutes = window.get("window_minutes")?.as_u64().filter(|minutes| (1..=LONGEST_MINUTES).contains(minutes))?;
    let seconds = |name: &str| window.get(name).and_then(Value::as_f64).filter(|seconds| (0.0..=1e11).contains(seconds));
    let hours = (minutes + 30) / 60 * 60;
    let minutes = if minutes >= 60 && minutes.abs_diff(hours) <= ROUNDED_MINUTES { hours } else { minutes };
    // Older versions tell how long it is until then.
    let resets_at = match (seconds("resets_at"), seconds("resets_in_seconds")) {
        (Some(resets_at), _) => (resets_at * 1e3) as UnixMs,
        (None, Some(left)) => at.saturating_add((left * 1e3) as i64),
        (None, None) => return None,
    };
    let ahead = resets_at.saturating_sub(at);
    let length = i64::try_from(minutes).ok()? * 60_000;
    if ahead < -DAY_MS || ahead > length + DAY_MS {
        return None;
    }
    let mut quota = Quota::new(AGENT, None, limit, u32::try_from(minutes).ok()?, resets_at);
    quota.witnesses = Witnesses::only(Witness::Transcript);
    quota.tell(at.min(resets_at - 1), (used * 1e4).round() as u32);
    Some(quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(line: &str) -> Vec<Quota> {
        let mut quotas = Vec::new();
        decode_rate_limits(line.as_bytes(), &mut |fact| match fact {
            Fact::Quota(quota) => quotas.push(quota),
            other => panic!("{other:?}"),
        });
        quotas
    }

    fn line(limits: &str) -> String {
        format!(
            r#"{{"timestamp":"2026-04-06T13:42:13.523Z","type":"event_msg","payload":{{"type":"token_count","rate_limits":{limits}}}}}"#
        )
    }

    #[test]
    fn a_real_line() {
        let told = quotas(&line(
            r#"{"limit_id":"codex","limit_name":null,"primary":{"used_percent":13.0,"window_minutes":300,"resets_at":1775490660},"secondary":{"used_percent":60.0,"window_minutes":10080,"resets_at":1775636060},"credits":null,"plan_type":"plus"}"#,
        ));
        let figures: Vec<_> =
            told.iter().map(|quota| (quota.window(), quota.used(), quota.plan.get().map(String::as_str), &quota.limit)).collect();
        assert_eq!(figures, [("5h".to_owned(), 130_000, Some("plus"), &None), ("7d".to_owned(), 600_000, Some("plus"), &None)]);
    }

    #[test]
    fn older_forms_other_limits_and_nonsense() {
        let older =
            quotas(&line(r#"{"primary":{"used_percent":5,"window_minutes":299,"resets_in_seconds":3600},"secondary":null}"#));
        assert_eq!((older.len(), older[0].resets_at()), (1, 1_775_482_933_523 + 3_600_000));
        assert_eq!(older[0].window(), "5h", "299 minutes are five hours");
        let short = quotas(&line(r#"{"primary":{"used_percent":5,"window_minutes":43,"resets_in_seconds":60}}"#));
        assert_eq!(short[0].window_minutes, 43);
        let spark = quotas(&line(
            r#"{"limit_name":"GPT-5.3-Codex-Spark","primary":{"used_percent":5,"window_minutes":300,"resets_at":1775490660}}"#,
        ));
        assert_eq!(spark[0].limit.as_deref(), Some("gpt_5_3_codex_spark"));
        let named =
            quotas(&line(r#"{"limit_id":"premium","primary":{"used_percent":5,"window_minutes":300,"resets_at":1775490660}}"#));
        assert_eq!(named[0].limit.as_deref(), Some("premium"));
        for nonsense in [
            r#"{"primary":null,"secondary":null}"#,
            r#"{"primary":{"used_percent":-1,"window_minutes":300,"resets_at":1775490660}}"#,
            r#"{"primary":{"used_percent":1,"window_minutes":0,"resets_at":1775490660}}"#,
            r#"{"primary":{"used_percent":1,"window_minutes":300,"resets_at":99999999999}}"#,
            r#"{"primary":{"used_percent":"1","window_minutes":300,"resets_at":1775490660}}"#,
            r#"{"primary":[]}"#,
            r#"{"limit_id":"012345678901234567890123456789012","primary":{"used_percent":1,"window_minutes":300,"resets_at":1775490660}}"#,
            "7",
        ] {
            assert!(quotas(&line(nonsense)).is_empty(), "{nonsense}");
        }
        for broken in ["\"rate_limits\"", "{\"rate_limits\":", "{\"timestamp\":\"x\",\"payload\":{\"rate_limits\":{}}}"] {
            assert!(quotas(broken).is_empty());
        }
        assert!(quotas(&format!("{{\"rate_limits\":{}", "[".repeat(100_000))).is_empty());
    }
}
