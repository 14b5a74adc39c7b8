//! Vendors' bills in the forms that their documents describe, and against a ledger.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_ledger::RequestRollup;
use ducat_prices::NanoUsd;
use ducat_report::{Bill, BillVerdict, Billed, Field, LedgerDay, Vendor};

const USAGE: &str = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed
2026-11-24,claude-haiku-4-5-20251001,\"key, one\",Default,standard,≤ 200k,100,20,30,4000,50,1,global,
2026-11-24,claude-haiku-4-5-20251001,two,Default,batch,≤ 200k,11,,0,0,5,0,global,
";
const COST: &str = "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed
2026-11-24,Claude Haiku 4.5,Default,one,message,≤ 200k,input_no_cache,0.25,0.25,token,global,
2026-11-24,Claude Haiku 4.5,Default,one,message,≤ 200k,output,0.50,0.50,token,global,
2026-11-24,,Default,one,code_execution,,,1.25,1.25,session_usage,,
";
const PAGE: &str = r#"{"data":[{"starting_at":"2026-11-24T00:00:00Z","ending_at":"2026-11-25T00:00:00Z","results":[
  {"uncached_input_tokens":111,"cache_creation":{"ephemeral_1h_input_tokens":30,"ephemeral_5m_input_tokens":20},"cache_read_input_tokens":4000,
   "output_tokens":55,"server_tool_use":{"web_search_requests":1},"model":"claude-haiku-4-5-20251001","service_tier":"standard"}]}],"has_more":true,"next_page":"x"}"#;

fn ledger(model: &str, is_billed: bool) -> LedgerDay {
    let sums = RequestRollup {
        requests: 2,
        input_tokens: 111,
        output_tokens: 55,
        cache_read_tokens: 4000,
        cache_write_5m_tokens: 20,
        cache_write_1h_tokens: 30,
        cost_nano: 750_000_000,
        ..RequestRollup::default()
    };
    LedgerDay { day: "2026-11-24".parse().unwrap(), model: model.to_owned(), is_billed, sums }
}

/// A cent a search.
fn searched(day: &LedgerDay) -> NanoUsd {
    NanoUsd(day.sums.web_search_requests * 10_000_000)
}

fn compare(bills: &[&str], ledger: &[LedgerDay]) -> Billed {
    let bills: Vec<Bill> = bills.iter().map(|bill| Bill::parse(bill.as_bytes()).unwrap()).collect();
    Billed::compare(&bills, ledger, &str::to_owned, &searched, NanoUsd::ZERO).unwrap()
}

#[test]
fn anthropics_usage_and_cost_are_one_row_a_day_and_model() {
    let mut ours = [ledger("claude-haiku-4-5-20251001", true)];
    ours[0].sums.web_search_requests = 1;
    ours[0].sums.cost_nano += 10_000_000;
    // Billed for no model, counted with its request here.
    let cost = format!("{COST}2026-11-24,,Default,one,web_search,,,0.01,0.01,web_search,,\n");
    for usage in [USAGE, PAGE] {
        let billed = compare(&[usage, &cost], &ours);
        let verdicts: Vec<_> = billed.rows.iter().map(|row| (row.model.as_str(), row.verdict())).collect();
        assert_eq!(verdicts, [("claude-haiku-4-5", BillVerdict::Same), ("web search", BillVerdict::Same)], "{billed:?}");
        assert!(billed.is_agreed());
        assert_eq!(billed.rows[0].billed[&Field::Input], 111);
        assert_eq!((billed.rows[0].billed_cost, billed.other_cost), (Some(NanoUsd(750_000_000)), NanoUsd(1_250_000_000)));
        assert!(compare(&[usage], &ours).is_agreed(), "tokens alone agree");
    }
    assert!(Bill::parse(PAGE.as_bytes()).unwrap().has_more);
}

#[test]
fn what_one_side_lacks_is_named() {
    let never_seen = compare(&[COST], &[]);
    assert_eq!((never_seen.rows[0].verdict(), never_seen.is_agreed()), (BillVerdict::NeverSeen, false));
    assert_eq!(never_seen.distance(), NanoUsd(750_000_000));
    let both = compare(&[COST], &[ledger("claude-haiku-4-5", true), ledger("claude-opus-4-8", true), ledger("gpt-5", true)]);
    let verdicts: Vec<_> = both.rows.iter().map(|row| (row.model.as_str(), row.verdict())).collect();
    assert_eq!(verdicts, [("claude-haiku-4-5", BillVerdict::Same), ("claude-opus-4-8", BillVerdict::NeverBilled)]);
    let plan = compare(&[COST], &[ledger("claude-haiku-4-5", false)]);
    assert_eq!((plan.rows[0].verdict(), plan.unbilled_value), (BillVerdict::NeverSeen, NanoUsd(750_000_000)));
}

