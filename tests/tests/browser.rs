//! A real browser: strangers are refused, the page shows what happens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ducat_end_to_end::{Machine, Server, eventually, past, request, write};
use ducat_ledger::Witness;
use ducat_spool::now_ms;
use serde_json::{Value, json};

/// `node` with a script of `tests/browser`; without the browser and its driver says that the test skips.
fn script(name: &str, server: &Server) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
    let modules = root.join("../.tools/browser");
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !modules.join("node_modules/playwright-core").exists() || !Path::new(&chromium).exists() {
        eprintln!("skipped: no browser or no playwright-core (make test installs both)");
        return None;
    }
    let mut command = Command::new("node");
    command.arg(root.join("browser").join(name)).arg(server.port.to_string());
    command.env("BROWSER_MODULES", modules.canonicalize().unwrap()).env("CHROMIUM", chromium);
    Some(command)
}

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

/// A browser that looks at the page when it is told to.
struct Looking {
    browser: std::process::Child,
    orders: std::process::ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Looking {
    fn at(server: &Server) -> Option<Self> {
        let mut browser = script("page.mjs", server)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = browser.stdin.take().unwrap();
        let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        Some(Self { browser, orders, lines })
    }

    fn look(&mut self) -> Value {
        writeln!(self.orders, "look").unwrap();
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn end(mut self) {
        writeln!(self.orders, "end").unwrap();
        self.browser.wait().unwrap();
    }
}

#[test]
fn a_quiet_witness_is_a_notice_with_its_remedy() {
    let machine = Machine::new();
    let telemetry = [Witness::OtlpLog, Witness::OtlpSpan].map(|witness| (witness, 200, 100));
    past::told(&machine, "codex", &[telemetry[0], telemetry[1], (Witness::Hook, 200, 0)]);
    past::told(&machine, "pi", &[(Witness::Hook, 90, 0), (Witness::Transcript, 90, 0)]);
    let server = machine.serve();
    let Some(mut browser) = Looking::at(&server) else { return };
    let saw = eventually(|| {
        let saw = browser.look();
        if saw["phone-dark"]["notices"].as_array().unwrap().is_empty() { Err(saw.to_string()) } else { Ok(saw) }
    });
    for page in ["desktop-light", "desktop-dark", "phone-light", "phone-dark"] {
        let notices = saw[page]["notices"].as_array().unwrap();
        let notice = notices[0].as_str().unwrap();
        let begin = "No word from the telemetry (logs, spans) of codex since 1 h ago, while its hooks went on until ";
        assert!(notices.len() == 1 && notice.starts_with(begin), "{notices:?}");
        assert!(notice.contains("ducat setup codex writes it anew") && !notice.contains('`'), "{notice}");
        assert_eq!(saw[page]["sideways"], false, "{page} scrolls sideways");
    }
    assert_eq!(saw["faults"], json!([]));
    browser.end();
}

#[test]
fn the_page_shows_what_happens() {
    let machine = Machine::new();
    let server = machine.serve();
    let Some(mut browser) = Looking::at(&server) else { return };
    let mut look = || browser.look();
    let saw = look();
    assert_eq!(
        (&saw["phone-dark"]["tiles"], &saw["phone-dark"]["sessions"]),
        (&json!(["$0.00", "$0.00", "$0.00"]), &json!(0)),
        "empty"
    );
    assert_eq!(
        server.post("/metrics/tokens/used", &json!({ "citizen": "ana", "tokens": 5000, "model": "claude-opus-4-8" })).0,
        200
    );
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
        let saw = look();
        let (today, rows) = (&saw["desktop-light"]["tiles"][0], saw["phone-dark"]["ticker"].as_array().unwrap().len());
        if *today == "$0.1250"
            && rows == 2
            && saw["phone-light"]["sessions"] == 2
            && saw["phone-dark"]["quotas"][1] != json!(null)
        {
            Ok(saw)
        } else {
            Err(saw.to_string())
        }
    });
    assert_eq!(
        saw["desktop-dark"]["ticker"],
        json!([
            "Read|a-file-with-a-very-long-name-that-fits-no-phone.txt|a-project-with-a-very-long-name-that-fits-no-phone|ok, 1.3 s",
            "request|claude-opus-4-8|first-version|5.00 k out, $0.1250"
        ])
    );
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
        let saw = look();
        let (notices, machines) = (&saw["phone-light"]["notices"], saw["desktop-dark"]["machines"].as_str().unwrap().to_owned());
        let told = notices[0]
            .as_str()
            .is_some_and(|notice| notice.contains("deletes 1 transcript") && notice.contains("keeps what they told"));
        if told && machines.contains("laptop") && saw["phone-light"]["sideways"] == false { Ok(()) } else { Err(saw.to_string()) }
    });
    let quotas = saw["phone-dark"]["quotas"].as_array().unwrap();
    assert!(quotas[0].as_str().unwrap().starts_with("5h quota · claude-code|24 %|lasts to "), "{quotas:?}");
    assert!(quotas[1].as_str().unwrap().starts_with("7d quota · claude-code|91 %|out at "), "{quotas:?}");
    for page in ["desktop-light", "desktop-dark", "phone-light", "phone-dark"] {
        assert_eq!(saw[page]["sideways"], false, "{page} scrolls sideways");
    }
    assert_eq!(saw["faults"], json!([]));
    drop(server);
    browser.end();
}
