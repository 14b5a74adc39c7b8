//! What the shell around the meter does as a user runs it: groups, currencies, the configuration, the one-line status, help.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use ducat_end_to_end::{Machine, eventually, request, write};
use serde_json::{Value, json};

fn config(machine: &Machine, text: &str) {
    write(&machine.home().join(".config/ducat/config.toml"), text);
}

const GROUPS: &str = r#"
[[group]]
name = "payments"
projects = ["~/src/pay-*", "/srv/x"]
tags = { client = "acme", stage = "prod" }

[[group]]
name = "tools"
projects = ["tool"]
tags = { client = "in-house" }
"#;

/// Sessions in four projects, one of no group.
fn sessions(machine: &Machine) {
    let home = machine.home().display().to_string();
    let projects = [format!("{home}/src/pay-api"), "/srv/x/deep".to_owned(), "/opt/tool".to_owned(), "/else/where".to_owned()];
    for (number, project) in projects.iter().enumerate() {
        let text: String = (0..3)
            .map(|id| request(&format!("s{number}"), number as u64 * 10 + id, 100 + id).replace("/somewhere/app", project))
            .collect();
        write(&machine.projects().join(format!("p{number}/s{number}.jsonl")), &text);
    }
}

fn requests_by(document: &str, key: &str) -> Vec<(Value, u64)> {
    let document: Value = serde_json::from_str(document).unwrap();
    let rows = document["rows"].as_array().unwrap().iter();
    let mut rows: Vec<(Value, u64)> = rows.map(|row| (row[key].clone(), row["requests"].as_u64().unwrap())).collect();
    rows.sort_by_key(|(name, _)| name.to_string());
    rows
}

#[test]
fn groups_and_tags_are_the_same_in_the_terminal_and_over_the_api() {
    let machine = Machine::new();
    config(&machine, GROUPS);
    sessions(&machine);
    let by_group = machine.report("group");
    assert_eq!(requests_by(&by_group, "group"), [(json!("payments"), 6), (json!("tools"), 3), (Value::Null, 3)]);
    let by_client = machine.report("tag:client");
    assert_eq!(requests_by(&by_client, "tag"), [(json!("acme"), 6), (json!("in-house"), 3), (Value::Null, 3)]);
    assert_eq!(requests_by(&machine.report("tag:stage"), "tag"), [(json!("prod"), 6), (Value::Null, 6)]);
    let server = machine.serve();
    server.comes_to("/api/v1/report?by=group&timezone=UTC", &by_group);
    server.comes_to("/api/v1/report?by=tag:client&timezone=UTC", &by_client);
    let totals = |document: &str| serde_json::from_str::<Value>(document).unwrap()["totals"].clone();
    assert_eq!(totals(&by_group), totals(&machine.report("project")));
    assert_eq!(totals(&by_client), totals(&by_group));
    let filtered = machine.prints(&["report", "project", "--group", "payments", "--json", "--timezone", "UTC"]);
    assert_eq!(totals(&filtered)["requests"], 6);
    assert_eq!(server.get("/api/v1/report?by=project&group=payments&timezone=UTC"), filtered.trim_end());
    let table = machine.prints(&["report", "tag:client"]);
    assert!(table.contains("unattributed") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let wrong = machine.run(&["report", "--group", "paiments"]);
    assert!(
        String::from_utf8_lossy(&wrong.stderr)
            .contains("group: \"paiments\" is not in the configuration; there are payments, tools")
    );
    let (status, body) = server.ask("/api/v1/report?by=tag:owner", None, "");
    assert_eq!((status, body.contains("there are client, stage")), (400, true), "{body}");
}

#[test]
fn a_currency_stands_in_the_report_with_its_rate_and_day() {
    let machine = Machine::new();
    sessions(&machine);
    let asked = ["--currency", "EUR", "--rate", "0.92", "--rate-date", "2026-11-24"];
    let json = machine.prints(&[&["report", "project", "--json", "--timezone", "UTC"], &asked[..]].concat());
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["currency"], json!({ "code": "EUR", "rate": "0.92", "rate_date": "2026-11-24" }));
    let nano = |name: &str| document["totals"][name].as_str().unwrap().parse::<i64>().unwrap();
    assert_eq!(nano("cost_nano"), (nano("cost_nano_usd") * 92 + 50) / 100);
    // The same from the configuration, and over the API.
    config(&machine, "[report]\ncurrency = \"EUR\"\nrate = 0.92\nrate_date = \"2026-11-24\"\n");
    assert_eq!(machine.report("project"), json.trim_end());
    let server = machine.serve();
    server.comes_to("/api/v1/report?by=project&timezone=UTC", json.trim_end());
    let other = server.get_json("/api/v1/report?currency=JPY&rate=150&rate_date=20261101");
    assert_eq!(other["currency"], json!({ "code": "JPY", "rate": "150", "rate_date": "2026-11-01" }));
    assert_eq!(server.get_json("/api/v1/report?currency=USD")["currency"], Value::Null);
    assert_eq!(server.ask("/api/v1/report?currency=JPY", None, "").0, 400);
    let table = machine.prints(&["report", "project"]);
    assert!(table.contains("€0.0") && !table.contains('$'), "{table}");
    assert!(table.ends_with("1 USD = 0.92 EUR (2026-11-24); each figure is rounded by itself\n"), "{table}");
    let csv = machine.prints(&["report", "project", "--csv"]);
    assert!(csv.lines().next().unwrap().ends_with(",cost,currency,rate,rate_date"), "{csv}");
    assert!(csv.lines().skip(1).all(|line| line.ends_with(",EUR,0.92,2026-11-24")), "{csv}");
}

