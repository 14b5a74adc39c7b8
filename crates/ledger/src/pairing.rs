//! Requests, tool calls, turns and incidents that a witness told without their id, paired with what others told of the same ones.
//!
//! Rows of one session that tell the same (model and tokens, a tool's name, the kind of an incident) form a group. Each lane of it, in the order of `(time, key)`,
//! counts from the first: the k-th of every lane are one fact. A function of the set, whatever came first.

use crate::{Incident, IncidentKind, Key, KeySpace, Request, ToolCall, Turn, Witness, Witnesses};

/// Agents some of whose witnesses tell no ids.
const KEYLESS_AGENTS: [&str; 3] = ["codex", "gemini-cli", "qwen-code"];
const CLAUDE_CODE: &str = "claude-code";
const GEMINI_CLI: &str = "gemini-cli";

/// How a row of the ledger counts; the number is stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Another row tells the same, and counts.
    Twin = 0,
    One = 1,
    /// Several requests, of which nobody told one by one.
    Sum = 2,
    /// Requests of it are told one by one, and count.
    CoveredSum = 3,
    /// A request whose tokens nobody counted exactly.
    Estimate = 4,
}

impl Role {
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Twin, Self::One, Self::Sum, Self::CoveredSum, Self::Estimate].into_iter().find(|role| *role as u8 == code)
    }

    pub fn counts(self) -> bool {
        !matches!(self, Self::Twin | Self::CoveredSum)
    }
}

/// Witnesses of keyless rows, those that know most first: the first that is there leads where nobody told an id.
const LANES: [Witness; 7] = [
    Witness::OtlpLog,
    Witness::OtlpSpan,
    Witness::Hook,
    Witness::Transcript,
    Witness::Api,
    Witness::StatusLine,
    Witness::OtlpMetric,
];

/// Rows with an id are one lane whoever told them, because their keys join them already; keyless ones are a lane a witness.
fn lane(keyless: bool, witnesses: Witnesses) -> u8 {
    if !keyless {
        return 0;
    }
    (1..).zip(LANES).find(|(_, witness)| witnesses.contains(*witness)).map_or(u8::MAX, |(lane, _)| lane)
}

fn group(agent: &str, owner: Option<Key>, same: &str) -> Key {
    let owner = owner.map(|owner| owner.to_string()).unwrap_or_default();
    Key::of(KeySpace::PairGroup, agent, &format!("{owner}\n{same}"))
}

impl Request {
    /// Whether another witness may have told it under another id, or without one.
    pub fn may_pair(&self) -> bool {
        !self.is_sum.or_default() && (KEYLESS_AGENTS.contains(&self.agent.as_str()) || self.is_without_request_id())
    }

    /// Claude Code's requests have an id where the provider gives one, for all its witnesses; else logs tell none, and transcripts the message's.
    fn is_without_request_id(&self) -> bool {
        self.agent == CLAUDE_CODE && (self.keyless.or_default() || !self.id.starts_with("req_"))
    }

    /// What must be the same for two rows to be one request: its session, canonical model, and the counts that all witnesses tell.
    pub fn pair_group(&self, owner: Option<Key>, model: &str) -> Option<Key> {
        let usage = self.usage();
        let same = if self.agent == CLAUDE_CODE {
            // Some of its transcripts tell too little output, and providers have names of their own for a model; what was sent is the same, and grows.
            let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h).saturating_add(usage.cache_write_unsplit);
            format!("request\n{} {} {written}", usage.input, usage.cache_read)
        } else {
            format!("request\n{model}\n{} {} {}", usage.input, usage.cache_read, usage.output)
        };
        self.may_pair().then(|| group(&self.agent, owner, &same))
    }

    pub fn lane(&self) -> u8 {
        lane(self.keyless.or_default(), self.witnesses)
    }

    /// Believes what a twin tells, but for what tells the two apart: key, time, and being without an id.
    pub fn borrow_from(&mut self, twin: &Self, owner: Option<Key>) {
        let mut lent = twin.clone();
        lent.key = self.key;
        lent.holders = twin.holders.of(owner);
        (lent.started_at, lent.keyless) = Default::default();
        self.join(&lent);
    }

    /// Told without an id, by one witness alone.
    pub fn is_unconfirmed(&self) -> bool {
        self.keyless.or_default() && self.witnesses.names().len() < 2
    }

    pub fn role(&self) -> Role {
        match (self.is_sum.or_default(), self.estimated.or_default()) {
            (true, _) => Role::Sum,
            (false, true) => Role::Estimate,
            (false, false) => Role::One,
        }
    }
}

impl ToolCall {
    /// Like [`Request::pair_group`]: its session and the tool's name.
    pub fn pair_group(&self, owner: Option<Key>) -> Option<Key> {
        let same = format!("tool_call\n{}", self.name.get().map_or("", String::as_str));
        KEYLESS_AGENTS.contains(&self.agent.as_str()).then(|| group(&self.agent, owner, &same))
    }

    pub fn lane(&self) -> u8 {
        lane(self.keyless.or_default(), self.witnesses)
    }

    /// Like [`Request::borrow_from`].
    pub fn borrow_from(&mut self, twin: &Self, owner: Option<Key>) {
        let mut lent = twin.clone();
        lent.key = self.key;
        lent.holders = twin.holders.of(owner);
        (lent.started_at, lent.keyless) = Default::default();
        self.join(&lent);
    }

    /// Like [`Request::is_unconfirmed`].
    pub fn is_unconfirmed(&self) -> bool {
        self.keyless.or_default() && self.witnesses.names().len() < 2
    }
}

/// The lane of what is known by the transcript's id, and by each other witness's own.
fn lane_beside_transcript(witnesses: Witnesses) -> u8 {
    lane(!witnesses.contains(Witness::Transcript), witnesses)
}

impl Turn {
    /// Gemini CLI's hooks name no turn; its chats know each by an id.
    pub fn pair_group(&self, owner: Option<Key>) -> Option<Key> {
        (self.agent == GEMINI_CLI).then(|| group(&self.agent, owner, "turn"))
    }

    pub fn lane(&self) -> u8 {
        lane_beside_transcript(self.witnesses)
    }

    /// Like [`Request::borrow_from`].
    pub fn borrow_from(&mut self, twin: &Self, owner: Option<Key>) {
        let mut lent = twin.clone();
        lent.key = self.key;
        lent.holders = twin.holders.of(owner);
        lent.started_at = Default::default();
        self.join(&lent);
    }
}

impl Incident {
    /// Of the kinds that several witnesses tell, each under an id of its own. Not by their size: not all of them tell an error's status.
    pub fn pair_group(&self, owner: Option<Key>) -> Option<Key> {
        let kind = *self.kind.get()?;
        let is_told_twice = matches!(kind, IncidentKind::ApiError | IncidentKind::Compaction | IncidentKind::CompactionAnnounced);
        let is_agent = self.agent == CLAUDE_CODE || KEYLESS_AGENTS.contains(&self.agent.as_str());
        // What names no session may be of any.
        (is_told_twice && is_agent && owner.is_some()).then(|| group(&self.agent, owner, &format!("incident\n{}", kind.name())))
    }

    pub fn lane(&self) -> u8 {
        lane_beside_transcript(self.witnesses)
    }

    /// Like [`Request::borrow_from`].
    pub fn borrow_from(&mut self, twin: &Self, owner: Option<Key>) {
        let mut lent = twin.clone();
        lent.key = self.key;
        lent.holders = twin.holders.of(owner);
        lent.at = Default::default();
        self.join(&lent);
    }
}
