//! `<session>.messages.json`: a session's messages with what each answer used. Input includes the cache, as the AI SDK counts it, but for
//! providers of the older kind, whose parts larger than their whole tell them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use ducat_ledger::{Fact, Key, Outcome, UnixMs};
use sonic_rs::LazyValue;

use super::beside::cwd_of_session;
use super::convention::{Counts, includes_cache};
use super::{CLINE, SESSION};
use crate::block::Block;
use crate::claude_code::target;
use crate::telling::{Telling, attribution, billing, call_id, name, outcome, reported_cost, start, timing, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

#[derive(Debug, Default)]
struct Message<'a> {
    id: Option<Cow<'a, str>>,
    role: Option<Cow<'a, str>>,
    at: Option<UnixMs>,
    content: Option<LazyValue<'a>>,
    provider: Option<String>,
    model: Option<String>,
    counts: Counts,
    cost_usd: Option<f64>,
}

#[derive(Debug, Default)]
struct Session<'a> {
    id: Option<Cow<'a, str>>,
    agent: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    messages: Vec<Message<'a>>,
}

pub fn decode(
    document: &LazyValue<'_>,
    path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let session = Session::parse(document);
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = file.strip_suffix(SESSION).unwrap_or(file);
    let cwd = cwd_of_session(path.parent().unwrap_or(Path::new("")), stem, workspaces);
    let workspace = cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    if session.messages.is_empty() {
        return LineVerdict::NoFacts;
    }
    let id = session.id.as_deref().unwrap_or(stem);
    let telling = Telling { agent: CLINE, session: Some(id), project: workspace.project, branch: None };
    let Some(mut fact) = telling.session() else { return LineVerdict::NoFacts };
    let times = || session.messages.iter().filter_map(|message| message.at);
    fact.opened_at = timing(times().min());
    if detail == Detail::All {
        fact.started_at = timing(times().min());
        fact.last_at = timing(times().max());
        fact.cwd = attribution(cwd);
        fact.version = attribution(name(session.version.as_deref()));
    }
    out(Fact::Session(fact));
    session.tell(&telling, detail, out);
    LineVerdict::Decoded
}

impl<'a> Session<'a> {
    fn parse(document: &LazyValue<'a>) -> Self {
        let mut session = Self::default();
        json::for_fields(document, |field, value| match field {
            "sessionId" => session.id = json::id(&value),
            "agent" => session.agent = json::id(&value),
            "origin" => json::for_fields(&value, |field, value| {
                if field == "version" {
                    session.version = json::id(&value);
                }
            }),
            "messages" => json::for_items(&value, |item| session.messages.push(Message::parse(&item))),
            _ => {}
        });
        session
    }

    fn tell(&self, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) {
        let mut by_provider = BTreeMap::<Option<&str>, Vec<&Counts>>::new();
        for message in &self.messages {
            by_provider.entry(message.provider.as_deref()).or_default().push(&message.counts);
        }
        // The names of its providers say nothing here: their counts were made alike.
        let includes: BTreeMap<_, _> =
            by_provider.into_iter().map(|(provider, counts)| (provider, includes_cache(None, counts))).collect();
        let mut turn = None;
        for message in &self.messages {
            // The ids have eight letters; with its time a message is told apart, in copies alike.
            let Some(id) = message.id.as_deref().map(|id| format!("{id}/{}", message.at.unwrap_or_default())) else { continue };
            match message.role.as_deref() {
                Some("assistant") => {
                    let includes_cache = includes.get(&message.provider.as_deref()).copied().unwrap_or(true);
                    let request = self.tell_request(&id, message, includes_cache, turn, telling, out);
                    if detail == Detail::All {
                        message.tell_calls(&id, request, turn, telling, out);
                    }
                }
                Some("user") => {
                    if let Some(bytes) = message.prompt_bytes() {
                        turn = Some(telling.turn_key(&id));
                        if detail == Detail::All {
                            out(Fact::Turn(telling.turn(&id, message.at, Some(bytes))));
                        }
                    }
                    if detail == Detail::All {
                        message.tell_results(turn, telling, out);
                    }
                }
                _ => {}
            }
        }
    }

