//! How a tool call ended.

use serde::{Deserialize, Serialize};

/// A tool call's end. `running` and `lost` are not stored: they are what a call without a result is seen as, by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    Ok = 0,
    Error = 1,
    /// Never ran: the tool's validation, a permission rule, a hook or the user said no, or there is no such tool.
    Refused = 2,
    Interrupted = 3,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Ok, Self::Error, Self::Refused, Self::Interrupted];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }
}
