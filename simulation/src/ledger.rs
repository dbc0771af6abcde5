//! The server's tables as they stand on disk, read past the server's own code.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use rusqlite::{Connection, Row};
use wire::NanoUsd;
use wire::v1::CallRecord;

/// Whose account it is, and of which period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId {
    /// The level, as `key` or `org`.
    pub level: String,
    /// Whose.
    pub owner: String,
    /// The kind of period, as `none` or `day`.
    pub period: String,
    /// Where the period begins, in milliseconds since 1970 UTC.
    pub start_unix_ms: u64,
}

impl AccountId {
    /// Level and owner: the budget, whatever the period.
    #[must_use]
    pub fn budget(&self) -> (String, String) {
        (self.level.clone(), self.owner.clone())
    }
}

/// One budget's sums in one period, and the same sums computed from its leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// Which.
    pub id: AccountId,
    /// The cap that the budget has now; none where it has another period by now.
    pub cap: Option<NanoUsd>,
    /// Charges of ended calls.
    pub settled: NanoUsd,
    /// What lost holders could have spent.
    pub parked: NanoUsd,
    /// What living holders may still spend.
    pub outstanding: NanoUsd,
    /// What no grant had covered.
    pub overdraft: NanoUsd,
    /// What its open leases still hold.
    pub open_leases: NanoUsd,
    /// What its parked leases still hold.
    pub parked_leases: NanoUsd,
    /// What was spent on its leases beyond what they held.
    pub beyond_leases: NanoUsd,
}

impl AccountRow {
    /// Everything that counts against the cap.
    #[must_use]
    pub fn taken(&self) -> NanoUsd {
        self.settled.saturating_add(self.parked).saturating_add(self.outstanding)
    }
}

/// What a lease was granted from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lease {
    /// The amount.
    pub granted: NanoUsd,
    /// Every account that it counts in.
    pub accounts: Vec<AccountId>,
}

/// One stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its number in the order in which they were kept.
    pub position: i64,
    /// Which holder sent it.
    pub holder: String,
    /// The record.
    pub call: CallRecord,
    /// The server computed another cost.
    pub differs: bool,
}

/// A second connection to the server's file.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    /// SQLite's number of the state that was read last; it moves when another connection commits.
    seen: Cell<Option<i64>>,
}

