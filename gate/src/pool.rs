//! The money that this VM holds: leases by key, drawn on by calls, asked for ahead of need, and
//! handed back when nobody needs it. A call draws on one lease.

mod purse;

use std::collections::BTreeMap;
use std::rc::Rc;

use metering::held_lease::Draw;
use metering::reservation::Bounds;
use wire::v1::{Ask, Grant, KeyPolicy, LeaseReport, Level};
use wire::{KeyId, LeaseId, NanoUsd};

use self::purse::Purse;

/// Most leases at once. At some 200 bytes each they take 2 MiB; beyond it leases are for one call.
const MOST_LEASES: usize = 10_000;

/// What a report must say, and whether somebody waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) report: LeaseReport,
    pub(crate) is_urgent: bool,
}

/// What a key needs beyond the call at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) money: NanoUsd,
    pub(crate) permits: u64,
}

/// A key whose money is running out, and the ask that it is asked for with.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) key: KeyId,
    pub(crate) ask: Ask,
    pub(crate) want: Want,
}

/// Which leases of a key are handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those that any call may draw on.
    Kept,
    /// Also those that were granted for one call, if that call does not run.
    All,
    /// As many, but nobody waits for them.
    Idle,
}

/// Every lease of this VM, by key.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    purses: BTreeMap<KeyId, Purse>,
    leases: usize,
}

impl Pool {
    /// Takes a grant in. It answers what must be said of it at once: a grant that is not to be
    /// kept and was asked for ahead of need goes straight back.
    pub(crate) fn add(
        &mut self,
        policy: &Rc<KeyPolicy>,
        grant: &Grant,
        asked: &Ask,
        is_ahead: bool,
        now_ms: u64,
    ) -> Option<Said> {
        let wanted = Bounds::new(asked, policy.default_max_output_tokens).output_tokens();
        // Lowered to what could be paid: it is the last of the money.
        let is_lowered = grant.output_tokens < wanted;
        let is_kept = !grant.scarce && !is_lowered && self.leases < MOST_LEASES;
        let purse = self.purse(policy);
        if !purse.add(grant, asked, is_kept, now_ms) {
            return None;
        }
        self.leases = self.leases.saturating_add(1);
        if is_ahead { self.unused(&policy.key, &grant.lease, now_ms) } else { None }
    }

    /// How many leases there are.
    pub(crate) fn leases(&self) -> u64 {
        u64::try_from(self.leases).unwrap_or(u64::MAX)
    }

    /// Money in them that is not spent, reservations included.
    pub(crate) fn money_held(&self) -> NanoUsd {
        let each = self.purses.values().map(Purse::money_held);
        each.fold(NanoUsd::ZERO, NanoUsd::saturating_add)
    }

    /// What is set aside in each lease for running calls.
    #[cfg(feature = "testing")]
    pub(crate) fn reserved(&self) -> crate::machine::accounts::ByLease {
        let each = |(key, purse): (&KeyId, &Purse)| {
            let key = key.clone();
            purse
                .reserved()
                .map(move |(lease, amount)| ((key.clone(), lease), amount))
                .collect::<Vec<_>>()
        };
        self.purses.iter().flat_map(each).collect()
    }

    /// Draws on the lease that was granted for this call, or on any that is kept.
    pub(crate) fn draw(
        &mut self,
        policy: &Rc<KeyPolicy>,
        own: Option<&LeaseId>,
        draw: Draw,
        now_ms: u64,
    ) -> Option<LeaseId> {
        self.purses.get_mut(&policy.key)?.draw(own, draw, now_ms)
    }

    /// Money that is free in a lease that was granted for one call: the last that there is.
    pub(crate) fn last_of(&self, key: &KeyId, lease: &LeaseId) -> Option<NanoUsd> {
        self.purses.get(key)?.last_of(lease)
    }

    /// A call that drew has ended.
    pub(crate) fn end(
        &mut self,
        key: &KeyId,
        lease: &LeaseId,
        draw: Draw,
        cost: NanoUsd,
        now_ms: u64,
    ) -> Option<Said> {
        let said = self.purses.get_mut(key)?.end(lease, draw, cost, now_ms);
        self.count(said)
    }

