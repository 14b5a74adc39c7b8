//! The same session by transcript and by telemetry, alone and together, in every order: each request counts once, as the provider counted it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducat_capture::claude_code::decode_hook;
use ducat_capture::otlp::{Dimensions, Exported, Memory, Surroundings, decode_logs, decode_metrics, decode_traces};
use ducat_capture::{Agent, AsTold, Detail, FileState};
use ducat_ledger::{Fact, Outcome, UnixMs};
use ducat_prices::PriceTable;
use ducat_report::{Grouping, Report, ReportQuery};
use ducat_store::{Durability, Lane, Store, StoreOptions, TenantId, Write};
use proptest::prelude::*;

/// After the captures.
const NOW: UnixMs = 1_795_500_000_000;

fn fixtures(agent: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/tests/fixtures/otlp").join(agent)
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

fn open(folder: &Path) -> Store {
    let options = StoreOptions {
        path: folder.join("ledger.db"),
        durability: Durability::Process,
        pricer: Arc::new(PriceTable::embedded()),
        clock: || NOW,
        listener: None,
    };
    Store::open(options).unwrap()
}

type Read = fn(PathBuf) -> Vec<u8>;

/// As Claude Code tells requests of a provider that gives them no id.
fn read_without_ids(path: PathBuf) -> Vec<u8> {
    let text = String::from_utf8(read(path)).unwrap();
    let text = text.replace("\"requestId\":", "\"other\":").replace("\"key\":\"request_id\"", "\"key\":\"other\"");
    // The provider's own name for the model, in the logs alone.
    text.replace("\"stringValue\":\"claude-opus-4-8\"", "\"stringValue\":\"us.anthropic.claude-opus-4-8-v1:0\"").into_bytes()
}

/// As Claude Code before 2.1.112 told: ids in transcripts, none in logs.
fn read_older(path: PathBuf) -> Vec<u8> {
    let text = String::from_utf8(read(path)).unwrap();
    text.replace("\"key\":\"request_id\"", "\"key\":\"other\"")
        .replace("\"key\":\"tool_use_id\"", "\"key\":\"another\"")
        .into_bytes()
}

fn transcript(agent: Agent, path: &Path, read: Read) -> Vec<Fact> {
    let mut state = FileState::of(agent, path);
    let mut facts = Vec::new();
    for line in read(path.to_owned()).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        state.decode_line(line, &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    }
    facts
}

/// What the exports of a folder tell whose names end so.
fn telemetry(folder: &Path, ends: &[&str], read: Read) -> Vec<Fact> {
    let (memory, dimensions) = (Memory::default(), Dimensions::default());
    let around = Surroundings { memory: &memory, dimensions: &dimensions, now: NOW };
    let mut facts = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| ends.iter().any(|end| file.to_str().unwrap().ends_with(end)));
    files.sort();
    for file in files {
        let body = read(file.clone());
        let out: &mut dyn FnMut(Fact) = &mut |fact| facts.push(fact);
        let exported = match file.file_name().unwrap().to_str().unwrap() {
            name if name.ends_with("logs.json") => decode_logs(&serde_json::from_slice(&body).unwrap(), &around, out),
            name if name.ends_with("traces.json") => decode_traces(&serde_json::from_slice(&body).unwrap(), &around, out),
            _ => decode_metrics(&serde_json::from_slice(&body).unwrap(), &around, out),
        };
        assert_eq!(exported, Exported { accepted: exported.accepted, ..Exported::default() }, "{}", file.display());
    }
    facts
}

/// What the provider's stand-in counted: requests, then tokens of input, cache reads and output.
fn truth(api: PathBuf) -> [u64; 4] {
    let text = String::from_utf8(read(api)).unwrap();
    let calls = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    calls.filter(|call| call["status"].as_u64().unwrap_or(200) == 200).fold([0; 4], |[requests, input, read, output], call| {
        let count = |path: &str| call["usage"].pointer(path).and_then(serde_json::Value::as_u64).unwrap_or_default();
        let cached = count("/input_tokens_details/cached_tokens") + count("/cachedContentTokenCount");
        let whole = count("/input_tokens") + count("/promptTokenCount");
        let told = count("/output_tokens") + count("/candidatesTokenCount") + count("/thoughtsTokenCount");
        [requests + 1, input + whole - cached, read + cached + count("/cache_read_input_tokens"), output + told]
    })
}

