//! Sums by quarter-hour and names in memory: what reports over years read instead of tables.
//!
//! A text stands once, a combination of names once, and a row is its bucket, its combination's number and its sums. Rows lie in chunks
//! of neighbouring buckets, which readers share with the writer: it copies a chunk that one is reading, and nobody waits.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// A chunk has the buckets that differ in their last seven bits: 32 hours of quarter-hours.
const CHUNK_BITS: u32 = 7;

/// Rows of `N` names and `S` sums by bucket; the first name and sum of all are what the caller says. Absent names are empty.
pub(crate) struct Columns<const N: usize, const S: usize> {
    /// Whether a row of these sums is none any more.
    is_empty: fn(&[i64; S]) -> bool,
    texts: Arc<Vec<Arc<str>>>,
    text_numbers: HashMap<Arc<str>, u32>,
    /// Names by the numbers of their texts.
    combinations: Arc<Vec<[u32; N]>>,
    combination_numbers: HashMap<[u32; N], u32>,
    chunks: BTreeMap<i64, Arc<Chunk<S>>>,
}

impl<const N: usize, const S: usize> Columns<N, S> {
    pub fn new(is_empty: fn(&[i64; S]) -> bool) -> Self {
        let nothing: Arc<str> = Arc::from("");
        Self {
            is_empty,
            texts: Arc::new(vec![nothing.clone()]),
            text_numbers: HashMap::from([(nothing, 0)]),
            combinations: Arc::default(),
            combination_numbers: HashMap::new(),
            chunks: BTreeMap::new(),
        }
    }

    /// Adds to a row, which begins or ends with it where need be. Sums stop at the ends of 64 bits, as those on disk do.
    pub fn add(&mut self, bucket: i64, names: [&str; N], change: &[i64; S]) {
        let key = key_of(bucket, self.number(names));
        let number = bucket >> CHUNK_BITS;
        let chunk = Arc::make_mut(self.chunks.entry(number).or_default());
        match chunk.keys.binary_search(&key) {
            Ok(row) => {
                let sums = std::array::from_fn(|column| chunk.sums[column].get(row).saturating_add(change[column]));
                if (self.is_empty)(&sums) {
                    chunk.remove(row);
                } else {
                    chunk.set(row, &sums);
                }
            }
            Err(_) if (self.is_empty)(change) => {}
            Err(row) => chunk.insert(row, key, change),
        }
        if chunk.keys.is_empty() {
            self.chunks.remove(&number);
        }
    }

    /// Gives back the room that was taken in advance while many rows were added.
    pub fn shrink(&mut self) {
        self.chunks.values_mut().for_each(|chunk| Arc::make_mut(chunk).shrink());
    }

    /// The rows as they are now; later changes do not show in it.
    pub fn view(&self) -> View<N, S> {
        View { texts: self.texts.clone(), combinations: self.combinations.clone(), chunks: self.chunks.clone() }
    }

    fn number(&mut self, names: [&str; N]) -> u32 {
        let names = names.map(|name| if name.is_empty() { 0 } else { self.text_number(name) });
        *self.combination_numbers.entry(names).or_insert_with(|| {
            let combinations = Arc::make_mut(&mut self.combinations);
            combinations.push(names);
            combinations.len() as u32 - 1
        })
    }

    fn text_number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.text_numbers.get(text) {
            return *number;
        }
        let (text, texts): (Arc<str>, _) = (Arc::from(text), Arc::make_mut(&mut self.texts));
        texts.push(text.clone());
        let number = texts.len() as u32 - 1;
        self.text_numbers.insert(text, number);
        number
    }
}

/// Where a row lies in its chunk: by bucket, then by combination.
fn key_of(bucket: i64, combination: u32) -> u64 {
    (place_of(bucket) << 32) | u64::from(combination)
}

fn place_of(bucket: i64) -> u64 {
    (bucket & ((1 << CHUNK_BITS) - 1)).unsigned_abs()
}

/// The rows of neighbouring buckets, in order.
#[derive(Clone)]
struct Chunk<const S: usize> {
    keys: Vec<u64>,
    sums: [Column; S],
}

impl<const S: usize> Default for Chunk<S> {
    fn default() -> Self {
        Self { keys: Vec::new(), sums: [const { Column::Zeros }; S] }
    }
}

impl<const S: usize> Chunk<S> {
    fn insert(&mut self, row: usize, key: u64, sums: &[i64; S]) {
        let rows = self.keys.len();
        self.keys.insert(row, key);
        self.sums.iter_mut().zip(sums).for_each(|(column, sum)| column.insert(row, *sum, rows));
    }

