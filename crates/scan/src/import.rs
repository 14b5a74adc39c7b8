//! Transcripts into the store, going on where the last reading of each file ended.

use std::path::PathBuf;
use std::sync::mpsc;

use ducat_ledger::Fact;
use ducat_store::{FileCursor, Lane, Reader, Receipt, Store, StoreError, TenantId, Write};

use crate::homes::Home;
use crate::transcripts::{Imported, Sink, Transcripts};

/// Reads transcripts into a store; keep it between looks.
pub struct Importer {
    store: Store,
    tenant: TenantId,
    transcripts: Transcripts,
    host: Option<String>,
}

impl Importer {
    pub fn new(store: Store, tenant: TenantId, homes: Vec<Home>, excluded: Vec<PathBuf>) -> Self {
        Self { store, tenant, transcripts: Transcripts::new(homes, excluded), host: None }
    }

    /// The machine that the transcripts are of, where it is not this one.
    pub fn of_host(mut self, host: String) -> Self {
        self.host = Some(host);
        self
    }

    /// Looks elsewhere from now on.
    pub fn set_homes(&mut self, homes: Vec<Home>) {
        self.transcripts.set_homes(homes);
    }

    /// Reads what is new in all files, and waits until it is on disk. `progress` hears how many of how many files are done.
    pub fn look(&mut self, progress: &dyn Fn(usize, usize)) -> Result<Imported, StoreError> {
        let (tell, told) = mpsc::channel();
        let mut writing =
            Writing { store: &self.store, tenant: self.tenant, host: self.host.as_deref(), reader: self.store.reader()?, tell };
        let imported = self.transcripts.look(&mut writing, progress);
        drop(writing);
        // A write that failed keeps its file's cursor where it was: the next look reads it again.
        let looked = told.into_iter().find_map(Result::err).map_or(imported, Err);
        if looked.is_err() {
            self.transcripts.forget();
        }
        looked
    }
}

struct Writing<'a> {
    store: &'a Store,
    tenant: TenantId,
    host: Option<&'a str>,
    reader: Reader,
    tell: mpsc::Sender<Result<Receipt, StoreError>>,
}

impl Sink for Writing<'_> {
    type Error = StoreError;

    fn cursor(&mut self, path: &str) -> Result<Option<FileCursor>, StoreError> {
        self.reader.file_cursor(self.tenant, path)
    }

    /// Does not wait for the commit.
    fn write(&mut self, mut facts: Vec<Fact>, cursor: FileCursor) -> Result<(), StoreError> {
        if let Some(host) = self.host {
            facts.iter_mut().for_each(|fact| fact.stamp_host(host));
        }
        let write = Write { lane: Lane::Bulk, tenant: self.tenant, facts, event: None, cursors: vec![cursor] };
        let tell = self.tell.clone();
        // Nobody listens any more when the look was given up.
        self.store.submit(write, move |result| drop(tell.send(result)));
        Ok(())
    }
}
