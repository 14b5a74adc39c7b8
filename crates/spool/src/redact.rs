//! An event without its content: what is spooled while content is not switched on.
//!
//! Fields that identify or measure are kept; every other value becomes `{"ducat_text_bytes":N,"ducat_hash":"…"}` (a string; UTF-8 bytes of
//! its characters) or `{"ducat_json_bytes":N,"ducat_hash":"…"}` (anything else; bytes of its JSON). The hash is FNV-1a (64 bits) of the JSON.
//! An allow-list: a field that a later client adds is content until it is known to be none.

use std::fmt::Write;

/// Fields of an event that are no content.
const KEPT: [&str; 20] = [
    "session_id",
    "transcript_path",
    "cwd",
    "hook_event_name",
    "prompt_id",
    "permission_mode",
    "effort",
    "source",
    "model",
    "reason",
    "trigger",
    "tool_name",
    "tool_use_id",
    "duration_ms",
    "is_interrupt",
    "agent_id",
    "agent_type",
    "stop_hook_active",
    "timestamp",
    "turn_id",
];
/// Of a tool's input: what it works on.
const KEPT_OF_INPUT: [&str; 4] = ["file_path", "notebook_path", "path", "subagent_type"];
const LONGEST_KEPT: usize = 4096;

/// The event with content fields replaced by their lengths and hashes. What cannot be read as an object is content as a whole.
pub fn redact(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let at = after_space(payload, 0);
    if object(payload, at, &mut out, event_field).is_none_or(|end| after_space(payload, end) != payload.len()) {
        out.clear();
        out.extend_from_slice(b"{\"unreadable\":");
        mark(payload, &mut out);
        out.push(b'}');
    }
    out
}

fn event_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    match name {
        b"tool_input" => input(value, out),
        b"tool_response" => response(value, out),
        b"tool_calls" => calls(value, out),
        _ if KEPT.iter().any(|kept| kept.as_bytes() == name) && value.len() <= LONGEST_KEPT => out.extend_from_slice(value),
        _ => mark(value, out),
    }
}

/// A tool's input: an object of its length, hash and what it works on.
fn input(value: &[u8], out: &mut Vec<u8>) {
    mark(value, out);
    let mut kept = Vec::new();
    let mut has_kept = false;
    let read = object(value, 0, &mut Vec::new(), |name, field, _| {
        if KEPT_OF_INPUT.iter().any(|wanted| wanted.as_bytes() == name)
            && field.first() == Some(&b'"')
            && field.len() <= LONGEST_KEPT
        {
            has_kept = true;
            kept.extend_from_slice(b",\"");
            kept.extend_from_slice(name);
            kept.extend_from_slice(b"\":");
            kept.extend_from_slice(field);
        }
    });
    if read.is_some() && has_kept {
        out.pop();
        out.extend_from_slice(&kept);
        out.push(b'}');
    }
}

/// A tool's answer: its length and hash, and whether it was an error, which Gemini CLI says in this field alone.
fn response(value: &[u8], out: &mut Vec<u8>) {
    mark(value, out);
    let mut error = None;
    let read = object(value, 0, &mut Vec::new(), |name, field, _| {
        if name == b"error" && field != b"null" {
            error = Some(field.to_owned());
        }
    });
    if let (Some(_), Some(error)) = (read, error) {
        out.pop();
        out.extend_from_slice(b",\"error\":");
        mark(&error, out);
        out.push(b'}');
    }
}

/// The calls of a batch, each redacted as an event is.
fn calls(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'[');
    let whole = items(value, |item| {
        if out.len() > start + 1 {
            out.push(b',');
        }
        if object(item, 0, out, event_field).is_none() {
            mark(item, out);
        }
    });
    out.push(b']');
    if whole.is_none() {
        out.truncate(start);
        mark(value, out);
    }
}

fn mark(value: &[u8], out: &mut Vec<u8>) {
    let mut text = String::new();
    let hash =
        value.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let (kind, bytes) = match value.first() {
        Some(b'"') => ("text", text_length(value)),
        _ => ("json", value.len()),
    };
    // Writing to a string cannot fail.
    let _ = write!(text, "{{\"ducat_{kind}_bytes\":{bytes},\"ducat_hash\":\"{hash:016x}\"}}");
    out.extend_from_slice(text.as_bytes());
}