    fn set(&mut self, row: usize, sums: &[i64; S]) {
        let rows = self.keys.len();
        self.sums.iter_mut().zip(sums).for_each(|(column, sum)| column.set(row, *sum, rows));
    }

    fn remove(&mut self, row: usize) {
        self.keys.remove(row);
        self.sums.iter_mut().for_each(|column| column.remove(row));
    }

    fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.sums.iter_mut().for_each(Column::shrink);
    }

    /// Rows of a range of places.
    fn rows(&self, places: Range<u64>) -> Range<usize> {
        let at = |place: u64| self.keys.partition_point(|key| key >> 32 < place);
        at(places.start)..at(places.end)
    }
}

/// One sum of each row of a chunk, as wide as it must be: most are small, and many kinds are zero in all rows.
#[derive(Clone)]
enum Column {
    Zeros,
    Narrow(Vec<u32>),
    Wide(Vec<i64>),
}

impl Column {
    fn get(&self, row: usize) -> i64 {
        match self {
            Self::Zeros => 0,
            Self::Narrow(sums) => i64::from(sums[row]),
            Self::Wide(sums) => sums[row],
        }
    }

    fn insert(&mut self, row: usize, sum: i64, rows: usize) {
        match self.fitting(sum, rows) {
            Self::Zeros => {}
            Self::Narrow(sums) => sums.insert(row, sum as u32),
            Self::Wide(sums) => sums.insert(row, sum),
        }
    }

    fn set(&mut self, row: usize, sum: i64, rows: usize) {
        match self.fitting(sum, rows) {
            Self::Zeros => {}
            Self::Narrow(sums) => sums[row] = sum as u32,
            Self::Wide(sums) => sums[row] = sum,
        }
    }

    fn remove(&mut self, row: usize) {
        match self {
            Self::Zeros => {}
            Self::Narrow(sums) => drop(sums.remove(row)),
            Self::Wide(sums) => drop(sums.remove(row)),
        }
    }

    /// Itself, of so many rows, after making it wide enough for a sum.
    fn fitting(&mut self, sum: i64, rows: usize) -> &mut Self {
        let is_narrow = u32::try_from(sum).is_ok();
        match self {
            Self::Zeros if sum == 0 => {}
            Self::Zeros if is_narrow => *self = Self::Narrow(vec![0; rows]),
            Self::Zeros => *self = Self::Wide(vec![0; rows]),
            Self::Narrow(sums) if !is_narrow => *self = Self::Wide(sums.iter().map(|sum| i64::from(*sum)).collect()),
            Self::Narrow(_) | Self::Wide(_) => {}
        }
        self
    }

    fn shrink(&mut self) {
        match self {
            Self::Zeros => {}
            Self::Narrow(sums) => sums.shrink_to_fit(),
            Self::Wide(sums) => sums.shrink_to_fit(),
        }
    }
}

/// Which combinations of names are one to a reader, by number; the last number is of those that it leaves out.
pub(crate) struct Groups {
    of: Vec<u32>,
    count: usize,
}

/// The rows of one moment.
#[derive(Clone)]
pub(crate) struct View<const N: usize, const S: usize> {
    texts: Arc<Vec<Arc<str>>>,
    combinations: Arc<Vec<[u32; N]>>,
    chunks: BTreeMap<i64, Arc<Chunk<S>>>,
}

impl<const N: usize, const S: usize> View<N, S> {
    /// The names of a combination.
    pub fn names(&self, combination: u32) -> [&str; N] {
        self.combinations[combination as usize].map(|text| &*self.texts[text as usize])
    }

    /// Whether there is a row of a bucket in a range.
    pub fn has_rows(&self, buckets: Range<i64>) -> bool {
        self.slices(buckets).next().is_some()
    }

    /// Takes as one the combinations that are wanted and have the same names at the marked places.
    pub fn group(&self, is_told_apart: [bool; N], mut wants: impl FnMut([&str; N]) -> bool) -> Groups {
        let mut numbers = HashMap::new();
        let mut of = Vec::with_capacity(self.combinations.len());
        for (number, names) in (0..).zip(self.combinations.iter()) {
            let next = numbers.len() as u32;
            of.push(if wants(self.names(number)) {
                let apart: [u32; N] = std::array::from_fn(|place| if is_told_apart[place] { names[place] } else { 0 });
                *numbers.entry(apart).or_insert(next)
            } else {
                u32::MAX
            });
        }
        let count = numbers.len();
        of.iter_mut().for_each(|group| *group = (*group).min(count as u32));
        Groups { of, count }
    }

