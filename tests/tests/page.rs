//! Every view of the page in a real browser, over the real transcripts of several agents.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use ducat_end_to_end::browser::Browser;
use ducat_end_to_end::claude_code::{PINNED, Provider, Run, client};
use ducat_end_to_end::{Machine, Server, eventually, shared};
use serde_json::{Value, json};

/// Views that the navigation leads to.
const VIEWS: [&str; 8] = ["/", "/sessions", "/tools", "/models", "/projects", "/people", "/reconcile", "/settings"];

/// A machine with the real transcripts of Claude Code, Codex and Gemini CLI, all of them in the ledger.
fn loaded() -> Option<(Machine, Server)> {
    let transcripts = shared("data/transcripts")?;
    let machine = Machine::new();
    for (from, to) in [
        ("entireio-cli/claude/projects", "claude/projects"),
        ("savekirk-session-bridge/codex/sessions", ".codex/sessions"),
        ("savekirk-session-bridge/gemini/tmp", ".gemini/tmp"),
    ] {
        let to = machine.home().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-rT").arg(transcripts.join(from)).arg(to).status().unwrap();
        assert!(copied.success());
    }
    let server = machine.serve();
    let report = machine.report("daily");
    eventually(|| {
        let answer = server.get("/api/v1/report?timezone=UTC");
        if answer == report { Ok(()) } else { Err(format!("{answer} instead of {report}")) }
    });
    Some((machine, server))
}

