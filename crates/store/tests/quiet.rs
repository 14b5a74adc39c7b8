//! Who was heard when, on disk: by our clock, of what happens now, through restarts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ducat_ledger::{
    Fact, FieldClass, Freshness, Holder, Holders, Key, KeySpace, Request, Session, ToolCall, Turn, UnixMs, Witness, Witnesses,
};
use ducat_prices::PriceTable;
use ducat_store::{Durability, Lane, Store, StoreOptions, TakenOut, TenantId, Write};

const MINUTE: i64 = 60_000;
const AGENT: &str = "codex";
/// One test turns it, so the others are in it.
static CLOCK: AtomicI64 = AtomicI64::new(1_795_000_000_000);

fn now() -> UnixMs {
    CLOCK.load(Relaxed)
}

fn open(folder: &Path) -> Store {
    let (path, pricer) = (folder.join("ledger.db"), Arc::new(PriceTable::embedded()));
    Store::open(StoreOptions { path, durability: Durability::Process, pricer, clock: now, listener: None }).unwrap()
}

fn session_key(session: &str) -> Key {
    Key::of(KeySpace::Session, AGENT, session)
}

/// A word of a witness about a tool call that began `ago` minutes ago.
fn call(id: &str, session: &str, witness: Witness, ago: i64) -> Fact {
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, AGENT, id), AGENT, id);
    call.holders = Holders::one(Holder { session: session_key(session), live: true, project: None, branch: None });
    call.witnesses = Witnesses::only(witness);
    call.started_at = witness.tells(FieldClass::Timing, now() - ago * MINUTE);
    Fact::ToolCall(call)
}

fn tell(store: &Store, facts: Vec<Fact>) {
    let write = Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() };
    store.write(write).unwrap();
}

fn fresh(store: &Store) -> Vec<Freshness> {
    store.reader().unwrap().freshness(TenantId::LOCAL, "here", now()).unwrap()
}

fn quiet(store: &Store) -> Vec<(String, Witness)> {
    fresh(store).into_iter().filter(|row| row.quiet.is_some()).map(|row| (row.host, row.witness)).collect()
}

#[test]
fn a_witness_that_stops_is_quiet_until_it_is_heard_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut number = 0;
    let mut minutes = |store: &Store, count: i64, witnesses: &[Witness]| {
        for _ in 0..count {
            number += 1;
            CLOCK.fetch_add(MINUTE, Relaxed);
            tell(store, witnesses.iter().map(|witness| call(&number.to_string(), "s", *witness, 0)).collect());
        }
    };
    minutes(&store, 20, &[Witness::Hook, Witness::Transcript]);
    let last = now();
    assert_eq!(quiet(&store), []);
    minutes(&store, 20, &[Witness::Transcript]);
    // Spells go on over a restart.
    store.close();
    store = open(folder.path());
    minutes(&store, 9, &[Witness::Transcript]);
    assert_eq!(quiet(&store), []);
    minutes(&store, 4, &[Witness::Transcript]);
    assert_eq!(quiet(&store), [("here".to_owned(), Witness::Hook)]);
    assert_eq!(fresh(&store).iter().find(|row| row.witness == Witness::Hook).unwrap().heard_at, last);
    // What comes late proves nothing, and heals nothing.
    tell(&store, vec![call("late", "s", Witness::Hook, 11)]);
    assert_eq!(quiet(&store).len(), 1);
    // The host is the session's, whoever told it.
    let mut session = Session::new(session_key("s"), AGENT, "s");
    session.host = Witness::Transcript.tells(FieldClass::Attribution, "laptop".to_owned());
    session.last_at = Witness::Transcript.tells(FieldClass::Attribution, now());
    tell(&store, vec![Fact::Session(session)]);
    assert_eq!(quiet(&store), [("laptop".to_owned(), Witness::Hook)]);
    // Taken out is not missed; set up again it is.
    let notes = TakenOut::open(store.path()).unwrap().unwrap();
    for (is_out, count) in [(true, 0), (false, 1)] {
        notes.note(TenantId::LOCAL, AGENT, "laptop", Witness::Hook, is_out).unwrap();
        assert_eq!(quiet(&store).len(), count);
    }
    minutes(&store, 1, &[Witness::Hook]);
    assert_eq!(quiet(&store), []);
    // An import of what is long over is not heard.
    let mut turn = Turn::new(Key::of(KeySpace::Turn, AGENT, "old"), AGENT, "old");
    turn.witnesses = Witnesses::only(Witness::OtlpLog);
    turn.started_at = Witness::OtlpLog.tells(FieldClass::Timing, now() - 600 * MINUTE);
    tell(&store, vec![Fact::Turn(turn.clone())]);
    assert_eq!(fresh(&store).len(), 2);
    // What belongs to no session is heard all the same.
    turn.ended_at = Witness::OtlpLog.tells(FieldClass::Timing, now() - MINUTE);
    tell(&store, vec![Fact::Turn(turn)]);
    assert_eq!(fresh(&store).iter().map(|row| row.host.as_str()).collect::<Vec<_>>(), ["here", "laptop", "laptop"]);
    // `ducat meter` tells of requests in the name of hooks, which tell of none.
    let mut metered = Request::new(Key::of(KeySpace::Request, "claude-code", "r"), "claude-code", "r");
    metered.witnesses = Witnesses::only(Witness::Hook);
    metered.started_at = Witness::Hook.tells(FieldClass::Start, now());
    tell(&store, vec![Fact::Request(metered.clone())]);
    assert_eq!(fresh(&store).len(), 3);
    metered.witnesses.join(Witnesses::only(Witness::OtlpLog));
    tell(&store, vec![Fact::Request(metered)]);
    assert_eq!(
        fresh(&store).iter().filter(|row| row.agent == "claude-code").map(|row| row.witness).collect::<Vec<_>>(),
        [Witness::OtlpLog]
    );
    // Forgotten after a week.
    CLOCK.fetch_add(8 * 24 * 60 * MINUTE, Relaxed);
    assert_eq!(fresh(&store), []);
}
