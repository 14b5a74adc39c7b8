//! Messages: the user's is a turn, an assistant's is a request.

use std::borrow::Cow;

use ducat_ledger::{Fact, IncidentKind, Key, KeySpace, UnixMs};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::AGENT;
use super::copy::is_copy;
use super::session::Session;
use crate::telling::{Telling, attribution, billing, name, reported_cost, start, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// A message without its parts.
#[derive(Debug, Default)]
pub struct Message<'a> {
    pub id: Option<Cow<'a, str>>,
    pub session: Option<Cow<'a, str>>,
    role: Option<Cow<'a, str>>,
    parent: Option<Cow<'a, str>>,
    provider: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    agent: Option<Cow<'a, str>>,
    effort: Option<Cow<'a, str>>,
    stop_reason: Option<Cow<'a, str>>,
    cwd: Option<Cow<'a, str>>,
    pub created_at: Option<UnixMs>,
    cost_usd: Option<f64>,
    tokens: Tokens,
    error: Option<Error<'a>>,
}

#[derive(Debug, Default)]
struct Error<'a> {
    name: Option<Cow<'a, str>>,
    status: Option<u64>,
}

#[derive(Debug, Default)]
struct Tokens {
    total: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
}

impl Tokens {
    fn parse(value: &LazyValue<'_>) -> Self {
        let mut tokens = Self::default();
        json::for_fields(value, |field, value| match field {
            "total" => tokens.total = json::count(&value),
            "input" => tokens.input = json::count(&value),
            "output" => tokens.output = json::count(&value),
            "reasoning" => tokens.reasoning = json::count(&value),
            "cache" => json::for_fields(&value, |field, value| match field {
                "read" => tokens.cache_read = json::count(&value),
                "write" => tokens.cache_write = json::count(&value),
                _ => {}
            }),
            _ => {}
        });
        tokens
    }

    fn is_zero(&self) -> bool {
        let Self { total: _, input, output, reasoning, cache_read, cache_write } = self;
        [input, output, reasoning, cache_read, cache_write].into_iter().all(|count| count.unwrap_or_default() == 0)
    }

    /// Output with reasoning.
    fn output(&self, provider: Option<&str>) -> Option<u64> {
        let (output, reasoning) = (self.output?, self.reasoning.unwrap_or_default());
        let beside = output.saturating_add(reasoning);
        let rest = [self.input, self.cache_read, self.cache_write].into_iter().flatten().fold(0, u64::saturating_add);
        let is_beside = match self.total {
            Some(total) => total != rest.saturating_add(output),
            None => reasoning > output || provider.is_some_and(|provider| provider.starts_with("google")),
        };
        Some(if is_beside { beside } else { output })
    }
}

impl<'a> Message<'a> {
    pub fn parse(info: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(info, |field, value| match field {
            "id" => message.id = json::id(&value),
            "sessionID" => message.session = json::id(&value),
            "role" => message.role = json::id(&value),
            "parentID" => message.parent = json::id(&value),
            "providerID" => message.provider = json::id(&value),
            "modelID" => message.model = json::id(&value),
            "agent" => message.agent = json::id(&value),
            "mode" => message.agent = message.agent.take().or_else(|| json::id(&value)),
            "variant" => message.effort = json::id(&value).filter(|variant| variant != "default"),
            "finish" => message.stop_reason = json::id(&value),
            "path" => json::for_fields(&value, |field, value| {
                if field == "cwd" {
                    message.cwd = json::id(&value);
                }
            }),
            "time" => json::for_fields(&value, |field, value| {
                if field == "created" {
                    message.created_at = json::time(&value);
                }
            }),
            "cost" => message.cost_usd = json::number(&value),
            "tokens" => message.tokens = Tokens::parse(&value),
            "error" if value.is_object() => message.error = Some(Error::parse(&value)),
            _ => {}
        });
        message
    }

    pub fn is_user(&self) -> bool {
        self.role.as_deref() == Some("user")
    }

