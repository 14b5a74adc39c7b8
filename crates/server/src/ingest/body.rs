//! The JSON body of a call of the first version's API.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ducat_ledger::UnixMs;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::api::error;

pub(super) const MISSING: &str = "Missing required fields";
/// Bytes of a name or id; no client sends longer ones.
pub(super) const LONGEST_NAME: usize = 256;

/// The fields of a body; each fault names its field.
pub(super) struct Body(serde_json::Map<String, Value>);

/// Status and words of a call that is refused.
pub(crate) struct Refused(pub StatusCode, pub String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        error(self.0, &self.1)
    }
}

pub(super) fn bad(what: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, what.into())
}

impl Body {
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(bad("body: must be a JSON object")),
            Err(fault) => Err(bad(format!("body: not JSON: {fault}"))),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() > LONGEST_NAME => {
                Err(bad(format!("{name}: longer than {LONGEST_NAME} bytes")))
            }
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(bad(format!("{name}: must be a string"))),
        }
    }

    pub fn required(&self, name: &str) -> Result<&str, Refused> {
        self.text(name)?.ok_or_else(|| bad(MISSING))
    }

    /// A number from 0, not too large to be kept exactly in thousandths.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Refused> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if (0.0..=1e12).contains(&number) => Ok(Some(number)),
                Some(_) => Err(bad(format!("{name}: must be from 0 to 10^12"))),
                None => Err(bad(format!("{name}: must be a number"))),
            },
        }
    }

    pub fn count(&self, name: &str) -> Result<Option<u64>, Refused> {
        match self.number(name)? {
            None => Ok(None),
            Some(number) if number.fract() == 0.0 => Ok(Some(number as u64)),
            Some(_) => Err(bad(format!("{name}: must be a whole number"))),
        }
    }

    /// The user the agent works for; `user` is the same.
    pub fn citizen(&self) -> Result<&str, Refused> {
        match self.text("citizen")? {
            Some(citizen) => Ok(citizen),
            None => self.required("user"),
        }
    }

    /// That user's team; `team` is the same.
    pub fn team(&self) -> Result<&str, Refused> {
        Ok(self.text("citizenClass")?.or(self.text("team")?).unwrap_or("unknown"))
    }

    /// RFC 3339, or without a zone: then UTC.
    pub fn timestamp(&self) -> Result<Option<UnixMs>, Refused> {
        let Some(text) = self.text("timestamp")? else { return Ok(None) };
        let zoned = text.parse::<Timestamp>().ok();
        let plain = || text.parse::<DateTime>().ok()?.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        match zoned.or_else(plain) {
            Some(at) => Ok(Some(at.as_millisecond())),
            None => Err(bad("timestamp: must be ISO 8601, such as 2026-01-31T12:00:00Z")),
        }
    }
}
