//! `ducat agents`: which agents are here, what of them is read, and who told of them last.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use ducat_capture::Agent;
use ducat_ledger::{Freshness, UnixMs};
use ducat_report::rfc3339;
use ducat_scan::{TranscriptFile, agent_homes, find_transcripts};
use ducat_ship::host_name;
use ducat_spool::data_folder;
use ducat_store::{DataFolder, Reader, TenantId};
use jiff::Timestamp;
use serde::Serialize;

use crate::doctor::{local, says_version_within};
use crate::quiet::{Notice, notices};
use crate::setup::client::on_path;
use crate::setup::{CLIENT_PATIENCE, Wired, wired};
use crate::table;

/// List the agents that Ducat knows: installed, found, wired, last told of
///
/// Witnesses are who tells of an agent: transcript, hook, otlp_log, otlp_span, otlp_metric. Times are of the newest request, tool call or turn that
/// each told of, from the ledger. A witness is quiet when others go on telling of what it would have told, for half an hour (the transcript: two
/// hours, otlp_metric: one) or in five moments; an idle agent has none. Exits 0 when none is quiet, 1 when one is, 2 when it could not be told.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat agents\n  ducat agents --json | jq '.rows[] | select(.version)'\n  ducat agents --json | jq -r '.quiet[].remedy'"
)]
pub struct Args {
    /// JSON: {"schema_version":1,"rows":[…],"quiet":[…]}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    agent: &'static str,
    /// Its program on the PATH; null when there is none.
    program: Option<String>,
    /// What the program says of itself; null when it does not.
    version: Option<String>,
    /// Files in its home.
    transcripts: usize,
    /// Null for agents that `ducat setup` is not for.
    wired: Option<Wired>,
    /// By witness.
    #[serde(serialize_with = "as_rfc3339")]
    last_told_at: BTreeMap<&'static str, UnixMs>,
}

impl Row {
    /// Something of it is on this machine or in the ledger.
    fn is_here(&self) -> bool {
        let is_wired = self.wired.is_some_and(|wired| wired.hooks || wired.telemetry);
        self.program.is_some() || self.transcripts > 0 || is_wired || !self.last_told_at.is_empty()
    }
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (rows, fresh) = rows()?;
    let notices = notices(&fresh);
    let code = ExitCode::from(u8::from(!notices.is_empty()));
    let mut out = io::stdout().lock();
    if args.json {
        let quiet: Vec<_> = notices.iter().flat_map(quiet_json).collect();
        writeln!(out, "{}", serde_json::json!({ "schema_version": 1, "rows": rows, "quiet": quiet }))?;
        return Ok(code);
    }
    let (here, nowhere): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.is_here());
    let mut list = table::table(&["AGENT", "VERSION", "WIRED", "LAST TOLD BY", "TRANSCRIPTS"], 4);
    for row in &here {
        let version = match (&row.program, &row.version) {
            (None, _) => "not installed".to_owned(),
            (Some(_), version) => version.clone().unwrap_or_else(|| "unknown".to_owned()),
        };
        let told = row.last_told_at.iter().map(|(witness, at)| format!("{witness} {}", local(*at)));
        list.add_row([
            row.agent.to_owned(),
            version,
            words(row.wired).to_owned(),
            told.collect::<Vec<_>>().join(", "),
            row.transcripts.to_string(),
        ]);
    }
    if !here.is_empty() {
        writeln!(out, "{}\n", table::lines(&list))?;
    }
    if !nowhere.is_empty() {
        let names: Vec<&str> = nowhere.iter().map(|row| row.agent).collect();
        writeln!(out, "Nothing here of {}.", names.join(", "))?;
    }
    for notice in &notices {
        writeln!(out, "\n{}\n  → {}", notice.what, notice.remedy)?;
    }
    Ok(code)
}

fn quiet_json(notice: &Notice<'_>) -> Vec<serde_json::Value> {
    let row = |row: &&Freshness| {
        let quiet = row.quiet?;
        Some(serde_json::json!({
            "agent": row.agent, "host": row.host, "witness": row.witness.name(), "heard_at": rfc3339(row.heard_at),
            "others": quiet.others.names(), "others_heard_at": rfc3339(quiet.until), "remedy": notice.remedy,
        }))
    };
    notice.rows.iter().filter_map(row).collect()
}

fn words(wired: Option<Wired>) -> &'static str {
    match wired {
        None => "",
        Some(Wired { hooks: true, telemetry: true }) => "hooks, telemetry",
        Some(Wired { hooks: true, telemetry: false }) => "hooks",
        Some(Wired { hooks: false, telemetry: true }) => "telemetry",
        Some(Wired { hooks: false, telemetry: false }) => "no",
    }
}

/// The agents, and how it stands with their witnesses.
fn rows() -> anyhow::Result<(Vec<Row>, Vec<Freshness>)> {
    let database = data_folder().map(|data| DataFolder::database_in(&data)).filter(|path| path.exists());
    let (told, fresh) = match database {
        Some(path) => {
            let reader = Reader::open(&path)?;
            reader.check_schema()?;
            let now = Timestamp::now().as_millisecond();
            (reader.last_witnessed(TenantId::LOCAL)?, reader.freshness(TenantId::LOCAL, &host_name(), now)?)
        }
        None => Default::default(),
    };
    // What cannot be read is told by `ducat import` and `ducat doctor`.
    let transcripts = find_transcripts(&agent_homes(), &mut Vec::new());
    // At once: each starts a program.
    let mut rows: Vec<Row> = thread::scope(|scope| {
        let (transcripts, told) = (&transcripts, &told);
        let asked: Vec<_> = Agent::ALL.into_iter().map(|agent| scope.spawn(move || row(agent, transcripts, told))).collect();
        asked.into_iter().filter_map(|asked| asked.join().ok()).collect()
    });
    rows.sort_by_key(|row| row.agent);
    Ok((rows, fresh))
}

fn row(agent: Agent, transcripts: &[TranscriptFile], told: &BTreeMap<String, BTreeMap<&'static str, UnixMs>>) -> Row {
    let program = on_path(program_of(agent));
    let told = told.get(agent.name()).into_iter().flatten();
    Row {
        agent: agent.name(),
        version: program.as_deref().and_then(|program| says_version_within(program, CLIENT_PATIENCE).ok()),
        program: program.map(|path| path.display().to_string()),
        transcripts: transcripts.iter().filter(|file| file.agent == Some(agent)).count(),
        wired: wired(agent),
        last_told_at: told.map(|(witness, at)| (*witness, *at)).collect(),
    }
}

fn program_of(agent: Agent) -> &'static str {
    match agent {
        Agent::ClaudeCode => "claude",
        Agent::Codex => "codex",
        Agent::GeminiCli => "gemini",
        Agent::CopilotCli => "copilot",
        Agent::OpenCode => "opencode",
        Agent::Pi => "pi",
        Agent::Cline => "cline",
        Agent::RooCode => "roo",
        Agent::KiloCode => "kilo",
        Agent::Amp => "amp",
        Agent::Goose => "goose",
        Agent::Droid => "droid",
        Agent::Cursor => "cursor-agent",
        Agent::QwenCode => "qwen",
    }
}

fn as_rfc3339<S: serde::Serializer>(told: &BTreeMap<&'static str, UnixMs>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(told.iter().filter_map(|(witness, at)| Some((witness, rfc3339(*at)?))))
}
