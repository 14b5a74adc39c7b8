//! `ducat sessions` and `ducat session`: what is in the ledger, session by session.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::{Context, bail};
use ducat_ledger::{Key, Request, ToolCall, Turn, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::{SessionsQuery, figures, last_part};
use ducat_scan::{Importer, agent_homes};
use ducat_server::{CSV_HEAD, csv_row, session_document, sessions_document};
use ducat_spool::data_folder;
use ducat_store::{DataFolder, FolderError, Reader, SessionDetail, TenantId};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::import::open_ledger;
use crate::table;

/// List sessions, the latest first: when, where, how much
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat sessions\n  ducat sessions --limit 100 --json\n  ducat session 5218   (one of them, by the beginning of its id)"
)]
pub struct ListArgs {
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// How many of the latest to leave out
    #[arg(long, default_value_t = 0)]
    offset: u64,
    /// Time zone: local, UTC, or a name like Europe/Berlin
    #[arg(long, default_value = "local", value_name = "ZONE")]
    timezone: String,
    /// JSON: {"schema_version":1,"rows":[…]}
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a head line
    #[arg(long)]
    csv: bool,
}

/// Show one session: its prompts, what each caused, what it cost
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat session 52189995\n  ducat session 52189995 --json | jq '.tool_calls | length'")]
pub struct ShowArgs {
    /// Its id, or the beginning of it
    id: String,
    /// Time zone: local, UTC, or a name like Europe/Berlin
    #[arg(long, default_value = "local", value_name = "ZONE")]
    timezone: String,
    /// Everything, as JSON
    #[arg(long)]
    json: bool,
}

/// The ledger, brought up to date: by a running server, else here.
pub(crate) fn up_to_date() -> anyhow::Result<Reader> {
    let config = Config::load()?;
    match open_ledger(&config, None) {
        Ok((_folder, store, _)) => {
            let imported =
                Importer::new(store.clone(), TenantId::LOCAL, agent_homes(), config.excluded_folders()).look(&|_, _| {})?;
            for problem in imported.problems.iter().take(5) {
                writeln!(io::stderr(), "ducat: skipped {problem}")?;
            }
            Ok(store.reader()?)
        }
        // A server has it and keeps it fresh.
        Err(error) if matches!(error.downcast_ref(), Some(FolderError::InUse { .. })) => {
            let path = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
            Ok(Reader::open(&DataFolder::database_in(&path))?)
        }
        Err(error) => Err(error),
    }
}

fn when(at: Option<UnixMs>, zone: &TimeZone, format: &str) -> String {
    let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| "?".to_owned(), |at| at.to_zoned_datetime(zone.clone()).strftime(format).to_string())
}

pub fn list(args: &ListArgs) -> anyhow::Result<()> {
    let zone = ducat_report::parse_timezone(&args.timezone)?;
    let query = SessionsQuery { offset: args.offset, limit: args.limit, ..SessionsQuery::default() };
    let page = up_to_date()?.sessions(TenantId::LOCAL, &query)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&sessions_document(&page))?)?;
    } else if args.csv {
        write!(out, "{CSV_HEAD}")?;
        for row in &page.rows {
            write!(out, "{}", csv_row(row))?;
        }
    } else if page.rows.is_empty() {
        writeln!(out, "No sessions yet.")?;
    } else {
        let mut list = table::table(&["STARTED", "SESSION", "WHERE", "LASTED", "PROMPTS", "REQUESTS", "TOOLS", "COST"], 3);
        for row in &page.rows {
            let session = &row.session;
            let lasted = session.started_at.get().zip(session.last_at.get()).map(|(from, to)| (to - from).max(0).unsigned_abs());
            list.add_row([
                when(session.started_at.get().copied(), &zone, "%Y-%m-%d %H:%M"),
                session.id.chars().take(8).collect(),
                place(session.cwd.get().or(session.user.get()).map_or("", String::as_str)),
                lasted.map_or_else(String::new, duration),
                count(row.sums.turns),
                row.sums.known_requests().map_or_else(|| "unknown".to_owned(), count),
                count(row.sums.tool_calls),
                row.sums.known_cost().map_or_else(|| "unknown".to_owned(), |cost| cost.to_string()),
            ]);
        }
        writeln!(out, "{}", table::lines(&list))?;
    }
    Ok(())
}

