//! `ducat report`: what was spent, by day, session, project, model and so on.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ValueHint;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use ducat_ledger::{Billing, Quota};
use ducat_prices::{NanoUsd, PriceTable};
use ducat_report::figures;
use ducat_report::{BLOCK_MINUTES, Currency, Document, Grouping, Report, ReportQuery, Row, Settings, Totals};
use ducat_scan::{Home, ScanOptions, Scanned, agent_homes, claude_homes, scan};
use ducat_spool::data_folder;
use ducat_store::{DataFolder, Reader, TenantId};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::config::{Config, report_cache};
use crate::{blocks, doctor, table};

/// What requests and tokens cost, by hour, day, week, month, session, project, model, branch or agent
///
/// Reads the transcripts that the agents keep; needs no server. Days and weeks (from Monday) are cut in --timezone. Costs are computed from the price table
/// (`ducat prices`); requests of unknown price are counted and named, never taken for free.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What the rows are; tag:NAME is a tag of the configuration's groups, label:NAME a label of the requests (otlp.labels)
    #[arg(default_value = "daily", value_parser = ByParser, value_name = "BY")]
    by: String,
    /// First day: 2026-01-31, 20260131, today, yesterday, or 7d for the last seven days; or a time, 2026-01-31T14:00
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// Last day, inclusive, or a time, exclusive; as --since
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// Time zone: local, UTC, or a name like Europe/Berlin
    #[arg(long, default_value = "local", value_name = "ZONE")]
    timezone: String,
    /// Only this project: its path or the last part of it
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only this model, by its canonical name
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only this agent, such as claude-code
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only this branch; as all of these, '' for what is attributed to none
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Only this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only this team
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// Only this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only what is paid so: metered, plan, overage, credits or local
    #[arg(long, value_name = "BILLING")]
    billing: Option<String>,
    /// Only the projects of this [[group]] of the configuration
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Costs also in this currency, at --rate; USD leaves the configuration's out
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// What a US dollar is in it, such as 0.92
    #[arg(long)]
    rate: Option<String>,
    /// The rate's day, which stands in the report; today unless told
    #[arg(long, value_name = "DAY")]
    rate_date: Option<String>,
    /// Adds what each row is made of: its models, or by project, user, host, skill and the like
    #[arg(long, value_name = "BY", num_args = 0..=1, require_equals = true, default_missing_value = "model")]
    breakdown: Option<String>,
    /// JSON: {"schema_version":1,"rows":[…],"totals":{…}}
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a head line
    #[arg(long, conflicts_with = "breakdown")]
    csv: bool,
    /// Read the transcripts below this folder instead of the agents' homes; repeatable
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    from: Vec<PathBuf>,
    /// Read the ledger instead of the transcripts: also what other machines shipped and what only live witnesses tell; by host, billing, user, team
    /// (and where these are filtered by), plugin, query_source, effort and label it is read by itself where there is one
    #[arg(long, conflicts_with_all = ["from", "no_cache"])]
    ledger: bool,
    /// Draw the active block every two seconds: its cost, burn rate, projection and quota
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    live: bool,
    /// Neither read nor keep what earlier reports read
    #[arg(long)]
    no_cache: bool,
}

const EXAMPLES: &str = "Examples:
  ducat report weekly --timezone UTC
  ducat report session --since yesterday --project ducat
  ducat report monthly --breakdown --json | jq '.totals.cost_usd'
  ducat report hourly --since 2026-01-31T08:00 --until 2026-01-31T18:00
  ducat report daily --breakdown=project --since 7d
  ducat report blocks --since 2d
  ducat report blocks --live
  ducat report host --since 7d
  ducat report label:cost_center --since 30d
  ducat report tag:client --since 30d --currency EUR --rate 0.92
  ducat report --from /backup/claude/projects --csv > days.csv";

/// The groupings, which shells complete, and tags and labels, which they cannot know.
#[derive(Clone)]
struct ByParser;

