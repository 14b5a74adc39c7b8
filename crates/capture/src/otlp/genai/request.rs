//! A call of a model.

use ducat_ledger::{FieldClass, KeySpace, Request};

use super::convention::{Refused, Tokens};
use super::operation::Operation;
use crate::telling;

const MODEL: [&str; 7] = [
    "gen_ai.response.model",
    "llm.response.model_name",
    "gen_ai.request.model",
    "llm.model_name",
    "llm.request.model_name",
    "embedding.model_name",
    "llm.request.model",
];
const PROVIDER: [&str; 5] = ["gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor"];
const STOP_REASON: [&str; 5] = [
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "gen_ai.response.stop_reason",
    "llm.finish_reason",
    "llm.response.finish_reason",
];
const EFFORT: [&str; 3] = ["gen_ai.response.reasoning_effort", "gen_ai.request.reasoning_effort", "llm.request.reasoning_effort"];
const SERVICE_TIER: [&str; 2] = ["openai.response.service_tier", "gen_ai.openai.response.service_tier"];
const COST: [&str; 2] = ["llm.cost.total", "gen_ai.usage.cost"];

/// `None` where a call failed before there was an answer. The provider's own id of the answer is the request's, so that two
/// instrumentations of one call, or an event beside a span, tell of one.
pub fn request(operation: &Operation<'_>) -> Result<Option<Request>, Refused> {
    let record = &operation.record;
    let tokens = Tokens::read(record, operation.scope)?;
    let response = record.text("gen_ai.response.id");
    if tokens.is_none() && response.is_none() && operation.error.is_some() {
        return Ok(None);
    }
    let id = response.map_or_else(|| operation.id.clone(), |id| telling::call_id(id, operation.trace()));
    let mut request = Request::new(operation.key(KeySpace::Request, &id), operation.agent.as_str(), id);
    request.witnesses = operation.witnesses();
    request.holders = operation.holders();
    let model = record.any_text(&MODEL).unwrap_or("unknown");
    request.model = operation.tell(FieldClass::Usage, Some(model.to_owned()));
    if let Some(tokens) = tokens {
        let usage = |count| operation.tell(FieldClass::Usage, count);
        request.input_tokens = usage(tokens.input);
        request.output_tokens = usage(tokens.output);
        request.cache_read_tokens = usage(tokens.cache_read);
        request.cache_write_tokens = usage(tokens.cache_write);
        request.reasoning_tokens = usage(tokens.reasoning);
    }
    let cost = COST.iter().find_map(|name| record.number(name)).and_then(telling::nano_usd);
    request.reported_cost_nano = operation.tell(FieldClass::Usage, cost);
    request.started_at = operation.tell(FieldClass::Start, Some(operation.began()));
    request.ended_at = operation.tell(FieldClass::Timing, Some(operation.ended_at));
    request.duration_ms = operation.duration_ms();
    request.ttft_ms = operation.tell(FieldClass::Timing, operation.ttft_ms);
    request.turn = operation.tell(FieldClass::Attribution, operation.turn());
    request.provider = operation.attribution(&PROVIDER);
    let billing = request.provider.get().and_then(|provider| telling::billing(provider));
    request.billing = operation.tell(FieldClass::Usage, billing);
    request.stop_reason = operation.attribution(&STOP_REASON);
    request.effort = operation.attribution(&EFFORT);
    request.service_tier = operation.attribution(&SERVICE_TIER);
    request.subagent_type = operation.attribution(&["gen_ai.agent.name"]);
    request.labels = operation.tell(FieldClass::Attribution, operation.dimensions.labels_of(record));
    request.user = operation.user();
    request.team = operation.team();
    request.host = operation.host();
    Ok(Some(request))
}
