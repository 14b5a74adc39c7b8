//! Lines of an export to facts. An event has no id, so it is known by its time, its user, its model and its counts, which another export repeats.

use std::path::Path;

use ducat_ledger::Fact;
use serde::{Deserialize, Serialize};

use super::AGENT;
use super::row::{Counts, at, billing, count, fields, usd};
use crate::telling::{Telling, attribution, name, reported_cost, start, usage};
use crate::transcript::{Detail, LineVerdict};

/// What the first line tells of those that follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Names of the columns.
    columns: Vec<String>,
}

impl FileState {
    pub fn of(_path: &Path) -> Self {
        Self::default()
    }
}

/// The columns that an export cannot do without.
const NEEDED: [&str; 6] = ["Date", "Model", "Input (w/ Cache Write)", "Input (w/o Cache Write)", "Cache Read", "Output Tokens"];

/// An export begins with the names of its columns.
pub fn looks_like_export(head: &[u8]) -> bool {
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    NEEDED.iter().all(|column| memchr::memmem::find(first, column.as_bytes()).is_some())
}

/// Tells `out` the facts of one line (without its line break).
pub fn decode_line(bytes: &[u8], file: &mut FileState, _detail: Detail, out: &mut dyn FnMut(Fact)) -> LineVerdict {
    let Ok(line) = std::str::from_utf8(bytes) else { return LineVerdict::Unreadable("not UTF-8") };
    let line = line.trim_start_matches('\u{feff}').trim_end();
    if line.is_empty() {
        return LineVerdict::NoFacts;
    }
    let Some(fields) = fields(line) else { return LineVerdict::Unreadable("not a row of CSV") };
    if file.columns.is_empty() {
        if !NEEDED.iter().all(|needed| fields.iter().any(|field| field == needed)) {
            return LineVerdict::Unreadable("not the columns of an export of Cursor's usage events");
        }
        file.columns = fields.into_iter().map(|field| field.into_owned()).collect();
        return LineVerdict::NoFacts;
    }
    let column = |name: &str| {
        let place = file.columns.iter().position(|column| column == name)?;
        fields.get(place).map(|field| field.as_ref())
    };
    let number = |name: &str| column(name).and_then(count);
    let told = [NEEDED[2], NEEDED[3], NEEDED[4], NEEDED[5]].map(number);
    let [Some(with), Some(input), Some(cache_read), Some(output)] = told else {
        return LineVerdict::Unreadable("a count that is none");
    };
    let Some(started_at) = column("Date").and_then(at) else { return LineVerdict::Unreadable("a row without a time") };
    let Some(model) = name(column("Model")) else { return LineVerdict::Unreadable("a row without a model") };
    let total = column("Total Tokens").filter(|total| !total.is_empty());
    let Some(counts) = Counts::of(with, input, cache_read, output, total.and_then(count)) else {
        return LineVerdict::Unreadable("counts that do not make up their total");
    };
    // An event that failed or was given up, and of which nothing was used.
    if counts.is_zero() {
        return LineVerdict::NoFacts;
    }
    let user = name(column("User"));
    let id = format!("{started_at}/{}/{model}/{with}/{input}/{cache_read}/{output}", user.as_deref().unwrap_or_default());
    let telling = Telling { agent: AGENT, session: None, project: None, branch: None };
    let mut request = telling.request(&id);
    request.model = usage(Some(model));
    request.input_tokens = usage(Some(counts.input));
    request.output_tokens = usage(Some(counts.output));
    request.cache_read_tokens = usage(Some(counts.cache_read));
    request.cache_write_tokens = usage(counts.cache_write);
    request.reported_cost_nano = reported_cost(column("Cost").and_then(usd));
    request.started_at = start(Some(started_at));
    request.user = attribution(user);
    request.billing = attribution(column("Kind").and_then(billing));
    out(Fact::Request(request));
    LineVerdict::Decoded
}
