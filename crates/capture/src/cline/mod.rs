//! Cline and its children Roo Code and Kilo Code. All three keep a task in a folder of its own, `tasks/<task>/ui_messages.json`, below the
//! editor's `globalStorage` (Cline's command line: `~/.cline/data`). Cline from 3.0 (command line) and 4.0 (editor) keeps
//! `sessions/<session>/<session>.messages.json` instead.
//!
//! Which tokens a request's `tokensIn` includes, [`convention`] says. Output is with reasoning, which is not told apart.

mod beside;
mod convention;
mod session;
mod task;

use std::path::Path;

use ducat_ledger::Fact;

use crate::Workspaces;
use crate::transcript::{Detail, LineVerdict};

/// Their names in the ledger.
pub const CLINE: &str = "cline";
pub const ROO_CODE: &str = "roo-code";
pub const KILO_CODE: &str = "kilo-code";

const TASK: &str = "ui_messages.json";
const SESSION: &str = ".messages.json";

/// Whether a file is a task's messages, by its name.
pub fn is_task(name: &str) -> bool {
    name == TASK
}

/// Whether a file is a session's messages, by its name.
pub fn is_session(name: &str) -> bool {
    name.len() > SESSION.len() && name.ends_with(SESSION)
}

/// Whose a task is that lies anywhere: the folders of extensions bear their names; Roo Code alone notes a protocol.
pub fn whose_task(path: &Path, head: &[u8]) -> &'static str {
    let named = |word: &str| path.iter().any(|part| part.to_string_lossy().to_ascii_lowercase().contains(word));
    if named("roo-cline") || named("roo-code") {
        ROO_CODE
    } else if named("kilo-code") || named("kilocode") {
        KILO_CODE
    } else if !named("claude-dev") && memchr::memmem::find(head, b"\\\"apiProtocol\\\"").is_some() {
        ROO_CODE
    } else {
        CLINE
    }
}

/// A session of Cline's begins with its format's version and names itself before its messages.
pub fn looks_like_session(head: &[u8]) -> bool {
    let head = head.split(|byte| *byte == b'[').next().unwrap_or_default();
    let has = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    has(b"\"updated_at\"") && has(b"\"agent\"") && has(b"\"sessionId\"") && has(b"\"messages\"")
}

/// Tells `out` the facts of a task or a session.
pub fn decode_document(
    agent: &'static str,
    bytes: &[u8],
    path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let document = match crate::json::document(bytes) {
        Ok(document) => document,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    if sonic_rs::JsonValueTrait::is_array(&document) {
        task::decode(agent, &document, path, workspaces, detail, out)
    } else if sonic_rs::JsonValueTrait::is_object(&document) {
        session::decode(&document, path, workspaces, detail, out)
    } else {
        LineVerdict::Unreadable("neither a task's messages nor a session's")
    }
}
