//! Makes a ledger of invented sessions by the store's own way of writing, so that roll-ups and sums are as in a real one.
//!
//! `made_ledger FOLDER [SESSIONS [REQUESTS_A_SESSION]]`: 100,000 sessions of 10 requests on average unless told, over the last 120 days, with half as many tool calls, a turn for
//! every five requests, and a few errors; `FOLDER/ledger.db` is the database, in a data folder of which `ducat serve` finds it. The first session, `made-large`, has
//! 10,000 requests. The same arguments make the same ledger, but for its times, which end now.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ducat_ledger::{
    Billing, Fact, FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Outcome, Request, Session, Told, ToolCall,
    Turn, UnixMs, Witness, Witnesses,
};
use ducat_prices::PriceTable;
use ducat_store::{Durability, Lane, Store, StoreOptions, TenantId, Write};

const SPAN_MS: i64 = 120 * 86_400_000;
const LARGE: u64 = 10_000;
const MODELS: [(&str, &[&str]); 3] = [
    ("claude-code", &["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"]),
    ("codex", &["gpt-5-codex", "gpt-5"]),
    ("gemini-cli", &["gemini-2.5-pro", "gemini-2.5-flash"]),
];
const TOOLS: [&str; 8] = ["Bash", "Read", "Edit", "Grep", "Glob", "Write", "WebFetch", "mcp__github__search"];

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 16) % bound.max(1)
    }

    /// Many small, few large.
    fn skewed(&mut self, bound: u64) -> u64 {
        let (one, other) = (self.below(bound), self.below(bound));
        one * other / bound.max(1)
    }
}

fn now() -> UnixMs {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as UnixMs)
}

fn told<T>(value: T) -> Told<T> {
    Told::by(Witness::Transcript.rank(FieldClass::Attribution), value)
}

