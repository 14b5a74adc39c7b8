//! `ducat statusline` as Claude Code runs it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::process::{Output, Stdio};
use std::thread;

use ducat_end_to_end::claude_code::{PINNED, Provider, Run, client};
use ducat_end_to_end::plan::Plan;
use ducat_end_to_end::terminal::Terminal;
use ducat_end_to_end::{Machine, eventually};
use ducat_spool::now_ms;
use serde_json::{Value, json};

/// What the real client wrote, with the windows moved to now.
fn update() -> Value {
    let captured = include_str!("../../crates/capture/tests/fixtures/claude-code-2.1.197/status-line.jsonl");
    let mut line: Value = serde_json::from_str(captured.lines().last().unwrap()).unwrap();
    let now = now_ms() / 1000;
    line["rate_limits"]["five_hour"]["resets_at"] = json!(now + 7200);
    line["rate_limits"]["seven_day"]["resets_at"] = json!(now + 300_000);
    line
}

fn draw(machine: &Machine, args: &[&str], variables: &[(&str, &str)], payload: &[u8]) -> Output {
    // `ducat statusline` is the same; see the test of the command line below.
    let mut child = machine
        .program("ducat-statusline", args)
        .envs([("TZ", "UTC"), ("NO_COLOR", "1")])
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A line that is drawn before all was read is no fault.
    let _ = child.stdin.take().unwrap().write_all(payload);
    child.wait_with_output().unwrap()
}

fn line_of(machine: &Machine, payload: &Value) -> String {
    let output = draw(machine, &[], &[], payload.to_string().as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_real_interactive_client() {
    let machine = Machine::new();
    let Some(claude) = client(PINNED) else { return };
    let turns = json!([
        { "text": "I read it.", "tools": [{ "name": "Read", "input": { "file_path": "notes.txt" } }],
          "usage": { "input_tokens": 10, "output_tokens": 90, "cache_creation_input_tokens": 14000, "cache_creation": { "ephemeral_5m_input_tokens": 14000 } } },
        { "text": "Done with it.", "usage": { "input_tokens": 5, "output_tokens": 40, "cache_read_input_tokens": 14000 } },
    ]);
    let Some(provider) = Provider::start(&machine, &turns) else { return };
    let now = now_ms() / 1000;
    let plan = Plan { five_hour: (0.235, now + 7200), seven_day: (0.412, now + 400_000) };
    let port = plan.serve(provider.port());
    let server = machine.serve();
    // The user has a status line, which keeps what the client tells; ours is put around it.
    let theirs = machine.home().join("theirs.sh");
    let told = machine.home().join("told.jsonl");
    fs::write(&theirs, format!("cat >> '{0}'; echo >> '{0}'; echo MINE\n", told.display())).unwrap();
    let settings = machine.home().join("claude/settings.json");
    let before = json!({ "statusLine": { "type": "command", "command": format!("sh '{}'", theirs.display()) } });
    fs::write(&settings, before.to_string()).unwrap();
    let run = Run { machine: &machine, client: &claude, provider: &provider };
    let setup = |args: &[&str]| {
        let args: Vec<&str> =
            ["setup", "claude-code", "--no-probe", "--yes", "--client-version", PINNED].iter().chain(args).copied().collect();
        machine.prints(&args)
    };
    setup(&["--status-line"]);

    let Some(terminal) = Terminal::start(machine.home(), (120, 40), run.interactive(port).args(["--model", "claude-opus-4-8"]))
    else {
        return;
    };
    terminal.shows("MINE");
    terminal.types("do it", "Enter");
    terminal.shows("Done with it.");
    let last = || {
        let text = fs::read_to_string(&told).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).next_back().unwrap_or_default()
    };
    let update = eventually(|| {
        let update = last();
        if update["context_window"]["total_output_tokens"] == 40 { Ok(update) } else { Err(update.to_string()) }
    });
    // What the client told, what its provider said, and what the ledger shows are one.
    assert_eq!(update["rate_limits"]["five_hour"], json!({ "used_percentage": 23.5, "resets_at": now + 7200 }));
    let quotas = eventually(|| {
        let quotas = server.get_json("/api/v1/quota")["quotas"].clone();
        if quotas.as_array().unwrap().len() == 2 { Ok(quotas) } else { Err(quotas.to_string()) }
    });
    let told_quotas: Vec<_> =
        quotas.as_array().unwrap().iter().map(|quota| (&quota["window"], &quota["used_percent"], &quota["witnesses"])).collect();
    assert_eq!(
        told_quotas,
        [(&json!("5h"), &json!(23.5), &json!(["status_line"])), (&json!("7d"), &json!(41.2), &json!(["status_line"]))]
    );
    let session = update["session_id"].as_str().unwrap();
    eventually(|| {
        let found = server.get_json("/api/v1/sessions")["rows"][0].clone();
        let (ours, theirs) = (found["cost_usd"].as_f64().unwrap_or(0.0), update["cost"]["total_cost_usd"].as_f64().unwrap());
        let agrees = (ours - theirs).abs() < 1e-9
            && found["reported_cost_usd"] == theirs
            && found["billing"] == "plan"
            && found["session"] == session;
        if agrees { Ok(()) } else { Err(format!("{found} but the client says {theirs}")) }
    });
    let by_billing = server.get_json("/api/v1/report?by=billing");
    assert_eq!((&by_billing["rows"][0]["billing"], &by_billing["rows"][0]["requests"]), (&json!("plan"), &json!(2)));
    assert!(server.get("/metrics").contains("ducat_quota_used_ratio"));

    // Without theirs, ours is what is seen.
    setup(&["--remove"]);
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(&settings).unwrap()).unwrap(), before, "removing restores");
    fs::remove_file(&settings).unwrap();
    setup(&["--status-line"]);
    terminal.types("again", "Enter");
    terminal.shows("5h 24%");
    let screen = terminal.screen();
    assert!(screen.contains("list price") || screen.contains("list · "), "{screen}");
}

