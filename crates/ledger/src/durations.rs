//! Durations by class: how many fell near each length, so that percentiles come from sums.
//!
//! Classes are log-linear: a millisecond each below 32 ms, then sixteen to an octave. A duration is told as the middle of its class, which is at
//! most a 32nd (3.2 %) of it away. Sums of classes are sums of counts, so that what changed is taken out and put in, and any range of any
//! calls has its percentiles, which sums of percentiles have not.

/// Classes to an octave, as a power of two.
const SPLIT_BITS: u32 = 4;
/// Durations below it are classes of their own, in milliseconds.
const EXACT_BELOW: u64 = 2 << SPLIT_BITS;

/// That of the longest duration.
const LONGEST_CLASS: u16 = 975;

/// The class of a duration; the longer the duration, the higher the class.
fn class_of(duration_ms: u64) -> u16 {
    if duration_ms < EXACT_BELOW {
        return duration_ms as u16;
    }
    // At least 5, at most 63.
    let octave = duration_ms.ilog2();
    let part = (duration_ms >> (octave - SPLIT_BITS)) & ((1 << SPLIT_BITS) - 1);
    EXACT_BELOW as u16 + (((octave - SPLIT_BITS - 1) as u16) << SPLIT_BITS) + part as u16
}

/// The shortest duration of a class, and how many milliseconds the class is wide.
fn span_of(class: u16) -> (u64, u64) {
    let Some(above) = u64::from(class).checked_sub(EXACT_BELOW) else { return (u64::from(class), 1) };
    let (octave, part) = ((above >> SPLIT_BITS) as u32 + SPLIT_BITS + 1, above & ((1 << SPLIT_BITS) - 1));
    let width = 1 << (octave - SPLIT_BITS);
    (((1 << SPLIT_BITS) + part) * width, width)
}

/// Counts by class. Signed, as roll-ups are: a changed fact is taken out and put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// The class of the first count; 0 where there are none.
    first: u16,
    /// Those from the shortest to the longest that there is, of which neither is 0.
    counts: Vec<i64>,
}

impl Durations {
    /// One duration.
    pub fn one(duration_ms: u64) -> Self {
        Self { first: class_of(duration_ms), counts: vec![1] }
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Each class that has any, shortest first: the shortest duration of it in milliseconds, and how many there are.
    pub fn classes(&self) -> impl DoubleEndedIterator<Item = (u64, i64)> {
        self.by_class().map(|(class, count)| (span_of(class).0, count))
    }

    fn by_class(&self) -> impl DoubleEndedIterator<Item = (u16, i64)> {
        let last = self.first.saturating_add(self.counts.len() as u16);
        (self.first..last).zip(self.counts.iter().copied()).filter(|(_, count)| *count != 0)
    }

    fn change(&mut self, class: u16, by: i64) {
        if self.counts.is_empty() {
            self.first = class;
        } else if class < self.first {
            self.counts.splice(0..0, std::iter::repeat_n(0, usize::from(self.first - class)));
            self.first = class;
        }
        let place = usize::from(class - self.first);
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] = self.counts[place].saturating_add(by);
    }

    /// Drops what is 0 at the ends.
    fn trim(&mut self) {
        while self.counts.last() == Some(&0) {
            self.counts.pop();
        }
        let zeros = self.counts.iter().take_while(|count| **count == 0).count();
        self.counts.drain(..zeros);
        self.first = if self.counts.is_empty() { 0 } else { self.first + zeros as u16 };
    }

    pub fn add(&mut self, other: &Self) {
        other.by_class().for_each(|(class, count)| self.change(class, count));
        self.trim();
    }

    pub fn subtract(&mut self, other: &Self) {
        other.by_class().for_each(|(class, count)| self.change(class, count.saturating_neg()));
        self.trim();
    }

