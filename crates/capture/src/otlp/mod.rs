//! OpenTelemetry: log records, spans and metric points to facts, whoever sent them.

mod claude_code;
mod genai;
mod record;

use std::fmt::Display;

use ducat_ledger::{Fact, UnixMs};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use self::record::Record;
use crate::Workspaces;

/// What decoding asks of its surroundings.
pub struct Surroundings<'a> {
    /// Resolves working directories, where telemetry tells one.
    pub workspaces: &'a mut dyn Workspaces,
    pub split_cache_writes: &'a dyn SplitCacheWrites,
    /// When the export came in; no record is later.
    pub now: UnixMs,
}

/// Solves how many of a request's cache writes were for five minutes and for an hour, from what the client says it cost.
pub trait SplitCacheWrites {
    /// `None` where it cannot be told. Counts are tokens; the cost is in nano-USD.
    fn split(&self, usage: &CacheWrites<'_>) -> Option<(u64, u64)>;
}

/// A request of which only the sum of its cache writes is known.
pub struct CacheWrites<'a> {
    pub model: &'a str,
    pub speed: Option<&'a str>,
    pub at: UnixMs,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    pub cost_nano: i64,
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

/// Claude Code's events become facts, and the details that other applications log of requests.
pub fn decode_logs(request: &ExportLogsServiceRequest, around: &mut Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Exported {
    let mut exported = Exported::default();
    for resource in &request.resource_logs {
        for scope in &resource.scope_logs {
            let (outer, scope_name) = outer(&resource.resource, &scope.scope);
            for log in &scope.log_records {
                let record = Record::new(log, &outer, around.now);
                match record.text("service.name") {
                    Some("claude-code") => {
                        let told = claude_code::decode_event(&record, around.split_cache_writes, out);
                        exported.count("log record", told);
                    }
                    service if genai::is_application(service) => {
                        exported.count("log record", genai::decode_log(record, log, scope_name, out));
                    }
                    _ => exported.accepted += 1,
                }
            }
        }
    }
    exported
}

/// Spans of applications become facts.
pub fn decode_traces(request: &ExportTraceServiceRequest, around: &mut Surroundings<'_>, out: &mut dyn FnMut(Fact)) -> Exported {
    let mut exported = Exported::default();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            let (outer, scope_name) = outer(&resource.resource, &scope.scope);
            for span in &scope.spans {
                let record = Record::of(&outer, &span.attributes, around.now);
                match record.text("service.name") {
                    service if genai::is_application(service) => {
                        exported.count("span", genai::decode_span(record, span, scope_name, around.now, out));
                    }
                    _ => exported.accepted += 1,
                }
            }
        }
    }
    exported
}

/// Points of applications' metrics become sums of requests.
pub fn decode_metrics(
    request: &ExportMetricsServiceRequest,
    around: &mut Surroundings<'_>,
    out: &mut dyn FnMut(Fact),
) -> Exported {
    let mut exported = Exported::default();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            let (outer, scope_name) = outer(&resource.resource, &scope.scope);
            let record = Record::of(&outer, &[], around.now);
            let is_application = genai::is_application(record.text("service.name"));
            for metric in &scope.metrics {
                if !is_application {
                    exported.accepted += genai::data_points(metric) as u64;
                    continue;
                }
                let told = genai::decode_metric(metric, &outer, scope_name, around.now, out);
                told.into_iter().for_each(|told| exported.count("data point", told));
            }
        }
    }
    exported
}

/// The attributes that all records of a scope have, and the scope's name.
fn outer<'a>(resource: &'a Option<Resource>, scope: &'a Option<InstrumentationScope>) -> ([&'a [KeyValue]; 2], &'a str) {
    let of_resource = resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
    let of_scope = scope.as_ref().map_or(&[][..], |scope| &scope.attributes);
    ([of_resource, of_scope], scope.as_ref().map_or("", |scope| &scope.name))
}

impl Exported {
    fn count(&mut self, what: &str, told: Result<(), impl Display>) {
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
