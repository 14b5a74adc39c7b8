//! A report as a table on a terminal.

use std::collections::{BTreeSet, HashMap};

use ducat_prices::NanoUsd;
use ducat_report::{Currency, Document, Grouping, Row, Totals, figures, last_part};

use crate::table;

/// Of the parts of a row. Not of blanks, which the table would drop where it wraps a long name.
const INDENT: &str = "\u{a0}\u{a0}";

pub fn terminal(document: &Document) -> String {
    let has_unpriced = document.totals.unpriced_requests > 0;
    let mut head = vec![title(document.by)];
    if document.by == Grouping::Session {
        head.push("PROJECT");
    }
    let left = head.len();
    let currency = document.currency.as_ref();
    head.extend(["REQUESTS", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "COST"]);
    let mut rows = table::table(&head, left);
    let projects = projects(document);
    for (row, name) in document.rows.iter().zip(names(document, &projects)) {
        let mut cells = vec![name];
        if let Some(session) = &row.session {
            cells.push(session.project.as_deref().map_or("", last_part).to_owned());
        }
        cells.extend(figures_of(&row.totals, currency));
        rows.add_row(cells);
        if document.breakdown.is_some() {
            for (name, totals) in &row.parts {
                let name = name.as_deref().unwrap_or("unattributed");
                let name = projects.get(name).map_or(name, String::as_str);
                let mut cells = vec![format!("{INDENT}{name}")];
                cells.resize(left, String::new());
                cells.extend(figures_of(totals, currency));
                rows.add_row(cells);
            }
        }
    }
    let mut total = vec!["Total".to_owned()];
    total.resize(left, String::new());
    total.extend(figures_of(&document.totals, currency));
    rows.add_row(table::bold(total));
    let mut text = table::lines(&rows).replace(INDENT, "  ");
    if let Some(currency) = currency {
        text.push_str(&format!("\n\n{}", rate_line(currency)));
    }
    let (guesses, guessed) = (document.totals.estimated_requests, document.totals.estimated_tokens);
    if guesses > 0 || guessed > 0 {
        let (tokens, cost) = (figures::tokens(guessed), money(document.totals.estimated_cost, currency));
        text.push_str(&format!(
            "\n\nNot in it: {} requests of estimated size, {tokens} tokens, about {cost}",
            figures::count(guesses)
        ));
    }
    if has_unpriced {
        let models: Vec<_> =
            document.totals.unpriced_models.iter().map(|model| if model.is_empty() { "no model told" } else { model }).collect();
        let requests = document.totals.unpriced_requests;
        let plural = if requests == 1 { "" } else { "s" };
        text.push_str(&format!("\n\n{requests} request{plural} of unknown price: {} (ducat prices --help)", models.join(", ")));
    }
    text
}

fn title(by: Grouping) -> &'static str {
    match by {
        Grouping::Daily => "DAY",
        Grouping::Hourly => "HOUR",
        Grouping::QuarterHourly => "QUARTER-HOUR",
        Grouping::Weekly => "WEEK FROM",
        Grouping::Monthly => "MONTH",
        Grouping::Session => "SESSION",
        Grouping::Project => "PROJECT",
        Grouping::Model => "MODEL",
        Grouping::Branch => "BRANCH",
        Grouping::Agent => "AGENT",
        Grouping::User => "USER",
        Grouping::Team => "TEAM",
        Grouping::Host => "HOST",
        Grouping::Billing => "BILLING",
        Grouping::Subagent => "SUB-AGENT",
        Grouping::Skill => "SKILL",
        Grouping::McpServer => "MCP SERVER",
        Grouping::Plugin => "PLUGIN",
        Grouping::QuerySource => "QUERY SOURCE",
        Grouping::Effort => "EFFORT",
        Grouping::Label => "LABEL",
        Grouping::Blocks => "BLOCK",
        Grouping::Group => "GROUP",
        Grouping::Tag => "TAG",
    }
}

/// What the rows are called. Hours are short; one that comes twice tells its offset.
fn names(document: &Document, projects: &HashMap<&str, String>) -> Vec<String> {
    let name = |row| {
        let name = name(document.by, row);
        projects.get(name.as_str()).cloned().unwrap_or(name)
    };
    let mut names: Vec<String> = document.rows.iter().map(name).collect();
    if !matches!(document.by, Grouping::Hourly | Grouping::QuarterHourly) {
        return names;
    }
    let clocks = || document.rows.iter().map(|row| row.name.as_deref().and_then(clock));
    let mut times: HashMap<String, usize> = HashMap::new();
    for (time, _) in clocks().flatten() {
        *times.entry(time).or_default() += 1;
    }
    for (name, clock) in names.iter_mut().zip(clocks()) {
        let Some((time, offset)) = clock else { continue };
        *name = if times.get(&time).is_some_and(|times| *times > 1) { format!("{time} {offset}") } else { time };
    }
    names
}

