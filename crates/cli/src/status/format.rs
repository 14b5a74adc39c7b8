//! The line as each bar takes it.

use ducat_ledger::{Pace, Quota, UnixMs};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Source, Status};
use ducat_report::figures;

/// Shares of a window from which it is shown as a warning, and as bad.
const WARNING_PPM: u32 = 500_000;
const BAD_PPM: u32 = 800_000;
const HOUR_MS: i64 = 3_600_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tone {
    Plain,
    Warning,
    Bad,
}

/// `$4.21 today · $1.20/h · 2 active · 5h 42%, lasts to 16:40`.
pub fn plain(status: &Status) -> String {
    let list = if status.is_plan { " list price" } else { "" };
    let mut parts = vec![format!("{}{list} today", cost(status))];
    parts.extend(burn(status));
    if status.active_sessions > 0 {
        parts.push(format!("{} active", figures::count(status.active_sessions)));
    }
    parts.extend(status.windows().map(|(quota, pace)| format!("{} {}", quota.window(), words(status, quota, pace))));
    parts.join(" · ")
}

/// With the colours of tmux, and no `#` of anyone else's.
pub fn tmux(status: &Status) -> String {
    let mut parts = vec![cost(status)];
    parts.extend(burn(status));
    let mut line = parts.join(" ").replace('#', "##");
    for (quota, pace) in status.windows() {
        let text = format!("{} {}", quota.window(), short(status, quota, pace));
        let text = match tone(quota, pace) {
            Tone::Plain => text,
            Tone::Warning => format!("#[fg=yellow]{text}#[fg=default]"),
            Tone::Bad => format!("#[fg=red]{text}#[fg=default]"),
        };
        line.push_str(&format!(" {text}"));
    }
    line
}

/// Short: the prompt is the user's.
pub fn starship(status: &Status) -> String {
    let mut parts = vec![cost(status)];
    parts.extend(burn(status));
    parts.extend(status.windows().map(|(quota, _)| format!("{} {}", quota.window(), percent(quota))));
    parts.join(" ")
}

/// Waybar's JSON; `class` is idle, active, warning or critical, `percentage` the fullest window's.
pub fn waybar(status: &Status) -> String {
    let worst = status.windows().map(|(quota, pace)| tone(quota, pace)).max().unwrap_or(Tone::Plain);
    let class = match worst {
        Tone::Bad => "critical",
        Tone::Warning => "warning",
        Tone::Plain if status.active_sessions > 0 => "active",
        Tone::Plain => "idle",
    };
    let fullest = status.windows().map(|(quota, _)| quota.used() / 10_000).max().unwrap_or(0).min(100);
    json!({ "text": starship(status), "tooltip": details(status).join("\n"), "class": class, "percentage": fullest }).to_string()
}

/// A title, and below it the details; `|` begins parameters.
pub fn xbar(status: &Status) -> String {
    let worst = status.windows().map(|(quota, pace)| tone(quota, pace)).max().unwrap_or(Tone::Plain);
    let color = match worst {
        Tone::Plain => "",
        Tone::Warning => " | color=orange",
        Tone::Bad => " | color=red",
    };
    let details = details(status).join("\n").replace('|', "/");
    format!("{}{color}\n---\n{details}\nOpen the page | href=http://localhost:{}", cost(status), status.port)
}

pub fn json(status: &Status) -> String {
    let quotas: Vec<Value> = status
        .windows()
        .map(|(quota, pace)| {
            json!({
                "agent": quota.agent, "window": quota.window(), "window_minutes": quota.window_minutes,
                "used_percent": f64::from(quota.used()) / 1e4, "resets_at": time(quota.resets_at()),
                "used_up_at": pace.used_up_at.and_then(time),
            })
        })
        .collect();
    json!({
        "schema_version": 1, "at": time(status.now), "source": match status.source {
            Source::Ledger => "ledger",
            Source::Transcripts => "transcripts",
        },
        "today": {
            "requests": status.requests, "cost_usd": status.cost.map(|cost| cost.as_usd()), "cost_nano_usd": status.cost,
            "unpriced_requests": status.unpriced_requests,
        },
        "burn_usd_per_hour": status.last_hour.as_usd(), "active_sessions": status.active_sessions,
        "is_list_price": status.is_plan, "quotas": quotas,
    })
    .to_string()
}