/// Nano-USD as the page writes them in full.
fn exact(nano: &Value) -> String {
    let nano: u64 = nano.as_str().unwrap_or("0").parse().unwrap();
    format!("${}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

/// The headline: what was spent in the range.
fn spent(saw: &Value) -> String {
    let figures = saw["figures"].as_object().unwrap();
    let (_, spend) = figures.iter().find(|(title, _)| title.starts_with("Spend")).unwrap_or_else(|| panic!("no spend: {saw}"));
    spend["exact"].as_str().unwrap().to_owned()
}

#[test]
fn every_view_in_every_look() {
    let Some((_machine, server)) = loaded() else { return };
    let Some(mut browser) = Browser::at(&server) else { return };
    let costliest = server.get_json("/api/v1/sessions?limit=1&sort=cost")["rows"][0]["session"].as_str().unwrap().to_owned();
    let session = format!("/sessions/{costliest}");
    for view in VIEWS.into_iter().chain([session.as_str()]) {
        let saw = browser.open(&format!("{view}?range=all&timezone=UTC"));
        assert_eq!(saw["alerts"], json!([]), "{view}");
        assert!(saw["text"].as_str().unwrap().len() > 50, "{view}: {saw}");
        for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (1920, "light"), (1920, "dark")] {
            assert_eq!(browser.look(width, scheme)["sideways"], false, "{view} scrolls sideways at {width} px");
            assert_eq!(browser.axe(), json!([]), "{view}, {width} px, {scheme}");
            keep_picture(&mut browser, &format!("{}-{scheme}-{width}", name_of(view, &costliest)));
        }
    }
    assert_eq!(browser.faults(), json!([]));
}

fn name_of(view: &str, session: &str) -> String {
    let name = view.trim_start_matches('/').replace(session, "one").replace('/', "-");
    if name.is_empty() { "overview".to_owned() } else { name }
}

/// With `DUCAT_PICTURES=FOLDER` the pictures stay there; those of the documents are made so.
fn keep_picture(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("DUCAT_PICTURES") {
        browser.order(&json!({ "do": "picture", "file": Path::new(&folder).join(format!("{name}.png")) }));
    }
}

#[test]
fn figures_are_those_of_the_report() {
    let Some((machine, server)) = loaded() else { return };
    let Some(mut browser) = Browser::at(&server) else { return };
    for zone in ["UTC", "Asia/Kathmandu", "America/Los_Angeles"] {
        for (since, until) in [("2025-12-01", "2026-02-10"), ("2026-01-05", "2026-01-05"), ("2020-01-01", "2026-11-01")] {
            let report = machine.prints(&["report", "daily", "--since", since, "--until", until, "--timezone", zone, "--json"]);
            let report: Value = serde_json::from_str(&report).unwrap();
            let saw = browser.open(&format!("/?since={since}&until={until}&timezone={zone}"));
            assert_eq!(spent(&saw), exact(&report["totals"]["cost_nano_usd"]), "{since} to {until} in {zone}: {saw}");
        }
    }
    for session in server.get_json("/api/v1/sessions?limit=20")["rows"].as_array().unwrap() {
        let id = session["session"].as_str().unwrap();
        let saw = browser.open(&format!("/sessions/{id}"));
        let figures = saw["figures"].as_object().unwrap();
        if session["cost_nano_usd"].is_string() {
            let cost = exact(&session["cost_nano_usd"]);
            assert!(figures.values().any(|figure| figure["exact"] == cost.as_str()), "{id}: {cost} is not in {figures:?}");
        }
    }
}

#[test]
fn filters_are_in_the_address_and_back_takes_them_away() {
    let Some((_machine, server)) = loaded() else { return };
    let Some(mut browser) = Browser::at(&server) else { return };
    for by in ["agent", "model", "project"] {
        let report = server.get_json(&format!("/api/v1/report?by={by}&timezone=UTC"));
        let row = &report["rows"][0];
        let all = spent(&browser.open("/?range=all&timezone=UTC"));
        assert_eq!(all, exact(&report["totals"]["cost_nano_usd"]));
        let name = row[by].as_str().unwrap();
        let label = if by == "project" { name.rsplit('/').next().unwrap() } else { name };
        browser.order(&json!({ "do": "choose", "css": "select[aria-label='Spend by']", "value": by }));
        let filtered = browser.click("button", label);
        assert!(filtered["address"].as_str().unwrap().contains(&format!("{by}=")), "{filtered}");
        assert_eq!(spent(&filtered), exact(&row["cost_nano_usd"]), "{by} {name}");
        assert!(filtered["chips"][0].as_str().unwrap().contains(label), "{filtered}");
        let address = filtered["address"].as_str().unwrap().to_owned();
        assert_eq!(spent(&browser.reload()), exact(&row["cost_nano_usd"]), "reloaded");
        assert_eq!(spent(&browser.back()), all, "back");
        let linked = browser.open(&address);
        assert_eq!(spent(&linked), exact(&row["cost_nano_usd"]), "from a link");
        let away = browser.click("button", "remove");
        assert_eq!((spent(&away), &away["chips"]), (all, &json!([])));
    }
    assert_eq!(browser.faults(), json!([]));
}

#[test]
fn sessions_are_found_sorted_and_taken_along() {
    let Some((_machine, server)) = loaded() else { return };
    let Some(mut browser) = Browser::at(&server) else { return };
    let folder = server.get_json("/api/v1/sessions?limit=1")["rows"][0]["project"].as_str().unwrap().to_owned();
    let part = folder.rsplit('/').next().unwrap().to_owned();
    for asked in [
        String::new(),
        "&errors=true".to_owned(),
        "&live=true".to_owned(),
        "&min_cost_usd=1&max_cost_usd=20".to_owned(),
        format!("&search={}", &part[..3]),
        "&agent=codex".to_owned(),
        "&user=".to_owned(),
        "&agent=claude-code&errors=true&min_cost_usd=0.5".to_owned(),
    ] {
        let of_server = server.get_json(&format!("/api/v1/sessions?limit=500{asked}"));
        let saw = browser.open(&format!("/sessions?range=all&timezone=UTC{asked}"));
        let text = saw["text"].as_str().unwrap();
        match of_server["total"].as_u64().unwrap() {
            0 => assert!(text.contains("No session of this time is like that."), "{asked}: {text}"),
            1 => assert!(text.contains("1 session"), "{asked}: {text}"),
            total => assert!(text.contains(&format!("{total} sessions")), "{asked}: {total} in {text}"),
        }
    }
    let all = server.get_json("/api/v1/sessions?limit=500&sort=cost");
    browser.open("/sessions?range=all&timezone=UTC");
    let sorted = browser.click("button", "Cost");
    assert!(sorted["address"].as_str().unwrap().contains("sort=cost"), "{sorted}");
    let first = all["rows"][0]["session"].as_str().unwrap();
    assert!(sorted["rows"][0].as_str().unwrap().starts_with(&first[..8]), "{first}: {}", sorted["rows"]);
    // What is typed is looked for, and is in the address.
    let found = browser.order(&json!({ "do": "fill", "css": "input[type=search]", "text": &first[..8] }));
    assert!(found["address"].as_str().unwrap().contains(&format!("search={}", &first[..8])), "{found}");
    eventually(|| {
        let saw = browser.see();
        if saw["rows"].as_array().unwrap().len() == 1 { Ok(()) } else { Err(saw.to_string()) }
    });
    browser.open("/sessions?range=all&timezone=UTC");
    let script = "fetch(document.querySelector('a[download]').href).then((answer) => answer.text())";
    let csv = browser.order(&json!({ "do": "evaluate", "script": script }));
    assert_eq!(csv.as_str().unwrap().lines().count() as u64, all["total"].as_u64().unwrap() + 1);
    assert_eq!(browser.faults(), json!([]));
}

/// From the overview to what one file cost.
#[test]
fn a_files_cost_is_three_clicks_away() {
    let Some((_machine, server)) = loaded() else { return };
    let Some(mut browser) = Browser::at(&server) else { return };
    browser.open("/?range=all&timezone=UTC");
    let costliest = server.get_json("/api/v1/sessions?limit=1&sort=cost")["rows"][0]["session"].as_str().unwrap().to_owned();
    browser.click("link", "Sessions");
    browser.click("button", "Cost");
    let session = browser.click("link", &costliest[..8]);
    let text = session["text"].as_str().unwrap();
    let read = text.split("Where the cost went").nth(1).unwrap();
    let (_, file) = read.split_once("Read ").unwrap_or_else(|| panic!("no file in {read}"));
    assert!(file.split('$').nth(1).is_some_and(|cost| cost.starts_with(|digit: char| digit.is_ascii_digit())), "{read}");
    assert_eq!(browser.faults(), json!([]));
}

#[test]
fn keys_lead_everywhere() {
    let Some((_machine, server)) = loaded() else { return };
    let Some(mut browser) = Browser::at(&server) else { return };
    browser.open("/?range=all");
    for (key, heading) in
        [("s", "Sessions"), ("t", "Tools"), ("m", "Models"), ("p", "Projects"), ("r", "Reconcile"), ("o", "Overview")]
    {
        browser.press("g");
        let saw = browser.press(key);
        assert_eq!(saw["heading"], heading);
        assert!(saw["address"].as_str().unwrap().contains("range=all"), "the range goes along: {saw}");
    }
    browser.press("g");
    browser.press("s");
    browser.press("j");
    let saw = browser.press("Enter");
    assert!(saw["address"].as_str().unwrap().starts_with("/sessions/"), "{saw}");
    browser.press("?");
    assert_eq!(browser.order(&json!({ "do": "count", "css": "dialog[open]" })), 1);
    browser.press("Escape");
    assert_eq!(browser.order(&json!({ "do": "count", "css": "dialog[open]" })), 0);
    for address in ["/dashboard", "/dashboard/realtime.html"] {
        assert_eq!(browser.open(address)["heading"], "Overview");
    }
    assert_eq!(browser.faults(), json!([]));
}

/// Whatever stands in an address, and whatever fails, the page says what it knows.
#[test]
fn odd_addresses_and_failures_are_told() {
    let Some((_machine, server)) = loaded() else { return };
    let Some(mut browser) = Browser::at(&server) else { return };
    let long = "x".repeat(300);
    browser.open("/");
    for width in [1280, 390] {
        browser.look(width, "light");
        for path in ["/", "/sessions", "/projects"] {
            let saw = browser.open(&format!("{path}?range=all&branch={long}&project=%E2%80%AE%3Cb%3E"));
            assert_eq!(saw["sideways"], false, "{path} scrolls sideways at {width} px");
        }
    }
    assert_eq!(browser.faults(), json!([]));
    assert_eq!(browser.open("/sessions/%E0%A4")["heading"], "Sessions", "a malformed one");
    browser.look(1280, "light");
    let all = spent(&browser.open("/?range=all&timezone=UTC"));
    // A question that fails leaves no figure of another one.
    browser.order(&json!({ "do": "evaluate", "script": "history.pushState(null, '', '/?since=2026-02-31'), dispatchEvent(new PopStateEvent('popstate'))" }));
    let saw = eventually(|| {
        let saw = browser.see();
        if saw["alerts"].as_array().unwrap().is_empty() { Err(saw.to_string()) } else { Ok(saw) }
    });
    assert!(!saw["text"].as_str().unwrap().contains(&all[..all.len() - 7]), "{saw}");
}

#[test]
fn a_run_of_claude_code_shows_as_it_happens() {
    let machine = Machine::new();
    let Some(client) = client(PINNED) else { return };
    let turns = json!([
        { "text": "looking", "tools": [{ "name": "Bash", "input": { "command": "echo hello; sleep 1", "description": "greet" } }] },
        { "text": "done", "usage": { "output_tokens": 44 } }
    ]);
    let Some(provider) = Provider::start(&machine, &turns) else { return };
    let server = machine.serve();
    machine.set_up((&client, "claude"), &server, &["claude-code", "--yes"]);
    let Some(mut browser) = Browser::at(&server) else { return };
    browser.open("/");
    let run = Run { machine: &machine, client: &client, provider: &provider };
    thread::scope(|scope| {
        let ran = scope.spawn(|| run.command(&["--dangerously-skip-permissions"]).output().unwrap());
        let saw = eventually(|| {
            let saw = browser.see();
            let has = |word: &str| saw["ticker"].as_array().unwrap().iter().any(|row| row.as_str().unwrap().starts_with(word));
            if has("Bash") && has("request") { Ok(saw) } else { Err(saw.to_string()) }
        });
        assert!(ran.join().unwrap().status.success());
        assert!(saw["address"] == "/", "nothing was reloaded");
    });
    let row = eventually(|| match server.get_json("/api/v1/sessions")["rows"][0].take() {
        row if row["requests"].as_u64() >= Some(2) && row["cost_nano_usd"].is_string() => Ok(row),
        row => Err(row.to_string()),
    });
    eventually(|| {
        let saw = browser.see();
        if saw["figures"]["Today"]["exact"] == exact(&row["cost_nano_usd"]).as_str() { Ok(()) } else { Err(saw.to_string()) }
    });
    // The server goes away and comes back: figures stay, the page says so, and it goes on by itself.
    let port = server.port.to_string();
    let before = browser.see();
    server.stop();
    eventually(|| {
        let saw = browser.order(&json!({ "do": "evaluate", "script": "document.body.textContent" }));
        if saw.as_str().unwrap().contains("not connected") { Ok(()) } else { Err(saw.to_string()) }
    });
    assert_eq!(browser.see()["figures"]["Today"], before["figures"]["Today"], "figures stay");
    let _server = Server::start(&mut machine.command(&["serve", "--port", &port]));
    eventually(|| {
        let saw = browser.order(&json!({ "do": "evaluate", "script": "document.body.textContent" }));
        if saw.as_str().unwrap().contains("not connected") { Err(saw.to_string()) } else { Ok(()) }
    });
}

#[test]
fn the_pages_pure_parts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let tests = ["parts.test.mjs", "session.test.mjs"].map(|name| folder.join(name));
    let output = Command::new("node").arg("--test").args(tests).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
