//! A log record, span or data point with its resource's attributes: reading them, whatever type the client gave their values.

use std::collections::BTreeMap;
use std::fmt::Write;

use ducat_ledger::UnixMs;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::trace::v1::Span;

/// UTF-8 bytes of the longest attribute value that is kept.
const LONGEST_TEXT: usize = 256;
const NANO_PER_MS: u64 = 1_000_000;
/// A record's time may be this far ahead of when it came in; beyond, a clock is wrong.
const MOST_AHEAD_MS: i64 = 24 * 60 * 60 * 1000;
/// No model call has a million million of anything.
pub const MOST: u64 = 1_000_000_000_000;

pub struct Record<'a> {
    attributes: BTreeMap<&'a str, &'a Value>,
    /// When it ended: the first told time after 1970 and not in the far future, else when it came in.
    pub at: UnixMs,
    /// As told, in nanoseconds; 0 where nobody told.
    nanos: u64,
    now: UnixMs,
}

impl<'a> Record<'a> {
    pub fn of_log(log: &'a LogRecord, outer: &[&'a [KeyValue]], now: UnixMs) -> Self {
        Self::new(&log.attributes, outer, [log.time_unix_nano, log.observed_time_unix_nano], now)
    }

    pub fn of_span(span: &'a Span, outer: &[&'a [KeyValue]], now: UnixMs) -> Self {
        Self::new(&span.attributes, outer, [span.end_time_unix_nano, span.start_time_unix_nano], now)
    }

    pub fn of_point(point: &'a NumberDataPoint, outer: &[&'a [KeyValue]], now: UnixMs) -> Self {
        Self::new(&point.attributes, outer, [point.time_unix_nano, point.start_time_unix_nano], now)
    }

    /// Of attributes alone, which tell no time.
    pub fn of_attributes(own: &'a [KeyValue], outer: &[&'a [KeyValue]], now: UnixMs) -> Self {
        Self::new(own, outer, [0, 0], now)
    }

    /// Its own attributes come before its scope's and resource's of the same name.
    fn new(own: &'a [KeyValue], outer: &[&'a [KeyValue]], nanos: [u64; 2], now: UnixMs) -> Self {
        let mut attributes = BTreeMap::new();
        for KeyValue { key, value, .. } in outer.iter().copied().flatten().chain(own) {
            if let Some(value) = value.as_ref().and_then(|value| value.value.as_ref()) {
                attributes.insert(key.as_str(), value);
            }
        }
        let told = nanos.into_iter().find(|nanos| *nanos > 0).unwrap_or_default();
        let mut record = Self { attributes, at: now, nanos: told, now };
        let stamp = record.text("event.timestamp").and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let mut times = stamp.map(|time| time.as_millisecond()).into_iter().chain(nanos.map(millis));
        record.at = times.find(|at| record.is_sane(*at)).unwrap_or(now);
        record
    }

    fn is_sane(&self, at: UnixMs) -> bool {
        at > 0 && at <= self.now.saturating_add(MOST_AHEAD_MS)
    }

    /// A time that makes sense, from nanoseconds since 1970.
    pub fn time(&self, nanos: u64) -> Option<UnixMs> {
        Some(millis(nanos)).filter(|at| self.is_sane(*at))
    }

    /// When it began, of records that are written at the end and tell their duration.
    pub fn began(&self) -> UnixMs {
        let duration = self.count("duration_ms").and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
        Some(self.at.saturating_sub(duration)).filter(|at| *at > 0).unwrap_or(self.at)
    }

    /// A text that is neither empty nor too long.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.long_text(name).filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT)
    }

    /// A text of any length, to be looked at and not kept.
    pub fn long_text(&self, name: &str) -> Option<&'a str> {
        match self.attributes.get(name)? {
            Value::StringValue(text) => Some(text),
            _ => None,
        }
    }

    /// The first of a list of texts.
    pub fn first_text(&self, name: &str) -> Option<&'a str> {
        let Value::ArrayValue(list) = self.attributes.get(name)? else { return None };
        match list.values.first()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.as_str()).filter(|text| !text.is_empty() && text.len() <= LONGEST_TEXT),
            _ => None,
        }
    }

    /// A whole number that is neither negative nor absurd, told as integer, text or double.
    pub fn count(&self, name: &str) -> Option<u64> {
        let count = match self.attributes.get(name)? {
            Value::IntValue(number) => u64::try_from(*number).ok(),
            Value::DoubleValue(number) => whole(*number),
            Value::StringValue(text) if text.len() <= LONGEST_TEXT => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
            _ => None,
        };
        count.filter(|count| *count <= MOST)
    }

    pub fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// The first of these that is told, of a list its first.
    pub fn any_text(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.text(name).or_else(|| self.first_text(name)))
    }

    /// A number that is finite.
    pub fn number(&self, name: &str) -> Option<f64> {
        let number = match self.attributes.get(name)? {
            Value::IntValue(number) => *number as f64,
            Value::DoubleValue(number) => *number,
            Value::StringValue(text) if text.len() <= LONGEST_TEXT => text.parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    pub fn required_count(&self, name: &str) -> Result<u64, String> {
        self.count(name).ok_or_else(|| format!("{name}: missing or no count"))
    }

    pub fn required_text(&self, name: &str) -> Result<&'a str, String> {
        self.text(name).ok_or_else(|| format!("{name}: missing or no string"))
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.attributes.get(name)? {
            Value::BoolValue(flag) => Some(*flag),
            Value::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// What tells this record from others of its client, the same however often it is sent.
    pub fn identity(&self, names: &[&str]) -> String {
        let mut identity = self.nanos.to_string();
        for name in ["session.id", "conversation.id", "event.timestamp", "event.sequence"].iter().chain(names) {
            identity.push('/');
            self.write(name, &mut identity);
        }
        identity
    }

    fn write(&self, name: &str, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self.attributes.get(name) {
            // A longer one is as if it were not there, here as elsewhere: every record of a resource would write it again.
            Some(Value::StringValue(text)) if text.len() <= LONGEST_TEXT => write!(out, "{text}"),
            Some(Value::IntValue(number)) => write!(out, "{number}"),
            Some(Value::DoubleValue(number)) => write!(out, "{number}"),
            Some(Value::BoolValue(flag)) => write!(out, "{flag}"),
            _ => Ok(()),
        };
    }
}

/// What is said of a resource, scope or point, in any order.
pub fn identity_of(attributes: &[KeyValue]) -> String {
    let mut said: Vec<String> = attributes.iter().map(|said| format!("{}={:?}", said.key, said.value)).collect();
    said.sort_unstable();
    said.join("\n")
}

fn millis(nanos: u64) -> UnixMs {
    (nanos / NANO_PER_MS) as UnixMs
}

/// A double that is a whole number.
pub fn whole(number: f64) -> Option<u64> {
    /// Above it doubles skip whole numbers.
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(&number)).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::AnyValue;

    use super::*;

    fn attribute(key: &str, text: &str) -> KeyValue {
        let value = Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    /// What all records of a resource inherit is not gone through again for each.
    #[test]
    fn long_texts_are_as_if_they_were_not_there() {
        let long = [attribute("session.id", &"s".repeat(1 << 20)), attribute("count", &format!("{:0>1000}", 7))];
        let record = Record::of_attributes(&[], &[&long], 1);
        assert_eq!((record.count("count"), record.number("count")), (None, None));
        assert_eq!(record.identity(&["count"]), "0/////");
        let short = [attribute("session.id", "s"), attribute("count", "007")];
        let record = Record::of_attributes(&[], &[&short], 1);
        assert_eq!((record.count("count"), record.number("count")), (Some(7), Some(7.0)));
        assert_eq!(record.identity(&["count"]), "0/s////007");
    }
}
