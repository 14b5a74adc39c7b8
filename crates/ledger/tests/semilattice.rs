//! Believing is commutative, associative and idempotent: the facts depend on what was said, never on order or repetition.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_ledger::{FieldClass, Holder, Holders, Key, KeySpace, Request, Told, Witness, Witnesses};
use proptest::prelude::*;

fn told<T: std::fmt::Debug + Clone + 'static>(
    class: FieldClass,
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = (Witness, Option<T>, FieldClass)> {
    let witness = prop::sample::select(Witness::ALL.to_vec());
    (witness, prop::option::of(value), Just(class))
}

fn word<T>((witness, value, class): (Witness, Option<T>, FieldClass)) -> Told<T> {
    Told::maybe(witness.rank(class), value)
}

prop_compose! {
    fn said()(
        model in told(FieldClass::Usage, "[a-c]"),
        input in told(FieldClass::Usage, 0_u64..4),
        started in told(FieldClass::Timing, -3_i64..4),
        holders in prop::collection::vec((0_u8..3, any::<bool>(), prop::option::of("[a-c]")), 0..3),
        witness in 0_u8..16,
    ) -> Request {
        let mut request = Request::new(Key::of(KeySpace::Request, "claude-code", "r"), "claude-code", "r");
        (request.model, request.input_tokens, request.started_at) = (word(model), word(input), word(started));
        request.witnesses = Witnesses(witness);
        request.holders = holders
            .into_iter()
            .map(|(session, live, project)| Holder { session: Key([session; 16]), live, project: project.clone(), branch: project })
            .collect::<Holders>();
        request
    }
}

fn believed(said: &[&Request]) -> Request {
    let mut request = said[0].clone();
    for other in said {
        request.join(other);
    }
    request
}

proptest! {
    #[test]
    fn any_order_and_repetition(said in prop::collection::vec(said(), 1..6), order in any::<prop::sample::Index>(), again in any::<prop::sample::Index>()) {
        let straight: Vec<&Request> = said.iter().collect();
        let mut turned = straight.clone();
        turned.rotate_left(order.index(said.len()));
        turned.reverse();
        turned.push(&said[again.index(said.len())]);
        prop_assert_eq!(believed(&straight), believed(&turned));
    }

    #[test]
    fn parts_may_be_believed_apart(said in prop::collection::vec(said(), 2..6), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(said.len() - 1) + 1;
        let all: Vec<&Request> = said.iter().collect();
        let mut parts = believed(&all[..cut]);
        parts.join(&believed(&all[cut..]));
        prop_assert_eq!(believed(&all), parts);
    }

    #[test]
    fn change_is_told_truly(one in said(), other in said()) {
        let mut joined = one.clone();
        let changed = joined.join(&other);
        prop_assert_eq!(changed, joined != one);
        prop_assert!(!joined.join(&other));
    }
}
