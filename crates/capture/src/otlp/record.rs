//! A log record with its resource's attributes: reading them, whatever type the client gave their values.

use std::collections::BTreeMap;

use ducat_ledger::UnixMs;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

/// UTF-8 bytes of the longest attribute value that is kept.
const LONGEST_TEXT: usize = 256;
const NANO_PER_MS: u64 = 1_000_000;
/// A record's time may be this far ahead of when it came in; beyond, a clock is wrong.
const MOST_AHEAD_MS: i64 = 24 * 60 * 60 * 1000;

pub struct Record<'a> {
    attributes: BTreeMap<&'a str, &'a Value>,
    pub at: UnixMs,
}

impl<'a> Record<'a> {
    pub fn new(log: &'a LogRecord, outer: &[&'a [KeyValue]], now: UnixMs) -> Self {
        let mut record = Self::of(outer, &log.attributes, now);
        let told = record.text("event.timestamp").and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let nanos = [log.time_unix_nano, log.observed_time_unix_nano].map(|nanos| (nanos / NANO_PER_MS) as i64);
        // The first that may be; else when the record came in.
        let mut times = told.map(|time| time.as_millisecond()).into_iter().chain(nanos);
        record.at = times.find(|at| may_be(*at, now)).unwrap_or(now);
        record
    }

    /// The record's own attributes come before its scope's and resource's of the same name.
    pub fn of(outer: &[&'a [KeyValue]], own: &'a [KeyValue], at: UnixMs) -> Self {
        let mut attributes = BTreeMap::new();
        for KeyValue { key, value, .. } in outer.iter().copied().flatten().chain(own) {
            if let Some(value) = value.as_ref().and_then(|value| value.value.as_ref()) {
                attributes.insert(key.as_str(), value);
            }
        }
        Self { attributes, at }
    }

    pub fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// The first of these that is told.
    pub fn first_text(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A text that is neither empty nor too long; of a list its first.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let value = match self.attributes.get(name)? {
            Value::ArrayValue(list) => list.values.first()?.value.as_ref()?,
            value => value,
        };
        match value {
            Value::StringValue(text) => Some(text.as_str()).filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT),
            _ => None,
        }
    }

    /// A whole number that is not negative, told as integer, text or double.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.attributes.get(name)? {
            Value::IntValue(number) => u64::try_from(*number).ok(),
            Value::DoubleValue(number) => whole(*number),
            Value::StringValue(text) => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
            _ => None,
        }
    }

    /// A number that is finite.
    pub fn number(&self, name: &str) -> Option<f64> {
        let number = match self.attributes.get(name)? {
            Value::IntValue(number) => *number as f64,
            Value::DoubleValue(number) => *number,
            Value::StringValue(text) => text.parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.attributes.get(name)? {
            Value::BoolValue(flag) => Some(*flag),
            Value::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// A double that is a count.
pub fn whole(number: f64) -> Option<u64> {
    /// Above it doubles skip whole numbers.
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(&number)).then_some(number as u64)
}

/// A time in nanoseconds, where it is after 1970 and not in the far future.
pub fn time(nanos: u64, now: UnixMs) -> Option<UnixMs> {
    Some((nanos / NANO_PER_MS) as i64).filter(|at| may_be(*at, now))
}

fn may_be(at: UnixMs, now: UnixMs) -> bool {
    at > 0 && at <= now.saturating_add(MOST_AHEAD_MS)
}