#[test]
fn with_a_server_without_one_and_when_it_comes_back() {
    let machine = Machine::new();
    let update = update();
    let away = line_of(&machine, &update);
    for part in ["Sonnet 5", "5h 24%, lasts to", "7d 41%, lasts to", "$0.0587 list price", "today ~$0.0587", "ctx 7%"] {
        assert!(away.contains(part), "{part}: {away}");
    }
    line_of(&machine, &update);
    assert!(machine.spooled().is_empty(), "no hook's place is taken");
    assert_eq!(fs::read_dir(machine.data().join("spool/latest")).unwrap().count(), 1, "the last word of the session waits");
    let server = machine.serve();
    eventually(|| {
        let quotas = server.get_json("/api/v1/quota")["quotas"].as_array().unwrap().len();
        if quotas == 2 { Ok(()) } else { Err(format!("{quotas} windows")) }
    });
    assert!(line_of(&machine, &update).contains("today $0.0587"));
    assert_eq!(server.get_json("/api/v1/sessions")["rows"][0]["reported_cost_usd"], 0.058695);
    // A server that is away again: what the ledger knows, with what the client tells beyond it.
    server.stop();
    assert!(line_of(&machine, &update).contains("today ~$0.0587"));
}

#[test]
fn two_hundred_at_once() {
    let machine = Machine::new();
    let server = machine.serve();
    let payload = update().to_string();
    thread::scope(|scope| {
        let lines: Vec<_> = (0..200)
            .map(|_| scope.spawn(|| draw(&machine, &[], &[("DUCAT_HOOK_DEADLINE_MS", "20000")], payload.as_bytes())))
            .collect();
        for line in lines {
            let output = line.join().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("5h 24%") && text.contains("today $0.0587"), "{output:?}");
        }
    });
    let quotas = server.get_json("/api/v1/quota");
    assert_eq!(quotas["quotas"].as_array().unwrap().len(), 2, "{quotas}");
}

