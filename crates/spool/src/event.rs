//! An event's identity. Agents send none, so the hook makes one, once, and sends it with every attempt.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

/// 16 bytes that no other event has: nanoseconds of the wall clock, process id, random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        // std's only source of randomness: every RandomState has keys of its own.
        let random = RandomState::new().build_hasher().finish() as u32;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&now.to_be_bytes());
        id[8..12].copy_from_slice(&process::id().to_be_bytes());
        id[12..].copy_from_slice(&random.to_be_bytes());
        Self(id)
    }

    /// Reads the 32 hex digits that [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        (digits.len() == 32).then_some(Self(id))
    }
}

impl Default for EventId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Milliseconds since 1970; 0 when the clock stands before it.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_read_back() {
        let ids: std::collections::HashSet<EventId> = (0..1000).map(|_| EventId::new()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(EventId::parse("0g"), None);
    }
}
