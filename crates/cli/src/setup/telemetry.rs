//! Claude Code's OpenTelemetry: the variables that have it export to Ducat, in the `env` of its settings.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::receiver::Receiver;
use super::settings::Record;
use super::wiring::{Telemetry, is_on};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// All that a setup may write. Intervals in milliseconds: the vendor's 60 s for metrics and 5 s for the others leave a live page behind.
const FIXED: [(&str, &str); 9] = [
    ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
    ("CLAUDE_CODE_ENHANCED_TELEMETRY_BETA", "1"),
    ("OTEL_METRICS_EXPORTER", "otlp"),
    ("OTEL_LOGS_EXPORTER", "otlp"),
    ("OTEL_TRACES_EXPORTER", "otlp"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "10000"),
    ("OTEL_LOGS_EXPORT_INTERVAL", "2000"),
    ("OTEL_TRACES_EXPORT_INTERVAL", "2000"),
];

fn names() -> impl Iterator<Item = &'static str> {
    FIXED.iter().map(|(name, _)| *name).chain([ENDPOINT, HEADERS])
}

fn variables(receiver: &Receiver) -> Vec<(&'static str, String)> {
    let mut variables: Vec<_> = FIXED.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    variables.push((ENDPOINT, receiver.url.clone()));
    variables.extend(receiver.headers().map(|headers| (HEADERS, headers)));
    variables
}

/// The settings with the variables in place of those of an earlier setup.
pub fn install(settings: &Value, receiver: &Receiver, record: Option<&Record>) -> Result<Value, String> {
    let mut settings = settings.clone();
    // A key that is asked for no more.
    if receiver.key.is_none() && ours(&settings, record).contains(&HEADERS) {
        variables_of(&mut settings)?.shift_remove(HEADERS);
    }
    let fields = variables_of(&mut settings)?;
    for (name, value) in variables(receiver) {
        fields.insert(name.to_owned(), json!(value));
    }
    Ok(settings)
}

fn variables_of(settings: &mut Value) -> Result<&mut Map<String, Value>, String> {
    let fields = settings.as_object_mut().ok_or("the settings are no JSON object")?;
    fields.entry("env").or_insert_with(|| json!({})).as_object_mut().ok_or_else(|| "env: must be an object".to_owned())
}

/// Whether all of it stands there already, whoever wrote it.
pub fn is_installed(settings: &Value, receiver: &Receiver) -> bool {
    variables(receiver).iter().all(|(name, value)| variable(settings, name).and_then(Value::as_str) == Some(value))
}

/// Where the user's telemetry is set already, and by which variable: here, by an administrator, or in the environment.
pub fn of_others(
    settings: &Value,
    record: Option<&Record>,
    managed: &[(PathBuf, Value)],
    environment: &[String],
) -> Option<(String, String)> {
    let ours = ours(settings, record);
    let in_file = |settings: &Value| {
        let set = settings.get("env").and_then(Value::as_object)?;
        set.keys().find(|name| directs_telemetry(name) && !ours.contains(&name.as_str())).cloned()
    };
    let here = in_file(settings).map(|name| (name, "these settings".to_owned()));
    let by_others = || {
        managed.iter().find_map(|(path, settings)| {
            let set = settings.get("env").and_then(Value::as_object)?;
            let name = set.keys().find(|name| directs_telemetry(name))?;
            Some((name.clone(), path.display().to_string()))
        })
    };
    let around = || {
        let name = environment.iter().find(|name| directs_telemetry(name))?;
        Some((name.clone(), "the environment".to_owned()))
    };
    here.or_else(by_others).or_else(around)
}

/// Whether a variable says that, where or how telemetry is sent. What it is about (resource attributes, content) is not ours to judge.
fn directs_telemetry(name: &str) -> bool {
    name.starts_with("OTEL_EXPORTER_OTLP_")
        || name.ends_with("_EXPORTER") && name.starts_with("OTEL_")
        || names().any(|own| own == name)
}

