//! What the client deletes: foretold, kept in the ledger, and put off where the user wants it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use ducat_end_to_end::claude_code::{PINNED, Provider, Run, client};
use ducat_end_to_end::scene::{DAY, Scene, ids, touch};
use ducat_end_to_end::{eventually, request, write};
use serde_json::{Value, json};

/// What was imported stays when the file goes, and the server says beforehand what goes.
#[test]
fn history_outlives_its_files() {
    let Some(scene) = Scene::new() else { return };
    let server = scene.server.as_ref().unwrap();
    let row = || server.get_json("/api/v1/history")["rows"][0].clone();
    let quiet = row();
    assert_eq!(
        (&quiet["cleanup_period_days"], &quiet["files"], &quiet["not_imported_files"]),
        (&json!(30), &json!(0), &json!(0))
    );
    assert_eq!(quiet["folder"], json!(scene.home("claude")));
    touch(&scene.transcript(), -40 * DAY as i64);
    let going = row();
    assert_eq!((&going["files"], &going["not_imported_files"]), (&json!(1), &json!(0)));
    assert_eq!(going["bytes"], json!(fs::metadata(scene.transcript()).unwrap().len()));
    assert!(going["next_deletion_at"].as_str().unwrap() < quiet["next_deletion_at"].as_str().unwrap());
    let (findings, code) = scene.finds();
    assert_eq!((ids(&findings), code), (vec!["history-imported"], Some(0)));
    assert!(findings[0]["what"].as_str().unwrap().contains("with its next session"), "{findings:?}");

    let (report, sessions) = (server.get("/api/v1/report?by=session"), server.get("/api/v1/sessions"));
    assert!(report.contains("\"requests\":1"), "{report}");
    fs::remove_file(scene.transcript()).unwrap();
    eventually(|| if row()["next_deletion_at"].is_null() { Ok(()) } else { Err(row().to_string()) });
    assert_eq!((server.get("/api/v1/report?by=session"), server.get("/api/v1/sessions")), (report, sessions));
}

/// The real client's own sweep: what goes is what was foretold, and what was imported stays.
#[test]
fn the_client_deletes_what_was_foretold() {
    let Some(scene) = Scene::new() else { return };
    let project = scene.machine.projects().join("-app");
    let [old, agent, young] = ["old.jsonl", "old/subagents/agent-1.jsonl", "young.jsonl"].map(|name| project.join(name));
    for (path, id, days) in [(&old, 11, 40), (&agent, 12, 1), (&young, 13, 20)] {
        write(path, &request("old", id, 5));
        touch(path, -days * DAY as i64);
    }
    let expected = scene.machine.report("session");
    let server = scene.server.as_ref().unwrap();
    server.comes_to("/api/v1/report?by=session", &expected);
    let foretold = &server.get_json("/api/v1/history")["rows"][0];
    assert_eq!(
        (&foretold["files"], &foretold["not_imported_files"]),
        (&json!(2), &json!(0)),
        "the sub-agent's goes with its session's"
    );

    // It looks a few seconds after its start, and the session lasts until it did.
    let wait = format!("for i in $(seq 300); do test -e {} || exit 0; sleep 0.2; done; exit 1", old.display());
    let turns =
        json!([{ "tools": [{ "name": "Bash", "input": { "command": wait, "description": "wait" } }] }, { "text": "done" }]);
    let Some(provider) = Provider::start(&scene.machine, &turns) else { return };
    let client = client(PINNED).unwrap();
    let result = Run { machine: &scene.machine, client: &client, provider: &provider }.go(&["--dangerously-skip-permissions"]);
    assert_eq!(result["is_error"], false, "{result}");
    assert!(!old.exists() && !agent.exists() && young.exists());
    let rows = |report: &str| serde_json::from_str::<Value>(report).unwrap()["rows"].as_array().unwrap().clone();
    let now = rows(&server.get("/api/v1/report?by=session"));
    for row in rows(&expected) {
        assert!(now.contains(&row), "{row} is not in {now:?}");
    }
}

/// `ducat report` says on a terminal what goes and is in no ledger, and to programs nothing.
#[test]
fn a_report_hints_at_what_will_be_lost() {
    let Some(mut scene) = Scene::new() else { return };
    touch(&scene.transcript(), -25 * DAY as i64);
    let Some(terminal) = scene.in_terminal("first", &["report"]) else { return };
    assert!(!terminal.shows("Total").contains("deletes"), "all of it is in the ledger");
    drop(terminal);
    // A folder that this server does not follow.
    let elsewhere = scene.home("more/projects/-app/lost.jsonl");
    write(&elsewhere, &request("lost", 21, 5));
    touch(&elsewhere, -25 * DAY as i64);
    let both = format!("{},{}", scene.home("claude").display(), scene.home("more").display());
    scene.set("CLAUDE_CONFIG_DIR", &both);
    let Some(terminal) = scene.in_terminal("second", &["report"]) else { return };
    let screen = terminal.shows("ducat import");
    assert!(screen.contains("Claude Code deletes 1 transcript from "), "{screen}");
    let output = scene.command(&["report"]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Who sets up at a terminal is asked whether transcripts are to be kept.
#[test]
fn setup_asks_whether_to_keep_transcripts() {
    let Some(scene) = Scene::new() else { return };
    assert!(scene.command(&["setup", "claude-code", "--remove", "--yes"]).output().unwrap().status.success());
    for (answer, days) in [("n", Value::Null), ("y", json!(3650))] {
        let Some(terminal) = scene.in_terminal(answer, &["setup", "claude-code", "--no-probe"]) else { return };
        terminal.shows("Feed the status line");
        terminal.types("n", "Enter");
        terminal.shows("keep them for ten years (cleanupPeriodDays 3650)?");
        terminal.types(answer, "Enter");
        terminal.shows("Write this?");
        terminal.types("y", "Enter");
        terminal.shows("Written.");
        let settings: Value = serde_json::from_str(&fs::read_to_string(scene.settings()).unwrap()).unwrap();
        assert_eq!(settings["cleanupPeriodDays"], days);
        scene.is_well();
        assert!(scene.command(&["setup", "claude-code", "--remove", "--yes"]).output().unwrap().status.success());
        assert!(!scene.settings().exists(), "it was not there before");
    }
}

/// `--keep-transcripts` is written, and taken back by `--remove`, also when somebody changed the file meanwhile.
#[test]
fn setup_raises_the_period_and_takes_it_back() {
    let Some(scene) = Scene::new() else { return };
    let setup = |args: &[&str]| {
        let output = scene.command(&[&["setup", "claude-code", "--yes", "--no-probe"], args].concat()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let days = || {
        let settings: Value = serde_json::from_str(&fs::read_to_string(scene.settings()).unwrap_or("{}".into())).unwrap();
        settings["cleanupPeriodDays"].clone()
    };
    assert!(days().is_null(), "--yes alone does not raise it");
    setup(&["--keep-transcripts", "3650"]);
    assert_eq!(days(), 3650);
    assert_eq!(scene.server.as_ref().unwrap().get_json("/api/v1/history")["rows"][0]["cleanup_period_days"], 3650);
    scene.is_well();
    scene.edit_settings(|settings| settings["model"] = json!("opus"));
    setup(&["--remove"]);
    assert_eq!(fs::read_to_string(scene.settings()).unwrap().split_whitespace().collect::<String>(), r#"{"model":"opus"}"#);
    for bad in ["0", "-1", "ever"] {
        let output = scene.command(&["setup", "claude-code", "--keep-transcripts", bad]).output().unwrap();
        assert!(!output.status.success());
    }
}