fn count(sum: i64) -> String {
    figures::count(sum.max(0).unsigned_abs())
}

/// The last part of a path, as far as a column holds it.
fn place(path: &str) -> String {
    last_part(path).chars().take(28).collect()
}

/// `7 ms`, `1.2 s`, `3 min`, `2 h 5 min`.
fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

pub fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let zone = ducat_report::parse_timezone(&args.timezone)?;
    let Some(found) = up_to_date()?.session(TenantId::LOCAL, &args.id)? else {
        bail!("there is no one session whose id is or begins with {:?}; `ducat sessions` lists them", args.id);
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&session_document(&found))?)?
    } else {
        out.write_all(tree(&found, &zone)?.as_bytes())?
    }
    Ok(())
}

type PricedRequest = (Request, String, Option<NanoUsd>);

/// What the parts of a session hang under.
struct Parts<'d> {
    found: &'d SessionDetail,
    zone: &'d TimeZone,
}

/// The session as a tree: prompts, the requests of each, the tool calls of each.
fn tree(found: &SessionDetail, zone: &TimeZone) -> anyhow::Result<String> {
    let session = &found.session;
    let mut text = String::new();
    let version = session.version.get().map(|version| format!(" {version}")).unwrap_or_default();
    writeln!(text, "{} · {}{version} · {}", session.id, session.agent, session.cwd.get().map_or("?", String::as_str))?;
    let total = sum(found.requests.iter());
    // A sum stands for unknown many requests: its cost counts, it is none itself.
    let requests = found.requests.iter().filter(|(request, ..)| !request.is_sum.or_default()).count();
    writeln!(
        text,
        "{} to {} · {} prompts, {} requests, {} tool calls · {}",
        when(session.started_at.get().copied(), zone, "%Y-%m-%d %H:%M:%S"),
        when(session.last_at.get().copied(), zone, "%H:%M:%S"),
        figures::count(found.turns.len() as u64),
        figures::count(requests as u64),
        figures::count(found.tool_calls.len() as u64),
        total
    )?;
    let parts = Parts { found, zone };
    let known: HashSet<Key> = found.turns.iter().map(|turn| turn.key).collect();
    let mut groups: Vec<(Option<&Turn>, Vec<&PricedRequest>)> = Vec::new();
    let before: Vec<&PricedRequest> =
        found.requests.iter().filter(|(request, ..)| request.turn.get().is_none_or(|turn| !known.contains(turn))).collect();
    if !before.is_empty() {
        groups.push((None, before));
    }
    for turn in &found.turns {
        groups.push((Some(turn), found.requests.iter().filter(|(request, ..)| request.turn.get() == Some(&turn.key)).collect()));
    }
    let count = groups.len();
    for (place, (turn, requests)) in groups.into_iter().enumerate() {
        parts.turn(&mut text, turn, &requests, place + 1 == count)?;
    }
    let mut kinds = BTreeMap::<&str, u64>::new();
    for incident in &found.incidents {
        *kinds.entry(incident.kind.get().map_or("?", |kind| kind.name())).or_default() += 1;
    }
    if !kinds.is_empty() {
        let words: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {}", kind.replace('_', " "))).collect();
        writeln!(text, "Also: {}", words.join(", "))?;
    }
    Ok(text)
}

/// Known costs added up; how many are unknown.
fn sum<'r>(requests: impl Iterator<Item = &'r PricedRequest>) -> String {
    let (mut cost, mut priced, mut unpriced) = (NanoUsd::ZERO, 0, 0);
    for (_, _, one) in requests {
        match one {
            Some(one) => (cost, priced) = (cost.saturating_add(*one), priced + 1),
            None => unpriced += 1,
        }
    }
    match (priced, unpriced) {
        (_, 0) => cost.to_string(),
        (0, _) => "cost unknown".to_owned(),
        _ => format!("{cost} and {unpriced} of unknown cost"),
    }
}