/// What the projects of the document are called: as many last parts of the path as tell them apart.
fn projects(document: &Document) -> HashMap<&str, String> {
    let mut paths: BTreeSet<&str> = BTreeSet::new();
    if document.by == Grouping::Project {
        paths.extend(document.rows.iter().filter_map(|row| row.name.as_deref()));
    }
    if document.breakdown == Some(Grouping::Project) {
        paths.extend(document.rows.iter().flat_map(|row| row.parts.keys().flatten()).map(String::as_str));
    }
    let mut holders: HashMap<&str, usize> = HashMap::new();
    for end in paths.iter().flat_map(|path| ends(path)) {
        *holders.entry(end).or_default() += 1;
    }
    let short = |path: &'_ str| ends(path).find(|end| holders.get(end) == Some(&1)).unwrap_or(path).to_owned();
    paths.iter().map(|path| (*path, short(path))).collect()
}

/// A path's last part, its last two and so on.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices(['/', '\\']).map(|(place, _)| &path[place + 1..]).filter(|end| !end.is_empty())
}

/// The date and the clock of an RFC 3339 time, and its offset.
fn clock(name: &str) -> Option<(String, &str)> {
    let (date, time) = name.split_once('T')?;
    Some((format!("{date} {}", time.get(..5)?), time.get(8..)?))
}

fn name(by: Grouping, row: &Row) -> String {
    match &row.name {
        None if by.is_calendar() => "undated".to_owned(),
        None => "unattributed".to_owned(),
        Some(name) if name.is_empty() => "unattributed".to_owned(),
        Some(name) => name.clone(),
    }
}

pub fn figures_of(totals: &Totals, currency: Option<&Currency>) -> [String; 6] {
    let usage = &totals.usage;
    let written = usage.cache_write_5m.saturating_add(usage.cache_write_1h).saturating_add(usage.cache_write_unsplit);
    [
        figures::count(totals.requests),
        figures::tokens(usage.input),
        figures::tokens(usage.output),
        figures::tokens(usage.cache_read),
        figures::tokens(written),
        totals.known_cost().map_or_else(|| "unknown".to_owned(), |cost| money(cost, currency)),
    ]
}

/// In the report's currency where it has one, else in dollars.
pub fn money(cost: NanoUsd, currency: Option<&Currency>) -> String {
    currency.map_or_else(|| cost.to_string(), |currency| currency.text(cost))
}

/// The rate, where there is one.
pub fn rate_line(currency: &Currency) -> String {
    let (code, rate, day) = (currency.code(), currency.rate(), currency.rate_date());
    format!("1 USD = {rate} {code} ({day}); each figure is rounded by itself")
}

#[cfg(test)]
mod tests {
    use ducat_ledger::{Attributes, RequestRollup};
    use ducat_report::{Report, ReportQuery, RequestRow, Settings};
    use jiff::Timestamp;

    use super::*;

    fn document(pairs: &[(&str, &str)], requests: &[(&str, Option<&str>)]) -> Document {
        let query = ReportQuery::parse(pairs.iter().copied(), Timestamp::UNIX_EPOCH, &Settings::default()).unwrap();
        let mut report = Report::new(query);
        for (at, project) in requests {
            report.add(&RequestRow {
                started_at: Some(at.parse::<Timestamp>().unwrap().as_millisecond()),
                session: "",
                agent: "claude-code",
                model: "m",
                project: *project,
                branch: None,
                user: None,
                team: None,
                host: None,
                billing: None,
                attributes: Attributes::default(),
                sums: RequestRollup { requests: 1, cost_nano: 1_000_000_000, ..RequestRollup::default() },
            });
        }
        report.finish()
    }

    fn first_column(text: &str) -> Vec<String> {
        let name = |line: &str| line.split("  ").find(|cell| !cell.is_empty()).unwrap_or_default().to_owned();
        text.lines().map(|line| format!("{}{}", if line.starts_with("  ") { "  " } else { "" }, name(line).trim())).collect()
    }

    #[test]
    fn hours_are_short_and_one_that_comes_twice_tells_its_offset() {
        let times = ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"].map(|at| (at, None));
        let text = terminal(&document(&[("by", "hourly"), ("timezone", "Europe/Berlin")], &times));
        assert_eq!(
            first_column(&text),
            ["HOUR", "2026-10-25 01:00", "2026-10-25 02:00 +02:00", "2026-10-25 02:00 +01:00", "Total"],
            "{text}"
        );
        let text = terminal(&document(&[("by", "quarter_hourly")], &times[..1]));
        assert_eq!(first_column(&text), ["QUARTER-HOUR", "2026-10-24 23:30", "Total"], "{text}");
    }

    #[test]
    fn projects_are_called_by_as_much_of_their_path_as_tells_them_apart() {
        let at = "2026-10-24T23:30:00Z";
        let requests = [(at, Some("/a/src/api")), (at, Some("/b/src/api")), (at, Some("/b/src/web")), (at, None)];
        let rows = ["a/src/api", "b/src/api", "web", "unattributed"];
        let text = terminal(&document(&[("by", "project")], &requests));
        assert_eq!(first_column(&text), [&["PROJECT"], &rows[..], &["Total"]].concat(), "{text}");
        let text = terminal(&document(&[("breakdown", "project")], &requests));
        let parts: Vec<String> = first_column(&text);
        assert_eq!(parts[..2], ["DAY", "2026-10-24"], "{text}");
        let mut parts = parts[2..6].to_vec();
        parts.sort();
        assert_eq!(parts, ["  a/src/api", "  b/src/api", "  unattributed", "  web"], "{text}");
    }
}
