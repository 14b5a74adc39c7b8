//! Which sessions are to be listed, and in which order.

use ducat_ledger::UnixMs;
use ducat_prices::NanoUsd;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::{Filters, Groups, Period, QueryError, ReportQuery, Settings};

const PARAMETERS: &str = "since, until, timezone, project, model, branch, agent, user, team, host, billing, group, search, errors, live, min_cost_usd, max_cost_usd, sort, order, offset, limit, format";
const LARGEST_PAGE: u64 = 500;
const WANTED_SORT: &str =
    "order; there are last_at, started_at, cost, duration, turns, requests, tool_calls, errors, tokens, project, agent";

/// What a list of sessions is sorted by. Ties fall to the latest alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionSort {
    /// Last sign of life.
    #[default]
    LastAt,
    StartedAt,
    Cost,
    /// From the first to the last sign of life.
    Duration,
    Turns,
    Requests,
    ToolCalls,
    /// Failed tool calls and API errors.
    Errors,
    /// Of all kinds.
    Tokens,
    Project,
    Agent,
}

impl SessionSort {
    pub const ALL: [Self; 11] = [
        Self::LastAt,
        Self::StartedAt,
        Self::Cost,
        Self::Duration,
        Self::Turns,
        Self::Requests,
        Self::ToolCalls,
        Self::Errors,
        Self::Tokens,
        Self::Project,
        Self::Agent,
    ];

    /// As in `sort=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastAt => "last_at",
            Self::StartedAt => "started_at",
            Self::Cost => "cost",
            Self::Duration => "duration",
            Self::Turns => "turns",
            Self::Requests => "requests",
            Self::ToolCalls => "tool_calls",
            Self::Errors => "errors",
            Self::Tokens => "tokens",
            Self::Project => "project",
            Self::Agent => "agent",
        }
    }
}

/// How a list of sessions is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionFormat {
    #[default]
    Json,
    /// All rows, whatever the page.
    Csv,
}

/// Which sessions, and which page of them.
#[derive(Clone, Debug)]
pub struct SessionsQuery {
    /// Sessions alive in it.
    pub period: Period,
    pub filters: Filters,
    /// A part of id, folder, project, branch, agent, host or user, in lower case.
    pub search: Option<String>,
    /// Only those with a failed tool call or an API error.
    pub errors: bool,
    /// Only those that have not ended and showed a sign of life in the last ten minutes.
    pub live: bool,
    /// Known costs from it on; what is unknown is in no bounds.
    pub min_cost: Option<NanoUsd>,
    /// Known costs up to it.
    pub max_cost: Option<NanoUsd>,
    pub sort: SessionSort,
    /// The smallest first; what is unknown comes last all the same.
    pub is_ascending: bool,
    pub offset: u64,
    pub limit: u64,
    pub format: SessionFormat,
    /// When it was asked.
    pub now: UnixMs,
    pub groups: Groups,
}

impl Default for SessionsQuery {
    fn default() -> Self {
        Self {
            period: Period::default(),
            filters: Filters::default(),
            search: None,
            errors: false,
            live: false,
            min_cost: None,
            max_cost: None,
            sort: SessionSort::default(),
            is_ascending: false,
            offset: 0,
            limit: 50,
            format: SessionFormat::default(),
            now: UnixMs::MAX,
            groups: Groups::default(),
        }
    }
}

