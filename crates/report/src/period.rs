//! Which stretch of time is asked for.

use ducat_ledger::UnixMs;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::{Calendar, QueryError};

/// A stretch of time, and the zone that its days are of. Exact to the millisecond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    pub timezone: TimeZone,
    since: Option<UnixMs>,
    until: Option<UnixMs>,
}

/// The words of a query that tell its period.
#[derive(Clone, Copy, Debug, Default)]
pub struct AskedPeriod<'a> {
    since: Option<&'a str>,
    until: Option<&'a str>,
    timezone: Option<&'a str>,
}

impl<'a> AskedPeriod<'a> {
    /// Takes a parameter if it is `since`, `until` or `timezone`, and says whether it is.
    pub fn take(&mut self, name: &str, value: &'a str) -> bool {
        *match name {
            "since" => &mut self.since,
            "until" => &mut self.until,
            "timezone" => &mut self.timezone,
            _ => return false,
        } = Some(value);
        true
    }

    /// The period, in UTC unless a zone was told. Relative days count back from `now` in it. `since` is inclusive; `until` is too where it
    /// is a day, and exclusive where it is a time.
    pub fn period(&self, now: Timestamp) -> Result<Period, QueryError> {
        let timezone = self.timezone.map(parse_timezone).transpose()?.unwrap_or(TimeZone::UTC);
        let read = |field, value: Option<&str>| value.map(|value| Bound::parse(field, value, &timezone, now)).transpose();
        let since = read("since", self.since)?.map(|since| match since {
            Bound::Day(day) => start_of(&timezone, day),
            Bound::Time(at) => at,
        });
        let until = read("until", self.until)?.map(|until| match until {
            Bound::Day(day) => day.tomorrow().map_or(UnixMs::MAX, |end| start_of(&timezone, end)),
            Bound::Time(at) => at,
        });
        if since.zip(until).is_some_and(|(since, until)| since >= until) {
            let told = |value: Option<&str>| value.unwrap_or_default().to_owned();
            return Err(QueryError::Backwards { since: told(self.since), until: told(self.until) });
        }
        Ok(Period { timezone, since, until })
    }
}

impl Default for Period {
    /// All time, in UTC.
    fn default() -> Self {
        Self { timezone: TimeZone::UTC, since: None, until: None }
    }
}

impl Period {
    /// One local day.
    pub fn day(timezone: TimeZone, day: Date) -> Self {
        let end = day.tomorrow().map_or(UnixMs::MAX, |end| start_of(&timezone, end));
        Self { since: Some(start_of(&timezone, day)), until: Some(end), timezone }
    }

    /// From inclusive to exclusive, in milliseconds.
    pub fn range(&self) -> (Option<UnixMs>, Option<UnixMs>) {
        (self.since, self.until)
    }

    /// Whether a time is in it; what tells no time is in all time only.
    pub fn holds(&self, at: Option<UnixMs>) -> bool {
        is_within(self.range(), at)
    }
}

/// Whether a time is in a range, from inclusive to exclusive.
pub(crate) fn is_within((since, until): (Option<UnixMs>, Option<UnixMs>), at: Option<UnixMs>) -> bool {
    match at {
        Some(at) => since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until),
        None => since.is_none() && until.is_none(),
    }
}

/// Where a period begins or ends.
enum Bound {
    Day(Date),
    Time(UnixMs),
}

const WANTED_BOUND: &str = "day or time; write 2026-01-31, 20260131, today, yesterday, 7d (the last seven days), 2026-01-31T14:00 (in the time zone) or 2026-01-31T14:00:00Z";

impl Bound {
    fn parse(field: &'static str, value: &str, timezone: &TimeZone, now: Timestamp) -> Result<Self, QueryError> {
        let wrong = || QueryError::Value { field, value: value.to_owned(), wanted: WANTED_BOUND };
        if !value.contains(['T', 't', ':']) || value == "today" || value == "yesterday" {
            let today = timezone.to_datetime(now).date();
            return parse_day(value, today).map(Self::Day).ok_or_else(wrong);
        }
        let at = match value.parse::<Timestamp>() {
            Ok(at) => at,
            // Of an hour that comes twice the first is meant; in one that is left out, the clock's next.
            Err(_) => value
                .parse::<DateTime>()
                .and_then(|local| timezone.to_ambiguous_timestamp(local).compatible())
                .map_err(|_| wrong())?,
        };
        // What is asked for tells whole milliseconds: a part of one begins with the next.
        let ms = at.as_nanosecond().saturating_add(999_999).div_euclid(1_000_000);
        UnixMs::try_from(ms).map(Self::Time).map_err(|_| wrong())
    }
}

fn start_of(timezone: &TimeZone, day: Date) -> UnixMs {
    Calendar::new(timezone.clone()).start_of(day)
}

/// An IANA name, `UTC`, `local` or `system`.
pub fn parse_timezone(value: &str) -> Result<TimeZone, QueryError> {
    match value {
        "UTC" | "utc" | "Z" => Ok(TimeZone::UTC),
        "local" | "system" => Ok(TimeZone::system()),
        name => TimeZone::get(name).map_err(|_| QueryError::Value {
            field: "timezone",
            value: name.to_owned(),
            wanted: "time zone; try UTC, local or a name like Europe/Berlin",
        }),
    }
}

