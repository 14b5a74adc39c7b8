//! Which witness has gone quiet: it told of an agent before, and others went on telling of what it would have told, too.
//!
//! What counts is when witnesses were *heard*, and only words that came as things happened ([`is_live`]): what an import, a spool or a
//! machine that was away brings late shows neither that its witness works nor that another one does not.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Key, UnixMs, Witness, Witnesses};

const MINUTE_MS: i64 = 60_000;
/// A witness that was not heard for longer is forgotten, and its silence with it.
pub const REMEMBERED_MS: i64 = 7 * 24 * 60 * MINUTE_MS;
/// Pauses of a spell are not longer.
pub const SPELL_PAUSES_MS: i64 = 15 * MINUTE_MS;
/// A word about something longer ago is no live one. Exporters send every minute at the latest, and try for some minutes.
const LIVE_MS: i64 = 10 * MINUTE_MS;
/// Whoever uses an agent for short moments alone is never heard for long: so many of them count as well.
const MOMENTS: usize = 5;

/// Whether what happened at `at` and was heard of at `now` was told as it happened. A clock that is ahead that far is no better.
pub fn is_live(at: UnixMs, now: UnixMs) -> bool {
    at.abs_diff(now) <= LIVE_MS.unsigned_abs()
}

/// A time in which a witness told of one session as things happened, without a pause longer than [`SPELL_PAUSES_MS`]. By our clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    pub agent: String,
    pub host: String,
    /// All zero for what belongs to no session.
    pub session: Key,
    pub witness: Witness,
    /// Where it was told.
    pub project: Option<String>,
    pub from: UnixMs,
    pub until: UnixMs,
}

/// How it stands with a witness of an agent on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    pub agent: String,
    pub host: String,
    pub witness: Witness,
    /// When it was last heard.
    pub heard_at: UnixMs,
    pub quiet: Option<Quiet>,
}

/// A witness no longer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Who went on.
    pub others: Witnesses,
    /// When one of them was last heard.
    pub until: UnixMs,
}

/// A witness of an agent on a host that is not to be heard any more, because somebody took it out.
pub type TakenOut = BTreeSet<(String, String, Witness)>;

impl Witness {
    /// How long others may go on without it. `None` for those that need not tell of every session: the status line tells of none's
    /// requests, and the first version's API is called by whoever wishes.
    fn patience_ms(self) -> Option<i64> {
        match self {
            Self::Hook | Self::OtlpLog | Self::OtlpSpan => Some(30 * MINUTE_MS),
            // A sum a minute or fewer.
            Self::OtlpMetric => Some(60 * MINUTE_MS),
            // Some clients write theirs after a turn, and a turn can be long.
            Self::Transcript => Some(120 * MINUTE_MS),
            Self::Api | Self::StatusLine => None,
        }
    }

    /// Whether its word shows that the agent works. A counter is exported again while nothing happens.
    fn shows_work(self) -> bool {
        matches!(self, Self::Hook | Self::Transcript | Self::OtlpLog | Self::OtlpSpan)
    }
}

/// How it stands with every witness that was heard, by agent, host and witness.
pub fn freshness(spells: &[Spell], taken_out: &TakenOut, now: UnixMs) -> Vec<Freshness> {
    let mut groups = BTreeMap::<(&str, &str), Vec<&Spell>>::new();
    for spell in spells.iter().filter(|spell| spell.until >= now - REMEMBERED_MS) {
        groups.entry((&spell.agent, &spell.host)).or_default().push(spell);
    }
    let mut all = Vec::new();
    for ((agent, host), spells) in groups {
        let sessions = Sessions::of(&spells);
        for witness in Witness::ALL {
            let own = || spells.iter().filter(|spell| spell.witness == witness);
            let Some((since, heard_at)) = own().map(|spell| spell.from).min().zip(own().map(|spell| spell.until).max()) else {
                continue;
            };
            let name = (agent.to_owned(), host.to_owned(), witness);
            let patience = witness.patience_ms().filter(|_| !taken_out.contains(&name));
            let quiet = patience.and_then(|patience| {
                let expected = sessions.expected(witness, since, heard_at);
                let missed = spells.iter().filter(|spell| {
                    spell.witness != witness
                        && spell.witness.shows_work()
                        && spell.until > heard_at
                        && expected.contains(&spell.session)
                });
                goes_on_without(missed.copied().collect(), heard_at, patience)
            });
            all.push(Freshness { agent: name.0, host: name.1, witness, heard_at, quiet });
        }
    }
    all
}

