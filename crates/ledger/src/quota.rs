//! A window of a plan's quota: how much of it is used, as the vendor told it.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{BUCKET_MS, Key, KeySpace, Told, UnixMs, Witnesses, bucket_of};

/// The vendors' times of reset waver by seconds; windows of the same length that reset within this are one.
const SAME_RESET_MS: i64 = 10 * 60 * 1000;
/// Bytes of a limit's name.
const LONGEST_LIMIT: usize = 32;
/// All of a window, in parts per million.
pub const WHOLE_PPM: u32 = 1_000_000;

/// One window of an account's quota, from one reset to the next. Within it the used share only grows, so what was told joins by the
/// largest share of each quarter-hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub key: Key,
    pub agent: String,
    /// Whose, where told.
    pub account: Option<String>,
    /// What is limited, where it is not all use of the plan: `opus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Length of the window: 300 for five hours, 10,080 for a week.
    pub window_minutes: u32,
    pub witnesses: Witnesses,
    pub resets_at: Told<UnixMs>,
    /// The subscription's name, such as `plus`.
    #[serde(default, skip_serializing_if = "Told::is_untold")]
    pub plan: Told<String>,
    /// When it was last told.
    pub told_at: Told<UnixMs>,
    /// When it was first told to be used up.
    #[serde(default, skip_serializing_if = "Told::is_untold")]
    pub used_up_at: Told<UnixMs>,
    /// The largest share told in each quarter-hour since 1970, in parts per million; above a million where the vendor counts on.
    pub used_ppm: BTreeMap<i64, u32>,
}

impl Quota {
    /// A name as a limit's: lower-case, with `_` for all but letters and digits.
    pub fn limit_of(name: &str) -> String {
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
    }

