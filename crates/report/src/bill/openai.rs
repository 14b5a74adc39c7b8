//! OpenAI: pages of `organization/usage/completions` and `organization/costs`.

use jiff::civil::Date;

use super::json::Object;
use super::{BillError, BillLine};
use crate::Field;

/// One of `results`. `input_tokens` includes the cached ones.
pub(super) fn result(day: Date, of: &Object<'_>) -> Result<Vec<BillLine>, BillError> {
    if let Some(amount) = of.object("amount")? {
        amount.is_in_dollars("currency")?;
        let missing = || of.wrong("line_item", "missing; ask for costs grouped by line_item");
        let (model, kind) = item(of.text("line_item")?.ok_or_else(missing)?);
        return Ok(vec![BillLine { day, model, kind, count: None, cost: Some(amount.amount("value")?) }]);
    }
    let model = of.text("model")?.map(str::to_owned);
    let (input, cached) = (of.count("input_tokens")?, of.count("input_cached_tokens")?);
    let fresh = match input {
        None => None,
        Some(input) => {
            let fresh = input.checked_sub(cached.unwrap_or(0));
            Some(fresh.ok_or_else(|| of.wrong("input_cached_tokens", "more than input_tokens, of which they are a part"))?)
        }
    };
    let counts = [(Field::Input, fresh), (Field::CacheRead, cached), (Field::Output, of.count("output_tokens")?)];
    let told = counts.into_iter().filter(|(_, count)| count.is_some());
    Ok(told.map(|(kind, count)| BillLine { day, model: model.clone(), kind: Some(kind), count, cost: None }).collect())
}

/// `gpt-5-2025-08-07, cached input`; other items are of no model.
fn item(item: &str) -> (Option<String>, Option<Field>) {
    let Some((model, what)) = item.split_once(", ") else { return (None, None) };
    let kind = match what.trim() {
        "input" => Some(Field::Input),
        "cached input" => Some(Field::CacheRead),
        "output" => Some(Field::Output),
        _ => None,
    };
    (Some(model.to_owned()), kind)
}
