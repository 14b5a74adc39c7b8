//! The first line: today's spend, the last hour's, the plans' windows, live sessions, and the day's hours as bars.

use ducat_prices::NanoUsd;

use super::Piece;
use super::theme::Tone;
use crate::plain::{plain, right, width};
use crate::snapshot::{Quota, Snapshot, Totals};
use crate::state::State;
use crate::words;

/// Shares of a window from which it is shown as a warning, and as bad.
const WARNING: f64 = 50.0;
const BAD: f64 = 80.0;
/// Fewer bars say nothing.
const FEWEST_BARS: usize = 6;
/// Blanks before them, and one at the end of the line.
const GAP: usize = 3;

/// How much of the line is shown.
#[derive(Clone, Copy)]
struct Shown {
    windows: usize,
    /// Windows whose times are shown.
    times: usize,
    has_live: bool,
}

/// Where there is no room, the first of these that helps goes: times of further windows, bars, times of the first, windows from the last on,
/// live sessions.
pub fn pieces(state: &State, room: usize) -> Vec<Piece> {
    let Some(snapshot) = &state.snapshot else { return vec![(" ducat".to_owned(), Tone::Strong)] };
    let windows = snapshot.quotas.len();
    let with_times = (0..=windows).rev().map(|times| Shown { windows, times, has_live: true });
    let without = (0..windows).rev().map(|windows| Shown { windows, times: 0, has_live: true });
    let mut line = Vec::new();
    for shown in with_times.chain(without).chain([Shown { windows: 0, times: 0, has_live: false }]) {
        line = parts(state, snapshot, shown);
        let bars = if shown.times > 1 && snapshot.hours.is_some() { FEWEST_BARS + GAP } else { 0 };
        if taken(&line) + bars <= room {
            break;
        }
    }
    let rest = room.saturating_sub(taken(&line) + GAP);
    if let Some(hours) = snapshot.hours.as_ref().filter(|_| rest >= FEWEST_BARS) {
        let shown = &hours[hours.len().saturating_sub(rest)..];
        line.push((format!("  {}", bars(shown)), Tone::Plain));
    }
    line
}

fn taken(line: &[Piece]) -> usize {
    line.iter().map(|(text, _)| width(text)).sum()
}

fn parts(state: &State, snapshot: &Snapshot, shown: Shown) -> Vec<Piece> {
    let mut line = vec![(right(&words::cost(&snapshot.today), 9), Tone::Strong), (" today".to_owned(), Tone::Plain)];
    if let Some(hour) = &snapshot.last_hour {
        line.push((format!("  {}/h", right(&words::cost(&hour.all), 8)), Tone::Plain));
    }
    let has_one_agent = snapshot.quotas.windows(2).all(|pair| pair[0].agent == pair[1].agent);
    for (number, quota) in snapshot.quotas.iter().take(shown.windows).enumerate() {
        let agent = if has_one_agent { String::new() } else { format!("{} ", plain(&quota.agent)) };
        let lasts = if quota.used_up_at.is_some() { "!" } else { "" };
        let times = if number < shown.times { times(state, quota) } else { String::new() };
        let text = format!("  {agent}{} {}{lasts}{times}", plain(&quota.window), right(&words::percent(quota.used_percent), 4));
        line.push((text, tone(quota)));
    }
    if shown.has_live {
        let live = snapshot.live_sessions(state.now);
        line.push((format!("  {live:>2} live"), if live > 0 { Tone::Good } else { Tone::Plain }));
    }
    line
}

/// ` →14:00`, or ` out 13:10 →14:00` where it does not last so long.
fn times(state: &State, quota: &Quota) -> String {
    let at = |at| words::ahead(at, state.now, &state.zone);
    let out = quota.used_up_at.filter(|_| quota.used_percent < 100.0).map(|used_up| format!(" out {}", at(used_up)));
    let resets = quota.resets_at.map(|resets| format!(" →{}", at(resets)));
    out.unwrap_or_default() + &resets.unwrap_or_default()
}

fn tone(quota: &Quota) -> Tone {
    match quota.used_percent {
        _ if quota.used_up_at.is_some() => Tone::Bad,
        BAD.. => Tone::Bad,
        WARNING.. => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// A bar an hour, the lowest where nothing was spent, `?` where nothing of it has a price.
fn bars(hours: &[Totals]) -> String {
    const LEVELS: [char; 7] = ['▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = hours.iter().filter_map(|hour| hour.cost).max().unwrap_or_default().0.max(1);
    let bar = |hour: &Totals| match hour.cost {
        None => '?',
        Some(NanoUsd(..=0)) => '▁',
        Some(NanoUsd(cost)) => LEVELS[usize::try_from(i128::from(cost - 1) * 7 / i128::from(most)).unwrap_or(0).min(6)],
    };
    hours.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spending_is_no_bar_and_an_unknown_one_is_none_either() {
        let hour = |cost: Option<i64>| Totals { cost: cost.map(NanoUsd), ..Totals::default() };
        assert_eq!(bars(&[hour(Some(0)), hour(Some(1)), hour(Some(700)), hour(Some(350)), hour(None), hour(Some(-5))]), "▁▂█▅?▁");
        assert_eq!(bars(&[hour(Some(i64::MAX)), hour(Some(0))]), "█▁");
        assert_eq!(bars(&[hour(Some(0)); 3]), "▁▁▁");
    }
}
