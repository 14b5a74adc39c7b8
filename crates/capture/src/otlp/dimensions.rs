//! Which attributes tell user, team and labels of a request: the dimensions that are a company's own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::record::Record;

const USER: [&str; 2] = ["user.email", "user.account_uuid"];
const TEAM: [&str; 1] = ["team.id"];
const LABELS: [&str; 3] = ["cost_center", "department", "organization.id"];

const MOST_LABELS: usize = 16;
/// Of users, of teams and of all labels together.
const MOST_ATTRIBUTES: usize = 64;
/// UTF-8 bytes.
const LONGEST_NAME: usize = 64;

/// Names of attributes by what they tell; of several the first that a record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimensions {
    user: Vec<String>,
    team: Vec<String>,
    labels: BTreeMap<String, Vec<String>>,
}

impl Default for Dimensions {
    fn default() -> Self {
        let [user, team, labels] = Self::default_names();
        Self { user, team, labels: labels.into_iter().map(|name| (name.clone(), vec![name])).collect() }
    }
}

impl Dimensions {
    /// Attributes of user, team and labels, as [`Dimensions::new`] takes them.
    pub fn default_names() -> [Vec<String>; 3] {
        [&USER[..], &TEAM[..], &LABELS[..]].map(|names| names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// A label is told as `NAME`, or as `NAME=ATTRIBUTE` where the attribute has another name; several of one name are tried in order.
    /// The error names `user`, `team` or `labels` and says what is wrong.
    pub fn new(user: &[String], team: &[String], labels: &[String]) -> Result<Self, String> {
        for (field, names) in [("user", user), ("team", team), ("labels", labels)] {
            if names.len() > MOST_ATTRIBUTES {
                return Err(format!("{field}: {} attributes; at most {MOST_ATTRIBUTES} are looked for", names.len()));
            }
        }
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in labels {
            let (name, attribute) = entry.split_once('=').unwrap_or((entry, entry));
            by_name.entry(name.to_owned()).or_default().push(attribute.to_owned());
        }
        if by_name.len() > MOST_LABELS {
            return Err(format!("labels: {} names; at most {MOST_LABELS} are kept", by_name.len()));
        }
        check("user", user.iter())?;
        check("team", team.iter())?;
        check("labels", by_name.iter().flat_map(|(name, attributes)| std::iter::once(name).chain(attributes)))?;
        Ok(Self { user: user.to_vec(), team: team.to_vec(), labels: by_name })
    }

    /// Names of the labels, sorted.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    pub(super) fn user_of<'a>(&self, record: &Record<'a>) -> Option<Cow<'a, str>> {
        first(record, &self.user)
    }

    pub(super) fn team_of<'a>(&self, record: &Record<'a>) -> Option<Cow<'a, str>> {
        first(record, &self.team)
    }

    /// The labels that the record tells, as `name=value`, one a line.
    pub(super) fn labels_of(&self, record: &Record<'_>) -> Option<String> {
        let mut labels = String::new();
        for (name, attributes) in &self.labels {
            if let Some(value) = first(record, attributes) {
                let separator = if labels.is_empty() { "" } else { "\n" };
                labels.extend([separator, name, "=", &value]);
            }
        }
        (!labels.is_empty()).then_some(labels)
    }
}

/// The first that is a line of text or a whole number.
fn first<'a>(record: &Record<'a>, attributes: &[String]) -> Option<Cow<'a, str>> {
    let of = |name: &String| match record.text(name) {
        Some(text) => Some(Cow::Borrowed(text)).filter(|text| !text.contains(char::is_control)),
        None => record.count(name).map(|number| Cow::Owned(number.to_string())),
    };
    attributes.iter().find_map(of)
}

fn check<'n>(field: &str, mut names: impl Iterator<Item = &'n String>) -> Result<(), String> {
    let is_plain = |character: char| !character.is_control() && character != '=';
    let is_name = |name: &str| (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_plain);
    match names.find(|name| !is_name(name)) {
        Some(name) => Err(format!("{field}: {name:?} must have 1 to {LONGEST_NAME} bytes, no = and no control characters")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Result<Dimensions, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let [user, team, _] = Dimensions::default_names();
        Dimensions::new(&user, &team, &names)
    }

    #[test]
    fn labels_are_sorted_and_bounded() {
        assert_eq!(labels(&["b", "a", "b=c"]).unwrap().labels().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(labels(&[]).unwrap().labels().count(), 0);
        for wrong in ["", "a=", "=a", "a=b=c", "a\nb", &"x".repeat(65)] {
            assert!(labels(&[wrong]).unwrap_err().starts_with("labels: "), "{wrong:?}");
        }
        let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(labels(&many).unwrap_err(), "labels: 17 names; at most 16 are kept");
        assert_eq!(labels(&["a"; 65]).unwrap_err(), "labels: 65 attributes; at most 64 are looked for");
        let [user, team, names] = Dimensions::default_names();
        assert_eq!(Dimensions::new(&user, &team, &names).unwrap(), Dimensions::default());
        assert!(Dimensions::new(&["a=b".to_owned()], &team, &names).unwrap_err().starts_with("user: \"a=b\""));
        assert!(Dimensions::new(&user, &[String::new()], &names).unwrap_err().starts_with("team: \"\""));
    }
}
