//! What the configuration says of reports.

use jiff::civil::Date;

use crate::{Currency, Groups, QueryError};

/// The user's groups and labels, and the currency that reports are in unless they are asked for in another.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub groups: Groups,
    pub currency: Option<Currency>,
    /// Labels that are kept of requests.
    pub labels: Vec<String>,
}

/// The words of a query that tell its currency.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AskedCurrency<'a> {
    pub code: Option<&'a str>,
    pub rate: Option<&'a str>,
    pub rate_date: Option<Date>,
}

impl Settings {
    /// The currency asked for: the query's words over the configuration's, whose rate is of its own currency only. A rate without a day
    /// is today's.
    pub(crate) fn currency(&self, asked: AskedCurrency<'_>, today: Date) -> Result<Option<Currency>, QueryError> {
        let wrong = |field, value: &str, wanted| QueryError::Value { field, value: value.to_owned(), wanted };
        let code = match asked.code {
            Some(code) => crate::currency::parse_code(code)
                .map_err(|_| wrong("currency", code, "currency; write a code of three letters such as EUR"))?,
            None => match &self.currency {
                Some(known) => known.code().to_owned(),
                None if asked.rate.is_some() || asked.rate_date.is_some() => return Err(QueryError::NoCurrency),
                None => return Ok(None),
            },
        };
        let configured = self.currency.as_ref().filter(|known| known.code() == code);
        match (asked.rate, configured) {
            (Some(rate), _) => Currency::new(&code, rate, asked.rate_date.unwrap_or(today)).map(Some).map_err(|_| {
                wrong("rate", rate, "rate; write what a US dollar is in the currency, such as 0.92 (at most 12 decimals)")
            }),
            (None, _) if code == "USD" && asked.rate_date.is_none() => Ok(None),
            (None, _) if asked.rate_date.is_some() => Err(QueryError::NoRate { code }),
            (None, Some(known)) => Ok(Some(known.clone())),
            (None, None) => Err(QueryError::NoRate { code }),
        }
    }
}
