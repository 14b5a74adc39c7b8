//! Witnesses that told in the past, of what happened then: a ledger that was written by a clock of the test's.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ducat_ledger::{Fact, FieldClass, Holder, Holders, Key, KeySpace, ToolCall, UnixMs, Witness, Witnesses};
use ducat_prices::PriceTable;
use ducat_store::{DataFolder, Durability, Lane, Store, StoreOptions, TenantId, Write};

use crate::Machine;

const MINUTE_MS: i64 = 60_000;
/// Minutes ago of the words that are being written.
static AGO: AtomicI64 = AtomicI64::new(0);

fn then() -> UnixMs {
    i64::try_from(ducat_spool::now_ms()).unwrap() - AGO.load(Relaxed) * MINUTE_MS
}

/// Has each witness tell of a tool call every five minutes, from so many minutes ago until so many. No server may run. Tests of one process do
/// it one after the other.
pub fn told(machine: &Machine, agent: &str, witnesses: &[(Witness, i64, i64)]) {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // What takes long comes first: the past is told from now on.
    crate::program("ducat");
    fs::create_dir_all(machine.data()).unwrap();
    let folder = DataFolder::open(&machine.data()).unwrap();
    let store = Store::open(StoreOptions {
        path: folder.database(),
        durability: Durability::Process,
        pricer: Arc::new(PriceTable::embedded()),
        clock: then,
        listener: None,
    });
    let store = store.unwrap();
    let earliest = witnesses.iter().map(|(_, from, _)| *from).max().unwrap_or(0);
    for ago in (0..=earliest).rev().filter(|ago| ago % 5 == 0) {
        AGO.store(ago, Relaxed);
        let tells = witnesses.iter().filter(|(_, from, until)| (*until..=*from).contains(&ago));
        let facts = tells.map(|(witness, ..)| call(agent, &format!("past-{ago}"), *witness, then())).collect();
        store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
    }
    store.close();
}

fn call(agent: &str, id: &str, witness: Witness, at: UnixMs) -> Fact {
    let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, agent, id), agent, id);
    let session = Key::of(KeySpace::Session, agent, "past");
    call.holders = Holders::one(Holder { session, live: witness != Witness::Transcript, project: None, branch: None });
    call.witnesses = Witnesses::only(witness);
    call.name = witness.tells(FieldClass::Attribution, "Bash".to_owned());
    call.started_at = witness.tells(FieldClass::Timing, at);
    Fact::ToolCall(call)
}
