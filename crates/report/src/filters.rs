//! What is asked for by name.

use ducat_ledger::Billing;

use crate::groups::last_part;
use crate::query::is_configured;
use crate::{Groups, QueryError};

/// The names that what is asked for must be under: of each kind `None` for any, `""` for what is attributed to none.
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
    /// The name of a [`Billing`].
    pub billing: Option<String>,
    /// A group of the user's.
    pub group: Option<String>,
}

/// The names that something is under; an empty one is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    pub project: Option<&'a str>,
    pub model: Option<&'a str>,
    pub branch: Option<&'a str>,
    pub agent: Option<&'a str>,
    pub user: Option<&'a str>,
    pub team: Option<&'a str>,
    pub host: Option<&'a str>,
    pub billing: Option<&'a str>,
    /// The project's, as [`Groups::name_of`] tells; looked at only where [`Filters::group`] asks for one.
    pub group: Option<&'a str>,
}

const WANTED_BILLING: &str = "billing: metered, plan, overage, credits or local; empty for what nobody told of";

impl Filters {
    /// Takes a parameter if it is a filter's, and says whether it is. The error names it.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, QueryError> {
        let filter = match name {
            "project" => &mut self.project,
            "model" => &mut self.model,
            "branch" => &mut self.branch,
            "agent" => &mut self.agent,
            "user" => &mut self.user,
            "team" => &mut self.team,
            "host" => &mut self.host,
            "billing" if !value.is_empty() && Billing::parse(value).is_none() => {
                return Err(QueryError::Value { field: "billing", value: value.to_owned(), wanted: WANTED_BILLING });
            }
            "billing" => &mut self.billing,
            "group" => &mut self.group,
            _ => return Ok(false),
        };
        *filter = Some(value.to_owned());
        Ok(true)
    }

    /// A group that is asked for is one that the user wrote.
    pub fn check(&self, groups: &Groups) -> Result<(), QueryError> {
        is_configured("group", self.group.as_deref().filter(|group| !group.is_empty()), groups.names())
    }

    /// Whether it asks for what is under these names.
    pub fn matches(&self, names: &Names<'_>) -> bool {
        is(&self.model, names.model)
            && is(&self.branch, names.branch)
            && is(&self.agent, names.agent)
            && is(&self.user, names.user)
            && is(&self.team, names.team)
            && is(&self.host, names.host)
            && is(&self.billing, names.billing)
            && self.matches_project(names.project, names.group)
    }

    /// What [`Filters::matches`] asks of a project and its group.
    pub fn matches_project(&self, project: Option<&str>, group: Option<&str>) -> bool {
        let is_last_part = || match (self.project.as_deref(), project) {
            (Some(wanted), Some(project)) => !wanted.is_empty() && last_part(project) == wanted,
            _ => false,
        };
        is(&self.group, group) && (is(&self.project, project) || is_last_part())
    }

    /// Whether it leaves out a part of what an agent does.
    pub fn cuts_agents(&self) -> bool {
        *self != Self { agent: self.agent.clone(), ..Self::default() }
    }
}

/// Whether a name is the wanted one; an empty one is none.
pub(crate) fn is(wanted: &Option<String>, name: Option<&str>) -> bool {
    wanted.as_deref().is_none_or(|wanted| name.unwrap_or_default() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 9] = ["project", "model", "branch", "agent", "user", "team", "host", "billing", "group"];

    fn filters(pairs: &[(&str, &str)]) -> Filters {
        let mut filters = Filters::default();
        for (name, value) in pairs {
            assert!(filters.take(name, value).unwrap(), "{name}");
        }
        filters
    }

    fn named<'a>(kind: &str, name: Option<&'a str>) -> Names<'a> {
        let mut names = Names::default();
        *match kind {
            "project" => &mut names.project,
            "model" => &mut names.model,
            "branch" => &mut names.branch,
            "agent" => &mut names.agent,
            "user" => &mut names.user,
            "team" => &mut names.team,
            "host" => &mut names.host,
            "billing" => &mut names.billing,
            _ => &mut names.group,
        } = name;
        names
    }

    #[test]
    fn each_asks_for_its_own_name_and_an_empty_one_for_none() {
        for kind in ALL {
            let one = filters(&[(kind, "plan")]);
            assert!(one.matches(&named(kind, Some("plan"))), "{kind}");
            for other in [Some("metered"), Some(""), None] {
                assert!(!one.matches(&named(kind, other)), "{kind} {other:?}");
            }
            let none = filters(&[(kind, "")]);
            assert!(none.matches(&named(kind, None)) && none.matches(&named(kind, Some(""))), "{kind}");
            assert!(!none.matches(&named(kind, Some("plan"))), "{kind}");
            for elsewhere in ALL.into_iter().filter(|elsewhere| *elsewhere != kind) {
                assert!(!one.matches(&named(elsewhere, Some("plan"))), "{kind} is no {elsewhere}");
            }
            assert_eq!(one.cuts_agents(), kind != "agent", "{kind}");
        }
        assert!(Filters::default().matches(&Names::default()));
        assert!(!filters(&[("user", "ana"), ("host", "x")]).matches(&named("user", Some("ana"))), "all must match");
    }

    #[test]
    fn a_project_is_asked_for_by_its_path_or_the_last_part_of_it() {
        for (wanted, is_it) in
            [("/src/pay", true), ("pay", true), ("src/pay", false), ("/src", false), ("", false), ("ay", false)]
        {
            assert_eq!(filters(&[("project", wanted)]).matches(&named("project", Some("/src/pay"))), is_it, "{wanted:?}");
        }
        assert!(!filters(&[("project", "")]).matches(&named("project", Some("/src/"))), "its last part is empty");
    }

    #[test]
    fn what_is_no_filter_is_left_and_what_is_no_value_is_refused() {
        assert_eq!(Filters::default().take("since", "today"), Ok(false));
        let wrong = Filters::default().take("billing", "free").unwrap_err().to_string();
        assert!(wrong.starts_with("billing: \"free\" is no billing"), "{wrong}");
        let wrong = filters(&[("group", "pay")]).check(&Groups::default()).unwrap_err().to_string();
        assert!(wrong.starts_with("group: \"pay\" is not in the configuration"), "{wrong}");
        assert_eq!(filters(&[("group", "")]).check(&Groups::default()), Ok(()));
    }
}
