//! Cursor's exports of usage events. Two of the fixture's rows are real, as an open-source reader has them; the rest is made after them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use ducat_capture::{Agent, AsTold, Detail, FileState, Form, LineVerdict};
use ducat_ledger::{Billing, Fact, Request};

const EXPORT: &str = include_str!("fixtures/cursor/usage-events.csv");

fn decode(text: &str) -> (Vec<LineVerdict>, Vec<Request>) {
    let mut state = FileState::of(Agent::Cursor, Path::new("/x/a.csv"));
    let mut requests = Vec::new();
    let mut verdicts = Vec::new();
    for line in text.split_terminator('\n') {
        // A cursor keeps the state between lines.
        state = FileState::kept(&state.keep()).unwrap();
        verdicts.push(state.decode_line(line.as_bytes(), &mut AsTold, Detail::All, &mut |fact| match fact {
            Fact::Request(request) => requests.push(request),
            other => panic!("{other:?}"),
        }));
    }
    (verdicts, requests)
}

#[test]
fn every_event_is_a_request_of_no_session() {
    let (verdicts, requests) = decode(EXPORT);
    assert_eq!(verdicts, [LineVerdict::NoFacts, LineVerdict::Decoded, LineVerdict::Decoded, LineVerdict::NoFacts]);
    let first = &requests[0];
    let usage = first.usage();
    assert_eq!([usage.input, usage.cache_read, usage.output], [775, 105891, 21282]);
    assert_eq!(first.cache_write_tokens.get(), Some(&28342));
    assert_eq!(first.model.get().map(String::as_str), Some("auto"));
    assert_eq!(first.user.get().map(String::as_str), Some("a@example.com"));
    assert_eq!(first.started_at.get(), Some(&1_763_058_965_846));
    assert_eq!(first.reported_cost_nano.get(), Some(&190_000_000));
    assert_eq!(first.billing.get(), Some(&Billing::Plan));
    assert_eq!(requests[1].billing.get(), Some(&Billing::Overage));
    assert!(requests.iter().all(|request| request.holders.iter().next().is_none()));
}

#[test]
fn columns_are_known_by_name_and_another_export_repeats_its_events() {
    let older = "\u{feff}Date,Model,Input (w/ Cache Write),Input (w/o Cache Write),Cache Read,Output Tokens,Total Tokens,Cost,Cost to you\r\n\
        2025-11-13T13:35:04.658Z,gpt-5-codex,0,8263,66964,1612,76839,$0.03,$0.00\r\n";
    let (_, requests) = decode(older);
    let newer = EXPORT.replace("\"a@example.com\",", "").replace("User,", "");
    assert_eq!(requests[0].key, decode(&newer).1[1].key);
    assert_eq!(requests[0].reported_cost_nano.get(), Some(&30_000_000));
}

#[test]
fn an_export_is_told_by_its_columns() {
    let of = |head: &str| Agent::of_file(Path::new("/x/usage.csv"), head.as_bytes());
    assert_eq!(of(EXPORT), Some(Agent::Cursor));
    assert_eq!(of("Date,Amount\n2025-01-01,5\n"), None);
    assert_eq!(Agent::Cursor.form(Path::new("/x/usage.csv")), Form::Lines);
}

#[test]
fn bad_rows_are_refused_alone() {
    let header = EXPORT.lines().next().unwrap();
    let row = |row: &str| decode(&format!("{header}\n{row}")).0[1];
    let refused = LineVerdict::Unreadable;
    assert_eq!(row("\"open"), refused("not a row of CSV"));
    assert_eq!(row("2025-11-13,u,k,m,No,1,2,x,4,10,1"), refused("a count that is none"));
    assert_eq!(row("2025-11-13,u,k,m,No,1"), refused("a count that is none"));
    assert_eq!(row("2025-11-13,u,k,m,No,99999999999999,2,3,4,10,1"), refused("a count that is none"));
    assert_eq!(row("13/11/2025,u,k,m,No,1,2,3,4,10,1"), refused("a row without a time"));
    assert_eq!(row("2025-11-13,u,k,,No,1,2,3,4,10,1"), refused("a row without a model"));
    assert_eq!(row("2025-11-13,u,k,m,No,1,2,3,4,99,1"), refused("counts that do not make up their total"));
    assert_eq!(row("2025-11-13,u,k,m,No,1,2,3,4,10,NaN"), LineVerdict::Decoded);
    let (verdicts, _) = decode("Model,Count\nm,5");
    assert_eq!(verdicts, [refused("not the columns of an export of Cursor's usage events"); 2]);
    let mut state = FileState::of(Agent::Cursor, Path::new("x"));
    let verdict = state.decode_line(b"\xff\xfe", &mut AsTold, Detail::All, &mut |_| {});
    assert_eq!(verdict, refused("not UTF-8"));
}
