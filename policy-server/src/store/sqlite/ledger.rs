//! Budgets, accounts and leases: loaded and saved whole, never computed on.

use metering::budget::{Account, LeaseMoney};
use metering::permits::LeasePermits;
use rusqlite::{Row, params};
use wire::v1::Level;
use wire::{HolderId, KeyId, LeaseId, NanoUsd, Revision};

use super::Rows;
use super::encoding::{Columns, integer, json, money, standing, word};
use crate::schedule::Schedule;
use crate::store::{
    AccountId, Budget, BudgetId, BudgetRows, LeaseRow, LeaseRows, Share, StoreError, StoreResult,
};

impl BudgetRows for Rows<'_> {
    fn budget(&mut self, id: &BudgetId) -> StoreResult<Option<Budget>> {
        self.one(
            "SELECT cap, period, alerts, frozen, began_revision FROM budgets
             WHERE level = ? AND owner = ?",
            params![word(&id.level)?, id.owner],
            |row| {
                let columns = Columns(row);
                Ok(Budget {
                    cap: columns.optional_number("cap")?.map(wire::NanoUsd),
                    schedule: columns.schedule("period")?,
                    alerts: columns.alerts("alerts")?,
                    frozen: columns.flag("frozen")?,
                    began_revision: Revision(columns.number("began_revision")?),
                })
            },
        )
    }

    fn save_budget(&mut self, id: &BudgetId, budget: &Budget) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO budgets (level, owner, cap, period, alerts, frozen,
                 began_revision)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                word(&id.level)?,
                id.owner,
                budget.cap.map(money),
                budget.schedule.to_string(),
                json(&budget.alerts.thresholds().collect::<Vec<_>>())?,
                budget.frozen,
                integer(budget.began_revision.0)
            ],
        )
    }

    fn account(&mut self, id: &AccountId) -> StoreResult<Option<Account>> {
        self.one(
            "SELECT settled, parked, outstanding, overdraft FROM accounts
             WHERE level = ? AND owner = ? AND period = ? AND start_ms = ?",
            params![
                word(&id.budget.level)?,
                id.budget.owner,
                id.schedule.to_string(),
                integer(id.start_unix_ms)
            ],
            |row| {
                let columns = Columns(row);
                Ok(Account {
                    cap: None,
                    settled: columns.money("settled")?,
                    parked: columns.money("parked")?,
                    outstanding: columns.money("outstanding")?,
                    overdraft: columns.money("overdraft")?,
                })
            },
        )
    }

    fn save_account(&mut self, id: &AccountId, account: &Account) -> StoreResult<()> {
        self.execute(
            "INSERT OR REPLACE INTO accounts
                 (level, owner, period, start_ms, settled, parked, outstanding, overdraft)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                word(&id.budget.level)?,
                id.budget.owner,
                id.schedule.to_string(),
                integer(id.start_unix_ms),
                money(account.settled),
                money(account.parked),
                money(account.outstanding),
                money(account.overdraft)
            ],
        )
    }

    fn freeze_capped_budgets(&mut self) -> StoreResult<u64> {
        let frozen = self.change(
            "UPDATE budgets SET frozen = 1 WHERE cap IS NOT NULL AND frozen = 0",
            params![],
        )?;
        Ok(u64::try_from(frozen).unwrap_or(u64::MAX))
    }

    fn money_totals(&mut self) -> StoreResult<Vec<(Level, [NanoUsd; 3])>> {
        // For those who watch; nothing is decided by these sums. Whole dollars and the rest apart:
        // one account can hold as much as an integer of SQLite can, and their sum more.
        self.all(
            "SELECT level,
                 sum(outstanding / 1000000000) AS outstanding_usd, sum(outstanding % 1000000000) AS outstanding_nano,
                 sum(parked / 1000000000) AS parked_usd, sum(parked % 1000000000) AS parked_nano,
                 sum(overdraft / 1000000000) AS overdraft_usd, sum(overdraft % 1000000000) AS overdraft_nano
             FROM accounts GROUP BY level ORDER BY level",
            [],
            |row| {
                let columns = Columns(row);
                let sum = |usd, nano| -> rusqlite::Result<NanoUsd> {
                    let usd = columns.number(usd)?.saturating_mul(1_000_000_000);
                    Ok(NanoUsd(usd.saturating_add(columns.number(nano)?)))
                };
                let sums = [
                    sum("outstanding_usd", "outstanding_nano")?,
                    sum("parked_usd", "parked_nano")?,
                    sum("overdraft_usd", "overdraft_nano")?,
                ];
                Ok((columns.word("level")?, sums))
            },
        )
    }

    fn frozen_count(&mut self) -> StoreResult<u64> {
        let count =
            self.one("SELECT count(*) AS count FROM budgets WHERE frozen = 1", [], |row| {
                Columns(row).number("count")
            })?;
        Ok(count.unwrap_or(0))
    }

    fn frozen_budgets(
        &mut self,
        after: Option<&BudgetId>,
        limit: u32,
    ) -> StoreResult<Vec<BudgetId>> {
        let level = after.map(|after| word(&after.level)).transpose()?.unwrap_or_default();
        let owner = after.map_or("", |after| after.owner.as_str());
        self.all(
            "SELECT level, owner FROM budgets WHERE frozen = 1 AND (level, owner) > (?, ?)
             ORDER BY level, owner LIMIT ?",
            params![level, owner, limit],
            |row| budget_id(&Columns(row)),
        )
    }
}

