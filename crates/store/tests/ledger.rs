//! The store against a plain model: whatever order, repetition and cutting, the same facts, owners and sums.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use ducat_ledger::{
    Billing, Fact, FieldClass, Holder, Holders, Key, KeySpace, Line, Outcome, Priced, Quota, Request, Session, Told, ToolCall,
    Turn, UnixMs, Witness, Witnesses, owner,
};
use ducat_metrics::Family;
use ducat_prices::NanoUsd;
use ducat_report::{Grouping, Report, ReportQuery, SessionsQuery};
use ducat_store::{
    Durability, Event, FileCursor, Lane, Pricer, Reader, Receipt, Store, StoreError, StoreOptions, TenantId, Write,
};
use proptest::prelude::*;

const NOW: UnixMs = 1_795_000_000_000;
const AGENT: &str = "claude-code";

/// A nano-dollar a token; models named `x` are unknown.
struct Flat;

impl Pricer for Flat {
    fn price(&self, request: &Request) -> Priced {
        let usage = request.usage();
        let model = request.model.get().cloned().unwrap_or_default();
        let cost = (model != "x").then(|| NanoUsd((usage.input + usage.output) as i64));
        Priced { model, cost, billing: None }
    }
}

fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(StoreOptions {
        path: folder.join("ledger.db"),
        durability: Durability::Process,
        pricer: Arc::new(Flat),
        clock: || NOW,
        listener: None,
    })
}

fn write(facts: Vec<Fact>, lane: Lane) -> Write {
    Write { lane, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }
}

fn session_key(session: u8) -> Key {
    Key::of(KeySpace::Session, AGENT, &format!("session-{session}"))
}

fn holder(session: u8, live: bool) -> Holders {
    Holders::one(Holder { session: session_key(session), live, project: Some(format!("/p{session}")), branch: None })
}

fn session(number: u8, opened_at: Option<UnixMs>) -> Fact {
    let mut session = Session::new(session_key(number), AGENT, format!("session-{number}"));
    session.opened_at = Told::maybe(1, opened_at);
    session.last_at = Told::maybe(1, opened_at);
    Fact::Session(session)
}

fn request(id: u8, session: u8, at: UnixMs, tokens: u64, live: bool) -> Fact {
    let id = format!("req_{id}");
    let mut request = Request::new(Key::of(KeySpace::Request, AGENT, &id), AGENT, id);
    request.holders = holder(session, live);
    request.model = Witness::Transcript.tells(FieldClass::Usage, if tokens.is_multiple_of(5) { "x" } else { "m" }.to_owned());
    request.output_tokens = Witness::Transcript.tells(FieldClass::Usage, tokens);
    request.started_at = Witness::Transcript.tells(FieldClass::Usage, at);
    request.effort = Told::maybe(1, tokens.is_multiple_of(2).then(|| "high".to_owned()));
    request.duration_ms = Told::maybe(2, (!tokens.is_multiple_of(3)).then_some(tokens.saturating_mul(100)));
    request.ttft_ms = Told::maybe(2, tokens.is_multiple_of(4).then_some(tokens));
    request.labels = Told::maybe(1, (!tokens.is_multiple_of(4)).then(|| format!("department=d{}\nshift=night", tokens % 4)));
    Fact::Request(request)
}

fn tool_call(id: u8, session: u8, at: UnixMs, outcome: Option<Outcome>) -> Fact {
    let id = format!("toolu_{id}");
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, &id), AGENT, id);
    call.holders = holder(session, false);
    call.name = Witness::Hook.tells(FieldClass::Attribution, "Bash".to_owned());
    call.started_at = Witness::Hook.tells(FieldClass::Timing, at);
    call.outcome = Told::maybe(2, outcome);
    call.duration_ms = Told::maybe(2, outcome.map(|outcome| 700 * (outcome as u64 + 1)));
    Fact::ToolCall(call)
}

/// A session that a witness called one of a plan.
fn on_plan(number: u8) -> Fact {
    let Fact::Session(mut session) = session(number, None) else { unreachable!("a session") };
    session.billing = Told::by(1, Billing::Plan);
    Fact::Session(session)
}

