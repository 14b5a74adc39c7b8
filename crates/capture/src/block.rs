//! Blocks of a message as Anthropic's interface has them, which other clients write into their transcripts too.

use std::borrow::Cow;

use sonic_rs::{JsonValueTrait, LazyValue};

use crate::json;

/// A block of a message's content.
#[derive(Debug, Default)]
pub(crate) struct Block<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub id: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub text_bytes: u64,
    pub input: Option<LazyValue<'a>>,
    pub content: Option<LazyValue<'a>>,
    pub is_error: bool,
}

impl<'a> Block<'a> {
    pub fn parse(item: &LazyValue<'a>) -> Self {
        let mut block = Self::default();
        json::for_fields(item, |field, value| match field {
            "type" => block.kind = json::id(&value),
            "id" | "tool_use_id" => block.id = json::id(&value),
            "name" => block.name = json::id(&value),
            "text" => block.text_bytes = json::text(&value).map_or(0, |text| text.len() as u64),
            "input" => block.input = Some(value),
            "content" => block.content = Some(value),
            "is_error" => block.is_error = value.as_bool() == Some(true),
            _ => {}
        });
        block
    }
}
