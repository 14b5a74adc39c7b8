//! `ducat prices`: the price table, one request's cost line by line, a newer table.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Subcommand, ValueHint};
use ducat_prices::{Cost, Kind, PriceCard, PriceQuery, PriceTable, Usage};
use ducat_report::figures;
use jiff::Timestamp;
use serde_json::json;

use crate::config::{Config, updated_prices};
use crate::table;

/// The prices of models: list them, explain a request's cost, update them
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ducat prices list opus
  ducat prices explain claude-opus-4-8 --input 1200 --output 800 --cache-read 90000
  ducat prices update model_prices_and_context_window.json   from github.com/BerriAI/litellm

Own prices, discounts, free models and aliases are set in the configuration:
  [prices.models.\"my-model\"]
  input = 1.5          # USD per million tokens; output, cache_read, cache_write_5m, cache_write_1h alike
  [prices.discount]
  anthropic = 0.15     # 15 % off, by provider or model
  [prices]
  free = [\"llama-local\"]
  [prices.aliases]
  \"arn:aws:bedrock:eu-west-1:1:application-inference-profile/x\" = \"eu.anthropic.claude-opus-4-8\"";

#[derive(Subcommand)]
enum Command {
    /// The standard prices of models, in USD per million tokens
    #[command(after_help = "Examples:\n  ducat prices list opus\n  ducat prices list --json | jq -r '.rows[].model'")]
    List {
        /// Only models with this in their name
        name: Option<String>,
        /// JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// What a request costs, line by line
    Explain(Explain),
    /// Use a newer price list; prints what changes
    ///
    /// Reads Ducat's own form or LiteLLM's model_prices_and_context_window.json.
    #[command(
        after_help = "Examples:\n  ducat prices update --dry-run model_prices_and_context_window.json\n  ducat prices update model_prices_and_context_window.json"
    )]
    Update {
        /// The list
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Only print the difference
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  ducat prices explain claude-opus-4-8 --input 1200 --output 800 --cache-read 90000\n  ducat prices explain gpt-5.2-codex --input 9000 --output 80 --json"
)]
struct Explain {
    /// As the client reports it
    model: String,
    /// anthropic, bedrock, vertex_ai, openai, gemini or azure
    #[arg(long)]
    provider: Option<String>,
    /// Input tokens, without cache
    #[arg(long, default_value_t = 0)]
    input: u64,
    /// Output tokens, with reasoning
    #[arg(long, default_value_t = 0)]
    output: u64,
    /// Tokens read from the cache
    #[arg(long, default_value_t = 0)]
    cache_read: u64,
    /// Tokens written to the cache for five minutes
    #[arg(long, default_value_t = 0)]
    cache_write_5m: u64,
    /// Tokens written to the cache for an hour
    #[arg(long, default_value_t = 0)]
    cache_write_1h: u64,
    /// Searches, which are billed by the piece
    #[arg(long, default_value_t = 0)]
    web_search_requests: u64,
    /// standard, batch, flex or priority
    #[arg(long)]
    service_tier: Option<String>,
    /// us, eu, global, …
    #[arg(long)]
    inference_geo: Option<String>,
    /// standard or fast
    #[arg(long)]
    speed: Option<String>,
    /// Time of the request, RFC 3339
    #[arg(long)]
    at: Option<Timestamp>,
    /// JSON, for programs
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let table = Config::load()?.price_table()?;
    let text = match args.command {
        Command::List { name, json } => list(&table, name.as_deref().unwrap_or(""), json)?,
        Command::Explain(request) => explain(&table, &request)?,
        Command::Update { file, dry_run } => update(&table, &file, dry_run)?,
    };
    Ok(writeln!(io::stdout(), "{text}")?)
}

fn list(prices: &PriceTable, part: &str, as_json: bool) -> anyhow::Result<String> {
    let models: Vec<_> = prices.iter().filter(|(name, _)| name.contains(part)).collect();
    if as_json {
        let rows: Vec<_> = models.iter().map(|(model, cards)| json!({ "model": model, "prices": cards })).collect();
        return Ok(serde_json::to_string(&json!({ "schema_version": 1, "unit": "pico-USD per token", "rows": rows }))?);
    }
    if models.is_empty() {
        bail!("no model has {part:?} in its name");
    }
    let mut rows = table::table(&["MODEL", "PROVIDER", "INPUT", "OUTPUT", "CACHE READ", "WRITE 5 MIN", "WRITE 1 H"], 2);
    for (model, cards) in &models {
        for card in cards {
            rows.add_row([model.to_string(), card.provider.clone()].into_iter().chain(standard_rates(card)));
        }
    }
    Ok(format!("{}\n\nUSD per million tokens, standard tier, short context.", table::lines(&rows)))
}

fn standard_rates(card: &PriceCard) -> Vec<String> {
    let kinds = [Kind::Input, Kind::Output, Kind::CacheRead, Kind::CacheWrite5m, Kind::CacheWrite1h];
    kinds.iter().map(|kind| card.rate(None, 0, *kind).map_or_else(|| "-".to_owned(), per_million)).collect()
}

/// Pico-USD a token are micro-USD a million.
fn per_million(rate: u64) -> String {
    let text = format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000);
    let whole = text.trim_end_matches('0');
    let decimals = whole.len() - whole.find('.').unwrap_or(0) - 1;
    format!("{whole}{}", "0".repeat(2_usize.saturating_sub(decimals)))
}

