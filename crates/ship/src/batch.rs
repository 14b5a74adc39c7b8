//! What is sent at once.

use std::io::{self, Write};

use ducat_ledger::Fact;
use ducat_ledger::remote::{Head, Word};
use ducat_spool::Spooled;
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
    pub events: Vec<Spooled>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.lines == 0 && self.cursors.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.lines >= LINES || self.text.len() >= BYTES
    }

    /// A line of its own for a fact, so that one that is refused is refused alone.
    pub fn add_fact(&mut self, fact: Fact) -> io::Result<()> {
        self.add(&Word { event: None, facts: vec![fact] })
    }

    pub fn add(&mut self, word: &Word) -> io::Result<()> {
        serde_json::to_writer(&mut self.text, word)?;
        self.text.push(b'\n');
        self.lines += 1;
        Ok(())
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
