//! The schema as numbered steps. A step that was released is never edited: the next change is a
//! new step. `PRAGMA user_version` holds the number of the last step applied.

use rusqlite::Connection;

use crate::store::{StoreError, StoreResult};

/// Every step in order; the first one is number 1.
const STEPS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_start.sql"),
    include_str!("../../../migrations/sqlite/0002_journal.sql"),
    include_str!("../../../migrations/sqlite/0003_leases_and_levels.sql"),
    include_str!("../../../migrations/sqlite/0004_record_ids.sql"),
    include_str!("../../../migrations/sqlite/0005_prices.sql"),
    include_str!("../../../migrations/sqlite/0006_plans.sql"),
    include_str!("../../../migrations/sqlite/0007_key_fields.sql"),
    include_str!("../../../migrations/sqlite/0008_tenancy.sql"),
    include_str!("../../../migrations/sqlite/0009_clocks.sql"),
    include_str!("../../../migrations/sqlite/0010_entitlement.sql"),
    include_str!("../../../migrations/sqlite/0011_records.sql"),
    include_str!("../../../migrations/sqlite/0012_repeatable.sql"),
    include_str!("../../../migrations/sqlite/0013_user_keys.sql"),
    include_str!("../../../migrations/sqlite/0014_money.sql"),
    include_str!("../../../migrations/sqlite/0015_exchanges_and_log.sql"),
    include_str!("../../../migrations/sqlite/0016_removals.sql"),
    include_str!("../../../migrations/sqlite/0018_holders_without_push.sql"),
    include_str!("../../../migrations/sqlite/0019_shadow.sql"),
    include_str!("../../../migrations/sqlite/0020_token_lineage.sql"),
    include_str!("../../../migrations/sqlite/0021_ended_leases.sql"),
    include_str!("../../../migrations/sqlite/0022_webhook_secret_mark.sql"),
];

/// The number of the last step.
pub fn latest() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// Applies the steps that the file does not have yet, each in a transaction of its own.
///
/// # Errors
/// When a step fails, or when the file was written by a newer version of the server.
pub fn migrate(connection: &mut Connection) -> StoreResult<()> {
    migrate_to(connection, STEPS.len())
}