/// Usage of a day at the edge that the vendor does not bill is a difference, not another time.
#[test]
fn days_of_which_nothing_is_billed_are_of_the_bill() {
    let empty =
        r#"{"data":[{"starting_at":"2026-11-23T00:00:00Z","ending_at":"2026-11-24T00:00:00Z","results":[]}],"has_more":false}"#;
    let bill = Bill::parse(empty.as_bytes()).unwrap();
    assert_eq!(
        (bill.lines.len(), bill.days.iter().map(ToString::to_string).collect::<Vec<_>>()),
        (0, vec!["2026-11-23".to_owned()])
    );
    let head = COST.lines().next().unwrap();
    assert_eq!(Bill::parse(head.as_bytes()).unwrap_err().to_string(), "it is of no day, so there is nothing to compare");
}

#[test]
fn anthropics_searches_by_the_cost_api_are_apart_from_the_model() {
    let page = r#"{"data":[{"starting_at":"2026-11-24T00:00:00Z","ending_at":"2026-11-25T00:00:00Z","results":[
      {"currency":"USD","amount":"3","workspace_id":null,"description":"Web Search Usage","cost_type":"web_search","model":null,"token_type":null}]}],"has_more":false}"#;
    let mut ours = ledger("claude-haiku-4-5", true);
    (ours.sums.web_search_requests, ours.sums.cost_nano) = (3, 30_000_000);
    let billed = compare(&[page], &[ours]);
    assert_eq!((billed.distance(), billed.other_cost), (NanoUsd::ZERO, NanoUsd::ZERO), "{billed:?}");
}

#[test]
fn anthropics_costs_are_in_cents() {
    let page = r#"{"data":[{"starting_at":"2026-11-24T00:00:00Z","ending_at":"2026-11-25T00:00:00Z","results":[
      {"currency":"USD","amount":"75","workspace_id":null,"description":"Claude Haiku 4.5 Usage - Input Tokens","cost_type":"tokens",
       "model":"claude-haiku-4-5-20251001","service_tier":"standard","token_type":"uncached_input_tokens"}]}],"has_more":false}"#;
    let billed = compare(&[page], &[ledger("claude-haiku-4-5", true)]);
    assert_eq!((billed.rows[0].billed_cost_by_kind[&Field::Input], billed.is_agreed()), (NanoUsd(750_000_000), true));
}

#[test]
fn openais_input_includes_what_was_cached() {
    let usage = |cached: &str| {
        format!(
            r#"{{"object":"page","data":[{{"object":"bucket","start_time":1795478400,"end_time":1795564800,"results":[
            {{"object":"organization.usage.completions.result","input_tokens":4111,"output_tokens":55,"input_cached_tokens":{cached},
            "num_model_requests":2,"model":"gpt-5-2025-08-07"}}]}}],"has_more":false,"next_page":null}}"#
        )
    };
    let costs = r#"{"object":"page","data":[{"object":"bucket","start_time":1795478400,"end_time":1795564800,"results":[
        {"object":"organization.costs.result","amount":{"value":0.5,"currency":"usd"},"line_item":"gpt-5-2025-08-07, input"},
        {"object":"organization.costs.result","amount":{"value":0.25,"currency":"usd"},"line_item":"gpt-5-2025-08-07, cached input"},
        {"object":"organization.costs.result","amount":{"value":2,"currency":"usd"},"line_item":"Assistants API | file search"}]}]}"#;
    let billed = compare(&[&usage("4000"), costs], &[ledger("gpt-5", true)]);
    assert_eq!((billed.vendor, billed.rows[0].verdict()), (Vendor::OpenAi, BillVerdict::Same), "{billed:?}");
    assert_eq!(billed.other_cost, NanoUsd(2_000_000_000));
    let wrong = Bill::parse(usage("5000").as_bytes()).unwrap_err().to_string();
    assert_eq!(wrong, "data[0].results[0], input_cached_tokens: more than input_tokens, of which they are a part");
}