#[test]
fn odd_groupings_are_refused_with_the_nearest() {
    let machine = Machine::new();
    let said = |args: &[&str]| String::from_utf8(machine.run(args).stderr).unwrap();
    let wrong = said(&["report", "projct"]);
    assert!(wrong.contains("'projct'") && wrong.contains("'project'"), "{wrong}");
    assert!(!Path::new(&machine.data()).exists());
}

#[test]
fn each_value_says_where_it_comes_from() {
    let machine = Machine::new();
    let file = machine.home().join(".config/ducat/config.toml");
    let show = |variables: &[(&str, &str)]| {
        let output = machine.command(&["config", "show", "--json"]).envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        (serde_json::from_str::<Value>(&text).unwrap(), text)
    };
    let key = |shown: &Value, name: &str| {
        let keys = shown["keys"].as_array().unwrap().iter();
        let found = keys.clone().find(|key| key["key"] == name).unwrap_or_else(|| panic!("{name} in {shown}"));
        (found["value"].clone(), found["source"]["kind"].as_str().unwrap().to_owned(), found["source"]["line"].clone())
    };
    let (shown, _) = show(&[]);
    assert_eq!(key(&shown, "server.port"), (json!(9090), "default".to_owned(), Value::Null));
    let said = machine.run(&["config", "set", "server.port", "0", "capture.exclude", "[\"~/secret\"]"]);
    assert!(said.status.success(), "{said:?}");
    let (shown, _) = show(&[]);
    assert_eq!(key(&shown, "server.port"), (json!(0), "file".to_owned(), json!(2)));
    assert_eq!(key(&shown, "capture.exclude"), (json!(["~/secret"]), "file".to_owned(), json!(5)));
    let (shown, text) =
        show(&[("METRICS_PORT", "9191"), ("METRICS_API_KEY", "hush"), ("DUCAT_URL", "http://me:hush@meter:9090")]);
    assert_eq!(key(&shown, "server.port"), (json!(9191), "environment".to_owned(), Value::Null));
    assert_eq!(key(&shown, "METRICS_API_KEY").0, json!("(set)"));
    assert!(!text.contains("hush"), "{text}");
    // The server does as shown: the file's port 0 is any, the variable and the flag are over it.
    let fixed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let server = ducat_end_to_end::Server::start(&mut machine.command(&["serve"]));
    assert_ne!((server.port, server.port.to_string()), (9090, fixed.clone()));
    drop(server);
    let server = ducat_end_to_end::Server::start(machine.command(&["serve"]).env("METRICS_PORT", &fixed));
    assert_eq!(server.port.to_string(), fixed);
    drop(server);
    let server = ducat_end_to_end::Server::start(machine.command(&["serve", "--port", "0"]).env("METRICS_PORT", "1"));
    assert_ne!(server.port, 1);
    assert_eq!(machine.prints(&["config", "get", "server.port"]), "0\n");
    assert_eq!(machine.prints(&["config", "path"]).trim_end(), file.to_str().unwrap());
}

