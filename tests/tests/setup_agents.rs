//! What `ducat setup` writes into the settings of each agent, what it leaves alone, and that it takes out what it wrote.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use ducat_end_to_end::{Machine, Server, claude_code, codex, gemini_cli, write};
use serde_json::{Value, json};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn parsed(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap()
}

/// A machine with Claude Code, that is not started, and a server.
fn claude() -> Option<(Machine, PathBuf, Server)> {
    let client = claude_code::client(claude_code::PINNED)?;
    let machine = Machine::new();
    let server = machine.serve();
    Some((machine, client, server))
}

#[test]
fn claude_codes_telemetry_is_written_only_where_it_is_taken_and_nobodys() {
    let Some((machine, client, server)) = claude() else { return };
    let path = machine.home().join("claude/settings.json");
    let odd = "{ \"env\":{\"A\": \"1\"} }";
    write(&path, odd);
    let set_up =
        |server: &Server, more: &[&str]| machine.set_up((&client, "claude"), server, &[&["claude-code", "--yes"], more].concat());
    let probed = |more: &[&str]| set_up(&server, &[&["--no-probe"], more].concat());
    assert!(probed(&[]).contains("Telemetry goes to http://127.0.0.1:"));
    let written = parsed(&path)["env"].clone();
    assert_eq!(written["OTEL_EXPORTER_OTLP_ENDPOINT"], format!("http://127.0.0.1:{}", server.port));
    assert_eq!((&written["A"], &written["OTEL_EXPORTER_OTLP_PROTOCOL"]), (&json!("1"), &json!("http/protobuf")));
    assert_eq!(written.get("OTEL_EXPORTER_OTLP_HEADERS"), None);
    assert!(probed(&[]).contains("nothing to do"));
    // Out by itself, and with all the rest, to the byte.
    probed(&["--no-telemetry"]);
    assert_eq!(parsed(&path)["env"], json!({ "A": "1" }));
    probed(&[]);
    set_up(&server, &["--remove"]);
    assert_eq!(read(&path), odd);
    // Theirs stays, and is not taken out.
    write(&path, &json!({ "env": { "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318" } }).to_string());
    let said = probed(&[]);
    assert!(said.contains("Telemetry stays as you have it (OTEL_EXPORTER_OTLP_ENDPOINT in these settings)"), "{said}");
    assert!(said.contains("otlp.forward_url"), "{said}");
    assert_eq!(parsed(&path)["env"], json!({ "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318" }));
    set_up(&server, &["--remove"]);
    // Without a server; what is written stays while it is away.
    write(&path, "{}");
    probed(&[]);
    let before = parsed(&path)["env"].clone();
    let port = server.port.to_string();
    server.stop();
    let command = ["setup", "claude-code", "--yes", "--no-probe"];
    let away = || {
        let mut command = machine.command(&command);
        let output = command.env("PATH", machine.path_with(&client, "claude")).env("METRICS_PORT", &port).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(away().contains("Telemetry is left as it is: no server answers"), "{}", away());
    assert_eq!(parsed(&path)["env"], before);
    assert!(machine.run(&["setup", "claude-code", "--remove", "--yes"]).status.success());
    assert!(away().contains("Telemetry is left as it is"));
    assert_eq!(parsed(&path).get("env"), None);
    // Another ledger's server is not ours.
    let other = Machine::new();
    let server = other.serve();
    assert!(set_up(&server, &["--no-probe"]).contains("keeps another ledger"));
}

#[test]
fn a_key_goes_where_it_is_the_users_own_and_is_not_shown() {
    let Some(client) = claude_code::client(claude_code::PINNED) else { return };
    let machine = Machine::new();
    let server = machine.serve_with(&[("METRICS_API_KEY", "a key, of mine")]);
    let said = |args: &[&str], key: Option<&str>| {
        let mut command = machine.command(&[&["setup", "claude-code", "--yes", "--no-probe"], args].concat());
        command.env("PATH", machine.path_with(&client, "claude")).env("METRICS_PORT", server.port.to_string());
        key.map(|key| command.env("DUCAT_API_KEY", key));
        // The owner's: it reads everything, so it is put into no settings.
        command.env("METRICS_API_KEY", "a key, of mine");
        let output = command.current_dir(machine.home()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let dry = ["--dry-run"];
    assert!(said(&dry, None).contains("asks for a key"));
    assert!(said(&dry, Some("wrong")).contains("refused the key"));
    assert!(said(&["--project"], Some("a key, of mine")).contains("no place for one"));
    assert!(!read(&machine.home().join(".claude/settings.json")).contains("OTEL"));
    let shown = said(&[], Some("a key, of mine"));
    assert!(shown.contains("\"OTEL_EXPORTER_OTLP_HEADERS\": \"Authorization=…\"") && !shown.contains("mine"), "{shown}");
    let settings = parsed(&machine.home().join("claude/settings.json"));
    assert_eq!(settings["env"]["OTEL_EXPORTER_OTLP_HEADERS"], "Authorization=Bearer%20a%20key%2C%20of%20mine");
    let shown = said(&["--no-telemetry", "--dry-run"], None);
    assert!(shown.contains("-    \"OTEL_EXPORTER_OTLP_HEADERS\": \"Authorization=…\"") && !shown.contains("mine"), "{shown}");
    let mut command = machine.command(&["setup", "claude-code", "--remove", "--dry-run"]);
    let shown = String::from_utf8(command.env("PATH", machine.path_with(&client, "claude")).output().unwrap().stdout).unwrap();
    assert!(shown.contains("Authorization=…") && !shown.contains("mine"), "{shown}");
}

#[test]
fn codex_keeps_its_comments_and_its_own_exporters() {
    let Some(client) = codex::client() else { return };
    let machine = Machine::new();
    let server = machine.serve();
    let (config, hooks) = (machine.home().join(".codex/config.toml"), machine.home().join(".codex/hooks.json"));
    let mine = "# mine\nmodel = 'gpt-5.2-codex'   # large\n\n[otel]\nenvironment = \"dev\"\n\n[features]\n";
    write(&config, mine);
    let set_up = |more: &[&str]| machine.set_up((&client, "codex"), &server, &[&["codex", "--yes"], more].concat());
    set_up(&["--dry-run"]);
    assert!(read(&config) == mine && !hooks.exists());
    set_up(&[]);
    let text = read(&config);
    let line = format!(
        "trace_exporter = {{ otlp-http = {{ endpoint = \"http://127.0.0.1:{}/v1/traces\", protocol = \"binary\" }} }}",
        server.port
    );
    assert!(text.contains(&line) && text.contains("# large") && text.contains("environment = \"dev\""), "{text}");
    assert!(parsed(&hooks)["hooks"]["Stop"][0]["hooks"][0]["command"].as_str().unwrap().ends_with("/ducat-hook codex"));
    assert!(set_up(&[]).contains("nothing to do"));
    // Codex writes into its configuration, too: only ours goes.
    write(&config, &format!("{text}\n[projects.\"/x\"]\ntrust_level = \"trusted\"\n"));
    set_up(&["--remove"]);
    assert_eq!(read(&config), format!("{mine}\n[projects.\"/x\"]\ntrust_level = \"trusted\"\n"));
    assert!(!hooks.exists());
    set_up(&[]);
    set_up(&["--remove"]);
    assert!(set_up(&["--remove"]).contains("nothing to remove"));
    // An exporter of theirs, and hooks that are switched off.
    let theirs = "[otel]\nexporter = \"none\"\n[features]\nhooks = false\n";
    write(&config, theirs);
    let said = set_up(&[]);
    assert!(said.contains("otel.exporter in config.toml") && said.contains("switched off in Codex"), "{said}");
    assert!(read(&config) == theirs && !hooks.exists());
    write(&config, "model = \n");
    let refused =
        machine.command(&["setup", "codex", "--yes"]).env("PATH", machine.path_with(&client, "codex")).output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && words.contains("was left as it is") && words.contains("line 1"), "{words}");
}

#[test]
fn gemini_cli_gets_telemetry_without_prompts_and_gives_it_back() {
    let Some(client) = gemini_cli::client() else { return };
    let machine = Machine::new();
    let server = machine.serve();
    let path = machine.home().join(".gemini/settings.json");
    let version = ["gemini", "--yes", "--client-version"];
    let set_up = |version_of: &str, more: &[&str]| {
        machine.set_up((&client, "gemini"), &server, &[&version[..], &[version_of], more].concat())
    };
    let mine = "{\"hooks\": {\"AfterTool\": [{\"hooks\": [{\"type\": \"command\", \"command\": \"check\"}]}]}}";
    write(&path, mine);
    set_up("0.61.0", &[]);
    let written = parsed(&path);
    assert_eq!(
        written["telemetry"],
        json!({ "enabled": true, "target": "local", "otlpEndpoint": format!("http://127.0.0.1:{}", server.port), "otlpProtocol": "http", "logPrompts": false })
    );
    let calls = written["hooks"]["AfterTool"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["hooks"][0]["command"]), (2, &json!("check")));
    assert!(set_up("0.61.0", &[]).contains("nothing to do"));
    machine.prints(&["setup", "gemini", "--remove", "--yes"]);
    assert_eq!(read(&path), mine);
    // An old one, and telemetry that is theirs.
    write(&path, "{\"telemetry\": {\"enabled\": false}}");
    let said = set_up("0.20.0", &[]);
    assert!(said.contains("Hooks are left out") && said.contains("telemetry in these settings"), "{said}");
    assert_eq!(read(&path), "{\"telemetry\": {\"enabled\": false}}");
}
