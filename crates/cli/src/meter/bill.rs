//! What a run cost, by our own price table, beside what the client says.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ducat_capture::Detail;
use ducat_capture::claude_code::{self, FileState, HeadlessUsage, decode_line};
use ducat_capture::codex;
use ducat_ledger::{Fact, Key, Request};
use ducat_prices::{NanoUsd, PriceQuery, PriceTable, Usage};
use ducat_scan::{WorkspaceResolver, claude_homes};
use ducat_store::Pricer;
use serde_json::{Value, json};

use crate::config::Config;
use ducat_report::figures;

/// Transcripts above this are not read at the end of a run; the client's sums are taken.
const LARGEST_TRANSCRIPT: u64 = 256 << 20;

/// Clients add floating-point numbers up.
const ROUNDING: NanoUsd = NanoUsd(1_000);

#[derive(Clone, Debug, PartialEq)]
pub struct Bill {
    client: &'static str,
    session: String,
    cost: Option<NanoUsd>,
    /// Priced from sums: how they were spread over requests is not told.
    is_estimate: bool,
    requests: Option<u64>,
    usage: Usage,
    /// What the client says.
    reported: Option<NanoUsd>,
    /// Why there is no cost.
    unknown: Option<String>,
    /// The figures are of the whole thread, not of this run.
    whole_thread: bool,
}

impl Bill {
    /// Of requests that transcripts and the stream told one by one, as far as they explain the client's own sums; the rest by those sums.
    pub fn of_claude(run: &claude_code::HeadlessRun, written: &HashMap<Key, Request>, prices: &PriceTable) -> Self {
        let mut requests = written.clone();
        for request in run.requests.iter().filter(|request| request.is_final).filter_map(|request| request.to_request()) {
            believe(&mut requests, request);
        }
        let mut bill = Self {
            client: "Claude Code",
            session: run.session_id.clone(),
            cost: Some(NanoUsd::ZERO),
            is_estimate: false,
            requests: (!requests.is_empty()).then_some(requests.len() as u64),
            usage: Usage::default(),
            reported: run.reported_cost_usd.and_then(NanoUsd::from_usd),
            unknown: None,
            whole_thread: false,
        };
        let mut rest: BTreeMap<String, HeadlessUsage> = BTreeMap::new();
        for (model, told) in &run.models {
            let sum = rest.entry(prices.resolve(model, None).canonical_model.clone()).or_default();
            *sum = combined(sum, told, u64::saturating_add);
        }
        for request in requests.values() {
            let (priced, usage) = (prices.price(request), request.usage());
            if let Some(sum) = rest.get_mut(&priced.model) {
                *sum = combined(sum, &sums_of(&usage), u64::saturating_sub);
            }
            bill.add(&priced.model, &usage, priced.cost);
        }
        for (model, told) in rest.iter().filter(|(_, told)| **told != HeadlessUsage::default()) {
            // Of which model they were is told where there is one only.
            let an_hour = run.cache_write_1h_tokens.filter(|_| run.models.len() == 1).unwrap_or_default();
            let cache_write_1h = an_hour.saturating_sub(bill.usage.cache_write_1h).min(told.cache_write_tokens);
            let usage = Usage {
                input: told.input_tokens,
                output: told.output_tokens,
                cache_read: told.cache_read_tokens,
                cache_write_1h,
                cache_write_unsplit: told.cache_write_tokens - cache_write_1h,
                web_search_requests: told.web_search_requests,
                ..Usage::default()
            };
            bill.is_estimate = true;
            bill.requests = None;
            bill.add(model, &usage, cost_of_sum(model, &usage, prices));
        }
        if requests.is_empty() && run.models.is_empty() {
            (bill.cost, bill.unknown) = (None, Some("the client told no usage".to_owned()));
        }
        bill
    }

