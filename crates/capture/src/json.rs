//! Reading single values out of JSON that is not parsed as a whole.

use std::borrow::Cow;

use ducat_ledger::{LARGEST_COUNT, UnixMs};
use jiff::Timestamp;
use sonic_rs::{JsonValueTrait, LazyValue};

/// A count of tokens, bytes or the like; `None` for negative, fractional, absurd or other values.
pub fn count(value: &LazyValue<'_>) -> Option<u64> {
    value.as_u64().filter(|count| *count <= LARGEST_COUNT)
}

/// A string's characters. Borrowed where it has no escapes, which is nearly always.
pub fn text<'a>(value: &LazyValue<'a>) -> Option<Cow<'a, str>> {
    let Cow::Borrowed(raw) = value.as_raw_cow() else {
        return value.as_str().map(|text| Cow::Owned(text.to_owned()));
    };
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { value.as_str().map(|text| Cow::Owned(text.to_owned())) } else { Some(Cow::Borrowed(inner)) }
}

/// Calls `each` with the fields of an object; nothing for other values, and an end at the first fault.
pub fn for_fields<'a>(value: &LazyValue<'a>, mut each: impl FnMut(&str, LazyValue<'a>)) {
    if let Cow::Borrowed(raw) = value.as_raw_cow()
        && raw.starts_with('{')
    {
        for (name, value) in sonic_rs::to_object_iter(raw).flatten() {
            each(&name, value);
        }
    }
}

/// Calls `each` with the items of an array; nothing for other values, and an end at the first fault.
pub fn for_items<'a>(value: &LazyValue<'a>, mut each: impl FnMut(LazyValue<'a>)) {
    if let Cow::Borrowed(raw) = value.as_raw_cow()
        && raw.starts_with('[')
    {
        for item in sonic_rs::to_array_iter(raw).flatten() {
            each(item);
        }
    }
}

/// A JSON text as one value, none of it looked into yet; the error says in a few words why it cannot be read.
pub fn document(bytes: &[u8]) -> Result<LazyValue<'_>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
    if is_too_deep(bytes) {
        return Err("nested too deep");
    }
    sonic_rs::from_str(text).map_err(|_| "not JSON")
}

/// Like [`document`], for an object.
pub fn object(bytes: &[u8]) -> Result<LazyValue<'_>, &'static str> {
    document(bytes).ok().filter(LazyValue::is_object).ok_or_else(|| document(bytes).err().unwrap_or("not a JSON object"))
}

/// A number, also a fractional one, that is not NaN or infinite.
pub fn number(value: &LazyValue<'_>) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// A string that is not empty.
pub fn id<'a>(value: &LazyValue<'a>) -> Option<Cow<'a, str>> {
    text(value).filter(|id| !id.is_empty())
}

/// RFC 3339 as written, or milliseconds since 1970.
pub fn time(value: &LazyValue<'_>) -> Option<UnixMs> {
    match text(value) {
        Some(text) => text.parse::<Timestamp>().ok().map(|at| at.as_millisecond()),
        None => value.as_f64().filter(|ms| ms.abs() < 1e15).map(|ms| ms as UnixMs),
    }
}

/// No client nests deeper; the parser recurses, so what does is refused before it is parsed.
const DEEPEST: usize = 256;

/// Whether brackets nest so deep that parsing could exhaust the stack.
pub fn is_too_deep(text: &[u8]) -> bool {
    // The count bounds the depth and is nearly free; only texts full of brackets, mostly source code in strings, need the long way.
    if memchr::memchr2_iter(b'[', b'{', text).nth(DEEPEST).is_none() {
        return false;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at = after_string(text, at),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

/// The place behind the closing quote of a string that begins at `at`.
fn after_string(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        let place = at + found;
        if text[place] == b'"' {
            return place + 1;
        }
        at = place + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings() {
        assert!(is_too_deep("[".repeat(1000).as_bytes()));
        assert!(is_too_deep("{\"a\":".repeat(1000).as_bytes()));
        assert!(!is_too_deep(format!("[\"{}\\\"[\"]", "[{".repeat(1000)).as_bytes()));
        assert!(!is_too_deep("[[]]".repeat(1000).as_bytes()));
        assert!(is_too_deep(format!("{{\"a\\\\\":{}", "[".repeat(1000)).as_bytes()));
    }
}
