//! `ducat top` in a real terminal, against a real server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::process::Command;

use ducat_end_to_end::terminal::Terminal;
use ducat_end_to_end::{Machine, Server, eventually, request, write};
use serde_json::{Value, json};

/// A shell that runs it, says how it ended and what the terminal is like then, and goes on. Its process id is in the file `pid`.
fn in_a_shell(machine: &Machine, arguments: &str) -> Command {
    let top = machine.command(&[]);
    let mut shell = Command::new("sh");
    let (program, pid) = (top.get_program().display(), machine.home().join("pid"));
    let run = format!("echo $$ >{}; exec {program} top {arguments}", pid.display());
    let after = "echo \"ended with $?\"; stty -a | grep -o ' -\\?echo '; read line; echo \"took $line\"; sleep 60";
    shell.args(["-c", &format!("sh -c '{run}'; {after}")]);
    for (name, value) in top.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    shell.env("PATH", std::env::var_os("PATH").unwrap()).env("TZ", "UTC");
    shell
}

fn busy() -> (Machine, Server) {
    let machine = Machine::new();
    let lines: String = (0..3).map(|id| request("aaaa-1111", id, 10)).collect();
    write(&machine.projects().join("p/aaaa.jsonl"), &lines);
    let server = machine.serve();
    eventually(|| {
        let rows = server.get_json("/api/v1/sessions")["rows"].as_array().map_or(0, Vec::len);
        if rows == 1 { Ok(()) } else { Err(format!("{rows} sessions")) }
    });
    (machine, server)
}

#[test]
fn it_shows_what_happens_and_gives_the_terminal_back() {
    let (machine, server) = busy();
    let port = server.port;
    let shell = in_a_shell(&machine, &format!("--url {}", server.url()));
    let Some(terminal) = Terminal::start(machine.home(), (80, 24), &shell) else { return };
    let screen = terminal.shows(" q quit  ? help  s sort: last ");
    assert!(screen.contains("aaaa-111  app") && screen.contains("nothing heard since"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");

    // Live events, and their figures.
    let session = "bbbb-2222";
    let hook = |event: &str, more: Value| {
        let mut told = json!({ "hook_event_name": event, "session_id": session, "cwd": "/somewhere/site", "prompt_id": "p" });
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        machine.hook(&told, &[]);
    };
    hook("UserPromptSubmit", json!({ "prompt": "hello" }));
    hook("PreToolUse", json!({ "tool_name": "Bash", "tool_use_id": "toolu_b" }));
    terminal.shows("Bash running");
    hook("PostToolUse", json!({ "tool_name": "Bash", "tool_use_id": "toolu_b", "duration_ms": 1234 }));
    let screen = terminal.shows("✓  Bash 1.2 s");
    assert!(!screen.contains("running"), "{screen}");
    let screen = terminal.shows("● bbbb-222  site");
    assert!(screen.contains(" 1 live"), "{screen}");

    // Its size follows the terminal.
    terminal.resize(140, 40);
    terminal.shows("STARTED  REQUESTS");
    terminal.resize(30, 8);
    terminal.shows("this is 30x8.");
    terminal.resize(80, 24);

    // A filter and a session, by keys.
    terminal.types("/aaaa", "Enter");
    terminal.shows("/ filter: aaaa");
    terminal.press("Enter");
    terminal.shows(" session aaaa-1111");
    terminal.press("Escape");
    terminal.shows("/ filter: aaaa");

    // The server goes and comes back.
    server.stop();
    terminal.shows("not connected since");
    let again = Server::start(&mut machine.command(&["serve", "--port", &port.to_string()]));
    eventually(|| {
        let screen = terminal.screen();
        if screen.contains("not connected") { Err(screen) } else { Ok(()) }
    });

    terminal.press("q");
    let screen = terminal.shows("ended with 0");
    assert!(!screen.contains("q quit"), "{screen}");
    // What is typed is shown again, and comes in lines.
    terminal.shows(" echo");
    terminal.types("hello", "Enter");
    let screen = terminal.shows("took ");
    assert!(screen.contains("hello"), "{screen}");
    drop(again);
}

#[test]
fn signals_give_the_terminal_back_too() {
    let (machine, server) = busy();
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let folder = tempfile::TempDir::new().unwrap();
        let shell = in_a_shell(&machine, &format!("--url {}", server.url()));
        let Some(terminal) = Terminal::start(folder.path(), (80, 24), &shell) else { return };
        terminal.shows("q quit");
        let pid = fs::read_to_string(machine.home().join("pid")).unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status().unwrap().success());
        let screen = terminal.shows(&format!("ended with {code}"));
        assert!(!screen.contains("q quit"), "{screen}");
        terminal.shows(" echo");
    }
}

#[test]
fn without_a_terminal_it_prints_one_frame() {
    let (machine, server) = busy();
    let url = server.url();
    let output = machine.command(&["top", "--url", &url]).output().unwrap();
    let frame = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{frame}");
    assert!(
        frame.contains("$0.00 today") && frame.contains("aaaa-111") && !frame.contains('\u{1b}') && !frame.contains("q quit"),
        "{frame}"
    );
    let once = machine.command(&["top", "--url", &url, "--once"]).env("COLUMNS", "40").output().unwrap();
    assert!(String::from_utf8(once.stdout).unwrap().lines().all(|line| line.chars().count() <= 40));
    let json: Value = serde_json::from_str(&machine.prints(&["top", "--url", &url, "--json"])).unwrap();
    assert_eq!((&json["schema_version"], &json["today"]["cost_nano_usd"]), (&json!(1), &json!("0")));
    assert_eq!((&json["sessions"][0]["session"], &json["live_sessions"]), (&json!("aaaa-1111"), &json!(0)));
    // By the environment, as hooks have it.
    let told = machine.command(&["top", "--once"]).env("DUCAT_URL", &url).output().unwrap();
    assert!(told.status.success());
}

#[test]
fn what_is_wrong_is_one_line() {
    let machine = Machine::new();
    let server = machine.serve_with(&[("METRICS_API_KEY", "hush")]);
    let url = server.url();
    let fails = |args: &[&str], variables: &[(&str, &str)]| {
        let output = machine.command(args).envs(variables.iter().copied()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len(), said.lines().count()), (Some(1), 0, 1), "{said}");
        said
    };
    assert!(fails(&["top", "--url", &url], &[]).contains("wants a key: set DUCAT_API_KEY"));
    assert!(fails(&["top", "--url", &url], &[("DUCAT_API_KEY", "wrong")]).contains("wants a key"));
    for name in ["DUCAT_API_KEY", "METRICS_API_KEY"] {
        assert!(machine.command(&["top", "--url", &url]).env(name, "hush").output().unwrap().status.success());
    }
    server.stop();
    let said = fails(&["top", "--url", &url], &[]);
    assert!(said.contains(&format!("no Ducat answers at {url}")) && said.contains("start one with `ducat serve`"), "{said}");
    assert!(fails(&["top", "--url", "localhost"], &[]).contains("must be http://HOST"));
    assert!(fails(&["top", "--timezone", "Mars"], &[]).contains("timezone"));
}
