//! What rows are one to a report, for who can sum them before it looks at their names.

use ducat_ledger::UnixMs;

use crate::report::RowKey;
use crate::{Grouping, Report};

/// What a report makes of a time: rows of equal moments, and of equal names where it tells them apart, may be summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(Option<RowKey>);

/// When a report looks at a name of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    Always,
    /// In rows with requests whose cost is unknown.
    WithoutPrice,
    Never,
}

impl Report {
    /// None for what is not asked for.
    pub fn moment(&self, started_at: Option<UnixMs>) -> Option<Moment> {
        self.is_in_range(started_at).then(|| Moment(self.row_of_time(started_at)))
    }

    /// When rows that differ in this name alone may not be summed.
    pub fn tells_apart(&self, name: Grouping) -> Apart {
        let (query, filters) = (&self.query, &self.query.filters);
        let filter = match name {
            Grouping::Project => filters.project.as_ref().or(filters.group.as_ref()),
            Grouping::Model => filters.model.as_ref(),
            Grouping::Branch => filters.branch.as_ref(),
            Grouping::Agent => filters.agent.as_ref(),
            Grouping::User => filters.user.as_ref(),
            Grouping::Team => filters.team.as_ref(),
            Grouping::Host => filters.host.as_ref(),
            Grouping::Billing => filters.billing.as_ref(),
            _ => None,
        };
        match name {
            name if filter.is_some() || query.by == name || query.breakdown == Some(name) => Apart::Always,
            Grouping::Project if matches!(query.by, Grouping::Group | Grouping::Tag) => Apart::Always,
            // Models without a price are listed.
            Grouping::Model => Apart::WithoutPrice,
            _ => Apart::Never,
        }
    }
}