/// Where it goes, by variables as the client has them: its logs, or its metrics where it exports no logs.
pub fn whither(variable: &dyn Fn(&str) -> Option<String>) -> Telemetry {
    const SWITCH: &str = FIXED[0].0;
    let asked = || [ENDPOINT, "OTEL_LOGS_EXPORTER", "OTEL_METRICS_EXPORTER"].iter().any(|name| variable(name).is_some());
    if !variable(SWITCH).is_some_and(|value| is_on(&value)) {
        return if variable(SWITCH).is_some() || asked() { Telemetry::Off(SWITCH.to_owned()) } else { Telemetry::Unset };
    }
    let exports = |signal: &&str| {
        let exporters = variable(&format!("OTEL_{signal}_EXPORTER"));
        exporters.is_some_and(|exporters| exporters.split(',').any(|exporter| exporter.trim() == "otlp"))
    };
    let Some(signal) = ["LOGS", "METRICS"].into_iter().find(exports) else {
        return Telemetry::Off("OTEL_LOGS_EXPORTER".to_owned());
    };
    let names = [format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"), ENDPOINT.to_owned()];
    let told = names.into_iter().find_map(|name| Some((variable(&name)?, name)));
    // The specification's default.
    let (endpoint, setting) = told.unwrap_or_else(|| ("http://localhost:4318".to_owned(), format!("OTEL_{signal}_EXPORTER")));
    Telemetry::To { endpoint, setting }
}

/// Whether a setup's variables stand there.
pub fn is_ours(settings: &Value, record: Option<&Record>) -> bool {
    ours(settings, record).contains(&ENDPOINT)
}

/// The variables that a setup wrote and nobody has changed since.
fn ours(settings: &Value, record: Option<&Record>) -> Vec<&'static str> {
    let Some(record) = record else { return Vec::new() };
    let (before, after) = record.values();
    let is_ours = |name: &&str| {
        let set = variable(settings, name);
        set.is_some() && set == variable(&after, name) && variable(&before, name) != set
    };
    names().filter(is_ours).collect()
}

fn variable<'a>(settings: &'a Value, name: &str) -> Option<&'a Value> {
    settings.get("env")?.get(name)
}

/// Makes the variables what they were before the setup that set them.
pub fn take_back(settings: &mut Value, record: &Record) {
    let ours = ours(settings, Some(record));
    let Some(fields) = settings.as_object_mut() else { return };
    let Some(set) = fields.get_mut("env").and_then(Value::as_object_mut).filter(|_| !ours.is_empty()) else { return };
    ours.iter().for_each(|name| drop(set.shift_remove(*name)));
    if set.is_empty() {
        fields.shift_remove("env");
    }
}

