//! Projects under names of the user's own, with tags.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A name for some projects, and what else is to be known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    /// Patterns. One with a `/` is of the project's path or a folder above it, another of the path's last part; `*` and `?` stand for
    /// anything within a part, `**` for any parts, `{a,b}` and `[a-z]` for one of them.
    pub projects: Vec<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The groups in the order they were written: the first whose pattern fits a project has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups(Vec<Group>);

impl Groups {
    /// The error names the group and what is wrong with it.
    pub fn new(groups: Vec<Group>) -> Result<Self, String> {
        for (place, group) in groups.iter().enumerate() {
            let number = place + 1;
            if group.name.trim().is_empty() {
                return Err(format!("group {number}: name is empty"));
            }
            let name = &group.name;
            if groups[..place].iter().any(|other| other.name == *name) {
                return Err(format!("group {number}: there is another named {name:?}"));
            }
            if group.projects.is_empty() || group.projects.iter().any(String::is_empty) {
                return Err(format!("group {name:?}: projects needs patterns such as \"~/src/pay-*\""));
            }
            if group.tags.keys().any(String::is_empty) {
                return Err(format!("group {name:?}: a tag without a name"));
            }
        }
        Ok(Self(groups))
    }

    pub fn of(&self, project: &str) -> Option<&Group> {
        let project = project.trim_end_matches(['/', '\\']);
        self.0.iter().find(|group| group.projects.iter().any(|pattern| fits(pattern, project)))
    }

    /// The name of a project's group; none for what is in none.
    pub fn name_of(&self, project: Option<&str>) -> Option<&str> {
        self.of(project?).map(|group| group.name.as_str())
    }

    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|group| group.name.as_str()).collect()
    }

    /// Every name of a tag, once.
    pub fn tag_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().flat_map(|group| group.tags.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn fits(pattern: &str, project: &str) -> bool {
    let pattern = pattern.trim_end_matches('/');
    if !pattern.contains('/') {
        return fast_glob::glob_match(pattern, last_part(project));
    }
    let mut folder = project;
    loop {
        if fast_glob::glob_match(pattern, folder) {
            return true;
        }
        match folder.rsplit_once('/') {
            Some((above, _)) if !above.is_empty() => folder = above,
            _ => return false,
        }
    }
}

/// The last part of a path of any system: what most people call a project.
pub fn last_part(path: &str) -> &str {
    path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_a_path_is_told_on_any_system() {
        for (path, last) in
            [("/home/ana/app", "app"), ("/home/ana/app/", "app"), ("D:\\code\\app", "app"), ("app", "app"), ("", "")]
        {
            assert_eq!(last_part(path), last);
        }
    }

    fn group(name: &str, projects: &[&str]) -> Group {
        Group {
            name: name.to_owned(),
            projects: projects.iter().map(|pattern| (*pattern).to_owned()).collect(),
            ..Group::default()
        }
    }

    #[test]
    fn the_first_pattern_that_fits_has_the_project() {
        let groups = Groups::new(vec![
            group("pay", &["/home/ana/src/pay-*", "billing"]),
            group("srv", &["/srv/x/", "/opt/**/tool", "[a-c]?"]),
            group("rest", &["*"]),
        ])
        .unwrap();
        for (project, name) in [
            ("/home/ana/src/pay-api", "pay"),
            ("/home/ana/src/pay-api/worktree", "pay"),
            ("/elsewhere/billing", "pay"),
            ("C:\\work\\billing", "pay"),
            ("/srv/x", "srv"),
            ("/srv/x/deep/er", "srv"),
            ("/srv/xy", "rest"),
            ("/opt/a/b/tool", "srv"),
            ("/x/b1", "srv"),
            ("/home/ana/src/payments", "rest"),
        ] {
            assert_eq!(groups.of(project).map(|group| group.name.as_str()), Some(name), "{project}");
        }
        assert_eq!(Groups::default().of("/x"), None);
    }

    #[test]
    fn faults_name_the_group() {
        for (groups, part) in [
            (vec![group("", &["x"])], "group 1: name"),
            (vec![group("a", &["x"]), group("a", &["y"])], "group 2: there is another"),
            (vec![group("a", &[])], "group \"a\": projects"),
        ] {
            assert!(Groups::new(groups).unwrap_err().contains(part), "{part}");
        }
    }
}
