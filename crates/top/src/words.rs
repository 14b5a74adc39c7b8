//! Figures in the words of every view.

use ducat_prices::NanoUsd;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::snapshot::Totals;

/// `$4.21`, `$4.21+?` where some of it has no price, `unknown` where all of it has none.
pub fn money(cost: Option<NanoUsd>, unpriced_requests: u64) -> String {
    match cost {
        None => "unknown".to_owned(),
        Some(cost) if unpriced_requests > 0 => format!("{cost}+?"),
        Some(cost) => cost.to_string(),
    }
}

pub fn cost(totals: &Totals) -> String {
    money(totals.cost, totals.unpriced_requests)
}

/// `7 ms`, `1.2 s`, `3 m 12 s`, `12 m`, `2 h 5 m`, `12 h`: eight columns at most, up to a year.
pub fn duration(ms: f64) -> String {
    let seconds = (ms / 1000.0).round() as u64;
    match ms {
        ..999.5 => format!("{ms:.0} ms"),
        ..9_950.0 => format!("{:.1} s", ms / 1000.0),
        ..59_500.0 => format!("{seconds} s"),
        ..599_500.0 => format!("{} m {} s", seconds / 60, seconds % 60),
        ..3_599_500.0 => format!("{} m", seconds / 60),
        ..35_999_500.0 => format!("{} h {} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} h", seconds / 3600),
    }
}

pub fn percent(percent: f64) -> String {
    format!("{percent:.0}%")
}

/// The model without its maker and its date: `opus-4-5` of `claude-opus-4-5-20251101`.
pub fn model(name: &str) -> &str {
    let name = name.strip_prefix("claude-").unwrap_or(name);
    match name.rsplit_once('-') {
        Some((before, date)) if date.len() == 8 && date.bytes().all(|digit| digit.is_ascii_digit()) => before,
        _ => name,
    }
}

/// `14:05` of the same day, else `24 Nov`: always as wide or one wider.
pub fn when(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (zone.to_datetime(at), zone.to_datetime(now));
    at.strftime(if at.date() == now.date() { "%H:%M" } else { "%d %b" }).to_string()
}

/// `14:05` of the same day, else with the day: `24 Nov 14:05`.
pub fn moment(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (zone.to_datetime(at), zone.to_datetime(now));
    at.strftime(if at.date() == now.date() { "%H:%M" } else { "%d %b %H:%M" }).to_string()
}

/// A time ahead: `14:05` within a day, else `Fri 14:05`.
pub fn ahead(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let is_soon = at.duration_since(now).as_hours() < 20;
    zone.to_datetime(at).strftime(if is_soon { "%H:%M" } else { "%a %H:%M" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (ms, text) in [
            (0.0, "0 ms"),
            (999.4, "999 ms"),
            (1_234.0, "1.2 s"),
            (9_999.0, "10 s"),
            (59_900.0, "1 m 0 s"),
            (252_000.0, "4 m 12 s"),
            (740_000.0, "12 m"),
            (43_300_000.0, "12 h"),
            (7_500_000.0, "2 h 5 m"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!((money(None, 3), money(Some(NanoUsd(4_210_000_000)), 1)), ("unknown".to_owned(), "$4.21+?".to_owned()));
        assert_eq!((model("claude-opus-4-5-20251101"), model("gpt-5.1-codex"), model("")), ("opus-4-5", "gpt-5.1-codex", ""));
        let now: Timestamp = "2026-11-25T14:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(when(at("2026-11-25T09:05:00Z"), now, &TimeZone::UTC), "09:05");
        assert_eq!(when(at("2026-11-24T09:05:00Z"), now, &TimeZone::UTC), "24 Nov");
        assert_eq!(moment(at("2026-11-24T09:05:00Z"), now, &TimeZone::UTC), "24 Nov 09:05");
        assert_eq!(ahead(at("2026-11-25T16:40:00Z"), now, &TimeZone::UTC), "16:40");
        assert_eq!(ahead(at("2026-11-27T16:40:00Z"), now, &TimeZone::UTC), "Fri 16:40");
    }
}
