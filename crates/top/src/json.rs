//! One snapshot as JSON.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::snapshot::{Session, Snapshot, Totals};

/// `null` stands for what is not known or not told by an older server.
pub fn json(url: &str, snapshot: &Snapshot) -> Value {
    let hour = snapshot.last_hour.as_ref();
    let session = |session: &Session| {
        let last_hour = hour.map(|hour| hour.by_session.get(&session.session).map_or_else(none_spent, sums));
        json!({
            "session": session.session, "agent": session.agent, "project": session.project, "cwd": session.cwd, "branch": session.branch,
            "user": session.user, "host": session.host, "models": session.models, "started_at": time(session.started_at),
            "last_at": time(session.last_at), "is_live": session.is_live(snapshot.at), "turns": session.turns, "requests": session.requests,
            "tool_calls": session.tool_calls, "failed_tool_calls": session.failed_tool_calls, "unpriced_requests": session.unpriced_requests,
            "cost_usd": session.cost.map(|cost| cost.as_usd()), "cost_nano_usd": session.cost, "last_hour": last_hour,
        })
    };
    let quotas = snapshot.quotas.iter().map(|quota| {
        json!({
            "agent": quota.agent, "window": quota.window, "used_percent": quota.used_percent, "resets_at": time(quota.resets_at),
            "used_up_at": time(quota.used_up_at),
        })
    });
    let tools = snapshot.tools.as_ref().map(|tools| {
        let tools = tools.iter().map(|tool| {
            json!({
                "tool": tool.tool, "calls": tool.calls, "failed": tool.failed, "p50_ms": tool.p50_ms, "p95_ms": tool.p95_ms, "p99_ms": tool.p99_ms,
                "result_bytes": tool.result_bytes,
            })
        });
        tools.collect::<Vec<_>>()
    });
    json!({
        "schema_version": 1, "at": time(Some(snapshot.at)), "url": url, "today": sums(&snapshot.today), "is_list_price": snapshot.is_plan,
        "last_hour": hour.map(|hour| sums(&hour.all)), "hours": snapshot.hours.as_ref().map(|hours| hours.iter().map(sums).collect::<Vec<_>>()),
        "live_sessions": snapshot.live_sessions(snapshot.at), "quotas": quotas.collect::<Vec<_>>(), "tools": tools,
        "sessions": snapshot.sessions.iter().map(session).collect::<Vec<_>>(),
    })
}

fn sums(totals: &Totals) -> Value {
    json!({
        "requests": totals.requests, "unpriced_requests": totals.unpriced_requests, "cost_usd": totals.cost.map(|cost| cost.as_usd()),
        "cost_nano_usd": totals.cost,
    })
}

fn none_spent() -> Value {
    sums(&Totals { cost: Some(Default::default()), ..Totals::default() })
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| format!("{at:.3}"))
}
