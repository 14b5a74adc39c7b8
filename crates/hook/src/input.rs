//! What the agent writes to our standard input.

use std::io::{self, Read};
use std::time::Instant;

use ducat_spool::LARGEST_PAYLOAD;

use crate::os;

/// The event, unless the agent does not get to its end in time.
pub fn read_input(until: Instant) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    let mut input = io::stdin().lock();
    let mut part = [0; 16 << 10];
    loop {
        if !os::input_comes(until.saturating_duration_since(Instant::now())) {
            return None;
        }
        match input.read(&mut part) {
            Ok(0) => return Some(payload),
            // What is too much is taken and dropped: the agent must not find its pipe closed.
            Ok(read) if payload.len() < LARGEST_PAYLOAD as usize => payload.extend_from_slice(&part[..read]),
            Ok(_) => {}
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
