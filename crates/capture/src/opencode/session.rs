//! A session's own record.

use std::borrow::Cow;

use ducat_ledger::{Fact, UnixMs};
use sonic_rs::LazyValue;

use super::AGENT;
use crate::telling::{Telling, attribution, name, timing};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// What is known of the session that a message or part is of.
#[derive(Clone, Debug, Default)]
pub struct Session<'a> {
    pub id: Option<Cow<'a, str>>,
    pub directory: Option<Cow<'a, str>>,
    pub version: Option<Cow<'a, str>>,
    /// It was started by a tool of another session.
    pub is_subagent: bool,
    pub created_at: Option<UnixMs>,
    pub updated_at: Option<UnixMs>,
}

impl<'a> Session<'a> {
    /// From `storage/session/…/ses_….json`, or the `info` of an export.
    pub fn parse(info: &LazyValue<'a>) -> Self {
        let mut session = Self::default();
        json::for_fields(info, |field, value| match field {
            "id" => session.id = json::id(&value),
            "directory" => session.directory = json::id(&value),
            "version" => session.version = json::id(&value),
            "parentID" => session.is_subagent = json::id(&value).is_some(),
            "time" => json::for_fields(&value, |field, value| match field {
                "created" => session.created_at = json::time(&value),
                "updated" => session.updated_at = json::time(&value),
                _ => {}
            }),
            _ => {}
        });
        session
    }

    pub fn tell(&self, workspaces: &mut dyn Workspaces, detail: Detail, out: &mut dyn FnMut(Fact)) -> LineVerdict {
        let workspace = self.directory.as_deref().map(|directory| workspaces.resolve(directory)).unwrap_or_default();
        if workspace.excluded {
            return LineVerdict::Excluded;
        }
        let telling = Telling { agent: AGENT, session: self.id.as_deref(), project: workspace.project, branch: None };
        let Some(mut session) = telling.session() else { return LineVerdict::NoFacts };
        session.opened_at = timing(self.created_at);
        if detail == Detail::All {
            session.started_at = timing(self.created_at);
            session.last_at = timing(self.updated_at);
            session.cwd = attribution(self.directory.as_deref().map(str::to_owned));
            session.version = attribution(name(self.version.as_deref()));
        }
        out(Fact::Session(session));
        LineVerdict::Decoded
    }
}
