//! Damaged lines: no panic, and a line means the same whatever stands around it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_capture::AsTold;
use ducat_capture::claude_code::{FileState, decode_line};
use ducat_capture::{Detail, LineVerdict};
use ducat_ledger::Fact;
use proptest::prelude::*;

const LINES: [&str; 3] = [
    r#"{"parentUuid":null,"cwd":"/app","sessionId":"s","gitBranch":"main","type":"assistant","requestId":"r","uuid":"91be74e6-150a-40aa-9e40-2862066b760b","timestamp":"2026-01-05T18:20:00.123Z","message":{"id":"m","role":"assistant","model":"claude-opus-4-8","usage":{"input_tokens":4,"cache_creation_input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},"output_tokens":9,"server_tool_use":{"web_search_requests":1},"service_tier":"standard"}}}"#,
    r#"{"type": "progress", "sessionId": "s", "uuid": "91be74e6-150a-40aa-9e40-2862066b760c", "timestamp": "2026-01-05T18:20:01Z", "data": {"type": "agent_progress", "agentId": "a1", "message": {"type": "assistant", "requestId": "r2", "timestamp": "2026-01-05T18:20:00Z", "message": {"role": "assistant", "id": "m2", "model": "claude-haiku-4-5-20251001", "usage": {"input_tokens": 1, "output_tokens": 2}}}}}"#,
    r#"{"type":"queue-operation","operation":"enqueue","timestamp":"2026-01-05T18:19:00Z","sessionId":"s","content":"say \"hi\" \u00e9\ud83d\ude00"}"#,
];

fn decode(line: &[u8]) -> (LineVerdict, Vec<Fact>) {
    let mut facts = Vec::new();
    let verdict = decode_line(line, &mut FileState::default(), &mut AsTold, Detail::All, &mut |fact| facts.push(fact));
    (verdict, facts)
}

fn request(line: &str) -> Option<ducat_ledger::Request> {
    decode(line.as_bytes()).1.into_iter().find_map(|fact| match fact {
        Fact::Request(request) => Some(request),
        _ => None,
    })
}

#[test]
fn a_request_as_it_stands() {
    let direct = request(LINES[0]).unwrap();
    let usage = direct.usage();
    assert_eq!(
        (usage.input, usage.output, usage.cache_write_5m, usage.cache_write_1h, usage.cache_write_unsplit),
        (4, 9, 3, 4, 0)
    );
    assert_eq!((usage.web_search_requests, direct.id.as_str()), (1, "r"));
    assert_eq!(direct.started_at.get(), Some(&1_767_637_200_123));
    let nested = request(LINES[1]).unwrap();
    assert_eq!((nested.id.as_str(), nested.usage().output, nested.subagent.get().unwrap().as_str()), ("r2", 2, "a1"));
    assert!(request(LINES[2]).is_none());
    assert!(request(&LINES[0].replace("claude-opus-4-8", "<synthetic>")).is_none());
    assert_eq!(request(&LINES[0].replace("\"requestId\":\"r\",", "")).unwrap().id, "m");
    assert_eq!(
        request(&LINES[0].replace("\"requestId\":\"r\",", "").replace("\"id\":\"m\",", "")).unwrap().id,
        "91be74e6-150a-40aa-9e40-2862066b760b"
    );
    // More written than its parts say: the rest is not lost.
    assert_eq!(request(&LINES[0].replace("_tokens\":7", "_tokens\":10")).unwrap().usage().cache_write_unsplit, 3);
}

#[test]
fn facts_survive_where_a_field_is_of_another_type() {
    for (from, to) in [
        ("\"main\"", "7"),
        ("\"/app\"", "[]"),
        ("\"2026-01-05T18:20:00.123Z\"", "\"yesterday\""),
        ("\"standard\"", "{}"),
        ("{\"web_search_requests\":1}", "[]"),
    ] {
        assert_eq!(request(&LINES[0].replace(from, to)).unwrap().usage().output, 9, "{from}");
    }
}

proptest! {
    #[test]
    fn damage_never_panics(which in 0..LINES.len(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut line = LINES[which].as_bytes().to_vec();
        for (place, byte) in damage {
            let place = place.index(line.len());
            line[place] = byte;
        }
        decode(&line);
        line.truncate(cut.index(line.len()));
        decode(&line);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode(&bytes);
    }
}