    /// Of the thread's sums, where the model is known.
    pub fn of_codex(run: &codex::HeadlessRun, model: Option<&str>, is_resumed: bool, prices: &PriceTable) -> Self {
        let usage = Usage {
            input: run.input_without_cache().unwrap_or_default(),
            output: run.output_tokens.unwrap_or_default(),
            reasoning: run.reasoning_output_tokens.unwrap_or_default(),
            cache_read: run.cached_input_tokens.unwrap_or_default(),
            cache_write_unsplit: run.cache_write_input_tokens.unwrap_or_default(),
            ..Usage::default()
        };
        let mut bill = Self {
            client: "Codex",
            session: run.thread_id.clone(),
            cost: Some(NanoUsd::ZERO),
            is_estimate: true,
            requests: None,
            usage: Usage::default(),
            reported: None,
            unknown: None,
            whole_thread: is_resumed,
        };
        match model {
            _ if run.input_tokens.is_none() => (bill.cost, bill.unknown) = (None, Some("no turn ended".to_owned())),
            Some(model) => bill.add(model, &usage, cost_of_sum(model, &usage, prices)),
            None => {
                bill.usage = usage;
                (bill.cost, bill.unknown) = (None, Some("codex does not tell its model; name it with --model".to_owned()));
            }
        }
        bill
    }

    fn add(&mut self, model: &str, usage: &Usage, cost: Option<NanoUsd>) {
        self.usage = self.usage.saturating_add(usage);
        match cost {
            Some(cost) => self.cost = self.cost.map(|sum| sum.saturating_add(cost)),
            None => (self.cost, self.unknown) = (None, Some(format!("no price for {model}"))),
        }
    }

    fn cache_written(&self) -> u64 {
        self.usage.cache_write_5m.saturating_add(self.usage.cache_write_1h).saturating_add(self.usage.cache_write_unsplit)
    }

    /// What the client says, where it is another amount than ours.
    fn dissent(&self) -> Option<NanoUsd> {
        let reported = self.reported?;
        let differs = self.cost.is_none_or(|cost| reported.saturating_sub(cost).0.abs() > ROUNDING.0);
        differs.then_some(reported)
    }

    pub fn to_json(&self) -> Value {
        json!({
            "schema_version": 1, "client": self.client, "session": self.session,
            "cost_usd": self.cost.map(NanoUsd::as_usd), "cost_nano_usd": self.cost, "is_estimate": self.is_estimate,
            "unknown_because": self.unknown, "reported_cost_usd": self.reported.map(NanoUsd::as_usd),
            "requests": self.requests, "whole_thread": self.whole_thread,
            "input_tokens": self.usage.input, "output_tokens": self.usage.output, "reasoning_tokens": self.usage.reasoning,
            "cache_read_tokens": self.usage.cache_read,
            "cache_write_5m_tokens": self.usage.cache_write_5m.saturating_add(self.usage.cache_write_unsplit),
            "cache_write_1h_tokens": self.usage.cache_write_1h,
        })
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ducat: ")?;
        match (self.cost, &self.unknown) {
            (Some(cost), _) => write!(f, "{}{cost}", if self.is_estimate { "about " } else { "" })?,
            (None, Some(why)) => write!(f, "cost unknown ({why})")?,
            (None, None) => write!(f, "cost unknown")?,
        }
        if let Some(reported) = self.dissent() {
            write!(f, " ({} says {reported})", self.client)?;
        }
        if let Some(requests) = self.requests {
            write!(f, " · {} request{}", figures::count(requests), if requests == 1 { "" } else { "s" })?;
        }
        let (read, written) = (self.usage.cache_read, self.cache_written());
        match (read, written) {
            (0, 0) => {
                write!(f, " · {} in, {} out", figures::tokens(self.usage.input), figures::tokens(self.usage.output))?;
            }
            (0, _) => write!(f, " · {} cache written", figures::tokens(written))?,
            (_, 0) => write!(f, " · {} cache read", figures::tokens(read))?,
            _ => write!(f, " · {} cache read, {} written", figures::tokens(read), figures::tokens(written))?,
        }
        if self.whole_thread {
            write!(f, " · whole thread")?;
        }
        // The id as far as a person needs it to ask for the session. Codex begins its ids with the time, so the first digits are those of many.
        let length = if self.client == "Codex" { 36 } else { 8 };
        let shown: String = self.session.chars().filter(|letter| !letter.is_control()).take(length).collect();
        write!(f, " · session {shown}")
    }
}

fn believe(requests: &mut HashMap<Key, Request>, request: Request) {
    match requests.get_mut(&request.key) {
        Some(known) => {
            known.join(&request);
        }
        None => drop(requests.insert(request.key, request)),
    }
}

