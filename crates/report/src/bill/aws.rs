//! AWS: the Cost and Usage Report (CUR, both versions) and Cost Explorer's CSV, as far as they are of Bedrock.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::csv::{Column, Table};
use super::{Bill, BillError, BillLine, Vendor};
use crate::Field;

const DAY: [&str; 2] = ["line_item_usage_start_date", "lineItem/UsageStartDate"];
const TYPE: [&str; 2] = ["line_item_usage_type", "lineItem/UsageType"];
const COST: [&str; 2] = ["line_item_unblended_cost", "lineItem/UnblendedCost"];
const AMOUNT: [&str; 2] = ["line_item_usage_amount", "lineItem/UsageAmount"];
const UNIT: [&str; 2] = ["pricing_unit", "pricing/unit"];
const NAME: [&str; 3] = ["product_product_name", "product/ProductName", "line_item_product_code"];

pub(super) fn is_known(table: &Table<'_>) -> bool {
    DAY.iter().any(|name| table.has(name)) || explorer(table).next().is_some()
}

pub(super) fn table(table: &Table<'_>) -> Result<Bill, BillError> {
    let mut days = BTreeSet::new();
    let is_report = DAY.iter().any(|name| table.has(name));
    let lines = if is_report { usage_report(table, &mut days)? } else { cost_explorer(table, &mut days)? };
    Ok(Bill { vendor: Vendor::Aws, days, lines, has_more: false })
}

fn usage_report(table: &Table<'_>, days: &mut BTreeSet<Date>) -> Result<Vec<BillLine>, BillError> {
    let [day, kind, cost, amount] = [table.needed(&DAY)?, table.needed(&TYPE)?, table.needed(&COST)?, table.needed(&AMOUNT)?];
    let (name, unit) = (table.needed(&NAME)?, table.needed(&UNIT).ok());
    let mut lines = Vec::new();
    for row in table.rows {
        let (product, usage_type) = (row.text(name)?, row.text(kind)?);
        let day = row.day(day)?;
        days.insert(day);
        if !product.to_ascii_lowercase().contains("bedrock") {
            continue;
        }
        let size = match unit.map(|unit| row.text(unit)).transpose()?.unwrap_or("") {
            "1K tokens" => 1e3,
            "1M tokens" => 1e6,
            "Tokens" | "tokens" => 1.0,
            // What a unit is stands nowhere in the file: the cost alone is compared.
            _ => 0.0,
        };
        let used = row.text(amount)?;
        let used: f64 = used.parse().map_err(|_| row.wrong(amount, &format!("{used:?} is no number")))?;
        let tokens = (used * size).round();
        let count = (size > 0.0 && (0.0..1e18).contains(&tokens)).then_some(tokens as u64);
        let (model, cost) = (Some(model(product, usage_type)), Some(row.dollars(cost)?));
        lines.push(BillLine { day, model, kind: kind_of(usage_type), count, cost });
    }
    Ok(lines)
}

/// `Claude Sonnet 4.5 (Amazon Bedrock Edition)`, or what the usage type says: `USE1-Nova-Lite-input-tokens`.
fn model(product: &str, usage_type: &str) -> String {
    if product.contains("Edition") {
        return product.to_owned();
    }
    let name = usage_type.split_once('-').map_or(usage_type, |(_, name)| name);
    let end = ["-input", "-output", "-cache"].iter().filter_map(|part| name.to_ascii_lowercase().find(part)).min();
    name.get(..end.unwrap_or(name.len())).unwrap_or(name).to_owned()
}

fn kind_of(usage_type: &str) -> Option<Field> {
    let word: String = usage_type.to_ascii_lowercase().chars().filter(|letter| letter.is_ascii_alphanumeric()).collect();
    let has = |part: &str| word.contains(part);
    Some(match () {
        () if has("cacheread") => Field::CacheRead,
        () if has("cachewrite") => Field::CacheWrite,
        () if has("inputtoken") => Field::Input,
        () if has("outputtoken") || has("responsetoken") => Field::Output,
        () => return None,
    })
}

/// Columns of costs, a service each: `Claude Sonnet 4.5 (Amazon Bedrock Edition)($)`.
fn explorer<'t>(table: &Table<'t>) -> impl Iterator<Item = (usize, &'t str)> {
    let services =
        table.head.iter().enumerate().filter_map(|(place, title)| Some((place, title.trim().strip_suffix("($)")?.trim())));
    services.filter(|(_, service)| service.to_ascii_lowercase().contains("bedrock"))
}

fn cost_explorer(table: &Table<'_>, days: &mut BTreeSet<Date>) -> Result<Vec<BillLine>, BillError> {
    let day = Column { place: 0, name: "the first column" };
    let mut lines = Vec::new();
    for row in table.rows {
        // The sum over all days.
        if row.text(day)?.to_ascii_lowercase().ends_with("total") {
            continue;
        }
        let day = row.day(day)?;
        days.insert(day);
        for (place, service) in explorer(table) {
            let column = Column { place, name: "a service's cost" };
            if row.text(column)?.is_empty() {
                continue;
            }
            let model = Some(service.to_owned());
            lines.push(BillLine { day, model, kind: None, count: None, cost: Some(row.dollars(column)?) });
        }
    }
    Ok(lines)
}
