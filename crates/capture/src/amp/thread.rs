//! A thread to facts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ducat_ledger::{Billing, Fact, Key, Outcome, UnixMs};
use sonic_rs::LazyValue;

use super::AGENT;
use super::usage::Usage;
use crate::claude_code::target;
use crate::telling::{Telling, attribution, call_id, name, outcome, start, timing, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

#[derive(Debug, Default)]
struct Thread<'a> {
    id: Option<Cow<'a, str>>,
    created_at: Option<UnixMs>,
    cwd: Option<String>,
    messages: Vec<Message<'a>>,
    events: Vec<Event<'a>>,
}

#[derive(Debug, Default)]
struct Message<'a> {
    id: Option<u64>,
    role: Option<Cow<'a, str>>,
    sent_at: Option<UnixMs>,
    stop_reason: Option<Cow<'a, str>>,
    is_of_subagent: bool,
    usage: Option<Usage<'a>>,
    content: Option<LazyValue<'a>>,
}

/// An entry of the thread's ledger.
#[derive(Debug, Default)]
struct Event<'a> {
    id: Option<Cow<'a, str>>,
    at: Option<UnixMs>,
    model: Option<Cow<'a, str>>,
    operation: Option<Cow<'a, str>>,
    to_message: Option<u64>,
    tokens: Option<Usage<'a>>,
}

