//! The one thread that writes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ducat_ledger::{Fact, UnixMs};
use ducat_metrics::{Counting, LabelValues};
use rusqlite::{Connection, TransactionBehavior};

use crate::batch::{Batch, prune_event_ids};
use crate::copies::Copies;
use crate::counters::{self, Counters};
use crate::heard::Heard;
use crate::keys::{KeyError, Keys};
use crate::machines::Machines;
use crate::reader::Reader;
use crate::session_index::SessionIndexes;
use crate::spells::{self, Spells};
use crate::{Doing, Durability, FileCursor, Lane, Listener, Pricer, Receipt, StoreError, StoreOptions, TenantId, Write, schema};

/// A live event waits for one bulk commit at most, so those are cut to take 5 ms at most. Facts differ in what they take: this is aimed at.
const BULK_SLICE: Duration = Duration::from_millis(3);
/// Facts of a bulk write in one commit.
const SMALLEST_SLICE: usize = 16;
const LARGEST_SLICE: usize = 2048;
/// Live writes in one commit: more would make the first wait for the last.
const LIVE_BATCH: usize = 1024;
/// Writes that may wait in a lane.
const LIVE_WAITING: usize = 65_536;
const BULK_WAITING: usize = 64;
/// While there are commits, the log is folded into the database this often.
const FOLD_EVERY: Duration = Duration::from_millis(500);
/// An import reads that long between two writes.
const IMPORT_PAUSES: Duration = Duration::from_secs(2);
/// Bytes that the log may grow to while an import runs.
const LARGEST_LOG: u64 = 512 << 20;

type Answer = Box<dyn FnOnce(Result<Receipt, StoreError>) + Send>;

/// A handle to the ledger on disk; clones share it. The last one dropped ends the writer after what is waiting.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    counters: Arc<Mutex<Counters>>,
    copies: Arc<Copies>,
    session_indexes: Arc<SessionIndexes>,
    path: PathBuf,
    durability: Durability,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queues: Mutex<Queues>,
    /// Something waits, or it is time to end.
    work: Condvar,
    /// There is room in the bulk lane.
    room: Condvar,
}

#[derive(Default)]
struct Queues {
    live: VecDeque<(Write, Answer)>,
    bulk: VecDeque<BulkJob>,
    closed: bool,
}

