//! Cline, as the real clients wrote it against a stand-in that logged what it answered with: requests of 9000, 9500 and 9800 input tokens
//! (4000, 9000 and 9216 of them cached) and 80, 70 and 33 output tokens. Roo Code and Kilo Code as their sources write.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;

use ducat_capture::{Agent, Detail, LineVerdict, Workspace, Workspaces, decode_document};
use ducat_ledger::{Fact, IncidentKind, Outcome, Request};

/// Files beside a transcript are those of the fixtures, or given ones; nothing is excluded but what is said.
#[derive(Default)]
struct Disk<'a> {
    excluded: bool,
    given: &'a [(&'a str, &'a str)],
}

impl Workspaces for Disk<'_> {
    fn resolve(&mut self, cwd: &str) -> Workspace {
        Workspace { project: Some(cwd.into()), excluded: self.excluded }
    }

    fn beside(&mut self, file: &Path) -> Option<Arc<[u8]>> {
        let given = self.given.iter().find(|(name, _)| file.ends_with(name)).map(|(_, text)| text.as_bytes().to_vec());
        given.or_else(|| std::fs::read(file).ok()).map(Arc::from)
    }
}

fn decode(agent: Agent, path: &Path) -> Vec<Fact> {
    let mut facts = Vec::new();
    let bytes = std::fs::read(path).unwrap();
    let verdict = decode_document(agent, &bytes, path, &mut Disk::default(), Detail::All, &mut |fact| facts.push(fact));
    assert_eq!(verdict, LineVerdict::Decoded);
    facts
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cline").join(name)
}

/// A task with files beside it.
fn task(agent: Agent, messages: &str, given: &[(&str, &str)]) -> Vec<Fact> {
    let (mut facts, mut disk) = (Vec::new(), Disk { given, ..Disk::default() });
    let path = Path::new("/nowhere/tasks/0192/ui_messages.json");
    let verdict = decode_document(agent, messages.as_bytes(), path, &mut disk, Detail::All, &mut |fact| facts.push(fact));
    assert_eq!(verdict, LineVerdict::Decoded);
    facts
}

fn requests(facts: &[Fact]) -> Vec<&Request> {
    let mut requests: Vec<_> =
        facts.iter().filter_map(|fact| if let Fact::Request(request) = fact { Some(request) } else { None }).collect();
    requests.sort_by_key(|request| request.started_at.get().copied());
    requests
}

/// Input, cache read, cache write, output.
fn tokens(facts: &[Fact]) -> Vec<[u64; 4]> {
    let of = |request: &&Request| {
        let usage = request.usage();
        [usage.input, usage.cache_read, request.cache_write_tokens.or_default(), usage.output]
    };
    requests(facts).iter().map(of).collect()
}

const ANSWERED: [[u64; 4]; 3] = [[5000, 4000, 0, 80], [500, 9000, 0, 70], [584, 9216, 0, 33]];

fn project(facts: &[Fact]) -> Option<String> {
    requests(facts)[0].holders.iter().next().unwrap().project.clone()
}

#[test]
fn a_task_tells_its_requests_with_the_place_that_the_list_of_tasks_has() {
    let facts = decode(Agent::Cline, &fixture("2.18.0/tasks/1795614485883/ui_messages.json"));
    assert_eq!(tokens(&facts), ANSWERED);
    let first = requests(&facts)[0];
    assert_eq!(first.model.get().map(String::as_str), Some("mock-model"));
    assert_eq!(first.provider.get().map(String::as_str), Some("openai"));
    assert_eq!(first.query_source.get().map(String::as_str), Some("act"));
    assert!(first.reported_cost_nano.is_untold(), "a cost of 0 tells nothing");
    assert_eq!(project(&facts).as_deref(), Some("/home/u/project"));
    let turns: Vec<_> = facts.iter().filter_map(|fact| if let Fact::Turn(turn) = fact { Some(turn) } else { None }).collect();
    assert_eq!((turns.len(), turns[0].prompt_bytes.get()), (1, Some(&6)));
}

#[test]
fn a_session_tells_requests_and_tool_calls() {
    let facts = decode(Agent::Cline, &fixture("3.0.65/sessions/1795614371041_b3ak4/1795614371041_b3ak4.messages.json"));
    assert_eq!(tokens(&facts), ANSWERED);
    assert_eq!(project(&facts).as_deref(), Some("/home/u/project"));
    let mut outcomes = Vec::new();
    for fact in &facts {
        if let Fact::ToolCall(call) = fact
            && let Some(ended) = call.outcome.get()
        {
            outcomes.push((call.name.get().unwrap().as_str(), *ended, call.error_kind.get().map(String::as_str)));
        }
    }
    assert_eq!(outcomes, [("run_commands", Outcome::Ok, None), ("read_files", Outcome::Error, Some("not_found"))]);
}

