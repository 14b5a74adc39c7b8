//! `ducat setup`: hooks into an agent's settings, and out of them.

pub mod client;
pub mod hooks;
pub mod probe;
mod retention;
pub mod settings;
pub mod status_line;

use std::env;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Subcommand, ValueHint};
use ducat_spool::data_folder;
use serde_json::{Value, json};
use similar::TextDiff;

use client::Version;
use hooks::Delivery;
use probe::Proof;
use settings::{Record, Settings};

/// Set an agent up to report to Ducat as it works
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat setup claude-code\n  ducat setup claude-code --dry-run")]
pub struct Args {
    #[command(subcommand)]
    agent: Agent,
}

#[derive(Subcommand)]
enum Agent {
    ClaudeCode(ClaudeCode),
}

/// Write Ducat's hooks into Claude Code's settings.json
///
/// Shows what will change and asks; keeps everything that is there; proves by starting the client that the file is still read, and restores
/// it otherwise. Without hooks Ducat reads the transcripts alone: all costs, a second later.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat setup claude-code\n  ducat setup claude-code --dry-run\n  ducat setup claude-code --status-line --yes\n  ducat setup claude-code --project --yes\n  ducat setup claude-code --url http://host.docker.internal:9090   (in a container)\n  ducat setup claude-code --keep-transcripts 3650\n  ducat setup claude-code --remove"
)]
struct ClaudeCode {
    /// The settings of this folder's project (.claude/settings.json) instead of the user's
    #[arg(long)]
    project: bool,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Write without asking
    #[arg(long, short)]
    yes: bool,
    /// Take Ducat's hooks out; a file that is as setup left it becomes what it was, to the byte
    #[arg(long, conflicts_with_all = ["http", "url", "socket", "status_line"])]
    remove: bool,
    /// Let the client itself post tool, prompt and sub-agent events; they are lost while the server is away
    #[arg(long)]
    http: bool,
    /// Server to report to, where the socket does not reach (containers, other machines); written as DUCAT_URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Socket of the server, where it is not at its usual place; written as DUCAT_SOCKET
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    socket: Option<PathBuf>,
    /// Version of the client, instead of asking it
    #[arg(long, value_name = "VERSION")]
    client_version: Option<Version>,
    /// Do not start the client to see whether it reads the file
    #[arg(long)]
    no_probe: bool,
    /// Also show model, cost and quota in the client's status line, around one that is there; asked otherwise
    #[arg(long)]
    status_line: bool,
    /// Have Claude Code keep transcripts for so many days instead of 30; written as cleanupPeriodDays, taken back by --remove
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "remove")]
    keep_transcripts: Option<u32>,
    /// Move the first version's .claude/hooks.json, which no client reads any more, out of the way
    #[arg(long)]
    migrate: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.agent {
        Agent::ClaudeCode(args) => claude_code(args),
    }
}

const DEFAULT_URL: &str = "http://127.0.0.1:9090";

