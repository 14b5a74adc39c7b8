//! What one machine tells another: the lines of a batch, and which facts are believed of a stranger.
//!
//! A batch is lines of JSON: a [`Head`], then a [`Word`] each. Facts hold no content: ids, times, sizes, counts, names of models and
//! tools, working directories, branches, and paths of files that tools worked on. A field that the receiver does not know is left out;
//! a kind of fact that it does not know refuses the line. Facts join, so a batch may be sent again, cut or out of order.

use serde::{Deserialize, Serialize};

use crate::{
    BUCKET_MS, Billing, Fact, Holders, IncidentKind, Key, KeySpace, LARGEST_AMOUNT, LARGEST_COUNT, Outcome, Quota, TIMES, Told,
    UnixMs, Witness, Witnesses, key,
};

/// The version of what is below. A receiver takes earlier ones too and refuses batches of a later one: 2 tells which requests are sums or
/// estimates, and who believes these without it counts them wrong.
pub const PROTOCOL: u32 = 2;

/// The first line of a batch: who sends. Whose facts they are is told by the key, never here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub protocol: u32,
    /// The machine's own random id; two machines of one name differ in it.
    #[serde(with = "key::hex")]
    pub machine: [u8; 16],
    /// What the machine calls itself.
    pub host: String,
    /// Version of Ducat there.
    pub client: String,
    /// Its clock when the batch was sent.
    pub now: UnixMs,
}

/// Any later line: what is to be believed together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// The hook event that told the facts; without one a transcript did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventName>,
    pub facts: Vec<Fact>,
}

/// A hook event; its facts are believed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventName {
    #[serde(with = "key::hex")]
    pub id: [u8; 16],
    pub at: UnixMs,
}

/// What became of a batch; all that is not refused is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Facts of transcripts that were taken in, new or not.
    pub facts: u64,
    /// Events that were taken in.
    pub events: u64,
    /// Events that had been taken in before.
    pub repeated_events: u64,
    /// Events older than ids are kept; transcripts tell nearly all of what they told.
    pub stale_events: u64,
    pub refused_lines: u64,
    /// The first of them.
    pub refused: Vec<RefusedLine>,
    /// How far the machine's clock is ahead of the receiver's.
    pub clock_skew_ms: i64,
    /// What the receiver calls the machine.
    pub host: String,
    /// The receiver's ledger: another one knows nothing of what was sent before.
    pub ledger: String,
    /// The receiver's version: a later one may take what was refused.
    pub version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLine {
    /// From 1, the head.
    pub line: u64,
    pub reason: String,
}

/// Why a fact is not believed, naming the field.
pub type Refusal = String;

pub(crate) type TellingRule<'a> = dyn Fn(&'static str, u8, Value<'_>) -> Result<(), Refusal> + 'a;

/// A told value, as far as its size can be judged.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Count(u64),
    /// A time, or an amount of money.
    Number(i64),
    /// One of a few, or of a fixed size.
    Word,
}

pub(crate) trait ToldValue {
    fn told_value(&self) -> Value<'_>;
}

impl ToldValue for String {
    fn told_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

macro_rules! told_value {
    ($($kind:ty => $value:expr;)*) => {
        $(impl ToldValue for $kind {
            fn told_value(&self) -> Value<'_> {
                let value: fn(&$kind) -> Value<'static> = $value;
                value(self)
            }
        })*
    };
}

told_value! {
    u64 => |count| Value::Count(*count);
    i64 => |number| Value::Number(*number);
    Key => |_| Value::Word;
    Outcome => |_| Value::Word;
    bool => |_| Value::Word;
    IncidentKind => |_| Value::Word;
    Billing => |_| Value::Word;
}

/// Bytes of a line of a batch: a longer one is refused, alone.
pub const LONGEST_LINE: usize = 1 << 20;

/// The highest rank of a transcript's or a hook's word; an API's, which is believed before both, cannot be shipped.
const HIGHEST_RANK: u8 = 3;
/// Bytes of an agent's name.
const LONGEST_NAME: usize = 64;
/// Of a quota: a year; and a share for each quarter-hour of five weeks.
const LONGEST_WINDOW: u32 = 366 * 24 * 60;
const MOST_SHARES: usize = 3360;
/// Bytes of an id; a path may be as long as a file system allows.
const LONGEST_ID: usize = 512;
const LONGEST_TEXT: usize = 4096;
const MOST_HOLDERS: usize = 256;

impl Word {
    /// Refuses what an honest machine would not say: a witness that cannot be shipped or a rank above it, a key that is not its id's,
    /// texts and numbers without measure.
    pub fn check(&self) -> Result<(), Refusal> {
        self.facts.iter().try_for_each(|fact| check(fact, self.event.is_some()))
    }
}

