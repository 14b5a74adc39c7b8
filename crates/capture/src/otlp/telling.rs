//! What every agent's telemetry tells alike: facts of one session, marked as one witness's word.

use std::borrow::Cow;

use ducat_ledger::{
    FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Request, Session, Told, ToolCall, UnixMs, Witness,
    Witnesses,
};

use super::dimensions::Dimensions;
use super::record::Record;

/// A record that facts are told of.
pub struct Telling<'a> {
    pub agent: &'static str,
    pub witness: Witness,
    pub record: &'a Record<'a>,
    /// The agent's own id of the session; without one, facts are of no session.
    pub session: Option<&'a str>,
    pub dimensions: &'a Dimensions,
}

impl Telling<'_> {
    fn session_key(&self) -> Option<Key> {
        Some(Key::of(KeySpace::Session, self.agent, self.session?))
    }

    pub fn holders(&self) -> Holders {
        let holder = |session| Holder { session, live: true, project: None, branch: None };
        self.session_key().map(|session| Holders::one(holder(session))).unwrap_or_default()
    }

    /// The session, in which something went on from `from` until the record.
    pub fn session(&self, from: UnixMs, version: &str) -> Option<Session> {
        let mut session = Session::new(self.session_key()?, self.agent, self.session?);
        session.witnesses = Witnesses::only(self.witness);
        session.holders = self.holders();
        session.started_at = self.timing(Some(from));
        session.last_at = self.timing(Some(self.record.at));
        session.opened_at = session.started_at.clone();
        session.version = self.name(version);
        (session.user, session.team, session.host) = (self.user(), self.team(), self.host());
        Some(session)
    }

    pub fn request(&self, id: &str) -> Request {
        let mut request = Request::new(Key::of(KeySpace::Request, self.agent, id), self.agent, id);
        request.witnesses = Witnesses::only(self.witness);
        request.holders = self.holders();
        (request.user, request.team, request.host) = (self.user(), self.team(), self.host());
        request.labels = self.attribution(self.dimensions.labels_of(self.record));
        request
    }

    /// One that is known by what tells its record from others.
    pub fn keyless_request(&self, identity: &str) -> Request {
        let mut request = self.request(&self.keyless_id(identity));
        request.keyless = self.attribution(Some(true));
        request
    }

    pub fn tool_call(&self, id: &str) -> ToolCall {
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, self.agent, id), self.agent, id);
        call.witnesses = Witnesses::only(self.witness);
        call.holders = self.holders();
        (call.user, call.team, call.host) = (self.user(), self.team(), self.host());
        call
    }

    pub fn keyless_tool_call(&self, identity: &str) -> ToolCall {
        let mut call = self.tool_call(&self.keyless_id(identity));
        call.keyless = self.attribution(Some(true));
        call
    }

    pub fn incident(&self, kind: IncidentKind) -> Incident {
        self.incident_of(kind, &self.keyless_id(&format!("{}/{}", kind.name(), self.record.identity(&[]))))
    }

    /// One of which others tell by this id too.
    pub fn incident_of(&self, kind: IncidentKind, id: &str) -> Incident {
        let mut incident = Incident::new(Key::of(KeySpace::Incident, self.agent, id), self.agent, id);
        incident.witnesses = Witnesses::only(self.witness);
        incident.holders = self.holders();
        incident.kind = self.attribution(Some(kind));
        incident.at = self.attribution(Some(self.record.at));
        (incident.user, incident.team) = (self.user(), self.team());
        incident
    }

    /// A witness's own name for what has no id, of bounded length.
    fn keyless_id(&self, identity: &str) -> String {
        format!("{}/{}", self.witness.name(), Key::of(KeySpace::Request, self.agent, identity))
    }

    pub fn usage<T>(&self, value: Option<T>) -> Told<T> {
        Told::maybe(self.witness.rank(FieldClass::Usage), value)
    }

    pub fn outcome<T>(&self, value: Option<T>) -> Told<T> {
        Told::maybe(self.witness.rank(FieldClass::Outcome), value)
    }

    pub fn timing<T>(&self, value: Option<T>) -> Told<T> {
        Told::maybe(self.witness.rank(FieldClass::Timing), value)
    }

    pub fn start<T>(&self, value: Option<T>) -> Told<T> {
        Told::maybe(self.witness.rank(FieldClass::Start), value)
    }

    pub fn attribution<T>(&self, value: Option<T>) -> Told<T> {
        Told::maybe(self.witness.rank(FieldClass::Attribution), value)
    }

    /// What an attribute says.
    pub fn name(&self, attribute: &str) -> Told<String> {
        self.attribution(self.record.text(attribute).map(str::to_owned))
    }

    pub fn user(&self) -> Told<String> {
        self.attribution(self.dimensions.user_of(self.record).map(Cow::into_owned))
    }

    pub fn team(&self) -> Told<String> {
        self.attribution(self.dimensions.team_of(self.record).map(Cow::into_owned))
    }

    pub fn host(&self) -> Told<String> {
        self.name("host.name")
    }
}
