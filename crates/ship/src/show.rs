//! What would be sent, without sending it.

use std::path::PathBuf;

use ducat_ledger::Fact;
use ducat_ledger::remote::Word;
use ducat_scan::{Home, Sink, Transcripts, WorkspaceResolver};
use ducat_spool::Spool;
use ducat_store::FileCursor;

use crate::progress::Progress;
use crate::shipper::{ShipError, facts_of};

/// The first words that would be sent, and how many facts and events in all.
#[derive(Debug, Default)]
pub struct Shown {
    pub words: Vec<Word>,
    pub facts: u64,
    pub events: u64,
}

struct Showing<'a> {
    progress: &'a Progress,
    most: usize,
    shown: Shown,
}

impl Sink for Showing<'_> {
    type Error = ShipError;

    fn cursor(&mut self, path: &str) -> Result<Option<FileCursor>, ShipError> {
        Ok(self.progress.cursor(path).cloned())
    }

    fn write(&mut self, facts: Vec<Fact>, _: FileCursor) -> Result<(), ShipError> {
        self.shown.facts += facts.len() as u64;
        let room = self.most.saturating_sub(self.shown.words.len());
        self.shown.words.extend(facts.into_iter().take(room).map(|fact| Word { event: None, facts: vec![fact] }));
        Ok(())
    }
}

/// Reads as a look does, shows the first `most` words, and sends and keeps nothing.
pub fn show(
    progress: &Progress,
    homes: Vec<Home>,
    spool: Option<&Spool>,
    excluded: Vec<PathBuf>,
    most: usize,
) -> Result<Shown, ShipError> {
    let mut showing = Showing { progress, most, shown: Shown::default() };
    let mut workspaces = WorkspaceResolver::new(excluded.clone());
    for event in spool.map_or(Ok(Vec::new()), Spool::waiting)? {
        if let Some(word) = event.frame().ok().and_then(|frame| facts_of(&frame, &mut workspaces).ok()?) {
            showing.shown.events += 1;
            if showing.shown.words.len() < most {
                showing.shown.words.push(word);
            }
        }
    }
    Transcripts::new(homes, excluded).look(&mut showing, &|_, _| {})?;
    Ok(showing.shown)
}
