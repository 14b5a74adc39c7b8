//! How long reports take over a year of a busy team: a million made requests in a ledger of its own. Takes minutes; run it by hand:
//! `cargo run --release -p ducat-store --example reports [requests [folder]]`. A folder that is there is used again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ducat_ledger::{BUCKET_MS, Billing, Fact, Holder, Holders, Key, KeySpace, Request, Told, UnixMs};
use ducat_prices::PriceTable;
use ducat_report::{AskedPeriod, Filters, Grouping, Report, ReportQuery};
use ducat_store::{Durability, Lane, Reader, Store, StoreOptions, TenantId, Write};
use jiff::Timestamp;

const NOW: UnixMs = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;
const MODELS: [&str; 8] = [
    "claude-opus-4-5",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "gpt-5",
    "gpt-5-codex",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "in-house",
];
const AGENTS: [&str; 3] = ["claude-code", "codex", "gemini-cli"];

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// Small numbers more often than large ones.
    fn favour(&mut self, end: u64) -> u64 {
        let least = self.below(end).min(self.below(end));
        least.min(self.below(end))
    }
}

/// Requests that one made of one thing within a quarter-hour.
const BURST: u64 = 8;

/// Forty people at work, on weekdays from 7 to 19, each on a few branches of a few of sixty projects, with two or three models at a time.
fn made(number: u64, all: u64, dice: &mut Dice) -> Request {
    let mut burst = Dice(number / BURST);
    burst.below(2);
    let id = format!("req_{number}");
    let user = burst.favour(40);
    let agent = AGENTS[(user % 3) as usize];
    let mut request = Request::new(Key::of(KeySpace::Request, agent, &id), agent, id);
    let day = 365 - 1 - number * 365 / all;
    let quarter = if day % 7 < 2 { burst.below(96) } else { 28 + burst.below(48) } as i64;
    let midnight = NOW - NOW.rem_euclid(DAY_MS) - day as i64 * DAY_MS;
    let project = (user * 7 + burst.favour(6)) % 60;
    let session = Key::of(KeySpace::Session, agent, &format!("s{user}/{day}/{project}"));
    let branch = format!("work-{}", (day / 5 * 40 + user) % 2000);
    let holder = Holder { session, live: false, project: Some(format!("/srv/team/project-{project}")), branch: Some(branch) };
    request.holders = Holders::one(holder);
    request.started_at = Told::by(1, midnight + quarter * BUCKET_MS + dice.below(900_000) as i64);
    request.model = Told::by(1, MODELS[(burst.favour(6) + dice.favour(3)) as usize].to_owned());
    request.input_tokens = Told::by(1, dice.below(2000));
    request.output_tokens = Told::by(1, dice.below(4000));
    request.cache_read_tokens = Told::by(1, dice.below(150_000));
    request.cache_write_5m_tokens = Told::by(1, dice.below(8000));
    request.user = Told::by(1, format!("user-{user}@team.example"));
    request.team = Told::by(1, format!("team-{}", user % 5));
    request.host = Told::by(1, format!("host-{user}"));
    request.billing = Told::by(1, if user.is_multiple_of(4) { Billing::Metered } else { Billing::Plan });
    request.effort = Told::maybe(1, (user % 3 == 1).then(|| ["low", "medium", "high"][dice.below(3) as usize].to_owned()));
    request
}

fn open(path: PathBuf) -> Store {
    let pricer = Arc::new(PriceTable::embedded());
    Store::open(StoreOptions { path, durability: Durability::Process, pricer, clock: || NOW, listener: None }).unwrap()
}

