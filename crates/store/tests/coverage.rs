//! The sums of who told of requests, and the list of disputed sessions, against what is reconciled request by request.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ducat_ledger::{Fact, FieldClass, Priced, Request, Role, Told, Witness, Witnesses};
use ducat_prices::NanoUsd;
use ducat_report::{Coverage, CoverageQuery, ReconcileQuery, Reconciled, Reconciliation};
use ducat_store::{Pricer, Store, TenantId};
use jiff::Timestamp;
use proptest::prelude::*;
use telling::*;

/// As [`Flat`], but that nobody knows what `x` costs, and `m[1m]` is another name of `m`.
struct Named;

impl Pricer for Named {
    fn price(&self, request: &Request) -> Priced {
        let priced = Flat.price(request);
        let cost = priced.cost.filter(|_| priced.model != "x");
        Priced { model: priced.model.trim_end_matches("[1m]").to_owned(), cost, ..priced }
    }
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(NOW).unwrap()
}

fn coverage(store: &Store, pairs: &[(&str, &str)]) -> Coverage {
    let query = CoverageQuery::parse(pairs.iter().copied(), now()).unwrap();
    store.reader().unwrap().coverage(TenantId::LOCAL, &query).unwrap()
}

fn reconciled(store: &Store) -> Reconciliation {
    store.reader().unwrap().reconcile(TenantId::LOCAL, &ReconcileQuery::default(), &Named).unwrap().unwrap()
}

type Sums = [i64; 7];

fn add(all: &mut BTreeMap<String, Sums>, agent: &str, sums: Sums) {
    let known = all.entry(agent.to_owned()).or_default();
    known.iter_mut().zip(sums).for_each(|(known, sum)| *known += sum);
}

/// By agent: requests, sums, cost, unpriced, disputed, difference, unknown differences.
fn covered(coverage: &Coverage) -> BTreeMap<String, Sums> {
    let mut all = BTreeMap::new();
    for ((agent, _), row) in &coverage.rows {
        let disputed = row.disputed.requests + row.disputed.sums;
        let [requests, sums, cost, unpriced, difference, unknown] = row.all.columns();
        add(&mut all, agent, [requests, sums, cost, unpriced, disputed, difference, unknown]);
    }
    all
}

fn shown(reconciliation: &Reconciliation) -> BTreeMap<String, Sums> {
    let mut all = BTreeMap::new();
    for row in &reconciliation.sessions {
        let counts = [row.requests, row.uncovered_sums, row.unpriced, row.differing_requests, row.unknown_differences];
        let [requests, sums, unpriced, disputed, unknown] = counts.map(|count| count as i64);
        add(&mut all, &row.agent, [requests, sums, row.cost.0, unpriced, disputed, row.distance.0, unknown]);
    }
    all.retain(|_, sums| *sums != Sums::default());
    all
}

/// Of a session or of an agent's requests of none: how many are disputed, by how much, in which fields.
type Listed = (Option<String>, String, u64, i64, u64, BTreeSet<&'static str>);

fn listed(coverage: &Coverage) -> BTreeSet<Listed> {
    let of = |one: &ducat_report::DisputedSession| {
        let sums = one.sums;
        let id = one.session.as_ref().map(|session| session.id.clone());
        let fields = sums.fields.names().into_iter().collect();
        (id, one.agent.clone(), sums.requests, sums.difference.0, sums.unknown_differences, fields)
    };
    coverage.disputed.iter().map(of).collect()
}

fn disputed(reconciliation: &Reconciliation) -> BTreeSet<Listed> {
    let of = |row: &Reconciled| {
        let fields = row.disagreements.iter().map(|one| one.field.name()).filter(|name| *name != "outcome").collect();
        let id = row.session.as_ref().map(|session| session.id.clone());
        (id, row.agent.clone(), row.differing_requests, row.distance.0, row.unknown_differences, fields)
    };
    reconciliation.sessions.iter().filter(|row| row.differing_requests > 0).map(of).collect()
}

/// How many requests and sums each witness told, and how many requests it alone told.
fn told_by_coverage(coverage: &Coverage) -> BTreeMap<&'static str, (i64, i64)> {
    let mut all = BTreeMap::<_, (i64, i64)>::new();
    for ((_, witnesses), row) in &coverage.rows {
        let names = witnesses.names();
        for name in &names {
            let (told, alone) = all.entry(*name).or_default();
            *told += row.all.requests + row.all.sums;
            *alone += if names.len() == 1 { row.all.requests } else { 0 };
        }
    }
    all
}

