//! What is shown, and what keys do to it.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ducat_prices::NanoUsd;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::detail::Detail;
use crate::event::Event;
use crate::server::Unanswered;
use crate::snapshot::{Session, Snapshot};

/// Events that are kept.
const EVENTS: usize = 500;
/// Sessions whose last event is kept.
const HEARD: usize = 2000;
/// Letters of a filter.
const LONGEST_FILTER: usize = 60;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By the last sign of life.
    #[default]
    Last,
    Cost,
    PerHour,
    Turns,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Last => Self::Cost,
            Self::Cost => Self::PerHour,
            Self::PerHour => Self::Turns,
            Self::Turns => Self::Last,
        }
    }

    /// As long as each other: the line it stands in does not jump.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last ",
            Self::Cost => "cost ",
            Self::PerHour => "$/h  ",
            Self::Turns => "turns",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    List,
    /// A session, and its first row on the screen.
    Session(usize),
    Help,
}

/// What a key asks of others.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    Quit,
    Open(String),
    Close,
}

pub struct State {
    pub zone: TimeZone,
    pub url: String,
    pub now: Timestamp,
    /// When we began.
    pub since: Timestamp,
    pub snapshot: Option<Snapshot>,
    /// Why the last figures are not newer.
    pub lost: Option<Unanswered>,
    /// Why no live events are heard, while figures are.
    pub deaf: Option<Unanswered>,
    /// The latest first.
    pub events: VecDeque<Event>,
    pub heard: HashMap<String, Event>,
    pub models: HashMap<String, String>,
    pub view: View,
    pub detail: Option<Result<Detail, Unanswered>>,
    pub sort: Sort,
    pub filter: String,
    pub is_typing: bool,
    /// The session that keys act on; the first where it is none that is shown.
    pub selected: Option<String>,
}

impl State {
    pub fn new(url: &str, zone: TimeZone, now: Timestamp) -> Self {
        Self {
            zone,
            url: url.to_owned(),
            now,
            since: now,
            snapshot: None,
            lost: None,
            deaf: None,
            events: VecDeque::new(),
            heard: HashMap::new(),
            models: HashMap::new(),
            view: View::default(),
            detail: None,
            sort: Sort::default(),
            filter: String::new(),
            is_typing: false,
            selected: None,
        }
    }

    pub fn take_figures(&mut self, figures: Result<Snapshot, Unanswered>) {
        match figures {
            Ok(snapshot) => (self.snapshot, self.lost) = (Some(snapshot), None),
            Err(why) => self.lost = Some(why),
        }
    }

    /// Of the session that is open; a late word of another is none.
    pub fn take_detail(&mut self, detail: Result<Detail, Unanswered>) {
        let is_open = matches!(self.view, View::Session(_));
        match detail {
            Ok(detail) if is_open && Some(&detail.session) == self.selected.as_ref() => self.detail = Some(Ok(detail)),
            // What was told before is kept while the server is away.
            Err(why) if is_open && !matches!(self.detail, Some(Ok(_))) => self.detail = Some(Err(why)),
            _ => {}
        }
    }

    pub fn take_event(&mut self, event: Event) {
        if let Some(session) = &event.session {
            if self.heard.len() >= HEARD && !self.heard.contains_key(session) {
                self.heard.clear();
                self.models.clear();
            }
            if let Some(model) = &event.model {
                self.models.insert(session.clone(), model.clone());
            }
            // More may become known of what is long over.
            if self.heard.get(session).is_none_or(|heard| heard.at <= event.at) {
                self.heard.insert(session.clone(), event.clone());
            }
        }
        // A call that ends takes the place of its start.
        if let Some(known) = self.events.iter_mut().find(|known| known.key == event.key) {
            *known = event;
            return;
        }
        let place = self.events.iter().position(|known| known.at <= event.at).unwrap_or(self.events.len());
        self.events.insert(place, event);
        self.events.truncate(EVENTS);
    }

