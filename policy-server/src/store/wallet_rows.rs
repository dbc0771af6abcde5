//! Rows of wallets: entries, and what was spent and stands in no entry yet.

use wire::{NanoUsd, OrgId};

use super::StoreResult;

/// An account within a wallet's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WalletAccount {
    /// What was paid to the operator, by whatever means.
    Payments,
    /// What the organisation may spend.
    Wallet,
    /// What its calls have cost.
    Usage,
    /// What the operator has corrected.
    Adjustments,
}

impl WalletAccount {
    /// Every account.
    pub const ALL: [Self; 4] = [Self::Payments, Self::Wallet, Self::Usage, Self::Adjustments];

    /// The word in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Wallet => "wallet",
            Self::Usage => "usage",
            Self::Adjustments => "adjustments",
        }
    }

    /// The account of a word, or `None` when there is no such account.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|account| account.as_str() == word)
    }
}

/// An amount moved from one account of a wallet to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletEntry {
    /// The organisation whose wallet it is.
    pub org: OrgId,
    /// Its id, unique within the wallet.
    pub id: String,
    /// Where the amount came from.
    pub debit: WalletAccount,
    /// Where it went.
    pub credit: WalletAccount,
    /// How much.
    pub amount: NanoUsd,
    /// What for, for people.
    pub note: String,
    /// When, in milliseconds since 1970 UTC.
    pub at_unix_ms: u64,
}

/// What was spent of a wallet on a day and stands in no entry yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletUsage {
    /// The organisation whose wallet it is.
    pub org: OrgId,
    /// Days since 1970 UTC; zero: before usage became entries.
    pub day: u64,
    /// How much; more than nothing.
    pub amount: NanoUsd,
}

/// Wallets' entries, which are only ever added, and what is to become one.
pub trait WalletRows {
    /// The entry with this id.
    fn wallet_entry(&mut self, org: &OrgId, id: &str) -> StoreResult<Option<WalletEntry>>;
    /// Appends an entry.
    fn add_wallet_entry(&mut self, entry: &WalletEntry) -> StoreResult<()>;
    /// Entries before a position, from one account where that is given, newest first, with the
    /// position of each for the next page.
    fn wallet_entries(
        &mut self,
        org: &OrgId,
        debit: Option<WalletAccount>,
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<(i64, WalletEntry)>>;
    /// What was spent on a day and stands in no entry.
    fn wallet_usage(&mut self, org: &OrgId, day: u64) -> StoreResult<Option<WalletUsage>>;
    /// All days of a wallet that stand in no entry, at most `limit`.
    fn wallet_usage_of(&mut self, org: &OrgId, limit: u32) -> StoreResult<Vec<WalletUsage>>;
    /// Days before this one that stand in no entry, of any wallet, at most `limit`.
    fn wallet_usage_before(&mut self, day: u64, limit: u32) -> StoreResult<Vec<WalletUsage>>;
    /// Inserts or replaces.
    fn save_wallet_usage(&mut self, usage: &WalletUsage) -> StoreResult<()>;
    /// Removes it: it stands in an entry now.
    fn remove_wallet_usage(&mut self, usage: &WalletUsage) -> StoreResult<()>;
}
