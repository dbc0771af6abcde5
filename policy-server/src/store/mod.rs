//! What must be remembered, as plain rows, and the narrow traits by which the application loads
//! and saves them. Nothing here adds or compares money: every number is decided in `metering`.

mod key_rows;
mod record_rows;
mod rows;
pub mod sqlite;

use std::ops::ControlFlow;

use wire::{
    CatalogueVersion, HolderId, KeyDigest, KeyId, LeaseId, ModelName, Nonce, OrgId, PriceMultiplier,
};

pub use key_rows::{
    KeyCreation, KeyCursor, KeyFormat, KeyLife, KeyOrder, KeyRow, KeySearch, KeyStatus, KeyUsage,
    SortValue, StoredLimit,
};
use metering::budget::Account;
use metering::period::Period;
use metering::permits::Permits;
pub use record_rows::{
    RecordPlace, RecordRow, RecordSearch, UsageDay, UsageGroup, UsageOwner, UsageSearch, UsageSums,
};
pub use rows::{
    AccountId, AuditRow, Budget, BudgetId, CatalogueModel, HolderRow, HolderState, LeaseRow,
    OrgRow, ServerRow, Share, WalletAccount, WalletEntry, WindowId,
};
use wire::v1::{CallRecord, Price};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or failed; trying again may help.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// The journal could not be written, so the batch was not committed; trying again may help.
    #[error(transparent)]
    Journal(#[from] sqlite::JournalError),
    /// A row holds what this version cannot have written.
    #[error("the database holds a value that cannot be read: {0}")]
    Unreadable(String),
    /// More writes are waiting than may.
    #[error("too many writes are waiting")]
    QueueFull,
    /// The writer has ended.
    #[error("the server is stopping")]
    Stopped,
    /// The batch in which the write stood was not committed.
    #[error("the write was not committed")]
    NotCommitted,
}

/// Result of a store operation.
pub type StoreResult<T> = Result<T, StoreError>;

/// Everything within one transaction.
pub trait Transaction:
    Parts
    + ServerRows
    + OrgRows
    + KeyRows
    + DigestRows
    + ModelRows
    + BudgetRows
    + WalletRows
    + WindowRows
    + LeaseRows
    + HolderRows
    + RecordRows
    + UsageRows
    + TokenRows
    + AuditRows
{
}

/// A part of a job that may fail without the rest of it. Parts are not nested.
pub trait Parts {
    /// Begins a part. Answers what [`Parts::undo_part`] needs.
    fn begin_part(&mut self) -> StoreResult<PartBegun>;
    /// What was written since stays, as far as the job's does.
    fn keep_part(&mut self) -> StoreResult<()>;
    /// What was written since is undone. Where that fails, the job must fail.
    fn undo_part(&mut self, begun: PartBegun) -> StoreResult<()>;
}

/// Where a part began: how many statements had been written for the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartBegun(pub(crate) usize);

/// The server's own counters.
pub trait ServerRows {
    /// Epoch, revision and catalogue version.
    fn server(&mut self) -> StoreResult<ServerRow>;
    /// Saves them.
    fn save_server(&mut self, server: &ServerRow) -> StoreResult<()>;
}

/// Digests of admin tokens.
pub trait TokenRows {
    /// Every digest that admits an administrator.
    fn admin_tokens(&mut self) -> StoreResult<Vec<KeyDigest>>;
    /// Makes this the only one.
    fn replace_admin_tokens(&mut self, digest: KeyDigest, made_unix_ms: u64) -> StoreResult<()>;
}

/// Organisations.
pub trait OrgRows {
    /// One organisation.
    fn org(&mut self, id: &OrgId) -> StoreResult<Option<OrgRow>>;
    /// Organisations in the order of their ids, after `after`, at most `limit`.
    fn orgs(&mut self, after: Option<&str>, limit: u32) -> StoreResult<Vec<OrgRow>>;
    /// Inserts or replaces, and remembers its multiplier for ever.
    fn save_org(&mut self, org: &OrgRow) -> StoreResult<()>;
    /// Whether calls of the organisation were ever to be priced by this multiplier.
    fn had_multiplier(&mut self, id: &OrgId, multiplier: PriceMultiplier) -> StoreResult<bool>;
    /// Removes the row; ledger, records and multipliers stay.
    fn remove_org(&mut self, id: &OrgId) -> StoreResult<()>;
}