impl TypedValueParser for ByParser {
    type Value = String;

    fn parse_ref(&self, command: &clap::Command, arg: Option<&clap::Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let name = StringValueParser::new().parse_ref(command, arg, value)?;
        if Grouping::parse(&name).is_some() {
            return Ok(name);
        }
        let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
        let of = arg.map_or_else(|| "BY".to_owned(), ToString::to_string);
        error.insert(ContextKind::InvalidArg, ContextValue::String(of));
        error.insert(ContextKind::InvalidValue, ContextValue::String(name.clone()));
        let names: Vec<String> =
            groupings().map(|name| name.to_owned()).chain(["tag:NAME", "label:NAME"].map(str::to_owned)).collect();
        let nearest = names.iter().map(|known| (strsim::jaro(known, &name), known)).filter(|(likeness, _)| *likeness > 0.7);
        if let Some((_, nearest)) = nearest.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
            error.insert(ContextKind::SuggestedValue, ContextValue::String(nearest.clone()));
        }
        error.insert(ContextKind::ValidValue, ContextValue::Strings(names));
        Err(error)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(groupings().map(PossibleValue::new)))
    }
}

fn groupings() -> impl Iterator<Item = &'static str> {
    Grouping::ALL.into_iter().filter(|grouping| grouping.is_whole()).map(Grouping::name)
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::load()?;
    let settings = config.report_settings()?;
    let query = args.query(&settings)?;
    let prices = config.price_table()?;
    let zone = query.timezone.clone();
    if args.live {
        if query.by != Grouping::Blocks {
            bail!("--live: only blocks are shown live; write ducat report blocks --live");
        }
        return blocks::live(|| Ok(read(args, &config, &prices, args.query(&settings)?)?.0), &zone);
    }
    let (document, scanned) = read(args, &config, &prices, query)?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", document.to_json())?;
    } else if args.csv {
        out.write_all(csv(&document).as_bytes())?;
    } else if document.rows.is_empty() {
        writeln!(out, "No requests found{}.", if args.is_filtered() { " that match" } else { "" })?;
    } else {
        let text = if document.by == Grouping::Blocks { blocks::terminal(&document, &zone) } else { terminal(&document) };
        writeln!(out, "{text}")?;
        if let Some(note) = plan_note(args, args.query(&settings)?, &document) {
            writeln!(out, "\n{note}")?;
        }
    }
    out.flush()?;
    let Some(scanned) = scanned else { return Ok(()) };
    if io::stderr().is_terminal() && !args.json && !args.csv && args.from.is_empty() {
        let files: Vec<_> = scanned.transcripts().collect();
        if let Some(hint) = doctor::history::hint(&claude_homes(), &files, Timestamp::now().as_millisecond()) {
            writeln!(io::stderr(), "ducat: {hint}")?;
        }
    }
    for problem in scanned.problems.iter().take(SHOWN_PROBLEMS) {
        writeln!(io::stderr(), "ducat: skipped {problem}")?;
    }
    if let Some(more) = scanned.problems.len().checked_sub(SHOWN_PROBLEMS + 1) {
        writeln!(io::stderr(), "ducat: skipped {} more", more + 1)?;
    }
    Ok(())
}

const SHOWN_PROBLEMS: usize = 5;

/// The report, and the transcripts that were read for it, if they were.
fn read(args: &Args, config: &Config, prices: &PriceTable, query: ReportQuery) -> anyhow::Result<(Document, Option<Scanned>)> {
    match ledger() {
        Some(reader) if args.reads_ledger(query.by) => return Ok((of(&reader, query)?, None)),
        None if args.ledger => bail!("--ledger: there is none yet; ducat serve or ducat import makes it"),
        _ => {}
    }
    // No transcript tells a label.
    query.check_label(Vec::new()).context("report")?;
    let scanned = read_transcripts(args, config)?;
    let mut report = Report::new(query);
    if report.wants_quotas() {
        report.tell_quotas(told_quotas());
    }
    scanned.add_to(&mut report, prices);
    Ok((report.finish(), Some(scanned)))
}

