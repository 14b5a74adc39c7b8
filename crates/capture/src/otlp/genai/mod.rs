//! Any application of generative AI: what its spans, metrics and events tell by the conventions of OpenTelemetry, OpenInference and
//! OpenLLMetry. The agent is the service's name.

mod convention;
mod metric;
mod operation;
mod request;
mod tool_call;

use ducat_ledger::Fact;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;

use self::operation::{Kind, Operation};
use super::Surroundings;
use super::outer::Outer;
use super::record::Record;

/// The event that tells of a request what its span does.
const DETAILS: &str = "gen_ai.client.inference.operation.details";

/// Tells `out` what a span says; why it is refused, naming the field. What speaks of no generative AI tells nothing.
pub fn decode_span(
    record: Record<'_>,
    span: &Span,
    scope: &str,
    around: &Surroundings<'_>,
    out: &mut dyn FnMut(Fact),
) -> Result<(), String> {
    let Some(kind) = Kind::of(&record, span.kind()) else { return Ok(()) };
    tell(&Operation::of_span(record, span, scope, around)?, kind, &span.name, out)
}

/// Like [`decode_span`], of a log record.
pub fn decode_log(
    record: Record<'_>,
    log: &LogRecord,
    scope: &str,
    around: &Surroundings<'_>,
    out: &mut dyn FnMut(Fact),
) -> Result<(), String> {
    let is_details = log.event_name == DETAILS || record.text("event.name") == Some(DETAILS);
    let kind = is_details.then(|| Kind::of(&record, Default::default())).flatten();
    // A failed call's span is its incident.
    if kind != Some(Kind::Request) || record.has("error.type") {
        return Ok(());
    }
    tell(&Operation::of_log(record, log, scope, around)?, Kind::Request, "", out)
}

/// One result a data point.
pub fn decode_metric(
    metric: &Metric,
    outer: &Outer<'_>,
    around: &Surroundings<'_>,
    out: &mut dyn FnMut(Fact),
) -> Vec<Result<(), String>> {
    metric::decode(metric, outer, around, &mut |request| out(Fact::Request(request)))
}

fn tell(operation: &Operation<'_>, kind: Kind, name: &str, out: &mut dyn FnMut(Fact)) -> Result<(), String> {
    let request = match kind {
        Kind::Request => request::request(operation).map_err(|refused| refused.to_string())?,
        Kind::ToolCall | Kind::Parent => None,
    };
    let session = operation.session(kind);
    let turn = operation.tell_turn(session.as_ref());
    session.into_iter().for_each(|session| out(Fact::Session(session)));
    turn.into_iter().for_each(|turn| out(Fact::Turn(turn)));
    match kind {
        Kind::Request => {
            request.into_iter().for_each(|request| out(Fact::Request(request)));
            operation.incident().into_iter().for_each(|incident| out(Fact::Incident(incident)));
        }
        Kind::ToolCall => out(Fact::ToolCall(tool_call::tool_call(operation, name))),
        Kind::Parent => {}
    }
    Ok(())
}