/// Keys.
pub trait KeyRows {
    /// One key, deleted ones included.
    fn key(&mut self, id: &KeyId) -> StoreResult<Option<KeyRow>>;
    /// Inserts or replaces all but the usage, and everything by which the key is found and counted.
    /// `status` is the one that it has now.
    fn save_key(&mut self, key: &KeyRow, status: KeyStatus) -> StoreResult<()>;
    /// Saves what a key was used for. A key that does not exist has none.
    fn save_usage(&mut self, id: &KeyId, usage: &KeyUsage) -> StoreResult<()>;
    /// Keys that match, in order, with where each of them stands in it.
    fn keys(&mut self, search: &KeySearch) -> StoreResult<Vec<(KeyCursor, KeyRow)>>;
    /// How many keys there are in each state, in an organisation or in all of them. Those that
    /// expired by now count as expired.
    fn key_counts(
        &mut self,
        org: Option<&OrgId>,
        now_unix_ms: u64,
    ) -> StoreResult<Vec<(KeyStatus, u64)>>;
    /// Keys that expired by now and are not found as such yet, at most `limit`.
    fn newly_expired(&mut self, now_unix_ms: u64, limit: u32) -> StoreResult<Vec<KeyRow>>;
    /// The key that was made under an Idempotency-Key.
    fn key_creation(&mut self, idempotency: &KeyDigest) -> StoreResult<Option<KeyCreation>>;
    /// Remembers it, in place of an older one.
    fn save_key_creation(&mut self, creation: &KeyCreation) -> StoreResult<()>;
    /// Forgets those before a wall time, at most `limit`. Answers how many there were.
    fn forget_key_creations(&mut self, before_unix_ms: u64, limit: u32) -> StoreResult<u64>;
}

/// Digests of keys.
pub trait DigestRows {
    /// The key whose secret has this digest now.
    fn key_by_digest(
        &mut self,
        digest: &KeyDigest,
        now_unix_ms: u64,
    ) -> StoreResult<Option<KeyRow>>;
    /// Whether a key has or had this digest.
    fn is_digest_taken(&mut self, digest: &KeyDigest) -> StoreResult<bool>;
    /// Every digest that the key has or had, newest first, at most `limit`.
    fn digests(&mut self, id: &KeyId, limit: u32) -> StoreResult<Vec<KeyDigest>>;
    /// Makes the digest the key's own. The one before it stays valid until a wall time, or ends at
    /// once; any older one ends.
    fn replace_digest(
        &mut self,
        id: &KeyId,
        digest: &KeyDigest,
        before_valid_until_unix_ms: Option<u64>,
    ) -> StoreResult<()>;
    /// Until when the digest before the key's own is valid, if it is.
    fn previous_valid_until(&mut self, id: &KeyId) -> StoreResult<Option<u64>>;
    /// Digests whose own end has come, and their keys, at most `limit`.
    fn ended_digests(
        &mut self,
        now_unix_ms: u64,
        limit: u32,
    ) -> StoreResult<Vec<(KeyDigest, KeyId)>>;
    /// Ends a digest.
    fn end_digest(&mut self, digest: &KeyDigest) -> StoreResult<()>;
}

/// Models and the history of their prices.
pub trait ModelRows {
    /// Every model, retired ones included, in the order of their names.
    fn models(&mut self) -> StoreResult<Vec<CatalogueModel>>;
    /// One model by its concrete name.
    fn model(&mut self, name: &ModelName) -> StoreResult<Option<CatalogueModel>>;
    /// Inserts or replaces the model as of this version and appends to the history.
    fn save_model(&mut self, model: &CatalogueModel, version: CatalogueVersion) -> StoreResult<()>;
    /// The price of a model as of a version: outer `None` when it did not exist then.
    fn price_at(
        &mut self,
        model: &ModelName,
        version: CatalogueVersion,
    ) -> StoreResult<Option<Option<Price>>>;
}

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
    /// Freezes every budget that has a cap. Answers how many were not frozen before.
    fn freeze_capped_budgets(&mut self) -> StoreResult<u64>;
    /// Frozen budgets in the order of level and owner, at most `limit`.
    fn frozen_budgets(&mut self, limit: u32) -> StoreResult<Vec<BudgetId>>;
}