/// The ledger, where there is one that can be read.
fn ledger() -> Option<Reader> {
    let database = DataFolder::database_in(&data_folder()?);
    database.exists().then(|| Reader::open(&database).ok())?
}

fn of(reader: &Reader, query: ReportQuery) -> anyhow::Result<Document> {
    if query.label.is_some() {
        query.check_label(reader.label_names(TenantId::LOCAL)?).context("report")?;
    }
    let range = query.time_range();
    let mut report = Report::new(query);
    reader.add_to(TenantId::LOCAL, range, &mut report)?;
    Ok(report.finish())
}

/// Windows that status lines told of; they stand in no transcript. Without a ledger, all blocks are guessed.
fn told_quotas() -> Vec<Quota> {
    ledger().and_then(|reader| reader.past_quotas(TenantId::LOCAL, BLOCK_MINUTES).ok()).unwrap_or_default()
}

/// What is no bill. Only the ledger knows, and of its own requests only: transcripts that it has not read, or another machine's, are others.
fn plan_note(args: &Args, query: ReportQuery, document: &Document) -> Option<String> {
    if !args.from.is_empty() {
        return None;
    }
    let value = plan_value(query)?;
    Some(if args.reads_ledger(document.by) {
        format!("{} of this is list-price value of requests on a plan, no bill.", money(value, document.currency.as_ref()))
    } else {
        "Requests on a plan are in this at list price, no bill: ducat report --ledger says how much they are.".to_owned()
    })
}

/// What of the asked requests in the ledger was on a plan.
fn plan_value(query: ReportQuery) -> Option<NanoUsd> {
    let by_billing = of(&ledger()?, ReportQuery { by: Grouping::Billing, breakdown: None, ..query }).ok()?;
    let plan = by_billing.rows.iter().find(|row| row.name.as_deref() == Some(Billing::Plan.name()))?;
    plan.totals.known_cost().filter(|cost| cost.0 > 0)
}

impl Args {
    fn query(&self, settings: &Settings) -> anyhow::Result<ReportQuery> {
        let pairs = [
            ("by", Some(self.by.as_str())),
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
            ("timezone", Some(self.timezone.as_str())),
            ("project", self.project.as_deref()),
            ("model", self.model.as_deref()),
            ("agent", self.agent.as_deref()),
            ("branch", self.branch.as_deref()),
            ("user", self.user.as_deref()),
            ("team", self.team.as_deref()),
            ("host", self.host.as_deref()),
            ("billing", self.billing.as_deref()),
            ("group", self.group.as_deref()),
            ("currency", self.currency.as_deref()),
            ("rate", self.rate.as_deref()),
            ("rate_date", self.rate_date.as_deref()),
            ("breakdown", self.breakdown.as_deref()),
        ];
        let told = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
        ReportQuery::parse(told, Timestamp::now(), settings).context("report")
    }

    /// Whether the report is of the ledger, where there is one.
    fn reads_ledger(&self, by: Grouping) -> bool {
        let is_told_there = matches!(
            by,
            Grouping::Host
                | Grouping::Billing
                | Grouping::User
                | Grouping::Team
                | Grouping::Plugin
                | Grouping::QuerySource
                | Grouping::Effort
                | Grouping::Label
        );
        let is_filtered_there = [&self.user, &self.team, &self.host, &self.billing].into_iter().any(Option::is_some);
        self.ledger || ((is_told_there || is_filtered_there) && self.from.is_empty())
    }

    fn is_filtered(&self) -> bool {
        let filters = [
            &self.project,
            &self.model,
            &self.agent,
            &self.branch,
            &self.user,
            &self.team,
            &self.host,
            &self.billing,
            &self.group,
        ];
        filters.into_iter().chain([&self.since, &self.until]).any(Option::is_some)
    }
}

