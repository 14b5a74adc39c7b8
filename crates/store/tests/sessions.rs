//! The list of sessions: filters, orders, pages, and the sums that it shows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telling;

use std::collections::BTreeSet;

use ducat_ledger::{
    Billing, Fact, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Line, Outcome, Request, Session, Told, ToolCall, Turn,
    Witness,
};
use ducat_prices::NanoUsd;
use ducat_report::{Group, Groups, SessionSort, SessionsQuery, Settings};
use ducat_store::{SessionPage, Store, TenantId};
use jiff::Timestamp;
use telling::{NOW, open, session, tell};

const AGENT: &str = "claude-code";

fn holder(agent: &str, session: &str, project: Option<&str>, branch: Option<&str>) -> Holders {
    let [project, branch] = [project, branch].map(|name| name.map(str::to_owned));
    Holders::one(Holder { session: Key::of(KeySpace::Session, agent, session), live: false, project, branch })
}

fn request(agent: &str, id: &str, output: u64, with: impl FnOnce(&mut Request)) -> Fact {
    let mut request = telling::request(agent, "s", id, Witness::Transcript, NOW, output);
    with(&mut request);
    Fact::Request(request)
}

fn text(text: &str) -> Told<String> {
    Told::by(1, text.to_owned())
}

fn told_session(agent: &str, id: &str, with: impl FnOnce(&mut Session)) -> Fact {
    let Fact::Session(mut session) = session(agent, id) else { unreachable!() };
    with(&mut session);
    Fact::Session(session)
}

fn call(agent: &str, session: &str, id: &str, outcome: Outcome) -> Fact {
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, agent, id), agent, id);
    (call.holders, call.outcome) = (holder(agent, session, None, None), Told::by(1, outcome));
    Fact::ToolCall(call)
}

fn incident(agent: &str, session: &str, id: &str, kind: IncidentKind) -> Fact {
    let mut incident = Incident::new(Key::of(KeySpace::Incident, agent, id), agent, id);
    (incident.holders, incident.kind) = (holder(agent, session, None, None), Told::by(1, kind));
    Fact::Incident(incident)
}

/// Four sessions that differ in everything that can be asked.
fn four() -> Vec<Fact> {
    let hour = 3_600_000;
    let alpha = |with: &mut Request| {
        with.holders = holder(AGENT, "alpha", Some("/projects/acme"), Some("main"));
        (with.user, with.team, with.host) = (text("ana"), text("core"), text("laptop"));
        with.billing = Told::by(1, Billing::Plan);
    };
    let mut turn = Turn::new(Key::of(KeySpace::Turn, AGENT, "t"), AGENT, "t");
    turn.holders = holder(AGENT, "beta", Some("/projects/beta_100%"), None);
    vec![
        told_session(AGENT, "alpha", |session| {
            (session.started_at, session.last_at) = (Told::by(1, NOW - 9 * hour), Told::by(1, NOW - hour));
            session.cwd = text("/projects/acme/deep");
        }),
        request(AGENT, "a1", 700, alpha),
        request(AGENT, "a2", 100, |with| {
            alpha(with);
            with.model = Told::by(9, "haiku".to_owned());
            with.holders = holder(AGENT, "alpha", Some("/projects/acme"), Some("fix"));
        }),
        request(AGENT, "a3", 0, alpha),
        call(AGENT, "alpha", "c1", Outcome::Error),
        call(AGENT, "alpha", "c2", Outcome::Ok),
        told_session(AGENT, "beta", |session| {
            (session.started_at, session.last_at) = (Told::by(1, NOW - 600_000), Told::by(1, NOW - 60_000));
            session.host = text("Server");
        }),
        Fact::Turn(turn),
        incident(AGENT, "beta", "i1", IncidentKind::ApiError),
        incident(AGENT, "beta", "i2", IncidentKind::Compaction),
        told_session("codex", "gamma", |session| {
            (session.last_at, session.ended_at) = (Told::by(1, NOW - 1), Told::by(1, NOW - 1));
            session.billing = Told::by(1, Billing::Metered);
        }),
        request("codex", "g1", 9_000, |with| with.holders = holder("codex", "gamma", Some("/else/acme"), None)),
        told_session("codex", "delta", |session| {
            (session.started_at, session.last_at) = (Told::by(1, NOW - 90 * hour), Told::by(1, NOW - 80 * hour));
        }),
    ]
}

