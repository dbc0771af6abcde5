//! What an administrator sees of money: the accounts of a key or organisation in their current
//! periods.

use metering::budget::Account;
use wire::v1::Level;
use wire::{KeyId, OrgId};

use super::keys::key_budget;
use super::orgs::org_budget;
use super::wallet::wallet_budget;
use super::{AdminError, KeyStatus, Work};
use crate::entitlement::PlanId;
use crate::store::{Budget, BudgetId, KeyRow, OrgRow};

/// One budget in its current period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Whose.
    pub id: BudgetId,
    /// The budget.
    pub budget: Budget,
    /// First instant of the period in milliseconds since 1970 UTC.
    pub start_unix_ms: u64,
    /// First instant of the next period, if there is one.
    pub next_start_unix_ms: Option<u64>,
    /// The sums, with the cap.
    pub account: Account,
}

/// A key with what it has spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// The key.
    pub key: KeyRow,
    /// Its state, expiry included.
    pub status: KeyStatus,
    /// Its own plan; none: its organisation's applies.
    pub plan: Option<PlanId>,
    /// Whose suspension stops it, whatever its state.
    pub suspended: Option<Level>,
    /// Until when the secret before its own is good as well, in milliseconds since 1970 UTC.
    pub previous_valid_until_unix_ms: Option<u64>,
    /// Its account.
    pub spend: AccountView,
}

/// An organisation with what it has spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgView {
    /// The organisation.
    pub org: OrgRow,
    /// Its plan.
    pub plan: Option<PlanId>,
    /// Its account.
    pub spend: AccountView,
}

impl Work<'_> {
    /// The budgets of a key and of everything above it.
    ///
    /// # Errors
    /// When there is no such key, or the store fails.
    pub fn budgets_of_key(&mut self, id: &KeyId) -> Result<Vec<AccountView>, AdminError> {
        let found = self.rows.key(id)?;
        let key = found.ok_or_else(|| AdminError::not_found("key", id.as_str()))?;
        let budgets = self.budgets_above(&key)?;
        budgets.into_iter().map(|(id, _)| self.account_view(id)).collect()
    }

    /// The budget of an organisation, and its wallet where it has one.
    ///
    /// # Errors
    /// When there is no such organisation, or the store fails.
    pub fn budgets_of_org(&mut self, id: &OrgId) -> Result<Vec<AccountView>, AdminError> {
        let mut accounts = vec![self.org(id)?.spend];
        let wallet = wallet_budget(id);
        if self.rows.budget(&wallet)?.is_some() {
            accounts.push(self.account_view(wallet)?);
        }
        Ok(accounts)
    }

    pub(super) fn key_view(&mut self, key: KeyRow) -> Result<KeyView, AdminError> {
        Ok(KeyView {
            status: KeyStatus::of(&key, self.now.unix_ms),
            plan: self.key_plan(&key.id)?,
            suspended: self.suspended_above(&key)?,
            previous_valid_until_unix_ms: self
                .rows
                .previous_valid_until(&key.id)?
                .filter(|until| *until > self.now.unix_ms),
            spend: self.account_view(key_budget(&key.id))?,
            key,
        })
    }

    pub(super) fn org_view(&mut self, org: OrgRow) -> Result<OrgView, AdminError> {
        let plan = self.rows.assigned_plan(Level::Org, org.id.as_str())?;
        Ok(OrgView { spend: self.account_view(org_budget(&org.id))?, plan, org })
    }

    /// A budget in its current period; where there is none, what counts without limiting.
    ///
    /// # Errors
    /// When the store fails.
    pub fn account_view(&mut self, id: BudgetId) -> Result<AccountView, AdminError> {
        let budget = self.rows.budget(&id)?.unwrap_or_default();
        let open = self.open_account(id.clone(), &budget)?;
        Ok(AccountView {
            id,
            budget,
            start_unix_ms: open.id.start_unix_ms,
            next_start_unix_ms: budget.schedule.next_start_ms(self.now.unix_ms),
            account: open.at.account,
        })
    }
}

impl AccountView {
    /// The level at which the budget stands.
    #[must_use]
    pub fn level(&self) -> Level {
        self.id.level
    }
}
