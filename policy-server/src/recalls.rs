//! Which accounts have been recalled: asked back, from every holder, because somebody waits for
//! money that others keep. Kept in memory; after a start an account is simply recalled once more.

use std::collections::HashMap;

use crate::store::BudgetId;

/// Between two recalls of one account, in milliseconds: each one wakes every holder's poll, and
/// what a recall brings back takes about that long to arrive.
pub const RECALL_EVERY_MS: u64 = 100;

/// Accounts remembered. One that is forgotten may be recalled too early, which costs one message
/// per holder; more accounts than this are never contended within one another's time.
pub const ACCOUNTS_MOST: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Recall {
    tried_ms: u64,
    /// Holders know, and nothing has been granted since that they may keep.
    stands: bool,
}

/// Accounts that were recalled lately.
#[derive(Debug, Default)]
pub struct Recalls {
    accounts: HashMap<BudgetId, Recall>,
}

impl Recalls {
    /// Whether the account is to be recalled now; the answer true counts as the attempt. False
    /// while an earlier recall stands, and for [`RECALL_EVERY_MS`] after an attempt, also where
    /// its transaction failed.
    pub fn is_due(&mut self, account: &BudgetId, now_ms: u64) -> bool {
        if let Some(known) = self.accounts.get(account)
            && (known.stands || now_ms < known.tried_ms.saturating_add(RECALL_EVERY_MS))
        {
            return false;
        }
        self.set(account.clone(), Recall { tried_ms: now_ms, stands: false });
        true
    }

    /// The recall is committed: holders keep nothing of the account from now on.
    pub fn published(&mut self, account: BudgetId) {
        let tried_ms = self.accounts.get(&account).map_or(0, |known| known.tried_ms);
        self.set(account, Recall { tried_ms, stands: true });
    }

    /// Whether a recall stands.
    #[must_use]
    pub fn stands(&self, account: &BudgetId) -> bool {
        self.accounts.get(account).is_some_and(|known| known.stands)
    }

    /// A grant was made that its holder may keep, so the account can come to be recalled again.
    pub fn ended(&mut self, account: &BudgetId) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.stands = false;
        }
    }

    fn set(&mut self, account: BudgetId, recall: Recall) {
        if self.accounts.len() >= ACCOUNTS_MOST && !self.accounts.contains_key(&account) {
            let oldest = self.accounts.iter().min_by_key(|(id, known)| (known.tried_ms, *id));
            let oldest = oldest.map(|(id, _)| id.clone());
            oldest.and_then(|id| self.accounts.remove(&id));
        }
        self.accounts.insert(account, recall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::Level;

    fn account(owner: usize) -> BudgetId {
        BudgetId { level: Level::Org, owner: owner.to_string() }
    }

    #[test]
    fn a_recall_stands_until_something_was_granted_to_keep() {
        let mut recalls = Recalls::default();
        assert!(recalls.is_due(&account(1), 1_000));
        recalls.published(account(1));
        assert!(recalls.stands(&account(1)));
        assert!(!recalls.is_due(&account(1), 1_000_000));
        assert!(recalls.is_due(&account(2), 1_000), "another account has its own");
        recalls.ended(&account(1));
        assert!(recalls.is_due(&account(1), 1_000_000));
    }

    #[test]
    fn an_attempt_that_was_not_committed_is_repeated_but_not_at_once() {
        let mut recalls = Recalls::default();
        assert!(recalls.is_due(&account(1), 1_000));
        assert!(!recalls.is_due(&account(1), 1_000 + RECALL_EVERY_MS - 1));
        assert!(recalls.is_due(&account(1), 1_000 + RECALL_EVERY_MS));
    }

    #[test]
    fn only_so_many_accounts_are_remembered() {
        let mut recalls = Recalls::default();
        for owner in 0..ACCOUNTS_MOST + 10 {
            assert!(recalls.is_due(&account(owner), owner as u64));
            recalls.published(account(owner));
        }
        assert_eq!(recalls.accounts.len(), ACCOUNTS_MOST);
        assert!(!recalls.stands(&account(9)) && recalls.stands(&account(10)));
    }
}
