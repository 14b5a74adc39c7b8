//! Which stretch of time is asked for.

use ducat_ledger::UnixMs;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::{Calendar, QueryError};

const WANTED: &str = "time; write 2026-01-31, 20260131, today, yesterday, 7d (the last seven days), or for less than a day \
                      2026-01-31T14:00 or 2026-01-31T14:00:00Z (+ is %2B in an address)";

/// From inclusive to exclusive; without an end, all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    pub from: Option<UnixMs>,
    pub until: Option<UnixMs>,
}

impl Period {
    /// The days of a zone from one to the other, both counted.
    pub fn of_days(since: Option<Date>, until: Option<Date>, zone: &TimeZone) -> Self {
        let calendar = Calendar::new(zone.clone());
        let after = until.and_then(|until| until.tomorrow().ok());
        Self { from: since.map(|since| calendar.start_of(since)), until: after.map(|after| calendar.start_of(after)) }
    }

    /// Reads `since` and `until`: days, the last one counted, or times, the last one not. What names no zone is of `zone`, as is today.
    pub fn parse(since: Option<&str>, until: Option<&str>, zone: &TimeZone, now: Timestamp) -> Result<Self, QueryError> {
        let today = zone.to_datetime(now).date();
        let moment = |field, value: Option<&str>| value.map(|value| Moment::parse(field, value, today, zone)).transpose();
        let (first, last) = (moment("since", since)?, moment("until", until)?);
        let (from, end) = (first.map(|first| first.start(zone)), last.and_then(|last| last.end(zone)));
        if let (Some(from), Some(end), Some(since), Some(until)) = (from, end, since, until)
            && from >= end
        {
            return Err(QueryError::Backwards { since: since.to_owned(), until: until.to_owned() });
        }
        Ok(Self { from, until: end })
    }

    /// What tells no time is in no period but that of all there is.
    pub fn contains(&self, at: Option<UnixMs>) -> bool {
        match at {
            Some(at) => self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until),
            None => *self == Self::default(),
        }
    }
}

#[derive(Clone, Copy)]
enum Moment {
    Day(Date),
    Time(UnixMs),
}

impl Moment {
    fn parse(field: &'static str, value: &str, today: Date, zone: &TimeZone) -> Result<Self, QueryError> {
        if !value.contains(['T', 't']) || matches!(value, "today" | "yesterday") {
            return day(field, value, today, WANTED).map(Self::Day);
        }
        let timestamp = value.parse::<Timestamp>().ok();
        let local = || value.parse::<DateTime>().ok()?.to_zoned_datetime(zone.clone()).ok();
        let at = timestamp.or_else(|| local().map(|at| at.timestamp()));
        let wrong = || QueryError::Value { field, value: value.to_owned(), wanted: WANTED };
        at.map(|at| Self::Time(at.as_millisecond())).ok_or_else(wrong)
    }

    fn start(self, zone: &TimeZone) -> UnixMs {
        match self {
            Self::Day(date) => Calendar::new(zone.clone()).start_of(date),
            Self::Time(at) => at,
        }
    }

    /// None where a calendar holds nothing later.
    fn end(self, zone: &TimeZone) -> Option<UnixMs> {
        match self {
            Self::Day(date) => date.tomorrow().ok().map(|after| Calendar::new(zone.clone()).start_of(after)),
            Self::Time(at) => Some(at),
        }
    }
}

/// `2026-01-31`, `20260131`, `today`, `yesterday`, `7d` (seven days with today).
pub(crate) fn day(field: &'static str, value: &str, today: Date, wanted: &'static str) -> Result<Date, QueryError> {
    let wrong = || QueryError::Value { field, value: value.to_owned(), wanted };
    let back = |days: i64| today.checked_sub(days.days()).map_err(|_| wrong());
    match value {
        "today" => return Ok(today),
        "yesterday" => return back(1),
        _ => {}
    }
    if let Some(days) = value.strip_suffix('d') {
        let days: i64 = days.parse().map_err(|_| wrong())?;
        return if (1..=100_000).contains(&days) { back(days - 1) } else { Err(wrong()) };
    }
    let digits = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit());
    let dashed = value.len() == 10 && value.is_char_boundary(4) && value.as_bytes()[4] == b'-';
    if digits || dashed { value.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(since: &str, until: &str, zone: &str) -> Result<Period, String> {
        let told = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let (since, until) = (told(since.to_owned().leak()), told(until.to_owned().leak()));
        Period::parse(since, until, &TimeZone::get(zone).unwrap(), "2026-11-24T23:30:00Z".parse().unwrap())
            .map_err(|wrong| wrong.to_string())
    }

    fn at(text: &str) -> Option<UnixMs> {
        Some(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn days_in_every_form() {
        for (value, start) in [
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("20260131", "2026-01-31T00:00:00Z"),
            ("today", "2026-11-24T00:00:00Z"),
            ("yesterday", "2026-11-23T00:00:00Z"),
            ("7d", "2026-11-18T00:00:00Z"),
        ] {
            assert_eq!(parse(value, "", "UTC"), Ok(Period { from: at(start), until: None }), "{value}");
        }
        let berlin = Period { from: at("2026-11-24T23:00:00Z"), until: at("2026-11-25T23:00:00Z") };
        assert_eq!(parse("today", "today", "Europe/Berlin"), Ok(berlin));
    }

    #[test]
    fn times_are_of_the_zone_unless_they_name_one() {
        let hour = Period { from: at("2026-01-31T13:00:00Z"), until: at("2026-01-31T14:00:00.500Z") };
        assert_eq!(parse("2026-01-31T14:00", "2026-01-31T15:00:00.5", "Europe/Berlin"), Ok(hour));
        assert_eq!(parse("2026-01-31T13:00Z", "2026-01-31T17:00:00.5+03:00", "Europe/Berlin"), Ok(hour));
        // Of a day to a time, and the other way.
        let morning = Period { from: at("2026-01-31T00:00:00Z"), until: at("2026-01-31T06:00:00Z") };
        assert_eq!(parse("2026-01-31", "2026-01-31T06:00", "UTC"), Ok(morning));
        assert!(hour.contains(hour.from) && !hour.contains(hour.until) && !hour.contains(None));
        assert!(Period::default().contains(None));
    }

    #[test]
    fn wrong_times_name_their_field() {
        for (since, until, field) in [
            ("2026-13-01", "", "since"),
            ("", "0d", "until"),
            ("", "ä-ä-ä-ä", "until"),
            ("2026-01-31T25:00", "", "since"),
            ("2026-01-31T14:00:00 01:00", "", "since"),
            ("T", "", "since"),
            ("", "99999-01-01T00:00Z", "until"),
            ("2026-02-01", "2026-01-01", "since"),
            ("2026-02-01T10:00", "2026-02-01T10:00", "since"),
        ] {
            let wrong = parse(since, until, "UTC").unwrap_err();
            assert!(wrong.starts_with(field), "{since} {until}: {wrong}");
        }
    }
}
