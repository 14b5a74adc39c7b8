//! The sessions that hold a copy of a request, tool call or turn.

use serde::{Deserialize, Serialize};

use crate::Key;

/// One session's copy: forks and resumes carry the lines of their parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub session: Key,
    /// A live witness (hook, OTLP) named this session: it was there when it happened.
    pub live: bool,
    /// Repository root, or working directory, of the copy.
    pub project: Option<String>,
    pub branch: Option<String>,
}

/// Holders sorted by session, each session once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders(Vec<Holder>);

impl Holders {
    pub fn one(holder: Holder) -> Self {
        Self(vec![holder])
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Holder> {
        self.0.iter()
    }

    pub fn get(&self, session: &Key) -> Option<&Holder> {
        self.0.iter().find(|holder| holder.session == *session)
    }

    /// The copy of one session alone.
    pub fn of(&self, session: Option<Key>) -> Self {
        session.and_then(|session| self.get(&session)).cloned().into_iter().collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a holder or joins it to what is known of its session; true when something changed.
    pub fn add(&mut self, holder: &Holder) -> bool {
        match self.0.binary_search_by(|known| known.session.cmp(&holder.session)) {
            Err(place) => {
                self.0.insert(place, holder.clone());
                true
            }
            Ok(place) => {
                let known = &mut self.0[place];
                let live = holder.live && !known.live;
                known.live |= holder.live;
                // A session that changed its folder between two lines of one request: the larger name, whatever came first.
                live | take_larger(&mut known.project, &holder.project) | take_larger(&mut known.branch, &holder.branch)
            }
        }
    }

    pub fn join(&mut self, other: &Self) -> bool {
        other.0.iter().fold(false, |changed, holder| self.add(holder) | changed)
    }
}

impl FromIterator<Holder> for Holders {
    fn from_iter<I: IntoIterator<Item = Holder>>(iter: I) -> Self {
        let mut holders = Self::default();
        for holder in iter {
            holders.add(&holder);
        }
        holders
    }
}

fn take_larger(ours: &mut Option<String>, theirs: &Option<String>) -> bool {
    let takes = theirs > ours;
    if takes {
        ours.clone_from(theirs);
    }
    takes
}
