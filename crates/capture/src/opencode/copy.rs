//! Copies. A fork copies its parent's messages under new ids, so that nothing in a copy names its original; but an id holds when it was made.

use ducat_ledger::UnixMs;

/// Ids hold 36 bits of their time; it wraps around after two years.
const WRAP_MS: i64 = 1 << 36;

/// How much later than its message an id may be made, in milliseconds. Seen: never later.
const SLACK_MS: i64 = 1000;

/// Whether the id of a message (`msg_` and a time in hex) was made after the message of `at`: it is a fork's copy, and counts in its parent.
pub fn is_copy(message_id: &str, at: Option<UnixMs>) -> bool {
    let made_at = message_id.strip_prefix("msg_").and_then(|id| id.get(..12)).and_then(|hex| i64::from_str_radix(hex, 16).ok());
    let (Some(made_at), Some(at)) = (made_at, at) else { return false };
    let later = (made_at >> 12).wrapping_sub(at).rem_euclid(WRAP_MS);
    (SLACK_MS..WRAP_MS / 2).contains(&later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_made_later_is_a_copys() {
        // As 1.18.33 wrote them: a message, and its copy in a fork a minute later.
        assert!(!is_copy("msg_211c117820012sWp4QAQe6oxQm", Some(1_795_594_196_867)));
        assert!(is_copy("msg_211c1f934001E0JkBoze1IsrQN", Some(1_795_594_196_867)));
        assert!(!is_copy("msg_d410da9cd001nQgN5gLHofd7Vc", Some(1_774_912_907_725)));
        for (id, at) in [("msg_", Some(1)), ("msg_zzzzzzzzzzzz", Some(1)), ("mine", Some(1)), ("msg_211c117820012", None)] {
            assert!(!is_copy(id, at), "{id}");
        }
        assert!(!is_copy("msg_211c117820012sWp4QAQe6oxQm", Some(i64::MAX)) || !is_copy("msg_000000000001", Some(i64::MIN)));
    }
}
