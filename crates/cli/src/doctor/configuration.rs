//! Our own configuration: the file, the price table, and variables that are nearly ours.

use std::env;

use similar::{Algorithm, capture_diff_slices, get_diff_ratio};

use super::finding::{Exam, word};
use super::machine::Machine;
use crate::config::{Config, updated_prices};

/// All variables that any of our programs reads.
const VARIABLES: [&str; 16] = [
    "DUCAT_ALLOW_NETWORK_FS",
    "DUCAT_API_KEY",
    "DUCAT_CONFIG",
    "DUCAT_DATA_DIR",
    "DUCAT_FAILPOINT",
    "DUCAT_HOOK_DEADLINE_MS",
    "DUCAT_OTLP_GRPC_PORT",
    "DUCAT_OTLP_HTTP_PORT",
    "DUCAT_SHIP_KEY",
    "DUCAT_SHIP_TO",
    "DUCAT_SOCKET",
    "DUCAT_SPOOL_CONTENT",
    "DUCAT_URL",
    "METRICS_API_KEY",
    "METRICS_HOST",
    "METRICS_PORT",
];
/// Letters in common, of all letters; below, a name is its own.
const ALIKE: f32 = 0.8;

pub fn look(_machine: &Machine, exam: &mut Exam) {
    match Config::load() {
        Err(error) => {
            exam.error(
                "config-invalid",
                in_one_line(&format!("{error:#}")),
                "Correct that key: most commands refuse to run until then (README, Configuration).",
            );
        }
        Ok(config) => match config.price_table() {
            Ok(_) => exam.sound("config", "the configuration and the price table can be read"),
            Err(error) => {
                let path = updated_prices().map_or_else(String::new, |path| word(&path));
                exam.error(
                    "price-table-invalid",
                    format!("{error:#}."),
                    format!(
                        "Take a whole table with `ducat prices update FILE`, or remove it (`rm {path}`): \
                        the built-in one is used then."
                    ),
                );
            }
        },
    }
    values(exam);
    for name in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if let Some(meant) = misspelt(&name) {
            exam.warning(
                "variable-misspelt",
                format!("{name} is set, which no program of Ducat reads; was {meant} meant?"),
                format!("Rename it: `unset {name}` and `export {meant}=…`, also where your shell sets it."),
            );
        }
    }
}

/// Variables whose value is quietly not taken.
fn values(exam: &mut Exam) {
    let mut check = |name: &str, is_taken: &dyn Fn(&str) -> bool, form: &str| {
        if let Some(value) = env::var(name).ok().filter(|value| !value.is_empty() && !is_taken(value)) {
            exam.warning(
                "variable-not-taken",
                format!("{name} is {value:?}, which does not do what it seems to: it must be {form}."),
                format!("Set it right where your shell sets it, or `unset {name}`."),
            );
        }
    };
    check("DUCAT_HOOK_DEADLINE_MS", &|value| value.parse::<u64>().is_ok(), "a whole number of milliseconds");
    check("DUCAT_SPOOL_CONTENT", &|value| matches!(value, "0" | "1"), "1 to spool contents, or nothing");
    check("DUCAT_SOCKET", &|value| value.starts_with('/'), "a path that begins with /");
}

/// The parser draws the place below its message.
fn in_one_line(what: &str) -> String {
    let lines = what.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains('|'));
    let line = lines.collect::<Vec<_>>().join(": ");
    let home = env::var("HOME").ok().filter(|home| home.starts_with('/') && home.len() > 1);
    let line = home.map_or_else(|| line.clone(), |home| line.replace(&format!("{home}/"), "~/"));
    let line = line.replace("TOML parse error at ", "");
    if line.ends_with(['.', '?']) { line } else { line + "." }
}

/// The variable of ours that one was meant to be.
fn misspelt(name: &str) -> Option<&'static str> {
    if VARIABLES.contains(&name) {
        return None;
    }
    // Only those of our own kind: METRICS_… may be another program's.
    let ours = name.starts_with("DUCAT") || name.starts_with("METRICS_");
    let limit = if name.starts_with("DUCAT") { ALIKE } else { 0.9 };
    let alike = VARIABLES.map(|variable| (ratio(name, variable), variable));
    let best = alike.into_iter().max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (ours && best.0 >= limit).then_some(best.1)
}

fn ratio(one: &str, other: &str) -> f32 {
    let operations = capture_diff_slices(Algorithm::Lcs, one.as_bytes(), other.as_bytes());
    get_diff_ratio(&operations, one.len(), other.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_draws_is_left_out() {
        let drawn = "configuration /c: TOML parse error at line 1, column 2\n  |\n1 | [captur]\n  |  ^^^^^^\nunknown \
                field `captur`\n";
        assert_eq!(in_one_line(drawn), "configuration /c: line 1, column 2: unknown field `captur`.");
    }

    /// A variable that is missing in the list would be taken for a misspelt one.
    #[test]
    fn all_variables_that_our_programs_read_are_listed() {
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))];
        let mut read = std::collections::BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() && !path.ends_with("tests") {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs")
                    && !path.ends_with("doctor/configuration.rs")
                {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let quoted = text.split('"').filter(|word| word.starts_with("DUCAT_") || word.starts_with("METRICS_"));
                    let is_name = |word: &&str| word.bytes().all(|letter| letter.is_ascii_uppercase() || letter == b'_');
                    read.extend(quoted.filter(is_name).map(str::to_owned));
                }
            }
        }
        assert_eq!(read.iter().map(String::as_str).collect::<Vec<_>>(), VARIABLES);
    }

    #[test]
    fn names_that_are_nearly_ours_are_named() {
        for (name, meant) in [
            ("DUCAT_SOKET", Some("DUCAT_SOCKET")),
            ("DUCAT_DATADIR", Some("DUCAT_DATA_DIR")),
            ("DUCATURL", Some("DUCAT_URL")),
            ("METRICS_PROT", Some("METRICS_PORT")),
            ("METRICS_PORTS", Some("METRICS_PORT")),
            ("DUCAT_SOCKET", None),
            ("DUCAT_SHARED", None),
            ("METRICS_PATH", None),
            ("HOME", None),
        ] {
            assert_eq!(misspelt(name), meant, "{name}");
        }
    }
}
