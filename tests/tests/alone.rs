//! What each witness of a real client's run tells alone, and any set of them together: one run a client, told again in every set and
//! many orders to fresh ledgers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ducat_capture::Agent;
use ducat_end_to_end::heard::{Collector, Heard, Observation};
use ducat_end_to_end::proxy::Dice;
use ducat_end_to_end::{Machine, claude_code, codex, eventually, gemini_cli, stand_in};
use ducat_ledger::{Fact, IncidentKind, Outcome, Request};
use ducat_prices::PriceTable;
use ducat_report::{Grouping, Report, ReportQuery, SessionsQuery};
use ducat_store::{Durability, Lane, SessionDetail, Store, StoreOptions, TenantId, Write};
use serde_json::{Value, json};

/// A set of witnesses, a bit each.
const HOOKS: u8 = 1;
const OTLP: u8 = 2;
const TRANSCRIPT: u8 = 4;

/// A run of a client, its witnesses, and what the provider answered.
struct Run {
    /// Where its hooks' events are spooled.
    machine: Machine,
    heard: Heard,
    /// Model and tokens of each answer, sorted.
    truth: Vec<String>,
}

fn line(model: &str, tokens: [u64; 5]) -> String {
    format!("{model} {tokens:?}")
}

fn truth(answers: &[Value], tokens: fn(&Value) -> [u64; 5]) -> Vec<String> {
    let mut lines: Vec<_> = answers.iter().map(|answer| line(answer["model"].as_str().unwrap(), tokens(answer))).collect();
    lines.sort();
    lines
}

impl Run {
    /// Wires the client to a server that then goes away: its hooks are spooled, and a collector takes the server's place.
    fn wired(client: (&Path, &str), agent: Agent, machine: &Machine, run: impl FnOnce()) -> Heard {
        let server = machine.serve();
        machine.set_up(client, &server, &[if agent == Agent::GeminiCli { "gemini" } else { agent.name() }, "--yes"]);
        let port = server.port;
        server.stop();
        let collector = Collector::start(port);
        run();
        Heard::of(agent, machine, &collector)
    }

    fn told(&self, set: u8) -> Vec<Observation> {
        let Heard { hooks, otlp, transcript } = &self.heard;
        let parts = [(HOOKS, hooks), (OTLP, otlp), (TRANSCRIPT, transcript)];
        parts.into_iter().filter(|(bit, _)| set & bit != 0).flat_map(|(_, told)| told.clone()).collect()
    }
}

/// A fresh ledger that was told this, in this order.
struct Ledger {
    store: Store,
    _folder: tempfile::TempDir,
}

impl Ledger {
    fn of(told: &[Observation]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            path: folder.path().join("ledger.db"),
            durability: Durability::Process,
            pricer: Arc::new(PriceTable::embedded()),
            clock: || ducat_spool::now_ms() as i64,
            listener: None,
        };
        let store = Store::open(options).unwrap();
        for facts in told {
            let (facts, cursors) = (facts.clone(), Vec::new());
            store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors }).unwrap();
        }
        Self { store, _folder: folder }
    }

    fn sessions(&self) -> Vec<SessionDetail> {
        let reader = self.store.reader().unwrap();
        let mut ids: Vec<_> = reader
            .sessions(TenantId::LOCAL, &SessionsQuery::default())
            .unwrap()
            .rows
            .into_iter()
            .map(|summary| summary.session.id)
            .collect();
        ids.sort();
        ids.iter().map(|id| reader.session(TenantId::LOCAL, id).unwrap().unwrap()).collect()
    }

    fn session(&self) -> SessionDetail {
        let [session] = <[_; 1]>::try_from(self.sessions()).expect("one session");
        session
    }

    /// All that is believed, as text.
    fn facts(&self) -> String {
        let reader = self.store.reader().unwrap();
        assert_eq!(reader.check_rollups(TenantId::LOCAL).unwrap(), vec![]);
        let mut report = Report::new(ReportQuery { by: Grouping::Model, ..ReportQuery::default() });
        reader.add_to(TenantId::LOCAL, (None, None), &mut report).unwrap();
        format!("{:#?}\n{:#?}", self.sessions(), report.finish().totals)
    }

    fn requests(&self) -> Vec<String> {
        let told = |request: &Request| {
            let usage = request.usage();
            line(
                request.model.get().unwrap(),
                [usage.input, usage.output, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h],
            )
        };
        let mut lines: Vec<_> = self.session().requests.iter().map(|(request, ..)| told(request)).collect();
        lines.sort();
        lines
    }
}

