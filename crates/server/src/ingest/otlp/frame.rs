//! A frame of the inbox: facts of an export as JSON, after their length, a checksum and their tenant.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Read};

use ducat_ledger::{Fact, Key, Session};
use ducat_store::TenantId;
use flate2::Crc;

/// Length of the facts, checksum of tenant and facts, tenant; each little-endian in four bytes.
pub(super) const HEAD: usize = 12;

/// Facts of one frame: a large export is neither told nor applied as a whole.
const MOST_FACTS: usize = 2048;
/// Bytes of an export's frames. What is told of a record is much like the record in size, unless somebody lets records inherit what they tell.
pub(super) const LARGEST_TOLD: usize = 64 << 20;

/// An export's facts on their way into frames.
pub(super) struct Frames {
    tenant: TenantId,
    facts: Vec<Fact>,
    sessions: BTreeMap<Key, Session>,
    written: io::Result<Vec<u8>>,
    largest: usize,
}

impl Frames {
    pub fn new(tenant: TenantId) -> Self {
        Self { tenant, facts: Vec::new(), sessions: BTreeMap::new(), written: Ok(Vec::new()), largest: LARGEST_TOLD }
    }

    fn are_too_large(&self) -> bool {
        self.written.as_ref().is_ok_and(|written| written.len() > self.largest)
    }

    pub fn tell(&mut self, fact: Fact) {
        match fact {
            // Every record tells of its session; joined here, the ledger hears of it once a frame.
            Fact::Session(session) => match self.sessions.entry(session.key) {
                Entry::Occupied(mut known) => _ = known.get_mut().join(&session),
                Entry::Vacant(place) => _ = place.insert(session),
            },
            fact => self.facts.push(fact),
        }
        if self.facts.len() + self.sessions.len() >= MOST_FACTS {
            self.write();
        }
    }

    fn write(&mut self) {
        self.facts.extend(std::mem::take(&mut self.sessions).into_values().map(Fact::Session));
        if !self.facts.is_empty() && !self.are_too_large() {
            let encoded = self.written.as_mut().map(|written| encode(self.tenant, &self.facts, written));
            if let Ok(Err(cause)) = encoded {
                self.written = Err(cause);
            }
        }
        self.facts.clear();
    }

    /// The frames, none where nothing was told; `None` where they are too large.
    pub fn finish(mut self) -> io::Result<Option<Vec<u8>>> {
        self.write();
        let are_too_large = self.are_too_large();
        self.written.map(|written| (!are_too_large).then_some(written))
    }
}

/// Appends a frame of these facts.
pub(super) fn encode(tenant: TenantId, facts: &[Fact], out: &mut Vec<u8>) -> io::Result<()> {
    let begin = out.len();
    out.extend([0; HEAD]);
    serde_json::to_writer(&mut *out, facts)?;
    seal(tenant, &mut out[begin..])
}

/// Writes the head before what stands behind its place.
pub(super) fn seal(tenant: TenantId, frame: &mut [u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len() - HEAD).map_err(|_| io::Error::other("more than 4 GiB of facts"))?;
    let sum = checksum(tenant, &frame[HEAD..]);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
    frame[8..HEAD].copy_from_slice(&tenant.0.to_le_bytes());
    Ok(())
}

fn checksum(tenant: TenantId, facts: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&tenant.0.to_le_bytes());
    crc.update(facts);
    crc.sum()
}

struct Head {
    length: u64,
    sum: u32,
    tenant: TenantId,
}

impl Head {
    fn of(bytes: [u8; HEAD]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { length: word(0).into(), sum: word(4), tenant: TenantId(word(8)) }
    }
}

/// The next frame within so many bytes; `None` where it is not whole.
pub(super) fn read(file: &mut impl Read, left: u64) -> io::Result<Option<(TenantId, Vec<u8>)>> {
    let Some(most) = left.checked_sub(HEAD as u64) else { return Ok(None) };
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let head = Head::of(head);
    if head.length > most {
        return Ok(None);
    }
    let mut facts = vec![0; head.length as usize];
    file.read_exact(&mut facts)?;
    Ok((checksum(head.tenant, &facts) == head.sum).then_some((head.tenant, facts)))
}

/// Where in what begins with a broken frame the next whole one begins.
pub(super) fn next_whole(bytes: &[u8]) -> Option<usize> {
    (1..bytes.len().saturating_sub(HEAD)).find(|at| {
        let Some((head, rest)) = bytes[*at..].split_first_chunk::<HEAD>() else { return false };
        // Looked at first, because a sum over all that follows is dear.
        if !rest.starts_with(b"[{") {
            return false;
        }
        let head = Head::of(*head);
        usize::try_from(head.length)
            .ok()
            .and_then(|length| rest.get(..length))
            .is_some_and(|facts| checksum(head.tenant, facts) == head.sum)
    })
}

#[cfg(test)]
mod tests {
    use ducat_ledger::KeySpace;

    use super::*;

    fn session(number: usize, padding: usize) -> Fact {
        let id = "0".repeat(padding) + &number.to_string();
        Fact::Session(Session::new(Key::of(KeySpace::Session, "a", &id), "a", id))
    }

    #[test]
    fn a_large_export_is_several_frames() {
        let mut frames = Frames::new(TenantId::LOCAL);
        (0..2 * MOST_FACTS + 5).for_each(|number| frames.tell(session(number, 0)));
        (0..5).for_each(|number| frames.tell(session(2 * MOST_FACTS + number, 0)));
        let written = frames.finish().unwrap().unwrap();
        let (mut rest, mut facts) = (&written[..], Vec::new());
        while !rest.is_empty() {
            let left = rest.len() as u64;
            let (_, body) = read(&mut rest, left).unwrap().unwrap();
            facts.push(serde_json::from_slice::<Vec<Fact>>(&body).unwrap().len());
        }
        assert_eq!(facts, [MOST_FACTS, MOST_FACTS, 5]);
    }

    #[test]
    fn frames_of_an_export_are_bounded() {
        let largest = 1 << 20;
        let mut frames = Frames { largest, ..Frames::new(TenantId::LOCAL) };
        for number in 0..4 * MOST_FACTS {
            frames.tell(session(number, largest / MOST_FACTS));
            assert!(frames.written.as_ref().unwrap().len() <= 3 * largest);
        }
        assert_eq!(frames.finish().unwrap(), None);
        assert_eq!(Frames::new(TenantId::LOCAL).finish().unwrap(), Some(Vec::new()));
    }
}
