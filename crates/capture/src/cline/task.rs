//! `ui_messages.json`: what the client showed of a task. An `api_req_started` is a request; what it used is written into it when it is known,
//! as a JSON text (the oldest clients: into an `api_req_finished` of its own).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use ducat_ledger::{Fact, IncidentKind, UnixMs};
use sonic_rs::LazyValue;

use super::beside::{Uses, cwd_of_task, model_in};
use super::convention::{Counts, includes_cache};
use crate::telling::{Telling, attribution, billing, name, reported_cost, start, timing, usage};
use crate::transcript::{Detail, LineVerdict};
use crate::{Workspaces, json};

/// A message without its text's meaning.
#[derive(Debug, Default)]
struct Message<'a> {
    at: Option<UnixMs>,
    say: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    provider: Option<String>,
    model: Option<String>,
    mode: Option<String>,
    /// Tokens in the context before it was condensed.
    condensed: Option<u64>,
}

/// A request, not yet told.
#[derive(Debug, Default)]
struct Asked {
    at: UnixMs,
    turn: Option<UnixMs>,
    counts: Counts,
    cost_usd: Option<f64>,
    protocol: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    mode: Option<String>,
    is_of_subagents: bool,
    failed: bool,
}

pub fn decode(
    agent: &'static str,
    messages: &LazyValue<'_>,
    path: &Path,
    workspaces: &mut dyn Workspaces,
    detail: Detail,
    out: &mut dyn FnMut(Fact),
) -> LineVerdict {
    let folder = path.parent().unwrap_or(Path::new(""));
    let Some(task) = folder.file_name().and_then(|name| name.to_str()) else {
        return LineVerdict::Unreadable("a task's messages outside of a task's folder");
    };
    let cwd = cwd_of_task(folder, task, workspaces);
    let workspace = cwd.as_deref().map(|cwd| workspaces.resolve(cwd)).unwrap_or_default();
    if workspace.excluded {
        return LineVerdict::Excluded;
    }
    let telling = Telling { agent, session: Some(task), project: workspace.project, branch: None };
    let (mut asked, mut turn, mut first, mut last) = (Vec::<Asked>::new(), None, None, None);
    json::for_items(messages, |item| {
        let message = Message::parse(&item);
        let Some(at) = message.at else { return };
        first = first.or(Some(at));
        last = last.max(Some(at));
        match message.say.as_deref() {
            Some("task" | "user_feedback") => {
                turn = Some(at);
                if detail == Detail::All {
                    let bytes = message.text.as_ref().map(|text| text.len() as u64);
                    out(Fact::Turn(telling.turn(&id(task, at), Some(at), bytes)));
                }
            }
            Some("api_req_started" | "subagent_usage") => asked.push(Asked::of(message, at, turn)),
            Some("api_req_finished") => {
                let finished = Asked::of(message, at, turn);
                if let Some(started) = asked.last_mut().filter(|started| started.counts.is_zero()) {
                    (started.counts, started.cost_usd) = (finished.counts, finished.cost_usd);
                }
            }
            Some("condense_context") if detail == Detail::All => {
                let mut incident = telling.incident(IncidentKind::Compaction, &id(task, at), Some(at));
                incident.value = attribution(message.condensed.and_then(|tokens| i64::try_from(tokens).ok()));
                out(Fact::Incident(incident));
            }
            _ => {}
        }
    });
    let Some(mut session) = telling.session().filter(|_| first.is_some()) else { return LineVerdict::NoFacts };
    session.opened_at = timing(first);
    if detail == Detail::All {
        session.started_at = timing(first);
        session.last_at = timing(last);
        session.cwd = attribution(cwd);
    }
    out(Fact::Session(session));
    if asked.iter().any(|request| request.model.is_none()) {
        let uses = Uses::of_task(folder, workspaces);
        for request in asked.iter_mut().filter(|request| request.model.is_none()) {
            if let Some(used) = uses.at(request.at) {
                request.model = Some(used.model.clone());
                request.provider = request.provider.take().or_else(|| used.provider.clone());
            }
        }
    }
    tell(&asked, task, &telling, detail, out);
    LineVerdict::Decoded
}