    /// Sums the rows of a range of buckets by group, as long as `moment` says the same of buckets that follow each other; none leaves a
    /// bucket out. `see` gets a bucket and a combination of those that a sum is of. Both get the reader.
    pub fn sum<R, M: PartialEq>(
        &self,
        buckets: Range<i64>,
        groups: &Groups,
        reader: &mut R,
        moment: impl Fn(&R, i64) -> Option<M>,
        see: impl Fn(&mut R, i64, u32, [i128; S]),
    ) {
        let mut running = Running { sums: vec![[0; S]; groups.count + 1], met: vec![None; groups.count + 1], order: Vec::new() };
        let mut current: Option<(M, i64)> = None;
        let mut rows_groups = Vec::new();
        for (first, chunk, rows) in self.slices(buckets) {
            let mut start = rows.start;
            while start < rows.end {
                let place = chunk.keys[start] >> 32;
                let end = start + chunk.keys[start..rows.end].partition_point(|key| key >> 32 == place);
                let bucket = first | place as i64;
                if let Some(moment) = moment(reader, bucket) {
                    if let Some((known, of)) = &current
                        && *known != moment
                    {
                        running.end(|combination, sums| see(reader, *of, combination, sums));
                        current = None;
                    }
                    current.get_or_insert((moment, bucket));
                    rows_groups.clear();
                    rows_groups.extend(chunk.keys[start..end].iter().map(|key| running.group(groups, *key as u32)));
                    running.add(chunk, start..end, &rows_groups);
                }
                start = end;
            }
        }
        if let Some((_, bucket)) = current {
            running.end(|combination, sums| see(reader, bucket, combination, sums));
        }
    }

    /// Every row, in the order of bucket and names.
    #[cfg(test)]
    pub fn rows(&self) -> Vec<(i64, [&str; N], [i64; S])> {
        let mut rows = Vec::new();
        for (number, chunk) in &self.chunks {
            for (row, key) in chunk.keys.iter().enumerate() {
                let bucket = (number << CHUNK_BITS) | (key >> 32) as i64;
                rows.push((bucket, self.names(*key as u32), std::array::from_fn(|column| chunk.sums[column].get(row))));
            }
        }
        rows.sort_unstable_by_key(|(bucket, names, _)| (*bucket, *names));
        rows
    }

    /// The chunks that have rows of a range of buckets: first bucket, chunk, and which rows of it.
    fn slices(&self, buckets: Range<i64>) -> impl Iterator<Item = (i64, &Chunk<S>, Range<usize>)> {
        let Range { start, end } = buckets;
        let numbers = if start < end { (start >> CHUNK_BITS)..((end - 1) >> CHUNK_BITS) + 1 } else { 0..0 };
        self.chunks.range(numbers).filter_map(move |(number, chunk)| {
            let first = number << CHUNK_BITS;
            let from = if start <= first { 0 } else { place_of(start) };
            let to = if end >> CHUNK_BITS > *number { 1 << CHUNK_BITS } else { place_of(end) };
            let rows = chunk.rows(from..to);
            (!rows.is_empty()).then_some((first, &**chunk, rows))
        })
    }
}

/// Sums by group that are not told yet.
struct Running<const S: usize> {
    /// Wider than rows, so that no order of adding stops one at the end of 64 bits.
    sums: Vec<[i128; S]>,
    /// A combination of each group that was met.
    met: Vec<Option<u32>>,
    order: Vec<u32>,
}

impl<const S: usize> Running<S> {
    fn group(&mut self, groups: &Groups, combination: u32) -> u32 {
        let group = groups.of[combination as usize];
        let met = &mut self.met[group as usize];
        if met.is_none() {
            *met = Some(combination);
            self.order.push(group);
        }
        group
    }

    fn add(&mut self, chunk: &Chunk<S>, rows: Range<usize>, groups: &[u32]) {
        for (place, column) in chunk.sums.iter().enumerate() {
            match column {
                Column::Zeros => {}
                Column::Narrow(sums) => {
                    let sums = sums[rows.clone()].iter().zip(groups);
                    sums.for_each(|(sum, group)| self.sums[*group as usize][place] += i128::from(*sum));
                }
                Column::Wide(sums) => {
                    let sums = sums[rows.clone()].iter().zip(groups);
                    sums.for_each(|(sum, group)| self.sums[*group as usize][place] += i128::from(*sum));
                }
            }
        }
    }