fn combined(one: &HeadlessUsage, other: &HeadlessUsage, with: fn(u64, u64) -> u64) -> HeadlessUsage {
    HeadlessUsage {
        input_tokens: with(one.input_tokens, other.input_tokens),
        output_tokens: with(one.output_tokens, other.output_tokens),
        cache_read_tokens: with(one.cache_read_tokens, other.cache_read_tokens),
        cache_write_tokens: with(one.cache_write_tokens, other.cache_write_tokens),
        web_search_requests: with(one.web_search_requests, other.web_search_requests),
    }
}

fn sums_of(usage: &Usage) -> HeadlessUsage {
    HeadlessUsage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_tokens: usage.cache_read,
        cache_write_tokens: usage.cache_write_5m.saturating_add(usage.cache_write_1h).saturating_add(usage.cache_write_unsplit),
        web_search_requests: usage.web_search_requests,
    }
}

/// A sum over requests at the rates of a short context: priced as one request it would be taken for a long one.
fn cost_of_sum(model: &str, usage: &Usage, prices: &PriceTable) -> Option<NanoUsd> {
    const PIECE: u64 = 100_000;
    let query =
        PriceQuery { model, at_unix_ms: i64::try_from(ducat_spool::now_ms()).unwrap_or_default(), ..PriceQuery::default() };
    let price = |usage: Usage| prices.cost(&query, &usage).amount();
    let by_pieces = |tokens: u64, usage: fn(u64) -> Usage| {
        let whole = i64::try_from(tokens / PIECE).unwrap_or(i64::MAX);
        let pieces = if whole > 0 { price(usage(PIECE))?.0.saturating_mul(whole) } else { 0 };
        Some(NanoUsd(pieces).saturating_add(price(usage(tokens % PIECE))?))
    };
    let kinds = [
        by_pieces(usage.input, |input| Usage { input, ..Usage::default() })?,
        by_pieces(usage.cache_read, |cache_read| Usage { cache_read, ..Usage::default() })?,
        by_pieces(usage.cache_write_1h, |cache_write_1h| Usage { cache_write_1h, ..Usage::default() })?,
        by_pieces(usage.cache_write_unsplit, |cache_write_unsplit| Usage { cache_write_unsplit, ..Usage::default() })?,
        price(Usage {
            output: usage.output,
            reasoning: usage.reasoning,
            web_search_requests: usage.web_search_requests,
            ..Usage::default()
        })?,
    ];
    Some(kinds.into_iter().sum())
}

/// The requests that a session's transcripts have since a time, with the providers' last word. None where the client keeps no transcripts.
pub fn transcript_requests(session: &str, since_ms: u64, config: &Config) -> HashMap<Key, Request> {
    let mut requests = HashMap::new();
    // An id is a file's name here, and comes from a stranger.
    if !session.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
        return requests;
    }
    let mut workspaces = WorkspaceResolver::new(config.excluded_folders());
    for path in transcripts_of(session) {
        let is_small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST_TRANSCRIPT);
        let Some(bytes) = is_small.then(|| fs::read(&path).ok()).flatten() else { continue };
        let mut state = FileState::of(&path);
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            decode_line(line, &mut state, &mut workspaces, Detail::Requests, &mut |fact| {
                if let Fact::Request(request) = fact {
                    believe(&mut requests, request);
                }
            });
        }
    }
    let since = i64::try_from(since_ms).unwrap_or_default();
    requests.retain(|_, request| request.started_at.get().is_some_and(|at| *at >= since));
    requests
}

