//! Tool calls: `tool_use` blocks of assistant messages and the `tool_result` blocks that answer them.

use std::borrow::Cow;

use ducat_ledger::{FieldClass, Key, KeySpace, Outcome, Told, ToolCall, Witness, Witnesses};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::AGENT;
use crate::json;

/// One block of a message's content.
#[derive(Debug, Default)]
pub struct Block<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub text: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    input: Option<LazyValue<'a>>,
    tool_use_id: Option<Cow<'a, str>>,
    is_error: bool,
    content: Option<LazyValue<'a>>,
    pub bytes: u64,
}

/// The blocks of a content; a string is one text block.
pub fn blocks<'a>(content: &LazyValue<'a>, mut each: impl FnMut(Block<'a>)) {
    if content.is_str() {
        each(Block { kind: Some("text".into()), text: json::text(content), ..Block::default() });
        return;
    }
    json::for_items(content, |item| {
        let mut block = Block { bytes: item.as_raw_str().len() as u64, ..Block::default() };
        json::for_fields(&item, |name, value| match name {
            "type" => block.kind = json::text(&value),
            "text" => block.text = json::text(&value),
            "id" => block.id = json::text(&value).filter(|id| !id.is_empty()),
            "name" => block.name = json::text(&value),
            "input" => block.input = Some(value),
            "tool_use_id" => block.tool_use_id = json::text(&value).filter(|id| !id.is_empty()),
            "is_error" => block.is_error = value.as_bool() == Some(true),
            "content" => block.content = Some(value),
            _ => {}
        });
        each(block);
    });
}

impl Block<'_> {
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// The call that this block asks for, or the one that it answers.
    pub fn tool_call(&self) -> Option<ToolCall> {
        match self.kind.as_deref()? {
            "tool_use" => Some(self.asked(self.id.as_deref()?)),
            "tool_result" => Some(self.answered(self.tool_use_id.as_deref()?)),
            _ => None,
        }
    }

    fn asked(&self, id: &str) -> ToolCall {
        let mut call = call(id);
        call.name = told(self.name.as_deref().map(str::to_owned));
        if let Some(input) = &self.input {
            call.input_bytes = told(Some(input.as_raw_str().len() as u64));
            call.target = told(target(input));
        }
        call
    }

    fn answered(&self, id: &str) -> ToolCall {
        let mut call = call(id);
        let (text, bytes) = self.result();
        let (outcome, error_kind) = if self.is_error { judge(&text) } else { (Outcome::Ok, None) };
        call.outcome = Witness::Transcript.tells(FieldClass::Outcome, outcome);
        call.error_kind = Told::maybe(Witness::Transcript.rank(FieldClass::Outcome), error_kind.map(str::to_owned));
        call.result_bytes = told(Some(bytes));
        call
    }

    /// The result's text, and its bytes as the model gets them (what is no text, as JSON).
    fn result(&self) -> (Cow<'_, str>, u64) {
        let (mut text, mut bytes) = (Cow::Borrowed(""), 0);
        if let Some(content) = &self.content {
            blocks(content, |block| match block.text {
                Some(part) => {
                    bytes += part.len() as u64;
                    if text.is_empty() {
                        text = Cow::Owned(part.into_owned());
                    }
                }
                None => bytes += block.bytes,
            });
        }
        (text, bytes)
    }
}

/// How long the tool says it took.
pub fn duration_ms(result: &LazyValue<'_>) -> Option<u64> {
    let mut duration = None;
    json::for_fields(result, |name, value| {
        if matches!(name, "durationMs" | "totalDurationMs") {
            duration = duration.max(json::count(&value));
        }
    });
    duration
}

/// What an error says of the call: the words are the client's own. A call that its validation refused never ran.
pub fn judge(error: &str) -> (Outcome, Option<&'static str>) {
    let text = error.trim_start();
    let inner = text.strip_prefix("<tool_use_error>");
    let said = inner.unwrap_or(text);
    let begins = |words: &[&str]| words.iter().any(|word| said.starts_with(word));
    if begins(&["The user doesn't want to", "Permission to use", "User chose to stay", "User rejected"]) {
        (Outcome::Refused, Some("permission"))
    } else if begins(&["[Request interrupted", "Interrupted by user"]) {
        (Outcome::Interrupted, Some("user"))
    } else if begins(&["Sibling tool call errored", "Cancelled: "]) {
        (Outcome::Interrupted, Some("sibling"))
    } else if said.contains("No such tool available") {
        (Outcome::Refused, Some("unknown_tool"))
    } else if begins(&["File does not exist", "Path does not exist", "ENOENT"]) {
        (if inner.is_some() { Outcome::Refused } else { Outcome::Error }, Some("not_found"))
    } else if inner.is_some() || begins(&["InputValidationError"]) {
        (Outcome::Refused, Some("validation"))
    } else if begins(&["Exit code"]) {
        (Outcome::Error, Some("exit_code"))
    } else if begins(&["Command timed out"]) || said.contains("timed out after") {
        (Outcome::Error, Some("timeout"))
    } else {
        (Outcome::Error, Some("other"))
    }
}

fn call(id: &str) -> ToolCall {
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, id), AGENT, id);
    call.witnesses = Witnesses::only(Witness::Transcript);
    call
}

fn told<T>(value: Option<T>) -> Told<T> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Attribution), value)
}

/// The longest target worth keeping, in bytes; longer ones are no paths.
const LONGEST_TARGET: usize = 1024;

/// The file or folder a call works on, or the kind of sub-agent it starts.
pub fn target(input: &LazyValue<'_>) -> Option<String> {
    let mut target = None;
    json::for_fields(input, |name, value| {
        if matches!(name, "file_path" | "notebook_path" | "path" | "subagent_type") {
            target =
                target.take().or_else(|| json::text(&value).filter(|text| text.len() <= LONGEST_TARGET).map(Cow::into_owned));
        }
    });
    target
}
