//! Which counters a changed fact moves.

use ducat_ledger::{Change, Holder, Incident, IncidentKind, Outcome, Priced, Request, Session, Told, ToolCall, Turn, UnixMs};

use crate::labels::UNKNOWN;
use crate::{Exemplar, Family, Increments, LabelValues};

/// A clock that runs ahead by less is taken as it is; what is from later is no live fact.
const AHEAD_MS: i64 = 5 * 60 * 1000;

/// Counts the changes of one commit.
pub struct Counting<'l> {
    labels: &'l mut LabelValues,
    increments: Increments,
    since: UnixMs,
    now: UnixMs,
}

impl<'l> Counting<'l> {
    /// Facts from before `since` are history; `now` is the time of the commit.
    pub fn new(labels: &'l mut LabelValues, since: UnixMs, now: UnixMs) -> Self {
        Self { labels, increments: Increments::default(), since, now }
    }

    pub fn into_increments(self) -> Increments {
        self.increments
    }

    /// Whether a fact of this time enters the counters.
    pub fn is_live(&self, at: Option<UnixMs>) -> bool {
        at.is_some_and(|at| at >= self.since && at <= self.now.saturating_add(AHEAD_MS))
    }

    /// Counts a change; `session` is the owner's id, for exemplars.
    pub fn count(&mut self, tenant: u32, change: &Change<'_>, session: Option<&str>) {
        let mut of = Of { counting: self, tenant, session };
        match *change {
            Change::Request { before, after, priced, owner } => of.request(before, after, priced, owner),
            Change::Ceased { fact, at } => {
                if of.live(at) {
                    of.correct(fact, "ceased");
                }
            }
            Change::ToolCall { before, after, owner } => of.tool_call(before, after, owner),
            Change::Turn { before, after, owner } => of.turn(before, after, owner),
            Change::Session { before, after } => of.session(before, after),
            Change::Incident { before, after, .. } => of.incident(before, after),
            // A share is no count: `/metrics` shows it as it stands.
            Change::Quota { .. } => {}
        }
    }
}

/// One change of one tenant.
struct Of<'c, 'l> {
    counting: &'c mut Counting<'l>,
    tenant: u32,
    session: Option<&'c str>,
}

fn text(told: &Told<String>) -> &str {
    told.get().map_or(UNKNOWN, String::as_str)
}

fn project(owner: Option<&Holder>) -> &str {
    owner.and_then(|owner| owner.project.as_deref()).unwrap_or(UNKNOWN)
}

impl Of<'_, '_> {
    fn live(&self, at: Option<UnixMs>) -> bool {
        self.counting.is_live(at)
    }

    fn exemplar(&self, value: u64) -> Option<Exemplar> {
        self.session.map(|session| Exemplar { session: session.to_owned(), value, at: self.counting.now })
    }

    fn add(&mut self, family: Family, values: &[&str], by: u64) {
        if by > 0 {
            let exemplar = self.exemplar(by);
            let key = self.counting.labels.series(self.tenant, family, values);
            self.counting.increments.count(key, by, exemplar);
        }
    }

    fn observe(&mut self, family: Family, values: &[&str], value: u64) {
        let exemplar = self.exemplar(value);
        let key = self.counting.labels.series(self.tenant, family, values);
        self.counting.increments.observe(key, value, exemplar);
    }

    fn correct(&mut self, fact: &str, reason: &str) {
        self.add(Family::Corrections, &[fact, reason], 1);
    }

    /// Whether a fact enters the counters now; one that will not, and is new, is history.
    fn enters(&mut self, fact: &str, before: Option<Option<UnixMs>>, after: Option<UnixMs>) -> Option<bool> {
        let was_live = before.is_some_and(|at| self.live(at));
        if self.live(after) {
            return Some(!was_live);
        }
        if before.is_none() {
            self.correct(fact, "history");
        } else if was_live {
            self.correct(fact, "changed");
        }
        None
    }

    fn request(&mut self, before: Option<(&Request, &Priced)>, after: &Request, priced: &Priced, owner: Option<&Holder>) {
        // Estimates are in no exact counter.
        if after.is_estimated() {
            return;
        }
        let before = before.filter(|(request, _)| !request.is_estimated());
        let at = |request: &Request| request.started_at.get().copied();
        let Some(is_new) = self.enters("request", before.map(|(request, _)| at(request)), at(after)) else { return };
        let counted = before.filter(|_| !is_new);
        let (agent, model, project) = (after.agent.as_str(), priced.model.as_str(), project(owner));
        let (user, team) = (text(&after.user), text(&after.team));
        let names = [agent, model, project, user, team];
        let is_one = |request: &Request| !request.is_sum.or_default();
        let was_one = counted.is_some_and(|(request, _)| is_one(request));
        self.add(Family::Requests, &names, u64::from(is_one(after) && !was_one));
        let usage = after.usage();
        let old = counted.map(|(request, _)| request.usage()).unwrap_or_default();
        let mut lowered = false;
        let mut grown = |new: u64, old: u64| {
            lowered |= new < old;
            new.saturating_sub(old)
        };
        let write_5m = |usage: &ducat_prices::Usage| usage.cache_write_5m.saturating_add(usage.cache_write_unsplit);
        let kinds = [
            ("input", "prompt", grown(usage.input, old.input)),
            ("output", "completion", grown(usage.output, old.output)),
            ("cache_read", "cache_read", grown(usage.cache_read, old.cache_read)),
            ("cache_write_5m", "cache_write", grown(write_5m(&usage), write_5m(&old))),
            ("cache_write_1h", "cache_write", grown(usage.cache_write_1h, old.cache_write_1h)),
        ];
        let reasoning = grown(usage.reasoning, old.reasoning);
        let cost = |priced: &Priced| priced.cost.map_or(0, |cost| u64::try_from(cost.0).unwrap_or(0));
        let cost = grown(cost(priced), counted.map_or(0, |(_, priced)| cost(priced)));
        for (kind, kind_of_first_version, tokens) in kinds {
            self.add(Family::Tokens, &[agent, model, project, user, team, kind], tokens);
            self.add(Family::AiTokens, &[kind_of_first_version, user, model, team], tokens);
        }
        self.add(Family::ReasoningTokens, &[agent, model], reasoning);
        self.add(Family::Cost, &names, cost);
        self.add(Family::AiTokenCost, &[user, model, team], cost);
        let unpriced = priced.cost.is_none() && counted.is_none_or(|(_, priced)| priced.cost.is_some());
        self.add(Family::UnpricedRequests, &[agent, model], u64::from(unpriced));
        if lowered {
            self.correct("request", "lowered");
        }
    }