/// A window of half an hour around the times of the requests below; from a million parts on it is used up.
fn quota(at: UnixMs, used_ppm: u32) -> Fact {
    let mut quota = Quota::new(AGENT, None, None, 300, 1_794_000_000_000 + 30 * 60_000);
    quota.tell(at, used_ppm);
    Fact::Quota(quota)
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let session_of = 0_u8..4;
    let at = 0_i64..40;
    // One minute steps around a quarter-hour's edge.
    let time = |minute: i64| 1_794_000_000_000 + minute * 60_000;
    prop::collection::vec(
        prop_oneof![
            (session_of.clone(), prop::option::of(at.clone())).prop_map(move |(number, at)| session(number, at.map(time))),
            (0_u8..6, session_of.clone(), at.clone(), 0_u64..50, prop::bool::weighted(0.1))
                .prop_map(move |(id, number, at, tokens, live)| request(id, number, time(at), tokens, live)),
            (0_u8..4, session_of.clone(), at.clone(), prop::option::of(prop::sample::select(Outcome::ALL.to_vec())))
                .prop_map(move |(id, number, at, outcome)| tool_call(id, number, time(at), outcome)),
            session_of.clone().prop_map(on_plan),
            (at.clone(), 900_000_u32..1_100_000).prop_map(move |(at, used)| quota(time(at), used)),
            (0_u8..12, session_of, at).prop_map(move |(uuid, number, at)| {
                Fact::Line(Line { session: session_key(number), uuid: [uuid; 16], at: time(at) })
            }),
        ],
        1..40,
    )
}

/// What the facts mean, by the definitions, all at once.
fn model(facts: &[Fact]) -> BTreeMap<String, (Key, u64)> {
    let mut requests: HashMap<Key, Request> = HashMap::new();
    let mut lines: BTreeMap<[u8; 16], BTreeMap<Key, UnixMs>> = BTreeMap::new();
    let mut births: HashMap<Key, UnixMs> = HashMap::new();
    let mut born = |session: Key, at: UnixMs| {
        births.entry(session).and_modify(|birth| *birth = at.min(*birth)).or_insert(at);
    };
    for fact in facts {
        match fact {
            Fact::Request(told) => drop(requests.entry(told.key).or_insert_with(|| told.clone()).join(told)),
            Fact::Line(line) => {
                lines
                    .entry(line.uuid)
                    .or_default()
                    .entry(line.session)
                    .and_modify(|at| *at = line.at.min(*at))
                    .or_insert(line.at);
            }
            Fact::Session(told) => {
                if let Some(at) = told.opened_at.get() {
                    born(told.key, *at);
                }
            }
            _ => {}
        }
    }
    for holders in lines.values().filter(|holders| holders.len() == 1) {
        holders.iter().for_each(|(session, at)| born(*session, *at));
    }
    let owned = requests.values().map(|request| {
        let owner = owner(&request.holders, request.started_at.get().copied(), |session| births.get(session).copied()).unwrap();
        (request.id.clone(), (owner.session, request.usage().output))
    });
    owned.collect()
}

fn stored(store: &Store) -> BTreeMap<String, (Key, u64)> {
    let reader = store.reader().unwrap();
    let mut owned = BTreeMap::new();
    for number in 0..4 {
        if let Some(detail) = reader.session(TenantId::LOCAL, &format!("session-{number}")).unwrap() {
            for (request, ..) in detail.requests {
                owned.insert(request.id.clone(), (detail.session.key, request.usage().output));
            }
        }
    }
    owned
}

fn report(store: &Store, by: Grouping) -> String {
    let mut report = Report::new(ReportQuery { by, label: Some("department".to_owned()), ..ReportQuery::default() });
    store.reader().unwrap().add_to(TenantId::LOCAL, (None, None), &mut report).unwrap();
    report.finish().to_json()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_order_repetition_and_cutting(facts in facts(), seed in any::<u64>(), size in 1_usize..8) {
        let facts: Vec<Fact> = (0..4).map(|number| session(number, None)).chain(facts).collect();
        let one = tempfile::tempdir().unwrap();
        let store = open(one.path()).unwrap();
        store.write(write(facts.clone(), Lane::Bulk)).unwrap();
        prop_assert_eq!(stored(&store), model(&facts));
        prop_assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);

        let mut shuffled: Vec<Fact> = facts.iter().cloned().chain(facts.iter().take(7).cloned()).collect();
        let mut state = seed;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(place, (state >> 33) as usize % (place + 1));
        }
        let other = tempfile::tempdir().unwrap();
        let pieces = open(other.path()).unwrap();
        for (number, piece) in shuffled.chunks(size).enumerate() {
            pieces.write(write(piece.to_vec(), if number % 2 == 0 { Lane::Live } else { Lane::Bulk })).unwrap();
        }
        prop_assert_eq!(stored(&pieces), stored(&store));
        prop_assert_eq!(pieces.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
        for by in Grouping::ALL {
            prop_assert_eq!(report(&pieces, by), report(&store, by));
        }
    }
}

