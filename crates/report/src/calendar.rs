//! Which local hour, day, week and month a time falls into.

use std::cell::Cell;

use ducat_ledger::UnixMs;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Offsets from UTC are multiples of 15 minutes in every zone since 1972, so all times of a quarter-hour share a day and an hour.
const QUARTER_HOUR_MS: i64 = 15 * 60 * 1000;
const HOUR_MS: i64 = 4 * QUARTER_HOUR_MS;
const YEAR_1972_MS: i64 = 63_072_000_000;

/// Cuts time into the hours and days of one zone.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    /// The quarter-hour asked last, its day and its offset: requests come in runs.
    last: Cell<Option<(i64, Date, Offset)>>,
}

/// Where a local hour or a part of one begins. Ordered by time; an hour that comes twice is two, of different offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LocalTime {
    at_ms: i64,
    offset: Offset,
}

impl LocalTime {
    /// RFC 3339 with the zone's offset: `2026-11-25T14:00:00+01:00`.
    pub fn name(self) -> String {
        clamped(self.at_ms).display_with_offset(self.offset).to_string()
    }
}

impl Calendar {
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, last: Cell::new(None) }
    }

    /// The local date of a time; times beyond what a calendar can hold are clamped to its ends.
    pub fn date(&self, at_ms: i64) -> Date {
        self.local(at_ms).0
    }

    /// The local hour of a time. Where clocks are set by half an hour, as on Lord Howe, it is still the clock's hour that tells.
    pub(crate) fn hour(&self, at_ms: i64) -> LocalTime {
        self.cut(at_ms, HOUR_MS)
    }

    /// The local quarter-hour of a time.
    pub(crate) fn quarter_hour(&self, at_ms: i64) -> LocalTime {
        self.cut(at_ms, QUARTER_HOUR_MS)
    }

    fn cut(&self, at_ms: i64, length_ms: i64) -> LocalTime {
        let (_, offset) = self.local(at_ms);
        // RFC 3339 knows no seconds of an offset, as zones had them before 1972.
        let offset = if offset.seconds() % 60 == 0 { offset } else { Offset::UTC };
        let local = clamped(at_ms).as_millisecond() + i64::from(offset.seconds()) * 1000;
        LocalTime { at_ms: clamped(at_ms).as_millisecond() - local.rem_euclid(length_ms), offset }
    }

    fn local(&self, at_ms: i64) -> (Date, Offset) {
        let quarter = at_ms.div_euclid(QUARTER_HOUR_MS);
        if let Some((known, date, offset)) = self.last.get()
            && known == quarter
            && at_ms >= YEAR_1972_MS
        {
            return (date, offset);
        }
        let offset = self.zone.to_offset(clamped(at_ms));
        let date = offset.to_datetime(clamped(at_ms)).date();
        self.last.set(Some((quarter, date, offset)));
        (date, offset)
    }

    /// The first millisecond of a local date; the first or last of all beyond what a calendar can hold.
    pub fn start_of(&self, date: Date) -> i64 {
        let midnight = date.to_zoned_datetime(self.zone.clone());
        let beyond = if date.year() < 0 { i64::MIN } else { i64::MAX };
        midnight.and_then(|midnight| midnight.start_of_day()).map_or(beyond, |start| start.timestamp().as_millisecond())
    }

    /// The Monday of the date's week.
    pub fn week(date: Date) -> Date {
        date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).unwrap_or(date)
    }

    /// The first of the date's month.
    pub fn month(date: Date) -> Date {
        date.first_of_month()
    }
}

/// To the millisecond, `2026-01-05T18:20:00.123Z`; none for times that a calendar cannot hold.
pub fn rfc3339(at: UnixMs) -> Option<String> {
    Timestamp::from_millisecond(at).ok().map(|at| format!("{at:.3}"))
}

fn clamped(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or(if at_ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_cut_in_the_zone() {
        let utc = Calendar::new(TimeZone::UTC);
        let kathmandu = Calendar::new(TimeZone::get("Asia/Kathmandu").unwrap());
        let at = "2026-01-05T18:20:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(utc.date(at).to_string(), "2026-01-05");
        assert_eq!(kathmandu.date(at).to_string(), "2026-01-06");
        assert_eq!(kathmandu.date(at - 6 * 60 * 1000).to_string(), "2026-01-05");
    }

    fn names(zone: &str, cut: fn(&Calendar, i64) -> LocalTime, times: &[&str]) -> Vec<String> {
        let calendar = Calendar::new(TimeZone::get(zone).unwrap());
        let cut = |at: &&str| cut(&calendar, at.parse::<Timestamp>().unwrap().as_millisecond());
        let cut: Vec<LocalTime> = times.iter().map(cut).collect();
        assert!(cut.is_sorted(), "{cut:?}");
        cut.into_iter().map(LocalTime::name).collect()
    }

    #[test]
    fn hours_are_the_clocks() {
        assert_eq!(
            names("Asia/Kathmandu", Calendar::hour, &["2026-11-25T08:14:59.999Z", "2026-11-25T08:15:00Z"]),
            ["2026-11-25T13:00:00+05:45", "2026-11-25T14:00:00+05:45"]
        );
        assert_eq!(names("UTC", Calendar::quarter_hour, &["2026-11-25T08:44:59Z"]), ["2026-11-25T08:30:00+00:00"]);
        assert_eq!(names("UTC", Calendar::hour, &["1969-12-31T23:59:59.999Z"]), ["1969-12-31T23:00:00+00:00"]);
    }

    #[test]
    fn an_hour_that_comes_twice_is_two() {
        assert_eq!(
            names("Europe/Berlin", Calendar::hour, &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]),
            ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]
        );
        // Half an hour comes twice on Lord Howe, and in spring half an hour is left out.
        let autumn = ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T15:45:00Z"];
        assert_eq!(
            names("Australia/Lord_Howe", Calendar::hour, &autumn),
            ["2026-04-05T01:00:00+11:00", "2026-04-05T01:00:00+10:30", "2026-04-05T02:00:00+10:30"]
        );
        assert_eq!(
            names(
                "Australia/Lord_Howe",
                Calendar::hour,
                &["2026-10-03T15:15:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"]
            ),
            ["2026-10-04T01:00:00+10:30", "2026-10-04T02:00:00+11:00", "2026-10-04T03:00:00+11:00"]
        );
    }

    #[test]
    fn offsets_of_seconds_are_none() {
        assert_eq!(names("Africa/Monrovia", Calendar::hour, &["1971-06-01T10:50:00Z"]), ["1971-06-01T10:00:00+00:00"]);
    }

    #[test]
    fn absurd_times_are_clamped() {
        let utc = Calendar::new(TimeZone::UTC);
        assert_eq!(utc.date(i64::MAX).to_string(), "9999-12-30");
        assert!(utc.date(i64::MIN).year() < 0);
        for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue"] {
            let calendar = Calendar::new(TimeZone::get(zone).unwrap());
            assert!(calendar.hour(i64::MIN) < calendar.quarter_hour(i64::MAX), "{zone}");
            assert!(calendar.hour(i64::MAX).name().starts_with("9999-12-3"), "{zone}");
        }
    }

    #[test]
    fn weeks_start_on_monday() {
        let sunday: Date = "2026-01-11".parse().unwrap();
        assert_eq!(Calendar::week(sunday).to_string(), "2026-01-05");
    }
}