/// The variables as they stand in what a setup wrote, where they are gone.
pub fn put_back(settings: &mut Value, record: &Record) -> Result<(), String> {
    let (before, after) = record.values();
    for name in names() {
        let Some(value) = variable(&after, name).filter(|value| variable(&before, name) != Some(value)) else { continue };
        variables_of(settings)?.entry(name).or_insert_with(|| value.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(key: Option<&str>) -> Receiver {
        Receiver { url: "http://127.0.0.1:9090".to_owned(), key: key.map(str::to_owned) }
    }

    fn record(before: &Value, after: &Value) -> Record {
        Record { settings: "/s".into(), before: Some(before.to_string()), after: after.to_string() }
    }

    #[test]
    fn what_was_written_is_taken_out_and_put_back() {
        for before in [json!({}), json!({ "env": { "A": "1" }, "model": "x" })] {
            for key in [None, Some("k")] {
                let after = install(&before, &receiver(key), None).unwrap();
                let record = record(&before, &after);
                assert!(is_installed(&after, &receiver(key)) && !is_installed(&before, &receiver(key)));
                assert_eq!(of_others(&after, Some(&record), &[], &[]), None, "ours is no other's");
                assert_eq!(install(&after, &receiver(key), Some(&record)).unwrap(), after, "twice is once");
                let mut taken = after.clone();
                take_back(&mut taken, &record);
                assert_eq!(taken, before);
                put_back(&mut taken, &record).unwrap();
                assert_eq!(taken, after);
                let without_key = install(&after, &receiver(None), Some(&record)).unwrap();
                assert_eq!(variable(&without_key, HEADERS), None);
            }
        }
    }

    #[test]
    fn the_users_own_is_seen_wherever_it_stands() {
        let found = |settings: Value, managed: Value, environment: &[&str]| {
            let environment: Vec<String> = environment.iter().map(|name| (*name).to_owned()).collect();
            of_others(&settings, None, &[("/etc/m.json".into(), managed)], &environment)
        };
        let pair = |name: &str, place: &str| Some((name.to_owned(), place.to_owned()));
        assert_eq!(
            found(json!({ "env": { "OTEL_RESOURCE_ATTRIBUTES": "team.id=a" } }), json!({}), &["OTEL_LOG_USER_PROMPTS"]),
            None
        );
        let own = json!({ "env": { "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://c" } });
        assert_eq!(found(own.clone(), json!({}), &[]), pair("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "these settings"));
        assert_eq!(found(json!({}), own, &[]), pair("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "/etc/m.json"));
        assert_eq!(found(json!({}), json!({}), &["OTEL_TRACES_EXPORTER"]), pair("OTEL_TRACES_EXPORTER", "the environment"));
        // Switched off is a wish, too.
        let off = json!({ "env": { "CLAUDE_CODE_ENABLE_TELEMETRY": "0" } });
        assert_eq!(found(off, json!({}), &[]), pair("CLAUDE_CODE_ENABLE_TELEMETRY", "these settings"));
    }

    #[test]
    fn where_it_goes_is_what_the_variables_say() {
        let with = |changed: &[(&str, Option<&str>)]| {
            let mut all: std::collections::BTreeMap<String, String> =
                variables(&receiver(None)).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            for (name, value) in changed {
                match value {
                    Some(value) => drop(all.insert((*name).to_owned(), (*value).to_owned())),
                    None => drop(all.remove(*name)),
                }
            }
            whither(&|name| all.get(name).cloned())
        };
        let to = |endpoint: &str, setting: &str| Telemetry::To { endpoint: endpoint.to_owned(), setting: setting.to_owned() };
        assert_eq!(whither(&|_| None), Telemetry::Unset);
        assert_eq!(with(&[]), to("http://127.0.0.1:9090", ENDPOINT));
        assert_eq!(
            with(&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", Some("http://c:1"))]),
            to("http://c:1", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
        );
        let switch = "CLAUDE_CODE_ENABLE_TELEMETRY";
        assert_eq!(with(&[(switch, Some("0"))]), Telemetry::Off(switch.to_owned()));
        assert_eq!(with(&[(switch, None)]), Telemetry::Off(switch.to_owned()));
        assert_eq!(
            with(&[("OTEL_LOGS_EXPORTER", Some("console")), ("OTEL_METRICS_EXPORTER", None)]),
            Telemetry::Off("OTEL_LOGS_EXPORTER".to_owned())
        );
        assert_eq!(with(&[("OTEL_LOGS_EXPORTER", Some("console"))]), to("http://127.0.0.1:9090", ENDPOINT));
        assert_eq!(with(&[(ENDPOINT, None)]), to("http://localhost:4318", "OTEL_LOGS_EXPORTER"));
    }

    #[test]
    fn what_others_changed_since_stays() {
        let after = install(&json!({}), &receiver(None), None).unwrap();
        let record = record(&json!({}), &after);
        let mut changed = after;
        changed["env"][ENDPOINT] = json!("https://collector");
        assert_eq!(of_others(&changed, Some(&record), &[], &[]).unwrap().0, ENDPOINT);
        take_back(&mut changed, &record);
        assert_eq!(changed, json!({ "env": { ENDPOINT: "https://collector" } }));
    }
}
