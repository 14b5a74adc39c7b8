//! Ledgers of older versions, brought to this one's form.

use ducat_ledger::{Key, KeySpace, Request, Told};

use super::*;

#[test]
fn what_was_summed_without_attributes_is_summed_by_them() {
    let mut connection = of_version(6);
    let store = |id: &str, skill: Option<&str>, labels: Option<&str>, role: u8| {
        let mut request = Request::new(Key::of(KeySpace::Request, "a", id), "a", id);
        request.output_tokens = Told::by(1, 3);
        request.skill = Told::maybe(1, skill.map(str::to_owned));
        request.labels = Told::maybe(1, labels.map(str::to_owned));
        request.effort = Told::maybe(1, labels.map(|_| "high".to_owned()));
        let fact = serde_json::to_string(&request).unwrap();
        let sql = "INSERT INTO requests (tenant, key, model, cost_nano, fact, role) VALUES (1, ?1, 'm', 7, ?2, ?3)";
        connection.execute(sql, rusqlite::params![request.key.0, fact, role]).unwrap();
        if role == 1 {
            let sql = "INSERT INTO rollup_requests VALUES (1, ?1, 'a', 'm', '', '', '', '', '', '', '', ?2, '', 1, 0, 3, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0)
                       ON CONFLICT DO UPDATE SET requests = requests + 1, output_tokens = output_tokens + 3, cost_nano = cost_nano + 7";
            connection.execute(sql, rusqlite::params![i64::MIN, skill.unwrap_or_default()]).unwrap();
        }
    };
    store("plain", None, None, 1);
    store("skilled", Some("pdf"), None, 1);
    store("labelled", None, Some("cost_center=7"), 1);
    store("both", Some("pdf"), Some("cost_center=8"), 1);
    store("a twin", Some("pdf"), Some("cost_center=9"), 0);
    migrate(&mut connection, &ducat_prices::PriceTable::embedded()).unwrap();
    let reader = crate::Reader { connection, copies: None };
    assert_eq!(reader.check_rollups(crate::TenantId::LOCAL).unwrap(), vec![]);
    let rows = reader.connection.query_row("SELECT COUNT(*), SUM(requests) FROM rollup_requests", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    assert_eq!(rows.unwrap(), (4, 4));
    assert_eq!(reader.label_names(crate::TenantId::LOCAL).unwrap(), ["cost_center"]);
}

#[test]
fn what_was_stored_before_sessions_had_sums_is_summed() {
    use ducat_ledger::{Holder, Holders, Outcome, Session, ToolCall};
    let mut connection = of_version(10);
    let key = Key::of(KeySpace::Session, "a", "s");
    let mut session = Session::new(key, "a", "s");
    session.last_at = Told::by(1, 1_790_000_000_000);
    let fact = serde_json::to_string(&session).unwrap();
    let sql = "INSERT INTO sessions VALUES (1, ?1, 's', 'a', 1790000000000, ?2)";
    connection.execute(sql, rusqlite::params![key.0, fact]).unwrap();
    let held = Holders::one(Holder { session: key, live: false, project: Some("/p".to_owned()), branch: None });
    for (id, role) in [("one", 1), ("other", 1), ("a twin", 0)] {
        let mut request = Request::new(Key::of(KeySpace::Request, "a", id), "a", id);
        (request.output_tokens, request.holders) = (Told::by(1, 3), held.clone());
        let fact = serde_json::to_string(&request).unwrap();
        let sql = "INSERT INTO requests (tenant, key, owner, model, cost_nano, fact, role) VALUES (1, ?1, ?2, 'm', 7, ?3, ?4)";
        connection.execute(sql, rusqlite::params![request.key.0, key.0, fact, role]).unwrap();
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, "a", id), "a", id);
        (call.outcome, call.holders) = (Told::by(1, Outcome::Error), held.clone());
        let fact = serde_json::to_string(&call).unwrap();
        let sql = "INSERT INTO tool_calls (tenant, key, owner, fact, role) VALUES (1, ?1, ?2, ?3, ?4)";
        connection.execute(sql, rusqlite::params![call.key.0, key.0, fact, role]).unwrap();
    }
    migrate(&mut connection, &ducat_prices::PriceTable::embedded()).unwrap();
    let reader = crate::Reader { connection, copies: None };
    let page = reader.sessions(crate::TenantId::LOCAL, &ducat_report::SessionsQuery::default()).unwrap();
    assert_eq!((page.rows.len(), page.rows[0].project.as_deref()), (1, Some("/p")));
    let sums = page.rows[0].sums;
    assert_eq!((sums.requests.requests, sums.requests.cost_nano, sums.failed_tool_calls), (2, 14, 2));
    // Roll-ups of those rows were never written here; the sums by session are right.
    let wrong = reader.check_rollups(crate::TenantId::LOCAL).unwrap();
    assert!(wrong.iter().all(|row| !row.row.starts_with("session ")), "{wrong:?}");
}

#[test]
fn what_was_stored_before_roles_counts_as_before() {
    let mut connection = of_version(5);
    let mut request = Request::new(Key::of(KeySpace::Request, "claude-code", "r"), "claude-code", "r");
    request.input_tokens = Told::by(3, 2);
    let row = rusqlite::params![request.key.0, serde_json::to_string(&request).unwrap()];
    connection.execute("INSERT INTO requests VALUES (1, ?1, NULL, 5, 'm', 7, ?2, NULL)", row).unwrap();
    let sql = "INSERT INTO rollup_requests VALUES (1, 0, 'claude-code', 'm', '', '', '', '', '', '', '', '', '', 1, 2, 3, 0, 0, 0, 0, 0, 7, 0)";
    connection.execute(sql, []).unwrap();
    migrate(&mut connection, &ducat_prices::PriceTable::embedded()).unwrap();
    let of = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(of("SELECT COUNT(*) FROM requests WHERE role = 1 AND base IS NULL AND pair_group IS NULL AND cost_nano = 7"), 1);
    assert_eq!(of("SELECT requests + sums + estimated_tokens + cost_nano FROM rollup_requests"), 8);
    assert_eq!(of("SELECT COUNT(*) FROM told_singly WHERE agent = 'claude-code'"), 1);
}

