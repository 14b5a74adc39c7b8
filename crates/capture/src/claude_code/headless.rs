//! What `claude -p --output-format json|stream-json` prints, decoded into a run without its content, and such a run into facts.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Key, KeySpace, LARGEST_AMOUNT, LARGEST_COUNT, Request, Session, TIMES, Told, UnixMs,
    Witness, Witnesses,
};
use serde::{Deserialize, Serialize};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::message::Message;
use super::{AGENT, HookVerdict};
use crate::{Workspaces, json};

/// The name under which a run is sent to the ledger.
pub const RESULT: &str = "claude-code-result";

/// No run makes more; what is beyond is left to the transcripts.
const MOST_REQUESTS: usize = 2000;

/// A run as it told of itself: ids, counts, durations and costs, never a text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadlessRun {
    pub session_id: String,
    pub cwd: Option<String>,
    pub version: Option<String>,
    /// What the client says the run cost.
    pub reported_cost_usd: Option<f64>,
    pub is_error: bool,
    pub duration_ms: Option<u64>,
    pub num_turns: Option<u64>,
    /// Sums by model name, as the client keeps them; with its helper requests, without the lifetimes of cache writes.
    pub models: BTreeMap<String, HeadlessUsage>,
    /// Of the cache writes of the main thread, those for an hour: `models` does not tell lifetimes apart.
    pub cache_write_1h_tokens: Option<u64>,
    /// Those that were printed, which need not be all.
    pub requests: Vec<HeadlessRequest>,
}

/// Tokens of one model, input without cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadlessUsage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_tokens: u64,
    pub web_search_requests: u64,
}

/// One model call as the stream tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadlessRequest {
    /// The provider's id of the call, by which transcripts know it; older clients do not print it.
    pub request_id: Option<String>,
    pub message_id: Option<String>,
    /// When it was printed first.
    pub at: UnixMs,
    /// The usage is the last word: without partial messages the client prints what the provider said at the beginning of its answer.
    pub is_final: bool,
    pub model: Option<String>,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub cache_read_tokens: Option<u64>,
    pub cache_write_tokens: Option<u64>,
    pub cache_write_5m_tokens: Option<u64>,
    pub cache_write_1h_tokens: Option<u64>,
    pub web_search_requests: Option<u64>,
    pub service_tier: Option<String>,
    pub inference_geo: Option<String>,
    pub speed: Option<String>,
    pub stop_reason: Option<String>,
}

/// Reads a client's output line by line. What is none of the client's words is passed over.
#[derive(Debug, Default)]
pub struct Headless {
    run: HeadlessRun,
    ended: bool,
    /// By message id: a message is printed once for each of its blocks.
    requests: Vec<(String, Request, HeadlessRequest)>,
    known: HashMap<String, usize>,
    /// The message under way, by the tool call whose sub-agent it is of.
    open: HashMap<Option<String>, usize>,
}

/// The fields of one printed object, not looked into yet.
#[derive(Default)]
struct Printed<'a> {
    kind: Option<Cow<'a, str>>,
    role: Option<Cow<'a, str>>,
    session: Option<Cow<'a, str>>,
    request_id: Option<Cow<'a, str>>,
    parent: Option<Cow<'a, str>>,
    message: Option<LazyValue<'a>>,
    event: Option<LazyValue<'a>>,
    models: Option<LazyValue<'a>>,
    usage: Option<LazyValue<'a>>,
    cwd: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    cost: Option<f64>,
    is_error: bool,
    duration_ms: Option<u64>,
    num_turns: Option<u64>,
}

