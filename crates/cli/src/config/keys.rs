//! Every key of the configuration, every variable, and what is in effect.

use std::env;

use ducat_spool::{data_folder, socket_paths};
use toml_edit::{Document, Item, Table};

use super::{claude_folders, report_cache};

/// A key of the file.
pub struct KeyInfo {
    pub name: &'static str,
    /// As TOML; empty when nothing is said without it.
    pub default: &'static str,
    /// Says it before the file does.
    pub variable: Option<&'static str>,
    /// A text, whatever it looks like.
    pub is_text: bool,
}

const fn key(name: &'static str, default: &'static str) -> KeyInfo {
    KeyInfo { name, default, variable: None, is_text: false }
}

const fn text(name: &'static str, default: &'static str) -> KeyInfo {
    KeyInfo { is_text: true, ..key(name, default) }
}

/// Keys with names of the user's own (`prices.models."NAME".input`) are below `prices.models`, `prices.discount` and `prices.aliases`.
pub const KEYS: [KeyInfo; 19] = [
    key("capture.exclude", "[]"),
    text("durability", "\"process\""),
    key("first_version.tool_call_lasts_s", "3600"),
    key("otlp.forward_headers", "[]"),
    text("otlp.forward_url", ""),
    KeyInfo { variable: Some("DUCAT_OTLP_GRPC_PORT"), ..key("otlp.grpc_port", "4317") },
    KeyInfo { variable: Some("DUCAT_OTLP_HTTP_PORT"), ..key("otlp.http_port", "4318") },
    key("otlp.labels", "[\"cost_center\", \"department\", \"organization.id\"]"),
    key("otlp.ports", "true"),
    key("otlp.team", "[\"team.id\"]"),
    key("otlp.user", "[\"user.email\", \"user.account_uuid\"]"),
    key("prices.free", "[]"),
    text("report.currency", ""),
    key("report.rate", ""),
    text("report.rate_date", ""),
    KeyInfo { variable: Some("METRICS_HOST"), ..text("server.host", "\"localhost\"") },
    KeyInfo { variable: Some("METRICS_PORT"), ..key("server.port", "9090") },
    key("server.public_urls", "[]"),
    text("status_line.template", ""),
];

/// Variables that are no keys: they say where the file and the data are, or are read by hooks, which read no file, or are secrets.
const VARIABLES: [&str; 12] = [
    "CLAUDE_CONFIG_DIR",
    "DUCAT_API_KEY",
    "DUCAT_CONFIG",
    "DUCAT_DATA_DIR",
    "DUCAT_HOOK_DEADLINE_MS",
    "DUCAT_SHIP_KEY",
    "DUCAT_SHIP_TO",
    "DUCAT_SOCKET",
    "DUCAT_SPOOL_CONTENT",
    "DUCAT_URL",
    "METRICS_API_KEY",
    "XDG_CACHE_HOME",
];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    /// The line of the file.
    File(usize),
    Variable(&'static str),
}

/// A value in effect, as TOML; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    pub name: String,
    pub value: String,
    pub source: Source,
}

/// All that is in effect: keys by name, then variables. `text` is the file's.
pub fn effective(text: &str) -> anyhow::Result<Vec<Effective>> {
    let document = Document::parse(text)?;
    let mut in_file = Vec::new();
    leaves(document.as_table(), "", text, &mut in_file);
    let mut found: Vec<Effective> = KEYS.iter().map(|key| of_key(key, &in_file)).collect();
    let is_known = |name: &str| KEYS.iter().any(|key| key.name == name);
    let others = in_file.into_iter().filter(|(name, ..)| !is_known(name));
    found.extend(others.map(|(name, value, line)| Effective { name, value, source: Source::File(line) }));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found.extend(VARIABLES.iter().map(|name| of_variable(name)));
    Ok(found)
}

fn of_key(key: &KeyInfo, in_file: &[(String, String, usize)]) -> Effective {
    let told = key.variable.and_then(|variable| Some((variable, env::var(variable).ok().filter(|value| !value.is_empty())?)));
    let name = key.name.to_owned();
    match (told, in_file.iter().find(|(name, ..)| name == key.name)) {
        (Some((variable, value)), _) => {
            let value = if key.is_text { toml_edit::Value::from(value).to_string() } else { value };
            Effective { name, value, source: Source::Variable(variable) }
        }
        (None, Some((_, value, line))) => Effective { name, value: value.clone(), source: Source::File(*line) },
        (None, None) => Effective { name, value: key.default.to_owned(), source: Source::Default },
    }
}

/// Values of a table and the tables in it, by their whole names.
fn leaves(table: &Table, above: &str, text: &str, out: &mut Vec<(String, String, usize)>) {
    for (name, item) in table {
        let key = toml_edit::Key::new(name);
        let whole = if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
        match item {
            Item::Table(inner) => leaves(inner, &whole, text, out),
            Item::ArrayOfTables(tables) => {
                for (number, inner) in tables.iter().enumerate() {
                    let line = line_of(text, inner.span());
                    out.push((format!("{whole}[{}]", number + 1), inner.clone().into_inline_table().to_string(), line));
                }
            }
            Item::Value(toml_edit::Value::InlineTable(inner)) => leaves(&inner.clone().into_table(), &whole, text, out),
            Item::Value(value) => {
                let mut value = value.clone();
                let line = line_of(text, value.span());
                value.decor_mut().clear();
                out.push((whole, value.to_string(), line));
            }
            Item::None => {}
        }
    }
}

/// The line, from 1, in which a span begins; 1 where there is none.
pub fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let begin = span.map_or(0, |span| span.start).min(text.len());
    text.as_bytes()[..begin].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn of_variable(name: &'static str) -> Effective {
    let told = env::var(name).ok().filter(|value| !value.is_empty());
    let source = if told.is_some() { Source::Variable(name) } else { Source::Default };
    let paths =
        |paths: Vec<std::path::PathBuf>| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let default = || match name {
        "CLAUDE_CONFIG_DIR" => paths(claude_folders()),
        "DUCAT_CONFIG" => paths(super::config_path().into_iter().map(|(path, _)| path).collect()),
        "DUCAT_DATA_DIR" => paths(data_folder().into_iter().collect()),
        "DUCAT_HOOK_DEADLINE_MS" => "100".to_owned(),
        "DUCAT_SOCKET" => paths(data_folder().map(|data| socket_paths(&data)).unwrap_or_default()),
        "XDG_CACHE_HOME" => paths(report_cache().into_iter().collect()),
        _ => String::new(),
    };
    let value = match told {
        Some(_) if name.ends_with("_KEY") => "(set)".to_owned(),
        // A URL may hold a password.
        Some(value) if name == "DUCAT_URL" => match value.split_once("://").map(|(scheme, rest)| (scheme, rest.rsplit_once('@')))
        {
            Some((scheme, Some((_, host)))) => format!("{scheme}://…@{host}"),
            _ => value,
        },
        Some(value) => value,
        None => default(),
    };
    Effective { name: name.to_owned(), value, source }
}