    /// What the last hour of a session cost; none where nobody tells.
    pub fn per_hour(&self, session: &Session) -> Option<Option<NanoUsd>> {
        let hour = self.snapshot.as_ref()?.last_hour.as_ref()?;
        Some(hour.by_session.get(&session.session).map_or(Some(NanoUsd::ZERO), |totals| totals.cost))
    }

    /// The sessions that pass the filter, sorted; equal ones stay as the server has them.
    pub fn sessions(&self) -> Vec<&Session> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        let wanted = self.filter.to_lowercase();
        let mut sessions: Vec<&Session> = snapshot.sessions.iter().filter(|session| matches(session, &wanted)).collect();
        match self.sort {
            Sort::Last => sessions.sort_by_key(|session| Reverse(session.last_at)),
            Sort::Cost => sessions.sort_by_key(|session| Reverse(session.cost)),
            Sort::PerHour => sessions.sort_by_key(|session| Reverse(self.per_hour(session))),
            Sort::Turns => sessions.sort_by_key(|session| Reverse(session.turns)),
        }
        sessions
    }

    /// Where the selected session stands among these.
    pub fn place(&self, sessions: &[&Session]) -> usize {
        let is_selected = |session: &&Session| Some(&session.session) == self.selected.as_ref();
        sessions.iter().position(is_selected).unwrap_or(0)
    }

    pub fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'C')) {
            return Some(Wish::Quit);
        }
        if self.is_typing {
            self.type_filter(key);
            return None;
        }
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return None;
        }
        match (key.code, self.view) {
            (KeyCode::Char('q'), _) => return Some(Wish::Quit),
            (_, View::Help) => self.view = View::List,
            (KeyCode::Char('?'), View::List) => self.view = View::Help,
            (KeyCode::Char('s'), View::List) => self.sort = self.sort.next(),
            (KeyCode::Char('/'), View::List) => self.is_typing = true,
            (KeyCode::Esc, View::List) => self.filter.clear(),
            (KeyCode::Enter, View::List) => {
                let sessions = self.sessions();
                let session = sessions.get(self.place(&sessions))?.session.clone();
                (self.view, self.detail) = (View::Session(0), None);
                self.selected = Some(session.clone());
                return Some(Wish::Open(session));
            }
            (KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace | KeyCode::Left | KeyCode::Char('h'), View::Session(_)) => {
                (self.view, self.detail) = (View::List, None);
                return Some(Wish::Close);
            }
            (code, _) => self.walk(code),
        }
        None
    }

    fn type_filter(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => self.filter.clear(),
            KeyCode::Char(letter)
                if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
                    && !letter.is_control()
                    && self.filter.chars().count() < LONGEST_FILTER =>
            {
                self.filter.push(letter);
            }
            _ => {}
        }
    }

    fn walk(&mut self, code: KeyCode) {
        let step: isize = match code {
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::PageDown | KeyCode::Char(' ') => 10,
            KeyCode::PageUp => -10,
            KeyCode::Home | KeyCode::Char('g') => isize::MIN / 2,
            KeyCode::End | KeyCode::Char('G') => isize::MAX / 2,
            _ => return,
        };
        let walked = |from: usize, rows: usize| from.saturating_add_signed(step).min(rows.saturating_sub(1));
        match self.view {
            View::Session(first) => {
                let rows = self.detail.as_ref().and_then(|detail| detail.as_ref().ok()).map_or(0, |detail| detail.happened.len());
                self.view = View::Session(walked(first, rows));
            }
            _ => {
                let sessions = self.sessions();
                let to = walked(self.place(&sessions), sessions.len());
                self.selected = sessions.get(to).map(|session| session.session.clone());
            }
        }
    }
}

fn matches(session: &Session, wanted: &str) -> bool {
    let names = [&session.project, &session.cwd, &session.branch, &session.user, &session.host];
    let names = names.into_iter().flatten().chain(&session.models).chain([&session.session, &session.agent]);
    wanted.is_empty() || names.into_iter().any(|name| name.to_lowercase().contains(wanted))
}
