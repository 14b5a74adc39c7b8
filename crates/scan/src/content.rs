//! A transcript file opened: whose it is, how it is read, and what is in it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ducat_capture::{Agent, FileState, Form};

use crate::homes::TranscriptFile;
use crate::lines::LONGEST_LINE;
use crate::packing::Packing;

/// What of a file is looked at for telling whose it is, in bytes.
const HEAD: u64 = 64 << 10;

pub(crate) struct Content<'a> {
    path: &'a Path,
    /// The path as the agent wrote it, before somebody compressed the file.
    named: Cow<'a, Path>,
    packing: Option<Packing>,
    pub agent: Agent,
    pub form: Form,
}

impl<'a> Content<'a> {
    /// `None` for a file that is nobody's transcript.
    pub fn of(file: &'a TranscriptFile) -> io::Result<Option<Self>> {
        let (path, packing) = (file.path.as_path(), Packing::of(&file.path));
        let named = Packing::strip(path);
        let agent = match file.agent {
            Some(agent) => Some(agent),
            None => {
                let mut head = Vec::new();
                open(path, packing)?.take(HEAD).read_to_end(&mut head)?;
                Agent::of_file(&named, &head)
            }
        };
        let content = agent.map(|agent| Self { path, packing, agent, form: agent.form(&named), named });
        // Rows are read where they lie.
        Ok(content.filter(|content| content.form != Form::Database || content.packing.is_none()))
    }

    /// It can only be read from its beginning.
    pub fn is_whole(&self) -> bool {
        self.packing.is_some() || self.form == Form::Document
    }

    /// What is known of it before anything is read.
    pub fn state(&self) -> FileState {
        FileState::of(self.agent, &self.named)
    }

    pub fn named(&self) -> &Path {
        &self.named
    }

    pub fn open(&self) -> io::Result<Box<dyn Read>> {
        open(self.path, self.packing)
    }

    /// All that is in it; `None` where that is more than can be held.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let read = self.open()?.take(LONGEST_LINE as u64 + 1).read_to_end(&mut bytes)?;
        Ok((read <= LONGEST_LINE).then_some(bytes))
    }
}

fn open(path: &Path, packing: Option<Packing>) -> io::Result<Box<dyn Read>> {
    let file = File::open(path)?;
    match packing {
        Some(packing) => packing.unpack(file),
        None => Ok(Box::new(file)),
    }
}
