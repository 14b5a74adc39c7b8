//! The roll-ups of requests in memory as well, for the readers of the writer's own process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ducat_ledger::{RequestRollup, RequestRollupKey};
use rusqlite::{Connection, Transaction};

use crate::request_columns::{RequestColumns, RequestView};
use crate::rollups::RequestChanges;
use crate::{Doing, StoreError, TenantId, schema};

/// Made at a tenant's first report, and from there on changed with every commit.
#[derive(Default)]
pub(crate) struct Copies {
    /// Locked while a commit becomes visible and reaches the copies, and while a reader begins: both then have the same commits.
    tenants: Mutex<HashMap<TenantId, Copy>>,
    /// Who loads.
    loading: Mutex<()>,
}

enum Copy {
    /// What was committed after the state that is being loaded.
    Loading(Vec<(RequestRollupKey, RequestRollup)>),
    Loaded(RequestColumns),
}

impl Copies {
    /// Commits, and only then changes the copies.
    pub fn commit(&self, transaction: Transaction<'_>, changes: RequestChanges) -> Result<(), StoreError> {
        let mut tenants = self.tenants();
        transaction.commit().doing("committing")?;
        for ((tenant, key), sums) in changes {
            match tenants.get_mut(&tenant) {
                None => {}
                Some(Copy::Loading(missed)) => missed.push((key, sums)),
                Some(Copy::Loaded(columns)) => columns.add(&key, &sums),
            }
        }
        Ok(())
    }

