//! The sums when nothing runs any more and nothing is on its way: every call against its record,
//! every account against its calls.

use std::collections::BTreeMap;

use wire::v1::{Basis, CallRecord, Price, Usage};
use wire::{CatalogueVersion, NanoUsd, PriceMultiplier};

use super::{Checker, Invariant, Verdict, broken};
use crate::ledger::{AccountId, AccountRow, Lease, StoredRecord};
use crate::upstream::UpstreamCall;

/// Everything that a run has come to.
pub struct Rest<'a> {
    /// What the upstream has made.
    pub calls: &'a [UpstreamCall],
    /// What the server has recorded.
    pub records: &'a [StoredRecord],
    /// What it has granted, by lease.
    pub leases: &'a BTreeMap<String, Lease>,
    /// When the server lost what it knew since some time before, if it did.
    pub lost_before_ms: Option<u64>,
    /// The provider keeps to the limits in requests: then nothing may be overdrawn.
    pub limits_are_kept: bool,
}

/// What one account or budget should have come to.
#[derive(Debug, Default)]
struct Sums {
    /// Charges.
    charged: NanoUsd,
    /// Costs at the upstream.
    cost: NanoUsd,
    /// What calls cost beyond their reservations.
    beyond_reservations: NanoUsd,
    /// What calls that reported no usage may have cost beyond their charges.
    unseen: NanoUsd,
}

impl Sums {
    /// `is_paid`: money was set aside for the call.
    fn add(
        &mut self,
        call: &UpstreamCall,
        cost: NanoUsd,
        (record, is_paid): (Option<&StoredRecord>, bool),
    ) {
        self.cost = self.cost.saturating_add(cost);
        let Some(record) = record else { return };
        let charged = record.call.cost;
        self.charged = self.charged.saturating_add(charged);
        let unseen = if is_paid {
            let beyond = charged.saturating_sub(record.call.reserved);
            self.beyond_reservations = self.beyond_reservations.saturating_add(beyond);
            unseen(call, &record.call)
        } else if record.call.basis == Basis::Estimated {
            // Nothing was reserved, so nothing bounds what its estimate has missed.
            cost.saturating_sub(charged)
        } else {
            NanoUsd::ZERO
        };
        self.unseen = self.unseen.saturating_add(unseen);
    }
}

/// What a call may at most have cost beyond its charge: of one that has reported no usage, all that
/// was reserved for it.
pub(super) fn unseen(call: &UpstreamCall, charged: &CallRecord) -> NanoUsd {
    if charged.basis == Basis::Estimated && !call.told.usage {
        charged.reserved.saturating_sub(charged.cost)
    } else {
        NanoUsd::ZERO
    }
}

impl Checker {
    /// The end.
    ///
    /// # Errors
    /// When charges, upstream costs and parked money do not fit together.
    pub fn at_rest(&self, rest: &Rest<'_>) -> Verdict {
        let mut by_request: BTreeMap<&str, Vec<&StoredRecord>> = BTreeMap::new();
        for record in rest.records {
            by_request.entry(record.call.request.as_str()).or_default().push(record);
        }
        let mut of_accounts: BTreeMap<AccountId, Sums> = BTreeMap::new();
        let mut of_budgets: BTreeMap<(String, String), Sums> = BTreeMap::new();
        for call in rest.calls {
            let found = by_request.remove(call.request.as_str()).unwrap_or_default();
            // What was recorded before the past was lost is not reported again.
            let may_be_lost = rest.lost_before_ms.is_some_and(|at_ms| call.admitted_ms < at_ms);
            let expected = usize::from(!self.crashed.contains(&call.life()) && !may_be_lost);
            if found.len() > 1 || found.len() < expected {
                let holders: Vec<_> = found.iter().map(|record| &record.holder).collect();
                let text =
                    format!("call {} has {} records, by {holders:?}", call.request, found.len());
                return broken(Invariant::Charges, text);
            }
            let record = found.first().copied();
            let cost = self.least_cost(call, record.map(|record| pricing(&record.call)));
            let lease = record.and_then(|record| record.call.lease.as_ref());
            let lease = lease.and_then(|lease| rest.leases.get(lease.as_str()));
            let is_known = lease.is_some() || rest.lost_before_ms.is_none();
            let accounts = lease.map_or(&[][..], |lease| &lease.accounts);
            // A lease may carry permits only.
            let is_paid = !accounts.is_empty();
            if let Some(record) = record {
                self.charged_rightly(call, record, is_paid)?;
                on_nobodys_account(call, record)?;
                if is_known && call.would_refuse.is_none() {
                    self.placements.charged(&call.key, &call.eras, record, accounts)?;
                }
            }
            for account in accounts {
                of_accounts.entry(account.clone()).or_default().add(call, cost, (record, is_paid));
            }
            let budgets = if call.would_refuse.is_some() {
                Default::default()
            } else if !is_paid {
                self.placements.certain(&call.key, &call.eras)
            } else {
                accounts.iter().map(AccountId::budget).collect()
            };
            for budget in budgets {
                of_budgets.entry(budget).or_default().add(call, cost, (record, is_paid));
            }
        }
        if let Some((request, _)) = by_request.first_key_value() {
            let text = format!("call {request} was recorded but never made");
            return broken(Invariant::Charges, text);
        }
        for account in self.accounts.values() {
            let sums = of_accounts.remove(&account.id).unwrap_or_default();
            self.account_at_rest(account, &sums, rest)?;
        }
        // What calls cost on leases that the server has lost is bounded by nothing that it knows.
        let of_budgets = if rest.lost_before_ms.is_some() { BTreeMap::new() } else { of_budgets };
        for (budget, sums) in &of_budgets {
            self.budget_at_rest(budget, sums)?;
        }
        Ok(())
    }

