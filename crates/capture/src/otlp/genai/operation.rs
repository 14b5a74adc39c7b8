//! An operation of an application: who did it, in which session and trace, when, and what kind it is.

use std::borrow::Cow;

use ducat_ledger::{
    FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Session, Told, Turn, UnixMs, Witness, Witnesses,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};

use super::super::record::Record;
use super::super::{Dimensions, Surroundings};
use crate::telling;

const SESSION: [&str; 4] = [
    "gen_ai.conversation.id",
    "session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.conversation_id",
];
/// After those that the configuration names.
const USER: [&str; 5] = ["user.id", "enduser.id", "gen_ai.user", "llm.user", "traceloop.association.properties.user_id"];
/// Bytes of an error's word, which is bounded by the code that writes it.
const LONGEST_WORD: usize = 100;
/// Services that are decoded elsewhere, or read from transcripts: an application of such a name is another.
const AGENTS: [&str; 9] =
    ["amp", "claude-code", "codex", "copilot-cli", "first-version", "gemini-cli", "opencode", "pi", "qwen-code"];

/// What a span tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    ToolCall,
    /// An agent, a chain, a workflow: what it says it used is a sum of what its children tell, and counts nothing.
    Parent,
}

impl Kind {
    /// `None` where it speaks no convention of generative AI.
    pub fn of(record: &Record<'_>, kind: SpanKind) -> Option<Self> {
        // A server of tools tells of the call that its client tells of too.
        if record.has("mcp.method.name") && kind == SpanKind::Server {
            return None;
        }
        if let Some(kind) = record.text("openinference.span.kind") {
            return Some(match kind {
                "LLM" | "EMBEDDING" => Self::Request,
                "TOOL" => Self::ToolCall,
                _ => Self::Parent,
            });
        }
        if let Some(operation) = record.text("gen_ai.operation.name") {
            return Some(match operation {
                "chat" | "text_completion" | "generate_content" | "embeddings" | "llm_request" => Self::Request,
                "execute_tool" => Self::ToolCall,
                "invoke_agent" | "create_agent" | "invoke_workflow" | "execute_task" | "retrieval" | "vector_db_retrieve" => {
                    Self::Parent
                }
                // A word of the application's own. What sums up others has no response.
                _ if record.has("gen_ai.response.id") => Self::Request,
                _ => Self::Parent,
            });
        }
        if let Some(kind) = record.text("llm.request.type") {
            return Some(if matches!(kind, "chat" | "completion" | "embedding") { Self::Request } else { Self::Parent });
        }
        if let Some(kind) = record.text("traceloop.span.kind") {
            return Some(if kind == "tool" { Self::ToolCall } else { Self::Parent });
        }
        // The first versions told no kind.
        let model = ["gen_ai.request.model", "gen_ai.response.model"].iter().any(|name| record.has(name));
        (model && (record.has("gen_ai.system") || record.has("gen_ai.provider.name"))).then_some(Self::Request)
    }
}

pub struct Operation<'a> {
    pub record: Record<'a>,
    pub witness: Witness,
    pub agent: String,
    /// The instrumentation's name.
    pub scope: &'a str,
    pub dimensions: &'a Dimensions,
    /// Trace and span in hexadecimal: its own id where nobody gave it one.
    pub id: String,
    /// Events that come without a span have none.
    trace: Option<String>,
    pub started_at: Option<UnixMs>,
    pub ended_at: UnixMs,
    /// A word for what went wrong; of what went well `None`.
    pub error: Option<&'a str>,
    /// From its start, where streaming tells it.
    pub ttft_ms: Option<u64>,
}

