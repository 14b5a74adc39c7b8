//! The facts of the ledger. Each is what is believed so far, and also the form in which one witness's word arrives.

use ducat_prices::Usage;
use serde::{Deserialize, Serialize};

use crate::remote::{Refusal, TellingRule, ToldValue};
use crate::{Billing, FieldClass, Holders, Key, Outcome, Quota, Told, UnixMs, Witness, Witnesses};

/// Anything a witness can say.
// A fact is made, believed and dropped; a box would cost an allocation each.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    Session(Session),
    Turn(Turn),
    Request(Request),
    ToolCall(ToolCall),
    Incident(Incident),
    Quota(Quota),
    /// A transcript line was seen in a session; decides births, see [`crate::owner`].
    Line(Line),
}

/// Declares a fact: its plain identity, then the told fields with how they join: the highest rank's
/// `largest` or `smallest` value, its `lines` by name, `each` rank's largest, or the `latest` of all.
macro_rules! fact {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty , $mode:ident ;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            pub key: Key,
            /// The agent that did it: `claude-code`, `first-version`, a service name.
            pub agent: String,
            /// The agent's own id for it.
            pub id: String,
            /// The sessions that hold a copy (empty for facts of no session; a session holds itself).
            pub holders: Holders,
            pub witnesses: Witnesses,
            $($(#[$fdoc])* #[serde(default, skip_serializing_if = "Told::is_untold")] pub $field: Told<$ty>,)*
        }

        impl $name {
            /// A fact of which nothing is told yet.
            pub fn new(key: Key, agent: impl Into<String>, id: impl Into<String>) -> Self {
                Self {
                    key,
                    agent: agent.into(),
                    id: id.into(),
                    holders: Holders::default(),
                    witnesses: Witnesses::default(),
                    $($field: Told::default(),)*
                }
            }

            /// Believes what `other` says of the same fact; true when something changed.
            pub fn join(&mut self, other: &Self) -> bool {
                debug_assert_eq!(self.key, other.key);
                let mut changed = self.witnesses.join(other.witnesses);
                changed |= self.holders.join(&other.holders);
                $(changed |= fact!(@$mode self.$field, other.$field);)*
                changed
            }

            /// Shows all that is told of each field to `rule`: its name, the rank of the witness, the value. Stops at the first that it refuses.
            pub(crate) fn check_told(&self, rule: &TellingRule<'_>) -> Result<(), Refusal> {
                $(for (rank, value) in self.$field.claims() {
                    rule(stringify!($field), rank, value.told_value())?;
                })*
                Ok(())
            }
        }
    };
    (@largest $ours:expr, $theirs:expr) => { $ours.join(&$theirs) };
    (@latest $ours:expr, $theirs:expr) => { $ours.join_latest(&$theirs) };
    (@each $ours:expr, $theirs:expr) => { $ours.join_each(&$theirs) };
    (@lines $ours:expr, $theirs:expr) => { $ours.join_lines(&$theirs) };
    (@smallest $ours:expr, $theirs:expr) => { $ours.join_smallest(&$theirs) };
}

fact! {
    /// A run of an agent, from its first prompt to its end.
    Session {
        /// Time of the first thing heard of it.
        started_at: UnixMs, smallest;
        /// Time of the last thing heard of it, whoever told it: a witness that falls silent does not end what others go on telling.
        last_at: UnixMs, latest;
        /// When a hook told its end.
        ended_at: UnixMs, largest;
        end_reason: String, largest;
        /// Earliest line that is never copied between sessions (`queue-operation`), or a live witness's first word.
        opened_at: UnixMs, smallest;
        /// Working directory at the start.
        cwd: String, largest;
        /// Version of the agent's client.
        version: String, largest;
        /// Who is paid for its requests, as a witness of the session tells.
        billing: Billing, largest;
        /// What the client said all of it cost, in nano-USD.
        reported_cost_nano: i64, largest;
        /// Tokens of all its requests, from clients that tell sums only; input without cache. They are in no report.
        reported_input_tokens: u64, largest;
        reported_cache_read_tokens: u64, largest;
        reported_output_tokens: u64, largest;
        user: String, largest;
        team: String, largest;
        host: String, largest;
    }
}

fact! {
    /// A prompt and what it caused.
    Turn {
        started_at: UnixMs, smallest;
        ended_at: UnixMs, largest;
        /// UTF-8 bytes of the prompt.
        prompt_bytes: u64, largest;
        /// Score of the first version's prompt analysis, in thousandths.
        complexity_milli: u64, largest;
        thinking_mode: String, largest;
        user: String, largest;
        team: String, largest;
    }
}

