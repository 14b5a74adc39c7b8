//! `<session>.settings.json` to the sum of a session. `tokenUsage` is of the session itself; `inclusiveTokenUsage` is with its children, which have
//! files of their own, so it is not read. A fork begins with no usage.

use std::borrow::Cow;
use std::path::Path;

use ducat_ledger::{Billing, Fact, UnixMs};
use sonic_rs::LazyValue;

use super::{AGENT, SETTINGS};
use crate::telling::{Telling, attribution, name, start, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

#[derive(Debug, Default)]
struct Settings<'a> {
    model: Option<Cow<'a, str>>,
    provider: Option<Cow<'a, str>>,
    effort: Option<Cow<'a, str>>,
    /// Of the first request.
    asked_at: Option<UnixMs>,
    input: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
}

/// Where a session lies that the settings do not tell, from its messages.
#[derive(Debug, Default)]
struct Opened {
    cwd: Option<String>,
    at: Option<UnixMs>,
}

/// Unlike lines, which may have its words in a prompt, the client writes it indented.
pub fn looks_like_settings(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    first.trim_ascii() == b"{" && has(b"\"tokenUsage\"") && has(b"\"cacheCreationTokens\"") && has(b"\"thinkingTokens\"")
}

/// Tells `out` the sum of a session.
pub fn decode_document(
    bytes: &[u8],
    path: &Path,
    workspaces: &mut dyn Workspaces,
    _detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let settings = match json::object(bytes) {
        Ok(document) => Settings::parse(&document),
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(id) = file.strip_suffix(SETTINGS).filter(|id| !id.is_empty()) else {
        return LineVerdict::Unreadable("settings of no session");
    };
    let opened = Opened::of(&path.with_file_name(format!("{id}.jsonl")), workspaces);
    let workspace = opened.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let telling = Telling { agent: AGENT, session: Some(id), project: workspace.project, branch: None };
    if settings.is_zero() {
        return LineVerdict::NoFacts;
    }
    if let Some(session) = telling.session() {
        out(Fact::Session(session));
    }
    let mut request = telling.request(id);
    let model = settings.model.as_deref();
    request.is_sum = attribution(Some(true));
    request.model = usage(model.and_then(model_of));
    request.provider = usage(name(settings.provider.as_deref()));
    request.input_tokens = usage(settings.input);
    request.output_tokens = usage(settings.output);
    request.reasoning_tokens = usage(settings.thinking.filter(|thinking| Some(*thinking) <= settings.output));
    request.cache_read_tokens = usage(settings.cache_read);
    request.cache_write_tokens = usage(settings.cache_write);
    request.started_at = start(settings.asked_at.or(opened.at));
    request.effort = attribution(name(settings.effort.as_deref().filter(|effort| *effort != "none")));
    // A model of the user's own is paid for elsewhere.
    request.billing = attribution(model.filter(|model| !is_own(model)).map(|_| Billing::Credits));
    out(Fact::Request(request));
    LineVerdict::Decoded
}

fn is_own(model: &str) -> bool {
    model.starts_with("custom:")
}

/// The name of a model. One of the user's own is told as `custom:`, the name it is shown by with dashes, and its place in the settings.
fn model_of(model: &str) -> Option<String> {
    let shown = model.strip_prefix("custom:").and_then(|model| {
        let (shown, place) = model.rsplit_once('-')?;
        place.bytes().all(|byte| byte.is_ascii_digit()).then_some(shown)
    });
    name(Some(shown.unwrap_or(model)))
}

impl<'a> Settings<'a> {
    fn parse(document: &LazyValue<'a>) -> Self {
        let mut settings = Self::default();
        json::for_fields(document, |field, value| match field {
            "model" => settings.model = json::id(&value),
            "providerLock" => settings.provider = json::id(&value),
            "providerLockTimestamp" => settings.asked_at = json::time(&value),
            "reasoningEffort" => settings.effort = json::id(&value),
            "tokenUsage" => json::for_fields(&value, |field, value| match field {
                "inputTokens" => settings.input = json::count(&value),
                "outputTokens" => settings.output = json::count(&value),
                "thinkingTokens" => settings.thinking = json::count(&value),
                "cacheReadTokens" => settings.cache_read = json::count(&value),
                "cacheCreationTokens" => settings.cache_write = json::count(&value),
                _ => {}
            }),
            _ => {}
        });
        settings
    }

    fn is_zero(&self) -> bool {
        [self.input, self.output, self.cache_read, self.cache_write].into_iter().all(|count| count.unwrap_or_default() == 0)
    }
}

impl Opened {
    fn of(messages: &Path, workspaces: &mut dyn Workspaces) -> Self {
        let mut opened = Self::default();
        let Some(bytes) = workspaces.beside(messages) else { return opened };
        // Its place is in the first line, a time in one of the next.
        for line in bytes.split(|byte| *byte == b'\n').take(8) {
            let Ok(line) = json::object(line) else { continue };
            json::for_fields(&line, |field, value| match field {
                "cwd" => opened.cwd = opened.cwd.take().or_else(|| json::id(&value).map(Cow::into_owned)),
                "timestamp" => opened.at = opened.at.or_else(|| json::time(&value)),
                _ => {}
            });
        }
        opened
    }
}
