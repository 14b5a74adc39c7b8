//! However time is cut and whatever is asked for, the parts add up to the whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use ducat_ledger::{Attributes, Billing, RequestRollup};
use ducat_report::{Document, Group, Groups, Report, ReportQuery, RequestRow, Settings, Totals};
use jiff::Timestamp;
use proptest::prelude::*;

const ZONES: [&str; 6] = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"];
const NAMES: [Option<&str>; 4] = [None, Some("ana"), Some("/src/ben"), Some("/lib/ben")];
const BILLINGS: [Option<Billing>; 3] = [None, Some(Billing::Plan), Some(Billing::Metered)];
const FILTERS: [&str; 9] = ["project", "model", "branch", "agent", "user", "team", "host", "billing", "group"];

/// A time in 2026, and which name each kind has.
#[derive(Clone, Debug)]
struct Told {
    at: Option<i64>,
    names: [usize; 7],
    cost: i64,
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    // Around the nights in which Lord Howe and Berlin set their clocks, and anywhere.
    let at = prop_oneof![
        1_775_300_000_000..1_775_330_000_000_i64,
        1_792_880_000_000..1_792_900_000_000_i64,
        1_767_225_600_000..1_798_761_600_000_i64,
    ];
    let one = (prop::option::weighted(0.9, at), prop::array::uniform7(0..NAMES.len()), 0..9_000_000_000_i64);
    prop::collection::vec(one.prop_map(|(at, names, cost)| Told { at, names, cost }), 0..60)
}

fn settings() -> Settings {
    let group = Group { name: "lib".to_owned(), projects: vec!["/lib".to_owned()], ..Group::default() };
    Settings { groups: Groups::new(vec![group]).unwrap(), ..Settings::default() }
}

fn report(pairs: &[(&str, &str)], requests: &[Told]) -> Document {
    let query = ReportQuery::parse(pairs.iter().copied(), Timestamp::UNIX_EPOCH, &settings()).unwrap();
    let mut report = Report::new(query);
    for told in requests {
        let [project, model, branch, agent, user, team, host] = told.names.map(|place| NAMES[place]);
        report.add(&RequestRow {
            started_at: told.at,
            session: "",
            agent: agent.unwrap_or(""),
            model: model.unwrap_or(""),
            project,
            branch,
            user,
            team,
            host,
            billing: BILLINGS[told.names[0] % BILLINGS.len()],
            attributes: Attributes::default(),
            sums: RequestRollup { requests: 1, cost_nano: told.cost, ..RequestRollup::default() },
        });
    }
    report.finish()
}

/// Requests and cost.
fn sum<'t>(totals: impl IntoIterator<Item = &'t Totals>) -> (u64, i64) {
    totals.into_iter().fold((0, 0), |sum, totals| (sum.0 + totals.requests, sum.1 + totals.cost.0))
}

fn plus(one: (u64, i64), other: (u64, i64)) -> (u64, i64) {
    (one.0 + other.0, one.1 + other.1)
}

fn rfc3339(at: i64) -> String {
    Timestamp::from_millisecond(at).unwrap().to_string()
}

