//! Drawing a status line.

use ducat_capture::claude_code::StatusLine;
use ducat_ledger::{Quota, UnixMs};
use ducat_prices::NanoUsd;
use ducat_report::figures;
use ducat_store::Standing;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::template::{Field, Group, Part, Template};

/// What there is to show.
pub struct Shown<'a> {
    pub told: &'a StatusLine,
    pub standing: &'a Standing,
    /// A server said where the day stands; else it is as of the last one.
    pub is_answered: bool,
    pub now: UnixMs,
    /// When today began.
    pub day_start: UnixMs,
    pub zone: &'a TimeZone,
}

pub struct Line<'a> {
    pub shown: Shown<'a>,
    pub colors: bool,
}

/// How much is said where there is room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Full,
    Compact,
}

#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Warning,
    Bad,
}

/// Shares of a window from which it is shown as a warning, and as bad.
const WARNING_PPM: u32 = 500_000;
const BAD_PPM: u32 = 800_000;
const HOUR_MS: i64 = 3_600_000;

impl Line<'_> {
    /// The whole line, else a shorter telling of it, else without its last groups, so that it fits.
    pub fn draw(&self, template: &Template, width: Option<usize>) -> String {
        let fits = |text: &str| width.is_none_or(|width| text.lines().all(|line| visible(line) <= width));
        let groups: Vec<&Group> = template.0.iter().collect();
        let mut text = self.write(&groups, Detail::Full);
        if fits(&text) {
            return text;
        }
        let mut left = groups;
        loop {
            text = self.write(&left, Detail::Compact);
            match left.iter().rposition(|group| group.is_optional).filter(|_| !fits(&text)) {
                Some(last) => drop(left.remove(last)),
                None => break,
            }
        }
        if fits(&text) { text } else { cut(&text, width.unwrap_or(usize::MAX)) }
    }

    fn write(&self, groups: &[&Group], detail: Detail) -> String {
        let mut line = String::new();
        for group in groups {
            let mut text = String::new();
            let mut is_whole = true;
            for part in &group.parts {
                match part {
                    Part::Text(words) => text.push_str(words),
                    Part::Field(field) => match self.field(*field, detail) {
                        Some(value) => text.push_str(&value),
                        None => is_whole = false,
                    },
                }
            }
            if is_whole || !group.is_optional {
                line.push_str(&text);
            }
        }
        // Where the first part is not known, the next one's separator would lead.
        line.trim_start_matches([' ', '·', '|']).trim_end().to_owned()
    }

    fn field(&self, field: Field, detail: Detail) -> Option<String> {
        let Shown { told, standing, .. } = &self.shown;
        match field {
            Field::Model => told.model.as_deref().or(told.model_id.as_deref()).map(printable),
            // A resumed session's client counts from its resumption, the ledger from its beginning.
            Field::SessionCost => {
                let cost = told.cost_nano?.max(standing.session_nano);
                Some(format!("{}{}", NanoUsd(cost), self.value_mark(detail)))
            }
            Field::TodayCost => {
                let ahead = self.ahead();
                let mark = if self.shown.is_answered { "" } else { "~" };
                let unknown = if standing.day_unpriced > 0 { "+?" } else { "" };
                Some(format!("{mark}{}{unknown}{}", NanoUsd(standing.day_nano.saturating_add(ahead)), self.value_mark(detail)))
            }
            Field::Context => {
                let percent = told.context_percent?;
                let tone = tone_of((percent * 1e4) as u32);
                Some(self.paint(tone, &format!("{percent:.0}%")))
            }
            Field::ContextTokens => told.context_tokens.map(figures::tokens),
            Field::FiveHour => self.window(300, detail),
            Field::SevenDay => self.window(7 * 1440, detail),
            Field::Lines => Some(format!("+{} -{}", told.lines_added?, told.lines_removed?)),
            Field::Project => told.cwd.as_deref()?.rsplit(['/', '\\']).find(|part| !part.is_empty()).map(printable),
            Field::Version => told.version.as_deref().map(printable),
        }
    }

    /// What the client tells of the session beyond what the ledger has read of it, in nano-USD. The client counts the session's whole life: of
    /// one that did not begin today that need not be of today, and what the ledger knows no price of is no news of just now.
    fn ahead(&self) -> i64 {
        let Shown { told, standing, now, day_start, .. } = &self.shown;
        let began = told.duration_ms.and_then(|ms| now.checked_sub_unsigned(ms));
        if standing.session_unpriced > 0 || began.is_none_or(|began| began < *day_start) {
            return 0;
        }
        told.cost_nano.map_or(0, |cost| cost.saturating_sub(standing.session_nano).max(0))
    }

    /// A plan is not billed by the token: what is shown is a value at list price.
    fn value_mark(&self, detail: Detail) -> &'static str {
        match (self.shown.told.windows.is_empty(), detail) {
            (true, _) => "",
            (false, Detail::Full) => " list price",
            (false, Detail::Compact) => " list",
        }
    }

    /// `24%, lasts to 16:40`, or `84%, out at 15:10, resets 16:40`.
    fn window(&self, minutes: u32, detail: Detail) -> Option<String> {
        let of_window = |quota: &&Quota| quota.window_minutes == minutes && quota.limit.is_none();
        // With several accounts, the one told of last is this one's.
        let mut quotas = self.shown.standing.quotas.iter().filter(of_window);
        let quota = quotas.by_ref().max_by_key(|quota| quota.told_at.or_default())?;
        let Some(pace) = quota.pace(self.shown.now) else { return Some("reset".to_owned()) };
        let used = quota.used();
        let percent = format!("{:.0}%", f64::from(used) / 1e4);
        let resets = self.clock(quota.resets_at());
        let (tone, words) = match (pace.used_up_at, detail) {
            (Some(_), Detail::Full) if used >= 1_000_000 => (Tone::Bad, format!("{percent}, resets {resets}")),
            (Some(_), Detail::Compact) if used >= 1_000_000 => (Tone::Bad, format!("{percent} to {resets}")),
            (Some(at), Detail::Full) => (Tone::Bad, format!("{percent}, out at {}, resets {resets}", self.clock(at))),
            (Some(at), Detail::Compact) => (Tone::Bad, format!("{percent} out {}", self.clock(at))),
            (None, Detail::Full) => (tone_of(used), format!("{percent}, lasts to {resets}")),
            (None, Detail::Compact) => (tone_of(used), percent),
        };
        Some(self.paint(tone, &words))
    }

    /// `16:40`, with the day when that is not today.
    fn clock(&self, at: UnixMs) -> String {
        let local = |at: UnixMs| Timestamp::from_millisecond(at).map(|at| self.shown.zone.to_datetime(at));
        let is_soon = at - self.shown.now < 12 * HOUR_MS;
        let (Ok(at), Ok(now)) = (local(at), local(self.shown.now)) else { return "?".to_owned() };
        at.strftime(if at.date() == now.date() || is_soon { "%H:%M" } else { "%a %H:%M" }).to_string()
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Warning => 33,
            Tone::Bad => 31,
        };
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn tone_of(used_ppm: u32) -> Tone {
    match used_ppm {
        BAD_PPM.. => Tone::Bad,
        WARNING_PPM.. => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// Names come from outside: nothing in them may steer the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(60).collect()
}

/// Characters that take a place on the terminal.
fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\x1b' {
            letters.by_ref().find(|letter| letter.is_ascii_alphabetic());
        } else {
            count += 1;
        }
    }
    count
}

