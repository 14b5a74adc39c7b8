//! What headless clients printed, decoded: the captures of `claude -p` 2.1.197 and `codex exec` 0.169.0.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use ducat_capture::claude_code::{self, Headless, HeadlessRun, HookVerdict, decode_result};
use ducat_capture::{AsTold, Workspace, Workspaces, codex};
use ducat_ledger::{Fact, Key, KeySpace, Request};
use proptest::prelude::*;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/headless").join(name)).unwrap()
}

fn run(name: &str) -> HeadlessRun {
    let mut headless = Headless::default();
    fixture(name).split(|byte| *byte == b'\n').for_each(|line| headless.line(line, 1_000));
    assert!(headless.has_ended());
    headless.finish().unwrap()
}

fn facts(run: &HeadlessRun) -> Vec<Fact> {
    let mut facts = Vec::new();
    let payload = serde_json::to_vec(run).unwrap();
    assert_eq!(decode_result(&payload, 5_000, &mut AsTold, &mut |fact| facts.push(fact)), HookVerdict::Decoded);
    facts
}

fn requests(run: &HeadlessRun) -> Vec<Request> {
    let is_request = |fact| if let Fact::Request(request) = fact { Some(request) } else { None };
    facts(run).into_iter().filter_map(is_request).collect()
}

#[test]
fn every_format_tells_the_clients_sums() {
    for name in ["claude-code-result.json", "claude-code-stream.jsonl", "claude-code-partial.jsonl"] {
        let run = run(name);
        assert!((run.reported_cost_usd.unwrap() - 0.0511).abs() < 1e-9 && !run.is_error, "{name}");
        let (model, used) = run.models.first_key_value().unwrap();
        assert_eq!((model.as_str(), used.input_tokens, used.output_tokens), ("claude-opus-4-8[1m]", 60, 152));
        assert_eq!((used.cache_read_tokens, used.cache_write_tokens, run.cache_write_1h_tokens), (9000, 5000, Some(3000)));
        let text = serde_json::to_string(&run).unwrap();
        assert!(!text.contains("done") && !text.contains("notes.txt"), "content is sent: {text}");
        let facts = facts(&run);
        let Fact::Session(session) = &facts[0] else { panic!("{facts:?}") };
        assert_eq!(session.reported_cost_nano.get(), Some(&51_100_000));
        assert_eq!(session.key, Key::of(KeySpace::Session, claude_code::AGENT, &run.session_id));
    }
}

#[test]
fn the_first_clients_print_one_object_over_several_lines() {
    let mut headless = Headless::default();
    headless.line(&fixture("claude-code-0.2.109-result.json"), 1_000);
    let run = headless.finish().unwrap();
    assert_eq!((run.session_id.as_str(), run.reported_cost_usd), ("a88cf380-afc9-48a3-9bcc-92dede5213db", Some(0.019161)));
    assert!(run.models.is_empty() && run.requests.is_empty());
}

#[test]
fn requests_have_the_transcripts_keys_and_only_last_words_are_facts() {
    // What the provider said at the beginning of its answer is not what it bills.
    let stream = run("claude-code-stream.jsonl");
    assert_eq!((stream.requests.len(), requests(&stream).len()), (4, 0));
    assert!(stream.requests.iter().all(|request| request.output_tokens == Some(1)));
    let mut partial = run("claude-code-partial.jsonl");
    let told = requests(&partial);
    assert_eq!(told.iter().map(|request| request.output_tokens.or_default()).collect::<Vec<_>>(), [25, 25, 44]);
    assert_eq!(told[0].key, Key::of(KeySpace::Request, claude_code::AGENT, partial.requests[0].request_id.as_deref().unwrap()));
    assert_eq!((told[0].cache_write_5m_tokens.or_default(), told[0].cache_write_1h_tokens.or_default()), (2000, 3000));
    // Transcripts know a request by requestId; what has only message.id would be a second one.
    partial.requests.iter_mut().for_each(|request| request.request_id = None);
    assert!(requests(&partial).is_empty());
}

#[test]
fn codex_tells_sums_and_no_request() {
    let mut headless = codex::Headless::default();
    fixture("codex-exec.jsonl").split(|byte| *byte == b'\n').for_each(|line| headless.line(line));
    let run = headless.finish().unwrap();
    assert_eq!((run.input_tokens, run.cached_input_tokens, run.output_tokens), (Some(28_000), Some(18_176), Some(340)));
    let mut facts = Vec::new();
    let payload = serde_json::to_vec(&run).unwrap();
    assert_eq!(codex::decode_result(&payload, 5_000, &mut AsTold, &mut |fact| facts.push(fact)), HookVerdict::Decoded);
    let [Fact::Session(session)] = &facts[..] else { panic!("{facts:?}") };
    let sums = [&session.reported_input_tokens, &session.reported_cache_read_tokens, &session.reported_output_tokens];
    assert_eq!(sums.map(|sum| sum.or_default()), [9824, 18_176, 340]);
}

