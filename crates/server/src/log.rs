//! What the operator is told: a line now and then, however often something goes wrong.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines; what is left out is in the metrics.
const BETWEEN: Duration = Duration::from_secs(1);

pub(crate) struct Log {
    write: Box<dyn Fn(&str) + Send + Sync>,
    last: Mutex<Option<Instant>>,
}

impl Log {
    pub fn new(write: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { write, last: Mutex::new(None) }
    }

    /// Tells it, unless something was told just before.
    pub fn say(&self, what: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() > BETWEEN) {
            *last = Some(Instant::now());
            (self.write)(what);
        }
    }
}
