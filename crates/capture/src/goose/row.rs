//! Rows of `sessions.db`, as a reader of it hands them on. Columns that a schema does not have are `None`.

use std::borrow::Cow;

use ducat_ledger::{Fact, LARGEST_COUNT, UnixMs};
use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};

use super::message::{Message, from_seconds};
use super::session::{Session, Tokens};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// A row of `sessions`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionRow<'a> {
    pub id: &'a str,
    pub working_dir: Option<&'a str>,
    /// As SQLite writes it: `2026-01-08 00:01:45`, UTC.
    pub created_at: Option<&'a str>,
    pub updated_at: Option<&'a str>,
    pub session_type: Option<&'a str>,
    pub provider_name: Option<&'a str>,
    pub model_config_json: Option<&'a str>,
    /// `accumulated_input_tokens` and so on: input, output, cache read, cache written.
    pub accumulated: [Option<i64>; 4],
    /// `input_tokens` and so on, of the last request.
    pub last: [Option<i64>; 4],
    /// USD.
    pub accumulated_cost: Option<f64>,
}

/// A row of `messages`, with its session's folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageRow<'a> {
    pub session: &'a str,
    pub working_dir: Option<&'a str>,
    pub role: &'a str,
    pub content_json: &'a str,
    /// Seconds since 1970.
    pub created_timestamp: i64,
}

/// Tells `out` a session and the sum of what it used.
pub fn decode_session(
    row: &SessionRow<'_>,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    if row.id.is_empty() {
        return LineVerdict::Unreadable("a session without id");
    }
    let mut model = None;
    if let Some(Ok(config)) = row.model_config_json.map(|config| json::object(config.as_bytes())) {
        json::for_fields(&config, |field, value| {
            if field == "model_name" {
                model = json::id(&value);
            }
        });
    }
    let session = Session {
        id: Cow::Borrowed(row.id),
        directory: row.working_dir.map(Cow::Borrowed),
        created_at: row.created_at.and_then(time),
        updated_at: row.updated_at.and_then(time),
        kind: row.session_type.map(Cow::Borrowed),
        provider: row.provider_name.map(Cow::Borrowed),
        model,
        accumulated: tokens(row.accumulated),
        last: tokens(row.last),
        cost_usd: row.accumulated_cost.filter(|cost| cost.is_finite()),
    };
    let Some(telling) = session.place(workspaces) else { return LineVerdict::Excluded };
    session.tell(&telling, detail, out)
}

/// Tells `out` the turn or tool calls of a message.
pub fn decode_message(
    row: &MessageRow<'_>,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let content = match json::document(row.content_json.as_bytes()) {
        Ok(content) => content,
        Err(reason) => return LineVerdict::Unreadable(reason),
    };
    let session = Session { id: Cow::Borrowed(row.session), directory: row.working_dir.map(Cow::Borrowed), ..Session::default() };
    let Some(telling) = session.place(workspaces) else { return LineVerdict::Excluded };
    if detail == Detail::Requests {
        return LineVerdict::NoFacts;
    }
    let message = Message {
        role: Some(Cow::Borrowed(row.role)),
        created_at: Some(from_seconds(row.created_timestamp)),
        content: Some(content),
    };
    let mut told = false;
    message.tell(&mut None, &telling, &mut |fact| {
        told = true;
        out(fact);
    });
    if told { LineVerdict::Decoded } else { LineVerdict::NoFacts }
}

fn tokens(counts: [Option<i64>; 4]) -> Tokens {
    let count = |count: Option<i64>| u64::try_from(count?).ok().filter(|count| *count <= LARGEST_COUNT);
    let [input, output, cache_read, cache_write] = counts.map(count);
    Tokens { input, output, cache_read, cache_write }
}

/// RFC 3339, or as SQLite writes a time, which is UTC.
fn time(text: &str) -> Option<UnixMs> {
    let zoned = text.parse::<Timestamp>().ok();
    let at = zoned.or_else(|| TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok());
    at.map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(time("2026-01-08 00:01:45"), Some(1_767_830_505_000));
        assert_eq!(time("2026-01-08T00:01:45Z"), Some(1_767_830_505_000));
        assert_eq!(time("2026-01-08 01:01:45+01:00"), Some(1_767_830_505_000));
        assert_eq!(time("yesterday"), None);
    }
}
