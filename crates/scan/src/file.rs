//! What one transcript file tells, in a form small enough to keep.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use ducat_capture::opencode::{self, decode_row};
use ducat_capture::{Agent, Detail, Form, LineVerdict, Workspace, Workspaces, decode_document};
use ducat_ledger::{Billing, Fact, FieldClass, Holder, Holders, Key, Line, Request, Told, UnixMs, Witness};
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::database::for_changed_rows;
use crate::homes::TranscriptFile;
use crate::lines::{FileLine, for_lines};

/// The requests of one file, each joined over its lines. Not yet resolved to projects: those change without the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRows {
    /// Whose transcript it is; nobody's has no rows.
    pub(crate) agent: Option<Agent>,
    /// Strings that rows refer to by place; the first is empty and means not told.
    pub(crate) strings: Vec<String>,
    pub(crate) sessions: Vec<SessionSeen>,
    pub(crate) rows: Vec<RequestSeen>,
    /// Some lines were of excluded projects; not to be kept, because the exclusion can end.
    pub(crate) has_excluded: bool,
    /// Lines that could not be read, and the first of them.
    pub(crate) unreadable: Option<Unreadable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unreadable {
    pub lines: u64,
    /// Its number from 1; 0 for a document as a whole, and for rows.
    pub first: u64,
    pub reason: String,
}

/// A session that has lines in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSeen {
    pub(crate) key: [u8; 16],
    pub(crate) id: String,
    pub(crate) opened_at: Option<UnixMs>,
}

/// A request in one holder's copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestSeen {
    pub key: [u8; 16],
    pub started_at: Option<UnixMs>,
    /// Place in `sessions`; none for lines without one.
    pub session: Option<u32>,
    pub cwd: u32,
    pub branch: u32,
    pub model: u32,
    pub service_tier: u32,
    pub inference_geo: u32,
    pub speed: u32,
    pub subagent_type: u32,
    pub skill: u32,
    pub mcp_server: u32,
    pub query_source: u32,
    pub effort: u32,
    pub provider: u32,
    /// Name of the billing, where the request itself tells it.
    pub billing: u32,
    /// Input, output, reasoning, cache read, cache writes (all, of 5 minutes, of an hour), web searches.
    pub counts: [u64; 8],
    /// A bit for each count that was told: a request of which nobody told any costs an unknown amount.
    pub told: u8,
    pub is_sum: bool,
    pub estimated: bool,
}

/// A file's rows and the lines that decide births.
pub(crate) struct FileFacts {
    pub rows: FileRows,
    pub lines: Vec<Line>,
}

/// Reads a transcript from its beginning.
pub(crate) fn read_file(file: &TranscriptFile, workspaces: &mut dyn Workspaces) -> io::Result<FileFacts> {
    let mut reading = Reading::default();
    let Some(content) = Content::of(file)? else { return Ok(reading.finish()) };
    reading.agent = Some(content.agent);
    let mut workspaces = CwdAsProject(workspaces);
    match content.form {
        Form::Lines => {
            let mut state = content.state();
            let result = for_lines(content.open()?, |number, line, _| {
                let verdict = match line {
                    FileLine::Line(bytes) => {
                        state.decode_line(bytes, &mut workspaces, Detail::Requests, &mut |fact| reading.believe(fact))
                    }
                    FileLine::TooLong(_) => LineVerdict::Unreadable("too long"),
                };
                reading.note(number, verdict);
            });
            match result {
                // What was before the damage counts, as it does in the ledger.
                Err(damage) if content.is_whole() => reading.damaged(&damage),
                result => result?,
            }
        }
        Form::Document => {
            let verdict = match content.read()? {
                Some(bytes) => {
                    decode_document(content.agent, &bytes, content.named(), &mut workspaces, Detail::Requests, &mut |fact| {
                        reading.believe(fact)
                    })
                }
                None => LineVerdict::Unreadable("too long"),
            };
            reading.note(0, verdict);
        }
        Form::Database => {
            for_changed_rows(&file.path, &opencode::FileState::default(), Detail::Requests, &mut |row| {
                let verdict = decode_row(row, &mut workspaces, Detail::Requests, &mut |fact| reading.believe(fact));
                reading.note(0, verdict);
            })?;
        }
    }
    Ok(reading.finish())
}

