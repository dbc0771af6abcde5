//! What is spent of a wallet as entries of its ledger, and the proof that entries and budget agree.
//!
//! Every settlement adds to what was spent that day, in the same transaction; a day that is over
//! becomes one entry. So a ledger grows by one entry a day, however many calls there are, and the
//! wallet's balance by entries is what its budget says by sums that were kept apart from it.

use std::collections::BTreeMap;

use metering::budget::Account;
use wire::v1::Level;
use wire::{NanoUsd, OrgId};

use super::wallet::wallet_budget;
use super::{AdminError, FilterError, Page, Work};
use crate::store::{BudgetId, StoreResult, WalletAccount, WalletEntry, WalletUsage};
use crate::time_range::{DAY_MS, date};

/// Days that become entries in one job of the sweeper, so that requests never wait for long.
pub(super) const CLOSED_PER_SWEEP: u32 = 256;

/// Entries read at once when a ledger is added up.
const ENTRIES_AT_ONCE: u32 = 1_000;

/// Days without an entry that a wallet can have: two in a living one, this many while the sweeper
/// has not come round.
const OPEN_DAYS_MOST: u32 = 1_000;

/// Sums over a ledger, in nano-USD: what went into an account less what came out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalletBalances(BTreeMap<WalletAccount, i128>);

impl WalletBalances {
    /// Counts an entry: what one account loses another gets.
    pub fn add(&mut self, entry: &WalletEntry) {
        let amount = i128::from(entry.amount.0);
        *self.0.entry(entry.debit).or_default() -= amount;
        *self.0.entry(entry.credit).or_default() += amount;
    }

    /// The balance of one account.
    #[must_use]
    pub fn of(&self, account: WalletAccount) -> i128 {
        self.0.get(&account).copied().unwrap_or(0)
    }

    /// The sum over all accounts, which is nothing where every debit has its credit.
    #[must_use]
    pub fn sum(&self) -> i128 {
        self.0.values().sum()
    }
}

/// A wallet's ledger beside its budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletCheck {
    /// How many entries there are.
    pub entries: u64,
    /// Their sums.
    pub balances: WalletBalances,
    /// What was spent and stands in no entry yet.
    pub open_usage: NanoUsd,
    /// What may be spent in all, as the budget has it.
    pub cap: NanoUsd,
    /// What was spent, as the budget's account has it.
    pub settled: NanoUsd,
}

impl WalletCheck {
    /// What is wrong: nothing where debits equal credits, the budget's cap is what was put in, and
    /// what it has settled is what the entries say and is still to become one.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must_be_equal = |what: &str, by_entries: i128, by_budget: i128| {
            if by_entries != by_budget {
                problems
                    .push(format!("{what}: {by_entries} by entries, {by_budget} by the budget"));
            }
        };
        let usage = self.balances.of(WalletAccount::Usage);
        let put_in = self.balances.of(WalletAccount::Wallet) + usage;
        must_be_equal("sum of all accounts, in nano-USD", self.balances.sum(), 0);
        must_be_equal("put in, in nano-USD", put_in, i128::from(self.cap.0));
        let spent = usage + i128::from(self.open_usage.0);
        must_be_equal("spent, in nano-USD", spent, i128::from(self.settled.0));
        problems
    }
}

