//! What the questions about durations have in common.

use std::collections::HashMap;

use ducat_ledger::{BUCKET_MS, Durations, UnixMs};
use jiff::Timestamp;
use serde_json::Value;

use crate::report::is_project;
use crate::{Groups, QueryError, ReportQuery, Settings};

/// When, and of which agent and projects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Where {
    /// From inclusive to exclusive, at quarter-hours.
    pub range: (Option<UnixMs>, Option<UnixMs>),
    agent: Option<String>,
    project: Option<String>,
    group: Option<String>,
    groups: Groups,
    /// Whether a project is asked for: patterns are tried once a project.
    projects: HashMap<String, bool>,
}

impl Where {
    pub fn parse(pairs: Vec<(&str, &str)>, now: Timestamp, settings: &Settings) -> Result<Self, QueryError> {
        let query = ReportQuery::parse(pairs, now, settings)?;
        let range = quarter_hours(query.time_range());
        let ReportQuery { agent, project, group, groups, .. } = query;
        Ok(Self { range, agent, project, group, groups, projects: HashMap::new() })
    }

    pub fn asks_for(&mut self, agent: &str, project: Option<&str>) -> bool {
        is(&self.agent, Some(agent)) && self.asks_for_project(project)
    }

    fn asks_for_project(&mut self, project: Option<&str>) -> bool {
        if self.project.is_none() && self.group.is_none() {
            return true;
        }
        let Some(project) = project else { return is(&self.project, None) && is(&self.group, None) };
        if let Some(known) = self.projects.get(project) {
            return *known;
        }
        let is_asked = self.project.as_deref().is_none_or(|wanted| is_project(project, wanted))
            && is(&self.group, self.groups.of(project).map(|group| group.name.as_str()));
        self.projects.insert(project.to_owned(), is_asked);
        is_asked
    }
}

/// Whether a name is the wanted one; an empty one asks for what has none.
pub(crate) fn is(wanted: &Option<String>, name: Option<&str>) -> bool {
    wanted.as_deref().is_none_or(|wanted| name.unwrap_or_default() == wanted)
}

/// A range rounded outward to the quarter-hours that durations are summed by.
fn quarter_hours((from, until): (Option<UnixMs>, Option<UnixMs>)) -> (Option<UnixMs>, Option<UnixMs>) {
    let down = |at: UnixMs| at.saturating_sub(at.rem_euclid(BUCKET_MS));
    (from.map(down), until.map(|until| down(until.saturating_add(BUCKET_MS - 1))))
}

/// The 50th, 95th and 99th in milliseconds; null where nothing was timed.
pub(crate) fn percentiles(durations: &Durations) -> [Value; 3] {
    [50, 95, 99].map(|percent| durations.percentile(percent).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_rounded_outward() {
        assert_eq!(quarter_hours((Some(BUCKET_MS - 1), Some(BUCKET_MS + 1))), (Some(0), Some(2 * BUCKET_MS)));
        assert_eq!(quarter_hours((Some(-1), Some(0))), (Some(-BUCKET_MS), Some(0)));
        assert_eq!(quarter_hours((Some(UnixMs::MIN), None)), (Some(UnixMs::MIN), None));
        assert!(quarter_hours((None, Some(UnixMs::MAX))).1.unwrap() > UnixMs::MAX - BUCKET_MS);
    }
}
