//! Tool calls and latencies of made ledgers, against what their facts say.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telling;

use std::collections::BTreeMap;
use std::time::Instant;

use ducat_ledger::{Fact, Holder, Holders, Key, KeySpace, Outcome, Request, Told, ToolCall, UnixMs};
use ducat_report::{Latencies, LatencyQuery, QueryError, Settings, Tools, ToolsQuery};
use ducat_store::{Lane, Store, TenantId, Write};
use serde_json::{Value, json};
use telling::{NOW, open, session, tell};

const AGENT: &str = "claude-code";
const DAY: i64 = 86_400_000;
const TOOLS: [&str; 6] = ["Bash", "Read", "Edit", "Grep", "mcp__files__read", "mcp__files__write"];

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// From a millisecond to some minutes, short ones as many as long ones.
    fn duration(&mut self) -> u64 {
        let octave = self.below(18);
        (1 << octave) + self.below(1 << octave)
    }
}

fn held(session: &str, project: u64) -> Holders {
    let session = Key::of(KeySpace::Session, AGENT, session);
    Holders::one(Holder { session, live: false, project: Some(format!("/src/p{project}")), branch: None })
}

fn call(id: u64, session: &str, at: UnixMs, numbers: &mut Numbers) -> ToolCall {
    let id = format!("toolu_{id}");
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, &id), AGENT, id);
    call.holders = held(session, numbers.below(3));
    call.name = Told::by(1, TOOLS[numbers.below(6) as usize].to_owned());
    let outcome = Outcome::ALL[numbers.below(40).min(3) as usize];
    call.outcome = Told::by(2, outcome);
    call.error_kind =
        Told::maybe(2, (outcome == Outcome::Error).then(|| ["exit_code", "timeout"][numbers.below(2) as usize].to_owned()));
    call.started_at = Told::by(1, at);
    call.duration_ms = Told::maybe(2, (numbers.below(5) > 0).then(|| numbers.duration()));
    call.result_bytes = Told::maybe(1, (numbers.below(3) > 0).then(|| numbers.below(5000)));
    call.input_bytes = Told::by(1, numbers.below(300));
    call.user = Told::maybe(1, (numbers.below(4) > 0).then(|| ["ana", "ben"][numbers.below(2) as usize].to_owned()));
    call.target = Told::by(1, format!("src/{id}.rs", id = numbers.below(1000)));
    call
}

fn request(id: u64, session: &str, at: UnixMs, numbers: &mut Numbers) -> Request {
    let id = format!("req_{id}");
    let mut request = Request::new(Key::of(KeySpace::Request, AGENT, &id), AGENT, id);
    request.holders = held(session, numbers.below(3));
    request.model = Told::by(3, ["m", "n"][numbers.below(2) as usize].to_owned());
    request.started_at = Told::by(1, at);
    request.output_tokens = Told::maybe(3, (numbers.below(9) > 0).then(|| numbers.below(5000)));
    request.duration_ms = Told::maybe(2, (numbers.below(4) > 0).then(|| numbers.duration()));
    request.ttft_ms = Told::maybe(2, (numbers.below(2) > 0).then(|| numbers.duration()));
    request
}

fn tools(store: &Store, asked: &[(&str, &str)]) -> Result<Value, QueryError> {
    let query = ToolsQuery::parse(asked.iter().copied(), jiff::Timestamp::from_millisecond(NOW).unwrap(), &Settings::default())?;
    let mut tools = Tools::new(query);
    let slowest = store.reader().unwrap().add_tools_to(TenantId::LOCAL, &mut tools).unwrap();
    Ok(tools.to_json(&slowest))
}

fn latencies(store: &Store, asked: &[(&str, &str)]) -> Result<Value, QueryError> {
    let query =
        LatencyQuery::parse(asked.iter().copied(), jiff::Timestamp::from_millisecond(NOW).unwrap(), &Settings::default())?;
    let mut latencies = Latencies::new(query);
    store.reader().unwrap().add_latencies_to(TenantId::LOCAL, &mut latencies).unwrap();
    Ok(latencies.to_json())
}

/// The nearest-rank percentile of durations.
fn exact(durations: &mut [u64], percent: usize) -> Option<u64> {
    durations.sort_unstable();
    durations.get((durations.len() * percent).div_ceil(100).checked_sub(1)?).copied()
}

fn is_near(told: &Value, exact: Option<u64>) -> bool {
    match (told.as_u64(), exact) {
        (Some(told), Some(exact)) => told.abs_diff(exact) * 32 <= exact,
        (told, exact) => told == exact,
    }
}

