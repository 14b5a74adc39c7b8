//! What a report is asked for.

use ducat_ledger::UnixMs;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// What the rows of a report are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    #[default]
    Daily,
    Weekly,
    Monthly,
    Session,
    Project,
    Model,
    Branch,
    Agent,
    User,
    Team,
    Host,
    Billing,
    /// By the sub-agent's kind.
    Subagent,
    Skill,
    McpServer,
    /// By five-hour window.
    Blocks,
}

impl Grouping {
    pub const ALL: [Self; 16] = [
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Session,
        Self::Project,
        Self::Model,
        Self::Branch,
        Self::Agent,
        Self::User,
        Self::Team,
        Self::Host,
        Self::Billing,
        Self::Subagent,
        Self::Skill,
        Self::McpServer,
        Self::Blocks,
    ];

    /// As written on the command line and in `by=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Session => "session",
            Self::Project => "project",
            Self::Model => "model",
            Self::Branch => "branch",
            Self::Agent => "agent",
            Self::User => "user",
            Self::Team => "team",
            Self::Host => "host",
            Self::Billing => "billing",
            Self::Subagent => "subagent",
            Self::Skill => "skill",
            Self::McpServer => "mcp_server",
            Self::Blocks => "blocks",
        }
    }

    /// The key that names a row: `date`, `week`, `month`, `session`, ….
    pub fn row_key(self) -> &'static str {
        match self {
            Self::Daily => "date",
            Self::Weekly => "week",
            Self::Monthly => "month",
            Self::Blocks => "block_start",
            other => other.name(),
        }
    }

    pub fn is_calendar(self) -> bool {
        matches!(self, Self::Daily | Self::Weekly | Self::Monthly)
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grouping| grouping.name() == name)
    }
}

const DAY_MS: i64 = 86_400_000;
const WANTED_GROUPING: &str = "grouping: daily, weekly, monthly, session, project, model, branch, agent, user, team, host, billing, subagent, skill, mcp_server or blocks";

/// Which requests, and how they are grouped.
#[derive(Clone, Debug)]
pub struct ReportQuery {
    pub by: Grouping,
    /// First local day, inclusive.
    pub since: Option<Date>,
    /// Last local day, inclusive.
    pub until: Option<Date>,
    pub timezone: TimeZone,
    /// The project's path, or its last part.
    pub project: Option<String>,
    /// Canonical model name.
    pub model: Option<String>,
    pub agent: Option<String>,
    /// Adds each row's sums by model.
    pub breakdown: bool,
    /// When it was asked; what is active is so now.
    pub now: UnixMs,
}

impl Default for ReportQuery {
    fn default() -> Self {
        Self {
            by: Grouping::Daily,
            since: None,
            until: None,
            timezone: TimeZone::UTC,
            project: None,
            model: None,
            agent: None,
            breakdown: false,
            now: UnixMs::MAX,
        }
    }
}

/// A query that cannot be understood; names the field and says what it takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("{field}: {value:?} is no {wanted}")]
    Value { field: &'static str, value: String, wanted: &'static str },
    #[error("unknown parameter {0:?}; there are by, since, until, timezone, project, model, agent, breakdown")]
    Unknown(String),
    #[error("since: {since} is after until: {until}")]
    Backwards { since: Date, until: Date },
}

