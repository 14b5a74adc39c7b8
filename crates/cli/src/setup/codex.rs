//! Codex: telemetry in its config.toml, hooks in its hooks.json.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use ducat_spool::data_folder;
use serde_json::json;
use toml_edit::{DocumentMut, InlineTable, Item, Table, Value};

use super::change::{Consent, Place};
use super::client::on_path;
use super::receiver::{self, Receiver};
use super::settings::{Record, Settings, read_text};
use super::wiring::{Hooks, Telemetry, Wiring};
use super::{CLIENT_PATIENCE, Wired, below_home, beside_own, hooks, say};
use crate::doctor::says_version_within;

const AGENT: &str = "codex";
/// Events that carry facts.
const EVENTS: [&str; 4] = ["UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop"];
/// Seconds; the hook itself gives up after a tenth of one.
const TIMEOUT: u64 = 5;
/// Keys of `[otel]`, and the signal that each exports.
const EXPORTERS: [(&str, &str); 3] = [("exporter", "logs"), ("metrics_exporter", "metrics"), ("trace_exporter", "traces")];

/// Write Ducat's telemetry into Codex's config.toml, and its hooks into hooks.json
///
/// Shows what will change and asks; keeps everything that is there, comments too; restores the file where Codex does not read it. Telemetry
/// (OpenTelemetry, without prompts) is written where a running server takes it and nobody has set it. Codex runs new hooks once you have
/// trusted them in its /hooks. Without either Ducat reads the rollouts alone: all tokens and costs, a second later.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat setup codex\n  ducat setup codex --dry-run\n  ducat setup codex --remove")]
pub struct Codex {
    #[command(flatten)]
    pub consent: Consent,
    /// Take Ducat's hooks and telemetry out; a file that is as setup left it becomes what it was, to the byte
    #[arg(long, conflicts_with_all = ["url", "no_telemetry"])]
    pub remove: bool,
    /// Server to send telemetry to, instead of the one on this machine
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Leave OpenTelemetry out, or take out what an earlier setup wrote of it
    #[arg(long)]
    pub no_telemetry: bool,
}

pub fn run(args: &Codex) -> anyhow::Result<()> {
    let folder = home()?;
    let data = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    let (config, text) = read_text(&folder.join("config.toml"))?;
    let config = Place { agent: AGENT, path: &config, text: text.as_deref(), data: &data };
    let document =
        parse(config.text.unwrap_or_default()).with_context(|| format!("{} was left as it is", config.path.display()))?;
    let settings = Settings::read(&folder.join("hooks.json"))?;
    let hook_file = Place { agent: AGENT, path: &settings.path, text: settings.text.as_deref(), data: &data };

    let mut without_telemetry = document.clone();
    take_back(&mut without_telemetry, config.record().as_ref());
    let without_telemetry = changed(&without_telemetry, config.text);
    let without_hooks = hooks::remove(&settings.value);
    let without_hooks = if without_hooks == settings.value { None } else { Some(settings.render(&without_hooks)?) };
    if args.remove {
        let telemetry = config.take_out(args.consent, without_telemetry)?;
        let hooks = hook_file.take_out(args.consent, without_hooks)?;
        if !telemetry && !hooks {
            say(&format!("There is nothing of Ducat in {}; nothing to remove.", folder.display()))?;
        }
        return Ok(());
    }
    let Some(program) = on_path("codex") else { bail!("there is no codex on the PATH") };
    let version = says_version_within(&program, CLIENT_PATIENCE).with_context(|| format!("{} --version", program.display()))?;
    say(&format!("Codex {version}, settings in {}", folder.display()))?;

    let mut nothing = true;
    if let Some(text) = telemetry(args, &document, &config)? {
        nothing = false;
        if config.show_and_ask(args.consent, &text)? {
            let (was_read, earlier) = (features(&program).is_some(), config.record());
            config.write_and_keep(&text, without_telemetry)?;
            if was_read && features(&program).is_none() {
                config.restore(earlier.as_ref())?;
                bail!("{} was restored: Codex did not read it (`codex features list` failed)", config.path.display());
            }
            config.say_written()?;
        }
    }
    if let Some(text) = hook_text(&program, &document, &settings)? {
        nothing = false;
        if hook_file.show_and_ask(args.consent, &text)? {
            hook_file.write_and_keep(&text, without_hooks)?;
            hook_file.say_written()?;
            say("Codex runs new hooks once you have trusted them: type /hooks in it.")?;
        }
    }
    if nothing { say("All that can be written is there; nothing to do.") } else { Ok(()) }
}

fn home() -> anyhow::Result<PathBuf> {
    env::var_os("CODEX_HOME").filter(|told| !told.is_empty()).map_or_else(|| below_home(".codex"), |told| Ok(told.into()))
}

/// What of a setup stands in the user's settings.
pub fn wired(data: &Path) -> anyhow::Result<Wired> {
    let folder = home()?;
    let (path, text) = read_text(&folder.join("config.toml"))?;
    let record = Record::load(AGENT, data, &path);
    let hooks = Settings::read(&folder.join("hooks.json"))?;
    let telemetry = parse(&text.unwrap_or_default()).is_ok_and(|document| !ours(&document, record.as_ref()).is_empty());
    Ok(Wired { hooks: !hooks::ours(&hooks.value).is_empty(), telemetry })
}