/// What the API answers of calls, from the calls themselves.
fn check(sums: &Value, calls: &[&ToolCall]) {
    let count = |is: &dyn Fn(&ToolCall) -> bool| json!(calls.iter().filter(|call| is(call)).count());
    let sum = |of: &dyn Fn(&ToolCall) -> u64| json!(calls.iter().map(|call| of(call)).sum::<u64>());
    assert_eq!(sums["calls"], count(&|_| true));
    assert_eq!(sums["failed"], count(&|call| call.outcome.get() != Some(&Outcome::Ok)));
    for outcome in Outcome::ALL {
        assert_eq!(sums["outcomes"][outcome.name()], count(&|call| call.outcome.get() == Some(&outcome)));
    }
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    calls.iter().filter_map(|call| call.error_kind.get()).for_each(|kind| *kinds.entry(kind).or_default() += 1);
    assert_eq!(sums["error_kinds"], json!(kinds));
    assert_eq!(sums["timed_calls"], count(&|call| call.duration_ms().is_some()));
    assert_eq!(sums["duration_ms"], sum(&|call| call.duration_ms().unwrap_or_default()));
    assert_eq!(sums["sized_calls"], count(&|call| call.result_bytes.is_told()));
    assert_eq!(sums["result_bytes"], sum(&|call| call.result_bytes.or_default()));
    assert_eq!(sums["input_bytes"], sum(&|call| call.input_bytes.or_default()));
    let mut durations: Vec<u64> = calls.iter().filter_map(|call| call.duration_ms()).collect();
    for percent in [50, 95, 99] {
        let told = &sums[format!("p{percent}_ms")];
        assert!(is_near(told, exact(&mut durations, percent)), "{percent}: {told}");
    }
}

#[test]
fn tools_are_what_their_calls_say() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut numbers = Numbers(7);
    let calls: Vec<ToolCall> =
        (0..3000).map(|id| call(id, "s", NOW - numbers.below(40 * DAY as u64) as i64, &mut numbers)).collect();
    tell(&store, vec![session(AGENT, "s")]);
    tell(&store, calls.iter().cloned().map(Fact::ToolCall).collect());
    let of = |is: &dyn Fn(&ToolCall) -> bool| calls.iter().filter(|call| is(call)).collect::<Vec<_>>();
    let project = |call: &ToolCall| call.holders.iter().next().unwrap().project.clone().unwrap();

    let all = tools(&store, &[]).unwrap();
    check(&all["totals"], &of(&|_| true));
    let rows = all["rows"].as_array().unwrap();
    assert_eq!(rows.len(), TOOLS.len());
    assert!(rows.is_sorted_by_key(|row| -row["calls"].as_i64().unwrap()));
    for row in rows {
        check(row, &of(&|call| call.name.get().unwrap() == row["tool"].as_str().unwrap()));
    }
    for row in tools(&store, &[("by", "mcp_server")]).unwrap()["rows"].as_array().unwrap() {
        check(row, &of(&|call| call.mcp_server() == row["mcp_server"].as_str()));
    }
    for row in tools(&store, &[("by", "user")]).unwrap()["rows"].as_array().unwrap() {
        check(row, &of(&|call| call.user.get().map(String::as_str) == row["user"].as_str()));
    }
    // Hours of a zone at half an hour from UTC, rounded outward.
    let narrow =
        tools(&store, &[("since", "7d"), ("timezone", "Asia/Kolkata"), ("project", "p1"), ("outcome", "error")]).unwrap();
    let zone = jiff::tz::TimeZone::get("Asia/Kolkata").unwrap();
    let today = zone.to_datetime(jiff::Timestamp::from_millisecond(NOW).unwrap()).date();
    let since = zone.to_timestamp(today.checked_sub(jiff::ToSpan::days(6)).unwrap().at(0, 0, 0, 0)).unwrap().as_millisecond();
    let wanted = of(&|call| {
        call.started_at.get().unwrap() >= &since && project(call) == "/src/p1" && call.outcome.get() == Some(&Outcome::Error)
    });
    assert!(!wanted.is_empty());
    check(&narrow["totals"], &wanted);

    // Within a quarter-hour, all of it.
    let (hour, quarter) = (NOW - 9 * DAY, 900_000);
    let since = hour - hour % quarter;
    let time = |at: i64| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let asked = [("since", time(since + 1)), ("until", time(since + 40 * quarter - 1)), ("user", String::new())];
    let wanted = of(&|call| (since..since + 40 * quarter).contains(call.started_at.get().unwrap()) && call.user.is_untold());
    assert!(!wanted.is_empty());
    check(&tools(&store, &asked.each_ref().map(|(name, value)| (*name, value.as_str()))).unwrap()["totals"], &wanted);

    for asked in [
        vec![],
        vec![("tool", "Read")],
        vec![("mcp_server", "files"), ("since", "20d"), ("outcome", "ok")],
        vec![("mcp_server", "")],
    ] {
        let asks = |name: &str| asked.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let mut wanted = of(&|call| {
            call.duration_ms().is_some()
                && asks("tool").is_none_or(|tool| call.name.get().unwrap() == tool)
                && asks("mcp_server").is_none_or(|server| call.mcp_server().unwrap_or_default() == server)
                && asks("outcome").is_none_or(|outcome| call.outcome.get().unwrap().name() == outcome)
                && (asks("since").is_none() || *call.started_at.get().unwrap() >= (NOW / DAY - 19) * DAY)
        });
        wanted.sort_by_key(|call| std::cmp::Reverse((call.duration_ms(), *call.started_at.get().unwrap())));
        let told = tools(&store, &asked).unwrap();
        let told: Vec<_> = told["slowest"].as_array().unwrap().iter().map(|call| call["tool_call"].as_str().unwrap()).collect();
        let wanted: Vec<_> = wanted.iter().take(20).map(|call| call.id.as_str()).collect();
        assert_eq!(told, wanted, "{asked:?}");
    }
    assert_eq!(all["slowest"][0]["session"], "s");
    assert_eq!(all["slowest"][0]["agent"], AGENT);
}

