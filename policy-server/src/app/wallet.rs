//! Prepaid money of an organisation. What goes in and comes out are entries that are only ever
//! added; their sum, without what calls have cost, is the cap of a budget of level `wallet` that never
//! starts afresh.

use wire::v1::Level;
use wire::{NanoUsd, OrgId};

use super::{AccountView, AdminError, Changed, Page, Work};
use crate::alerts::Alerts;
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

/// A correction of what a wallet holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdjustmentForm {
    /// How much; more than nothing.
    pub amount: NanoUsd,
    /// It is taken out, and not put in.
    pub takes: bool,
    /// Why, for people.
    pub note: String,
    /// The caller's own id: repeating it changes nothing.
    pub id: Option<String>,
}

/// What a top-up or a correction came to.
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
    /// When there is no such organisation, the id was used for something else, the wallet would
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
        let entry = WalletEntry {
            org: org.clone(),
            id,
            debit: WalletAccount::Payments,
            credit: WalletAccount::Wallet,
            amount: form.amount,
            note: form.note,
            at_unix_ms: self.now.unix_ms,
        };
        let known = self.rows.budget(&wallet_budget(org))?;
        self.move_wallet(entry, known)
    }

    /// Corrects what a wallet holds: an operator gives money without a payment, as for a failure of
    /// his, or takes some out, as for a payment that was taken back. What is spent, set aside or
    /// parked cannot be taken.
    ///
    /// # Errors
    /// When the organisation has no wallet, the id was used for something else, the wallet would
    /// hold too much or less than is out, or the store fails.
    pub fn adjust_wallet(
        &mut self,
        org: &OrgId,
        form: AdjustmentForm,
    ) -> Result<Changed<ToppedUp>, AdminError> {
        let known = self.wallet(org)?.budget;
        let id = match form.id {
            Some(id) => id,
            None => self.random_id("adj_", 20)?,
        };
        let (debit, credit) = if form.takes {
            (WalletAccount::Wallet, WalletAccount::Adjustments)
        } else {
            (WalletAccount::Adjustments, WalletAccount::Wallet)
        };
        let entry = WalletEntry {
            org: org.clone(),
            id,
            debit,
            credit,
            amount: form.amount,
            note: form.note,
            at_unix_ms: self.now.unix_ms,
        };
        self.move_wallet(entry, Some(known))
    }

    /// Sets at which parts of all that was ever put into a wallet somebody is told.
    ///
    /// # Errors
    /// When the organisation has no wallet, or the store fails.
    pub fn alert_wallet(&mut self, org: &OrgId, alerts: Alerts) -> Result<AccountView, AdminError> {
        let known = self.wallet(org)?;
        let budget = Budget { alerts, ..known.budget };
        self.rows.save_budget(&known.id, &budget)?;
        let open = self.open_account(known.id.clone(), &budget)?;
        self.tell_of_thresholds(&open.id, &budget, &open.at.account)?;
        self.account_view(known.id)
    }

    /// Adds an entry that moves money into a wallet or out of it, once.
    fn move_wallet(
        &mut self,
        entry: WalletEntry,
        known: Option<Budget>,
    ) -> Result<Changed<ToppedUp>, AdminError> {
        if let Some(before) = self.rows.wallet_entry(&entry.org, &entry.id)? {
            return self.moved_before(before, &entry);
        }
        let budget_id = wallet_budget(&entry.org);
        let before = known.and_then(|budget| budget.cap).unwrap_or_default();
        let cap = if entry.debit == WalletAccount::Wallet {
            self.wallet_after_taking(&entry, before)?
        } else {
            let cap = before.checked_add(entry.amount).filter(|cap| *cap <= WALLET_MOST);
            cap.ok_or_else(|| AdminError::Conflict {
                code: "wallet_full",
                message: format!("a wallet takes at most {} USD in all", WALLET_MOST.to_usd()),
                param: Some("usd".to_owned()),
            })?
        };
        self.rows.add_wallet_entry(&entry)?;
        let began_revision = match known {
            Some(known) => known.began_revision,
            // Leases that are out are not paid from the wallet: they come back first.
            None => self.recall(&super::orgs::org_budget(&entry.org))?,
        };
        let budget = Budget { cap: Some(cap), began_revision, ..known.unwrap_or_default() };
        self.rows.save_budget(&budget_id, &budget)?;
        let revision = match known {
            // No filter knows how much there is, so none must hear of more.
            Some(_) => self.rows.server()?.revision,
            None => self.publish(super::orgs::below(&entry.org))?,
        };
        // No period ends for a wallet: what a payment leaves behind is told again when it is reached
        // again.
        let open = self.open_account(budget_id.clone(), &budget)?;
        self.forget_told(&open.id, &budget, &open.at.account)?;
        self.tell_of_thresholds(&open.id, &budget, &open.at.account)?;
        let wallet = self.account_view(budget_id)?;
        Ok(Changed { value: ToppedUp { entry, wallet, is_new: true }, revision })
    }

    fn wallet_after_taking(
        &mut self,
        entry: &WalletEntry,
        before: NanoUsd,
    ) -> Result<NanoUsd, AdminError> {
        let room = self.account_view(wallet_budget(&entry.org))?.account.room().unwrap_or_default();
        if entry.amount > room {
            return Err(AdminError::Conflict {
                code: "wallet_in_use",
                message: format!(
                    "{} USD are neither spent nor set aside for calls: no more can be taken",
                    room.to_usd()
                ),
                param: Some("usd".to_owned()),
            });
        }
        Ok(NanoUsd(before.0.saturating_sub(entry.amount.0)))
    }

    fn moved_before(
        &mut self,
        before: WalletEntry,
        wanted: &WalletEntry,
    ) -> Result<Changed<ToppedUp>, AdminError> {
        let same = |entry: &WalletEntry| (entry.amount, entry.debit, entry.credit);
        if same(&before) != same(wanted) {
            let (id, usd) = (&before.id, before.amount.to_usd());
            let (from, to) = (before.debit.as_str(), before.credit.as_str());
            return Err(AdminError::Conflict {
                code: "id_reused",
                message: format!("'{id}' moved {usd} USD from {from} to {to}"),
                param: Some("id".to_owned()),
            });
        }
        let wallet = self.account_view(wallet_budget(&before.org))?;
        let revision = self.rows.server()?.revision;
        Ok(Changed { value: ToppedUp { entry: before, wallet, is_new: false }, revision })
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
        self.wallet_page(org, Some(WalletAccount::Payments), before, limit)
    }
}

/// The id of an organisation's wallet.
#[must_use]
pub fn wallet_budget(org: &OrgId) -> BudgetId {
    BudgetId { level: Level::Wallet, owner: org.as_str().to_owned() }
}
