//! Gemini CLI: hooks and telemetry in its settings.json.

use std::env;
use std::path::Path;

use anyhow::{Context, bail};
use ducat_spool::data_folder;
use serde_json::{Value, json};

use super::change::{Consent, Place};
use super::client::{Version, on_path};
use super::receiver::{self, Receiver};
use super::settings::{Record, Settings};
use super::wiring::{Hooks, Telemetry, Wiring, is_on};
use super::{CLIENT_PATIENCE, Wired, below_home, beside_own, hooks, say};
use crate::doctor::says_version_within;

const AGENT: &str = "gemini-cli";
/// Events that carry facts, with what chooses tools.
const EVENTS: [(&str, Option<&str>); 3] = [("BeforeAgent", None), ("AfterTool", Some("*")), ("SessionEnd", None)];
/// The first that runs hooks without being told to.
const HOOKS: Version = Version(0, 26, 0);
/// Variables that go before the settings.
const ENABLED: &str = "GEMINI_TELEMETRY_ENABLED";
const ENDPOINTS: [&str; 2] = ["GEMINI_TELEMETRY_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// Milliseconds; the hook itself gives up after 100.
const TIMEOUT_MS: u64 = 5000;

/// Write Ducat's hooks and telemetry into Gemini CLI's settings.json
///
/// Shows what will change and asks; keeps everything that is there. Telemetry (OpenTelemetry, without prompts) is written where a running
/// server takes it and nobody has set it. Without either Ducat reads the chats alone: all tokens and costs, a second later.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  ducat setup gemini\n  ducat setup gemini --dry-run\n  ducat setup gemini --remove")]
pub struct GeminiCli {
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
    /// Version of the client, instead of asking it
    #[arg(long, value_name = "VERSION")]
    client_version: Option<Version>,
}

pub fn run(args: &GeminiCli) -> anyhow::Result<()> {
    let settings = Settings::read(&below_home(".gemini")?.join("settings.json"))?;
    let data = data_folder().context("no home folder for the data; name one with DUCAT_DATA_DIR")?;
    let place = Place { agent: AGENT, path: &settings.path, text: settings.text.as_deref(), data: &data };
    let record = place.record();
    let mut without = hooks::remove(&settings.value);
    take_back(&mut without, record.as_ref());
    let without = if without == settings.value { None } else { Some(settings.render(&without)?) };
    if args.remove {
        return match place.take_out(args.consent, without)? {
            true => Ok(()),
            false => say(&format!("There is nothing of Ducat in {}; nothing to remove.", settings.path.display())),
        };
    }
    let version = match args.client_version {
        Some(version) => version,
        None => installed_version()?,
    };
    let faulty = |what: String| anyhow::anyhow!("{}: {what}", settings.path.display());
    say(&format!("Gemini CLI {version}, settings in {}", settings.path.display()))?;
    let mut wanted = settings.value.clone();
    if version < HOOKS {
        say(&format!("Hooks are left out: Gemini CLI runs them by itself since {HOOKS}."))?;
    } else {
        if settings.value.pointer("/hooksConfig/enabled") == Some(&json!(false)) {
            say("Hooks will not run while these settings have hooksConfig.enabled at false.")?;
        }
        let command = hooks::command_of(&beside_own("ducat-hook")?, AGENT);
        let handler = json!({ "type": "command", "command": command, "timeout": TIMEOUT_MS });
        let handlers = EVENTS.iter().map(|(event, matcher)| (*event, *matcher, handler.clone()));
        wanted = hooks::add(&wanted, handlers).map_err(faulty)?;
    }
    set_telemetry(args, &mut wanted, record.as_ref(), &place)?;
    if wanted == settings.value {
        return say("All of it is already there; nothing to do.");
    }
    let text = settings.render(&wanted)?;
    if !place.show_and_ask(args.consent, &text)? {
        return Ok(());
    }
    place.write_and_keep(&text, without)?;
    place.say_written()
}

/// What of a setup stands in the user's settings.
pub fn wired(data: &Path) -> anyhow::Result<Wired> {
    let settings = Settings::read(&below_home(".gemini")?.join("settings.json"))?;
    let record = Record::load(AGENT, data, &settings.path);
    Ok(Wired { hooks: !hooks::ours(&settings.value).is_empty(), telemetry: is_ours(&settings.value, record.as_ref()) })
}

/// How it is wired at this moment, by these settings and the environment, which goes before them.
pub fn wiring(data: &Path) -> anyhow::Result<Wiring> {
    let settings = Settings::read(&below_home(".gemini")?.join("settings.json"))?;
    let record = Record::load(AGENT, data, &settings.path);
    let mut hooks = Hooks::of(AGENT, data, &settings.path, &settings.value, EVENTS.iter().map(|(event, _)| *event));
    let is_off = settings.value.pointer("/hooksConfig/enabled") == Some(&json!(false));
    hooks.off = is_off.then(|| format!("hooksConfig.enabled = false in {}", settings.path.display()));
    let after = record.as_ref().map(|record| record.values().1);
    let telemetry_was_set_up = after.is_some_and(|after| is_ours(&after, record.as_ref()));
    let telemetry = whither(&settings.value, &settings.path, &|name| env::var(name).ok().filter(|value| !value.is_empty()));
    Ok(Wiring { setup: "gemini", title: "Gemini CLI", program: "gemini", hooks, telemetry, telemetry_was_set_up })
}

fn whither(settings: &Value, path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Telemetry {
    let told = |name: &str| settings.get("telemetry")?.get(name);
    let here = |name: &str| format!("telemetry.{name} in {}", path.display());
    let (is_enabled, by) = match (variable(ENABLED), told("enabled")) {
        (Some(value), _) => (is_on(&value), ENABLED.to_owned()),
        (None, Some(value)) => (value == &json!(true), here("enabled")),
        (None, None) if settings.get("telemetry").is_none() => return Telemetry::Unset,
        // The client's own default.
        (None, None) => (false, here("enabled")),
    };
    if !is_enabled {
        return Telemetry::Off(by);
    }
    let by_variable = ENDPOINTS.iter().find_map(|name| Some((variable(name)?, (*name).to_owned())));
    let by_settings = || Some((told("otlpEndpoint")?.as_str()?.to_owned(), here("otlpEndpoint")));
    let (endpoint, setting) = by_variable.or_else(by_settings).unwrap_or_else(|| ("http://localhost:4317".to_owned(), by));
    Telemetry::To { endpoint, setting }
}

fn installed_version() -> anyhow::Result<Version> {
    let Some(program) = on_path("gemini") else {
        bail!("there is no gemini on the PATH; name its version with --client-version");
    };
    let said = says_version_within(&program, CLIENT_PATIENCE).with_context(|| format!("{} --version", program.display()))?;
    // A preview's version goes on behind a dash.
    let numbers = said.split('-').next().unwrap_or_default();
    numbers.parse().map_err(|_| anyhow::anyhow!("{} --version said {said:?}; name it with --client-version", program.display()))
}

fn set_telemetry(args: &GeminiCli, wanted: &mut Value, record: Option<&Record>, place: &Place<'_>) -> anyhow::Result<()> {
    if args.no_telemetry {
        take_back(wanted, record);
        return Ok(());
    }
    let set = wanted.get("telemetry").cloned();
    let in_environment = env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .find(|name| name.starts_with("GEMINI_TELEMETRY_") || name == "OTEL_EXPORTER_OTLP_ENDPOINT");
    match receiver::find(args.url.as_deref(), place.data) {
        Ok(receiver) if set.as_ref() == Some(&telemetry(&receiver)) => Ok(()),
        _ if set.is_some() && !is_ours(wanted, record) => say(&stays("telemetry", "these settings")),
        _ if in_environment.is_some() => say(&stays(&in_environment.unwrap_or_default(), "the environment")),
        Ok(receiver) => {
            let fields = wanted.as_object_mut().context("the settings are no JSON object")?;
            fields.insert("telemetry".to_owned(), telemetry(&receiver));
            say(&format!("Telemetry goes to {}, which answered a probe.", receiver.url))?;
            match receiver.headers() {
                Some(_) => say(
                    "The server has a key, and these settings no place for it: have OTEL_EXPORTER_OTLP_HEADERS=\"Authorization=Bearer%20KEY\" \
                     in the environment of Gemini CLI.",
                ),
                None => Ok(()),
            }
        }
        Err(why) => say(&format!("Telemetry is left as it is: {why}.")),
    }
}

/// What is said where the user's telemetry goes elsewhere.
fn stays(name: &str, whose: &str) -> String {
    format!(
        "Telemetry stays as you have it ({name} in {whose}). To have it in Ducat too, send it to Ducat's port, and name in \
         Ducat's otlp.forward_url where it goes now."
    )
}

fn telemetry(receiver: &Receiver) -> Value {
    json!({ "enabled": true, "target": "local", "otlpEndpoint": receiver.url, "otlpProtocol": "http", "logPrompts": false })
}

/// Whether a setup wrote the telemetry that stands there.
fn is_ours(settings: &Value, record: Option<&Record>) -> bool {
    let Some((before, after)) = record.map(Record::values) else { return false };
    let set = settings.get("telemetry");
    set.is_some() && set == after.get("telemetry") && set != before.get("telemetry")
}

fn take_back(settings: &mut Value, record: Option<&Record>) {
    if is_ours(settings, record)
        && let Some(fields) = settings.as_object_mut()
    {
        fields.shift_remove("telemetry");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_telemetry_goes_is_the_environments_to_say_first() {
        let path = Path::new("/s");
        let own = json!({ "telemetry": { "enabled": true, "otlpEndpoint": "http://a:1" } });
        let none = |_: &str| None;
        let to = |endpoint: &str, setting: &str| Telemetry::To { endpoint: endpoint.to_owned(), setting: setting.to_owned() };
        assert_eq!(whither(&json!({}), path, &none), Telemetry::Unset);
        assert_eq!(whither(&own, path, &none), to("http://a:1", "telemetry.otlpEndpoint in /s"));
        let other = |name: &str| (name == ENDPOINTS[1]).then(|| "http://b:2".to_owned());
        assert_eq!(whither(&own, path, &other), to("http://b:2", ENDPOINTS[1]));
        let off = |name: &str| (name == ENABLED).then(|| "false".to_owned());
        assert_eq!(whither(&own, path, &off), Telemetry::Off(ENABLED.to_owned()));
        let lacks = json!({ "telemetry": { "otlpEndpoint": "http://a:1" } });
        assert_eq!(whither(&lacks, path, &none), Telemetry::Off("telemetry.enabled in /s".to_owned()));
    }

    #[test]
    fn telemetry_is_taken_back_only_where_setup_wrote_it() {
        let receiver = Receiver { url: "http://127.0.0.1:9090".to_owned(), key: None };
        let after = json!({ "telemetry": telemetry(&receiver), "model": {} });
        let record = Record { settings: "/s".into(), before: None, after: after.to_string() };
        let mut settings = after.clone();
        take_back(&mut settings, Some(&record));
        assert_eq!(settings, json!({ "model": {} }));
        let mut changed = after.clone();
        changed["telemetry"]["otlpEndpoint"] = json!("http://collector");
        for (settings, record) in [(changed, Some(&record)), (after, None)] {
            let mut left = settings.clone();
            take_back(&mut left, record);
            assert_eq!(left, settings);
        }
    }
}