fact! {
    /// One call of a model.
    Request {
        /// As the client reported it; the canonical name is derived by the price table.
        model: String, each;
        input_tokens: u64, each;
        output_tokens: u64, each;
        reasoning_tokens: u64, each;
        cache_read_tokens: u64, each;
        cache_write_5m_tokens: u64, each;
        cache_write_1h_tokens: u64, each;
        /// All cache writes; what is above its parts is priced at the 5-minute rate and flagged.
        cache_write_tokens: u64, each;
        web_search_requests: u64, each;
        started_at: UnixMs, smallest;
        ended_at: UnixMs, largest;
        /// Of the attempt that was answered.
        duration_ms: u64, each;
        /// From asking for the first time to the end, with all failed attempts and the waits between them.
        all_attempts_ms: u64, largest;
        /// From asking to the first token, of the attempt that was answered.
        ttft_ms: u64, largest;
        /// How often the provider was asked, at least 1.
        attempts: u64, largest;
        /// The turn that caused it.
        turn: Key, smallest;
        /// The sub-agent that made it.
        subagent: String, largest;
        /// The sub-agent's kind, such as `Explore`.
        subagent_type: String, largest;
        /// The skill that it was made for.
        skill: String, largest;
        /// The MCP server whose tool it was made for.
        mcp_server: String, largest;
        /// The plugin that brought the skill, agent or server.
        plugin: String, largest;
        /// What in the client asked: `main`, `agent:builtin:Explore`, `compact`, …
        query_source: String, largest;
        /// How hard the model was told to think.
        effort: String, largest;
        provider: String, largest;
        service_tier: String, largest;
        inference_geo: String, largest;
        /// `fast` or `standard`.
        speed: String, largest;
        stop_reason: String, largest;
        /// What the client said it cost, in nano-USD.
        reported_cost_nano: i64, each;
        /// Who is paid for it, where a witness of the request itself tells; see [`crate::billing`].
        billing: Billing, largest;
        user: String, largest;
        team: String, largest;
        host: String, largest;
        /// Further dimensions as `name=value`, sorted by name, one a line; see the configuration's `otlp.labels`.
        labels: String, lines;
        /// It was told without an id of the request, which may be told elsewhere with one; see [`Request::pair_group`].
        keyless: bool, largest;
        /// It is no request but the sum of several, which count only where nobody told of them one by one.
        is_sum: bool, largest;
        /// The tokens that the witness of a rank tells are an estimate, told at the rank of usage; see [`Request::is_estimated`].
        estimated: bool, each;
    }
}

fact! {
    /// One use of a tool.
    ToolCall {
        /// `Bash`, `mcp__server__tool`.
        name: String, largest;
        outcome: Outcome, each;
        /// `exit_code`, `validation`, `unknown_tool`, `permission`, `timeout`, …; bounded words, never content.
        error_kind: String, largest;
        started_at: UnixMs, smallest;
        ended_at: UnixMs, largest;
        duration_ms: u64, each;
        /// UTF-8 bytes of the input's JSON.
        input_bytes: u64, largest;
        /// UTF-8 bytes of the result as the model gets it.
        result_bytes: u64, largest;
        /// The file, notebook or folder it worked on, or the kind of sub-agent it started.
        target: String, largest;
        turn: Key, smallest;
        /// The request whose answer asked for it.
        request: Key, smallest;
        subagent: String, largest;
        user: String, largest;
        team: String, largest;
        host: String, largest;
        /// Told without an id, like [`Request::keyless`].
        keyless: bool, largest;
    }
}

fact! {
    /// Something else worth knowing: a compaction, an API error, a first-version measurement.
    Incident {
        kind: IncidentKind, largest;
        at: UnixMs, smallest;
        /// Kind-specific size: tokens before a compaction, HTTP status of an API error, milliseconds of a hook, nano-USD of a revenue.
        value: i64, largest;
        /// Kind-specific bounded word: `auto` or `manual`, an error type, a hook type, the source of a revenue.
        detail: String, largest;
        /// What it is about: the tool of a suggestion or an expired call, the business of a revenue.
        subject: String, largest;
        user: String, largest;
        team: String, largest;
    }
}

/// What kind of incident; the number is stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum IncidentKind {
    Compaction = 1,
    Microcompaction = 2,
    /// A hook announced a compaction; the transcript's boundary line tells of the same one, so only that is counted.
    CompactionAnnounced = 3,
    /// The provider answered with an error; `value` is the HTTP status where told.
    ApiError = 4,
    /// A `<synthetic>` message: the client spoke for the model, nothing was called.
    SyntheticMessage = 5,
    PermissionRequest = 6,
    SubagentStart = 7,
    SubagentStop = 8,
    /// First version: an optimization suggestion; `value` is the potential saving in nano-USD.
    OptimizationSuggestion = 9,
    /// First version: how long a hook took, `value` in microseconds.
    HookPerformance = 10,
    /// First version: revenue, `value` in nano-USD.
    Revenue = 11,
    /// A started call that never ended was given up.
    ExpiredToolCall = 12,
}

