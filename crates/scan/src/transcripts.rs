//! What is new in transcripts, handed on with how far it was read.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use ducat_capture::opencode::{self, decode_row};
use ducat_capture::{Detail, FileState, Form, LineVerdict, decode_document};
use ducat_ledger::{Fact, Key, Line};
use ducat_store::FileCursor;

use crate::content::Content;
use crate::database::for_changed_rows;
use crate::homes::{Home, TranscriptFile, find_transcripts};
use crate::lines::{FileLine, for_lines};
use crate::report::Problem;
use crate::workspace::WorkspaceResolver;

/// What of a file's read part must be unchanged for going on behind it.
const TAIL: u64 = 4096;
/// Facts handed on at once: few enough that one commit is short, enough that lines of one request meet in memory.
const BATCH: usize = 2000;

/// Where facts of transcripts go.
pub trait Sink {
    type Error;

    /// How far a file was read before.
    fn cursor(&mut self, path: &str) -> Result<Option<FileCursor>, Self::Error>;

    /// Takes facts of one file; `cursor` covers them, and is to be kept once they are.
    fn write(&mut self, facts: Vec<Fact>, cursor: FileCursor) -> Result<(), Self::Error>;
}

/// The transcripts of some homes; keep it between looks, so that only files that changed are opened.
pub struct Transcripts {
    homes: Vec<Home>,
    excluded: Vec<PathBuf>,
    /// Size and time of files as last read to their end.
    seen: HashMap<PathBuf, (u64, i128)>,
}

/// What a look at all files brought.
#[derive(Debug, Default)]
pub struct Imported {
    pub files: usize,
    /// Files with something new.
    pub changed: usize,
    pub lines: u64,
    pub problems: Vec<Problem>,
    /// Lines that could not be read, by reason.
    pub unreadable: BTreeMap<&'static str, u64>,
}

impl Transcripts {
    pub fn new(homes: Vec<Home>, excluded: Vec<PathBuf>) -> Self {
        Self { homes, excluded, seen: HashMap::new() }
    }

    /// Looks elsewhere from now on.
    pub fn set_homes(&mut self, homes: Vec<Home>) {
        self.homes = homes;
    }

