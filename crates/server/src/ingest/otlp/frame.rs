//! A frame of the inbox: an export's facts as JSON, after their length, a checksum and their tenant.

use std::io::{self, Read};

use ducat_ledger::Fact;
use ducat_store::TenantId;
use flate2::Crc;

/// Length of the facts, checksum of tenant and facts, tenant; each little-endian in four bytes.
pub(super) const HEAD: usize = 12;

pub(super) fn encode(tenant: TenantId, facts: &[Fact]) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, facts)?;
    seal(tenant, frame)
}

/// Writes the head before what stands behind its place.
pub(super) fn seal(tenant: TenantId, mut frame: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = u32::try_from(frame.len() - HEAD).map_err(|_| io::Error::other("more than 4 GiB of facts"))?;
    let sum = checksum(tenant, &frame[HEAD..]);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
    frame[8..HEAD].copy_from_slice(&tenant.0.to_le_bytes());
    Ok(frame)
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