/// UTF-8 bytes of a JSON string's characters.
fn text_length(raw: &[u8]) -> usize {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or(&[]);
    let (mut length, mut at) = (0, 0);
    while let Some(byte) = inner.get(at) {
        if *byte != b'\\' {
            (length, at) = (length + 1, at + 1);
            continue;
        }
        if inner.get(at + 1) != Some(&b'u') {
            (length, at) = (length + 1, at + 2);
            continue;
        }
        let digits = inner.get(at + 2..at + 6).and_then(|digits| std::str::from_utf8(digits).ok());
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
        // Both halves of a surrogate pair are 4 bytes together.
        length += match unit {
            0..0x80 => 1,
            0x80..0x800 | 0xd800..0xe000 => 2,
            _ => 3,
        };
        at += 6;
    }
    length
}

/// Calls `field` with name and value of every member of the object at `at` and writes an object of what it writes; the end of it.
fn object(text: &[u8], at: usize, out: &mut Vec<u8>, mut field: impl FnMut(&[u8], &[u8], &mut Vec<u8>)) -> Option<usize> {
    if text.get(at) != Some(&b'{') {
        return None;
    }
    let start = out.len();
    out.push(b'{');
    let mut at = after_space(text, at + 1);
    let mut first = true;
    while text.get(at)? != &b'}' || !first {
        if text.get(at)? != &b'"' {
            return None;
        }
        let name_end = after_string(text, at)?;
        let name = text.get(at + 1..name_end - 1)?;
        at = after_space(text, name_end);
        if text.get(at)? != &b':' {
            return None;
        }
        at = after_space(text, at + 1);
        let end = after_value(text, at)?;
        if out.len() > start + 1 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name);
        out.extend_from_slice(b"\":");
        field(name, text.get(at..end)?, out);
        at = after_space(text, end);
        first = false;
        match text.get(at)? {
            b',' => at = after_space(text, at + 1),
            b'}' => break,
            _ => return None,
        }
    }
    out.push(b'}');
    Some(at + 1)
}

/// Calls `item` with every item of an array.
fn items(text: &[u8], mut item: impl FnMut(&[u8])) -> Option<()> {
    if text.first() != Some(&b'[') {
        return None;
    }
    let mut at = after_space(text, 1);
    while text.get(at)? != &b']' {
        let end = after_value(text, at)?;
        item(text.get(at..end)?);
        at = after_space(text, end);
        match text.get(at)? {
            b',' => at = after_space(text, at + 1),
            b']' => break,
            _ => return None,
        }
    }
    Some(())
}

