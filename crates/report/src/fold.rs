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
        let date = self.date_of(started_at);
        self.is_in_range(started_at, date).then(|| Moment(self.row_of_time(date)))
    }

    /// When rows that differ in this name alone may not be summed.
    pub fn tells_apart(&self, name: Grouping) -> Apart {
        let query = &self.query;
        let is_asked = match name {
            Grouping::Project => query.project.is_some() || query.group.is_some(),
            Grouping::Model => query.model.is_some(),
            Grouping::Agent => query.agent.is_some(),
            _ => false,
        };
        match name {
            name if is_asked || query.by == name || query.breakdown == Some(name) => Apart::Always,
            Grouping::Project if matches!(query.by, Grouping::Group | Grouping::Tag) => Apart::Always,
            // Models without a price are listed.
            Grouping::Model => Apart::WithoutPrice,
            _ => Apart::Never,
        }
    }
}
