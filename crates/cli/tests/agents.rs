//! `ducat report --from` over real transcripts of other agents than Claude Code, against their independently counted totals, and over the
//! captured runs, against what the provider answered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn report(by: &str, agent: &str, from: &Path) -> Value {
    let home = tempfile::tempdir().unwrap();
    let run = || {
        let mut ducat = Command::new(env!("CARGO_BIN_EXE_ducat"));
        ducat.args(["report", by, "--timezone", "UTC", "--json", "--agent", agent, "--from"]).arg(from);
        for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            ducat.env(name, home.path());
        }
        let output = ducat.env_remove("DUCAT_CONFIG").env_remove("DUCAT_DATA_DIR").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let first = run();
    assert_eq!(first, run(), "from the cache");
    serde_json::from_slice(&first).unwrap()
}

fn shared(path: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("DUCAT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let found = shared.join(path);
    if !found.exists() {
        println!("skipped: nothing at {}", found.display());
        return None;
    }
    Some(found)
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} in {value}"))
}

/// Input without cache, cache read, output with reasoning, reasoning.
fn ours(row: &Value) -> [u64; 4] {
    ["input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"].map(|field| number(row, field))
}

fn codex(counts: &Value) -> [u64; 4] {
    let cached = number(counts, "cached_input_tokens");
    let reasoning = number(counts, "reasoning_output_tokens");
    [number(counts, "input_tokens") - cached, cached, number(counts, "output_tokens"), reasoning]
}

fn gemini(counts: &Value) -> [u64; 4] {
    let (cached, thoughts) = (number(counts, "cached"), number(counts, "thoughts"));
    let input = number(counts, "input") - cached + number(counts, "tool");
    [input, cached, number(counts, "output") + thoughts, thoughts]
}

/// Reasoning is told beside output.
fn opencode(counts: &Value) -> [u64; 4] {
    let reasoning = number(counts, "reasoning");
    [number(counts, "input"), number(counts, "cache_read"), number(counts, "output") + reasoning, reasoning]
}

/// Reasoning is within output, and told nowhere.
fn pi(counts: &Value) -> [u64; 4] {
    [number(counts, "input"), number(counts, "cacheRead"), number(counts, "output"), 0]
}

/// A model as reports name it, by a name that may begin with the provider's.
fn model(told: &str) -> String {
    let name = told.rsplit('/').next().unwrap();
    if name.starts_with("claude-") { name.replace('.', "-") } else { name.to_owned() }
}

/// Those of `expected` that count anything, under the names that reports give them.
fn counted(expected: &Value, counts: fn(&Value) -> [u64; 4], named: fn(&str) -> String) -> BTreeMap<String, [u64; 4]> {
    let all = expected.as_object().unwrap().iter().map(|(name, told)| (named(name), counts(told)));
    all.filter(|(_, counts)| *counts != [0; 4]).collect()
}

fn rows(report: &Value, by: &str) -> BTreeMap<String, [u64; 4]> {
    report["rows"].as_array().unwrap().iter().map(|row| (row[by].as_str().unwrap().to_owned(), ours(row))).collect()
}

#[test]
fn real_transcripts_to_the_token_and_day() {
    let Some(transcripts) = shared("data/transcripts") else { return };
    let text = fs::read_to_string(transcripts.join("expected-by-source.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    type Counts = fn(&Value) -> [u64; 4];
    let agents: [(&str, &str, Counts); 4] =
        [("codex", "codex", codex), ("gemini", "gemini-cli", gemini), ("opencode", "opencode", opencode), ("pi", "pi", pi)];
    let mut compared = BTreeMap::new();
    for (source, told) in expected["sets"]["dev"]["independent"].as_object().unwrap() {
        for (name, agent, counts) in agents {
            let told = &told[name];
            if told.is_null() {
                continue;
            }
            // The whole source: the others' files beside it change nothing.
            let days = report("daily", agent, &transcripts.join(source));
            assert_eq!(ours(&days["totals"]), counts(&told["totals"]), "{source} {name}");
            if !told["by_day_utc"].is_null() {
                assert_eq!(rows(&days, "date"), counted(&told["by_day_utc"], counts, str::to_owned), "{source} {name}");
            }
            if !told["by_model"].is_null() {
                let models = report("model", agent, &transcripts.join(source));
                assert_eq!(rows(&models, "model"), counted(&told["by_model"], counts, model), "{source} {name}");
            }
            *compared.entry(name).or_insert(0) += 1;
        }
    }
    assert_eq!(compared, BTreeMap::from([("codex", 1), ("gemini", 1), ("opencode", 3), ("pi", 1)]));
}

/// Nobody counted the real Copilot session: it never shut down, and its version told nothing of input before.
#[test]
fn a_real_session_without_usage_counts_nothing() {
    let Some(folder) = shared("data/transcripts/eitatech-gatomia-vscode/copilot") else { return };
    let totals = report("daily", "copilot-cli", &folder)["totals"].clone();
    assert_eq!((ours(&totals), number(&totals, "requests")), ([0; 4], 0));
}

#[test]
fn captured_runs_as_the_provider_answered() {
    for (agent, folder) in [("codex", "fixtures/codex/0.169.0"), ("gemini-cli", "fixtures/gemini-cli/0.61.0")] {
        let Some(folder) = shared(folder) else { continue };
        let answered: Vec<Value> = fs::read_to_string(folder.join("api.jsonl"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["usage"].clone())
            .collect();
        let sum = |path: &str| answered.iter().map(|usage| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0)).sum::<u64>();
        let cached = sum("/input_tokens_details/cached_tokens") + sum("/cachedContentTokenCount");
        let thoughts = sum("/thoughtsTokenCount");
        let expected = [
            sum("/input_tokens") + sum("/promptTokenCount") - cached,
            cached,
            sum("/output_tokens") + sum("/candidatesTokenCount") + thoughts,
            sum("/output_tokens_details/reasoning_tokens") + thoughts,
        ];
        let totals = report("daily", agent, &folder)["totals"].clone();
        assert_eq!((ours(&totals), number(&totals, "requests")), (expected, answered.len() as u64), "{agent}");
    }
}
