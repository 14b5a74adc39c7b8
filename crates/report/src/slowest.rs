//! In which quarter-hours the slowest calls are, told by the durations that roll-ups count.

use std::collections::{BTreeMap, BTreeSet};

use ducat_ledger::{BUCKET_MS, Durations, UnixMs};

/// How many slowest calls are shown.
pub const SLOWEST: usize = 20;

/// Where the last of them are as long as thousands of others (all that ran into one timeout), only so many quarter-hours are looked into for
/// them, the latest.
const MOST_QUARTER_HOURS: usize = 40;

/// The quarter-hours of the longest durations seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slowest {
    /// By the shortest duration of a class: how many calls, and when they began.
    classes: BTreeMap<u64, (i64, BTreeSet<UnixMs>)>,
    calls: i64,
}

impl Slowest {
    /// Sees the durations of calls that began in a quarter-hour, as stored.
    pub fn see(&mut self, began: UnixMs, durations: &[u8]) {
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
            if times.len() > MOST_QUARTER_HOURS {
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

    /// The quarter-hours, from inclusive to exclusive, and how long in milliseconds a call of them must have taken.
    pub fn places(&self) -> Vec<((UnixMs, UnixMs), u64)> {
        let Some((least, _)) = self.classes.first_key_value() else { return Vec::new() };
        let times: BTreeSet<UnixMs> = self.classes.values().flat_map(|(_, times)| times.iter().copied()).collect();
        times.into_iter().map(|began| ((began, began.saturating_add(BUCKET_MS)), *least)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_slowest_is_looked_into() {
        let mut slowest = Slowest::default();
        for quarter in 0..1000_i64 {
            let mut durations = Durations::default();
            (0..30).for_each(|call| durations.add(&Durations::one(call + u64::from(quarter % 100 == 7) * 5_000)));
            slowest.see(quarter * BUCKET_MS, &durations.to_bytes());
        }
        let places = slowest.places();
        assert!(places.iter().all(|((from, until), _)| (from / BUCKET_MS) % 100 == 7 && until - from == BUCKET_MS), "{places:?}");
        assert!((1..=10).contains(&places.len()));
        assert!(places.iter().all(|(_, least)| *least <= 5_029 && *least > 4_500));
    }

    #[test]
    fn of_equals_the_latest_quarter_hours_are_looked_into() {
        let mut slowest = Slowest::default();
        (0..500).for_each(|quarter| slowest.see(quarter * BUCKET_MS, &Durations::one(120_000).to_bytes()));
        let places = slowest.places();
        assert_eq!(places.len(), MOST_QUARTER_HOURS);
        assert_eq!(places.last().unwrap().0.1, 500 * BUCKET_MS);
    }
}
