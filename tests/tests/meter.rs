//! `ducat meter`: the run goes as if nobody were there, its cost is told once, and the ledger counts it once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use ducat_end_to_end::claude_code::{PINNED, Provider, client, client_environment};
use ducat_end_to_end::{Machine, codex, eventually, write};
use ducat_prices::{NanoUsd, PriceQuery, PriceTable, Usage};
use serde_json::{Value, json};

/// Cache writes of both lifetimes, a sub-agent, whose last words no stream tells, and cache reads.
fn turns() -> Value {
    json!([
        { "text": "reading", "tools": [{ "name": "Bash", "input": { "command": "echo hello > notes.txt", "description": "write" } }],
          "usage": { "cache_creation_input_tokens": 5000, "cache_creation": { "ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000 } } },
        { "tools": [{ "name": "Agent", "input": { "description": "look", "prompt": "look around", "subagent_type": "general-purpose" } }] },
        { "text": "the sub-agent looks", "tools": [{ "name": "Bash", "input": { "command": "ls", "description": "list" } }] },
        { "text": "the sub-agent is done", "usage": { "output_tokens": 33 } },
        { "text": "all done", "usage": { "output_tokens": 44, "cache_read_input_tokens": 9000 } }
    ])
}

/// What the provider's answers cost, priced one by one.
fn priced(answers: &[Value]) -> NanoUsd {
    let table = PriceTable::embedded();
    let cost = |answer: &Value| {
        let count = |pointer: &str| answer["usage"].pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let usage = Usage {
            input: count("/input_tokens"),
            output: count("/output_tokens"),
            cache_read: count("/cache_read_input_tokens"),
            cache_write_5m: count("/cache_creation/ephemeral_5m_input_tokens"),
            cache_write_1h: count("/cache_creation/ephemeral_1h_input_tokens"),
            ..Usage::default()
        };
        let query =
            PriceQuery { model: answer["model"].as_str().unwrap(), at_unix_ms: 1_790_000_000_000, ..PriceQuery::default() };
        table.cost(&query, &usage).amount().unwrap()
    };
    answers.iter().map(cost).sum()
}

/// `ducat meter ARGS -- sh -c 'claude … | tee raw'`: what the client printed stands in `raw`, too.
fn metered(machine: &Machine, client: &Path, provider: &Provider, meter: &[&str], format: &str) -> Output {
    let project = machine.home().join("proj");
    fs::create_dir_all(&project).unwrap();
    let line = format!("claude -p 'do it' {format} | tee ../raw");
    let mut command = machine.command(&[&["meter"], meter, &["--", "sh", "-c", &line]].concat());
    command
        .current_dir(project)
        .envs(client_environment(machine, client))
        .env("IS_SANDBOX", "1")
        .env("ANTHROPIC_API_KEY", "sk-ant-dummy")
        .env("ANTHROPIC_BASE_URL", provider.url())
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const FORMATS: [&str; 3] = [
    "--dangerously-skip-permissions --output-format json",
    "--dangerously-skip-permissions --output-format stream-json --verbose",
    "--dangerously-skip-permissions --output-format stream-json --verbose --include-partial-messages",
];

/// Clients that print other things: no sums by model, no request ids, and the first a result without a type over several lines.
#[test]
fn old_clients_are_understood() {
    for version in ["0.2.109", "1.0.38"] {
        for format in ["json", "stream-json --verbose"] {
            let machine = Machine::new();
            let Some(client) = client(version) else { return };
            let turns = json!([{ "text": "done", "usage": { "cache_creation_input_tokens": 5000 } }]);
            let Some(provider) = Provider::start(&machine, &turns) else { return };
            write(&machine.home().join(".config/ducat/config.toml"), &own_prices(provider_models(version)));
            let server = machine.serve();
            let output = metered(&machine, &client, &provider, &["--json"], &format!("--output-format {format}"));
            assert_eq!(output.stdout, fs::read(machine.home().join("raw")).unwrap());
            let bill: Value =
                serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{version} {format}: {}", text(&output.stderr)));
            let answered = provider.answered();
            let with_tools = answered.iter().find(|answer| answer["tools"] != 0).unwrap();
            let output_tokens = with_tools["usage"]["output_tokens"].as_u64().unwrap();
            // A dollar a million in, two out, three written.
            let nano = 12 * 1000 + output_tokens * 2000 + 5000 * 3000;
            assert_eq!(
                (&bill["cost_nano_usd"], &bill["requests"]),
                (&json!(nano.to_string()), &json!(1)),
                "{version} {format}: {bill}"
            );
            server.comes_to("/api/v1/report?by=session&timezone=UTC", &machine.report("session"));
            let session = &server.get_json("/api/v1/sessions")["rows"][0];
            assert_eq!(session["reported_cost_usd"], bill["reported_cost_usd"], "{version} {format}: {session}");
            assert!(bill["reported_cost_usd"].as_f64().unwrap() > 0.0);
        }
    }
}

fn provider_models(version: &str) -> &str {
    if version == "1.0.38" { "claude-sonnet-4-20250514" } else { "claude-3-7-sonnet-20250219" }
}

fn own_prices(model: &str) -> String {
    format!("[prices.models.\"{model}\"]\ninput = 1\noutput = 2\ncache_write_5m = 3\n")
}

#[test]
fn the_real_client_costs_what_its_provider_answered_and_counts_once() {
    for format in FORMATS {
        let machine = Machine::new();
        let Some(client) = client(PINNED) else { return };
        let Some(provider) = Provider::start(&machine, &turns()) else { return };
        let server = machine.serve();
        let output = metered(&machine, &client, &provider, &["--json"], format);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, fs::read(machine.home().join("raw")).unwrap(), "{format}: not what the client printed");
        let bill: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        let (answers, cost) = (provider.answered(), priced(&provider.answered()));
        assert_eq!(answers.len(), 5);
        assert_eq!(bill["cost_nano_usd"], cost.0.to_string(), "{format}: {bill}");
        assert_eq!((&bill["requests"], &bill["is_estimate"]), (&json!(5), &json!(false)), "{format}: {bill}");
        assert!((bill["reported_cost_usd"].as_f64().unwrap() - cost.as_usd()).abs() < 1e-6, "{bill}");
        // Transcripts and meter told the same requests: the ledger is what the transcripts alone are.
        server.comes_to("/api/v1/report?by=session&timezone=UTC", &machine.report("session"));
        assert_eq!(server.get_json("/api/v1/report")["totals"]["requests"], 5);
        let session = server.get_json("/api/v1/sessions");
        assert_eq!(session["rows"].as_array().unwrap().len(), 1, "{session}");
        assert_eq!(session["rows"][0]["reported_cost_usd"].as_f64(), bill["reported_cost_usd"].as_f64(), "{session}");
        assert!(machine.spooled().is_empty());
    }
}

#[test]
fn without_transcripts_the_ledger_gets_what_the_stream_had_the_last_word_of() {
    let machine = Machine::new();
    let Some(client) = client(PINNED) else { return };
    let Some(provider) = Provider::start(&machine, &turns()) else { return };
    let output = metered(&machine, &client, &provider, &[], &format!("{} --no-session-persistence", FORMATS[2]));
    let said = text(&output.stderr);
    // The last words of the sub-agent are printed by nobody; the client's sums have them.
    let all = priced(&provider.answered());
    assert!(said.starts_with(&format!("ducat: about {all} · ")) && said.lines().count() == 1, "{said}");
    // It happened before there was a server; nothing of the content was spooled.
    let spooled = machine.spooled();
    assert_eq!(spooled.len(), 1);
    assert!(!fs::read_to_string(&spooled[0]).unwrap().contains("done"));
    let server = machine.serve();
    let told: Vec<Value> =
        provider.answered().into_iter().enumerate().filter(|(n, _)| !matches!(n, 2 | 3)).map(|(_, a)| a).collect();
    eventually(|| {
        let totals = &server.get_json("/api/v1/report")["totals"];
        let wanted = json!([told.len(), priced(&told).0.to_string()]);
        let got = json!([totals["requests"], totals["cost_nano_usd"]]);
        if got == wanted { Ok(()) } else { Err(format!("{got}, not {wanted}")) }
    });
}

#[test]
fn only_the_clients_sums_are_left_and_an_hour_of_cache_is_priced_as_such() {
    let machine = Machine::new();
    let Some(client) = client(PINNED) else { return };
    let Some(provider) = Provider::start(&machine, &turns()) else { return };
    let output = metered(&machine, &client, &provider, &[], &format!("{} --no-session-persistence", FORMATS[0]));
    let said = text(&output.stderr);
    assert!(
        said.starts_with(&format!(
            "ducat: about {} · 9.00 k cache read, 5.00 k written · session ",
            priced(&provider.answered())
        )),
        "{said}"
    );
    let server = machine.serve();
    eventually(|| {
        let sessions = server.get_json("/api/v1/sessions");
        if sessions["rows"].as_array().unwrap().len() == 1 { Ok(()) } else { Err(sessions.to_string()) }
    });
    // Sums are no requests, and what they cost is not nothing.
    let session = &server.get_json("/api/v1/sessions")["rows"][0];
    assert_eq!(
        (&session["cost_usd"], session["reported_cost_usd"].as_f64().map(|cost| cost > 0.05)),
        (&Value::Null, Some(true)),
        "{session}"
    );
    assert_eq!(server.get_json("/api/v1/report")["totals"]["requests"], 0);
}

#[test]
fn the_real_codex_is_priced_by_the_model_it_was_asked_for() {
    let machine = Machine::new();
    let Some(client) = codex::client() else { return };
    let turns = json!([
        { "text": "Looking.", "calls": [["exec_command", { "cmd": "ls" }]], "usage": { "input_tokens": 9000, "cached": 0, "output_tokens": 80, "reasoning": 30 } },
        { "text": "Done.", "usage": { "input_tokens": 9700, "cached": 9216, "output_tokens": 200, "reasoning": 128 } }
    ]);
    let Some(provider) = codex::Provider::start(&machine, &turns) else { return };
    // It finds no rollouts, which would tell of the requests.
    let server = machine.serve_with(&[("CODEX_HOME", machine.home().join("elsewhere").to_str().unwrap())]);
    let run = |model: &[&str]| {
        let client = client.to_str().unwrap();
        let words = [&["meter", "--", client, "exec", "--skip-git-repo-check", "--json"], model, &["do it"]].concat();
        let mut command = machine.command(&words);
        command.env("PATH", std::env::var("PATH").unwrap()).env("MOCK_KEY", "x").stdin(Stdio::null());
        command.output().unwrap()
    };
    let output = run(&["-m", "gpt-5.2-codex"]);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["type"], "thread.started");
    let thread = lines[0]["thread_id"].as_str().unwrap();
    let sum = |pointer: &str| {
        provider.answered().iter().map(|answer| answer["usage"].pointer(pointer).unwrap().as_u64().unwrap()).sum::<u64>()
    };
    let (input, cached, out) = (sum("/input_tokens"), sum("/input_tokens_details/cached_tokens"), sum("/output_tokens"));
    assert_eq!((input, cached, out), (18_700, 9216, 280));
    let usage = Usage { input: input - cached, cache_read: cached, output: out, reasoning: 158, ..Usage::default() };
    let query = PriceQuery { model: "gpt-5.2-codex", at_unix_ms: 1_790_000_000_000, ..PriceQuery::default() };
    let cost = PriceTable::embedded().cost(&query, &usage).amount().unwrap();
    let said = text(&output.stderr);
    let line = said.lines().last().unwrap();
    assert_eq!(line, format!("ducat: about {cost} · 9.22 k cache read · session {thread}"));
    let session = server.get_json(&format!("/api/v1/sessions/{thread}"));
    assert_eq!((&session["agent"], &session["requests"]), (&json!("codex"), &json!([])), "{session}");
    assert_eq!(
        session["reported_tokens"],
        json!({ "input_tokens": input - cached, "cache_read_tokens": cached, "output_tokens": out })
    );
    assert_eq!(server.get_json("/api/v1/sessions")["rows"][0]["cost_usd"], Value::Null);
    // Which model it was without being told is the rollout's to say.
    let said = text(&run(&[]).stderr);
    assert!(
        said.lines().last().unwrap().starts_with("ducat: cost unknown (codex does not tell its model; name it with --model)"),
        "{said}"
    );
}

#[test]
fn everything_passes_through_unchanged() {
    let machine = Machine::new();
    let shell = |script: &str| machine.command(&["meter", "--", "sh", "-c", script]).output().unwrap();
    for code in [0, 1, 42] {
        let output = shell(&format!("printf 'a\\377\\000b'; printf 'err\\n' >&2; exit {code}"));
        assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(code), b"a\xff\0b".to_vec(), b"err\n".to_vec()));
    }
    assert_eq!(shell("kill -9 $$").status.code(), Some(137));
    assert_eq!(shell("kill -TERM $$").status.code(), Some(143));
    let missing = machine.run(&["meter", "--", "/nonexistent/program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(text(&missing.stderr).starts_with("ducat: cannot run /nonexistent/program: "));
    assert_eq!(machine.run(&["meter", "--", "/etc/passwd"]).status.code(), Some(126));
    // 50 MB without a line's end, as bytes that are no text.
    let noise = machine.home().join("noise");
    let bytes: Vec<u8> = (0..50_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&noise, &bytes).unwrap();
    let output = shell(&format!("cat {}", noise.display()));
    assert!(output.stdout == bytes && output.stderr.is_empty());
    // Standard input is the command's own.
    let mut child = machine
        .command(&["meter", "--", "cat"])
        .stdin(Stdio::from(fs::File::open(&noise).unwrap()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut copied = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut copied).unwrap();
    assert!(child.wait().unwrap().success() && copied == bytes);
}

#[test]
fn output_comes_as_it_is_printed() {
    let machine = Machine::new();
    // It prints part of a line and waits for a file that is made only when the part was read.
    let go = machine.home().join("go");
    let script = format!("printf part; while [ ! -e {} ]; do sleep 0.05; done; echo rest", go.display());
    let mut child = machine.command(&["meter", "--", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut part = [0; 4];
    out.read_exact(&mut part).unwrap();
    assert_eq!(&part, b"part");
    fs::write(go, "").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "rest\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_without_us() {
    let machine = Machine::new();
    let mut child = machine.command(&["meter", "--", "sh", "-c", "exec yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 13));
}

/// A terminal's descriptors are one, and agents make theirs non-blocking.
#[test]
fn output_that_would_block_is_waited_for() {
    let machine = Machine::new();
    let (mut reader, writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let script = "head -c 20000000 /dev/zero; echo end";
    let mut child = machine
        .command(&["meter", "--", "sh", "-c", script])
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(writer)))
        .spawn()
        .unwrap();
    // Full before anybody reads.
    thread::sleep(Duration::from_millis(300));
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(text.len() == 20_000_004 && text.ends_with(b"end\n"), "{} bytes", text.len());
}

#[test]
fn what_cannot_be_written_is_no_success() {
    let machine = Machine::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = machine.command(&["meter", "--", "echo", "lost"]).stdout(Stdio::from(full)).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("ducat: passing on what echo printed: "), "{}", text(&output.stderr));
}

/// Runs what follows with the signals as a shell in a terminal has them, also where the tests run in the background.
fn nothing_ignored() -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP,INT,TERM");
    command
}

#[test]
fn what_was_ignored_stays_ignored() {
    let machine = Machine::new();
    let ducat = machine.command(&[]).get_program().to_owned();
    // As `nohup` does it: the command is to live on.
    let script = format!("trap '' HUP; exec {} meter -- grep SigIgn /proc/self/status", ducat.display());
    let ignored = |output: Output| {
        let text = text(&output.stdout);
        u64::from_str_radix(text.trim().rsplit('\t').next().unwrap(), 16).unwrap_or_else(|_| panic!("{text}"))
    };
    let run = |script: &str| ignored(nothing_ignored().args(["sh", "-c", script]).env("HOME", machine.home()).output().unwrap());
    assert_eq!(run(&script) & 1, 1);
    assert_eq!(run(&script.replace("trap '' HUP; ", "")) & 1, 0);
}

#[test]
fn signals_reach_the_command() {
    let machine = Machine::new();
    for (name, code) in [("TERM", 7), ("INT", 8), ("HUP", 9)] {
        let script = format!("trap 'exit {code}' {name}; echo ready; while :; do sleep 0.05; done");
        // A session of its own, without a terminal, as under a service manager.
        let mut command = machine.command(&["--wait"]);
        let program = command.get_program().to_owned();
        command = nothing_ignored();
        command
            .args(["setsid", "--wait"])
            .arg(program)
            .args(["meter", "--", "sh", "-c", &script])
            .env("HOME", machine.home())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = [0; 6];
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut ready).unwrap();
        let found = eventually(|| metering(child.id()).ok_or_else(|| "no meter".to_owned()));
        assert!(Command::new("kill").args([&format!("-{name}"), &found.to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
    }
}

/// The process that meters: `setsid` itself, or its child where it had to fork.
fn metering(pid: u32) -> Option<u32> {
    let is_ducat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "ducat");
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    [pid].into_iter().chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).find(|pid| is_ducat(*pid))
}

#[test]
fn hostile_output_is_passed_on_and_makes_no_fact() {
    let machine = Machine::new();
    let file = machine.home().join("hostile");
    let deep = format!("{{\"type\":\"result\",\"session_id\":{}\n", "[".repeat(200_000));
    let long = format!("{{\"type\":\"result\",\"session_id\":\"{}\n", "x".repeat(40 << 20));
    let lies = json!({ "type": "result", "session_id": "../../../etc", "total_cost_usd": 1e300, "modelUsage": { "m": { "inputTokens": -1 } } });
    let bytes =
        [deep.as_bytes(), long.as_bytes(), b"{\"type\":\"assistant\",\xff\xfe}\n{\"type\":\n", lies.to_string().as_bytes()]
            .concat();
    fs::write(&file, &bytes).unwrap();
    let output = machine.command(&["meter", "--", "cat"]).arg(&file).output().unwrap();
    assert!(output.status.success() && output.stdout == bytes);
    let said = text(&output.stderr);
    assert!(said.lines().count() == 1 && said.contains("session ../../"), "{said}");
    let server = machine.serve();
    eventually(|| if machine.spooled().is_empty() { Ok(()) } else { Err("still spooled".to_owned()) });
    let sessions = server.get_json("/api/v1/sessions");
    assert_eq!(sessions["rows"][0]["reported_cost_usd"], Value::Null, "{sessions}");
    assert_eq!(server.get_json("/api/v1/report")["totals"]["requests"], 0);
}

#[test]
fn the_command_runs_whatever_is_wrong_with_us() {
    let machine = Machine::new();
    let result = json!({ "type": "result", "session_id": "s", "total_cost_usd": 0.5, "modelUsage": { "claude-opus-4-8": { "inputTokens": 1000 } } });
    let run = |variables: &[(&str, &str)]| {
        let mut command = machine.command(&["meter", "--", "echo", &result.to_string()]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    for variables in [
        &[("DUCAT_CONFIG", "/nonexistent/config.toml")][..],
        &[("DUCAT_DATA_DIR", "/proc/nonexistent")],
        &[("HOME", "")],
        &[("DUCAT_SOCKET", "/nonexistent/socket")],
        &[("DUCAT_URL", "http://127.0.0.1:1")],
    ] {
        let output = run(variables);
        assert!(output.status.success(), "{variables:?}");
        assert_eq!(text(&output.stdout), format!("{result}\n"));
        let said = text(&output.stderr);
        assert!(
            said.starts_with("ducat: about $0.005 (Claude Code says $0.5000) · 1.00 k in, 0 out · session s"),
            "{variables:?}: {said}"
        );
    }
    // Nobody reads what we say.
    let status = machine
        .command(&["meter", "--", "echo", &result.to_string()])
        .stderr(Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