#[test]
fn the_configuration_is_written_whole_or_not_at_all() {
    let machine = Machine::new();
    let (real, link) = (machine.home().join("dotfiles/ducat.toml"), machine.home().join(".config/ducat/config.toml"));
    let before = "# mine\n[server]\nport = 9100 # the proxy's\n";
    write(&real, before);
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let text = || std::fs::read_to_string(&real).unwrap();
    for (args, part) in [
        (&["config", "set", "server.port", "99999"][..], "line 3: port"),
        (&["config", "set", "server.prot", "1"], "did you mean \"server.port\"?"),
        (&["config", "set", "server.port", "9200", "report.rate", "1"], "report.currency: missing"),
        (&["config", "unset", "server.host"], "server.host is not in"),
    ] {
        let output = machine.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(part) && said.lines().count() == 1, "{args:?}: {said}");
        assert_eq!(text(), before);
    }
    assert!(machine.run(&["config", "set", "server.port", "9200"]).status.success());
    assert_eq!(text(), before.replace("9100", "9200"));
    assert!(link.is_symlink(), "the link was replaced");
    assert_eq!(std::fs::read_dir(link.parent().unwrap()).unwrap().count(), 1, "something was left over");
    // A typo is told wherever the file is read.
    write(&real, "[report]\ncurency = \"EUR\"\n");
    for args in [&["config", "validate"][..], &["config", "show"], &["report"], &["serve", "--port", "0"]] {
        let output = machine.run(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(said.contains("line 2: there is no key \"curency\"; did you mean \"currency\"?"), "{args:?}: {said}");
    }
}

/// A session with two requests just now and one two hours ago; days are UTC's, so tests near midnight know what is today's.
fn session_of_now(machine: &Machine) -> (usize, i64) {
    let now = ducat_spool::now_ms() as i64;
    let at = |ago_ms: i64| jiff::Timestamp::from_millisecond(now - ago_ms).unwrap();
    let times = [7_200_000, 60_000, 1_000];
    let text: String = (0..3)
        .map(|id| {
            request("now", id, 1000).replace(&format!("2026-01-02T10:0{id}:00.000Z"), &format!("{:.3}", at(times[id as usize])))
        })
        .collect();
    write(&machine.projects().join("p/now.jsonl"), &text);
    let day = |at: jiff::Timestamp| at.to_string()[..10].to_owned();
    let today = times.iter().filter(|ago| day(at(**ago)) == day(at(0))).count();
    (today, now)
}