/// Applies those of the first steps that the file does not have yet.
///
/// # Errors
/// As [`migrate`].
pub fn migrate_to(connection: &mut Connection, last: usize) -> StoreResult<()> {
    let applied: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if applied > known {
        return Err(StoreError::Unreadable(format!(
            "schema version {applied}; this server knows up to {known}, use a newer one"
        )));
    }
    for (number, step) in (1i64..).zip(STEPS.iter().take(last)) {
        if number <= applied {
            continue;
        }
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_that_is_parked_already_is_released_after_a_day_of_running() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
            .execute_batch(
                "INSERT INTO holders VALUES ('h', x'01', 'p', 'lapsed', 1);
                 INSERT INTO budgets VALUES ('key', 'k', 5, 'none');
                 INSERT INTO leases VALUES ('h', 1, 'k', 9, 9, 0, 'parked', 1, 0, 1);
                 INSERT INTO leases VALUES ('h', 2, 'k', 9, 9, 0, 'open', 1, 0, 1);
                 INSERT INTO lease_accounts VALUES ('h', 1, 'key', 'k', 'none', 0);
                 INSERT INTO lease_accounts VALUES ('h', 1, 'org', 'o', 'month', 0);
                 INSERT INTO lease_accounts VALUES ('h', 2, 'key', 'k', 'none', 0);",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let scheduled: (i64, i64, i64) = connection
            .query_row(
                "SELECT count(*), min(n), min(release_at_ran_ms) / 3600000
                 FROM lease_accounts WHERE release_at_ran_ms IS NOT NULL",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(scheduled, (1, 1, 24));
        let frozen: i64 =
            connection.query_row("SELECT frozen FROM budgets", [], |row| row.get(0)).unwrap();
        assert_eq!(frozen, 0);
    }

    #[test]
    fn calls_that_were_recorded_twice_before_the_fourth_step_stay_so() {
        let mut connection = Connection::open_in_memory().unwrap();
        STEPS[..3].iter().for_each(|step| connection.execute_batch(step).unwrap());
        connection.pragma_update(None, "user_version", 3).unwrap();
        connection
            .execute_batch(
                "INSERT INTO holders VALUES ('h', x'01', 'p', 'live', 1), ('i', x'02', 'p', 'live', 1);
                 INSERT INTO records
                     (holder, sequence, request, key, model, cost, call, recorded_ms)
                 VALUES ('h', 1, 'r1', 'k', 'm', 1, '1', 0), ('h', 2, 'r2', 'k', 'm', 1, '2', 0),
                     ('i', 1, 'r1', 'k', 'm', 1, '1', 0), ('i', 9, 'r1', 'k', 'm', 1, '1', 0);",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let mut statement =
            connection.prepare("SELECT request, call FROM records ORDER BY position").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(String, String)> = rows.map(Result::unwrap).collect();
        let expected = [("r1", "1"), ("r2", "2"), ("r1 3", "1"), ("r1 4", "1")];
        assert_eq!(rows, expected.map(|(request, call)| (request.to_owned(), call.to_owned())));
        drop(statement);
        let again = "INSERT INTO records
                         (holder, sequence, request, key, model, cost, call, recorded_ms)
                     VALUES ('i', 3, 'r2', 'k', 'm', 1, '2', 0)";
        assert!(connection.execute(again, []).is_err(), "a call can be recorded twice");
    }

    #[test]
    fn organisations_without_a_plan_pay_the_prices_of_the_catalogue() {
        let mut connection = Connection::open_in_memory().unwrap();
        let plans = STEPS.iter().position(|step| step.contains("price_multiplier")).unwrap();
        for step in STEPS.iter().take(plans) {
            connection.execute_batch(step).unwrap();
        }
        let before = u32::try_from(plans).unwrap();
        connection.pragma_update(None, "user_version", before).unwrap();
        connection.execute("INSERT INTO orgs VALUES ('acme', 'Acme', '[]', 1, 1)", []).unwrap();
        migrate(&mut connection).unwrap();
        let kept: (i64, i64) = connection
            .query_row(
                "SELECT price_multiplier, ppm FROM orgs JOIN org_price_multipliers ON org = id",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(kept, (1_000_000, 1_000_000));
    }

    #[test]
    fn older_records_are_filled_in_and_summed() {
        let mut connection = Connection::open_in_memory().unwrap();
        let records = STEPS.iter().position(|step| step.contains("usage_by_day")).unwrap();
        STEPS[..records].iter().for_each(|step| connection.execute_batch(step).unwrap());
        connection.pragma_update(None, "user_version", u32::try_from(records).unwrap()).unwrap();
        connection
            .execute_batch(
                r#"INSERT INTO holders VALUES ('h', x'01', 'p', 'live', 1, 0);
                   INSERT INTO keys (id, org, team, name, prefix, format, life, limits, cut_calls,
                       created_ms, updated_ms)
                   VALUES ('k', 'o', 't', '', '', '', 'active', '[]', '', 0, 0);
                   INSERT INTO records
                       (holder, sequence, request, key, org, model, cost, call, recorded_ms)
                   VALUES ('h', 1, 'r1', 'k', 'o', 'm', 5,
                       '{"status":200,"started_unix_ms":86400000,
                         "usage":{"input_tokens":7,"cached_input_tokens":3,"output_tokens":2}}', 9),
                   ('h', 2, 'r2', 'k', 'o', 'm', 6, '{"status":429,"started_unix_ms":86400001}', 9),
                   ('h', 3, 'r3', 'gone', NULL, 'm', 0, '{"started_unix_ms":18446744073709551615}', 9);"#,
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let filled: (String, i64, i64) = connection
            .query_row(
                "SELECT team, status, started_ms FROM records WHERE request = 'r2'",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(filled, ("t".to_owned(), 429, 86_400_001));
        let mut statement = connection
            .prepare(
                "SELECT key || ' ' || org || ' ' || team || ' ' || day || ' ' || requests || ' ' ||
                     input_tokens || ' ' || cached_input_tokens || ' ' || output_tokens || ' ' || cost
                 FROM usage_by_day ORDER BY key DESC",
            )
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        let rows: Vec<String> = rows.map(Result::unwrap).collect();
        let last = i64::MAX / 86_400_000;
        assert_eq!(rows, ["k o t 1 2 7 3 2 11".to_owned(), format!("gone   {last} 1 0 0 0 0")]);
    }

    #[test]
    fn teams_and_users_that_keys_and_budgets_name_become_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        let tenancy = STEPS.iter().position(|step| step.contains("TABLE teams")).unwrap();
        for step in STEPS.iter().take(tenancy) {
            connection.execute_batch(step).unwrap();
        }
        let before = u32::try_from(tenancy).unwrap();
        connection.pragma_update(None, "user_version", before).unwrap();
        connection
            .execute_batch(
                "INSERT INTO orgs (id, name, models, created_ms, updated_ms, price_multiplier)
                 VALUES ('acme', 'Acme', '[]', 1, 1, 1000000);
                 INSERT INTO keys (id, org, team, user, name, prefix, format, life, limits,
                     cut_calls, moved_revision, created_ms, updated_ms)
                 SELECT id, org, team, user, '', '', 'tollgate', life, '[]', 'estimate', 0, at, at
                 FROM (SELECT 'a' AS id, 'acme' AS org, 't' AS team, 'u' AS user,
                              'active' AS life, 7 AS at
                       UNION ALL SELECT 'b', 'acme', 't', NULL, 'active', 5
                       UNION ALL SELECT 'c', 'acme', 'gone', 'gone', 'deleted', 5
                       UNION ALL SELECT 'd', 'nowhere', 't', 'u', 'active', 5);
                 INSERT INTO budgets (level, owner, cap, period) VALUES
                     ('team', 'acme/t', 5, 'none'), ('team', 'acme/a/b', 5, 'none'),
                     ('user', 'acme/v', 5, 'none'), ('user', 'nowhere/v', 5, 'none');",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let all = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        assert_eq!(all("SELECT org || ' ' || id FROM teams ORDER BY id"), ["acme a/b", "acme t"]);
        assert_eq!(all("SELECT id || ' ' || role FROM users"), ["u org_member", "v org_member"]);
        assert_eq!(all("SELECT created_ms || '' FROM teams WHERE id = 't'"), ["5"]);
    }

    #[test]
    fn holders_of_the_present_epoch_are_told_from_those_before() {
        let mut connection = Connection::open_in_memory().unwrap();
        let clocks = STEPS.iter().position(|step| step.contains("ran_ms")).unwrap();
        for step in STEPS.iter().take(clocks) {
            connection.execute_batch(step).unwrap();
        }
        connection.pragma_update(None, "user_version", u32::try_from(clocks).unwrap()).unwrap();
        connection
            .execute_batch(
                "INSERT INTO server VALUES (1, 70, 5, 1);
                 INSERT INTO holders VALUES ('h', x'01', 'p', 'live', 69), ('i', x'02', 'p', 'live', 70);",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let mut statement = connection.prepare("SELECT epoch FROM holders ORDER BY id").unwrap();
        let epochs = statement.query_map([], |row| row.get(0)).unwrap();
        assert_eq!(epochs.map(Result::unwrap).collect::<Vec<i64>>(), [0, 70]);
    }

    #[test]
    fn steps_apply_once_and_a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let version: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, i64::try_from(STEPS.len()).unwrap());
        connection.pragma_update(None, "user_version", version + 1).unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert!(error.to_string().contains("newer"), "{error}");
    }
}
