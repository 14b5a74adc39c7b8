//! `ducat reconcile`: what each witness said, what is believed, and what the difference costs.

mod bill;
mod terminal;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueHint;
use ducat_report::ReconcileQuery;
use ducat_store::TenantId;
use jiff::Timestamp;

use crate::config::Config;
use crate::{sessions, table};

/// Compare what transcripts, hooks and telemetry say of the same requests
///
/// Every claim is kept, also where another witness is believed. Shows who told of each session, where they differ, and what the difference costs by our
/// price table. Ends with 0 when they agree, 1 when the differences are above --tolerance, 2 on an error.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// One session, field by field: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Sessions alive from this day on: 2026-01-31, 20260131, today, yesterday, or 7d for the last seven days
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// Sessions begun by this day, inclusive; as --since
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// Time zone of the days: local, UTC, or a name like Europe/Berlin
    #[arg(long, default_value = "local", value_name = "ZONE")]
    timezone: String,
    /// Only this agent, such as claude-code
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// A vendor's bill against the ledger by UTC day, model and token kind: a usage or cost export of Anthropic, OpenAI or AWS; repeatable for usage and
    /// cost of the same days, and for pages
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["session", "since", "until", "agent", "all", "limit"])]
    bill: Vec<PathBuf>,
    /// Differences up to this many US dollars are agreement
    #[arg(long, value_name = "USD", default_value = "0")]
    tolerance: String,
    /// Also list the sessions whose witnesses agree
    #[arg(long)]
    all: bool,
    /// Only the latest sessions, at most this many; verdict and sums are of these
    #[arg(long, value_name = "COUNT")]
    limit: Option<String>,
    /// Everything, as JSON: the answer of GET /api/v1/reconcile
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  ducat reconcile                             where witnesses differ, the latest session first
  ducat reconcile --since 7d --tolerance 0.01
  ducat reconcile --session 52189995          what each witness said of one session, field by field
  ducat reconcile --bill claude_api_cost_2026_11.csv --tolerance 0.50
  ducat reconcile --agent codex --all --json | jq '.totals'";

/// Whether they agree is the exit code, as of diff(1).
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = Config::load()?;
    let query = ReconcileQuery::parse(args.pairs(), Timestamp::now()).context("reconcile")?;
    let prices = config.price_table()?;
    if !args.bill.is_empty() {
        let billed = bill::read(&args.bill, &prices, query.tolerance)?;
        let text = if args.json { format!("{}\n", billed.to_json()) } else { bill::text(&billed, table::width())? };
        io::stdout().write_all(text.as_bytes())?;
        return Ok(verdict(billed.is_agreed()));
    }
    let found = sessions::up_to_date()?.reconcile(TenantId::LOCAL, &query, &prices)?;
    let Some(reconciliation) = found else {
        let id = args.session.as_deref().unwrap_or_default();
        bail!("there is no one session whose id is or begins with {id:?}; `ducat sessions` lists them");
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", reconciliation.to_json())?;
    } else {
        out.write_all(terminal::text(&reconciliation, args.all, table::width())?.as_bytes())?;
    }
    out.flush()?;
    Ok(verdict(reconciliation.is_agreed()))
}

fn verdict(is_agreed: bool) -> ExitCode {
    ExitCode::from(u8::from(!is_agreed))
}

impl Args {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = [
            ("session", self.session.as_deref()),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("timezone", Some(self.timezone.as_str())),
            ("agent", self.agent.as_deref()),
            ("tolerance", Some(self.tolerance.as_str())),
            ("limit", self.limit.as_deref()),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}