/// The first characters, colours and all, and an ellipsis.
fn cut(text: &str, width: usize) -> String {
    let (mut out, mut count, mut in_code) = (String::new(), 0, false);
    for letter in text.chars() {
        in_code |= letter == '\x1b';
        if !in_code {
            count += 1;
            if count >= width {
                out.push('…');
                break;
            }
        }
        out.push(letter);
        in_code &= !(letter.is_ascii_alphabetic() && in_code);
    }
    if out.contains('\x1b') {
        out.push_str("\x1b[0m");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_795_574_310_000;

    fn told() -> StatusLine {
        let line = serde_json::json!({
            "session_id": "s", "model": { "id": "claude-opus-4-8", "display_name": "Opus 4.8" }, "cwd": "/home/dev/proj",
            "cost": { "total_cost_usd": 0.2364, "total_duration_ms": 60_000, "total_lines_added": 3, "total_lines_removed": 1 },
            "context_window": { "used_percentage": 38, "total_input_tokens": 76_000 },
        });
        StatusLine::parse(line.to_string().as_bytes()).unwrap()
    }

    fn on_plan(five_hour: f64) -> StatusLine {
        let mut line = told().to_json();
        line["rate_limits"] = serde_json::json!({
            "five_hour": { "used_percentage": five_hour, "resets_at": NOW / 1000 + 7200 },
            "seven_day": { "used_percentage": 41.2, "resets_at": NOW / 1000 + 4 * 86_400 },
        });
        StatusLine::parse(line.to_string().as_bytes()).unwrap()
    }

    fn draw(told: &StatusLine, width: Option<usize>) -> String {
        let quotas = Quota::fold(told.quotas(NOW));
        let standing = Standing { day_nano: 4_200_000_000, session_nano: 200_000_000, quotas, ..Standing::default() };
        draw_at(told, &standing, width)
    }

    fn draw_at(told: &StatusLine, standing: &Standing, width: Option<usize>) -> String {
        let day_start = NOW - NOW.rem_euclid(24 * HOUR_MS);
        let shown = Shown { told, standing, is_answered: true, now: NOW, day_start, zone: &TimeZone::UTC };
        Line { shown, colors: false }.draw(&Template::default(), width)
    }

    /// The client's cost is of the session's whole life.
    #[test]
    fn only_what_is_of_today_is_added_to_today() {
        let standing = Standing { day_nano: 4_200_000_000, session_nano: 200_000_000, ..Standing::default() };
        let since_midnight = NOW.rem_euclid(24 * HOUR_MS).unsigned_abs();
        let today = |told: &StatusLine, standing: &Standing| {
            draw_at(told, standing, None).split(" · ").find(|part| part.starts_with("today")).unwrap().to_owned()
        };
        let of = |duration_ms: Option<u64>| StatusLine { cost_nano: Some(9_000_000_000), duration_ms, ..told() };
        assert_eq!(today(&of(Some(since_midnight)), &standing), "today $13.00");
        assert_eq!(today(&of(Some(since_midnight + 1)), &standing), "today $4.20", "it began yesterday");
        assert_eq!(today(&of(None), &standing), "today $4.20", "nobody told when it began");
        // What the ledger knows no price of is no news of just now.
        let unpriced = Standing { session_unpriced: 1, ..standing.clone() };
        assert_eq!(today(&of(Some(1000)), &unpriced), "today $4.20");
        let unknown = Standing { session_nano: 0, ..standing };
        assert_eq!(today(&of(Some(7 * 86_400_000)), &unknown), "today $4.20");
    }

    #[test]
    fn wide_and_narrow() {
        assert_eq!(draw(&told(), None), "Opus 4.8 · $0.2364 · today $4.24 · ctx 38%");
        let plan = on_plan(23.5);
        assert_eq!(
            draw(&plan, None),
            "Opus 4.8 · 5h 24%, lasts to 04:38 · 7d 41%, lasts to Sun 02:38 · $0.2364 list price · today $4.24 list price · ctx 38%"
        );
        assert_eq!(draw(&plan, Some(76)), "Opus 4.8 · 5h 24% · 7d 41% · $0.2364 list · today $4.24 list · ctx 38%");
        assert_eq!(draw(&plan, Some(56)), "Opus 4.8 · 5h 24% · 7d 41% · $0.2364 list");
        assert_eq!(draw(&StatusLine { model: None, model_id: None, ..told() }, None), "$0.2364 · today $4.24 · ctx 38%");
        assert_eq!(draw(&plan, Some(12)), "Opus 4.8");
        assert_eq!(draw(&plan, Some(5)), "Opus…");
    }

    #[test]
    fn a_window_that_will_not_last_says_when_it_is_out() {
        assert!(draw(&on_plan(75.0), None).contains("5h 75%, out at 03:38, resets 04:38"), "{}", draw(&on_plan(75.0), None));
        assert!(draw(&on_plan(100.0), None).contains("5h 100%, resets 04:38"));
        let mut reset = on_plan(10.0);
        reset.windows[0].resets_at = NOW - 1;
        assert!(draw(&reset, None).contains("5h reset"));
    }

    #[test]
    fn colours_take_no_room_and_names_steer_nothing() {
        assert_eq!(visible("\x1b[31m84%\x1b[0m"), 3);
        assert_eq!(cut("\x1b[31mabcdef\x1b[0m", 3), "\x1b[31mab…\x1b[0m");
        assert_eq!(printable("Opus\x1b]0;x\x07 4"), "Opus]0;x 4");
    }
}
