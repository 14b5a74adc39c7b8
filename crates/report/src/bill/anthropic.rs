//! Anthropic: the Claude Console's exports, and pages of the Admin API's `usage_report/messages` and `cost_report`.

use std::collections::BTreeSet;

use ducat_prices::NanoUsd;
use jiff::civil::Date;

use super::csv::{Column, Table};
use super::json::Object;
use super::{Bill, BillError, BillLine, Vendor};
use crate::Field;

/// The type of costs of web searches, which are billed for no model.
const SEARCHES: &str = "web_search";
const COUNTS: [(&str, Field); 6] = [
    ("usage_input_tokens_no_cache", Field::Input),
    ("usage_input_tokens_cache_write_5m", Field::CacheWrite5m),
    ("usage_input_tokens_cache_write_1h", Field::CacheWrite1h),
    ("usage_input_tokens_cache_read", Field::CacheRead),
    ("usage_output_tokens", Field::Output),
    ("web_search_count", Field::WebSearches),
];

/// The console's CSV of usage (tokens) or of cost (dollars by token type).
pub(super) fn table(table: &Table<'_>) -> Result<Bill, BillError> {
    let day = table.needed(&["usage_date_utc"])?;
    let model = table.needed(&["model_version", "model"])?;
    let (mut days, mut lines) = (BTreeSet::new(), Vec::new());
    if table.has("cost_usd") {
        let (cost, kind) = (table.needed(&["cost_usd"])?, table.needed(&["token_type"])?);
        let words: Vec<_> = ["usage_type", "cost_type"].iter().filter_map(|name| table.needed(&[name]).ok()).collect();
        for row in table.rows {
            let (day, mut model, mut kind) = (row.day(day)?, named(row.text(model)?), kind_of(row.text(kind)?));
            if words.iter().any(|column| row.text(*column).is_ok_and(|word| word == SEARCHES)) {
                (model, kind) = (None, Some(Field::WebSearches));
            }
            days.insert(day);
            lines.push(BillLine { day, model, kind, count: None, cost: Some(row.dollars(cost)?) });
        }
    } else {
        table.needed(&["usage_input_tokens_no_cache"])?;
        table.needed(&["usage_output_tokens"])?;
        let counts = COUNTS.iter().filter_map(|(name, field)| Some((Column { place: table.column(name)?, name }, *field)));
        let counts: Vec<_> = counts.collect();
        for row in table.rows {
            let (day, model_name) = (row.day(day)?, named(row.text(model)?));
            days.insert(day);
            for (column, kind) in &counts {
                if let Some(count) = row.count(*column)? {
                    if model_name.is_none() && count > 0 {
                        return Err(row.wrong(model, "missing, and there are tokens"));
                    }
                    lines.push(BillLine { day, model: model_name.clone(), kind: Some(*kind), count: Some(count), cost: None });
                }
            }
        }
    }
    Ok(Bill { vendor: Vendor::Anthropic, days, lines, has_more: false })
}

fn named(model: &str) -> Option<String> {
    (!model.is_empty()).then(|| model.to_owned())
}

/// The words of the console and those of the API.
fn kind_of(token_type: &str) -> Option<Field> {
    Some(match token_type {
        "input_no_cache" | "uncached_input_tokens" => Field::Input,
        "input_cache_read" | "cache_read_input_tokens" => Field::CacheRead,
        "input_cache_write_5m" | "cache_creation.ephemeral_5m_input_tokens" => Field::CacheWrite5m,
        "input_cache_write_1h" | "cache_creation.ephemeral_1h_input_tokens" => Field::CacheWrite1h,
        "output" | "output_tokens" => Field::Output,
        _ => return None,
    })
}

/// One of `results`.
pub(super) fn result(day: Date, of: &Object<'_>) -> Result<Vec<BillLine>, BillError> {
    let model = of.text("model")?.map(str::to_owned);
    if of.has("amount") {
        of.is_in_dollars("currency")?;
        if model.is_none() && !of.has("description") {
            return Err(of.wrong("description", "missing; ask for costs grouped by description"));
        }
        // In cents, as text.
        let cost = NanoUsd(of.amount("amount")?.0 / 100);
        let is_search = of.text("cost_type")? == Some(SEARCHES);
        let kind = if is_search { Some(Field::WebSearches) } else { of.text("token_type")?.and_then(kind_of) };
        return Ok(vec![BillLine { day, model: model.filter(|_| !is_search), kind, count: None, cost: Some(cost) }]);
    }
    let written = of.object("cache_creation")?;
    let tools = of.object("server_tool_use")?;
    let count = |object: &Option<Object<'_>>, name| object.as_ref().map_or(Ok(None), |object| object.count(name));
    let counts = [
        (Field::Input, of.count("uncached_input_tokens")?),
        (Field::CacheRead, of.count("cache_read_input_tokens")?),
        (Field::CacheWrite5m, count(&written, "ephemeral_5m_input_tokens")?),
        (Field::CacheWrite1h, count(&written, "ephemeral_1h_input_tokens")?),
        (Field::Output, of.count("output_tokens")?),
        (Field::WebSearches, count(&tools, "web_search_requests")?),
    ];
    let told = counts.into_iter().filter(|(_, count)| count.is_some());
    Ok(told.map(|(kind, count)| BillLine { day, model: model.clone(), kind: Some(kind), count, cost: None }).collect())
}
