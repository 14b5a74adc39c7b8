//! Keys of facts: 16 bytes of BLAKE3 over the kind, the agent and the id the agent gave.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The kind of thing a key names; two kinds with the same id never collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySpace {
    Session,
    Turn,
    Request,
    ToolCall,
    Incident,
    Quota,
    /// What rows that may be one fact have in common.
    PairGroup,
}

impl KeySpace {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Turn => "turn",
            Self::Request => "request",
            Self::ToolCall => "tool_call",
            Self::Incident => "incident",
            Self::Quota => "quota",
            Self::PairGroup => "pair_group",
        }
    }
}

/// The identity of a fact within a tenant: a hash ([`Key::of`]) of the id that an agent gave, or, where nobody gave one, 16 bytes that
/// whoever took the fact made, beginning with its time in nanoseconds (big-endian) so that such facts lie in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The key of what `agent` calls `id`. Never put a session, a time or a usage into a request's or tool call's id: a fork's copy
    /// would count again.
    pub fn of(space: KeySpace, agent: &str, id: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [space.name(), agent, id] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }

    /// Reads the 32 hex digits that [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        (digits.len() == 32).then_some(Self(key))
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// As 32 hex digits.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a key is 32 hex digits"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Any 16 bytes as 32 hex digits, as keys are written.
pub mod hex {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Key;

    pub fn serialize<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        Key(*bytes).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        Key::deserialize(deserializer).map(|key| key.0)
    }
}
