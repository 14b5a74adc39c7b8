//! Tool calls: how many, how they ended, how long they took and how large what they gave back was.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use ducat_ledger::{Outcome, ToolRollup, UnixMs, mcp_server};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::filters::is;
use crate::slowest::Slowest;
use crate::timings::{Where, percentiles};
use crate::{Names, QueryError, Settings, rfc3339};

/// What the rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolGrouping {
    #[default]
    Tool,
    McpServer,
    Agent,
    Project,
    User,
}

impl ToolGrouping {
    const ALL: [Self; 5] = [Self::Tool, Self::McpServer, Self::Agent, Self::Project, Self::User];

    /// As in `by=`, and the key that names a row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::McpServer => "mcp_server",
            Self::Agent => "agent",
            Self::Project => "project",
            Self::User => "user",
        }
    }
}

/// Which tool calls, and what they are summed by.
#[derive(Clone, Debug, Default)]
pub struct ToolsQuery {
    pub by: ToolGrouping,
    place: Where,
    tool: Option<String>,
    mcp_server: Option<String>,
    outcome: Option<Outcome>,
}

/// Sums of calls that share all these names.
#[derive(Clone, Copy, Debug)]
pub struct ToolRow<'a> {
    /// Of the quarter-hour or day that is summed, from inclusive to exclusive; none for calls that tell no time.
    pub times: Option<(UnixMs, UnixMs)>,
    pub agent: &'a str,
    /// Empty where nobody told.
    pub tool: &'a str,
    pub outcome: Outcome,
    pub error_kind: Option<&'a str>,
    pub project: Option<&'a str>,
    pub user: Option<&'a str>,
    pub team: Option<&'a str>,
    /// All but the durations.
    pub sums: &'a ToolRollup,
    /// As [`ducat_ledger::Durations::to_bytes`] makes them; read where they are added up, because there are many rows.
    pub durations: &'a [u8],
}

/// One of the slowest calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCall {
    /// The agent's id of it.
    pub tool_call: String,
    pub name: Option<String>,
    pub target: Option<String>,
    /// The agent's id of the session.
    pub session: Option<String>,
    pub project: Option<String>,
    pub agent: String,
    pub started_at: UnixMs,
    pub duration_ms: u64,
    pub outcome: Outcome,
}

const PARAMETERS: &str = "by, since, until, timezone, agent, project, user, team, group, tool, mcp_server, outcome";

impl ToolsQuery {
    /// Reads `(name, value)` pairs as they stand in a URL. Relative days count back from `now` in the asked zone.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
        settings: &Settings,
    ) -> Result<Self, QueryError> {
        let mut query = Self::default();
        let filters = ["agent", "project", "user", "team", "group"];
        query.place = Where::parse(pairs, &filters, now, settings, |name, value| {
            let wrong = |field, wanted| QueryError::Value { field, value: value.to_owned(), wanted };
            match name {
                "by" => {
                    let by = ToolGrouping::ALL.into_iter().find(|by| by.name() == value);
                    query.by = by.ok_or_else(|| wrong("by", "grouping: tool, mcp_server, agent, project or user"))?;
                }
                "tool" => query.tool = Some(value.to_owned()),
                "mcp_server" => query.mcp_server = Some(value.to_owned()),
                "outcome" => {
                    let wanted = "outcome: ok, error, refused or interrupted";
                    query.outcome = Some(Outcome::parse(value).ok_or_else(|| wrong("outcome", wanted))?);
                }
                other => return Err(QueryError::Unknown { field: other.to_owned(), known: PARAMETERS }),
            }
            Ok(())
        })?;
        Ok(query)
    }
}

/// The answer in the making.
#[derive(Clone, Debug)]
pub struct Tools {
    query: ToolsQuery,
    rows: HashMap<Option<String>, Sums>,
    slowest: Slowest,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    all: ToolRollup,
    outcomes: [i64; Outcome::ALL.len()],
    error_kinds: BTreeMap<String, i64>,
}

impl Sums {
    fn add(&mut self, row: &ToolRow<'_>) {
        self.all.add(row.sums);
        self.all.durations.add_bytes(row.durations);
        let outcome = &mut self.outcomes[row.outcome as usize];
        *outcome = outcome.saturating_add(row.sums.calls);
        if let Some(kind) = row.error_kind {
            match self.error_kinds.get_mut(kind) {
                Some(calls) => *calls = calls.saturating_add(row.sums.calls),
                None => drop(self.error_kinds.insert(kind.to_owned(), row.sums.calls)),
            }
        }
    }

