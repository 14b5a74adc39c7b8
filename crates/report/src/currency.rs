//! Costs in a currency of the user's choice, at the user's own rate.

use ducat_prices::NanoUsd;
use jiff::civil::Date;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Digits behind the point that a rate may have.
const DECIMALS: usize = 12;
const ONE: i128 = 1_000_000_000_000;
/// A million of them for a dollar; the weakest currency is below.
const LARGEST: i128 = 1_000_000 * ONE;

/// A currency and what a US dollar is in it. Every figure is converted by itself and rounded half up to a billionth, so the rounded rows
/// need not add up to the rounded total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency {
    code: String,
    /// In 10^-12 of a unit for a dollar.
    rate_pico: i128,
    /// The rate's day, as the user says.
    rate_date: Date,
}

impl Currency {
    /// `code` is three letters such as `EUR`; `rate` a decimal number such as `0.92`. The error says what is wrong with which.
    pub fn new(code: &str, rate: &str, rate_date: Date) -> Result<Self, CurrencyError> {
        Ok(Self { code: parse_code(code)?, rate_pico: parse_rate(rate).ok_or(CurrencyError::Rate)?, rate_date })
    }

    pub fn code(&self) -> &str {
        &self.code
    }

    /// The rate without needless zeros.
    pub fn rate(&self) -> String {
        let text = format!("{}.{:012}", self.rate_pico / ONE, self.rate_pico % ONE);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    pub fn rate_date(&self) -> Date {
        self.rate_date
    }

    /// Billionths of the currency's unit.
    pub fn nano(&self, cost: NanoUsd) -> i64 {
        let product = i128::from(cost.0) * self.rate_pico;
        let rounded = (product.abs() + ONE / 2) / ONE * product.signum();
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    /// For people, with the currency's sign where it is known everywhere, else its code.
    pub fn text(&self, cost: NanoUsd) -> String {
        let sign = match self.code.as_str() {
            "EUR" => "€".to_owned(),
            "GBP" => "£".to_owned(),
            "JPY" => "¥".to_owned(),
            "INR" => "₹".to_owned(),
            code => format!("{code} "),
        };
        ducat_prices::amount_text(self.nano(cost), &sign)
    }
}

/// What is wrong with a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    #[error("currency")]
    Code,
    #[error("rate")]
    Rate,
}

/// Three capital letters; small ones are taken too.
pub fn parse_code(code: &str) -> Result<String, CurrencyError> {
    let is_code = code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_alphabetic());
    if is_code { Ok(code.to_ascii_uppercase()) } else { Err(CurrencyError::Code) }
}

fn parse_rate(rate: &str) -> Option<i128> {
    let (whole, part) = rate.split_once('.').unwrap_or((rate, ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 7
        || part.len() > DECIMALS
        || !is_number(whole)
        || !is_number(part)
        || rate.ends_with('.')
    {
        return None;
    }
    let pico: i128 = format!("{whole}{part:0<DECIMALS$}").parse().ok()?;
    (pico > 0 && pico <= LARGEST).then_some(pico)
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("rate", &self.rate())?;
        map.serialize_entry("rate_date", &self.rate_date.to_string())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> Date {
        "2026-11-24".parse().unwrap()
    }

    #[test]
    fn amounts_are_exact_and_rounded_once() {
        for (code, rate, usd, nano, text) in [
            ("EUR", "0.92", 236_355_000, 217_446_600, "€0.2174"),
            ("eur", "0.5", 1, 1, "€0.000000001"),
            ("EUR", "0.5", -1, -1, "-€0.000000001"),
            ("EUR", "0.49", 1, 0, "€0.00"),
            ("JPY", "151.230000000001", 1_000_000_000, 151_230_000_000, "¥151.23"),
            ("CHF", "1", 12_340_000_000, 12_340_000_000, "CHF 12.34"),
            ("VND", "1000000", i64::MAX, i64::MAX, "VND 9,223,372,037"),
        ] {
            let currency = Currency::new(code, rate, day()).unwrap();
            assert_eq!(
                (currency.nano(NanoUsd(usd)), currency.text(NanoUsd(usd))),
                (nano, text.to_owned()),
                "{code} {rate} {usd}"
            );
        }
        assert_eq!(Currency::new("EUR", "00.9200", day()).unwrap().rate(), "0.92");
        assert_eq!(Currency::new("JPY", "150", day()).unwrap().rate(), "150");
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for rate in ["", "0", "0.0", "-1", "1e3", "1,5", ".5", "5.", "1000001", "99999999", "0.1234567890123", "NaN", "１"] {
            assert_eq!(Currency::new("EUR", rate, day()), Err(CurrencyError::Rate), "{rate}");
        }
        for code in ["", "EU", "EURO", "E1R", "€"] {
            assert_eq!(Currency::new(code, "1", day()), Err(CurrencyError::Code), "{code}");
        }
    }
}
