//! One hook event: decoded, stored once, answered after its commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ducat_capture::claude_code::STATUS_LINE;
use ducat_capture::{HookVerdict, Workspaces, event_decoder};
use ducat_ledger::TIMES;
use ducat_spool::{EventId, Frame, Status, now_ms};
use ducat_store::{Event, Lane, Receipt, StoreError, TenantId, Write};
use tokio::sync::oneshot;

use super::{Way, status_line};
use crate::api::error;
use crate::log::Source;
use crate::security::Caller;
use crate::{App, Shared};

/// Repositories and `.ducatignore` files may change; what was found of them is kept this long.
const WORKSPACES_LAST: Duration = Duration::from_secs(5);

/// Makes a resolver of working directories on this machine.
pub(crate) type MakeWorkspaces = Arc<dyn Fn() -> Box<dyn Workspaces + Send> + Send + Sync>;

/// Projects of working directories, looked up at most every few seconds.
pub(crate) struct Resolved {
    make: MakeWorkspaces,
    current: Box<dyn Workspaces + Send>,
    since: Instant,
}

impl Resolved {
    pub fn new(make: MakeWorkspaces) -> Self {
        Self { current: make(), make, since: Instant::now() }
    }

    pub fn current(&mut self) -> &mut dyn Workspaces {
        if self.since.elapsed() > WORKSPACES_LAST {
            self.current = (self.make)();
            self.since = Instant::now();
        }
        &mut *self.current
    }
}

/// What became of an event, why it cannot be read when it cannot, and what the one who sent it is told.
pub(crate) struct Taken {
    pub status: Status,
    pub fault: Option<String>,
    pub body: Vec<u8>,
}

/// Believes one event; returns after its facts are on disk.
pub(crate) async fn take(app: &Shared, tenant: TenantId, frame: &Frame, way: Way) -> Taken {
    let mut taken = store(app, tenant, frame, way).await;
    if frame.agent == STATUS_LINE && taken.status.is_final() && way != Way::Spool {
        taken.body = status_line::standing(app, frame).await;
    }
    app.events.count(way, taken.status);
    if let Some(fault) = &taken.fault {
        app.log.say(Source::Hooks, &format!("an event of {} over {} cannot be read: {fault}", frame.agent, way.name()));
    }
    taken
}

async fn store(app: &Shared, tenant: TenantId, frame: &Frame, way: Way) -> Taken {
    let malformed = |fault: String| Taken { status: Status::Malformed, fault: Some(fault), body: Vec::new() };
    let plain = |status| Taken { status, fault: None, body: Vec::new() };
    let decode = match event_decoder(&frame.agent) {
        Ok(decode) => decode,
        Err(unknown) => return malformed(unknown),
    };
    let Some(at) = i64::try_from(frame.at_ms).ok().filter(|at| TIMES.contains(at)) else {
        return malformed("event time: in no calendar".to_owned());
    };
    let mut facts = Vec::new();
    let verdict = {
        let mut resolved = app.resolved.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        decode(&frame.payload, at, resolved.current(), &mut |fact| facts.push(fact))
    };
    match verdict {
        HookVerdict::Decoded => {}
        // Nothing to lose, so nothing to write.
        HookVerdict::NoFacts => return plain(Status::Stored),
        HookVerdict::Excluded => return plain(Status::Excluded),
        HookVerdict::Malformed(reason) => return malformed(reason.to_owned()),
    }
    let lane = if way == Way::Spool { Lane::Bulk } else { Lane::Live };
    let event = Some(Event { id: frame.id.0, at });
    let write = Write { lane, tenant, facts, event, cursors: Vec::new() };
    match commit(app, write).await {
        Ok(Receipt::Stored) => plain(Status::Stored),
        Ok(Receipt::Duplicate) => plain(Status::Already),
        Ok(Receipt::Stale) => plain(Status::Stale),
        Err(_) => plain(Status::Busy),
    }
}

/// Waits for a write's commit without holding a thread.
pub(crate) async fn commit(app: &Shared, write: Write) -> Result<Receipt, StoreError> {
    let (tell, told) = oneshot::channel();
    // Who asked may have gone away.
    let answer = move |result| drop(tell.send(result));
    match write.lane {
        Lane::Live => app.store.submit(write, answer),
        // A full bulk lane makes its caller wait, and while an import runs it is full.
        Lane::Bulk => {
            let store = app.store.clone();
            tokio::task::spawn_blocking(move || store.submit(write, answer));
        }
    }
    told.await.unwrap_or(Err(StoreError::Closed))
}

pub(crate) const EVENT_ID: &str = "x-ducat-event-id";
const EVENT_TIME: &str = "x-ducat-event-time";
const EVENT_STATUS: &str = "x-ducat-event-status";

/// An event over HTTP: from `ducat-hook` with an id and a time, or from the agent itself without.
pub(crate) async fn post(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let id = match text(EVENT_ID).map(EventId::parse) {
        Some(None) => return error(StatusCode::BAD_REQUEST, "x-ducat-event-id: not 32 hex digits"),
        Some(Some(id)) => id,
        None => EventId::new(),
    };
    let at_ms = match text(EVENT_TIME).map(str::parse) {
        Some(Err(_)) => return error(StatusCode::BAD_REQUEST, "x-ducat-event-time: not milliseconds since 1970"),
        Some(Ok(at_ms)) => at_ms,
        None => now_ms(),
    };
    let tenant = match &caller {
        Caller::Machine(key) => key.tenant,
        Caller::Owner | Caller::Anyone => TenantId::LOCAL,
    };
    let taken = take(&app, tenant, &Frame { id, at_ms, agent, payload: body.into() }, Way::Http).await;
    let mut response = match (taken.status, taken.fault) {
        (Status::Malformed, fault) => error(StatusCode::BAD_REQUEST, &fault.unwrap_or_default()),
        (Status::Busy, _) => error(StatusCode::SERVICE_UNAVAILABLE, "too much is waiting to be written; try again"),
        // What an agent may read as an answer says nothing to it; and a machine's key reads nothing.
        _ if taken.body.is_empty() || matches!(caller, Caller::Machine(_)) => {
            ([(header::CONTENT_TYPE, "application/json")], "{}").into_response()
        }
        _ => ([(header::CONTENT_TYPE, "application/json")], taken.body).into_response(),
    };
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(EVENT_ID, value);
    }
    response.headers_mut().insert(EVENT_STATUS, HeaderValue::from(u16::from(taken.status as u8)));
    response
}
