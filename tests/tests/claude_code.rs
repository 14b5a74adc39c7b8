//! The real client, metered: by hooks that `ducat setup` wrote and by its transcripts, whatever becomes of the server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Output;
use std::thread;

use ducat_end_to_end::claude_code::{PINNED, Provider, Run, client, client_environment};
use ducat_end_to_end::{Machine, Server, eventually};
use serde_json::{Value, json};

/// Tools that succeed, fail and never run, two at once, a sub-agent, and a provider that is overloaded once.
fn turns() -> Value {
    json!([
        { "text": "reading", "tools": [{ "name": "Bash", "input": { "command": "echo hello > notes.txt", "description": "write" } }],
          "usage": { "cache_creation_input_tokens": 5000, "cache_creation": { "ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000 } } },
        { "status": 529 },
        { "tools": [
            { "name": "Bash", "input": { "command": "exit 3", "description": "fail" } },
            { "name": "Read", "input": { "file_path": "/nonexistent/file" } } ],
          "usage": { "cache_read_input_tokens": 5000, "output_tokens": 60 } },
        { "tools": [{ "name": "NoSuchTool", "input": {} }] },
        { "tools": [{ "name": "Edit", "input": { "file_path": "/nonexistent/file", "old_string": "a", "new_string": "b" } }] },
        { "tools": [{ "name": "Agent", "input": { "description": "look", "prompt": "look around", "subagent_type": "general-purpose" } }] },
        { "text": "the sub-agent looks", "tools": [{ "name": "Bash", "input": { "command": "sleep 0.5; ls", "description": "list" } }] },
        { "text": "the sub-agent is done", "usage": { "output_tokens": 33 } },
        { "text": "all done", "usage": { "output_tokens": 44, "cache_read_input_tokens": 9000 } }
    ])
}

const CALLS: [(&str, &str, usize); 6] = [
    ("Agent", "ok", 1),
    ("Bash", "error", 1),
    ("Bash", "ok", 2),
    ("Edit", "refused", 1),
    ("NoSuchTool", "refused", 1),
    ("Read", "error", 1),
];

const SKIP_PERMISSIONS: &str = "--dangerously-skip-permissions";

/// A machine with the client, its hooks set up, and the provider.
struct Scene {
    machine: Machine,
    client: std::path::PathBuf,
    provider: Provider,
}

impl Scene {
    fn new(turns: &Value, setup: &[&str]) -> Option<Self> {
        let machine = Machine::new();
        let client = client(PINNED)?;
        let provider = Provider::start(&machine, turns)?;
        let scene = Self { machine, client, provider };
        let output = scene.setup(setup);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains("Proved: Claude Code read the file and ran ducat-hook.") || setup.contains(&"--no-probe"),
            "{said}"
        );
        Some(scene)
    }

    fn setup(&self, args: &[&str]) -> Output {
        let all = [&["setup", "claude-code"], args].concat();
        self.machine.command(&all).envs(client_environment(&self.machine, &self.client)).output().unwrap()
    }

    fn run(&self) -> Run<'_> {
        Run { machine: &self.machine, client: &self.client, provider: &self.provider }
    }
}

/// What the ledger has of a session is what the provider answered, what the script made the client do, and what the client says it cost.
fn check(server: &Server, provider: &Provider, results: &[&Value], calls: &[(&str, &str, usize)]) {
    // Old clients write their small helper requests, which carry no tools, into no transcript; only the client's sum has them.
    let (told, helpers): (Vec<Value>, Vec<Value>) = provider.answered().into_iter().partition(|answer| answer["tools"] != 0);
    eventually(|| {
        let report = server.get_json("/api/v1/report?by=session");
        let totals = &report["totals"];
        let sum = |field: &str| told.iter().map(|answer| answer["usage"][field].as_u64().unwrap_or(0)).sum::<u64>();
        let part =
            |field: &str| told.iter().map(|answer| answer["usage"]["cache_creation"][field].as_u64().unwrap_or(0)).sum::<u64>();
        let expected = json!([
            told.len(),
            sum("input_tokens"),
            sum("output_tokens"),
            sum("cache_read_input_tokens"),
            part("ephemeral_5m_input_tokens"),
            part("ephemeral_1h_input_tokens")
        ]);
        let names =
            ["requests", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"];
        let got = Value::from(names.map(|name| totals[name].clone()).to_vec());
        if got != expected {
            return Err(format!("tokens {got}, the provider answered {expected}"));
        }
        let cost: f64 = results.iter().map(|result| result["total_cost_usd"].as_f64().unwrap()).sum();
        if helpers.is_empty() && (totals["cost_usd"].as_f64().unwrap() - cost).abs() > 1e-6 {
            return Err(format!("cost {} and the client says {cost}", totals["cost_usd"]));
        }
        let mut ended: BTreeMap<(String, String), usize> = BTreeMap::new();
        let (mut turns, mut subagents, mut sessions) = (0, 0, 0);
        for row in server.get_json("/api/v1/sessions")["rows"].as_array().unwrap() {
            let session = server.get_json(&format!("/api/v1/sessions/{}", row["session"].as_str().unwrap()));
            sessions += 1;
            turns += session["turns"].as_array().unwrap().len();
            for call in session["tool_calls"].as_array().unwrap() {
                let text = |field: &str| call[field].as_str().unwrap_or("none").to_owned();
                *ended.entry((text("name"), text("outcome"))).or_default() += 1;
            }
            let named = session["requests"].as_array().unwrap().iter().filter_map(|request| request["subagent"].as_str());
            subagents += named.collect::<std::collections::BTreeSet<_>>().len();
        }
        let expected: BTreeMap<_, _> =
            calls.iter().map(|(name, outcome, count)| ((name.to_string(), outcome.to_string()), *count)).collect();
        let agents = calls.iter().filter(|(name, ..)| *name == "Agent").map(|(.., count)| count).sum::<usize>();
        let ids: std::collections::BTreeSet<&str> = results.iter().map(|result| result["session_id"].as_str().unwrap()).collect();
        if ended != expected || (turns, subagents, sessions) != (results.len(), agents, ids.len()) {
            return Err(format!(
                "{turns} turns, {subagents} sub-agents, {sessions} sessions of {ids:?}, calls {ended:?}, not {expected:?}"
            ));
        }
        Ok(())
    });
}

#[test]
fn with_command_hooks() {
    let Some(scene) = Scene::new(&turns(), &["--yes"]) else { return };
    let server = scene.machine.serve();
    let result = scene.run().go(&[SKIP_PERMISSIONS]);
    check(&server, &scene.provider, &[&result], &CALLS);
    assert!(scene.machine.spooled().is_empty());
    let session = server.get_json(&format!("/api/v1/sessions/{}", result["session_id"].as_str().unwrap()));
    assert!(session["ended_at"].is_string(), "SessionEnd came: {session}");
    assert_eq!(server.get("/api/v1/report?by=daily&timezone=UTC"), scene.machine.report("daily"));
}

#[test]
fn with_http_hooks() {
    let machine = Machine::new();
    let Some(client) = client(PINNED) else { return };
    let Some(provider) = Provider::start(&machine, &turns()) else { return };
    let server = machine.serve();
    let scene = Scene { machine, client, provider };
    let output = scene.setup(&["--yes", "--http", "--no-probe"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The test's server is on a port of its own.
    let path = scene.machine.home().join("claude/settings.json");
    let settings = fs::read_to_string(&path).unwrap();
    assert!(settings.contains("http://127.0.0.1:9090"));
    fs::write(&path, settings.replace("127.0.0.1:9090", &format!("127.0.0.1:{}", server.port))).unwrap();
    let result = scene.run().go(&[SKIP_PERMISSIONS]);
    check(&server, &scene.provider, &[&result], &CALLS);
}

#[test]
fn with_the_server_started_after_the_session() {
    let Some(scene) = Scene::new(&turns(), &["--yes"]) else { return };
    let result = scene.run().go(&[SKIP_PERMISSIONS]);
    assert!(!scene.machine.spooled().is_empty());
    let server = scene.machine.serve();
    check(&server, &scene.provider, &[&result], &CALLS);
    eventually(|| if scene.machine.spooled().is_empty() { Ok(()) } else { Err("still spooled".to_owned()) });
}

#[test]
fn with_the_server_killed_in_the_middle() {
    let Some(scene) = Scene::new(&turns(), &["--yes"]) else { return };
    let server = scene.machine.serve();
    let run = scene.run();
    let child = run.command(&[SKIP_PERMISSIONS]).spawn().unwrap();
    eventually(|| if scene.provider.answered().len() >= 3 { Ok(()) } else { Err("the session does not get going".to_owned()) });
    server.kill();
    let result = run.ends(child);
    let server = scene.machine.serve();
    check(&server, &scene.provider, &[&result], &CALLS);
}

#[test]
fn with_a_server_that_accepts_and_hangs() {
    let Some(scene) = Scene::new(&turns(), &["--yes"]) else { return };
    fs::create_dir_all(scene.machine.socket().parent().unwrap()).unwrap();
    let hanging = UnixListener::bind(scene.machine.socket()).unwrap();
    let accepting = hanging.try_clone().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in accepting.incoming() {
            held.push(stream);
        }
    });
    let result = scene.run().go(&[SKIP_PERMISSIONS]);
    assert_eq!(result["is_error"], false);
    drop(hanging);
    fs::remove_file(scene.machine.socket()).unwrap();
    let server = scene.machine.serve();
    check(&server, &scene.provider, &[&result], &CALLS);
}

#[test]
fn resumed_and_forked() {
    let turn = json!([
        { "tools": [{ "name": "Bash", "input": { "command": "echo 1", "description": "one" } }] }, { "text": "one" },
        { "tools": [{ "name": "Bash", "input": { "command": "echo 2", "description": "two" } }] }, { "text": "two" },
        { "tools": [{ "name": "Bash", "input": { "command": "echo 3", "description": "three" } }] }, { "text": "three" }
    ]);
    let Some(scene) = Scene::new(&turn, &["--yes"]) else { return };
    let server = scene.machine.serve();
    let run = scene.run();
    let first = run.go(&[SKIP_PERMISSIONS]);
    let id = first["session_id"].as_str().unwrap();
    let resumed = run.go(&[SKIP_PERMISSIONS, "--resume", id]);
    let forked = run.go(&[SKIP_PERMISSIONS, "--resume", id, "--fork-session"]);
    assert_ne!(forked["session_id"], first["session_id"]);
    check(&server, &scene.provider, &[&first, &resumed, &forked], &[("Bash", "ok", 3)]);
    // The fork pays for its own turn, not for the copies.
    let fork = server.get_json(&format!("/api/v1/sessions/{}", forked["session_id"].as_str().unwrap()));
    assert_eq!((fork["requests"].as_array().unwrap().len(), fork["turns"].as_array().unwrap().len()), (2, 1), "{fork}");
}

/// The oldest version on npm that writes transcripts, before there were hooks, and the oldest with hooks.
#[test]
fn with_the_oldest_clients() {
    for version in ["0.2.109", "1.0.38"] {
        let machine = Machine::new();
        let Some(client) = client(version) else { return };
        let turns = json!([
            { "tools": [{ "name": "Bash", "input": { "command": "echo 1", "description": "one" } }] },
            { "text": "done", "usage": { "cache_read_input_tokens": 700, "output_tokens": 3 } }
        ]);
        let Some(provider) = Provider::start(&machine, &turns) else { return };
        let scene = Scene { machine, client, provider };
        let output = scene.setup(&["--yes"]);
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("knows no hooks"), version == "0.2.109", "{version}: {said}");
        let server = scene.machine.serve();
        let mut result = scene.run().go(&["--allowedTools", "Bash"]);
        // Its names at the time.
        let cost = ["total_cost_usd", "total_cost", "cost_usd"].iter().find_map(|name| result[name].as_f64());
        result["total_cost_usd"] = json!(cost.unwrap_or_else(|| panic!("no cost in {result}")));
        check(&server, &scene.provider, &[&result], &[("Bash", "ok", 1)]);
    }
}

#[test]
fn setup_keeps_what_is_there_and_restores_it() {
    let Some(scene) = Scene::new(&json!([]), &["--yes"]) else { return };
    let path = scene.machine.home().join("claude/settings.json");
    let remove = || {
        let output = scene.setup(&["--remove", "--yes"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let again = scene.setup(&["--yes"]);
    assert!(String::from_utf8(again.stdout).unwrap().contains("nothing to do"));
    remove();
    assert!(!path.exists(), "there was no file before");
    // Odd spacing comes back to the byte; a dry run and a refusal change nothing.
    let odd = "{ \"model\":\"sonnet\",\n      \"env\": {\"A\" : \"1\"} }";
    fs::write(&path, odd).unwrap();
    assert!(scene.setup(&["--dry-run"]).status.success());
    assert!(!scene.setup(&[]).status.success(), "nobody to ask");
    assert_eq!(fs::read_to_string(&path).unwrap(), odd);
    assert!(scene.setup(&["--yes", "--no-probe"]).status.success());
    let written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((&written["model"], &written["env"]["A"]), (&json!("sonnet"), &json!("1")));
    assert_eq!(fs::read_to_string(path.with_file_name("settings.json.before-ducat")).unwrap(), odd);
    remove();
    assert_eq!(fs::read_to_string(&path).unwrap(), odd);
    // Changed by others since: only ours goes.
    assert!(scene.setup(&["--yes", "--no-probe"]).status.success());
    let changed = fs::read_to_string(&path).unwrap().replace("sonnet", "opus");
    fs::write(&path, changed).unwrap();
    remove();
    let left: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(left, json!({ "model": "opus", "env": { "A": "1" } }));
}

#[test]
fn setup_refuses_what_it_could_only_make_worse() {
    let Some(scene) = Scene::new(&json!([]), &["--yes"]) else { return };
    let path = scene.machine.home().join("claude/settings.json");
    for (text, word) in [("{ // mine\n}", "comment"), ("{ broken", "line 1"), ("{\"disableAllHooks\": true}", "disableAllHooks")]
    {
        fs::write(&path, text).unwrap();
        let output = scene.setup(&["--yes"]);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && words.contains(word), "{words}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

/// A client that does not read the file: it is restored, and the reason said.
#[test]
fn setup_restores_a_file_that_the_client_does_not_read() {
    let Some(scene) = Scene::new(&json!([]), &["--yes"]) else { return };
    let path = scene.machine.home().join("claude/settings.json");
    // The client takes this field for an array; what it cannot validate it leaves out as a whole.
    let before = "{ \"hooks\": { \"PreToolUse\": [ { \"matcher\": 7, \"hooks\": \"x\" } ] } }";
    fs::write(&path, before).unwrap();
    let output = scene.setup(&["--yes"]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let proved = words.contains("Proved");
    assert!(proved || (words.contains("was restored") && fs::read_to_string(&path).unwrap() == before), "{words}");
}

#[test]
fn setup_names_a_server_elsewhere_and_moves_the_first_version_aside() {
    let Some(scene) = Scene::new(&json!([]), &["--yes"]) else { return };
    let settings = scene.machine.home().join("claude/settings.json");
    let old = scene.machine.home().join("claude/hooks.json");
    fs::write(&old, "{\"preToolUse\": \"node hook.js $TOOL_NAME\"}").unwrap();
    let said = |args: &[&str]| {
        let output = scene.setup(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let words = said(&["--yes", "--url", "http://127.0.0.1:1"]);
    assert!(
        words.contains("--migrate moves it aside")
            && words.contains("nothing answers there from here")
            && words.contains("Not probed"),
        "{words}"
    );
    let written: Value = serde_json::from_str(&fs::read_to_string(&settings).unwrap()).unwrap();
    assert_eq!(written["env"], json!({ "DUCAT_URL": "http://127.0.0.1:1" }));
    assert!(old.exists());
    let words = said(&["--yes", "--migrate"]);
    assert!(words.contains("hooks.json.first-version") && !old.exists(), "{words}");
    said(&["--remove", "--yes"]);
    assert!(!settings.exists());
    // A project's own settings, in a folder with a space in its name.
    let project = scene.machine.home().join("my project");
    fs::create_dir_all(&project).unwrap();
    let all = ["setup", "claude-code", "--project", "--yes"];
    let output = scene
        .machine
        .command(&all)
        .envs(client_environment(&scene.machine, &scene.client))
        .current_dir(&project)
        .output()
        .unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(
        words.contains("Proved") && project.join(".claude/settings.json").exists(),
        "{words} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
