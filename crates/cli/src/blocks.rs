//! `ducat report blocks` on a terminal, once or live.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use ducat_ledger::UnixMs;
use ducat_prices::NanoUsd;
use ducat_report::{BlockColumns, Currency, Document, Outlook, Row, Totals};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::report::{figures_of, money, rate_line};
use crate::table;

/// Columns of a terminal that has room for everything.
const WIDE: u16 = 116;
/// Between two looks.
const LIVE_EVERY: Duration = Duration::from_secs(2);

/// The blocks as a table, and below it where the active ones are going.
pub fn terminal(document: &Document, zone: &TimeZone) -> String {
    let agents: std::collections::BTreeSet<&str> =
        document.rows.iter().filter_map(|row| Some(row.block.as_ref()?.agent.as_str())).collect();
    let mut head = vec!["BLOCK", ""];
    if agents.len() > 1 {
        head.push("AGENT");
    }
    let left = head.len();
    // Where there is no room, the kinds of tokens go first.
    let is_narrow = table::width().is_some_and(|width| width < WIDE);
    let figures = |totals: &Totals, quota: String| {
        let [requests, input, output, read, written, cost] = figures_of(totals, document.currency.as_ref());
        if is_narrow { vec![requests, quota, cost] } else { vec![requests, input, output, read, written, quota, cost] }
    };
    head.extend(if is_narrow {
        &["REQUESTS", "QUOTA", "COST"][..]
    } else {
        &["REQUESTS", "INPUT", "OUTPUT", "CACHE READ", "CACHE WRITE", "QUOTA", "COST"]
    });
    let mut rows = table::table(&head, left);
    for row in &document.rows {
        let block = row.block.as_ref();
        let mut cells = vec![block.map_or_else(|| "undated".to_owned(), |block| span(block, zone))];
        cells.push(block.map_or("", kind).to_owned());
        if agents.len() > 1 {
            cells.push(block.map_or("", |block| &block.agent).to_owned());
        }
        let used = block.and_then(|block| block.used_ppm);
        cells.extend(figures(&row.totals, used.map_or_else(String::new, |used| percent(used.into()))));
        rows.add_row(cells);
    }
    let mut total = vec!["Total".to_owned()];
    total.resize(left, String::new());
    total.extend(figures(&document.totals, String::new()));
    rows.add_row(table::bold(total));
    let mut text = table::lines(&rows);
    for row in &document.rows {
        if let Some((block, outlook)) = row.block.as_ref().and_then(|block| Some((block, block.outlook.as_ref()?))) {
            text.push_str(&format!("\n\n{}", active(row, (block, outlook), zone, document.currency.as_ref())));
        }
    }
    if let Some(currency) = &document.currency {
        text.push_str(&format!("\n\n{}", rate_line(currency)));
    }
    text
}

/// Where an active block stands and is going, in two or three lines.
fn active(row: &Row, (block, outlook): (&BlockColumns, &Outlook), zone: &TimeZone, currency: Option<&Currency>) -> String {
    let ends = clock(block.end, zone);
    let cost = row.totals.known_cost().map_or_else(|| "unknown".to_owned(), |cost| money(cost, currency));
    let mut text = format!(
        "Now, {}: {cost}, {} an hour, {} by {ends}{}",
        block.agent,
        money(NanoUsd(outlook.nano_per_hour), currency),
        money(NanoUsd(outlook.projected_nano), currency),
        if block.guessed { " (guessed)" } else { "" },
    );
    if let Some(used) = block.used_ppm {
        let lasts = match (outlook.used_up_at, outlook.projected_ppm) {
            (Some(at), _) => format!("out at {}, resets {ends}", clock(at, zone)),
            (None, Some(projected)) => format!("{} by its reset at {ends}", percent(projected)),
            (None, None) => format!("resets {ends}"),
        };
        text.push_str(&format!("\nQuota: {} used, {lasts}", percent(used.into())));
        if let Some(limit) = row.limit() {
            text.push_str(&format!("; all of it is worth some {} at list price", money(limit, currency)));
        }
    }
    text
}

