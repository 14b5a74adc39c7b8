//! Pages of the vendors' APIs: `{"data": [{start, "results": [{…}]}], "has_more": false}`.

use std::collections::BTreeSet;

use ducat_prices::NanoUsd;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{Bill, BillError, Vendor, anthropic, dollars, openai};

pub(super) fn page(page: &Value) -> Result<Bill, BillError> {
    let Some(buckets) = page.get("data").and_then(Value::as_array) else { return Err(BillError::Unknown) };
    let (mut days, mut lines, mut vendor) = (BTreeSet::new(), Vec::new(), None);
    for (place, bucket) in buckets.iter().enumerate() {
        let bucket = Object::of(bucket, format!("data[{place}]"))?;
        let (of, day) = match (bucket.fields.get("starting_at"), bucket.fields.get("start_time")) {
            (Some(start), _) => (Vendor::Anthropic, start.as_str().and_then(|text| text.parse::<Timestamp>().ok())),
            (None, Some(start)) => (Vendor::OpenAi, start.as_i64().and_then(|second| Timestamp::from_second(second).ok())),
            (None, None) => return Err(BillError::Unknown),
        };
        let start = if of == Vendor::Anthropic { "starting_at" } else { "start_time" };
        let day = day.ok_or_else(|| bucket.wrong(start, "no time"))?;
        let day: Date = TimeZone::UTC.to_datetime(day).date();
        days.insert(day);
        vendor = Some(of);
        // OpenAI's reference once spelt it `result`.
        let name = if bucket.has("results") { "results" } else { "result" };
        let results = bucket.fields.get(name).and_then(Value::as_array).ok_or_else(|| bucket.wrong("results", "no array"))?;
        for (place, result) in results.iter().enumerate() {
            let result = Object::of(result, format!("{}.{name}[{place}]", bucket.place))?;
            let told = if of == Vendor::Anthropic { anthropic::result(day, &result)? } else { openai::result(day, &result)? };
            // Compared with nothing it would agree with everything.
            if told.iter().any(|line| line.model.is_none() && line.count.is_some_and(|count| count > 0)) {
                return Err(result.wrong("model", "missing; ask for usage grouped by model"));
            }
            lines.extend(told);
        }
    }
    let has_more = page.get("has_more").and_then(Value::as_bool).unwrap_or(false);
    Ok(Bill { vendor: vendor.ok_or(BillError::Unknown)?, days, lines, has_more })
}

/// A JSON object, and where it stands.
pub(super) struct Object<'j> {
    pub fields: &'j Map<String, Value>,
    pub place: String,
}

impl<'j> Object<'j> {
    fn of(value: &'j Value, place: String) -> Result<Self, BillError> {
        match value {
            Value::Object(fields) => Ok(Self { fields, place }),
            _ => Err(BillError::At { place, field: "itself".to_owned(), problem: "no object".to_owned() }),
        }
    }

    pub fn wrong(&self, field: &str, problem: &str) -> BillError {
        BillError::At { place: self.place.clone(), field: field.to_owned(), problem: problem.to_owned() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.told(name).is_some()
    }

    fn told(&self, name: &str) -> Option<&'j Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Result<Option<&'j str>, BillError> {
        let Some(value) = self.told(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(name, &format!("{value} is no text")))
    }

    pub fn count(&self, name: &str) -> Result<Option<u64>, BillError> {
        let Some(value) = self.told(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| self.wrong(name, &format!("{value} is no whole number from 0")))
    }

    pub fn object(&self, name: &str) -> Result<Option<Object<'j>>, BillError> {
        self.told(name).map(|value| Object::of(value, format!("{}.{name}", self.place))).transpose()
    }

    /// A decimal number, as text or as a number.
    pub fn amount(&self, name: &str) -> Result<NanoUsd, BillError> {
        let value = self.told(name).ok_or_else(|| self.wrong(name, "missing"))?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        dollars(&text).ok_or_else(|| self.wrong(name, &format!("{text:?} is no amount of money")))
    }

    pub fn is_in_dollars(&self, name: &str) -> Result<(), BillError> {
        match self.text(name)? {
            Some(other) if !other.eq_ignore_ascii_case("usd") => {
                Err(self.wrong(name, &format!("{other:?}: only bills in USD can be compared")))
            }
            _ => Ok(()),
        }
    }
}