fn after_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The place behind the closing quote of the string that begins at `at`.
fn after_string(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The place behind the value that begins at `at`; counts brackets, so that no nesting exhausts the stack.
fn after_value(text: &[u8], mut at: usize) -> Option<usize> {
    let begin = at;
    let mut depth = 0_usize;
    loop {
        match text.get(at) {
            Some(b'"') => at = after_string(text, at)?,
            Some(b'{' | b'[') => (depth, at) = (depth + 1, at + 1),
            Some(b'}' | b']') if depth > 0 => (depth, at) = (depth - 1, at + 1),
            Some(b',' | b':' | b' ' | b'\t' | b'\n' | b'\r') if depth > 0 => {
                at += 1;
                continue;
            }
            Some(byte) if depth > 0 || !matches!(byte, b'}' | b']' | b',' | b':') => {
                while text.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
                    at += 1;
                }
                if at == begin
                    || text.get(at).is_some_and(|byte| !matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'))
                {
                    return None;
                }
            }
            _ => return None,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn redacted(event: &Value) -> Value {
        serde_json::from_slice(&redact(event.to_string().as_bytes())).unwrap()
    }

    #[test]
    fn content_goes_and_measures_stay() {
        let event = json!({
            "session_id": "s", "hook_event_name": "PostToolBatch", "prompt": "Grüße \u{1f600}\n", "duration_ms": 5,
            "tool_input": {"file_path": "/a", "content": "secret", "deep": [[{"x": 1}]]},
            "tool_calls": [{"tool_name": "Bash", "tool_use_id": "t", "tool_input": {"command": "secret"}, "tool_response": ["secret"]}],
            "new_field": {"secret": 1}
        });
        let answer = redacted(&event);
        assert!(!answer.to_string().contains("secret"), "{answer}");
        assert_eq!(answer["session_id"], "s");
        assert_eq!(answer["duration_ms"], 5);
        assert_eq!(answer["prompt"]["ducat_text_bytes"], "Grüße \u{1f600}\n".len());
        assert_eq!(answer["tool_input"]["file_path"], "/a");
        assert_eq!(answer["tool_input"]["ducat_json_bytes"], event["tool_input"].to_string().len());
        assert_eq!(answer["tool_calls"][0]["tool_name"], "Bash");
        assert_eq!(answer["tool_calls"][0]["tool_response"]["ducat_json_bytes"], 10);
    }

    #[test]
    fn other_agents_keep_what_identifies_and_whether_it_failed() {
        let gemini = json!({
            "session_id": "s", "hook_event_name": "AfterTool", "timestamp": "2026-11-24T02:47:33.197Z", "tool_name": "write_file",
            "tool_input": {"file_path": "a", "content": "secret"}, "prompt": "secret", "prompt_response": "secret",
            "tool_response": {"llmContent": "secret", "error": {"message": "secret"}},
            "llm_request": {"messages": ["secret"]}, "llm_response": {"text": "secret"}
        });
        let answer = redacted(&gemini);
        assert!(!answer.to_string().contains("secret"), "{answer}");
        assert_eq!(answer["timestamp"], gemini["timestamp"]);
        assert!(answer["tool_response"]["error"].is_object());
        for fine in [json!({"llmContent": "secret", "error": null}), json!("secret"), json!(["secret"])] {
            let answer = redacted(&json!({ "tool_response": fine, "turn_id": "t", "last_assistant_message": "secret" }));
            assert!(answer["tool_response"].get("error").is_none() && !answer.to_string().contains("secret"), "{answer}");
            assert_eq!(answer["turn_id"], "t");
        }
    }

    #[test]
    fn escapes_count_as_their_characters() {
        for (raw, bytes) in [(r#""a\n\"""#, 3), (r#""\u00e9""#, 2), (r#""\ud83d\ude00""#, 4), (r#""\u20ac""#, 3), ("\"\"", 0)] {
            assert_eq!(text_length(raw.as_bytes()), bytes, "{raw}");
            assert_eq!(serde_json::from_str::<String>(raw).unwrap().len(), bytes);
        }
    }

    #[test]
    fn what_cannot_be_read_is_content() {
        for bad in ["", "secret", "{\"a\":secret", "{\"a\" 1}", "[1]", "{\"a\":1}secret", "{\"a\":[1}", "{\"a\":1,}"] {
            let answer: Value = serde_json::from_slice(&redact(bad.as_bytes())).unwrap();
            assert!(!answer.to_string().contains("secret"), "{bad} became {answer}");
        }
        redact("[".repeat(1_000_000).as_bytes());
        redact(format!("{{\"a\":{}", "[".repeat(1_000_000)).as_bytes());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[a-z_]{1,8}", inner), 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_event_stays_json(fields in prop::collection::btree_map(prop::sample::select(vec!["tool_input", "tool_calls", "prompt", "cwd", "x"]), any_json(), 0..5)) {
            let event = Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
            for text in [event.to_string(), serde_json::to_string_pretty(&event).unwrap()] {
                let answer: Value = serde_json::from_slice(&redact(text.as_bytes())).unwrap();
                prop_assert!(answer.get("unreadable").is_none());
                prop_assert_eq!(answer.as_object().unwrap().len(), event.as_object().unwrap().len());
            }
        }

        #[test]
        fn any_bytes_become_json(bytes: Vec<u8>) {
            prop_assert!(std::str::from_utf8(&bytes).is_err() || serde_json::from_slice::<Value>(&redact(&bytes)).is_ok());
        }
    }
}
