//! Who tells, and whose word counts for which field.

use serde::{Deserialize, Serialize};

/// A source of observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Witness {
    Transcript = 0,
    Hook = 1,
    Otlp = 2,
    /// An API call of the first version's clients or of an SDK.
    Api = 3,
    /// What the client wrote to its status line.
    StatusLine = 4,
}

/// Fields whose best witness is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldClass {
    /// Token counts, model, tier: what the provider billed.
    Usage,
    /// How a tool call ended: the transcript sees refused calls that fire no hook.
    Outcome,
    /// When a tool call began and ended and how long it took: the hook is there when it happens.
    Timing,
    /// Session, turn, project, user: all witnesses are equally good.
    Attribution,
}

impl Witness {
    /// The rank of this witness for a class of fields; higher is believed, at least 1.
    pub fn rank(self, class: FieldClass) -> u8 {
        use {FieldClass as F, Witness as W};
        match (class, self) {
            (_, W::Api) => 4,
            (F::Attribution, _) | (_, W::StatusLine) => 1,
            (F::Usage, W::Transcript) => 3,
            (F::Usage, W::Otlp) => 2,
            (F::Usage, W::Hook) => 1,
            (F::Outcome, W::Transcript) => 3,
            (F::Outcome, W::Hook) => 2,
            (F::Outcome, W::Otlp) => 1,
            (F::Timing, W::Hook) => 3,
            (F::Timing, W::Otlp) => 2,
            (F::Timing, W::Transcript) => 1,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Transcript => "transcript",
            Self::Hook => "hook",
            Self::Otlp => "otlp",
            Self::Api => "api",
            Self::StatusLine => "status_line",
        }
    }
}

/// A set of witnesses, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Witnesses(pub u8);

impl Witnesses {
    pub fn only(witness: Witness) -> Self {
        Self(1 << witness as u8)
    }

    pub fn contains(self, witness: Witness) -> bool {
        self.0 & (1 << witness as u8) != 0
    }

    /// Unites both; true when `self` changed.
    pub fn join(&mut self, other: Self) -> bool {
        let before = self.0;
        self.0 |= other.0;
        self.0 != before
    }

    /// The names in a fixed order.
    pub fn names(self) -> Vec<&'static str> {
        [Witness::Transcript, Witness::Hook, Witness::Otlp, Witness::Api, Witness::StatusLine]
            .into_iter()
            .filter(|witness| self.contains(*witness))
            .map(Witness::name)
            .collect()
    }
}
