//! What organisations' plans multiply prices by: a call is priced by the plan that was in force when
//! it was admitted, whatever comes while it runs.

use std::collections::BTreeMap;

use wire::{PriceMultiplier, Revision};

/// A plan from its revision until the next.
#[derive(Debug)]
struct Plan {
    multiplier: PriceMultiplier,
    revision: Revision,
    /// No call may be admitted under earlier plans.
    is_in_force: bool,
}

/// Which plans each organisation has had.
#[derive(Debug, Default)]
pub(super) struct Plans {
    of_orgs: BTreeMap<String, Vec<Plan>>,
}

impl Plans {
    pub(super) fn set(&mut self, org: &str, multiplier: PriceMultiplier, revision: Revision) {
        let plans = self.of_orgs.entry(org.to_owned()).or_default();
        if plans.last().is_some_and(|last| last.multiplier == multiplier) {
            return;
        }
        let is_in_force = plans.is_empty();
        plans.push(Plan { multiplier, revision, is_in_force });
    }

    /// Asks the server about every plan that is not in force. Answers how many have become so.
    pub(super) fn note_applied(&mut self, is_applied: impl Fn(Revision) -> bool) -> usize {
        let mut found = 0;
        for plan in self.of_orgs.values_mut().filter_map(|plans| plans.last_mut()) {
            if !plan.is_in_force && is_applied(plan.revision) {
                plan.is_in_force = true;
                found += 1;
            }
        }
        found
    }

    /// Those under which a call may be admitted now.
    pub(super) fn now(&self, org: &str) -> Vec<PriceMultiplier> {
        let plans = self.of_orgs.get(org).map_or(&[][..], Vec::as_slice);
        let first = plans.iter().rposition(|plan| plan.is_in_force).unwrap_or(0);
        plans.iter().skip(first).map(|plan| plan.multiplier).collect()
    }
}
