//! What a task's messages leave out and files beside them tell: the models it was worked on with, and where.

use std::borrow::Cow;
use std::path::Path;

use ducat_ledger::UnixMs;
use sonic_rs::LazyValue;

use crate::telling::name;
use crate::{Workspaces, json};

/// A model, and when it was in use.
#[derive(Debug, PartialEq, Eq)]
pub struct Use {
    pub at: UnixMs,
    pub model: String,
    pub provider: Option<String>,
}

/// The models of a task, the earliest first.
#[derive(Debug, Default)]
pub struct Uses {
    /// From Cline's `task_metadata.json`: written when a model begins to be used.
    begun: Vec<Use>,
    /// From Roo Code's and Kilo Code's `api_conversation_history.json`: written with a request, after it was announced.
    sent: Vec<Use>,
}

impl Uses {
    pub fn of_task(folder: &Path, workspaces: &mut dyn Workspaces) -> Self {
        let mut uses = Self::default();
        if let Some(bytes) = workspaces.beside(&folder.join("task_metadata.json"))
            && let Ok(metadata) = json::object(&bytes)
        {
            json::for_fields(&metadata, |field, value| {
                if field == "model_usage" {
                    json::for_items(&value, |item| uses.begun.extend(begun(&item)));
                }
            });
        }
        if uses.begun.is_empty()
            && let Some(bytes) = workspaces.beside(&folder.join("api_conversation_history.json"))
            && let Ok(history) = json::document(&bytes)
        {
            json::for_items(&history, |message| uses.sent.extend(sent(&message)));
        }
        uses.begun.sort_by_key(|used| used.at);
        uses.sent.sort_by_key(|used| used.at);
        uses
    }

    pub fn at(&self, at: UnixMs) -> Option<&Use> {
        let begun = self.begun.iter().rev().find(|used| used.at <= at).or(self.begun.first());
        begun.or_else(|| self.sent.iter().find(|used| used.at >= at)).or(self.sent.last())
    }
}

fn begun(item: &LazyValue<'_>) -> Option<Use> {
    let (mut at, mut model, mut provider) = (None, None, None);
    json::for_fields(item, |field, value| match field {
        "ts" => at = json::time(&value),
        "model_id" => model = name(json::id(&value)),
        "model_provider_id" => provider = name(json::id(&value)),
        _ => {}
    });
    Some(Use { at: at?, model: model?, provider })
}

fn sent(message: &LazyValue<'_>) -> Option<Use> {
    let (mut at, mut is_user, mut content) = (None, false, None);
    json::for_fields(message, |field, value| match field {
        "ts" => at = json::time(&value),
        "role" => is_user = json::text(&value).as_deref() == Some("user"),
        "content" => content = Some(value),
        _ => {}
    });
    let content = content.filter(|_| is_user)?;
    Some(Use { at: at?, model: model_in(content.as_raw_str())?, provider: None })
}

/// The model that the client names in the details of the environment, which it adds to what it sends.
pub fn model_in(text: &str) -> Option<String> {
    let details = text.get(text.rfind("<environment_details>")?..)?;
    let (_, from) = details.split_once("<model>")?;
    let (model, _) = from.split_once("</model>")?;
    name(Some(model)).filter(|model| model.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The working directory of a task: Roo Code's `history_item.json` beside it, else the client's list of tasks.
pub fn cwd_of_task(folder: &Path, task: &str, workspaces: &mut dyn Workspaces) -> Option<String> {
    if let Some(bytes) = workspaces.beside(&folder.join("history_item.json"))
        && let Some(cwd) = json::object(&bytes).ok().and_then(|item| cwd_of(&item, None))
    {
        return Some(cwd);
    }
    let data = folder.parent()?.parent()?;
    let bytes = workspaces.beside(&data.join("state/taskHistory.json"))?;
    let mut cwd = None;
    json::for_items(&json::document(&bytes).ok()?, |item| cwd = cwd.take().or_else(|| cwd_of(&item, Some(task))));
    cwd
}

fn cwd_of(item: &LazyValue<'_>, task: Option<&str>) -> Option<String> {
    let (mut is_it, mut cwd) = (task.is_none(), None);
    json::for_fields(item, |field, value| match field {
        "id" => is_it |= json::text(&value).as_deref() == task,
        "workspace" | "cwdOnTaskInitialization" => cwd = json::id(&value).map(Cow::into_owned),
        _ => {}
    });
    cwd.filter(|cwd| is_it && Path::new(cwd).is_absolute())
}

/// The working directory of a session, from the record of it (or of the session that its agent works for) beside its messages.
pub fn cwd_of_session(folder: &Path, stem: &str, workspaces: &mut dyn Workspaces) -> Option<String> {
    let own = folder.join(format!("{stem}.json"));
    let lead = folder.file_name().and_then(|name| name.to_str()).map(|name| folder.join(format!("{name}.json")));
    [Some(own), lead].into_iter().flatten().find_map(|record| {
        let bytes = workspaces.beside(&record)?;
        let mut cwd = None;
        json::for_fields(&json::object(&bytes).ok()?, |field, value| {
            if field == "cwd" {
                cwd = json::id(&value).map(Cow::into_owned);
            }
        });
        cwd.filter(|cwd| Path::new(cwd).is_absolute())
    })
}