impl<'a> Operation<'a> {
    pub fn of_span(
        mut record: Record<'a>,
        span: &'a Span,
        scope: &'a str,
        around: &'a Surroundings<'_>,
    ) -> Result<Self, &'static str> {
        let (trace, id) = ids(&span.trace_id, &span.span_id)?;
        let trace = Some(trace);
        let started_at = record.time(span.start_time_unix_nano);
        let ended_at = record.time(span.end_time_unix_nano).or(started_at).unwrap_or(around.now);
        record.at = ended_at;
        let failed = span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
        let of_event = |event: &'a [KeyValue], name| Record::of_attributes(event, &[], around.now).text(name);
        let thrown = || span.events.iter().find_map(|event| of_event(&event.attributes, "exception.type"));
        let error = word(record.text("error.type")).or_else(|| failed.then(|| word(thrown()).unwrap_or("error")));
        let is_chunk = |name: &str| name == "First Token Stream Event" || name.ends_with(".content.completion.chunk");
        let chunks = span.events.iter().filter(|event| is_chunk(&event.name));
        let first = chunks.filter_map(|event| record.time(event.time_unix_nano)).min();
        const LONGEST_WAIT: f64 = 1e6;
        let told = record.number("gen_ai.response.time_to_first_chunk").filter(|seconds| (0.0..LONGEST_WAIT).contains(seconds));
        let ttft_ms = told.map(|seconds| (seconds * 1000.0).round() as u64).or_else(|| elapsed(started_at, first));
        let (agent, witness) = (agent(record.text("service.name")), Witness::OtlpSpan);
        Ok(Self { record, witness, agent, scope, dimensions: around.dimensions, id, trace, started_at, ended_at, error, ttft_ms })
    }

    /// An event that repeats a request's span as a log record, or stands for it: without one where the answer's id tells it from all others.
    pub fn of_log(
        record: Record<'a>,
        log: &LogRecord,
        scope: &'a str,
        around: &'a Surroundings<'_>,
    ) -> Result<Self, &'static str> {
        let response = record.text("gen_ai.response.id").filter(|id| telling::is_unique(id));
        let (trace, id) = match (ids(&log.trace_id, &log.span_id), response) {
            (Ok((trace, id)), _) => (Some(trace), id),
            (Err(_), Some(response)) => (None, response.to_owned()),
            (Err(reason), None) => return Err(reason),
        };
        let (agent, ended_at) = (agent(record.text("service.name")), record.at);
        let error = word(record.text("error.type"));
        let witness = Witness::OtlpLog;
        Ok(Self {
            record,
            witness,
            agent,
            scope,
            dimensions: around.dimensions,
            id,
            trace,
            started_at: None,
            ended_at,
            error,
            ttft_ms: None,
        })
    }

    pub fn key(&self, space: KeySpace, id: &str) -> Key {
        Key::of(space, &self.agent, id)
    }

    /// Empty where there is none.
    pub fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }

    /// A trace is a turn: what one demand caused.
    pub fn turn(&self) -> Option<Key> {
        self.trace.as_deref().map(|trace| self.key(KeySpace::Turn, trace))
    }

    /// The session that is told, if any.
    fn told_session(&self) -> Option<&'a str> {
        self.record.any_text(&SESSION)
    }

    fn session_id(&self) -> Option<&str> {
        self.told_session().or(self.trace.as_deref())
    }

    pub fn holders(&self) -> Holders {
        let holder = |session| Holder { session, live: true, project: None, branch: None };
        let session = self.session_id().map(|id| self.key(KeySpace::Session, id));
        session.map(|session| Holders::one(holder(session))).unwrap_or_default()
    }

    pub fn witnesses(&self) -> Witnesses {
        Witnesses::only(self.witness)
    }

    pub fn began(&self) -> UnixMs {
        self.started_at.unwrap_or(self.ended_at)
    }

    pub fn duration_ms(&self) -> Told<u64> {
        self.tell(FieldClass::Timing, elapsed(self.started_at, Some(self.ended_at)))
    }

    pub fn tell<T>(&self, class: FieldClass, value: Option<T>) -> Told<T> {
        Told::maybe(self.witness.rank(class), value)
    }

    pub fn attribution(&self, names: &[&str]) -> Told<String> {
        self.tell(FieldClass::Attribution, self.record.any_text(names).map(str::to_owned))
    }

    pub fn user(&self) -> Told<String> {
        user_of(&self.record, self.dimensions, self.witness)
    }

    pub fn team(&self) -> Told<String> {
        self.tell(FieldClass::Attribution, self.dimensions.team_of(&self.record).map(Cow::into_owned))
    }

    pub fn host(&self) -> Told<String> {
        self.attribution(&["host.name"])
    }

    /// A parent that names no session tells of none: its children may know theirs.
    pub fn session(&self, kind: Kind) -> Option<Session> {
        if kind == Kind::Parent && self.told_session().is_none() {
            return None;
        }
        let id = self.session_id()?;
        let mut session = Session::new(self.key(KeySpace::Session, id), self.agent.as_str(), id);
        session.witnesses = self.witnesses();
        session.holders = self.holders();
        session.started_at = self.tell(FieldClass::Timing, Some(self.began()));
        session.last_at = self.tell(FieldClass::Timing, Some(self.ended_at));
        session.opened_at = session.started_at.clone();
        session.version = self.attribution(&["service.version"]);
        (session.user, session.team, session.host) = (self.user(), self.team(), self.host());
        Some(session)
    }

    /// From the first to the last that any of its spans tells, so the root's where that is told.
    pub fn tell_turn(&self, session: Option<&Session>) -> Option<Turn> {
        let mut turn = Turn::new(self.turn()?, self.agent.as_str(), self.trace());
        turn.witnesses = self.witnesses();
        turn.holders = session.map(|session| session.holders.clone()).unwrap_or_default();
        turn.started_at = self.tell(FieldClass::Timing, Some(self.began()));
        turn.ended_at = self.tell(FieldClass::Timing, Some(self.ended_at));
        (turn.user, turn.team) = (self.user(), self.team());
        Some(turn)
    }

    /// The error of a request.
    pub fn incident(&self) -> Option<Incident> {
        let error = self.error?;
        let id = format!("{}/{}", IncidentKind::ApiError.name(), self.id);
        let mut incident = Incident::new(self.key(KeySpace::Incident, &id), self.agent.as_str(), id);
        incident.witnesses = self.witnesses();
        incident.holders = self.holders();
        let status = self.record.count("http.response.status_code").or_else(|| error.parse().ok());
        let attributed = FieldClass::Attribution;
        incident.kind = self.tell(attributed, Some(IncidentKind::ApiError));
        incident.at = self.tell(attributed, Some(self.ended_at));
        incident.value = self.tell(attributed, status.filter(|status| (100..600).contains(status)).map(|status| status as i64));
        incident.detail = self.tell(attributed, Some(error.to_owned()));
        (incident.user, incident.team) = (self.user(), self.team());
        Some(incident)
    }
}

