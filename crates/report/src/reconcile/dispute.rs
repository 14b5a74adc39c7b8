//! What the witnesses of one request claim that is not what is believed of it, and what that would cost.

use std::collections::BTreeMap;

use ducat_ledger::{Priced, Request, Told};
use ducat_prices::NanoUsd;

use super::claim::{Field, Fields, Teller, as_told_by};

/// Names and prices a request by today's table.
pub type Pricing<'p> = &'p dyn Fn(&Request) -> Priced;

/// A request of which somebody claims something else than is believed. The one rule of what that is: sums are kept of it, and sessions shown by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispute {
    /// The fields that differ, each with who claims another value.
    pub fields: Vec<(Field, Vec<Teller>)>,
    /// By whoever differs: the request with all that they claim put in, less the request as believed, at the same prices; unknown where a price is.
    pub differences: BTreeMap<Teller, Option<NanoUsd>>,
}

/// What is kept of a dispute beside its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disputed {
    pub fields: Fields,
    /// Known differences of all witnesses, each without its sign.
    pub difference: NanoUsd,
    /// Somebody's difference is unknown.
    pub is_unknown: bool,
}

impl Dispute {
    /// None where all who tell of a request's fields agree. Prices are asked for only where there is something to price.
    pub fn of(request: &Request, price: Pricing<'_>) -> Option<Self> {
        let mut fields = Vec::new();
        for field in Field::ALL {
            let others = others(field, request, price);
            if !others.is_empty() {
                fields.push((field, others));
            }
        }
        if fields.is_empty() {
            return None;
        }
        let believed = price(request).cost;
        let difference = |teller: Teller| {
            let (claimed, believed) = (price(&as_told_by(request, teller)).cost?, believed?);
            Some(claimed.saturating_sub(believed))
        };
        let mut differences = BTreeMap::new();
        for teller in fields.iter().flat_map(|(_, tellers)| tellers) {
            differences.entry(*teller).or_insert_with(|| difference(teller));
        }
        Some(Self { fields, differences })
    }

    /// The largest difference; none where one is unknown.
    pub fn largest(&self) -> Option<NanoUsd> {
        let largest = |one: NanoUsd, other: NanoUsd| if one.0.saturating_abs() < other.0.saturating_abs() { other } else { one };
        self.differences.values().try_fold(NanoUsd::ZERO, |known, difference| Some(largest(known, (*difference)?)))
    }

    pub fn sums(&self) -> Disputed {
        let known = self.differences.values().flatten();
        Disputed {
            fields: self.fields.iter().map(|(field, _)| *field).collect(),
            difference: known.map(|difference| NanoUsd(difference.0.saturating_abs())).sum(),
            is_unknown: self.differences.values().any(Option::is_none),
        }
    }
}

/// Whose claims of a field are not what is believed, each claim once. Models are compared by canonical name: a metric says `[1m]` where a log does not.
fn others(field: Field, request: &Request, price: Pricing<'_>) -> Vec<Teller> {
    if let Some(count) = field.count(request) {
        let believed = count.or_default();
        return tellers(field, count, |claimed| *claimed != believed);
    }
    let (Field::Model, Some(believed)) = (field, request.model.get()) else { return Vec::new() };
    let canonical = |model: &String| {
        let mut named = request.clone();
        named.model = Told::by(1, model.clone());
        price(&named).model
    };
    tellers(field, &request.model, |claimed| claimed != believed && canonical(claimed) != canonical(believed))
}

fn tellers<T: Ord + Clone>(field: Field, told: &Told<T>, differs: impl Fn(&T) -> bool) -> Vec<Teller> {
    told.claims().filter(|(_, claimed)| differs(claimed)).map(|(rank, _)| field.teller(rank)).collect()
}
