//! Our entries among the hooks of a settings file.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::client::Version;

/// Events that carry facts, and the first version of Claude Code that knows each.
///
/// Read off the published packages (the first whose program contains the event's name) and its changelog. A client before 2.1.101 skips
/// its whole settings file over an event that it does not know.
pub const EVENTS: [(&str, Version); 12] = [
    ("SessionStart", Version(1, 0, 62)),
    ("UserPromptSubmit", Version(1, 0, 54)),
    ("PreToolUse", Version(1, 0, 38)),
    ("PostToolUse", Version(1, 0, 38)),
    ("PostToolUseFailure", Version(2, 0, 56)),
    ("PostToolBatch", Version(2, 1, 118)),
    ("SubagentStart", Version(2, 0, 43)),
    ("SubagentStop", Version(1, 0, 41)),
    ("PreCompact", Version(1, 0, 48)),
    ("PermissionRequest", Version(2, 0, 45)),
    ("Stop", Version(1, 0, 38)),
    ("SessionEnd", Version(1, 0, 85)),
];
/// `args`: the program is started without a shell.
const WITHOUT_SHELL: Version = Version(2, 1, 139);
pub const HTTP: Version = Version(2, 1, 63);
/// Over HTTP the first is not delivered, and the others are lost when the client ends before the answer.
const NEVER_HTTP: [&str; 3] = ["SessionStart", "Stop", "SessionEnd"];
/// Whose matchers choose tools.
const OF_TOOLS: [&str; 4] = ["PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest"];
/// Seconds; the hook itself gives up after a tenth of one.
const TIMEOUT: u64 = 5;

/// How events are to be delivered.
pub enum Delivery<'a> {
    /// By this `ducat-hook`.
    Command(&'a Path),
    /// To this server, by `ducat-hook` where HTTP would lose them.
    Http { hook: &'a Path, url: &'a str, with_key: bool },
}

/// The settings with our hooks in place of those that a setup wrote before.
pub fn install(settings: &Value, delivery: &Delivery<'_>, version: Version) -> Result<Value, String> {
    let events = EVENTS.iter().filter(|(_, first)| *first <= version);
    let handlers = events.map(|(event, _)| (*event, OF_TOOLS.contains(event).then_some("*"), handler(event, delivery, version)));
    add(settings, handlers)
}

/// The settings with these hooks (event, matcher, handler) in place of those that a setup wrote before.
pub fn add<'a>(settings: &Value, handlers: impl Iterator<Item = (&'a str, Option<&'a str>, Value)>) -> Result<Value, String> {
    let mut settings = remove(settings);
    let fields = settings.as_object_mut().ok_or("the settings are no JSON object")?;
    let hooks = fields.entry("hooks").or_insert_with(|| Value::Object(Map::new()));
    let hooks = hooks.as_object_mut().ok_or("hooks: must be an object")?;
    for (event, matcher, handler) in handlers {
        let mut group = Map::new();
        if let Some(matcher) = matcher {
            group.insert("matcher".to_owned(), json!(matcher));
        }
        group.insert("hooks".to_owned(), json!([handler]));
        let groups = hooks.entry(event).or_insert_with(|| json!([]));
        groups.as_array_mut().ok_or_else(|| format!("hooks.{event}: must be an array"))?.push(Value::Object(group));
    }
    Ok(settings)
}

/// The shell's command that starts `ducat-hook` for another agent than Claude Code.
pub fn command_of(hook: &Path, agent: &str) -> String {
    format!("{} {agent}", quoted(&hook.to_string_lossy()))
}

fn handler(event: &str, delivery: &Delivery<'_>, version: Version) -> Value {
    match delivery {
        Delivery::Http { url, with_key, .. } if !NEVER_HTTP.contains(&event) => {
            let mut handler = json!({ "type": "http", "url": format!("{url}/api/v1/hooks/claude-code"), "timeout": TIMEOUT });
            if *with_key {
                handler["headers"] = json!({ "authorization": "Bearer $DUCAT_API_KEY" });
                handler["allowedEnvVars"] = json!(["DUCAT_API_KEY"]);
            }
            handler
        }
        Delivery::Http { hook, .. } | Delivery::Command(hook) if version >= WITHOUT_SHELL => {
            json!({ "type": "command", "command": hook, "args": [], "timeout": TIMEOUT })
        }
        Delivery::Http { hook, .. } | Delivery::Command(hook) => {
            json!({ "type": "command", "command": quoted(&hook.to_string_lossy()), "timeout": TIMEOUT })
        }
    }
}

