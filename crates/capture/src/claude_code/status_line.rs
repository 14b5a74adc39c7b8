//! What Claude Code writes to a status line's standard input: the session's cost so far, its context, and a plan's quota, which stands
//! nowhere else. Versions differ in what they tell: a field that is absent, null or of another type is not told.

use ducat_ledger::{Billing, Fact, FieldClass, Holder, Holders, Key, KeySpace, Quota, Session, Told, UnixMs, Witness, Witnesses};
use serde_json::{Map, Value};

use super::{AGENT, HookVerdict};
use crate::Workspaces;

/// Its name where events are delivered.
pub const STATUS_LINE: &str = "claude-code-status-line";

/// More is no status line.
pub const LARGEST_STATUS_LINE: usize = 1 << 20;
const LONGEST_TEXT: usize = 4096;
const DAY_MS: i64 = 86_400_000;
/// Windows of one update; the client has three.
const MOST_WINDOWS: usize = 8;

/// One update, as far as it is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusLine {
    pub session: Option<String>,
    pub cwd: Option<String>,
    pub prompt_id: Option<String>,
    pub version: Option<String>,
    pub model_id: Option<String>,
    pub model: Option<String>,
    /// What the client says the session cost since it was started or resumed, in nano-USD.
    pub cost_nano: Option<i64>,
    pub duration_ms: Option<u64>,
    pub lines_added: Option<u64>,
    pub lines_removed: Option<u64>,
    /// Tokens that the context can hold.
    pub context_size: Option<u64>,
    /// Tokens of the last request's input with what was cached.
    pub context_tokens: Option<u64>,
    /// Share of the context, 0 to 100.
    pub context_percent: Option<f64>,
    pub windows: Vec<Window>,
    /// Names of fields whose values make no sense; they are left out above.
    pub faults: Vec<String>,
}

/// A window of the plan's quota.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// As the client names it: `five_hour`, `seven_day`, `seven_day_opus`.
    pub name: String,
    pub minutes: u32,
    /// Parts per million.
    pub used_ppm: u32,
    pub resets_at: UnixMs,
}

impl StatusLine {
    /// Reads an update; the error says what is wrong with all of it. Only known fields are looked at.
    pub fn parse(payload: &[u8]) -> Result<Self, &'static str> {
        if payload.len() > LARGEST_STATUS_LINE {
            return Err("larger than 1 MiB");
        }
        if crate::json::is_too_deep(payload) {
            return Err("nested too deep");
        }
        let value: Value = serde_json::from_slice(payload).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => "cut off",
            _ => "not JSON",
        })?;
        let Value::Object(fields) = value else { return Err("not a JSON object") };
        let of = |name: &str| fields.get(name).and_then(Value::as_object);
        let mut line = Self {
            session: text(&fields, "session_id"),
            cwd: of("workspace").and_then(|workspace| text(workspace, "current_dir")).or_else(|| text(&fields, "cwd")),
            prompt_id: text(&fields, "prompt_id"),
            version: text(&fields, "version"),
            ..Self::default()
        };
        match fields.get("model") {
            Some(Value::Object(model)) => (line.model_id, line.model) = (text(model, "id"), text(model, "display_name")),
            _ => line.model_id = text(&fields, "model"),
        }
        if let Some(cost) = of("cost") {
            line.cost_nano = line.number(cost, "cost", "total_cost_usd", 1e6).map(|usd| (usd * 1e9).round() as i64);
            line.duration_ms = line.count(cost, "cost", "total_duration_ms");
            line.lines_added = line.count(cost, "cost", "total_lines_added");
            line.lines_removed = line.count(cost, "cost", "total_lines_removed");
        }
        if let Some(context) = of("context_window") {
            line.context_size = line.count(context, "context_window", "context_window_size");
            line.context_tokens = line.count(context, "context_window", "total_input_tokens");
            line.context_percent = line.number(context, "context_window", "used_percentage", 1e4);
        }
        for (name, window) in of("rate_limits").into_iter().flatten() {
            line.see_window(name, window);
        }
        Ok(line)
    }

    fn see_window(&mut self, name: &str, window: &Value) {
        let Some((minutes, _)) = minutes_and_limit(name).filter(|_| self.windows.len() < MOST_WINDOWS) else { return };
        let Value::Object(window) = window else { return };
        let place = format!("rate_limits.{name}");
        let used = self.number(window, &place, "used_percentage", 1e4);
        let resets_at = self.number(window, &place, "resets_at", 1e11);
        if let (Some(used), Some(resets_at)) = (used, resets_at) {
            let used_ppm = (used * 1e4).round() as u32;
            self.windows.push(Window { name: name.to_owned(), minutes, used_ppm, resets_at: (resets_at * 1e3) as i64 });
        }
    }

    /// A number from 0 to `most`; another value is a fault.
    fn number(&mut self, fields: &Map<String, Value>, place: &str, name: &str, most: f64) -> Option<f64> {
        let value = fields.get(name).filter(|value| !value.is_null())?;
        let number = value.as_f64().filter(|number| (0.0..=most).contains(number));
        if number.is_none() {
            self.faults.push(format!("{place}.{name}: no number from 0 to {most}"));
        }
        number
    }

    fn count(&mut self, fields: &Map<String, Value>, place: &str, name: &str) -> Option<u64> {
        self.number(fields, place, name, 1e12).map(|number| number as u64)
    }

    /// What is delivered and kept: the fields above, none of the session's title, links or whatever a later client adds.
    pub fn to_json(&self) -> Value {
        let usd = self.cost_nano.map(|nano| nano as f64 / 1e9);
        let windows: Map<String, Value> = self
            .windows
            .iter()
            .map(|window| {
                let used = f64::from(window.used_ppm) / 1e4;
                (window.name.clone(), serde_json::json!({ "used_percentage": used, "resets_at": window.resets_at as f64 / 1e3 }))
            })
            .collect();
        serde_json::json!({
            "session_id": self.session, "cwd": self.cwd, "prompt_id": self.prompt_id, "version": self.version,
            "model": { "id": self.model_id, "display_name": self.model },
            "cost": { "total_cost_usd": usd, "total_duration_ms": self.duration_ms,
                "total_lines_added": self.lines_added, "total_lines_removed": self.lines_removed },
            "context_window": { "context_window_size": self.context_size, "total_input_tokens": self.context_tokens,
                "used_percentage": self.context_percent },
            "rate_limits": windows,
        })
    }

    /// The plan's windows as told at `at`; those that could not be of that time are left out.
    pub fn quotas(&self, at: UnixMs) -> Vec<Quota> {
        let of_time = |window: &&Window| {
            let ahead = window.resets_at.saturating_sub(at);
            // A session that was idle over a reset repeats the old window; a day's drift of clocks is not believed either.
            ahead > -DAY_MS && ahead <= i64::from(window.minutes) * 60_000 + DAY_MS
        };
        let quotas = self.windows.iter().filter(of_time).map(|window| {
            let limit = minutes_and_limit(&window.name).and_then(|(_, limit)| limit);
            let mut quota = Quota::new(AGENT, None, limit, window.minutes, window.resets_at);
            quota.witnesses = Witnesses::only(Witness::StatusLine);
            // After its reset nothing of it is used any more; what is told then is of before.
            quota.tell(at.min(window.resets_at - 1), window.used_ppm);
            quota
        });
        quotas.collect()
    }
}