impl Headless {
    /// Reads one line, which was printed at `at`: an object, or with `--verbose --output-format json` an array of them. Clients of version 0
    /// print one object over several lines, which are to be read as one.
    pub fn line(&mut self, bytes: &[u8], at: UnixMs) {
        let bytes = bytes.trim_ascii();
        if !matches!(bytes.first(), Some(b'{' | b'[')) || json::is_too_deep(bytes) {
            return;
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if bytes.starts_with(b"{") {
            self.object(text, at);
        } else {
            for item in sonic_rs::to_array_iter(text).map_while(Result::ok) {
                self.object(&item.as_raw_cow(), at);
            }
        }
    }

    fn object(&mut self, text: &str, at: UnixMs) {
        let mut printed = Printed::default();
        for (name, value) in sonic_rs::to_object_iter(text).map_while(Result::ok) {
            printed.see(&name, value);
        }
        // Clients of version 0 say their result in the role of the system, and of its kind nothing.
        let untyped = Some("result").filter(|_| printed.role.as_deref() == Some("system") && printed.cost.is_some());
        let Some(kind) = printed.kind.as_deref().or(untyped) else { return };
        if !matches!(kind, "system" | "assistant" | "stream_event" | "result") {
            return;
        }
        let Some(session) = printed.session.as_deref() else { return };
        session.clone_into(&mut self.run.session_id);
        match kind {
            "system" => {
                self.run.cwd = owned(&printed.cwd).or(self.run.cwd.take());
                self.run.version = owned(&printed.version).or(self.run.version.take());
            }
            "assistant" => {
                if let Some(message) = &printed.message {
                    self.message(&printed, message, at);
                }
            }
            "stream_event" => {
                if let Some(event) = &printed.event {
                    self.event(&printed, event, at);
                }
            }
            _ => self.result(&printed),
        }
    }

    fn message(&mut self, printed: &Printed<'_>, message: &LazyValue<'_>, at: UnixMs) {
        let message = Message::parse(message);
        let Some(id) = message.id.as_deref().filter(|_| message.is_request()) else { return };
        let place = match self.known.get(id) {
            Some(place) => *place,
            None if self.requests.len() >= MOST_REQUESTS => return,
            None => {
                let seen = HeadlessRequest { message_id: Some(id.to_owned()), at, ..HeadlessRequest::default() };
                self.requests.push((id.to_owned(), Request::new(Key([0; 16]), AGENT, id), seen));
                self.known.insert(id.to_owned(), self.requests.len() - 1);
                self.requests.len() - 1
            }
        };
        self.open.insert(owned(&printed.parent), place);
        let (_, request, seen) = &mut self.requests[place];
        let mut told = request.clone();
        message.tell(&mut told);
        seen.is_final |= told.stop_reason.is_told();
        request.join(&told);
        seen.request_id = owned(&printed.request_id).or(seen.request_id.take());
    }

    /// A partial message: how it began, and at its end the usage that the provider bills.
    fn event(&mut self, printed: &Printed<'_>, event: &LazyValue<'_>, at: UnixMs) {
        let (mut kind, mut message, mut usage, mut stop) = (None, None, None, None);
        json::for_fields(event, |name, value| match name {
            "type" => kind = json::text(&value),
            "message" => message = Some(value),
            "usage" => usage = Some(value),
            "delta" => json::for_fields(&value, |name, value| {
                if name == "stop_reason" {
                    stop = json::text(&value);
                }
            }),
            _ => {}
        });
        match (kind.as_deref(), message, usage) {
            (Some("message_start"), Some(message), _) => self.message(printed, &message, at),
            (Some("message_delta"), _, Some(usage)) => {
                let Some(place) = self.open.get(&owned(&printed.parent)) else { return };
                let (_, request, seen) = &mut self.requests[*place];
                let mut told = request.clone();
                Message::of_usage(usage, stop).tell(&mut told);
                seen.is_final = true;
                request.join(&told);
            }
            _ => {}
        }
    }

    fn result(&mut self, printed: &Printed<'_>) {
        self.ended = true;
        let run = &mut self.run;
        run.reported_cost_usd = printed.cost.or(run.reported_cost_usd);
        run.is_error = printed.is_error;
        run.duration_ms = printed.duration_ms;
        run.num_turns = printed.num_turns;
        if let Some(usage) = &printed.usage {
            let mut told = Request::new(Key([0; 16]), AGENT, "");
            Message::of_usage(usage.clone(), None).tell(&mut told);
            run.cache_write_1h_tokens = told.cache_write_1h_tokens.get().copied();
        }
        let Some(models) = &printed.models else { return };
        run.models.clear();
        json::for_fields(models, |name, value| {
            let mut used = HeadlessUsage::default();
            json::for_fields(&value, |name, value| {
                let count = json::count(&value).unwrap_or_default();
                match name {
                    "inputTokens" => used.input_tokens = count,
                    "outputTokens" => used.output_tokens = count,
                    "cacheReadInputTokens" => used.cache_read_tokens = count,
                    "cacheCreationInputTokens" => used.cache_write_tokens = count,
                    "webSearchRequests" => used.web_search_requests = count,
                    _ => {}
                }
            });
            run.models.insert(name.to_owned(), used);
        });
    }

    /// The client printed its result; without one it was stopped, or printed something else.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What was told, if anything was.
    pub fn finish(self) -> Option<HeadlessRun> {
        let mut run = self.run;
        run.requests = self.requests.into_iter().map(|(_, request, seen)| with_usage(seen, &request)).collect();
        (!run.session_id.is_empty()).then_some(run)
    }
}

impl<'a> Printed<'a> {
    fn see(&mut self, name: &str, value: LazyValue<'a>) {
        let id = |value: &LazyValue<'a>| json::text(value).filter(|id| !id.is_empty());
        match name {
            "type" => self.kind = json::text(&value),
            "role" => self.role = json::text(&value),
            "session_id" => self.session = id(&value),
            "request_id" | "requestId" => self.request_id = id(&value),
            "parent_tool_use_id" => self.parent = id(&value),
            "message" => self.message = Some(value).filter(LazyValue::is_object),
            "event" => self.event = Some(value).filter(LazyValue::is_object),
            "modelUsage" => self.models = Some(value).filter(LazyValue::is_object),
            "usage" => self.usage = Some(value).filter(LazyValue::is_object),
            "cwd" => self.cwd = id(&value),
            "claude_code_version" => self.version = id(&value),
            "total_cost_usd" | "cost_usd" => self.cost = value.as_f64().filter(|cost| *cost >= 0.0),
            "is_error" => self.is_error = value.as_bool() == Some(true),
            "duration_ms" => self.duration_ms = json::count(&value),
            "num_turns" => self.num_turns = json::count(&value),
            _ => {}
        }
    }
}

fn owned(text: &Option<Cow<'_, str>>) -> Option<String> {
    text.as_deref().map(str::to_owned)
}

fn with_usage(seen: HeadlessRequest, request: &Request) -> HeadlessRequest {
    let text = |told: &Told<String>| told.get().cloned();
    let count = |told: &Told<u64>| told.get().copied();
    HeadlessRequest {
        model: text(&request.model),
        input_tokens: count(&request.input_tokens),
        output_tokens: count(&request.output_tokens),
        cache_read_tokens: count(&request.cache_read_tokens),
        cache_write_tokens: count(&request.cache_write_tokens),
        cache_write_5m_tokens: count(&request.cache_write_5m_tokens),
        cache_write_1h_tokens: count(&request.cache_write_1h_tokens),
        web_search_requests: count(&request.web_search_requests),
        service_tier: text(&request.service_tier),
        inference_geo: text(&request.inference_geo),
        speed: text(&request.speed),
        stop_reason: text(&request.stop_reason),
        ..seen
    }
}

impl HeadlessRun {
    /// Refuses times that are in no calendar: what is posted under this name need not come from `ducat meter`.
    fn check(&self) -> Result<(), &'static str> {
        if self.duration_ms.is_some_and(|ms| ms > LARGEST_COUNT) {
            return Err("duration_ms: beyond 10^12");
        }
        if self.requests.iter().any(|request| !TIMES.contains(&request.at)) {
            return Err("requests[].at: a time in no calendar");
        }
        Ok(())
    }
}

