//! Reading single values out of JSON that is not parsed as a whole.

use std::borrow::Cow;

use sonic_rs::{JsonValueTrait, LazyValue};

/// No model call has a million million of anything; a larger count is a mistake and counts as not told.
const MOST: u64 = 1_000_000_000_000;

/// A count of tokens, bytes or the like; `None` for negative, fractional, absurd or other values.
pub fn count(value: &LazyValue<'_>) -> Option<u64> {
    value.as_u64().filter(|count| *count <= MOST)
}

/// A string's characters. Borrowed where it has no escapes, which is nearly always.
pub fn text<'a>(value: &LazyValue<'a>) -> Option<Cow<'a, str>> {
    let Cow::Borrowed(raw) = value.as_raw_cow() else {
        return value.as_str().map(|text| Cow::Owned(text.to_owned()));
    };
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        value.as_str().map(|text| Cow::Owned(text.to_owned()))
    } else {
        Some(Cow::Borrowed(inner))
    }
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
