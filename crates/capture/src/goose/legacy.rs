//! `<session>.jsonl`: the session's record in the first line, a message in each further one. It is rewritten whole, so it is read whole.

use std::borrow::Cow;
use std::path::Path;

use ducat_ledger::Fact;

use super::message::Message;
use super::session::{Session, Tokens};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// The first line has the session's folder and its counts.
pub fn looks_like_session(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(first, word).is_some();
    has(b"\"working_dir\"") && has(b"\"message_count\"")
}

/// Tells `out` the facts of a file.
pub fn decode_document(
    bytes: &[u8],
    path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else {
        return LineVerdict::Unreadable("a session without id");
    };
    let record = match lines.next().map(json::object) {
        Some(Ok(record)) => record,
        Some(Err(reason)) => return LineVerdict::Unreadable(reason),
        None => return LineVerdict::NoFacts,
    };
    let mut session = Session { id: Cow::Borrowed(id), ..Session::default() };
    let (mut accumulated, mut last) = (Tokens::default(), Tokens::default());
    json::for_fields(&record, |field, value| match field {
        "working_dir" => session.directory = json::id(&value),
        "input_tokens" => last.input = json::count(&value),
        "output_tokens" => last.output = json::count(&value),
        "accumulated_input_tokens" => accumulated.input = json::count(&value),
        "accumulated_output_tokens" => accumulated.output = json::count(&value),
        _ => {}
    });
    (session.accumulated, session.last) = (accumulated, last);
    // A message that is damaged, or cut while it was written, is told of after the others have told theirs.
    let (mut messages, mut damaged) = (Vec::new(), None);
    for line in lines {
        match json::object(line) {
            Ok(message) => messages.push(Message::parse(&message)),
            Err(reason) => damaged = Some(LineVerdict::Unreadable(reason)),
        }
    }
    session.created_at = messages.iter().filter_map(|message| message.created_at).min();
    session.updated_at = messages.iter().filter_map(|message| message.created_at).max();
    let Some(telling) = session.place(workspaces) else { return LineVerdict::Excluded };
    let verdict = session.tell(&telling, detail, out);
    if detail == Detail::All {
        let mut turn = None;
        for message in &messages {
            message.tell(&mut turn, &telling, out);
        }
    }
    damaged.unwrap_or(verdict)
}