impl HeadlessRequest {
    /// The request as this witness tells of it; transcripts, which have its last word, are believed before. `None` without the id that
    /// transcripts know it by: under another it would be counted twice.
    pub fn to_request(&self) -> Option<Request> {
        let id = self.request_id.as_deref()?;
        let mut request = Request::new(Key::of(KeySpace::Request, AGENT, id), AGENT, id);
        let rank = Witness::Hook.rank(FieldClass::Usage);
        let text = |value: &Option<String>| Told::maybe(rank, value.clone());
        let count = |value: Option<u64>| Told::maybe(rank, value.filter(|count| *count <= LARGEST_COUNT));
        request.witnesses = Witnesses::only(Witness::Hook);
        request.model = text(&self.model);
        request.input_tokens = count(self.input_tokens);
        request.output_tokens = count(self.output_tokens);
        request.cache_read_tokens = count(self.cache_read_tokens);
        request.cache_write_tokens = count(self.cache_write_tokens);
        request.cache_write_5m_tokens = count(self.cache_write_5m_tokens);
        request.cache_write_1h_tokens = count(self.cache_write_1h_tokens);
        request.web_search_requests = count(self.web_search_requests);
        request.service_tier = text(&self.service_tier);
        request.inference_geo = text(&self.inference_geo);
        request.speed = text(&self.speed);
        request.stop_reason = text(&self.stop_reason);
        request.started_at = Told::by(rank, self.at);
        Some(request)
    }
}