fn ask(store: &Store, pairs: &[(&str, &str)]) -> SessionPage {
    let group = Group { name: "pay".to_owned(), projects: vec!["/else/*".to_owned()], ..Group::default() };
    let settings = Settings { groups: Groups::new(vec![group]).unwrap(), ..Settings::default() };
    let query = SessionsQuery::parse(pairs.iter().copied(), Timestamp::from_millisecond(NOW).unwrap(), &settings).unwrap();
    let page = store.sessions(TenantId::LOCAL, &query).unwrap();
    assert_eq!(page, store.reader().unwrap().sessions(TenantId::LOCAL, &query).unwrap(), "what is kept is what is stored");
    page
}

fn ids(page: &SessionPage) -> Vec<&str> {
    page.rows.iter().map(|row| row.session.id.as_str()).collect()
}

#[test]
fn each_filter_takes_what_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, four());
    for (pairs, expected) in [
        (&[][..], &["gamma", "beta", "alpha", "delta"][..]),
        (&[("project", "acme")], &["gamma", "alpha"]),
        (&[("project", "/projects/acme")], &["alpha"]),
        (&[("project", "")], &["delta"]),
        (&[("model", "haiku")], &["alpha"]),
        (&[("model", "m")], &["gamma", "alpha"]),
        (&[("model", "ai")], &[]),
        (&[("model", "")], &["beta", "delta"]),
        (&[("branch", "fix")], &["alpha"]),
        (&[("branch", "main")], &["alpha"]),
        (&[("branch", "")], &["gamma", "beta", "delta"]),
        (&[("agent", "codex")], &["gamma", "delta"]),
        (&[("user", "ana")], &["alpha"]),
        (&[("user", "ana\" 3\nuser \"ana")], &[]),
        (&[("user", "")], &["gamma", "beta", "delta"]),
        (&[("team", "core")], &["alpha"]),
        (&[("host", "laptop")], &["alpha"]),
        (&[("host", "Server")], &["beta"]),
        (&[("billing", "plan")], &["alpha"]),
        (&[("billing", "metered")], &["gamma"]),
        (&[("group", "pay")], &["gamma"]),
        (&[("errors", "true")], &["beta", "alpha"]),
        (&[("live", "true")], &["beta"]),
        (&[("min_cost_usd", "0.0000008")], &["gamma", "alpha"]),
        (&[("max_cost_usd", "0.0000008")], &["alpha"]),
        (&[("min_cost_usd", "0.000001"), ("max_cost_usd", "0.000009")], &["gamma"]),
        (&[("since", "today")], &["gamma", "beta", "alpha"]),
        (&[("until", "yesterday")], &["delta"]),
        // NOW is 2026-11-18T11:06:40Z, and the end is exclusive.
        (&[("since", "2026-11-18T11:05:40Z")], &["gamma", "beta"]),
        (&[("since", "2026-11-18T11:05:40.001Z")], &["gamma"]),
        (&[("until", "2026-11-18T10:56:40Z")], &["alpha", "delta"]),
        (&[("until", "2026-11-18T11:56:40.001+01:00")], &["beta", "alpha", "delta"]),
        (&[("agent", "claude-code"), ("project", "acme"), ("errors", "true")], &["alpha"]),
        (&[("agent", "claude-code"), ("project", "else")], &[]),
    ] {
        let page = ask(&store, pairs);
        assert_eq!((ids(&page), page.total), (expected.to_vec(), expected.len() as u64), "{pairs:?}");
        let mut totals = ducat_store::SessionSums::default();
        page.rows.iter().for_each(|row| totals.add(&row.sums));
        assert_eq!(page.totals, totals, "{pairs:?}");
    }
}