    fn end(&mut self, mut see: impl FnMut(u32, [i128; S])) {
        let left_out = self.sums.len() - 1;
        for group in self.order.drain(..) {
            let group = group as usize;
            let combination = self.met[group].take();
            let sums = std::mem::replace(&mut self.sums[group], [0; S]);
            if let Some(combination) = combination.filter(|_| group != left_out) {
                see(combination, sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Rows = BTreeMap<(i64, [String; 2]), [i64; 3]>;

    fn told(rows: &Rows) -> Vec<(i64, [&str; 2], [i64; 3])> {
        rows.iter().map(|((bucket, names), sums)| (*bucket, names.each_ref().map(String::as_str), *sums)).collect()
    }

    fn is_empty(sums: &[i64; 3]) -> bool {
        sums[0] == 0
    }

    fn buckets() -> impl Strategy<Value = i64> {
        prop_oneof![-3_i64..3, 125_i64..131, prop::sample::select(vec![i64::MIN, i64::MIN + 1, -129, -128, 1000, i64::MAX - 1])]
    }

    fn change() -> impl Strategy<Value = (i64, [usize; 2], [i64; 3])> {
        let large = prop::sample::select(vec![0_i64, 1, -1, 1 << 31, 1 << 33, -(1 << 40)]);
        (buckets(), [0_usize..3, 0_usize..3], (-2_i64..4, large, Just(0)).prop_map(|(count, large, zero)| [count, large, zero]))
    }

    proptest! {
        #[test]
        fn rows_are_those_of_a_table(changes in prop::collection::vec(change(), 0..80), seen in 0_usize..80, range in (buckets(), buckets())) {
            const NAMES: [&str; 3] = ["", "a", "ä/b"];
            let (mut columns, mut rows) = (Columns::<2, 3>::new(is_empty), Rows::new());
            let mut before = None;
            for (place, (bucket, names, change)) in changes.into_iter().enumerate() {
                if place == seen {
                    before = Some((columns.view(), rows.clone()));
                }
                let names = names.map(|name| NAMES[name]);
                columns.add(bucket, names, &change);
                let key = (bucket, names.map(str::to_owned));
                let sums = rows.entry(key.clone()).or_default();
                sums.iter_mut().zip(change).for_each(|(sum, change)| *sum += change);
                if is_empty(sums) {
                    rows.remove(&key);
                }
            }
            columns.shrink();
            let (from, until) = (range.0.min(range.1), range.0.max(range.1));
            for (view, rows) in before.into_iter().chain([(columns.view(), rows)]) {
                prop_assert_eq!(view.rows(), told(&rows));
                let in_range = |bucket: i64| (from..until).contains(&bucket);
                prop_assert_eq!(view.has_rows(from..until), rows.keys().any(|(bucket, _)| in_range(*bucket)));
                // By the first name, of the odd half of the buckets, by sixteen of them; without one name.
                let moment = |_: &_, bucket: i64| (bucket & 1 == 1).then_some(bucket >> 4);
                let groups = view.group([true, false], |names| names[1] != "a");
                let mut sums: BTreeMap<(i64, String), [i128; 3]> = BTreeMap::new();
                view.sum(from..until, &groups, &mut sums, moment, |sums, bucket, combination, sum| {
                    let known = sums.entry((bucket >> 4, view.names(combination)[0].to_owned())).or_default();
                    known.iter_mut().zip(sum).for_each(|(known, sum)| *known += sum);
                });
                let mut wanted: BTreeMap<(i64, String), [i128; 3]> = BTreeMap::new();
                for ((bucket, names), sums) in rows.iter().filter(|((bucket, names), _)| in_range(*bucket) && bucket & 1 == 1 && names[1] != "a") {
                    let known = wanted.entry((bucket >> 4, names[0].clone())).or_default();
                    known.iter_mut().zip(sums).for_each(|(known, sum)| *known += i128::from(*sum));
                }
                prop_assert_eq!(sums, wanted);
            }
        }
    }

    #[test]
    fn sums_stop_at_the_ends_of_64_bits_and_an_emptied_row_is_none() {
        let mut columns = Columns::<2, 3>::new(is_empty);
        columns.add(5, ["a", "b"], &[1, i64::MAX, i64::MIN]);
        columns.add(5, ["a", "b"], &[1, i64::MAX, i64::MIN]);
        assert_eq!(columns.view().rows(), [(5, ["a", "b"], [2, i64::MAX, i64::MIN])]);
        columns.add(5, ["a", "b"], &[-2, 0, 7]);
        assert!(columns.view().rows().is_empty() && columns.chunks.is_empty());
        columns.add(5, ["a", "b"], &[-1, 0, 0]);
        assert_eq!(columns.view().rows(), [(5, ["a", "b"], [-1, 0, 0])]);
    }

    #[test]
    fn texts_and_combinations_stand_once() {
        let mut columns = Columns::<2, 3>::new(is_empty);
        (0..1000).for_each(|bucket| columns.add(bucket, ["a", if bucket % 2 == 0 { "a" } else { "" }], &[1, 0, 0]));
        assert_eq!((columns.texts.len(), columns.combinations.len()), (2, 2));
    }
}
