//! Droid 0.225.2, as it wrote it against a stand-in that logged what it answered with: requests of 9000, 9500 and 9800 input tokens (4000,
//! 9000 and 9216 of them cached) and 80, 70 and 33 output tokens (30, 0 and 11 of them reasoning).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducat_capture::{Agent, Detail, FileState, Form, LineVerdict, Workspace, Workspaces, decode_document};
use ducat_ledger::{Billing, Fact, Outcome, Request};

#[derive(Default)]
struct Disk {
    excluded: bool,
}

impl Workspaces for Disk {
    fn resolve(&mut self, cwd: &str) -> Workspace {
        Workspace { project: Some(cwd.into()), excluded: self.excluded }
    }

    fn beside(&mut self, file: &Path) -> Option<Arc<[u8]>> {
        std::fs::read(file).ok().map(Arc::from)
    }
}

const ID: &str = "ad1f46ce-0216-4bf2-8ee3-698a25ce9b28";

fn fixture(ending: &str) -> PathBuf {
    let folder = "tests/fixtures/droid/sessions/-home-u-project";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{ID}{ending}"))
}

fn settings(text: &[u8], path: &Path, excluded: bool) -> (LineVerdict, Vec<Fact>) {
    let mut facts = Vec::new();
    let verdict = decode_document(Agent::Droid, text, path, &mut Disk { excluded }, Detail::All, &mut |fact| facts.push(fact));
    (verdict, facts)
}

fn messages(text: &[u8], excluded: bool) -> (Vec<LineVerdict>, Vec<Fact>) {
    let mut state = FileState::of(Agent::Droid, &fixture(".jsonl"));
    let mut facts = Vec::new();
    let mut decode = |line| state.decode_line(line, &mut Disk { excluded }, Detail::All, &mut |fact| facts.push(fact));
    let verdicts = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(&mut decode).collect();
    (verdicts, facts)
}

fn requests(facts: &[Fact]) -> Vec<&Request> {
    facts.iter().filter_map(|fact| if let Fact::Request(request) = fact { Some(request) } else { None }).collect()
}

#[test]
fn settings_tell_the_session_as_a_sum() {
    let path = fixture(".settings.json");
    let (verdict, facts) = settings(&std::fs::read(&path).unwrap(), &path, false);
    assert_eq!(verdict, LineVerdict::Decoded);
    let sum = requests(&facts)[0];
    let usage = sum.usage();
    assert_eq!([usage.input, usage.cache_read, usage.output], [6084, 22216, 183]);
    assert_eq!(sum.is_sum.get(), Some(&true));
    assert_eq!(sum.model.get().map(String::as_str), Some("Mock"));
    assert_eq!(sum.started_at.get(), Some(&1_795_615_774_756));
    assert!(sum.billing.is_untold(), "a model of the user's own");
    assert_eq!(sum.holders.iter().next().unwrap().project.as_deref(), Some("/home/u/project"));
}

#[test]
fn models_of_factory_are_paid_by_credits_and_thinking_is_a_part_of_output() {
    let text = br#"{"model":"claude-opus-4-5-20251101","reasoningEffort":"high","tokenUsage":{"inputTokens":10,"outputTokens":50,"thinkingTokens":20,
        "cacheCreationTokens":7,"cacheReadTokens":5},"inclusiveTokenUsage":{"inputTokens":99}}"#;
    let (_, facts) = settings(text, Path::new("/x/a.settings.json"), false);
    let sum = requests(&facts)[0];
    assert_eq!((sum.output_tokens.get(), sum.reasoning_tokens.get()), (Some(&50), Some(&20)));
    assert_eq!((sum.input_tokens.get(), sum.cache_write_tokens.get()), (Some(&10), Some(&7)));
    assert_eq!(sum.billing.get(), Some(&Billing::Credits));
    assert_eq!(sum.effort.get().map(String::as_str), Some("high"));
}

#[test]
fn messages_tell_a_turn_and_its_calls_and_no_usage() {
    let (_, facts) = messages(&std::fs::read(fixture(".jsonl")).unwrap(), false);
    assert!(requests(&facts).is_empty());
    let turns: Vec<_> = facts.iter().filter_map(|fact| if let Fact::Turn(turn) = fact { Some(turn) } else { None }).collect();
    assert_eq!((turns.len(), turns[0].prompt_bytes.get()), (1, Some(&6)), "the client's own words are no prompt");
    let mut ended = Vec::new();
    for fact in &facts {
        if let Fact::ToolCall(call) = fact
            && let Some(outcome) = call.outcome.get()
        {
            ended.push((*outcome, call.error_kind.get().map(String::as_str)));
        }
    }
    assert_eq!(ended, [(Outcome::Ok, None), (Outcome::Error, Some("not_found"))]);
}

#[test]
fn files_are_told_by_name_and_head() {
    let read = |ending| std::fs::read(fixture(ending)).unwrap();
    assert_eq!(Agent::of_file(Path::new("/x/a.jsonl"), &read(".jsonl")), Some(Agent::Droid));
    assert_eq!(Agent::of_file(Path::new("/x/a.settings.json"), &read(".settings.json")), Some(Agent::Droid));
    assert_eq!(Agent::of_file(Path::new("/x/settings.json"), b"{\"model\":\"x\"}"), None);
    assert!(!Agent::Droid.takes(Path::new("/x/a.settings.json.bak")));
    assert_eq!(Agent::Droid.form(Path::new("/x/a.jsonl")), Form::Lines);
    assert_eq!(Agent::Droid.form(Path::new("/x/a.settings.json")), Form::Document);
}

#[test]
fn excluded_places_tell_nothing() {
    let path = fixture(".settings.json");
    let (verdict, facts) = settings(&std::fs::read(&path).unwrap(), &path, true);
    assert_eq!((verdict, facts.len()), (LineVerdict::Excluded, 0));
    let (verdicts, facts) = messages(&std::fs::read(fixture(".jsonl")).unwrap(), true);
    assert!(verdicts.iter().all(|verdict| *verdict == LineVerdict::Excluded));
    assert!(facts.is_empty());
}

#[test]
fn bad_files_are_refused_or_tell_no_usage() {
    let tell = |text: &str| settings(text.as_bytes(), Path::new("/x/a.settings.json"), false);
    assert_eq!(tell("{\"tokenUsage\":").0, LineVerdict::Unreadable("not JSON"));
    assert_eq!(tell("7").0, LineVerdict::Unreadable("not a JSON object"));
    assert_eq!(settings(b"{}", Path::new("/x/.settings.json"), false).0, LineVerdict::Unreadable("settings of no session"));
    for text in ["{}", r#"{"tokenUsage":7}"#, r#"{"tokenUsage":{"inputTokens":-1,"outputTokens":"9","cacheReadTokens":1e300}}"#] {
        assert_eq!(tell(text), (LineVerdict::NoFacts, Vec::new()), "{text}");
    }
    let (verdicts, _) = messages(
        b"{\"type\":\n{\"type\":\"message\"}\n{\"type\":\"message\",\"id\":\"a\",\"message\":{\"content\":[7,{}]}}",
        false,
    );
    let refused = [LineVerdict::Unreadable("not JSON"), LineVerdict::Unreadable("a message without id"), LineVerdict::NoFacts];
    assert_eq!(verdicts, refused);
}