#[test]
fn latencies_are_what_their_requests_say() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut numbers = Numbers(9);
    let requests: Vec<Request> =
        (0..3000).map(|id| request(id, "s", NOW - numbers.below(40 * DAY as u64) as i64, &mut numbers)).collect();
    tell(&store, requests.iter().cloned().map(Fact::Request).collect());
    let all = latencies(&store, &[]).unwrap();
    for row in all["rows"].as_array().unwrap() {
        let of: Vec<&Request> =
            requests.iter().filter(|request| request.model.get().unwrap() == row["model"].as_str().unwrap()).collect();
        let mut durations: Vec<u64> = of.iter().filter_map(|request| request.duration_ms.get().copied()).collect();
        let mut ttfts: Vec<u64> = of.iter().filter_map(|request| request.ttft_ms.get().copied()).collect();
        assert_eq!((&row["timed_requests"], &row["ttft_requests"]), (&json!(durations.len()), &json!(ttfts.len())));
        for percent in [50, 95, 99] {
            assert!(is_near(&row[format!("p{percent}_ms")], exact(&mut durations, percent)));
            assert!(is_near(&row[format!("ttft_p{percent}_ms")], exact(&mut ttfts, percent)));
        }
        let timed = of.iter().filter_map(|request| Some((*request.output_tokens.get()?, *request.duration_ms.get()?)));
        let (tokens, ms) = timed.fold((0, 0), |(tokens, ms), (more, longer)| (tokens + more, ms + longer));
        assert_eq!(row["output_tokens_per_second"], json!(tokens as f64 * 1e3 / ms as f64));
    }
    let one = latencies(&store, &[("by", "project"), ("model", "m"), ("since", "2d")]).unwrap();
    let since = (NOW / DAY - 1) * DAY;
    let wanted = requests.iter().filter(|request| {
        request.model.get().unwrap() == "m" && *request.started_at.get().unwrap() >= since && request.duration_ms.is_told()
    });
    assert_eq!(one["totals"]["timed_requests"], wanted.count());
}

