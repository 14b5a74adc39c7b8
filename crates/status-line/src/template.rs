//! The template of a status line.

use std::fmt;
use std::str::FromStr;

/// What a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Model,
    SessionCost,
    TodayCost,
    Context,
    ContextTokens,
    FiveHour,
    SevenDay,
    Lines,
    Project,
    Version,
}

impl Field {
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Model, "model"),
        (Self::SessionCost, "session_cost"),
        (Self::TodayCost, "today_cost"),
        (Self::Context, "context"),
        (Self::ContextTokens, "context_tokens"),
        (Self::FiveHour, "five_hour"),
        (Self::SevenDay, "seven_day"),
        (Self::Lines, "lines"),
        (Self::Project, "project"),
        (Self::Version, "version"),
    ];
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Field(Field),
}

/// Parts that are shown together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub parts: Vec<Part>,
    /// In brackets: left out when a field of it is not known, or when there is no room.
    pub is_optional: bool,
}

/// Text with `{fields}` and `[optional groups]`; `{{`, `[[` and so on stand for themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Group>);

const DEFAULT: &str = "{model}[ · 5h {five_hour}][ · 7d {seven_day}][ · {session_cost}][ · today {today_cost}][ · ctx {context}]";

impl Default for Template {
    fn default() -> Self {
        DEFAULT.parse().unwrap_or(Self(Vec::new()))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let wrong = |what: String| Err(TemplateError(what));
        let (mut groups, mut group, mut words) = (Vec::new(), Group::default(), String::new());
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if "{}[]".contains(letter) && letters.next_if_eq(&letter).is_some() {
                words.push(letter);
                continue;
            }
            match letter {
                '{' => {
                    let mut is_closed = false;
                    let inside = |letter: &char| {
                        is_closed = *letter == '}';
                        !is_closed
                    };
                    let name: String = letters.by_ref().take_while(inside).collect();
                    if !is_closed {
                        return wrong("a { without its } ({{ is a brace)".to_owned());
                    }
                    let Some((field, _)) = Field::ALL.into_iter().find(|(_, known)| *known == name) else {
                        let names: Vec<_> = Field::ALL.iter().map(|(_, name)| *name).collect();
                        return wrong(format!("there is no field {{{name}}}; there are {}", names.join(", ")));
                    };
                    group.take(&mut words);
                    group.parts.push(Part::Field(field));
                }
                '[' if group.is_optional => return wrong("a bracket within brackets".to_owned()),
                ']' if !group.is_optional => return wrong("a ] without its [ (]] is a bracket)".to_owned()),
                '}' => return wrong("a } without its { (}} is a brace)".to_owned()),
                '[' | ']' => {
                    group.take(&mut words);
                    groups.push(std::mem::replace(&mut group, Group { parts: Vec::new(), is_optional: letter == '[' }));
                }
                _ => words.push(letter),
            }
        }
        if group.is_optional {
            return wrong("a [ without its ] ([[ is a bracket)".to_owned());
        }
        group.take(&mut words);
        groups.push(group);
        groups.retain(|group| !group.parts.is_empty());
        Ok(Self(groups))
    }
}

impl Group {
    fn take(&mut self, words: &mut String) {
        if !words.is_empty() {
            self.parts.push(Part::Text(std::mem::take(words)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        for (text, word) in [
            ("{modle}", "no field {modle}; there are model"),
            ("{model", "without its }"),
            ("[a", "without its ]"),
            ("a]", "without its ["),
            ("a}", "without its {"),
            ("[a[b]]", "within brackets"),
        ] {
            let fault = text.parse::<Template>().err().map(|fault| fault.to_string()).unwrap_or_default();
            assert!(fault.contains(word), "{text}: {fault}");
        }
    }

    #[test]
    fn groups_and_brackets() {
        let Template(groups) = "a{{{model}[[[ {lines}]]]b".parse().unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(groups[0].parts, [text("a{"), Part::Field(Field::Model), text("[")]);
        assert_eq!((groups[1].is_optional, &groups[1].parts), (true, &vec![text(" "), Part::Field(Field::Lines), text("]")]));
        assert_eq!(groups[2].parts, [text("b")]);
        assert_eq!(Template::default().0.len(), 6);
    }
}