/// A bulk write, perhaps begun.
struct BulkJob {
    tenant: TenantId,
    facts: VecDeque<Fact>,
    cursors: Vec<FileCursor>,
    event: Option<crate::Event>,
    answer: Answer,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens the database, bringing it to this version's schema, and starts the writer.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let mut connection = Connection::open(&options.path).doing("opening the database")?;
        schema::configure(&connection)?;
        schema::migrate(&mut connection, &*options.pricer)?;
        let synchronous = if options.durability == Durability::Power { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous).doing("opening the database")?;
        // Folding the log takes long and is done on a thread of its own.
        connection.pragma_update(None, "wal_autocheckpoint", 0).doing("opening the database")?;
        let shared = Arc::new(Shared { queues: Mutex::default(), work: Condvar::new(), room: Condvar::new() });
        let (fold, folds) = mpsc::sync_channel(1);
        let folder = Connection::open(&options.path).doing("opening the database")?;
        schema::configure(&folder)?;
        let rest_is_small = Arc::new(AtomicBool::new(false));
        let checkpoints = thread::Builder::new().name("ducat-checkpoint".to_owned()).spawn({
            let rest_is_small = rest_is_small.clone();
            move || {
                while folds.recv().is_ok() {
                    // A reader in the way is no fault: the next commit asks again.
                    let mut folded = fold_log(&folder).ok();
                    // What came meanwhile; each round is shorter than the one before.
                    for _ in 0..3 {
                        if folded.is_some_and(|(log, done)| log - done > SHORT_REST) {
                            folded = fold_log(&folder).ok();
                        }
                    }
                    let nearly = folded.is_some_and(|(log, done)| log >= LONG_LOG && log - done <= SHORT_REST);
                    rest_is_small.store(nearly, Ordering::Relaxed);
                }
            }
        });
        let checkpoints = checkpoints.map_err(StoreError::Thread)?;
        let since = counters::counts_since(&connection, (options.clock)())?;
        let (series, labels) = counters::restore(&connection)?;
        let counters = Arc::new(Mutex::new(Counters { series, ..Counters::default() }));
        let (copies, session_indexes) = (Arc::new(Copies::default()), Arc::new(SessionIndexes::default()));
        let mut writer = Writer {
            counters: counters.clone(),
            copies: copies.clone(),
            session_indexes: session_indexes.clone(),
            labels,
            since,
            listener: options.listener,
            connection,
            shared: shared.clone(),
            pricer: options.pricer,
            clock: options.clock,
            log: log_of(&options.path),
            fold,
            rest_is_small,
            folded_at: Instant::now(),
            bulk_at: None,
            pruned_at: None,
            slice: SMALLEST_SLICE,
            spells: Spells::default(),
        };
        let writing = thread::Builder::new().name("ducat-writer".to_owned()).spawn(move || writer.run());
        let threads = vec![writing.map_err(StoreError::Thread)?, checkpoints];
        Ok(Self(Arc::new(Inner {
            shared,
            counters,
            copies,
            session_indexes,
            path: options.path,
            durability: options.durability,
            threads: Mutex::new(threads),
        })))
    }

    /// Queues a write; `answer` is called after its commit, on the writer's thread. When the live lane is full it is called at once
    /// with [`StoreError::Busy`]; a full bulk lane makes the caller wait.
    pub fn submit(&self, write: Write, answer: impl FnOnce(Result<Receipt, StoreError>) + Send + 'static) {
        let shared = &self.0.shared;
        let mut queues = shared.queues();
        while write.lane == Lane::Bulk && queues.bulk.len() >= BULK_WAITING && !queues.closed {
            queues = shared.room.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        if queues.closed {
            drop(queues);
            return answer(Err(StoreError::Closed));
        }
        match write.lane {
            Lane::Live if queues.live.len() >= LIVE_WAITING => {
                drop(queues);
                return answer(Err(StoreError::Busy));
            }
            Lane::Live => queues.live.push_back((write, Box::new(answer))),
            Lane::Bulk => queues.bulk.push_back(BulkJob {
                tenant: write.tenant,
                facts: write.facts.into(),
                cursors: write.cursors,
                event: write.event,
                answer: Box::new(answer),
            }),
        }
        drop(queues);
        shared.work.notify_one();
    }

    /// Queues a write and waits for its commit.
    pub fn write(&self, write: Write) -> Result<Receipt, StoreError> {
        let (tell, told) = mpsc::sync_channel(1);
        self.submit(write, move |result| drop(tell.send(result)));
        told.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// The series of the metrics as of the last commit.
    pub fn counters(&self) -> Counters {
        self.0.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn session_indexes(&self) -> &SessionIndexes {
        &self.0.session_indexes
    }

    /// How many writes wait: live, and bulk.
    pub fn waiting(&self) -> (usize, usize) {
        let queues = self.0.shared.queues();
        (queues.live.len(), queues.bulk.len())
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What an acknowledgement promises.
    pub fn durability(&self) -> Durability {
        self.0.durability
    }

    /// Has what was committed survive the loss of power too, as is due to who forgets it now.
    pub fn sync(&self) -> Result<(), StoreError> {
        match std::fs::File::open(log_of(&self.0.path)).and_then(|log| log.sync_data()) {
            // Folded into the database, which is synced then.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(StoreError::Sync),
        }
    }

    /// The keys of other machines.
    pub fn keys(&self) -> Result<Keys, KeyError> {
        Keys::open(&self.0.path)
    }

    /// The machines that ship here.
    pub fn machines(&self) -> Result<Machines, StoreError> {
        Machines::open(&self.0.path)
    }

    /// A connection of its own that only reads; its reports read the roll-ups' copy in memory, which the first of them loads.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Ok(Reader { copies: Some(self.0.copies.clone()), ..Reader::open(&self.0.path)? })
    }

    #[cfg(test)]
    pub(crate) fn copies(&self) -> &Copies {
        &self.0.copies
    }

    /// Writes what is waiting, and ends; later writes are refused.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queues().closed = true;
        self.shared.work.notify_all();
        self.shared.room.notify_all();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    pricer: Arc<dyn Pricer>,
    clock: fn() -> UnixMs,
    /// The log's file.
    log: PathBuf,
    fold: mpsc::SyncSender<()>,
    /// The log was just folded but for what came meanwhile.
    rest_is_small: Arc<AtomicBool>,
    folded_at: Instant,
    /// The last bulk commit.
    bulk_at: Option<Instant>,
    pruned_at: Option<Instant>,
    /// Facts of a bulk write that fit into a slice.
    slice: usize,
    spells: Spells,
    counters: Arc<Mutex<Counters>>,
    copies: Arc<Copies>,
    session_indexes: Arc<SessionIndexes>,
    labels: LabelValues,
    /// Facts from before it enter no counter.
    since: UnixMs,
    listener: Option<Arc<dyn Listener>>,
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Pages of the log that are worth starting anew for.
const LONG_LOG: i64 = 2000;

/// Pages that the writer may fold without keeping a live event waiting.
const SHORT_REST: i64 = 200;

/// Folds the log into the database as far as no reader is in the way; how many pages it has, and how many of them are folded.
fn fold_log(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}

const PRUNE_EVERY: Duration = Duration::from_secs(3600);

impl Writer {
    fn run(&mut self) {
        loop {
            let live = {
                let mut queues = self.shared.queues();
                while queues.live.is_empty() && queues.bulk.is_empty() && !queues.closed {
                    queues = self.shared.work.wait(queues).unwrap_or_else(PoisonError::into_inner);
                }
                if queues.live.is_empty() && queues.bulk.is_empty() {
                    return;
                }
                let size = queues.live.len().min(LIVE_BATCH);
                queues.live.drain(..size).collect::<Vec<_>>()
            };
            if live.is_empty() {
                self.commit_bulk();
            } else {
                self.commit_live(live);
            }
            self.look_after();
        }
    }

    /// Commits live writes together; when that fails each alone, so that one bad write fails alone.
    fn commit_live(&mut self, writes: Vec<(Write, Answer)>) {
        let (writes, answers): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        match self.transact(|batch| writes.iter().map(|write| believe(batch, write)).collect::<Result<Vec<_>, _>>()) {
            Ok(receipts) => answers.into_iter().zip(receipts).for_each(|(answer, receipt)| answer(Ok(receipt))),
            Err(_) if writes.len() > 1 => {
                for (write, answer) in writes.into_iter().zip(answers) {
                    answer(self.transact(|batch| believe(batch, &write)));
                }
            }
            Err(error) => {
                if let Some(answer) = answers.into_iter().next() {
                    answer(Err(error));
                }
            }
        }
    }

    /// Commits a slice of the first bulk write.
    fn commit_bulk(&mut self) {
        let Some(mut job) = self.shared.queues().bulk.pop_front() else { return };
        self.bulk_at = Some(Instant::now());
        let (begun, slice, waiting) = (Instant::now(), self.slice, job.facts.len());
        let result = self.transact(|batch| {
            if let Some(event) = &job.event {
                let receipt = batch.accept(job.tenant, event)?;
                if receipt != Receipt::Stored {
                    job.facts.clear();
                    return Ok(receipt);
                }
            }
            // An event's facts are committed whole, or a crash between two slices would lose the rest of it.
            let size = if job.event.is_some() { job.facts.len() } else { slice.min(job.facts.len()) };
            for fact in job.facts.drain(..size) {
                batch.believe(job.tenant, fact)?;
            }
            if job.facts.is_empty() {
                job.cursors.iter().try_for_each(|cursor| batch.keep_cursor(job.tenant, cursor))?;
            }
            Ok(Receipt::Stored)
        });
        // How many facts fit is known from the last slice: settling and writing them takes longer than taking them in.
        let done = (waiting - job.facts.len()).max(1) as f64;
        let fitting = done * BULK_SLICE.as_secs_f64() / begun.elapsed().as_secs_f64().max(1e-6);
        self.slice = (fitting as usize).clamp(self.slice / 2, self.slice * 2).clamp(SMALLEST_SLICE, LARGEST_SLICE);
        if result.is_ok() && !job.facts.is_empty() {
            self.shared.queues().bulk.push_front(job);
            return;
        }
        self.shared.room.notify_one();
        (job.answer)(result);
    }

    fn transact<T>(&mut self, work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let now = (self.clock)();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).doing("beginning a commit")?;
        let mut batch = Batch::new(&transaction, &*self.pricer, now);
        let value = work(&mut batch)?;
        // Put back after the commit: what a failed one would have written is read again.
        let mut spells = std::mem::take(&mut self.spells);
        spells.write(&transaction, batch.take_voices(), now)?;
        let mut counting = Counting::new(&mut self.labels, self.since, now);
        let mut heard = Heard::new(&mut counting, self.listener.as_deref(), now);
        let rollups = batch.settle(&mut heard)?;
        let (news, sessions) = (heard.news, heard.sessions);
        let increments = counting.into_increments();
        let lock = || self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = lock().series.after(&increments, now);
        counters::save(&transaction, &rows)?;
        self.copies.commit(transaction, rollups)?;
        self.spells = spells;
        self.session_indexes.wrote(&sessions);
        if !increments.is_empty() {
            let mut counters = lock();
            counters.series.apply(increments, now);
            counters.overflows.clone_from(self.labels.overflows());
        }
        if let Some(listener) = self.listener.as_deref().filter(|_| !news.is_empty()) {
            listener.hear(news);
        }
        Ok(value)
    }

    /// Has the log folded, and forgets old event ids now and then.
    fn look_after(&mut self) {
        if self.folded_at.elapsed() > FOLD_EVERY {
            self.folded_at = Instant::now();
            // Folding syncs the log, and an append to a file that is being synced waits: live events between bulk commits would too.
            let is_importing = self.bulk_at.is_some_and(|at| at.elapsed() < IMPORT_PAUSES);
            if !is_importing || std::fs::metadata(&self.log).is_ok_and(|meta| meta.len() > LARGEST_LOG) {
                let _ = self.fold.try_send(());
            }
        }
        if self.rest_is_small.swap(false, Ordering::Relaxed) {
            // With nobody writing meanwhile the fold reaches the log's end, and the log begins anew instead of growing for ever: new
            // pages of a file cost more than writing them.
            let _ = fold_log(&self.connection);
        }
        if self.pruned_at.is_none_or(|at| at.elapsed() > PRUNE_EVERY) {
            // What is left over is forgotten the next time.
            let _ = prune_event_ids(&self.connection, (self.clock)());
            let _ = spells::prune(&self.connection, (self.clock)());
            self.pruned_at = Some(Instant::now());
        }
    }
}

fn believe(batch: &mut Batch<'_>, write: &Write) -> Result<Receipt, StoreError> {
    if let Some(event) = &write.event {
        let receipt = batch.accept(write.tenant, event)?;
        if receipt != Receipt::Stored {
            return Ok(receipt);
        }
    }
    for fact in &write.facts {
        batch.believe(write.tenant, fact.clone())?;
    }
    write.cursors.iter().try_for_each(|cursor| batch.keep_cursor(write.tenant, cursor))?;
    Ok(Receipt::Stored)
}
