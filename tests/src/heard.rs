//! All that a real client's run let be heard: events of its hooks, exports of its telemetry and its transcripts, kept to be told again.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use ducat_capture::otlp::{Dimensions, Exported, Memory, Surroundings, decode_logs, decode_metrics, decode_traces};
use ducat_capture::{Agent, AsTold, Detail, FileState, Form, LineVerdict, claude_code, codex, decode_document, gemini_cli};
use ducat_ledger::{Fact, UnixMs};
use ducat_spool::{Frame, Limits, Spool, now_ms};
use prost::Message;
use serde::de::DeserializeOwned;

use crate::Machine;

/// An export as it came: path, content type and body.
type Export = (String, String, Vec<u8>);

/// Takes exports in the place of a server, and answers that they were taken.
pub struct Collector(Arc<Mutex<Vec<Export>>>);

impl Collector {
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || while take(&stream, &kept).is_some() {});
            }
        });
        Self(taken)
    }

    pub fn taken(&self) -> Vec<Export> {
        self.0.lock().unwrap().clone()
    }
}

/// One request of a connection; `None` at its end.
fn take(stream: &TcpStream, kept: &Mutex<Vec<Export>>) -> Option<()> {
    let mut words = BufReader::new(stream);
    let line = |words: &mut BufReader<&TcpStream>| {
        let mut line = String::new();
        words.read_line(&mut line).ok().filter(|read| *read > 0).map(|_| line.trim_end().to_owned())
    };
    let path = line(&mut words)?.split(' ').nth(1)?.to_owned();
    let (mut kind, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let header = line(&mut words)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-type", value)) => kind = value.to_owned(),
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(("content-encoding", value)) => assert_eq!(value, "identity", "the clients send plain bodies"),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    words.read_exact(&mut body).ok()?;
    while chunked {
        let mut chunk = vec![0; usize::from_str_radix(&line(&mut words)?, 16).ok()?];
        words.read_exact(&mut chunk).ok()?;
        line(&mut words)?;
        chunked = !chunk.is_empty();
        body.append(&mut chunk);
    }
    kept.lock().unwrap().push((path, kind.clone(), body));
    let answer = if kind.contains("json") { "{}" } else { "" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()
}

/// The facts of one observation: an event, an export, a line.
pub type Observation = Vec<Fact>;

/// What each witness of a run told, in the order in which it did.
pub struct Heard {
    pub hooks: Vec<Observation>,
    pub otlp: Vec<Observation>,
    pub transcript: Vec<Observation>,
}

impl Heard {
    /// Of a run on this machine, whose hooks found no server and whose telemetry went to the collector.
    pub fn of(agent: Agent, machine: &Machine, collector: &Collector) -> Self {
        Self { hooks: hooks(machine), otlp: telemetry(&collector.taken()), transcript: transcripts(agent, machine.home()) }
    }
}

fn hooks(machine: &Machine) -> Vec<Observation> {
    let frames = Spool::new(machine.data().join("spool"), Limits::default()).waiting().unwrap();
    frames.iter().map(|event| decoded(&event.frame().unwrap())).collect()
}

fn decoded(frame: &Frame) -> Observation {
    let decode = match frame.agent.as_str() {
        claude_code::AGENT => claude_code::decode_hook,
        codex::AGENT => codex::decode_hook,
        gemini_cli::AGENT => gemini_cli::decode_hook,
        other => panic!("no hook of {other} is wired"),
    };
    let mut facts = Vec::new();
    let verdict = decode(&frame.payload, frame.at_ms as UnixMs, &mut AsTold, &mut |fact| facts.push(fact));
    assert!(
        !matches!(verdict, claude_code::HookVerdict::Malformed(_)),
        "{verdict:?}: {}",
        String::from_utf8_lossy(&frame.payload)
    );
    facts
}

fn message<M: Message + Default + DeserializeOwned>(kind: &str, body: &[u8]) -> M {
    if kind.contains("json") { serde_json::from_slice(body).unwrap() } else { M::decode(body).unwrap() }
}

fn telemetry(exports: &[Export]) -> Vec<Observation> {
    let (memory, dimensions) = (Memory::default(), Dimensions::default());
    let around = Surroundings { memory: &memory, dimensions: &dimensions, now: now_ms() as UnixMs };
    let mut observations = Vec::new();
    for (path, kind, body) in exports {
        let mut facts = Vec::new();
        let out: &mut dyn FnMut(Fact) = &mut |fact| facts.push(fact);
        let exported = match path.as_str() {
            "/v1/logs" => decode_logs(&message(kind, body), &around, out),
            "/v1/traces" => decode_traces(&message(kind, body), &around, out),
            "/v1/metrics" => decode_metrics(&message(kind, body), &around, out),
            other => panic!("{other} is no place for telemetry"),
        };
        assert_eq!(exported, Exported { accepted: exported.accepted, ..Exported::default() }, "{path}");
        observations.push(facts);
    }
    observations
}

/// The agent's transcripts below a folder.
pub fn files(agent: Agent, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.append(&mut files(agent, &entry.path())),
            kind if kind.is_file() && agent.takes(&entry.path()) => found.push(entry.path()),
            _ => {}
        }
    }
    found.sort();
    found
}

fn transcripts(agent: Agent, home: &Path) -> Vec<Observation> {
    let folder = home.join(match agent {
        Agent::ClaudeCode => "claude/projects",
        Agent::Codex => ".codex/sessions",
        Agent::GeminiCli => ".gemini/tmp",
        other => panic!("{} is not run here", other.name()),
    });
    files(agent, &folder).iter().flat_map(|file| read(agent, file)).collect()
}

/// A transcript, line by line.
pub fn read(agent: Agent, file: &Path) -> Vec<Observation> {
    let bytes = fs::read(file).unwrap();
    let mut observations = Vec::new();
    let mut state = FileState::of(agent, file);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let parts: Vec<&[u8]> = if agent.form(file) == Form::Lines { lines.collect() } else { vec![&bytes] };
    for part in parts {
        let mut facts = Vec::new();
        let out: &mut dyn FnMut(Fact) = &mut |fact| facts.push(fact);
        let verdict = match agent.form(file) {
            Form::Lines => state.decode_line(part, &mut AsTold, Detail::All, out),
            Form::Document => decode_document(agent, part, file, &mut AsTold, Detail::All, out),
            Form::Database => unreachable!("of none of the clients that are heard"),
        };
        assert!(!matches!(verdict, LineVerdict::Unreadable(_)), "{}: {verdict:?}", file.display());
        observations.push(facts);
    }
    observations
}