impl Work<'_> {
    /// Notes what a movement has settled of a wallet.
    pub(super) fn note_wallet_usage(
        &mut self,
        id: &BudgetId,
        before: &Account,
        after: &Account,
    ) -> StoreResult<()> {
        let spent = after.settled.0.saturating_sub(before.settled.0);
        if id.level != Level::Wallet || spent == 0 {
            return Ok(());
        }
        let Ok(org) = OrgId::new(id.owner.clone()) else { return Ok(()) };
        // Day zero is what was spent before this was noted.
        let day = (self.now.unix_ms / DAY_MS).max(1);
        let known = self.rows.wallet_usage(&org, day)?;
        let amount =
            known.map_or(NanoUsd::ZERO, |known| known.amount).saturating_add(NanoUsd(spent));
        self.rows.save_wallet_usage(&WalletUsage { org, day, amount })
    }

    /// Whether some day of some wallet is over and stands in no entry.
    pub(super) fn has_ended_wallet_days(&mut self) -> StoreResult<bool> {
        Ok(!self.rows.wallet_usage_before(self.now.unix_ms / DAY_MS, 1)?.is_empty())
    }

    /// Makes entries of days that are over, a bounded number per call. Answers whether there may be
    /// more.
    pub(super) fn close_wallet_days(&mut self) -> Result<bool, FilterError> {
        let ended = self.rows.wallet_usage_before(self.now.unix_ms / DAY_MS, CLOSED_PER_SWEEP)?;
        let full = u32::try_from(ended.len()).is_ok_and(|found| found >= CLOSED_PER_SWEEP);
        for usage in ended {
            let note = match usage.day {
                0 => "calls before days had entries".to_owned(),
                day => format!("calls of {}", date(day).unwrap_or_else(|| day.to_string())),
            };
            let entry = WalletEntry {
                id: self.usage_entry_id(&usage)?,
                org: usage.org.clone(),
                debit: WalletAccount::Wallet,
                credit: WalletAccount::Usage,
                amount: usage.amount,
                note,
                at_unix_ms: self.now.unix_ms,
            };
            self.rows.add_wallet_entry(&entry)?;
            self.rows.remove_wallet_usage(&usage)?;
        }
        Ok(full)
    }

    /// A day whose clock was set back has more than one entry.
    fn usage_entry_id(&mut self, usage: &WalletUsage) -> StoreResult<String> {
        let day = date(usage.day).unwrap_or_else(|| usage.day.to_string());
        let mut id = format!("usage_{day}");
        let mut again = 1u64;
        while self.rows.wallet_entry(&usage.org, &id)?.is_some() {
            again += 1;
            id = format!("usage_{day}_{again}");
        }
        Ok(id)
    }

    /// A wallet's entries of all kinds, newest first.
    ///
    /// # Errors
    /// When there is no such wallet, or the store fails.
    pub fn wallet_ledger(
        &mut self,
        org: &OrgId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<WalletEntry>, AdminError> {
        self.wallet(org)?;
        self.wallet_page(org, None, before, limit)
    }

    pub(super) fn wallet_page(
        &mut self,
        org: &OrgId,
        debit: Option<WalletAccount>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Page<WalletEntry>, AdminError> {
        let found = self.rows.wallet_entries(org, debit, before, limit.saturating_add(1))?;
        let page = Page::of(found, limit, |(position, _)| position.to_string());
        let items = page.items.into_iter().map(|(_, entry)| entry).collect();
        Ok(Page { items, next: page.next })
    }

    /// Adds up a wallet's ledger and puts it beside its budget.
    ///
    /// # Errors
    /// When there is no such wallet, or the store fails.
    pub fn check_wallet(&mut self, org: &OrgId) -> Result<WalletCheck, AdminError> {
        let wallet = self.wallet(org)?;
        debug_assert_eq!(wallet.id, wallet_budget(org));
        let (mut balances, mut entries, mut before) = (WalletBalances::default(), 0, None);
        loop {
            let page = self.rows.wallet_entries(org, None, before, ENTRIES_AT_ONCE)?;
            let Some((oldest, _)) = page.last() else { break };
            before = Some(*oldest);
            for (_, entry) in &page {
                balances.add(entry);
                entries += 1;
            }
        }
        let open = self.rows.wallet_usage_of(org, OPEN_DAYS_MOST)?;
        let open_usage = open.iter().map(|usage| usage.amount);
        Ok(WalletCheck {
            entries,
            balances,
            open_usage: open_usage.fold(NanoUsd::ZERO, NanoUsd::saturating_add),
            cap: wallet.account.cap.unwrap_or_default(),
            settled: wallet.account.settled,
        })
    }
}