proptest! {
    #[test]
    fn hours_add_up_to_days(requests in told(), zone in prop::sample::select(&ZONES[..])) {
        let by = |by: &str| report(&[("by", by), ("timezone", zone)], &requests);
        let (quarters, hours, days) = (by("quarter_hourly"), by("hourly"), by("daily"));
        for day in &days.rows {
            let of_day = |document: &Document| {
                let is_of = |name: &Option<String>| name.as_deref().map(|name| &name[..10]) == day.name.as_deref();
                sum(document.rows.iter().filter(|row| is_of(&row.name)).map(|row| &row.totals))
            };
            prop_assert_eq!(of_day(&hours), sum([&day.totals]), "{:?}", &day.name);
            prop_assert_eq!(of_day(&quarters), sum([&day.totals]), "{:?}", &day.name);
        }
        for document in [&quarters, &hours, &days] {
            prop_assert_eq!(&document.totals, &days.totals);
            let names: BTreeSet<_> = document.rows.iter().map(|row| &row.name).collect();
            prop_assert_eq!(names.len(), document.rows.len(), "each name is one row's");
        }
        for document in [&quarters, &hours] {
            let times = document.rows.iter().filter_map(|row| row.name.as_ref()).map(|name| name.parse::<Timestamp>().unwrap());
            prop_assert!(times.collect::<Vec<_>>().is_sorted(), "{:?}", document.rows);
        }
    }

    #[test]
    fn ranges_that_meet_add_up(
        requests in told(),
        mut at in prop::array::uniform3(1_767_225_600_000..1_798_761_600_000_i64),
        meets in any::<prop::sample::Index>(),
        zone in prop::sample::select(&ZONES[..]),
        by in prop::sample::select(vec!["hourly", "daily", "weekly", "monthly", "project"]),
    ) {
        at.sort_unstable();
        // One that a request is at: it is in the later range alone.
        let dated: Vec<i64> = requests.iter().filter_map(|told| told.at).filter(|time| (at[0] + 1..at[2]).contains(time)).collect();
        if !dated.is_empty() {
            at[1] = dated[meets.index(dated.len())];
        }
        prop_assume!(at[0] < at[1] && at[1] < at[2]);
        let of = |since: i64, until: i64| {
            let (since, until) = (rfc3339(since), rfc3339(until));
            report(&[("by", by), ("timezone", zone), ("since", &since), ("until", &until)], &requests)
        };
        let (first, second, both) = (of(at[0], at[1]), of(at[1], at[2]), of(at[0], at[2]));
        prop_assert_eq!(plus(sum([&first.totals]), sum([&second.totals])), sum([&both.totals]));
        let expected = requests.iter().filter(|told| told.at.is_some_and(|time| (at[0]..at[2]).contains(&time))).count();
        prop_assert_eq!(both.totals.requests, expected as u64);
        for document in [&first, &second, &both] {
            prop_assert_eq!(sum(document.rows.iter().map(|row| &row.totals)), sum([&document.totals]));
        }
    }

    #[test]
    fn what_filters_ask_for_one_by_one_is_all(requests in told(), kind in prop::sample::select(&FILTERS[..])) {
        let whole = report(&[("by", kind)], &requests);
        let mut parts = (0, 0);
        for row in &whole.rows {
            let name = row.name.as_deref().unwrap_or("");
            let alone = report(&[("by", "daily"), (kind, name)], &requests);
            prop_assert_eq!(sum([&alone.totals]), sum(whole.rows.iter().filter(|other| other.name.as_deref().unwrap_or("") == name).map(|row| &row.totals)), "{}={}", kind, name);
            parts = plus(parts, sum([&row.totals]));
        }
        prop_assert_eq!(parts, sum([&whole.totals]));
    }

    #[test]
    fn a_row_is_what_its_breakdown_adds_up_to(
        requests in told(),
        by in prop::sample::select(vec!["daily", "hourly", "project", "group", "session"]),
        breakdown in prop::sample::select(&FILTERS[..8]),
    ) {
        let document = report(&[("by", by), ("breakdown", breakdown)], &requests);
        for row in &document.rows {
            prop_assert_eq!(sum(row.parts.values()), sum([&row.totals]));
            for (name, part) in &row.parts {
                let others = document.rows.iter().filter_map(|row| row.parts.get(name));
                let alone = report(&[(breakdown, name.as_deref().unwrap_or(""))], &requests);
                // A name that is empty and none are two rows, and one to a filter.
                if name.as_deref() != Some("") && name.is_some() {
                    prop_assert_eq!(sum(others), sum([&alone.totals]));
                }
                prop_assert!(part.requests > 0);
            }
        }
    }
}

#[test]
fn the_json_of_hours_and_of_a_breakdown() {
    let told = |at, project, cost| Told { at, names: [project, 1, 0, 1, 0, 0, 0], cost };
    let (first, second) = (Some(1_792_889_999_999), Some(1_792_890_000_000));
    let requests =
        [told(first, 2, 5_000_000_000), told(second, 3, 7_000_000_000), told(second, 0, 8_000_000_000), told(None, 1, 1)];
    let hours = report(&[("by", "hourly"), ("timezone", "Europe/Berlin"), ("breakdown", "project")], &requests);
    let json: serde_json::Value = serde_json::from_str(&hours.to_json()).unwrap();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(
        rows.iter().map(|row| row["hour"].as_str()).collect::<Vec<_>>(),
        [Some("2026-10-25T02:00:00+02:00"), Some("2026-10-25T02:00:00+01:00"), None]
    );
    let parts: Vec<_> =
        rows[1]["breakdown"].as_array().unwrap().iter().map(|part| (&part["project"], &part["cost_usd"])).collect();
    assert_eq!(format!("{parts:?}"), r#"[(Null, Number(8.0)), (String("/lib/ben"), Number(7.0))]"#, "the costliest first");
    let quarters = report(&[("by", "quarter_hourly")], &requests[..1]).to_json();
    assert!(quarters.contains(r#"{"quarter_hour":"2026-10-25T00:45:00+00:00","requests":1,"#), "{quarters}");
}