fn cost(status: &Status) -> String {
    match status.cost {
        None => "cost unknown".to_owned(),
        Some(cost) if status.unpriced_requests > 0 => format!("{cost}+?"),
        Some(cost) => cost.to_string(),
    }
}

/// `$1.20/h`, when the last hour cost anything.
fn burn(status: &Status) -> Option<String> {
    (status.last_hour.0 > 0).then(|| format!("{}/h", status.last_hour))
}

fn details(status: &Status) -> Vec<String> {
    let list = if status.is_plan { " at list price" } else { "" };
    let requests = if status.requests == 1 { "request" } else { "requests" };
    let mut lines = vec![format!("Today: {}{list}, {} {requests}", cost(status), figures::count(status.requests))];
    if status.unpriced_requests > 0 {
        lines.push(format!("{} of unknown price", figures::count(status.unpriced_requests)));
    }
    lines.push(format!("Last hour: {}", status.last_hour));
    lines.push(format!("Active sessions: {}", figures::count(status.active_sessions)));
    let quotas = status.windows();
    lines.extend(quotas.map(|(quota, pace)| format!("{} of {}: {}", quota.window(), quota.agent, words(status, quota, pace))));
    lines
}

fn percent(quota: &Quota) -> String {
    format!("{:.0}%", f64::from(quota.used()) / 1e4)
}

/// `42%, lasts to 16:40`, or `84%, out at 15:10, resets 16:40`.
fn words(status: &Status, quota: &Quota, pace: Pace) -> String {
    let (percent, resets) = (percent(quota), clock(status, quota.resets_at()));
    match pace.used_up_at {
        Some(_) if quota.used() >= 1_000_000 => format!("{percent}, resets {resets}"),
        Some(at) => format!("{percent}, out at {}, resets {resets}", clock(status, at)),
        None => format!("{percent}, lasts to {resets}"),
    }
}

fn short(status: &Status, quota: &Quota, pace: Pace) -> String {
    match pace.used_up_at {
        Some(_) if quota.used() >= 1_000_000 => format!("{} to {}", percent(quota), clock(status, quota.resets_at())),
        Some(at) => format!("{} out {}", percent(quota), clock(status, at)),
        None => percent(quota),
    }
}

