//! Reports of the ledger by time, name and breakdown: the roll-ups' answer is the single requests'.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telling;

use ducat_ledger::{Billing, Fact, Holder, Holders, Key, KeySpace, Request, Told, UnixMs, Witness};
use ducat_report::{Document, Report, ReportQuery, Settings};
use ducat_store::{Store, TenantId};
use jiff::Timestamp;
use telling::{open, session, tell};

const AGENT: &str = "claude-code";

/// 2026-10-25T00:59:59.999Z, before the hour that comes twice in Berlin comes again.
const LAST: UnixMs = 1_792_889_999_999;

fn request(id: &str, at: UnixMs, with: impl FnOnce(&mut Request)) -> Fact {
    let mut request = telling::request(AGENT, "s", id, Witness::Transcript, at, 1000);
    with(&mut request);
    Fact::Request(request)
}

fn text(text: &str) -> Told<String> {
    Told::by(1, text.to_owned())
}

fn ledger() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let of = |project: &str, branch: Option<&str>| {
        let session = Key::of(KeySpace::Session, AGENT, "s");
        Holders::one(Holder { session, live: false, project: Some(project.to_owned()), branch: branch.map(str::to_owned) })
    };
    tell(
        &store,
        vec![
            session(AGENT, "s"),
            request("1", LAST, |request| {
                (request.user, request.team, request.host) = (text("ana"), text("core"), text("laptop"));
                request.billing = Told::by(1, Billing::Plan);
                (request.holders, request.skill) = (of("/src/pay", Some("main")), text("review"));
            }),
            request("2", LAST + 1, |request| {
                (request.user, request.holders, request.skill) = (text("ben"), of("/src/web", None), text("plan"));
                request.billing = Told::by(1, Billing::Metered);
            }),
            request("3", LAST + 1, |request| request.model = text("haiku")),
            request("4", LAST + 2, |request| request.host = text("server")),
        ],
    );
    (dir, store)
}

fn report(store: &Store, pairs: &[(&str, &str)]) -> Document {
    let query = ReportQuery::parse(pairs.iter().copied(), Timestamp::UNIX_EPOCH, &Settings::default()).unwrap();
    let range = query.time_range();
    let mut report = Report::new(query);
    store.reader().unwrap().add_to(TenantId::LOCAL, range, &mut report).unwrap();
    report.finish()
}

fn rows(document: &Document) -> Vec<(Option<&str>, u64)> {
    document.rows.iter().map(|row| (row.name.as_deref(), row.totals.requests)).collect()
}

#[test]
fn hours_and_quarter_hours_are_of_the_roll_ups() {
    let (_dir, store) = ledger();
    let berlin = ("timezone", "Europe/Berlin");
    let twice = [(Some("2026-10-25T02:00:00+02:00"), 1), (Some("2026-10-25T02:00:00+01:00"), 3)];
    assert_eq!(rows(&report(&store, &[("by", "hourly"), berlin])), twice);
    let quarters = [(Some("2026-10-25T02:45:00+02:00"), 1), (Some("2026-10-25T02:00:00+01:00"), 3)];
    assert_eq!(rows(&report(&store, &[("by", "quarter_hourly"), berlin])), quarters);
    let nepal = [(Some("2026-10-25T06:00:00+05:45"), 4)];
    assert_eq!(rows(&report(&store, &[("by", "hourly"), ("timezone", "Asia/Kathmandu")])), nepal);
}

#[test]
fn a_range_is_exact_to_the_millisecond_whether_it_is_cut_at_quarter_hours_or_not() {
    let (_dir, store) = ledger();
    for (since, until, requests) in [
        ("2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", 3),
        ("2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z", 1),
        ("2026-10-25T00:59:59.999Z", "2026-10-25T01:00:00Z", 1),
        ("2026-10-25T00:59:59.999Z", "2026-10-25T01:00:00.001Z", 3),
        ("2026-10-25T01:00:00.001Z", "2026-10-25T01:00:00.002Z", 1),
        ("2026-10-25T01:00:00.002Z", "2026-10-26", 0),
    ] {
        for by in ["hourly", "weekly", "project", "session"] {
            let document = report(&store, &[("by", by), ("since", since), ("until", until)]);
            assert_eq!(document.totals.requests, requests, "{by} from {since} to {until}");
        }
    }
}

#[test]
fn each_filter_takes_what_it_names() {
    let (_dir, store) = ledger();
    for (name, value, requests) in [
        ("project", "pay", 1),
        ("project", "/src/web", 1),
        ("project", "", 2),
        ("model", "haiku", 1),
        ("model", "", 0),
        ("branch", "main", 1),
        ("branch", "", 3),
        ("agent", AGENT, 4),
        ("agent", "", 0),
        ("user", "ana", 1),
        ("user", "", 2),
        ("team", "core", 1),
        ("team", "", 3),
        ("host", "server", 1),
        ("host", "", 2),
        ("billing", "plan", 1),
        ("billing", "", 2),
        ("group", "", 4),
    ] {
        for by in ["hourly", "session"] {
            let document = report(&store, &[("by", by), (name, value)]);
            assert_eq!(document.totals.requests, requests, "{name}={value:?} by {by}");
        }
    }
    assert_eq!(report(&store, &[("user", "ana"), ("host", "server")]).totals.requests, 0, "all must match");
}

/// What a set of attributes stands for is looked up for a breakdown too.
#[test]
fn rows_break_down_by_any_name() {
    let (_dir, store) = ledger();
    for (by, parts) in [
        ("skill", [(None, 2), (Some("plan"), 1), (Some("review"), 1)]),
        ("user", [(None, 2), (Some("ana"), 1), (Some("ben"), 1)]),
        ("host", [(None, 2), (Some("laptop"), 1), (Some("server"), 1)]),
        ("billing", [(None, 2), (Some("metered"), 1), (Some("plan"), 1)]),
    ] {
        for rows in ["daily", "session"] {
            let document = report(&store, &[("by", rows), ("breakdown", by)]);
            let found: Vec<_> = document.rows[0].parts.iter().map(|(name, part)| (name.as_deref(), part.requests)).collect();
            assert_eq!((document.rows.len(), found), (1, parts.to_vec()), "{rows} broken down by {by}");
        }
    }
}