#[test]
fn an_event_counts_once_and_not_when_it_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let event = |id: u8, at: UnixMs, output: u64| Write {
        event: Some(Event { id: [id; 16], at }),
        ..write(vec![session(0, None), request(id, 0, NOW, output, true)], Lane::Live)
    };
    let store = open(dir.path()).unwrap();
    assert_eq!(store.write(event(1, NOW, 10)).unwrap(), Receipt::Stored);
    assert_eq!(store.write(event(1, NOW, 99)).unwrap(), Receipt::Duplicate);
    assert_eq!(store.write(event(2, NOW - 31 * 86_400_000, 10)).unwrap(), Receipt::Stale);
    assert_eq!(store.write(event(3, NOW + 86_400_000_000, 10)).unwrap(), Receipt::Stored);
    assert_eq!(store.write(Write { lane: Lane::Bulk, ..event(3, NOW, 99) }).unwrap(), Receipt::Duplicate);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.write(event(1, NOW, 99)).unwrap(), Receipt::Duplicate);
    assert_eq!(stored(&store).values().map(|(_, output)| *output).collect::<Vec<_>>(), [10, 10]);
}

#[test]
fn every_kind_of_fact_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut turn = Turn::new(Key::of(KeySpace::Turn, AGENT, "p"), AGENT, "p");
    turn.holders = holder(1, true);
    turn.prompt_bytes = Told::by(1, 7);
    let cursor = FileCursor { path: "/a b".into(), identity: (u64::MAX, 2), offset: 3, tail: [4; 16], state: "{}".into() };
    let facts = vec![
        session(1, Some(5)),
        request(1, 1, 6, 12, false),
        tool_call(1, 1, 7, Some(Outcome::Refused)),
        Fact::Turn(turn.clone()),
    ];
    store.write(Write { cursors: vec![cursor.clone()], ..write(facts.clone(), Lane::Bulk) }).unwrap();
    let reader = store.reader().unwrap();
    let detail = reader.session(TenantId::LOCAL, "sess").unwrap().unwrap();
    assert_eq!(Fact::Session(detail.session), facts[0]);
    assert_eq!(Fact::Request(detail.requests[0].0.clone()), facts[1]);
    assert_eq!((detail.requests[0].1.as_str(), detail.requests[0].2), ("m", Some(NanoUsd(12))));
    assert_eq!(Fact::ToolCall(detail.tool_calls[0].clone()), facts[2]);
    assert_eq!(detail.turns, [turn]);
    assert_eq!(reader.file_cursor(TenantId::LOCAL, "/a b").unwrap(), Some(cursor.clone()));
    assert_eq!(reader.file_cursors(TenantId::LOCAL).unwrap(), [cursor]);
    assert!(reader.file_cursors(TenantId(2)).unwrap().is_empty());
    assert_eq!(reader.session(TenantId(2), "session-1").unwrap(), None);
    let page = reader.sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap();
    let sums = page.rows[0].sums;
    assert_eq!((sums.known_requests(), sums.tool_calls, sums.turns, sums.known_cost()), (Some(1), 1, 1, Some(NanoUsd(12))));
    assert_eq!((page.total, page.totals), (1, sums));
    let beyond = reader.sessions(TenantId::LOCAL, &SessionsQuery { offset: 1, ..SessionsQuery::default() }).unwrap();
    assert!(beyond.rows.is_empty() && beyond.total == 1);
}