#[test]
fn whatever_comes_a_line_is_drawn() {
    let machine = Machine::new();
    let whole = update().to_string();
    let huge = format!("{{\"session_id\":\"s\",\"x\":\"{}\"}}", "x".repeat(3 << 20));
    for (payload, words) in [
        (&whole.as_bytes()[..300], "cut off"),
        (b"", "cut off"),
        (b"[1]", "not a JSON object"),
        (huge.as_bytes(), "larger than 1 MiB"),
        (b"\xff\xfe{", "not JSON"),
        (b"{}", ""),
        (br#"{"session_id":"../../etc","model":{"display_name":"x\u001b[2J"}}"#, "x[2J"),
    ] {
        let output = draw(&machine, &[], &[], payload);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(words) && !text.contains('\u{1b}') && text.lines().count() == 1,
            "{words}: {output:?}"
        );
    }
    for variables in [
        &[("DUCAT_DATA_DIR", "/proc/nonexistent")][..],
        &[("DUCAT_URL", "http://127.0.0.1:1")],
        &[("DUCAT_URL", "ftp://x")],
        &[("HOME", "")],
    ] {
        assert!(
            String::from_utf8_lossy(&draw(&machine, &[], variables, whole.as_bytes()).stdout).contains("5h 24%"),
            "{variables:?}"
        );
    }
    assert!(!machine.data().join("spool/etc").exists() && !machine.home().join("etc").exists());
    let narrow = draw(&machine, &[], &[("COLUMNS", "44")], whole.as_bytes());
    assert!(String::from_utf8_lossy(&narrow.stdout).trim_end().chars().count() <= 40, "{narrow:?}");
    let colored =
        draw(&machine, &["--color", "always", "--template", "{five_hour}"], &[], whole.replace("23.5", "91").as_bytes());
    assert!(String::from_utf8_lossy(&colored.stdout).contains("\u{1b}[31m"), "{colored:?}");
    let wrong = draw(&machine, &["--template", "{modle}"], &[], whole.as_bytes());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no field {modle}"), "{wrong:?}");
    let config = machine.home().join("config.toml");
    fs::write(&config, "[status_line]\ntemplate = \"{model}[ at {five_hour}]\"\n").unwrap();
    let configured = draw(&machine, &[], &[("DUCAT_CONFIG", config.to_str().unwrap())], whole.as_bytes());
    assert!(String::from_utf8_lossy(&configured.stdout).starts_with("Sonnet 5 at 24%"), "{configured:?}");
    fs::write(&config, "[status_line]\ntemplate = \"{model\"\n").unwrap();
    let typo = draw(&machine, &[], &[("DUCAT_CONFIG", config.to_str().unwrap())], whole.as_bytes());
    assert!(String::from_utf8_lossy(&typo.stdout).contains("status_line.template: a { without its }"), "{typo:?}");
}

#[test]
fn a_server_that_hangs_costs_one_deadline() {
    let machine = Machine::new();
    fs::create_dir_all(machine.socket().parent().unwrap()).unwrap();
    let _hanging = UnixListener::bind(machine.socket()).unwrap();
    for _ in 0..3 {
        assert!(line_of(&machine, &update()).contains("today ~$0.0587"));
    }
    assert!(machine.data().join("spool/hanging").exists(), "the others leave it alone");
}

#[test]
fn one_that_is_wrapped_is_passed_everything_and_ended_with_us() {
    let machine = Machine::new();
    let payload = update().to_string();
    let output = draw(&machine, &["--wrap", "cat; exit 3"], &[], payload.as_bytes());
    assert_eq!((output.stdout.as_slice(), output.status.code()), (payload.as_bytes(), Some(3)));
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(200_000));
    assert_eq!(
        draw(&machine, &["--wrap", "wc -c"], &[], large.as_bytes()).stdout.trim_ascii(),
        large.len().to_string().as_bytes()
    );
    // The client ends it half-way: it is the command itself that is ended.
    let mut child = machine.program("ducat-statusline", &["--wrap", "exec sleep 600"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
    let name = || fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap_or_default();
    eventually(|| if name() == "sleep\n" { Ok(()) } else { Err(name()) });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_dir(machine.data().join("spool/latest")).unwrap().count(), 1, "and the figures wait");
}

#[test]
fn both_programs_are_the_same() {
    let machine = Machine::new();
    let payload = update().to_string();
    for args in [&["--template", "{model} {context}"][..], &["--color=always"], &["--color", "never"], &["--wrap", "wc -c"]] {
        let mut child = machine
            .command(&[&["statusline"], args].concat())
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
        let ours = child.wait_with_output().unwrap();
        let small = draw(&machine, args, &[("NO_COLOR", "")], payload.as_bytes());
        assert!(ours.status.success() && ours.stdout == small.stdout, "{args:?}: {ours:?} {small:?}");
    }
    for args in [&["--template"][..], &["--colour", "x"], &["--color", "blue"], &["extra"]] {
        let wrong = draw(&machine, args, &[], b"{}");
        assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).starts_with("ducat-statusline: "), "{wrong:?}");
    }
    assert!(String::from_utf8_lossy(&draw(&machine, &["--help"], &[], b"").stdout).contains("Usage: ducat-statusline"));
}

