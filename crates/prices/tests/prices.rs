//! The table against the published prices, the arithmetic against itself, names against rows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_prices::{
    Cost, ModelPrice, ModelRates, NanoUsd, PriceOverrides, PriceQuery, PriceTable, RateSource, UnknownCost, Usage,
};
use proptest::prelude::*;

fn query(model: &str) -> PriceQuery<'_> {
    PriceQuery { model, at_unix_ms: 1_795_000_000_000, ..PriceQuery::default() }
}

fn nano(cost: &Cost) -> i64 {
    cost.amount().unwrap_or_else(|| panic!("{cost:?}")).0
}

/// USD per million tokens: input, output, cache read, 5-minute write, 1-hour write (platform.claude.com/docs/en/about-claude/pricing).
const PUBLISHED: [(&str, [f64; 5]); 10] = [
    ("claude-fable-5", [10.0, 50.0, 1.0, 12.5, 20.0]),
    ("claude-opus-5", [5.0, 25.0, 0.5, 6.25, 10.0]),
    ("claude-opus-4-8", [5.0, 25.0, 0.5, 6.25, 10.0]),
    ("claude-opus-4-7", [5.0, 25.0, 0.5, 6.25, 10.0]),
    ("claude-opus-4-6", [5.0, 25.0, 0.5, 6.25, 10.0]),
    ("claude-opus-4-5-20251101", [5.0, 25.0, 0.5, 6.25, 10.0]),
    ("claude-sonnet-5", [2.0, 10.0, 0.2, 2.5, 4.0]),
    ("claude-sonnet-4-6", [3.0, 15.0, 0.3, 3.75, 6.0]),
    ("claude-sonnet-4-5-20250929", [3.0, 15.0, 0.3, 3.75, 6.0]),
    ("claude-haiku-4-5-20251001", [1.0, 5.0, 0.1, 1.25, 2.0]),
];

#[test]
fn published_prices() {
    let table = PriceTable::embedded();
    for (model, prices) in PUBLISHED {
        let million = 1_000_000;
        let usages = [
            Usage { input: million, ..Usage::default() },
            Usage { output: million, ..Usage::default() },
            Usage { cache_read: million, ..Usage::default() },
            Usage { cache_write_5m: million, ..Usage::default() },
            Usage { cache_write_1h: million, ..Usage::default() },
        ];
        for (usage, usd) in usages.iter().zip(prices) {
            assert_eq!(nano(&table.cost(&query(model), usage)), (usd * 1e9) as i64, "{model} {usage:?}");
        }
    }
}

#[test]
fn rates_of_a_model_are_what_its_requests_cost() {
    let day = jiff::civil::date(2026, 11, 20);
    let table = PriceTable::embedded();
    for (model, [input, output, read, write_5m, write_1h]) in PUBLISHED {
        let rates = table.rates_of(model, day);
        let [i, o, _, r, w5, w1] = rates.usd_per_million;
        assert_eq!([i, o, r, w5, w1], [input, output, read, write_5m, write_1h].map(Some), "{model}");
        assert_eq!(
            (rates.provider.as_deref(), rates.source, rates.is_override),
            (Some("anthropic"), Some(RateSource::Table), false)
        );
    }
    assert_eq!(table.rates_of("nobody's", day), ModelRates::default());
    assert!(table.source().unwrap().starts_with("LiteLLM"));
    let own = ModelPrice { input: Some(1.5), ..ModelPrice::default() };
    let table = table.with_overrides(PriceOverrides {
        models: [("claude-opus-5".to_owned(), own.clone()), ("mine".to_owned(), own)].into(),
        discount: [("claude-sonnet-5".to_owned(), 0.15)].into(),
        free: vec!["llama".to_owned()],
        ..PriceOverrides::default()
    });
    let of = |model| {
        let rates = table.rates_of(model, day);
        (rates.usd_per_million[0], rates.usd_per_million[1], rates.source.map(RateSource::name), rates.is_override)
    };
    assert_eq!(of("claude-opus-5"), (Some(1.5), None, Some("configuration"), true));
    assert_eq!(of("mine"), (Some(1.5), None, Some("configuration"), true));
    assert_eq!(of("claude-sonnet-5"), (Some(1.7), Some(8.5), Some("table"), true));
    assert_eq!(of("llama"), (Some(0.0), Some(0.0), Some("configuration"), true));
    assert_eq!(of("claude-haiku-4-5-20251001"), (Some(1.0), Some(5.0), Some("table"), false));
}