    /// Whether a limit may be called so: up to 32 of `a-z`, `0-9` and `_`.
    pub fn is_limit(name: &str) -> bool {
        let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=LONGEST_LIMIT).contains(&name.len()) && name.bytes().all(is_of_name)
    }

    /// A window that ends at `resets_at`; its key is the same for all that reset within ten minutes or so.
    pub fn new(agent: &str, account: Option<&str>, limit: Option<&str>, window_minutes: u32, resets_at: UnixMs) -> Self {
        let reset = resets_at.saturating_add(SAME_RESET_MS / 2).div_euclid(SAME_RESET_MS);
        let id = format!("{}/{}/{window_minutes}/{reset}", account.unwrap_or(""), limit.unwrap_or(""));
        Self {
            key: Key::of(KeySpace::Quota, agent, &id),
            agent: agent.to_owned(),
            account: account.map(str::to_owned),
            limit: limit.map(str::to_owned),
            window_minutes,
            witnesses: Witnesses::default(),
            resets_at: Told::by(1, resets_at),
            plan: Told::default(),
            told_at: Told::default(),
            used_up_at: Told::default(),
            used_ppm: BTreeMap::new(),
        }
    }

    /// Believes what `other` says of the same window; true when something changed.
    pub fn join(&mut self, other: &Self) -> bool {
        debug_assert_eq!(self.key, other.key);
        let mut changed = self.witnesses.join(other.witnesses);
        changed |= self.resets_at.join(&other.resets_at);
        changed |= self.plan.join(&other.plan);
        changed |= self.told_at.join(&other.told_at);
        changed |= self.used_up_at.join_smallest(&other.used_up_at);
        for (bucket, used) in &other.used_ppm {
            let known = self.used_ppm.get(bucket).copied();
            if known.is_none_or(|known| known < *used) {
                self.used_ppm.insert(*bucket, *used);
                changed = true;
            }
        }
        changed
    }

    /// Windows with those that are one told as one: times that waver may straddle a key's ten minutes. In the order of their resets.
    pub fn fold(mut quotas: Vec<Self>) -> Vec<Self> {
        quotas.sort_by_key(|quota| (quota.resets_at(), quota.key));
        let mut folded: Vec<Self> = Vec::new();
        // The latest of each name: none before it resets later.
        let mut latest = HashMap::new();
        for mut quota in quotas {
            let name = (quota.agent.clone(), quota.account.clone(), quota.limit.clone(), quota.window_minutes);
            let known = latest.get(&name).and_then(|place: &usize| folded.get_mut(*place));
            match known.filter(|known| quota.resets_at().saturating_sub(known.resets_at()) < SAME_RESET_MS) {
                Some(known) => {
                    quota.key = known.key;
                    known.join(&quota);
                }
                None => {
                    latest.insert(name, folded.len());
                    folded.push(quota);
                }
            }
        }
        folded
    }

    /// Notes a share told at a time.
    pub fn tell(&mut self, at: UnixMs, used_ppm: u32) {
        self.told_at.join(&Told::by(1, at));
        if used_ppm >= WHOLE_PPM {
            self.used_up_at.join_smallest(&Told::by(1, at));
        }
        let known = self.used_ppm.entry(bucket_of(at)).or_default();
        *known = used_ppm.max(*known);
    }

    /// The used share in parts per million: the largest told, because a session that was idle repeats an old one.
    pub fn used(&self) -> u32 {
        self.used_ppm.values().copied().max().unwrap_or(0)
    }

    pub fn resets_at(&self) -> UnixMs {
        self.resets_at.or_default()
    }

    /// The window's length as people say it: `5h`, `7d`.
    pub fn window(&self) -> String {
        match self.window_minutes {
            days if days % 1440 == 0 => format!("{}d", days / 1440),
            hours if hours % 60 == 0 => format!("{}h", hours / 60),
            minutes => format!("{minutes}m"),
        }
    }

    pub fn window_ms(&self) -> i64 {
        i64::from(self.window_minutes) * 60_000
    }

    /// Whether a request to this model counts against it: all do where all use is limited; else those whose model has the limit's name in its
    /// own (`opus` in `claude-opus-4-8`). What else a limit may be of, such as `oauth_apps`, is told of no request.
    pub fn covers(&self, model: &str) -> bool {
        let words = |name: &str| format!("_{name}_");
        self.limit.as_ref().is_none_or(|limit| words(&Self::limit_of(model)).contains(&words(limit)))
    }

    /// From when it was told to be used up until it resets.
    pub fn used_up(&self) -> Option<(UnixMs, UnixMs)> {
        Some((*self.used_up_at.get()?, self.resets_at()))
    }

    /// Where the window is going, `None` when it has reset.
    ///
    /// The pace is what was used since the last word before the last fifth of the window (one hour of five, 34 of a week), or since its start,
    /// divided by the time since then; the time since the last word counts, because nothing told is nothing used. A twentieth of the window is
    /// the least time: what was used in its first seconds is no pace.
    pub fn pace(&self, now: UnixMs) -> Option<Pace> {
        let (start, end) = (self.resets_at().saturating_sub(self.window_ms()), self.resets_at());
        if now >= end {
            return None;
        }
        let used = self.used();
        let (before, since) = self.told_before(now.saturating_sub(self.window_ms() / 5), start).unwrap_or((0, start));
        let elapsed = now.saturating_sub(since).max(self.window_ms() / 20).max(1);
        let per_ms = f64::from(used.saturating_sub(before)) / elapsed as f64;
        let projected = f64::from(used) + per_ms * end.saturating_sub(now) as f64;
        let used_up_at = if used >= WHOLE_PPM {
            Some(self.used_up_at.get().map_or(now, |told| now.min(*told)))
        } else {
            let left = f64::from(WHOLE_PPM - used);
            (projected >= f64::from(WHOLE_PPM)).then(|| now.saturating_add((left / per_ms) as i64))
        };
        Some(Pace { ppm_per_hour: (per_ms * 3_600_000.0).round() as u64, projected_ppm: projected.round() as u64, used_up_at })
    }

    /// The largest share told before the quarter-hour of `at`, and when it was told last; `None` where that is not after the start.
    fn told_before(&self, at: UnixMs, start: UnixMs) -> Option<(u32, UnixMs)> {
        let told = (at > start).then(|| self.used_ppm.range(..bucket_of(at)))?;
        let (bucket, used) = told.max_by_key(|(bucket, used)| (**used, **bucket))?;
        Some((*used, bucket.saturating_mul(BUCKET_MS).max(start)))
    }
}

