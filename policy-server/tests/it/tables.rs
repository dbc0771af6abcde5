//! The ledger's laws, read from the tables.

use rusqlite::Connection;

/// Checks, from the tables alone, that every account is the sum of its leases, and that what is
/// granted stays below every cap that was not lowered or overrun.
pub fn check_ledger(tables: &Connection) {
    // one state of the database, while others write
    tables.execute_batch("BEGIN").unwrap();
    check_sums(tables);
    for account in accounts(tables) {
        if let Some(cap) = account.cap {
            let taken = account.settled + account.parked + account.outstanding;
            assert!(taken <= cap + account.overdraft, "beyond the cap: {account:?}");
        }
    }
    tables.execute_batch("COMMIT").unwrap();
}

/// The same of the sums alone, whatever has become of caps.
pub fn check_sums(tables: &Connection) {
    for account in accounts(tables) {
        let sums: (i64, i64, i64) = tables
            .query_row(
                "SELECT
                    coalesce(sum(CASE WHEN standing = 'open'
                        THEN max(l.held - l.spent, 0) ELSE 0 END), 0),
                    coalesce(sum(CASE WHEN standing = 'parked' AND a.released = 0
                        THEN max(l.held - l.spent, 0) ELSE 0 END), 0),
                    coalesce(sum(l.spent), 0)
                 FROM lease_accounts a JOIN leases l ON a.holder = l.holder AND a.n = l.n
                 WHERE a.level = ?1 AND a.owner = ?2 AND a.period = ?3 AND a.start_ms = ?4",
                (&account.level, &account.owner, &account.period, account.start_ms),
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(account.outstanding, sums.0, "outstanding of {account:?}");
        assert_eq!(account.parked, sums.1, "parked of {account:?}");
        assert!(account.settled >= sums.2, "settled of {account:?}, leases {}", sums.2);
    }
    check_windows(tables);
}

/// Every window holds what the leases say that took permits of it.
fn check_windows(tables: &Connection) {
    let mut windows = tables.prepare("SELECT * FROM cluster_windows").unwrap();
    let mut rows = windows.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let names = ["level", "owner", "length"];
        let [level, owner, length] = names.map(|name| row.get::<_, String>(name).unwrap());
        let permits: Vec<u8> = row.get("permits").unwrap();
        let permits = metering::permits::Permits::decode(1, &permits).unwrap();
        let held: i64 = tables
            .query_row(
                "SELECT coalesce(sum(max(permits - permits_used, 0)), 0)
                 FROM leases, json_each(leases.windows) AS one
                 WHERE permits_closed = 0 AND one.value ->> 'level' = ?1
                   AND one.value ->> 'owner' = ?2 AND one.value ->> 'window' = ?3",
                (&level, &owner, &length),
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(i64::try_from(permits.held()).unwrap(), held, "{level} {owner} {length}");
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct AccountRow {
    pub level: String,
    pub owner: String,
    pub period: String,
    pub start_ms: i64,
    pub settled: i64,
    pub parked: i64,
    pub outstanding: i64,
    pub overdraft: i64,
    pub cap: Option<i64>,
}

/// Every account, in the order of level, owner and period, with the cap that applies now.
pub fn accounts(tables: &Connection) -> Vec<AccountRow> {
    let mut statement = tables
        .prepare(
            "SELECT a.*, b.cap FROM accounts a
             LEFT JOIN budgets b ON b.level = a.level AND b.owner = a.owner
             ORDER BY a.level, a.owner, a.period, a.start_ms",
        )
        .unwrap();
    let rows = statement.query_map([], |row| {
        Ok(AccountRow {
            level: row.get("level")?,
            owner: row.get("owner")?,
            period: row.get("period")?,
            start_ms: row.get("start_ms")?,
            settled: row.get("settled")?,
            parked: row.get("parked")?,
            outstanding: row.get("outstanding")?,
            overdraft: row.get("overdraft")?,
            cap: row.get("cap")?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}
