//! What happens now, as server-sent events: `GET /api/v1/live`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use ducat_store::{Listener, LiveFact, News};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_stream::wrappers::ReceiverStream;

use crate::App;
use crate::api::error;

/// Events a slow reader may be behind.
const BEHIND: usize = 1024;
const READERS: usize = 64;

/// Passes news from the store on to all who read.
pub struct LiveHub(broadcast::Sender<Arc<str>>);

impl Default for LiveHub {
    fn default() -> Self {
        Self(broadcast::channel(BEHIND).0)
    }
}

impl Listener for LiveHub {
    fn wants_news(&self) -> bool {
        self.0.receiver_count() > 0
    }

    fn hear(&self, news: Vec<News>) {
        for one in &news {
            // Nobody reads any more.
            let _ = self.0.send(text(one).to_string().into());
        }
    }
}

/// One event: `kind`, `at`, `session`, `project`, and what the kind has.
fn text(news: &News) -> Value {
    let at = Timestamp::from_millisecond(news.at).ok().map(|at| format!("{at:.3}"));
    let mut event = json!({ "kind": "", "at": at, "session": news.session, "project": news.project });
    let (kind, agent, more) = match &news.fact {
        LiveFact::Session(session) => (
            "session",
            &session.agent,
            json!({ "session": session.id, "cwd": session.cwd.get(), "ended": session.ended_at.is_told() }),
        ),
        LiveFact::Turn(turn) => {
            ("turn", &turn.agent, json!({ "prompt_bytes": turn.prompt_bytes.get(), "ended": turn.ended_at.is_told() }))
        }
        LiveFact::Request(request, priced) => {
            let usage = request.usage();
            let cost = json!({
                "model": priced.model, "input_tokens": usage.input, "output_tokens": usage.output, "cache_read_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h + usage.cache_write_unsplit,
                "cost_usd": priced.cost.map(|cost| cost.as_usd()), "request": request.id, "subagent": request.subagent.get(),
            });
            ("request", &request.agent, cost)
        }
        LiveFact::ToolCall(call) => {
            let told = json!({
                "tool_call": call.id, "name": call.name.get(), "target": call.target.get(), "outcome": call.outcome.get(),
                "error_kind": call.error_kind.get(), "duration_ms": call.duration_ms(), "subagent": call.subagent.get(),
            });
            ("tool_call", &call.agent, told)
        }
        LiveFact::Quota(quota) => (
            "quota",
            &quota.agent,
            json!({ "window_minutes": quota.window_minutes, "used_percent": f64::from(quota.used()) / 1e4 }),
        ),
        LiveFact::Incident(incident) => {
            let told = json!({ "incident": incident.kind.get(), "detail": incident.detail.get(), "value": incident.value.get() });
            ("incident", &incident.agent, told)
        }
    };
    event["kind"] = json!(kind);
    event["agent"] = json!(agent);
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    event
}

pub(crate) async fn live(State(app): State<App>) -> Response {
    let Some(hub) = &app.live else { return error(StatusCode::NOT_FOUND, "this server has no live events") };
    if hub.0.receiver_count() >= READERS {
        return error(StatusCode::SERVICE_UNAVAILABLE, "too many live readers; close some pages");
    }
    let mut news = hub.0.subscribe();
    let mut ending = app.ending.subscribe();
    let (to_reader, events) = tokio::sync::mpsc::channel::<Result<Event, Infallible>>(16);
    tokio::spawn(async move {
        let hello = Event::default().event("hello").data("{}");
        if to_reader.send(Ok(hello)).await.is_err() {
            return;
        }
        loop {
            let event = tokio::select! {
                next = news.recv() => match next {
                    Ok(text) => Event::default().data(&*text),
                    Err(RecvError::Lagged(missed)) => Event::default().event("missed").data(missed.to_string()),
                    Err(RecvError::Closed) => return,
                },
                _ = ending.changed() => return,
                () = to_reader.closed() => return,
            };
            if to_reader.send(Ok(event)).await.is_err() {
                return;
            }
        }
    });
    Sse::new(ReceiverStream::new(events)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}