#[test]
fn an_anthropic_input_is_without_cache_in_tasks_and_the_whole_in_sessions() {
    // As 2.18.0 and 3.0.65 wrote one answer of 7 input tokens, 30 written to the cache and 4000 read from it.
    let facts = task(
        Agent::Cline,
        r#"[{"ts":4,"say":"api_req_started","text":"{\"tokensIn\":7,\"tokensOut\":81,\"cacheWrites\":30,\"cacheReads\":4000,\"cost\":0.0025484999999999996}",
        "modelInfo":{"providerId":"anthropic","modelId":"claude-sonnet-4-5-20250929","mode":"act"}}]"#,
        &[],
    );
    assert_eq!(tokens(&facts), [[7, 4000, 30, 81]]);
    assert_eq!(requests(&facts)[0].reported_cost_nano.get(), Some(&2_548_500));
    let session = r#"{"sessionId":"s","messages":[{"id":"msg_1","role":"assistant","ts":4,"modelInfo":{"id":"claude-sonnet-4-5-20250929","provider":"anthropic"},
        "metrics":{"inputTokens":4037,"outputTokens":80,"cacheReadTokens":4000,"cacheWriteTokens":30,"cost":0.0025335}}]}"#;
    let mut facts = Vec::new();
    let path = Path::new("/nowhere/sessions/s/s.messages.json");
    decode_document(Agent::Cline, session.as_bytes(), path, &mut Disk::default(), Detail::All, &mut |fact| facts.push(fact));
    assert_eq!(tokens(&facts), [[7, 4000, 30, 80]]);
    assert_eq!(requests(&facts)[0].reported_cost_nano.get(), Some(&2_533_500));
}