    fn tell_request(
        &self,
        id: &str,
        message: &Message<'_>,
        includes_cache: bool,
        turn: Option<Key>,
        telling: &Telling<'_>,
        out: &mut dyn FnMut(Fact),
    ) -> Option<Key> {
        if message.counts.is_zero() {
            return None;
        }
        let provider = message.provider.as_deref();
        let counts = if includes_cache { message.counts.less_cache() } else { message.counts };
        let mut request = telling.request(id);
        request.model = usage(message.model.clone());
        request.provider = usage(message.provider.clone());
        request.input_tokens = usage(counts.input);
        request.output_tokens = usage(counts.output);
        request.cache_read_tokens = usage(counts.cache_read);
        request.cache_write_tokens = usage(counts.cache_write);
        request.reported_cost_nano = reported_cost(message.cost_usd);
        request.started_at = start(message.at);
        request.subagent_type = attribution(name(self.agent.as_deref().filter(|agent| *agent != "lead")));
        request.billing = attribution(provider.and_then(billing));
        request.turn = attribution(turn);
        let key = request.key;
        out(Fact::Request(request));
        Some(key)
    }
}

impl<'a> Message<'a> {
    fn parse(item: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(item, |field, value| match field {
            "id" => message.id = json::id(&value),
            "role" => message.role = json::id(&value),
            "ts" => message.at = json::time(&value),
            "content" => message.content = Some(value),
            "modelInfo" => json::for_fields(&value, |field, value| match field {
                "id" => message.model = name(json::id(&value)),
                "provider" => message.provider = name(json::id(&value)),
                _ => {}
            }),
            "metrics" => json::for_fields(&value, |field, value| match field {
                "inputTokens" => message.counts.input = json::count(&value),
                "outputTokens" => message.counts.output = json::count(&value),
                "cacheReadTokens" => message.counts.cache_read = json::count(&value),
                "cacheWriteTokens" => message.counts.cache_write = json::count(&value),
                "cost" => message.cost_usd = json::number(&value),
                _ => {}
            }),
            _ => {}
        });
        message
    }

    fn blocks(&self, mut each: impl FnMut(Block<'a>)) {
        if let Some(content) = &self.content {
            json::for_items(content, |item| each(Block::parse(&item)));
        }
    }

    /// UTF-8 bytes of a prompt; none for a message that only hands results back.
    fn prompt_bytes(&self) -> Option<u64> {
        let mut bytes = self.content.as_ref().and_then(json::text).map(|text| text.len() as u64);
        self.blocks(|block| {
            if block.kind.as_deref() == Some("text") {
                bytes = Some(bytes.unwrap_or_default().saturating_add(block.text_bytes));
            }
        });
        bytes
    }

    fn tell_calls(&self, id: &str, request: Option<Key>, turn: Option<Key>, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
        self.blocks(|block| {
            let Some(call) = block.id.as_deref().filter(|_| block.kind.as_deref() == Some("tool_use")) else { return };
            let mut call = telling.tool_call(&call_id(call, telling.session.unwrap_or(id)));
            call.name = attribution(name(block.name.as_deref()));
            call.input_bytes = attribution(block.input.as_ref().map(|input| input.as_raw_str().len() as u64));
            call.target = attribution(block.input.as_ref().and_then(target));
            call.started_at = timing(self.at);
            call.request = attribution(request);
            call.turn = attribution(turn);
            out(Fact::ToolCall(call));
        });
    }

    fn tell_results(&self, turn: Option<Key>, telling: &Telling<'_>, out: &mut dyn FnMut(Fact)) {
        self.blocks(|block| {
            let Some(call) = block.id.as_deref().filter(|_| block.kind.as_deref() == Some("tool_result")) else { return };
            let mut call = telling.tool_call(&call_id(call, telling.session.unwrap_or_default()));
            let content = block.content.as_ref().map(|content| content.as_raw_str().to_owned()).unwrap_or_default();
            let (ended, kind) = judge(block.is_error, &content);
            call.name = attribution(name(block.name.as_deref()));
            call.outcome = outcome(Some(ended));
            call.error_kind = outcome(kind.map(str::to_owned));
            call.ended_at = timing(self.at);
            call.result_bytes = attribution(Some(content.len() as u64));
            call.turn = attribution(turn);
            out(Fact::ToolCall(call));
        });
    }
}

/// How a call ended; the words are the client's own. A tool that takes several things at once tells of each whether it went well.
fn judge(is_error: bool, result: &str) -> (Outcome, Option<&'static str>) {
    let compact: String = if result.starts_with('[') { result.split_whitespace().collect() } else { String::new() };
    if is_error && result.contains("rejected before execution") {
        (Outcome::Refused, Some("unknown_tool"))
    } else if !is_error && !compact.contains("\"success\":false") {
        (Outcome::Ok, None)
    } else if result.contains("ENOENT") {
        (Outcome::Error, Some("not_found"))
    } else if result.contains("ommand exited with code") {
        (Outcome::Error, Some("exit_code"))
    } else {
        (Outcome::Error, Some("other"))
    }
}
