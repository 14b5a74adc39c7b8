//! Times lists of sessions over a ledger such as `made_ledger` makes: `list_sessions FOLDER [ROUNDS]` prints milliseconds of each query, as the
//! server asks it: the first, apart, reads all that is kept of sessions. The large session of `made_ledger` is read too.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ducat_prices::PriceTable;
use ducat_report::{SessionSort, SessionsQuery, Settings};
use ducat_store::{Durability, Store, StoreOptions, TenantId};
use jiff::Timestamp;

/// What this thread took of a processor, where Linux tells: on a busy machine the clock shows the others' work, too.
fn processor_ms() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|nano| nano.parse::<f64>().ok()).unwrap_or_default() / 1e6
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("list_sessions FOLDER [ROUNDS]")?).join("ledger.db");
    let pricer = Arc::new(PriceTable::embedded());
    let store = Store::open(StoreOptions { path, durability: Durability::Process, pricer, clock: || 0, listener: None })?;
    let rounds: usize = arguments.next().map_or(Ok(40), |text| text.parse())?;
    let mut asked: Vec<String> = SessionSort::ALL.iter().map(|sort| format!("sort={}", sort.name())).collect();
    let filters = [
        "sort=cost&offset=50000",
        "since=7d",
        "since=30d&sort=cost",
        "project=project-003",
        "model=claude-haiku-4-5",
        "branch=main",
        "agent=codex",
        "user=dev3@example.com",
        "user=",
        "team=team-1",
        "host=laptop-2",
        "billing=plan",
        "search=issue-7",
        "search=nothing-has-this",
        "errors=true",
        "live=true",
        "min_cost_usd=5",
        "max_cost_usd=0.01",
        "agent=claude-code&model=claude-opus-4-5&branch=main&search=work&sort=project",
    ];
    asked.extend(filters.map(str::to_owned));
    let timed = |what: &str, mut work: Box<dyn FnMut() -> Result<u64, Box<dyn Error>> + '_>| -> Result<(), Box<dyn Error>> {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..rounds.max(1) {
            let (begun, worked) = (Instant::now(), processor_ms());
            found = work()?;
            times.push((begun.elapsed().as_secs_f64() * 1e3, processor_ms() - worked));
        }
        let at = |of: fn(&(f64, f64)) -> f64, share: f64| {
            let mut times: Vec<f64> = times.iter().map(of).collect();
            times.sort_by(f64::total_cmp);
            times[((times.len() - 1) as f64 * share).round() as usize]
        };
        let (p50, p95, worked) = (at(|time| time.0, 0.5), at(|time| time.0, 0.95), at(|time| time.1, 0.95));
        println!("{what:80} p50 {p50:6.1} ms  p95 {p95:6.1} ms  of the processor p95 {worked:6.1} ms  ({found})");
        Ok(())
    };
    let (begun, worked) = (Instant::now(), processor_ms());
    store.sessions(TenantId::LOCAL, &SessionsQuery::default())?;
    println!("the first list: {:.0} ms, {:.0} ms of the processor", begun.elapsed().as_secs_f64() * 1e3, processor_ms() - worked);
    for text in &asked {
        let pairs: Vec<(&str, &str)> = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let query = SessionsQuery::parse(pairs, Timestamp::now(), &Settings::default())?;
        timed(text, Box::new(|| Ok(store.sessions(TenantId::LOCAL, &query)?.total)))?;
    }
    let one = || Ok(store.reader()?.session(TenantId::LOCAL, "made-large")?.map_or(0, |found| found.requests.len() as u64));
    timed("session made-large, its requests", Box::new(one))
}
