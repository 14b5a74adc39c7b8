//! What the questions about durations have in common.

use std::collections::HashMap;

use ducat_ledger::{BUCKET_MS, Durations, UnixMs};
use jiff::Timestamp;
use serde_json::Value;

use crate::{AskedPeriod, Filters, Groups, Names, QueryError, Settings};

/// When, and under which names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Where {
    /// From inclusive to exclusive, at quarter-hours.
    pub range: (Option<UnixMs>, Option<UnixMs>),
    filters: Filters,
    groups: Groups,
    /// The group of each project seen: patterns are tried once a project.
    grouped: HashMap<String, Option<String>>,
}

impl Where {
    /// Reads the period and those `filters`; all other pairs are `own`'s.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        filters: &[&str],
        now: Timestamp,
        settings: &Settings,
        mut own: impl FnMut(&'a str, &'a str) -> Result<(), QueryError>,
    ) -> Result<Self, QueryError> {
        let mut asked = Self { groups: settings.groups.clone(), ..Self::default() };
        let mut period = AskedPeriod::default();
        for (name, value) in pairs {
            let is_taken = period.take(name, value) || (filters.contains(&name) && asked.filters.take(name, value)?);
            if !is_taken {
                own(name, value)?;
            }
        }
        asked.filters.check(&asked.groups)?;
        asked.range = quarter_hours(period.period(now)?.range());
        Ok(asked)
    }

    /// Whether it asks for what is under these names; their group is looked up.
    pub fn asks_for(&mut self, names: Names<'_>) -> bool {
        let group = match names.project.filter(|_| self.filters.group.is_some()) {
            Some(project) if !self.grouped.contains_key(project) => {
                let group = self.groups.name_of(Some(project)).map(str::to_owned);
                self.grouped.entry(project.to_owned()).or_insert(group).as_deref()
            }
            Some(project) => self.grouped.get(project).and_then(Option::as_deref),
            None => None,
        };
        self.filters.matches(&Names { group, ..names })
    }
}

/// A range rounded outward to the quarter-hours that roll-ups are of.
pub(crate) fn quarter_hours((from, until): (Option<UnixMs>, Option<UnixMs>)) -> (Option<UnixMs>, Option<UnixMs>) {
    let down = |at: UnixMs| at.saturating_sub(at.rem_euclid(BUCKET_MS));
    (from.map(down), until.map(|until| down(until.saturating_add(BUCKET_MS - 1))))
}

/// The 50th, 95th and 99th in milliseconds; null where nothing was timed.
pub(crate) fn percentiles(durations: &Durations) -> [Value; 3] {
    [50, 95, 99].map(|percent| durations.percentile(percent).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_rounded_outward() {
        assert_eq!(quarter_hours((Some(BUCKET_MS - 1), Some(BUCKET_MS + 1))), (Some(0), Some(2 * BUCKET_MS)));
        assert_eq!(quarter_hours((Some(-1), Some(0))), (Some(-BUCKET_MS), Some(0)));
        assert_eq!(quarter_hours((Some(UnixMs::MIN), None)), (Some(UnixMs::MIN), None));
        assert!(quarter_hours((None, Some(UnixMs::MAX))).1.unwrap() > UnixMs::MAX - BUCKET_MS);
    }
}
