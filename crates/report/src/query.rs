//! What a report is asked for.

use ducat_ledger::UnixMs;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::grouping::{LABEL, TAG};
use crate::period::parse_day;
use crate::settings::AskedCurrency;
use crate::{AskedPeriod, Currency, Filters, Grouping, Groups, Period, Settings};

const DAY_MS: i64 = 86_400_000;
const WANTED_GROUPING: &str = "grouping: daily, weekly, monthly, session, project, model, branch, agent, user, team, host, billing, subagent, skill, mcp_server, plugin, query_source, effort, blocks, group, tag:NAME or label:NAME";

const WANTED_BREAKDOWN: &str = "breakdown: project, model, branch, agent, user, team, host, billing, subagent, skill, mcp_server, plugin, query_source, effort; or true for model, or false";

const PARAMETERS: &str = "by, since, until, timezone, project, model, branch, agent, user, team, host, billing, group, breakdown, currency, rate, rate_date";

/// Which requests, and how they are grouped.
#[derive(Clone, Debug)]
pub struct ReportQuery {
    pub by: Grouping,
    pub period: Period,
    pub filters: Filters,
    /// The name of the tag that [`Grouping::Tag`] groups by.
    pub tag: Option<String>,
    /// The name of the label that [`Grouping::Label`] groups by.
    pub label: Option<String>,
    /// Adds each row's sums by it; see [`Grouping::breaks_down`].
    pub breakdown: Option<Grouping>,
    /// When it was asked; what is active is so now.
    pub now: UnixMs,
    pub groups: Groups,
    /// Labels that are kept of requests, also where none has them yet.
    pub configured_labels: Vec<String>,
    /// Adds costs in it.
    pub currency: Option<Currency>,
}

impl Default for ReportQuery {
    fn default() -> Self {
        Self {
            by: Grouping::Daily,
            period: Period::default(),
            filters: Filters::default(),
            tag: None,
            label: None,
            breakdown: None,
            now: UnixMs::MAX,
            groups: Groups::default(),
            configured_labels: Vec::new(),
            currency: None,
        }
    }
}

/// A query that cannot be understood; names the field and says what it takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("{field}: {value:?} is no {wanted}")]
    Value { field: &'static str, value: String, wanted: &'static str },
    #[error("unknown parameter {field:?}; there are {known}")]
    Unknown { field: String, known: &'static str },
    #[error("{field}: {value:?} is not in the configuration; {}", known_names(.known))]
    NotConfigured { field: &'static str, value: String, known: Vec<String> },
    #[error("by: no request has the label {label:?}, nor is it in otlp.labels; {}", known_labels(.known))]
    UnknownLabel { label: String, known: Vec<String> },
    #[error("currency: missing; a rate is of a currency, such as EUR")]
    NoCurrency,
    #[error("rate: missing; say what a US dollar is in {code}, such as 0.92")]
    NoRate { code: String },
    #[error("since: {since} is not before until: {until}")]
    Backwards { since: String, until: String },
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() { "write a [[group]] there".to_owned() } else { format!("there are {}", known.join(", ")) }
}

fn known_labels(known: &[String]) -> String {
    if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) }
}

impl ReportQuery {
    /// Reads `(name, value)` pairs as they stand in a URL or on a command line.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<Self, QueryError> {
        let mut query = Self {
            now: now.as_millisecond(),
            groups: settings.groups.clone(),
            configured_labels: settings.labels.clone(),
            ..Self::default()
        };
        let (mut period, mut currency, mut rate_date) = (AskedPeriod::default(), AskedCurrency::default(), None);
        for (name, value) in pairs {
            if period.take(name, value) || query.filters.take(name, value)? {
                continue;
            }
            let wrong = |field, wanted| QueryError::Value { field, value: value.to_owned(), wanted };
            match name {
                "by" => {
                    query.by = Grouping::parse(value).ok_or_else(|| wrong("by", WANTED_GROUPING))?;
                    query.tag = value.strip_prefix(TAG).map(str::to_owned);
                    query.label = value.strip_prefix(LABEL).map(str::to_owned);
                }
                "currency" => currency.code = Some(value),
                "rate" => currency.rate = Some(value),
                "rate_date" => rate_date = Some(value),
                "breakdown" => {
                    query.breakdown = match value {
                        "" | "1" | "true" => Some(Grouping::Model),
                        "0" | "false" => None,
                        name => Some(
                            Grouping::parse(name)
                                .filter(|by| by.breaks_down())
                                .ok_or_else(|| wrong("breakdown", WANTED_BREAKDOWN))?,
                        ),
                    }
                }
                other => return Err(QueryError::Unknown { field: other.to_owned(), known: PARAMETERS }),
            }
        }
        query.period = period.period(now)?;
        query.filters.check(&query.groups)?;
        let today = query.period.timezone.to_datetime(now).date();
        currency.rate_date = rate_date.map(|value| parse_rate_date(value, today)).transpose()?;
        query.currency = settings.currency(currency, today)?;
        query.is_configured()?;
        Ok(query)
    }

    /// The groups and the tag are ones that the user wrote.
    fn is_configured(&self) -> Result<(), QueryError> {
        is_configured("tag", self.tag.as_deref(), self.groups.tag_names())?;
        if self.by == Grouping::Group && self.groups.is_empty() {
            return Err(QueryError::NotConfigured { field: "by", value: "group".to_owned(), known: Vec::new() });
        }
        Ok(())
    }

    /// The label that it groups by is one that requests have, or one of the configuration.
    pub fn check_label(&self, of_requests: Vec<String>) -> Result<(), QueryError> {
        let Some(label) = &self.label else { return Ok(()) };
        let mut known = [of_requests, self.configured_labels.clone()].concat();
        if known.contains(label) {
            return Ok(());
        }
        known.sort();
        known.dedup();
        Err(QueryError::UnknownLabel { label: label.clone(), known })
    }

    /// The times the query can need, from inclusive to exclusive, in milliseconds; for stores that can skip the rest.
    pub fn time_range(&self) -> (Option<UnixMs>, Option<UnixMs>) {
        let (since, until) = self.period.range();
        if self.by == Grouping::Blocks {
            // A block is shown whole, and where one begins hangs on those before it, back to a pause of five hours.
            return (since.map(|since| since.saturating_sub(7 * DAY_MS)), until.map(|until| until.saturating_add(DAY_MS)));
        }
        (since, until)
    }
}

