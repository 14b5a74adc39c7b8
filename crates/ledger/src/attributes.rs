//! Names beside the main ones that requests are summed by; most of them only telemetry tells.

use crate::Request;

/// What stands for the values of a name that came after its bound was reached.
pub const OTHER: &str = "other";

const COLUMNS: usize = 7;

/// The further names of a request, as they stand in a roll-up. Together they are one set, of which there are few: the requests of a
/// session share nearly all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attributes<T = String> {
    /// Kind of the sub-agent that made it.
    pub subagent_type: Option<T>,
    pub skill: Option<T>,
    pub mcp_server: Option<T>,
    pub plugin: Option<T>,
    pub query_source: Option<T>,
    pub effort: Option<T>,
    /// As in [`Request::labels`].
    pub labels: Option<T>,
}

impl<T> Attributes<T> {
    /// The names in the order of the declaration.
    pub const NAMES: [&'static str; COLUMNS] =
        ["subagent_type", "skill", "mcp_server", "plugin", "query_source", "effort", "labels"];

    /// The values in the order of the declaration.
    pub fn columns(&self) -> [Option<&T>; COLUMNS] {
        [&self.subagent_type, &self.skill, &self.mcp_server, &self.plugin, &self.query_source, &self.effort, &self.labels]
            .map(Option::as_ref)
    }

    /// From values in the order of the declaration.
    pub fn from_columns(columns: [Option<T>; COLUMNS]) -> Self {
        let [subagent_type, skill, mcp_server, plugin, query_source, effort, labels] = columns;
        Self { subagent_type, skill, mcp_server, plugin, query_source, effort, labels }
    }

    pub fn is_empty(&self) -> bool {
        self.columns().iter().all(Option::is_none)
    }
}

impl<'a> Attributes<&'a str> {
    /// What is believed of a request.
    pub fn of(request: &'a Request) -> Self {
        let told = [
            &request.subagent_type,
            &request.skill,
            &request.mcp_server,
            &request.plugin,
            &request.query_source,
            &request.effort,
            &request.labels,
        ];
        Self::from_columns(told.map(|told| told.get().map(String::as_str).filter(|text| !text.is_empty())))
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        labels(self.labels?).find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub fn to_owned(self) -> Attributes {
        Attributes::from_columns(self.columns().map(|value| value.map(|text| (*text).to_owned())))
    }
}

impl Attributes {
    pub fn as_deref(&self) -> Attributes<&str> {
        Attributes::from_columns(self.columns().map(|value| value.map(String::as_str)))
    }
}

/// Names and values of [`Request::labels`]; what is no label is left out.
pub fn labels(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('=')).filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_by_its_whole_name() {
        let told = Attributes { labels: Some("cost_center=R=D\ncost=\nno label\nteam=blue"), ..Attributes::default() };
        assert_eq!(
            ["cost_center", "cost", "no label", "team", "tea"].map(|name| told.label(name)),
            [Some("R=D"), None, None, Some("blue"), None]
        );
        assert_eq!(told.to_owned().as_deref(), told);
        assert!(!told.is_empty() && Attributes::<&str>::default().is_empty());
    }
}