fn check(fact: &Fact, is_event: bool) -> Result<(), Refusal> {
    match fact {
        Fact::Session(fact) => {
            named(KeySpace::Session, fact.key, &fact.agent, &fact.id)?;
            seen(fact.witnesses, &fact.holders, is_event)?;
            fact.check_told(&told)
        }
        Fact::Turn(fact) => {
            named(KeySpace::Turn, fact.key, &fact.agent, &fact.id)?;
            seen(fact.witnesses, &fact.holders, is_event)?;
            fact.check_told(&told)
        }
        Fact::Request(fact) => {
            named(KeySpace::Request, fact.key, &fact.agent, &fact.id)?;
            seen(fact.witnesses, &fact.holders, is_event)?;
            fact.check_told(&told)
        }
        Fact::ToolCall(fact) => {
            named(KeySpace::ToolCall, fact.key, &fact.agent, &fact.id)?;
            seen(fact.witnesses, &fact.holders, is_event)?;
            fact.check_told(&told)
        }
        Fact::Incident(fact) => {
            named(KeySpace::Incident, fact.key, &fact.agent, &fact.id)?;
            seen(fact.witnesses, &fact.holders, is_event)?;
            fact.check_told(&told)
        }
        Fact::Quota(fact) => check_quota(fact, is_event),
        Fact::Line(line) => told("at", 1, Value::Number(line.at)),
    }
}

fn check_quota(quota: &Quota, is_event: bool) -> Result<(), Refusal> {
    let Quota { agent, account, limit, window_minutes, .. } = quota;
    if Quota::new(agent, account.as_deref(), limit.as_deref(), *window_minutes, quota.resets_at()).key != quota.key {
        return Err("key: is not the one of this agent, account, limit, window and reset".to_owned());
    }
    named_agent(agent)?;
    if account.as_ref().is_some_and(|account| account.len() > LONGEST_ID) {
        return Err(format!("account: longer than {LONGEST_ID} bytes"));
    }
    if limit.as_ref().is_some_and(|limit| !Quota::is_limit(limit)) {
        return Err("limit: must be 1 to 32 of a-z, 0-9 and _".to_owned());
    }
    if quota.window_minutes > LONGEST_WINDOW || quota.used_ppm.len() > MOST_SHARES {
        return Err(format!("window_minutes: beyond {LONGEST_WINDOW}, or more than {MOST_SHARES} shares of it"));
    }
    if quota.used_ppm.keys().any(|bucket| !TIMES.contains(&bucket.saturating_mul(BUCKET_MS))) {
        return Err("used_ppm: a quarter-hour in no calendar".to_owned());
    }
    seen(quota.witnesses, &Holders::default(), is_event)?;
    for (field, at) in [("resets_at", &quota.resets_at), ("told_at", &quota.told_at), ("used_up_at", &quota.used_up_at)] {
        if let Some(value) = at.get() {
            told(field, at.rank(), Value::Number(*value))?;
        }
    }
    quota.plan.get().map_or(Ok(()), |plan| told("plan", quota.plan.rank(), Value::Text(plan)))
}

fn named_agent(agent: &str) -> Result<(), Refusal> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if agent.is_empty() || agent.len() > LONGEST_NAME || !agent.bytes().all(is_name) {
        return Err("agent: must be 1 to 64 of a-z, 0-9 and -".to_owned());
    }
    Ok(())
}

/// A key is computed from the id, so it cannot point at another's fact.
fn named(space: KeySpace, key: Key, agent: &str, id: &str) -> Result<(), Refusal> {
    named_agent(agent)?;
    if id.len() > LONGEST_ID {
        return Err(format!("id: longer than {LONGEST_ID} bytes"));
    }
    if Key::of(space, agent, id) != key {
        return Err("key: is not the one of this agent and id".to_owned());
    }
    Ok(())
}

fn seen(witnesses: Witnesses, holders: &Holders, is_event: bool) -> Result<(), Refusal> {
    let may_tell: &[Witness] = if is_event { &[Witness::Hook, Witness::StatusLine] } else { &[Witness::Transcript] };
    if !may_tell.iter().any(|witness| witnesses == Witnesses::only(*witness)) {
        let names = may_tell.iter().map(|witness| witness.name()).collect::<Vec<_>>().join(" or ");
        return Err(format!("witnesses: must be {names} alone"));
    }
    if holders.len() > MOST_HOLDERS {
        return Err(format!("holders: more than {MOST_HOLDERS}"));
    }
    for holder in holders.iter() {
        if holder.live && !is_event {
            return Err("holders: live is what only a hook can tell".to_owned());
        }
        for (name, text) in [("project", &holder.project), ("branch", &holder.branch)] {
            if text.as_ref().is_some_and(|text| text.len() > LONGEST_TEXT) {
                return Err(format!("holders: {name} is longer than {LONGEST_TEXT} bytes"));
            }
        }
    }
    Ok(())
}

fn told(field: &'static str, rank: u8, value: Value<'_>) -> Result<(), Refusal> {
    if rank > HIGHEST_RANK {
        return Err(format!("{field}: rank {rank} is above {HIGHEST_RANK}, the highest of a transcript or a hook"));
    }
    match value {
        Value::Text(text) if text.len() > LONGEST_TEXT => Err(format!("{field}: longer than {LONGEST_TEXT} bytes")),
        Value::Count(count) if count > LARGEST_COUNT => Err(format!("{field}: {count} is beyond 10^12")),
        Value::Number(at) if (field == "at" || field.ends_with("_at")) && !TIMES.contains(&at) => {
            Err(format!("{field}: {at} is in no calendar"))
        }
        Value::Number(amount) if amount.unsigned_abs() > LARGEST_AMOUNT => Err(format!("{field}: {amount} is beyond 10^15")),
        _ => Ok(()),
    }
}

