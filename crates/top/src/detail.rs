//! One session, as it is opened.

use ducat_prices::NanoUsd;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::Call;
use crate::plain::plain;
use crate::server::{Server, Unanswered};
use crate::words;

/// Rows of what happened that are kept, the latest.
const LONGEST: usize = 1000;

pub struct Detail {
    pub session: String,
    /// What, where and how much, a line each.
    pub head: Vec<String>,
    pub models: Vec<OfModel>,
    /// The latest first.
    pub happened: Vec<Happened>,
}

#[derive(Default)]
pub struct OfModel {
    pub model: String,
    pub requests: u64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub cost: Option<NanoUsd>,
    pub unpriced: u64,
}

pub struct Happened {
    pub at: Option<Timestamp>,
    pub what: String,
    pub outcome: String,
    pub is_well: Option<bool>,
}

impl Detail {
    pub fn ask(server: &Server, id: &str) -> Result<Self, Unanswered> {
        Ok(Self::of(id, &server.get::<Value>(&format!("sessions/{}", encoded(id)))?))
    }

    pub(crate) fn of(id: &str, told: &Value) -> Self {
        let text = |name: &str| told[name].as_str().map(plain).filter(|text| !text.is_empty());
        let rows = |name: &str| told[name].as_array().map_or(&[][..], Vec::as_slice);
        let mut models = Vec::<OfModel>::new();
        let mut happened = Vec::new();
        for turn in rows("turns") {
            happened.push(Happened {
                at: time(&turn["started_at"]),
                what: "prompt".to_owned(),
                outcome: String::new(),
                is_well: None,
            });
        }
        for request in rows("requests") {
            let name = request["model"].as_str().map_or_else(|| "unknown model".to_owned(), |name| plain(words::model(name)));
            let cost = nano(&request["cost_nano_usd"]);
            happened.push(Happened {
                at: time(&request["started_at"]),
                what: name.clone(),
                outcome: words::money(cost, 0),
                is_well: None,
            });
            let place = models.iter().position(|of| of.model == name).unwrap_or_else(|| {
                models.push(OfModel { model: name, ..OfModel::default() });
                models.len() - 1
            });
            models[place].add(request, cost);
        }
        for call in rows("tool_calls") {
            let at = time(&call["started_at"]);
            let call = Call {
                name: call["name"].as_str(),
                target: call["target"].as_str(),
                outcome: call["outcome"].as_str(),
                error_kind: call["error_kind"].as_str(),
                ms: call["duration_ms"].as_u64(),
            };
            happened.push(Happened { at, what: call.what(), outcome: call.ended(), is_well: call.is_well() });
        }
        happened.sort_by_key(|row| std::cmp::Reverse(row.at));
        happened.truncate(LONGEST);
        models.sort_by_key(|of| std::cmp::Reverse(of.cost));
        let client = [text("agent"), text("version")].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let place = [Some(client), text("host"), text("cwd")].into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let cost = models.iter().filter_map(|of| of.cost).reduce(NanoUsd::saturating_add);
        let unpriced: u64 = models.iter().map(|of| of.unpriced).sum();
        let requests: u64 = models.iter().map(|of| of.requests).sum();
        let cost = if models.is_empty() { NanoUsd::ZERO.to_string() } else { words::money(cost, unpriced) };
        let counted = |count: usize, what: &str| {
            format!("{} {what}{}", ducat_report::figures::count(count as u64), if count == 1 { "" } else { "s" })
        };
        let sums = [
            cost,
            counted(rows("turns").len(), "turn"),
            counted(requests as usize, "request"),
            counted(rows("tool_calls").len(), "tool call"),
            counted(rows("incidents").len(), "incident"),
        ];
        Self { session: id.to_owned(), head: vec![format!("session {}", plain(id)), place, sums.join(" · ")], models, happened }
    }
}

impl OfModel {
    fn add(&mut self, request: &Value, cost: Option<NanoUsd>) {
        let tokens = |name: &str| request[name].as_u64().unwrap_or(0);
        // A sum stands for unknown many requests: its tokens and cost count, it is none itself.
        self.requests += u64::from(request["is_sum"] != true);
        self.input = self.input.saturating_add(tokens("input_tokens"));
        self.output = self.output.saturating_add(tokens("output_tokens"));
        self.cache_read = self.cache_read.saturating_add(tokens("cache_read_tokens"));
        let written = tokens("cache_write_5m_tokens").saturating_add(tokens("cache_write_1h_tokens"));
        self.cache_write = self.cache_write.saturating_add(written);
        match cost {
            Some(cost) => self.cost = Some(self.cost.unwrap_or_default().saturating_add(cost)),
            None => self.unpriced += 1,
        }
    }
}

fn time(told: &Value) -> Option<Timestamp> {
    told.as_str()?.parse().ok()
}

fn nano(told: &Value) -> Option<NanoUsd> {
    told.as_str()?.parse().ok().map(NanoUsd)
}

/// An id as a part of a path: it may be any text.
fn encoded(id: &str) -> String {
    let mut text = String::new();
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_in_lines() {
        let told = json!({
            "session": "s1", "agent": "claude-code", "version": "2.1.0", "cwd": "/w/\u{1b}[31mproj", "host": null,
            "turns": [{ "started_at": "2026-11-25T10:00:00.000Z" }],
            "requests": [
                { "model": "claude-opus-5", "started_at": "2026-11-25T10:00:05.000Z", "input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 30,
                  "cache_write_5m_tokens": 1, "cache_write_1h_tokens": 2, "is_sum": false, "cost_nano_usd": "1500000000" },
                { "model": "claude-opus-5", "started_at": null, "is_sum": true, "cost_nano_usd": null },
            ],
            "tool_calls": [{ "name": "Read", "target": "/w/a.rs", "outcome": "error", "error_kind": "not_found", "started_at": "2026-11-25T10:00:07.000Z", "duration_ms": 12 }],
            "incidents": [],
        });
        let detail = Detail::of("s1", &told);
        assert_eq!(
            detail.head,
            ["session s1", "claude-code 2.1.0 · /w/[31mproj", "$1.50+? · 1 turn · 1 request · 1 tool call · 0 incidents"]
        );
        let of = &detail.models[0];
        assert_eq!((of.requests, of.input, of.cache_write, of.unpriced), (1, 10, 3, 1));
        let happened: Vec<_> = detail.happened.iter().map(|row| (row.what.as_str(), row.outcome.as_str())).collect();
        assert_eq!(happened, [("Read a.rs", "not_found 12 ms"), ("opus-5", "$1.50"), ("prompt", ""), ("opus-5", "unknown")]);
        assert_eq!(encoded("a/../b?c d"), "a%2F..%2Fb%3Fc%20d");
        // What is no session at all is an empty one.
        assert_eq!(Detail::of("x", &json!([1])).happened.len(), 0);
    }
}
