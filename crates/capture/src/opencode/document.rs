//! Whole JSON documents: what `opencode export` writes, and the files below `storage/`.

use std::path::Path;

use ducat_ledger::Fact;
use sonic_rs::{JsonValueTrait, LazyValue};

use super::AGENT;
use super::message::Message;
use super::part::{Of, Part};
use super::session::Session;
use crate::telling::Telling;
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// Tells `out` the facts of a document: an export, a session, a message or a part of one. Which it is, its fields say.
pub fn decode_document(
    bytes: &[u8],
    _path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let document = match json::object(bytes) {
        Ok(document) => document,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let (mut info, mut messages, mut has_role, mut is_part, mut is_session) = (None, None, false, false, false);
    json::for_fields(&document, |field, value| match field {
        "info" => info = Some(value).filter(LazyValue::is_object),
        "messages" => messages = Some(value).filter(LazyValue::is_array),
        "role" => has_role = true,
        "messageID" => is_part = true,
        "directory" | "projectID" => is_session = true,
        _ => {}
    });
    match (info, messages) {
        (Some(info), Some(messages)) => export(&Session::parse(&info), &messages, workspaces, detail, out),
        _ if is_part && detail == Detail::All => {
            let part = Part::parse(&document);
            let telling = Telling { agent: AGENT, session: part.session.as_deref(), project: None, branch: None };
            if part.tell(Of::default(), &telling, out) { LineVerdict::Decoded } else { LineVerdict::NoFacts }
        }
        _ if has_role => Message::parse(&document).tell(&Session::default(), None, workspaces, detail, out),
        _ if is_session && !is_part => Session::parse(&document).tell(workspaces, detail, out),
        _ => LineVerdict::NoFacts,
    }
}

fn export(
    session: &Session<'_>,
    messages: &LazyValue<'_>,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let mut verdict = session.tell(workspaces, detail, out);
    json::for_items(messages, |item| {
        let (mut info, mut parts) = (None, None);
        json::for_fields(&item, |field, value| match field {
            "info" => info = Some(Message::parse(&value)),
            "parts" => parts = Some(value),
            _ => {}
        });
        let Some(message) = info else { return };
        let of = Of {
            message: message.id.as_deref(),
            created_at: message.created_at,
            request: message.request_key(),
            turn: message.turn_key(),
        };
        let mut prompt_bytes = None;
        if detail == Detail::All
            && let Some(parts) = &parts
        {
            let Some(telling) = message.place(session, workspaces) else { return };
            json::for_items(parts, |part| {
                let part = Part::parse(&part);
                if message.is_user() {
                    prompt_bytes = prompt_bytes.unwrap_or(0_u64).checked_add(part.prompt_bytes().unwrap_or_default());
                }
                part.tell(of, &telling, out);
            });
        }
        let told = message.tell(session, prompt_bytes, workspaces, detail, out);
        if matches!(told, LineVerdict::Excluded | LineVerdict::Unreadable(_)) || verdict == LineVerdict::NoFacts {
            verdict = told;
        }
    });
    verdict
}