#[test]
fn the_status_is_the_reports_with_and_without_a_server() {
    let machine = Machine::new();
    let (today, _) = session_of_now(&machine);
    let status =
        || -> Value { serde_json::from_str(&machine.prints(&["status", "--format", "json", "--timezone", "UTC"])).unwrap() };
    let check = |status: &Value, source: &str| {
        let report: Value =
            serde_json::from_str(&machine.prints(&["report", "--since", "today", "--timezone", "UTC", "--json"])).unwrap();
        assert_eq!(status["source"], source, "{status}");
        assert_eq!(
            (&status["today"]["requests"], &status["today"]["cost_nano_usd"]),
            (&json!(today), &report["totals"]["cost_nano_usd"])
        );
        let each = report["totals"]["cost_usd"].as_f64().unwrap() / today as f64;
        assert!((status["burn_usd_per_hour"].as_f64().unwrap() - 2.0 * each).abs() < 1e-9, "{status}");
        assert_eq!(status["active_sessions"], 1, "{status}");
    };
    check(&status(), "transcripts");
    // An old ledger that nobody keeps is not believed.
    assert!(machine.run(&["import"]).status.success());
    check(&status(), "transcripts");
    let server = machine.serve();
    server.comes_to("/api/v1/report?timezone=UTC", &machine.report("daily"));
    check(&status(), "ledger");
    // A plan's quota is told by the status line alone, and stays when the server is away.
    let told = json!({ "session_id": "now", "rate_limits": { "five_hour": { "used_percentage": 42.0, "resets_at": ducat_spool::now_ms() / 1000 + 7000 } } });
    let mut line =
        machine.command(&["statusline"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut line.stdin.take().unwrap(), told.to_string().as_bytes()).unwrap();
    assert!(line.wait().unwrap().success());
    eventually(|| if status()["quotas"][0]["used_percent"] == 42.0 { Ok(()) } else { Err(status().to_string()) });
    server.kill();
    let status = status();
    assert_eq!((&status["source"], &status["quotas"][0]["window"]), (&json!("transcripts"), &json!("5h")), "{status}");
    for format in ["plain", "tmux", "starship", "waybar"] {
        let text = machine.prints(&["status", "--format", format, "--timezone", "UTC"]);
        assert!(text.lines().count() == 1 && text.contains("$0.0") && text.contains("5h"), "{format}: {text}");
    }
    assert!(machine.prints(&["status", "--format", "xbar"]).contains("\n---\nToday: $0.0"));
}

#[test]
fn the_status_of_a_machine_without_agents_is_nothing() {
    let machine = Machine::new();
    std::fs::remove_dir_all(machine.projects()).unwrap();
    assert_eq!(machine.prints(&["status"]), "$0.00 today\n");
    assert!(!machine.data().exists(), "reading made a data folder");
}

/// The shell's own answer to what may stand at the end of a line; none when it is not installed.
fn completed(machine: &Machine, shell: &str, script: &str) -> Option<String> {
    let file = machine.home().join(format!("completions.{shell}"));
    write(&file, &machine.prints(&["completions", shell]));
    let ran = std::process::Command::new(shell)
        .args(if shell == "zsh" { &["-f", "-c"][..] } else { &["-c"][..] })
        .arg(script.replace("FILE", file.to_str().unwrap()))
        .env("HOME", machine.home())
        .env("XDG_CONFIG_HOME", machine.home())
        .output();
    let Ok(output) = ran else {
        eprintln!("skipped: {shell} is not installed (make test does it)");
        return None;
    };
    assert!(output.status.success(), "{shell}: {output:?}");
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn shells_load_the_completions_and_offer_the_values() {
    let machine = Machine::new();
    let line = |words: &str| {
        format!(
            "source FILE; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ducat ducat \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        )
    };
    for (words, offered) in [
        ("ducat report pro", "project"),
        ("ducat report mcp", "mcp_server"),
        ("ducat report query", "query_source"),
        ("ducat status --format way", "waybar"),
        ("ducat co", "config"),
        ("ducat config se", "set"),
        ("ducat completions fi", "fish"),
        ("ducat config get server.p", "server.port"),
        ("ducat config set repo", "report.currency"),
        ("ducat statusline --color al", "always"),
    ] {
        let Some(said) = completed(&machine, "bash", &line(words)) else { break };
        assert!(said.split_whitespace().any(|word| word == offered), "{words}: {said}");
    }
    // zsh's own completion needs a terminal; its functions are loaded and declared for the command.
    if let Some(said) = completed(
        &machine,
        "zsh",
        "autoload -U compinit && compinit -D && source FILE && echo ${_comps[ducat]} && functions _ducat | grep -c waybar",
    ) {
        assert!(said.starts_with("_ducat\n") && !said.contains("\n0\n"), "{said}");
    }
    for (words, offered) in [
        ("ducat report mcp", "mcp_server"),
        ("ducat report query", "query_source"),
        ("ducat status --format way", "waybar"),
        ("ducat config va", "validate"),
        ("ducat config get server.p", "server.port"),
    ] {
        let Some(said) = completed(&machine, "fish", &format!("source FILE; complete -C '{words}'")) else { break };
        assert!(said.split_whitespace().any(|word| word == offered), "{words}: {said}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let machine = Machine::new();
    let folder = machine.home().join("man/man1");
    assert!(machine.run(&["man", folder.to_str().unwrap()]).status.success());
    let pages: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for page in ["ducat.1", "ducat-report.1", "ducat-status.1", "ducat-config-set.1", "ducat-setup-claude-code.1"] {
        assert!(pages.iter().any(|known| known == page), "{page} in {pages:?}");
    }
    assert!(machine.prints(&["man"]) == std::fs::read_to_string(folder.join("ducat.1")).unwrap());
    // groff says nothing against them, and a reader sees the examples.
    for page in &pages {
        let drawn =
            std::process::Command::new("groff").args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"]).arg(folder.join(page)).output();
        let Ok(drawn) = drawn else {
            eprintln!("skipped: groff is not installed");
            return;
        };
        assert!(drawn.status.success() && drawn.stderr.is_empty(), "{page}: {}", String::from_utf8_lossy(&drawn.stderr));
    }
    let drawn = std::process::Command::new("groff")
        .args(["-Kutf8", "-man", "-Tascii", "-P-c"])
        .arg(folder.join("ducat-report.1"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&drawn.stdout).replace('\u{8}', "");
    assert!(text.contains("ducat report weekly --timezone UTC"), "{text}");
}

#[test]
fn a_service_listens_where_the_configuration_says() {
    let machine = Machine::new();
    config(&machine, "[server]\nport = 9399\n");
    let plan = |args: &[&str]| machine.prints(&[&["service", "install", "--on-demand", "--dry-run"], args].concat());
    assert!(plan(&[]).contains("9399"), "{}", plan(&[]));
    assert!(!plan(&["--port", "9398"]).contains("9399"));
}
