//! What a command prints, cut into lines for those who understand it. Memory is bounded whatever comes.

use ducat_capture::{claude_code, codex};

/// The result of a long run holds its last answer, and with `--verbose` every message; what is longer is passed over.
const LONGEST_LINE: usize = 16 << 20;
/// The first clients print their result over several lines, and nothing else.
const LONGEST_WHOLE: usize = 1 << 20;

#[derive(Default)]
pub struct Heard {
    claude: claude_code::Headless,
    codex: codex::Headless,
    line: Vec<u8>,
    /// The line under way is too long, or none of ours.
    skips: bool,
    /// All that was printed, a byte more than is read at most.
    whole: Vec<u8>,
}

impl Heard {
    /// Takes the next bytes, printed at `at` (ms since 1970).
    pub fn bytes(&mut self, mut bytes: &[u8], at: i64) {
        let room = (LONGEST_WHOLE + 1).saturating_sub(self.whole.len());
        self.whole.extend_from_slice(&bytes[..bytes.len().min(room)]);
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.part(&bytes[..end]);
            self.end_line(at);
            bytes = &bytes[end + 1..];
        }
        self.part(bytes);
    }

    fn part(&mut self, part: &[u8]) {
        if self.skips || part.is_empty() {
            return;
        }
        // Only JSON is kept: binary noise costs no memory.
        let is_json = !self.line.is_empty() || matches!(part.trim_ascii_start().first(), Some(b'{' | b'[') | None);
        if !is_json || self.line.len() + part.len() > LONGEST_LINE {
            self.skips = true;
            self.line = Vec::new();
            return;
        }
        self.line.extend_from_slice(part);
    }

    fn end_line(&mut self, at: i64) {
        if !self.skips && !self.line.is_empty() {
            self.claude.line(&self.line, at);
            self.codex.line(&self.line);
        }
        self.skips = false;
        self.line.clear();
    }

    /// What was told; the last line may lack its end.
    pub fn finish(mut self) -> (Option<claude_code::HeadlessRun>, Option<codex::HeadlessRun>) {
        self.end_line(0);
        let (mut claude, codex) = (self.claude.finish(), self.codex.finish());
        if claude.is_none() && codex.is_none() && self.whole.len() <= LONGEST_WHOLE {
            let mut one = claude_code::Headless::default();
            one.line(&self.whole, 0);
            claude = one.finish();
        }
        (claude, codex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &[u8] = br#"{"type":"result","session_id":"s","total_cost_usd":0.5}"#;

    #[test]
    fn lines_are_found_however_they_are_cut() {
        for size in [1, 7, 1000] {
            let mut heard = Heard::default();
            let noise = [b"\xff\xfe noise\n  \n[[[[\n".as_slice(), RESULT].concat();
            noise.chunks(size).for_each(|part| heard.bytes(part, 1));
            assert_eq!(heard.finish().0.unwrap().reported_cost_usd, Some(0.5), "{size}");
        }
    }

    #[test]
    fn a_result_over_several_lines_is_read() {
        let mut heard = Heard::default();
        heard.bytes(b"{\n  \"role\": \"system\",\n  \"cost_usd\": 0.5,\n  \"session_id\": \"s\"\n}\n", 1);
        assert_eq!(heard.finish().0.unwrap().reported_cost_usd, Some(0.5));
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        for first in ["{", "x"] {
            let mut heard = Heard::default();
            heard.bytes(first.as_bytes(), 1);
            for _ in 0..64 {
                heard.bytes(&vec![b'a'; 1 << 20], 1);
                assert!(heard.line.capacity() <= 2 * LONGEST_LINE);
            }
            heard.bytes(b"\n", 1);
            heard.bytes(RESULT, 1);
            assert!(heard.finish().0.is_some());
        }
    }
}