/// What is asked for, if anything, is one of the known.
pub(crate) fn is_configured(field: &'static str, asked: Option<&str>, known: Vec<&str>) -> Result<(), QueryError> {
    match asked {
        Some(asked) if !known.contains(&asked) => {
            let known = known.into_iter().map(str::to_owned).collect();
            Err(QueryError::NotConfigured { field, value: asked.to_owned(), known })
        }
        _ => Ok(()),
    }
}

fn parse_rate_date(value: &str, today: Date) -> Result<Date, QueryError> {
    let wanted = "day; write 2026-01-31, 20260131, today, yesterday or 7d (six days ago)";
    parse_day(value, today).ok_or_else(|| QueryError::Value { field: "rate_date", value: value.to_owned(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T23:30:00Z".parse().unwrap()
    }

    fn parse(pairs: &[(&'static str, &'static str)]) -> Result<ReportQuery, QueryError> {
        ReportQuery::parse(pairs.iter().copied(), now(), &Settings::default())
    }

    #[test]
    fn the_querys_currency_is_over_the_configurations() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let settings =
            Settings { currency: Some(Currency::new("EUR", "0.9", day("2026-11-01")).unwrap()), ..Settings::default() };
        let parse = |pairs: &[(&'static str, &'static str)]| {
            ReportQuery::parse(pairs.iter().copied(), now(), &settings).map(|query| query.currency)
        };
        let told = |code, rate, date| Ok(Some(Currency::new(code, rate, day(date)).unwrap()));
        assert_eq!(parse(&[]), told("EUR", "0.9", "2026-11-01"));
        assert_eq!(parse(&[("currency", "EUR")]), told("EUR", "0.9", "2026-11-01"));
        assert_eq!(parse(&[("rate", "0.8")]), told("EUR", "0.8", "2026-11-24"));
        assert_eq!(parse(&[("currency", "CHF"), ("rate", "1"), ("rate_date", "yesterday")]), told("CHF", "1", "2026-11-23"));
        assert_eq!(parse(&[("currency", "USD")]), Ok(None));
        assert_eq!(parse(&[("currency", "CHF")]), Err(QueryError::NoRate { code: "CHF".to_owned() }));
        assert_eq!(parse(&[("rate_date", "today")]), Err(QueryError::NoRate { code: "EUR".to_owned() }));
    }

    #[test]
    fn a_label_is_one_that_requests_have_or_the_configuration_names() {
        let settings = Settings { labels: vec!["department".to_owned()], ..Settings::default() };
        let check = |by: &str, told: &[&str]| {
            let query = ReportQuery::parse([("by", by)], now(), &settings).unwrap();
            query.check_label(told.iter().map(|name| (*name).to_owned()).collect()).map_err(|wrong| wrong.to_string())
        };
        assert_eq!(check("label:department", &[]), Ok(()));
        assert_eq!(check("label:shift", &["shift"]), Ok(()));
        assert_eq!(check("effort", &[]), Ok(()));
        let wrong = check("label:departmint", &["shift", "area"]).unwrap_err();
        assert!(wrong.contains("\"departmint\"") && wrong.ends_with("there are area, department, shift"), "{wrong}");
    }

    #[test]
    fn wrong_values_name_their_field() {
        for (pairs, part) in [
            (&[("since", "2026-13-01")][..], "since"),
            (&[("by", "year")], "by"),
            (&[("timezone", "Mars/Base")], "timezone"),
            (&[("breakdown", "maybe")], "breakdown"),
            (&[("sinze", "today")], "sinze"),
            (&[("by", "tag:")], "by"),
            (&[("by", "label")], "label:NAME"),
            (&[("by", "label:")], "by"),
            (&[("by", "group")], "by: \"group\" is not in the configuration; write a [[group]] there"),
            (&[("by", "tag:client")], "tag: \"client\""),
            (&[("group", "pay")], "group: \"pay\""),
            (&[("currency", "Euro"), ("rate", "1")], "currency"),
            (&[("currency", "EUR")], "rate: missing"),
            (&[("currency", "EUR"), ("rate", "x")], "rate"),
            (&[("rate", "0.9")], "currency: missing"),
            (&[("currency", "EUR"), ("rate", "1"), ("rate_date", "soon")], "rate_date"),
            (&[("billing", "free")], "billing"),
        ] {
            assert!(parse(pairs).unwrap_err().to_string().contains(part), "{pairs:?}");
        }
    }
}