#[test]
fn a_plans_costs_are_called_values_in_reports() {
    let machine = Machine::new();
    let file = machine.projects().join("app/s.jsonl");
    let line = ducat_end_to_end::request("s", 1, 100);
    ducat_end_to_end::write(&file, &line);
    assert!(!machine.prints(&["report"]).contains("list-price"), "nobody told of a plan");
    let server = machine.serve();
    let mut told = update();
    told["session_id"] = json!("s");
    line_of(&machine, &told);
    eventually(|| {
        let by_billing = server.get("/api/v1/report?by=billing&timezone=UTC");
        if by_billing.contains(r#""billing":"plan","requests":1"#) { Ok(()) } else { Err(by_billing) }
    });
    let cost = server.get_json("/api/v1/report")["totals"]["cost_usd"].as_f64().unwrap();
    let note = |args: &[&str]| {
        let text = machine.prints(&[&["report"], args].concat());
        text.lines().find(|line| line.contains("on a plan")).unwrap_or_default().to_owned()
    };
    let of_ledger = "of this is list-price value of requests on a plan, no bill.";
    assert_eq!(note(&["--ledger"]), format!("${cost:.4} {of_ledger}"));
    let euros = note(&["--ledger", "--currency", "EUR", "--rate", "0.5"]);
    assert!(euros.ends_with(of_ledger) && !euros.contains('$'), "{euros}");
    // The ledger's sum is none of the transcripts', let alone of a folder's.
    assert_eq!(note(&[]), "Requests on a plan are in this at list price, no bill: ducat report --ledger says how much they are.");
    assert_eq!(note(&["--from", machine.projects().to_str().unwrap()]), "");
    // What transcripts do not tell is read from the ledger, byte for byte as the server tells it.
    for by in ["billing", "host", "user", "team"] {
        assert_eq!(machine.report(by), server.get(&format!("/api/v1/report?by={by}&timezone=UTC")));
    }
    assert_eq!(
        machine.prints(&["report", "daily", "--ledger", "--timezone", "UTC", "--json"]).trim_end(),
        machine.report("daily")
    );
    let nowhere = Machine::new().run(&["report", "--ledger"]);
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("ducat serve or ducat import"), "{nowhere:?}");
}

#[test]
fn codex_tells_its_quota_in_its_rollouts() {
    let machine = Machine::new();
    let rollout = machine.home().join(".codex/sessions/2026/11/25/rollout-2026-11-25T10-00-00-01a20b71.jsonl");
    let line = |used: f64| {
        let now = now_ms();
        let at = rfc3339(now);
        let limits = json!({ "limit_id": "codex", "limit_name": null, "plan_type": "plus", "credits": null,
            "primary": { "used_percent": used, "window_minutes": 300, "resets_at": now / 1000 + 3600 },
            "secondary": { "used_percent": 60.0, "window_minutes": 10080, "resets_at": now / 1000 + 90_000 } });
        format!(
            "{}\n",
            json!({ "timestamp": at, "type": "event_msg", "payload": { "type": "token_count", "info": null, "rate_limits": limits } })
        )
    };
    ducat_end_to_end::write(&rollout, &line(13.0));
    let server = machine.serve();
    let comes_to = |used: f64| {
        eventually(|| {
            let quotas = server.get_json("/api/v1/quota")["quotas"].clone();
            let told = &quotas[0];
            let is =
                told["agent"] == "codex" && told["used_percent"] == used && told["plan"] == "plus" && quotas[1]["window"] == "7d";
            if is { Ok(()) } else { Err(quotas.to_string()) }
        });
    };
    comes_to(13.0);
    ducat_end_to_end::append(&rollout, &line(34.0));
    comes_to(34.0);
    // Not yet whole; and one that an idle session repeats.
    ducat_end_to_end::append(&rollout, &line(20.0)[..40]);
    comes_to(34.0);
    // Real rollouts, of windows that have long reset: taken in, and no block of today.
    let Some(real) = ducat_end_to_end::shared("data/transcripts/savekirk-session-bridge/codex/sessions") else { return };
    drop(server);
    machine.prints(&["import", real.to_str().unwrap()]);
    assert_eq!(machine.serve().get_json("/api/v1/quota")["quotas"].as_array().unwrap().len(), 2);
}

/// RFC 3339, as rollouts write times.
fn rfc3339(ms: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%S.000Z", "-d", &format!("@{}", ms / 1000)])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
