//! Which local day, week and month a time falls into.

use std::cell::Cell;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Offsets from UTC are multiples of 15 minutes in every zone since 1972, so all times of a quarter-hour share a day.
pub(crate) const QUARTER_HOUR_MS: i64 = 15 * 60 * 1000;
const YEAR_1972_MS: i64 = 63_072_000_000;

/// Cuts time into the days of one zone.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    /// The quarter-hour asked last and its day: requests come in runs.
    last: Cell<Option<(i64, Date)>>,
}

impl Calendar {
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, last: Cell::new(None) }
    }

    /// The local date of a time; times beyond what a calendar can hold are clamped to its ends.
    pub fn date(&self, at_ms: i64) -> Date {
        let quarter = at_ms.div_euclid(QUARTER_HOUR_MS);
        if let Some((known, date)) = self.last.get()
            && known == quarter
            && at_ms >= YEAR_1972_MS
        {
            return date;
        }
        let date = self.zone.to_datetime(clamped(at_ms)).date();
        self.last.set(Some((quarter, date)));
        date
    }

    /// When the local hour, or part of one, that a time falls into began, and the zone's distance from UTC then, in seconds. Where clocks are
    /// set by less than an hour, the time may lie before they were.
    pub fn part_of_day(&self, at_ms: i64, length_ms: i64) -> (i64, i32) {
        let at = clamped(at_ms);
        let offset = self.zone.to_offset(at).seconds();
        let at_ms = at.as_millisecond();
        (at_ms - (at_ms + i64::from(offset) * 1000).rem_euclid(length_ms), offset)
    }

    /// Such a time, `2026-01-31T14:00:00+01:00`.
    pub fn written(start_ms: i64, offset: i32) -> String {
        let zone = Offset::from_seconds(offset).unwrap_or(Offset::UTC);
        clamped(start_ms).display_with_offset(zone).to_string()
    }

    /// The first millisecond of a local date.
    pub fn start_of(&self, date: Date) -> i64 {
        let midnight = date.to_zoned_datetime(self.zone.clone());
        midnight.and_then(|midnight| midnight.start_of_day()).map_or(i64::MIN, |start| start.timestamp().as_millisecond())
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

    #[test]
    fn hours_are_cut_in_the_zone_and_a_repeated_one_is_two() {
        let hours = |zone: &str, first: &str, quarters: i64| {
            let (calendar, first) = (Calendar::new(TimeZone::get(zone).unwrap()), first.parse::<Timestamp>().unwrap());
            let mut names: Vec<String> = (0..quarters)
                .map(|quarter| calendar.part_of_day(first.as_millisecond() + quarter * QUARTER_HOUR_MS, 4 * QUARTER_HOUR_MS))
                .map(|(start, offset)| Calendar::written(start, offset))
                .collect();
            names.dedup();
            names
        };
        assert_eq!(
            hours("Asia/Kathmandu", "2026-01-05T18:00:00Z", 5),
            ["2026-01-05T23:00:00+05:45", "2026-01-06T00:00:00+05:45"]
        );
        let autumn =
            ["2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"];
        assert_eq!(hours("Europe/Berlin", "2026-10-24T23:00:00Z", 16), autumn);
        // Half an hour is repeated.
        let island = ["2026-04-05T01:00:00+11:00", "2026-04-05T01:00:00+10:30", "2026-04-05T02:00:00+10:30"];
        assert_eq!(hours("Australia/Lord_Howe", "2026-04-04T14:00:00Z", 8), island);
    }

    #[test]
    fn absurd_times_are_clamped() {
        let utc = Calendar::new(TimeZone::UTC);
        assert_eq!(utc.date(i64::MAX).to_string(), "9999-12-30");
        assert!(utc.date(i64::MIN).year() < 0);
    }

    #[test]
    fn weeks_start_on_monday() {
        let sunday: Date = "2026-01-11".parse().unwrap();
        assert_eq!(Calendar::week(sunday).to_string(), "2026-01-05");
    }
}
