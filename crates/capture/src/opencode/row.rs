//! Rows of `opencode.db`, as a reader of it hands them on.

use std::borrow::Cow;

use ducat_ledger::{Fact, UnixMs};

use super::message::Message;
use super::part::{Of, Part};
use super::session::Session;
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// A row, with what of its session the row itself does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub session: &'a str,
    /// The session's directory.
    pub directory: Option<&'a str>,
    /// The session has a parent.
    pub is_subagent: bool,
    pub of: RowOf<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum RowOf<'a> {
    Session {
        version: Option<&'a str>,
        created_at: Option<UnixMs>,
        updated_at: Option<UnixMs>,
    },
    /// `data` is the message's JSON, without its ids.
    Message {
        id: &'a str,
        data: &'a str,
    },
    /// `message_data` is the JSON of the message that it is a part of.
    Part {
        id: &'a str,
        message: &'a str,
        data: &'a str,
        message_data: &'a str,
    },
}

/// Tells `out` the facts of a row.
pub fn decode_row(row: &Row<'_>, workspaces: &mut dyn Workspaces, detail: Detail, out: &mut dyn FnMut(Fact)) -> LineVerdict {
    let mut session = Session {
        id: Some(Cow::Borrowed(row.session)),
        directory: row.directory.map(Cow::Borrowed),
        is_subagent: row.is_subagent,
        ..Session::default()
    };
    let message = |id, data| {
        let mut message = Message::parse(&json::object(data)?);
        message.id = Some(Cow::Borrowed(id));
        Ok::<_, &'static str>(message)
    };
    match row.of {
        RowOf::Session { version, created_at, updated_at } => {
            (session.version, session.created_at, session.updated_at) = (version.map(Cow::Borrowed), created_at, updated_at);
            session.tell(workspaces, detail, out)
        }
        RowOf::Message { id, data } => match message(id, data.as_bytes()) {
            Ok(message) => message.tell(&session, None, workspaces, detail, out),
            Err(reason) => LineVerdict::Unreadable(reason),
        },
        RowOf::Part { .. } if detail == Detail::Requests => LineVerdict::NoFacts,
        RowOf::Part { id, message: message_id, data, message_data } => {
            let (message, part) = match (message(message_id, message_data.as_bytes()), json::object(data.as_bytes())) {
                (Ok(message), Ok(part)) => (message, part),
                (Err(reason), _) | (_, Err(reason)) => return LineVerdict::Unreadable(reason),
            };
            let mut part = Part::parse(&part);
            part.id = Some(Cow::Borrowed(id));
            let Some(telling) = message.place(&session, workspaces) else { return LineVerdict::Excluded };
            let of = Of {
                message: Some(message_id),
                created_at: message.created_at,
                request: message.request_key(),
                turn: message.turn_key(),
            };
            if let Some(bytes) = part.prompt_bytes().filter(|_| message.is_user()) {
                // A further part of the same prompt is rare; the largest of them is its size.
                return message.tell(&session, Some(bytes), workspaces, detail, out);
            }
            if part.tell(of, &telling, out) { LineVerdict::Decoded } else { LineVerdict::NoFacts }
        }
    }
}
