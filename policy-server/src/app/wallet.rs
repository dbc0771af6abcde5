//! Prepaid money of an organisation. Its top-ups are entries that are only ever added; their sum
//! is the cap of a budget of level `wallet` that never starts afresh.

use metering::period::Period;
use wire::v1::{Change, Level};
use wire::{NanoUsd, OrgId};

use super::{AccountView, AdminError, Changed, Page, Work};
use crate::store::{Budget, BudgetId, WalletAccount, WalletEntry};

/// A billion USD in one wallet: sums of money never come near the largest amount.
const WALLET_MOST: NanoUsd = NanoUsd(1_000_000_000 * 1_000_000_000);

/// Money that an administrator puts into a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopUpForm {
    /// How much; more than nothing.
    pub amount: NanoUsd,
    /// What for, for people.
    pub note: String,
    /// The caller's own id: repeating it adds nothing.
    pub id: Option<String>,
}

/// What a top-up came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToppedUp {
    /// The entry, from now or from the first time.
    pub entry: WalletEntry,
    /// The wallet afterwards.
    pub wallet: AccountView,
    /// It was added now.
    pub is_new: bool,
}

impl Work<'_> {
    /// Adds money to an organisation's wallet, and opens it with the first. What was spent before
    /// a wallet was opened is not taken from it.
    ///
    /// # Errors
    /// When there is no such organisation, the id was used for another amount, the wallet would
    /// hold too much, or the store fails.
    pub fn top_up(
        &mut self,
        org: &OrgId,
        form: TopUpForm,
    ) -> Result<Changed<ToppedUp>, AdminError> {
        self.org(org)?;
        let id = match form.id {
            Some(id) => id,
            None => self.random_id("topup_", 20)?,
        };
        if let Some(entry) = self.rows.wallet_entry(org, &id)? {
            return self.topped_up_before(entry, form.amount);
        }
        let budget_id = wallet_budget(org);
        let known = self.rows.budget(&budget_id)?;
        let before = known.and_then(|budget| budget.cap).unwrap_or_default();
        let cap = before.checked_add(form.amount).filter(|cap| *cap <= WALLET_MOST);
        let Some(cap) = cap else {
            return Err(AdminError::Conflict {
                code: "wallet_full",
                message: format!("a wallet takes at most {} USD in all", WALLET_MOST.to_usd()),
                param: Some("usd".to_owned()),
            });
        };
        let entry = WalletEntry {
            org: org.clone(),
            id,
            debit: WalletAccount::Payments,
            credit: WalletAccount::Wallet,
            amount: form.amount,
            note: form.note,
            at_unix_ms: self.now.unix_ms,
        };
        self.rows.add_wallet_entry(&entry)?;
        let began_revision = match known {
            Some(known) => known.began_revision,
            // Leases that are out are not paid from the wallet: they come back first.
            None => self.recall(&super::orgs::org_budget(org))?,
        };
        let frozen = known.is_some_and(|known| known.frozen);
        let budget = Budget { cap: Some(cap), period: Period::None, frozen, began_revision };
        self.rows.save_budget(&budget_id, &budget)?;
        let revision = match known {
            // No filter knows how much there is, so none must hear of more.
            Some(_) => self.rows.server()?.revision,
            None => self.publish(Change::AllKeys)?,
        };
        let wallet = self.account_view(budget_id)?;
        Ok(Changed { value: ToppedUp { entry, wallet, is_new: true }, revision })
    }

    fn topped_up_before(
        &mut self,
        entry: WalletEntry,
        amount: NanoUsd,
    ) -> Result<Changed<ToppedUp>, AdminError> {
        if entry.amount != amount {
            return Err(AdminError::Conflict {
                code: "id_reused",
                message: format!("'{}' was a top-up of {} USD", entry.id, entry.amount.to_usd()),
                param: Some("id".to_owned()),
            });
        }
        let wallet = self.account_view(wallet_budget(&entry.org))?;
        let revision = self.rows.server()?.revision;
        Ok(Changed { value: ToppedUp { entry, wallet, is_new: false }, revision })
    }

    /// An organisation's wallet.
    ///
    /// # Errors
    /// When it has none, or the store fails.
    pub fn wallet(&mut self, org: &OrgId) -> Result<AccountView, AdminError> {
        let id = wallet_budget(org);
        if self.rows.budget(&id)?.is_none() {
            return Err(AdminError::not_found("wallet", org.as_str()));
        }
        self.account_view(id)
    }

    /// What was put into a wallet, newest first.
    ///
    /// # Errors
    /// When there is no such wallet, or the store fails.
    pub fn top_ups(
        &mut self,
        org: &OrgId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<WalletEntry>, AdminError> {
        self.wallet(org)?;
        let found = self.rows.wallet_entries(org, before, limit.saturating_add(1))?;
        let page = Page::of(found, limit, |(position, _)| position.to_string());
        let items = page.items.into_iter().map(|(_, entry)| entry).collect();
        Ok(Page { items, next: page.next })
    }
}

/// The id of an organisation's wallet.
#[must_use]
pub fn wallet_budget(org: &OrgId) -> BudgetId {
    BudgetId { level: Level::Wallet, owner: org.as_str().to_owned() }
}
