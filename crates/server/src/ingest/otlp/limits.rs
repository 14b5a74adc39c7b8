//! How many records an export may have, and their parts how many attributes; telemetry has ten to thirty.

use axum::http::StatusCode;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::ingest::body::Refused;

/// Attributes of a resource, a scope, a record; as the protocol has it, what is beyond is dropped and the rest is taken.
const MOST_ATTRIBUTES: usize = 256;
/// Log records, spans or data points of an export. Only empty ones are so many in so few bytes.
const MOST_RECORDS: usize = 200_000;
/// Attributes that all records of an export inherit together: each record is looked at with its resource's and scope's.
const MOST_INHERITED: usize = 16_000_000;
/// Bytes of these: looking at a record takes time with the length of what it inherits.
const MOST_INHERITED_BYTES: usize = 1 << 30;

/// What reading an export asks for beyond its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    records: usize,
    /// Attributes that the records inherit together, and their bytes.
    inherited: usize,
    inherited_bytes: usize,
}

/// Attributes of a resource or scope.
#[derive(Clone, Copy, Default)]
struct Outer {
    attributes: usize,
    bytes: usize,
}

impl Outer {
    fn of(attributes: &[KeyValue]) -> Self {
        Self { attributes: attributes.len(), bytes: attributes.iter().map(Message::encoded_len).sum() }
    }

    fn with(self, inner: Self) -> Self {
        Self { attributes: self.attributes + inner.attributes, bytes: self.bytes + inner.bytes }
    }
}

impl Load {
    fn add(&mut self, records: usize, outer: Outer) {
        self.records += records;
        self.inherited = self.inherited.saturating_add(records.saturating_mul(outer.attributes));
        self.inherited_bytes = self.inherited_bytes.saturating_add(records.saturating_mul(outer.bytes));
    }
}

pub(super) trait Bounded {
    /// Drops attributes beyond what is read.
    fn drop_excess(&mut self) -> Load;

    fn is_bounded(&mut self) -> Result<(), Refused> {
        let load = self.drop_excess();
        let beyond = if load.records > MOST_RECORDS {
            format!("more than {MOST_RECORDS} records")
        } else if load.inherited > MOST_INHERITED {
            format!("records inherit more than {MOST_INHERITED} attributes")
        } else if load.inherited_bytes > MOST_INHERITED_BYTES {
            format!("records inherit more than {MOST_INHERITED_BYTES} bytes of attributes")
        } else {
            return Ok(());
        };
        Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, format!("body: {beyond}; send them in smaller batches")))
    }
}

fn cut(attributes: &mut Vec<KeyValue>) {
    attributes.truncate(MOST_ATTRIBUTES);
}

fn of_resource(resource: &mut Option<Resource>) -> Outer {
    resource.as_mut().map_or(Outer::default(), |resource| {
        cut(&mut resource.attributes);
        Outer::of(&resource.attributes)
    })
}

fn of_scope(scope: &mut Option<InstrumentationScope>) -> Outer {
    scope.as_mut().map_or(Outer::default(), |scope| {
        cut(&mut scope.attributes);
        Outer::of(&scope.attributes)
    })
}

impl Bounded for ExportLogsServiceRequest {
    fn drop_excess(&mut self) -> Load {
        let mut load = Load::default();
        for resource in &mut self.resource_logs {
            let outer = of_resource(&mut resource.resource);
            for scope in &mut resource.scope_logs {
                load.add(scope.log_records.len(), outer.with(of_scope(&mut scope.scope)));
                scope.log_records.iter_mut().for_each(|record| cut(&mut record.attributes));
            }
        }
        load
    }
}

impl Bounded for ExportTraceServiceRequest {
    fn drop_excess(&mut self) -> Load {
        let mut load = Load::default();
        for resource in &mut self.resource_spans {
            let outer = of_resource(&mut resource.resource);
            for scope in &mut resource.scope_spans {
                load.add(scope.spans.len(), outer.with(of_scope(&mut scope.scope)));
                for span in &mut scope.spans {
                    cut(&mut span.attributes);
                    span.events.truncate(MOST_ATTRIBUTES);
                    span.events.iter_mut().for_each(|event| cut(&mut event.attributes));
                }
            }
        }
        load
    }
}

impl Bounded for ExportMetricsServiceRequest {
    fn drop_excess(&mut self) -> Load {
        let mut load = Load::default();
        for resource in &mut self.resource_metrics {
            let outer = of_resource(&mut resource.resource);
            for scope in &mut resource.scope_metrics {
                let outer = outer.with(of_scope(&mut scope.scope));
                for data in scope.metrics.iter_mut().filter_map(|metric| metric.data.as_mut()) {
                    let points: Vec<&mut Vec<KeyValue>> = match data {
                        Data::Gauge(data) => data.data_points.iter_mut().map(|point| &mut point.attributes).collect(),
                        Data::Sum(data) => data.data_points.iter_mut().map(|point| &mut point.attributes).collect(),
                        Data::Histogram(data) => data.data_points.iter_mut().map(|point| &mut point.attributes).collect(),
                        Data::ExponentialHistogram(data) => {
                            data.data_points.iter_mut().map(|point| &mut point.attributes).collect()
                        }
                        Data::Summary(data) => data.data_points.iter_mut().map(|point| &mut point.attributes).collect(),
                    };
                    load.add(points.len(), outer);
                    points.into_iter().for_each(cut);
                }
            }
        }
        load
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

    use super::*;

    fn export(of_resource: usize, records: usize, of_record: usize) -> ExportLogsServiceRequest {
        let attributes = |count| vec![KeyValue::default(); count];
        let log_records = vec![LogRecord { attributes: attributes(of_record), ..LogRecord::default() }; records];
        let resource = Some(Resource { attributes: attributes(of_resource), ..Resource::default() });
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }] }
    }

    #[test]
    fn attributes_beyond_are_dropped_and_what_all_inherit_is_bounded() {
        let mut large = export(100_000, 2, 100_000);
        assert_eq!(large.drop_excess(), Load { records: 2, inherited: 2 * MOST_ATTRIBUTES, inherited_bytes: 0 });
        assert_eq!(large, export(MOST_ATTRIBUTES, 2, MOST_ATTRIBUTES));
        assert!(export(10, 10_000, 1).is_bounded().is_ok());
        assert!(export(200, 100_000, 0).is_bounded().is_err());
        assert!(export(0, MOST_RECORDS, 0).is_bounded().is_ok());
        assert!(export(0, MOST_RECORDS + 1, 0).is_bounded().is_err());
    }

    #[test]
    fn bytes_that_all_inherit_are_bounded() {
        let long = |bytes, records| {
            let mut export = export(1, records, 0);
            let resource = export.resource_logs[0].resource.as_mut().unwrap();
            resource.attributes[0].key = "k".repeat(bytes);
            export
        };
        assert!(long(1 << 20, 1000).is_bounded().is_ok());
        assert!(long(1 << 20, 1024).is_bounded().is_err());
        assert!(long(1000, 100_000).is_bounded().is_ok());
    }
}
