//! In which quarter-hours or days the slowest calls are, told by the durations that roll-ups count.

use std::collections::{BTreeMap, BTreeSet};

use ducat_ledger::{Durations, UnixMs};

/// From inclusive to exclusive.
type Times = (UnixMs, UnixMs);

/// How many slowest calls are shown.
pub const SLOWEST: usize = 20;

/// Where the last of them are as long as thousands of others (all that ran into one timeout), only so many quarter-hours or days are looked into for
/// them, the latest. The latest quarter-hours of a class are in as many latest days of it, so that whoever looks into days first finds the same.
const MOST_PLACES: usize = 40;

/// The times of the longest durations seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slowest {
    /// By the shortest duration of a class: how many calls, and the times of their rows.
    classes: BTreeMap<u64, (i64, BTreeSet<Times>)>,
    calls: i64,
}

impl Slowest {
    /// Sees the durations of calls that began in a time, as stored.
    pub fn see(&mut self, began: Times, durations: &[u8]) {
        // Most have none that is long enough.
        if Durations::longest_of(durations).is_none_or(|longest| self.is_short(longest)) {
            return;
        }
        let mut read = Durations::default();
        read.add_bytes(durations);
        for (shortest, count) in read.classes().rev() {
            if self.is_short(shortest) {
                break;
            }
            self.calls = self.calls.saturating_add(count);
            let (calls, times) = self.classes.entry(shortest).or_default();
            *calls = calls.saturating_add(count);
            times.insert(began);
            if times.len() > MOST_PLACES {
                times.pop_first();
            }
        }
        while let Some(least) = self.classes.first_entry()
            && self.calls - least.get().0 >= SLOWEST as i64
        {
            self.calls -= least.remove().0;
        }
    }

    fn is_short(&self, duration_ms: u64) -> bool {
        self.calls >= SLOWEST as i64 && self.classes.first_key_value().is_some_and(|(least, _)| duration_ms < *least)
    }

    /// The times, and how long in milliseconds a call of them must have taken.
    pub fn places(&self) -> Vec<(Times, u64)> {
        let Some((least, _)) = self.classes.first_key_value() else { return Vec::new() };
        let times: BTreeSet<Times> = self.classes.values().flat_map(|(_, times)| times.iter().copied()).collect();
        times.into_iter().map(|times| (times, *least)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ducat_ledger::BUCKET_MS;

    use super::*;

    fn times(quarter: i64) -> Times {
        (quarter * BUCKET_MS, (quarter + 1) * BUCKET_MS)
    }

    #[test]
    fn only_what_has_the_slowest_is_looked_into() {
        let mut slowest = Slowest::default();
        for quarter in 0..1000_i64 {
            let mut durations = Durations::default();
            (0..30).for_each(|call| durations.add(&Durations::one(call + u64::from(quarter % 100 == 7) * 5_000)));
            slowest.see(times(quarter), &durations.to_bytes());
        }
        let places = slowest.places();
        assert!(places.iter().all(|((from, until), _)| (from / BUCKET_MS) % 100 == 7 && until - from == BUCKET_MS), "{places:?}");
        assert!((1..=10).contains(&places.len()));
        assert!(places.iter().all(|(_, least)| *least <= 5_029 && *least > 4_500));
    }

    #[test]
    fn of_equals_the_latest_quarter_hours_are_looked_into() {
        let mut slowest = Slowest::default();
        (0..500).for_each(|quarter| slowest.see(times(quarter), &Durations::one(120_000).to_bytes()));
        let places = slowest.places();
        assert_eq!(places.len(), MOST_PLACES);
        assert_eq!(places.last().unwrap().0.1, 500 * BUCKET_MS);
    }
}