/// How it is wired at this moment. Of telemetry its logs count: they tell of requests.
pub fn wiring(data: &Path) -> anyhow::Result<Wiring> {
    let folder = home()?;
    let (path, text) = read_text(&folder.join("config.toml"))?;
    let document = parse(&text.unwrap_or_default()).with_context(|| path.display().to_string())?;
    let settings = Settings::read(&folder.join("hooks.json"))?;
    let mut hooks = Hooks::of(AGENT, data, &settings.path, &settings.value, EVENTS.into_iter());
    let features = document.get("features").and_then(Item::as_table_like);
    let is_off = features.and_then(|features| features.get("hooks")?.as_bool()) == Some(false);
    hooks.off = is_off.then(|| format!("features.hooks = false in {}", path.display()));
    let record = Record::load(AGENT, data, &path);
    let was_set_up =
        record.as_ref().is_some_and(|record| parse(&record.after).is_ok_and(|after| !ours(&after, Some(record)).is_empty()));
    let setting = format!("otel.exporter in {}", path.display());
    let exporter = document.get("otel").and_then(Item::as_table_like).and_then(|table| table.get("exporter"));
    let telemetry = match exporter {
        None => Telemetry::Unset,
        Some(exporter) => match exporter.as_table_like().and_then(|kinds| kinds.iter().find_map(|(_, kind)| endpoint(kind))) {
            Some(endpoint) => Telemetry::To { endpoint, setting },
            None => Telemetry::Off(setting),
        },
    };
    Ok(Wiring { setup: AGENT, title: "Codex", program: "codex", hooks, telemetry, telemetry_was_set_up: was_set_up })
}

fn endpoint(kind: &Item) -> Option<String> {
    kind.as_table_like()?.get("endpoint")?.as_str().map(str::to_owned)
}

/// What `codex features list` prints, which reads the configuration; `None` when it fails.
fn features(program: &Path) -> Option<String> {
    let output = Command::new(program).args(["features", "list"]).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The hooks file with our hooks, where this Codex runs hooks and they are not there.
fn hook_text(program: &Path, document: &DocumentMut, settings: &Settings) -> anyhow::Result<Option<String>> {
    let features = features(program).unwrap_or_default();
    let of_hooks = features.lines().find(|line| line.split_whitespace().next() == Some("hooks"));
    match of_hooks.map(|line| line.trim_end().ends_with("true")) {
        None => say("Hooks are left out: this version of Codex runs none.")?,
        Some(false) => say("Hooks are left out: they are switched off in Codex (features.hooks).")?,
        Some(true) => {
            if document
                .get("hooks")
                .and_then(Item::as_table_like)
                .is_some_and(|hooks| EVENTS.iter().any(|event| hooks.contains_key(event)))
            {
                say(
                    "Your own hooks stand in config.toml and Ducat's go to hooks.json: Codex runs both, and says so at its start.",
                )?;
            }
            let handler = json!({
                "type": "command", "command": hooks::command_of(&beside_own("ducat-hook")?, AGENT), "timeout": TIMEOUT
            });
            let wanted = hooks::add(&settings.value, EVENTS.iter().map(|event| (*event, None, handler.clone())))
                .map_err(|what| anyhow::anyhow!("{}: {what}", settings.path.display()))?;
            if wanted != settings.value {
                return settings.render(&wanted).map(Some);
            }
        }
    }
    Ok(None)
}

/// The configuration with telemetry as it is wanted, where that is another than it has.
fn telemetry(args: &Codex, document: &DocumentMut, place: &Place<'_>) -> anyhow::Result<Option<String>> {
    let record = place.record();
    let mut wanted = document.clone();
    if args.no_telemetry {
        take_back(&mut wanted, record.as_ref());
        return Ok(changed(&wanted, place.text));
    }
    let own = ours(document, record.as_ref());
    let theirs = EXPORTERS.iter().find(|(name, _)| set(document, name).is_some() && !own.contains(name));
    let receiver = match receiver::find(args.url.as_deref(), place.data) {
        Ok(receiver) if is_installed(document, &receiver) => return Ok(None),
        found => match (found, theirs) {
            (Ok(receiver), None) => receiver,
            (_, Some((name, _))) => {
                say(&format!(
                    "Telemetry stays as you have it (otel.{name} in config.toml). To have it in Ducat too, send it to Ducat's port, and \
                     name in Ducat's otlp.forward_url where it goes now."
                ))?;
                return Ok(None);
            }
            (Err(why), None) => {
                say(&format!("Telemetry is left as it is: {why}."))?;
                return Ok(None);
            }
        },
    };
    let table = wanted.entry("otel").or_insert_with(|| Item::Table(Table::new()));
    let table = table.as_table_like_mut().with_context(|| format!("{}: otel must be a table", place.path.display()))?;
    for (name, signal) in EXPORTERS {
        table.insert(name, Item::Value(exporter(&receiver, signal)));
    }
    say(&format!("Telemetry goes to {}, which answered a probe.", receiver.url))?;
    Ok(Some(wanted.to_string()))
}

fn parse(text: &str) -> anyhow::Result<DocumentMut> {
    text.parse().map_err(|error: toml_edit::TomlError| anyhow::anyhow!("it is no TOML: {}", error.to_string().trim()))
}

/// The text of a document, where it is another than this.
fn changed(document: &DocumentMut, text: Option<&str>) -> Option<String> {
    let rendered = document.to_string();
    (rendered != text.unwrap_or_default()).then_some(rendered)
}

fn exporter(receiver: &Receiver, signal: &str) -> Value {
    let mut otlp = InlineTable::new();
    otlp.insert("endpoint", format!("{}/v1/{signal}", receiver.url).into());
    otlp.insert("protocol", "binary".into());
    if let Some(authorization) = receiver.authorization() {
        let mut headers = InlineTable::new();
        headers.insert("Authorization", authorization.into());
        otlp.insert("headers", headers.into());
    }
    let mut exporter = InlineTable::new();
    exporter.insert("otlp-http", otlp.into());
    exporter.into()
}

/// A key of `[otel]`, as text without the spaces around it.
fn set(document: &DocumentMut, name: &str) -> Option<String> {
    document.get("otel")?.as_table_like()?.get(name).map(|item| item.to_string().trim().to_owned())
}

fn is_installed(document: &DocumentMut, receiver: &Receiver) -> bool {
    EXPORTERS.iter().all(|(name, signal)| set(document, name).as_deref() == Some(exporter(receiver, signal).to_string().trim()))
}

/// The keys that a setup wrote and nobody has changed since.
fn ours(document: &DocumentMut, record: Option<&Record>) -> Vec<&'static str> {
    let Some(record) = record else { return Vec::new() };
    let (Ok(before), Ok(after)) = (parse(record.before.as_deref().unwrap_or_default()), parse(&record.after)) else {
        return Vec::new();
    };
    let is_ours = |name: &&str| {
        let set_now = set(document, name);
        set_now.is_some() && set_now == set(&after, name) && set_now != set(&before, name)
    };
    EXPORTERS.iter().map(|(name, _)| *name).filter(is_ours).collect()
}

