//! What the asking thread is asked for. Only the last word counts, so there is no queue that could be full.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub struct Wishes {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Clone, Default)]
pub struct Wanted {
    /// There is news.
    has_news: bool,
    /// The session that is open.
    pub open: Option<String>,
    /// A key asks: it is not to be kept waiting.
    pub by_key: bool,
}

impl Wishes {
    pub fn news(&self) {
        self.lock().has_news = true;
        self.changed.notify_one();
    }

    pub fn open(&self, session: String) {
        let mut wanted = self.lock();
        (wanted.open, wanted.by_key) = (Some(session), true);
        self.changed.notify_one();
    }

    pub fn close(&self) {
        self.lock().open = None;
    }

    /// Waits for a wish, `longest` at most; what is wanted then.
    pub fn next(&self, longest: Duration) -> Wanted {
        let is_idle = |wanted: &mut Wanted| !wanted.has_news && !wanted.by_key;
        let waited = self.changed.wait_timeout_while(self.lock(), longest, is_idle);
        let mut wanted = waited.unwrap_or_else(PoisonError::into_inner).0;
        let next = wanted.clone();
        (wanted.has_news, wanted.by_key) = (false, false);
        next
    }

    /// Waits as long as no key asks.
    pub fn rest(&self, longest: Duration) {
        drop(self.changed.wait_timeout_while(self.lock(), longest, |wanted| !wanted.by_key));
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wishes_are_one_and_none_is_lost() {
        let wishes = Wishes::default();
        let now = Duration::ZERO;
        assert!(!wishes.next(now).by_key);
        for _ in 0..1000 {
            wishes.news();
        }
        assert!(wishes.next(Duration::from_secs(60)).has_news && !wishes.next(now).has_news);
        wishes.open("one".to_owned());
        wishes.open("two".to_owned());
        wishes.rest(Duration::from_secs(60));
        let wanted = wishes.next(Duration::from_secs(60));
        assert_eq!((wanted.open.as_deref(), wanted.by_key), (Some("two"), true));
        assert_eq!(wishes.next(now).open.as_deref(), Some("two"));
        wishes.close();
        assert_eq!(wishes.next(now).open, None);
    }
}
