//! Lines of a file, without copying them and without holding more of it than its longest line.

use std::io::{self, Read};

const FIRST_CAPACITY: usize = 1 << 20;

/// Longer lines are skipped: no client writes them, and they would have to be held whole.
pub const LONGEST_LINE: usize = 256 << 20;

/// A line, or one that was too long to look at.
#[derive(Debug, PartialEq, Eq)]
pub enum FileLine<'a> {
    Line(&'a [u8]),
    /// Its length in bytes.
    TooLong(u64),
}

/// Calls `each` with every line, also empty ones: its number from 1, its bytes without the line break, and whether it has one. Only the
/// last line can lack it.
pub fn for_lines(mut input: impl Read, mut each: impl FnMut(u64, FileLine<'_>, bool)) -> io::Result<()> {
    let mut buffer = vec![0; FIRST_CAPACITY];
    let (mut filled, mut number, mut skipped) = (0, 0, 0_u64);
    loop {
        if filled == buffer.len() {
            if filled >= LONGEST_LINE {
                skipped += filled as u64;
                filled = 0;
            } else {
                buffer.resize(filled * 2, 0);
            }
        }
        let read = match input.read(&mut buffer[filled..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let searched = filled;
        filled += read;
        let mut start = 0;
        let mut told = |line: &[u8], is_whole: bool| {
            number += 1;
            match std::mem::take(&mut skipped) {
                0 => each(number, FileLine::Line(line), is_whole),
                skipped => each(number, FileLine::TooLong(skipped + line.len() as u64), is_whole),
            }
        };
        for newline in memchr::memchr_iter(b'\n', &buffer[searched..filled]) {
            told(&buffer[start..searched + newline], true);
            start = searched + newline + 1;
        }
        if read == 0 {
            if filled > start {
                told(&buffer[start..filled], false);
            }
            return Ok(());
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives as many bytes a read as it is told.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(into.len()).min(self.0.len());
            into[..size].copy_from_slice(&self.0[..size]);
            self.0 = &self.0[size..];
            Ok(size)
        }
    }

    #[test]
    fn every_line_once_however_it_arrives() {
        let long = "x".repeat(3 * FIRST_CAPACITY);
        let text = format!("a\n\n{long}\nb\r\nc");
        for step in [1 << 16, 1_000_003, usize::MAX] {
            let mut lines = Vec::new();
            for_lines(Drip(text.as_bytes(), step), |number, line, is_whole| match line {
                FileLine::Line(line) => lines.push((number, line.len(), is_whole)),
                FileLine::TooLong(_) => panic!(),
            })
            .unwrap();
            assert_eq!(lines, [(1, 1, true), (2, 0, true), (3, long.len(), true), (4, 2, true), (5, 1, false)]);
        }
    }
}