fn told_by_reconciliation(reconciliation: &Reconciliation) -> BTreeMap<&'static str, (i64, i64)> {
    let told = reconciliation.witnesses().into_iter().map(|(name, (_, one))| (name, (one.requests as i64, one.alone as i64)));
    told.filter(|(_, (told, _))| *told > 0).collect()
}

fn check(store: &Store) {
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
    let (coverage, reconciliation) = (coverage(store, &[]), reconciled(store));
    assert_eq!(covered(&coverage), shown(&reconciliation));
    assert_eq!(listed(&coverage), disputed(&reconciliation));
    assert_eq!(told_by_coverage(&coverage), told_by_reconciliation(&reconciliation));
}

fn claimed() -> impl Strategy<Value = Vec<Fact>> {
    let agent = prop::sample::select(vec!["codex", "claude-code"]);
    let witness = prop::sample::select(vec![
        Witness::Transcript,
        Witness::OtlpLog,
        Witness::OtlpSpan,
        Witness::Api,
        Witness::OtlpMetric,
        Witness::Hook,
    ]);
    let model = prop::sample::select(vec!["m", "m", "m", "m[1m]", "n", "x"]);
    let at = prop::option::weighted(0.8, prop::sample::select(vec![0_i64, 1, 400, 2000]));
    let one = (agent, 0_u8..4, 0_u8..4, witness, model, 1_u64..3, at, 0_u8..9);
    let one = one.prop_map(|(agent, id, of, witness, model, output, at, kind)| {
        let at = at.map(|at| NOW + at * 1000);
        // Session 2 is of a request whose session changes, 3 of none.
        let mut told = request(agent, &format!("s{of}"), &format!("req_{id}"), witness, NOW, output);
        if of == 3 {
            told.holders = ducat_ledger::Holders::default();
        }
        told.model = witness.tells(FieldClass::Usage, model.to_owned());
        told.started_at = Told::maybe(witness.rank(FieldClass::Start), at);
        match kind {
            0 | 1 => {
                let name = format!("loose{id}{of}{witness:?}{output}{at:?}");
                (told.id, told.key) = (name.clone(), ducat_ledger::Key::of(ducat_ledger::KeySpace::Request, agent, &name));
                Fact::Request(keyless(told))
            }
            2 => {
                let name = format!("sum{id}{of}{witness:?}{output}{at:?}");
                (told.id, told.key) = (name.clone(), ducat_ledger::Key::of(ducat_ledger::KeySpace::Request, agent, &name));
                Fact::Request(sum(told))
            }
            3 => {
                told.output_tokens = Told::default();
                told.cache_write_tokens = witness.tells(FieldClass::Usage, output * 3);
                Fact::Request(told)
            }
            _ => Fact::Request(told),
        }
    });
    prop::collection::vec(one, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]
    #[test]
    fn it_is_what_reconciling_says_whatever_was_told_in_whatever_order(facts in claimed(), size in 1_usize..6, first in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let store = open_priced(folder.path(), Arc::new(Named));
        let sessions: Vec<Fact> = ["codex", "claude-code"].into_iter().flat_map(|agent| ["s0", "s1", "s2"].map(|of| session(agent, of))).collect();
        if first {
            tell(&store, sessions.clone());
        }
        facts.chunks(size).for_each(|piece| tell(&store, piece.to_vec()));
        tell(&store, sessions);
        check(&store);
        // Told again and by one witness more.
        let late = facts.iter().filter_map(|fact| {
            let Fact::Request(told) = fact else { return None };
            let mut late = told.clone();
            late.witnesses = Witnesses::only(Witness::OtlpLog);
            late.output_tokens = Witness::OtlpLog.tells(FieldClass::Usage, 9);
            Some(Fact::Request(late))
        });
        tell(&store, facts.iter().take(5).cloned().chain(late.take(6)).collect());
        check(&store);
    }
}

