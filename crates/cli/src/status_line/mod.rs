//! `ducat statusline`: what Claude Code shows below its prompt, and a witness of the session's cost and the plan's quota.
//!
//! The client starts it after every message and ends it when the next comes: it starts no process, waits for a server no longer than a hook
//! does, and draws its line without one too.

mod line;
mod template;

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use ducat_capture::claude_code::{AGENT, LARGEST_STATUS_LINE, STATUS_LINE, StatusLine};
use ducat_hook::{Outcome, Target, deadline_from_environment, ignore_broken_pipes, read_input};
use ducat_ledger::{Key, KeySpace, Quota, UnixMs};
use ducat_report::Calendar;
use ducat_spool::{EventId, Frame, Limits, Spool, data_folder, now_ms, spool_folder};
use ducat_store::{DataFolder, Reader, Standing, TenantId};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::config::Config;
use line::{Line, Shown};
pub use template::Template;

/// How long the client may take to write its JSON.
const LONGEST_INPUT: Duration = Duration::from_secs(1);
/// The client pads the line on both sides.
const PADDING: usize = 4;
/// What a pipe holds without a reader, on every system we know.
const PIPE: usize = 16 << 10;

/// Draw Claude Code's status line: model, cost, context, and the plan's quota and whether it will last
///
/// Claude Code runs it with the session's JSON on standard input (`ducat setup claude-code --status-line` has it do so). It hands the figures to the
/// server as a hook does, and shows today's cost without one too, from the ledger (then marked with ~).
///
/// A template names fields in braces; what stands in brackets is left out when a field in it is not known, and from the right when the terminal
/// is too narrow: {model}, {session_cost}, {today_cost}, {context}, {context_tokens}, {five_hour}, {seven_day}, {lines}, {project}, {version}.
/// On a plan, costs are values at list price and are marked so.
#[derive(Parser)]
#[command(name = "ducat statusline", after_help = EXAMPLES)]
pub struct Args {
    /// The line's template; in the configuration, status_line.template
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<Template>,
    /// Show what this shell command prints for the same JSON instead: a status line that you had before
    #[arg(long, value_name = "COMMAND")]
    wrap: Option<String>,
    /// Colours: auto (unless NO_COLOR is set or TERM is dumb), always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colors {
    Auto,
    Always,
    Never,
}

const EXAMPLES: &str = "Examples:
  ducat setup claude-code --status-line
  ducat statusline --template '{model}[ | 5h {five_hour}][ | today {today_cost}]' < session.json
  ducat statusline --wrap '~/.claude/my-statusline.sh' < session.json
  NO_COLOR=1 COLUMNS=60 ducat statusline < session.json";

/// Draws the line; whatever is wrong is said in it, because nobody sees what else a status line says.
pub fn run(args: &Args) -> anyhow::Result<()> {
    ignore_broken_pipes();
    let begun = Instant::now();
    let payload = read_input(begun + LONGEST_INPUT).unwrap_or_default();
    let (parsed, now) = (StatusLine::parse(&payload), now_ms());
    let standing = parsed.as_ref().ok().and_then(|told| deliver(told, now, begun + deadline_from_environment()));
    if let Some(command) = &args.wrap {
        return wrap(command, &payload);
    }
    let line = match &parsed {
        Ok(told) => {
            draw(args, told, standing, i64::try_from(now).unwrap_or(i64::MAX)).unwrap_or_else(|fault| format!("ducat: {fault:#}"))
        }
        Err(reason) if payload.len() > LARGEST_STATUS_LINE => format!("ducat: what the client told is {reason}"),
        Err(reason) => format!("ducat: what the client told is no status line: {reason}"),
    };
    Ok(writeln!(io::stdout(), "{line}")?)
}

fn draw(args: &Args, told: &StatusLine, standing: Option<Standing>, now: UnixMs) -> anyhow::Result<String> {
    let zone = TimeZone::system();
    let is_answered = standing.is_some();
    let mut standing = standing.or_else(|| from_ledger(told, &zone, now)).unwrap_or_default();
    standing.quotas.extend(told.quotas(now));
    standing.quotas = Quota::fold(standing.quotas);
    let configured = match &args.template {
        Some(_) => None,
        None => Config::load().context("its configuration")?.status_line.template,
    };
    let template = match (&args.template, configured) {
        (Some(template), _) => template.clone(),
        (None, Some(text)) => text.parse().map_err(anyhow::Error::msg).context("status_line.template")?,
        (None, None) => Template::default(),
    };
    let colors = match args.color {
        Colors::Always => true,
        Colors::Never => false,
        Colors::Auto => {
            env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    };
    let width = env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok()).filter(|columns| *columns > 0);
    let shown = Shown { told, standing: &standing, is_answered, now, zone: &zone };
    Ok(Line { shown, colors }.draw(&template, width.map(|columns| columns.saturating_sub(PADDING).max(1))))
}

/// Hands the figures over as a hook does, and spools them when nobody takes them; where the session and the day stand, if the server says.
fn deliver(told: &StatusLine, now: u64, deadline: Instant) -> Option<Standing> {
    let session = told.session.as_deref()?;
    let data = data_folder()?;
    let spool = Spool::new(spool_folder(&data), Limits::default());
    let mut payload = told.to_json();
    payload["ducat_day_start"] = Value::from(day_start(&TimeZone::system(), i64::try_from(now).unwrap_or(i64::MAX)));
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
