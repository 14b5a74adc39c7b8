//! `ducat doctor`: silent on a machine where all is well; each planted fault found, with what to do about it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use ducat_end_to_end::scene::{DAY, HOUR, Scene, all_are_found, executable, fault, ids, touch};
use ducat_end_to_end::{Machine, append, program, request, write};
use serde_json::{Value, json};

const EVENT: &str = "0000000000001000-0123456789abcdef0123456789abcdef-5.claude-code";

#[test]
fn faults_of_the_client_and_its_settings() {
    all_are_found(&[
        fault(&["client-missing"], "note", "1 transcript", "on the PATH", |scene| {
            fs::remove_file(scene.home("bin/claude")).unwrap()
        }),
        fault(
            &["client-unreadable"],
            "warning",
            "~/bin/claude",
            "~/bin/claude \
            --version",
            |scene| scene.client_says("exit 3"),
        ),
        fault(&["client-knows-no-hooks"], "note", "0.2.109", "claude update", |scene| {
            scene.client_says("echo '0.2.109 (Claude Code)'")
        }),
        fault(&["unknown-hook-event"], "error", "PostToolUseFailure", "claude update", |scene| {
            scene.client_says("echo '1.0.90 (Claude Code)'")
        }),
        fault(&["settings-unreadable"], "error", "line 2 has a comment", "~/claude/settings.json", |scene| {
            fs::write(scene.settings(), "{\n  // mine\n}").unwrap();
        }),
        fault(&["key-open-to-others"], "warning", "DUCAT_API_KEY", "chmod go= ~/claude/settings.json", |scene| {
            scene.edit_settings(|settings| settings["env"] = json!({ "DUCAT_API_KEY": "secret" }));
            fs::set_permissions(scene.settings(), fs::Permissions::from_mode(0o644)).unwrap();
        }),
        fault(&["hooks-missing"], "note", "no hooks", "ducat setup claude-code", |scene| {
            assert!(scene.command(&["setup", "claude-code", "--remove", "--yes"]).output().unwrap().status.success());
        }),
        fault(&["hooks-removed"], "warning", "~/claude/settings.json", "ducat doctor --fix", |scene| {
            fs::write(scene.settings(), r#"{"model":"opus"}"#).unwrap();
        }),
        fault(&["hooks-partial"], "warning", "Stop", "ducat setup claude-code", |scene| {
            scene.edit_settings(|settings| drop(settings["hooks"].as_object_mut().unwrap().remove("Stop")));
        }),
        fault(&["hooks-changed"], "warning", "PreToolUse", "ducat setup claude-code", |scene| {
            scene.edit_settings(|settings| settings["hooks"]["PreToolUse"][0]["hooks"][0]["timeout"] = json!(600));
        }),
        fault(&["status-line-removed"], "warning", "quota", "ducat setup claude-code --status-line", |scene| {
            assert!(
                scene
                    .command(&["setup", "claude-code", "--yes", "--no-probe", "--status-line"])
                    .output()
                    .unwrap()
                    .status
                    .success()
            );
            scene.is_well();
            scene.edit_settings(|settings| drop(settings.as_object_mut().unwrap().remove("statusLine")));
        }),
        fault(&["status-line-fails"], "error", "~/old/ducat-statusline", "ducat setup claude-code --status-line", |scene| {
            let program = scene.home("old/ducat-statusline");
            scene.edit_settings(|settings| settings["statusLine"] = json!({ "type": "command", "command": program }));
        }),
        fault(&["status-line-other-version"], "warning", "0.0.9", "ducat setup claude-code --status-line", |scene| {
            let program = scene.home("old/ducat-statusline");
            executable(&program, "echo ducat-statusline 0.0.9");
            scene.edit_settings(|settings| settings["statusLine"] = json!({ "type": "command", "command": program }));
        }),
        fault(&["hooks-disabled"], "warning", "settings.local.json", "disableAllHooks", |scene| {
            write(&scene.home("proj/.claude/settings.local.json"), r#"{"disableAllHooks":true}"#);
        }),
        fault(&["hooks-forbidden"], "warning", "allowManagedHooksOnly", "--remove", |scene| {
            write(&scene.home("root/etc/claude-code/managed-settings.json"), r#"{"allowManagedHooksOnly":true}"#);
        }),
        fault(&["config-dir-differs"], "warning", "~/claude/settings.json", "CLAUDE_CONFIG_DIR", |scene| {
            fs::create_dir_all(scene.home("other/projects")).unwrap();
            let other = scene.home("other").display().to_string();
            scene.set("CLAUDE_CONFIG_DIR", &other);
        }),
    ]);
}

#[test]
fn faults_of_programs_and_of_hooks_that_do_not_fire() {
    all_are_found(&[
        fault(&["hook-program-missing"], "error", "~/old/ducat-hook", "ducat setup claude-code", |scene| {
            scene.hooks_start(&scene.home("old/ducat-hook"));
        }),
        fault(&["hook-program-not-executable"], "error", "~/old/ducat-hook", "chmod +x ~/old/ducat-hook", |scene| {
            write(&scene.home("old/ducat-hook"), "");
            scene.hooks_start(&scene.home("old/ducat-hook"));
        }),
        fault(&["hook-program-other-version"], "warning", "0.0.9", "ducat setup claude-code", |scene| {
            executable(&scene.home("old/ducat-hook"), "echo ducat-hook 0.0.9");
            scene.hooks_start(&scene.home("old/ducat-hook"));
        }),
        fault(&["programs-differ"], "warning", "0.0.9", "rm ~/bin/ducat", |scene| {
            executable(&scene.home("bin/ducat"), "echo ducat 0.0.9")
        }),
        fault(&["hooks-not-firing"], "warning", "last tool call", "ducat doctor --probe", |scene| {
            scene.is_set_up_long_ago(Some("6 hours ago"));
        }),
        fault(
            &["hooks-never-fired"],
            "warning",
            "since setup",
            "ducat doctor \
            --probe",
            |scene| scene.is_set_up_long_ago(None),
        ),
    ]);
}

const HEALTH: &str = r#"{"status":"healthy","version":"VERSION","ledger":"LEDGER"}"#;

/// An answer to `GET /health`.
fn health(version: &str, ledger: &str, date: &str) -> String {
    let body = HEALTH.replace("VERSION", version).replace("LEDGER", ledger);
    format!("HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn own_version() -> String {
    let said = Command::new(program("ducat")).arg("--version").output().unwrap();
    String::from_utf8(said.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn faults_of_the_server() {
    all_are_found(&[
        fault(&["server-away"], "note", "nothing listens", "ducat serve", Scene::stop),
        fault(&["socket-stale", "server-away"], "warning", "run/hook.sock", "ducat doctor --fix", |scene| {
            scene.server.take().unwrap().kill()
        }),
        fault(&["port-taken"], "warning", "(process ", "ducat serve --port", |scene| {
            scene.stop();
            let port = scene.answers(Some("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()));
            scene.set("METRICS_PORT", &port.to_string());
        }),
        fault(&["otlp-port-taken"], "warning", "OpenTelemetry over grpc is not taken", "otlp.grpc_port", |scene| {
            scene.stop();
            let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = other.local_addr().unwrap().port().to_string();
            scene.kept.push(Box::new(other));
            scene.serve_with(&[("DUCAT_OTLP_GRPC_PORT", &port)]);
        }),
        fault(&["server-hangs"], "error", "does not answer", "ducat serve", |scene| {
            scene.stop();
            let port = scene.answers(None);
            scene.set("METRICS_PORT", &port.to_string());
        }),
        fault(&["server-hangs"], "error", "hook.sock", "ducat serve", |scene| {
            scene.stop();
            scene.kept.push(Box::new(std::os::unix::net::UnixListener::bind(scene.machine.socket()).unwrap()));
        }),
        fault(&["server-other-version"], "warning", "version 0.0.9", "ducat serve", |scene| {
            let ledger = scene.server.as_ref().unwrap().get_json("/health")["ledger"].as_str().unwrap().to_owned();
            let port = scene.answers(Some(health("0.0.9", &ledger, "")));
            scene.set("METRICS_PORT", &port.to_string());
        }),
        fault(&["server-other-ledger"], "warning", "another data folder", "DUCAT_DATA_DIR", |scene| {
            let other = Machine::new();
            let server = other.serve();
            scene.set("METRICS_PORT", &server.port.to_string());
            scene.kept.push(Box::new((server, other)));
        }),
        fault(&["server-without-socket"], "warning", "elsewhere.sock", "DUCAT_SOCKET", |scene| {
            let path = scene.home("elsewhere.sock").display().to_string();
            scene.set("DUCAT_SOCKET", &path);
        }),
        fault(&["server-unreachable"], "warning", "http://127.0.0.1:1", "ducat setup claude-code --url", |scene| {
            scene.set("DUCAT_URL", "http://127.0.0.1:1")
        }),
        fault(&["url-unsupported"], "error", "http:// only", "ducat setup claude-code --url", |scene| {
            scene.set("DUCAT_URL", "https://meter.example.org")
        }),
        fault(&["key-refused"], "error", "whoever has no key", "DUCAT_API_KEY", |scene| {
            let other = Machine::new();
            let server = other.serve_with(&[("METRICS_API_KEY", "secret")]);
            scene.set("DUCAT_URL", &server.url());
            scene.kept.push(Box::new((server, other)));
        }),
        fault(&["url-not-ducat"], "error", "no Ducat", "ducat setup claude-code --url", |scene| {
            let port = scene.answers(Some("220 mail.example.org\r\n".to_owned()));
            scene.set("DUCAT_URL", &format!("http://127.0.0.1:{port}"));
        }),
        fault(&["server-unreachable"], "warning", "http://127.0.0.1:2", "ducat setup claude-code --url", |scene| {
            assert!(scene.command(&["setup", "claude-code", "--http", "--yes", "--no-probe"]).output().unwrap().status.success());
            for file in [scene.settings(), scene.record()] {
                fs::write(&file, fs::read_to_string(&file).unwrap().replace("127.0.0.1:9090", "127.0.0.1:2")).unwrap();
            }
        }),
        fault(&["clocks-apart"], "warning", "behind", "timedatectl", |scene| {
            let port = scene.answers(Some(health(&own_version(), "", "Wed, 01 Jan 2025 00:00:00 GMT")));
            scene.set("DUCAT_URL", &format!("http://127.0.0.1:{port}"));
        }),
    ]);
}

/// The first hook that finds no server starts one; while none is asked for, all is well without.
fn starts_on_demand(scene: &mut Scene) -> PathBuf {
    let installed = scene.command(&["service", "install", "--on-demand"]).output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    scene.is_well();
    scene.stop();
    scene.is_well();
    scene.machine.data().join("start-on-hook")
}

#[test]
fn a_start_file_of_another_user_is_found() {
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        println!("skipped: only root can give a file away");
        return;
    }
    all_are_found(&[fault(
        &["start-file-of-another"],
        "warning",
        "another user's",
        "ducat service install --on-demand",
        |scene| std::os::unix::fs::chown(starts_on_demand(scene), Some(1000), None).unwrap(),
    )]);
}

#[test]
fn faults_of_the_service() {
    all_are_found(&[
        fault(
            &["start-file-open-to-others"],
            "warning",
            "hooks do not believe it",
            "chmod go= ~/.local/share/ducat/start-on-hook",
            |scene| {
                let file = starts_on_demand(scene);
                fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
            },
        ),
        fault(&["start-file-unreadable"], "warning", "start-on-hook", "ducat service install --on-demand", |scene| {
            fs::write(starts_on_demand(scene), "nothing").unwrap();
        }),
        fault(&["service-program-missing"], "error", "/nowhere/ducat", "ducat service install --on-demand", |scene| {
            let file = starts_on_demand(scene);
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, text.replace(program("ducat").to_str().unwrap(), "/nowhere/ducat")).unwrap();
        }),
        fault(&["service-failed"], "warning", "no such disk", "ducat service install", |scene| {
            starts_on_demand(scene);
            write(&scene.machine.data().join("start-on-hook.tried"), "");
            write(&scene.machine.data().join("logs/start.log"), "ducat: no such disk\n");
        }),
        fault(&["service-record-unreadable", "server-away"], "error", "service.json", "ducat service install", |scene| {
            starts_on_demand(scene);
            write(&scene.machine.data().join("service.json"), "{");
        }),
    ]);
}

#[test]
fn faults_of_the_data_folder_and_the_spool() {
    all_are_found(&[
        fault(
            &["folder-open-to-others"],
            "warning",
            "~/.local/share/ducat/run",
            "chmod go-w ~/.local/share/ducat/run",
            |scene| {
                fs::set_permissions(scene.machine.data().join("run"), fs::Permissions::from_mode(0o777)).unwrap();
            },
        ),
        fault(&["network-file-system"], "error", "nfs4", "DUCAT_DATA_DIR", |scene| {
            let data = scene.machine.data().canonicalize().unwrap();
            let mounts = format!("1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / {} rw - nfs4 host:/ rw\n", data.display());
            write(&scene.home("root/proc/self/mountinfo"), &mounts);
        }),
        fault(&["ledger-unreadable", "server-away"], "error", "ledger.db", "ducat import", |scene| {
            scene.stop();
            fs::write(scene.machine.data().join("ledger.db"), "x".repeat(8192)).unwrap();
        }),
        fault(&["ledger-newer", "server-away"], "error", "newer Ducat", "Install the newer ducat", |scene| {
            scene.stop();
            // Where SQLite keeps the schema's version.
            let mut file = File::options().write(true).open(scene.machine.data().join("ledger.db")).unwrap();
            file.seek(SeekFrom::Start(60)).unwrap();
            file.write_all(&99_u32.to_be_bytes()).unwrap();
        }),
        fault(&["events-from-the-future"], "warning", "is not yet", "timedatectl", |scene| {
            let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() + 86_400_000;
            let headers = format!("Content-Type: application/json\r\nX-Ducat-Event-Time: {at}\r\n");
            let event =
                json!({ "session_id": "s", "cwd": "/somewhere/app", "hook_event_name": "UserPromptSubmit", "prompt": "x" });
            let server = scene.server.as_ref().unwrap();
            assert_eq!(server.talk("POST", "/api/v1/hooks/claude-code", None, &headers, &event.to_string()).0, 200);
        }),
        fault(&["spool-not-drained"], "warning", "1 event", "ducat serve", |scene| {
            // Nothing that can be read.
            fs::create_dir_all(scene.machine.data().join("spool/new").join(EVENT)).unwrap();
        }),
        fault(&["spool-waiting", "server-away"], "warning", "1,001 events", "ducat serve", |scene| {
            scene.stop();
            for place in 0..1001 {
                write(
                    &scene.machine.data().join(format!("spool/new/{place:016}-0123456789abcdef0123456789abcdef-1.claude-code")),
                    "x",
                );
            }
        }),
        fault(&["spool-dropped"], "warning", "2 events", "ducat import", |scene| {
            write(&scene.machine.data().join("spool/dropped"), "..")
        }),
        fault(&["spool-broken"], "warning", "1 event", "rm -r ~/.local/share/ducat/spool/broken", |scene| {
            write(&scene.machine.data().join("spool/broken").join(EVENT), "{");
        }),
        fault(&["spool-unfinished"], "warning", "1 event", "ducat doctor --fix", |scene| {
            let path = scene.machine.data().join("spool/tmp").join(EVENT);
            write(&path, "{");
            touch(&path, -100);
        }),
        fault(&["spool-marks-stale"], "warning", "hanging", "ducat doctor --fix", |scene| {
            write(&scene.machine.data().join("spool/hanging"), "1000 5000");
            write(&scene.machine.data().join("spool/probe"), "");
            touch(&scene.machine.data().join("spool/probe"), -100);
        }),
        fault(&["server-marked-hanging"], "warning", "until", "ducat serve", |scene| {
            let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() + 50_000;
            write(&scene.machine.data().join("spool/hanging"), &format!("{until} 60000"));
        }),
    ]);
}

#[test]
fn faults_of_transcripts_and_history() {
    all_are_found(&[
        fault(&["ledger-log-large", "server-away"], "note", "600 MB", "ducat serve", |scene| {
            scene.stop();
            File::create(scene.machine.data().join("ledger.db-wal")).unwrap().set_len(600_000_000).unwrap();
        }),
        fault(&["models-unpriced"], "warning", "corp-secret-9", "[prices.models.\"corp-secret-9\"]", |scene| {
            append(&scene.transcript(), &request("s", 2, 5).replace("claude-opus-4-8", "corp-secret-9"));
            let report = scene.machine.report("session");
            scene.server.as_ref().unwrap().comes_to("/api/v1/report?by=session", &report);
        }),
        fault(
            &["lines-unreadable"],
            "note",
            "line 2",
            "the rest \
            counts",
            |scene| append(&scene.transcript(), "{\"type\":\n"),
        ),
        fault(&["transcripts-unreadable"], "warning", "loop.jsonl", "chown", |scene| {
            symlink("loop.jsonl", scene.machine.projects().join("loop.jsonl")).unwrap();
        }),
        fault(&["transcripts-missing"], "note", "CLAUDE_CONFIG_DIR", "CLAUDE_CONFIG_DIR", |scene| {
            fs::remove_dir_all(scene.machine.projects()).unwrap();
        }),
        fault(&["history-going", "server-away"], "warning", "30 days", "ducat import", |scene| {
            scene.stop();
            write(&scene.machine.projects().join("-app/old.jsonl"), &request("old", 9, 5));
            touch(&scene.machine.projects().join("-app/old.jsonl"), -25 * DAY as i64);
        }),
        fault(&["history-imported"], "note", "what the ledger has of them stays", "--keep-transcripts 3650", |scene| {
            touch(&scene.transcript(), -25 * DAY as i64)
        }),
        fault(&["cleanup-period-invalid"], "warning", "~/claude/settings.json", "--keep-transcripts 3650", |scene| {
            scene.edit_settings(|settings| settings["cleanupPeriodDays"] = json!(0));
        }),
        fault(&["import-behind"], "warning", "more/projects", "CLAUDE_CONFIG_DIR", |scene| {
            let path = scene.home("more/projects/-b/b.jsonl");
            write(&path, &request("b", 9, 5));
            touch(&path, -(HOUR as i64));
            let both = format!("{},{}", scene.home("claude").display(), scene.home("more").display());
            scene.set("CLAUDE_CONFIG_DIR", &both);
        }),
    ]);
}

#[test]
fn faults_of_configuration_and_surroundings() {
    all_are_found(&[
        fault(
            &["config-invalid"],
            "error",
            "~/.config/ducat/config.toml: line 1: there is no key \"captur\"; did you mean \"capture\"?",
            "that key",
            |scene| write(&scene.home(".config/ducat/config.toml"), "[captur]\n"),
        ),
        fault(&["price-table-invalid"], "error", "model_prices.json", "rm ~/.local/share/ducat/model_prices.json", |scene| {
            write(&scene.machine.data().join("model_prices.json"), "{");
        }),
        fault(
            &["variable-misspelt"],
            "warning",
            "DUCAT_SOKET",
            "export \
            DUCAT_SOCKET=",
            |scene| scene.set("DUCAT_SOKET", "/x"),
        ),
        fault(&["variable-not-taken"], "warning", "DUCAT_HOOK_DEADLINE_MS", "unset DUCAT_HOOK_DEADLINE_MS", |scene| {
            scene.set("DUCAT_HOOK_DEADLINE_MS", "soon");
        }),
        fault(&["container-alone"], "note", "container", "--url http://host.docker.internal:9090", |scene| {
            scene.stop();
            write(&scene.home("root/.dockerenv"), "");
        }),
        fault(&["wsl-windows-disk"], "warning", "mnt/c/Users/ana", "HOME", |scene| {
            let home = scene.home("root/mnt/c/Users/ana");
            fs::create_dir_all(&home).unwrap();
            write(&scene.home("root/proc/version"), "Linux version 5.15.90.1-microsoft-standard-WSL2");
            let data = scene.machine.data().display().to_string();
            scene.set("DUCAT_DATA_DIR", &data);
            scene.set("HOME", home.to_str().unwrap());
        }),
        fault(&["wsl-windows-transcripts"], "note", "mnt/c/Users/ana/.claude", "CLAUDE_CONFIG_DIR=", |scene| {
            fs::create_dir_all(scene.home("root/mnt/c/Users/ana/.claude/projects")).unwrap();
            write(&scene.home("root/proc/version"), "Linux version 5.15.90.1-microsoft-standard-WSL2");
        }),
    ]);
    // Only root can give a home away, and only others can be kept from writing.
    if Machine::new().home().metadata().unwrap().uid() == 0 {
        all_are_found(&[fault(&["anothers-home"], "warning", "user 4321", "sudo -H", |scene| {
            assert!(Command::new("chown").arg("4321").arg(scene.machine.home()).status().unwrap().success());
        })]);
    } else {
        all_are_found(&[fault(&["folder-not-writable"], "error", "~/.local/share/ducat/spool", "chmod u+rwx", |scene| {
            fs::create_dir_all(scene.machine.data().join("spool")).unwrap();
            fs::set_permissions(scene.machine.data().join("spool"), fs::Permissions::from_mode(0o555)).unwrap();
        })]);
    }
}

#[test]
fn a_ducat_without_its_hook_beside_it() {
    let Some(scene) = Scene::new() else { return };
    let alone = scene.home("alone/ducat");
    fs::create_dir_all(alone.parent().unwrap()).unwrap();
    fs::copy(program("ducat"), &alone).unwrap();
    let mut command = Command::new(&alone);
    command.args(["doctor", "--root"]).arg(scene.home("root")).current_dir(scene.home("proj")).env_clear();
    command.envs(scene.variables.iter().cloned());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("ducat-hook is missing")
            && said.contains(
                "make \
        build"
            )
            && output.status.code() == Some(1),
        "{said}"
    );
}

/// The real client, started: it runs the hooks, or it does not.
#[test]
fn the_probe_starts_the_client() {
    let Some(scene) = Scene::new() else { return };
    let output = scene.doctor(&["--probe"]);
    assert!(output.stdout.is_empty() && output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8(scene.doctor(&["--probe", "--verbose"]).stdout).unwrap();
    assert!(said.contains("Claude Code was started, read its settings and ran ducat-hook"), "{said}");
    assert!(said.lines().count() > 15 && said.lines().all(|line| line.starts_with("ok ")), "{said}");
    assert!(fs::read_dir(scene.machine.projects()).unwrap().count() == 1, "the probe leaves no transcript");
    scene.edit_settings(|settings| settings["disableAllHooks"] = json!(true));
    let output = scene.doctor(&["--probe", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(json["findings"].as_array().unwrap()), ["settings-not-read", "hooks-disabled"]);
    assert!(json["findings"][0]["remedy"].as_str().unwrap().contains("claude doctor"));
}

/// A file that is never read to its end holds up one area, or the settings of all; the rest is looked at.
#[test]
fn files_that_hang_are_given_up() {
    let Some(mut scene) = Scene::new() else { return };
    let pipe = |path: &Path| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    pipe(&scene.machine.data().join("model_prices.json"));
    scene.stop();
    let (findings, code) = scene.finds();
    assert_eq!((ids(&findings), code), (vec!["check-hangs", "server-away"], Some(1)), "{findings:?}");
    assert!(findings[0]["what"].as_str().unwrap().contains("the configuration"), "{findings:?}");
    pipe(&scene.home("proj/.claude/settings.json"));
    let (findings, _) = scene.finds();
    assert_eq!(ids(&findings), ["check-hangs"]);
    assert!(findings[0]["what"].as_str().unwrap().contains("the settings"), "{findings:?}");
}

/// Whatever hangs, doctor ends.
#[test]
fn a_client_that_hangs_is_given_up() {
    let Some(scene) = Scene::new() else { return };
    scene.client_says("exec sleep 1000");
    let (findings, _) = scene.finds();
    assert_eq!(ids(&findings), ["client-unreadable"]);
    assert!(findings[0]["what"].as_str().unwrap().contains("did not answer"), "{findings:?}");
}
