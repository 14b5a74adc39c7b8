//! What the operator is told: a line now and then, however often something goes wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of a source; what is left out is in the metrics.
const BETWEEN: Duration = Duration::from_secs(1);

/// What goes wrong, each by itself: one that fails all the time does not hide the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Hooks,
    Spool,
    Inbox,
    Forwarding,
}

pub(crate) struct Log {
    write: Box<dyn Fn(&str) + Send + Sync>,
    last: Mutex<BTreeMap<Source, Instant>>,
}

impl Log {
    pub fn new(write: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { write, last: Mutex::default() }
    }

    /// Tells it, unless the same source told something just before.
    pub fn say(&self, source: Source, what: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(&source).is_none_or(|at| at.elapsed() > BETWEEN) {
            last.insert(source, Instant::now());
            (self.write)(what);
        }
    }

    /// Tells what a source says.
    pub fn of(self: &Arc<Self>, source: Source) -> Arc<dyn Fn(&str) + Send + Sync> {
        let log = self.clone();
        Arc::new(move |what| log.say(source, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_says_much_hides_no_other() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let written = said.clone();
        let log = Arc::new(Log::new(Box::new(move |what| written.lock().unwrap().push(what.to_owned()))));
        log.say(Source::Forwarding, "refused");
        log.say(Source::Forwarding, "refused again");
        log.of(Source::Inbox)("put aside");
        assert_eq!(*said.lock().unwrap(), ["refused", "put aside"]);
    }
}
