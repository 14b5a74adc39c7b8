//! One field of a fact, as the best witness so far told it.

use std::collections::BTreeMap;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value with the rank of the witness who told it; rank 0 and no value when nobody did.
///
/// Joining keeps the higher rank; equal ranks keep the larger (or, with [`Told::join_smallest`], the smaller) value, or, with
/// [`Told::join_lines`], what both say. [`Told::join_latest`] keeps the largest whoever told it. [`Told::join_each`] remembers besides what
/// was told at lower ranks. All are commutative, associative and idempotent; one field is always joined in one way.
///
/// As JSON: `[rank, value]`, or `[rank, value, [[lower rank, its value, or null where it is the same], …]]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Told<T> {
    rank: u8,
    value: Option<T>,
    /// What was told at lower ranks, the lowest first; `None` where it is `value`. A box, because most fields have one witness.
    #[allow(clippy::box_collection)]
    lower: Option<Box<Vec<Claim<T>>>>,
}

/// What was told at a rank; `None` where it is what is believed.
type Claim<T> = (u8, Option<T>);

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { rank: 0, value: None, lower: None }
    }
}

impl<T> Told<T> {
    /// A value told by a witness of this rank (at least 1).
    pub fn by(rank: u8, value: T) -> Self {
        Self { rank: rank.max(1), value: Some(value), lower: None }
    }

    /// Like [`Told::by`], untold when there is no value.
    pub fn maybe(rank: u8, value: Option<T>) -> Self {
        match value {
            Some(value) => Self::by(rank, value),
            None => Self::default(),
        }
    }

    pub fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }

    pub fn rank(&self) -> u8 {
        self.rank
    }

    pub fn is_untold(&self) -> bool {
        self.value.is_none()
    }

    pub fn is_told(&self) -> bool {
        self.value.is_some()
    }

    /// The value by copy, or the type's default when untold.
    pub fn or_default(&self) -> T
    where
        T: Copy + Default,
    {
        self.value.unwrap_or_default()
    }

    /// What was told at each rank that is remembered, the believed one last.
    pub fn claims(&self) -> impl Iterator<Item = (u8, &T)> {
        let lower = self.lower.iter().flat_map(|lower| lower.iter());
        let lower = lower.filter_map(|(rank, value)| Some((*rank, value.as_ref().or(self.value.as_ref())?)));
        lower.chain(self.value.iter().map(|value| (self.rank, value)))
    }
}

impl<T: Ord + Clone> Told<T> {
    /// Keeps the better of both, the larger value on equal rank; true when `self` changed.
    pub fn join(&mut self, other: &Self) -> bool {
        self.join_by(other, |ours, theirs| theirs > ours)
    }

    /// Keeps the better of both, the smaller value on equal rank; true when `self` changed.
    pub fn join_smallest(&mut self, other: &Self) -> bool {
        self.join_by(other, |ours, theirs| theirs < ours)
    }

    /// Keeps the larger value of whatever rank, the higher rank of equal ones; true when `self` changed.
    pub fn join_latest(&mut self, other: &Self) -> bool {
        let takes = (&other.value, other.rank) > (&self.value, self.rank);
        if takes {
            *self = other.clone();
        }
        takes
    }

    /// Keeps the best of both at every rank, the larger value on equal rank; true when `self` changed.
    pub fn join_each(&mut self, other: &Self) -> bool {
        if other.is_untold() {
            return false;
        }
        // The common case: the same witness, and nobody else.
        if self.lower.is_none() && other.lower.is_none() && (self.is_untold() || self.rank == other.rank) {
            return self.join(other);
        }
        let mut claims: Vec<(u8, T)> = self.claims().map(|(rank, value)| (rank, value.clone())).collect();
        for (rank, value) in other.claims() {
            match claims.binary_search_by_key(&rank, |(rank, _)| *rank) {
                Ok(place) if *value > claims[place].1 => claims[place].1 = value.clone(),
                Ok(_) => {}
                Err(place) => claims.insert(place, (rank, value.clone())),
            }
        }
        let joined = Self::of_claims(claims);
        let changed = joined != *self;
        *self = joined;
        changed
    }

    /// `claims`: by rising rank, each rank once.
    fn of_claims(mut claims: Vec<(u8, T)>) -> Self {
        let Some((rank, believed)) = claims.pop() else { return Self::default() };
        let lower: Vec<_> =
            claims.into_iter().map(|(rank, value)| (rank, Some(value).filter(|value| *value != believed))).collect();
        Self { rank, value: Some(believed), lower: (!lower.is_empty()).then(|| Box::new(lower)) }
    }