/// What was put into wallets.
pub trait WalletRows {
    /// The entry with this id.
    fn wallet_entry(&mut self, org: &OrgId, id: &str) -> StoreResult<Option<WalletEntry>>;
    /// Appends an entry.
    fn add_wallet_entry(&mut self, entry: &WalletEntry) -> StoreResult<()>;
    /// Entries before a position, newest first, with the position of each for the next page.
    fn wallet_entries(
        &mut self,
        org: &OrgId,
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<(i64, WalletEntry)>>;
}

/// Windows over all proxies, and the server's monotonic clock.
pub trait WindowRows {
    /// The life that the server's monotonic clock is in.
    fn life(&mut self) -> StoreResult<u64>;
    /// The server starts: a new life begins.
    fn begin_life(&mut self) -> StoreResult<u64>;
    /// How long the server had run in all its lives when that was noted last, in milliseconds.
    fn ran_ms(&mut self) -> StoreResult<u64>;
    /// Notes it.
    fn save_ran_ms(&mut self, ran_ms: u64) -> StoreResult<()>;
    /// The permits of a window, in times of the life that is named with them.
    fn permits(&mut self, id: &WindowId) -> StoreResult<Option<(u64, Permits)>>;
    /// Inserts or replaces.
    fn save_permits(&mut self, id: &WindowId, life: u64, permits: &Permits) -> StoreResult<()>;
    /// How many windows there are.
    fn window_count(&mut self) -> StoreResult<u64>;
}

/// Leases and the accounts that they were granted from.
pub trait LeaseRows {
    /// One lease.
    fn lease(&mut self, id: &LeaseId) -> StoreResult<Option<LeaseRow>>;
    /// Inserts a new lease with the accounts that it was granted from.
    fn add_lease(&mut self, lease: &LeaseRow, charged: &[AccountId]) -> StoreResult<()>;
    /// Saves the money and the permits of a lease.
    fn save_lease(&mut self, lease: &LeaseRow) -> StoreResult<()>;
    /// The accounts that a lease was granted from.
    fn shares(&mut self, id: &LeaseId) -> StoreResult<Vec<Share>>;
    /// Notes when the shares of a lease in accounts of this period are to be released, in time that
    /// the server has run.
    fn schedule_release(&mut self, id: &LeaseId, period: Period, at_ran_ms: u64)
    -> StoreResult<()>;
    /// Shares whose time of release has come, the oldest first, at most `limit`.
    fn due_releases(&mut self, ran_ms: u64, limit: u32) -> StoreResult<Vec<Share>>;
    /// Whether any share has a time of release.
    fn has_scheduled_releases(&mut self) -> StoreResult<bool>;
    /// Shares of a key's parked leases that are not released, at most `limit`.
    fn parked_shares(&mut self, key: &KeyId, limit: u32) -> StoreResult<Vec<Share>>;
    /// Marks a share as released.
    fn save_released(&mut self, share: &Share) -> StoreResult<()>;
    /// How many leases are open.
    fn open_lease_count(&mut self) -> StoreResult<u64>;
    /// Open leases of a holder, at most `limit`.
    fn open_leases(&mut self, holder: &HolderId, limit: u32) -> StoreResult<Vec<LeaseRow>>;
}

/// The audit.
pub trait AuditRows {
    /// Appends a line.
    fn add_audit(&mut self, line: &AuditRow) -> StoreResult<()>;
}

/// Registered VMs.
pub trait HolderRows {
    /// One holder.
    fn holder(&mut self, id: &HolderId) -> StoreResult<Option<HolderRow>>;
    /// The holder that registered with this nonce.
    fn holder_by_nonce(&mut self, nonce: &Nonce) -> StoreResult<Option<HolderRow>>;
    /// Inserts or replaces.
    fn save_holder(&mut self, holder: &HolderRow) -> StoreResult<()>;
    /// Holders whose sessions had not lapsed.
    fn live_holders(&mut self) -> StoreResult<Vec<HolderId>>;
    /// How many these are.
    fn live_holder_count(&mut self) -> StoreResult<u64>;
}

/// The request log.
pub trait RecordRows {
    /// Whether this call is recorded, by whatever holder, or the holder's record with its number is
    /// there.
    fn has_record(&mut self, holder: &HolderId, call: &CallRecord) -> StoreResult<bool>;
    /// Appends a record.
    fn add_record(&mut self, record: &RecordRow) -> StoreResult<()>;
    /// Records that match, the call that began last first, with the place of each.
    fn records(&mut self, search: &RecordSearch) -> StoreResult<Vec<(RecordPlace, RecordRow)>>;
    /// Whether the oldest record arrived before this time.
    fn has_records_before(&mut self, unix_ms: u64) -> StoreResult<bool>;
    /// Removes the oldest records as far as they arrived before this time, at most `limit`. Answers
    /// how many those were.
    fn remove_records_before(&mut self, unix_ms: u64, limit: u32) -> StoreResult<u64>;
}

/// Sums over the request log.
pub trait UsageRows {
    /// The sums of a day.
    fn usage(&mut self, day: &UsageDay) -> StoreResult<Option<UsageSums>>;
    /// Inserts or replaces.
    fn save_usage_day(&mut self, day: &UsageDay, sums: &UsageSums) -> StoreResult<()>;
    /// Shows the rows that match to `each` until it has seen enough. Answers without a filter come
    /// in the order of their groups.
    fn scan_usage(
        &mut self,
        search: &UsageSearch,
        each: &mut dyn FnMut(UsageDay, UsageSums) -> ControlFlow<()>,
    ) -> StoreResult<()>;
}
