//! `ducat doctor` about the wiring of Codex and Gemini CLI, everybody's telemetry, and witnesses that went quiet: each planted fault is found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use ducat_end_to_end::scene::{Scene, all_are_found, executable, fault};
use ducat_end_to_end::{append, past, write};
use ducat_ledger::Witness;
use serde_json::{Value, json};

const CODEX: &str = "case $1 in --version) echo codex-cli 0.169.0;; features) echo 'hooks  stable  true';; esac";

fn install(scene: &Scene, program: &str, script: &str) {
    executable(&scene.home("bin").join(program), script);
}

/// The agent is there and wired by setup, telemetry and all, and all is well.
fn set_up(scene: &Scene, agent: &str) {
    match agent {
        "codex" => install(scene, "codex", CODEX),
        "gemini" => install(scene, "gemini", "echo 0.61.0"),
        _ => {}
    }
    let probe: &[&str] = if agent == "claude-code" { &["--no-probe"] } else { &[] };
    let output = scene.command(&[&["setup", agent, "--yes"], probe].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("Telemetry goes to"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    scene.is_well();
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn edit(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn faults_of_hooks_of_other_agents() {
    all_are_found(&[
        fault(&["agent-not-wired"], "note", "Codex is installed", "ducat setup codex", |scene| install(scene, "codex", CODEX)),
        fault(&["agent-hooks-removed"], "warning", "~/.codex/hooks.json", "ducat setup codex --remove", |scene| {
            set_up(scene, "codex");
            fs::write(scene.home(".codex/hooks.json"), "{}").unwrap();
        }),
        fault(&["agent-hooks-partial"], "warning", "Stop", "ducat setup codex", |scene| {
            set_up(scene, "codex");
            edit(&scene.home(".codex/hooks.json"), |file| drop(file["hooks"].as_object_mut().unwrap().remove("Stop")));
        }),
        fault(&["agent-hooks-off"], "warning", "features.hooks = false in ~/.codex/config.toml", "--remove", |scene| {
            set_up(scene, "codex");
            append(&scene.home(".codex/config.toml"), "\n[features]\nhooks = false\n");
        }),
        fault(&["agent-hooks-off"], "warning", "hooksConfig.enabled = false", "ducat setup gemini --remove", |scene| {
            set_up(scene, "gemini");
            edit(&scene.home(".gemini/settings.json"), |file| file["hooksConfig"] = json!({ "enabled": false }));
        }),
        fault(&["hook-program-missing"], "error", "~/old/ducat-hook", "ducat setup gemini", |scene| {
            set_up(scene, "gemini");
            let own = ducat_end_to_end::program("ducat-hook");
            let old = scene.home("old/ducat-hook");
            replace(&scene.home(".gemini/settings.json"), own.to_str().unwrap(), old.to_str().unwrap());
        }),
        fault(&["agent-settings-unreadable"], "error", "it is no TOML", "Codex itself", |scene| {
            write(&scene.home(".codex/config.toml"), "a = \n");
        }),
        fault(&["agent-settings-unreadable"], "error", "line 2 has a comment", "Gemini CLI itself", |scene| {
            write(&scene.home(".gemini/settings.json"), "{\n  // mine\n}");
        }),
    ]);
}

#[test]
fn faults_of_telemetry() {
    all_are_found(&[
        fault(&["telemetry-removed"], "warning", "Codex", "ducat setup codex --no-telemetry", |scene| {
            set_up(scene, "codex");
            fs::remove_file(scene.home(".codex/config.toml")).unwrap();
        }),
        fault(&["telemetry-removed"], "warning", "Claude Code", "ducat setup claude-code", |scene| {
            set_up(scene, "claude-code");
            scene.edit_settings(|settings| drop(settings.as_object_mut().unwrap().remove("env")));
        }),
        fault(&["telemetry-off"], "warning", "GEMINI_TELEMETRY_ENABLED is off", "ducat setup gemini --no-telemetry", |scene| {
            set_up(scene, "gemini");
            scene.set("GEMINI_TELEMETRY_ENABLED", "false");
        }),
        fault(&["telemetry-off"], "warning", "CLAUDE_CODE_ENABLE_TELEMETRY is off", "--no-telemetry", |scene| {
            set_up(scene, "claude-code");
            scene.edit_settings(|settings| settings["env"]["CLAUDE_CODE_ENABLE_TELEMETRY"] = json!("0"));
        }),
        fault(&["telemetry-off"], "warning", "otel.exporter in ~/.codex/config.toml", "--no-telemetry", |scene| {
            set_up(scene, "codex");
            let path = scene.home(".codex/config.toml");
            let text = fs::read_to_string(&path).unwrap();
            let line = text.lines().find(|line| line.starts_with("exporter = ")).unwrap();
            replace(&path, line, "exporter = \"none\"");
        }),
        fault(&["telemetry-unanswered"], "warning", "nobody answers", "ducat serve", |scene| {
            set_up(scene, "codex");
            let port = scene.server.as_ref().unwrap().port;
            replace(&scene.home(".codex/config.toml"), &format!(":{port}/"), ":1/");
        }),
        fault(&["telemetry-unanswered", "server-away"], "warning", "http://127.0.0.1:", "ducat service install", |scene| {
            set_up(scene, "gemini");
            scene.stop();
        }),
        fault(&["telemetry-elsewhere"], "warning", "no Ducat", "otlp.forward_url", |scene| {
            set_up(scene, "gemini");
            let port = scene.answers(Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()));
            scene.set("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"));
        }),
        fault(&["telemetry-elsewhere"], "note", "http://collector.invalid:4318", "otlp.forward_url", |scene| {
            scene.edit_settings(|settings| {
                settings["env"] = json!({ "CLAUDE_CODE_ENABLE_TELEMETRY": "1", "OTEL_LOGS_EXPORTER": "otlp",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318" });
            });
        }),
        fault(
            &["otlp-unreadable"],
            "warning",
            "1 file with 1,234 bytes",
            "rm ~/.local/share/ducat/otlp-inbox/*.unreadable",
            |scene| {
                write(&scene.machine.data().join("otlp-inbox/00000001.unreadable"), &"x".repeat(1234));
            },
        ),
    ]);
}

#[test]
fn witnesses_that_went_quiet() {
    all_are_found(&[
        fault(&["witness-quiet"], "warning", "hook of codex: quiet since", "ducat setup codex --remove", |scene| {
            scene.stop();
            past::told(&scene.machine, "codex", &[(Witness::Hook, 120, 60), (Witness::Transcript, 120, 0)]);
            scene.serve();
        }),
        fault(&["witness-quiet"], "warning", "otlp_log, otlp_span of my-service", "OTEL_EXPORTER_OTLP_ENDPOINT", |scene| {
            scene.stop();
            let told = [(Witness::OtlpLog, 120, 60), (Witness::OtlpSpan, 120, 60), (Witness::Hook, 120, 0)];
            past::told(&scene.machine, "my-service", &told);
            scene.serve();
        }),
    ]);
}
