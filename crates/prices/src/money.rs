//! Money: integer nano-USD.

use std::fmt;
use std::iter::Sum;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in billionths of a US dollar; negative for refunds and differences. Serialised as a decimal string, because JSON readers
/// lose integers above 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    pub const ZERO: Self = Self(0);

    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The nearest floating-point number of dollars; for display and for readers that take an error of 1e-16 of it.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Dollars as a client reports them. `None` when it is no number or beyond ±9.2 billion.
    pub fn from_usd(usd: f64) -> Option<Self> {
        let nano = (usd * 1e9).round();
        (nano.is_finite() && nano.abs() < i64::MAX as f64).then_some(Self(nano as i64))
    }

    /// All nine decimals: `12.340000000`.
    pub fn exact(self) -> String {
        let magnitude = self.0.unsigned_abs();
        format!("{}{}.{:09}", if self.0 < 0 { "-" } else { "" }, magnitude / 1_000_000_000, magnitude % 1_000_000_000)
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

/// For people: `$1,234` from a thousand on, `$12.34` from one, `$0.0123` below, two significant digits below a cent.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&amount_text(self.0, "$"))
    }
}

/// Billionths of any currency as [`NanoUsd`]s are shown, with its sign before the digits.
pub fn amount_text(nano: i64, currency: &str) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = u128::from(nano.unsigned_abs());
    let digits = match nano {
        0 => "0.00".to_owned(),
        999_995_000_000.. => with_commas(rounded(nano, 1_000_000_000)),
        999_950_000.. => {
            let cents = rounded(nano, 10_000_000);
            format!("{}.{:02}", cents / 100, cents % 100)
        }
        9_999_500.. => format!("0.{:04}", rounded(nano, 100_000)),
        _ => {
            let mut step = 1;
            while rounded(nano, step) >= 100 {
                step *= 10;
            }
            let text = format!("{:09}", rounded(nano, step) * step);
            format!("0.{}", text.trim_end_matches('0'))
        }
    };
    format!("{sign}{currency}{digits}")
}

fn rounded(value: u128, step: u128) -> u128 {
    (value + step / 2) / step
}

fn with_commas(value: u128) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Serialize for NanoUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NanoUsd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| serde::de::Error::custom("not an integer number of nano-USD"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well_at_every_size() {
        for (nano, text) in [
            (0, "$0.00"),
            (1, "$0.000000001"),
            (123_456, "$0.00012"),
            (4_560_000, "$0.0046"),
            (9_999_999, "$0.0100"),
            (12_300_000, "$0.0123"),
            (236_355_000, "$0.2364"),
            (999_999_999, "$1.00"),
            (12_340_000_000, "$12.34"),
            (999_999_000_000, "$1,000"),
            (1_234_567_890_000_000, "$1,234,568"),
            (-12_340_000_000, "-$12.34"),
        ] {
            assert_eq!(NanoUsd(nano).to_string(), text, "{nano}");
        }
        assert_eq!(NanoUsd(i64::MIN).to_string(), "-$9,223,372,037");
    }

    #[test]
    fn exact_keeps_every_digit() {
        assert_eq!(NanoUsd(-1_000_000_001).exact(), "-1.000000001");
        assert_eq!(serde_json::to_string(&NanoUsd(i64::MAX)).unwrap(), "\"9223372036854775807\"");
        assert_eq!(serde_json::from_str::<NanoUsd>("\"-5\"").unwrap(), NanoUsd(-5));
    }
}
