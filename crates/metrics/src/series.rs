//! Series and their values: what is exposed, and what a commit adds to it.

use std::collections::HashMap;

use ducat_ledger::UnixMs;

use crate::Family;

/// A series of a tenant: its family and the values of its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    pub tenant: u32,
    pub family: Family,
    /// The values in the order of the family's labels, with [`SeriesKey::SEPARATOR`] between them.
    pub joined: String,
}

impl SeriesKey {
    pub const SEPARATOR: char = '\u{1f}';

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.joined.split(Self::SEPARATOR)
    }
}

/// The session that last moved a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    pub session: String,
    /// In the family's stored unit.
    pub value: u64,
    pub at: UnixMs,
}

/// A series as it is kept: a counter's value, or a histogram's sum and the counts of its buckets (not cumulative), the infinite one last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: SeriesKey,
    pub created_at: UnixMs,
    pub values: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub created_at: UnixMs,
    pub values: Vec<u64>,
    pub exemplar: Option<Exemplar>,
}

/// All series, as they are exposed.
#[derive(Clone, Debug, Default)]
pub struct Series(HashMap<SeriesKey, Cell>);

impl Series {
    pub fn restore(&mut self, row: Row) {
        self.0.insert(row.key, Cell { created_at: row.created_at, values: row.values, exemplar: None });
    }

    /// The rows as they will be after these increments.
    pub fn after(&self, increments: &Increments, now: UnixMs) -> Vec<Row> {
        let row = |(key, added): (&SeriesKey, &Added)| {
            let known = self.0.get(key);
            let mut values = known.map(|cell| cell.values.clone()).unwrap_or_default();
            add(&mut values, &added.values);
            Row { key: key.clone(), created_at: known.map_or(now, |cell| cell.created_at), values }
        };
        increments.0.iter().map(row).collect()
    }

    /// Takes the increments in; they are committed.
    pub fn apply(&mut self, increments: Increments, now: UnixMs) {
        for (key, added) in increments.0 {
            let cell = self.0.entry(key).or_insert_with(|| Cell { created_at: now, ..Cell::default() });
            add(&mut cell.values, &added.values);
            if added.exemplar.is_some() {
                cell.exemplar = added.exemplar;
            }
        }
    }

    /// The series of a tenant and family, sorted by the values of their labels.
    pub(crate) fn of(&self, tenant: u32, family: Family) -> Vec<(&SeriesKey, &Cell)> {
        let mut found: Vec<_> = self.0.iter().filter(|(key, _)| key.tenant == tenant && key.family == family).collect();
        found.sort_unstable_by_key(|(key, _)| *key);
        found
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Values of a counter, or a histogram's sum and buckets; nothing when the series never moved.
    pub fn values(&self, key: &SeriesKey) -> &[u64] {
        self.0.get(key).map_or(&[], |cell| &cell.values)
    }

    /// Labels and first value (a counter's own, a histogram's sum) and number of observations of a family's series.
    pub fn sums(&self, tenant: u32, family: Family) -> Vec<(Vec<String>, u64, u64)> {
        let sum = |(key, cell): (&SeriesKey, &Cell)| {
            let count = cell.values.iter().skip(1).sum();
            (key.values().map(str::to_owned).collect(), cell.values.first().copied().unwrap_or(0), count)
        };
        self.of(tenant, family).into_iter().map(sum).collect()
    }
}

fn add(values: &mut Vec<u64>, added: &[u64]) {
    values.resize(values.len().max(added.len()), 0);
    values.iter_mut().zip(added).for_each(|(value, added)| *value = value.saturating_add(*added));
}

#[derive(Clone, Debug, Default)]
struct Added {
    values: Vec<u64>,
    exemplar: Option<Exemplar>,
}

/// What a commit adds.
#[derive(Clone, Debug, Default)]
pub struct Increments(HashMap<SeriesKey, Added>);

impl Increments {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn count(&mut self, key: SeriesKey, by: u64, exemplar: Option<Exemplar>) {
        let added = self.0.entry(key).or_default();
        add(&mut added.values, &[by]);
        if exemplar.is_some() {
            added.exemplar = exemplar;
        }
    }

    pub(crate) fn observe(&mut self, key: SeriesKey, value: u64, exemplar: Option<Exemplar>) {
        let bounds = key.family.bounds();
        let bucket = bounds.partition_point(|bound| *bound < value);
        let added = self.0.entry(key).or_default();
        added.values.resize(bounds.len() + 2, 0);
        added.values[0] = added.values[0].saturating_add(value);
        added.values[bucket + 1] += 1;
        if exemplar.is_some() {
            added.exemplar = exemplar;
        }
    }
}