/// Tells `out` the facts of a run that ended at `at`: its session with what the client says it cost, and its requests of which it told
/// id and final usage.
pub fn decode_result(payload: &[u8], at: UnixMs, workspaces: &mut dyn Workspaces, out: &mut dyn FnMut(Fact)) -> HookVerdict {
    if json::is_too_deep(payload) {
        return HookVerdict::Malformed("the result is nested too deep");
    }
    let Ok(run) = sonic_rs::from_slice::<HeadlessRun>(payload) else {
        return HookVerdict::Malformed("the result is no JSON object of ducat meter");
    };
    if run.session_id.is_empty() {
        return HookVerdict::Malformed("session_id: missing or empty");
    }
    if let Err(reason) = run.check() {
        return HookVerdict::Malformed(reason);
    }
    let workspace = run.cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return HookVerdict::Excluded;
    }
    let key = Key::of(KeySpace::Session, AGENT, &run.session_id);
    let holder = |project| Holders::one(Holder { session: key, live: true, project, branch: None });
    let mut session = Session::new(key, AGENT, &run.session_id);
    session.witnesses = Witnesses::only(Witness::Hook);
    session.holders = holder(None);
    // Hooks and transcripts were there at the beginning and the end; this is measured from outside.
    let timing = Witness::Transcript.rank(FieldClass::Timing);
    let begun = run.duration_ms.and_then(|ms| at.checked_sub(i64::try_from(ms).ok()?)).filter(|begun| TIMES.contains(begun));
    session.started_at = Told::by(timing, begun.unwrap_or(at));
    session.last_at = Told::by(timing, at);
    let rank = Witness::Hook.rank(FieldClass::Attribution);
    session.cwd = Told::maybe(rank, run.cwd.clone());
    session.version = Told::maybe(rank, run.version.clone());
    session.reported_cost_nano = Told::maybe(rank, run.reported_cost_usd.and_then(nano));
    out(Fact::Session(session));
    for request in run.requests.iter().take(MOST_REQUESTS).filter(|request| request.is_final) {
        let Some(mut request) = request.to_request() else { continue };
        request.holders = holder(workspace.project.as_deref().map(str::to_owned));
        out(Fact::Request(request));
    }
    HookVerdict::Decoded
}

/// Nano-USD; `None` for what no run costs.
fn nano(usd: f64) -> Option<i64> {
    let nano = (usd * 1e9).round();
    (nano.abs() <= LARGEST_AMOUNT as f64).then_some(nano as i64)
}
