//! The outer fields of a transcript line.

use std::borrow::Cow;

use ducat_ledger::UnixMs;
use jiff::Timestamp;
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::json;

/// A line, its values not looked into yet. Fields it lacks, or that are of another type than they should be, are not told.
#[derive(Debug, Default)]
pub struct Line<'a> {
    pub kind: Option<Cow<'a, str>>,
    pub session: Option<Cow<'a, str>>,
    pub uuid: Option<Cow<'a, str>>,
    pub at: Option<UnixMs>,
    pub cwd: Option<Cow<'a, str>>,
    pub branch: Option<Cow<'a, str>>,
    pub version: Option<Cow<'a, str>>,
    pub agent_id: Option<Cow<'a, str>>,
    pub prompt_id: Option<Cow<'a, str>>,
    pub subtype: Option<Cow<'a, str>>,
    /// Not the user's words: `isMeta`, `isSidechain`, `isCompactSummary` or `isVisibleInTranscriptOnly`.
    pub is_not_prompt: bool,
    /// The client's note of an API error in the model's place.
    pub is_api_error: bool,
    pub request_id: Option<Cow<'a, str>>,
    /// What the client says it asked the model for.
    pub subagent_type: Option<Cow<'a, str>>,
    pub skill: Option<Cow<'a, str>>,
    pub mcp_server: Option<Cow<'a, str>>,
    pub message: Option<LazyValue<'a>>,
    pub data: Option<LazyValue<'a>>,
    /// A tool's own result, beside what the model got.
    pub tool_use_result: Option<LazyValue<'a>>,
    /// `compactMetadata`, `microcompactMetadata` or `error` of a system line.
    pub about: Option<LazyValue<'a>>,
}

impl<'a> Line<'a> {
    /// Reads a line; the error says in a few words why it cannot be read.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        if json::is_too_deep(bytes) {
            return Err("nested too deep");
        }
        let mut line = Self::default();
        for field in sonic_rs::to_object_iter(text) {
            let (field, value) = field.map_err(|_| "not a JSON object")?;
            match &*field {
                "type" => line.kind = json::text(&value),
                "sessionId" => line.session = json::text(&value).filter(|id| !id.is_empty()),
                "uuid" => line.uuid = json::text(&value),
                "timestamp" => line.at = time(&value),
                "cwd" => line.cwd = json::text(&value).filter(|cwd| !cwd.is_empty()),
                "gitBranch" => line.branch = json::text(&value).filter(|branch| !branch.is_empty()),
                "version" => line.version = json::text(&value),
                "promptId" => line.prompt_id = json::text(&value).filter(|id| !id.is_empty()),
                "subtype" => line.subtype = json::text(&value),
                "isMeta" | "isSidechain" | "isCompactSummary" | "isVisibleInTranscriptOnly" => {
                    line.is_not_prompt |= value.as_bool() == Some(true);
                }
                "isApiErrorMessage" => line.is_api_error = value.as_bool() == Some(true),
                "toolUseResult" => line.tool_use_result = Some(value).filter(LazyValue::is_object),
                "compactMetadata" | "microcompactMetadata" | "error" => line.about = Some(value),
                "agentId" => line.agent_id = json::text(&value),
                "requestId" => line.request_id = json::text(&value).filter(|id| !id.is_empty()),
                "attributionAgent" => line.subagent_type = name(&value),
                "attributionSkill" => line.skill = name(&value),
                "attributionMcpServer" => line.mcp_server = name(&value),
                "message" => line.message = Some(value).filter(LazyValue::is_object),
                "data" => line.data = Some(value).filter(LazyValue::is_object),
                _ => {}
            }
        }
        Ok(line)
    }
}

/// Longer names are no names.
const LONGEST_NAME: usize = 200;

fn name<'a>(value: &LazyValue<'a>) -> Option<Cow<'a, str>> {
    json::text(value).filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME)
}

/// RFC 3339 as written, or milliseconds since 1970.
pub fn time(value: &LazyValue<'_>) -> Option<UnixMs> {
    match json::text(value) {
        Some(text) => text.parse::<Timestamp>().ok().map(|at| at.as_millisecond()),
        None => value.as_i64(),
    }
}

/// `8-4-4-4-12` hex digits to bytes.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut bytes {
        let mut digit = || char::from(digits.next()?).to_digit(16);
        *byte = (digit()? << 4 | digit()?) as u8;
    }
    (digits.next().is_none() && text.len() == 36).then_some(bytes)
}
