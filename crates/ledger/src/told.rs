//! One field of a fact, as the best witness so far told it.

use serde::{Deserialize, Serialize};

/// A value with the rank of the witness who told it; rank 0 and no value when nobody did.
///
/// Joining keeps the higher rank; equal ranks keep the larger (or, with [`Told::join_smallest`], the smaller) value. Both are
/// commutative, associative and idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u8, Option<T>)", into = "(u8, Option<T>)", bound(serialize = "T: Clone + Serialize"))]
pub struct Told<T> {
    rank: u8,
    value: Option<T>,
}

impl<T> From<(u8, Option<T>)> for Told<T> {
    fn from((rank, value): (u8, Option<T>)) -> Self {
        Self::maybe(rank, value)
    }
}

impl<T> From<Told<T>> for (u8, Option<T>) {
    fn from(told: Told<T>) -> Self {
        (told.rank, told.value)
    }
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self { rank: 0, value: None }
    }
}

impl<T> Told<T> {
    /// A value told by a witness of this rank (at least 1).
    pub fn by(rank: u8, value: T) -> Self {
        Self { rank: rank.max(1), value: Some(value) }
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

    fn join_by(&mut self, other: &Self, better: impl Fn(&T, &T) -> bool) -> bool {
        let takes = match (&self.value, &other.value) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(ours), Some(theirs)) => other.rank > self.rank || (other.rank == self.rank && better(ours, theirs)),
        };
        if takes {
            *self = other.clone();
        }
        takes
    }
}