    /// What calls came to whose records died with their VMs.
    pub(crate) fn lost_cost(&self, calls: &[UpstreamCall], records: &[StoredRecord]) -> NanoUsd {
        let known: std::collections::BTreeSet<_> =
            records.iter().map(|record| record.call.request.as_str()).collect();
        let lost = calls.iter().filter(|call| !known.contains(call.request.as_str()));
        sum(lost.map(|call| self.least_cost(call, None)))
    }

    /// One account against the calls that drew on its leases.
    fn account_at_rest(&self, account: &AccountRow, sums: &Sums, rest: &Rest<'_>) -> Verdict {
        // Of a call that was lost with its VM nobody can tell the period: parked money is for those.
        if sums.cost > account.settled.saturating_add(sums.unseen) {
            let (cost, unseen) = (sums.cost, sums.unseen);
            let text = format!("{cost:?} is not covered with {unseen:?} unseen: {account:?}");
            return broken(Invariant::Charges, text);
        }
        let Some(largest_cap) = self.largest_caps.get(&account.id.budget()).copied() else {
            return Ok(());
        };
        // Under a cap every call has a lease.
        let is_settled = match rest.lost_before_ms {
            None => account.settled == sums.charged,
            // Some records are lost, and some calls were settled without their leases.
            Some(_) => account.settled >= sums.charged,
        };
        if !is_settled {
            let text = format!("records come to {:?}: {account:?}", sums.charged);
            return broken(Invariant::Charges, text);
        }
        let overdraft_is_right = if rest.lost_before_ms.is_some() {
            true
        } else if rest.limits_are_kept {
            account.overdraft == NanoUsd::ZERO
        } else {
            let least = overdrawn_leases(&account.id, rest);
            (least..=sums.beyond_reservations).contains(&account.overdraft)
        };
        if !overdraft_is_right {
            let beyond = sums.beyond_reservations;
            let text = format!("calls cost {beyond:?} beyond their reservations: {account:?}");
            return broken(Invariant::Charges, text);
        }
        let bounded = !self.uncapped.contains(&account.id.budget());
        let most = largest_cap.saturating_add(account.overdraft).saturating_add(sums.unseen);
        if bounded && sums.cost > most {
            let text = format!("upstream cost {:?} beyond the cap: {account:?}", sums.cost);
            return broken(Invariant::TrueCost, text);
        }
        Ok(())
    }

    /// One budget, over all its periods, against the calls of every key below it. Of a call that
    /// was lost with its VM nobody can tell the period.
    fn budget_at_rest(&self, budget: &(String, String), sums: &Sums) -> Verdict {
        let accounts = || self.accounts.values().filter(|account| account.id.budget() == *budget);
        let settled = sum(accounts().map(|account| account.settled));
        if settled != sums.charged && accounts().next().is_some() {
            let text = format!("{budget:?}: records come to {:?} of {settled:?}", sums.charged);
            return broken(Invariant::Charges, text);
        }
        let Some(largest_cap) = self.largest_caps.get(budget).copied() else { return Ok(()) };
        let parked = sum(accounts().map(|account| account.parked));
        if sums.cost > settled.saturating_add(parked).saturating_add(sums.unseen) {
            let (cost, unseen) = (sums.cost, sums.unseen);
            let text = format!(
                "{budget:?}: {cost:?} is not covered by {settled:?} + {parked:?} + {unseen:?}"
            );
            return broken(Invariant::Charges, text);
        }
        let caps = accounts().fold(sums.unseen, |sum, account| {
            sum.saturating_add(largest_cap).saturating_add(account.overdraft)
        });
        if sums.cost > caps && !self.uncapped.contains(budget) {
            let text = format!("{budget:?}: upstream cost {:?} beyond all caps", sums.cost);
            return broken(Invariant::TrueCost, text);
        }
        Ok(())
    }