/// A path as one word of a shell.
pub fn quoted(path: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@%".contains(letter);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The settings without our hooks, and without what they leave empty.
pub fn remove(settings: &Value) -> Value {
    let mut settings = settings.clone();
    let Some(hooks) = settings.get_mut("hooks").and_then(Value::as_object_mut) else { return settings };
    let mut emptied = Vec::new();
    for (event, groups) in hooks.iter_mut() {
        let Some(groups) = groups.as_array_mut() else { continue };
        let mut removed = false;
        groups.retain_mut(|group| {
            let Some(handlers) = group.get_mut("hooks").and_then(Value::as_array_mut) else { return true };
            let before = handlers.len();
            handlers.retain(|handler| !is_ours(handler));
            removed |= handlers.len() < before;
            before == handlers.len() || !handlers.is_empty()
        });
        if removed && groups.is_empty() {
            emptied.push(event.clone());
        }
    }
    let any = !emptied.is_empty();
    emptied.iter().for_each(|event| drop(hooks.shift_remove(event)));
    if any
        && hooks.is_empty()
        && let Some(settings) = settings.as_object_mut()
    {
        settings.shift_remove("hooks");
    }
    settings
}

/// Whether all our hooks for this version are there.
pub fn are_installed(settings: &Value, version: Version) -> bool {
    missing(settings, version).is_empty()
}

/// Events that this version knows and that have no hook of ours.
pub fn missing(settings: &Value, version: Version) -> Vec<&'static str> {
    let ours = ours(settings);
    let known = EVENTS.iter().filter(|(_, first)| *first <= version).map(|(event, _)| *event);
    known.filter(|event| !ours.iter().any(|(hooked, _)| hooked == event)).collect()
}

/// Our hooks, by event.
pub fn ours(settings: &Value) -> Vec<(&str, &Value)> {
    let mut ours = Vec::new();
    for (event, groups) in settings.get("hooks").and_then(Value::as_object).into_iter().flatten() {
        let groups = groups.as_array().into_iter().flatten();
        let handlers = groups.filter_map(|group| group.get("hooks").and_then(Value::as_array)).flatten();
        ours.extend(handlers.filter(|handler| is_ours(handler)).map(|handler| (event.as_str(), handler)));
    }
    ours
}

/// The settings with our hooks as they stand in `other`, in place of those that are there.
pub fn put_back(settings: &Value, other: &Value) -> Result<Value, String> {
    let mut settings = remove(settings);
    let fields = settings.as_object_mut().ok_or("the settings are no JSON object")?;
    let hooks = fields.entry("hooks").or_insert_with(|| Value::Object(Map::new()));
    let hooks = hooks.as_object_mut().ok_or("hooks: must be an object")?;
    for (event, groups) in other.get("hooks").and_then(Value::as_object).into_iter().flatten() {
        for group in groups.as_array().into_iter().flatten() {
            let mut group = group.clone();
            let Some(handlers) = group.get_mut("hooks").and_then(Value::as_array_mut) else { continue };
            handlers.retain(is_ours);
            if !handlers.is_empty() {
                let groups = hooks.entry(event).or_insert_with(|| json!([]));
                groups.as_array_mut().ok_or_else(|| format!("hooks.{event}: must be an array"))?.push(group);
            }
        }
    }
    Ok(settings)
}

/// The program that a hook of ours starts, when it starts one.
pub fn program(handler: &Value) -> Option<PathBuf> {
    let command = handler.get("command").and_then(Value::as_str)?;
    let command = without_agent(command);
    // With arguments it is a path, without it is a word of a shell.
    let quoted = command.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).filter(|_| handler.get("args").is_none());
    Some(quoted.map_or_else(|| command.into(), |inner| inner.replace(r"'\''", "'").into()))
}

/// A command without the agent that is named behind the program.
fn without_agent(command: &str) -> &str {
    ["codex", "gemini-cli"].iter().find_map(|agent| command.strip_suffix(agent)?.strip_suffix(' ')).unwrap_or(command)
}