/// The sources of a captured session, the transcript first and the metrics last, and what was counted.
fn session_as(agent: &str, read: Read) -> (Vec<Vec<Fact>>, [u64; 4]) {
    let folder = fixtures(agent);
    match agent {
        "codex" => {
            let file = "rollout-2026-11-24T02-45-35-01a20b71-c575-70f2-8d67-7e7e98989150.jsonl";
            let sources = vec![transcript(Agent::Codex, &folder.join(file), read), telemetry(&folder, &["logs.json"], read)];
            (sources, truth(folder.join("api.jsonl")))
        }
        "gemini-cli" => {
            let chat = transcript(Agent::GeminiCli, &folder.join("session-2026-11-24T02-47-37f9f967.jsonl"), read);
            let sources = vec![chat, telemetry(&folder, &["logs.json"], read), telemetry(&folder, &["metrics.json"], read)];
            (sources, truth(folder.join("api.jsonl")))
        }
        _ => {
            // A session that was resumed: two captures, one transcript.
            let captures = ["json", "resumed"].map(|capture| folder.join(capture));
            let both = |ends: &[&str]| captures.iter().flat_map(|capture| telemetry(capture, ends, read)).collect();
            let project = folder.join("../../claude-code-2.1.197/projects/-home-dev-proj");
            let files = ["", "/subagents/agent-af7e700777bb2b82e"];
            let files = files.map(|file| project.join(format!("b90ad2ff-60b5-42d4-a6e5-106ec4c48bc8{file}.jsonl")));
            let lines = files.iter().flat_map(|file| transcript(Agent::ClaudeCode, file, read)).collect();
            let [first, second] = captures.each_ref().map(|capture| truth(capture.join("api.jsonl")));
            let sources = vec![lines, both(&["logs.json"]), both(&["traces.json"]), both(&["metrics.json"])];
            (sources, std::array::from_fn(|place| first[place] + second[place]))
        }
    }
}

fn session(agent: &str) -> (Vec<Vec<Fact>>, [u64; 4]) {
    session_as(agent, read)
}

fn tell(store: &Store, facts: Vec<Fact>) {
    store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
}

fn totals(store: &Store) -> [u64; 4] {
    let reader = store.reader().unwrap();
    assert_eq!(reader.check_rollups(TenantId::LOCAL).unwrap(), vec![]);
    let mut report = Report::new(ReportQuery { by: Grouping::Agent, ..ReportQuery::default() });
    reader.add_to(TenantId::LOCAL, (None, None), &mut report).unwrap();
    let totals = report.finish().totals;
    [totals.requests, totals.usage.input, totals.usage.cache_read, totals.usage.output]
}

#[test]
fn every_set_of_witnesses_in_every_order_counts_each_request_once() {
    for (agent, requests, orders) in [
        ("codex", 3, &[&[0][..], &[1], &[0, 1], &[1, 0], &[1, 0, 1, 0]][..]),
        ("gemini-cli", 3, &[&[0], &[1], &[0, 1], &[2, 1], &[2, 0], &[0, 2], &[2, 1, 0], &[0, 2, 1], &[1, 2, 0, 1, 2]]),
        ("claude-code", 11, &[&[0], &[1], &[2], &[3, 0], &[3, 1], &[2, 3], &[0, 1, 2, 3], &[3, 2, 1, 0, 3, 1], &[1, 0]]),
    ] {
        let (sources, truth) = session(agent);
        assert_eq!(truth[0], requests, "{agent}");
        for order in orders {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path());
            order.iter().for_each(|source| tell(&store, sources[*source].clone()));
            assert_eq!(totals(&store), truth, "{agent} {order:?}");
        }
    }
}

#[test]
fn requests_without_ids_count_once_too() {
    let (sources, truth) = session_as("claude-code", read_without_ids);
    for order in [&[0][..], &[1], &[0, 1], &[1, 0], &[3, 1, 2, 0, 1]] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        order.iter().for_each(|source| tell(&store, sources[*source].clone()));
        assert_eq!(totals(&store), truth, "{order:?}");
    }
}

#[test]
fn older_clients_whose_logs_alone_lack_ids_count_once_too() {
    let folder = fixtures("claude-code");
    // Their spans came later.
    let logs: Vec<Fact> =
        ["json", "resumed"].iter().flat_map(|capture| telemetry(&folder.join(capture), &["logs.json"], read_older)).collect();
    let (sources, truth) = session("claude-code");
    let (lines, metrics) = (&sources[0], &sources[3]);
    let calls = |told: &[&Vec<Fact>]| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        told.iter().for_each(|facts| tell(&store, (*facts).clone()));
        assert_eq!(totals(&store), truth);
        let id = "b90ad2ff-60b5-42d4-a6e5-106ec4c48bc8";
        let calls = store.reader().unwrap().session(TenantId::LOCAL, id).unwrap().unwrap().tool_calls;
        let mut calls: Vec<_> = calls.into_iter().map(|call| (call.id, call.name.get().cloned())).collect();
        calls.sort();
        calls
    };
    let by_transcript = calls(&[lines]);
    for told in [&[&logs, lines][..], &[lines, &logs], &[metrics, &logs, lines, &logs]] {
        assert_eq!(calls(told), by_transcript);
    }
    assert!(!calls(&[&logs]).is_empty());
}