#[test]
fn what_each_witness_told_last_is_known_by_kind() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let told = |id: u8, at: UnixMs, witness: Witness| {
        let Fact::ToolCall(mut call) = tool_call(id, 1, at, None) else { unreachable!() };
        call.witnesses = Witnesses::only(witness);
        Fact::ToolCall(call)
    };
    let facts = vec![
        session(1, Some(5)),
        told(1, 10, Witness::Hook),
        told(2, 20, Witness::Hook),
        // Both tell of it.
        told(2, 20, Witness::Transcript),
        told(3, 30, Witness::Transcript),
    ];
    store.write(write(facts, Lane::Live)).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.last_told(TenantId::LOCAL, Witness::Hook, "here").unwrap(), [("tool call", 20)]);
    assert_eq!(reader.last_told(TenantId::LOCAL, Witness::Transcript, "here").unwrap(), [("tool call", 30)]);
    assert!(reader.last_told(TenantId::LOCAL, Witness::OtlpLog, "here").unwrap().is_empty());
    assert!(reader.last_told(TenantId(2), Witness::Hook, "here").unwrap().is_empty());
}

#[test]
fn databases_that_cannot_be_used_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let raw = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
    raw.pragma_update(None, "user_version", 999).unwrap();
    drop(raw);
    assert!(open(dir.path()).err().unwrap().to_string().contains("newer Ducat (schema 999"));
    let reader = Reader::open(&dir.path().join("ledger.db")).unwrap();
    assert!(reader.check_schema().err().unwrap().to_string().contains("newer Ducat (schema 999"));
    drop(reader);
    std::fs::write(dir.path().join("ledger.db"), b"this is no database, whatever its name says".repeat(100)).unwrap();
    assert!(open(dir.path()).err().unwrap().to_string().contains("not a database"));
}

#[test]
fn counters_go_on_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let sum = |store: &Store, family| store.counters().series.sums(1, family).iter().map(|(_, sum, _)| sum).sum::<u64>();
    let counts = |store: &Store| [Family::Requests, Family::Tokens, Family::Corrections].map(|family| sum(store, family));
    let store = open(dir.path()).unwrap();
    let facts = vec![session(0, None), request(1, 0, NOW, 10, true), request(2, 0, NOW - 1, 99, false)];
    store.write(write(facts.clone(), Lane::Live)).unwrap();
    // The second is from before the ledger: in it, not in the counters.
    assert_eq!(counts(&store), [1, 10, 1]);
    store.write(write(facts, Lane::Bulk)).unwrap();
    assert_eq!(counts(&store), [1, 10, 1], "told twice, counted once");
    let before = store.counters();
    store.close();
    let store = open(dir.path()).unwrap();
    for (family, sums) in [Family::Requests, Family::Tokens, Family::Cost].map(|family| (family, before.series.sums(1, family))) {
        assert_eq!(store.counters().series.sums(1, family), sums);
    }
    store.write(write(vec![session(0, None), request(1, 0, NOW, 12, true), request(3, 0, NOW, 5, true)], Lane::Live)).unwrap();
    assert_eq!(counts(&store), [2, 17, 1], "growth, and a new one");
}

#[test]
fn a_full_limit_of_one_model_is_overage_for_that_model_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let start = 1_794_000_000_000;
    let of_model = |id: u8, model: &str| {
        let Fact::Request(mut request) = request(id, 0, start + 60_000, 1, false) else { unreachable!("a request") };
        request.model = Witness::Transcript.tells(FieldClass::Usage, model.to_owned());
        Fact::Request(request)
    };
    let full = |limit: &str| {
        let mut quota = Quota::new(AGENT, None, Some(limit), 10_080, start + 3_600_000);
        quota.tell(start, 1_000_000);
        Fact::Quota(quota)
    };
    let requests = [of_model(1, "claude-opus-4-8"), of_model(2, "claude-sonnet-5"), of_model(3, "")];
    store.write(write([on_plan(0), full("opus"), full("oauth_apps")].into_iter().chain(requests).collect(), Lane::Live)).unwrap();
    let billed = report(&store, Grouping::Billing);
    assert!(
        billed.contains(r#""billing":"overage","requests":1"#) && billed.contains(r#""billing":"plan","requests":2"#),
        "{billed}"
    );
}

#[test]
fn quotas_that_are_shown_are_few_and_blocks_know_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let window = |minutes: u32, limit: Option<&str>, resets_at: UnixMs, told_at: UnixMs| {
        let mut quota = Quota::new(AGENT, None, limit, minutes, resets_at);
        quota.tell(told_at, 10);
        Fact::Quota(quota)
    };
    let hour = 3_600_000;
    let mut facts: Vec<Fact> = (0..100).map(|past| window(300, None, NOW - past * 5 * hour, NOW - past * 5 * hour - 1)).collect();
    facts.extend((0..100).map(|limit| window(10_080, Some(&format!("l{limit}")), NOW + hour + limit * hour, NOW - limit)));
    store.write(write(facts, Lane::Bulk)).unwrap();
    let reader = store.reader().unwrap();
    let shown = reader.quotas(TenantId::LOCAL, NOW).unwrap();
    assert_eq!(shown.len(), 64);
    assert!(shown.iter().all(|quota| quota.resets_at() <= NOW + 64 * hour), "those that reset first");
    let blocks = reader.past_quotas(TenantId::LOCAL, 300).unwrap();
    assert!(blocks.len() == 100 && blocks.is_sorted_by_key(Quota::resets_at));
}

