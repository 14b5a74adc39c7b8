//! What Claude Code shows below its prompt, and a witness of the session's cost and the plan's quota.
//!
//! The client starts it after every message and ends it when the next comes: it starts no process, waits for a server no longer than a hook
//! does, and draws its line without one too. It is a program of its own, `ducat-statusline`, because the pages that it touches of a large one are
//! twice its memory; `ducat statusline` is the same.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod line;
mod template;
mod zone;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use ducat_capture::claude_code::{AGENT, LARGEST_STATUS_LINE, STATUS_LINE, StatusLine};
use ducat_hook::{Outcome, Target, deadline_from_environment, ignore_broken_pipes, read_input};
use ducat_ledger::{Key, KeySpace, Quota, UnixMs};
use ducat_report::Calendar;
use ducat_spool::{EventId, Frame, Limits, Spool, config_file, data_folder, now_ms, spool_folder};
use ducat_store::{DataFolder, Reader, Standing, TenantId};
use jiff::tz::TimeZone;
use serde_json::Value;

use line::{Line, Shown};
pub use template::Template;

/// How long the client may take to write its JSON.
const LONGEST_INPUT: Duration = Duration::from_secs(1);
/// The client pads the line on both sides.
const PADDING: usize = 4;
/// What a pipe holds without a reader, on every system we know.
const PIPE: usize = 16 << 10;

/// What is asked for beside the client's JSON.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// In place of the configuration's.
    pub template: Option<Template>,
    /// A shell command that is given the same JSON, and whose output is shown instead.
    pub wrap: Option<String>,
    pub colors: Colors,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colors {
    /// Unless `NO_COLOR` is set or `TERM` is dumb.
    #[default]
    Auto,
    Always,
    Never,
}

impl FromStr for Colors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("there are auto, always and never".to_owned()),
        }
    }
}

/// Draws the line; whatever is wrong is said in it, because nobody sees what else a status line says.
pub fn run(options: &Options) -> anyhow::Result<()> {
    ignore_broken_pipes();
    let begun = Instant::now();
    let payload = read_input(begun + LONGEST_INPUT).unwrap_or_default();
    let (parsed, now) = (StatusLine::parse(&payload), now_ms());
    let zone = zone::local();
    let standing = parsed.as_ref().ok().and_then(|told| deliver(told, &zone, now, begun + deadline_from_environment()));
    if let Some(command) = &options.wrap {
        return wrap(command, &payload);
    }
    let line = match &parsed {
        Ok(told) => draw(options, told, standing, &zone, i64::try_from(now).unwrap_or(i64::MAX))
            .unwrap_or_else(|fault| format!("ducat: {fault:#}")),
        Err(reason) if payload.len() > LARGEST_STATUS_LINE => format!("ducat: what the client told is {reason}"),
        Err(reason) => format!("ducat: what the client told is no status line: {reason}"),
    };
    Ok(writeln!(io::stdout(), "{line}")?)
}

fn draw(
    options: &Options,
    told: &StatusLine,
    standing: Option<Standing>,
    zone: &TimeZone,
    now: UnixMs,
) -> anyhow::Result<String> {
    let is_answered = standing.is_some();
    let mut standing = standing.or_else(|| from_ledger(told, zone, now)).unwrap_or_default();
    standing.quotas.extend(told.quotas(now));
    standing.quotas = Quota::fold(standing.quotas);
    let template = match &options.template {
        Some(template) => template.clone(),
        None => configured()?.unwrap_or_default(),
    };
    let colors = match options.colors {
        Colors::Always => true,
        Colors::Never => false,
        Colors::Auto => {
            env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    };
    let width = env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok()).filter(|columns| *columns > 0);
    let shown = Shown { told, standing: &standing, is_answered, now, day_start: day_start(zone, now), zone };
    Ok(Line { shown, colors }.draw(&template, width.map(|columns| columns.saturating_sub(PADDING).max(1))))
}

/// `status_line.template` of the configuration; what else stands there is checked by `ducat config`.
fn configured() -> anyhow::Result<Option<Template>> {
    let Some(text) = config_file().and_then(|path| fs::read_to_string(path).ok()) else { return Ok(None) };
    let config: toml::Table = text.parse().context("the configuration")?;
    let template = config.get("status_line").and_then(|table| table.get("template"));
    let template = template.and_then(toml::Value::as_str).map(Template::from_str);
    template.transpose().context("status_line.template")
}

/// Hands the figures over as a hook does, and spools them when nobody takes them; where the session and the day stand, if the server says.
fn deliver(told: &StatusLine, zone: &TimeZone, now: u64, deadline: Instant) -> Option<Standing> {
    let session = told.session.as_deref()?;
    let data = data_folder()?;
    let spool = Spool::new(spool_folder(&data), Limits::default());
    let mut payload = told.to_json();
    payload["ducat_day_start"] = Value::from(day_start(zone, i64::try_from(now).unwrap_or(i64::MAX)));
    let frame =
        Frame { id: EventId::new(), at_ms: now, agent: STATUS_LINE.to_owned(), payload: payload.to_string().into_bytes() };
    let target = Target::from_environment(&data);
    let tries = target.is_some() && spool.may_deliver();
    let outcome = match target.filter(|_| tries) {
        Some(target) if target.may_wait() => deliver_aside(target, frame.clone(), deadline),
        Some(target) => target.deliver(&frame, deadline),
        None => Outcome::Away,
    };
    match outcome {
        Outcome::Delivered(body) => {
            spool.mark_answering();
            serde_json::from_slice(&body).ok()
        }
        Outcome::Away | Outcome::Late => {
            if matches!(outcome, Outcome::Late) {
                spool.mark_hanging();
            } else if tries {
                spool.mark_answering();
            }
            // A full disk is no reason to show nothing.
            let _ = spool.put_latest(session, &frame);
            None
        }
    }
}

/// Looking a name up has no time limit of its own, so it is waited for from outside.
fn deliver_aside(target: Target, frame: Frame, deadline: Instant) -> Outcome {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || drop(tell.send(target.deliver(&frame, deadline))));
    told.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or(Outcome::Late)
}

/// What the ledger on disk knows, as of its last writer.
fn from_ledger(told: &StatusLine, zone: &TimeZone, now: UnixMs) -> Option<Standing> {
    let database = DataFolder::database_in(&data_folder()?);
    if !Path::new(&database).exists() {
        return None;
    }
    let session = Key::of(KeySpace::Session, AGENT, told.session.as_deref()?);
    Reader::open(&database).ok()?.standing(TenantId::LOCAL, session, day_start(zone, now), now).ok()
}

/// The first millisecond of the local day.
fn day_start(zone: &TimeZone, now: UnixMs) -> UnixMs {
    let calendar = Calendar::new(zone.clone());
    calendar.start_of(calendar.date(now))
}

/// Becomes the command where the JSON fits into a pipe, so that ending us ends it.
fn wrap(command: &str, payload: &[u8]) -> anyhow::Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]);
    if payload.len() <= PIPE {
        let (reader, mut writer) = io::pipe().context("a pipe for --wrap")?;
        writer.write_all(payload).context("a pipe for --wrap")?;
        drop(writer);
        return Err(shell.stdin(reader).exec()).context("--wrap: starting /bin/sh");
    }
    let mut child = shell.stdin(Stdio::piped()).spawn().context("--wrap: starting /bin/sh")?;
    if let Some(mut input) = child.stdin.take() {
        // It need not read all of it.
        let _ = input.write_all(payload);
    }
    let ended = child.wait().context("--wrap")?;
    std::process::exit(ended.code().unwrap_or(1))
}
