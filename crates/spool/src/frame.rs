//! One event over the socket, and its answer. Integers are little-endian.
//!
//! Event: `DCT1`, id (16 bytes), time (u64, ms since 1970), length of the agent's name (u8), name, length of the payload (u32), payload.
//! Answer: `DCT1`, the same id, status (u8), length of the body (u32), body: what the hook is to print for the agent.

use std::io::{self, Read};

use crate::EventId;

const MAGIC: [u8; 4] = *b"DCT1";

/// Larger payloads are cut down by [`redact`](crate::redact) before they are sent.
pub const LARGEST_PAYLOAD: u32 = 32 << 20;
const LARGEST_BODY: u32 = 1 << 20;

/// Bytes of an event before its agent's name.
const HEAD: usize = 4 + 16 + 8 + 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub id: EventId,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: u64,
    /// The agent's name in the ledger, such as `claude-code`.
    pub agent: String,
    pub payload: Vec<u8>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// It is on disk.
    Stored = 0,
    /// It was on disk before.
    Already = 1,
    /// Too old to tell whether it is a repetition.
    Stale = 2,
    /// It cannot be read; sending it again would not help.
    Malformed = 3,
    /// Not now.
    Busy = 4,
    /// The user wants nothing of this project stored.
    Excluded = 5,
}

impl Status {
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Stored, Self::Already, Self::Stale, Self::Malformed, Self::Busy, Self::Excluded].get(code as usize).copied()
    }

    /// Nothing is left to be done with the event.
    pub fn is_final(self) -> bool {
        self != Self::Busy
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub id: EventId,
    pub status: Status,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub enum FrameError {
    Io(io::Error),
    /// What is wrong, in a few words.
    Malformed(&'static str),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Frame {
    pub fn encode(&self) -> Vec<u8> {
        let agent = &self.agent.as_bytes()[..self.agent.len().min(255)];
        let mut bytes = Vec::with_capacity(HEAD + agent.len() + 4 + self.payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.at_ms.to_le_bytes());
        bytes.push(agent.len() as u8);
        bytes.extend_from_slice(agent);
        bytes.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// How many bytes behind these the event has at least; 0 when it is whole. A payload above [`LARGEST_PAYLOAD`] is refused unread.
    pub fn missing(bytes: &[u8]) -> Result<usize, FrameError> {
        if !MAGIC.starts_with(&bytes[..bytes.len().min(4)]) && !bytes.starts_with(&MAGIC) {
            return Err(FrameError::Malformed("not an event of ducat-hook"));
        }
        let Some(agent) = bytes.get(HEAD - 1) else { return Ok(HEAD - bytes.len()) };
        let payload = HEAD + *agent as usize + 4;
        let Some(length) = bytes.get(payload - 4..payload) else { return Ok(payload - bytes.len()) };
        let length = u32::from_le_bytes(array(length));
        if length > LARGEST_PAYLOAD {
            return Err(FrameError::Malformed("the payload is too large"));
        }
        Ok((payload + length as usize).saturating_sub(bytes.len()))
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if Self::missing(bytes)? > 0 {
            return Err(FrameError::Malformed("the event is cut short"));
        }
        let (agent, rest) = bytes[HEAD..].split_at(bytes[HEAD - 1] as usize);
        let agent = str::from_utf8(agent).map_err(|_| FrameError::Malformed("the agent's name is not UTF-8"))?.to_owned();
        let length = u32::from_le_bytes(array(rest)) as usize;
        let (id, at_ms) = (EventId(array(&bytes[4..20])), u64::from_le_bytes(array(&bytes[20..28])));
        Ok(Self { id, at_ms, agent, payload: rest[4..4 + length].to_vec() })
    }
}

impl Answer {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(25 + self.body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.id.0);
        bytes.push(self.status as u8);
        bytes.extend_from_slice(&(self.body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn read(mut from: impl Read) -> Result<Self, FrameError> {
        let mut head = [0; 25];
        from.read_exact(&mut head)?;
        if head[..4] != MAGIC {
            return Err(FrameError::Malformed("not an answer of Ducat"));
        }
        let status = Status::from_code(head[20]).ok_or(FrameError::Malformed("unknown status"))?;
        let length = u32::from_le_bytes(array(&head[21..25]));
        if length > LARGEST_BODY {
            return Err(FrameError::Malformed("the answer is too large"));
        }
        let mut body = vec![0; length as usize];
        from.read_exact(&mut body)?;
        Ok(Self { id: EventId(array(&head[4..20])), status, body })
    }
}

/// The first `N` bytes; zeros where there are fewer.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_read_back(at_ms: u64, agent in "[a-z-]{0,40}", payload: Vec<u8>, status in 0_u8..6) {
            let frame = Frame { id: EventId::new(), at_ms, agent, payload: payload.clone() };
            prop_assert_eq!(Frame::decode(&frame.encode()).unwrap(), frame.clone());
            let answer = Answer { id: frame.id, status: Status::from_code(status).unwrap(), body: payload };
            prop_assert_eq!(Answer::read(&answer.encode()[..]).unwrap(), answer);
        }

        #[test]
        fn garbage_is_refused(bytes: Vec<u8>, cut in 0_usize..60) {
            let _ = Frame::decode(&bytes);
            let _ = Answer::read(&bytes[..]);
            let mut frame = Frame { id: EventId::new(), at_ms: 1, agent: "claude-code".into(), payload: bytes }.encode();
            frame.truncate(frame.len().saturating_sub(cut + 1));
            prop_assert!(Frame::decode(&frame).is_err());
        }
    }
}