impl Parts<'_> {
    fn turn(&self, text: &mut String, turn: Option<&Turn>, requests: &[&PricedRequest], is_last: bool) -> anyhow::Result<()> {
        let (branch, trunk) = if is_last { ("└─", "  ") } else { ("├─", "│ ") };
        let cost = sum(requests.iter().copied());
        match turn {
            None => writeln!(text, "{branch} before the first prompt · {cost}")?,
            Some(turn) => {
                let at = when(turn.started_at.get().copied(), self.zone, "%H:%M:%S");
                let size = turn.prompt_bytes.get().map(|bytes| format!(", {} bytes", figures::count(*bytes))).unwrap_or_default();
                writeln!(text, "{branch} {at} prompt{size} · {cost}")?;
            }
        }
        let shown: HashSet<Key> = requests.iter().map(|(request, ..)| request.key).collect();
        // Calls whose request nobody told.
        let loose: Vec<&ToolCall> = match turn {
            Some(turn) => {
                let of_turn = |call: &&ToolCall| {
                    call.turn.get() == Some(&turn.key) && call.request.get().is_none_or(|request| !shown.contains(request))
                };
                self.found.tool_calls.iter().filter(of_turn).collect()
            }
            None => Vec::new(),
        };
        let count = requests.len() + loose.len();
        for (place, (request, model, cost)) in requests.iter().enumerate() {
            let is_last = place + 1 == count;
            let usage = request.usage();
            let written = usage.cache_write_5m + usage.cache_write_1h + usage.cache_write_unsplit;
            let cost = cost.map_or_else(|| "cost unknown".to_owned(), |cost| cost.to_string());
            let subagent = request
                .subagent
                .get()
                .map(|id| format!(" (sub-agent {})", id.chars().take(8).collect::<String>()))
                .unwrap_or_default();
            writeln!(
                text,
                "{trunk} {} {} {model}{subagent} · in {}, out {}, cache {} read, {} written · {cost}",
                if is_last { "└─" } else { "├─" },
                when(request.started_at.get().copied(), self.zone, "%H:%M:%S"),
                figures::tokens(usage.input),
                figures::tokens(usage.output),
                figures::tokens(usage.cache_read),
                figures::tokens(written),
            )?;
            let calls: Vec<&ToolCall> =
                self.found.tool_calls.iter().filter(|call| call.request.get() == Some(&request.key)).collect();
            for (place, call) in calls.iter().enumerate() {
                let branch = if place + 1 == calls.len() { "└─" } else { "├─" };
                writeln!(text, "{trunk} {} {branch} {}", if is_last { "  " } else { "│ " }, described(call))?;
            }
        }
        for (place, call) in loose.iter().enumerate() {
            let branch = if requests.len() + place + 1 == count { "└─" } else { "├─" };
            writeln!(text, "{trunk} {branch} {}", described(call))?;
        }
        Ok(())
    }
}

fn described(call: &ToolCall) -> String {
    let mut words = call.name.get().map_or("?", String::as_str).to_owned();
    if let Some(target) = call.target.get() {
        words.push(' ');
        words.push_str(target);
    }
    words.push_str(" · ");
    words.push_str(call.outcome.get().map_or("no result yet", |outcome| outcome.name()));
    if let Some(kind) = call.error_kind.get() {
        words.push_str(&format!(" ({kind})"));
    }
    if let Some(ms) = call.duration_ms() {
        words.push_str(&format!(" · {}", duration(ms)));
    }
    if let Some(bytes) = call.result_bytes.get() {
        words.push_str(&format!(" · {} bytes", figures::count(*bytes)));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (ms, text) in [(0, "0 ms"), (999, "999 ms"), (1_250, "1.2 s"), (61_000, "1 min"), (7_500_000, "2 h 5 min")] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(place("/home/dev/proj/"), "proj");
    }
}
