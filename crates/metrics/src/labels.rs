//! Values of labels, bounded: what a client can make up must not make up series without end.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{Family, SeriesKey};

/// Values of one label and tenant; later ones are `other`.
const MOST: usize = 200;
/// Bytes of a value; longer ones are cut.
const LONGEST: usize = 200;
pub const OTHER: &str = "other";
/// What nobody told.
pub const UNKNOWN: &str = "unknown";

/// The values known so far. Kept by whoever writes; made anew from the series at the start.
#[derive(Debug, Default)]
pub struct LabelValues {
    known: HashMap<(u32, &'static str), HashSet<String>>,
    overflows: BTreeMap<&'static str, u64>,
}

impl LabelValues {
    /// Takes the values of a stored series as known.
    pub fn restore(&mut self, key: &SeriesKey) {
        for (label, value) in key.family.labels().iter().zip(key.values()) {
            self.known.entry((key.tenant, label)).or_default().insert(value.to_owned());
        }
    }

    /// The value as it may stand in a series.
    pub fn bound<'v>(&mut self, tenant: u32, label: &'static str, value: &'v str) -> &'v str {
        let value = cut(value);
        if value.is_empty() {
            return UNKNOWN;
        }
        let known = self.known.entry((tenant, label)).or_default();
        if known.contains(value) {
            return value;
        }
        if known.len() >= MOST || value.contains(SeriesKey::SEPARATOR) {
            *self.overflows.entry(label).or_default() += 1;
            return OTHER;
        }
        known.insert(value.to_owned());
        value
    }

    /// The series of these values, in the order of the family's labels.
    pub fn series(&mut self, tenant: u32, family: Family, values: &[&str]) -> SeriesKey {
        debug_assert_eq!(values.len(), family.labels().len(), "{}", family.name());
        let mut joined = String::with_capacity(64);
        for (place, (label, value)) in family.labels().iter().zip(values).enumerate() {
            if place > 0 {
                joined.push(SeriesKey::SEPARATOR);
            }
            joined.push_str(self.bound(tenant, label, value));
        }
        SeriesKey { tenant, family, joined }
    }

    /// How often a value of a label was past the limit and counted as `other`.
    pub fn overflows(&self) -> &BTreeMap<&'static str, u64> {
        &self.overflows
    }
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(LONGEST);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_everything_new_is_other() {
        let mut values = LabelValues::default();
        for number in 0..MOST {
            let value = format!("v{number}");
            assert_eq!(values.bound(1, "user", &value), value);
        }
        assert_eq!(values.bound(1, "user", "one more"), OTHER);
        assert_eq!(values.bound(1, "user", "v3"), "v3");
        assert_eq!(values.bound(2, "user", "one more"), "one more", "each tenant has its own");
        assert_eq!(values.bound(1, "tool", ""), UNKNOWN);
        assert_eq!(values.bound(1, "tool", &"é".repeat(300)).len(), LONGEST);
        assert_eq!(values.bound(1, "tool", "a\u{1f}b"), OTHER);
        assert_eq!(values.overflows()["user"], 1);
    }
}
