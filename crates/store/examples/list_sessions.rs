//! Times lists of sessions over a ledger such as `made_ledger` makes: `list_sessions FOLDER [ROUNDS]` prints milliseconds of each query, as the
//! server asks it: with a connection of its own. The large session of `made_ledger` is read too.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use ducat_report::{SessionSort, SessionsQuery, Settings};
use ducat_store::{Reader, TenantId};
use jiff::Timestamp;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("list_sessions FOLDER [ROUNDS]")?).join("ledger.db");
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
            let begun = Instant::now();
            found = work()?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        println!("{what:80} p50 {:6.1} ms  p95 {:6.1} ms  ({found})", at(0.5), at(0.95));
        Ok(())
    };
    for text in &asked {
        let pairs: Vec<(&str, &str)> = text.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let query = SessionsQuery::parse(pairs, Timestamp::now(), &Settings::default())?;
        timed(text, Box::new(|| Ok(Reader::open(&path)?.sessions(TenantId::LOCAL, &query)?.total)))?;
    }
    let one = || Ok(Reader::open(&path)?.session(TenantId::LOCAL, "made-large")?.map_or(0, |found| found.requests.len() as u64));
    timed("session made-large, its requests", Box::new(one))
}