fn tone(quota: &Quota, pace: Pace) -> Tone {
    match quota.used() {
        _ if pace.used_up_at.is_some() => Tone::Bad,
        BAD_PPM.. => Tone::Bad,
        WARNING_PPM.. => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// `16:40`, with the day when it is further away.
fn clock(status: &Status, at: UnixMs) -> String {
    let local = |at: UnixMs| Timestamp::from_millisecond(at).map(|at| status.zone.to_datetime(at));
    let is_soon = at - status.now < 12 * HOUR_MS;
    let (Ok(at), Ok(now)) = (local(at), local(status.now)) else { return "?".to_owned() };
    at.strftime(if at.date() == now.date() || is_soon { "%H:%M" } else { "%a %H:%M" }).to_string()
}

fn time(at: UnixMs) -> Option<String> {
    Timestamp::from_millisecond(at).ok().map(|at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use ducat_prices::NanoUsd;
    use jiff::tz::TimeZone;

    use super::*;

    /// 2026-11-24 12:00 UTC, a Tuesday.
    const NOON: UnixMs = 1_795_521_600_000;

    fn status(windows: &[(u32, i64, u32)]) -> Status {
        let quotas = windows.iter().map(|(minutes, resets_in_h, used)| {
            let mut quota = Quota::new("claude-code", None, None, *minutes, NOON + resets_in_h * HOUR_MS);
            // Long ago, so that little is used up by the hour.
            quota.tell(NOON - 2 * HOUR_MS, *used);
            quota
        });
        Status {
            now: NOON,
            zone: TimeZone::UTC,
            source: Source::Ledger,
            requests: 57,
            cost: Some(NanoUsd(4_210_000_000)),
            unpriced_requests: 0,
            last_hour: NanoUsd(1_204_000_000),
            active_sessions: 2,
            quotas: quotas.collect(),
            is_plan: !windows.is_empty(),
            port: 9090,
        }
    }

    #[test]
    fn metered() {
        let status = status(&[]);
        assert_eq!(plain(&status), "$4.21 today · $1.20/h · 2 active");
        assert_eq!(tmux(&status), "$4.21 $1.20/h");
        assert_eq!(starship(&status), "$4.21 $1.20/h");
        assert_eq!(
            waybar(&status),
            r#"{"text":"$4.21 $1.20/h","tooltip":"Today: $4.21, 57 requests\nLast hour: $1.20\nActive sessions: 2","class":"active","percentage":0}"#
        );
        assert_eq!(
            xbar(&status),
            "$4.21\n---\nToday: $4.21, 57 requests\nLast hour: $1.20\nActive sessions: 2\nOpen the page | href=http://localhost:9090"
        );
        assert_eq!(
            json(&status),
            r#"{"schema_version":1,"at":"2026-11-24T12:00:00.000Z","source":"ledger","today":{"requests":57,"cost_usd":4.21,"cost_nano_usd":"4210000000","unpriced_requests":0},"burn_usd_per_hour":1.204,"active_sessions":2,"is_list_price":false,"quotas":[]}"#
        );
    }

    #[test]
    fn on_a_plan() {
        let status = status(&[(300, 2, 420_000), (10_080, 48, 950_000)]);
        assert_eq!(
            plain(&status),
            "$4.21 list price today · $1.20/h · 2 active · 5h 42%, lasts to 14:00 · 7d 95%, out at 18:18, resets Thu 12:00"
        );
        assert_eq!(tmux(&status), "$4.21 $1.20/h 5h 42% #[fg=red]7d 95% out 18:18#[fg=default]");
        assert_eq!(starship(&status), "$4.21 $1.20/h 5h 42% 7d 95%");
        let bar: Value = serde_json::from_str(&waybar(&status)).unwrap();
        assert_eq!((&bar["class"], &bar["percentage"]), (&json!("critical"), &json!(95)));
        assert!(
            bar["tooltip"]
                .as_str()
                .unwrap()
                .ends_with("5h of claude-code: 42%, lasts to 14:00\n7d of claude-code: 95%, out at 18:18, resets Thu 12:00")
        );
        assert!(xbar(&status).starts_with("$4.21 | color=red\n---\nToday: $4.21 at list price, 57 requests\n"));
        let json: Value = serde_json::from_str(&json(&status)).unwrap();
        assert_eq!(json["quotas"][1]["resets_at"], "2026-11-26T12:00:00.000Z");
        assert_eq!((&json["quotas"][0]["used_percent"], &json["is_list_price"]), (&json!(42.0), &json!(true)));
    }

    #[test]
    fn nothing_happened_and_nothing_is_known() {
        let quiet =
            Status { requests: 0, cost: Some(NanoUsd::ZERO), last_hour: NanoUsd::ZERO, active_sessions: 0, ..status(&[]) };
        assert_eq!((plain(&quiet), starship(&quiet)), ("$0.00 today".to_owned(), "$0.00".to_owned()));
        assert!(waybar(&quiet).contains(r#""class":"idle""#));
        let unknown = Status { cost: None, unpriced_requests: 57, last_hour: NanoUsd::ZERO, ..status(&[]) };
        assert_eq!(plain(&unknown), "cost unknown today · 2 active");
        let partly = Status { unpriced_requests: 3, ..status(&[]) };
        assert_eq!(starship(&partly), "$4.21+? $1.20/h");
        let used_up = status(&[(300, 2, 1_000_000)]);
        assert_eq!(tmux(&used_up), "$4.21 $1.20/h #[fg=red]5h 100% to 14:00#[fg=default]");
    }
}
