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
    /// The record's own attributes come before its scope's and resource's of the same name.
    pub fn new(log: &'a LogRecord, outer: &[&'a [KeyValue]], now: UnixMs) -> Self {
        let mut attributes = BTreeMap::new();
        for KeyValue { key, value, .. } in outer.iter().copied().flatten().chain(&log.attributes) {
            if let Some(value) = value.as_ref().and_then(|value| value.value.as_ref()) {
                attributes.insert(key.as_str(), value);
            }
        }
        let mut record = Self { attributes, at: now };
        let told = record.text("event.timestamp").and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let nanos = [log.time_unix_nano, log.observed_time_unix_nano].map(|nanos| (nanos / NANO_PER_MS) as i64);
        // The first that is after 1970 and not in the far future; else when the record came in.
        let mut times = told.map(|time| time.as_millisecond()).into_iter().chain(nanos);
        let sane = |at: &UnixMs| *at > 0 && *at <= now.saturating_add(MOST_AHEAD_MS);
        record.at = times.find(sane).unwrap_or(now);
        record
    }

    /// A text that is neither empty nor too long.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.attributes.get(name)? {
            Value::StringValue(text) => Some(text.as_str()).filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT),
            _ => None,
        }
    }

    /// A whole number that is not negative, told as integer, text or double.
    pub fn count(&self, name: &str) -> Option<u64> {
        /// Above it doubles skip whole numbers.
        const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
        let exact = |number: f64| (number.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(&number)).then_some(number as u64);
        match self.attributes.get(name)? {
            Value::IntValue(number) => u64::try_from(*number).ok(),
            Value::DoubleValue(number) => exact(*number),
            Value::StringValue(text) => text.parse().ok().or_else(|| exact(text.parse().ok()?)),
            _ => None,
        }
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.attributes.get(name)? {
            Value::BoolValue(flag) => Some(*flag),
            Value::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    }
}