    /// Of a field that is not joined by [`Told::join_each`] nobody's lower claims are kept: a stranger may have told some.
    fn join_by(&mut self, other: &Self, better: impl Fn(&T, &T) -> bool) -> bool {
        let takes = match (&self.value, &other.value) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(ours), Some(theirs)) => other.rank > self.rank || (other.rank == self.rank && better(ours, theirs)),
        };
        let had_lower = self.lower.take().is_some();
        if takes {
            (self.rank, self.value) = (other.rank, other.value.clone());
        }
        takes || had_lower
    }
}

impl Told<String> {
    /// Joins lines of `name=value`: on equal rank each name that one of both has, with the larger value. True when `self` changed.
    pub fn join_lines(&mut self, other: &Self) -> bool {
        if let (Some(ours), Some(theirs)) = (&self.value, &other.value)
            && self.rank == other.rank
            && ours != theirs
        {
            let mut lines = BTreeMap::<&str, &str>::new();
            for line in ours.lines().chain(theirs.lines()) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                lines.entry(name).and_modify(|known| *known = value.max(known)).or_insert(value);
            }
            let joined: Vec<String> = lines.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            let joined = Self::by(self.rank, joined.join("\n"));
            let changed = joined != *self;
            *self = joined;
            return changed;
        }
        self.join_by(other, |_, _| false)
    }
}

impl<T: Serialize> Serialize for Told<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_seq(Some(if self.lower.is_some() { 3 } else { 2 }))?;
        parts.serialize_element(&self.rank)?;
        parts.serialize_element(&self.value)?;
        if let Some(lower) = &self.lower {
            parts.serialize_element(lower)?;
        }
        parts.end()
    }
}

impl<'de, T: Deserialize<'de> + Ord + Clone> Deserialize<'de> for Told<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Parts(std::marker::PhantomData))
    }
}

struct Parts<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de> + Ord + Clone> Visitor<'de> for Parts<T> {
    type Value = Told<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[rank, value] or [rank, value, claims of lower ranks]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Told<T>, A::Error> {
        let missing = |place| serde::de::Error::invalid_length(place, &self);
        let rank: u8 = parts.next_element()?.ok_or_else(|| missing(0))?;
        let value: Option<T> = parts.next_element()?.ok_or_else(|| missing(1))?;
        let lower: Vec<(u8, Option<T>)> = parts.next_element()?.unwrap_or_default();
        let Some(value) = value else { return Ok(Told::default()) };
        if lower.is_empty() {
            return Ok(Told::by(rank, value));
        }
        // Whoever wrote it: ranks rise and the believed one is the highest.
        let mut told = Told::by(rank, value.clone());
        for (rank, claim) in lower {
            told.join_each(&Told::by(rank, claim.unwrap_or_else(|| value.clone())));
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_is_remembered_and_the_highest_believed() {
        let mut told = Told::by(3, 90);
        for (rank, value) in [(6, 120), (1, 120), (3, 80), (6, 110)] {
            told.join_each(&Told::by(rank, value));
        }
        assert_eq!(told.get(), Some(&120));
        assert_eq!(told.claims().collect::<Vec<_>>(), [(1, &120), (3, &90), (6, &120)]);
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(text, "[6,120,[[1,null],[3,90]]]");
        assert_eq!(serde_json::from_str::<Told<i32>>(&text).unwrap(), told);
        assert_eq!(serde_json::from_str::<Told<i32>>("[3,7]").unwrap(), Told::by(3, 7));
        assert!(serde_json::from_str::<Told<i32>>("[3]").is_err());
    }

    #[test]
    fn lines_join_by_name() {
        let lines = ["cost_center=1", "service=x", "cost_center=2\ndepartment=d"].map(|text| Told::by(1, text.to_owned()));
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
            let mut told = Told::default();
            for place in order.into_iter().chain(order) {
                told.join_lines(&lines[place]);
            }
            assert_eq!(told.get().map(String::as_str), Some("cost_center=2\ndepartment=d\nservice=x"));
        }
        let mut told = Told::by(4, "team=api".to_owned());
        assert!(!told.join_lines(&lines[0]), "a higher rank's are believed alone");
    }

    #[test]
    fn lower_claims_of_a_stranger_are_kept_of_no_field_of_one_claim() {
        let stranger: Told<i64> = serde_json::from_str("[3,5,[[1,9]]]").unwrap();
        let honest = Told::by(3, 5);
        let joined = |order: [&Told<i64>; 3]| {
            let mut told = order[0].clone();
            order.iter().for_each(|other| _ = told.join_smallest(other));
            told
        };
        for order in [[&stranger, &honest, &honest], [&honest, &stranger, &honest], [&stranger, &stranger, &stranger]] {
            assert_eq!(joined(order), honest);
        }
    }
}
