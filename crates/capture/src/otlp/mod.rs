//! OpenTelemetry: log records, spans and metric points to facts, whoever sent them.

mod claude_code;
mod codex;
mod counters;
mod dimensions;
mod gemini_cli;
mod genai;
mod outer;
mod qwen_code;
mod record;
mod splits;
mod sums;
mod telling;

use ducat_ledger::{Fact, UnixMs};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};

use self::counters::Counters;
pub use self::dimensions::Dimensions;
use self::outer::{Outer, Process};
use self::record::Record;
use self::splits::CacheSplits;

/// What decoding asks of its surroundings. No telemetry names a working directory, so nothing of it is excluded (docs/otlp.md).
pub struct Surroundings<'a> {
    /// What earlier exports told.
    pub memory: &'a Memory,
    /// Which attributes tell user, team and labels.
    pub dimensions: &'a Dimensions,
    /// When the export came in; no record is later.
    pub now: UnixMs,
}

/// What decoding remembers of one tenant's exports, in bounds: records alone do not tell it.
#[derive(Default)]
pub struct Memory {
    cache_splits: CacheSplits,
    counters: Counters,
}

/// What became of an export's records (log records, spans, or data points).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Taken in, also those that tell nothing a meter wants.
    pub accepted: u64,
    pub rejected: u64,
    /// Why the first was rejected, naming the record and the field.
    pub reason: Option<String>,
}

/// As what they call themselves; `github-copilot` is Copilot CLI.
const TRANSCRIBED: [&str; 4] = ["copilot-cli", "github-copilot", "opencode", "pi"];

/// Whose telemetry it is, by the resource's `service.name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    ClaudeCode,
    /// `codex_exec`, `codex_cli_rs`, `codex-app-server`, …
    Codex,
    GeminiCli,
    /// Another agent, whose transcripts tell the same requests under other ids: its telemetry is not read, for it would count them twice.
    Transcribed,
    /// A fork of Gemini CLI.
    QwenCode,
    /// Any other application.
    Application,
}

impl Sender {
    fn of(resource: &[KeyValue]) -> Self {
        let name = resource.iter().find(|attribute| attribute.key == "service.name");
        match name.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(Value::StringValue(name)) if name == crate::claude_code::AGENT => Self::ClaudeCode,
            Some(Value::StringValue(name)) if name == crate::gemini_cli::AGENT => Self::GeminiCli,
            Some(Value::StringValue(name)) if name.starts_with(crate::codex::AGENT) => Self::Codex,
            Some(Value::StringValue(name)) if TRANSCRIBED.contains(&name.as_str()) => Self::Transcribed,
            Some(Value::StringValue(name)) if name == crate::qwen_code::AGENT => Self::QwenCode,
            _ => Self::Application,
        }
    }
}

/// Events of agents and applications become facts.
pub fn decode_logs(request: &ExportLogsServiceRequest, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Exported {
    let mut exported = Exported::default();
    for resource in &request.resource_logs {
        let of_resource = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let sender = Sender::of(of_resource);
        for scope in &resource.scope_logs {
            let of_scope = scope.scope.as_ref().map_or(&[][..], |scope| &scope.attributes);
            for log in &scope.log_records {
                let record = Record::of_log(log, &[of_resource, of_scope], around.now);
                let told = match sender {
                    Sender::ClaudeCode => claude_code::event::decode(&record, around, out),
                    Sender::Codex => codex::decode(&record, around, out),
                    Sender::GeminiCli => gemini_cli::decode(&record, around, out),
                    Sender::Transcribed => Ok(()),
                    Sender::QwenCode => qwen_code::decode(&record, around, out),
                    Sender::Application => genai::decode_log(record, log, scope_name(&scope.scope), around, out),
                };
                exported.count("log record", told);
            }
        }
    }
    exported
}

/// Spans of Claude Code and of applications become facts; those of Codex and Gemini CLI repeat their logs.
pub fn decode_traces(request: &ExportTraceServiceRequest, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Exported {
    let mut exported = Exported::default();
    for resource in &request.resource_spans {
        let of_resource = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let sender = Sender::of(of_resource);
        for scope in &resource.scope_spans {
            let of_scope = scope.scope.as_ref().map_or(&[][..], |scope| &scope.attributes);
            for span in &scope.spans {
                let record = Record::of_span(span, &[of_resource, of_scope], around.now);
                let told = match sender {
                    Sender::ClaudeCode => claude_code::span::decode(span, &record, around, out),
                    Sender::Application => genai::decode_span(record, span, scope_name(&scope.scope), around, out),
                    Sender::Codex | Sender::GeminiCli | Sender::QwenCode | Sender::Transcribed => Ok(()),
                };
                exported.count("span", told);
            }
        }
    }
    exported
}

/// Token counters of Claude Code, Gemini CLI and applications become sums; Codex' repeat its logs by turn.
pub fn decode_metrics(request: &ExportMetricsServiceRequest, around: &Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Exported {
    let mut exported = Exported::default();
    for resource in &request.resource_metrics {
        let process = Process::of(resource.resource.as_ref());
        let sender = Sender::of(process.attributes);
        for scope in &resource.scope_metrics {
            let outer = Outer::of(&process, scope.scope.as_ref());
            for metric in &scope.metrics {
                if sender != Sender::Application {
                    sums::decode(sender, metric, &outer.attributes, around, &mut exported, out);
                    continue;
                }
                let told = genai::decode_metric(metric, &outer, around, out);
                told.into_iter().for_each(|told| exported.count("data point", told));
            }
        }
    }
    exported
}

fn scope_name(scope: &Option<InstrumentationScope>) -> &str {
    scope.as_ref().map_or("", |scope| &scope.name)
}

impl Exported {
    fn count(&mut self, what: &str, told: Result<(), String>) {
        match told {
            Ok(()) => self.accepted += 1,
            Err(reason) => {
                let nth = self.accepted + self.rejected + 1;
                self.rejected += 1;
                self.reason.get_or_insert_with(|| format!("{what} {nth}: {reason}"));
            }
        }
    }
}