/// In another order, some of it twice.
fn shuffled(told: &[Observation], seed: u64) -> Vec<Observation> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut told = told.to_vec();
    let repeated: Vec<_> = told.iter().filter(|_| dice.below(3) == 0).cloned().collect();
    told.extend(repeated);
    shuffle(&mut told, &mut dice);
    told.iter_mut().for_each(|facts| shuffle(facts, &mut dice));
    told
}

fn shuffle<T>(things: &mut [T], dice: &mut Dice) {
    for place in (1..things.len()).rev() {
        things.swap(place, dice.below(place as u64 + 1) as usize);
    }
}

/// Every order gives the same facts, to the byte.
fn in_any_order(told: &[Observation], seeds: u64, what: &str) -> Ledger {
    let ledger = Ledger::of(told);
    let facts = ledger.facts();
    for seed in 1..=seeds {
        let other = Ledger::of(&shuffled(told, seed)).facts();
        let differs = facts.lines().zip(other.lines()).enumerate().find(|(_, (one, other))| one != other);
        assert!(facts == other, "{what}, order {seed}: {differs:?}\n{facts}");
    }
    ledger
}

/// What is expected of each set of witnesses, beside the provider's requests.
struct Expected<'e> {
    /// Names and outcomes of tool calls, in the order of names, as all but the hooks tell them.
    calls: &'e [(&'e str, Option<Outcome>)],
    of_hooks: &'e [(&'e str, Option<Outcome>)],
    /// Witnesses that tell of turns, and of errors of the provider.
    tell_turns: u8,
    tell_errors: u8,
    /// Checks what a set tells of requests, which are in the order of time.
    fields: &'e dyn Fn(u8, &[Request]),
}

fn calls(session: &SessionDetail) -> Vec<(&str, Option<Outcome>)> {
    let named = |call| {
        let call: &ducat_ledger::ToolCall = call;
        (call.name.get().map_or("", String::as_str), call.outcome.get().copied())
    };
    let mut calls: Vec<_> = session.tool_calls.iter().map(named).collect();
    calls.sort();
    calls
}

fn last_at(fact: &Fact) -> Option<i64> {
    if let Fact::Session(session) = fact { session.last_at.get().copied() } else { None }
}

fn errors(session: &SessionDetail) -> usize {
    session.incidents.iter().filter(|incident| incident.kind.get() == Some(&IncidentKind::ApiError)).count()
}

/// Tells every set of a run's witnesses, and parts of what they told, in many orders.
fn prove(run: &Run, expected: &Expected<'_>) {
    assert_eq!(run.truth.len(), 3);
    for set in 1..8 {
        let what = format!("witnesses {set:03b} (transcript, telemetry, hooks)");
        let ledger = in_any_order(&run.told(set), 3, &what);
        let session = ledger.session();
        if set == HOOKS {
            assert_eq!(calls(&session), expected.of_hooks, "{what}");
            assert_eq!(session.requests, vec![], "{what}");
            let summary =
                &ledger.store.reader().unwrap().sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap().rows[0].sums;
            assert_eq!((summary.known_requests(), summary.known_cost()), (None, None));
        } else {
            assert_eq!(calls(&session), expected.calls, "{what}");
            assert_eq!(ledger.requests(), run.truth, "{what}");
            assert!(session.requests.iter().all(|(_, _, cost)| cost.is_some()), "{what}");
            let requests: Vec<_> = session.requests.iter().map(|(request, ..)| request.clone()).collect();
            (expected.fields)(set, &requests);
        }
        // The last sign of life of any witness.
        let last = run.told(set).iter().flatten().filter_map(last_at).max();
        assert_eq!(session.session.last_at.get().copied(), last, "{what}");
        assert_eq!(session.turns.len(), usize::from(set & expected.tell_turns != 0), "{what}");
        assert_eq!(errors(&session), usize::from(set & expected.tell_errors != 0), "{what}");
    }
    let all = run.told(HOOKS | OTLP | TRANSCRIPT);
    for seed in 1..=4 {
        let mut dice = Dice(seed * 0x9e37_79b9 + 7);
        let part: Vec<_> = all.iter().filter(|_| dice.below(3) > 0).cloned().collect();
        in_any_order(&part, 2, &format!("part {seed}"));
    }
}