    /// A call that drew in this instant is not made after all.
    pub(crate) fn cancel(&mut self, key: &KeyId, lease: &LeaseId, draw: Draw) {
        if let Some(purse) = self.purses.get_mut(key) {
            purse.cancel(lease, draw);
        }
    }

    /// The call that a lease was granted for ends without drawing on it. Others may, if it is kept.
    pub(crate) fn unused(&mut self, key: &KeyId, lease: &LeaseId, now_ms: u64) -> Option<Said> {
        let said = self.purses.get_mut(key)?.unused(lease, now_ms);
        self.count(said)
    }

    /// Others wait for money of this account: everything below it that no running call needs goes
    /// back, and nothing is asked for ahead for a while.
    pub(crate) fn recall(&mut self, level: Level, owner: &str, now_ms: u64) -> Vec<Said> {
        self.hand_back(now_ms, Which::Kept, |purse| {
            let is_below = purse.policy.owner(level).as_deref() == Some(owner);
            if is_below {
                purse.hold_off(now_ms);
            }
            is_below
        })
    }

    /// Something about this key has changed: what it holds may belong to another account by now.
    pub(crate) fn recall_key(&mut self, key: &KeyId, now_ms: u64) -> Vec<Said> {
        self.hand_back(now_ms, Which::Kept, |purse| purse.policy.key == *key)
    }

    /// Hands everything back that no running call needs.
    pub(crate) fn recall_all(&mut self, now_ms: u64) -> Vec<Said> {
        self.hand_back(now_ms, Which::All, |_| true)
    }

    /// Hands back what nobody has drawn on for a while.
    pub(crate) fn idle(&mut self, now_ms: u64) -> Vec<Said> {
        self.hand_back(now_ms, Which::Idle, |purse| purse.is_idle(now_ms))
    }

    /// What a key should be given beyond the call at hand.
    pub(crate) fn want(&mut self, key: &KeyId, need: NanoUsd, now_ms: u64) -> Want {
        self.purses.get_mut(key).map_or(Want::default(), |purse| purse.want(need, now_ms))
    }

    /// Keys whose money is running out, at most `most`; each counts as asked for from now on.
    pub(crate) fn running_out(&mut self, most: usize, now_ms: u64) -> Vec<Ahead> {
        let out = self.purses.values_mut().filter_map(|purse| purse.running_out(now_ms));
        out.take(most).collect()
    }

    /// What was asked for ahead was answered, or never will be. `refused`: with no.
    pub(crate) fn ahead_done(&mut self, key: &KeyId, refused: bool, now_ms: u64) {
        if let Some(purse) = self.purses.get_mut(key) {
            purse.ahead_done(refused, now_ms);
        }
    }

    /// The policy under which a key's money was drawn last, and the ask that it is asked for with.
    pub(crate) fn asked(&self, key: &KeyId) -> Option<(Rc<KeyPolicy>, Ask)> {
        self.purses.get(key)?.asked()
    }

    fn purse(&mut self, policy: &Rc<KeyPolicy>) -> &mut Purse {
        let purse =
            self.purses.entry(policy.key.clone()).or_insert_with(|| Purse::new(Rc::clone(policy)));
        purse.policy = Rc::clone(policy);
        purse
    }

    fn count(&mut self, said: Option<Said>) -> Option<Said> {
        if said.as_ref().is_some_and(|said| said.report.is_final) {
            self.leases = self.leases.saturating_sub(1);
        }
        said
    }

    fn hand_back(
        &mut self,
        now_ms: u64,
        which: Which,
        mut whose: impl FnMut(&mut Purse) -> bool,
    ) -> Vec<Said> {
        let mut all = Vec::new();
        for purse in self.purses.values_mut() {
            if whose(purse) {
                purse.hand_back(which, now_ms, &mut all);
            }
        }
        let ended = all.iter().filter(|said| said.report.is_final).count();
        self.leases = self.leases.saturating_sub(ended);
        self.purses.retain(|_, purse| !purse.is_forgotten(now_ms));
        all
    }
}

#[cfg(test)]
#[path = "pool/tests.rs"]
mod tests;
