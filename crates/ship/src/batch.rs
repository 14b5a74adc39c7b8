//! What is sent at once.

use std::io::{self, Write};

use ducat_ledger::Fact;
use ducat_ledger::remote::{Head, LONGEST_LINE, Word};
use ducat_spool::{Latest, Spooled};
use ducat_store::FileCursor;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A batch is sent when it has this much.
const LINES: usize = 2000;
const BYTES: usize = 2 << 20;

/// Words that wait, and what is done once they are acknowledged.
#[derive(Default)]
pub(crate) struct Batch {
    text: Vec<u8>,
    pub lines: usize,
    pub cursors: Vec<FileCursor>,
    /// With the number of their line, the head being the first.
    pub events: Vec<(u64, Waiting)>,
}

/// An event that waits in the spool.
pub(crate) enum Waiting {
    Event(Spooled),
    /// The last word of a status line.
    Latest(Latest),
}

impl Waiting {
    pub fn remove(&self) -> io::Result<()> {
        match self {
            Self::Event(event) => event.remove(),
            Self::Latest(latest) => latest.remove(),
        }
    }
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.lines == 0 && self.cursors.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.lines >= LINES || self.text.len() >= BYTES
    }

    /// A line of its own for a fact, so that one that is refused is refused alone.
    pub fn add_fact(&mut self, fact: Fact) -> io::Result<bool> {
        self.add(&Word { event: None, facts: vec![fact] })
    }

    /// `false` for a word that is longer than a receiver takes: it is left out, or nothing behind it would ever be sent.
    pub fn add(&mut self, word: &Word) -> io::Result<bool> {
        let begin = self.text.len();
        serde_json::to_writer(&mut self.text, word)?;
        if self.text.len() - begin > LONGEST_LINE {
            self.text.truncate(begin);
            return Ok(false);
        }
        self.text.push(b'\n');
        self.lines += 1;
        Ok(true)
    }

    /// Like [`Batch::add`], for a word of an event that is removed when it is acknowledged.
    pub fn add_event(&mut self, word: &Word, event: Waiting) -> io::Result<Result<(), Waiting>> {
        if !self.add(word)? {
            return Ok(Err(event));
        }
        self.events.push((self.lines as u64 + 1, event));
        Ok(Ok(()))
    }

    /// The body of a request.
    pub fn pack(&self, head: &Head) -> io::Result<Vec<u8>> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::new(4));
        serde_json::to_writer(&mut packed, head)?;
        packed.write_all(b"\n")?;
        packed.write_all(&self.text)?;
        packed.finish()
    }
}
