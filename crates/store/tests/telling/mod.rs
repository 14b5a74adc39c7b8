//! Facts as witnesses tell them, and what a store makes of them.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Key, KeySpace, Priced, Request, Session, Told, UnixMs, Witness, Witnesses,
};
use ducat_prices::NanoUsd;
use ducat_report::{Document, Grouping, Report, ReportQuery, SessionsQuery};
use ducat_store::{Durability, Lane, Pricer, SessionPage, SessionSummary, Store, StoreOptions, TenantId, Write};

pub const NOW: UnixMs = 1_795_000_000_000;

/// A nano-dollar a token.
pub struct Flat;

impl Pricer for Flat {
    fn price(&self, request: &Request) -> Priced {
        let usage = request.usage();
        let model = request.model.get().cloned().unwrap_or_default();
        Priced { model, cost: Some(NanoUsd((usage.input + usage.output) as i64)), billing: None }
    }
}

/// After the user gave a model another name.
pub struct Renamed;

impl Pricer for Renamed {
    fn price(&self, request: &Request) -> Priced {
        Priced { model: "n".to_owned(), ..Flat.price(request) }
    }
}

pub fn open(folder: &Path) -> Store {
    open_priced(folder, Arc::new(Flat))
}

pub fn open_priced(folder: &Path, pricer: Arc<dyn Pricer>) -> Store {
    let options =
        StoreOptions { path: folder.join("ledger.db"), durability: Durability::Process, pricer, clock: || NOW, listener: None };
    Store::open(options).unwrap()
}

pub fn tell(store: &Store, facts: Vec<Fact>) {
    store.write(Write { lane: Lane::Live, tenant: TenantId::LOCAL, facts, event: None, cursors: Vec::new() }).unwrap();
}

pub fn held(agent: &str, session: &str) -> Holders {
    let session = Key::of(KeySpace::Session, agent, session);
    Holders::one(Holder { session, live: false, project: None, branch: None })
}

pub fn session(agent: &str, id: &str) -> Fact {
    let mut session = Session::new(Key::of(KeySpace::Session, agent, id), agent, id);
    session.last_at = Told::by(1, NOW);
    Fact::Session(session)
}

pub fn request(agent: &str, session: &str, id: &str, witness: Witness, at: UnixMs, output: u64) -> Request {
    let mut request = Request::new(Key::of(KeySpace::Request, agent, id), agent, id);
    request.holders = held(agent, session);
    request.witnesses = Witnesses::only(witness);
    request.model = witness.tells(FieldClass::Usage, "m".to_owned());
    request.output_tokens = witness.tells(FieldClass::Usage, output);
    request.started_at = witness.tells(FieldClass::Start, at);
    request
}

pub fn keyless(mut request: Request) -> Request {
    request.keyless = Told::by(1, true);
    request.duration_ms = Told::by(2, 700);
    request.user = Told::by(1, "ana".to_owned());
    request
}

pub fn sum(mut request: Request) -> Request {
    request.is_sum = Told::by(1, true);
    request
}

pub fn report(store: &Store) -> Document {
    let mut report = Report::new(ReportQuery { by: Grouping::Agent, ..ReportQuery::default() });
    store.reader().unwrap().add_to(TenantId::LOCAL, (None, None), &mut report).unwrap();
    report.finish()
}

pub fn totals(store: &Store) -> (u64, u64, i64) {
    assert_eq!(store.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
    let totals = report(store).totals;
    (totals.requests, totals.usage.output, totals.cost.0)
}

/// The list of sessions as the store keeps it, like [`listed`].
pub fn kept(store: &Store) -> Vec<SessionSummary> {
    without_models(store.sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap())
}

/// The list of sessions, but for the names of models, which are of the time of writing.
pub fn listed(store: &Store) -> Vec<SessionSummary> {
    without_models(store.reader().unwrap().sessions(TenantId::LOCAL, &SessionsQuery::default()).unwrap())
}

fn without_models(page: SessionPage) -> Vec<SessionSummary> {
    page.rows.into_iter().map(|row| SessionSummary { models: Vec::new(), ..row }).collect()
}

/// All rows, as they are stored, but for the name of the model, which is of the time of writing, and the group, which says where twins would be looked for: a session that once held a row without an id
/// goes on being looked at.
pub fn rows(folder: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    let mut rows = Vec::new();
    for (table, more) in [("requests", ", 0, cost_nano"), ("tool_calls", ", 0, 0")] {
        let sql = format!("SELECT hex(key), fact, base, role, hex(owner){more} FROM {table} ORDER BY key");
        let mut statement = database.prepare(&sql).unwrap();
        let found = statement.query_map([], |row| {
            let values = (0..7).map(|place| row.get::<_, rusqlite::types::Value>(place)).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("{values:?}"))
        });
        rows.extend(found.unwrap().map(Result::unwrap));
    }
    rows
}
