//! A session's record and the sum of what it used.

use std::borrow::Cow;

use ducat_ledger::{Fact, UnixMs};

use super::AGENT;
use crate::Workspaces;
use crate::telling::{Telling, attribution, billing, name, reported_cost, start, timing, usage, without};
use crate::transcript::{Detail, LineVerdict};

/// Tokens of a session; `accumulated` of all its requests, the others of the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
}

impl Tokens {
    fn is_zero(&self) -> bool {
        [self.input, self.output].into_iter().all(|count| count.unwrap_or_default() == 0)
    }
}

#[derive(Debug, Default)]
pub struct Session<'a> {
    pub id: Cow<'a, str>,
    pub directory: Option<Cow<'a, str>>,
    pub created_at: Option<UnixMs>,
    pub updated_at: Option<UnixMs>,
    pub kind: Option<Cow<'a, str>>,
    pub provider: Option<Cow<'a, str>>,
    pub model: Option<Cow<'a, str>>,
    pub accumulated: Tokens,
    pub last: Tokens,
    pub cost_usd: Option<f64>,
}

impl Session<'_> {
    /// Where its facts belong; `None` where the user excluded the place.
    pub fn place(&self, workspaces: &mut dyn Workspaces) -> Option<Telling<'_>> {
        let workspace = self.directory.as_deref().map(|directory| workspaces.resolve(directory)).unwrap_or_default();
        (!workspace.excluded).then_some(Telling {
            agent: AGENT,
            session: Some(self.id.as_ref()),
            project: workspace.project,
            branch: None,
        })
    }

    pub fn tell(&self, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) -> LineVerdict {
        let Some(mut session) = telling.session() else { return LineVerdict::NoFacts };
        session.opened_at = timing(self.created_at);
        if detail == Detail::All {
            session.started_at = timing(self.created_at);
            session.last_at = timing(self.updated_at);
            session.cwd = attribution(self.directory.as_deref().map(str::to_owned));
        }
        out(Fact::Session(session));
        // The oldest clients summed nothing up: what the last request used is the least that the session did.
        let used = if self.accumulated.is_zero() { self.last } else { self.accumulated };
        if used.is_zero() {
            return LineVerdict::Decoded;
        }
        let (input, cache_read) = without(used.input, used.cache_read);
        let (input, cache_write) = without(input, used.cache_write);
        let mut request = telling.request(self.id.as_ref());
        request.is_sum = attribution(Some(true));
        request.model = usage(name(self.model.as_deref()));
        request.provider = usage(name(self.provider.as_deref()));
        request.input_tokens = usage(input);
        request.output_tokens = usage(used.output);
        request.cache_read_tokens = usage(cache_read);
        request.cache_write_tokens = usage(cache_write);
        request.reported_cost_nano = reported_cost(self.cost_usd);
        request.started_at = start(self.created_at);
        request.billing = attribution(self.provider.as_deref().and_then(billing));
        if self.kind.as_deref() == Some("sub_agent") {
            request.subagent_type = attribution(name(self.kind.as_deref()));
        }
        out(Fact::Request(request));
        LineVerdict::Decoded
    }
}