impl LeaseRows for Rows<'_> {
    fn lease(&mut self, id: &LeaseId) -> StoreResult<Option<LeaseRow>> {
        let Some((holder, n)) = split(id) else {
            return Ok(None);
        };
        self.one(
            "SELECT * FROM leases WHERE holder = ? AND n = ?",
            params![holder, integer(n)],
            lease,
        )
    }

    fn add_lease(&mut self, lease: &LeaseRow, charged: &[AccountId]) -> StoreResult<()> {
        self.execute(
            "INSERT INTO leases (holder, n, key, granted, held, spent, standing, output_tokens,
                 scarce, permits, permits_used, permits_closed, windows, granted_life,
                 granted_monotonic_ms, voided, granted_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                lease.holder.as_str(),
                integer(lease.n),
                lease.key.as_ref().map(KeyId::as_str),
                money(lease.granted),
                money(lease.money.held),
                money(lease.money.spent),
                standing(lease.money.standing),
                integer(lease.output_tokens),
                lease.scarce,
                integer(lease.permits.granted),
                integer(lease.permits.used),
                lease.permits.closed,
                json(&lease.windows)?,
                integer(lease.granted_life),
                integer(lease.granted_monotonic_ms),
                lease.voided,
                integer(lease.granted_unix_ms)
            ],
        )?;
        charged.iter().try_for_each(|account| {
            self.execute(
                "INSERT INTO lease_accounts (holder, n, level, owner, period, start_ms)
                 VALUES (?, ?, ?, ?, ?, ?)",
                params![
                    lease.holder.as_str(),
                    integer(lease.n),
                    word(&account.budget.level)?,
                    account.budget.owner,
                    account.schedule.to_string(),
                    integer(account.start_unix_ms)
                ],
            )
        })
    }

    fn save_lease(&mut self, lease: &LeaseRow) -> StoreResult<()> {
        self.execute(
            "UPDATE leases SET held = ?, spent = ?, standing = ?, permits_used = ?,
                 permits_closed = ?, voided = ?
             WHERE holder = ? AND n = ?",
            params![
                money(lease.money.held),
                money(lease.money.spent),
                standing(lease.money.standing),
                integer(lease.permits.used),
                lease.permits.closed,
                lease.voided,
                lease.holder.as_str(),
                integer(lease.n)
            ],
        )
    }

    fn shares(&mut self, id: &LeaseId) -> StoreResult<Vec<Share>> {
        let (holder, n) = parts(id)?;
        self.all(
            "SELECT * FROM lease_accounts WHERE holder = ? AND n = ? ORDER BY level, owner",
            params![holder, integer(n)],
            share,
        )
    }

    fn schedule_release(
        &mut self,
        id: &LeaseId,
        schedule: Schedule,
        at_ran_ms: u64,
    ) -> StoreResult<()> {
        let (holder, n) = parts(id)?;
        self.execute(
            "UPDATE lease_accounts SET release_at_ran_ms = ?
             WHERE holder = ? AND n = ? AND period = ? AND released = 0",
            params![integer(at_ran_ms), holder, integer(n), schedule.to_string()],
        )
    }

    fn due_releases(&mut self, ran_ms: u64, limit: u32) -> StoreResult<Vec<Share>> {
        self.all(
            "SELECT * FROM lease_accounts WHERE release_at_ran_ms <= ?
             ORDER BY release_at_ran_ms LIMIT ?",
            params![integer(ran_ms), limit],
            share,
        )
    }

    fn has_scheduled_releases(&mut self) -> StoreResult<bool> {
        let sql = "SELECT 1 FROM lease_accounts WHERE release_at_ran_ms IS NOT NULL LIMIT 1";
        Ok(self.one(sql, [], |_| Ok(()))?.is_some())
    }

    fn parked_shares(&mut self, key: &KeyId, limit: u32) -> StoreResult<Vec<Share>> {
        self.all(
            "SELECT lease_accounts.* FROM leases
             JOIN lease_accounts ON lease_accounts.holder = leases.holder
                 AND lease_accounts.n = leases.n
             WHERE leases.key = ? AND leases.standing = 'parked' AND lease_accounts.released = 0
             ORDER BY leases.holder, leases.n LIMIT ?",
            params![key.as_str(), limit],
            share,
        )
    }

    fn save_released(&mut self, share: &Share) -> StoreResult<()> {
        let (holder, n) = parts(&share.lease)?;
        self.execute(
            "UPDATE lease_accounts SET released = ?, release_at_ran_ms = NULL
             WHERE holder = ? AND n = ? AND level = ? AND owner = ?",
            params![
                share.released,
                holder,
                integer(n),
                word(&share.account.budget.level)?,
                share.account.budget.owner
            ],
        )
    }

    fn open_lease_count(&mut self) -> StoreResult<u64> {
        let sql = "SELECT count(*) AS count FROM leases WHERE standing = 'open'";
        let count = self.one(sql, [], |row| Columns(row).number("count"))?;
        Ok(count.unwrap_or(0))
    }

    fn open_leases(&mut self, holder: &HolderId, limit: u32) -> StoreResult<Vec<LeaseRow>> {
        self.all(
            "SELECT * FROM leases WHERE holder = ? AND standing = 'open' ORDER BY n LIMIT ?",
            params![holder.as_str(), limit],
            lease,
        )
    }

    fn ended_leases(&mut self, before_unix_ms: u64, limit: u32) -> StoreResult<Vec<LeaseId>> {
        self.all(
            "SELECT holder, n FROM leases INDEXED BY leases_ended
             WHERE standing = 'closed' AND granted_ms < ?
             ORDER BY granted_ms LIMIT ?",
            params![integer(before_unix_ms), limit],
            |row| lease_id(&Columns(row)),
        )
    }

    fn forget_lease(&mut self, id: &LeaseId) -> StoreResult<()> {
        let (holder, n) = parts(id)?;
        self.execute(
            "UPDATE holders SET forgotten_n = ?2 WHERE id = ?1 AND forgotten_n < ?2",
            params![holder, integer(n)],
        )?;
        for sql in [
            "DELETE FROM lease_accounts WHERE holder = ? AND n = ?",
            "DELETE FROM leases WHERE holder = ? AND n = ? AND standing = 'closed'",
        ] {
            self.execute(sql, params![holder, integer(n)])?;
        }
        Ok(())
    }

    fn is_forgotten(&mut self, id: &LeaseId) -> StoreResult<bool> {
        let Some((holder, n)) = split(id) else {
            return Ok(false);
        };
        let found = self.one(
            "SELECT 1 FROM holders WHERE id = ? AND forgotten_n >= ?",
            params![holder, integer(n)],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }
}

