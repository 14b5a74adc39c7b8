//! Claude Code: hooks, status line and telemetry in its settings.json.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueHint;
use ducat_scan::managed_settings;
use ducat_spool::data_folder;
use serde_json::{Value, json};

use super::change::{Consent, Place};
use super::client::{self, Version};
use super::hooks::{self, Delivery};
use super::probe::{self, Proof};
use super::receiver;
use super::settings::{self, Record, Settings};
use super::wiring::{Hooks, Wiring};
use super::{Wired, ask, beside_own, retention, say, status_line, telemetry};

/// As records of setups name it.
pub const CLAUDE_CODE: &str = "claude-code";
const DEFAULT_URL: &str = "http://127.0.0.1:9090";

/// Write Ducat's hooks and telemetry into Claude Code's settings.json
///
/// Shows what will change and asks; keeps everything that is there; proves by starting the client that the file is still read, and restores
/// it otherwise. Telemetry (OpenTelemetry, without content) is written where a running server takes it and nobody has set it. Without hooks Ducat reads the transcripts alone: all costs, a second later.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat setup claude-code\n  ducat setup claude-code --dry-run\n  ducat setup claude-code --status-line --yes\n  ducat setup claude-code --project --yes\n  ducat setup claude-code --url http://host.docker.internal:9090   (in a container)\n  ducat setup claude-code --keep-transcripts 3650\n  ducat setup claude-code --no-telemetry\n  ducat setup claude-code --remove"
)]
pub struct ClaudeCode {
    /// The settings of this folder's project (.claude/settings.json) instead of the user's
    #[arg(long)]
    pub project: bool,
    #[command(flatten)]
    pub consent: Consent,
    /// Take Ducat's hooks and telemetry out; a file that is as setup left it becomes what it was, to the byte
    #[arg(long, conflicts_with_all = ["http", "url", "socket", "status_line", "no_telemetry"])]
    pub remove: bool,
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
    pub keep_transcripts: Option<u32>,
    /// Leave OpenTelemetry out, or take out what an earlier setup wrote of it
    #[arg(long)]
    pub no_telemetry: bool,
    /// Move the first version's .claude/hooks.json, which no client reads any more, out of the way
    #[arg(long)]
    migrate: bool,
}

