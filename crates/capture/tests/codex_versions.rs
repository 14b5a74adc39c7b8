//! Rollouts of old clients, run for real against a stand-in: before `token_usage_record` and ids of turns.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use ducat_capture::{Agent, AsTold, Detail, FileState, LineVerdict};
use ducat_ledger::{Fact, Outcome};
use serde_json::Value;

/// Two shell tools, each with a command that ends well and one that exits with 3; totals are told again before each answer.
#[test]
fn a_rollout_of_0_63_tells_what_the_provider_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codex-0.63.0");
    let path = folder.join("rollout-2026-11-25T14-11-09-01a2130b-c943-78e3-8e8f-d92351e6767b.jsonl");
    let mut state = FileState::of(Agent::Codex, &path);
    let mut facts = Vec::new();
    for line in std::fs::read_to_string(&path).unwrap().lines() {
        let verdict = state.decode_line(line.as_bytes(), &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
        assert!(!matches!(verdict, LineVerdict::Unreadable(_)), "{verdict:?} {line}");
    }
    let mut told: Vec<_> =
        facts.iter().filter_map(|fact| if let Fact::Request(request) = fact { Some(request) } else { None }).collect();
    told.dedup_by_key(|request| request.key);
    let told: Vec<_> = told
        .iter()
        .map(|request| {
            let usage = request.usage();
            (request.model.get().unwrap().clone(), [usage.input, usage.cache_read, usage.output, usage.reasoning])
        })
        .collect();
    let answers = std::fs::read_to_string(folder.join("api.jsonl")).unwrap();
    let answered: Vec<_> = answers
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            let of = |pointer: &str| answer["usage"].pointer(pointer).unwrap().as_u64().unwrap();
            let cached = of("/input_tokens_details/cached_tokens");
            let counts =
                [of("/input_tokens") - cached, cached, of("/output_tokens"), of("/output_tokens_details/reasoning_tokens")];
            (answer["model"].as_str().unwrap().to_owned(), counts)
        })
        .collect();
    assert_eq!(told, answered);

    let mut outcomes: Vec<_> = facts
        .iter()
        .filter_map(|fact| if let Fact::ToolCall(call) = fact { Some((call.id.clone(), *call.outcome.get()?)) } else { None })
        .collect();
    outcomes.sort();
    let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [Outcome::Ok, Outcome::Ok, Outcome::Error, Outcome::Error]);
}