/// Long ranges are read as days with quarter-hours at their ends, those of less than a day as quarter-hours alone.
#[test]
fn days_tell_what_their_quarter_hours_tell() {
    const QUARTER: i64 = 900_000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut numbers = Numbers(5);
    let midnight = NOW - NOW % DAY;
    // Some at the very ends of days.
    let mut at = |id: u64| match id % 20 {
        0 => midnight - (id as i64 % 5) * DAY,
        1 => midnight - (id as i64 % 5) * DAY - 1,
        _ => NOW - numbers.below(6 * DAY as u64) as i64,
    };
    let times: Vec<UnixMs> = (0..1500).map(&mut at).collect();
    let calls: Vec<ToolCall> = (0..).zip(&times).map(|(id, at)| call(id, "s", *at, &mut numbers)).collect();
    tell(&store, calls.iter().cloned().map(Fact::ToolCall).collect());
    tell(&store, (0..).zip(&times).map(|(id, at)| Fact::Request(request(id, "s", *at, &mut numbers))).collect());
    // Of no day.
    let mut timeless = call(9_000, "s", NOW, &mut numbers);
    timeless.started_at = Told::default();
    tell(&store, vec![Fact::ToolCall(timeless.clone())]);
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);

    let time = |at: i64| jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let read = |from: i64, until: i64| {
        let (since, until) = (time(from), time(until - 1));
        let asked = [("since", since.as_str()), ("until", until.as_str())];
        (tools(&store, &asked).unwrap(), latencies(&store, &asked).unwrap())
    };
    let slowest_of = |all: &Value| all["slowest"].as_array().unwrap().clone();
    // What was read of a range, and the same of its pieces of a quarter of a day.
    let compare = |(whole, latency): (Value, Value), from: i64, until: i64, more: Option<&ToolCall>| {
        let is_in = |call: &&ToolCall| (from..until).contains(call.started_at.get().unwrap());
        check(&whole["totals"], &calls.iter().filter(is_in).chain(more).collect::<Vec<_>>());
        let pieces: Vec<_> = (from..until).step_by(DAY as usize / 4).map(|at| read(at, until.min(at + DAY / 4))).collect();
        let mut slowest: Vec<Value> = pieces.iter().flat_map(|(tools, _)| slowest_of(tools)).collect();
        slowest.sort_by_key(|call| {
            let at: jiff::Timestamp = call["started_at"].as_str().unwrap().parse().unwrap();
            std::cmp::Reverse((call["duration_ms"].as_u64(), at))
        });
        slowest.truncate(20);
        assert_eq!(slowest_of(&whole), slowest);
        for name in ["timed_requests", "ttft_requests"] {
            let sum: i64 = pieces.iter().map(|(_, latency)| latency["totals"][name].as_i64().unwrap()).sum();
            assert_eq!(latency["totals"][name], sum, "{name}");
        }
    };
    for (from, until) in [
        (midnight - 3 * DAY, midnight - DAY),
        (midnight - 3 * DAY - QUARTER, midnight - DAY + QUARTER),
        (midnight - 4 * DAY + 9 * QUARTER, midnight - 50 * QUARTER),
        (midnight - DAY + 5 * QUARTER, midnight - 7 * QUARTER),
        (midnight - DAY / 2, midnight + 3 * QUARTER),
        (midnight - 2 * DAY + QUARTER, midnight),
        (midnight - 5 * DAY + DAY / 3, NOW - NOW % QUARTER + QUARTER),
    ] {
        compare(read(from, until), from, until, None);
    }
    let all = (tools(&store, &[]).unwrap(), latencies(&store, &[]).unwrap());
    compare(all, midnight - 6 * DAY, NOW - NOW % QUARTER + QUARTER, Some(&timeless));
}

/// More days and quarter-hours have calls as long as the slowest than are looked into: the latest are shown.
#[test]
fn of_calls_that_took_alike_the_latest_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut numbers = Numbers(8);
    let calls: Vec<ToolCall> = (0..1200)
        .map(|id| {
            let mut call = call(id, "s", NOW - id as i64 * DAY / 10, &mut numbers);
            // A few are longer, long ago.
            call.duration_ms = Told::by(2, if id % 400 == 399 { 9_000_000 } else { 600_000 });
            call
        })
        .collect();
    tell(&store, calls.iter().cloned().map(Fact::ToolCall).collect());
    let told = tools(&store, &[]).unwrap();
    let told: Vec<_> = told["slowest"].as_array().unwrap().iter().map(|call| call["tool_call"].as_str().unwrap()).collect();
    let wanted: Vec<String> = [399, 799, 1199].into_iter().chain(0..17).map(|id| format!("toolu_{id}")).collect();
    assert_eq!(told, wanted);
}

/// A call that another witness tells more of moves from one sum to another.
#[test]
fn what_is_told_later_moves_the_sums() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut numbers = Numbers(1);
    let mut first = call(1, "s", NOW, &mut numbers);
    first.outcome = Told::default();
    tell(&store, vec![Fact::ToolCall(first.clone())]);
    assert_eq!(tools(&store, &[]).unwrap()["totals"]["calls"], 0, "it has not ended");
    first.outcome = Told::by(1, Outcome::Ok);
    first.error_kind = Told::default();
    first.duration_ms = Told::default();
    tell(&store, vec![Fact::ToolCall(first.clone())]);
    let told = tools(&store, &[]).unwrap();
    assert_eq!(
        (&told["totals"]["timed_calls"], &told["totals"]["p95_ms"], &told["slowest"]),
        (&json!(0), &Value::Null, &json!([]))
    );
    first.outcome = Told::by(2, Outcome::Error);
    first.error_kind = Told::by(2, "timeout".to_owned());
    first.duration_ms = Told::by(2, 120_000);
    tell(&store, vec![Fact::ToolCall(first)]);
    let told = tools(&store, &[("outcome", "ok")]).unwrap();
    assert_eq!((&told["totals"]["calls"], &told["slowest"]), (&json!(0), &json!([])));
    let told = tools(&store, &[]).unwrap();
    assert_eq!((&told["totals"]["error_kinds"], &told["slowest"][0]["duration_ms"]), (&json!({ "timeout": 1 }), &json!(120_000)));
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
}