#[test]
fn a_late_witness_disputes_and_a_later_one_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_priced(folder.path(), Arc::new(Named));
    let told = |witness, output| Fact::Request(request("codex", "s", "r", witness, NOW, output));
    let sums = |store: &Store| covered(&coverage(store, &[])).remove("codex").unwrap();
    tell(&store, vec![session("codex", "s"), told(Witness::Transcript, 10)]);
    assert_eq!((sums(&store), coverage(&store, &[]).disputed), ([1, 0, 10, 0, 0, 0, 0], vec![]));
    tell(&store, vec![told(Witness::OtlpLog, 30)]);
    assert_eq!(sums(&store), [1, 0, 30, 0, 1, 20, 0]);
    let found = coverage(&store, &[]);
    assert_eq!(found.rows.keys().map(|(_, told)| told.names()).collect::<Vec<_>>(), [["transcript", "otlp_log"]]);
    assert_eq!(listed(&found).into_iter().next().unwrap().5, BTreeSet::from(["output_tokens"]));
    assert_eq!((found.disputed[0].requests, found.disputed_sessions), (Some(1), 1));
    // The transcript's last word.
    tell(&store, vec![told(Witness::Transcript, 30)]);
    assert_eq!((sums(&store), coverage(&store, &[]).disputed), ([1, 0, 30, 0, 0, 0, 0], vec![]));
    check(&store);
}

#[test]
fn the_list_follows_the_owner_and_leaves_out_what_another_row_tells() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_priced(folder.path(), Arc::new(Named));
    let copy = |of: &str, witness, output| {
        let mut copy = request("claude-code", of, "r", witness, NOW + 5, output);
        if of == "child" {
            let mut holder = copy.holders.iter().next().unwrap().clone();
            holder.live = true;
            holder.project = Some("/p".to_owned());
            copy.holders = ducat_ledger::Holders::one(holder);
        }
        Fact::Request(copy)
    };
    tell(&store, vec![session("claude-code", "parent"), session("claude-code", "child")]);
    tell(&store, vec![copy("parent", Witness::Transcript, 1), copy("parent", Witness::OtlpLog, 4)]);
    let owner = |store: &Store| coverage(store, &[]).disputed[0].session.clone().unwrap().id;
    assert_eq!(owner(&store), "parent");
    tell(&store, vec![copy("child", Witness::OtlpLog, 4)]);
    assert_eq!((owner(&store).as_str(), coverage(&store, &[]).disputed[0].project.as_deref()), ("child", Some("/p")));
    check(&store);
    // A log without an id of the same request is a row of its own until it is known to be the same.
    let folder = tempfile::tempdir().unwrap();
    let store = open_priced(folder.path(), Arc::new(Named));
    tell(&store, vec![session("codex", "s"), Fact::Request(keyless(request("codex", "s", "log", Witness::OtlpLog, NOW, 4)))]);
    tell(&store, vec![Fact::Request(request("codex", "s", "r", Witness::Transcript, NOW, 4))]);
    let roles: Vec<u8> = rusqlite::Connection::open(folder.path().join("ledger.db"))
        .unwrap()
        .prepare("SELECT role FROM requests ORDER BY role")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(roles, [Role::Twin as u8, Role::One as u8]);
    assert_eq!(covered(&coverage(&store, &[]))["codex"], [1, 0, 4, 0, 0, 0, 0]);
    check(&store);
}

