//! Whatever the groups are, every grouping adds up to the same total, and a filter and its rest to the whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use ducat_ledger::{Attributes, Quota, RequestRollup};
use ducat_prices::NanoUsd;
use ducat_report::{Currency, Document, Group, Groups, Report, ReportQuery, RequestRow, Settings, Totals};
use jiff::Timestamp;
use proptest::prelude::*;

const PROJECTS: [Option<&str>; 5] = [None, Some("/src/pay-api"), Some("/src/pay-web"), Some("/srv/x/deep"), Some("/else")];
const PATTERNS: [&str; 6] = ["/src/pay-*", "pay-web", "/srv", "*", "nothing", "/srv/**"];

fn groups() -> impl Strategy<Value = Groups> {
    let tags = prop::collection::btree_map("client|stage", "acme|prod", 0..3);
    let group = (prop::sample::subsequence(PATTERNS.to_vec(), 1..4), tags);
    prop::collection::vec(group, 1..4).prop_map(|groups| {
        let named = groups.into_iter().enumerate().map(|(number, (patterns, tags))| Group {
            name: format!("group {number}"),
            projects: patterns.into_iter().map(str::to_owned).collect(),
            tags,
        });
        Groups::new(named.collect()).unwrap()
    })
}

fn blocks(pairs: &[(&str, &str)], unpriced_requests: i64) -> Document {
    let query = ReportQuery::parse([&[("by", "blocks")], pairs].concat(), Timestamp::UNIX_EPOCH, &Settings::default()).unwrap();
    let mut report = Report::new(query);
    let mut quota = Quota::new("claude-code", None, None, 300, 1_790_003_600_000);
    quota.tell(1_790_000_000_000, 400_000);
    report.tell_quotas(vec![quota]);
    for started_at in [Some(1_790_000_000_000), None] {
        report.add(&RequestRow {
            started_at,
            session: "",
            agent: "claude-code",
            model: "m",
            project: Some("/src/pay-api"),
            branch: None,
            user: None,
            team: None,
            host: None,
            billing: None,
            attributes: Attributes::default(),
            sums: RequestRollup { requests: 2, cost_nano: 4_000_000_000, unpriced_requests, ..RequestRollup::default() },
        });
    }
    report.finish()
}

/// A part's cost over the whole quota would tell too small a limit.
#[test]
fn what_a_window_is_worth_is_told_of_all_its_requests_only() {
    let limit = |document: &Document| document.rows[0].limit();
    assert_eq!(limit(&blocks(&[], 0)), Some(NanoUsd(10_000_000_000)));
    assert_eq!(limit(&blocks(&[("agent", "claude-code")], 0)), Some(NanoUsd(10_000_000_000)), "a quota is of an agent");
    for part in [("project", "pay-api"), ("model", "m")] {
        assert_eq!(limit(&blocks(&[part], 0)), None, "{part:?}");
    }
    assert_eq!(limit(&blocks(&[], 1)), None, "some cost is unknown");
}

#[test]
fn requests_without_a_time_are_a_row_without_a_block() {
    let all = blocks(&[], 0);
    assert_eq!((all.totals.requests, all.rows.len()), (4, 2));
    let undated = all.rows.last().unwrap();
    assert!(undated.name.is_none() && undated.block.is_none() && undated.totals.requests == 2, "{undated:?}");
    assert!(all.to_json().contains(r#"{"block_start":null,"requests":2"#), "{}", all.to_json());
    assert_eq!(blocks(&[("since", "2026-01-01")], 0).totals.requests, 2, "they are of no asked day");
}

fn requests() -> impl Strategy<Value = Vec<(usize, i64, bool)>> {
    prop::collection::vec((0..PROJECTS.len(), 0..10_000_000_000_i64, any::<bool>()), 0..40)
}

fn report(pairs: &[(&str, &str)], settings: &Settings, requests: &[(usize, i64, bool)]) -> Document {
    let query = ReportQuery::parse(pairs.iter().copied(), Timestamp::UNIX_EPOCH, settings).unwrap();
    let mut report = Report::new(query);
    for (project, cost, priced) in requests {
        let cost_nano = if *priced { *cost } else { 0 };
        let sums = RequestRollup { requests: 1, cost_nano, unpriced_requests: i64::from(!priced), ..RequestRollup::default() };
        report.add(&RequestRow {
            started_at: Some(1_790_000_000_000),
            session: "",
            agent: "claude-code",
            model: "m",
            project: PROJECTS[*project],
            branch: None,
            user: None,
            team: None,
            host: None,
            billing: None,
            attributes: Attributes::default(),
            sums,
        });
    }
    report.finish()
}

fn sum(document: &Document) -> (u64, i64, u64) {
    let of = |totals: &Totals| (totals.requests, totals.cost.0, totals.unpriced_requests);
    let rows = document.rows.iter().fold((0, 0, 0), |sum, row| {
        let row = of(&row.totals);
        (sum.0 + row.0, sum.1 + row.1, sum.2 + row.2)
    });
    assert_eq!(rows, of(&document.totals), "rows add up to the total");
    rows
}

proptest! {
    #[test]
    fn every_breakdown_adds_up_to_the_same_total(groups in groups(), requests in requests()) {
        let names: Vec<String> = groups.names().into_iter().map(str::to_owned).collect();
        let tags: Vec<String> = groups.tag_names().into_iter().map(|tag| format!("tag:{tag}")).collect();
        let settings = Settings { groups, ..Settings::default() };
        let whole = sum(&report(&[("by", "project")], &settings, &requests));
        for by in ["group", "daily", "model"].into_iter().chain(tags.iter().map(String::as_str)) {
            prop_assert_eq!(sum(&report(&[("by", by)], &settings, &requests)), whole, "{}", by);
        }
        // A group alone is its row, and the groups and what is in none are the whole.
        let by_group = report(&[("by", "group")], &settings, &requests);
        let rows: BTreeMap<Option<&str>, &Totals> = by_group.rows.iter().map(|row| (row.name.as_deref(), &row.totals)).collect();
        for name in &names {
            let alone = report(&[("by", "project"), ("group", name)], &settings, &requests);
            prop_assert_eq!(Some(&alone.totals).filter(|totals| totals.requests > 0), rows.get(&Some(name.as_str())).copied());
        }
    }

    #[test]
    fn a_currency_moves_no_figure_by_more_than_half_a_billionth(requests in requests(), rate in 1_u64..2_000_000) {
        let text = format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000);
        let currency = Currency::new("EUR", &text, "2026-11-24".parse().unwrap()).unwrap();
        let settings = Settings { currency: Some(currency), ..Settings::default() };
        let document = report(&[("by", "project")], &settings, &requests);
        let json: serde_json::Value = serde_json::from_str(&document.to_json()).unwrap();
        prop_assert_eq!(json["currency"]["rate"].as_str().unwrap().parse::<f64>().unwrap(), rate as f64 / 1e6);
        for figures in json["rows"].as_array().unwrap().iter().chain([&json["totals"]]) {
            let Some(usd) = figures["cost_nano_usd"].as_str() else {
                prop_assert!(figures["cost_nano"].is_null() && figures["cost"].is_null());
                continue;
            };
            let (usd, other): (i128, i128) = (usd.parse().unwrap(), figures["cost_nano"].as_str().unwrap().parse().unwrap());
            prop_assert!((other * 1_000_000 - usd * i128::from(rate)).abs() <= 500_000, "{} at {}", usd, rate);
        }
    }
}