/// Nothing but a time tells a task's messages apart.
fn id(task: &str, at: UnixMs) -> String {
    format!("{task}/{at}")
}

fn tell(asked: &[Asked], task: &str, telling: &Telling<'_>, detail: Detail, out: &mut dyn FnMut(Fact)) {
    let mut alike = BTreeMap::<(Option<&str>, Option<&str>), Vec<&Asked>>::new();
    for request in asked {
        alike.entry((request.provider.as_deref(), request.protocol.as_deref())).or_default().push(request);
    }
    for ((provider, _), requests) in alike {
        let counts: Vec<Counts> =
            requests.iter().map(|asked| asked.counts.without_misses(provider, asked.model.as_deref())).collect();
        let includes_cache = includes_cache(provider, &counts);
        for (asked, counts) in requests.into_iter().zip(counts) {
            let counts = if includes_cache { counts.less_cache() } else { counts };
            let id = id(task, asked.at);
            if asked.failed && detail == Detail::All {
                out(Fact::Incident(telling.incident(IncidentKind::ApiError, &id, Some(asked.at))));
            }
            // Not answered yet, or given up before the provider said what it used.
            if counts.is_zero() {
                continue;
            }
            let mut request = telling.request(&id);
            request.model = usage(asked.model.clone());
            request.provider = usage(asked.provider.clone());
            request.input_tokens = usage(counts.input);
            request.output_tokens = usage(counts.output);
            request.cache_read_tokens = usage(counts.cache_read);
            request.cache_write_tokens = usage(counts.cache_write);
            request.reported_cost_nano = reported_cost(asked.cost_usd);
            request.started_at = start(Some(asked.at));
            let source = if asked.is_of_subagents { Some("subagents".to_owned()) } else { asked.mode.clone() };
            request.query_source = attribution(source);
            request.billing = attribution(provider.and_then(billing));
            request.turn = attribution(asked.turn.map(|at| telling.turn_key(&self::id(task, at))));
            if provider == Some("vscode-lm") {
                // The editor tells no usage; the client counts the texts.
                request.estimated = usage(Some(true));
            }
            out(Fact::Request(request));
        }
    }
}

impl<'a> Message<'a> {
    fn parse(item: &LazyValue<'a>) -> Self {
        let mut message = Self::default();
        json::for_fields(item, |field, value| match field {
            "ts" => message.at = json::time(&value),
            "say" => message.say = json::id(&value),
            "text" => message.text = json::text(&value),
            "modelInfo" => json::for_fields(&value, |field, value| match field {
                "providerId" => message.provider = name(json::id(&value)),
                "modelId" => message.model = name(json::id(&value)),
                "mode" => message.mode = name(json::id(&value)),
                _ => {}
            }),
            "contextCondense" => json::for_fields(&value, |field, value| {
                if field == "prevContextTokens" {
                    message.condensed = json::count(&value);
                }
            }),
            _ => {}
        });
        message
    }
}

impl Asked {
    fn of(message: Message<'_>, at: UnixMs, turn: Option<UnixMs>) -> Self {
        let Message { say, text, provider, model, mode, .. } = message;
        let is_of_subagents = say.as_deref() == Some("subagent_usage");
        let mut asked = Self { at, turn, provider, model, mode, is_of_subagents, ..Self::default() };
        let text = text.unwrap_or_default();
        let Ok(info) = json::object(text.as_bytes()) else { return asked };
        json::for_fields(&info, |field, value| match field {
            "tokensIn" => asked.counts.input = json::count(&value),
            "tokensOut" => asked.counts.output = json::count(&value),
            "cacheReads" => asked.counts.cache_read = json::count(&value),
            "cacheWrites" => asked.counts.cache_write = json::count(&value),
            "cost" => asked.cost_usd = json::number(&value),
            "apiProtocol" => asked.protocol = name(json::id(&value)),
            "inferenceProvider" => asked.provider = asked.provider.take().or_else(|| name(json::id(&value))),
            "streamingFailedMessage" => asked.failed = json::id(&value).is_some(),
            "request" if asked.model.is_none() => asked.model = json::text(&value).and_then(|sent| model_in(&sent)),
            _ => {}
        });
        asked
    }
}