    /// Where its facts belong; `None` where the user excluded the place.
    pub fn place(&'a self, session: &'a Session<'a>, workspaces: &mut dyn Workspaces) -> Option<Telling<'a>> {
        let directory = self.cwd.as_deref().or(session.directory.as_deref());
        let workspace = directory.map(|directory| workspaces.resolve(directory)).unwrap_or_default();
        let session = self.session.as_deref().or(session.id.as_deref());
        (!workspace.excluded).then_some(Telling { agent: AGENT, session, project: workspace.project, branch: None })
    }

    /// Tells its turn or request. `prompt_bytes`: of a user message, where its parts are known.
    pub fn tell(
        &self,
        session: &Session<'_>,
        prompt_bytes: Option<u64>,
        workspaces: &mut dyn Workspaces,
        detail: Detail,
        out: &mut dyn FnMut(Fact),
    ) -> LineVerdict {
        let Some(telling) = self.place(session, workspaces) else { return LineVerdict::Excluded };
        let Some(id) = self.id.as_deref() else { return LineVerdict::Unreadable("a message without id") };
        if is_copy(id, self.created_at) {
            return LineVerdict::NoFacts;
        }
        match self.role.as_deref() {
            Some("user") if detail == Detail::All => {
                out(Fact::Turn(telling.turn(id, self.created_at, prompt_bytes)));
                LineVerdict::Decoded
            }
            Some("assistant") => self.tell_assistant(id, &telling, session, detail, out),
            _ => LineVerdict::NoFacts,
        }
    }

    fn tell_assistant(
        &self,
        id: &str,
        telling: &Telling<'_>,
        session: &Session<'_>,
        detail: Detail,
        out: &mut dyn FnMut(Fact),
    ) -> LineVerdict {
        let mut told = LineVerdict::NoFacts;
        if detail == Detail::All
            && let Some(error) = self.error.as_ref().filter(|error| error.is_of_api())
        {
            let mut incident = telling.incident(IncidentKind::ApiError, id, self.created_at);
            incident.value = attribution(error.status.and_then(|status| i64::try_from(status).ok()));
            incident.detail = attribution(name(error.name.as_deref()));
            out(Fact::Incident(incident));
            told = LineVerdict::Decoded;
        }
        // A message that was begun, or failed, before the model said what it used.
        if self.tokens.is_zero() {
            return told;
        }
        let mut request = telling.request(id);
        let provider = self.provider.as_deref();
        request.model = usage(name(self.model.as_deref()));
        request.provider = usage(name(provider));
        request.input_tokens = usage(self.tokens.input);
        request.output_tokens = usage(self.tokens.output(provider));
        request.reasoning_tokens = usage(self.tokens.reasoning);
        request.cache_read_tokens = usage(self.tokens.cache_read);
        request.cache_write_tokens = usage(self.tokens.cache_write);
        request.reported_cost_nano = reported_cost(self.cost_usd);
        request.started_at = start(self.created_at);
        request.stop_reason = usage(name(self.stop_reason.as_deref()));
        request.effort = attribution(name(self.effort.as_deref()));
        request.query_source = attribution(name(self.agent.as_deref()));
        if session.is_subagent {
            request.subagent_type = attribution(name(self.agent.as_deref()));
        }
        request.billing = attribution(provider.and_then(billing));
        request.turn = attribution(self.parent.as_deref().map(|parent| telling.turn_key(parent)));
        out(Fact::Request(request));
        LineVerdict::Decoded
    }

    pub fn request_key(&self) -> Option<Key> {
        Some(Key::of(KeySpace::Request, AGENT, self.id.as_deref().filter(|_| !self.is_user() && !self.tokens.is_zero())?))
    }

    pub fn turn_key(&self) -> Option<Key> {
        Some(Key::of(KeySpace::Turn, AGENT, self.parent.as_deref()?))
    }
}

impl<'a> Error<'a> {
    fn parse(value: &LazyValue<'a>) -> Self {
        let mut error = Self::default();
        json::for_fields(value, |field, value| match field {
            "name" => error.name = json::id(&value),
            "data" => json::for_fields(&value, |field, value| {
                if field == "statusCode" {
                    error.status = json::count(&value);
                }
            }),
            _ => {}
        });
        error
    }

    /// The user's own interruption is none.
    fn is_of_api(&self) -> bool {
        self.name.as_deref().is_some_and(|name| name != "MessageAbortedError")
    }
}
