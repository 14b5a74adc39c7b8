//! What came in over OTLP since the start, for the metrics of our own process.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Route, Signal, Transport};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Rejected,
}

impl Verdict {
    pub const ALL: [Self; 2] = [Self::Accepted, Self::Rejected];

    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(Default)]
pub(crate) struct Counts {
    records: [[[AtomicU64; 2]; 2]; 3],
    bytes: [[AtomicU64; 2]; 3],
    refused: [[AtomicU64; 2]; 3],
}

impl Counts {
    pub fn took(&self, route: Route, bytes: usize, accepted: u64, rejected: u64) {
        let (signal, transport) = (route.signal as usize, route.transport as usize);
        self.records[signal][transport][0].fetch_add(accepted, Ordering::Relaxed);
        self.records[signal][transport][1].fetch_add(rejected, Ordering::Relaxed);
        self.bytes[signal][transport].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn refuse(&self, route: Route) {
        self.refused[route.signal as usize][route.transport as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn records(&self, signal: Signal, transport: Transport, verdict: Verdict) -> u64 {
        self.records[signal as usize][transport as usize][verdict as usize].load(Ordering::Relaxed)
    }

    pub fn bytes(&self, signal: Signal, transport: Transport) -> u64 {
        self.bytes[signal as usize][transport as usize].load(Ordering::Relaxed)
    }

    pub fn refused(&self, signal: Signal, transport: Transport) -> u64 {
        self.refused[signal as usize][transport as usize].load(Ordering::Relaxed)
    }
}
