//! What clients of the first version's API have started and not ended.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use ducat_ledger::{Fact, IncidentKind, Session, ToolCall, UnixMs};
use ducat_store::{StoreError, TenantId};

use super::first_version::{AGENT, MARK, incident, now, store};
use crate::App;

/// How far back the start looks for what is open.
const LOOK_BACK_MS: i64 = 24 * 3_600_000;

/// What has started and not ended, kept in memory and made anew from the ledger at the start.
#[derive(Default)]
pub(crate) struct Running(Mutex<Open>);

/// A call, and when it was heard of: its own time is the client's to tell.
#[derive(Clone)]
pub(super) struct OpenCall {
    pub call: ToolCall,
    pub since: Instant,
}

#[derive(Default)]
pub(super) struct Open {
    pub calls: HashMap<String, OpenCall>,
    /// By citizen, the latest last.
    pub sessions: HashMap<String, Vec<Session>>,
}

impl Running {
    pub(super) fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds in the ledger what was open when the last server ended.
    pub fn restore(store: &ducat_store::Store, now: UnixMs) -> Result<Self, StoreError> {
        let reader = store.reader()?;
        let mut open = Open::default();
        for call in reader.open_tool_calls(TenantId::LOCAL, AGENT, (now - LOOK_BACK_MS, now))? {
            open.calls.insert(told_id(&call.id).to_owned(), OpenCall { call, since: Instant::now() });
        }
        for session in reader.sessions_since(TenantId::LOCAL, now - LOOK_BACK_MS)? {
            if session.agent == AGENT && session.ended_at.is_untold() {
                open.sessions.entry(told_id(&session.id).to_owned()).or_default().push(session);
            }
        }
        Ok(Self(Mutex::new(open)))
    }
}

/// The client's own id, without what makes it unique.
fn told_id(id: &str) -> &str {
    id.rsplit_once(MARK).map_or(id, |(told, _)| told)
}

/// Gives up calls that started longer ago than `lasts`; each is an incident.
pub(crate) async fn expire(app: App, lasts: Duration) {
    let is_open = |session: &Session| session.started_at.or_default() >= now() - LOOK_BACK_MS;
    let mut turns = tokio::time::interval((lasts / 4).clamp(Duration::from_millis(100), Duration::from_secs(30)));
    loop {
        turns.tick().await;
        // A session that nobody ends is active for a day.
        app.running.open().sessions.retain(|_, sessions| {
            sessions.retain(is_open);
            !sessions.is_empty()
        });
        let expired: Vec<(String, OpenCall)> =
            app.running.open().calls.extract_if(|_, open| open.since.elapsed() > lasts).collect();
        let facts = expired.iter().map(|(_, OpenCall { call, .. })| {
            let mut given_up = incident(IncidentKind::ExpiredToolCall, call.user.get().map_or("unknown", String::as_str));
            // One a call, also when the call is found open again after a restart.
            given_up.key = call.key;
            given_up.id = format!("{}/{}", IncidentKind::ExpiredToolCall.name(), call.id);
            given_up.subject = call.name.clone();
            Fact::Incident(given_up)
        });
        let facts: Vec<Fact> = facts.collect();
        if !facts.is_empty() && store(&app, &HeaderMap::new(), facts).await.is_err() {
            app.running.open().calls.extend(expired);
        }
    }
}
