//! Roll-ups by quarter-hour and by day of UTC: a long range is read as days, and quarter-hours before and after them.

use std::ops::Range;

use ducat_ledger::{BUCKET_MS, UnixMs};

use crate::rows::UNDATED;

/// Quarter-hours of a day of UTC.
pub(crate) const DAY: i64 = 86_400_000 / BUCKET_MS;

/// The buckets that sum what is of a quarter-hour: itself and, where it is one, its day. With their length in quarter-hours.
pub(crate) fn buckets_of(quarter: i64) -> impl Iterator<Item = (i64, i64)> {
    let is_dated = quarter != UNDATED;
    [(1, quarter)].into_iter().chain(is_dated.then_some((DAY, quarter.div_euclid(DAY))))
}

/// When a bucket begins and ends; none for what tells no time.
pub(crate) fn times(span: i64, bucket: i64) -> Option<(UnixMs, UnixMs)> {
    let at = |bucket: i64| bucket.saturating_mul(span).saturating_mul(BUCKET_MS);
    (bucket != UNDATED).then(|| (at(bucket), at(bucket.saturating_add(1))))
}

/// The buckets that sum a time from inclusive to exclusive, at quarter-hours: whole days and, before and after them, quarter-hours; of all time, what
/// told no time too.
pub(crate) fn parts((from, until): (Option<UnixMs>, Option<UnixMs>)) -> Vec<(i64, Range<i64>)> {
    let quarter = |at: Option<UnixMs>| at.map(|at| at.div_euclid(BUCKET_MS));
    let (from, until) = (quarter(from), quarter(until));
    // Further than any time is from 1970.
    let (first, end) = (UNDATED + 1, i64::MAX);
    if (from, until) == (None, None) {
        return vec![(1, UNDATED..first), (DAY, first..end)];
    }
    let (from, until) = (from.map(|from| from.max(first)), until.unwrap_or(end));
    let first_day = from.map_or(first, |from| from.div_euclid(DAY) + i64::from(from.rem_euclid(DAY) != 0));
    let end_day = until.div_euclid(DAY);
    if first_day >= end_day {
        return vec![(1, from.unwrap_or(first)..until)];
    }
    let before = from.map_or(0..0, |from| from..first_day.saturating_mul(DAY));
    vec![(1, before), (DAY, first_day..end_day), (1, end_day.saturating_mul(DAY)..until)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every quarter-hour of a range is in one of its parts, once, and no other is.
    #[test]
    fn parts_are_the_range() {
        for from in -2 * DAY..2 * DAY {
            for until in [from - 1, from, from + 1, from + 95, from + 96, from + 97, from + 191, from + 300] {
                let mut found = Vec::new();
                for (span, buckets) in parts((Some(from * BUCKET_MS), Some(until * BUCKET_MS))) {
                    found.extend(buckets.flat_map(|bucket| bucket * span..(bucket + 1) * span));
                }
                assert_eq!(found, (from..until).collect::<Vec<_>>());
            }
        }
    }
}
