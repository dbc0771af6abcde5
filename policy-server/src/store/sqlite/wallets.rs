//! Entries of wallets: appended and read, never changed.

use rusqlite::{Row, params};
use wire::OrgId;

use super::Rows;
use super::encoding::{Columns, integer, money};
use crate::store::{StoreResult, WalletAccount, WalletEntry, WalletRows};

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
        before: Option<i64>,
        limit: u32,
    ) -> StoreResult<Vec<(i64, WalletEntry)>> {
        self.all(
            "SELECT * FROM wallet_entries WHERE org = ?1 AND (?2 IS NULL OR position < ?2)
             ORDER BY position DESC LIMIT ?3",
            params![org.as_str(), before, limit],
            |row| Ok((row.get("position")?, entry(row)?)),
        )
    }
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
