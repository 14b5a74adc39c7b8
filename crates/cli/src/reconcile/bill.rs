//! `ducat reconcile --bill`: a vendor's bill against the ledger.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, bail};
use ducat_prices::{NanoUsd, PriceQuery, PriceTable, Usage};
use ducat_report::{Bill, BillRow, BillVerdict, Billed, Calendar, LedgerDay, figures};
use ducat_store::TenantId;
use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::terminal;
use crate::{sessions, table};

/// A year of every key, model and token type is far below.
const LARGEST: u64 = 256 << 20;

/// All files are of one vendor: usage and cost of the same days, or pages of them.
pub fn read(files: &[PathBuf], prices: &PriceTable, tolerance: NanoUsd) -> anyhow::Result<Billed> {
    let mut bills = Vec::<Bill>::new();
    for file in files {
        let name = file.display().to_string();
        let size = fs::metadata(file).with_context(|| name.clone())?.len();
        if size > LARGEST {
            bail!("{name}: {} MiB; a bill of up to {} MiB is read, so export fewer days", size >> 20, LARGEST >> 20);
        }
        let bill = Bill::parse(&fs::read(file).with_context(|| name.clone())?).with_context(|| name.clone())?;
        if let Some(first) = bills.first()
            && first.vendor != bill.vendor
        {
            bail!(
                "{name}: a bill of {}, and the first is of {}; compare them one by one",
                bill.vendor.name(),
                first.vendor.name()
            );
        }
        if bill.has_more {
            writeln!(io::stderr(), "ducat: {name} is not the last page; name the others with --bill too")?;
        }
        bills.push(bill);
    }
    let days = bills.iter().flat_map(|bill| &bill.days).copied();
    let ledger = match (days.clone().min(), days.max()) {
        (Some(first), Some(last)) => {
            let calendar = Calendar::new(TimeZone::UTC);
            let end = last.checked_add(1.day()).map_or(i64::MAX, |next| calendar.start_of(next));
            sessions::up_to_date()?.ledger_days(TenantId::LOCAL, calendar.start_of(first), end)?
        }
        _ => Vec::new(),
    };
    let canonical = |model: &str| prices.resolve(model, None).canonical_model.clone();
    let searched = |day: &LedgerDay| {
        let at_unix_ms = Calendar::new(TimeZone::UTC).start_of(day.day);
        let searches = u64::try_from(day.sums.web_search_requests).unwrap_or(0);
        let usage = Usage { web_search_requests: searches, ..Usage::default() };
        let query = PriceQuery { model: &day.model, at_unix_ms, ..PriceQuery::default() };
        prices.cost(&query, &usage).amount().unwrap_or_default()
    };
    Billed::compare(&bills, &ledger, &canonical, &searched, tolerance).context("--bill: name a file")
}

pub fn text(billed: &Billed, width: Option<u16>) -> Result<String, fmt::Error> {
    let mut text = String::new();
    if billed.rows.is_empty() {
        writeln!(text, "The bill tells of no model.")?;
    } else {
        let mut list = table::table(&["DATE", "MODEL", "", "TOKENS BILLED", "BILLED", "OURS", "DIFFERENCE"], 4);
        if let Some(width) = width {
            list.set_width(width);
        }
        list.add_rows(billed.rows.iter().map(row));
        writeln!(text, "{}", table::lines(&list))?;
    }
    if billed.other_cost != NanoUsd::ZERO {
        writeln!(text, "\n{} billed for what is of no model; the ledger does not count it.", billed.other_cost)?;
    }
    if billed.unbilled_value != NanoUsd::ZERO {
        writeln!(
            text,
            "\n{} of list-price value is on a plan, from credits or local, and left out: no bill.",
            billed.unbilled_value
        )?;
    }
    let verdict = if billed.is_agreed() { "Agreed" } else { "Not agreed" };
    let distance = billed.distance();
    writeln!(text, "\n{verdict}: {distance} of differences, up to {} tolerated.", billed.tolerance)?;
    Ok(text)
}

fn row(row: &BillRow) -> [String; 7] {
    let word = match row.verdict() {
        BillVerdict::Same => "same",
        BillVerdict::Differs => "differs",
        BillVerdict::NeverSeen => "never seen here",
        BillVerdict::NeverBilled => "never billed",
    };
    let tokens = row.billed.iter().map(|(kind, count)| {
        let (label, ours) = (kind.name().trim_end_matches("_tokens").replace('_', " "), row.ours_of(*kind));
        let ours = if ours == *count { String::new() } else { format!(" (ours {})", figures::count(ours)) };
        format!("{label} {}{ours}", figures::count(*count))
    });
    let ours = match (row.ours.unpriced_requests, row.ours.cost_nano) {
        (0, cost) => NanoUsd(cost).to_string(),
        (unpriced, cost) => format!("{} + {unpriced} unknown", NanoUsd(cost)),
    };
    [
        row.day.to_string(),
        row.model.clone(),
        word.to_owned(),
        tokens.collect::<Vec<_>>().join(", "),
        row.billed_cost.map_or_else(String::new, |cost| cost.to_string()),
        ours,
        row.difference().map_or_else(|| "unknown".to_owned(), terminal::signed),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_terminals() {
        let bill = "usage_date_utc,model,token_type,cost_usd\n2026-11-24,Claude Haiku 4.5,input_no_cache,1234.5\n";
        let usage = "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_read,usage_output_tokens\n\
                     2026-11-24,claude-haiku-4-5-20251001,123456789,123456789,123456789\n";
        let bills = [bill, usage].map(|file| Bill::parse(file.as_bytes()).unwrap());
        let billed = Billed::compare(&bills, &[], &str::to_owned, &|_| NanoUsd::ZERO, NanoUsd::ZERO).unwrap();
        for width in [80, 120] {
            let text = text(&billed, Some(width)).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{text}");
            assert!(text.contains("never") && text.contains("-$1,23") && text.contains("Not agreed"), "{text}");
        }
    }
}