/// Where a window is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub ppm_per_hour: u64,
    /// The share at the reset, if it goes on like this.
    pub projected_ppm: u64,
    /// When nothing is left, if that is before the reset; of a full window, when it was told to be.
    pub used_up_at: Option<UnixMs>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn told(samples: &[(i64, u32)]) -> Quota {
        let mut quota = Quota::new("claude-code", None, None, 300, 10 * HOUR);
        samples.iter().for_each(|(at, used)| quota.tell(*at, *used));
        quota
    }

    #[test]
    fn resets_that_waver_are_one_window() {
        let key = |at: i64| Quota::new("codex", None, None, 300, at).key;
        assert_eq!(key(1_775_963_034_000), key(1_775_963_044_000));
        assert_ne!(key(1_775_963_034_000), key(1_775_963_034_000 + 5 * HOUR));
        assert_ne!(key(1_775_963_034_000), Quota::new("codex", None, None, 10_080, 1_775_963_034_000).key);
    }

    #[test]
    fn windows_on_both_sides_of_a_keys_edge_are_folded() {
        let edge = 1_775_963_100_000;
        let window = |at: i64, used: u32| {
            let mut quota = Quota::new("codex", None, None, 300, at);
            quota.tell(at - HOUR, used);
            quota
        };
        let (early, late, next) = (window(edge - 1, 10), window(edge, 20), window(edge + 5 * HOUR, 5));
        assert_ne!(early.key, late.key);
        let folded = Quota::fold(vec![next.clone(), late, early.clone()]);
        assert_eq!(folded.iter().map(|quota| (quota.key, quota.used())).collect::<Vec<_>>(), [(early.key, 20), (next.key, 5)]);
    }

    #[test]
    fn windows_of_other_limits_are_not_folded() {
        let many = (0..1000).map(|number| Quota::new("codex", None, Some(&format!("l{number}")), 300, 10 * HOUR)).collect();
        assert_eq!(Quota::fold(many).len(), 1000);
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let words = [told(&[(6 * HOUR, 100_000)]), told(&[(7 * HOUR, 300_000)]), told(&[(7 * HOUR + 60_000, 250_000)])];
        let mut straight = words[0].clone();
        let mut turned = words[2].clone();
        for place in 0..3 {
            straight.join(&words[place]);
            turned.join(&words[2 - place]);
        }
        assert!(!turned.join(&words[1]));
        assert_eq!(straight, turned);
        assert_eq!(straight.used(), 300_000);
    }

    #[test]
    fn the_pace_says_whether_it_lasts() {
        // Half of it within two hours and a half, at whatever time of them.
        let even = told(&[(5 * HOUR, 0), (7 * HOUR + HOUR / 2, 500_000)]);
        assert_eq!(even.pace(7 * HOUR + HOUR / 2).unwrap().projected_ppm, 1_000_000);
        let steady = told(&[(6 * HOUR, 200_000), (7 * HOUR, 400_000), (8 * HOUR, 600_000)]);
        let pace = steady.pace(8 * HOUR).unwrap();
        assert_eq!((pace.ppm_per_hour, pace.projected_ppm, pace.used_up_at), (200_000, 1_000_000, Some(10 * HOUR)));
        let idle = told(&[(5 * HOUR, 300_000)]).pace(9 * HOUR).unwrap();
        assert_eq!((idle.ppm_per_hour, idle.used_up_at), (0, None));
        let first = told(&[(6 * HOUR, 300_000)]).pace(6 * HOUR).unwrap();
        assert_eq!((first.ppm_per_hour, first.projected_ppm), (300_000, 1_500_000));
        assert_eq!(steady.pace(10 * HOUR), None);
    }

    /// What was told last before the last fifth may be of hours before it.
    #[test]
    fn growth_is_divided_by_the_time_that_it_took() {
        let rare = told(&[(6 * HOUR, 100_000), (9 * HOUR, 400_000)]);
        assert_eq!(rare.pace(9 * HOUR).unwrap().ppm_per_hour, 100_000);
        // A session that was idle repeats an old share, which is no newer word.
        let repeated = told(&[(7 * HOUR, 400_000), (7 * HOUR + HOUR / 2, 200_000), (9 * HOUR, 600_000)]);
        assert_eq!(repeated.pace(9 * HOUR).unwrap().ppm_per_hour, 100_000);
    }

    #[test]
    fn the_first_seconds_of_a_window_are_no_pace() {
        let begun = told(&[(5 * HOUR + 20_000, 10_000)]).pace(5 * HOUR + 20_000).unwrap();
        assert_eq!((begun.ppm_per_hour, begun.used_up_at), (40_000, None));
    }

    #[test]
    fn a_full_window_was_used_up_when_that_was_told() {
        assert_eq!(told(&[(8 * HOUR, 1_000_000)]).pace(9 * HOUR).unwrap().used_up_at, Some(8 * HOUR));
    }

    #[test]
    fn a_limit_covers_the_models_of_its_name() {
        let of = |limit| Quota::new("claude-code", None, limit, 10_080, 10 * HOUR);
        assert!(of(None).covers("claude-sonnet-5") && of(None).covers(""));
        assert!(of(Some("opus")).covers("claude-opus-4-8") && of(Some("gpt_5_3_codex_spark")).covers("gpt-5.3-codex-spark"));
        for (limit, model) in
            [("opus", "claude-sonnet-5"), ("opus", ""), ("oauth_apps", "claude-opus-4-8"), ("o", "claude-opus-4-8")]
        {
            assert!(!of(Some(limit)).covers(model), "{limit} {model}");
        }
    }

    #[test]
    fn a_full_window_is_used_up_until_it_resets() {
        assert_eq!(told(&[(8 * HOUR, 999_999)]).used_up(), None);
        assert_eq!(told(&[(8 * HOUR + 1, 1_000_000)]).used_up(), Some((8 * HOUR + 1, 10 * HOUR)));
    }
}