    /// One record against what the upstream produced.
    fn charged_rightly(
        &self,
        call: &UpstreamCall,
        record: &StoredRecord,
        is_paid: bool,
    ) -> Verdict {
        let charged = &record.call;
        let cost = |usage| self.cost(usage, pricing(charged));
        let true_cost = cost(call.produced);
        let right = match charged.basis {
            Basis::Measured => charged.cost == true_cost,
            Basis::Refunded => charged.cost == NanoUsd::ZERO && call.produced == Usage::default(),
            Basis::Estimated => {
                // Without money set aside nothing bounds the call.
                let bounded = !is_paid || self.cut_rightly(call, charged, true_cost);
                !call.told.usage && charged.cost >= cost(call.seen()) && bounded
            }
        };
        // What was set aside is what the upstream was allowed to produce, of whatever kinds.
        let covers = !is_paid || charged.reserved == self.bound(call.limits(), pricing(charged));
        let is_of_plan = call.multipliers.contains(&charged.price_multiplier);
        let fits = covers && is_of_plan && charged.key.as_str() == call.key;
        if !right || !fits || record.differs {
            let text = format!("the upstream produced {:?}, recorded: {record:?}", call.produced);
            return broken(Invariant::Charges, text);
        }
        Ok(())
    }

    /// A call without usage costs no more than was reserved; it is charged no more than that, and
    /// exactly that where it must be.
    fn cut_rightly(&self, call: &UpstreamCall, charged: &CallRecord, true_cost: NanoUsd) -> bool {
        let is_whole = charged.cost == charged.reserved;
        true_cost <= charged.reserved
            && charged.cost <= charged.reserved
            && (is_whole || !call.takes_whole())
    }

    /// What a call cost; where no record tells under which price, the lowest that it can have had,
    /// no more than was reserved for it, and only what its charge covers for certain.
    pub(super) fn least_cost(&self, call: &UpstreamCall, pricing: Option<Pricing>) -> NanoUsd {
        match pricing {
            Some(pricing) => self.cost(call.produced, pricing),
            None => {
                let usage = call.charged_at_least();
                if usage == Usage::default() {
                    return NanoUsd::ZERO;
                }
                let multiplier = call.multipliers.iter().min().copied().unwrap_or_default();
                let prices = self.prices.values().map(|price| price.times(multiplier));
                let costs = prices.map(|price| metering::price::cost(&usage, &price));
                costs.min().unwrap_or(NanoUsd::ZERO)
            }
        }
    }

    /// Where nothing was produced there is nothing to pay, not even a price per call.
    pub(super) fn cost(&self, usage: Usage, pricing: Pricing) -> NanoUsd {
        let price = self.price_by(pricing).filter(|_| usage != Usage::default());
        price.map_or(NanoUsd::ZERO, |price| metering::price::cost(&usage, &price))
    }

    /// The most that a call within these limits can cost.
    fn bound(&self, limits: Usage, pricing: Pricing) -> NanoUsd {
        let Usage { input_tokens, output_tokens, server_tool_calls, .. } = limits;
        self.price_by(pricing).map_or(NanoUsd::ZERO, |price| {
            metering::price::bound(input_tokens, output_tokens, server_tool_calls, &price)
        })
    }

    fn price_by(&self, (version, multiplier): Pricing) -> Option<Price> {
        let price = self.prices.range(..=version).next_back();
        price.map(|(_, price)| price.times(multiplier))
    }
}

/// What would have been refused says so in its record, and takes money from nobody.
fn on_nobodys_account(call: &UpstreamCall, record: &StoredRecord) -> Verdict {
    let recorded = record.call.would_refuse.as_ref().map(|code| code.as_str());
    let is_paid = call.would_refuse.is_some() && record.call.lease.is_some();
    if recorded == call.would_refuse && !is_paid {
        return Ok(());
    }
    let text = format!("{:?} would have refused the call of {record:?}", call.would_refuse);
    broken(Invariant::Charges, text)
}

/// By which catalogue a call is priced, and under which plan.
pub(super) type Pricing = (CatalogueVersion, PriceMultiplier);

/// By what a call was priced.
pub(super) fn pricing(charged: &CallRecord) -> Pricing {
    (charged.catalogue_version, charged.price_multiplier)
}

/// What must have been overdrawn: charges of whole leases beyond what was granted for them.
fn overdrawn_leases(account: &AccountId, rest: &Rest<'_>) -> NanoUsd {
    let mut charged: BTreeMap<&str, NanoUsd> = BTreeMap::new();
    for record in rest.records {
        if let Some(lease) = &record.call.lease {
            let sum = charged.entry(lease.as_str()).or_default();
            *sum = sum.saturating_add(record.call.cost);
        }
    }
    sum(charged.into_iter().filter_map(|(id, charged)| {
        let lease = rest.leases.get(id)?;
        lease.accounts.contains(account).then(|| charged.saturating_sub(lease.granted))
    }))
}

fn sum(amounts: impl Iterator<Item = NanoUsd>) -> NanoUsd {
    amounts.fold(NanoUsd::ZERO, NanoUsd::saturating_add)
}