#[test]
fn metrics_alone_tell_tokens_and_no_requests() {
    for agent in ["gemini-cli", "claude-code"] {
        let (mut sources, [_, input, read, output]) = session(agent);
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        tell(&store, sources.pop().unwrap());
        assert_eq!(totals(&store), [0, input, read, output], "{agent}");
    }
}

#[test]
fn hooks_telemetry_and_transcripts_tell_the_same_tool_calls() {
    let (mut sources, truth) = session("claude-code");
    let mut hooks = Vec::new();
    for file in ["hooks-json.jsonl", "hooks-resumed.jsonl"] {
        let events = read(fixtures("../claude-code-2.1.197").join(file));
        for event in events.split(|byte| *byte == b'\n').filter(|event| !event.is_empty()) {
            decode_hook(event, NOW - 60_000, &mut AsTold, &mut |fact| hooks.push(fact));
        }
    }
    let calls = |orders: &[&Vec<Fact>]| -> Vec<(String, Option<Outcome>)> {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        orders.iter().for_each(|facts| tell(&store, (*facts).clone()));
        let id = "b90ad2ff-60b5-42d4-a6e5-106ec4c48bc8";
        let calls = store.reader().unwrap().session(TenantId::LOCAL, id).unwrap().unwrap().tool_calls;
        if orders.len() > 2 {
            assert_eq!(totals(&store), truth);
        }
        let mut calls: Vec<_> = calls.iter().map(|call| (call.id.clone(), call.outcome.get().copied())).collect();
        calls.sort();
        calls
    };
    sources.insert(0, hooks);
    let [hooks, lines, logs, spans, metrics] = &sources[..] else { panic!("five sources") };
    let by_transcript = calls(&[lines]);
    assert!(by_transcript.len() > 5);
    assert_eq!(calls(&[hooks, logs, spans, metrics, lines]), by_transcript);
    assert_eq!(calls(&[lines, metrics, spans, logs, hooks]), by_transcript);
    let by_logs = calls(&[logs]);
    assert!(!by_logs.is_empty() && by_logs.iter().all(|call| by_transcript.contains(call)), "{by_logs:?}");
}

#[test]
fn a_request_has_what_each_witness_knows() {
    let (sources, _) = session("gemini-cli");
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    sources.into_iter().for_each(|facts| tell(&store, facts));
    let id = "37f9f967-4004-4de9-8e62-357127ad069f";
    let shown = store.reader().unwrap().session(TenantId::LOCAL, id).unwrap().unwrap();
    assert_eq!(shown.requests.len(), 3);
    let (first, ..) = &shown.requests[0];
    assert_eq!(first.id, "c09b10bf-1740-46de-876f-97ad65fa329c");
    assert_eq!((first.duration_ms.get(), first.query_source.get().map(String::as_str)), (Some(&97), Some("main")));
    assert!(first.turn.is_told());
}

#[test]
fn a_failed_command_is_an_error_by_telemetry_alone() {
    let (sources, _) = session("codex");
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, sources[1].clone());
    let id = "01a20b71-c575-70f2-8d67-7e7e98989150";
    let calls = store.reader().unwrap().session(TenantId::LOCAL, id).unwrap().unwrap().tool_calls;
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome.get().copied()).collect();
    assert_eq!(outcomes, [Some(Outcome::Ok), Some(Outcome::Error)]);
    tell(&store, sources[0].clone());
    assert_eq!(store.reader().unwrap().session(TenantId::LOCAL, id).unwrap().unwrap().tool_calls.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_of_facts_change_nothing(
        shuffled in Just(session("gemini-cli").0.concat()).prop_shuffle(),
        again in 0usize..40,
        cut in 1usize..30,
    ) {
        let (_, truth) = session("gemini-cli");
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for facts in shuffled.chunks(cut).chain(shuffled[..again.min(shuffled.len())].chunks(cut)) {
            tell(&store, facts.to_vec());
        }
        prop_assert_eq!(totals(&store), truth);
    }
}
