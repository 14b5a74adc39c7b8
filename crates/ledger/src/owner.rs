//! Which of the sessions that hold a copy owns it.

use crate::{Holder, Holders, Key, UnixMs};

/// The owner session's holder, or `None` when nobody holds the fact.
///
/// The session a live witness named; else, of those holding it, one whose birth is not after the fact; else the smallest
/// `(birth, session)`. Ties fall to the smallest `(birth, session)`, a session without a known birth last. `birth` gives the time of a
/// session's first line that is not copied from elsewhere (`queue-operation` lines never are).
pub fn owner(holders: &Holders, at: Option<UnixMs>, birth: impl Fn(&Key) -> Option<UnixMs>) -> Option<&Holder> {
    if holders.len() == 1 {
        return holders.iter().next();
    }
    holders.iter().min_by_key(|holder| {
        let born = birth(&holder.session);
        let after = match (born, at) {
            (Some(born), Some(at)) => born > at,
            _ => true,
        };
        (!holder.live, after, born.unwrap_or(UnixMs::MAX), holder.session)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(session: u8, live: bool) -> Holder {
        Holder { session: Key([session; 16]), live, project: None, branch: None }
    }

    fn owned(holders: &[Holder], at: Option<UnixMs>, births: &[(u8, UnixMs)]) -> u8 {
        let holders: Holders = holders.iter().cloned().collect();
        let birth = |key: &Key| births.iter().find(|(session, _)| Key([*session; 16]) == *key).map(|(_, at)| *at);
        owner(&holders, at, birth).unwrap().session.0[0]
    }

    #[test]
    fn a_request_before_the_fork_belongs_to_the_parent() {
        assert_eq!(owned(&[holder(1, false), holder(2, false)], Some(50), &[(1, 100), (2, 10)]), 2);
    }

    #[test]
    fn a_copy_in_a_grandchild_belongs_to_the_session_that_was_born() {
        assert_eq!(owned(&[holder(1, false), holder(2, false), holder(3, false)], Some(50), &[(1, 100), (2, 60), (3, 40)]), 3);
    }

    #[test]
    fn when_all_were_born_later_the_first_born_owns() {
        assert_eq!(owned(&[holder(1, false), holder(2, false)], Some(5), &[(1, 100), (2, 10)]), 2);
    }

    #[test]
    fn a_live_witness_decides() {
        assert_eq!(owned(&[holder(1, true), holder(2, false)], Some(50), &[(1, 100), (2, 10)]), 1);
    }

    #[test]
    fn without_any_birth_the_smallest_session_owns() {
        assert_eq!(owned(&[holder(2, false), holder(1, false)], None, &[]), 1);
    }
}