fn is_ours(handler: &Value) -> bool {
    let text = |name: &str| handler.get(name).and_then(Value::as_str).unwrap_or("");
    let program = without_agent(text("command")).trim_matches('\'').rsplit('/').next().unwrap_or("");
    program == "ducat-hook" || text("url").ends_with("/api/v1/hooks/claude-code")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Version = Version(2, 1, 197);

    fn theirs() -> Value {
        json!({
            "model": "opus",
            "hooks": {
                "PreToolUse": [{ "matcher": "Bash", "hooks": [{ "type": "command", "command": "check" }] }],
                "Notification": []
            },
            "env": { "A": "1" }
        })
    }

    #[test]
    fn everything_of_others_is_kept_and_removing_restores() {
        for settings in [theirs(), json!({}), json!({ "hooks": {} })] {
            for delivery in [
                Delivery::Command(Path::new("/opt/ducat-hook")),
                Delivery::Http { hook: Path::new("/opt/ducat-hook"), url: "http://127.0.0.1:9090", with_key: true },
            ] {
                let installed = install(&settings, &delivery, NOW).unwrap();
                assert!(are_installed(&installed, NOW) && !are_installed(&settings, NOW));
                assert_eq!(install(&installed, &delivery, NOW).unwrap(), installed, "twice is once");
                assert_eq!(put_back(&settings, &installed).unwrap(), installed);
                assert_eq!(put_back(&installed, &installed).unwrap(), installed);
                let removed = remove(&installed);
                if settings != json!({ "hooks": {} }) {
                    assert_eq!(removed, settings);
                }
            }
        }
    }

    #[test]
    fn an_older_client_gets_only_what_it_knows() {
        let delivery = Delivery::Command(Path::new("/my tools/ducat-hook"));
        let installed = install(&json!({}), &delivery, Version(1, 0, 60)).unwrap();
        let events: Vec<&String> = installed["hooks"].as_object().unwrap().keys().collect();
        assert_eq!(events, ["UserPromptSubmit", "PreToolUse", "PostToolUse", "SubagentStop", "PreCompact", "Stop"]);
        let handler = &installed["hooks"]["Stop"][0]["hooks"][0];
        assert_eq!(*handler, json!({ "type": "command", "command": "'/my tools/ducat-hook'", "timeout": TIMEOUT }));
        assert_eq!(program(handler).as_deref(), Some(Path::new("/my tools/ducat-hook")));
        assert_eq!(missing(&installed, Version(1, 0, 62)), ["SessionStart"]);
        let handler = &install(&json!({}), &delivery, NOW).unwrap()["hooks"]["Stop"][0]["hooks"][0];
        assert_eq!(program(handler).as_deref(), Some(Path::new("/my tools/ducat-hook")));
        assert_eq!((&handler["command"], &handler["args"]), (&json!("/my tools/ducat-hook"), &json!([])));
    }

    #[test]
    fn hooks_of_other_agents_are_known_as_ours() {
        let handler = |agent| json!({ "type": "command", "command": command_of(Path::new("/my tools/ducat-hook"), agent) });
        for agent in ["codex", "gemini-cli"] {
            let installed = add(&theirs(), [("Stop", None, handler(agent))].into_iter()).unwrap();
            assert_eq!(installed["hooks"]["Stop"][0]["hooks"][0]["command"], format!("'/my tools/ducat-hook' {agent}"));
            assert_eq!(remove(&installed), theirs());
        }
        let other = json!({ "hooks": { "Stop": [{ "hooks": [{ "type": "command", "command": "not-ducat-hook codex" }] }] } });
        assert_eq!(remove(&other), other);
    }

    #[test]
    fn over_http_the_ends_stay_commands() {
        let delivery = Delivery::Http { hook: Path::new("/ducat-hook"), url: "http://h:1", with_key: false };
        let installed = install(&json!({}), &delivery, NOW).unwrap();
        for (event, _) in EVENTS {
            let kind = &installed["hooks"][event][0]["hooks"][0]["type"];
            assert_eq!(*kind, if NEVER_HTTP.contains(&event) { "command" } else { "http" }, "{event}");
        }
    }

    #[test]
    fn shapes_that_are_no_hooks_are_refused_by_name() {
        let delivery = Delivery::Command(Path::new("/ducat-hook"));
        assert!(install(&json!({ "hooks": [] }), &delivery, NOW).unwrap_err().contains("hooks"));
        assert!(install(&json!({ "hooks": { "Stop": {} } }), &delivery, NOW).unwrap_err().contains("hooks.Stop"));
    }
}