#[test]
fn a_task_is_told_by_its_folder_and_a_session_by_its_head() {
    let of = |path: &str, head: &str| Agent::of_file(Path::new(path), head.as_bytes());
    let folder = |extension: &str| format!("/x/globalStorage/{extension}/tasks/1/ui_messages.json");
    assert_eq!(of(&folder("saoudrizwan.claude-dev"), "[]"), Some(Agent::Cline));
    assert_eq!(of(&folder("rooveterinaryinc.roo-cline"), "[]"), Some(Agent::RooCode));
    assert_eq!(of(&folder("kilocode.kilo-code"), "[]"), Some(Agent::KiloCode));
    assert_eq!(of("/x/1/ui_messages.json", r#"[{"text":"{\"apiProtocol\":\"openai\"}"}]"#), Some(Agent::RooCode));
    assert_eq!(of("/x/1/ui_messages.json", "[]"), Some(Agent::Cline));
    assert_eq!(of("/x/1/api_conversation_history.json", "[{\"role\":\"user\"}]"), None);
    let session = std::fs::read(fixture("3.0.65/sessions/1795614371041_b3ak4/1795614371041_b3ak4.messages.json")).unwrap();
    assert_eq!(Agent::of_file(Path::new("/x/a.json"), &session), Some(Agent::Cline));
}

#[test]
fn roo_codes_input_is_the_whole_or_without_cache_by_what_fits() {
    let request = |at: u64, tokens: &str| {
        format!(
            r#"{{"ts":{at},"type":"say","say":"api_req_started","text":"{{\"apiProtocol\":\"anthropic\",{tokens},\"cost\":0.5}}"}}"#
        )
    };
    let first = request(10, r#"\"tokensIn\":900,\"tokensOut\":5,\"cacheWrites\":100,\"cacheReads\":0"#);
    let whole = request(20, r#"\"tokensIn\":1000,\"tokensOut\":6,\"cacheWrites\":50,\"cacheReads\":900"#);
    let apart = request(20, r#"\"tokensIn\":7,\"tokensOut\":6,\"cacheWrites\":50,\"cacheReads\":900"#);
    let history = r#"[{"role":"user","ts":12,"content":[{"type":"text","text":"<environment_details>\n<model>claude-sonnet-4</model>\n"}]},
        {"role":"user","ts":22,"content":"<environment_details><model>gpt-5</model>"}]"#;
    let item = r#"{"id":"0192","workspace":"/home/u/roo"}"#;
    let beside = [("api_conversation_history.json", history), ("history_item.json", item)];
    let since = task(Agent::RooCode, &format!("[{first},{whole}]"), &beside);
    assert_eq!(tokens(&since), [[800, 0, 100, 5], [50, 900, 50, 6]]);
    let until = task(Agent::RooCode, &format!("[{first},{apart}]"), &beside);
    assert_eq!(tokens(&until), [[900, 0, 100, 5], [7, 900, 50, 6]]);
    let models: Vec<_> = requests(&since).iter().map(|request| request.model.get().unwrap().clone()).collect();
    assert_eq!(models, ["claude-sonnet-4", "gpt-5"]);
    assert_eq!(requests(&since)[0].agent, "roo-code");
    assert_eq!(requests(&since)[0].reported_cost_nano.get(), Some(&500_000_000));
    assert_eq!(project(&since).as_deref(), Some("/home/u/roo"));
}

#[test]
fn the_oldest_tasks_tell_usage_when_a_request_finished_and_nothing_twice() {
    let facts = task(
        Agent::Cline,
        r#"[{"ts":1,"say":"task","text":"x"},{"ts":2,"say":"api_req_started","text":"{\"request\":\"x\"}"},
        {"ts":3,"say":"api_req_finished","text":"{\"tokensIn\":10,\"tokensOut\":2,\"cost\":0.25}"},
        {"ts":4,"say":"api_req_started","text":"{\"tokensIn\":20,\"tokensOut\":3}"},{"ts":5,"say":"api_req_finished","text":"{\"tokensIn\":20}"},
        {"ts":6,"say":"api_req_started","text":"{\"streamingFailedMessage\":\"429\"}"},{"ts":7,"say":"deleted_api_reqs","text":"{\"tokensIn\":99}"}]"#,
        &[],
    );
    assert_eq!(tokens(&facts), [[10, 0, 0, 2], [20, 0, 0, 3]]);
    assert_eq!(requests(&facts)[0].reported_cost_nano.get(), Some(&250_000_000));
    let failed = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::Incident(incident) if incident.kind.get() == Some(&IncidentKind::ApiError)));
    assert_eq!(failed.count(), 1);
}

#[test]
fn a_count_of_texts_is_an_estimate() {
    let facts = task(
        Agent::Cline,
        r#"[{"ts":4,"say":"api_req_started","text":"{\"tokensIn\":20,\"tokensOut\":3}","modelInfo":{"providerId":"vscode-lm","modelId":"m"}}]"#,
        &[],
    );
    assert_eq!(requests(&facts)[0].estimated.get(), Some(&true));
}

#[test]
fn excluded_places_tell_nothing() {
    for name in
        ["2.18.0/tasks/1795614485883/ui_messages.json", "3.0.65/sessions/1795614371041_b3ak4/1795614371041_b3ak4.messages.json"]
    {
        let path = fixture(name);
        let bytes = std::fs::read(&path).unwrap();
        let mut facts = 0;
        let mut disk = Disk { excluded: true, ..Disk::default() };
        let verdict = decode_document(Agent::Cline, &bytes, &path, &mut disk, Detail::All, &mut |_| facts += 1);
        assert_eq!((verdict, facts), (LineVerdict::Excluded, 0));
    }
}

#[test]
fn bad_documents_are_refused_or_tell_nothing() {
    let decode = |text: &str, path: &str| {
        let mut requests = 0;
        let verdict =
            decode_document(Agent::Cline, text.as_bytes(), Path::new(path), &mut Disk::default(), Detail::All, &mut |fact| {
                requests += u32::from(matches!(fact, Fact::Request(_)));
            });
        (verdict, requests)
    };
    let task = |text: &str| decode(text, "/t/1/ui_messages.json");
    assert_eq!(task("{\"messages\":"), (LineVerdict::Unreadable("not JSON"), 0));
    assert_eq!(task("[{\"ts\":1,\"say\":\"api_req_started\""), (LineVerdict::Unreadable("not JSON"), 0));
    assert_eq!(task("7"), (LineVerdict::Unreadable("neither a task's messages nor a session's"), 0));
    assert_eq!(task(&"[".repeat(200_000)), (LineVerdict::Unreadable("nested too deep"), 0));
    assert_eq!(decode("[]", "/").0, LineVerdict::Unreadable("a task's messages outside of a task's folder"));
    for text in [
        "[]",
        "{}",
        "[1,null,[]]",
        r#"[{"ts":"x","say":7}]"#,
        r#"[{"ts":1,"say":"api_req_started","text":"{\"tokensIn\":-5,\"tokensOut\":1e300}"}]"#,
        r#"[{"ts":1,"say":"api_req_started","text":"{\"tokensIn\":"}]"#,
        r#"[{"ts":1,"say":"api_req_started","text":7}]"#,
        r#"{"sessionId":7,"messages":[{"role":"assistant","metrics":{"inputTokens":5}}]}"#,
        r#"{"sessionId":"s","messages":[{"id":"m","role":"assistant","content":"x","metrics":{"inputTokens":"5"}}]}"#,
    ] {
        assert_eq!(task(text).1, 0, "{text}");
    }
}
