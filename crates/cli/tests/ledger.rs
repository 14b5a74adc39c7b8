//! `ducat report` straight from transcripts, and over the ledger that imported them: the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn prints(home: &Path, args: &[&str]) -> String {
    let mut ducat = Command::new(env!("CARGO_BIN_EXE_ducat"));
    for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        ducat.env(name, home);
    }
    let output = ducat.args(args).env_remove("DUCAT_CONFIG").env_remove("DUCAT_DATA_DIR").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn are_the_same(from: &Path) {
    let home = tempfile::tempdir().unwrap();
    let folder = from.to_str().unwrap();
    prints(home.path(), &["import", folder]);
    for by in ["daily", "model", "project", "agent", "session"] {
        let asked = ["report", by, "--timezone", "UTC", "--json"];
        let ledger = prints(home.path(), &[&asked[..], &["--ledger"]].concat());
        let transcripts = prints(home.path(), &[&asked[..], &["--from", folder]].concat());
        assert_eq!(transcripts, ledger, "{folder} by {by}");
        assert_eq!(
            transcripts,
            prints(home.path(), &[&asked[..], &["--from", folder]].concat()),
            "{folder} by {by}, from the cache"
        );
    }
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn real_transcripts() {
    let shared = std::env::var_os("DUCAT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let all = shared.join("data/transcripts");
    if !all.exists() {
        return println!("skipped: nothing at {}", all.display());
    }
    for source in folders(&all) {
        folders(&source).iter().for_each(|folder| are_the_same(folder));
    }
}

/// What decides a price or whether a row counts beside its tokens: sums, providers, counts that nobody told.
#[test]
fn sums_and_providers() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/tests/fixtures");
    ["copilot-cli", "opencode", "pi"].iter().for_each(|agent| are_the_same(&fixtures.join(agent)));

    let folder = tempfile::tempdir().unwrap();
    let pi = fs::read_to_string(fixtures.join("pi/session-0.73.1.jsonl")).unwrap();
    let provider = pi.split("\"provider\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let azure = pi.replace(&format!("\"provider\":\"{provider}\""), "\"provider\":\"azure\"");
    let model = azure.split("\"model\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let azure = azure.replace(&model, "gpt-4o-2024-05-13");
    fs::write(folder.path().join("azure.jsonl"), &azure).unwrap();
    are_the_same(folder.path());
}

#[test]
fn damaged_and_appended_archives() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capture/tests/fixtures/claude-code-2.1.197/projects");
    let text: Vec<u8> = files(&fixtures).iter().flat_map(|file| fs::read(file).unwrap()).collect();
    let (first, rest) = text.split_at(text.len() / 2);
    let packed = |text: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("all.jsonl.gz");
    fs::write(&archive, [packed(first), packed(rest)].concat()).unwrap();
    are_the_same(folder.path());
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() - 200]).unwrap();
    are_the_same(folder.path());
    let home = tempfile::tempdir().unwrap();
    let report = prints(home.path(), &["report", "daily", "--json", "--from", folder.path().to_str().unwrap()]);
    assert!(!report.contains(r#""rows":[]"#), "what is before the damage counts: {report}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
