//! Requests, tool calls, turns and incidents that a witness told without their id, paired with what others told of the same ones.
//!
//! Rows of one session that tell the same (tokens, a tool's name, the kind of an incident) form a group. All in the order of time, those of different lanes
//! that are near each other are one fact, each lane's in its order. A function of the set, whatever came first.

use crate::{Incident, IncidentKind, Key, KeySpace, Request, ToolCall, Turn, UnixMs, Witness, Witnesses};

/// Agents some of whose witnesses tell no ids. Claude Code's logs tell those of requests and calls in newer versions only.
const KEYLESS_AGENTS: [&str; 4] = [CLAUDE_CODE, "codex", "gemini-cli", "qwen-code"];
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

/// All that a row's lane may be.
pub fn lanes() -> impl Iterator<Item = u8> {
    (0..=LANES.len() as u8).chain([u8::MAX])
}

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

/// A fact that witnesses may tell under several ids, or under none.
pub trait Paired: Sized {
    /// Milliseconds that two tellings of one may be apart.
    const WITHIN: UnixMs;

    /// What must be the same for two rows to be one fact; `None` for one that nobody tells under another id.
    fn pair_group(&self, owner: Option<Key>) -> Option<Key>;

    /// Told without the id that others tell.
    fn is_keyless(&self) -> bool;

    fn lane(&self) -> u8;

    /// Where it stands in its lane. What nobody dated comes after all else, so that it moves nothing.
    fn pairs_at(&self) -> UnixMs;

    /// Believes what a twin tells, but for what tells the two apart: key, time, and being without an id.
    fn borrow_from(&mut self, twin: &Self, owner: Option<Key>);

    /// How it counts where nobody else tells it.
    fn role(&self) -> Role {
        Role::One
    }
}

/// The methods that differ in nothing but the fields that tell two rows of one fact apart.
macro_rules! apart_by {
    ($($field:ident)*) => {
        fn lane(&self) -> u8 {
            lane(self.is_keyless(), self.witnesses)
        }

        fn borrow_from(&mut self, twin: &Self, owner: Option<Key>) {
            let mut lent = twin.clone();
            lent.key = self.key;
            lent.holders = twin.holders.of(owner);
            $(lent.$field = Default::default();)*
            self.join(&lent);
        }
    };
}

impl Request {
    /// Told without an id, by one witness alone.
    pub fn is_unconfirmed(&self) -> bool {
        is_alone(self, self.witnesses)
    }
}

impl ToolCall {
    /// Told without an id, by one witness alone.
    pub fn is_unconfirmed(&self) -> bool {
        is_alone(self, self.witnesses)
    }
}

fn is_alone(fact: &impl Paired, witnesses: Witnesses) -> bool {
    fact.is_keyless() && witnesses.names().len() < 2
}

impl Paired for Request {
    /// Some witnesses tell when it was asked, others when it was answered. Two of equal counts within that time are rare, and a request told twice
    /// is worse.
    const WITHIN: UnixMs = 15 * 60_000;

    apart_by!(started_at keyless);

    /// Its session, and the counts that all witnesses tell. Not the model: witnesses have names of their own for it, and which names are the same
    /// changes with the table of prices. Sums pair with nothing.
    fn pair_group(&self, owner: Option<Key>) -> Option<Key> {
        let usage = self.usage();
        // Some of Claude Code's transcripts tell too little output; what was sent is the same, and grows.
        let last = if self.agent == CLAUDE_CODE {
            usage.cache_write_5m.saturating_add(usage.cache_write_1h).saturating_add(usage.cache_write_unsplit)
        } else {
            usage.output
        };
        let same = format!("request\n{} {} {last}", usage.input, usage.cache_read);
        let may_pair = !self.is_sum.or_default() && KEYLESS_AGENTS.contains(&self.agent.as_str());
        may_pair.then(|| group(&self.agent, owner, &same))
    }

    fn is_keyless(&self) -> bool {
        self.keyless.or_default()
    }

    fn pairs_at(&self) -> UnixMs {
        self.started_at.get().or(self.ended_at.get()).copied().unwrap_or(UnixMs::MAX)
    }

    fn role(&self) -> Role {
        match (self.is_sum.or_default(), self.is_estimated()) {
            (true, _) => Role::Sum,
            (false, true) => Role::Estimate,
            (false, false) => Role::One,
        }
    }
}

impl Paired for ToolCall {
    /// All tell the end, but some only when the calls beside it have ended too.
    const WITHIN: UnixMs = 2 * 60_000;

    apart_by!(started_at keyless);

    /// Its session and the tool's name.
    fn pair_group(&self, owner: Option<Key>) -> Option<Key> {
        let same = format!("tool_call\n{}", self.name.get().map_or("", String::as_str));
        KEYLESS_AGENTS.contains(&self.agent.as_str()).then(|| group(&self.agent, owner, &same))
    }

    fn is_keyless(&self) -> bool {
        self.keyless.or_default()
    }

    /// By the end: some hooks are there only then, and all others know it.
    fn pairs_at(&self) -> UnixMs {
        self.ended_at.get().or(self.started_at.get()).copied().unwrap_or(UnixMs::MAX)
    }
}

impl Paired for Turn {
    const WITHIN: UnixMs = 2 * 60_000;

    apart_by!(started_at);

    /// Gemini CLI's hooks name no turn; its chats know each by an id.
    fn pair_group(&self, owner: Option<Key>) -> Option<Key> {
        (self.agent == GEMINI_CLI).then(|| group(&self.agent, owner, "turn"))
    }

    /// Known by a witness's own id, not the transcript's.
    fn is_keyless(&self) -> bool {
        !self.witnesses.contains(Witness::Transcript)
    }

    fn pairs_at(&self) -> UnixMs {
        self.started_at.get().or(self.ended_at.get()).copied().unwrap_or(UnixMs::MAX)
    }
}

impl Paired for Incident {
    const WITHIN: UnixMs = 2 * 60_000;

    apart_by!(at);

    /// Of the kinds that several witnesses tell, each under an id of its own. Not by their size: not all of them tell an error's status.
    fn pair_group(&self, owner: Option<Key>) -> Option<Key> {
        let kind = *self.kind.get()?;
        let is_told_twice = matches!(kind, IncidentKind::ApiError | IncidentKind::Compaction | IncidentKind::CompactionAnnounced);
        let is_agent = KEYLESS_AGENTS.contains(&self.agent.as_str());
        // What names no session may be of any.
        (is_told_twice && is_agent && owner.is_some()).then(|| group(&self.agent, owner, &format!("incident\n{}", kind.name())))
    }

    /// Known by a witness's own id, not the transcript's.
    fn is_keyless(&self) -> bool {
        !self.witnesses.contains(Witness::Transcript)
    }

    fn pairs_at(&self) -> UnixMs {
        self.at.get().copied().unwrap_or(UnixMs::MAX)
    }
}