fn transcripts_of(session: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let files =
        |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    for folder in claude_homes().iter().flat_map(|home| files(&home.folder)) {
        let own = folder.join(format!("{session}.jsonl"));
        if own.is_file() {
            found.push(own);
            let subagents = files(&folder.join(session).join("subagents"));
            found.extend(subagents.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_capture::claude_code::{HeadlessRequest, HeadlessRun};

    fn run(models: &[(&str, HeadlessUsage)], reported: f64) -> HeadlessRun {
        HeadlessRun {
            session_id: "5218\x1b[31m9995-1".to_owned(),
            reported_cost_usd: Some(reported),
            models: models.iter().map(|(model, used)| ((*model).to_owned(), *used)).collect(),
            ..HeadlessRun::default()
        }
    }

    fn used(input: u64, output: u64, cache_write: u64) -> HeadlessUsage {
        HeadlessUsage { input_tokens: input, output_tokens: output, cache_write_tokens: cache_write, ..HeadlessUsage::default() }
    }

    /// Many short requests add up to more than a long context holds, and none of them was one.
    #[test]
    fn sums_are_priced_as_short_contexts() {
        let prices = PriceTable::embedded();
        let model = "anthropic.claude-sonnet-4-20250514-v1:0";
        let usage = Usage { input: 1_050_000, cache_read: 250_000, output: 1000, ..Usage::default() };
        // 3, 0.30 and 15 USD per million; above 200,000 tokens of context it would be twice that.
        assert_eq!(cost_of_sum(model, &usage, &prices), Some(NanoUsd(3_150_000_000 + 75_000_000 + 15_000_000)));
        assert_eq!(cost_of_sum("no-such-model", &usage, &prices), None);
    }

    #[test]
    fn what_requests_do_not_explain_is_priced_by_the_sums() {
        let prices = PriceTable::embedded();
        let mut run = run(&[("claude-opus-4-8[1m]", used(1000, 100, 0)), ("claude-haiku-4-5", used(2000, 0, 0))], 0.0095);
        let request = HeadlessRequest {
            request_id: Some("r".to_owned()),
            is_final: true,
            model: Some("claude-opus-4-8".to_owned()),
            input_tokens: Some(1000),
            output_tokens: Some(100),
            ..HeadlessRequest::default()
        };
        run.requests.push(request);
        let bill = Bill::of_claude(&run, &HashMap::new(), &prices);
        // 5 and 25 USD per million of the one, 1 of the other.
        assert_eq!((bill.cost, bill.is_estimate, bill.requests), (Some(NanoUsd(9_500_000)), true, None));
        assert_eq!(bill.to_string(), "ducat: about $0.0095 · 3.00 k in, 100 out · session 5218[31m");
        // Alone, the request is all there was.
        run.models.remove("claude-haiku-4-5");
        let bill = Bill::of_claude(&run, &HashMap::new(), &prices);
        assert_eq!((bill.is_estimate, bill.requests), (false, Some(1)));
        assert_eq!(
            bill.to_string(),
            "ducat: $0.0075 (Claude Code says $0.0095) · 1 request · 1.00 k in, 100 out · session 5218[31m"
        );
        // A beginning of an answer is no usage.
        run.requests[0].is_final = false;
        assert!(Bill::of_claude(&run, &HashMap::new(), &prices).is_estimate);
    }

    #[test]
    fn an_unknown_price_is_said_and_the_clients_own_word_with_it() {
        let prices = PriceTable::embedded();
        let bill = Bill::of_claude(&run(&[("mystery", used(10, 10, 10))], 0.5), &HashMap::new(), &prices);
        assert_eq!(
            bill.to_string(),
            "ducat: cost unknown (no price for mystery) (Claude Code says $0.5000) · 10 cache written · session 5218[31m"
        );
        assert_eq!(bill.to_json()["cost_usd"], Value::Null);
        let bill = Bill::of_claude(&run(&[], 0.5), &HashMap::new(), &prices);
        assert!(
            bill.to_string().starts_with("ducat: cost unknown (the client told no usage) (Claude Code says $0.5000)"),
            "{bill}"
        );
    }

    #[test]
    fn a_resumed_codex_thread_says_that_it_is_whole() {
        let prices = PriceTable::embedded();
        let run = codex::HeadlessRun {
            thread_id: "t".to_owned(),
            input_tokens: Some(1000),
            output_tokens: Some(10),
            ..Default::default()
        };
        let bill = Bill::of_codex(&run, Some("gpt-5.2-codex"), true, &prices);
        assert!(bill.to_string().ends_with(" · 1.00 k in, 10 out · whole thread · session t"), "{bill}");
        let stopped = codex::HeadlessRun { thread_id: "t".to_owned(), ..Default::default() };
        assert!(Bill::of_codex(&stopped, None, false, &prices).to_string().starts_with("ducat: cost unknown (no turn ended)"));
    }
}
