//! The flags that narrow a report by name.

/// One flag a filter of [`ducat_report::Filters`].
#[derive(clap::Args)]
#[command(next_help_heading = "Filters (an empty value asks for what is attributed to none)")]
pub struct FilterArgs {
    /// Only this project: its path or the last part of it
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only this model, by its canonical name
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Only this branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Only this agent, such as claude-code
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only this user; like --team and --host it is told by the ledger only
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only this team
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// Only this machine
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only this billing: metered, plan, overage, credits or local
    #[arg(long, value_name = "BILLING")]
    billing: Option<String>,
    /// Only the projects of this [[group]] of the configuration
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

impl FilterArgs {
    /// The filters that were told, by their names in a query.
    pub fn told(&self) -> impl Iterator<Item = (&str, &str)> {
        let filters: [(&str, _); 9] = [
            ("project", &self.project),
            ("model", &self.model),
            ("branch", &self.branch),
            ("agent", &self.agent),
            ("user", &self.user),
            ("team", &self.team),
            ("host", &self.host),
            ("billing", &self.billing),
            ("group", &self.group),
        ];
        filters.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// Whether one asks for what transcripts do not tell, or not all of it.
    pub fn is_of_ledger(&self) -> bool {
        self.told().any(|(name, _)| matches!(name, "user" | "team" | "host" | "billing"))
    }

    /// One that finds nothing in transcripts, because those never tell it.
    pub fn is_never_in_transcripts(&self) -> Option<&str> {
        let mut never = self.told().filter(|(name, value)| matches!(*name, "user" | "team" | "host") && !value.is_empty());
        never.next().map(|(name, _)| name)
    }
}