/// Leaves out what is excluded, and tells the working directory where facts want the project.
struct CwdAsProject<'a>(&'a mut dyn Workspaces);

impl Workspaces for CwdAsProject<'_> {
    fn resolve(&mut self, cwd: &str) -> Workspace {
        Workspace { project: Some(cwd.into()), excluded: self.0.resolve(cwd).excluded }
    }

    fn noted_in(&mut self, folder: &Path) -> Option<String> {
        self.0.noted_in(folder)
    }

    fn beside(&mut self, file: &Path) -> Option<Arc<[u8]>> {
        self.0.beside(file)
    }
}

#[derive(Default)]
struct Reading {
    agent: Option<Agent>,
    requests: HashMap<Key, (Request, BTreeSet<Copy>)>,
    sessions: Vec<SessionSeen>,
    lines: Vec<Line>,
    has_excluded: bool,
    unreadable: Option<Unreadable>,
}

/// Session, working directory and branch of a line that told of a request.
type Copy = (Option<Key>, Option<String>, Option<String>);

impl Reading {
    fn note(&mut self, number: u64, verdict: LineVerdict) {
        match verdict {
            LineVerdict::Unreadable(reason) => {
                let first = || Unreadable { lines: 0, first: number, reason: reason.to_owned() };
                self.unreadable.get_or_insert_with(first).lines += 1;
            }
            LineVerdict::Excluded => self.has_excluded = true,
            LineVerdict::Decoded | LineVerdict::NoFacts => {}
        }
    }

    fn damaged(&mut self, damage: &io::Error) {
        self.unreadable = Some(Unreadable { lines: 0, first: 0, reason: damage.to_string() });
    }

    fn believe(&mut self, fact: Fact) {
        match fact {
            Fact::Request(request) => {
                let copy = match request.holders.iter().next() {
                    Some(holder) => (Some(holder.session), holder.project.clone(), holder.branch.clone()),
                    None => (None, None, None),
                };
                match self.requests.get_mut(&request.key) {
                    Some((known, copies)) => {
                        known.join(&request);
                        if !copies.contains(&copy) {
                            copies.insert(copy);
                        }
                    }
                    None => {
                        self.requests.insert(request.key, (request, BTreeSet::from([copy])));
                    }
                }
            }
            Fact::Session(session) => {
                let opened_at = session.opened_at.get().copied();
                match self.sessions.iter_mut().find(|seen| seen.key == session.key.0) {
                    Some(seen) => seen.opened_at = [seen.opened_at, opened_at].into_iter().flatten().min(),
                    None => self.sessions.push(SessionSeen { key: session.key.0, id: session.id, opened_at }),
                }
            }
            Fact::Line(line) => self.lines.push(line),
            Fact::Turn(_) | Fact::ToolCall(_) | Fact::Incident(_) | Fact::Quota(_) => {}
        }
    }

    fn finish(self) -> FileFacts {
        let mut strings = Strings { all: vec![String::new()], places: HashMap::from([(String::new(), 0)]) };
        let place_of: HashMap<[u8; 16], u32> =
            self.sessions.iter().zip(0..).map(|(session, place)| (session.key, place)).collect();
        let mut requests: Vec<_> = self.requests.into_values().collect();
        requests.sort_by_key(|(request, _)| request.key);
        let mut rows = Vec::new();
        for (request, copies) in &requests {
            let counts = counts_of(request);
            for (session, cwd, branch) in copies {
                rows.push(RequestSeen {
                    key: request.key.0,
                    started_at: request.started_at.get().copied(),
                    session: session.and_then(|key| place_of.get(&key.0).copied()),
                    cwd: strings.place(cwd.as_deref()),
                    branch: strings.place(branch.as_deref()),
                    model: strings.told(&request.model),
                    service_tier: strings.told(&request.service_tier),
                    inference_geo: strings.told(&request.inference_geo),
                    speed: strings.told(&request.speed),
                    subagent_type: strings.told(&request.subagent_type),
                    skill: strings.told(&request.skill),
                    mcp_server: strings.told(&request.mcp_server),
                    query_source: strings.told(&request.query_source),
                    effort: strings.told(&request.effort),
                    provider: strings.told(&request.provider),
                    billing: strings.place(request.billing.get().map(|billing| billing.name())),
                    counts: counts.map(Told::or_default),
                    told: (0..).zip(counts).fold(0, |told, (place, count)| told | u8::from(count.is_told()) << place),
                    is_sum: request.is_sum.or_default(),
                    estimated: request.estimated.or_default(),
                });
            }
        }
        let rows = FileRows {
            agent: self.agent,
            strings: strings.all,
            sessions: self.sessions,
            rows,
            has_excluded: self.has_excluded,
            unreadable: self.unreadable,
        };
        FileFacts { rows, lines: self.lines }
    }
}

