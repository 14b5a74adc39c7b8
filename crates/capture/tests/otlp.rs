//! Captured telemetry of Claude Code against what the provider's stand-in answered with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ducat_capture::AsTold;
use ducat_capture::otlp::{Exported, Surroundings, decode_logs};
use ducat_ledger::{DERIVED, Fact, Key, Request};
use ducat_prices::PriceTable;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use serde_json::Value;

/// After the captures.
const NOW: i64 = 1_795_500_000_000;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp/claude-code").join(name)
}

fn exports(name: &str) -> Vec<ExportLogsServiceRequest> {
    let mut files: Vec<_> = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_str().unwrap().ends_with("logs.json"));
    files.sort();
    files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
}

fn decode(exports: &[ExportLogsServiceRequest]) -> (BTreeMap<Key, Request>, Exported) {
    let split = PriceTable::embedded();
    let mut around = Surroundings { workspaces: &mut AsTold, split_cache_writes: &split, now: NOW };
    let mut requests: BTreeMap<Key, Request> = BTreeMap::new();
    let mut told = Exported::default();
    for export in exports {
        told = decode_logs(export, &mut around, &mut |fact| {
            if let Fact::Request(request) = fact {
                requests.entry(request.key).and_modify(|known| _ = known.join(&request)).or_insert(request);
            }
        });
        assert_eq!(told.reason, None);
    }
    (requests, told)
}

#[test]
fn logs_alone_tell_every_request_and_the_split_of_its_cache_writes() {
    for name in ["json", "resumed"] {
        let (requests, _) = decode(&exports(name));
        let mut answered = 0;
        for line in std::fs::read_to_string(folder(name).join("api.jsonl")).unwrap().lines() {
            let truth: Value = serde_json::from_str(line).unwrap();
            if truth["status"] != 200 {
                continue;
            }
            answered += 1;
            let id = truth["request_id"].as_str().unwrap();
            let request = requests.values().find(|request| request.id == id).unwrap_or_else(|| panic!("{name}: no {id}"));
            let (usage, want) = (request.usage(), &truth["usage"]);
            let split = &want["cache_creation"];
            assert_eq!(usage.input, want["input_tokens"], "{id}");
            assert_eq!(usage.output, want["output_tokens"], "{id}");
            assert_eq!(usage.cache_read, want["cache_read_input_tokens"], "{id}");
            assert_eq!(usage.cache_write_5m, split["ephemeral_5m_input_tokens"].as_u64().unwrap_or(0), "{id}");
            assert_eq!(usage.cache_write_1h, split["ephemeral_1h_input_tokens"].as_u64().unwrap_or(0), "{id}");
            assert_eq!(usage.cache_write_unsplit, 0, "{id}");
            assert!(matches!(request.cache_write_5m_tokens.rank(), 0 | DERIVED), "{id}");
        }
        assert_eq!(requests.len(), answered, "{name}");
    }
}

#[test]
fn order_and_repetition_change_nothing() {
    let forward = exports("json");
    let mut twice_backward = forward.clone();
    twice_backward.extend(forward.clone());
    twice_backward.reverse();
    assert_eq!(decode(&forward).0, decode(&twice_backward).0);
}

#[test]
fn a_record_without_its_id_is_rejected_by_name() {
    let mut export = exports("resumed").remove(0);
    for resource in &mut export.resource_logs {
        for scope in &mut resource.scope_logs {
            for log in &mut scope.log_records {
                log.attributes.retain(|attribute| attribute.key != "request_id");
            }
        }
    }
    let split = PriceTable::embedded();
    let mut around = Surroundings { workspaces: &mut AsTold, split_cache_writes: &split, now: NOW };
    let told = decode_logs(&export, &mut around, &mut |fact| assert!(!matches!(fact, Fact::Request(_))));
    assert!(told.rejected > 0);
    assert!(told.reason.unwrap().ends_with("request_id: missing or no string"));
}