    fn tool_call(&mut self, before: Option<&ToolCall>, after: &ToolCall, owner: Option<&Holder>) {
        // A call is counted when it has ended.
        let Some(outcome) = after.outcome.get() else { return };
        let at = |call: &ToolCall| call.started_at.get().or(call.ended_at.get()).copied();
        let ended_before = before.filter(|call| call.outcome.is_told());
        match self.enters("tool_call", ended_before.map(at), at(after)) {
            Some(true) => {}
            Some(false) => {
                if ended_before.is_some_and(|call| call.outcome.get() != Some(outcome)) {
                    self.correct("tool_call", "changed");
                }
                return;
            }
            None => return,
        }
        let (agent, tool, project) = (after.agent.as_str(), text(&after.name), project(owner));
        let (user, team) = (text(&after.user), text(&after.team));
        let success = *outcome == Outcome::Ok;
        self.add(Family::ToolCalls, &[agent, tool, outcome.name(), project, user, team], 1);
        self.add(Family::AiToolExecutions, &[tool, user, if success { "true" } else { "false" }, team], 1);
        if let Some(duration) = after.duration_ms() {
            self.observe(Family::ToolDuration, &[agent, tool], duration);
            self.observe(Family::AiToolDuration, &[tool, user, team], duration);
        }
        if let Some(bytes) = after.result_bytes.get() {
            self.observe(Family::ToolResultBytes, &[agent, tool], *bytes);
        }
        if !success {
            let kind = text(&after.error_kind);
            self.add(Family::ToolErrors, &[agent, tool, kind], 1);
            self.add(Family::AiErrors, &[kind, tool, user], 1);
        }
    }

    fn turn(&mut self, before: Option<&Turn>, after: &Turn, owner: Option<&Holder>) {
        let at = |turn: &Turn| turn.started_at.get().copied();
        // That a turn has ended is told before its begin when the begin comes late.
        if after.started_at.is_untold() {
            return;
        }
        if self.enters("turn", before.filter(|turn| turn.started_at.is_told()).map(at), at(after)) != Some(true) {
            return;
        }
        let (user, team) = (text(&after.user), text(&after.team));
        self.add(Family::Turns, &[&after.agent, project(owner), user, team], 1);
        if let Some(mode) = after.thinking_mode.get() {
            self.add(Family::AiThinkingMode, &[mode, user, team], 1);
            self.observe(Family::AiComplexity, &[user, mode, team], after.complexity_milli.or_default());
        }
    }

    fn session(&mut self, before: Option<&Session>, after: &Session) {
        let at = |session: &Session| session.started_at.get().copied();
        let (user, team) = (text(&after.user), text(&after.team));
        if after.started_at.is_told()
            && self.enters("session", before.filter(|known| known.started_at.is_told()).map(at), at(after)) == Some(true)
        {
            self.add(Family::Sessions, &[&after.agent, user, team], 1);
        }
        let ended = |session: &Session| Some(session.ended_at.get()?.checked_sub(at(session)?)?.max(0).unsigned_abs());
        if let Some(duration) = ended(after).filter(|_| before.and_then(ended).is_none())
            && self.live(after.ended_at.get().copied())
        {
            self.observe(Family::SessionDuration, &[&after.agent], duration);
            self.observe(Family::AiSessionDuration, &[user, team], duration);
        }
    }

    fn incident(&mut self, before: Option<&Incident>, after: &Incident) {
        let at = |incident: &Incident| incident.at.get().copied();
        if self.enters("incident", before.map(at), at(after)) != Some(true) {
            return;
        }
        let Some(kind) = after.kind.get() else { return };
        let (user, detail) = (text(&after.user), text(&after.detail));
        let subject = text(&after.subject);
        let value = after.value.get().map_or(0, |value| u64::try_from(*value).unwrap_or(0));
        self.add(Family::Incidents, &[&after.agent, kind.name(), detail], 1);
        match kind {
            IncidentKind::OptimizationSuggestion => {
                self.add(Family::AiSuggestions, &[detail, user, subject], 1);
                self.add(Family::AiSavings, &[user, detail], value);
            }
            IncidentKind::HookPerformance => self.observe(Family::AiHookDuration, &[detail, user], value),
            IncidentKind::Revenue => self.add(Family::AiRevenue, &[user, subject, detail], value),
            IncidentKind::ExpiredToolCall => self.add(Family::AiExpired, &[subject, user], 1),
            _ => {}
        }
    }
}
