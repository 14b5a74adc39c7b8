//! How far cumulative counters came: one that falls without a new start is at fault.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use ducat_ledger::{Key, KeySpace};

/// Streams that are remembered; the oldest is forgotten first.
const MOST_STREAMS: usize = 16_384;

/// What came in since the server started. Whatever is told late or again is no fault.
#[derive(Default)]
pub(super) struct Counters(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The largest value, and the first time it was told, in nanoseconds.
    largest: BTreeMap<Key, (u64, u64)>,
    order: VecDeque<Key>,
}

impl Counters {
    /// Takes note of a value of one stream since one start; why it is not believed, where it is less than what was told of a time before.
    pub fn note(&self, stream: &str, nanos: u64, value: u64) -> Result<(), String> {
        let known = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key::of(KeySpace::Request, "counter", stream);
        let Some((largest, at)) = known.largest.get_mut(&key) else {
            if known.largest.len() >= MOST_STREAMS
                && let Some(oldest) = known.order.pop_front()
            {
                known.largest.remove(&oldest);
            }
            known.largest.insert(key, (value, nanos));
            known.order.push_back(key);
            return Ok(());
        };
        if value < *largest && nanos > *at {
            return Err(format!("value: fell from {largest} to {value} without a new start; it is not counted"));
        }
        if value > *largest {
            (*largest, *at) = (value, nanos);
        } else if value == *largest {
            *at = nanos.min(*at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_less_at_a_later_time_is_a_fall() {
        let counters = Counters::default();
        for (nanos, value, is_fall) in
            [(2, 50, false), (1, 20, false), (2, 50, false), (3, 50, false), (4, 49, true), (5, 60, false), (6, 59, true)]
        {
            assert_eq!(counters.note("a", nanos, value).is_err(), is_fall, "{nanos} {value}");
        }
        assert!(counters.note("b", 9, 1).is_ok());
        (0..MOST_STREAMS).for_each(|stream| counters.note(&stream.to_string(), 1, 1).unwrap());
        assert_eq!(counters.0.lock().unwrap().largest.len(), MOST_STREAMS);
    }
}