#[test]
fn awss_reports_are_read_as_far_as_they_are_of_bedrock() {
    let cur = "lineItem/UsageStartDate,lineItem/ProductCode,product/ProductName,lineItem/UsageType,lineItem/UsageAmount,pricing/unit,lineItem/UnblendedCost
2026-11-24T10:00:00Z,abc,Claude Haiku 4.5 (Amazon Bedrock Edition),USE1-MP:USE1_InputTokenCount-Units,0.111,1K tokens,0.75
2026-11-24T11:00:00Z,abc,Claude Haiku 4.5 (Amazon Bedrock Edition),USE1-MP:USE1_OutputTokenCount-Units,0.000055,Units,0
2026-11-24T11:00:00Z,AmazonBedrock,Amazon Bedrock,USE1-Nova-Lite-input-tokens,2,1K tokens,0.1
2026-11-24T11:00:00Z,AmazonEC2,Amazon Elastic Compute Cloud,BoxUsage,1,Hrs,9
";
    let billed = compare(&[cur], &[ledger("claude-haiku-4-5-20251001", true), ledger("gpt-5", true)]);
    let rows: Vec<_> =
        billed.rows.iter().map(|row| (row.model.as_str(), row.billed.clone(), row.billed_cost.unwrap().0)).collect();
    assert_eq!(rows[0], ("Nova-Lite", [(Field::Input, 2000)].into(), 100_000_000));
    assert_eq!(rows[1], ("claude-haiku-4-5", [(Field::Input, 111)].into(), 750_000_000));
    let explorer = "\"Service\",\"Claude Haiku 4.5 (Amazon Bedrock Edition)($)\",\"EC2-Instances($)\",\"Total costs($)\"
\"Service total\",\"0.75\",\"9\",\"9.75\"
\"2026-11-24\",\"0.75\",\"9\",\"9.75\"
";
    assert!(compare(&[explorer], &[ledger("claude-haiku-4-5", true)]).is_agreed());
}

#[test]
fn bad_files_name_line_and_field() {
    for (file, said) in [
        (USAGE.replace(",50,1,", ",many,1,"), "line 2, usage_output_tokens: \"many\" is no whole number from 0"),
        (USAGE.replace(",50,1,", ",-5,1,"), "line 2, usage_output_tokens: \"-5\" is no whole number from 0"),
        (USAGE.replace("\"key, one\"", "\"key, one"), "line 2, column 3: a quotation mark is not closed"),
        (USAGE.replace("usage_output_tokens", "x"), "line 1, usage_output_tokens: there is no such column"),
        (COST.replace("0.50,0.50", "NaN,0"), "line 3, cost_usd: \"NaN\" is no amount of US dollars"),
        (COST.replace("2026-11-24,,", "24.11.2026,,"), "line 4, usage_date_utc: \"24.11.2026\" is no day such as 2026-01-31"),
        (COST.replace("2026-11-24,,", "ööööö26-11-24,,"), "line 4, usage_date_utc"),
        (COST.replace("2026-11-24,,Default", "2026-11-24\n#"), "line 4, model: the line ends before it"),
        (PAGE.replace(":111", ":\"111\""), "data[0].results[0], uncached_input_tokens: \"111\" is no whole number from 0"),
        (PAGE.replace("2026-11-24T00:00:00Z", "soon"), "data[0], starting_at: no time"),
        (
            PAGE.replace("{\"ephemeral_1h_input_tokens\":30,\"ephemeral_5m_input_tokens\":20}", "7"),
            "data[0].results[0].cache_creation, itself: no object",
        ),
        (
            PAGE.replace("\"claude-haiku-4-5-20251001\"", "null"),
            "data[0].results[0], model: missing; ask for usage grouped by model",
        ),
        (USAGE.replace(",claude-haiku-4-5-20251001,two", ",,two"), "line 3, model_version: missing, and there are tokens"),
        (
            r#"{"data":[{"start_time":1,"results":[{"amount":{"value":1,"currency":"usd"},"line_item":null}]}]}"#.to_owned(),
            "data[0].results[0], line_item: missing; ask for costs grouped by line_item",
        ),
        (
            r#"{"data":[{"start_time":1,"results":[{"amount":{"value":1,"currency":"eur"},"line_item":"x"}]}]}"#.to_owned(),
            "data[0].results[0].amount, currency: \"eur\": only bills in USD can be compared",
        ),
        (
            r#"{"data":[{"starting_at":"2026-11-24T00:00:00Z","results":[{"amount":"1","currency":"USD","description":null}]}]}"#
                .to_owned(),
            "description: missing; ask for costs grouped by description",
        ),
        (PAGE[..300].to_owned(), "EOF"),
        ("{}".to_owned(), "no bill that is known"),
        ("{\"data\":[]}".to_owned(), "no bill that is known"),
        ("a,b\n1,2\n".to_owned(), "no bill that is known"),
        (String::new(), "no bill that is known"),
    ] {
        let error = Bill::parse(file.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}\nwanted {said}");
    }
    assert!(Bill::parse(&[0xff, 0xfe, 1]).is_err());
}