/// Sessions of an agent on a host, as far as they are remembered.
struct Sessions<'s>(BTreeMap<Key, Session<'s>>);

struct Session<'s> {
    from: UnixMs,
    told_by: Witnesses,
    projects: BTreeSet<&'s str>,
}

impl<'s> Sessions<'s> {
    fn of(spells: &[&'s Spell]) -> Self {
        let mut sessions = BTreeMap::<Key, Session<'s>>::new();
        for spell in spells {
            let new = || Session { from: spell.from, told_by: Witnesses::default(), projects: BTreeSet::new() };
            let session = sessions.entry(spell.session).or_insert_with(new);
            session.from = session.from.min(spell.from);
            session.told_by.join(Witnesses::only(spell.witness));
            session.projects.extend(spell.project.as_deref());
        }
        Self(sessions)
    }

    /// The sessions that a witness, heard from `since` to `heard_at`, would tell of: those that it did tell of; and later ones in a project that
    /// it told of, or anywhere when it told of every session while it was heard. A session that began without it (before setup, with other
    /// settings, of another client) goes on without it.
    fn expected(&self, witness: Witness, since: UnixMs, heard_at: UnixMs) -> BTreeSet<Key> {
        let told = |session: &Session<'_>| session.told_by.contains(witness);
        let told_all = self.0.values().filter(|session| session.from > since && session.from <= heard_at).all(told);
        let projects: BTreeSet<&str> =
            self.0.values().filter(|session| told(session)).flat_map(|session| session.projects.iter().copied()).collect();
        let is_expected = |session: &Session<'_>| {
            told(session) || session.from > heard_at && (told_all || !session.projects.is_disjoint(&projects))
        };
        self.0.iter().filter(|(_, session)| is_expected(session)).map(|(key, _)| *key).collect()
    }
}

