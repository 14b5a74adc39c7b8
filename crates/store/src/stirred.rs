//! How a commit's changes are told to who counts: a fact once, whichever of its rows stands for it.

use std::collections::{BTreeMap, VecDeque};

use ducat_ledger::Key;

use crate::TenantId;
use crate::rows::{Owned, Stored};

/// A row that changed, as far as it counted before and counts now; `D` is what is derived of it.
pub(crate) struct Stirred<F, D> {
    tenant: TenantId,
    before: Option<(Stored<F>, D)>,
    after: Option<(Stored<F>, D)>,
}

impl<F: Owned, D> Stirred<F, D> {
    pub fn new(tenant: TenantId, before: Option<(Stored<F>, D)>, after: (Stored<F>, D)) -> Self {
        let counts = |row: &(Stored<F>, D)| row.0.role.counts();
        Self { tenant, before: before.filter(counts), after: Some(after).filter(counts) }
    }
}

/// A group, or a session, of an agent.
type Circle<'s> = (TenantId, Option<Key>, &'s str);

type Told<'s, F, D> = (&'s Stored<F>, &'s D);

/// Tells each change. A row that ceased to count is what one that began was before: those of one group, else of one session. What ceased
/// alone has nothing after.
pub(crate) fn tell<F: Owned, D>(
    mut stirred: Vec<Stirred<F, D>>,
    mut each: impl FnMut(TenantId, Option<Told<'_, F, D>>, Option<Told<'_, F, D>>),
) {
    fn parts<F, D>(row: &Option<(Stored<F>, D)>) -> Option<Told<'_, F, D>> {
        row.as_ref().map(|(stored, derived)| (stored, derived))
    }
    // In order, so that a counter's labels depend on no hash.
    stirred.sort_by_key(|row| {
        let any = row.after.as_ref().or(row.before.as_ref());
        any.map(|(stored, _)| (stored.base().at(), stored.base().key()))
    });
    let mut ceased: BTreeMap<Circle<'_>, VecDeque<Told<'_, F, D>>> = BTreeMap::new();
    for row in stirred.iter().filter(|row| row.after.is_none()) {
        if let Some((stored, derived)) = &row.before {
            ceased
                .entry((row.tenant, stored.group.or(stored.owner), stored.base().agent()))
                .or_default()
                .push_back((stored, derived));
        }
    }
    for row in &stirred {
        let Some(after) = &row.after else { continue };
        let mut take = |of: Option<Key>| ceased.get_mut(&(row.tenant, of, after.0.base().agent())).and_then(VecDeque::pop_front);
        let before = match &row.before {
            Some((stored, derived)) => Some((stored, derived)),
            None => after.0.group.and_then(|group| take(Some(group))).or_else(|| take(after.0.owner)),
        };
        each(row.tenant, before, parts(&row.after));
    }
    for ((tenant, ..), rows) in ceased {
        for before in rows {
            each(tenant, Some(before), None);
        }
    }
}