/// In the order of [`RequestSeen::counts`].
fn counts_of(request: &Request) -> [&Told<u64>; 8] {
    [
        &request.input_tokens,
        &request.output_tokens,
        &request.reasoning_tokens,
        &request.cache_read_tokens,
        &request.cache_write_tokens,
        &request.cache_write_5m_tokens,
        &request.cache_write_1h_tokens,
        &request.web_search_requests,
    ]
}

struct Strings {
    all: Vec<String>,
    places: HashMap<String, u32>,
}

impl Strings {
    fn told(&mut self, told: &Told<String>) -> u32 {
        self.place(told.get().map(String::as_str))
    }

    fn place(&mut self, text: Option<&str>) -> u32 {
        let text = text.unwrap_or("");
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = u32::try_from(self.all.len()).unwrap_or(0);
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

impl FileRows {
    /// The string a row refers to, none when not told (or when a damaged cache refers to nothing).
    pub(crate) fn text(&self, place: u32) -> Option<&str> {
        self.strings.get(place as usize).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn session_of(&self, row: &RequestSeen) -> Option<&SessionSeen> {
        row.session.and_then(|place| self.sessions.get(place as usize))
    }

    /// The row as the ledger's fact, for joining with other files' rows.
    pub(crate) fn to_request(&self, row: &RequestSeen, workspace: &Workspace) -> Request {
        let text = |place| Witness::Transcript.tells_maybe(self.text(place).map(str::to_owned));
        let mut places = 0..;
        let [input, output, reasoning, cache_read, write, write_5m, write_1h, searches] = row.counts.map(|count| {
            let is_told = places.next().is_some_and(|place| row.told >> place & 1 == 1);
            Witness::Transcript.tells_maybe(is_told.then_some(count))
        });
        let mut request = Request::new(Key(row.key), self.agent.map_or("", Agent::name), "");
        request.model = text(row.model);
        request.service_tier = text(row.service_tier);
        request.inference_geo = text(row.inference_geo);
        request.speed = text(row.speed);
        request.subagent_type = text(row.subagent_type);
        request.skill = text(row.skill);
        request.mcp_server = text(row.mcp_server);
        request.query_source = text(row.query_source);
        request.effort = text(row.effort);
        request.provider = text(row.provider);
        request.is_sum = Witness::Transcript.tells_maybe(Some(row.is_sum).filter(|is_sum| *is_sum));
        request.estimated = Witness::Transcript.tells_maybe(Some(row.estimated).filter(|estimated| *estimated));
        request.billing = Witness::Transcript.tells_maybe(self.text(row.billing).and_then(Billing::parse));
        request.started_at = Witness::Transcript.tells_maybe(row.started_at);
        (request.input_tokens, request.output_tokens, request.cache_read_tokens) = (input, output, cache_read);
        (request.cache_write_tokens, request.cache_write_5m_tokens, request.cache_write_1h_tokens) = (write, write_5m, write_1h);
        request.reasoning_tokens = reasoning;
        request.web_search_requests = searches;
        if let Some(session) = self.session_of(row) {
            request.holders = Holders::one(Holder {
                session: Key(session.key),
                live: false,
                project: workspace.project.as_deref().map(str::to_owned),
                branch: self.text(row.branch).map(str::to_owned),
            });
        }
        request
    }
}

/// What a transcript tells of a request, told or not.
trait TellsMaybe {
    fn tells_maybe<T>(self, value: Option<T>) -> Told<T>;
}

impl TellsMaybe for Witness {
    fn tells_maybe<T>(self, value: Option<T>) -> Told<T> {
        Told::maybe(self.rank(FieldClass::Usage), value)
    }
}
