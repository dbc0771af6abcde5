//! What calls have cost so far against what the ledger holds for them, after every event: for each
//! budget at most what is settled, parked and outstanding, and of calls that ended without usage
//! what was reserved beyond their charges. Nothing else may be missing, at no time.
//!
//! Until the record of such a call tells what it was charged, only what was seen of it counts: its VM
//! spends the rest of the reservation again.
//!
//! Calls for which no money was set aside are left out: nothing bounds those.

use std::collections::BTreeMap;

use wire::NanoUsd;

use super::rest::{pricing, unseen};
use super::{Checker, Invariant, Verdict, broken};
use crate::ledger::{AccountId, StoredRecord};
use crate::upstream::UpstreamCall;

/// What the recorded calls of one account come to.
#[derive(Debug, Default, Clone, Copy)]
struct Recorded {
    cost: NanoUsd,
    unseen: NanoUsd,
}

impl Recorded {
    fn add(&mut self, cost: NanoUsd, unseen: NanoUsd) {
        self.cost = self.cost.saturating_add(cost);
        self.unseen = self.unseen.saturating_add(unseen);
    }
}

/// One budget over all its periods.
#[derive(Debug, Default)]
struct Covered {
    recorded: Recorded,
    /// What the ledger holds.
    held: NanoUsd,
}

/// The memory of this check.
#[derive(Debug, Default)]
pub(super) struct Cover {
    /// Index of each call by its request's id.
    calls: BTreeMap<String, usize>,
    /// Calls that are paid from budgets and have no record yet: the indexes of those.
    open: BTreeMap<usize, Vec<usize>>,
    budgets: Vec<Covered>,
    names: BTreeMap<(String, String), usize>,
    accounts: BTreeMap<AccountId, Recorded>,
}

impl Cover {
    fn budget(&mut self, name: (String, String)) -> usize {
        let next = self.budgets.len();
        let index = *self.names.entry(name).or_insert(next);
        if index == next {
            self.budgets.push(Covered::default());
        }
        index
    }
}

impl Checker {
    /// A call goes to the upstream.
    pub fn begun(&mut self, index: usize, call: &UpstreamCall, key: &str) {
        let eras = &call.eras;
        self.cover.calls.insert(call.request.clone(), index);
        // What would have been refused is paid from nowhere.
        if call.would_refuse.is_none() && self.placements.is_capped(key, eras) {
            let budgets = self.placements.certain(key, eras).into_iter();
            let budgets = budgets.map(|name| self.cover.budget(name)).collect();
            self.cover.open.insert(index, budgets);
        }
    }

    /// The server has kept a record of a call whose lease was granted from these accounts.
    ///
    /// # Errors
    /// When they have not been charged for it.
    pub fn recorded(
        &mut self,
        calls: &[UpstreamCall],
        record: &StoredRecord,
        accounts: &[AccountId],
    ) -> Verdict {
        let request = record.call.request.as_str();
        let Some(index) = self.cover.calls.get(request).copied() else { return Ok(()) };
        let Some(call) = calls.get(index) else { return Ok(()) };
        self.cover.open.remove(&index);
        let cost = self.cost(call.produced, pricing(&record.call));
        let unseen = unseen(call, &record.call);
        for account in accounts {
            let budget = self.cover.budget(account.budget());
            if let Some(covered) = self.cover.budgets.get_mut(budget) {
                covered.recorded.add(cost, unseen);
            }
            let sums = self.cover.accounts.entry(account.clone()).or_default();
            sums.add(cost, unseen);
            let settled = self.accounts.get(account).map_or(NanoUsd::ZERO, |row| row.settled);
            if sums.cost > settled.saturating_add(sums.unseen) && !self.past_is_lost {
                let text = format!("{account:?}: {settled:?} do not cover {sums:?}");
                return broken(Invariant::Cover, text);
            }
        }
        Ok(())
    }

    /// The ledger has changed.
    pub(super) fn cover_has_changed(&mut self) {
        self.cover.budgets.iter_mut().for_each(|budget| budget.held = NanoUsd::ZERO);
        for account in self.accounts.values() {
            let budget = self.cover.budget(account.id.budget());
            if let Some(covered) = self.cover.budgets.get_mut(budget) {
                covered.held = covered.held.saturating_add(account.taken());
            }
        }
    }

    /// After an event in which the ledger has changed or calls have gone on.
    ///
    /// # Errors
    /// When calls have cost more than the ledger holds for them.
    pub fn calls_are_covered(&self, calls: &[UpstreamCall]) -> Verdict {
        // What calls cost on leases that the server has lost is bounded by nothing that it knows.
        if self.past_is_lost {
            return Ok(());
        }
        let mut costs: Vec<_> =
            self.cover.budgets.iter().map(|budget| budget.recorded.cost).collect();
        for (index, budgets) in &self.cover.open {
            let Some(call) = calls.get(*index) else { continue };
            let cost = self.least_cost(call, None);
            for budget in budgets {
                if let Some(sum) = costs.get_mut(*budget) {
                    *sum = sum.saturating_add(cost);
                }
            }
        }
        for (cost, budget) in costs.iter().zip(&self.cover.budgets) {
            if *cost > budget.held.saturating_add(budget.recorded.unseen) {
                let is_it = |index: &usize| {
                    self.cover.budgets.get(*index).is_some_and(|it| std::ptr::eq(it, budget))
                };
                let name = self.cover.names.iter().find(|(_, index)| is_it(index));
                let name = name.map(|(name, _)| name);
                let text = format!("{name:?}: {cost:?} is not covered by {budget:?}");
                return broken(Invariant::Cover, text);
            }
        }
        Ok(())
    }
}
