//! What a key may do, put together from every level above it.

use metering::budget::LevelAccount;
use wire::Revision;
use wire::v1::{KeyPolicy, KeyState, Level};

use super::Work;
use crate::store::{AccountId, Budget, BudgetId, KeyLife, KeyRow, StoreError, StoreResult};

/// The account of one level in the period that contains now.
#[derive(Debug, Clone)]
pub(super) struct OpenAccount {
    pub(super) id: AccountId,
    pub(super) at: LevelAccount,
    /// Its budget is frozen: see [`Budget::refuses_grants`].
    pub(super) frozen: bool,
    /// See [`Budget::began_revision`].
    pub(super) began_revision: Revision,
}

impl Work<'_> {
    /// What a filter must know about the key.
    pub(super) fn policy(&mut self, key: &KeyRow) -> StoreResult<KeyPolicy> {
        let entitled = self.entitled(key)?;
        let (models, org_has_no_models) = self.told_models(&entitled.scopes)?;
        let state = match key.life.state() {
            KeyState::Active | KeyState::Disabled if self.is_ending(key)? => KeyState::Revoked,
            KeyState::Active if self.suspended_above(key)?.is_some() => KeyState::Disabled,
            state => state,
        };
        let limits = self.limits_above(key)?;
        let budgeted = self.is_budgeted(key)?;
        Ok(KeyPolicy {
            key: key.id.clone(),
            org: key.org.clone(),
            team: key.team.clone(),
            user: key.user.clone(),
            state,
            expires_at_unix_ms: key.expires_at_unix_ms,
            org_has_no_models,
            models,
            limits,
            budgeted,
            default_max_output_tokens: key.default_max_output_tokens,
            cut_calls: key.cut_calls,
            price_multiplier: entitled.price_multiplier,
            kind: key.kind,
            max_call: key.max_call,
            allowed_ips: key.allowed_ips.clone(),
            user_key: None,
            shadow: key.shadow,
        })
    }

    /// Whether some budget above the key has a cap.
    pub(super) fn is_budgeted(&mut self, key: &KeyRow) -> StoreResult<bool> {
        Ok(self.budgets_above(key)?.iter().any(|(_, budget)| budget.cap.is_some()))
    }

    /// Whether the key may be used now.
    pub(super) fn usable(&mut self, key: &KeyRow) -> StoreResult<bool> {
        let expired = key.expires_at_unix_ms.is_some_and(|expires| expires <= self.now.unix_ms);
        Ok(key.life == KeyLife::Active
            && !expired
            && self.suspended_above(key)?.is_none()
            && !self.is_ending(key)?)
    }

    /// Budgets above a key, its own first. A level without one counts without limiting, so that
    /// what was spent is known and counts when a cap is set later; but no wallet is no account,
    /// for what was spent before the first payment is not owed.
    pub(super) fn budgets_above(&mut self, key: &KeyRow) -> StoreResult<Vec<(BudgetId, Budget)>> {
        let mut budgets = Vec::with_capacity(Level::ALL.len());
        for level in Level::ALL {
            let Some(owner) = key.owner(level) else { continue };
            let id = BudgetId { level, owner };
            match self.rows.budget(&id)? {
                Some(budget) => budgets.push((id, budget)),
                None if level == Level::Wallet => {}
                None => budgets.push((id, Budget::default())),
            }
        }
        Ok(budgets)
    }

    /// The account of a budget in the period that contains now.
    pub(super) fn open_account(
        &mut self,
        id: BudgetId,
        budget: &Budget,
    ) -> Result<OpenAccount, StoreError> {
        let level = id.level;
        let id = AccountId {
            budget: id,
            schedule: budget.schedule,
            start_unix_ms: budget.schedule.start_ms(self.now.unix_ms),
        };
        let mut account = self.rows.account(&id)?.unwrap_or_default();
        account.cap = budget.cap;
        let at = LevelAccount { level, account };
        let (frozen, began_revision) = (budget.refuses_grants(), budget.began_revision);
        Ok(OpenAccount { id, at, frozen, began_revision })
    }

    /// The accounts above a key in the periods that contain now.
    pub(super) fn accounts_above(&mut self, key: &KeyRow) -> StoreResult<Vec<OpenAccount>> {
        let mut accounts = Vec::new();
        for (id, budget) in self.budgets_above(key)? {
            accounts.push(self.open_account(id, &budget)?);
        }
        Ok(accounts)
    }
}