impl IncidentKind {
    pub const ALL: [Self; 12] = [
        Self::Compaction,
        Self::Microcompaction,
        Self::CompactionAnnounced,
        Self::ApiError,
        Self::SyntheticMessage,
        Self::PermissionRequest,
        Self::SubagentStart,
        Self::SubagentStop,
        Self::OptimizationSuggestion,
        Self::HookPerformance,
        Self::Revenue,
        Self::ExpiredToolCall,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Compaction => "compaction",
            Self::Microcompaction => "microcompaction",
            Self::CompactionAnnounced => "compaction_announced",
            Self::ApiError => "api_error",
            Self::SyntheticMessage => "synthetic_message",
            Self::PermissionRequest => "permission_request",
            Self::SubagentStart => "subagent_start",
            Self::SubagentStop => "subagent_stop",
            Self::OptimizationSuggestion => "optimization_suggestion",
            Self::HookPerformance => "hook_performance",
            Self::Revenue => "revenue",
            Self::ExpiredToolCall => "expired_tool_call",
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// A transcript line with a uuid of its own, seen in a session. Copies in forks keep uuid and time, so a line seen in one session only
/// is a line that session wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    pub session: Key,
    #[serde(with = "crate::key::hex")]
    pub uuid: [u8; 16],
    pub at: UnixMs,
}

/// The `query_source` of what a transcript's sums tell beside the requests that it logged one by one.
pub const UNLOGGED: &str = "unlogged";

impl Request {
    /// Whether it leaves out what the same transcript tells one by one, and counts beside it.
    pub fn is_unlogged(&self) -> bool {
        self.query_source.get().is_some_and(|source| source == UNLOGGED)
    }

    /// Whether anybody told what it used; where nobody did, its cost is unknown and not zero.
    pub fn is_metered(&self) -> bool {
        let counts = [&self.input_tokens, &self.output_tokens, &self.cache_read_tokens, &self.cache_write_tokens];
        let parts = [&self.cache_write_5m_tokens, &self.cache_write_1h_tokens, &self.web_search_requests];
        counts.into_iter().chain(parts).any(Told::is_told)
    }

    /// Where requests like this one are told, sums of several tell nothing more.
    pub fn covers_sums(&self) -> bool {
        !self.is_sum.or_default() && !self.is_estimated() && self.is_metered()
    }

    /// Whether the tokens that are believed were counted by an estimate; they are in no exact sum. What another witness guessed is no matter.
    pub fn is_estimated(&self) -> bool {
        let counts = [&self.input_tokens, &self.output_tokens, &self.cache_read_tokens, &self.cache_write_tokens];
        let believed = counts.into_iter().map(Told::rank).max().unwrap_or_default();
        self.estimated.claims().any(|(rank, is)| *is && rank == believed)
    }

    /// Token counts as priced. Cache writes above their told parts are `cache_write_unsplit`.
    pub fn usage(&self) -> Usage {
        let (five, hour) = (self.cache_write_5m_tokens.or_default(), self.cache_write_1h_tokens.or_default());
        Usage {
            input: self.input_tokens.or_default(),
            output: self.output_tokens.or_default(),
            reasoning: self.reasoning_tokens.or_default(),
            cache_read: self.cache_read_tokens.or_default(),
            cache_write_5m: five,
            cache_write_1h: hour,
            cache_write_unsplit: self.cache_write_tokens.or_default().saturating_sub(five.saturating_add(hour)),
            web_search_requests: self.web_search_requests.or_default(),
        }
    }
}

/// The MCP server that a tool's name tells: `server` of `mcp__server__tool`.
pub fn mcp_server(tool: &str) -> Option<&str> {
    let (server, _) = tool.strip_prefix("mcp__")?.split_once("__")?;
    Some(server).filter(|server| !server.is_empty())
}

impl ToolCall {
    /// How long it took: as told, else from its begin to its end.
    pub fn duration_ms(&self) -> Option<u64> {
        let measured = || u64::try_from(self.ended_at.get()?.checked_sub(*self.started_at.get()?)?).ok();
        self.duration_ms.get().copied().or_else(measured)
    }

    /// The MCP server whose tool it is.
    pub fn mcp_server(&self) -> Option<&str> {
        mcp_server(self.name.get()?)
    }
}

impl Witness {
    /// A told field of this witness: rank by the field's class.
    pub fn tells<T>(self, class: FieldClass, value: T) -> Told<T> {
        Told::by(self.rank(class), value)
    }
}
