//! One live event, in words.

use ducat_prices::NanoUsd;
use jiff::Timestamp;
use serde::Deserialize;

use crate::call::Call;
use crate::plain::plain;
use crate::words::model;

/// What happened, fit for a terminal. It may be told of more than once: as it begins, and with more of it known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same for every word of the same.
    pub key: String,
    pub at: Timestamp,
    pub session: Option<String>,
    pub project: Option<String>,
    /// `Bash cargo test`, `opus-5`, `prompt`.
    pub what: String,
    /// `1.2 s`, `$0.081`, `error`.
    pub outcome: String,
    /// None while it goes on, and where nothing can fail.
    pub is_well: Option<bool>,
    /// Of a request.
    pub model: Option<String>,
}

/// As the server tells it; every kind has some of this.
#[derive(Deserialize)]
struct Told {
    kind: String,
    at: Option<String>,
    session: Option<String>,
    project: Option<String>,
    #[serde(default)]
    ended: bool,
    model: Option<String>,
    cost_usd: Option<f64>,
    name: Option<String>,
    target: Option<String>,
    outcome: Option<String>,
    error_kind: Option<String>,
    duration_ms: Option<u64>,
    request: Option<String>,
    tool_call: Option<String>,
    incident: Option<String>,
    detail: Option<String>,
}

impl Event {
    /// None for what is no event of a known kind. `now` stands in where the time is not told.
    pub fn parse(data: &str, now: Timestamp) -> Option<Self> {
        let told: Told = serde_json::from_str(data).ok()?;
        let (what, outcome, is_well) = match told.kind.as_str() {
            "tool_call" => {
                let call = Call {
                    name: told.name.as_deref(),
                    target: told.target.as_deref(),
                    outcome: told.outcome.as_deref(),
                    error_kind: told.error_kind.as_deref(),
                    ms: told.duration_ms,
                };
                (call.what(), call.ended(), call.is_well())
            }
            "request" => {
                let cost =
                    told.cost_usd.and_then(NanoUsd::from_usd).map_or_else(|| "cost unknown".to_owned(), |cost| cost.to_string());
                (told.model.as_deref().map_or_else(|| "request".to_owned(), |name| model(name).to_owned()), cost, None)
            }
            "turn" => ("prompt".to_owned(), if told.ended { "answered".to_owned() } else { String::new() }, None),
            "incident" => (
                told.incident.unwrap_or_else(|| "incident".to_owned()).replace('_', " "),
                told.detail.unwrap_or_default(),
                Some(false),
            ),
            // Sessions and quotas tell that there is news, and are no event of their own.
            _ => return None,
        };
        let id = told.tool_call.or(told.request);
        let key = id.unwrap_or_else(|| format!("{} {:?} {:?} {what}", told.kind, told.at, told.session));
        Some(Self {
            key,
            at: told.at.and_then(|at| at.parse().ok()).unwrap_or(now),
            session: told.session,
            project: told.project,
            what: plain(&what),
            outcome: plain(&outcome),
            is_well,
            model: told.model,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_in_words() {
        let words =
            |data: &str| Event::parse(data, Timestamp::UNIX_EPOCH).map(|event| (event.what, event.outcome, event.is_well));
        for (data, what, outcome, is_well) in [
            (
                r#"{"kind":"tool_call","name":"Bash","target":"cargo test -p x","outcome":"ok","duration_ms":1234}"#,
                "Bash cargo test -p x",
                "1.2 s",
                Some(true),
            ),
            (
                r#"{"kind":"tool_call","name":"Read","target":"/src/main.rs","outcome":"error","error_kind":"not_found"}"#,
                "Read main.rs",
                "not_found",
                Some(false),
            ),
            (r#"{"kind":"tool_call","name":null,"outcome":null}"#, "tool", "running", None),
            (r#"{"kind":"request","model":"claude-opus-5","cost_usd":0.081}"#, "opus-5", "$0.0810", None),
            (r#"{"kind":"request","model":"gpt-x","cost_usd":null}"#, "gpt-x", "cost unknown", None),
            (r#"{"kind":"turn","ended":false}"#, "prompt", "", None),
            (r#"{"kind":"incident","incident":"api_error","detail":"529\u001b[2J"}"#, "api error", "529[2J", Some(false)),
        ] {
            assert_eq!(words(data), Some((what.to_owned(), outcome.to_owned(), is_well)), "{data}");
        }
        for data in ["", "{}", "[1]", r#"{"kind":"unheard_of"}"#, r#"{"kind":7}"#, "{\"kind\":\"turn\"", &"[".repeat(100_000)] {
            assert_eq!(words(data), None);
        }
    }
}
