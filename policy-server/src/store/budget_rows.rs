//! How budgets and their accounts are loaded and saved.

use metering::budget::Account;
use wire::NanoUsd;
use wire::v1::Level;

use super::{AccountId, Budget, BudgetId, StoreResult};

/// Budgets and their accounts.
pub trait BudgetRows {
    /// The budget of one owner.
    fn budget(&mut self, id: &BudgetId) -> StoreResult<Option<Budget>>;
    /// Inserts or replaces.
    fn save_budget(&mut self, id: &BudgetId, budget: &Budget) -> StoreResult<()>;
    /// The sums of one budget in one period; its cap is not stored here and reads as none.
    fn account(&mut self, id: &AccountId) -> StoreResult<Option<Account>>;
    /// Inserts or replaces the sums; the cap is not stored.
    fn save_account(&mut self, id: &AccountId, account: &Account) -> StoreResult<()>;
    /// By level: what is outstanding, parked and overdrawn in all accounts of all periods. It reads
    /// every account.
    fn money_totals(&mut self) -> StoreResult<Vec<(Level, [NanoUsd; 3])>>;
    /// How many budgets are frozen.
    fn frozen_count(&mut self) -> StoreResult<u64>;
    /// Freezes every budget that has a cap. Answers how many were not frozen before.
    fn freeze_capped_budgets(&mut self) -> StoreResult<u64>;
    /// Frozen budgets in the order of level and owner, at most `limit`.
    fn frozen_budgets(
        &mut self,
        after: Option<&BudgetId>,
        limit: u32,
    ) -> StoreResult<Vec<BudgetId>>;
}
