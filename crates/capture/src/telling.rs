//! What every agent's transcripts tell alike: facts of one session, marked as a transcript's word.

use std::sync::Arc;

use ducat_ledger::{
    Billing, FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Request, Session, Told, ToolCall, Turn, UnixMs,
    Witness, Witnesses,
};

/// A session that facts are told of.
#[derive(Clone, Debug)]
pub(crate) struct Telling<'a> {
    pub agent: &'static str,
    /// The agent's own id of the session; without one, facts are of no session.
    pub session: Option<&'a str>,
    pub project: Option<Arc<str>>,
    pub branch: Option<&'a str>,
}

impl Telling<'_> {
    fn holders(&self) -> Holders {
        let Some(session) = self.session_key() else { return Holders::default() };
        let project = self.project.as_deref().map(str::to_owned);
        Holders::one(Holder { session, live: false, project, branch: self.branch.map(str::to_owned) })
    }

    pub fn session_key(&self) -> Option<Key> {
        Some(Key::of(KeySpace::Session, self.agent, self.session?))
    }

    pub fn session(&self) -> Option<Session> {
        let (key, id) = (self.session_key()?, self.session?);
        let mut session = Session::new(key, self.agent, id);
        session.witnesses = Witnesses::only(Witness::Transcript);
        session.holders = Holders::one(Holder { session: key, live: false, project: None, branch: None });
        Some(session)
    }

    pub fn request(&self, id: &str) -> Request {
        let mut request = Request::new(Key::of(KeySpace::Request, self.agent, id), self.agent, id);
        request.witnesses = Witnesses::only(Witness::Transcript);
        request.holders = self.holders();
        request
    }

    pub fn turn_key(&self, id: &str) -> Key {
        Key::of(KeySpace::Turn, self.agent, id)
    }

    pub fn turn(&self, id: &str, at: Option<UnixMs>, prompt_bytes: Option<u64>) -> Turn {
        let mut turn = Turn::new(self.turn_key(id), self.agent, id);
        turn.witnesses = Witnesses::only(Witness::Transcript);
        turn.holders = self.holders();
        turn.started_at = timing(at);
        turn.prompt_bytes = attribution(prompt_bytes);
        turn
    }

    pub fn tool_call(&self, id: &str) -> ToolCall {
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, self.agent, id), self.agent, id);
        call.witnesses = Witnesses::only(Witness::Transcript);
        call.holders = self.holders();
        call
    }

    pub fn incident(&self, kind: IncidentKind, id: &str, at: Option<UnixMs>) -> Incident {
        let id = format!("{}/{id}", kind.name());
        let mut incident = Incident::new(Key::of(KeySpace::Incident, self.agent, &id), self.agent, id);
        incident.witnesses = Witnesses::only(Witness::Transcript);
        incident.holders = self.holders();
        incident.kind = attribution(Some(kind));
        incident.at = attribution(at);
        incident
    }
}

pub(crate) fn usage<T>(value: Option<T>) -> Told<T> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Usage), value)
}

pub(crate) fn outcome<T>(value: Option<T>) -> Told<T> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Outcome), value)
}

pub(crate) fn timing<T>(value: Option<T>) -> Told<T> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Timing), value)
}

pub(crate) fn start<T>(value: Option<T>) -> Told<T> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Start), value)
}

pub(crate) fn attribution<T>(value: Option<T>) -> Told<T> {
    Told::maybe(Witness::Transcript.rank(FieldClass::Attribution), value)
}

/// A name worth keeping: not empty, and not longer than any name is.
pub(crate) fn name(text: Option<impl AsRef<str>>) -> Option<String> {
    const LONGEST: usize = 200;
    text.as_ref().map(AsRef::as_ref).filter(|text| !text.is_empty() && text.len() <= LONGEST).map(str::to_owned)
}

/// What a client said a request cost.
pub(crate) fn reported_cost(usd: Option<f64>) -> Told<i64> {
    usage(usd.and_then(nano_usd))
}

/// A client's cost from USD to nano-USD. Clients that know no price say 0, so 0 tells nothing.
pub(crate) fn nano_usd(usd: f64) -> Option<i64> {
    const MOST: f64 = 1e6;
    (usd > 0.0 && usd <= MOST).then(|| (usd * 1e9).round() as i64)
}

/// Who is paid for requests of a provider, where its name says so.
pub(crate) fn billing(provider: &str) -> Option<Billing> {
    match provider {
        "github-copilot" | "github-copilot-enterprise" | "copilot" => Some(Billing::Credits),
        "ollama" | "lmstudio" | "llama.cpp" | "llamacpp" | "mlx" => Some(Billing::Local),
        _ => None,
    }
}

/// The key of a tool call or an answer: the provider's id, which copies in forks keep. Some providers count their calls anew in each answer
/// (`bash:0`), or draw ids from a few hundred (Ollama's `chatcmpl-417`); such ids name only one of this message, session or trace.
pub(crate) fn call_id(id: &str, message: &str) -> String {
    if is_unique(id) { id.to_owned() } else { format!("{message}/{id}") }
}

/// Whether an id is long enough to be drawn once.
pub(crate) fn is_unique(id: &str) -> bool {
    const SHORTEST_UNIQUE: usize = 16;
    id.len() >= SHORTEST_UNIQUE
}

/// Input without cached, and cached, from clients whose input includes it; a part larger than its whole is refused.
pub(crate) fn without(whole: Option<u64>, part: Option<u64>) -> (Option<u64>, Option<u64>) {
    match (whole, part) {
        (Some(whole), Some(part)) if part <= whole => (Some(whole - part), Some(part)),
        (whole, None | Some(0)) => (whole, part),
        (whole, Some(_)) => (whole, None),
    }
}
