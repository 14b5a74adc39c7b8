//! What a report is asked for.

use ducat_ledger::UnixMs;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::period::day;
use crate::settings::AskedCurrency;
use crate::{Currency, Filters, Groups, Period, Settings};

/// What the rows of a report are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    QuarterHourly,
    Hourly,
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
    Plugin,
    /// By what in the client asked.
    QuerySource,
    /// By how hard the model was told to think.
    Effort,
    /// By a label of the requests, which [`ReportQuery::label`] names.
    Label,
    /// By five-hour window.
    Blocks,
    /// By the user's groups of projects.
    Group,
    /// By a tag of the groups, which [`ReportQuery::tag`] names.
    Tag,
}

/// How a grouping by a tag begins: `tag:client`.
const TAG: &str = "tag:";
/// And by a label: `label:cost_center`.
const LABEL: &str = "label:";

impl Grouping {
    pub const ALL: [Self; 24] = [
        Self::QuarterHourly,
        Self::Hourly,
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
        Self::Plugin,
        Self::QuerySource,
        Self::Effort,
        Self::Label,
        Self::Blocks,
        Self::Group,
        Self::Tag,
    ];

    /// As written on the command line and in `by=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::QuarterHourly => "quarter_hourly",
            Self::Hourly => "hourly",
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
            Self::Plugin => "plugin",
            Self::QuerySource => "query_source",
            Self::Effort => "effort",
            Self::Label => "label",
            Self::Blocks => "blocks",
            Self::Group => "group",
            Self::Tag => "tag",
        }
    }

    /// The key that names a row: `hour`, `date`, `week`, `month`, `session`, ….
    pub fn row_key(self) -> &'static str {
        match self {
            Self::QuarterHourly => "quarter_hour",
            Self::Hourly => "hour",
            Self::Daily => "date",
            Self::Weekly => "week",
            Self::Monthly => "month",
            Self::Blocks => "block_start",
            other => other.name(),
        }
    }

    /// Whether rows can be broken down by it: what asks the request alone.
    pub fn breaks_down(self) -> bool {
        !self.is_calendar() && !matches!(self, Self::Session | Self::Blocks | Self::Group | Self::Tag | Self::Label)
    }

    pub fn is_calendar(self) -> bool {
        matches!(self, Self::QuarterHourly | Self::Hourly | Self::Daily | Self::Weekly | Self::Monthly)
    }

    /// It is of [`ducat_ledger::Attributes`].
    pub fn is_attribute(self) -> bool {
        matches!(
            self,
            Self::Subagent | Self::Skill | Self::McpServer | Self::Plugin | Self::QuerySource | Self::Effort | Self::Label
        )
    }

    /// Whether its name alone says which; a tag or label is told with its own.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::Tag | Self::Label)
    }

    /// Reads a name; a tag or label is told with its own, as `tag:client`.
    pub fn parse(name: &str) -> Option<Self> {
        let begins = |with| name.strip_prefix(with).is_some_and(|rest| !rest.is_empty());
        if begins(TAG) {
            return Some(Self::Tag);
        }
        if begins(LABEL) {
            return Some(Self::Label);
        }
        Self::ALL.into_iter().find(|grouping| grouping.is_whole() && grouping.name() == name)
    }
}

const WANTED_DAY: &str = "day; write 2026-01-31, 20260131, today, yesterday or 7d (six days ago)";
const DAY_MS: i64 = 86_400_000;
const WANTED_GROUPING: &str = "grouping: quarter_hourly, hourly, daily, weekly, monthly, session, project, model, branch, agent, user, team, host, billing, subagent, skill, mcp_server, plugin, query_source, effort, blocks, group, tag:NAME or label:NAME";

const WANTED_BREAKDOWN: &str = "breakdown: project, model, branch, agent, user, team, host, billing, subagent, skill, mcp_server, plugin, query_source, effort; or true for model, or false";

const PARAMETERS: &str = "by, since, until, timezone, project, model, branch, agent, user, team, host, billing, group, breakdown, currency, rate, rate_date";

/// Which requests, and how they are grouped.
#[derive(Clone, Debug)]
pub struct ReportQuery {
    pub by: Grouping,
    pub period: Period,
    /// Days, weeks and months are cut in it.
    pub timezone: TimeZone,
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
            timezone: TimeZone::UTC,
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
    #[error("since: {since} is not before the end of until: {until}")]
    Backwards { since: String, until: String },
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() { "write a [[group]] there".to_owned() } else { format!("there are {}", known.join(", ")) }
}

fn known_labels(known: &[String]) -> String {
    if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) }
}

impl ReportQuery {
    /// Reads `(name, value)` pairs as they stand in a URL or on a command line. Relative days count back from `now` in the asked zone.
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
        let (mut since, mut until, mut rate_date) = (None, None, None);
        let mut currency = AskedCurrency::default();
        for (name, value) in pairs {
            let wrong = |field, wanted| QueryError::Value { field, value: value.to_owned(), wanted };
            match name {
                "by" => {
                    query.by = Grouping::parse(value).ok_or_else(|| wrong("by", WANTED_GROUPING))?;
                    query.tag = value.strip_prefix(TAG).map(str::to_owned);
                    query.label = value.strip_prefix(LABEL).map(str::to_owned);
                }
                "since" => since = Some(value),
                "until" => until = Some(value),
                "timezone" => query.timezone = Self::parse_timezone(value)?,
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
                name if query.filters.take(name, value) => {}
                other => return Err(QueryError::Unknown { field: other.to_owned(), known: PARAMETERS }),
            }
        }
        let today = query.timezone.to_datetime(now).date();
        query.period = Period::parse(since, until, &query.timezone, now)?;
        currency.rate_date = rate_date.map(|value| day("rate_date", value, today, WANTED_DAY)).transpose()?;
        query.currency = settings.currency(currency, today)?;
        query.is_configured()?;
        Ok(query)
    }

    /// The group and the tag are ones that the user wrote.
    fn is_configured(&self) -> Result<(), QueryError> {
        let of = |field, value: &Option<String>, known: Vec<&str>| match value {
            Some(value) if !known.contains(&value.as_str()) => {
                let known = known.into_iter().map(str::to_owned).collect();
                Err(QueryError::NotConfigured { field, value: value.clone(), known })
            }
            _ => Ok(()),
        };
        let group = self.filters.group.clone().filter(|group| !group.is_empty());
        of("group", &group, self.groups.names())?;
        of("tag", &self.tag, self.groups.tag_names())?;
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
        let Period { from, until } = self.period;
        if self.by == Grouping::Blocks {
            // A block is shown whole, and where one begins hangs on those before it, back to a pause of five hours.
            return (from.map(|from| from.saturating_sub(7 * DAY_MS)), until.map(|until| until.saturating_add(DAY_MS)));
        }
        (from, until)
    }
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
        let day = |text: &str| text.parse().unwrap();
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
            (&[("until", "0d")], "until"),
            (&[("until", "ä-ä-ä-ä")], "until"),
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
            (&[("since", "2026-02-01"), ("until", "2026-01-01")], "since"),
        ] {
            assert!(parse(pairs).unwrap_err().to_string().contains(part), "{pairs:?}");
        }
    }
}