    /// The nearest-rank percentile in milliseconds, at most a 32nd away from that of the durations themselves; none where there are none.
    /// `percent` is from 1 to 100.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let count = u128::try_from(self.count()).unwrap_or(0);
        let rank = (count * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0_u128;
        let (class, _) = self.by_class().find(|(_, count)| {
            seen += u128::try_from(*count).unwrap_or(0);
            seen >= rank
        })?;
        let (shortest, width) = span_of(class);
        Some(shortest.saturating_add((width - 1) / 2))
    }

    /// As stored: each class and its count, both as LEB128, the shortest first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (class, count) in self.by_class() {
            put(&mut bytes, u64::from(class));
            // The bits are what counts; in a roll-up that is stored none is negative.
            put(&mut bytes, count as u64);
        }
        bytes
    }

    /// Adds what [`Durations::to_bytes`] made; what is cut off or no class adds nothing.
    pub fn add_bytes(&mut self, mut bytes: &[u8]) {
        while let Some((class, count)) = take_class(&mut bytes) {
            self.change(class, count);
        }
        self.trim();
    }

    /// The shortest duration of the longest class of such bytes.
    pub fn longest_of(mut bytes: &[u8]) -> Option<u64> {
        let mut longest = None;
        while let Some((class, _)) = take_class(&mut bytes) {
            longest = Some(span_of(class).0);
        }
        longest
    }
}

fn take_class(bytes: &mut &[u8]) -> Option<(u16, i64)> {
    let (class, count) = take(bytes).zip(take(bytes))?;
    let class = u16::try_from(class).ok().filter(|class| *class <= LONGEST_CLASS)?;
    Some((class, count as i64))
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From milliseconds to more than is believed, each octave alike.
    fn duration() -> impl Strategy<Value = u64> {
        (0_u32..64, any::<u64>()).prop_map(|(bits, number)| number >> bits)
    }

    fn sum(durations: &[u64]) -> Durations {
        let mut sum = Durations::default();
        durations.iter().for_each(|duration| sum.add(&Durations::one(*duration)));
        sum
    }

    #[test]
    fn classes_cover_all_lengths_without_a_gap() {
        let mut next = 0;
        for class in 0..=LONGEST_CLASS {
            let (shortest, width) = span_of(class);
            assert_eq!(shortest, next);
            assert_eq!((class_of(shortest), class_of(shortest + (width - 1))), (class, class));
            next = shortest.wrapping_add(width);
        }
        assert_eq!(next, 0, "the last class ends with the longest duration");
    }

    #[test]
    fn of_none_there_is_no_percentile() {
        assert_eq!(Durations::default().percentile(50), None);
        assert_eq!(Durations::one(7).percentile(99), Some(7));
    }

    proptest! {
        #[test]
        fn percentiles_are_within_a_32nd_of_the_exact(mut durations in prop::collection::vec(duration(), 1..300), percent in 1_u8..=100) {
            let classed = sum(&durations);
            durations.sort_unstable();
            let exact = durations[(durations.len() * usize::from(percent)).div_ceil(100) - 1];
            let told = classed.percentile(percent).unwrap();
            prop_assert!(u128::from(told.abs_diff(exact)) * 32 <= u128::from(exact), "{told} for {exact}");
            prop_assert_eq!(classed.count(), durations.len() as i64);
        }

        #[test]
        fn what_is_taken_out_leaves_the_rest(kept in prop::collection::vec(duration(), 0..40), gone in prop::collection::vec(duration(), 0..40)) {
            let mut all = sum(&[kept.clone(), gone.clone()].concat());
            all.subtract(&sum(&gone));
            prop_assert_eq!(&all, &sum(&kept));
            prop_assert_eq!(Durations::longest_of(&all.to_bytes()), all.classes().last().map(|(shortest, _)| shortest));
            let mut read = Durations::default();
            read.add_bytes(&all.to_bytes());
            prop_assert_eq!(read, all);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut read = Durations::default();
            read.add_bytes(&bytes);
            for percent in [1, 50, 100] {
                let _ = (read.percentile(percent), Durations::longest_of(&bytes));
            }
        }
    }
}