fn explain(prices: &PriceTable, request: &Explain) -> anyhow::Result<String> {
    let query = PriceQuery {
        model: &request.model,
        provider: request.provider.as_deref(),
        inference_geo: request.inference_geo.as_deref(),
        service_tier: request.service_tier.as_deref(),
        speed: request.speed.as_deref(),
        at_unix_ms: request.at.unwrap_or_else(Timestamp::now).as_millisecond(),
    };
    let usage = Usage {
        input: request.input,
        output: request.output,
        cache_read: request.cache_read,
        cache_write_5m: request.cache_write_5m,
        cache_write_1h: request.cache_write_1h,
        web_search_requests: request.web_search_requests,
        ..Usage::default()
    };
    let explanation = prices.explain(&query, &usage);
    if request.json {
        let lines: Vec<_> = explanation
            .lines
            .iter()
            .map(|line| {
                json!({ "kind": line.kind, "quantity": line.quantity, "rate_pico_usd": line.rate,
                    "factor": line.factor_nano as f64 / 1e9, "cost_usd": line.zepto_usd as f64 / 1e21 })
            })
            .collect();
        let reason = match &explanation.cost {
            Cost::Unknown(reason) => Some(reason.to_string()),
            Cost::Known(_) | Cost::Free => None,
        };
        return Ok(serde_json::to_string(&json!({
            "schema_version": 1,
            "model": explanation.canonical_model,
            "price_key": explanation.price_key,
            "rows": lines,
            "cost_usd": explanation.cost.amount().map(|cost| cost.as_usd()),
            "cost_nano_usd": explanation.cost.amount(),
            "unknown": reason,
        }))?);
    }
    let mut text =
        format!("{} priced as {}\n", explanation.canonical_model, explanation.price_key.as_deref().unwrap_or("unknown"));
    let mut rows = table::table(&["KIND", "QUANTITY", "USD PER MILLION", "FACTOR", "USD"], 1);
    for line in &explanation.lines {
        let factor = format!("{}", line.factor_nano as f64 / 1e9);
        let usd = format!("{:.9}", line.zepto_usd as f64 / 1e21);
        rows.add_row([line.kind.to_owned(), figures::count(line.quantity), per_million(line.rate), factor, usd]);
    }
    match &explanation.cost {
        Cost::Known(cost) => {
            rows.add_row(table::bold(vec!["total".to_owned(), String::new(), String::new(), String::new(), cost.exact()]));
            text.push_str(&table::lines(&rows));
        }
        Cost::Free => text.push_str("free: so marked in the configuration"),
        Cost::Unknown(reason) => text.push_str(&format!("unknown: {reason}")),
    }
    Ok(text)
}

fn update(prices: &PriceTable, file: &PathBuf, dry_run: bool) -> anyhow::Result<String> {
    let json = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let newer = PriceTable::from_json(&json).with_context(|| file.display().to_string())?;
    let changes = prices.diff(&newer);
    let mut rows = table::table(&["MODEL", "", "INPUT", "OUTPUT", "CACHE READ", "WRITE 5 MIN", "WRITE 1 H"], 2);
    for change in &changes {
        for (word, cards) in [("was", &change.before), ("is", &change.after)] {
            for card in cards.iter().flatten() {
                rows.add_row([change.model.clone(), word.to_owned()].into_iter().chain(standard_rates(card)));
            }
        }
    }
    let mut text = if changes.is_empty() { String::new() } else { format!("{}\n\n", table::lines(&rows)) };
    text.push_str(&format!("{} of {} models change.", changes.len(), newer.iter().count()));
    if dry_run || changes.is_empty() {
        return Ok(text);
    }
    let target = updated_prices().context("no home folder to keep the price table in")?;
    let folder = target.parent().context("no folder to keep the price table in")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let draft = target.with_extension("draft");
    fs::write(&draft, newer.to_json())
        .and_then(|()| fs::rename(&draft, &target))
        .with_context(|| target.display().to_string())?;
    text.push_str(&format!(" Written to {}; reports use it from now on.", target.display()));
    Ok(text)
}
