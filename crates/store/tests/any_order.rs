//! What a ledger makes of any tellings, in any order, cut and repeated, and with any of them missing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod telling;

use std::sync::Arc;

use ducat_ledger::{
    Fact, FieldClass, Holder, Holders, Incident, IncidentKind, Key, KeySpace, Outcome, Told, ToolCall, Witness, Witnesses,
};
use ducat_store::{Pricer, TenantId};
use proptest::prelude::*;
use telling::*;

/// A copy of a session in one of two projects.
fn in_project(agent: &str, session: &str, number: u64) -> Holders {
    let of = held(agent, session);
    of.iter()
        .map(|holder| Holder { project: Some(format!("/{number}")), branch: Some(session.to_owned()), ..holder.clone() })
        .collect()
}

fn observed() -> impl Strategy<Value = Vec<Fact>> {
    let agent = prop::sample::select(vec!["codex", "claude-code", "gemini-cli"]);
    // Near each other and far, or untold.
    let at = prop::option::weighted(0.8, prop::sample::select(vec![0_i64, 1, 2, 3, 400, 401, 2000]));
    let one = (agent, 0_u8..5, at, 1_u64..3, 0_u8..2, 0_u8..10).prop_map(|(agent, id, at, output, of, kind)| {
        let (at, of) = (at.map(|at| NOW + at * 1000), format!("s{of}"));
        let told = |name: &str, witness: Witness| {
            let mut one = request(agent, &of, name, witness, NOW, output);
            one.started_at = Told::maybe(witness.rank(FieldClass::Start), at);
            one.holders = in_project(agent, &of, output);
            one.team = Told::maybe(1, (id % 2 == 0).then(|| format!("team{id}")));
            one
        };
        if let 8 | 9 = kind {
            let (id, name) = (id % 2, format!("incident{id}{at:?}"));
            let mut incident = Incident::new(Key::of(KeySpace::Incident, agent, &name), agent, name);
            incident.holders = in_project(agent, &of, output);
            incident.kind = Told::by(1, if kind == 8 { IncidentKind::ApiError } else { IncidentKind::Compaction });
            (incident.at, incident.user) = (Told::maybe(1, at), Told::maybe(1, (id == 0).then(|| "ana".to_owned())));
            return Fact::Incident(incident);
        }
        let name = |name: &str| format!("{name}{id}{of}{output}{at:?}");
        match kind {
            0 => Fact::Request(keyless(told(&name("log"), Witness::OtlpLog))),
            1 => Fact::Request(keyless(told(&name("span"), Witness::OtlpSpan))),
            2 => Fact::Request(sum(told(&name("point"), Witness::OtlpMetric))),
            3 | 4 => {
                let name = format!("call{id}{at:?}");
                let mut call = ToolCall::new(Key::of(KeySpace::ToolCall, agent, &name), agent, name);
                call.holders = in_project(agent, &of, output);
                call.witnesses = Witnesses::only(if kind == 3 { Witness::Hook } else { Witness::Transcript });
                call.name = Told::by(1, "Bash".to_owned());
                let rank = if kind == 3 { 1 } else { 2 };
                call.outcome = Told::by(rank, if output == 1 { Outcome::Ok } else { Outcome::Error });
                call.error_kind = Told::maybe(rank, (kind == 4).then(|| "exit_code".to_owned()));
                call.duration_ms = Told::maybe(rank, (id != 1).then_some(output * 1000 * u64::from(rank)));
                call.result_bytes = Told::maybe(1, (kind == 4).then_some(output));
                // Some tell only the end.
                *(if id % 3 == 0 { &mut call.ended_at } else { &mut call.started_at }) = Told::maybe(1, at);
                call.keyless = Told::maybe(1, (id % 2 == 0).then_some(true));
                Fact::ToolCall(call)
            }
            5 => {
                let mut span = told(&name("bare"), Witness::OtlpSpan);
                span.output_tokens = Told::default();
                Fact::Request(span)
            }
            // Grows, and is held by two sessions.
            _ => {
                let mut grown = told(&format!("req_{id}"), Witness::Transcript);
                grown.duration_ms = Told::maybe(2, (id != 1).then_some(output * 900));
                grown.ttft_ms = Told::maybe(1, (kind == 7).then_some(output * 40));
                Fact::Request(grown)
            }
        }
    });
    prop::collection::vec(one, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn any_order_repetition_cutting_and_restart(facts in observed(), seed in any::<u64>(), size in 1_usize..6) {
        let sessions = ["codex", "claude-code", "gemini-cli"].into_iter().flat_map(|agent| ["s0", "s1"].map(|of| session(agent, of)));
        let facts: Vec<Fact> = sessions.chain(facts).collect();
        let one = tempfile::tempdir().unwrap();
        let store = open(one.path());
        tell(&store, facts.clone());

        let mut shuffled: Vec<Fact> = facts.iter().cloned().chain(facts.iter().take(7).cloned()).collect();
        let mut state = seed;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(place, (state >> 33) as usize % (place + 1));
        }
        let other = tempfile::tempdir().unwrap();
        let (first, rest) = shuffled.split_at(shuffled.len() / 2);
        // What a model is called may change between.
        let pricers: [Arc<dyn Pricer>; 2] = [Arc::new(Renamed), Arc::new(Flat)];
        for (part, pricer) in [first, rest].into_iter().zip(pricers) {
            let pieces = open_priced(other.path(), pricer);
            for piece in part.chunks(size) {
                tell(&pieces, piece.to_vec());
                // What is kept of sessions follows each commit.
                prop_assert_eq!(kept(&pieces), listed(&pieces));
            }
            prop_assert_eq!(pieces.reader().unwrap().check_rollups(TenantId::LOCAL).unwrap(), vec![]);
        }
        prop_assert_eq!(rows(other.path()), rows(one.path()));
        let pieces = open(other.path());
        prop_assert_eq!(totals(&pieces), totals(&store));
        prop_assert_eq!(listed(&pieces), listed(&store));
    }

    #[test]
    fn dropping_a_witness_moves_nothing(outputs in prop::collection::vec(1_u64..3, 1..12), dropped in 0_usize..4, seed in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut facts = vec![session("codex", "s")];
        for (place, output) in outputs.iter().enumerate() {
            let at = NOW + place as i64 * 1000;
            let told = |name: &str, witness, late: i64| request("codex", "s", &format!("{name}{place}"), witness, at + late, *output);
            let all = [told("r", Witness::Transcript, 0), keyless(told("l", Witness::OtlpLog, 3)), keyless(told("p", Witness::OtlpSpan, 9)), sum(told("m", Witness::OtlpMetric, 20))];
            facts.extend(all.into_iter().enumerate().filter(|(witness, _)| *witness != dropped).map(|(_, fact)| Fact::Request(fact)));
        }
        let turn = seed as usize % facts.len();
        facts.rotate_left(turn);
        facts.into_iter().for_each(|fact| tell(&store, vec![fact]));
        let total = outputs.iter().sum::<u64>();
        prop_assert_eq!(totals(&store), (outputs.len() as u64, total, total as i64));
    }

    /// Any of a witness's tellings may be missing: each request still counts once, and nobody lends to what was at another time.
    #[test]
    fn gaps_of_a_witness_move_nothing(
        told in prop::collection::vec((1_u64..3, any::<bool>(), any::<bool>(), any::<bool>()), 1..12),
        agent in prop::sample::select(vec!["codex", "claude-code"]),
        seed in any::<u64>(),
    ) {
        const APART: i64 = 20 * 60_000;
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut facts = Vec::new();
        for (place, (output, by_line, by_log, by_span)) in told.iter().enumerate() {
            let at = NOW + place as i64 * APART;
            let tells = |name: &str, witness, late: i64| request(agent, "s", &format!("{name}{place}"), witness, at + late, *output);
            let all = [(by_line, tells("req_", Witness::Transcript, 900)), (by_log, keyless(tells("l", Witness::OtlpLog, 0))), (by_span, keyless(tells("p", Witness::OtlpSpan, 9)))];
            facts.extend(all.into_iter().filter(|(is_told, _)| **is_told).map(|(_, fact)| Fact::Request(fact)));
        }
        if !facts.is_empty() {
            let turn = seed as usize % facts.len();
            facts.rotate_left(turn);
        }
        facts.insert(seed as usize % (facts.len() + 1), session(agent, "s"));
        facts.into_iter().for_each(|fact| tell(&store, vec![fact]));
        let count = told.iter().filter(|(_, line, log, span)| *line || *log || *span).count();
        prop_assert_eq!(totals(&store).0, count as u64);
        let shown = store.reader().unwrap().session(TenantId::LOCAL, "s").unwrap().unwrap().requests;
        prop_assert_eq!(shown.len(), count);
        for (request, ..) in shown {
            let place = (request.started_at.get().unwrap() - NOW).div_euclid(APART) as usize;
            let (_, line, log, span) = told[place];
            prop_assert_eq!(request.witnesses.names().len(), [line, log, span].into_iter().filter(|is_told| *is_told).count());
        }
    }
}