fn claude_code(args: &ClaudeCode) -> anyhow::Result<()> {
    let folder = if args.project { env::current_dir()?.join(".claude") } else { client::config_folder()? };
    let settings = Settings::read(&folder.join("settings.json"))?;
    let data = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    if args.remove {
        return remove(args, &settings, &data);
    }
    let program = client::find();
    let version = match (args.client_version, &program) {
        (Some(version), _) => version,
        (None, Some(program)) => client::version(program)?,
        (None, None) => bail!("there is no claude on the PATH; name its version with --client-version"),
    };
    if let Some(reason) = client::silenced_by(&settings.value) {
        bail!("hooks would not run: {reason} ({})", settings.path.display());
    }
    if hooks::EVENTS.iter().all(|(_, first)| version < *first) {
        return say(&format!("Claude Code {version} knows no hooks. Nothing is lost by it: Ducat reads its transcripts."));
    }
    if args.http && version < hooks::HTTP {
        bail!("Claude Code {version} knows no HTTP hooks (they came with {}); leave out --http", hooks::HTTP);
    }
    let hook = beside_own("ducat-hook")?;
    let url = args.url.as_deref().unwrap_or(DEFAULT_URL).trim_end_matches('/');
    if !url.starts_with("http://") {
        bail!("--url {url}: must begin with http://");
    }
    let with_key = env::var_os("METRICS_API_KEY").or_else(|| env::var_os("DUCAT_API_KEY")).is_some_and(|key| !key.is_empty());
    let delivery = if args.http { Delivery::Http { hook: &hook, url, with_key } } else { Delivery::Command(&hook) };
    let faulty = |what: String| anyhow::anyhow!("{}: {what}", settings.path.display());
    let mut wanted = hooks::install(&settings.value, &delivery, version).map_err(faulty)?;
    set_variable(&mut wanted, "DUCAT_URL", args.url.as_deref())?;
    set_variable(&mut wanted, "DUCAT_SOCKET", args.socket.as_deref().and_then(Path::to_str))?;

    say(&format!("Claude Code {version}, settings in {}", settings.path.display()))?;
    first_version(args, &folder)?;
    hint_at_surroundings(args)?;
    if args.http {
        say("Over HTTP, events are lost while the server is away; what the transcripts tell is not.")?;
        if with_key {
            say("The server has a key: have DUCAT_API_KEY in the environment of Claude Code.")?;
        }
    }
    if wants_status_line(args, &settings.value, version)? {
        wanted = status_line::install(&wanted, &beside_own(status_line::PROGRAM)?).map_err(faulty)?;
    }
    let keeps = args.keep_transcripts.or(retention::ask(args, &settings, &wanted)?);
    retention::keep(&mut wanted, keeps)?;
    if wanted == settings.value {
        return say("All of it is already there; nothing to do.");
    }
    let text = settings.render(&wanted)?;
    if !show_and_ask(args, &settings, &text)? {
        return Ok(());
    }
    write_and_keep(&settings, &text, &data)?;
    match &settings.text {
        Some(_) => say(&format!("Written. The file as it was: {}", backup_path(&settings.path).display()))?,
        None => say("Written.")?,
    }
    probe::reach(&wanted).iter().try_for_each(|words| say(words))?;
    match (program.filter(|_| !args.no_probe), probe_obstacle(&wanted)) {
        (None, _) => say("Not probed: whether the client reads the file shows with its next session."),
        (_, Some(obstacle)) => say(&format!("Not probed: {obstacle}.")),
        (Some(program), None) => prove(&program, &settings, &data, args.project, &wanted, &text, version),
    }
}

/// Whether the status line is to be ours: by the flag, else by asking where somebody can answer.
fn wants_status_line(args: &ClaudeCode, settings: &Value, version: Version) -> anyhow::Result<bool> {
    if version < status_line::FIRST {
        if args.status_line {
            bail!("Claude Code {version} has no status line (it came with {}); leave out --status-line", status_line::FIRST);
        }
        return Ok(false);
    }
    if args.status_line || args.yes || args.dry_run || status_line::is_installed(settings) || !io::stdin().is_terminal() {
        // One that setup wrote before is written anew: this program may have moved.
        return Ok(args.status_line || status_line::is_installed(settings));
    }
    let around = status_line::of_others(settings).map_or("", |_| " (yours stays as it is; Ducat only reads along)");
    ask(&format!("Feed the status line with cost, context and plan quota{around}?"))
}

