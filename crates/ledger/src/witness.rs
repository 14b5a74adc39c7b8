//! Who tells, and whose word counts for which field.

use serde::{Deserialize, Serialize};

/// A source of observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Witness {
    Transcript = 0,
    Hook = 1,
    /// A log record of OpenTelemetry.
    OtlpLog = 2,
    /// An API call of the first version's clients or of an SDK.
    Api = 3,
    /// What the client wrote to its status line.
    StatusLine = 4,
    /// A span of OpenTelemetry.
    OtlpSpan = 5,
    /// Points of a metric of OpenTelemetry: sums of several requests, which repeat what logs and spans tell.
    OtlpMetric = 6,
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
    /// When a request began: the transcript's line, else what telemetry reckons from its end and duration.
    Start,
    /// Session, turn, project, user: all witnesses are equally good.
    Attribution,
}

/// The rank of what was solved from other fields instead of told.
pub const DERIVED: u8 = 1;

impl Witness {
    pub const ALL: [Self; 7] =
        [Self::Transcript, Self::Hook, Self::OtlpLog, Self::Api, Self::StatusLine, Self::OtlpSpan, Self::OtlpMetric];

    /// The rank of this witness for a class of fields; higher is believed, at least 1. Facts keep ranks: those in use never change.
    pub fn rank(self, class: FieldClass) -> u8 {
        use {FieldClass as F, Witness as W};
        match (class, self) {
            (_, W::Api) => 4,
            (F::Attribution, _) | (_, W::StatusLine) => 1,
            // Some clients' transcripts end with a message's first, too small count; their telemetry tells the last.
            (F::Usage, W::OtlpLog) => 6,
            (F::Usage, W::OtlpSpan) => 5,
            (F::Usage | F::Start, W::Transcript) => 3,
            (F::Usage, W::OtlpMetric) => 2,
            (F::Usage, W::Hook) => 1,
            (F::Outcome, W::Transcript) => 3,
            (F::Outcome, W::Hook) => 2,
            (F::Outcome, W::OtlpLog | W::OtlpSpan | W::OtlpMetric) => 1,
            (F::Timing, W::Hook) => 3,
            (F::Timing | F::Start, W::OtlpLog | W::OtlpSpan) => 2,
            (F::Timing, W::Transcript) => 1,
            (F::Timing | F::Start, W::OtlpMetric) | (F::Start, W::Hook) => 1,
        }
    }

    /// The witness of a rank in the class of usage, whose ranks differ. [`DERIVED`] is no witness's.
    pub fn of_usage_rank(rank: u8) -> Option<Self> {
        [Self::Hook, Self::OtlpMetric, Self::Transcript, Self::Api, Self::OtlpSpan, Self::OtlpLog]
            .into_iter()
            .find(|witness| witness.rank(FieldClass::Usage) == rank)
    }

    /// The rule of a class in words, the best witness first: `api, then transcript, then hook; of equals the larger`.
    pub fn rule(class: FieldClass) -> String {
        let mut ranks = std::collections::BTreeMap::<_, Vec<&str>>::new();
        // A status line tells of sessions only.
        for witness in Self::ALL.into_iter().filter(|witness| *witness != Self::StatusLine) {
            ranks.entry(std::cmp::Reverse(witness.rank(class))).or_default().push(witness.name());
        }
        let ranks: Vec<String> = ranks.into_values().map(|equals| equals.join(" or ")).collect();
        format!("{}; of equals the larger", ranks.join(", then "))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Transcript => "transcript",
            Self::Hook => "hook",
            Self::OtlpLog => "otlp_log",
            Self::Api => "api",
            Self::StatusLine => "status_line",
            Self::OtlpSpan => "otlp_span",
            Self::OtlpMetric => "otlp_metric",
        }
    }

    /// The witness of a stored number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|witness| *witness as u8 == code)
    }
}

/// A set of witnesses, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Witnesses(pub u8);

impl Witnesses {
    pub fn only(witness: Witness) -> Self {
        Self(1 << witness as u8)
    }

    pub fn without(self, witness: Witness) -> Self {
        Self(self.0 & !Self::only(witness).0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
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

    pub fn iter(self) -> impl Iterator<Item = Witness> {
        Witness::ALL.into_iter().filter(move |witness| self.contains(*witness))
    }

    /// The names in a fixed order.
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Witness::name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_in_the_order_of_ranks() {
        assert_eq!(
            Witness::rule(FieldClass::Usage),
            "otlp_log, then otlp_span, then api, then transcript, then otlp_metric, then hook; of equals the larger"
        );
        assert_eq!(
            Witness::rule(FieldClass::Outcome),
            "api, then transcript, then hook, then otlp_log or otlp_span or otlp_metric; of equals the larger"
        );
    }
}
