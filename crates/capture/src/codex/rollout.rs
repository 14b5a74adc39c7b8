//! Lines of a rollout to facts.

use std::path::Path;

use ducat_ledger::Fact;
use serde::{Deserialize, Serialize};

use super::decode_rate_limits;
use crate::{Detail, LineVerdict, Workspaces};

/// What is known of a rollout by the lines read so far. Keep it to go on where a reading ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {}

impl FileState {
    pub fn of(_path: &Path) -> Self {
        Self::default()
    }
}

/// Tells `out` the facts of one line (without its line break).
pub fn decode_line(
    bytes: &[u8],
    _file: &mut FileState,
    _workspaces: &mut dyn Workspaces,
    _detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    decode_rate_limits(bytes, out);
    LineVerdict::NoFacts
}

/// The first lines of a file are a rollout's.
pub fn looks_like_rollout(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    memchr::memmem::find(first, b"\"session_meta\"").is_some()
}