#[test]
fn a_search_is_of_parts_as_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, four());
    for (search, expected) in [
        ("ALPH", &["alpha"][..]),
        ("deep", &["alpha"]),
        ("acme", &["gamma", "alpha"]),
        ("FIX", &["alpha"]),
        ("odex", &["gamma", "delta"]),
        ("server", &["beta"]),
        ("ana", &["alpha"]),
        ("beta_100%", &["beta"]),
        ("beta-100", &[]),
        ("%", &["beta"]),
        ("_", &["beta"]),
        ("\\", &[]),
        ("' OR 1=1 --", &[]),
        ("haiku", &[]),
        ("core", &[]),
        ("", &["gamma", "beta", "alpha", "delta"]),
    ] {
        assert_eq!(ids(&ask(&store, &[("search", search)])), expected, "{search:?}");
    }
}

#[test]
fn each_order_is_whole_with_the_unknown_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, four());
    for (sort, falling, rising) in [
        ("last_at", ["gamma", "beta", "alpha", "delta"], ["delta", "alpha", "beta", "gamma"]),
        ("started_at", ["beta", "alpha", "delta", "gamma"], ["delta", "alpha", "beta", "gamma"]),
        ("cost", ["gamma", "alpha", "beta", "delta"], ["alpha", "gamma", "beta", "delta"]),
        ("duration", ["delta", "alpha", "beta", "gamma"], ["beta", "alpha", "delta", "gamma"]),
        ("turns", ["beta", "gamma", "alpha", "delta"], ["gamma", "alpha", "delta", "beta"]),
        ("requests", ["alpha", "gamma", "beta", "delta"], ["gamma", "alpha", "beta", "delta"]),
        ("tool_calls", ["alpha", "gamma", "beta", "delta"], ["gamma", "beta", "delta", "alpha"]),
        ("errors", ["beta", "alpha", "gamma", "delta"], ["gamma", "delta", "beta", "alpha"]),
        ("tokens", ["gamma", "alpha", "beta", "delta"], ["beta", "delta", "alpha", "gamma"]),
        ("project", ["beta", "alpha", "gamma", "delta"], ["gamma", "alpha", "beta", "delta"]),
        ("agent", ["gamma", "delta", "beta", "alpha"], ["beta", "alpha", "gamma", "delta"]),
    ] {
        assert_eq!(ids(&ask(&store, &[("sort", sort)])), falling, "{sort} desc");
        assert_eq!(ids(&ask(&store, &[("sort", sort), ("order", "asc")])), rising, "{sort} asc");
    }
    assert_eq!(SessionSort::ALL.len(), 11, "each is tested above");
}

#[test]
fn pages_have_no_gaps_whatever_the_ties() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let known = |number: usize| {
        told_session(AGENT, &format!("s{number:02}"), |session| session.last_at = Told::by(1, NOW - (number % 3) as i64))
    };
    tell(&store, (0..37).map(known).collect());
    for sort in SessionSort::ALL {
        for order in ["asc", "desc"] {
            let page = |offset: usize, limit: usize| {
                let (offset, limit) = (offset.to_string(), limit.to_string());
                ask(&store, &[("sort", sort.name()), ("order", order), ("offset", &offset), ("limit", &limit)])
            };
            let whole = page(0, 500);
            let cut: Vec<_> = (0..40).step_by(5).flat_map(|offset| page(offset, 5).rows).collect();
            assert_eq!(cut, whole.rows, "{sort:?} {order}");
            let ids: BTreeSet<_> = ids(&whole).into_iter().collect();
            assert_eq!((ids.len(), whole.total), (37, 37));
            assert_eq!((page(36, 5).rows.len(), page(37, 5).rows.len(), page(0, 0).rows.len()), (1, 0, 0));
            assert_eq!(page(usize::MAX, 500).total, 37);
        }
    }
}

#[test]
fn every_row_is_shown_in_order_until_it_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, four());
    let query = SessionsQuery { sort: SessionSort::Cost, offset: 2, limit: 1, ..SessionsQuery::default() };
    let seen = |enough: usize| {
        let mut seen = Vec::new();
        store
            .each_session(TenantId::LOCAL, &query, |row| {
                seen.push(row.session.id.clone());
                seen.len() < enough
            })
            .unwrap();
        seen
    };
    assert_eq!(seen(9), ["gamma", "alpha", "beta", "delta"]);
    assert_eq!(seen(2), ["gamma", "alpha"]);
}