/// A lease's id is its holder's id and the holder's number for it, which no other lease has.
fn split(id: &LeaseId) -> Option<(&str, u64)> {
    let (holder, n) = id.as_str().rsplit_once('-')?;
    Some((holder, n.parse().ok()?))
}

fn parts(id: &LeaseId) -> StoreResult<(&str, u64)> {
    split(id).ok_or_else(|| StoreError::Unreadable(format!("lease id {id}")))
}

fn budget_id(columns: &Columns<'_, '_>) -> rusqlite::Result<BudgetId> {
    Ok(BudgetId { level: columns.word("level")?, owner: columns.text("owner")? })
}

fn lease_id(columns: &Columns<'_, '_>) -> rusqlite::Result<LeaseId> {
    let n: u64 = columns.number("n")?;
    columns.checked("holder", |holder| LeaseId::new(format!("{holder}-{n}")))
}

fn share(row: &Row<'_>) -> rusqlite::Result<Share> {
    let columns = Columns(row);
    Ok(Share {
        lease: lease_id(&columns)?,
        account: AccountId {
            budget: budget_id(&columns)?,
            schedule: columns.schedule("period")?,
            start_unix_ms: columns.number("start_ms")?,
        },
        released: columns.flag("released")?,
    })
}

fn lease(row: &Row<'_>) -> rusqlite::Result<LeaseRow> {
    let columns = Columns(row);
    let holder = columns.checked("holder", HolderId::new)?;
    let n = columns.number("n")?;
    Ok(LeaseRow {
        id: lease_id(&columns)?,
        holder,
        n,
        key: columns.optional("key", KeyId::new)?,
        granted: columns.money("granted")?,
        money: LeaseMoney {
            held: columns.money("held")?,
            spent: columns.money("spent")?,
            standing: columns.standing("standing")?,
        },
        output_tokens: columns.number("output_tokens")?,
        scarce: columns.flag("scarce")?,
        permits: LeasePermits {
            granted: columns.number("permits")?,
            used: columns.number("permits_used")?,
            closed: columns.flag("permits_closed")?,
        },
        windows: columns.json("windows")?,
        granted_life: columns.number("granted_life")?,
        granted_monotonic_ms: columns.number("granted_monotonic_ms")?,
        voided: columns.flag("voided")?,
        granted_unix_ms: columns.number("granted_ms")?,
    })
}