#[test]
fn names_as_clients_report_them() {
    let table = PriceTable::embedded();
    for (reported, canonical, key) in [
        ("claude-opus-4-8", "claude-opus-4-8", Some("claude-opus-4-8")),
        ("claude-opus-4-8[1m]", "claude-opus-4-8", Some("claude-opus-4-8")),
        ("claude-opus-4-8-20260601", "claude-opus-4-8-20260601", Some("claude-opus-4-8")),
        ("us.anthropic.claude-opus-4-8-v1:0", "claude-opus-4-8", Some("us.anthropic.claude-opus-4-8")),
        (
            "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "claude-haiku-4-5-20251001",
            Some("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ),
        ("vertex_ai/claude-opus-4-5@20251101", "claude-opus-4-5-20251101", Some("vertex_ai/claude-opus-4-5@20251101")),
        ("claude-opus-4-5@20251101", "claude-opus-4-5-20251101", Some("vertex_ai/claude-opus-4-5@20251101")),
        ("anthropic/claude-opus-4-8", "claude-opus-4-8", Some("claude-opus-4-8")),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-8",
            "claude-opus-4-8",
            Some("us.anthropic.claude-opus-4-8"),
        ),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", "abc123", None),
        ("mars.anthropic.claude-opus-4-8", "claude-opus-4-8", None),
        ("my-proxy/fast", "my-proxy/fast", None),
        ("<synthetic>", "<synthetic>", None),
        ("claude-opus", "claude-opus", None),
        ("", "", None),
        ("[1m]", "[1m]", None),
    ] {
        let resolved = table.resolve(reported, None);
        assert_eq!((resolved.canonical_model.as_str(), resolved.price_key.as_deref()), (canonical, key), "{reported}");
    }
    assert_eq!(table.resolve("claude-opus-4-8", Some("vertex")).price_key.as_deref(), Some("vertex_ai/claude-opus-4-8"));
}

#[test]
fn every_row_is_found_by_its_name() {
    let table = PriceTable::embedded();
    let mut rows = 0;
    for (name, cards) in table.iter() {
        assert!(!cards.is_empty());
        assert_eq!(table.resolve(name, None).price_key.as_deref(), Some(name));
        rows += 1;
    }
    assert_eq!(rows, table.to_json().lines().count() - 2);
    assert!(rows > 3000, "{rows}");
}

#[test]
fn tiers_places_speed_and_searches() {
    let table = PriceTable::embedded();
    let cost = |query: &PriceQuery<'_>, usage: &Usage| nano(&table.cost(query, usage));
    // Long context: haiku 5.5 is 0.10 below 100k, 0.50 above.
    let at = |input, cache_read| Usage { input, cache_read, ..Usage::default() };
    assert_eq!(cost(&query("claude-haiku-5-5"), &at(100_000, 0)), 10_000_000);
    assert_eq!(cost(&query("claude-haiku-5-5"), &at(50_000, 50_001)), 25_000_000 + 50_001 * 50);
    let million = Usage { input: 1_000_000, ..Usage::default() };
    let opus = query("claude-opus-4-8");
    assert_eq!(cost(&PriceQuery { service_tier: Some("batch"), ..opus }, &million), 2_500_000_000);
    assert_eq!(cost(&PriceQuery { service_tier: Some("standard"), ..opus }, &million), 5_000_000_000);
    assert_eq!(cost(&PriceQuery { speed: Some("fast"), ..opus }, &million), 10_000_000_000);
    assert_eq!(cost(&PriceQuery { inference_geo: Some("us"), ..opus }, &million), 5_500_000_000);
    assert_eq!(cost(&PriceQuery { inference_geo: Some("us"), speed: Some("fast"), ..opus }, &million), 11_000_000_000);
    for none in ["", "global", "not_available"] {
        assert_eq!(cost(&PriceQuery { inference_geo: Some(none), ..opus }, &million), 5_000_000_000);
    }
    let searches = Usage { web_search_requests: 3, ..Usage::default() };
    assert_eq!(cost(&PriceQuery { speed: Some("fast"), ..opus }, &searches), 30_000_000);
}

#[test]
fn what_is_not_told_is_unknown_not_zero() {
    let table = PriceTable::embedded();
    let some = Usage { input: 1, ..Usage::default() };
    let unknown = |query: PriceQuery<'_>, usage: &Usage| match table.cost(&query, usage) {
        Cost::Unknown(why) => why,
        other => panic!("{other:?}"),
    };
    let opus = query("claude-opus-4-8");
    assert_eq!(unknown(query("gpt-x"), &some), UnknownCost::Model);
    assert_eq!(
        unknown(PriceQuery { service_tier: Some("priority"), ..opus }, &some),
        UnknownCost::ServiceTier("priority".into())
    );
    assert_eq!(unknown(PriceQuery { inference_geo: Some("mars"), ..opus }, &some), UnknownCost::InferenceGeo("mars".into()));
    assert_eq!(
        unknown(PriceQuery { speed: Some("fast"), ..query("claude-haiku-4-5") }, &some),
        UnknownCost::Speed("fast".into())
    );
    let hour = Usage { cache_write_1h: 1, ..Usage::default() };
    assert_eq!(unknown(query("apac.anthropic.claude-haiku-4-5-20251001-v1:0"), &hour), UnknownCost::Kind("cache_write_1h"));
}