    fn unite(&mut self, other: &Self) {
        self.all.add(&other.all);
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(ours, theirs)| *ours = ours.saturating_add(theirs));
        for (kind, calls) in &other.error_kinds {
            let ours = self.error_kinds.entry(kind.clone()).or_default();
            *ours = ours.saturating_add(*calls);
        }
    }

    fn to_json(&self) -> Map<String, Value> {
        let all = &self.all;
        let outcomes: Map<String, Value> =
            Outcome::ALL.into_iter().map(|outcome| (outcome.name().to_owned(), self.outcomes[outcome as usize].into())).collect();
        let [p50, p95, p99] = percentiles(&all.durations);
        let fields = [
            ("calls", all.calls.into()),
            ("failed", all.calls.saturating_sub(self.outcomes[Outcome::Ok as usize]).into()),
            ("outcomes", outcomes.into()),
            ("error_kinds", json!(self.error_kinds)),
            ("timed_calls", all.durations.count().into()),
            ("duration_ms", all.duration_ms.into()),
            ("p50_ms", p50),
            ("p95_ms", p95),
            ("p99_ms", p99),
            ("sized_calls", all.sized_calls.into()),
            ("result_bytes", all.result_bytes.into()),
            ("input_bytes", all.input_bytes.into()),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Tools {
    pub fn new(query: ToolsQuery) -> Self {
        Self { query, rows: HashMap::new(), slowest: Slowest::default() }
    }

    /// The times that rows are asked of, from inclusive to exclusive, at quarter-hours.
    pub fn range(&self) -> (Option<UnixMs>, Option<UnixMs>) {
        self.query.place.range
    }

    /// Whether the query asks for calls of these names; of their time it says nothing.
    pub fn asks_for(&mut self, row: &ToolRow<'_>) -> bool {
        let query = &mut self.query;
        is(&query.tool, Some(row.tool))
            && is(&query.mcp_server, mcp_server(row.tool))
            && query.outcome.is_none_or(|wanted| row.outcome == wanted)
            && query.place.asks_for(Names {
                agent: Some(row.agent),
                project: row.project,
                user: row.user,
                team: row.team,
                ..Names::default()
            })
    }

    /// Adds a row if the query asks for it.
    pub fn add(&mut self, row: &ToolRow<'_>) {
        if !self.asks_for(row) {
            return;
        }
        let name = match self.query.by {
            ToolGrouping::Tool => Some(row.tool).filter(|tool| !tool.is_empty()),
            ToolGrouping::McpServer => mcp_server(row.tool),
            ToolGrouping::Agent => Some(row.agent),
            ToolGrouping::Project => row.project,
            ToolGrouping::User => row.user,
        };
        self.rows.entry(name.map(str::to_owned)).or_default().add(row);
        if let Some(times) = row.times {
            self.slowest.see(times, row.durations);
        }
    }

    /// What [`Tools::slow_places`] tells is of the rows that [`Tools::see_slow`] sees from now on: to find quarter-hours within days.
    pub fn forget_slow_places(&mut self) {
        self.slowest = Slowest::default();
    }

    /// Sees a row for the slowest calls only.
    pub fn see_slow(&mut self, row: &ToolRow<'_>) {
        if let Some(times) = row.times
            && self.asks_for(row)
        {
            self.slowest.see(times, row.durations);
        }
    }

    /// The times of rows that have the slowest calls, from inclusive to exclusive, and how many milliseconds a call must have taken at least.
    pub fn slow_places(&self) -> Vec<((UnixMs, UnixMs), u64)> {
        self.slowest.places()
    }

    /// Rows by the number of their calls, totals, and the slowest calls as they were found.
    pub fn to_json(&self, slowest: &[SlowCall]) -> Value {
        let mut totals = Sums::default();
        self.rows.values().for_each(|row| totals.unite(row));
        let mut rows: Vec<_> = self.rows.iter().collect();
        // Of equals the unnamed one last.
        rows.sort_by_key(|(name, row)| (Reverse(row.all.calls), name.is_none(), *name));
        let row = |(name, sums): (&Option<String>, &Sums)| {
            let mut row = sums.to_json();
            row.insert(self.query.by.name().to_owned(), json!(name));
            row
        };
        json!({
            "schema_version": 1,
            "rows": rows.into_iter().map(row).collect::<Vec<_>>(),
            "totals": totals.to_json(),
            "slowest": slowest.iter().map(SlowCall::to_json).collect::<Vec<_>>(),
        })
    }
}

impl SlowCall {
    fn to_json(&self) -> Value {
        json!({
            "tool_call": self.tool_call, "name": self.name, "target": self.target, "session": self.session, "project": self.project,
            "agent": self.agent, "started_at": rfc3339(self.started_at), "duration_ms": self.duration_ms, "outcome": self.outcome.name(),
        })
    }
}