    /// Opens every file at the next look: something that was handed on was not kept.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Hands what is new in all files to `sink`. `progress` hears how many of how many files are done.
    pub fn look<S: Sink>(&mut self, sink: &mut S, progress: &dyn Fn(usize, usize)) -> Result<Imported, S::Error> {
        let mut imported = Imported::default();
        let files = find_transcripts(&self.homes, &mut imported.problems);
        let mut workspaces = WorkspaceResolver::new(self.excluded.clone());
        imported.files = files.len();
        for (done, file) in files.iter().enumerate() {
            progress(done, files.len());
            let state = (file.size, file.modified_ns);
            if self.seen.get(&file.path) == Some(&state) {
                continue;
            }
            match read(file, sink, &mut workspaces, &mut imported)? {
                Ok(()) => drop(self.seen.insert(file.path.clone(), state)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => imported.problems.push(Problem::unreadable(&file.path, &error)),
            }
        }
        progress(files.len(), files.len());
        Ok(imported)
    }
}

/// Reads a file from where its cursor stands.
fn read<S: Sink>(
    file: &TranscriptFile,
    sink: &mut S,
    workspaces: &mut WorkspaceResolver,
    imported: &mut Imported,
) -> Result<io::Result<()>, S::Error> {
    let path = file.path.to_string_lossy().into_owned();
    let opened = Content::of(file).and_then(|content| Ok((content, File::open(&file.path)?)));
    let (content, mut open) = match opened {
        Ok((Some(content), open)) => (content, open),
        Ok((None, _)) => return Ok(Ok(())),
        Err(error) => return Ok(Err(error)),
    };
    let cursor = sink.cursor(&path)?.filter(|cursor| match content.is_whole() {
        _ if content.form == Form::Database => cursor.identity == file.identity,
        true => cursor.identity == file.identity && cursor.tail == stamp(file),
        false => goes_on(cursor, file, &open),
    });
    if content.form == Form::Database && cursor.as_ref().is_some_and(|cursor| cursor.tail == stamp(file)) {
        return Ok(Ok(()));
    }
    let kept = cursor.and_then(|cursor| Some((cursor.offset, FileState::kept(&cursor.state)?)));
    let (offset, state) = kept.filter(|(_, state)| state.agent() == content.agent).unwrap_or_else(|| (0, content.state()));
    if offset == file.size && content.form != Form::Database {
        return Ok(Ok(()));
    }
    imported.changed += 1;
    let mut reading =
        Reading { facts: Facts::default(), state, offset, lines: 0, unreadable: None, unreadable_lines: BTreeMap::new() };
    if let (Form::Database, FileState::OpenCode(since)) = (content.form, &reading.state) {
        let since = since.clone();
        return read_rows(file, &content, &since, reading, sink, workspaces, imported);
    }
    if content.is_whole() {
        return read_whole(file, &content, reading, sink, workspaces, imported);
    }
    if let Err(error) = open.seek(SeekFrom::Start(offset)) {
        return Ok(Err(error));
    }
    let mut refused = None;
    let result = for_lines((&open).take(file.size - offset), |_, line, is_whole| {
        if refused.is_none() {
            reading.line(line, is_whole, workspaces);
            if reading.facts.len() >= BATCH {
                let cursor = cursor_at(&path, file, tail(&open, reading.offset), &reading);
                refused = sink.write(reading.facts.take(), cursor).err();
            }
        }
    });
    if let Some(refused) = refused {
        return Err(refused);
    }
    let cursor = cursor_at(&path, file, tail(&open, reading.offset), &reading);
    sink.write(reading.facts.take(), cursor)?;
    reading.tell(file, content.form, imported);
    Ok(result)
}

/// Reads a file that cannot be gone on with, from its beginning: facts that were told before join.
fn read_whole<S: Sink>(
    file: &TranscriptFile,
    content: &Content<'_>,
    mut reading: Reading,
    sink: &mut S,
    workspaces: &mut WorkspaceResolver,
    imported: &mut Imported,
) -> Result<io::Result<()>, S::Error> {
    let path = file.path.to_string_lossy().into_owned();
    let mut refused = None;
    let result = match content.form {
        Form::Lines => content.open().and_then(|open| {
            for_lines(open, |_, line, is_whole| {
                if refused.is_none() {
                    reading.line(line, is_whole, workspaces);
                    if reading.facts.len() >= BATCH {
                        refused = sink.write(reading.facts.take(), unread(&path, file)).err();
                    }
                }
            })
        }),
        // Its rows are not read here.
        Form::Database => Ok(()),
        Form::Document => content.read().map(|bytes| {
            let facts = &mut reading.facts;
            let verdict = match bytes {
                Some(bytes) => decode_document(content.agent, &bytes, content.named(), workspaces, Detail::All, &mut |fact| {
                    facts.add(fact);
                }),
                None => LineVerdict::Unreadable("too long"),
            };
            reading.note(verdict, 0);
        }),
    };
    if let Some(refused) = refused {
        return Err(refused);
    }
    // Of a damaged file too, what could be read of it stays read until it changes.
    reading.offset = file.size;
    let cursor = cursor_at(&path, file, Some(stamp(file)), &reading);
    sink.write(reading.facts.take(), cursor)?;
    reading.tell(file, content.form, imported);
    Ok(result)
}

/// Reads the rows of a database that changed.
fn read_rows<S: Sink>(
    file: &TranscriptFile,
    content: &Content<'_>,
    since: &opencode::FileState,
    mut reading: Reading,
    sink: &mut S,
    workspaces: &mut WorkspaceResolver,
    imported: &mut Imported,
) -> Result<io::Result<()>, S::Error> {
    let path = file.path.to_string_lossy().into_owned();
    // Until all of them are, none is.
    let unread = FileCursor { state: reading.state.keep(), ..unread(&path, file) };
    let mut refused = None;
    reading.offset = 0;
    let result = for_changed_rows(&file.path, since, Detail::All, &mut |row| {
        if refused.is_none() {
            let facts = &mut reading.facts;
            let verdict = decode_row(row, workspaces, Detail::All, &mut |fact| facts.add(fact));
            reading.note(verdict, 0);
            if reading.facts.len() >= BATCH {
                refused = sink.write(reading.facts.take(), unread.clone()).err();
            }
        }
    });
    if let Some(refused) = refused {
        return Err(refused);
    }
    let cursor = match &result {
        Ok(reach) => {
            (reading.state, reading.offset) = (FileState::OpenCode(reach.clone()), file.size);
            cursor_at(&path, file, Some(stamp(file)), &reading)
        }
        Err(_) => unread,
    };
    sink.write(reading.facts.take(), cursor)?;
    reading.tell(file, content.form, imported);
    Ok(result.map(drop))
}

/// A file as far as it was read.
struct Reading {
    facts: Facts,
    state: FileState,
    offset: u64,
    lines: u64,
    /// Where the first line is that could not be read, in bytes.
    unreadable: Option<(u64, &'static str)>,
    unreadable_lines: BTreeMap<&'static str, u64>,
}

impl Reading {
    fn line(&mut self, line: FileLine<'_>, is_whole: bool, workspaces: &mut WorkspaceResolver) {
        let (bytes, length) = match line {
            FileLine::Line(bytes) => (Some(bytes), bytes.len() as u64),
            FileLine::TooLong(length) => (None, length),
        };
        // A last line without its break counts when it parses, and is read again with its break: the same facts.
        let before = (!is_whole).then(|| self.state.clone());
        let facts = &mut self.facts;
        let verdict = match bytes {
            Some(bytes) if bytes.trim_ascii().is_empty() => LineVerdict::NoFacts,
            Some(bytes) => self.state.decode_line(bytes, workspaces, Detail::All, &mut |fact| facts.add(fact)),
            None => LineVerdict::Unreadable("too long"),
        };
        match before {
            Some(before) => self.state = before,
            None => self.note(verdict, length + 1),
        }
    }

