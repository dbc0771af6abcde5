//! What must hold, whatever happens. Facts come in as the world moves; laws are checked after every
//! event, and the sums when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use wire::v1::{Basis, Price, Usage};
use wire::{CatalogueVersion, NanoUsd, Revision};

use crate::ledger::{AccountRow, StoredRecord};
use crate::upstream::UpstreamCall;
use crate::worker::Life;

/// The invariants that a run can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No grant beyond a cap; every account is the sum of its leases.
    Ledger,
    /// Upstream cost stays within cap and overdraft.
    TrueCost,
    /// What is withdrawn is not admitted any more.
    Revocation,
    /// No window admits more than its limit.
    Windows,
    /// Every ended call is charged once and rightly; lost ones are covered by parked money.
    Charges,
    /// At rest nothing is held that nobody can spend.
    Rest,
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.text)
    }
}

impl std::error::Error for Violation {}

type Verdict = Result<(), Violation>;

fn broken(invariant: Invariant, text: String) -> Verdict {
    Err(Violation { invariant, text })
}

/// Limits of a key, counted by each proxy on its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProxyLimits {
    /// Requests in a minute.
    pub per_minute: Option<u64>,
    /// Calls at the same time.
    pub at_once: Option<u64>,
}

const MINUTE_MS: u64 = 60_000;

#[derive(Debug)]
struct Withdrawal {
    credential: usize,
    revision: Revision,
    applied: bool,
}

/// The checker's memory.
#[derive(Debug, Default)]
pub struct Checker {
    accounts: BTreeMap<(String, String), AccountRow>,
    /// The largest cap that each account ever had.
    largest_caps: BTreeMap<(String, String), NanoUsd>,
    withdrawals: Vec<Withdrawal>,
    admissions: BTreeMap<(usize, String), VecDeque<u64>>,
    prices: BTreeMap<CatalogueVersion, Price>,
    /// Lives that ended in a crash.
    crashed: BTreeSet<Life>,
}

impl Checker {
    /// The model's price from this catalogue version on.
    pub fn price_is(&mut self, version: CatalogueVersion, price: Price) {
        self.prices.insert(version, price);
    }

    /// A VM has crashed: what it had not reported is lost.
    pub fn crashed(&mut self, life: Life) {
        self.crashed.insert(life);
    }

    /// A credential may not be used from this revision on.
    pub fn withdrawn(&mut self, credential: usize, revision: Revision) {
        self.withdrawals.push(Withdrawal { credential, revision, applied: false });
    }

    /// A credential may be used again.
    pub fn restored(&mut self, credential: usize) {
        self.withdrawals.retain(|withdrawal| withdrawal.credential != credential);
    }

    /// Asks, for every withdrawal of which that is not known yet, whether the server now says that
    /// it is in force everywhere. Answers how many have just become so.
    pub fn note_applied(&mut self, is_applied: impl Fn(Revision) -> bool) -> usize {
        let open = self.withdrawals.iter_mut().filter(|withdrawal| !withdrawal.applied);
        open.map(|withdrawal| {
            withdrawal.applied = is_applied(withdrawal.revision);
            usize::from(withdrawal.applied)
        })
        .sum()
    }

    /// A request goes to the upstream.
    ///
    /// # Errors
    /// When its credential was withdrawn everywhere, or its proxy admits too many.
    pub fn forwarded(
        &mut self,
        now_ms: u64,
        credential: usize,
        (proxy, key): (usize, &str),
        limits: ProxyLimits,
        running_at_once: u64,
    ) -> Verdict {
        let withdrawn = |found: &&Withdrawal| found.applied && found.credential == credential;
        if let Some(withdrawal) = self.withdrawals.iter().find(withdrawn) {
            return broken(
                Invariant::Revocation,
                format!(
                    "proxy {proxy} admits credential {credential} of key {key}, which revision {} \
                     withdrew everywhere",
                    withdrawal.revision.0
                ),
            );
        }
        let admitted = self.admissions.entry((proxy, key.to_owned())).or_default();
        admitted.push_back(now_ms);
        while admitted.front().is_some_and(|at| at + MINUTE_MS <= now_ms) {
            admitted.pop_front();
        }
        let in_a_minute = admitted.len() as u64;
        let over = |limit: Option<u64>, count| limit.is_some_and(|limit| count > limit);
        if over(limits.per_minute, in_a_minute) || over(limits.at_once, running_at_once) {
            return broken(
                Invariant::Windows,
                format!(
                    "proxy {proxy} has admitted {in_a_minute} calls of key {key} in a minute and \
                     runs {running_at_once} of them; limits: {limits:?}"
                ),
            );
        }
        Ok(())
    }

    /// The ledger after an event. `caps_changed`: an administrator has just set a cap.
    ///
    /// # Errors
    /// When an account is not the sum of its leases, or is taken beyond its cap by anything but
    /// overdraft or a cap that was lowered.
    pub fn ledger(&mut self, accounts: Vec<AccountRow>, caps_changed: bool) -> Verdict {
        for account in accounts {
            let sums = (account.open_leases, account.parked_leases);
            if (account.outstanding, account.parked) != sums {
                let text = format!("outstanding and parked differ from the leases: {account:?}");
                return broken(Invariant::Ledger, text);
            }
            let id = (account.level.clone(), account.owner.clone());
            let before = self.accounts.get(&id);
            if let Some(cap) = account.cap {
                let grew =
                    before.map_or(NanoUsd::ZERO, |before| before.outstanding) < account.outstanding;
                if grew && account.taken() > cap {
                    let text = format!("granted beyond the cap: {account:?}");
                    return broken(Invariant::Ledger, text);
                }
                let excess = |row: &AccountRow| {
                    row.taken().saturating_sub(cap.saturating_add(row.overdraft))
                };
                let allowed = before.map_or(NanoUsd::ZERO, excess);
                if !caps_changed && excess(&account) > allowed {
                    let text = format!("taken beyond cap and overdraft: {account:?}");
                    return broken(Invariant::Ledger, text);
                }
                let largest = self.largest_caps.entry(id.clone()).or_default();
                *largest = cap.max(*largest);
            }
            self.accounts.insert(id, account);
        }
        Ok(())
    }

