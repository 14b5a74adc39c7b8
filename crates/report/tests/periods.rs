//! Reports of hours, of times and by what things are called: whatever way a whole is cut, its parts add up to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_ledger::{Attributes, Billing, RequestRollup};
use ducat_report::{Document, Report, ReportQuery, RequestRow, Settings};
use jiff::Timestamp;
use proptest::prelude::*;

const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"];
const NAMES: [&str; 8] = ["project", "model", "branch", "agent", "user", "team", "host", "billing"];
const WORDS: [Option<&str>; 3] = [Some("one"), Some("two"), None];
/// Two days around the end of summer time in Europe.
const BEGIN: i64 = 1_792_800_000_000;

/// Of a request: its time, if told, after [`BEGIN`], what it is called by each name, its cost.
type Made = (Option<i64>, [usize; 8], i64);

fn requests() -> impl Strategy<Value = Vec<Made>> {
    prop::collection::vec(
        (prop::option::weighted(0.9, 0..2 * 86_400_000_i64), prop::array::uniform8(0..3_usize), 0..1_000_000_000_i64),
        0..40,
    )
}

fn report(pairs: &[(&str, &str)], requests: &[Made]) -> Document {
    let now = Timestamp::from_millisecond(BEGIN + 3 * 86_400_000).unwrap();
    let mut report = Report::new(ReportQuery::parse(pairs.iter().copied(), now, &Settings::default()).unwrap());
    for (at, names, cost_nano) in requests {
        let name = |place: usize| WORDS[names[place]];
        report.add(&RequestRow {
            started_at: at.map(|at| BEGIN + at),
            session: "s",
            agent: name(3).unwrap_or(""),
            model: name(1).unwrap_or(""),
            project: name(0),
            branch: name(2),
            user: name(4),
            team: name(5),
            host: name(6),
            billing: [Some(Billing::Plan), Some(Billing::Metered), None][names[7]],
            attributes: Attributes::default(),
            sums: RequestRollup { requests: 1, cost_nano: *cost_nano, ..RequestRollup::default() },
        });
    }
    report.finish()
}

fn sum(document: &Document) -> (u64, i64) {
    (document.totals.requests, document.totals.cost.0)
}

fn added<'d>(documents: impl IntoIterator<Item = &'d Document>) -> (u64, i64) {
    documents.into_iter().map(sum).fold((0, 0), |(requests, cost), (more, costs)| (requests + more, cost + costs))
}

fn time(after: i64) -> String {
    Timestamp::from_millisecond(BEGIN + after).unwrap().to_string()
}

proptest! {
    #[test]
    fn hours_add_up_to_days(requests in requests(), zone in 0..ZONES.len()) {
        let of = |by| report(&[("by", by), ("timezone", ZONES[zone])], &requests);
        let days = of("daily");
        for by in ["hourly", "quarter_hourly"] {
            let hours = of(by);
            prop_assert_eq!(sum(&hours), sum(&days));
            for day in &days.rows {
                let of_day = hours.rows.iter().filter(|hour| hour.name.as_deref().map(|name| &name[..10]) == day.name.as_deref());
                let cost: i64 = of_day.map(|hour| hour.totals.cost.0).sum();
                prop_assert_eq!(cost, day.totals.cost.0, "{} {:?}", by, day.name);
            }
            // In the order of time, each once, what tells none last.
            let starts: Vec<Option<Timestamp>> = hours.rows.iter().map(|row| row.name.as_ref().map(|name| name.parse().unwrap())).collect();
            prop_assert!(starts.windows(2).all(|pair| pair[1].is_none() || pair[0] < pair[1]), "{:?}", starts);
        }
    }

    #[test]
    fn a_time_cut_in_two_is_the_whole(requests in requests(), cuts in prop::array::uniform3(0..2 * 86_400_000_i64)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        prop_assume!(cuts[0] < cuts[1] && cuts[1] < cuts[2]);
        let [first, middle, last] = cuts.map(time);
        let of = |since: &str, until: &str| report(&[("since", since), ("until", until)], &requests);
        prop_assert_eq!(added([&of(&first, &middle), &of(&middle, &last)]), sum(&of(&first, &last)));
        let told = requests.iter().filter(|(at, ..)| at.is_some_and(|at| cuts[0] <= at && at < cuts[2])).count();
        prop_assert_eq!(sum(&of(&first, &last)).0, told as u64);
    }

    #[test]
    fn what_a_filter_takes_and_leaves_is_all(requests in requests(), place in 0..NAMES.len()) {
        let values = if NAMES[place] == "billing" { ["plan", "metered", ""] } else { ["one", "two", ""] };
        let parts = values.map(|value| report(&[(NAMES[place], value)], &requests));
        prop_assert_eq!(added(&parts), sum(&report(&[], &requests)));
        let second = requests.iter().filter(|(_, names, _)| names[place] == 1).count();
        prop_assert_eq!(parts[1].totals.requests, second as u64);
    }

    #[test]
    fn a_breakdown_adds_up_to_its_row(requests in requests(), place in 0..NAMES.len()) {
        let document = report(&[("by", "daily"), ("breakdown", NAMES[place])], &requests);
        for row in &document.rows {
            let parts = row.parts.values().fold((0, 0), |(requests, cost), part| (requests + part.requests, cost + part.cost.0));
            prop_assert_eq!(parts, (row.totals.requests, row.totals.cost.0));
        }
    }
}
