//! `ducat status`: where the day stands, in one line, for a shell's prompt or a bar.

mod format;
mod read;

use std::io::{self, Write};

use clap::ValueEnum;
use ducat_ledger::{Pace, Quota, UnixMs};
use ducat_prices::NanoUsd;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::Config;

/// One line: today's cost, the last hour's, active sessions, the plan's quota
///
/// Needs no server. While one runs, the ledger that it keeps is read; else the transcripts, with what earlier reports remember of them.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Who shows it
    #[arg(long, value_name = "FORMAT", default_value = "plain")]
    format: Format,
    /// Time zone of the day: local, UTC, or a name like Europe/Berlin
    #[arg(long, default_value = "local", value_name = "ZONE")]
    timezone: String,
}

const EXAMPLES: &str = "Examples:
  ducat status
  ducat status --format json | jq .burn_usd_per_hour

tmux:      set -g status-right '#(ducat status --format tmux)'
starship:  [custom.ducat]
           command = \"ducat status --format starship\"
           when = true
waybar:    \"custom/ducat\": { \"exec\": \"ducat status --format waybar\",
                             \"return-type\": \"json\", \"interval\": 10 }
xbar:      a plugin ducat.10s.sh that says: exec ducat status --format xbar";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Plain,
    Tmux,
    Starship,
    Waybar,
    Xbar,
    Json,
}

/// Where the figures are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Ledger,
    Transcripts,
}

/// Where the day stands.
#[derive(Debug)]
struct Status {
    now: UnixMs,
    zone: TimeZone,
    source: Source,
    requests: u64,
    /// What is known of today's cost; none where nothing could be priced.
    cost: Option<NanoUsd>,
    unpriced_requests: u64,
    /// What the last hour cost.
    last_hour: NanoUsd,
    /// Sessions with a sign of life in the last five minutes.
    active_sessions: u64,
    /// The plan's windows of all use, those that reset first before the others.
    quotas: Vec<Quota>,
    /// Requests are paid by a plan: costs are values at list price.
    is_plan: bool,
    /// The server's.
    port: u16,
}

impl Status {
    fn windows(&self) -> impl Iterator<Item = (&Quota, Pace)> {
        self.quotas.iter().filter_map(|quota| Some((quota, quota.pace(self.now)?)))
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let zone = ducat_report::parse_timezone(&args.timezone)?;
    let status = read::status(&Config::load()?, zone, Timestamp::now().as_millisecond())?;
    let text = match args.format {
        Format::Plain => format::plain(&status),
        Format::Tmux => format::tmux(&status),
        Format::Starship => format::starship(&status),
        Format::Waybar => format::waybar(&status),
        Format::Xbar => format::xbar(&status),
        Format::Json => format::json(&status),
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}