/// Tells `out` the facts of a thread.
pub fn decode_document(
    bytes: &[u8],
    path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let thread = match json::object(bytes) {
        Ok(document) => Thread::parse(&document),
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let Some(id) = thread.id.as_deref().or_else(|| path.file_stem()?.to_str()).filter(|id| id.starts_with("T-")) else {
        return LineVerdict::Unreadable("a thread without id");
    };
    let workspace = thread.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let telling = Telling { agent: AGENT, session: Some(id), project: workspace.project, branch: None };
    let Some(mut session) = telling.session() else { return LineVerdict::NoFacts };
    session.opened_at = timing(thread.created_at);
    if detail == Detail::All {
        session.started_at = timing(thread.created_at);
        session.last_at = timing(thread.messages.iter().filter_map(Message::at).max());
        session.cwd = attribution(thread.cwd.clone());
    }
    out(Fact::Session(session));
    thread.tell(id, &telling, detail, out);
    LineVerdict::Decoded
}

impl<'a> Thread<'a> {
    fn parse(document: &LazyValue<'a>) -> Self {
        let mut thread = Self::default();
        json::for_fields(document, |field, value| match field {
            "id" => thread.id = json::id(&value),
            "created" => thread.created_at = json::time(&value),
            "messages" => json::for_items(&value, |item| thread.messages.push(Message::parse(&item))),
            "usageLedger" => json::for_fields(&value, |field, value| {
                if field == "events" {
                    json::for_items(&value, |item| thread.events.push(Event::parse(&item)));
                }
            }),
            "env" => json::for_fields(&value, |field, value| {
                if field == "initial" {
                    thread.cwd = first_tree(&value);
                }
            }),
            _ => {}
        });
        thread
    }

    fn tell(&self, thread: &str, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) {
        let paid_at: HashMap<u64, UnixMs> = self.events.iter().filter_map(|event| Some((event.to_message?, event.at?))).collect();
        let (mut turn, mut last_at, mut told) = (None, self.created_at, Vec::new());
        for (place, message) in (0_u64..).zip(&self.messages) {
            let number = message.id.unwrap_or(place);
            let id = format!("{thread}/{number}");
            let at = message.at().or_else(|| paid_at.get(&number).copied()).or(last_at);
            last_at = at;
            match message.role.as_deref() {
                Some("user") => {
                    if let Some(bytes) = message.prompt_bytes() {
                        turn = Some(telling.turn_key(&id));
                        if detail == Detail::All {
                            out(Fact::Turn(telling.turn(&id, at, Some(bytes))));
                        }
                    }
                    if detail == Detail::All {
                        message.tell_results(at, turn, telling, out);
                    }
                }
                Some("assistant") => {
                    let used = message.usage.clone().filter(|used| !used.is_zero());
                    let request = used.map(|used| {
                        told.push(number);
                        let source = message.is_of_subagent.then_some("subagent");
                        tell_request(&id, used, at, source, message.stop_reason.as_deref(), turn, telling, out)
                    });
                    if detail == Detail::All {
                        message.tell_calls(&id, request, at, turn, telling, out);
                    }
                }
                _ => {}
            }
        }
        for (place, event) in self.events.iter().enumerate() {
            let is_told = event.to_message.is_some_and(|message| told.contains(&message));
            let Some(mut used) = event.tokens.clone().filter(|used| !is_told && !used.is_zero()) else { continue };
            used.model = used.model.or_else(|| event.model.clone());
            let id = match (event.to_message, event.id.as_deref()) {
                (Some(message), _) => format!("{thread}/{message}"),
                (None, Some(id)) => format!("{thread}/{id}"),
                (None, None) => format!("{thread}/event/{place}"),
            };
            let source = event.operation.as_deref().filter(|operation| *operation != "inference");
            tell_request(&id, used, event.at, source, None, None, telling, out);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "what an answer and an entry of the ledger tell alike")]
fn tell_request(
    id: &str,
    used: Usage<'_>,
    at: Option<UnixMs>,
    source: Option<&str>,
    stop_reason: Option<&str>,
    turn: Option<Key>,
    telling: &Telling<'_>,
    out: &mut dyn FnMut(Fact),
) -> Key {
    let used = used.apart();
    let mut request = telling.request(id);
    request.model = usage(name(used.model));
    request.input_tokens = usage(used.input);
    request.output_tokens = usage(used.output);
    request.cache_read_tokens = usage(used.cache_read);
    request.cache_write_tokens = usage(used.cache_write);
    request.started_at = start(used.at.or(at));
    request.stop_reason = usage(name(stop_reason));
    request.query_source = attribution(name(source));
    request.billing = attribution(Some(Billing::Credits));
    request.turn = attribution(turn);
    let key = request.key;
    out(Fact::Request(request));
    key
}

impl<'a> Event<'a> {
    fn parse(item: &LazyValue<'a>) -> Self {
        let mut event = Self::default();
        json::for_fields(item, |field, value| match field {
            "id" => event.id = json::id(&value),
            "timestamp" => event.at = json::time(&value),
            "model" => event.model = json::id(&value),
            "operationType" => event.operation = json::id(&value),
            "toMessageId" => event.to_message = json::count(&value),
            "tokens" => event.tokens = Some(Usage::parse(&value)),
            _ => {}
        });
        event
    }
}

/// A block of a message's content.
#[derive(Debug, Default)]
struct Block<'a> {
    kind: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    text_bytes: u64,
    input: Option<LazyValue<'a>>,
    status: Option<Cow<'a, str>>,
    exit_code: Option<i64>,
    result_bytes: Option<u64>,
}

impl<'a> Block<'a> {
    fn parse(item: &LazyValue<'a>) -> Self {
        let mut block = Self::default();
        json::for_fields(item, |field, value| match field {
            "type" => block.kind = json::id(&value),
            "id" | "toolUseID" => block.id = json::id(&value),
            "name" => block.name = json::id(&value),
            "text" => block.text_bytes = json::text(&value).map_or(0, |text| text.len() as u64),
            "input" => block.input = Some(value),
            "run" => json::for_fields(&value, |field, value| match field {
                "status" => block.status = json::id(&value),
                "result" => {
                    block.result_bytes = Some(value.as_raw_str().len() as u64);
                    json::for_fields(&value, |field, value| {
                        if field == "exitCode" {
                            block.exit_code = sonic_rs::JsonValueTrait::as_i64(&value);
                        }
                    });
                }
                _ => {}
            }),
            _ => {}
        });
        block
    }

    /// How the call ended; not at all while it runs or waits for the user.
    fn ended(&self) -> Option<(Outcome, Option<&'static str>)> {
        match self.status.as_deref()? {
            "done" if self.exit_code.unwrap_or_default() != 0 => Some((Outcome::Error, Some("exit_code"))),
            "done" => Some((Outcome::Ok, None)),
            "error" => Some((Outcome::Error, Some("other"))),
            "cancelled" => Some((Outcome::Interrupted, Some("user"))),
            "rejected-by-user" => Some((Outcome::Refused, Some("permission"))),
            _ => None,
        }
    }
}

impl<'a> Message<'a> {
    fn parse(item: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(item, |field, value| match field {
            "messageId" => message.id = json::count(&value),
            "role" => message.role = json::id(&value),
            "parentToolUseId" => message.is_of_subagent = json::id(&value).is_some(),
            "meta" => json::for_fields(&value, |field, value| {
                if field == "sentAt" {
                    message.sent_at = json::time(&value);
                }
            }),
            "state" => json::for_fields(&value, |field, value| {
                if field == "stopReason" {
                    message.stop_reason = json::id(&value);
                }
            }),
            "usage" => message.usage = Some(Usage::parse(&value)),
            "content" => message.content = Some(value),
            _ => {}
        });
        message
    }

    fn at(&self) -> Option<UnixMs> {
        self.usage.as_ref().and_then(|used| used.at).or(self.sent_at)
    }

    fn blocks(&self, mut each: impl FnMut(Block<'a>)) {
        if let Some(content) = &self.content {
            json::for_items(content, |item| each(Block::parse(&item)));
        }
    }

    /// UTF-8 bytes of a prompt; none for a message that only hands results back.
    fn prompt_bytes(&self) -> Option<u64> {
        let mut bytes = None;
        self.blocks(|block| {
            if block.kind.as_deref() == Some("text") && !self.is_of_subagent {
                bytes = Some(bytes.unwrap_or(0_u64).saturating_add(block.text_bytes));
            }
        });
        bytes
    }

    fn tell_calls(
        &self,
        id: &str,
        request: Option<Key>,
        at: Option<UnixMs>,
        turn: Option<Key>,
        telling: &Telling<'_>,
        out: &mut dyn FnMut(Fact),
    ) {
        self.blocks(|block| {
            let Some(call) = block.id.as_deref().filter(|_| block.kind.as_deref() == Some("tool_use")) else { return };
            let mut call = telling.tool_call(&call_id(call, telling.session.unwrap_or(id)));
            call.name = attribution(name(block.name.as_deref()));
            call.input_bytes = attribution(block.input.as_ref().map(|input| input.as_raw_str().len() as u64));
            call.target = attribution(block.input.as_ref().and_then(target));
            call.started_at = timing(at);
            call.request = attribution(request);
            call.turn = attribution(turn);
            out(Fact::ToolCall(call));
        });
    }

    fn tell_results(&self, at: Option<UnixMs>, turn: Option<Key>, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
        self.blocks(|block| {
            let Some(call) = block.id.as_deref().filter(|_| block.kind.as_deref() == Some("tool_result")) else { return };
            let mut call = telling.tool_call(&call_id(call, telling.session.unwrap_or_default()));
            let ended = block.ended();
            call.outcome = outcome(ended.map(|(ended, _)| ended));
            call.error_kind = outcome(ended.and_then(|(_, kind)| kind).map(str::to_owned));
            call.ended_at = timing(self.sent_at.or(at).filter(|_| ended.is_some()));
            call.result_bytes = attribution(block.result_bytes);
            call.turn = attribution(turn);
            out(Fact::ToolCall(call));
        });
    }
}

/// The first folder that the client was started in.
fn first_tree(initial: &LazyValue<'_>) -> Option<String> {
    let mut cwd = None;
    json::for_fields(initial, |field, value| {
        if field == "trees" {
            json::for_items(&value, |tree| {
                json::for_fields(&tree, |field, value| {
                    if field == "uri" && cwd.is_none() {
                        cwd = json::id(&value).and_then(|uri| path_of(&uri));
                    }
                });
            });
        }
    });
    cwd
}

/// The path of a `file:` address.
fn path_of(uri: &str) -> Option<String> {
    let path = uri.strip_prefix("file://").filter(|path| path.starts_with('/'))?;
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}
