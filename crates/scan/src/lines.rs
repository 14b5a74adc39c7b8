//! Lines of a file, without copying them and without holding more of it than its longest line.

use std::io::{self, Read};

const FIRST_CAPACITY: usize = 1 << 20;

/// Longer lines are skipped: no client writes them, and they would have to be held whole.
pub const LONGEST_LINE: usize = 256 << 20;

/// A line, or one that was too long to look at.
#[derive(Debug, PartialEq, Eq)]
pub enum FileLine<'a> {
    Line(&'a [u8]),
    TooLong,
}

/// Calls `each` with every line, the last one also without its line break; empty lines are left out. The number counts from 1.
pub fn for_lines(mut input: impl Read, mut each: impl FnMut(u64, FileLine<'_>)) -> io::Result<()> {
    let mut buffer = vec![0; FIRST_CAPACITY];
    let (mut filled, mut number, mut skipping) = (0, 0, false);
    loop {
        if filled == buffer.len() {
            if filled >= LONGEST_LINE {
                (filled, skipping) = (0, true);
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
        let mut told = |line: &[u8], skipping: &mut bool| {
            number += 1;
            if std::mem::take(skipping) {
                each(number, FileLine::TooLong);
            } else if !line.trim_ascii().is_empty() {
                each(number, FileLine::Line(line));
            }
        };
        for newline in memchr::memchr_iter(b'\n', &buffer[searched..filled]) {
            told(&buffer[start..searched + newline], &mut skipping);
            start = searched + newline + 1;
        }
        if read == 0 {
            told(&buffer[start..filled], &mut skipping);
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
            for_lines(Drip(text.as_bytes(), step), |number, line| match line {
                FileLine::Line(line) => lines.push((number, line.len())),
                FileLine::TooLong => panic!(),
            })
            .unwrap();
            assert_eq!(lines, [(1, 1), (3, long.len()), (4, 2), (5, 1)]);
        }
    }
}
