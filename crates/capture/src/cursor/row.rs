//! A row of an export by the names of its columns.

use std::borrow::Cow;

use ducat_ledger::{Billing, LARGEST_COUNT, UnixMs};
use jiff::civil::{Date, DateTime, time};
use jiff::{Timestamp, tz::TimeZone};

/// No export has more columns.
const MOST_COLUMNS: usize = 64;

/// The fields of a line, without their quotes; `None` for a line whose quotes do not match.
pub fn fields(line: &str) -> Option<Vec<Cow<'_, str>>> {
    let (mut fields, mut rest) = (Vec::new(), line);
    loop {
        if fields.len() == MOST_COLUMNS {
            return None;
        }
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut end = quoted.find('"')?;
                while quoted[end + 1..].starts_with('"') {
                    end += 2 + quoted[end + 2..].find('"')?;
                }
                let field = &quoted[..end];
                let field = if field.contains('"') { Cow::Owned(field.replace("\"\"", "\"")) } else { Cow::Borrowed(field) };
                (field, &quoted[end + 1..])
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Cow::Borrowed(rest[..end].trim()), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return after.trim().is_empty().then_some(fields),
        }
    }
}

/// Tokens of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub input: u64,
    pub cache_write: Option<u64>,
    pub cache_read: u64,
    pub output: u64,
}

impl Counts {
    /// From the columns "Input (w/ Cache Write)", "Input (w/o Cache Write)", "Cache Read", "Output Tokens" and "Total Tokens"; `None` where no
    /// reading of the columns makes up the total.
    pub fn of(with: u64, input: u64, cache_read: u64, output: u64, total: Option<u64>) -> Option<Self> {
        // Each is at most 10^12.
        let rest = cache_read + output;
        let cache_write = match total {
            None => Some(with),
            // As every real row that was seen: what was written to the cache, and what was not.
            Some(total) if with + input + rest == total => Some(with),
            Some(total) if with + rest == total && input <= with => Some(with - input),
            Some(total) if input + rest == total => None,
            Some(_) => return None,
        };
        Some(Self { input, cache_write, cache_read, output })
    }

    pub fn is_zero(&self) -> bool {
        self.input + self.cache_write.unwrap_or_default() + self.cache_read + self.output == 0
    }
}

/// A count; nothing stands for 0.
pub fn count(field: &str) -> Option<u64> {
    match field.trim() {
        "" | "-" => Some(0),
        digits => digits.replace(',', "").parse().ok().filter(|count| *count <= LARGEST_COUNT),
    }
}

/// RFC 3339, a time without a zone (UTC), or a day, which is taken for its noon.
pub fn at(field: &str) -> Option<UnixMs> {
    let field = field.trim();
    let civil = || field.parse::<DateTime>().ok().filter(|_| field.len() > 10);
    let noon = || Some(field.parse::<Date>().ok()?.to_datetime(time(12, 0, 0, 0)));
    let at = field.parse::<Timestamp>().ok().or_else(|| TimeZone::UTC.to_timestamp(civil().or_else(noon)?).ok())?;
    Some(at.as_millisecond())
}

/// A cost in USD; words ("Included") and other currencies are none.
pub fn usd(field: &str) -> Option<f64> {
    let amount = field.trim().strip_prefix('$').unwrap_or(field.trim());
    amount.replace(',', "").parse().ok().filter(|usd: &f64| usd.is_finite())
}

/// Who paid for an event of a kind.
pub fn billing(kind: &str) -> Option<Billing> {
    match kind {
        _ if kind.starts_with("Included") => Some(Billing::Plan),
        "On-Demand" | "Usage-based" => Some(Billing::Overage),
        "User API Key" => Some(Billing::Metered),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_says_what_the_columns_are() {
        let counts = |input, cache_write, cache_read, output| Some(Counts { input, cache_write, cache_read, output });
        // Two real rows.
        assert_eq!(Counts::of(28342, 775, 105891, 21282, Some(156290)), counts(775, Some(28342), 105891, 21282));
        assert_eq!(Counts::of(0, 8263, 66964, 1612, Some(76839)), counts(8263, Some(0), 66964, 1612));
        assert_eq!(Counts::of(1200, 1000, 500, 300, Some(2000)), counts(1000, Some(200), 500, 300));
        assert_eq!(Counts::of(160000, 159990, 578207, 2055, Some(740252)), counts(159990, None, 578207, 2055));
        assert_eq!(Counts::of(5, 10, 20, 30, None), counts(10, Some(5), 20, 30));
        assert_eq!(Counts::of(1, 2, 3, 4, Some(99)), None);
    }

    #[test]
    fn fields_are_split_outside_of_quotes() {
        let split = |line| fields(line).map(|fields| fields.iter().map(|field| field.to_string()).collect::<Vec<_>>());
        assert_eq!(split("a,\"b,\"\"c\"\"\", d ,"), Some(["a", "b,\"c\"", "d", ""].map(str::to_owned).to_vec()));
        assert_eq!(split("\"\"\"\""), Some(vec!["\"".to_owned()]));
        assert_eq!(split("\"open"), None);
        assert_eq!(split("\"a\"b,c"), None);
        assert_eq!(split(&",".repeat(100)), None);
    }

    #[test]
    fn values_are_read_or_refused() {
        assert_eq!((count("1,234"), count(""), count("x"), count("-5"), count("1e3")), (Some(1234), Some(0), None, None, None));
        assert_eq!(at("2025-11-13T18:36:05.846Z"), Some(1_763_058_965_846));
        assert_eq!(at("2025-11-13 18:36:05"), Some(1_763_058_965_000));
        assert_eq!(at("2025-11-13"), Some(1_763_035_200_000));
        assert_eq!(at("Nov 13, 06:36 PM"), None);
        assert_eq!(
            (usd("$1,234.5"), usd("0.19"), usd("Included"), usd("EUR 3,50"), usd("NaN")),
            (Some(1234.5), Some(0.19), None, None, None)
        );
    }
}