/// `2026-01-31`, `20260131`, `today`, `yesterday`, `7d` (seven days with today).
pub(crate) fn parse_day(value: &str, today: Date) -> Option<Date> {
    let back = |days: i64| today.checked_sub(days.days()).ok();
    match value {
        "today" => return Some(today),
        "yesterday" => return back(1),
        _ => {}
    }
    if let Some(days) = value.strip_suffix('d') {
        let days: i64 = days.parse().ok()?;
        return if (1..=100_000).contains(&days) { back(days - 1) } else { None };
    }
    let digits = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit());
    let dashed = value.len() == 10 && value.is_char_boundary(4) && value.as_bytes()[4] == b'-';
    if digits || dashed { value.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(since: Option<&str>, until: Option<&str>, timezone: &str) -> Result<Period, QueryError> {
        AskedPeriod { since, until, timezone: Some(timezone) }.period("2026-11-24T23:30:00Z".parse().unwrap())
    }

    fn since(value: &str, timezone: &str) -> String {
        let at = period(Some(value), None, timezone).unwrap().range().0.unwrap();
        Timestamp::from_millisecond(at).unwrap().to_string()
    }

    fn until(value: &str, timezone: &str) -> String {
        let at = period(None, Some(value), timezone).unwrap().range().1.unwrap();
        Timestamp::from_millisecond(at).unwrap().to_string()
    }

    #[test]
    fn days_in_every_form() {
        for (value, day) in [
            ("2026-01-31", "2026-01-31"),
            ("20260131", "2026-01-31"),
            ("today", "2026-11-24"),
            ("yesterday", "2026-11-23"),
            ("7d", "2026-11-18"),
        ] {
            assert_eq!(since(value, "UTC"), format!("{day}T00:00:00Z"), "{value}");
        }
        assert_eq!(since("today", "Europe/Berlin"), "2026-11-24T23:00:00Z");
        assert_eq!(until("today", "Europe/Berlin"), "2026-11-25T23:00:00Z", "the day is in it");
    }

    #[test]
    fn times_in_every_form() {
        for (value, timezone, at) in [
            ("2026-11-25T14:00:00Z", "Asia/Kathmandu", "2026-11-25T14:00:00Z"),
            ("2026-11-25T14:00:00+05:45", "UTC", "2026-11-25T08:15:00Z"),
            ("2026-11-25T14:00:00.5Z", "UTC", "2026-11-25T14:00:00.5Z"),
            ("2026-11-25T14:00:00.0000001Z", "UTC", "2026-11-25T14:00:00.001Z"),
            ("1969-12-31T23:59:59.9999Z", "UTC", "1970-01-01T00:00:00Z"),
            ("2026-11-25T14:00", "Asia/Kathmandu", "2026-11-25T08:15:00Z"),
            ("2026-11-25 14:00:30", "UTC", "2026-11-25T14:00:30Z"),
            ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z"),
            ("2026-10-25T02:30+01:00", "Europe/Berlin", "2026-10-25T01:30:00Z"),
            ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30:00Z"),
        ] {
            assert_eq!(since(value, timezone), at, "{value} in {timezone}");
            assert_eq!(until(value, timezone), at, "{value} in {timezone}");
        }
    }

    #[test]
    fn what_it_holds_is_exact_to_the_millisecond() {
        let hour = period(Some("2026-11-25T14:00"), Some("2026-11-25T15:00"), "UTC").unwrap();
        let (from, to) = (1_795_615_200_000, 1_795_618_800_000);
        assert_eq!(hour.range(), (Some(from), Some(to)));
        assert_eq!([from - 1, from, to - 1, to].map(|at| hour.holds(Some(at))), [false, true, true, false]);
        assert!(!hour.holds(None) && Period::default().holds(None));
        assert!(!period(None, Some("9999-12-31"), "UTC").unwrap().holds(None));
        assert!(period(None, Some("9999-12-30"), "UTC").unwrap().holds(Some(from)));
        let day = Period::day(TimeZone::get("Europe/Berlin").unwrap(), "2026-10-25".parse().unwrap());
        assert_eq!(Ok(day), period(Some("2026-10-25"), Some("2026-10-25"), "Europe/Berlin"));
    }

    #[test]
    fn wrong_ones_name_their_field() {
        for value in [
            "",
            "2026-13-01",
            "0d",
            "d",
            "ä-ä-ä-ä",
            "T",
            "T14:00",
            "14:00",
            "2026-11-25T",
            "2026-11-25T25:00",
            "2026-11-25T14:00:00 01:00",
            "99999-01-01T00:00Z",
            "-9999-01-01T00:00",
        ] {
            for (field, wrong) in
                [("since", period(Some(value), None, "Asia/Tokyo")), ("until", period(None, Some(value), "Asia/Tokyo"))]
            {
                let wrong = wrong.map(|found| found.range()).unwrap_err().to_string();
                assert!(wrong.starts_with(&format!("{field}: {value:?} is no day or time")), "{wrong}");
            }
        }
        for (since, until) in
            [("2026-02-01", "2026-01-01"), ("2026-01-01T10:00", "2026-01-01T10:00"), ("2026-01-02", "2026-01-01T12:00")]
        {
            let wrong = period(Some(since), Some(until), "UTC").unwrap_err().to_string();
            assert_eq!(wrong, format!("since: {since} is not before until: {until}"));
        }
        assert!(period(None, None, "Mars/Base").unwrap_err().to_string().starts_with("timezone: "));
    }
}
