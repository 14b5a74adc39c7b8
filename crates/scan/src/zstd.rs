//! Zstandard streams of any number of frames, as `cat a.zst b.zst` and parallel packers write.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The unpacked bytes of a stream, to its end.
pub struct ZstdReader<R> {
    decoder: FrameDecoder,
    packed: R,
}

impl<R: BufRead> ZstdReader<R> {
    pub fn new(packed: R) -> Self {
        Self { decoder: FrameDecoder::new(), packed }
    }

    /// Refuses frames that ask for a larger window.
    pub fn with_largest_window(mut self, bytes: u64) -> Self {
        self.decoder.set_max_window_size(bytes);
        self
    }

    /// Begins the next frame that has content; false at the end of the stream.
    fn begin_next(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.packed.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(cause) => return Err(io::Error::other(cause)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 && !into.is_empty() {
            if !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1)).map_err(io::Error::other)?;
            } else if !self.begin_next()? {
                return Ok(0);
            }
        }
        self.decoder.read(into)
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn unpacked(packed: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        ZstdReader::new(packed).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn all_frames_are_read_and_skippable_ones_skipped() {
        let (one, two) = (
            compress_to_vec(&b"one\n"[..], CompressionLevel::Fastest),
            compress_to_vec(&b"two\n"[..], CompressionLevel::Fastest),
        );
        let skippable = [&0x184D_2A50_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"???"].concat();
        assert_eq!(
            unpacked(&[skippable.clone(), one.clone(), skippable.clone(), two.clone(), skippable].concat()).unwrap(),
            "one\ntwo\n"
        );
        assert_eq!(unpacked(b"").unwrap(), "");
        for cut in [1, 5, two.len() - 1] {
            assert!(unpacked(&[&one[..], &two[..cut]].concat()).is_err(), "{cut}");
        }
        assert!(unpacked(&[&one[..], b"no frame"].concat()).is_err());
    }
}