fn kind(block: &BlockColumns) -> &'static str {
    match (block.active, block.guessed) {
        (true, true) => "active, guessed",
        (true, false) => "active",
        (false, true) => "guessed",
        (false, false) => "",
    }
}

fn percent(ppm: u64) -> String {
    format!("{:.0}%", ppm as f64 / 1e4)
}

/// `2026-11-25 10:00 to 15:00`.
fn span(block: &BlockColumns, zone: &TimeZone) -> String {
    let start = Timestamp::from_millisecond(block.start).map(|at| zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string());
    format!("{} to {}", start.unwrap_or_default(), clock(block.end, zone))
}

fn clock(at: UnixMs, zone: &TimeZone) -> String {
    Timestamp::from_millisecond(at).map(|at| zone.to_datetime(at).strftime("%H:%M").to_string()).unwrap_or_default()
}

/// Draws the active blocks anew every two seconds, until it is ended.
pub fn live(mut read: impl FnMut() -> anyhow::Result<Document>, zone: &TimeZone) -> anyhow::Result<()> {
    if !io::stdout().is_terminal() {
        bail!("--live draws on a terminal; without one, --json gives the active block");
    }
    loop {
        let document = read()?;
        let is_active = |row: &&Row| row.block.as_ref().is_some_and(|block| block.active);
        let shown: Vec<Row> = document.rows.iter().filter(is_active).cloned().collect();
        let text = match shown.last() {
            None => "No request in the last five hours.".to_owned(),
            Some(_) => {
                let mut totals = Totals::default();
                shown.iter().for_each(|row| totals.unite(&row.totals));
                terminal(&Document { rows: shown, totals, ..document }, zone)
            }
        };
        let now = clock(Timestamp::now().as_millisecond(), zone);
        let mut out = io::stdout().lock();
        // From the top left; what is left of longer lines and lines below goes.
        let text = text.replace('\n', "\x1b[K\n");
        write!(out, "\x1b[H{text}\x1b[K\n\x1b[K\n{now}, every {} s; Ctrl-C ends\x1b[K\x1b[J", LIVE_EVERY.as_secs())?;
        out.flush()?;
        drop(out);
        thread::sleep(LIVE_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_report::{Report, ReportQuery, RequestRow, Settings};

    #[test]
    fn a_table_and_where_it_is_going() {
        let start = 1_795_574_400_000; // 2026-11-25T02:40:00Z
        let mut quota = ducat_ledger::Quota::new("claude-code", None, None, 300, start + 300 * 60_000);
        quota.tell(start + 3_600_000, 400_000);
        let now = Timestamp::from_millisecond(start + 2 * 3_600_000).unwrap();
        let query = ReportQuery::parse([("by", "blocks")], now, &Settings::default()).unwrap();
        let mut report = Report::new(query);
        report.tell_quotas(vec![quota]);
        for at in [Some(start - 86_400_000), Some(start + 60_000), None] {
            report.add(&RequestRow {
                started_at: at,
                session: "s",
                agent: "claude-code",
                model: "m",
                project: None,
                branch: None,
                user: None,
                team: None,
                host: None,
                billing: None,
                attributes: ducat_ledger::Attributes::default(),
                sums: ducat_ledger::RequestRollup { requests: 1, cost_nano: 4_000_000_000, ..Default::default() },
            });
        }
        let document = report.finish();
        let text = terminal(&document, &TimeZone::UTC);
        for part in [
            "2026-11-24 02:00 to 07:00  guessed",
            "2026-11-25 02:40 to 07:40  active",
            "40%",
            "undated",
            "Now, claude-code: $4.00, $2.02 an hour, $10.05 by 07:40",
            "Quota: 40% used, out at",
            "worth some $10.00 at list price",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let json = document.to_json();
        assert!(json.contains(r#"{"block_start":"2026-11-24T02:00:00.000Z","block_end":"2026-11-24T07:00:00.000Z","guessed":true,"active":false"#), "{json}");
    }
}