impl Ledger {
    /// Looks into this file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(path).context("the ledger cannot be opened")?;
        // What this connection writes is sabotage in a test of the checker; it may be lost.
        connection.pragma_update(None, "synchronous", "OFF")?;
        Ok(Self { connection, seen: Cell::new(None) })
    }

    /// Looks into no file.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn of_nothing() -> anyhow::Result<Self> {
        let connection = Connection::open_in_memory()?;
        Ok(Self { connection, seen: Cell::new(None) })
    }

    /// Whether anything was committed since this was asked last. Most of what a server does (polls,
    /// sweeps that find nothing, repeated reports) writes nothing.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has_changed(&self) -> anyhow::Result<bool> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        let now: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(self.seen.replace(Some(now)) != Some(now))
    }

    /// Every account.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn accounts(&self) -> anyhow::Result<Vec<AccountRow>> {
        let mut statement = self.connection.prepare_cached(
            // Leases that are closed and were not overspent are most of them, and hold nothing.
            "SELECT a.level, a.owner, a.period, a.start_ms,
                CASE WHEN b.period = a.period THEN b.cap END,
                a.settled, a.parked, a.outstanding, a.overdraft,
                coalesce(held.open, 0), coalesce(held.parked, 0), coalesce(held.beyond, 0)
             FROM accounts a
             LEFT JOIN budgets b ON b.level = a.level AND b.owner = a.owner
             LEFT JOIN (
                SELECT la.level, la.owner, la.period, la.start_ms,
                    sum(CASE WHEN l.standing = 'open' THEN max(l.held - l.spent, 0) END) AS open,
                    sum(CASE WHEN l.standing = 'parked' THEN max(l.held - l.spent, 0) END)
                        AS parked,
                    sum(max(l.spent - l.held, 0)) AS beyond
                FROM leases l CROSS JOIN lease_accounts la ON la.holder = l.holder AND la.n = l.n
                WHERE l.standing <> 'closed' OR l.spent > l.held
                GROUP BY 1, 2, 3, 4
             ) held ON held.level = a.level AND held.owner = a.owner
                AND held.period = a.period AND held.start_ms = a.start_ms
             ORDER BY a.level, a.owner, a.start_ms",
        )?;
        let rows = statement.query_map([], |row| {
            let money = |column: usize| number(row, column).map(NanoUsd);
            let cap: Option<i64> = row.get(4)?;
            Ok(AccountRow {
                id: account_id(row, 0)?,
                cap: cap.map(|cap| NanoUsd(u64::try_from(cap).unwrap_or(0))),
                settled: money(5)?,
                parked: money(6)?,
                outstanding: money(7)?,
                overdraft: money(8)?,
                open_leases: money(9)?,
                parked_leases: money(10)?,
                beyond_leases: money(11)?,
            })
        })?;
        rows.collect::<Result<_, rusqlite::Error>>().context("the accounts cannot be read")
    }

    /// Level and owner of every frozen budget.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn frozen(&self) -> anyhow::Result<BTreeSet<(String, String)>> {
        let sql = "SELECT level, owner FROM budgets WHERE frozen";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, rusqlite::Error>>().context("the budgets cannot be read")
    }

    /// Every lease: what was granted, and from which accounts.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn leases(&self) -> anyhow::Result<BTreeMap<String, Lease>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT l.holder || '-' || l.n, l.granted, la.level, la.owner, la.period, la.start_ms
             FROM leases l JOIN lease_accounts la ON la.holder = l.holder AND la.n = l.n",
        )?;
        let rows = statement.query_map([], |row| {
            let id: String = row.get(0)?;
            Ok((id, number(row, 1).map(NanoUsd)?, account_id(row, 2)?))
        })?;
        let mut leases: BTreeMap<String, Lease> = BTreeMap::new();
        for row in rows {
            let (id, granted, account) = row.context("the leases cannot be read")?;
            let lease = leases.entry(id).or_default();
            lease.granted = granted;
            lease.accounts.push(account);
        }
        Ok(leases)
    }

    /// The key of a lease, and the accounts that it was granted from.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn lease_of(&self, lease: &str) -> anyhow::Result<Option<(String, Vec<AccountId>)>> {
        let Some((holder, n)) = lease.rsplit_once('-') else { return Ok(None) };
        let mut statement = self.connection.prepare_cached(
            "SELECT l.key, la.level, la.owner, la.period, la.start_ms
             FROM leases l JOIN lease_accounts la ON la.holder = l.holder AND la.n = l.n
             WHERE l.holder = ? AND l.n = ? AND l.key IS NOT NULL",
        )?;
        let rows = statement.query_map([holder, n], |row| {
            let key: String = row.get(0)?;
            Ok((key, account_id(row, 1)?))
        })?;
        let mut found: Option<(String, Vec<AccountId>)> = None;
        for row in rows {
            let (key, account) = row?;
            found.get_or_insert_with(|| (key, Vec::new())).1.push(account);
        }
        Ok(found)
    }

    /// One number from the tables, for a fault that must know what the server knows.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn number(&self, sql: &str, id: &str) -> anyhow::Result<Option<u64>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([id])?;
        Ok(rows.next()?.map(|row| number(row, 0)).transpose()?)
    }

    /// Every record, in the order in which they were kept.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn records(&self) -> anyhow::Result<Vec<StoredRecord>> {
        self.records_after(0)
    }

    /// The records behind this position, in the order in which they were kept.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn records_after(&self, position: i64) -> anyhow::Result<Vec<StoredRecord>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT holder, call, recomputed, position FROM records WHERE position > ?
             ORDER BY position",
        )?;
        let rows = statement.query_map([position], |row| {
            let texts: (String, String, Option<i64>, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(texts)
        })?;
        let mut records = Vec::new();
        for row in rows {
            let (holder, text, recomputed, position) = row?;
            let call = serde_json::from_str(&text).context("a record cannot be read")?;
            let differs = recomputed.is_some();
            records.push(StoredRecord { position, holder, call, differs });
        }
        Ok(records)
    }

    /// Every lease that its holder could still spend, as `holder-n`.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn open_leases(&self) -> anyhow::Result<Vec<String>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT holder || '-' || n FROM leases WHERE standing = 'open' ORDER BY holder, n",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<Result<_, rusqlite::Error>>().context("the leases cannot be read")
    }

    /// Changes the tables behind the server's back, to see whether the checker notices.
    ///
    /// # Errors
    /// When the statement fails.
    pub fn sabotage(&self, sql: &str) -> anyhow::Result<()> {
        self.connection.execute_batch(sql).context("sabotage failed")
    }
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// Four columns from this one on.
fn account_id(row: &Row<'_>, first: usize) -> rusqlite::Result<AccountId> {
    Ok(AccountId {
        level: row.get(first)?,
        owner: row.get(first + 1)?,
        period: row.get(first + 2)?,
        start_unix_ms: number(row, first + 3)?,
    })
}
