//! Reports by what telemetry tells: every one adds up to the whole, and a flood of values becomes one row.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;

use ducat_ledger::{Fact, Key, KeySpace, OTHER, Request, Told, UnixMs};
use ducat_prices::PriceTable;
use ducat_report::{Document, Grouping, Report, ReportQuery};
use ducat_store::{Durability, Lane, Reader, Store, StoreError, StoreOptions, TenantId, Write};

const NOW: UnixMs = 1_795_500_000_000;
/// The bounds that docs/otlp.md tells.
const MOST_VALUES: usize = 1000;
const MOST_LABELS: usize = 64;

fn open(folder: &Path) -> Store {
    let options = StoreOptions {
        path: folder.join("ledger.db"),
        durability: Durability::Process,
        pricer: Arc::new(PriceTable::embedded()),
        clock: || NOW,
        listener: None,
    };
    Store::open(options).unwrap()
}

fn request(id: &str, at: UnixMs, labels: &str) -> Request {
    let mut request = Request::new(Key::of(KeySpace::Request, "claude-code", id), "claude-code", id);
    request.started_at = Told::by(1, at);
    request.output_tokens = Told::by(1, 1);
    request.labels = Told::maybe(1, Some(labels.to_owned()).filter(|labels| !labels.is_empty()));
    request
}

fn tell(store: &Store, requests: impl IntoIterator<Item = Request>) {
    let facts = requests.into_iter().map(Fact::Request).collect();
    store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
}

/// From roll-ups or, where the range cuts a quarter-hour, from the facts.
fn report(store: &Store, by: &str, range: (Option<UnixMs>, Option<UnixMs>)) -> Document {
    let label = by.strip_prefix("label:").map(str::to_owned);
    let mut report = Report::new(ReportQuery { by: Grouping::parse(by).unwrap(), label, ..ReportQuery::default() });
    store.reader().unwrap().add_to(TenantId::LOCAL, range, &mut report).unwrap();
    report.finish()
}

/// Name and requests of each row, and of the whole.
fn rows(document: &Document) -> (Vec<(Option<&str>, u64)>, u64) {
    let mut rows: Vec<_> = document.rows.iter().map(|row| (row.name.as_deref(), row.totals.requests)).collect();
    rows.sort_unstable();
    (rows, document.totals.requests)
}

fn check(store: &Store) {
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
}

#[test]
fn requests_are_summed_by_each_name_and_the_rest_is_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut asked = request("a", NOW, "cost_center=7\ndepartment=R=D");
    asked.query_source = Told::by(1, "main".to_owned());
    asked.effort = Told::by(1, "high".to_owned());
    asked.plugin = Told::by(1, "office".to_owned());
    tell(&store, [asked.clone(), request("b", NOW, "cost_center=7"), request("c", NOW, "")]);
    for (by, expected) in [
        ("query_source", vec![(None, 2), (Some("main"), 1)]),
        ("effort", vec![(None, 2), (Some("high"), 1)]),
        ("plugin", vec![(None, 2), (Some("office"), 1)]),
        ("label:cost_center", vec![(None, 1), (Some("7"), 2)]),
        ("label:department", vec![(None, 2), (Some("R=D"), 1)]),
        ("label:cost", vec![(None, 3)]),
        ("skill", vec![(None, 3)]),
    ] {
        assert_eq!(rows(&report(&store, by, (None, None))), (expected.clone(), 3), "{by}");
        assert_eq!(rows(&report(&store, by, (Some(NOW - 1), None))), (expected, 3), "{by} from facts");
    }
    assert_eq!(store.reader().unwrap().label_names(TenantId::LOCAL).unwrap(), ["cost_center", "department"]);
    check(&store);
    // A better witness knows another: the request moves.
    asked.labels = Told::by(3, "cost_center=8".to_owned());
    tell(&store, [asked]);
    assert_eq!(rows(&report(&store, "label:cost_center", (None, None))), (vec![(None, 1), (Some("7"), 1), (Some("8"), 1)], 3));
    check(&store);
}

#[test]
fn a_flood_of_values_is_one_row_and_what_was_known_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let of = |number: usize, center: usize| request(&format!("r{number}"), NOW, &format!("center={center}\nsteady=yes"));
    tell(&store, (0..MOST_VALUES - 10).map(|number| of(number, number)));
    tell(&store, (MOST_VALUES - 10..MOST_VALUES + 200).map(|number| of(number, number)));
    let by_center = report(&store, "label:center", (None, None));
    let (found, whole) = rows(&by_center);
    assert_eq!((found.len(), whole), (MOST_VALUES + 1, MOST_VALUES as u64 + 200));
    assert!(found.contains(&(Some(OTHER), 200)), "{found:?}");
    assert_eq!(rows(&report(&store, "label:center", (Some(NOW - 1), None))), (found, whole), "from facts");
    assert_eq!(rows(&report(&store, "label:steady", (None, None))).0, [(Some("yes"), MOST_VALUES as u64 + 200)]);
    check(&store);
    drop(store);
    // After a restart it is as before, also for a request that is told more of.
    let store = open(dir.path());
    let mut known = of(3, 3);
    known.output_tokens = Told::by(1, 9);
    let mut flooded = of(MOST_VALUES + 100, MOST_VALUES + 100);
    flooded.labels = Told::by(3, "center=3".to_owned());
    tell(&store, [known, flooded, of(MOST_VALUES + 200, 4)]);
    let by_center = report(&store, "label:center", (None, None));
    let (found, _) = rows(&by_center);
    assert!([(Some(OTHER), 199), (Some("3"), 2), (Some("4"), 2)].iter().all(|row| found.contains(row)), "{found:?}");
    check(&store);
}

#[test]
fn a_flood_of_labels_ends_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, (0..MOST_LABELS + 30).map(|number| request(&format!("r{number}"), NOW, &format!("l{number}=x"))));
    assert_eq!(store.reader().unwrap().label_names(TenantId::LOCAL).unwrap().len(), MOST_LABELS);
    assert_eq!(report(&store, "daily", (None, None)).totals.requests, MOST_LABELS as u64 + 30);
    check(&store);
}

#[test]
fn a_ledger_of_before_is_named_and_not_misread() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("ledger.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 6).unwrap();
    let reader = Reader::open(&path).unwrap();
    let refused = reader.add_to(TenantId::LOCAL, (None, None), &mut Report::new(ReportQuery::default())).unwrap_err();
    assert!(refused.to_string().contains("ducat serve or ducat import brings it up to date"), "{refused}");
    assert!(matches!(reader.label_names(TenantId::LOCAL), Err(StoreError::Older { found: 6, .. })));
}

/// However many labels a request has, it is in one row, and requests that share them share it.
#[test]
fn labels_cost_no_row_each() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let labels: Vec<String> = (0..16).map(|number| format!("l{number}=x")).collect();
    tell(&store, (0..100).map(|number| request(&format!("r{number}"), NOW, &labels.join("\n"))));
    drop(store);
    let ledger = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
    let count = |table: &str| ledger.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((count("rollup_requests"), count("attribute_sets"), count("attribute_values")), (1, 1, 16));
}