/// A second defence: whatever gets into the facts, sums stay integers and reports go on.
#[test]
fn sums_beyond_what_an_integer_holds_stop_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let most = i64::MAX.unsigned_abs();
    for id in 0..3 {
        store
            .write(write(
                vec![session(0, Some(NOW)), request(id, 0, NOW, most, true), tool_call(id, 0, NOW, Some(Outcome::Ok))],
                Lane::Live,
            ))
            .unwrap();
        // Another row of the same day.
        store.write(write(vec![request(id + 3, 0, NOW - 3_600_000, most, true)], Lane::Live)).unwrap();
    }
    let reader = store.reader().unwrap();
    assert!(report(&store, Grouping::Daily).contains("\"requests\":6"), "{}", report(&store, Grouping::Daily));
    assert_eq!(reader.check_rollups(TenantId::LOCAL).unwrap(), vec![]);
    let standing = reader.standing(TenantId::LOCAL, session_key(0), 0, NOW).unwrap();
    assert_eq!((standing.day_nano, standing.session_nano), (i64::MAX, i64::MAX));
    assert_eq!(reader.sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap().totals.known_cost(), Some(NanoUsd(i64::MAX)));
}

#[test]
fn billing_follows_from_session_and_quota_whenever_they_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let start = 1_794_000_000_000;
    let requests = (0..3).map(|id| request(id, 0, start + i64::from(id) * 60_000, 1, false));
    let mut bedrock = request(9, 0, start, 1, false);
    if let Fact::Request(request) = &mut bedrock {
        request.billing = Told::by(1, Billing::Metered);
    }
    store.write(write([session(0, None), bedrock].into_iter().chain(requests).collect(), Lane::Bulk)).unwrap();
    assert!(report(&store, Grouping::Billing).contains(r#""billing":null,"requests":3"#));
    store.write(write(vec![on_plan(0)], Lane::Live)).unwrap();
    assert!(report(&store, Grouping::Billing).contains(r#""billing":"plan","requests":3"#));
    store.write(write(vec![quota(start + 60_000, 1_000_000)], Lane::Live)).unwrap();
    let by_billing = report(&store, Grouping::Billing);
    for row in [r#""billing":"plan","requests":1"#, r#""billing":"overage","requests":2"#, r#""billing":"metered","requests":1"#]
    {
        assert!(by_billing.contains(row), "{by_billing}");
    }
    let told = &store.reader().unwrap().quotas(TenantId::LOCAL, start).unwrap()[0];
    assert_eq!((told.used(), told.window_minutes), (1_000_000, 300));
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
}

#[test]
fn a_closed_store_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.close();
    assert!(matches!(store.write(write(Vec::new(), Lane::Live)), Err(StoreError::Closed)));
}

/// Run by the next test in a process of its own: writes and says what was acknowledged, until it is killed.
#[test]
fn writes_until_killed() {
    let Some(folder) = std::env::var_os("DUCAT_TEST_WRITE_UNTIL_KILLED") else { return };
    let store = open(Path::new(&folder)).unwrap();
    for id in 0_u8..=255 {
        store.write(write(vec![session(0, None), request(id, 0, NOW, 1, true)], Lane::Live)).unwrap();
        println!("acknowledged {id}");
    }
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["writes_until_killed", "--exact", "--nocapture"])
        .env("DUCAT_TEST_WRITE_UNTIL_KILLED", dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = BTreeSet::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if let Some((_, id)) = line.split_once("acknowledged ") {
            acknowledged.insert(format!("req_{id}"));
        }
        if acknowledged.len() == 100 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let store = open(dir.path()).unwrap();
    let kept: BTreeSet<String> = stored(&store).into_keys().collect();
    assert_eq!(acknowledged.len(), 100);
    assert!(kept.is_superset(&acknowledged));
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
}