#[test]
fn a_row_says_what_most_of_the_session_was_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, four());
    let page = ask(&store, &[("search", "alpha")]);
    let row = &page.rows[0];
    let named = [&row.project, &row.branch, &row.user, &row.team, &row.host].map(|name| name.as_deref());
    assert_eq!(named, [Some("/projects/acme"), Some("main"), Some("ana"), Some("core"), Some("laptop")]);
    assert_eq!((row.billing, row.models.join(" ").as_str()), (Some(Billing::Plan), "m haiku"));
    let sums = row.sums;
    assert_eq!((sums.known_requests(), sums.tool_calls, sums.failed_tool_calls, sums.incidents), (Some(3), 2, 1, 0));
    assert_eq!((sums.known_cost(), sums.tokens(), sums.errors()), (Some(NanoUsd(800)), 800, 1));
    let page = ask(&store, &[("search", "beta")]);
    let row = &page.rows[0];
    assert_eq!((row.host.as_deref(), row.sums.known_cost(), row.sums.known_requests()), (Some("Server"), None, None));
    assert_eq!((row.sums.turns, row.sums.incidents, row.sums.api_errors), (1, 2, 1));
}

/// A fork tells first and seems to own what it copied; then the parent turns out to have been born before.
#[test]
fn what_changes_its_owner_moves_between_the_sums() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let line = |of: &str, uuid: u8, at: i64| {
        Fact::Line(Line { session: Key::of(KeySpace::Session, AGENT, of), uuid: [uuid; 16], at: NOW + at })
    };
    let copy = |of: &str| {
        vec![
            session(AGENT, of),
            request(AGENT, "r", 40, |with| with.holders = holder(AGENT, of, Some(&format!("/{of}")), None)),
            call(AGENT, of, "c", Outcome::Error),
        ]
    };
    tell(&store, [copy("fork"), vec![line("fork", 1, 50)]].concat());
    assert_eq!(ids(&ask(&store, &[("errors", "true")])), ["fork"]);
    tell(&store, [copy("parent"), vec![line("parent", 2, -50)]].concat());
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
    let page = ask(&store, &[("sort", "cost")]);
    assert_eq!(ids(&page), ["parent", "fork"]);
    assert_eq!(page.rows[0].project.as_deref(), Some("/parent"));
    assert_eq!((page.rows[1].project.as_deref(), page.rows[1].sums), (None, ducat_store::SessionSums::default()));
    assert_eq!((page.totals.known_requests(), page.totals.failed_tool_calls), (Some(1), 1));
}

#[test]
fn sessions_of_nobody_are_in_no_list_until_they_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, vec![request(AGENT, "r", 5, |_| ())]);
    assert_eq!(ask(&store, &[]).total, 0);
    tell(&store, vec![session(AGENT, "s")]);
    let page = ask(&store, &[]);
    assert_eq!((page.total, page.totals.known_cost()), (1, Some(NanoUsd(5))));
    assert_eq!(store.reader().unwrap().sessions(TenantId(2), &SessionsQuery::default()).unwrap().total, 0);
}

#[test]
fn a_session_is_found_by_the_beginning_of_its_id_while_it_is_the_only_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    tell(&store, ["ab", "abc", "abd", "x\u{10FFFF}", "ö%_"].map(|id| session(AGENT, id)).to_vec());
    let reader = store.reader().unwrap();
    for (asked, found) in [
        ("ab", Some("ab")),
        ("abc", Some("abc")),
        ("a", None),
        ("x", Some("x\u{10FFFF}")),
        ("ö", Some("ö%_")),
        ("%", None),
        ("abcd", None),
    ] {
        let session = reader.session(TenantId::LOCAL, asked).unwrap().map(|found| found.session.id);
        assert_eq!(session.as_deref(), found, "{asked}");
    }
}