/// Who asked: as the configuration says, else as the conventions do.
pub fn user_of(record: &Record<'_>, dimensions: &Dimensions, witness: Witness) -> Told<String> {
    let user = dimensions.user_of(record).or_else(|| record.any_text(&USER).map(Cow::Borrowed));
    Told::maybe(witness.rank(FieldClass::Attribution), user.map(Cow::into_owned))
}

/// Trace, and trace and span, in hexadecimal.
fn ids(trace: &[u8], span: &[u8]) -> Result<(String, String), &'static str> {
    let is_id = |bytes: &[u8], length| bytes.len() == length && bytes.iter().any(|byte| *byte != 0);
    if !is_id(trace, 16) {
        return Err("trace_id: not 16 bytes, or all zero");
    }
    if !is_id(span, 8) {
        return Err("span_id: not 8 bytes, or all zero");
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let trace = hex(trace);
    let id = format!("{trace}/{}", hex(span));
    Ok((trace, id))
}

fn elapsed(from: Option<UnixMs>, to: Option<UnixMs>) -> Option<u64> {
    u64::try_from(to?.checked_sub(from?)?).ok()
}

fn word(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.len() <= LONGEST_WORD)
}

/// A service's name as an agent's: 1 to 64 of `a` to `z`, digits and `-`, and no agent's that is known otherwise.
pub fn agent(service: Option<&str>) -> String {
    const LONGEST: usize = 64;
    let mut name = String::new();
    for letter in service.unwrap_or_default().chars() {
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => name.push(letter),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    name.truncate(LONGEST);
    let name = match name.trim_end_matches('-') {
        "" => Cow::Borrowed("unknown-service"),
        known if AGENTS.contains(&known) => Cow::Owned(format!("otlp-{known}")),
        name => Cow::Borrowed(name),
    };
    name.into_owned()
}