#[test]
fn what_cannot_be_understood_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let long = "x".repeat(100_000);
    for (name, value) in [
        ("by", "model"),
        ("by", ""),
        ("outcome", "bad"),
        ("outcome", "OK"),
        ("since", "yesterdayish"),
        ("until", "99999999d"),
        ("timezone", "Mars/Base"),
        ("since", &long),
        ("group", "none"),
        ("tools", "x"),
        ("limit", "5"),
        ("breakdown", "true"),
        ("currency", "EUR"),
        ("model", "m"),
    ] {
        let wrong = tools(&store, &[(name, value)]).unwrap_err().to_string();
        assert!(wrong.contains(name), "{name}={value}: {wrong}");
    }
    for (name, value) in [("by", "tool"), ("tool", "Bash"), ("since", "x"), ("by", "' OR 1=1 --")] {
        let wrong = latencies(&store, &[(name, value)]).unwrap_err().to_string();
        assert!(wrong.contains(name), "{name}={value}: {wrong}");
    }
    for value in ["'; DROP TABLE rollup_tools; --", "\0", "💥", &long, ""] {
        for name in ["tool", "mcp_server", "agent", "project"] {
            assert_eq!(tools(&store, &[(name, value)]).unwrap()["totals"]["calls"], 0);
        }
    }
    assert!(tools(&store, &[("since", "2026-01-02"), ("until", "2026-01-01")]).is_err());
}

/// A million calls of half a year, by ten people on three projects: `cargo test --release -p ducat-store --test tools -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes; prints what it measures"]
fn a_million_calls() {
    const RUNS: u64 = 5000;
    const CALLS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut numbers = Numbers(3);
    let begun = Instant::now();
    for run in 0..RUNS {
        let id = format!("s{run}");
        let (user, project) = (numbers.below(10), numbers.below(3));
        let at = NOW - 180 * DAY + (run * 180) as i64 * DAY / RUNS as i64;
        let mut facts = vec![session(AGENT, &id)];
        for place in 0..CALLS {
            let at = at + place as i64 * 9_000;
            let mut call = call(run * CALLS + place, &id, at, &mut numbers);
            call.holders = held(&id, project);
            call.user = Told::by(1, format!("user{user}"));
            facts.push(Fact::ToolCall(call));
            let mut request = request(run * CALLS + place, &id, at, &mut numbers);
            request.holders = held(&id, project);
            facts.push(Fact::Request(request));
        }
        store.write(Write { lane: Lane::Bulk, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
    }
    println!("imported {} calls and as many requests in {:.1} s", RUNS * CALLS, begun.elapsed().as_secs_f64());
    // Of Linux; what a busy machine makes of the time is another matter.
    let on_processor = || {
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        spent.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e6
    };
    let times = |work: &dyn Fn()| {
        let measured = (0..20).map(|_| {
            let (begun, spent) = (Instant::now(), on_processor());
            work();
            (begun.elapsed().as_secs_f64() * 1e3, on_processor() - spent)
        });
        let (mut times, mut spent): (Vec<f64>, Vec<f64>) = measured.unzip();
        times.sort_by(f64::total_cmp);
        spent.sort_by(f64::total_cmp);
        format!("p50 {:.1}, p95 {:.1} ms; on the processor p50 {:.1}, p95 {:.1} ms", times[9], times[18], spent[9], spent[18])
    };
    let asked: [&[(&str, &str)]; 6] = [
        &[("since", "30d")],
        &[],
        &[("by", "project"), ("since", "30d")],
        &[("tool", "Read")],
        &[("user", "user1"), ("since", "30d")],
        &[("outcome", "refused")],
    ];
    for asked in asked {
        println!("tools {asked:?}: {}", times(&|| drop(tools(&store, asked).unwrap())));
    }
    for asked in [&[("since", "30d")][..], &[]] {
        println!("latency {asked:?}: {}", times(&|| drop(latencies(&store, asked).unwrap())));
    }
    println!("models: {}", times(&|| drop(store.reader().unwrap().models(TenantId::LOCAL).unwrap())));
}