/// Tells `out` the facts of an update that came at `at`.
///
/// A session is told of from its first prompt on: before, a fork's status line may name the parent.
pub fn decode_status_line(payload: &[u8], at: UnixMs, workspaces: &mut dyn Workspaces, out: &mut dyn FnMut(Fact)) -> HookVerdict {
    let line = match StatusLine::parse(payload) {
        Ok(line) => line,
        Err(reason) => return HookVerdict::Malformed(reason),
    };
    let Some(id) = &line.session else { return HookVerdict::Malformed("session_id: missing or no string") };
    if line.cwd.as_deref().is_some_and(|cwd| workspaces.resolve(cwd).excluded) {
        return HookVerdict::Excluded;
    }
    let quotas = line.quotas(at);
    let is_of_plan = !line.windows.is_empty();
    quotas.into_iter().map(Fact::Quota).for_each(&mut *out);
    if line.prompt_id.is_some() || line.cost_nano.is_some_and(|cost| cost > 0) {
        let key = Key::of(KeySpace::Session, AGENT, id);
        let mut session = Session::new(key, AGENT, id);
        session.witnesses = Witnesses::only(Witness::StatusLine);
        session.holders = Holders::one(Holder { session: key, live: true, project: None, branch: None });
        let rank = Witness::StatusLine.rank(FieldClass::Attribution);
        session.last_at = Witness::StatusLine.tells(FieldClass::Timing, at);
        session.cwd = Told::maybe(rank, line.cwd.clone());
        session.version = Told::maybe(rank, line.version.clone());
        session.billing = Told::maybe(rank, is_of_plan.then_some(Billing::Plan));
        session.reported_cost_nano = Told::maybe(rank, line.cost_nano);
        out(Fact::Session(session));
    }
    HookVerdict::Decoded
}

/// A window's length, and what it limits where that is not all use; `None` for names that no client tells.
fn minutes_and_limit(name: &str) -> Option<(u32, Option<&str>)> {
    let (minutes, rest) = match (name.strip_prefix("five_hour"), name.strip_prefix("seven_day")) {
        (Some(rest), _) => (300, rest),
        (_, Some(rest)) => (7 * 1440, rest),
        _ => return None,
    };
    match rest.strip_prefix('_') {
        Some(limit) if Quota::is_limit(limit) => Some((minutes, Some(limit))),
        None if rest.is_empty() => Some((minutes, None)),
        _ => None,
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    let text = fields.get(name)?.as_str()?;
    (!text.is_empty() && text.len() <= LONGEST_TEXT).then(|| text.to_owned())
}
