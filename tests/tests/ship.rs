//! Many machines, one ledger: `ducat ship`, `ducat key` and the server that takes it in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use ducat_end_to_end::proxy::{Dice, HostileProxy};
use ducat_end_to_end::{Machine, Server, append, eventually, request, shared, write};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const GROUPINGS: [&str; 12] = [
    "daily",
    "weekly",
    "monthly",
    "session",
    "project",
    "model",
    "branch",
    "agent",
    "subagent",
    "skill",
    "mcp_server",
    "billing",
];

fn key(receiver: &Machine, name: &str) -> String {
    receiver.prints(&["key", "create", name]).trim().to_owned()
}

fn ship(machine: &Machine, key: &str, args: &[&str]) -> Command {
    let mut command = machine.command(&["ship"]);
    command.args(args).env("DUCAT_SHIP_KEY", key).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ships(machine: &Machine, key: &str, url: &str) -> String {
    let output = ship(machine, key, &["--once", "--to", url]).output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn totals(server: &Server, by: &str) -> Value {
    server.get_json(&format!("/api/v1/report?by={by}&timezone=UTC"))["totals"].clone()
}

/// Real transcripts, unpacked: path below `projects`, bytes.
fn real_files(place: &Path) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for source in ["jandedobbeleer-oh-my-posh", "moredip-session-share"] {
        let source = shared(&format!("data/transcripts/{source}/claude/projects"))?;
        assert!(Command::new("cp").arg("-r").arg(&source).arg(place).status().unwrap().success());
    }
    assert!(Command::new("chmod").args(["-R", "u+w"]).arg(place).status().unwrap().success());
    let unpack = Command::new("find").arg(place).args(["-name", "*.gz", "-exec", "gzip", "-d", "{}", "+"]).status().unwrap();
    assert!(unpack.success());
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.strip_prefix(place).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    Some(files)
}

/// What a machine's own import does not know.
fn without_hosts(mut document: Value) -> Value {
    match &mut document {
        Value::Object(fields) => {
            fields.shift_remove("host");
            fields.values_mut().for_each(|value| *value = without_hosts(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| *value = without_hosts(value.take())),
        _ => {}
    }
    document
}

/// Ships until all is acknowledged, killed without warning now and then.
fn ship_with_kills(machine: &Machine, name: &str, key: &str, url: &str, mut dice: Dice) {
    for _ in 0..3 {
        let mut child = ship(machine, key, &["--once", "--to", url, "--host", name, "--wait", "120"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(100 + dice.below(1500)));
        let _ = child.kill();
        let _ = child.wait();
    }
    let child = ship(machine, key, &["--once", "--to", url, "--host", name, "--wait", "120"]).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {}", words(&output));
}

#[test]
fn three_machines_with_overlapping_sessions_over_a_hostile_network_total_as_one_import() {
    let source = Machine::new();
    let place = source.home().join("source");
    let Some(files) = real_files(&place) else { return };
    let names = ["alpha", "beta", "gamma"];
    let machines = names.map(|_| Machine::new());
    for (number, (path, bytes)) in files.iter().enumerate() {
        let put = |machine: usize, length: usize| {
            let target = machines[machine % 3].projects().join(path);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, &bytes[..length]).unwrap();
        };
        put(number, bytes.len());
        // A second machine has it as it was earlier, cut anywhere; a third all of it.
        if number % 2 == 0 {
            put(number + 1, bytes.len() * (number % 7 + 1) / 9);
        }
        if number % 5 == 0 {
            put(number + 2, bytes.len());
        }
    }
    let receiver = Machine::new();
    let mut server = receiver.serve();
    let keys = names.map(|name| key(&receiver, name));
    let seed = std::env::var("DUCAT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_125);
    let proxy = HostileProxy::start(server.port, seed);
    thread::scope(|scope| {
        let shipping: Vec<_> = (0..3)
            .map(|number| {
                let (machine, name, key, url) = (&machines[number], names[number], &keys[number], proxy.url());
                scope.spawn(move || ship_with_kills(machine, name, key, &url, Dice(seed + number as u64 + 1)))
            })
            .collect();
        // The receiver dies and comes back too.
        for pause in [1200, 1700] {
            thread::sleep(Duration::from_millis(pause));
            server.child.kill().unwrap();
            server.child.wait().unwrap();
            server = receiver.serve();
            proxy.to.store(server.port, Ordering::Relaxed);
        }
        shipping.into_iter().for_each(|shipping| shipping.join().unwrap());
    });
    let counts = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let mishaps = &proxy.mishaps;
    let happened = [&mishaps.cut_requests, &mishaps.cut_answers, &mishaps.repeated, &mishaps.delayed].map(counts);
    assert!(happened.iter().sum::<u64>() > 5, "{happened:?}");
    eprintln!("cut requests, cut answers, repeated, delayed: {happened:?}; carried {}", counts(&mishaps.carried));

    let all = Machine::new();
    let homes = machines.iter().map(|machine| machine.home().join("claude").display().to_string()).collect::<Vec<_>>().join(",");
    assert!(all.command(&["import"]).env("CLAUDE_CONFIG_DIR", &homes).output().unwrap().status.success());
    let one = Server::start(all.command(&["serve", "--port", "0"]).env("CLAUDE_CONFIG_DIR", &homes));
    for by in GROUPINGS {
        let path = format!("/api/v1/report?by={by}&timezone=Europe/Berlin&breakdown=true");
        assert!(server.get(&path) == one.get(&path), "the reports by {by} differ");
    }
    // Every session, call and prompt too, each with its owner.
    let sessions = without_hosts(one.get_json("/api/v1/sessions?limit=500"));
    assert!(without_hosts(server.get_json("/api/v1/sessions?limit=500")) == sessions, "the lists of sessions differ");
    for session in sessions["rows"].as_array().unwrap() {
        let path = format!("/api/v1/sessions/{}", session["session"].as_str().unwrap());
        assert!(without_hosts(server.get_json(&path)) == without_hosts(one.get_json(&path)), "{path} differs");
    }
    let by_host = server.get_json("/api/v1/report?by=host&timezone=UTC");
    let hosts: Vec<&str> = by_host["rows"].as_array().unwrap().iter().map(|row| row["host"].as_str().unwrap()).collect();
    assert_eq!((hosts.len(), hosts.iter().all(|host| names.contains(host))), (3, true), "{hosts:?}");
    assert_eq!(by_host["totals"], totals(&one, "daily"));
    let sum: i64 = by_host["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["cost_nano_usd"].as_str().unwrap().parse::<i64>().unwrap())
        .sum();
    assert_eq!(sum.to_string(), by_host["totals"]["cost_nano_usd"]);
    // And again, all of it, with the journals gone: nothing changes.
    for number in 0..3 {
        fs::remove_dir_all(machines[number].data().join("ship")).unwrap();
        ships(&machines[number], &keys[number], &server.url());
    }
    assert_eq!(totals(&server, "daily"), totals(&one, "daily"));
}

#[test]
fn two_machines_of_one_name_are_told_apart() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let key = key(&receiver, "runners");
    let machines = [Machine::new(), Machine::new()];
    for (number, machine) in machines.iter().enumerate() {
        let session = format!("session-{number}");
        write(&machine.projects().join("app/a.jsonl"), &request(&session, number as u64 + 1, 100));
        let output = ship(machine, &key, &["--once", "--to", &server.url(), "--host", "build"]).output().unwrap();
        assert!(output.status.success(), "{}", words(&output));
    }
    let rows = server.get_json("/api/v1/machines")["rows"].as_array().unwrap().clone();
    let mut hosts: Vec<String> = rows.iter().map(|row| row["host"].as_str().unwrap().to_owned()).collect();
    hosts.sort();
    let second = fs::read_to_string(machines[1].data().join("machine-id")).unwrap();
    assert_eq!(hosts, ["build".to_owned(), format!("build-{}", &second[..4])]);
    assert!(rows.iter().all(|row| row["name"] == "build" && row["facts"].as_u64() > Some(0)), "{rows:?}");
    let report = server.get_json("/api/v1/report?by=host&timezone=UTC");
    let reported: Vec<&str> = report["rows"].as_array().unwrap().iter().map(|row| row["host"].as_str().unwrap()).collect();
    assert_eq!(reported.len(), 2, "{reported:?}");
    // The names stay where they are.
    ships(&machines[0], &key, &server.url());
    assert_eq!(server.get_json("/api/v1/report?by=host&timezone=UTC"), report);
}

#[test]
fn a_machine_is_never_called_as_the_receiver_is() {
    let receiver = Machine::new();
    write(&receiver.projects().join("app/own.jsonl"), &request("own", 1, 100));
    let server = receiver.serve();
    eventually(|| if totals(&server, "host")["requests"] == 1 { Ok(()) } else { Err("nothing yet".to_owned()) });
    let own = server.get_json("/api/v1/report?by=host&timezone=UTC")["rows"][0]["host"].as_str().unwrap().to_owned();
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &request("other", 2, 100));
    let key = key(&receiver, "twin");
    let output = ship(&machine, &key, &["--once", "--to", &server.url(), "--host", &own]).output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
    let report = server.get_json("/api/v1/report?by=host&timezone=UTC");
    let rows: Vec<_> = report["rows"].as_array().unwrap().iter().map(|row| row["requests"].as_u64()).collect();
    assert_eq!(rows, [Some(1), Some(1)], "{report}");
}

#[test]
fn the_status_lines_last_word_is_shipped_too() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let key = key(&receiver, "laptop");
    let machine = Machine::new();
    let resets = jiff::Timestamp::now().as_second() + 7200;
    let update = json!({ "session_id": "s", "model": { "id": "claude-opus-4-8" }, "cost": { "total_cost_usd": 1.5 },
        "rate_limits": { "five_hour": { "used_percentage": 40, "resets_at": resets } } });
    let mut line = machine.program("ducat-statusline", &[]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    line.stdin.take().unwrap().write_all(update.to_string().as_bytes()).unwrap();
    assert!(line.wait().unwrap().success());
    let waiting = || fs::read_dir(machine.data().join("spool/latest")).unwrap().count();
    assert_eq!(waiting(), 1);
    let shown = ship(&machine, &key, &["--dry-run", "--to", &server.url()]).output().unwrap();
    assert!(shown.status.success() && waiting() == 1);
    ships(&machine, &key, &server.url());
    assert_eq!(waiting(), 0);
    let quota = server.get_json("/api/v1/quota");
    assert_eq!(quota["quotas"][0]["used_percent"], 40.0, "{quota}");
}

#[test]
fn a_line_that_no_receiver_takes_holds_nothing_up() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let key = key(&receiver, "laptop");
    let machine = Machine::new();
    let long = request("a", 1, 100).replacen("\"cwd\":\"", &format!("\"gitBranch\":\"{}\",\"cwd\":\"", "b".repeat(1_200_000)), 1);
    assert!(long.len() > 1_200_000);
    write(&machine.projects().join("app/a.jsonl"), &(long + &request("a", 2, 100)));
    let output = ship(&machine, &key, &["--once", "--to", &server.url()]).output().unwrap();
    assert!(output.status.success() && words(&output).contains("1048576 bytes"), "{}", words(&output));
    assert_eq!(totals(&server, "daily")["requests"], 1);
}

#[test]
fn a_container_ships_once_and_ends() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let key = key(&receiver, "runner");
    let container = Machine::new();
    write(&container.projects().join("app/a.jsonl"), &(1..=3).map(|id| request("a", id, 100)).collect::<String>());
    // No server runs in there, so hooks spool; one tells of a call that no transcript has.
    for id in [1, 77] {
        let event = json!({ "session_id": "a", "cwd": "/somewhere/app", "hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_use_id": format!("toolu_{id}"), "duration_ms": 3 });
        container.hook(&event, &[]);
    }
    assert_eq!(container.spooled().len(), 2);
    let shown = ship(&container, "", &["--dry-run", "--to", &server.url()]).output().unwrap();
    assert!(words(&shown).contains("2 hook events"), "{}", words(&shown));
    assert_eq!(server.get_json("/api/v1/machines")["rows"], json!([]));
    let said = ships(&container, &key, &server.url());
    assert!(said.contains("and 2 hook events of"), "{said}");
    assert!(container.spooled().is_empty());
    let session = server.get_json("/api/v1/sessions/a");
    let calls = session["tool_calls"].as_array().unwrap();
    assert_eq!((calls.len(), calls.iter().filter(|call| call["duration_ms"] == 3).count()), (4, 2), "{calls:?}");
    assert_eq!(totals(&server, "daily"), serde_json::from_str::<Value>(&container.report("daily")).unwrap()["totals"]);
    // Nothing is new, and then one line is.
    assert!(ships(&container, &key, &server.url()).starts_with("0 facts"));
    append(&container.projects().join("app/a.jsonl"), &request("a", 4, 100));
    ships(&container, &key, &server.url());
    assert_eq!(totals(&server, "daily")["requests"], 4);
    // All containers of a pool are one machine.
    for id in [100, 101] {
        let other = Machine::new();
        write(&other.projects().join("app/x.jsonl"), &request(&format!("x-{id}"), id, 100));
        let output = ship(&other, &key, &["--once", "--to", &server.url(), "--pool", "runners"]).output().unwrap();
        assert!(output.status.success(), "{}", words(&output));
    }
    let machines = server.get_json("/api/v1/machines")["rows"].as_array().unwrap().clone();
    assert_eq!((machines.len(), &machines[0]["host"]), (2, &json!("runners")));
    let metrics = server.get("/metrics");
    assert!(metrics.contains("ducat_machine_last_seen_timestamp_seconds{host=\"runners\""), "{metrics}");
    // Content stays where it is: not a word of it is in what is sent.
    let secret = request("a", 5, 100).replace("\"input\":{}", "\"input\":{\"command\":\"echo secretword\"}");
    append(&container.projects().join("app/a.jsonl"), &secret);
    let shown = ship(&container, "", &["--dry-run", "--to", &server.url()]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("req_5") && !text.contains("secretword"), "{text}");
}

/// A shipper that runs on, and what it says.
struct Follower {
    child: Child,
    said: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Follower {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let (hears, stderr) = (said.clone(), child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                hears.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, said }
    }

    fn says(&self, what: &str) {
        eventually(|| {
            let said = self.said.lock().unwrap().clone();
            if said.contains(what) { Ok(()) } else { Err(format!("{what:?} is not in {said:?}")) }
        });
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_revoked_key_stops_shipping_at_once_and_nothing_is_lost_with_a_new_one() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let url = server.url();
    let machine = Machine::new();
    let file = machine.projects().join("app/a.jsonl");
    write(&file, &request("a", 1, 100));
    let key_file = machine.home().join("key");
    fs::write(&key_file, key(&receiver, "laptop")).unwrap();
    let follower = Follower::start(
        machine
            .command(&["ship", "--to", &url, "--key-file", key_file.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    );
    let comes_to = |requests: u64| {
        eventually(|| {
            let found = totals(&server, "daily")["requests"].clone();
            if found == requests { Ok(()) } else { Err(format!("{found} instead of {requests}")) }
        });
    };
    comes_to(1);
    append(&file, &request("a", 2, 100));
    comes_to(2);
    let revoked = receiver.prints(&["key", "revoke", "laptop"]);
    assert!(revoked.starts_with("Revoked laptop"), "{revoked}");
    append(&file, &request("a", 3, 100));
    follower.says("key laptop");
    follower.says("was revoked");
    // Who ships once is told and fails.
    let old = fs::read_to_string(&key_file).unwrap();
    let other = Machine::new();
    write(&other.projects().join("app/b.jsonl"), &request("b", 50, 100));
    let output = ship(&other, &old, &["--once", "--to", &url]).output().unwrap();
    assert!(output.status.code() == Some(1) && words(&output).contains("revoked"), "{}", words(&output));
    assert_eq!(totals(&server, "daily")["requests"], 2);
    // The name is free again; the running one takes the new key up.
    fs::write(&key_file, key(&receiver, "laptop")).unwrap();
    comes_to(3);
    follower.says("answers again");
    let listed: Value = serde_json::from_str(&receiver.prints(&["key", "list", "--json"])).unwrap();
    let states: Vec<&Value> = listed["rows"].as_array().unwrap().iter().map(|row| &row["state"]).collect();
    assert_eq!(states, ["revoked", "good"]);
    assert!(!listed.to_string().contains(old.split('_').next_back().unwrap()), "the secret is nowhere");
}

#[test]
fn a_machine_that_was_cut_off_goes_on_where_it_was() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let key = key(&receiver, "laptop");
    let machine = Machine::new();
    let file = machine.projects().join("app/a.jsonl");
    write(&file, &request("a", 1, 100));
    let proxy = HostileProxy::start(server.port, 7);
    let follower = Follower::start(&mut ship(&machine, &key, &["--to", &proxy.url()]));
    let comes_to = |server: &Server, requests: u64| {
        eventually(|| {
            let found = totals(server, "daily")["requests"].clone();
            if found == requests { Ok(()) } else { Err(format!("{found} instead of {requests}")) }
        });
    };
    comes_to(&server, 1);
    server.kill();
    append(&file, &request("a", 2, 100));
    let event =
        json!({ "session_id": "a", "cwd": "/x", "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "toolu_9" });
    machine.hook(&event, &[]);
    follower.says("trying again, nothing is lost meanwhile");
    append(&file, &request("a", 3, 100));
    let server = receiver.serve();
    proxy.to.store(server.port, Ordering::Relaxed);
    comes_to(&server, 3);
    eventually(|| if machine.spooled().is_empty() { Ok(()) } else { Err("still spooled".to_owned()) });
    drop(follower);
    // A receiver that lost its ledger gets all of it again.
    server.kill();
    fs::remove_dir_all(receiver.data()).unwrap();
    let server = receiver.serve();
    let key = self::key(&receiver, "laptop");
    proxy.to.store(server.port, Ordering::Relaxed);
    let output = ship(&machine, &key, &["--once", "--to", &proxy.url()]).output().unwrap();
    assert!(output.status.success() && words(&output).contains("another ledger"), "{}", words(&output));
    assert_eq!(totals(&server, "daily")["requests"], 3);
}

#[test]
fn a_receiver_that_dies_before_it_answers_has_it_once() {
    let receiver = Machine::new();
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &(1..=5).map(|id| request("a", id, 100)).collect::<String>());
    let event = json!({ "session_id": "a", "cwd": "/somewhere/app", "hook_event_name": "PreCompact", "trigger": "auto" });
    machine.hook(&event, &[]);
    let server = receiver.serve_with(&[("DUCAT_FAILPOINT", "ship_before_answer")]);
    let key = key(&receiver, "laptop");
    let proxy = HostileProxy::start(server.port, 3);
    let output = ship(&machine, &key, &["--once", "--to", &server.url(), "--wait", "1"]).output().unwrap();
    assert!(!output.status.success() && words(&output).contains("not everything was sent"), "{}", words(&output));
    assert_eq!(machine.spooled().len(), 1);
    drop(server);
    let server = receiver.serve();
    assert_eq!(totals(&server, "daily")["requests"], 5, "it had committed");
    proxy.to.store(server.port, Ordering::Relaxed);
    ships(&machine, &key, &server.url());
    assert!(machine.spooled().is_empty());
    assert_eq!(totals(&server, "daily")["requests"], 5);
    assert_eq!(server.get_json("/api/v1/sessions/a")["incidents"].as_array().unwrap().len(), 1);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

/// Status and answer of a batch that nobody's shipper would send.
fn post(server: &Server, key: &str, headers: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = write!(
        stream,
        "POST /api/v1/ship HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or(("x 0 ", ""));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or(json!(body)))
}

const PLAIN: &str = "Content-Type: application/x-ndjson\r\n";
const GZIP: &str = "Content-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n";

fn head(change: &Value) -> String {
    let mut head = json!({ "protocol": 1, "machine": "0123456789abcdef0123456789abcdef", "host": "h", "client": "0", "now": 0 });
    head.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    format!("{head}\n")
}

#[test]
fn hostile_batches_are_refused_with_the_line_and_change_nothing() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let url = server.url();
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &request("a", 1, 100));
    let shown = ship(&machine, "", &["--dry-run", "--to", &url]).output().unwrap();
    let good = String::from_utf8(shown.stdout).unwrap();
    let good_request = format!("{}\n", good.lines().find(|line| line.contains("\"request\":{")).unwrap());
    let key = key(&receiver, "laptop");
    let refuses = |headers: &str, body: &[u8], status: u16, parts: &[&str]| {
        let (found, answer) = post(&server, &key, headers, body);
        let said = answer["error"].as_str().unwrap_or_default();
        assert!(
            found == status && parts.iter().all(|part| said.contains(part)),
            "{found} {answer} instead of {status} {parts:?}"
        );
    };
    let plain = head(&json!({}));
    // The whole batch is at fault.
    refuses(PLAIN, b"", 422, &["line 1"]);
    refuses(PLAIN, b"nonsense\n", 422, &["line 1", "JSON"]);
    refuses(PLAIN, head(&json!({ "protocol": 3 })).as_bytes(), 422, &["line 1", "protocol", "update Ducat"]);
    refuses(PLAIN, head(&json!({ "tenant": 2 })).as_bytes(), 422, &["line 1", "tenant"]);
    refuses(PLAIN, head(&json!({ "host": "a\nb" })).as_bytes(), 422, &["line 1", "host"]);
    refuses(PLAIN, head(&json!({ "machine": "me" })).as_bytes(), 422, &["line 1"]);
    refuses("Content-Type: application/json\r\n", plain.as_bytes(), 415, &["application/x-ndjson"]);
    refuses("Content-Type: application/x-ndjson\r\nContent-Encoding: br\r\n", plain.as_bytes(), 415, &["gzip"]);
    refuses(GZIP, plain.as_bytes(), 422, &["line 1", "unpacked"]);
    let whole = gzip(format!("{plain}{good_request}").as_bytes());
    refuses(GZIP, &whole[..whole.len() - 9], 422, &["line ", "unpacked"]);
    refuses(PLAIN, format!("{plain}{}", good_request.trim_end()).as_bytes(), 422, &["line 2", "ends within"]);
    let bomb = [plain.clone().into_bytes(), b"{}\n".repeat(30 << 20)].concat();
    refuses(GZIP, &gzip(&bomb), 413, &["line 20001", "at most"]);
    refuses(GZIP, &gzip(&[plain.clone().into_bytes(), vec![b' '; 300 << 20]].concat()), 413, &["line 2", "at most"]);
    let (status, _) = post(&server, &key, PLAIN, &vec![b'x'; 5 << 20]);
    assert!(matches!(status, 413 | 0), "{status}");
    // One line is; the others are taken.
    let long = [plain.as_bytes(), &vec![b' '; 3 << 20], b"\n", good_request.as_bytes()].concat();
    let (status, answer) = post(&server, &key, GZIP, &gzip(&long));
    let refused = (&answer["refused"][0]["line"], answer["facts"].as_u64());
    assert!(status == 200 && answer["refused_lines"] == 1 && refused == (&json!(2), Some(1)), "{answer}");
    let bad = [
        (good_request.replacen("[3,", "[255,", 1), "rank 255"),
        (good_request.replacen("{\"facts\"", "{\"tenant\":2,\"facts\"", 1), "tenant"),
        (good_request.replacen("\"request\":{", "\"dream\":{", 1), "dream"),
        (good_request.replacen("\"live\":false", "\"live\":true", 1), "live"),
        (good_request.replacen("req_1", "req_2", 1), "key"),
        ("{\"facts\":[{\"line\":{\"session\":7}}]}\n".to_owned(), "expected a string at byte"),
        (format!("{}\n", "[".repeat(100_000)), "invalid type"),
    ];
    let body = bad.iter().fold(plain.clone(), |body, (line, _)| body + line) + &good_request;
    let (status, answer) = post(&server, &key, PLAIN, body.as_bytes());
    assert_eq!((status, &answer["facts"], &answer["refused_lines"]), (200, &json!(1), &json!(bad.len())), "{answer}");
    for (number, (_, reason)) in bad.iter().enumerate() {
        let refused = &answer["refused"][number];
        assert!(
            refused["line"] == number + 2 && refused["reason"].as_str().unwrap().contains(reason),
            "{refused} has no {reason}"
        );
    }
    assert_eq!(totals(&server, "daily")["requests"], 1);
    assert!(totals(&server, "daily")["output_tokens"] == 100);
    // The clock of that machine stands in 1970; the page can say so.
    let skew = server.get_json("/api/v1/machines")["rows"][0]["clock_skew_ms"].as_i64().unwrap();
    assert!(skew < -50 * 365 * 86_400_000_i64, "{skew}");
}

#[test]
fn clocks_that_stand_apart_lose_no_event_and_are_told() {
    let receiver = Machine::new();
    let server = receiver.serve();
    let key = key(&receiver, "laptop");
    // An event as a shipper sends it.
    let machine = Machine::new();
    let event =
        json!({ "session_id": "s", "cwd": "/x", "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_use_id": "t" });
    machine.hook(&event, &[]);
    let shown = ship(&machine, "", &["--dry-run", "--to", &server.url()]).output().unwrap();
    let event: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let now = event["event"]["at"].as_i64().unwrap();
    let days = |days: i64| now - days * 86_400_000;
    let send = |number: u8, clock: i64, at: i64| {
        let mut event = event.clone();
        event["event"] = json!({ "id": format!("{number:032x}"), "at": at });
        let id = format!("{number:032x}");
        let body = head(&json!({ "now": clock, "machine": id, "host": format!("h{number}") })) + &format!("{event}\n");
        let (status, answer) = post(&server, &key, PLAIN, body.as_bytes());
        assert_eq!(status, 200, "{answer}");
        [&answer["events"], &answer["repeated_events"], &answer["stale_events"]].map(|count| count.as_u64().unwrap())
    };
    // By its own clock it is of just now, whatever the clock says; by a right one it is too old to tell from a repetition.
    assert_eq!(
        [send(1, days(40), days(40)), send(2, days(-40), days(-40)), send(3, days(0), days(40))],
        [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    );
    assert_eq!(send(1, days(40), days(40)), [0, 1, 0]);
    let machines = server.get_json("/api/v1/machines");
    let skew = |host: &str| {
        let rows = machines["rows"].as_array().unwrap();
        rows.iter().find(|row| row["host"] == host).unwrap()["clock_skew_ms"].as_i64().unwrap() / 3_600_000
    };
    assert_eq!((skew("h1"), skew("h3")), (-960, 0));
    assert!(skew("h2") == 960 || skew("h2") == 959, "{}", skew("h2"));
}

#[test]
fn a_key_opens_what_machines_need_and_nothing_else() {
    let receiver = Machine::new();
    let server = receiver.serve_with(&[("METRICS_API_KEY", "dk_owner")]);
    let key = key(&receiver, "laptop");
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    for path in ["/", "/api/v1/report", "/api/v1/machines", "/api/v1/sessions", "/metrics", "/api/v1/live"] {
        let (status, body) = server.ask(path, None, &bearer(&key));
        assert!(status == 403 && body.contains("laptop"), "{path}: {status} {body}");
        assert_eq!(server.ask(path, None, "").0, 401, "{path}");
    }
    let event =
        json!({ "session_id": "s", "hook_event_name": "PreToolUse", "tool_use_id": "t", "tool_name": "Bash" }).to_string();
    let json = "Content-Type: application/json\r\n";
    let hooks = |key: &str| server.talk("POST", "/api/v1/hooks/claude-code", None, &format!("{json}{}", bearer(key)), &event).0;
    assert_eq!((hooks(&key), hooks("dk_00000000_00"), hooks("dk_owner")), (200, 401, 200));
    let start = json!({ "toolName": "x", "citizen": "ana", "trackingId": "t" }).to_string();
    assert_eq!(server.talk("POST", "/metrics/tool/start", None, &format!("{json}{}", bearer(&key)), &start).0, 403);
    let (head, wrong) = (head(&json!({})), format!("{}0", &key[..key.len() - 1]));
    let statuses = ["", "dk_", &wrong, &format!("{key}0"), "other"].map(|key| post(&server, key, PLAIN, head.as_bytes()).0);
    assert!(statuses.iter().all(|status| *status == 401) || key.ends_with('0'), "{statuses:?}");
    assert_eq!((post(&server, &key, PLAIN, head.as_bytes()).0, post(&server, "dk_owner", PLAIN, head.as_bytes()).0), (200, 200));
    receiver.prints(&["key", "revoke", key.split('_').nth(1).unwrap()]);
    let (status, answer) = post(&server, &key, PLAIN, head.as_bytes());
    assert!(status == 403 && answer["error"].as_str().unwrap().contains("key laptop"), "{answer}");
    assert_eq!(hooks(&key), 403);
    server.stop();
    // Without a key of the owner nobody ships, and beyond loopback nothing is opened by machines' keys.
    let server = receiver.serve();
    assert_eq!(post(&server, "", PLAIN, head.as_bytes()).0, 401);
    server.stop();
    let open = receiver.run(&["serve", "--port", "0", "--host", "0.0.0.0"]);
    assert!(!open.status.success() && words(&open).contains("METRICS_API_KEY"), "{}", words(&open));
    for (args, part) in [
        (&["key", "create", "a b"][..], "must be 1 to 64"),
        (&["key", "create", "x", "--expires", "soon"][..], "12h, 90d"),
        (&["key", "revoke", "nobody"][..], "ducat key list"),
        (&["ship", "--once", "--to", "http://localhost:1"][..], "DUCAT_SHIP_KEY"),
    ] {
        let output = receiver.run(args);
        assert!(!output.status.success() && words(&output).contains(part), "{args:?}: {}", words(&output));
    }
}

fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args}: {}", words(&output));
}

#[test]
fn over_tls_with_an_authority_of_ones_own() {
    let receiver = Machine::new();
    let folder = receiver.home();
    fs::write(folder.join("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    let ca = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority";
    openssl(folder, ca);
    openssl(
        folder,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    );
    openssl(folder, "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san");
    let path = |name: &str| folder.join(name).display().to_string();
    let serving = ["serve", "--port", "0", "--tls-cert", &path("server.pem"), "--tls-key", &path("server.key")];
    let server = Server::start(&mut receiver.command(&serving));
    let url = format!("https://localhost:{}", server.port);
    let key = key(&receiver, "laptop");
    let machine = Machine::new();
    write(&machine.projects().join("app/a.jsonl"), &request("a", 1, 100));
    let trusted = ship(&machine, &key, &["--once", "--to", &url, "--ca", &path("ca.pem")]).output().unwrap();
    assert!(trusted.status.success(), "{}", words(&trusted));
    let unknown = ship(&machine, &key, &["--once", "--to", &url]).output().unwrap();
    assert!(!unknown.status.success() && words(&unknown).contains("--ca"), "{}", words(&unknown));
    // Plain words on a port that speaks TLS are answered by nobody, and the server lives.
    let plain = ship(&machine, &key, &["--once", "--to", &server.url(), "--wait", "0"]).output().unwrap();
    assert!(!plain.status.success());
    append(&machine.projects().join("app/a.jsonl"), &request("a", 2, 100));
    let trusted = ship(&machine, &key, &["--once", "--to", &url, "--ca", &path("ca.pem")]).output().unwrap();
    assert!(trusted.status.success(), "{}", words(&trusted));
    drop(server);
    assert_eq!(totals(&receiver.serve(), "daily")["requests"], 2);
    for (certificate, key, part) in [
        ("none.pem", "server.key", "none.pem"),
        ("server.csr", "server.key", "server.csr"),
        ("server.pem", "ca.key", "certificate"),
    ] {
        let output = receiver.run(&["serve", "--port", "0", "--tls-cert", &path(certificate), "--tls-key", &path(key)]);
        assert!(!output.status.success() && words(&output).contains(part), "{}", words(&output));
    }
}