/// The run's server, back without telemetry and finding no transcript: it shows requests and cost as unknown, wherever it shows them.
fn unknown_by_hooks(run: &Run, agent: &str) {
    let machine = &run.machine;
    let elsewhere = machine.home().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let (home, data) = (elsewhere.to_str().unwrap(), machine.data());
    let server = machine.serve_with(&[("HOME", home), ("CLAUDE_CONFIG_DIR", home), ("DUCAT_DATA_DIR", data.to_str().unwrap())]);
    let row = eventually(|| {
        let (left, rows) = (machine.spooled().len(), server.get_json("/api/v1/sessions")["rows"].clone());
        if left == 0 && rows[0]["agent"] == agent { Ok(rows[0].clone()) } else { Err(format!("{left} events left: {rows}")) }
    });
    assert_eq!((&row["requests"], &row["cost_usd"]), (&Value::Null, &Value::Null), "{row}");
    assert!(row["tool_calls"].as_u64().unwrap() > 0 && row["turns"] == 1, "{row}");
    let session = server.get_json(&format!("/api/v1/sessions/{}", row["session"].as_str().unwrap()));
    assert_eq!(session["requests"], json!([]));
    let report = server.get_json("/api/v1/report");
    assert_eq!(report["rows"], json!([]), "no row tells of 0 requests: {report}");
    let metrics = server.get("/metrics");
    let of_agent = |line: &&str| line.contains(&format!("agent=\"{agent}\""));
    assert!(metrics.lines().filter(of_agent).any(|line| line.starts_with("ducat_turns_total")), "{metrics}");
    let of_requests = |line: &&str| {
        ["ducat_requests", "ducat_tokens", "ducat_cost", "ai_operational_cost", "ai_token"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    assert_eq!(metrics.lines().filter(of_requests).collect::<Vec<_>>(), Vec::<&str>::new());
    let id = row["session"].as_str().unwrap();
    let listed = machine.prints(&["sessions"]);
    let line = listed.lines().find(|line| line.contains(&id[..8])).unwrap_or_else(|| panic!("{listed}"));
    assert!((line.contains('–') || line.contains("unknown")) && !line.contains("$0"), "{listed}");
    let report = machine.prints(&["report", "--ledger"]);
    assert!(!report.contains("$0"), "{report}");
}

fn runs(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let words = [&output.stdout, &output.stderr].map(|words| String::from_utf8_lossy(words).into_owned());
    assert!(output.status.success(), "{words:?}");
}

fn codex_run() -> Option<Run> {
    let machine = Machine::new();
    let client = codex::client()?;
    let turns = json!([
        { "text": "Looking.", "calls": [["exec_command", { "cmd": "ls -la" }], ["exec_command", { "cmd": "echo beside" }]],
          "usage": { "input_tokens": 9000, "cached": 0, "output_tokens": 80, "reasoning": 30 } },
        { "calls": [["exec_command", { "cmd": "cat /nonexistent; exit 3" }]],
          "usage": { "input_tokens": 9300, "cached": 8960, "output_tokens": 60, "reasoning": 20 } },
        { "text": "All done.", "usage": { "input_tokens": 9700, "cached": 9216, "output_tokens": 200, "reasoning": 128 } }
    ]);
    let provider = codex::Provider::start(&machine, &turns)?;
    let run = || runs(codex::exec(&machine, &client).args(["-c", "model_reasoning_effort=high"]));
    let heard = Run::wired((&client, "codex"), Agent::Codex, &machine, run);
    Some(Run { machine, heard, truth: truth(&provider.answered(), codex::tokens) })
}

fn claude_run() -> Option<Run> {
    let machine = Machine::new();
    let client = claude_code::client(claude_code::PINNED)?;
    let bash = |command: &str| json!({ "name": "Bash", "input": { "command": command, "description": "do" } });
    let turns = json!([
        { "text": "reading", "tools": [bash("ls"), bash("echo beside")],
          "usage": { "cache_creation_input_tokens": 5000, "cache_creation": { "ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000 } } },
        { "status": 529 },
        { "tools": [bash("exit 3")], "usage": { "cache_read_input_tokens": 5000, "output_tokens": 60 } },
        { "text": "all done", "usage": { "output_tokens": 44, "cache_read_input_tokens": 9000 } }
    ]);
    let provider = claude_code::Provider::start(&machine, &turns)?;
    let run = || {
        claude_code::Run { machine: &machine, client: &client, provider: &provider }.go(&["--dangerously-skip-permissions"]);
    };
    let heard = Run::wired((&client, "claude"), Agent::ClaudeCode, &machine, run);
    Some(Run { machine, heard, truth: truth(&provider.answered(), claude_code::tokens) })
}

fn gemini_run() -> Option<Run> {
    let machine = Machine::new();
    let client = gemini_cli::client()?;
    let turns = json!([
        { "text": "Looking.", "calls": [["run_shell_command", { "command": "ls -la", "description": "list" }], ["list_directory", { "dir_path": "." }]],
          "usage": { "prompt": 9000, "candidates": 80, "thoughts": 30 } },
        { "status": 503 },
        { "calls": [["read_file", { "file_path": "missing.txt" }]], "usage": { "prompt": 9300, "cached": 8960, "candidates": 60, "thoughts": 20 } },
        { "text": "All done.", "usage": { "prompt": 9700, "cached": 9216, "candidates": 200 } }
    ]);
    let provider = gemini_cli::Provider::start(&machine, &turns);
    let heard = Run::wired((&client, "gemini"), Agent::GeminiCli, &machine, || runs(&mut provider.prompt(&machine, &client)));
    Some(Run { machine, heard, truth: truth(&provider.answered(), gemini_cli::tokens) })
}

const OK: Option<Outcome> = Some(Outcome::Ok);
const ERROR: Option<Outcome> = Some(Outcome::Error);

#[test]
fn claude_code() {
    let Some(run) = claude_run() else { return };
    let calls = [("Bash", OK), ("Bash", OK), ("Bash", ERROR)];
    let fields = |set: u8, requests: &[Request]| {
        for request in requests {
            let by_telemetry = [
                request.duration_ms.is_told(),
                request.all_attempts_ms.is_told(),
                request.ttft_ms.is_told(),
                request.effort.is_told(),
                request.query_source.is_told(),
                request.reported_cost_nano.is_told(),
            ];
            assert_eq!(by_telemetry, [set & OTLP != 0; 6], "{set:03b} {request:?}");
            assert_eq!(request.service_tier.is_told(), set & TRANSCRIPT != 0);
            assert_eq!(request.speed.get().map(String::as_str), Some("standard"));
            assert!(request.stop_reason.is_told() && request.turn.is_told());
        }
        // The second was asked for twice.
        let attempts: Vec<_> = requests.iter().map(|request| request.attempts.get().copied()).collect();
        assert_eq!(attempts, if set & OTLP == 0 { [None; 3] } else { [Some(1), Some(2), Some(1)] });
    };
    let tell_turns = HOOKS | OTLP | TRANSCRIPT;
    // A retry that went well is told as an attempt, not as an error.
    prove(&run, &Expected { calls: &calls, of_hooks: &calls, tell_turns, tell_errors: 0, fields: &fields });
    unknown_by_hooks(&run, "claude-code");
}

#[test]
fn codex() {
    let Some(run) = codex_run() else { return };
    let calls = [("exec_command", OK), ("exec_command", OK), ("exec_command", ERROR)];
    // Its hooks have names of their own for tools, and do not tell how a call ended.
    let of_hooks = [("Bash", None); 3];
    let fields = |set: u8, requests: &[Request]| {
        for request in requests {
            assert_eq!(request.effort.get().map(String::as_str), (set & TRANSCRIPT != 0).then_some("high"), "{set:03b}");
            assert_eq!(request.turn.is_told(), set & TRANSCRIPT != 0);
            assert!(request.reasoning_tokens.is_told());
            assert_eq!(request.is_unconfirmed(), set & TRANSCRIPT == 0);
        }
    };
    let tell_turns = HOOKS | TRANSCRIPT;
    prove(&run, &Expected { calls: &calls, of_hooks: &of_hooks, tell_turns, tell_errors: 0, fields: &fields });
    unknown_by_hooks(&run, "codex");
}

#[test]
fn gemini_cli() {
    let Some(run) = gemini_run() else { return };
    let calls = [("list_directory", OK), ("read_file", ERROR), ("run_shell_command", OK)];
    let fields = |set: u8, requests: &[Request]| {
        for request in requests {
            let by_telemetry = [request.duration_ms.is_told(), request.query_source.is_told(), request.stop_reason.is_told()];
            assert_eq!(by_telemetry, [set & OTLP != 0; 3], "{set:03b} {request:?}");
            assert_eq!(request.turn.is_told(), set & TRANSCRIPT != 0);
        }
    };
    let tell_turns = HOOKS | TRANSCRIPT;
    prove(&run, &Expected { calls: &calls, of_hooks: &calls, tell_turns, tell_errors: OTLP, fields: &fields });
    unknown_by_hooks(&run, "gemini-cli");
}

/// A provider's refusal that ends the run is one error, whoever tells it.
#[test]
fn a_refusal_counts_once() {
    let machine = Machine::new();
    if let Some(client) = codex::client()
        && codex::Provider::start(&machine, &json!([])).is_some()
    {
        // Refused at once the client would end before its telemetry is exported.
        let refusing = stand_in::refusing(503);
        let base = format!("model_providers.mock.base_url=\"http://127.0.0.1:{refusing}/v1\"");
        let retries = ["request", "stream"].map(|what| format!("model_providers.mock.{what}_max_retries=2"));
        let heard = Run::wired((&client, "codex"), Agent::Codex, &machine, || {
            let mut command = codex::exec(&machine, &client);
            assert!(!command.args(["-c", &base, "-c", &retries[0], "-c", &retries[1]]).output().unwrap().status.success());
        });
        let run = Run { machine, heard, truth: Vec::new() };
        let of = |set| errors(&in_any_order(&run.told(set), 2, "refused").session());
        // Telemetry tells each attempt, the rollout none; the other witnesses add none.
        assert_eq!(of(TRANSCRIPT), 0);
        let attempts = of(OTLP);
        assert!(attempts > 1);
        assert_eq!([of(OTLP | TRANSCRIPT), of(HOOKS | OTLP | TRANSCRIPT)], [attempts; 2]);
    }
    let machine = Machine::new();
    let turns = json!([{ "status": 400, "error": "invalid_request_error" }]);
    if let Some(client) = claude_code::client(claude_code::PINNED)
        && let Some(provider) = claude_code::Provider::start(&machine, &turns)
    {
        let heard = Run::wired((&client, "claude"), Agent::ClaudeCode, &machine, || {
            claude_code::Run { machine: &machine, client: &client, provider: &provider }.go(&["--dangerously-skip-permissions"]);
        });
        let run = Run { machine, heard, truth: Vec::new() };
        for set in [OTLP, OTLP | TRANSCRIPT, HOOKS | OTLP | TRANSCRIPT] {
            let session = in_any_order(&run.told(set), 2, "refused").session();
            assert_eq!(errors(&session), 1, "claude-code {set:03b} {:#?}", session.incidents);
        }
    }
}
