//! The ledger on disk: one writer, many readers, an embedded SQLite database.
//!
//! Facts are kept as JSON beside the columns that readers need. Each commit takes what is waiting, joins it to what is known, derives
//! owner, price and roll-ups from the result, and only then acknowledges.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod attributes;
mod batch;
mod billings;
mod births;
mod check;
mod clusters;
mod columns;
mod copies;
mod counters;
mod coverage;
mod folder;
mod heard;
mod keys;
mod machines;
mod names;
mod pairs;
mod reader;
mod reconciling;
mod request_columns;
mod rollups;
mod rows;
mod schema;
mod session_index;
mod session_list;
mod session_sums;
mod spans;
mod spells;
mod standing;
mod stirred;
mod sums;
mod timing_reader;
mod timings;
mod witnessed;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use ducat_ledger::{Fact, Incident, Priced, Quota, Request, Session, Told, ToolCall, Turn, UnixMs};
use ducat_prices::{PriceQuery, PriceTable};

pub use check::Mismatch;
pub use counters::Counters;
pub use folder::{DataFolder, FolderError, ledger_mark, network_file_system};
pub use keys::{KeyError, KeyRow, Keys, Scope, Shown};
pub use machines::{Machine, Machines, Sender};
pub use reader::{PricedRequest, Reader, SessionDetail};
pub use session_list::{SessionPage, SessionSummary};
pub use session_sums::SessionSums;
pub use spells::TakenOut;
pub use standing::Standing;
pub use writer::Store;

/// Whose facts; part of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u32);

impl TenantId {
    /// The one tenant of an embedded database.
    pub const LOCAL: Self = Self(1);
}

/// Which queue a write waits in: live events go before imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Live,
    Bulk,
}

/// A delivery that must count once, however often it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: [u8; 16],
    pub at: UnixMs,
}

/// How far a file was read; stored with the last facts that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCursor {
    pub path: String,
    /// Device and inode.
    pub identity: (u64, u64),
    pub offset: u64,
    /// Hash of the 4 KiB before `offset`.
    pub tail: [u8; 16],
    /// What the decoder needs to go on.
    pub state: String,
}

/// What is to be believed, at once.
#[derive(Clone, Debug)]
pub struct Write {
    pub lane: Lane,
    pub tenant: TenantId,
    pub facts: Vec<Fact>,
    pub event: Option<Event>,
    pub cursors: Vec<FileCursor>,
}

/// What became of a write; it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    Stored,
    /// The event was stored before; nothing changed.
    Duplicate,
    /// The event is older than ids are kept, so it could be a repetition; nothing changed.
    Stale,
}

/// How long event ids are kept.
pub const EVENT_ID_DAYS: i64 = 30;

/// What a request's model is called and what it costs; who is paid is none of its affair.
pub trait Pricer: Send + Sync {
    fn price(&self, request: &Request) -> Priced;
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives the end of our process.
    #[default]
    Process,
    /// It survives the loss of power.
    Power,
}

/// A fact that happened just now, as it is believed after a commit.
#[derive(Clone, Debug)]
pub struct News {
    pub tenant: TenantId,
    pub at: UnixMs,
    /// The owner's id, where the commit knew it.
    pub session: Option<String>,
    pub project: Option<String>,
    pub fact: LiveFact,
}

#[derive(Clone, Debug)]
pub enum LiveFact {
    Session(Box<Session>),
    Turn(Box<Turn>),
    Request(Box<Request>, Priced),
    ToolCall(Box<ToolCall>),
    Incident(Box<Incident>),
    Quota(Box<Quota>),
}

/// Hears what happens, on the writer's thread: it must not wait.
pub trait Listener: Send + Sync {
    /// Whether anybody would hear it now; asked before each commit.
    fn wants_news(&self) -> bool;
    fn hear(&self, news: Vec<News>);
}

pub struct StoreOptions {
    /// The database file; its folder exists.
    pub path: PathBuf,
    pub durability: Durability,
    pub pricer: Arc<dyn Pricer>,
    pub clock: fn() -> UnixMs,
    pub listener: Option<Arc<dyn Listener>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database was written by a newer Ducat (schema {found}, this one knows {known}); update Ducat")]
    Newer { found: i64, known: i64 },
    #[error(
        "the ledger is an older Ducat's (schema {found}, this one's is {known}); ducat serve or ducat import brings it up to date"
    )]
    Older { found: i64, known: i64 },
    #[error("{what}: {source}")]
    Sqlite { what: &'static str, source: rusqlite::Error },
    #[error("a stored fact cannot be read: {0}")]
    Fact(#[from] serde_json::Error),
    #[error("too many writes are waiting")]
    Busy,
    #[error("syncing the log: {0}")]
    Sync(std::io::Error),
    #[error("the store is closed")]
    Closed,
    #[error("cannot start the writer: {0}")]
    Thread(std::io::Error),
}

/// Names what was being done when SQLite failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, rusqlite::Error> {
    fn doing(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Sqlite { what, source })
    }
}

impl Pricer for PriceTable {
    fn price(&self, request: &Request) -> Priced {
        let text = |told: &Told<String>| told.get().cloned();
        let (provider, tier) = (text(&request.provider), text(&request.service_tier));
        let (geo, speed) = (text(&request.inference_geo), text(&request.speed));
        let query = PriceQuery {
            model: request.model.get().map_or("", String::as_str),
            provider: provider.as_deref(),
            inference_geo: geo.as_deref(),
            service_tier: tier.as_deref(),
            speed: speed.as_deref(),
            at_unix_ms: request.started_at.or_default(),
        };
        let model = self.resolve(query.model, query.provider).canonical_model.clone();
        let cost = request.is_metered().then(|| self.cost(&query, &request.usage()).amount()).flatten();
        Priced { model, cost, billing: None }
    }
}