#[test]
fn what_was_summed_without_durations_is_summed_by_them() {
    use ducat_ledger::{Holder, Holders, Outcome, ToolCall};
    let mut connection = Connection::open_in_memory().unwrap();
    for sql in &MIGRATIONS[..10] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 10).unwrap();
    let session = Key::of(KeySpace::Session, "a", "s");
    for number in 0..50_u64 {
        let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, "a", &number.to_string()), "a", number.to_string());
        call.holders = Holders::one(Holder { session, live: false, project: Some("/p".to_owned()), branch: None });
        call.name = Told::by(1, "mcp__s__t".to_owned());
        call.outcome = Told::maybe(1, (number % 5 != 0).then_some(Outcome::Error));
        call.error_kind = Told::by(1, "timeout".to_owned());
        call.started_at = Told::by(1, 1_790_000_000_000);
        call.duration_ms = Told::maybe(1, (number % 2 == 0).then_some(number * number));
        let sql = "INSERT INTO tool_calls (tenant, key, owner, started_at, fact, role) VALUES (1, ?1, ?2, 1790000000000, ?3, ?4)";
        let (fact, role) = (serde_json::to_string(&call).unwrap(), u8::from(number != 2));
        connection.execute(sql, rusqlite::params![call.key.0, session.0, fact, role]).unwrap();
        let mut request = Request::new(Key::of(KeySpace::Request, "a", &number.to_string()), "a", number.to_string());
        request.ttft_ms = Told::maybe(1, (number % 3 == 0).then_some(number));
        let sql = "INSERT INTO requests (tenant, key, model, cost_nano, fact, role) VALUES (1, ?1, 'm', 0, ?2, 1)";
        connection.execute(sql, rusqlite::params![request.key.0, serde_json::to_string(&request).unwrap()]).unwrap();
    }
    connection.execute("INSERT INTO rollup_tools VALUES (1, 0, 'a', 't', 'ok', '', '', '', 1, 1, 1)", []).unwrap();
    migrate(&mut connection, &ducat_prices::PriceTable::embedded()).unwrap();
    let reader = crate::Reader { connection, copies: None };
    let wrong = reader.check_rollups(crate::TenantId::LOCAL).unwrap();
    let wrong: Vec<_> = wrong.into_iter().filter(|row| !row.row.starts_with("requests ")).collect();
    assert_eq!(wrong, vec![]);
    let of = |sql: &str| reader.connection.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap();
    assert_eq!(
        of("SELECT COUNT(*), SUM(calls) FROM rollup_tools WHERE span = 1"),
        (1, 39),
        "40 have ended, one of them is told by another"
    );
    assert_eq!(of("SELECT COUNT(*), MAX(duration_ms) FROM timed_calls"), (19, 48 * 48));
    assert_eq!(of("SELECT COUNT(*), SUM(output_ms) FROM rollup_latencies"), (1, 0));
}

/// A ledger of before, whose requests are in no group: what tells no id finds its twin all the same.
#[test]
fn what_was_stored_before_groups_pairs_with_what_comes() {
    use ducat_ledger::{Fact, Holder, Holders, Key, KeySpace, Request, Told, Witness, Witnesses};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let told = |id: &str, witness| {
        let mut request = Request::new(Key::of(KeySpace::Request, "claude-code", id), "claude-code", id);
        let session = Key::of(KeySpace::Session, "claude-code", "s");
        request.holders = Holders::one(Holder { session, live: false, project: None, branch: None });
        request.witnesses = Witnesses::only(witness);
        (request.input_tokens, request.started_at) = (Told::by(3, 7), Told::by(3, 1_790_000_000_000));
        request.keyless = Told::maybe(1, (witness == Witness::OtlpLog).then_some(true));
        request
    };
    let connection = Connection::open(&path).unwrap();
    for sql in &MIGRATIONS[..5] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 5).unwrap();
    for id in ["msg_1", "req_2"] {
        let request = told(id, Witness::Transcript);
        let owner = request.holders.iter().next().unwrap().session.0;
        let sql = "INSERT INTO requests VALUES (1, ?1, ?2, 1790000000000, '', NULL, ?3, NULL)";
        connection.execute(sql, rusqlite::params![request.key.0, owner, serde_json::to_string(&request).unwrap()]).unwrap();
    }
    drop(connection);
    let store = crate::Store::open(crate::StoreOptions {
        path: path.clone(),
        durability: crate::Durability::Process,
        pricer: std::sync::Arc::new(ducat_prices::PriceTable::embedded()),
        clock: || 1_790_000_000_000,
        listener: None,
    })
    .unwrap();
    let facts = ["a", "b"].map(|id| Fact::Request(told(id, Witness::OtlpLog))).to_vec();
    let (lane, tenant) = (crate::Lane::Live, crate::TenantId::LOCAL);
    store.write(crate::Write { lane, tenant, facts, event: None, cursors: Vec::new() }).unwrap();
    let connection = Connection::open(&path).unwrap();
    let sql = "SELECT group_concat(role) FROM (SELECT role FROM requests ORDER BY json_extract(fact, '$.id'))";
    let roles: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(roles, "0,0,1,1", "the logs a and b are told by msg_1 and req_2");
}
