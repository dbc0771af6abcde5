//! Where calls are charged: to the accounts above their key, and after a key was moved or a budget
//! got another period, to the new ones.
//!
//! What was granted before such a change is settled where it was granted. But no call may be
//! admitted on it any more once the server says that the change is in force everywhere, or once it
//! has granted money of the key from the new accounts: two caps could be spent side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use wire::Revision;

use super::{Invariant, Verdict, broken};
use crate::ledger::{AccountId, StoredRecord};

/// Level, owner and kind of period.
type Account = (String, String, String);

/// The accounts above a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    accounts: BTreeSet<Account>,
    /// Budgets without a cap.
    uncapped: BTreeSet<(String, String)>,
    /// Some have a cap: then every call needs a lease.
    is_capped: bool,
}

impl Placement {
    /// These accounts, each with whether it has a cap.
    pub fn of(accounts: impl Iterator<Item = (Account, bool)>) -> Self {
        let mut placement = Self::default();
        for (account, is_capped) in accounts {
            placement.is_capped |= is_capped;
            if !is_capped {
                placement.uncapped.insert((account.0.clone(), account.1.clone()));
            }
            placement.accounts.insert(account);
        }
        placement
    }

    /// Budgets above the key that have no cap now. They are not part of the place.
    pub(super) fn take_uncapped(&mut self) -> BTreeSet<(String, String)> {
        std::mem::take(&mut self.uncapped)
    }

    fn is_that_of(&self, accounts: &[AccountId]) -> bool {
        accounts.len() == self.accounts.len()
            && accounts.iter().all(|id| {
                let account = (id.level.clone(), id.owner.clone(), id.period.clone());
                self.accounts.contains(&account)
            })
    }

    fn budgets(&self) -> BTreeSet<(String, String)> {
        let names = |(level, owner, _): &Account| (level.clone(), owner.clone());
        self.accounts.iter().map(names).collect()
    }
}

/// A placement from its revision until the next.
#[derive(Debug)]
struct Era {
    placement: Placement,
    revision: Revision,
    /// No call may be admitted on leases of earlier eras.
    is_in_force: bool,
}

/// The eras among which that of a call's lease must be.
pub type Eras = RangeInclusive<usize>;

/// Where each key has been.
#[derive(Debug, Default)]
pub(super) struct Placements {
    of_keys: BTreeMap<String, Vec<Era>>,
    /// Keys whose newest era is not in force.
    pending: BTreeSet<String>,
}

impl Placements {
    pub(super) fn placed(&mut self, key: &str, placement: Placement, revision: Revision) {
        let eras = self.of_keys.entry(key.to_owned()).or_default();
        if eras.last().is_some_and(|last| last.placement == placement) {
            return;
        }
        let is_in_force = eras.is_empty();
        eras.push(Era { placement, revision, is_in_force });
        if !is_in_force {
            self.pending.insert(key.to_owned());
        }
    }

    /// Asks the server about every era that is not in force. Answers how many have become so.
    pub(super) fn note_applied(&mut self, is_applied: impl Fn(Revision) -> bool) -> usize {
        let of_keys = &mut self.of_keys;
        let before = self.pending.len();
        self.pending.retain(|key| {
            let newest = of_keys.get_mut(key).and_then(|eras| eras.last_mut());
            newest.is_some_and(|era| {
                era.is_in_force |= is_applied(era.revision);
                !era.is_in_force
            })
        });
        before - self.pending.len()
    }

    /// Whether grants matter now.
    pub(super) fn awaits_grants(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Money of a key was granted from these accounts.
    pub(super) fn granted(&mut self, key: &str, accounts: &[AccountId]) {
        let newest = self.of_keys.get_mut(key).and_then(|eras| eras.last_mut());
        if let Some(era) = newest.filter(|era| era.placement.is_that_of(accounts)) {
            era.is_in_force = true;
            self.pending.remove(key);
        }
    }

    /// The eras that a call which is admitted now may be charged in.
    pub(super) fn eras(&self, key: &str) -> Eras {
        let eras = self.of_keys.get(key).map_or(&[][..], Vec::as_slice);
        let first = eras.iter().rposition(|era| era.is_in_force).unwrap_or(0);
        first..=eras.len().saturating_sub(1)
    }

    fn among(&self, key: &str, eras: &Eras) -> &[Era] {
        let of_key = self.of_keys.get(key).map_or(&[][..], Vec::as_slice);
        of_key.get(eras.clone()).unwrap_or_default()
    }

    /// Whether money was set aside for a call of these eras for certain.
    pub(super) fn is_capped(&self, key: &str, eras: &Eras) -> bool {
        self.among(key, eras).iter().all(|era| era.placement.is_capped)
    }

    /// Whether money may be asked for a call of these eras.
    pub(super) fn may_be_capped(&self, key: &str, eras: &Eras) -> bool {
        self.among(key, eras).iter().any(|era| era.placement.is_capped)
    }

    /// The budgets that a call counts in for certain: those of every era that it may belong to.
    pub(super) fn certain(&self, key: &str, eras: &Eras) -> BTreeSet<(String, String)> {
        let budgets = self.among(key, eras).iter().map(|era| era.placement.budgets());
        let common = |one: BTreeSet<_>, other| one.intersection(&other).cloned().collect();
        budgets.reduce(common).unwrap_or_default()
    }

    /// A call of these eras has this record, and its lease was granted from these accounts.
    pub(super) fn charged(
        &self,
        key: &str,
        eras: &Eras,
        record: &StoredRecord,
        accounts: &[AccountId],
    ) -> Verdict {
        let mut among = self.among(key, eras).iter();
        let right = if accounts.is_empty() {
            among.any(|era| !era.placement.is_capped)
        } else {
            among.any(|era| era.placement.is_that_of(accounts))
        };
        if right {
            return Ok(());
        }
        let among: Vec<_> = self.among(key, eras).iter().map(|era| &era.placement).collect();
        let (request, lease) = (&record.call.request, &record.call.lease);
        let text = format!(
            "call {request} was paid by lease {lease:?} of {accounts:?}; right were {among:?}"
        );
        broken(Invariant::Placement, text)
    }
}