impl ReportQuery {
    /// Reads `(name, value)` pairs as they stand in a URL or on a command line. Relative days count back from `now` in the asked zone.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, now: Timestamp) -> Result<Self, QueryError> {
        let mut query = Self { now: now.as_millisecond(), ..Self::default() };
        let (mut since, mut until) = (None, None);
        for (name, value) in pairs {
            let wrong = |field, wanted| QueryError::Value { field, value: value.to_owned(), wanted };
            match name {
                "by" => {
                    query.by = Grouping::parse(value).ok_or_else(|| wrong("by", WANTED_GROUPING))?;
                }
                "since" => since = Some(value),
                "until" => until = Some(value),
                "timezone" => query.timezone = Self::parse_timezone(value)?,
                "project" => query.project = Some(value.to_owned()),
                "model" => query.model = Some(value.to_owned()),
                "agent" => query.agent = Some(value.to_owned()),
                "breakdown" => {
                    query.breakdown = match value {
                        "" | "1" | "true" | "model" => true,
                        "0" | "false" => false,
                        _ => return Err(wrong("breakdown", "true or false")),
                    }
                }
                other => return Err(QueryError::Unknown(other.to_owned())),
            }
        }
        let today = query.timezone.to_datetime(now).date();
        query.since = since.map(|value| parse_day("since", value, today)).transpose()?;
        query.until = until.map(|value| parse_day("until", value, today)).transpose()?;
        if let (Some(since), Some(until)) = (query.since, query.until)
            && since > until
        {
            return Err(QueryError::Backwards { since, until });
        }
        Ok(query)
    }

    /// An IANA name, `UTC`, `local` or `system`.
    pub fn parse_timezone(value: &str) -> Result<TimeZone, QueryError> {
        match value {
            "UTC" | "utc" | "Z" => Ok(TimeZone::UTC),
            "local" | "system" => Ok(TimeZone::system()),
            name => TimeZone::get(name).map_err(|_| QueryError::Value {
                field: "timezone",
                value: name.to_owned(),
                wanted: "time zone; try UTC, local or a name like Europe/Berlin",
            }),
        }
    }

    /// The times the query can need, from inclusive to exclusive, in milliseconds; for stores that can skip the rest.
    pub fn time_range(&self) -> (Option<i64>, Option<i64>) {
        let calendar = crate::Calendar::new(self.timezone.clone());
        let until = self.until.and_then(|until| until.tomorrow().ok());
        let (since, until) = (self.since.map(|since| calendar.start_of(since)), until.map(|until| calendar.start_of(until)));
        if self.by == Grouping::Blocks {
            // A block is shown whole, and where one begins hangs on those before it, back to a pause of five hours.
            return (since.map(|since| since.saturating_sub(7 * DAY_MS)), until.map(|until| until.saturating_add(DAY_MS)));
        }
        (since, until)
    }
}

/// `2026-01-31`, `20260131`, `today`, `yesterday`, `7d` (seven days with today).
fn parse_day(field: &'static str, value: &str, today: Date) -> Result<Date, QueryError> {
    let wrong = || QueryError::Value {
        field,
        value: value.to_owned(),
        wanted: "day; write 2026-01-31, 20260131, today, yesterday or 7d (the last seven days)",
    };
    let back = |days: i64| today.checked_sub(days.days()).map_err(|_| wrong());
    match value {
        "today" => return Ok(today),
        "yesterday" => return back(1),
        _ => {}
    }
    if let Some(days) = value.strip_suffix('d') {
        let days: i64 = days.parse().map_err(|_| wrong())?;
        return if (1..=100_000).contains(&days) { back(days - 1) } else { Err(wrong()) };
    }
    let digits = value.len() == 8 && value.bytes().all(|byte| byte.is_ascii_digit());
    let dashed = value.len() == 10 && value.is_char_boundary(4) && value.as_bytes()[4] == b'-';
    if digits || dashed { value.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T23:30:00Z".parse().unwrap()
    }

    fn parse(pairs: &[(&'static str, &'static str)]) -> Result<ReportQuery, QueryError> {
        ReportQuery::parse(pairs.iter().copied(), now())
    }

    #[test]
    fn days_in_every_form() {
        for (value, day) in [
            ("2026-01-31", "2026-01-31"),
            ("20260131", "2026-01-31"),
            ("today", "2026-11-24"),
            ("yesterday", "2026-11-23"),
            ("7d", "2026-11-18"),
        ] {
            assert_eq!(parse(&[("since", value)]).unwrap().since.unwrap().to_string(), day, "{value}");
        }
        let berlin = parse(&[("since", "today"), ("timezone", "Europe/Berlin")]).unwrap();
        assert_eq!(berlin.since.unwrap().to_string(), "2026-11-25");
    }

    #[test]
    fn wrong_values_name_their_field() {
        for (pairs, part) in [
            (&[("since", "2026-13-01")][..], "since"),
            (&[("until", "0d")], "until"),
            (&[("until", "ä-ä-ä-ä")], "until"),
            (&[("by", "year")], "by"),
            (&[("timezone", "Mars/Base")], "timezone"),
            (&[("breakdown", "maybe")], "breakdown"),
            (&[("sinze", "today")], "sinze"),
            (&[("since", "2026-02-01"), ("until", "2026-01-01")], "since"),
        ] {
            assert!(parse(pairs).unwrap_err().to_string().contains(part), "{pairs:?}");
        }
    }
}
