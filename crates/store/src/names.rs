//! The names that what a session owns was told under, and how often each.

use std::collections::BTreeMap;

use ducat_ledger::{Billing, Session};

/// What kind of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Name {
    Project,
    Branch,
    User,
    Team,
    Host,
    Billing,
    Model,
}

impl Name {
    pub const ALL: [Self; 7] = [Self::Project, Self::Branch, Self::User, Self::Team, Self::Host, Self::Billing, Self::Model];

    pub fn name(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Branch => "branch",
            Self::User => "user",
            Self::Team => "team",
            Self::Host => "host",
            Self::Billing => "billing",
            Self::Model => "model",
        }
    }
}

/// Counts of names by kind. A session is shown under the one of each kind that most of what it owns was told under: unlike the latest it
/// can be taken out again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names([BTreeMap<String, i64>; Name::ALL.len()]);

impl Names {
    /// Counts one fact's names, in the order of [`Name::ALL`].
    pub fn count(&mut self, names: [Option<&str>; Name::ALL.len()], by: i64) {
        for (known, name) in self.0.iter_mut().zip(names) {
            let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
            match known.get_mut(name) {
                Some(count) => *count = count.saturating_add(by),
                None => _ = known.insert(name.to_owned(), by),
            }
        }
    }

    pub fn add(&mut self, other: Self) {
        for (known, names) in self.0.iter_mut().zip(other.0) {
            for (name, by) in names {
                let count = known.entry(name).or_default();
                *count = count.saturating_add(by);
            }
            known.retain(|_, count| *count != 0);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeMap::is_empty)
    }

    /// With what the session itself was told of, where nothing that it owns was; a count of 0 tells them apart.
    pub fn with_own_words_of(&self, session: &Session) -> Self {
        let mut names = self.clone();
        let own = [
            (Name::User, session.user.get().map(String::as_str)),
            (Name::Team, session.team.get().map(String::as_str)),
            (Name::Host, session.host.get().map(String::as_str)),
            (Name::Billing, session.billing.get().copied().map(Billing::name)),
        ];
        for (kind, word) in own {
            if let Some(word) = word.filter(|word| !word.is_empty()) {
                names.0[kind as usize].entry(word.to_owned()).or_default();
            }
        }
        names
    }

    /// The most frequent name, the smallest of equal ones.
    pub fn main(&self, kind: Name) -> Option<&str> {
        let most = self.0[kind as usize].iter().min_by_key(|(name, count)| (-**count, *name));
        most.map(|(name, _)| name.as_str())
    }

    /// All names of a kind, the most frequent first.
    pub fn all(&self, kind: Name) -> impl Iterator<Item = &str> {
        let mut names: Vec<_> = self.0[kind as usize].iter().collect();
        names.sort_by_key(|(name, count)| (-**count, *name));
        names.into_iter().map(|(name, _)| name.as_str())
    }

    /// As stored: a line each of kind, name as JSON, and count.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for kind in Name::ALL {
            for (name, count) in &self.0[kind as usize] {
                text.push_str(&format!("\n{} {} {count}", kind.name(), serde_json::Value::from(name.as_str())));
            }
        }
        text
    }

    /// Reads what [`Names::to_text`] wrote; a count of 0 is the session's own word and is left out.
    pub fn parse(text: &str) -> Self {
        Self::parse_all(text, false)
    }

    /// With the session's own words.
    pub fn parse_shown(text: &str) -> Self {
        Self::parse_all(text, true)
    }

    fn parse_all(text: &str, with_own: bool) -> Self {
        let mut names = Self::default();
        for line in text.lines() {
            let Some((kind, rest)) = line.split_once(' ') else { continue };
            let kind = Name::ALL.into_iter().find(|known| known.name() == kind);
            let parts =
                rest.rsplit_once(' ').and_then(|(name, count)| Some((serde_json::from_str(name).ok()?, count.parse().ok()?)));
            if let (Some(kind), Some((name, count))) = (kind, parts)
                && (with_own || count != 0)
            {
                names.0[kind as usize].insert(name, count);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written() {
        let mut names = Names::default();
        let odd = "a \"b\"\nmodel \"c\" 9\u{2028}\\";
        for name in [odd, "plain", "plain", ""] {
            names.count([Some(name), None, Some("ana"), None, None, None, Some("opus")], 1);
        }
        let text = names.to_text();
        assert_eq!(Names::parse(&text), names);
        assert_eq!(names.main(Name::Project), Some("plain"));
        assert_eq!(names.all(Name::Project).collect::<Vec<_>>(), ["plain", odd]);
        assert_eq!(names.main(Name::Host), None);
    }

    #[test]
    fn what_is_taken_out_leaves_nothing() {
        let mut names = Names::default();
        names.count([Some("p"), None, None, None, None, None, None], 1);
        let mut change = Names::default();
        change.count([Some("p"), None, None, None, None, None, None], -1);
        change.add(names);
        assert!(change.is_empty());
    }

    #[test]
    fn a_sessions_own_word_shows_where_nothing_else_does() {
        use ducat_ledger::{Key, KeySpace, Told};
        let mut session = Session::new(Key::of(KeySpace::Session, "a", "s"), "a", "s");
        (session.user, session.host) = (Told::by(1, "ana".to_owned()), Told::by(1, "box".to_owned()));
        let mut names = Names::default();
        names.count([None, None, None, None, Some("other"), None, None], 1);
        let shown = names.with_own_words_of(&session);
        assert_eq!((shown.main(Name::User), shown.main(Name::Host)), (Some("ana"), Some("other")));
        assert_eq!(Names::parse(&shown.to_text()), names);
        assert_eq!(Names::parse_shown(&shown.to_text()), shown);
    }
}