pub fn run(args: &ClaudeCode) -> anyhow::Result<()> {
    let folder = if args.project { env::current_dir()?.join(".claude") } else { client::config_folder()? };
    let settings = Settings::read(&folder.join("settings.json"))?;
    let data = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    let place = place(&settings, &data);
    if args.remove {
        let without = without_ours(&settings, &place)?;
        return match place.take_out(args.consent, without)? {
            true => Ok(()),
            false => say(&format!("There is no hook of Ducat in {}; nothing to remove.", settings.path.display())),
        };
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
    let with_key = ["DUCAT_API_KEY", "METRICS_API_KEY"].iter().any(|name| env::var(name).is_ok_and(|key| !key.is_empty()));
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
    set_telemetry(args, &mut wanted, &settings, &place)?;
    let keeps = args.keep_transcripts.or(retention::ask(args, &settings, &wanted)?);
    retention::keep(&mut wanted, keeps)?;
    if wanted == settings.value {
        return say("All of it is already there; nothing to do.");
    }
    let text = settings.render(&wanted)?;
    if !place.show_and_ask(args.consent, &text)? {
        return Ok(());
    }
    let earlier = place.record();
    place.write_and_keep(&text, without_ours(&settings, &place)?)?;
    place.say_written()?;
    probe::reach(&wanted).iter().try_for_each(|words| say(words))?;
    match (program.filter(|_| !args.no_probe), probe_obstacle(&wanted)) {
        (None, _) => say("Not probed: whether the client reads the file shows with its next session."),
        (_, Some(obstacle)) => say(&format!("Not probed: {obstacle}.")),
        (Some(program), None) => {
            prove(&program, (&place, earlier.as_ref()), args.project, &settings.render(&wanted)?, &wanted, version)
        }
    }
}

/// What of a setup stands in the user's settings.
pub fn wired(data: &Path) -> anyhow::Result<Wired> {
    let settings = Settings::read(&client::config_folder()?.join("settings.json"))?;
    let record = place(&settings, data).record();
    let telemetry = telemetry::is_ours(&settings.value, record.as_ref());
    Ok(Wired { hooks: !hooks::ours(&settings.value).is_empty(), telemetry })
}

/// How it is wired at this moment. Its hooks are looked at with more to say elsewhere.
pub fn wiring(data: &Path, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Wiring> {
    let settings = Settings::read(&client::config_folder()?.join("settings.json"))?;
    let hooks = Hooks::of(CLAUDE_CODE, data, &settings.path, &settings.value, std::iter::empty());
    let record = place(&settings, data).record();
    let was_set_up = record.as_ref().is_some_and(|record| telemetry::is_ours(&record.values().1, Some(record)));
    let telemetry = telemetry::whither(variable);
    let title = "Claude Code";
    Ok(Wiring { setup: CLAUDE_CODE, title, program: "claude", hooks, telemetry, telemetry_was_set_up: was_set_up })
}

/// The settings file as a place of a setup.
fn place<'a>(settings: &'a Settings, data: &'a Path) -> Place<'a> {
    Place { agent: CLAUDE_CODE, path: &settings.path, text: settings.text.as_deref(), data }
}

/// Writes into `wanted` where telemetry goes, or says why not.
fn set_telemetry(args: &ClaudeCode, wanted: &mut Value, settings: &Settings, place: &Place<'_>) -> anyhow::Result<()> {
    let record = place.record();
    if args.no_telemetry {
        record.iter().for_each(|record| telemetry::take_back(wanted, record));
        return Ok(());
    }
    let environment: Vec<String> = env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let managed = managed_settings(Path::new("/"));
    let others = telemetry::of_others(&settings.value, record.as_ref(), &managed, &environment);
    let found = receiver::find(args.url.as_deref(), place.data);
    match (found, others) {
        (Ok(receiver), _) if telemetry::is_installed(&settings.value, &receiver) => {}
        (_, Some((name, whose))) => say(&format!(
            "Telemetry stays as you have it ({name} in {whose}). To have it in Ducat too, send it to Ducat's port, and name in \
             Ducat's otlp.forward_url where it goes now."
        ))?,
        (Ok(receiver), None) if receiver.key.is_some() && args.project => {
            say(&format!(
                "Telemetry is left out: {} asks for a key, and a project's settings are no place for one.",
                receiver.url
            ))?;
        }
        (Ok(receiver), None) => {
            *wanted = telemetry::install(wanted, &receiver, record.as_ref())
                .map_err(|what| anyhow::anyhow!("{}: {what}", settings.path.display()))?;
            say(&format!("Telemetry goes to {}, which answered a probe.", receiver.url))?;
        }
        (Err(why), None) => say(&format!("Telemetry is left as it is: {why}."))?,
    }
    Ok(())
}

/// The file without what is ours; `None` when nothing of it is.
fn without_ours(settings: &Settings, place: &Place<'_>) -> anyhow::Result<Option<String>> {
    let mut without = status_line::remove(&hooks::remove(&settings.value));
    if let Some(record) = place.record() {
        retention::take_back(&mut without, &record);
        telemetry::take_back(&mut without, &record);
    }
    if let Some(variables) = without.get_mut("env").and_then(Value::as_object_mut) {
        let ours: Vec<_> = ["DUCAT_URL", "DUCAT_SOCKET"].iter().filter_map(|name| variables.shift_remove(*name)).collect();
        if variables.is_empty()
            && !ours.is_empty()
            && let Some(fields) = without.as_object_mut()
        {
            fields.shift_remove("env");
        }
    }
    if without == settings.value { Ok(None) } else { settings.render(&without).map(Some) }
}

/// Whether the status line is to be ours: by the flag, else by asking where somebody can answer.
fn wants_status_line(args: &ClaudeCode, settings: &Value, version: Version) -> anyhow::Result<bool> {
    if version < status_line::FIRST {
        if args.status_line {
            bail!("Claude Code {version} has no status line (it came with {}); leave out --status-line", status_line::FIRST);
        }
        return Ok(false);
    }
    if args.status_line
        || args.consent.yes
        || args.consent.dry_run
        || status_line::is_installed(settings)
        || !io::stdin().is_terminal()
    {
        // One that setup wrote before is written anew: this program may have moved.
        return Ok(args.status_line || status_line::is_installed(settings));
    }
    let around = status_line::of_others(settings).map_or("", |_| " (yours stays as it is; Ducat only reads along)");
    ask(&format!("Feed the status line with cost, context and plan quota{around}?"))
}

/// Writes the hooks and the status line of the last setup into settings that lost them; everything else stays.
pub fn write_back(path: &Path, data: &Path) -> anyhow::Result<()> {
    let settings = Settings::read(path)?;
    let record = Record::load(CLAUDE_CODE, data, &settings.path).context("no setup wrote this file")?;
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
    telemetry::put_back(&mut wanted, &record).map_err(|what| anyhow::anyhow!("{}: {what}", settings.path.display()))?;
    let place = place(&settings, data);
    place.write_and_keep(&settings.render(&wanted)?, without_ours(&settings, &place)?)
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

/// Whether the client reads what was written; else the file and the `earlier` record are put back.
fn prove(
    program: &Path,
    (place, earlier): (&Place<'_>, Option<&Record>),
    project: bool,
    text: &str,
    wanted: &Value,
    version: Version,
) -> anyhow::Result<()> {
    let empty = tempfile::tempdir()?;
    let folder = if project { env::current_dir()? } else { empty.path().to_owned() };
    match probe::run(program, &folder)? {
        Proof::Read => say("Proved: Claude Code read the file and ran ducat-hook.")?,
        Proof::Silent(words) => {
            place.restore(earlier)?;
            let words: String = words.trim().chars().take(300).collect();
            bail!(
                "{} was restored: Claude Code ran no hook of it within its first seconds; it said {words:?}",
                place.path.display()
            );
        }
    }
    // A session that was running may write its own, older settings back.
    thread::sleep(Duration::from_secs(1));
    let now = Settings::read(place.path)?;
    if now.text.as_deref() != Some(text) && !hooks::are_installed(&now.value, version) {
        settings::write(place.path, &now.render(wanted)?)?;
        say(
            "A running session had written its old settings back; the hooks were written again. End running sessions, or run this again after.",
        )?;
    }
    Ok(())
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
        if args.migrate && !args.consent.dry_run {
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
