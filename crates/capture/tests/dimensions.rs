//! Captured telemetry of every agent and library, under a company's own resource attributes: each request has them as user, team and labels.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ducat_capture::otlp::{Dimensions, Memory, Surroundings, decode_logs, decode_metrics, decode_traces};
use ducat_ledger::{Attributes, Fact, Request};
use serde_json::{Value, json};

/// After the captures.
const NOW: i64 = 1_795_700_000_000;

/// JSON exports below the folder.
fn exports(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_export = ["logs.json", "metrics.json", "traces.json"].iter().any(|end| path.to_str().unwrap().ends_with(end));
        if path.is_dir() {
            exports(&path, found);
        } else if is_export {
            found.push(path);
        }
    }
}

/// The requests that an export tells when its resources say this too.
fn requests(file: &Path, said: &[(&str, Value)], dimensions: &Dimensions) -> Vec<Request> {
    let mut body: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    for part in body.as_object_mut().unwrap().values_mut().flat_map(|parts| parts.as_array_mut().unwrap()) {
        let attributes = part["resource"]["attributes"].as_array_mut().unwrap();
        attributes.extend(said.iter().map(|(key, value)| json!({ "key": key, "value": value })));
    }
    let memory = Memory::default();
    let around = Surroundings { memory: &memory, dimensions, now: NOW };
    let mut requests = Vec::new();
    let out: &mut dyn FnMut(Fact) = &mut |fact| {
        if let Fact::Request(request) = fact {
            requests.push(request);
        }
    };
    let text = body.to_string();
    match file.file_stem().unwrap().to_str().unwrap() {
        name if name.ends_with("logs") => decode_logs(&serde_json::from_str(&text).unwrap(), &around, out),
        name if name.ends_with("traces") => decode_traces(&serde_json::from_str(&text).unwrap(), &around, out),
        _ => decode_metrics(&serde_json::from_str(&text).unwrap(), &around, out),
    };
    requests
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_senders_resource_attributes_become_what_the_configuration_says() {
    let mut files = Vec::new();
    exports(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp"), &mut files);
    let labels = ["cost_center", "department", "organization.id", "project=project.code", "project=apollo.project"];
    let own = Dimensions::new(&names(&["person", "user.email"]), &names(&["squad", "team.id"]), &names(&labels)).unwrap();
    let text = |value: &str| json!({ "stringValue": value });
    let said = [
        ("person", text("ana")),
        ("squad", text("blue")),
        ("department", text("R&D")),
        ("cost_center", json!({ "intValue": "42" })),
        ("apollo.project", text("eleven")),
    ];
    let mut agents = BTreeSet::new();
    for file in &files {
        for request in requests(file, &said, &own) {
            let told = [&request.user, &request.team].map(|told| told.get().map(String::as_str));
            assert_eq!(told, [Some("ana"), Some("blue")], "{}", file.display());
            let attributes = Attributes::of(&request);
            let told = ["cost_center", "department", "project"].map(|name| attributes.label(name));
            assert_eq!(told, [Some("42"), Some("R&D"), Some("eleven")], "{}", file.display());
            agents.insert(request.agent);
        }
    }
    let agents: Vec<&str> = agents.iter().map(String::as_str).collect();
    assert!(["claude-code", "codex", "gemini-cli"].iter().all(|agent| agents.contains(agent)) && agents.len() > 4, "{agents:?}");
}

#[test]
fn without_a_configuration_the_usual_names_are_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp/claude-code/json/006-v1-logs.json");
    let text = |value: &str| json!({ "stringValue": value });
    let said = [
        ("user.email", text("ana@example.org")),
        ("department", text("research")),
        ("organization.id", text("org-1")),
        ("cost_center", text("two\nlines")),
        ("project.code", text("apollo")),
    ];
    let told = requests(&file, &said, &Dimensions::default());
    assert!(!told.is_empty());
    for request in told {
        assert_eq!(request.team.get().unwrap(), "platform", "the capture's own");
        assert_eq!(request.user.get().unwrap(), "ana@example.org");
        assert_eq!(request.labels.get().unwrap(), "department=research\norganization.id=org-1");
    }
}
