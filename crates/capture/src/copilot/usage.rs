//! What a request, or several, used.

use std::borrow::Cow;

use ducat_ledger::{Billing, Request};
use sonic_rs::{JsonValueTrait, LazyValue};

use crate::json;
use crate::telling::{attribution, name, start, timing, usage, without};

/// A `session.usage_record`'s usage, or a model's sums at a shutdown.
#[derive(Debug, Default)]
pub struct Usage<'a> {
    pub call: Option<Cow<'a, str>>,
    pub model: Option<Cow<'a, str>>,
    pub counts: Counts,
    effort: Option<Cow<'a, str>>,
    provider: Option<Cow<'a, str>>,
    initiator: Option<Cow<'a, str>>,
    stop_reason: Option<Cow<'a, str>>,
    /// Of the user's own provider, not of GitHub's subscription.
    is_own: bool,
    duration_ms: Option<u64>,
    ttft_ms: Option<u64>,
}

/// As told: input with cache, output with reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub requests: u64,
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub reasoning: u64,
}

impl Counts {
    pub fn parse(value: &LazyValue<'_>) -> Self {
        let mut counts = Self::default();
        json::for_fields(value, |field, value| counts.take(field, &value));
        counts
    }

    fn take(&mut self, field: &str, value: &LazyValue<'_>) {
        let count = match field {
            "inputTokens" => &mut self.input,
            "outputTokens" => &mut self.output,
            "cacheReadTokens" => &mut self.cache_read,
            "cacheWriteTokens" => &mut self.cache_write,
            "reasoningTokens" => &mut self.reasoning,
            _ => return,
        };
        *count = json::count(value).unwrap_or_default();
    }

    fn all(&self) -> [u64; 6] {
        [self.requests, self.input, self.output, self.cache_read, self.cache_write, self.reasoning]
    }

    /// What there is more than in `before`; `None` where that had more of anything.
    pub fn since(&self, before: &Self) -> Option<Self> {
        let mut rest = [0; 6];
        for (rest, (now, before)) in rest.iter_mut().zip(self.all().into_iter().zip(before.all())) {
            *rest = now.checked_sub(before)?;
        }
        let [requests, input, output, cache_read, cache_write, reasoning] = rest;
        Some(Self { requests, input, output, cache_read, cache_write, reasoning })
    }

    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }

    pub fn is_zero(&self) -> bool {
        self.input == 0 && self.output == 0
    }

    pub fn tell(&self, request: &mut Request) {
        let (input, cache_read) = without(Some(self.input), Some(self.cache_read));
        let (input, cache_write) = without(input, Some(self.cache_write));
        request.input_tokens = usage(input);
        request.cache_read_tokens = usage(cache_read);
        request.cache_write_tokens = usage(cache_write);
        request.output_tokens = usage(Some(self.output));
        request.reasoning_tokens = usage(Some(self.reasoning).filter(|reasoning| *reasoning <= self.output));
    }
}

impl<'a> Usage<'a> {
    pub fn parse(value: &LazyValue<'a>) -> Self {
        let mut told = Self { counts: Counts { requests: 1, ..Counts::default() }, ..Self::default() };
        json::for_fields(value, |field, value| match field {
            "apiCallId" => told.call = json::id(&value),
            "model" => told.model = json::id(&value),
            "reasoningEffort" => told.effort = json::id(&value),
            "providerType" => told.provider = json::id(&value),
            "initiator" => told.initiator = json::id(&value),
            "finishReason" => told.stop_reason = json::id(&value),
            "isByok" => told.is_own = value.as_bool() == Some(true),
            "duration" => told.duration_ms = milliseconds(&value),
            "timeToFirstTokenMs" => told.ttft_ms = milliseconds(&value),
            field => told.counts.take(field, &value),
        });
        told
    }

    /// GitHub bills its subscribers by premium requests and credits; whoever brings a provider pays that.
    pub fn billing(&self) -> Option<Billing> {
        (!self.is_own).then_some(Billing::Credits)
    }

    pub fn tell(&self, ended_at: Option<i64>, request: &mut Request) {
        self.counts.tell(request);
        request.model = usage(name(self.model.as_deref()));
        let provider = if self.is_own { self.provider.as_deref() } else { Some("github-copilot") };
        request.provider = usage(name(provider));
        request.started_at = start(ended_at.map(|end| end.saturating_sub(self.duration_ms.unwrap_or_default() as i64)));
        request.ended_at = usage(ended_at);
        request.duration_ms = timing(self.duration_ms);
        request.ttft_ms = timing(self.ttft_ms);
        request.effort = attribution(name(self.effort.as_deref()));
        request.query_source = attribution(name(self.initiator.as_deref()));
        request.stop_reason = usage(name(self.stop_reason.as_deref()));
        request.billing = attribution(self.billing());
    }
}

/// A time span; a day is more than any request takes.
fn milliseconds(value: &LazyValue<'_>) -> Option<u64> {
    json::number(value).filter(|ms| (0.0..=86_400_000.0).contains(ms)).map(|ms| ms.round() as u64)
}