/// Whether what others told after `heard_at` lasted longer than the patience without a long pause, or was of several moments.
fn goes_on_without(mut missed: Vec<&Spell>, heard_at: UnixMs, patience: i64) -> Option<Quiet> {
    missed.sort_by_key(|spell| spell.from);
    let mut stretches: Vec<(UnixMs, UnixMs)> = Vec::new();
    for spell in &missed {
        let from = spell.from.max(heard_at);
        match stretches.last_mut() {
            Some((_, until)) if from - *until <= SPELL_PAUSES_MS => *until = spell.until.max(*until),
            _ => stretches.push((from, spell.until)),
        }
    }
    // One that began at once after its last word is the one that it had told of.
    let moments = stretches.iter().filter(|(from, _)| from - heard_at > SPELL_PAUSES_MS).count();
    let is_quiet = moments >= MOMENTS || stretches.iter().any(|(from, until)| until - from > patience);
    let mut others = Witnesses::default();
    for spell in &missed {
        others.join(Witnesses::only(spell.witness));
    }
    let until = missed.iter().map(|spell| spell.until).max().filter(|_| is_quiet)?;
    Some(Quiet { others, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Witness::{Api, Hook, OtlpLog, OtlpMetric, OtlpSpan, StatusLine, Transcript};

    const NOW: UnixMs = 1_790_000_000_000;
    const HOUR: i64 = 60;
    const DAY: i64 = 24 * HOUR;

    /// A spell of a session, from so many minutes ago until so many.
    fn spell(session: u8, witness: Witness, from: i64, until: i64) -> Spell {
        let at = |ago: i64| NOW - ago * MINUTE_MS;
        let (agent, host) = ("claude-code".to_owned(), "laptop".to_owned());
        Spell { agent, host, session: Key([session; 16]), witness, project: None, from: at(from), until: at(until) }
    }

    fn of(project: &str, spell: Spell) -> Spell {
        Spell { project: Some(project.to_owned()), ..spell }
    }

    fn quiet(spells: &[Spell]) -> Vec<&'static str> {
        let fresh = freshness(spells, &TakenOut::new(), NOW);
        fresh.iter().filter(|standing| standing.quiet.is_some()).map(|standing| standing.witness.name()).collect()
    }

    #[test]
    fn who_stops_while_another_goes_on_is_quiet() {
        let spells = [spell(1, Hook, 90, 60), spell(1, Transcript, 90, 1)];
        assert_eq!(quiet(&spells), ["hook"]);
        let standing = freshness(&spells, &TakenOut::new(), NOW).into_iter().find(|standing| standing.witness == Hook).unwrap();
        assert_eq!(standing.heard_at, NOW - 60 * MINUTE_MS);
        assert_eq!(standing.quiet.unwrap(), Quiet { others: Witnesses::only(Transcript), until: NOW - MINUTE_MS });
        // Every witness has its own patience.
        for (witness, minutes) in [(Hook, 30), (OtlpLog, 30), (OtlpSpan, 30), (OtlpMetric, 60), (Transcript, 120)] {
            let other = if witness == Hook { OtlpLog } else { Hook };
            let after = |minutes: i64| quiet(&[spell(1, witness, 500, minutes), spell(1, other, 500, 0)]);
            assert_eq!(after(minutes), [""; 0], "{witness:?}");
            assert_eq!(after(minutes + 1), [witness.name()], "{witness:?}");
        }
    }

    #[test]
    fn an_idle_agent_has_no_quiet_witness() {
        assert_eq!(quiet(&[]), [""; 0]);
        assert_eq!(quiet(&[spell(1, Hook, 5 * HOUR, 4 * HOUR), spell(1, Transcript, 5 * HOUR, 4 * HOUR)]), [""; 0]);
        // Back after a night: the exporter comes some seconds later than the hook.
        let spells =
            [spell(1, OtlpLog, DAY, 20 * HOUR), spell(1, Hook, DAY, 20 * HOUR), spell(1, Hook, 1, 0), spell(2, Hook, 2, 0)];
        assert_eq!(quiet(&spells), [""; 0]);
    }

    #[test]
    fn long_pauses_part_what_was_told_in_their_course() {
        // The server was away for two hours: what was exported meanwhile is lost, what was written meanwhile comes late.
        let away = [spell(1, OtlpLog, 200, 150), spell(1, Transcript, 200, 149), spell(1, Transcript, 20, 0)];
        assert_eq!(quiet(&away), [""; 0]);
        // It does not end at the next pause.
        let lunch = [spell(1, Hook, 400, 300), spell(1, Transcript, 400, 200), spell(1, Transcript, 20, 0)];
        assert_eq!(quiet(&lunch), ["hook"]);
    }

    #[test]
    fn short_moments_add_up() {
        let moments = |count: i64| {
            let mut spells = vec![spell(0, Hook, 10 * HOUR, 9 * HOUR)];
            spells.extend((1..=count).map(|place| spell(place as u8, Transcript, place * HOUR, place * HOUR - 1)));
            quiet(&spells)
        };
        assert_eq!(moments(4), [""; 0]);
        assert_eq!(moments(5), ["hook"]);
        // What the transcript said of the moment that the hook told of is none without it.
        let last = spell(0, Transcript, 10 * HOUR, 9 * HOUR - 1);
        let mut spells = vec![spell(0, Hook, 10 * HOUR, 9 * HOUR), last];
        spells.extend((1..=4).map(|place| spell(place as u8, Transcript, i64::from(place) * HOUR, i64::from(place) * HOUR - 1)));
        assert_eq!(quiet(&spells), [""; 0]);
    }

    #[test]
    fn sessions_one_after_the_other_are_one_stretch() {
        let mut spells = vec![spell(0, Hook, 100, 60)];
        spells.extend((1..7).map(|place| spell(place, OtlpLog, 60 - i64::from(place) * 8, 58 - i64::from(place) * 8)));
        assert_eq!(quiet(&spells), ["hook"]);
    }

    #[test]
    fn who_was_never_there_or_long_ago_is_not_missed() {
        assert_eq!(quiet(&[spell(1, Transcript, 300, 0), spell(1, OtlpLog, 300, 0)]), [""; 0]);
        assert_eq!(quiet(&[spell(1, Hook, 9 * DAY, 8 * DAY), spell(1, Transcript, 8 * DAY, 0)]), [""; 0]);
    }

    #[test]
    fn a_session_that_began_without_a_witness_goes_on_without_it() {
        // It began before setup, and outlives the first session with hooks.
        assert_eq!(quiet(&[spell(1, Transcript, 300, 0), spell(2, Hook, 200, 150), spell(2, Transcript, 200, 150)]), [""; 0]);
        // Another client, or other settings, without hooks: there were such sessions while hooks were heard.
        let mut two = vec![spell(1, Hook, 500, 200), spell(1, Transcript, 500, 200), spell(2, Transcript, 400, 300)];
        two.push(spell(3, Transcript, 100, 0));
        assert_eq!(quiet(&two), [""; 0]);
        // In a project that hooks told of it is missed all the same.
        two[1] = of("/app", two[1].clone());
        assert_eq!(quiet(&two), [""; 0]);
        two[3] = of("/other", two[3].clone());
        assert_eq!(quiet(&two), [""; 0]);
        two[3] = of("/app", two[3].clone());
        assert_eq!(quiet(&two), ["hook"]);
    }

    #[test]
    fn some_witnesses_prove_nothing_and_are_not_missed() {
        // A counter is exported again while nothing happens; a status line is drawn anew.
        for other in [OtlpMetric, StatusLine, Api] {
            assert_eq!(quiet(&[spell(1, Hook, 500, 400), spell(1, other, 500, 0)]), [""; 0], "{other:?}");
        }
        for silent in [StatusLine, Api] {
            assert_eq!(quiet(&[spell(1, silent, 900, 800), spell(1, Hook, 900, 0)]), [""; 0], "{silent:?}");
        }
    }

    #[test]
    fn who_was_taken_out_is_not_missed_there() {
        let spells = [spell(1, Hook, 90, 60), spell(1, Transcript, 90, 1)];
        let taken_out = |host: &str| TakenOut::from([("claude-code".to_owned(), host.to_owned(), Hook)]);
        let count =
            |host: &str| freshness(&spells, &taken_out(host), NOW).iter().filter(|standing| standing.quiet.is_some()).count();
        assert_eq!((count("laptop"), count("desktop")), (0, 1));
    }

    #[test]
    fn agents_and_hosts_are_judged_by_themselves() {
        let elsewhere = Spell { host: "desktop".to_owned(), ..spell(2, Transcript, 90, 0) };
        let another = Spell { agent: "codex".to_owned(), ..spell(3, Transcript, 90, 0) };
        assert_eq!(quiet(&[spell(1, Hook, 200, 100), elsewhere, another]), [""; 0]);
    }

    #[test]
    fn only_what_is_told_as_it_happens_is_live() {
        assert!(is_live(NOW, NOW) && is_live(NOW - LIVE_MS, NOW) && is_live(NOW + LIVE_MS, NOW));
        assert!(!is_live(NOW - LIVE_MS - 1, NOW) && !is_live(NOW + LIVE_MS + 1, NOW) && !is_live(UnixMs::MIN, UnixMs::MAX));
    }
}
