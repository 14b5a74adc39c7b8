//! What the rows of a report are.

/// What the rows of a report are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    #[default]
    Daily,
    Weekly,
    Monthly,
    Session,
    Project,
    Model,
    Branch,
    Agent,
    User,
    Team,
    Host,
    Billing,
    /// By the sub-agent's kind.
    Subagent,
    Skill,
    McpServer,
    Plugin,
    /// By what in the client asked.
    QuerySource,
    /// By how hard the model was told to think.
    Effort,
    /// By a label of the requests, which [`ReportQuery::label`] names.
    Label,
    /// By five-hour window.
    Blocks,
    /// By the user's groups of projects.
    Group,
    /// By a tag of the groups, which [`ReportQuery::tag`] names.
    Tag,
}

/// How a grouping by a tag begins: `tag:client`.
pub(crate) const TAG: &str = "tag:";
/// And by a label: `label:cost_center`.
pub(crate) const LABEL: &str = "label:";

impl Grouping {
    pub const ALL: [Self; 22] = [
        Self::Daily,
        Self::Weekly,
        Self::Monthly,
        Self::Session,
        Self::Project,
        Self::Model,
        Self::Branch,
        Self::Agent,
        Self::User,
        Self::Team,
        Self::Host,
        Self::Billing,
        Self::Subagent,
        Self::Skill,
        Self::McpServer,
        Self::Plugin,
        Self::QuerySource,
        Self::Effort,
        Self::Label,
        Self::Blocks,
        Self::Group,
        Self::Tag,
    ];

    /// As written on the command line and in `by=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Session => "session",
            Self::Project => "project",
            Self::Model => "model",
            Self::Branch => "branch",
            Self::Agent => "agent",
            Self::User => "user",
            Self::Team => "team",
            Self::Host => "host",
            Self::Billing => "billing",
            Self::Subagent => "subagent",
            Self::Skill => "skill",
            Self::McpServer => "mcp_server",
            Self::Plugin => "plugin",
            Self::QuerySource => "query_source",
            Self::Effort => "effort",
            Self::Label => "label",
            Self::Blocks => "blocks",
            Self::Group => "group",
            Self::Tag => "tag",
        }
    }

    /// The key that names a row: `date`, `week`, `month`, `session`, ….
    pub fn row_key(self) -> &'static str {
        match self {
            Self::Daily => "date",
            Self::Weekly => "week",
            Self::Monthly => "month",
            Self::Blocks => "block_start",
            other => other.name(),
        }
    }

    /// Whether rows can be broken down by it: what asks the request alone.
    pub fn breaks_down(self) -> bool {
        !self.is_calendar() && !matches!(self, Self::Session | Self::Blocks | Self::Group | Self::Tag | Self::Label)
    }

    pub fn is_calendar(self) -> bool {
        matches!(self, Self::Daily | Self::Weekly | Self::Monthly)
    }

    /// It is of [`ducat_ledger::Attributes`].
    pub fn is_attribute(self) -> bool {
        matches!(
            self,
            Self::Subagent | Self::Skill | Self::McpServer | Self::Plugin | Self::QuerySource | Self::Effort | Self::Label
        )
    }

    /// Whether its name alone says which; a tag or label is told with its own.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::Tag | Self::Label)
    }

    /// Reads a name; a tag or label is told with its own, as `tag:client`.
    pub fn parse(name: &str) -> Option<Self> {
        let begins = |with| name.strip_prefix(with).is_some_and(|rest| !rest.is_empty());
        if begins(TAG) {
            return Some(Self::Tag);
        }
        if begins(LABEL) {
            return Some(Self::Label);
        }
        Self::ALL.into_iter().find(|grouping| grouping.is_whole() && grouping.name() == name)
    }
}
