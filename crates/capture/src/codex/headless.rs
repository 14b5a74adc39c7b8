//! What `codex exec --json` prints, decoded into a run without its content, and such a run into a fact.
//!
//! It tells sums alone, of the thread from its beginning (measured: resuming a thread goes on counting), and no ids of requests: those are the
//! rollouts' to tell, and the sums are kept beside them.

use ducat_ledger::{Fact, FieldClass, Holder, Holders, Key, KeySpace, LARGEST_COUNT, Session, Told, UnixMs, Witness, Witnesses};
use serde::{Deserialize, Serialize};
use sonic_rs::LazyValue;

use super::AGENT;
use crate::claude_code::HookVerdict;
use crate::{Workspaces, json};

/// The name under which a run is sent to the ledger.
pub const RESULT: &str = "codex-result";

/// A thread as a run told of it: ids and counts, never a text. Counts are as the client prints them, `None` until a turn ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadlessRun {
    pub thread_id: String,
    pub cwd: Option<String>,
    /// With what was read from and written to the cache.
    pub input_tokens: Option<u64>,
    pub cached_input_tokens: Option<u64>,
    pub cache_write_input_tokens: Option<u64>,
    /// With reasoning.
    pub output_tokens: Option<u64>,
    pub reasoning_output_tokens: Option<u64>,
    pub is_error: bool,
}

impl HeadlessRun {
    /// Input neither read from nor written to the cache.
    pub fn input_without_cache(&self) -> Option<u64> {
        let cached =
            self.cached_input_tokens.unwrap_or_default().saturating_add(self.cache_write_input_tokens.unwrap_or_default());
        self.input_tokens.map(|input| input.saturating_sub(cached))
    }
}

/// Reads a client's output line by line. What is none of the client's words is passed over.
#[derive(Debug, Default)]
pub struct Headless(HeadlessRun);

impl Headless {
    pub fn line(&mut self, bytes: &[u8]) {
        let bytes = bytes.trim_ascii();
        if !bytes.starts_with(b"{") || json::is_too_deep(bytes) {
            return;
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let (mut kind, mut thread, mut usage) = (None, None, None);
        for (name, value) in sonic_rs::to_object_iter(text).map_while(Result::ok) {
            match &*name {
                "type" => kind = json::text(&value),
                "thread_id" => thread = json::text(&value).filter(|id| !id.is_empty()),
                "usage" => usage = Some(value),
                _ => {}
            }
        }
        match (kind.as_deref(), thread, usage) {
            (Some("thread.started"), Some(thread), _) => self.0.thread_id = thread.into_owned(),
            (Some("turn.completed"), _, Some(usage)) => self.usage(&usage),
            (Some("turn.failed"), ..) => self.0.is_error = true,
            _ => {}
        }
    }

    fn usage(&mut self, usage: &LazyValue<'_>) {
        json::for_fields(usage, |name, value| {
            let field = match name {
                "input_tokens" => &mut self.0.input_tokens,
                "cached_input_tokens" => &mut self.0.cached_input_tokens,
                "cache_write_input_tokens" => &mut self.0.cache_write_input_tokens,
                "output_tokens" => &mut self.0.output_tokens,
                "reasoning_output_tokens" => &mut self.0.reasoning_output_tokens,
                _ => return,
            };
            *field = json::count(&value).or(*field);
        });
    }

    /// What was told, if anything was.
    pub fn finish(self) -> Option<HeadlessRun> {
        (!self.0.thread_id.is_empty()).then_some(self.0)
    }
}

/// Tells `out` the session of a run that ended at `at`, with the sums it told.
pub fn decode_result(payload: &[u8], at: UnixMs, workspaces: &mut dyn Workspaces, out: &mut dyn FnMut(Fact)) -> HookVerdict {
    if json::is_too_deep(payload) {
        return HookVerdict::Malformed("the result is nested too deep");
    }
    let Ok(run) = sonic_rs::from_slice::<HeadlessRun>(payload) else {
        return HookVerdict::Malformed("the result is no JSON object of ducat meter");
    };
    if run.thread_id.is_empty() {
        return HookVerdict::Malformed("thread_id: missing or empty");
    }
    if run.cwd.as_deref().is_some_and(|cwd| workspaces.resolve(cwd).excluded) {
        return HookVerdict::Excluded;
    }
    let key = Key::of(KeySpace::Session, AGENT, &run.thread_id);
    let mut session = Session::new(key, AGENT, &run.thread_id);
    session.witnesses = Witnesses::only(Witness::Hook);
    session.holders = Holders::one(Holder { session: key, live: true, project: None, branch: None });
    // Rollouts were there at the beginning and the end; this is measured from outside.
    let timing = Witness::Transcript.rank(FieldClass::Timing);
    session.started_at = Told::by(timing, at);
    session.last_at = Told::by(timing, at);
    let rank = Witness::Hook.rank(FieldClass::Attribution);
    session.cwd = Told::maybe(rank, run.cwd.clone());
    let count = |sum: Option<u64>| Told::maybe(rank, sum.filter(|count| *count <= LARGEST_COUNT));
    session.reported_input_tokens = count(run.input_without_cache());
    session.reported_cache_read_tokens = count(run.cached_input_tokens);
    session.reported_output_tokens = count(run.output_tokens);
    out(Fact::Session(session));
    HookVerdict::Decoded
}