    /// The end: nothing runs, nothing is on its way. `owners` tells the key's organisation.
    ///
    /// # Errors
    /// When charges, upstream costs and parked money do not fit together.
    pub fn at_rest(
        &self,
        calls: &[UpstreamCall],
        records: &[StoredRecord],
        owner_of: impl Fn(&str) -> Option<String>,
    ) -> Verdict {
        let mut by_request: BTreeMap<&str, Vec<&StoredRecord>> = BTreeMap::new();
        for record in records {
            by_request.entry(record.call.request.as_str()).or_default().push(record);
        }
        for call in calls {
            let found = by_request.remove(call.request.as_str()).unwrap_or_default();
            let expected = usize::from(!self.crashed.contains(&call.life()));
            if found.len() > 1 || found.len() < expected {
                let holders: Vec<_> = found.iter().map(|record| &record.holder).collect();
                let text =
                    format!("call {} has {} records, by {holders:?}", call.request, found.len());
                return broken(Invariant::Charges, text);
            }
            found.into_iter().try_for_each(|record| self.charged_rightly(call, record))?;
        }
        if let Some((request, _)) = by_request.first_key_value() {
            let text = format!("call {request} was recorded but never made");
            return broken(Invariant::Charges, text);
        }
        let versions = versions_of(records);
        for ((level, owner), account) in &self.accounts {
            let is_below = |key: &str| match level.as_str() {
                "key" => owner == key,
                _ => owner_of(key).as_ref() == Some(owner),
            };
            let largest = self.largest_caps.get(&(level.clone(), owner.clone())).copied();
            let below = calls.iter().filter(|call| is_below(&call.key));
            let true_cost = sum(below.map(|call| self.least_cost(call, &versions)));
            let charged = sum(records
                .iter()
                .filter(|record| is_below(record.call.key.as_str()))
                .map(|record| record.call.cost));
            self.account_at_rest(account, largest, true_cost, charged)?;
        }
        Ok(())
    }

    fn account_at_rest(
        &self,
        account: &AccountRow,
        largest_cap: Option<NanoUsd>,
        true_cost: NanoUsd,
        charged: NanoUsd,
    ) -> Verdict {
        if account.settled != charged {
            let text = format!("records come to {charged:?}: {account:?}");
            return broken(Invariant::Charges, text);
        }
        let Some(largest_cap) = largest_cap else { return Ok(()) };
        if account.overdraft != NanoUsd::ZERO {
            let text = format!("overdraft though every call kept to its reservation: {account:?}");
            return broken(Invariant::Charges, text);
        }
        if true_cost > account.settled.saturating_add(account.parked) {
            let text = format!("upstream cost {true_cost:?} is not covered: {account:?}");
            return broken(Invariant::Charges, text);
        }
        if true_cost > largest_cap {
            let text = format!("upstream cost {true_cost:?} beyond the cap: {account:?}");
            return broken(Invariant::TrueCost, text);
        }
        Ok(())
    }

    /// One record against what the upstream produced.
    fn charged_rightly(&self, call: &UpstreamCall, record: &StoredRecord) -> Verdict {
        let charged = &record.call;
        let true_cost = self.cost(call.produced, charged.catalogue_version);
        let has_lease = charged.lease.is_some();
        let right = match charged.basis {
            Basis::Measured => charged.cost == true_cost,
            Basis::Refunded => charged.cost == NanoUsd::ZERO && call.produced == Usage::default(),
            // Without a lease nothing bounds the call, and its charge is an estimate only.
            Basis::Estimated if !has_lease => true,
            Basis::Estimated => true_cost <= charged.cost && charged.cost <= charged.reserved,
        };
        if !right || record.differs || charged.key.as_str() != call.key {
            let text = format!("the upstream produced {:?}, recorded: {record:?}", call.produced);
            return broken(Invariant::Charges, text);
        }
        Ok(())
    }

    /// What a call cost; where no record tells under which price, the lowest that it can have had.
    fn least_cost(
        &self,
        call: &UpstreamCall,
        versions: &BTreeMap<&str, CatalogueVersion>,
    ) -> NanoUsd {
        match versions.get(call.request.as_str()) {
            Some(version) => self.cost(call.produced, *version),
            None => {
                let costs =
                    self.prices.values().map(|price| metering::price::cost(&call.produced, price));
                costs.min().unwrap_or(NanoUsd::ZERO)
            }
        }
    }

    fn cost(&self, usage: Usage, version: CatalogueVersion) -> NanoUsd {
        let price = self.prices.range(..=version).next_back();
        price.map_or(NanoUsd::ZERO, |(_, price)| metering::price::cost(&usage, price))
    }
}

fn versions_of(records: &[StoredRecord]) -> BTreeMap<&str, CatalogueVersion> {
    records
        .iter()
        .map(|record| (record.call.request.as_str(), record.call.catalogue_version))
        .collect()
}

fn sum(amounts: impl Iterator<Item = NanoUsd>) -> NanoUsd {
    amounts.fold(NanoUsd::ZERO, NanoUsd::saturating_add)
}
