//! Who hears of a commit's changes: the counters, and whoever listens.

use ducat_ledger::{Change, Key, UnixMs};
use ducat_metrics::Counting;

use crate::{Listener, LiveFact, News, TenantId};

/// A fact of longer ago is no news.
const NEWS_LAST_MS: i64 = 10 * 60 * 1000;

/// Hears the changes of one commit; nothing of it counts before the commit.
pub(crate) struct Heard<'c, 'l> {
    pub counting: &'c mut Counting<'l>,
    pub news: Vec<News>,
    /// Those whose sums were written.
    pub sessions: Vec<(TenantId, Key)>,
    wants_news: bool,
    now: UnixMs,
}

impl<'c, 'l> Heard<'c, 'l> {
    pub fn new(counting: &'c mut Counting<'l>, listener: Option<&dyn Listener>, now: UnixMs) -> Self {
        Self { counting, news: Vec::new(), sessions: Vec::new(), wants_news: listener.is_some_and(Listener::wants_news), now }
    }

    /// `session` is the owner's id, where the commit knows it.
    pub fn hear(&mut self, tenant: TenantId, change: &Change<'_>, session: Option<&str>) {
        self.counting.count(tenant.0, change, session);
        if self.wants_news {
            self.news.extend(self.news_of(tenant, change, session));
        }
    }

    fn news_of(&self, tenant: TenantId, change: &Change<'_>, session: Option<&str>) -> Option<News> {
        let (at, owner) = match *change {
            Change::Request { after, owner, .. } => (after.started_at.get(), owner),
            Change::Ceased { .. } => return None,
            Change::ToolCall { after, owner, .. } => (after.started_at.get().or(after.ended_at.get()), owner),
            Change::Turn { after, owner, .. } => (after.started_at.get(), owner),
            Change::Session { after, .. } => (after.last_at.get(), None),
            Change::Incident { after, owner, .. } => (after.at.get(), owner),
            Change::Quota { after, .. } => (after.told_at.get(), None),
        };
        // First, because nearly nothing of an import is news.
        let at = *at.filter(|at| self.counting.is_live(Some(**at)) && **at > self.now - NEWS_LAST_MS)?;
        let fact = match *change {
            Change::Request { after, priced, .. } => LiveFact::Request(Box::new(after.clone()), priced.clone()),
            Change::Ceased { .. } => return None,
            Change::ToolCall { after, .. } => LiveFact::ToolCall(Box::new(after.clone())),
            Change::Turn { after, .. } => LiveFact::Turn(Box::new(after.clone())),
            Change::Session { after, .. } => LiveFact::Session(Box::new(after.clone())),
            Change::Incident { after, .. } => LiveFact::Incident(Box::new(after.clone())),
            Change::Quota { after, .. } => LiveFact::Quota(Box::new(after.clone())),
        };
        let project = owner.and_then(|owner| owner.project.clone());
        Some(News { tenant, at, session: session.map(str::to_owned), project, fact })
    }
}