impl SessionsQuery {
    /// From names and values as in a query string.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<Self, QueryError> {
        let mut query = Self { now: now.as_millisecond(), groups: settings.groups.clone(), ..Self::default() };
        let (mut since, mut until, mut zone) = (None, None, TimeZone::UTC);
        for (name, value) in pairs {
            let wrong = |field, wanted| QueryError::Value { field, value: value.to_owned(), wanted };
            let flag = |field| match value {
                "" | "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(wrong(field, "switch; it is true or false")),
            };
            match name {
                "since" => since = Some(value),
                "until" => until = Some(value),
                "timezone" => zone = ReportQuery::parse_timezone(value)?,
                "search" => query.search = Some(value.to_lowercase()).filter(|text| !text.is_empty()),
                "errors" => query.errors = flag("errors")?,
                "live" => query.live = flag("live")?,
                "min_cost_usd" => query.min_cost = Some(cost("min_cost_usd", value)?),
                "max_cost_usd" => query.max_cost = Some(cost("max_cost_usd", value)?),
                "sort" => {
                    let known = SessionSort::ALL.into_iter().find(|sort| sort.name() == value);
                    query.sort = known.ok_or_else(|| wrong("sort", WANTED_SORT))?;
                }
                "order" => {
                    query.is_ascending = match value {
                        "asc" => true,
                        "desc" => false,
                        _ => return Err(wrong("order", "order; it is asc or desc")),
                    }
                }
                "offset" => query.offset = value.parse().map_err(|_| wrong("offset", "whole number from 0"))?,
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| *limit <= LARGEST_PAGE);
                    query.limit = limit.ok_or_else(|| wrong("limit", "whole number from 0 to 500"))?;
                }
                "format" => {
                    query.format = match value {
                        "json" => SessionFormat::Json,
                        "csv" => SessionFormat::Csv,
                        _ => return Err(wrong("format", "format; it is json or csv")),
                    }
                }
                name if query.filters.take(name, value) => {}
                other => return Err(QueryError::Unknown { field: other.to_owned(), known: PARAMETERS }),
            }
        }
        if let (Some(min), Some(max)) = (query.min_cost, query.max_cost)
            && min > max
        {
            let wanted = "amount up to max_cost_usd";
            return Err(QueryError::Value { field: "min_cost_usd", value: min.exact(), wanted });
        }
        query.period = Period::parse(since, until, &zone, now)?;
        Ok(query)
    }
}

fn cost(field: &'static str, value: &str) -> Result<NanoUsd, QueryError> {
    let usd = value.parse::<f64>().ok().and_then(NanoUsd::from_usd).filter(|usd| usd.0 >= 0);
    let wanted = "amount of US dollars from 0, such as 0.01";
    usd.ok_or_else(|| QueryError::Value { field, value: value.to_owned(), wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&'static str, &'static str)]) -> Result<SessionsQuery, QueryError> {
        SessionsQuery::parse(pairs.iter().copied(), "2026-11-24T23:30:00Z".parse().unwrap(), &Settings::default())
    }

    #[test]
    fn everything_can_be_asked() {
        let query = parse(&[
            ("search", "ÄB"),
            ("errors", "true"),
            ("live", "1"),
            ("min_cost_usd", "0.5"),
            ("max_cost_usd", "2"),
            ("sort", "cost"),
            ("order", "asc"),
            ("offset", "7"),
            ("limit", "500"),
            ("format", "csv"),
            ("since", "2026-11-24"),
            ("until", "2026-11-24"),
        ])
        .unwrap();
        assert_eq!(query.search.as_deref(), Some("äb"));
        assert!(query.errors && query.live && query.is_ascending);
        assert_eq!((query.min_cost, query.max_cost), (Some(NanoUsd(500_000_000)), Some(NanoUsd(2_000_000_000))));
        assert_eq!((query.sort, query.offset, query.limit), (SessionSort::Cost, 7, 500));
        assert_eq!(query.format, SessionFormat::Csv);
        assert_eq!(query.period, Period { from: Some(1_795_478_400_000), until: Some(1_795_564_800_000) });
        for sort in SessionSort::ALL {
            assert_eq!(parse(&[("sort", sort.name())]).unwrap().sort, sort);
            assert!(WANTED_SORT.contains(sort.name()));
        }
    }

    #[test]
    fn wrong_values_name_their_field() {
        for (name, value) in [
            ("errors", "maybe"),
            ("live", "2"),
            ("min_cost_usd", "-1"),
            ("max_cost_usd", "NaN"),
            ("max_cost_usd", "1e300"),
            ("min_cost_usd", ""),
            ("sort", "cost; DROP TABLE sessions"),
            ("sort", ""),
            ("order", "up"),
            ("offset", "-1"),
            ("offset", "18446744073709551616"),
            ("limit", "501"),
            ("limit", "x"),
            ("format", "xml"),
            ("since", "soon"),
            ("timezone", "Mars/Base"),
            ("sarch", "x"),
        ] {
            let wrong = parse(&[(name, value)]).unwrap_err().to_string();
            assert!(wrong.starts_with(&format!("{name}: ")) || wrong.contains("unknown parameter"), "{name}={value}: {wrong}");
        }
        let wrong = parse(&[("min_cost_usd", "2"), ("max_cost_usd", "1")]).unwrap_err();
        assert_eq!(wrong.to_string(), "min_cost_usd: \"2.000000000\" is no amount up to max_cost_usd");
    }
}
