//! One use of a tool.

use ducat_ledger::{FieldClass, KeySpace, Outcome, ToolCall};

use super::operation::Operation;
use crate::telling;

const ID: [&str; 3] = ["gen_ai.tool.call.id", "tool.id", "tool_call.id"];
const NAME: [&str; 4] = ["gen_ai.tool.name", "tool.name", "tool_call.function.name", "traceloop.entity.name"];

/// `span` is the span's name, which begins or is the tool's.
pub fn tool_call(operation: &Operation<'_>, span: &str) -> ToolCall {
    // Some providers count their calls anew in each answer, so such an id names a call within its trace only.
    let told = operation.record.any_text(&ID).map(|id| telling::call_id(id, operation.trace()));
    let id = told.unwrap_or_else(|| operation.id.clone());
    let mut call = ToolCall::new(operation.key(KeySpace::ToolCall, &id), operation.agent.as_str(), id);
    call.witnesses = operation.witnesses();
    call.holders = operation.holders();
    let name = operation.record.any_text(&NAME).or(Some(span.strip_prefix("execute_tool ").unwrap_or(span)));
    call.name = operation.tell(FieldClass::Attribution, telling::name(name));
    let outcome = if operation.error.is_some() { Outcome::Error } else { Outcome::Ok };
    call.outcome = operation.tell(FieldClass::Outcome, Some(outcome));
    call.error_kind = operation.tell(FieldClass::Outcome, operation.error.map(str::to_owned));
    call.started_at = operation.tell(FieldClass::Timing, Some(operation.began()));
    call.ended_at = operation.tell(FieldClass::Timing, Some(operation.ended_at));
    call.duration_ms = operation.duration_ms();
    call.turn = operation.tell(FieldClass::Attribution, operation.turn());
    call.user = operation.user();
    call.team = operation.team();
    call.host = operation.host();
    call
}