fn session(number: u64, requests: u64, now: UnixMs) -> Vec<Fact> {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    for _ in 0..4 {
        dice.below(2);
    }
    let (agent, models) = MODELS[[0, 0, 0, 0, 0, 0, 0, 1, 1, 2][dice.below(10) as usize]];
    let id = match number {
        0 => "made-large".to_owned(),
        _ => format!(
            "{:08x}-{:04x}-4{:03x}-9{:03x}-{number:012x}",
            dice.below(1 << 31),
            dice.below(1 << 16),
            dice.below(4096),
            dice.below(4096)
        ),
    };
    let place = dice.skewed(200);
    let (project, user) = (format!("/home/dev/project-{place:03}"), format!("dev{}@example.com", dice.skewed(30)));
    let branch = ["main".to_owned(), format!("feature/issue-{}", dice.below(40))][dice.below(2) as usize].clone();
    let (host, team) = (format!("laptop-{}", dice.skewed(40)), format!("team-{}", dice.skewed(6)));
    let begun = if number == 0 { now - 86_400_000 } else { now - dice.below(SPAN_MS as u64) as i64 };
    let key = Key::of(KeySpace::Session, agent, &id);
    let held = Holders::one(Holder { session: key, live: false, project: Some(project.clone()), branch: Some(branch) });
    let witnesses = Witnesses::only(Witness::Transcript);
    let requests = if number == 0 { LARGE } else { dice.skewed(requests * 4).max(1) };
    let mut facts = Vec::new();
    let (mut at, mut turn) = (begun, None);
    let main = models[dice.skewed(models.len() as u64) as usize];
    for place in 0..requests {
        at = (at + 2_000 + dice.skewed(60_000) as i64).min(now);
        if place % 5 == 0 {
            let id = format!("{id}-turn-{place}");
            let mut one = Turn::new(Key::of(KeySpace::Turn, agent, &id), agent, id);
            (one.holders, one.witnesses) = (held.clone(), witnesses);
            (one.started_at, one.prompt_bytes) = (told(at), told(dice.skewed(4_000)));
            turn = Some(one.key);
            facts.push(Fact::Turn(one));
        }
        let request_id = format!("{id}-request-{place}");
        let mut one = Request::new(Key::of(KeySpace::Request, agent, &request_id), agent, request_id);
        (one.holders, one.witnesses) = (held.clone(), witnesses);
        let model = if dice.below(8) == 0 { models[models.len() - 1] } else { main };
        one.model = told(if dice.below(200) == 0 { "model-of-no-price" } else { model }.to_owned());
        (one.input_tokens, one.output_tokens) = (told(dice.skewed(3_000)), told(dice.skewed(4_000)));
        (one.cache_read_tokens, one.cache_write_5m_tokens) = (told(dice.below(160_000)), told(dice.skewed(20_000)));
        (one.started_at, one.duration_ms, one.ttft_ms) =
            (told(at), told(500 + dice.skewed(40_000)), told(200 + dice.skewed(4_000)));
        (one.user, one.team, one.host) = (told(user.clone()), told(team.clone()), told(host.clone()));
        (one.turn, one.stop_reason) = (Told::maybe(1, turn), told("tool_use".to_owned()));
        if place % 2 == 0 {
            let call_id = format!("{id}-call-{place}");
            let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, agent, &call_id), agent, call_id);
            (call.holders, call.witnesses) = (held.clone(), witnesses);
            call.name = told(TOOLS[dice.skewed(TOOLS.len() as u64) as usize].to_owned());
            call.outcome = told(if dice.below(25) == 0 { Outcome::Error } else { Outcome::Ok });
            (call.started_at, call.duration_ms) = (told(at + 500), told(dice.skewed(20_000)));
            (call.input_bytes, call.result_bytes) = (told(dice.skewed(2_000)), told(dice.skewed(40_000)));
            (call.user, call.team, call.host) = (told(user.clone()), told(team.clone()), told(host.clone()));
            (call.turn, call.request) = (Told::maybe(1, turn), told(one.key));
            facts.push(Fact::ToolCall(call));
        }
        if dice.below(400) == 0 {
            let error_id = format!("{id}-error-{place}");
            let mut error = Incident::new(Key::of(KeySpace::Incident, agent, &error_id), agent, error_id);
            (error.holders, error.witnesses) = (held.clone(), witnesses);
            (error.kind, error.at, error.value) = (told(IncidentKind::ApiError), told(at), told(529));
            facts.push(Fact::Incident(error));
        }
        facts.push(Fact::Request(one));
    }
    let mut one = Session::new(key, agent, id);
    (one.started_at, one.last_at) = (told(begun), told(at));
    one.ended_at = Told::maybe(1, (dice.below(3) > 0).then_some(at));
    (one.cwd, one.version) = (told(project), told("2.1.197".to_owned()));
    (one.user, one.team, one.host) = (told(user), told(team), told(host));
    one.billing = told(if dice.below(3) == 0 { Billing::Metered } else { Billing::Plan });
    facts.push(Fact::Session(one));
    facts
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("made_ledger FOLDER [SESSIONS [REQUESTS_A_SESSION]]")?);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (sessions, requests) = (number(100_000)?, number(10)?);
    std::fs::create_dir_all(&folder)?;
    let pricer = Arc::new(PriceTable::embedded());
    let options =
        StoreOptions { path: folder.join("ledger.db"), durability: Durability::Process, pricer, clock: now, listener: None };
    let (store, begun, now) = (Store::open(options)?, Instant::now(), now());
    let mut facts = Vec::new();
    for number in 0..sessions {
        facts.extend(session(number, requests, now));
        if facts.len() >= 1_000 || number + 1 == sessions {
            let facts = std::mem::take(&mut facts);
            store.submit(
                Write { lane: Lane::Bulk, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() },
                |stored| {
                    if let Err(cause) = stored {
                        eprintln!("made_ledger: {cause}");
                    }
                },
            );
        }
        if number % 10_000 == 0 {
            eprintln!("{number} sessions, {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    store.close();
    eprintln!("{sessions} sessions in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}