fn take_back(document: &mut DocumentMut, record: Option<&Record>) {
    let ours = ours(document, record);
    let Some(table) = document.get_mut("otel").and_then(Item::as_table_like_mut).filter(|_| !ours.is_empty()) else { return };
    ours.iter().for_each(|name| drop(table.remove(name)));
    if table.is_empty() {
        document.remove("otel");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "# mine\nmodel = \"gpt-5.2-codex\"   # the large one\nnotify = [\"my-bell\", \"-v\"]\n\n[otel]\nenvironment = 'dev'\n\n[features]\nhooks = true\n";

    fn install(text: &str, receiver: &Receiver) -> DocumentMut {
        let mut document = parse(text).unwrap();
        let table = document.entry("otel").or_insert_with(|| Item::Table(Table::new())).as_table_like_mut().unwrap();
        EXPORTERS.iter().for_each(|(name, signal)| drop(table.insert(name, Item::Value(exporter(receiver, signal)))));
        document
    }

    #[test]
    fn everything_of_others_is_kept_and_taking_back_restores() {
        for key in [None, Some("k".to_owned())] {
            let receiver = Receiver { url: "http://127.0.0.1:9090".to_owned(), key };
            for before in [THEIRS, "", "otel.environment = \"dev\"\n"] {
                let installed = install(before, &receiver);
                let record = Record { settings: "/c".into(), before: Some(before.to_owned()), after: installed.to_string() };
                let mut read = parse(&installed.to_string()).unwrap();
                assert!(is_installed(&read, &receiver) && ours(&read, None).is_empty());
                assert_eq!(ours(&read, Some(&record)).len(), 3);
                take_back(&mut read, Some(&record));
                assert_eq!(read.to_string(), before);
            }
        }
        let text = install(THEIRS, &Receiver { url: "http://h:1".to_owned(), key: None }).to_string();
        let line = "exporter = { otlp-http = { endpoint = \"http://h:1/v1/logs\", protocol = \"binary\" } }";
        assert!(
            text.contains(line) && text.contains("# the large one") && text.contains("notify = [\"my-bell\", \"-v\"]"),
            "{text}"
        );
    }

    #[test]
    fn what_others_changed_since_stays() {
        let receiver = Receiver { url: "http://h:1".to_owned(), key: None };
        let installed = install("", &receiver).to_string();
        let record = Record { settings: "/c".into(), before: None, after: installed.clone() };
        let mut changed = parse(&installed.replace("h:1/v1/logs", "collector/v1/logs")).unwrap();
        assert_eq!(ours(&changed, Some(&record)), ["metrics_exporter", "trace_exporter"]);
        take_back(&mut changed, Some(&record));
        assert!(changed.to_string().contains("collector") && !changed.to_string().contains("h:1"));
    }

    #[test]
    fn no_toml_is_named_with_its_line() {
        let message = parse("a = \n").unwrap_err().to_string();
        assert!(message.contains("line 1"), "{message}");
    }
}