    /// Begins to read: the tenant's roll-ups and the ledger as of the same commit.
    pub fn begin<'c>(&self, connection: &'c Connection, tenant: TenantId) -> Result<(Transaction<'c>, RequestView), StoreError> {
        loop {
            {
                let tenants = self.tenants();
                if let Some(Copy::Loaded(columns)) = tenants.get(&tenant) {
                    return Ok((begin(connection)?, columns.view()));
                }
            }
            self.load(connection, tenant)?;
        }
    }

    /// Loads a tenant's roll-ups, unless another does.
    fn load(&self, connection: &Connection, tenant: TenantId) -> Result<(), StoreError> {
        let _alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = {
            let mut tenants = self.tenants();
            if let Some(Copy::Loaded(_)) = tenants.get(&tenant) {
                return Ok(());
            }
            let transaction = begin(connection)?;
            tenants.insert(tenant, Copy::Loading(Vec::new()));
            transaction
        };
        let loaded = RequestColumns::load(&transaction, tenant);
        let mut tenants = self.tenants();
        let missed = tenants.remove(&tenant);
        let mut columns = loaded?;
        if let Some(Copy::Loading(missed)) = missed {
            missed.iter().for_each(|(key, sums)| columns.add(key, sums));
        }
        tenants.insert(tenant, Copy::Loaded(columns));
        Ok(())
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, Copy>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction that sees the commits until now, and no later one.
pub(crate) fn begin(connection: &Connection) -> Result<Transaction<'_>, StoreError> {
    let transaction = connection.unchecked_transaction().doing("reading the ledger")?;
    // SQLite decides what is seen with the first thing that is read.
    schema::require_current(&transaction)?;
    Ok(transaction)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use ducat_ledger::{Attributes, Fact, Holder, Holders, Key, KeySpace, OTHER, Outcome, Request, Told, ToolCall, UnixMs};
    use ducat_prices::PriceTable;
    use ducat_report::{AskedPeriod, Filters, Grouping, Report, ReportQuery};
    use proptest::prelude::*;

    use super::*;
    use crate::{Durability, Lane, Reader, Store, StoreOptions, Write};

    const NOW: UnixMs = 1_795_000_000_000;
    const TENANTS: [TenantId; 2] = [TenantId::LOCAL, TenantId(7)];

    fn open(folder: &Path) -> Store {
        let options = StoreOptions {
            path: folder.join("ledger.db"),
            durability: Durability::Process,
            pricer: Arc::new(PriceTable::embedded()),
            clock: || NOW,
            listener: None,
        };
        Store::open(options).unwrap()
    }

    fn write(store: &Store, tenant: TenantId, lane: Lane, facts: Vec<Fact>) -> Result<crate::Receipt, StoreError> {
        store.write(Write { lane, tenant, facts, event: None, cursors: Vec::new() })
    }

    /// What is told of requests again and again, so that they grow and move to other names and times.
    fn telling() -> impl Strategy<Value = (TenantId, Lane, Vec<Fact>)> {
        let at = prop::option::weighted(
            0.9,
            prop::sample::select(vec![0_i64, 1, 899_999, 900_000, 70_000_000_000, NOW, NOW + 1, NOW + 86_400_000]),
        );
        let model = prop::sample::select(vec!["claude-sonnet-4-5", "claude-opus-4-5", "unheard-of"]);
        let one = (0_u8..9, at, model, 0_u8..4, 0_u64..3, prop::option::of(0_u8..3)).prop_map(
            |(id, at, model, names, output, label)| {
                let id = format!("r{id}");
                let mut request = Request::new(Key::of(KeySpace::Request, "codex", &id), "codex", id);
                let (session, project) = (Key::of(KeySpace::Session, "codex", "s"), (names > 0).then(|| format!("/p{names}")));
                request.holders = Holders::one(Holder { session, live: false, project, branch: None });
                request.started_at = Told::maybe(names, at);
                request.model = Told::by(names, model.to_owned());
                request.output_tokens = Told::by(names, output * 4_000_000_000);
                request.user = Told::maybe(names, (names % 2 == 0).then(|| "ana".to_owned()));
                request.labels = Told::maybe(names, label.map(|label| format!("shift=s{label}")));
                request.is_sum = Told::maybe(1, (output == 0 && names == 3).then_some(true));
                Fact::Request(request)
            },
        );
        let lane = prop::sample::select(vec![Lane::Live, Lane::Bulk]);
        (prop::sample::select(TENANTS.to_vec()), lane, prop::collection::vec(one, 1..6))
    }

    fn report(reader: &Reader, tenant: TenantId, query: ReportQuery, range: (Option<UnixMs>, Option<UnixMs>)) -> String {
        let mut report = Report::new(query);
        reader.add_to(tenant, range, &mut report).unwrap();
        report.finish().to_json()
    }

    /// The copy is what is on disk, and every report from either is the same.
    fn check(store: &Store) {
        let other = Reader::open(store.path()).unwrap();
        let ours = store.reader().unwrap();
        for tenant in TENANTS {
            let (transaction, view) = ours.copies.as_ref().unwrap().begin(&ours.connection, tenant).unwrap();
            let on_disk = RequestColumns::load(&transaction, tenant).unwrap();
            assert_eq!(view.rows(), on_disk.view().rows());
            transaction.finish().unwrap();
            for by in Grouping::ALL {
                for (breakdown, range) in [
                    (None, (None, None)),
                    (Some(Grouping::Model), (Some(0), None)),
                    (Some(Grouping::Project), (Some(NOW - 100), Some(NOW + 1))),
                    (Some(Grouping::User), (Some(NOW - 1_000_000), Some(NOW + 90_000_000))),
                ] {
                    let query = ReportQuery { by, breakdown, label: Some("shift".to_owned()), ..ReportQuery::default() };
                    let [ours, theirs] = [&ours, &other].map(|reader| report(reader, tenant, query.clone(), range));
                    assert_eq!(ours, theirs, "{by:?} {breakdown:?} {range:?}");
                }
            }
            let mut days = AskedPeriod::default();
            for (name, value) in [("since", "2026-11-18"), ("until", "2026-11-19"), ("timezone", "Asia/Kathmandu")] {
                assert!(days.take(name, value));
            }
            let query = ReportQuery {
                period: days.period(jiff::Timestamp::UNIX_EPOCH).unwrap(),
                filters: Filters {
                    project: Some("p1".to_owned()),
                    model: Some("claude-opus-4-5".to_owned()),
                    ..Filters::default()
                },
                ..ReportQuery::default()
            };
            let filters = [
                ("", ""),
                ("user", "ana"),
                ("user", ""),
                ("model", "unheard-of"),
                ("project", ""),
                ("agent", "codex"),
                ("branch", "main"),
            ];
            for (name, value) in filters {
                let mut filters = Filters::default();
                assert_eq!(filters.take(name, value).unwrap(), !name.is_empty(), "no name is no filter");
                let query = ReportQuery { filters, by: Grouping::Hourly, ..ReportQuery::default() };
                let [ours, theirs] = [&ours, &other].map(|reader| report(reader, tenant, query.clone(), (None, None)));
                assert_eq!(ours, theirs, "{name} {value}");
            }
            // Wider than what is asked for, too.
            for range in [query.time_range(), (None, None)] {
                let [ours, theirs] = [&ours, &other].map(|reader| report(reader, tenant, query.clone(), range));
                assert_eq!(ours, theirs);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn a_copy_is_what_is_on_disk(
            first in prop::collection::vec(telling(), 0..12),
            second in prop::collection::vec(telling(), 0..12),
            loaded in prop::collection::vec(0_usize..12, 0..3),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path());
            std::thread::scope(|threads| {
                let other = threads.spawn(|| for (tenant, lane, facts) in second {
                    write(&store, tenant, lane, facts).unwrap();
                });
                for (place, (tenant, lane, facts)) in first.into_iter().enumerate() {
                    if loaded.contains(&place) {
                        report(&store.reader().unwrap(), tenant, ReportQuery::default(), (None, None));
                    }
                    write(&store, tenant, lane, facts).unwrap();
                }
                other.join().unwrap();
            });
            check(&store);
            for tenant in TENANTS {
                prop_assert_eq!(store.reader().unwrap().check_rollups(tenant).unwrap(), vec![]);
            }
        }
    }

    fn request(id: &str, at: UnixMs) -> Request {
        let mut request = Request::new(Key::of(KeySpace::Request, "codex", id), "codex", id);
        (request.started_at, request.output_tokens) = (Told::by(1, at), Told::by(1, 5));
        request
    }

    /// Sums of what is loaded while commits come must have each of them once.
    #[test]
    fn loads_in_the_midst_of_commits_miss_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        for round in 0..20_i64 {
            // As in a process that has read nothing yet.
            store.copies().tenants().clear();
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    (0..30).for_each(|id| {
                        let fact = Fact::Request(request(&format!("{round} {id}"), NOW + id * 900_000));
                        write(&store, TenantId::LOCAL, Lane::Live, vec![fact]).unwrap();
                    })
                });
                for _ in 0..2 {
                    threads.spawn(|| report(&store.reader().unwrap(), TenantId::LOCAL, ReportQuery::default(), (None, None)));
                }
            });
            check(&store);
        }
    }

    #[test]
    fn what_is_not_committed_does_not_reach_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let facts = |id: &str| {
            let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, "codex", id), "codex", id);
            (call.name, call.outcome) = (Told::by(1, "Bash".to_owned()), Told::by(1, Outcome::Ok));
            vec![Fact::Request(request(id, NOW)), Fact::ToolCall(call)]
        };
        write(&store, TenantId::LOCAL, Lane::Live, facts("a")).unwrap();
        check(&store);
        let database = Connection::open(store.path()).unwrap();
        let key = RequestRollupKey {
            bucket: 0,
            agent: "codex".to_owned(),
            model: String::new(),
            project: None,
            branch: None,
            user: None,
            team: None,
            host: None,
            billing: None,
            attributes: Attributes::default(),
        };
        // Written after the roll-ups of requests.
        let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON rollup_tools BEGIN SELECT RAISE(ABORT, 'refused'); END;
                      CREATE TRIGGER refuse_too BEFORE INSERT ON rollup_tools BEGIN SELECT RAISE(ABORT, 'refused'); END;";
        database.execute_batch(refuse).unwrap();
        for lane in [Lane::Live, Lane::Bulk] {
            assert!(write(&store, TenantId::LOCAL, lane, facts("b")).is_err());
            check(&store);
        }
        database.execute_batch("DROP TRIGGER refuse; DROP TRIGGER refuse_too;").unwrap();
        write(&store, TenantId::LOCAL, Lane::Live, facts("b")).unwrap();
        check(&store);
        // And where it is the commit itself that fails.
        let broken = "PRAGMA foreign_keys = ON; CREATE TABLE one (id INTEGER PRIMARY KEY);
                      CREATE TABLE other (of INTEGER REFERENCES one (id) DEFERRABLE INITIALLY DEFERRED);";
        database.execute_batch(broken).unwrap();
        let transaction = database.unchecked_transaction().unwrap();
        transaction.execute("INSERT INTO other VALUES (1)", []).unwrap();
        let changes = vec![((TenantId::LOCAL, key), RequestRollup { requests: 1, ..RequestRollup::default() })];
        assert!(store.copies().commit(transaction, changes).is_err());
        check(&store);
    }

    #[test]
    fn a_row_that_its_last_request_leaves_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let tell = |request: &Request| write(&store, TenantId::LOCAL, Lane::Live, vec![Fact::Request(request.clone())]).unwrap();
        let rows = || store.copies().begin(&store.reader().unwrap().connection, TenantId::LOCAL).unwrap().1.rows().len();
        let mut moved = request("a", NOW);
        tell(&moved);
        assert_eq!(rows(), 1);
        (moved.started_at, moved.output_tokens) = (Told::by(2, NOW + 86_400_000), Told::by(2, 3));
        tell(&moved);
        assert_eq!(rows(), 1);
        check(&store);
    }

    /// The set of a value that came after its bound is that of `other`, in the copy too.
    #[test]
    fn names_stand_in_a_copy_as_in_the_roll_ups() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        check(&store);
        let told = (0..1002).map(|value| {
            let mut request = request(&value.to_string(), NOW);
            request.skill = Told::by(1, format!("s{value}"));
            Fact::Request(request)
        });
        write(&store, TenantId::LOCAL, Lane::Bulk, told.collect()).unwrap();
        check(&store);
        let query = ReportQuery { by: Grouping::Skill, ..ReportQuery::default() };
        assert!(report(&store.reader().unwrap(), TenantId::LOCAL, query, (None, None)).contains(&format!("\"{OTHER}\"")));
    }
}
