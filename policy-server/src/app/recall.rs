//! Asking money back from those who keep it, and ending what runs on money that is not there.

use metering::budget::{Account, LevelAccount};
use wire::v1::Change;
use wire::{NanoUsd, Revision};

use super::policy::OpenAccount;
use super::{Counters, Work};
use crate::live::Effect;
use crate::store::{AccountId, Budget, BudgetId, KeyRow, KeyStatus, StoreError, StoreResult};

impl Work<'_> {
    /// Recalls every account in which a call that needs this much finds too little room, as far as
    /// it is due: see [`crate::recalls`].
    pub(super) fn recall_contended(
        &mut self,
        accounts: &[OpenAccount],
        need: NanoUsd,
    ) -> StoreResult<()> {
        let in_the_way = |at: &LevelAccount| at.account.room().is_none_or(|room| room < need);
        for account in accounts.iter().filter(|account| in_the_way(&account.at)) {
            self.recall_if_due(&account.id.budget)?;
        }
        Ok(())
    }

    pub(super) fn recall_if_due(&mut self, account: &BudgetId) -> StoreResult<()> {
        let now_ms = self.now.monotonic_ms;
        let due = self.shared.live().recalls().is_due(account, now_ms);
        if due {
            self.recall(account)?;
        }
        Ok(())
    }

    /// Recalls the account, due or not: something was taken away from it.
    pub(super) fn recall(&mut self, account: &BudgetId) -> Result<Revision, StoreError> {
        Counters::add(&self.counters.recalls, 1);
        self.publish(Change::Recall { level: account.level, owner: account.owner.clone() })
    }

    /// Does what the sums of an account bring about that were one thing and are another.
    pub(super) fn account_moved(
        &mut self,
        id: &AccountId,
        before: &Account,
        after: &Account,
    ) -> StoreResult<()> {
        self.note_wallet_usage(&id.budget, before, after)?;
        if after.settled <= before.settled && after.parked <= before.parked {
            return Ok(());
        }
        let Some(budget) = self.rows.budget(&id.budget)? else { return Ok(()) };
        let start_unix_ms = budget.schedule.start_ms(self.now.unix_ms);
        if (id.schedule, id.start_unix_ms) != (budget.schedule, start_unix_ms) {
            return Ok(());
        }
        let capped = |account: &Account| Account { cap: budget.cap, ..*account };
        self.publish_if_exhausted(&id.budget, &capped(before), &capped(after))?;
        self.tell_of_thresholds(id, &budget, &capped(after))
    }

    /// Tells holders where this movement has left nothing under the cap while money is still out:
    /// by the law of grants all of that lies beyond the cap then, because calls cost more than was
    /// reserved for them, or the cap was lowered. What is kept comes back, and what runs on the
    /// account ends. Said once each time that it comes to be so, and only of the period that is: a
    /// late report of an earlier one takes nothing from the calls of this.
    fn publish_if_exhausted(
        &mut self,
        id: &BudgetId,
        before: &Account,
        after: &Account,
    ) -> StoreResult<()> {
        let is_out = after.outstanding > NanoUsd::ZERO;
        if is_out && !is_exhausted(before) && is_exhausted(after) {
            self.recall(id)?;
            self.publish_exhausted(id)?;
        }
        Ok(())
    }

    pub(super) fn publish_exhausted(&mut self, budget: &BudgetId) -> StoreResult<()> {
        let (level, owner) = (budget.level, budget.owner.clone());
        let target = format!("{} {owner}", level.as_str());
        tracing::warn!(budget = %target, "nothing is left of a budget: calls that run on it end");
        self.publish(Change::Exhausted { level, owner })?;
        Ok(())
    }

    /// Whether holders may still spend, for this key or from these budgets, leases that are charged
    /// elsewhere: the key was moved, or a budget began another account, and not every living
    /// holder has applied the recall that went with it. What every one has applied is forgotten, so
    /// that a later start of the server, after which nobody has applied anything yet, waits for none
    /// of it again.
    pub(super) fn must_wait_for_recalls(
        &mut self,
        key: &KeyRow,
        accounts: &[OpenAccount],
    ) -> StoreResult<bool> {
        let began = accounts.iter().map(|account| account.began_revision);
        let newest = began.fold(key.moved_revision, Revision::max);
        if self.shared.live().await_everywhere(newest, self.now) {
            return Ok(true);
        }
        if key.moved_revision != Revision::default() {
            let settled = KeyRow { moved_revision: Revision::default(), ..key.clone() };
            self.rows.save_key(&settled, KeyStatus::of(key, self.now.unix_ms))?;
        }
        for account in accounts.iter().filter(|at| at.began_revision != Revision::default()) {
            if let Some(budget) = self.rows.budget(&account.id.budget)? {
                let settled = Budget { began_revision: Revision::default(), ..budget };
                self.rows.save_budget(&account.id.budget, &settled)?;
            }
        }
        Ok(false)
    }

    /// Money of these accounts was granted that its holder may keep. Whether a recall stands is not
    /// asked: one of the same batch does, but is known only after the commit.
    pub(super) fn note_plenty(&mut self, accounts: impl Iterator<Item = BudgetId>) {
        self.effects.extend(accounts.map(Effect::RecallEnded));
    }

    /// The newest revision that this job knows of: the server's before it, or one it published.
    pub(super) fn newest_revision(&self, before: Revision) -> Revision {
        let published = self.effects.iter().filter_map(|effect| match effect {
            Effect::Published(revision, _) => Some(*revision),
            _ => None,
        });
        published.fold(before, Revision::max)
    }
}

/// Whether nothing is left under a cap, however running calls end.
pub(super) fn is_exhausted(account: &Account) -> bool {
    account.left().is_none_or(|left| left == NanoUsd::ZERO)
}