#[test]
fn ranges_are_rounded_outward_and_hold_what_tells_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_priced(folder.path(), Arc::new(Named));
    let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
    let told = |agent: &str, id: &str, time: Option<&str>| {
        [(Witness::Transcript, 1), (Witness::OtlpLog, 3)].map(|(witness, output)| {
            let mut one = request(agent, "s", id, witness, NOW, output);
            one.started_at = Told::maybe(witness.rank(FieldClass::Start), time.map(at));
            Fact::Request(one)
        })
    };
    tell(&store, vec![session("codex", "s"), session("pi", "s")]);
    for (agent, id, time) in [
        ("codex", "before", Some("2026-11-24T22:59:59Z")),
        ("codex", "first", Some("2026-11-24T23:00:00Z")),
        ("pi", "last", Some("2026-11-25T22:59:59Z")),
        ("codex", "after", Some("2026-11-25T23:00:00Z")),
        ("codex", "undated", None),
    ] {
        tell(&store, told(agent, id, time).to_vec());
    }
    let day = [("since", "2026-11-25"), ("until", "2026-11-25"), ("timezone", "Europe/Berlin")];
    let count = |pairs: &[(&str, &str)]| {
        let found = coverage(&store, pairs);
        let listed = found.disputed.iter().map(|one| one.sums.requests).sum::<u64>();
        assert_eq!(found.totals().disputed.requests as u64, listed, "{pairs:?}");
        listed
    };
    assert_eq!(count(&[]), 5);
    assert_eq!(count(&day), 2);
    assert_eq!(count(&[&day[..], &[("agent", "pi")]].concat()), 1);
    assert_eq!(count(&[("agent", "nobody")]), 0);
    assert_eq!(count(&[("since", "2026-11-25")]), 2);
    assert_eq!(count(&[("until", "2026-11-24")]), 2);
    // What is of the rest of a quarter-hour goes along.
    assert_eq!(count(&[("since", "2026-11-24T22:50:00Z"), ("until", "2026-11-24T23:00:00.001Z")]), 2);
    assert_eq!(count(&[("since", "2026-11-24T23:00:00Z"), ("until", "2026-11-24T23:00:00.001Z")]), 1);
    // Kathmandu's midnight is a quarter-hour of UTC.
    assert_eq!(count(&[("since", "2026-11-25"), ("timezone", "Asia/Kathmandu")]), 4);
    // However a range is cut into days and what is before and after them.
    let bucket = ducat_ledger::bucket_of(at("2026-11-24T23:00:00Z"));
    for from in bucket - 200..bucket + 200 {
        for (until, end) in [(None, i64::MAX), (Some(from + 1), from + 1), (Some(from + 150), from + 150), (Some(from - 1), 0)] {
            let times = ["2026-11-24T22:59:59Z", "2026-11-24T23:00:00Z", "2026-11-25T22:59:59Z", "2026-11-25T23:00:00Z"];
            let within = |time: &&str| (from..end).contains(&ducat_ledger::bucket_of(at(time)));
            let time = |bucket: i64| bucket * ducat_ledger::BUCKET_MS;
            let query = CoverageQuery { agent: None, range: (Some(time(from)), until.map(time)) };
            let found = store.reader().unwrap().coverage(TenantId::LOCAL, &query).unwrap().totals();
            assert_eq!(found.disputed.requests as usize, times.iter().filter(|time| within(time)).count(), "{query:?}");
        }
    }
    let query = CoverageQuery { agent: None, range: (Some(i64::MIN), Some(i64::MAX)) };
    assert_eq!(store.reader().unwrap().coverage(TenantId::LOCAL, &query).unwrap().totals().all.requests, 4);
}

#[test]
fn the_costliest_come_first_and_no_more_than_fifty() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_priced(folder.path(), Arc::new(Named));
    for number in 0..60_u64 {
        let of = format!("s{number}");
        let told = |witness, output| Fact::Request(request("codex", &of, &format!("r{number}"), witness, NOW, output));
        tell(&store, vec![session("codex", &of), told(Witness::Transcript, 1), told(Witness::OtlpLog, 2 + (number * 7) % 60)]);
    }
    let found = coverage(&store, &[]);
    let differences: Vec<NanoUsd> = found.disputed.iter().map(|one| one.sums.difference).collect();
    assert_eq!(differences, (11..=60).rev().map(NanoUsd).collect::<Vec<_>>());
    assert_eq!((found.disputed_sessions, found.totals().disputed.requests), (60, 60));
    let json = found.to_json();
    assert_eq!((&json["disputed"][0]["difference_nano_usd"], &json["totals"]["disputed_sessions"]), (&"60".into(), &60.into()));
    let row = &json["rows"][0];
    assert_eq!(
        (&row["witnesses"][1], &row["disputed_requests"], &row["agent"]),
        (&"otlp_log".into(), &60.into(), &"codex".into())
    );
}

#[test]
fn wrong_parameters_are_named() {
    for (name, value, part) in [
        ("session", "s", "agent, since"),
        ("project", "p", "\"project\""),
        ("since", "99999999999", "since"),
        ("since", "-1d", "since"),
        ("until", "\u{0}", "until"),
        ("timezone", "Mars", "timezone"),
        ("", "", "unknown parameter"),
    ] {
        assert!(CoverageQuery::parse([(name, value)], now()).unwrap_err().to_string().contains(part), "{name}");
    }
    for (name, value) in [("since", "2026-11-24T25:00:00Z"), ("until", "T"), ("until", "2026-11-24T10:00:00+99:00")] {
        assert!(CoverageQuery::parse([(name, value)], now()).unwrap_err().to_string().starts_with(name), "{value}");
    }
    let backwards = CoverageQuery::parse([("since", "2026-02-01"), ("until", "2026-01-01")], now());
    assert!(backwards.unwrap_err().to_string().contains("since"));
    for (since, until) in [("-9999-01-01", "9999-12-31"), ("0000-01-01", "9999-12-31"), ("100000d", "today")] {
        let _ = CoverageQuery::parse([("since", since), ("until", until)], now());
    }
}
