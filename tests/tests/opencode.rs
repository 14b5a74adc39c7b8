//! OpenCode's database and the files of its older versions in their home, while a client writes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use ducat_end_to_end::{Machine, Server, eventually, write};
use rusqlite::Connection;
use serde_json::Value;

/// As 1.18.33 made it: three requests, and one more in a fork of their session.
const DATABASE: &str = include_str!("../../crates/scan/tests/fixtures/opencode-1.18.33.sql");
const EXPORT: &str = include_str!("../../crates/capture/tests/fixtures/opencode/export-1.18.33.json");
const HOME: &str = ".local/share/opencode";

fn totals(report: &Value) -> [u64; 4] {
    let of = |name: &str| report["totals"][name].as_u64().unwrap_or(0);
    [of("requests"), of("input_tokens"), of("cache_read_tokens"), of("output_tokens")]
}

fn comes_to(server: &Server, expected: [u64; 4]) {
    eventually(|| {
        let told = totals(&server.get_json("/api/v1/report"));
        if told == expected { Ok(()) } else { Err(format!("{told:?} instead of {expected:?}")) }
    });
}

fn reported(machine: &Machine) -> [u64; 4] {
    totals(&serde_json::from_str(&machine.report("daily")).unwrap())
}

#[test]
fn a_running_clients_rows_are_in_report_and_ledger_each_once() {
    let machine = Machine::new();
    let storage = machine.home().join(HOME).join("storage");
    // What versions before 1.2 wrote of the same session, and what they keep beside it.
    let export: Value = serde_json::from_str(EXPORT).unwrap();
    let name = |value: &Value| value["id"].as_str().unwrap().to_owned() + ".json";
    write(&storage.join("session/global").join(name(&export["info"])), &export["info"].to_string());
    write(&storage.join("session_diff").join(name(&export["info"])), "[]");
    for message in export["messages"].as_array().unwrap() {
        let folder = message["info"]["id"].as_str().unwrap();
        write(&storage.join("message/ses").join(name(&message["info"])), &message["info"].to_string());
        for part in message["parts"].as_array().unwrap() {
            write(&storage.join("part").join(folder).join(name(part)), &part.to_string());
        }
    }
    let answered = [3, 6084, 22216, 183];
    assert_eq!(reported(&machine), answered);
    let server = machine.serve();
    comes_to(&server, answered);
    // A newer version takes them over, and goes on in a database.
    let client = Connection::open(machine.home().join(HOME).join("opencode.db")).unwrap();
    client.pragma_update(None, "journal_mode", "WAL").unwrap();
    client.execute_batch(DATABASE).unwrap();
    let with_fork = [4, 6184, 22216, 193];
    comes_to(&server, with_fork);
    assert_eq!(reported(&machine), with_fork);
    // A request that was begun, and what it used when it ended.
    let begun = "INSERT INTO message SELECT 'msg_211c1fd00001AAAAAAAAAAAAAA', session_id, 1795594256000, 1795594256000,
            json_set(data, '$.tokens', json('{\"input\":0,\"output\":0,\"reasoning\":0,\"cache\":{\"read\":0,\"write\":0}}'),
                '$.time.created', 1795594256000) FROM message WHERE id = 'msg_211c1f997001HSX0UgxLjqD6ko'";
    client.execute_batch(begun).unwrap();
    let ended = "UPDATE message SET time_updated = 1795594257000,
            data = json_set(data, '$.tokens.input', 1000, '$.tokens.output', 5, '$.tokens.total', 1005)
            WHERE id = 'msg_211c1fd00001AAAAAAAAAAAAAA'";
    client.execute_batch(ended).unwrap();
    let with_more = [5, 7184, 22216, 198];
    comes_to(&server, with_more);
    assert_eq!(reported(&machine), with_more);
    server.stop();
    client.close().unwrap();
    assert!(!fs::exists(machine.home().join(HOME).join("opencode.db-wal")).unwrap(), "its last writer could put it away");
    let said = machine.prints(&["import"]);
    assert!(said.starts_with("0 new lines in 0 of ") || said.contains(" in 1 of "), "{said}");
    let ledger: Value = serde_json::from_str(&machine.prints(&["report", "daily", "--ledger", "--json"])).unwrap();
    assert_eq!(totals(&ledger), with_more);
}
