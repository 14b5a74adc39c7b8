//! How it stands with the witnesses: `GET /api/v1/witnesses`, what is said of a quiet one, and the gauges.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ducat_ledger::{Freshness, UnixMs, Witness};
use ducat_metrics::{Exposition, Kind, LabelValues};
use ducat_report::rfc3339;
use ducat_ship::host_name;
use ducat_store::{Reader, StoreError, TenantId};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::App;
use crate::api::{failed, off_the_runtime};

/// Agents that `ducat setup` is for, by the name that it has for them.
const SET_UP: [(&str, &str); 3] = [("claude-code", "claude-code"), ("codex", "codex"), ("gemini-cli", "gemini")];

/// What was read last is told again for so many times as long as reading it took: a ledger of many machines has many spells.
const KEPT_TIMES: u32 = 50;

/// How it stood with the witnesses when it was last read.
#[derive(Default)]
pub(crate) struct LastRead(Mutex<Option<(Instant, Duration, Vec<Freshness>)>>);

impl LastRead {
    /// How it stands with the witnesses of this machine and of those that ship here.
    pub fn freshness(&self, reader: &Reader) -> Result<Vec<Freshness>, StoreError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, took, rows)) = &*last
            && at.elapsed() < *took * KEPT_TIMES
        {
            return Ok(rows.clone());
        }
        let begun = Instant::now();
        let rows = reader.freshness(TenantId::LOCAL, &host_name(), Timestamp::now().as_millisecond())?;
        *last = Some((Instant::now(), begun.elapsed(), rows.clone()));
        Ok(rows)
    }
}

/// Every witness that was heard of what was happening in the last seven days, by agent, host and witness.
pub(crate) async fn witnesses(State(app): State<App>) -> Response {
    match off_the_runtime(move || app.witnesses.freshness(&app.store.reader()?)).await {
        Ok(rows) => Json(witnesses_json(&rows)).into_response(),
        Err(cause) => failed(&cause),
    }
}

fn witnesses_json(rows: &[Freshness]) -> Value {
    let own_host = host_name();
    let rows = rows.iter().map(|row| {
        json!({
            "agent": row.agent, "host": row.host, "witness": row.witness.name(), "heard_at": rfc3339(row.heard_at),
            "quiet": row.quiet.map(|quiet| json!({
                "others": quiet.others.names(), "others_heard_at": rfc3339(quiet.until), "remedy": remedy(row, &own_host),
            })),
        })
    });
    json!({ "schema_version": 1, "rows": rows.collect::<Vec<_>>() })
}

/// What to do about a quiet witness, in words.
pub fn remedy(row: &Freshness, own_host: &str) -> String {
    let place = if row.host == own_host { String::new() } else { format!("On {}: ", row.host) };
    let setup = SET_UP.iter().find(|(agent, _)| *agent == row.agent).map(|(_, name)| *name);
    let words = match (row.witness, setup) {
        (Witness::Transcript, _) => "`ducat doctor` says whether they can be read; start `ducat serve` with the same HOME (and \
             CLAUDE_CONFIG_DIR or CODEX_HOME) as the agent, or run `ducat import`."
            .to_owned(),
        (witness, Some(name)) => {
            let out = if witness == Witness::Hook { "--remove" } else { "--no-telemetry" };
            format!(
                "`ducat doctor` says what is wrong; `ducat setup {name}` writes it anew, for sessions that begin then; where it is to stay away, \
                 `ducat setup {name} {out}`."
            )
        }
        (_, None) => "Its exporter must run and send here (OTEL_EXPORTER_OTLP_ENDPOINT, docs/otlp.md).".to_owned(),
    };
    format!("{place}{words}")
}

/// The latest over all hosts, and whether it is quiet on any. Agents' names come from outside, so they are bounded.
pub(crate) fn gauges(text: &mut Exposition, rows: &[Freshness], known: &mut LabelValues) {
    let mut by_name = BTreeMap::<(String, &'static str), (UnixMs, bool)>::new();
    for row in rows {
        let agent = known.bound(TenantId::LOCAL.0, "agent", &row.agent).to_owned();
        let (heard_at, is_quiet) = by_name.entry((agent, row.witness.name())).or_insert((row.heard_at, false));
        *heard_at = row.heard_at.max(*heard_at);
        *is_quiet |= row.quiet.is_some();
    }
    let help = "When a witness last told of an agent as it happened, in seconds since 1970; for seven days.";
    text.family("ducat_witness_last_seen_timestamp_seconds", Kind::Gauge, help);
    for ((agent, witness), (heard_at, _)) in &by_name {
        text.sample(&[("agent", agent), ("witness", witness)], *heard_at as f64 / 1e3);
    }
    let help = "1 while a witness is quiet on some host, though others go on telling of what it would have told; else 0.";
    text.family("ducat_witness_quiet", Kind::Gauge, help);
    for ((agent, witness), (_, is_quiet)) in &by_name {
        text.sample(&[("agent", agent), ("witness", witness)], u8::from(*is_quiet));
    }
}

#[cfg(test)]
mod tests {
    use ducat_ledger::{Quiet, Witnesses};
    use ducat_metrics::Format;

    use super::*;

    fn row(agent: &str, host: &str, witness: Witness, is_quiet: bool) -> Freshness {
        let quiet = is_quiet.then_some(Quiet { others: Witnesses::only(Witness::Transcript), until: 9000 });
        Freshness { agent: agent.to_owned(), host: host.to_owned(), witness, heard_at: if is_quiet { 1500 } else { 8000 }, quiet }
    }

    #[test]
    fn gauges_are_of_all_hosts_and_bounded() {
        let mut known = LabelValues::default();
        let mut text = Exposition::new(Format::Prometheus, Vec::new());
        let rows = [row("codex", "a", Witness::Hook, true), row("codex", "b", Witness::Hook, false)];
        gauges(&mut text, &rows, &mut known);
        let text = text.finish();
        assert!(text.contains("ducat_witness_last_seen_timestamp_seconds{agent=\"codex\",witness=\"hook\"} 8\n"), "{text}");
        assert!(text.contains("ducat_witness_quiet{agent=\"codex\",witness=\"hook\"} 1\n"), "{text}");
        let mut text = Exposition::new(Format::Prometheus, Vec::new());
        let many: Vec<Freshness> = (0..900).map(|number| row(&format!("app-{number}"), "a", Witness::OtlpSpan, false)).collect();
        gauges(&mut text, &many, &mut known);
        assert!(text.finish().lines().count() < 410);
    }

    #[test]
    fn every_quiet_witness_has_a_remedy_that_names_a_command_or_a_setting() {
        for (agent, host, witness, word) in [
            ("claude-code", "here", Witness::Hook, "ducat setup claude-code --remove"),
            ("gemini-cli", "here", Witness::OtlpLog, "ducat setup gemini`"),
            ("codex", "box", Witness::OtlpMetric, "On box: `ducat doctor`"),
            ("pi", "here", Witness::Transcript, "ducat import"),
            ("a-service", "here", Witness::OtlpSpan, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ] {
            let words = remedy(&row(agent, host, witness, true), "here");
            assert!(words.contains(word), "{words}");
        }
    }
}
