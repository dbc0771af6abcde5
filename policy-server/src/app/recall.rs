//! Asking money back from those who keep it.

use metering::budget::LevelAccount;
use wire::v1::Change;
use wire::{NanoUsd, Revision};

use super::policy::OpenAccount;
use super::{Counters, Work};
use crate::live::Effect;
use crate::store::{BudgetId, KeyRow, StoreError, StoreResult};

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

    /// Whether holders may still spend, for this key or from these budgets, leases that are charged
    /// elsewhere: the key was moved, or a budget began another account, and not every living
    /// holder has applied the recall that went with it.
    pub(super) fn must_wait_for_recalls(&self, key: &KeyRow, accounts: &[OpenAccount]) -> bool {
        let began = accounts.iter().map(|account| account.began_revision);
        let newest = began.fold(key.moved_revision, Revision::max);
        self.shared.live().await_everywhere(newest, self.now)
    }

    /// Money of these accounts was granted that its holder may keep.
    pub(super) fn note_plenty(&mut self, accounts: impl Iterator<Item = BudgetId>) {
        let mut live = self.shared.live();
        for account in accounts.filter(|account| live.recalls().stands(account)) {
            self.effects.push(Effect::RecallEnded(account));
        }
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