fn read_transcripts(args: &Args, config: &Config) -> anyhow::Result<Scanned> {
    let homes = if args.from.is_empty() {
        let homes = agent_homes();
        if homes.is_empty() {
            bail!("no transcripts: {NO_HOMES}; --from names a folder");
        }
        homes
    } else {
        for folder in &args.from {
            std::fs::read_dir(folder).with_context(|| format!("--from {}", folder.display()))?;
        }
        args.from.iter().cloned().map(Home::any).collect()
    };
    let cache = if args.no_cache { None } else { report_cache().map(|folder| folder.join(cache_name(&homes))) };
    let options = ScanOptions { homes, excluded: config.excluded_folders(), cache };
    let style = ProgressStyle::with_template("{spinner} reading transcripts {bar:30} {pos}/{len} {elapsed}");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if io::stderr().is_terminal() && !args.json && !args.csv {
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    }
    let scanned = scan(&options, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok(scanned)
}

/// Where transcripts were looked for in vain.
pub const NO_HOMES: &str =
    "no agent that Ducat knows wrote in its home folder (docs/agents.md lists them), and CLAUDE_CONFIG_DIR names none";

/// Reports over other folders remember apart.
pub fn cache_name(homes: &[Home]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for home in homes {
        home.folder.canonicalize().unwrap_or_else(|_| home.folder.clone()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn terminal(document: &Document) -> String {
    let has_unpriced = document.totals.unpriced_requests > 0;
    let mut head = vec![title(document.by)];
    if document.by == Grouping::Session {
        head.push("PROJECT");
    }
    let left = head.len();
    let currency = document.currency.as_ref();
    head.extend(["REQUESTS", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "COST"]);
    let mut rows = table::table(&head, left);
    for row in &document.rows {
        let mut cells = vec![name(document.by, row)];
        if let Some(session) = &row.session {
            cells.push(session.project.as_deref().map_or("", last_part).to_owned());
        }
        cells.extend(figures_of(&row.totals, currency));
        rows.add_row(cells);
        if document.breakdown.is_some() {
            for (name, totals) in &row.parts {
                let mut cells = vec![format!("  {}", name.as_deref().unwrap_or("unattributed"))];
                cells.resize(left, String::new());
                cells.extend(figures_of(totals, currency));
                rows.add_row(cells);
            }
        }
    }
    let mut total = vec!["Total".to_owned()];
    total.resize(left, String::new());
    total.extend(figures_of(&document.totals, currency));
    rows.add_row(table::bold(total));
    let mut text = table::lines(&rows);
    if let Some(currency) = currency {
        text.push_str(&format!("\n\n{}", rate_line(currency)));
    }
    let (guesses, guessed) = (document.totals.estimated_requests, document.totals.estimated_tokens);
    if guesses > 0 || guessed > 0 {
        let (tokens, cost) = (figures::tokens(guessed), money(document.totals.estimated_cost, currency));
        text.push_str(&format!(
            "\n\nNot in it: {} requests of estimated size, {tokens} tokens, about {cost}",
            figures::count(guesses)
        ));
    }
    if has_unpriced {
        let models: Vec<_> =
            document.totals.unpriced_models.iter().map(|model| if model.is_empty() { "no model told" } else { model }).collect();
        let requests = document.totals.unpriced_requests;
        let plural = if requests == 1 { "" } else { "s" };
        text.push_str(&format!("\n\n{requests} request{plural} of unknown price: {} (ducat prices --help)", models.join(", ")));
    }
    text
}

fn title(by: Grouping) -> &'static str {
    match by {
        Grouping::QuarterHourly => "QUARTER HOUR",
        Grouping::Hourly => "HOUR",
        Grouping::Daily => "DAY",
        Grouping::Weekly => "WEEK FROM",
        Grouping::Monthly => "MONTH",
        Grouping::Session => "SESSION",
        Grouping::Project => "PROJECT",
        Grouping::Model => "MODEL",
        Grouping::Branch => "BRANCH",
        Grouping::Agent => "AGENT",
        Grouping::User => "USER",
        Grouping::Team => "TEAM",
        Grouping::Host => "HOST",
        Grouping::Billing => "BILLING",
        Grouping::Subagent => "SUB-AGENT",
        Grouping::Skill => "SKILL",
        Grouping::McpServer => "MCP SERVER",
        Grouping::Plugin => "PLUGIN",
        Grouping::QuerySource => "QUERY SOURCE",
        Grouping::Effort => "EFFORT",
        Grouping::Label => "LABEL",
        Grouping::Blocks => "BLOCK",
        Grouping::Group => "GROUP",
        Grouping::Tag => "TAG",
    }
}

fn name(by: Grouping, row: &Row) -> String {
    match &row.name {
        None if by.is_calendar() => "undated".to_owned(),
        None => "unattributed".to_owned(),
        Some(name) if name.is_empty() => "unattributed".to_owned(),
        // Of an hour the date and the clock; the zone is the one asked for.
        Some(name) if matches!(by, Grouping::Hourly | Grouping::QuarterHourly) => {
            name.get(..16).unwrap_or(name).replace('T', " ")
        }
        Some(name) => name.clone(),
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

pub fn figures_of(totals: &Totals, currency: Option<&Currency>) -> [String; 6] {
    let usage = &totals.usage;
    let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h).saturating_add(usage.cache_write_unsplit);
    [
        figures::count(totals.requests),
        figures::tokens(usage.input),
        figures::tokens(usage.output),
        figures::tokens(usage.cache_read),
        figures::tokens(written),
        totals.known_cost().map_or_else(|| "unknown".to_owned(), |cost| money(cost, currency)),
    ]
}

/// In the report's currency where it has one, else in dollars.
pub fn money(cost: NanoUsd, currency: Option<&Currency>) -> String {
    currency.map_or_else(|| cost.to_string(), |currency| currency.text(cost))
}

/// The rate, where there is one.
pub fn rate_line(currency: &Currency) -> String {
    let (code, rate, day) = (currency.code(), currency.rate(), currency.rate_date());
    format!("1 USD = {rate} {code} ({day}); each figure is rounded by itself")
}

/// The columns of the JSON, under its names; costs exact.
fn csv(document: &Document) -> String {
    let mut text = format!(
        "{},requests,input_tokens,output_tokens,reasoning_tokens,cache_read_tokens,cache_write_5m_tokens,cache_write_1h_tokens,cost_usd,unpriced_requests",
        document.by.row_key()
    );
    text.push_str(if document.currency.is_some() { ",cost,currency,rate,rate_date\n" } else { "\n" });
    for row in &document.rows {
        let usage = &row.totals.usage;
        let cost = row.totals.known_cost();
        let fields = [
            usage.input,
            usage.output,
            usage.reasoning,
            usage.cache_read,
            usage.cache_write_5m.saturating_add(usage.cache_write_unsplit),
            usage.cache_write_1h,
        ];
        let numbers: Vec<_> = fields.iter().map(u64::to_string).collect();
        let name = figures::csv_field(row.name.as_deref().unwrap_or(""));
        let exact = |cost: Option<NanoUsd>| cost.map_or_else(String::new, NanoUsd::exact);
        let (requests, unpriced) = (row.totals.requests, row.totals.unpriced_requests);
        text.push_str(&format!("{name},{requests},{},{},{unpriced}", numbers.join(","), exact(cost)));
        if let Some(currency) = &document.currency {
            // Billionths of the other unit are written as those of a dollar are.
            let cost = exact(cost.map(|cost| NanoUsd(currency.nano(cost))));
            text.push_str(&format!(",{cost},{},{},{}", currency.code(), currency.rate(), currency.rate_date()));
        }
        text.push('\n');
    }
    text
}
