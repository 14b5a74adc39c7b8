//! What requests, sessions and calls are asked for by name.

use crate::{Groups, is_project};

/// Each is `None` for anything and empty for what is attributed to none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// The project's path, or its last part.
    pub project: Option<String>,
    /// Canonical model name.
    pub model: Option<String>,
    pub branch: Option<String>,
    pub agent: Option<String>,
    pub user: Option<String>,
    pub team: Option<String>,
    pub host: Option<String>,
    pub billing: Option<String>,
    /// A group of the user's, which is of projects.
    pub group: Option<String>,
}

/// What something is called, as far as it was told; the group follows from the project.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    pub project: Option<&'a str>,
    pub model: Option<&'a str>,
    pub branch: Option<&'a str>,
    pub agent: Option<&'a str>,
    pub user: Option<&'a str>,
    pub team: Option<&'a str>,
    pub host: Option<&'a str>,
    pub billing: Option<&'a str>,
}

impl Filters {
    /// Takes a parameter of a query; `false` where it is no filter.
    pub fn take(&mut self, name: &str, value: &str) -> bool {
        let filter = match name {
            "project" => &mut self.project,
            "model" => &mut self.model,
            "branch" => &mut self.branch,
            "agent" => &mut self.agent,
            "user" => &mut self.user,
            "team" => &mut self.team,
            "host" => &mut self.host,
            "billing" => &mut self.billing,
            "group" => &mut self.group,
            _ => return false,
        };
        *filter = Some(value.to_owned());
        true
    }

    /// Whether this is asked for, but for its group.
    pub fn ask_for(&self, named: &Named<'_>) -> bool {
        let plain = [
            (&self.model, named.model),
            (&self.branch, named.branch),
            (&self.agent, named.agent),
            (&self.user, named.user),
            (&self.team, named.team),
            (&self.host, named.host),
            (&self.billing, named.billing),
        ];
        plain.iter().all(|(wanted, name)| wanted.as_deref().is_none_or(|wanted| name.unwrap_or("") == wanted))
            && self.project.as_deref().is_none_or(|wanted| match named.project {
                Some(project) => !wanted.is_empty() && is_project(project, wanted),
                None => wanted.is_empty(),
            })
    }

    /// Whether the group of a project is asked for.
    pub fn ask_for_group(&self, groups: &Groups, project: Option<&str>) -> bool {
        self.group
            .as_deref()
            .is_none_or(|wanted| project.and_then(|project| groups.of(project)).map_or("", |group| group.name.as_str()) == wanted)
    }

    /// Only a part of the requests of a time is asked for.
    pub fn is_some(&self) -> bool {
        *self != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = ["project", "model", "branch", "agent", "user", "team", "host", "billing"];

    fn of<'a>(name: &str, value: &'a str) -> Named<'a> {
        let told = |asked| (name == asked).then_some(value);
        Named {
            project: told("project"),
            model: told("model"),
            branch: told("branch"),
            agent: told("agent"),
            user: told("user"),
            team: told("team"),
            host: told("host"),
            billing: told("billing"),
        }
    }

    #[test]
    fn every_name_is_filtered_by_its_own_value() {
        for name in NAMES {
            let mut filters = Filters::default();
            assert!(!filters.is_some() && filters.take(name, "ana") && filters.is_some());
            assert!(filters.ask_for(&of(name, "ana")) && !filters.ask_for(&of(name, "bo")), "{name}");
            assert!(!filters.ask_for(&Named::default()), "{name}");
            let mut nobody = Filters::default();
            assert!(nobody.take(name, ""));
            assert!(nobody.ask_for(&Named::default()) && !nobody.ask_for(&of(name, "ana")), "{name}");
        }
        assert!(!Filters::default().take("colour", "red"));
    }

    #[test]
    fn a_project_is_asked_for_by_its_last_part_too() {
        let filters = Filters { project: Some("app".to_owned()), ..Filters::default() };
        assert!(filters.ask_for(&of("project", "/home/ana/app")) && !filters.ask_for(&of("project", "/home/ana/happ")));
    }
}
