//! Who is paid for a request.

use serde::{Deserialize, Serialize};

use crate::UnixMs;

/// How a request is paid for; without one nobody told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// By the token, at list price less discounts.
    Metered,
    /// By a subscription: its cost is a list-price value, and no bill.
    Plan,
    /// Beyond a subscription's quota.
    Overage,
    /// From credits that were bought before.
    Credits,
    /// By nobody: the model runs on the user's own machine.
    Local,
}

impl Billing {
    pub const ALL: [Self; 5] = [Self::Metered, Self::Plan, Self::Overage, Self::Credits, Self::Local];

    pub fn name(self) -> &'static str {
        match self {
            Self::Metered => "metered",
            Self::Plan => "plan",
            Self::Overage => "overage",
            Self::Credits => "credits",
            Self::Local => "local",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|billing| billing.name() == name)
    }
}

/// A request's billing: its own where told, else its session's; on a plan, `Overage` while a window of the plan's quota was used up.
/// `used_up` are those windows, from the time that they were told to be full until they reset.
pub fn billing(
    told: Option<Billing>,
    of_session: Option<Billing>,
    at: Option<UnixMs>,
    used_up: &[(UnixMs, UnixMs)],
) -> Option<Billing> {
    let billing = told.or(of_session)?;
    let is_over = || at.is_some_and(|at| used_up.iter().any(|(since, until)| (*since..*until).contains(&at)));
    Some(if billing == Billing::Plan && is_over() { Billing::Overage } else { billing })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_up_plan_is_overage_until_it_resets() {
        let full = [(100, 200)];
        for (at, expected) in [(99, Billing::Plan), (100, Billing::Overage), (199, Billing::Overage), (200, Billing::Plan)] {
            assert_eq!(billing(None, Some(Billing::Plan), Some(at), &full), Some(expected));
        }
        assert_eq!(billing(Some(Billing::Metered), Some(Billing::Plan), Some(150), &full), Some(Billing::Metered));
        assert_eq!(billing(None, None, Some(150), &full), None);
        for known in Billing::ALL {
            assert_eq!(Billing::parse(known.name()), Some(known));
        }
    }
}
