//! Entries of wallets: appended and read, never changed; and what is to become one.

use rusqlite::{Row, params};
use wire::OrgId;

use super::Rows;
use super::encoding::{Columns, integer, money};
use crate::store::{StoreResult, WalletAccount, WalletEntry, WalletRows, WalletUsage};

impl WalletRows for Rows<'_> {
    fn wallet_entry(&mut self, org: &OrgId, id: &str) -> StoreResult<Option<WalletEntry>> {
        self.one(
            "SELECT * FROM wallet_entries WHERE org = ? AND id = ?",
            params![org.as_str(), id],
            entry,
        )
    }

    fn add_wallet_entry(&mut self, entry: &WalletEntry) -> StoreResult<()> {
        self.execute(
            "INSERT INTO wallet_entries (org, id, debit, credit, amount, note, at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                entry.org.as_str(),
                entry.id,
                entry.debit.as_str(),
                entry.credit.as_str(),
                money(entry.amount),
                entry.note,
                integer(entry.at_unix_ms)
            ],
        )
    }

    fn wallet_entries(
        &mut self,
        org: &OrgId,
        debit: Option<WalletAccount>,
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<(i64, WalletEntry)>> {
        self.all(
            "SELECT * FROM wallet_entries
             WHERE org = ?1 AND (?2 IS NULL OR debit = ?2) AND (?3 IS NULL OR position < ?3)
             ORDER BY position DESC LIMIT ?4",
            params![org.as_str(), debit.map(WalletAccount::as_str), before, limit],
            |row| Ok((row.get("position")?, entry(row)?)),
        )
    }

    fn wallet_usage(&mut self, org: &OrgId, day: u64) -> StoreResult<Option<WalletUsage>> {
        self.one(
            "SELECT * FROM wallet_usage WHERE org = ? AND day = ?",
            params![org.as_str(), integer(day)],
            usage,
        )
    }

    fn wallet_usage_of(&mut self, org: &OrgId, limit: u32) -> StoreResult<Vec<WalletUsage>> {
        self.all(
            "SELECT * FROM wallet_usage WHERE org = ? ORDER BY day LIMIT ?",
            params![org.as_str(), limit],
            usage,
        )
    }

    fn wallet_usage_before(&mut self, day: u64, limit: u32) -> StoreResult<Vec<WalletUsage>> {
        self.all(
            "SELECT * FROM wallet_usage WHERE day < ? ORDER BY day, org LIMIT ?",
            params![integer(day), limit],
            usage,
        )
    }

    fn save_wallet_usage(&mut self, usage: &WalletUsage) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO wallet_usage (org, day, amount) VALUES (?, ?, ?)",
            params![usage.org.as_str(), integer(usage.day), money(usage.amount)],
        )
    }

    fn remove_wallet_usage(&mut self, usage: &WalletUsage) -> StoreResult<()> {
        self.execute(
            "DELETE FROM wallet_usage WHERE org = ? AND day = ?",
            params![usage.org.as_str(), integer(usage.day)],
        )
    }
}

fn usage(row: &Row<'_>) -> rusqlite::Result<WalletUsage> {
    let columns = Columns(row);
    Ok(WalletUsage {
        org: columns.checked("org", OrgId::new)?,
        day: columns.number("day")?,
        amount: columns.money("amount")?,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<WalletEntry> {
    let columns = Columns(row);
    let account =
        |name| columns.checked(name, |text| WalletAccount::parse(&text).ok_or("no such account"));
    Ok(WalletEntry {
        org: columns.checked("org", OrgId::new)?,
        id: columns.text("id")?,
        debit: account("debit")?,
        credit: account("credit")?,
        amount: columns.money("amount")?,
        note: columns.text("note")?,
        at_unix_ms: columns.number("at_ms")?,
    })
}
