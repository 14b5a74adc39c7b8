//! Which attributes become labels of a request: the dimensions that are a company's own.

use super::record::Record;

const MOST_NAMES: usize = 16;
/// UTF-8 bytes.
const LONGEST_NAME: usize = 64;

/// Names of attributes, sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Default for Labels {
    fn default() -> Self {
        Self(["cost_center", "department", "organization.id"].map(str::to_owned).to_vec())
    }
}

impl Labels {
    /// The error says what of the names is wrong.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort();
        names.dedup();
        if names.len() > MOST_NAMES {
            return Err(format!("{} names; at most {MOST_NAMES} are kept", names.len()));
        }
        let is_name = |name: &String| {
            let is_plain = |character: char| !character.is_control() && character != '=';
            !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(is_plain)
        };
        match names.iter().find(|name| !is_name(name)) {
            Some(name) => Err(format!("{name:?} must have 1 to {LONGEST_NAME} bytes, no = and no control characters")),
            None => Ok(Self(names)),
        }
    }

    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The attributes that the record has, as `name=value`, one a line; values that are no line are left out.
    pub(super) fn of(&self, record: &Record<'_>) -> Option<String> {
        let mut labels = String::new();
        for name in &self.0 {
            if let Some(value) = record.text(name).filter(|value| !value.contains(char::is_control)) {
                let separator = if labels.is_empty() { "" } else { "\n" };
                labels.extend([separator, name, "=", value]);
            }
        }
        (!labels.is_empty()).then_some(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_bounded() {
        let names = |names: &[&str]| Labels::new(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(names(&["b", "a", "b"]).unwrap().names(), ["a", "b"]);
        assert_eq!(names(&[]).unwrap().names().len(), 0);
        for wrong in ["", "a=b", "a\nb", &"x".repeat(65)] {
            assert!(names(&[wrong]).is_err(), "{wrong:?}");
        }
        let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
        assert_eq!(Labels::new(many).unwrap_err(), "17 names; at most 16 are kept");
        assert_eq!(Labels::new(Labels::default().names().to_vec()).unwrap(), Labels::default());
    }
}