    fn note(&mut self, verdict: LineVerdict, length: u64) {
        self.lines += 1;
        if let LineVerdict::Unreadable(reason) = verdict {
            *self.unreadable_lines.entry(reason).or_default() += 1;
            self.unreadable.get_or_insert((self.offset, reason));
        }
        self.offset += length;
    }

    fn tell(self, file: &TranscriptFile, form: Form, imported: &mut Imported) {
        imported.lines += self.lines;
        if let Some((at, reason)) = self.unreadable {
            let all: u64 = self.unreadable_lines.values().sum();
            for (reason, lines) in self.unreadable_lines {
                *imported.unreadable.entry(reason).or_default() += lines;
            }
            imported.problems.push(Problem::unread(&file.path, form, format_args!("byte {at}"), reason, all));
        }
    }
}

/// The file is the one that was read, and what was read of it is unchanged at its end.
pub(crate) fn goes_on(cursor: &FileCursor, file: &TranscriptFile, open: &File) -> bool {
    cursor.identity == file.identity && cursor.offset <= file.size && tail(open, cursor.offset) == Some(cursor.tail)
}

fn cursor_at(path: &str, file: &TranscriptFile, tail: Option<[u8; 16]>, reading: &Reading) -> FileCursor {
    FileCursor {
        path: path.to_owned(),
        identity: file.identity,
        offset: reading.offset,
        tail: tail.unwrap_or_default(),
        state: reading.state.keep(),
    }
}

/// Of a file that is read whole: not there yet.
fn unread(path: &str, file: &TranscriptFile) -> FileCursor {
    FileCursor { path: path.to_owned(), identity: file.identity, offset: 0, tail: [0; 16], state: String::new() }
}

/// The state in which a file was read whole: it may be written anew at the same size.
fn stamp(file: &TranscriptFile) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file.size.to_le_bytes());
    hasher.update(&file.modified_ns.to_le_bytes());
    let mut stamp = [0; 16];
    stamp.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    stamp
}

fn tail(file: &File, offset: u64) -> Option<[u8; 16]> {
    let mut bytes = [0; TAIL as usize];
    let length = offset.min(TAIL);
    let bytes = &mut bytes[..length as usize];
    file.read_exact_at(bytes, offset - length).ok()?;
    blake3::hash(bytes).as_bytes()[..16].try_into().ok()
}

/// Facts joined as they come, so that the store gets each once a batch.
#[derive(Default)]
struct Facts {
    by_key: HashMap<Key, Fact>,
    lines: Vec<Line>,
}

impl Facts {
    fn len(&self) -> usize {
        self.by_key.len() + self.lines.len()
    }

    fn add(&mut self, fact: Fact) {
        let key = match &fact {
            Fact::Session(fact) => fact.key,
            Fact::Turn(fact) => fact.key,
            Fact::Request(fact) => fact.key,
            Fact::ToolCall(fact) => fact.key,
            Fact::Incident(fact) => fact.key,
            Fact::Quota(fact) => fact.key,
            Fact::Line(line) => return self.lines.push(*line),
        };
        // Keys of different kinds never meet: the kind is hashed into them.
        match (self.by_key.get_mut(&key), &fact) {
            (Some(Fact::Session(known)), Fact::Session(told)) => drop(known.join(told)),
            (Some(Fact::Turn(known)), Fact::Turn(told)) => drop(known.join(told)),
            (Some(Fact::Request(known)), Fact::Request(told)) => drop(known.join(told)),
            (Some(Fact::ToolCall(known)), Fact::ToolCall(told)) => drop(known.join(told)),
            (Some(Fact::Incident(known)), Fact::Incident(told)) => drop(known.join(told)),
            (Some(Fact::Quota(known)), Fact::Quota(told)) => drop(known.join(told)),
            _ => drop(self.by_key.insert(key, fact)),
        }
    }

    fn take(&mut self) -> Vec<Fact> {
        let lines = self.lines.drain(..).map(Fact::Line);
        self.by_key.drain().map(|(_, fact)| fact).chain(lines).collect()
    }
}