fn tell(store: &Store, lane: Lane, facts: Vec<Fact>) {
    store.write(Write { lane, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
}

/// KiB that the process has in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

fn report(reader: &Reader, query: &ReportQuery) -> String {
    let mut report = Report::new(query.clone());
    reader.add_to(TenantId::LOCAL, query.time_range(), &mut report).unwrap();
    report.finish().to_json()
}

/// How long this thread was on a processor: what a report takes where nobody else is at work.
fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// Wall time and work of so many rounds.
fn show(name: &str, rounds: usize, mut work: impl FnMut() -> usize) {
    let mut size = 0;
    let (mut wall, mut work): (Vec<_>, Vec<_>) = (0..rounds)
        .map(|_| {
            let (begun, before) = (Instant::now(), worked());
            size = work();
            (begun.elapsed(), worked() - before)
        })
        .unzip();
    wall.sort_unstable();
    work.sort_unstable();
    let at = |times: &[Duration], share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    let [p50, p95, work_p50, work_p95] = [at(&wall, 50), at(&wall, 95), at(&work, 50), at(&work, 95)];
    println!(
        "{name:30} p50 {p50:7.1} ms, p95 {p95:7.1} ms; on a CPU {work_p50:7.1} and {work_p95:7.1} ms; {:6} KiB",
        size / 1024
    );
}

fn fill(store: &Store, all: u64) {
    let mut dice = Dice(7);
    let begun = Instant::now();
    for first in (0..all).step_by(2000) {
        let facts = (first..all.min(first + 2000)).map(|number| Fact::Request(made(number, all, &mut dice)));
        tell(store, Lane::Bulk, facts.collect());
    }
    println!("{all} requests told in {:.1} s", begun.elapsed().as_secs_f64());
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let all: u64 = arguments.next().map_or(1_000_000, |all| all.parse().expect("requests: a whole number"));
    let temporary = tempfile::tempdir().unwrap();
    let folder = arguments.next().map_or(temporary.path().to_owned(), PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("ledger.db");
    if !path.exists() {
        fill(&open(path.clone()), all);
    }
    bench(&path, all);
}

fn bench(path: &Path, all: u64) {
    let store = open(path.to_owned());
    let before = resident();
    let begun = Instant::now();
    report(&store.reader().unwrap(), &ReportQuery::default());
    println!(
        "first report, with the load: {:.0} ms; resident {} KiB more",
        begun.elapsed().as_secs_f64() * 1000.0,
        resident() - before
    );
    let daily = |breakdown| ReportQuery { breakdown, ..ReportQuery::default() };
    let by = |by| ReportQuery { by, ..ReportQuery::default() };
    let of = |asked: [(&str, &'static str); 2]| {
        let mut period = AskedPeriod::default();
        assert!(asked.into_iter().all(|(name, value)| period.take(name, value)));
        period.period(Timestamp::UNIX_EPOCH).unwrap()
    };
    let filters = Filters { project: Some("project-7".to_owned()), ..Filters::default() };
    let week = of([("since", "2026-11-12"), ("until", "2026-11-18")]);
    let berlin = of([("since", "2000-01-01"), ("timezone", "Europe/Berlin")]);
    let queries = [
        ("daily", daily(None)),
        ("daily by model", daily(Some(Grouping::Model))),
        ("daily by project", daily(Some(Grouping::Project))),
        ("daily by user", daily(Some(Grouping::User))),
        ("daily in Berlin", ReportQuery { period: berlin, ..daily(None) }),
        ("hourly", by(Grouping::Hourly)),
        ("project", by(Grouping::Project)),
        ("project by model", ReportQuery { breakdown: Some(Grouping::Model), ..by(Grouping::Project) }),
        ("branch", by(Grouping::Branch)),
        ("effort", by(Grouping::Effort)),
        ("daily of a project by model", ReportQuery { filters, ..daily(Some(Grouping::Model)) }),
        ("daily by model of 7 days", ReportQuery { period: week, ..daily(Some(Grouping::Model)) }),
    ];
    let other = Reader::open(path).unwrap();
    for (name, query) in &queries {
        show(name, 60, || report(&store.reader().unwrap(), query).len());
        show("    read from SQLite", 3, || report(&other, query).len());
    }
    let (mut dice, mut number) = (Dice(11), all);
    show("a live write, with a copy", 500, || {
        number += 1;
        tell(&store, Lane::Live, vec![Fact::Request(made(number, all + 500, &mut dice))]);
        0
    });
}