/// A question whose answer is no unless it is yes.
fn ask(question: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Writes the hooks and the status line of the last setup into settings that lost them; everything else stays.
pub fn write_back(path: &Path, data: &Path) -> anyhow::Result<()> {
    let settings = Settings::read(path)?;
    let record = Record::load(data, &settings.path).context("no setup wrote this file")?;
    let recorded = settings::parse(&record.after)?;
    let mut wanted =
        hooks::put_back(&settings.value, &recorded).map_err(|what| anyhow::anyhow!("{}: {what}", settings.path.display()))?;
    for name in ["DUCAT_URL", "DUCAT_SOCKET"] {
        set_variable(&mut wanted, name, recorded.pointer(&format!("/env/{name}")).and_then(Value::as_str))?;
    }
    if status_line::is_installed(&recorded) {
        let program = beside_own(status_line::PROGRAM)?;
        wanted =
            status_line::install(&wanted, &program).map_err(|what| anyhow::anyhow!("{}: {what}", settings.path.display()))?;
    }
    write_and_keep(&settings, &settings.render(&wanted)?, data)
}

/// Next to this program, where the build and every package put it.
pub fn beside_own(name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("finding this program")?;
    let program = own.with_file_name(name);
    if !program.is_file() {
        bail!("{} is not there; it belongs beside {} (`make build` makes both)", program.display(), own.display());
    }
    Ok(program)
}

fn set_variable(settings: &mut Value, name: &str, value: Option<&str>) -> anyhow::Result<()> {
    let Some(value) = value else { return Ok(()) };
    let fields = settings.as_object_mut().context("the settings are no JSON object")?;
    let variables = fields.entry("env").or_insert_with(|| json!({}));
    variables.as_object_mut().context("env: must be an object")?.insert(name.to_owned(), json!(value));
    Ok(())
}

/// Why starting the client would prove nothing, or could ask a model.
pub fn probe_obstacle(settings: &Value) -> Option<String> {
    let names = [
        "DUCAT_URL",
        "DUCAT_SOCKET",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_CODE_USE_BEDROCK",
        "CLAUDE_CODE_USE_VERTEX",
        "CLAUDE_CODE_USE_FOUNDRY",
    ];
    let found = names.iter().find(|name| settings.pointer(&format!("/env/{name}")).is_some())?;
    Some(format!("the settings set {found}, which a probe could not replace"))
}

fn show_and_ask(args: &ClaudeCode, settings: &Settings, text: &str) -> anyhow::Result<bool> {
    let before = settings.text.as_deref().unwrap_or("");
    let name = settings.path.display().to_string();
    let diff = TextDiff::from_lines(before, text);
    let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let mut out = io::stdout().lock();
    for line in diff.unified_diff().context_radius(2).header(&name, &name).to_string().lines() {
        match line.as_bytes().first() {
            Some(b'+') if colours => writeln!(out, "\x1b[32m{line}\x1b[0m")?,
            Some(b'-') if colours => writeln!(out, "\x1b[31m{line}\x1b[0m")?,
            _ => writeln!(out, "{line}")?,
        }
    }
    if args.dry_run {
        writeln!(out, "Nothing was written (--dry-run).")?;
        return Ok(false);
    }
    if args.yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        bail!("nobody to ask: say --yes to write this, or --dry-run to see it only");
    }
    drop(out);
    let yes = ask("Write this?")?;
    if !yes {
        say("Nothing was written.")?;
    }
    Ok(yes)
}

fn backup_path(settings: &Path) -> PathBuf {
    settings.with_file_name("settings.json.before-ducat")
}

/// Writes the settings; the first time keeps what was there.
fn write_and_keep(settings: &Settings, text: &str, data: &Path) -> anyhow::Result<()> {
    let before = match Record::load(data, &settings.path) {
        // A later setup over an earlier one: what was there before the first is what removing restores.
        Some(record) if Some(&record.after) == settings.text.as_ref() => record.before,
        record => {
            let mut without = status_line::remove(&hooks::remove(&settings.value));
            if let Some(record) = &record {
                retention::take_back(&mut without, record);
            }
            if without == settings.value { settings.text.clone() } else { Some(settings.render(&without)?) }
        }
    };
    if let Some(before) = &before {
        settings::write(&backup_path(&settings.path), before)?;
    }
    Record { settings: settings.path.clone(), before, after: text.to_owned() }.save(data)?;
    settings::write(&settings.path, text)
}

fn restore(settings: &Settings) -> anyhow::Result<()> {
    match &settings.text {
        Some(text) => settings::write(&settings.path, text),
        None => Ok(fs::remove_file(&settings.path)?),
    }
}

