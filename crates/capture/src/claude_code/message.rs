//! An assistant message: what a model call used.

use std::borrow::Cow;

use ducat_ledger::{Billing, FieldClass, Request, Told, Witness};
use sonic_rs::LazyValue;

use crate::json;

/// The model's name on messages that the client wrote itself; no model was called.
const SYNTHETIC: &str = "<synthetic>";

/// The parts of a message that tell of a model call.
#[derive(Debug, Default)]
pub struct Message<'a> {
    pub id: Option<Cow<'a, str>>,
    pub role: Option<Cow<'a, str>>,
    pub model: Option<Cow<'a, str>>,
    stop_reason: Option<Cow<'a, str>>,
    usage: Option<LazyValue<'a>>,
    /// A string, or an array of blocks.
    pub content: Option<LazyValue<'a>>,
}

impl<'a> Message<'a> {
    pub fn parse(value: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(value, |name, value| match name {
            "id" => message.id = json::text(&value).filter(|id| !id.is_empty()),
            "role" => message.role = json::text(&value),
            "model" => message.model = json::text(&value),
            "stop_reason" => message.stop_reason = json::text(&value),
            "content" => message.content = Some(value),
            "usage" => message.usage = Some(value).filter(|usage| usage.as_raw_str().starts_with('{')),
            _ => {}
        });
        message
    }

    /// The end of a streamed message, which names neither message nor model.
    pub fn of_usage(usage: LazyValue<'a>, stop_reason: Option<Cow<'a, str>>) -> Self {
        Self { usage: Some(usage), stop_reason, ..Self::default() }
    }

    /// It tells what a model call used.
    pub fn is_request(&self) -> bool {
        self.usage.is_some() && !self.is_synthetic()
    }

    /// The client wrote it in the model's place.
    pub fn is_synthetic(&self) -> bool {
        self.model.as_deref() == Some(SYNTHETIC)
    }

    /// The clouds that sell the model by the token mark its messages as theirs.
    pub fn billing(&self) -> Option<Billing> {
        let id = self.id.as_deref()?;
        (id.starts_with("msg_bdrk_") || id.starts_with("msg_vrtx_")).then_some(Billing::Metered)
    }

    /// Tells the request what the message says of it. Input is without cache, output is with reasoning (which is not told apart).
    pub fn tell(&self, request: &mut Request) {
        let told = |value: &Option<Cow<'_, str>>| text(value.as_deref());
        request.model = told(&self.model);
        request.stop_reason = told(&self.stop_reason);
        let Some(usage) = &self.usage else { return };
        json::for_fields(usage, |name, value| match name {
            "input_tokens" => request.input_tokens = count(&value),
            "output_tokens" => request.output_tokens = count(&value),
            "cache_read_input_tokens" => request.cache_read_tokens = count(&value),
            "cache_creation_input_tokens" => request.cache_write_tokens = count(&value),
            "cache_creation" => json::for_fields(&value, |name, value| match name {
                "ephemeral_5m_input_tokens" => request.cache_write_5m_tokens = count(&value),
                "ephemeral_1h_input_tokens" => request.cache_write_1h_tokens = count(&value),
                _ => {}
            }),
            "server_tool_use" => json::for_fields(&value, |name, value| {
                if name == "web_search_requests" {
                    request.web_search_requests = count(&value);
                }
            }),
            "service_tier" => request.service_tier = told(&json::text(&value)),
            "inference_geo" => request.inference_geo = told(&json::text(&value)),
            "speed" => request.speed = told(&json::text(&value)),
            _ => {}
        });
    }
}

fn count(value: &LazyValue<'_>) -> Told<u64> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Usage), json::count(value))
}

fn text(value: Option<&str>) -> Told<String> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Usage), value.filter(|text| !text.is_empty()).map(str::to_owned))
}
