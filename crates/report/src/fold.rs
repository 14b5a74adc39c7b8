//! What rows are one to a report, for who can sum them before it looks at their names.

use ducat_ledger::UnixMs;

use crate::report::RowKey;
use crate::{Grouping, Report};

/// What a report makes of a time: rows of equal moments, and of equal names where it tells them apart, may be summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(Option<RowKey>);

impl Report {
    /// None for what is not asked for.
    pub fn moment(&self, started_at: Option<UnixMs>) -> Option<Moment> {
        self.is_in_range(started_at).then(|| Moment(self.row_of_time(started_at)))
    }

    /// Whether rows that it asks for and that differ in this name alone may not be summed.
    pub fn tells_apart(&self, name: Grouping) -> bool {
        match name {
            // Those without a price are listed by it.
            Grouping::Model => true,
            Grouping::Project if matches!(self.query.by, Grouping::Group | Grouping::Tag) => true,
            name => self.query.by == name || self.query.breakdown == Some(name),
        }
    }
}
