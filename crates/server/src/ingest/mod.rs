//! Events in: hooks over the socket, over HTTP and from the spool, and the first version's API.

mod body;
pub(crate) mod drain;
pub(crate) mod first_version;
pub(crate) mod hooks;
pub(crate) mod otlp;
pub(crate) mod running;
pub(crate) mod ship;
pub(crate) mod socket;
mod status_line;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ducat_spool::Status;

/// The way an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Socket,
    Http,
    Spool,
    /// From another machine.
    Ship,
}

impl Way {
    pub const ALL: [Self; 4] = [Self::Socket, Self::Http, Self::Spool, Self::Ship];

    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Http => "http",
            Self::Spool => "spool",
            Self::Ship => "ship",
        }
    }
}

/// What became of events since the start, for the metrics of our own process.
#[derive(Default)]
pub(crate) struct EventCounts([[AtomicU64; 6]; 4]);

impl EventCounts {
    pub const STATUSES: [(Status, &'static str); 6] = [
        (Status::Stored, "stored"),
        (Status::Already, "already_stored"),
        (Status::Stale, "stale"),
        (Status::Malformed, "malformed"),
        (Status::Busy, "busy"),
        (Status::Excluded, "excluded"),
    ];

    pub fn count(&self, way: Way, status: Status) {
        self.0[way as usize][status as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self, way: Way, status: Status) -> u64 {
        self.0[way as usize][status as usize].load(Ordering::Relaxed)
    }
}

/// What an importer could not read, by reason, since the start; shared with whoever imports.
#[derive(Debug, Default)]
pub struct Skipped(Mutex<BTreeMap<&'static str, u64>>);

impl Skipped {
    pub fn count(&self, reason: &'static str, lines: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += lines;
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