#[test]
fn what_cannot_be_believed_is_refused() {
    struct Excluded;
    impl Workspaces for Excluded {
        fn resolve(&mut self, _: &str) -> Workspace {
            Workspace { project: None, excluded: true }
        }
    }
    let mut none = |fact: Fact| panic!("{fact:?}");
    let payload = serde_json::to_vec(&run("claude-code-stream.jsonl")).unwrap();
    assert_eq!(decode_result(&payload, 1, &mut Excluded, &mut none), HookVerdict::Excluded);
    for payload in ["", "[]", "{}", "{\"session_id\":1}", "{\"session_id\":\"\"}", &"[".repeat(100_000), "{\"thread_id\":\"\"}"] {
        assert!(matches!(decode_result(payload.as_bytes(), 1, &mut AsTold, &mut none), HookVerdict::Malformed(_)), "{payload}");
        assert!(matches!(codex::decode_result(payload.as_bytes(), 1, &mut AsTold, &mut none), HookVerdict::Malformed(_)));
    }
    for cost in ["1e300", "-1e300"] {
        let payload = format!("{{\"session_id\":\"s\",\"reported_cost_usd\":{cost}}}");
        let mut told = Vec::new();
        assert_eq!(decode_result(payload.as_bytes(), 1, &mut AsTold, &mut |fact| told.push(fact)), HookVerdict::Decoded);
        assert!(matches!(&told[..], [Fact::Session(session)] if session.reported_cost_nano.is_untold()), "{told:?}");
    }
}

/// What is posted need not come from `ducat meter`: a few huge counts would turn the ledger's sums into something else than integers.
#[test]
fn counts_and_times_beyond_measure_are_not_believed() {
    let told = |payload: &str| {
        let mut told = Vec::new();
        (decode_result(payload.as_bytes(), 5_000, &mut AsTold, &mut |fact| told.push(fact)), told)
    };
    let with =
        |fields: &str| format!(r#"{{"session_id":"s","requests":[{{"request_id":"r","is_final":true,"at":1,{fields}}}]}}"#);
    let (verdict, facts) =
        told(&with(r#""input_tokens":9223372036854775807,"output_tokens":1000000000001,"cache_read_tokens":7"#));
    assert_eq!(verdict, HookVerdict::Decoded);
    let Fact::Request(request) = &facts[1] else { panic!("{facts:?}") };
    assert!(request.input_tokens.is_untold() && request.output_tokens.is_untold(), "{request:?}");
    assert_eq!(request.cache_read_tokens.get(), Some(&7));
    for beyond in [i64::MIN, -62_135_596_800_001, 253_402_300_800_000, i64::MAX] {
        let (verdict, facts) =
            told(&format!(r#"{{"session_id":"s","requests":[{{"request_id":"r","is_final":true,"at":{beyond}}}]}}"#));
        assert!(matches!(verdict, HookVerdict::Malformed(reason) if reason.contains("at")) && facts.is_empty(), "{beyond}");
    }
    let (verdict, facts) = told(r#"{"session_id":"s","duration_ms":9223372036854775807}"#);
    assert!(matches!(verdict, HookVerdict::Malformed(reason) if reason.contains("duration_ms")) && facts.is_empty());
    let (_, facts) = told(r#"{"session_id":"s","reported_cost_usd":9000000000}"#);
    assert!(matches!(&facts[..], [Fact::Session(session)] if session.reported_cost_nano.is_untold()), "{facts:?}");

    let mut facts = Vec::new();
    let payload = r#"{"thread_id":"t","input_tokens":9223372036854775807,"cached_input_tokens":5,"output_tokens":1000000000001}"#;
    codex::decode_result(payload.as_bytes(), 5_000, &mut AsTold, &mut |fact| facts.push(fact));
    let [Fact::Session(session)] = &facts[..] else { panic!("{facts:?}") };
    let sums = [&session.reported_input_tokens, &session.reported_output_tokens];
    assert!(sums.iter().all(|sum| sum.is_untold()) && session.reported_cache_read_tokens.get() == Some(&5), "{session:?}");
}

proptest! {
    /// Damage and cuts never panic, and what is believed of the rest can be sent and read again.
    #[test]
    fn damaged_output_never_panics(
        which in 0..4_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let names = ["claude-code-result.json", "claude-code-stream.jsonl", "claude-code-partial.jsonl", "codex-exec.jsonl"];
        let mut bytes = fixture(names[which]);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let (mut claude, mut thread) = (Headless::default(), codex::Headless::default());
        for line in bytes.split(|byte| *byte == b'\n') {
            claude.line(line, 1);
            thread.line(line);
        }
        if let Some(run) = claude.finish() {
            let payload = serde_json::to_vec(&run).unwrap();
            prop_assert_eq!(decode_result(&payload, 1, &mut AsTold, &mut |_| ()), HookVerdict::Decoded);
        }
        if let Some(run) = thread.finish() {
            let payload = serde_json::to_vec(&run).unwrap();
            prop_assert_eq!(codex::decode_result(&payload, 1, &mut AsTold, &mut |_| ()), HookVerdict::Decoded);
        }
    }

    /// Lines that come again or in another order tell of the same requests.
    #[test]
    fn repeated_lines_make_no_second_request(order in prop::collection::vec(any::<prop::sample::Index>(), 0..60)) {
        let bytes = fixture("claude-code-stream.jsonl");
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let mut headless = Headless::default();
        lines.iter().copied().chain(order.iter().map(|place| *place.get(&lines))).for_each(|line| headless.line(line, 1));
        let run = headless.finish().unwrap();
        prop_assert_eq!(run.requests, self::run("claude-code-stream.jsonl").requests.into_iter().map(|mut request| {
            request.at = 1;
            request
        }).collect::<Vec<_>>());
    }
}