impl Fact {
    /// Says on which machine it happened, whatever was told of it before.
    pub fn stamp_host(&mut self, host: &str) {
        let told = Told::by(1, host.to_owned());
        match self {
            Self::Session(fact) => fact.host = told,
            Self::Request(fact) => fact.host = told,
            Self::ToolCall(fact) => fact.host = told,
            Self::Turn(_) | Self::Incident(_) | Self::Quota(_) | Self::Line(_) => {}
        }
    }

    /// The agent that it is of; a line has none.
    pub fn agent(&self) -> Option<&str> {
        match self {
            Self::Session(fact) => Some(&fact.agent),
            Self::Turn(fact) => Some(&fact.agent),
            Self::Request(fact) => Some(&fact.agent),
            Self::ToolCall(fact) => Some(&fact.agent),
            Self::Incident(fact) => Some(&fact.agent),
            Self::Quota(fact) => Some(&fact.agent),
            Self::Line(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Holder, Line, Request};
    use proptest::prelude::*;

    fn request() -> Request {
        let mut request = Request::new(Key::of(KeySpace::Request, "claude-code", "r"), "claude-code", "r");
        request.witnesses = Witnesses::only(Witness::Transcript);
        request.input_tokens = Told::by(3, 7);
        request.holders = Holders::one(Holder { session: Key([1; 16]), live: false, project: Some("/p".into()), branch: None });
        request
    }

    fn refused(change: impl FnOnce(&mut Request)) -> String {
        let mut request = request();
        change(&mut request);
        Word { event: None, facts: vec![Fact::Request(request)] }.check().unwrap_err()
    }

    #[test]
    fn words_read_back_and_are_believed() {
        let line = Fact::Line(Line { session: Key([1; 16]), uuid: [2; 16], at: 3 });
        let word = Word { event: None, facts: vec![Fact::Request(request()), line] };
        let text = serde_json::to_string(&word).unwrap();
        assert!(text.contains("\"line\":{\"session\":\"0101"), "{text}");
        let read: Word = serde_json::from_str(&text).unwrap();
        assert_eq!(read, word);
        read.check().unwrap();
        // A field of tomorrow is left out, a kind of tomorrow refuses the line.
        assert_eq!(serde_json::from_str::<Word>(&text.replacen("\"agent\"", "\"tomorrow\":1,\"agent\"", 1)).unwrap(), word);
        assert!(serde_json::from_str::<Word>(&text.replacen("\"request\"", "\"dream\"", 1)).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_harmless(text: String, bytes: Vec<u8>, at: i64, ppm: u32, bucket: i64) {
            let _ = serde_json::from_str::<Word>(&text).map(|word| word.check());
            let _ = serde_json::from_slice::<Word>(&bytes).map(|word| word.check());
            let mut quota = Quota::new(&text, Some(&text), None, ppm, at);
            quota.used_ppm.insert(bucket, ppm);
            let _ = Word { event: None, facts: vec![Fact::Quota(quota)] }.check();
        }
    }

    #[test]
    fn a_quotas_names_are_names() {
        let word = |agent: &str, limit: Option<&str>| {
            let mut quota = Quota::new(agent, None, limit, 300, 1_795_581_510_000);
            quota.witnesses = Witnesses::only(Witness::Transcript);
            Word { event: None, facts: vec![Fact::Quota(quota)] }.check()
        };
        word("codex", Some("gpt_5_3_codex_spark")).unwrap();
        for (agent, limit) in [("", None), ("Claude Code", None), ("codex", Some("")), ("codex", Some("x\n"))] {
            assert!(word(agent, limit).is_err(), "{agent} {limit:?}");
        }
        assert!(word("codex", Some(&"x".repeat(33))).unwrap_err().contains("limit"));
    }

    #[test]
    fn nobody_is_believed_more_than_a_transcript_or_a_hook() {
        assert!(refused(|request| request.input_tokens = Told::by(255, 7)).contains("input_tokens: rank 255"));
        assert!(refused(|request| request.witnesses = Witnesses::only(Witness::Api)).contains("witnesses"));
        assert!(refused(|request| request.agent = "First Version".into()).contains("agent"));
        assert!(refused(|request| request.id = "other".into()).contains("key"));
        assert!(refused(|request| request.output_tokens = Told::by(1, u64::MAX)).contains("output_tokens"));
        assert!(refused(|request| request.started_at = Told::by(3, i64::MAX)).contains("calendar"));
        assert!(refused(|request| request.reported_cost_nano = Told::by(3, i64::MIN)).contains("10^15"));
        assert!(refused(|request| request.model = Told::by(1, "x".repeat(5000))).contains("model"));
        let live = Holder { session: Key([1; 16]), live: true, project: None, branch: None };
        assert!(refused(|request| request.holders = Holders::one(live)).contains("live"));
    }
}
