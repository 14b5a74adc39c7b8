//! Transcripts that are kept compressed, such as Codex's `.jsonl.zst`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::zstd::ZstdReader;
use flate2::read::MultiGzDecoder;

/// No transcript unpacks to more bytes; what does is made to.
const LARGEST_UNPACKED: u64 = 4 << 30;

/// How a file is compressed, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name of what is in the file.
    pub fn strip(path: &Path) -> Cow<'_, Path> {
        match Self::of(path) {
            Some(_) => Cow::Owned(path.with_extension("")),
            None => Cow::Borrowed(path),
        }
    }

    /// What is in the file. Reading it fails where it is damaged or unpacks to too much.
    pub fn unpack<'a>(self, file: File) -> io::Result<Box<dyn Read + 'a>> {
        let unpacked: Box<dyn Read> = match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::new(file))),
            Self::Zstd => Box::new(ZstdReader::new(io::BufReader::new(file))),
        };
        Ok(Box::new(Bounded { unpacked, left: LARGEST_UNPACKED }))
    }
}

struct Bounded<R> {
    unpacked: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.unpacked.read(into)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("unpacks to more than 4 GiB"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_ends() {
        let mut bomb = Bounded { unpacked: io::repeat(0), left: 1 << 20 };
        let error = io::copy(&mut bomb, &mut io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "unpacks to more than 4 GiB");
    }
}