fn prove(
    program: &Path,
    settings: &Settings,
    data: &Path,
    project: bool,
    wanted: &Value,
    text: &str,
    version: Version,
) -> anyhow::Result<()> {
    let empty = tempfile::tempdir()?;
    let folder = if project { env::current_dir()? } else { empty.path().to_owned() };
    match probe::run(program, &folder)? {
        Proof::Read => say("Proved: Claude Code read the file and ran ducat-hook.")?,
        Proof::Silent(words) => {
            restore(settings)?;
            if let Some(record) = Record::load(data, &settings.path) {
                record.forget(data);
            }
            let words: String = words.trim().chars().take(300).collect();
            bail!(
                "{} was restored: Claude Code ran no hook of it within its first seconds; it said {words:?}",
                settings.path.display()
            );
        }
    }
    // A session that was running may write its own, older settings back.
    thread::sleep(Duration::from_secs(1));
    let now = Settings::read(&settings.path)?;
    if now.text.as_deref() != Some(text) && !hooks::are_installed(&now.value, version) {
        settings::write(&settings.path, &now.render(wanted)?)?;
        say(
            "A running session had written its old settings back; the hooks were written again. End running sessions, or run this again after.",
        )?;
    }
    Ok(())
}

fn remove(args: &ClaudeCode, settings: &Settings, data: &Path) -> anyhow::Result<()> {
    let Some(current) = &settings.text else {
        return say(&format!("There is no {}; nothing to remove.", settings.path.display()));
    };
    let record = Record::load(data, &settings.path);
    let untouched = record.as_ref().filter(|record| record.after == *current);
    let mut without = status_line::remove(&hooks::remove(&settings.value));
    if let Some(variables) = without.get_mut("env").and_then(Value::as_object_mut) {
        ["DUCAT_URL", "DUCAT_SOCKET"].iter().for_each(|name| drop(variables.shift_remove(*name)));
        if variables.is_empty()
            && let Some(fields) = without.as_object_mut()
        {
            fields.shift_remove("env");
        }
    }
    if let Some(record) = &record {
        retention::take_back(&mut without, record);
    }
    if untouched.is_none() && without == settings.value {
        return say(&format!("There is no hook of Ducat in {}; nothing to remove.", settings.path.display()));
    }
    let before = match untouched {
        Some(record) => record.before.clone(),
        None => Some(settings.render(&without)?),
    };
    if !show_and_ask(args, settings, before.as_deref().unwrap_or(""))? {
        return Ok(());
    }
    match &before {
        Some(before) => settings::write(&settings.path, before)?,
        None => fs::remove_file(&settings.path)?,
    }
    if let Some(record) = record {
        record.forget(data);
    }
    let _ = fs::remove_file(backup_path(&settings.path));
    say("Removed.")
}

/// The first version's hooks stand in a file of their own, in the project or the home.
fn first_version(args: &ClaudeCode, folder: &Path) -> anyhow::Result<()> {
    let places = [folder.join("hooks.json"), env::current_dir()?.join(".claude/hooks.json")];
    let is_of_first_version = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        ["preToolUse", "postToolUse", "sessionStart"].iter().any(|event| text.contains(event))
    };
    let mut found: Vec<PathBuf> = places.into_iter().filter(is_of_first_version).collect();
    found.dedup();
    for path in found {
        if args.migrate && !args.dry_run {
            let aside = path.with_file_name("hooks.json.first-version");
            fs::rename(&path, &aside).with_context(|| path.display().to_string())?;
            say(&format!("The first version's {} is now {}; the hooks below take its place.", path.display(), aside.display()))?;
        } else {
            say(&format!(
                "{} is of the first version, and no client reads it any more; --migrate moves it aside.",
                path.display()
            ))?;
        }
    }
    Ok(())
}

fn hint_at_surroundings(args: &ClaudeCode) -> anyhow::Result<()> {
    if args.url.is_some() || args.socket.is_some() {
        return Ok(());
    }
    let in_container =
        Path::new("/.dockerenv").exists() || env::var_os("REMOTE_CONTAINERS").is_some() || env::var_os("CODESPACES").is_some();
    if in_container {
        say(
            "In a container, a server on the host is reached with --url http://host.docker.internal:9090 (or share its socket, --socket).",
        )?;
    } else if fs::read_to_string("/proc/version").is_ok_and(|version| version.to_ascii_lowercase().contains("microsoft")) {
        say("In WSL, these are the settings of the client inside WSL; run the server inside too, or name it with --url.")?;
    }
    Ok(())
}

fn say(words: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{words}")?)
}