#[test]
fn the_users_prices_win() {
    let overrides: PriceOverrides = serde_json::from_str(
        r#"{"models":{"claude-opus-4-8":{"input":1.5}},"discount":{"anthropic":0.1,"claude-opus-5":0.5},"free":["llama"],"aliases":{"corp-large":"claude-opus-5"}}"#,
    )
    .unwrap();
    overrides.validate().unwrap();
    let table = PriceTable::embedded().with_overrides(overrides);
    let million = Usage { input: 1_000_000, ..Usage::default() };
    assert_eq!(nano(&table.cost(&query("claude-opus-4-8"), &million)), 1_500_000_000);
    assert_eq!(nano(&table.cost(&query("claude-opus-4-7"), &million)), 4_500_000_000);
    assert_eq!(nano(&table.cost(&query("corp-large"), &million)), 2_500_000_000);
    assert_eq!(table.cost(&query("llama"), &million), Cost::Free);
    assert_eq!(table.resolve("corp-large", None).canonical_model, "claude-opus-5");
    assert_ne!(table.fingerprint(), PriceTable::embedded().fingerprint());
    for (json, key) in [
        (r#"{"models":{"a":{"input":-1}}}"#, "models.\"a\".input"),
        (r#"{"discount":{"a":1.5}}"#, "discount.\"a\""),
        (r#"{"aliases":{"a":"a"}}"#, "aliases.\"a\""),
    ] {
        assert_eq!(serde_json::from_str::<PriceOverrides>(json).unwrap().validate().unwrap_err().key, key);
    }
}

#[test]
fn a_list_with_dates_and_a_difference() {
    let row = |cards: &str| format!(r#"{{"models":{{"m":[{cards}]}}}}"#);
    let old = r#"{"provider":"p","until":"2026-02-01","source":"s","rates":[{"input":2000000}]}"#;
    let new = r#"{"provider":"p","from":"2026-02-01","source":"s","rates":[{"input":1000000}]}"#;
    let table = PriceTable::from_json(&row(&format!("{old},{new}"))).unwrap();
    let usage = Usage { input: 1000, ..Usage::default() };
    let at = |at_unix_ms| table.cost(&PriceQuery { model: "m", at_unix_ms, ..PriceQuery::default() }, &usage);
    assert_eq!(nano(&at(1_769_904_000_000 - 1)), 2_000_000);
    assert_eq!(nano(&at(1_769_904_000_000)), 1_000_000);
    let only_new = PriceTable::from_json(&row(new)).unwrap();
    assert_eq!(only_new.cost(&PriceQuery { model: "m", ..PriceQuery::default() }, &usage), Cost::Unknown(UnknownCost::Date));
    assert_eq!(table.diff(&only_new).len(), 1);
    assert!(table.diff(&table).is_empty());

    for (json, part) in [
        (row(r#"{"provider":"p","from":"2026-02-01","rates":[{"input":1}]}"#), "source"),
        (row(r#"{"provider":"p","rates":[]}"#), "rates"),
        (row(r#"{"provider":"p","rates":[{"input":-1}]}"#), "\"m\""),
        (row(r#"{"provider":"p","rates":[{"inputt":1}]}"#), "inputt"),
        ("{}".to_owned(), "models"),
        ("{".to_owned(), "JSON"),
    ] {
        assert!(PriceTable::from_json(&json).unwrap_err().to_string().contains(part), "{json}");
    }
}

prop_compose! {
    fn usages()(
        input in any::<u64>(), output in any::<u64>(), reasoning in any::<u64>(), cache_read in any::<u64>(),
        cache_write_5m in any::<u64>(), cache_write_1h in any::<u64>(), cache_write_unsplit in any::<u64>(),
        web_search_requests in any::<u64>(), shift in 0_u32..64,
    ) -> Usage {
        Usage {
            input: input >> shift, output: output >> shift, reasoning: reasoning >> shift, cache_read: cache_read >> shift,
            cache_write_5m: cache_write_5m >> shift, cache_write_1h: cache_write_1h >> shift,
            cache_write_unsplit: cache_write_unsplit >> shift, web_search_requests: web_search_requests >> shift,
        }
    }
}

proptest! {
    #[test]
    fn an_explanation_adds_up_to_the_cost(usage in usages(), speed in prop::option::of(Just("fast"))) {
        let table = PriceTable::embedded();
        let query = PriceQuery { speed, ..query("claude-opus-4-8") };
        let explanation = table.explain(&query, &usage);
        let sum: i128 = explanation.lines.iter().map(|line| line.zepto_usd).sum();
        let nano = (sum + 500_000_000_000) / 1_000_000_000_000;
        prop_assert_eq!(&explanation.cost, &Cost::Known(NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX))));
        prop_assert_eq!(table.cost(&query, &usage), explanation.cost);
    }

    #[test]
    fn more_of_anything_costs_no_less(usage in usages(), more in usages()) {
        let table = PriceTable::embedded();
        let (less, more) = (table.cost(&query("claude-haiku-5-5"), &usage), table.cost(&query("claude-haiku-5-5"), &usage.saturating_add(&more)));
        prop_assert!(less.amount() <= more.amount());
    }

    #[test]
    fn any_name_resolves_without_panic(name in ".{0,40}", provider in prop::option::of("[a-z]{0,9}")) {
        PriceTable::embedded().resolve(&name, provider.as_deref());
    }
}

#[test]
fn a_claude_with_dots_is_the_vendors_with_dashes() {
    let resolved = PriceTable::embedded().resolve("claude-opus-4.6", Some("github-copilot"));
    assert_eq!((resolved.canonical_model.as_str(), resolved.price_key.as_deref()), ("claude-opus-4-6", Some("claude-opus-4-6")));
}

/// Claude Code 2.1.197 prices `claude-sonnet-5` at 3/15 USD, the list at 2/10: whatever it writes for five minutes, no hour is made of it.
#[test]
fn no_split_is_made_of_a_cost_at_other_prices() {
    let (table, theirs) = (PriceTable::embedded(), query("claude-sonnet-4-6"));
    for number in 0..2000_u64 {
        let written = Usage {
            input: 3 + number % 17,
            output: 20 + (number * 37) % 900,
            cache_read: (number * 911) % 90_000,
            cache_write_5m: 1024 + (number * 613) % 20_000,
            ..Usage::default()
        };
        let told = Usage { cache_write_5m: 0, cache_write_unsplit: written.cache_write_5m, ..written };
        // As clients tell it, in whole micro-USD.
        let cost = (nano(&table.cost(&theirs, &written)) + 500) / 1000 * 1000;
        let split = table.split_cache_writes(&query("claude-sonnet-5"), &told, cost, false);
        assert_eq!(split, None, "{written:?} {cost}");
        assert_eq!(table.split_cache_writes(&theirs, &told, cost, false), Some((written.cache_write_5m, 0)));
    }
}

#[test]
fn a_split_in_two_wants_proven_prices_and_no_web_search() {
    let (table, opus) = (PriceTable::embedded(), query("claude-opus-4-8"));
    let told = Usage { input: 4, output: 90, cache_write_unsplit: 14_000, ..Usage::default() };
    let written = Usage { cache_write_5m: 2000, cache_write_1h: 12_000, cache_write_unsplit: 0, ..told };
    let cost = nano(&table.cost(&opus, &written));
    assert_eq!(table.split_cache_writes(&opus, &told, cost, false), None);
    assert_eq!(table.split_cache_writes(&opus, &told, cost, true), Some((2000, 12_000)));
    // Three searches cost what 8,000 tokens cost more for an hour.
    let searched = Usage { cache_write_5m: 14_000, cache_write_unsplit: 0, web_search_requests: 3, ..told };
    assert_eq!(table.split_cache_writes(&opus, &told, nano(&table.cost(&opus, &searched)), true), None);
}
