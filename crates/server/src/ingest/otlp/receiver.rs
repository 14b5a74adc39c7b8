//! Exports that are on their way into the inbox: bounded in number and bytes, decoded on threads of their own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use ducat_capture::otlp::{Dimensions, Exported, Memory, Surroundings, decode_logs, decode_metrics, decode_traces};
use ducat_ledger::Fact;
use ducat_store::{Store, StoreError, TenantId};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::body::{parse, unpack};
use super::counts::Counts;
use super::forward::{Forwarded, Forwarder};
use super::frame::{Frames, LARGEST_TOLD};
use super::inbox::{Inbox, Unwritten};
use super::{Encoding, Route, Signal};
use crate::ingest::body::Refused;
use crate::{ServeError, failpoint};

/// Threads that decode; the sender and the ledger want the processors too.
const DECODERS: usize = 2;
/// Exports that may wait for one of them.
const WAITING: usize = 128;
/// KiB of bodies that are on their way.
pub(super) const ROOM_KIB: usize = 128 << 10;

/// An export that came whole.
pub(super) struct Export {
    pub route: Route,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub tenant: TenantId,
    /// Given back when it is decoded.
    pub room: Option<OwnedSemaphorePermit>,
    pub answer: oneshot::Sender<Result<Exported, Refused>>,
}

pub(crate) struct Receiver {
    queue: Mutex<Queue>,
    work: Condvar,
    pub inbox: Inbox,
    pub counts: Counts,
    /// By tenant.
    memories: Mutex<BTreeMap<TenantId, Arc<Memory>>>,
    dimensions: Dimensions,
    pub(super) room: Arc<Semaphore>,
    pub forwarder: Option<Forwarder>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    exports: VecDeque<Export>,
    closed: bool,
}

pub(super) fn full(what: &str) -> Refused {
    Refused(StatusCode::TOO_MANY_REQUESTS, format!("{what}; try again"))
}

fn backlog_full() -> Refused {
    full("too much telemetry is waiting for the ledger")
}

impl Receiver {
    pub fn start(
        store: &Store,
        dimensions: Dimensions,
        forwarder: Option<Forwarder>,
        say: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Arc<Self>, ServeError> {
        let receiver = Arc::new(Self {
            queue: Mutex::default(),
            work: Condvar::new(),
            inbox: Inbox::open(store)?,
            counts: Counts::default(),
            memories: Mutex::default(),
            dimensions,
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            forwarder,
            threads: Mutex::default(),
        });
        let mut threads = Vec::new();
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        for _ in 0..DECODERS {
            let decoder = receiver.clone();
            threads.push(thread("ducat-otlp").spawn(move || decoder.decode()).map_err(StoreError::Thread)?);
        }
        let (applier, store) = (receiver.clone(), store.clone());
        threads.push(thread("ducat-otlp-inbox").spawn(move || applier.inbox.apply(&store, &*say)).map_err(StoreError::Thread)?);
        *receiver.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(receiver)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exports that wait to be decoded.
    pub fn waiting(&self) -> usize {
        self.queue().exports.len()
    }

    pub(super) fn is_full(&self) -> Option<Refused> {
        self.inbox.is_full().then(backlog_full)
    }

    pub(super) fn submit(&self, export: Export) -> Result<(), Refused> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "the server is ending".to_owned()));
        }
        if queue.exports.len() >= WAITING {
            return Err(full("too many exports are waiting"));
        }
        queue.exports.push_back(export);
        drop(queue);
        self.work.notify_one();
        Ok(())
    }

    /// Decodes until the receiver is closed.
    fn decode(&self) {
        loop {
            let mut export = {
                let mut queue = self.queue();
                loop {
                    if let Some(export) = queue.exports.pop_front() {
                        break export;
                    }
                    if queue.closed {
                        return;
                    }
                    queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            };
            let (sent, room) = (export.body.len(), export.room.take());
            let taken = self.take(&export);
            drop(room);
            match &taken {
                Ok(exported) => self.counts.took(export.route, sent, exported.accepted, exported.rejected),
                Err(_) => self.counts.refuse(export.route),
            }
            failpoint::reached("otlp_before_answer");
            // Who asked may have gone away.
            let _ = export.answer.send(taken);
        }
    }

    fn take(&self, export: &Export) -> Result<Exported, Refused> {
        let route = export.route;
        let encoding = Encoding::of(&export.headers);
        let body = unpack(route, &export.headers, export.body.clone())?;
        let mut frames = Frames::new(export.tenant);
        let now = Timestamp::now().as_millisecond();
        let memory = self.memories.lock().unwrap_or_else(PoisonError::into_inner).entry(export.tenant).or_default().clone();
        let around = Surroundings { memory: &memory, dimensions: &self.dimensions, now };
        let out: &mut dyn FnMut(Fact) = &mut |fact| frames.tell(fact);
        let exported = match route.signal {
            Signal::Logs => decode_logs(&parse(route.signal, encoding, &body)?, &around, out),
            Signal::Metrics => decode_metrics(&parse(route.signal, encoding, &body)?, &around, out),
            Signal::Traces => decode_traces(&parse(route.signal, encoding, &body)?, &around, out),
        };
        let unwritten = |cause| Refused(StatusCode::SERVICE_UNAVAILABLE, format!("the export cannot be written: {cause}"));
        let frames = frames.finish().map_err(unwritten)?.ok_or_else(|| {
            let what = format!("body: tells more than {LARGEST_TOLD} bytes of facts; send it in smaller batches");
            Refused(StatusCode::PAYLOAD_TOO_LARGE, what)
        })?;
        if !frames.is_empty() {
            match self.inbox.append(&frames) {
                Ok(()) => {}
                Err(Unwritten::Full) => return Err(backlog_full()),
                Err(Unwritten::Io(cause)) => return Err(unwritten(cause)),
            }
        }
        if let Some(forwarder) = &self.forwarder
            && exported.accepted + exported.rejected > 0
        {
            forwarder.pass(Forwarded::new(route.signal, encoding, &export.headers, body));
        }
        Ok(exported)
    }

    /// Ends after what waits is decoded; what is in the inbox stays there for the next start.
    pub fn close(&self) {
        self.queue().closed = true;
        self.work.notify_all();
        self.inbox.close();
        if let Some(forwarder) = &self.forwarder {
            forwarder.close();
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}
