//! A real browser: strangers are refused, the page shows what happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::process::Stdio;

use ducat_end_to_end::browser::{Browser, script};
use ducat_end_to_end::{Machine, eventually, past, request, write};
use ducat_ledger::Witness;
use ducat_spool::now_ms;
use serde_json::{Value, json};

/// Widths and colours of desktops and phones.
const LOOKS: [(u32, &str); 4] = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")];

#[test]
fn a_page_of_another_origin_reads_and_writes_nothing() {
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &request("a", 1, 100));
    let server = machine.serve();
    let Some(mut script) = script("strangers.mjs", &server) else { return };
    let output = script.output().unwrap();
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    for (attempt, came) in saw["attempts"].as_object().unwrap() {
        // A beacon tells its sender nothing; whether it wrote shows below.
        assert!(came.as_str().unwrap().starts_with("refused") || attempt == "beacon", "{attempt}: {came}");
    }
    assert_eq!(saw["statuses"]["POST /metrics/tool/start"], 403, "the form");
    assert_eq!((&saw["rebound"]["page"], &saw["reboundFetch"], &saw["reboundPost"]), (&json!(421), &json!(421), &json!(421)));
    assert!(saw["rebound"]["text"].as_str().unwrap().contains("--public-url"));
    assert!(!saw["framed"].as_str().unwrap().contains("Ducat\n"), "{}", saw["framed"]);
    assert_eq!(saw["own"], json!({ "faults": [], "title": "Ducat" }));
    // Nothing of it was written: the call cannot be ended.
    assert_eq!(server.post("/metrics/tool/end", &json!({ "trackingId": "evil" })).0, 404);
}

#[test]
fn a_quiet_witness_is_a_notice_with_its_remedy() {
    let machine = Machine::new();
    let telemetry = [Witness::OtlpLog, Witness::OtlpSpan].map(|witness| (witness, 200, 100));
    past::told(&machine, "codex", &[telemetry[0], telemetry[1], (Witness::Hook, 200, 0)]);
    past::told(&machine, "pi", &[(Witness::Hook, 90, 0), (Witness::Transcript, 90, 0)]);
    let server = machine.serve();
    let Some(mut browser) = Browser::at(&server) else { return };
    browser.open("/");
    for (width, scheme) in LOOKS {
        browser.look(width, scheme);
        let saw = eventually(|| {
            let saw = browser.see();
            if saw["notices"].as_array().unwrap().is_empty() { Err(saw.to_string()) } else { Ok(saw) }
        });
        let notices = saw["notices"].as_array().unwrap();
        let notice = notices[0].as_str().unwrap();
        let begin = "No word from the telemetry (logs, spans) of codex since 1 h ago, while its hooks went on until ";
        assert!(notices.len() == 1 && notice.starts_with(begin), "{notices:?}");
        assert!(notice.contains("ducat setup codex writes it anew") && !notice.contains('`'), "{notice}");
        assert_eq!(saw["sideways"], false, "{width} px scroll sideways");
    }
    assert_eq!(browser.faults(), json!([]));
}

#[test]
fn the_page_shows_what_happens() {
    let machine = Machine::new();
    let server = machine.serve();
    let Some(mut browser) = Browser::at(&server) else { return };
    let empty = browser.open("/");
    assert!(empty["text"].as_str().unwrap().contains("ducat setup claude-code"), "{empty}");
    assert_eq!(
        server.post("/metrics/tokens/used", &json!({ "citizen": "ana", "tokens": 5000, "model": "claude-opus-4-8" })).0,
        200
    );
    // It came alive by itself.
    eventually(|| {
        let saw = browser.see();
        if saw["figures"]["Today"]["value"] == "$0.1250" { Ok(()) } else { Err(saw.to_string()) }
    });
    let event = |name: &str| {
        json!({ "session_id": "s", "cwd": "/home/ana/a-project-with-a-very-long-name-that-fits-no-phone", "hook_event_name": name, "tool_name": "Read",
            "tool_use_id": "t", "tool_input": { "file_path": "/home/ana/a-file-with-a-very-long-name-that-fits-no-phone.txt" }, "duration_ms": 1250 })
    };
    machine.hook(&event("PreToolUse"), &[]);
    machine.hook(&event("PostToolUse"), &[]);
    // A subscriber's status line, and a request of its session.
    let now = now_ms() / 1000;
    let update = json!({ "session_id": "on-a-plan", "prompt_id": "p", "rate_limits": {
        "five_hour": { "used_percentage": 23.5, "resets_at": now + 7200 }, "seven_day": { "used_percentage": 91, "resets_at": now + 300_000 } } });
    let mut line = machine.command(&["statusline"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    line.stdin.take().unwrap().write_all(update.to_string().as_bytes()).unwrap();
    assert!(line.wait().unwrap().success());
    let saw = eventually(|| {
        let saw = browser.see();
        let ticker = saw["ticker"].as_array().unwrap();
        if !ticker.is_empty() && !saw["figures"]["7d quota claude-code"].is_null() { Ok(saw) } else { Err(saw.to_string()) }
    });
    // The request came before the page listened for the ticker, or not: the call came after.
    assert_eq!(
        saw["ticker"][0],
        "Read|a-file-with-a-very-long-name-that-fits-no-phone.txt|a-project-with-a-very-long-name-that-fits-no-phone|ok, 1.3 s"
    );
    let quota = |window: &str| saw["figures"][format!("{window} quota claude-code")].clone();
    assert_eq!((&quota("5h")["value"], &quota("7d")["value"]), (&json!("24 %"), &json!("91 %")));
    assert!(quota("5h")["notes"][0].as_str().unwrap().starts_with("lasts to "), "{saw}");
    assert!(quota("7d")["notes"][0].as_str().unwrap().starts_with("out at "), "{saw}");
    // A transcript that the client will delete, and a machine that ships here.
    let old = machine.projects().join("old/old.jsonl");
    write(&old, &request("old", 7, 100));
    let when = std::time::SystemTime::now() - std::time::Duration::from_secs(40 * 86_400);
    std::fs::File::options().append(true).open(&old).unwrap().set_modified(when).unwrap();
    let key = machine.prints(&["key", "create", "laptop"]);
    let laptop = Machine::new();
    write(&laptop.projects().join("app/l.jsonl"), &request("l", 8, 100));
    let mut ship = laptop.command(&["ship", "--once", "--to", &server.url(), "--host", "laptop"]);
    assert!(ship.env("DUCAT_SHIP_KEY", key.trim()).output().unwrap().status.success());
    eventually(|| {
        let saw = browser.open("/");
        let told = saw["notices"][0]
            .as_str()
            .is_some_and(|notice| notice.contains("deletes 1 transcript") && notice.contains("keeps what they told"));
        if told { Ok(()) } else { Err(saw.to_string()) }
    });
    let settings = browser.open("/settings");
    assert!(settings["text"].as_str().unwrap().contains("laptop"), "{settings}");
    for path in ["/", "/sessions", "/settings"] {
        browser.open(path);
        for (width, scheme) in LOOKS {
            assert_eq!(browser.look(width, scheme)["sideways"], false, "{path} scrolls sideways at {width} px");
        }
    }
    assert_eq!(browser.faults(), json!([]));
    drop(server);
}
