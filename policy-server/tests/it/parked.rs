//! Parked money that stops counting: after a day where no period ends it, or by an operator.

use serde_json::{Value, json};
use wire::v1::{LeaseReport, Refusal};

use crate::tables::AccountRow;
use crate::world::{
    GRACE_MS, Holder, Key, NOON, TTL_MS, World, accounts, ask, final_report, micro,
};

const GONE_MS: u64 = TTL_MS + GRACE_MS + 1;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A key with a total of 0.01 USD under an organisation with 0.10 USD a month, and a lost holder
/// that had a lease of 8,000 micro-USD and had spent 1,000 of it.
async fn lost() -> (World, Key, Holder) {
    let world = World::with_org(Some("0.10")).await;
    let key = world.key_with_cap("0.01", "none").await;
    let lost = world.holder(1).await;
    world.granted(&lost, &key, 1, ask(4_000)).await;
    let spent = LeaseReport {
        lease: lost.lease(1),
        spent: micro(1_000),
        floor: None,
        is_final: false,
        permits_used: 0,
        permit_age_ms: 0,
    };
    world.report(&lost, vec![spent], vec![]).await;
    world.pass(GONE_MS).await;
    (world, key, lost)
}

/// Settled, parked and overdraft of the key's account and of its organisation's, in micro-USD.
fn sums(world: &World) -> [(i64, i64, i64); 2] {
    let sums = |account: &AccountRow| {
        (account.settled / 1_000, account.parked / 1_000, account.overdraft / 1_000)
    };
    let accounts = accounts(&world.tables());
    [sums(&accounts[0]), sums(&accounts[1])]
}

fn audit(world: &World) -> Vec<(String, String, String, i64)> {
    let tables = world.tables();
    let mut statement = tables
        .prepare("SELECT actor, action, target, amount / 1000 FROM audit WHERE kind = 'money' ORDER BY position")
        .unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn after_a_day_accounts_without_a_period_stop_counting_what_is_parked() {
    let (world, key, lost) = lost().await;
    assert_eq!(sums(&world), [(1_000, 7_000, 0), (1_000, 7_000, 0)]);
    world.pass(DAY_MS - 1).await;
    assert_eq!(sums(&world), [(1_000, 7_000, 0), (1_000, 7_000, 0)], "not yet");
    assert!(audit(&world).is_empty());
    world.pass(1).await;
    assert_eq!(sums(&world), [(1_000, 0, 0), (1_000, 7_000, 0)], "the month ends by itself");
    let target = format!("key {} lease {}", key.id, lost.lease(1));
    let line = ("system".to_owned(), "release_parked".to_owned(), target, 7_000);
    assert_eq!(audit(&world), [line]);
    world.check_ledger();

    let other = world.holder(2).await;
    world.granted(&other, &key, 1, ask(4_500)).await;
    // Late, twice, and beyond the amount: true cost in both, overdraft where it was released.
    for _ in 0..2 {
        let spent =
            vec![LeaseReport { is_final: false, ..final_report(&lost.lease(1), micro(3_000)) }];
        world.report(&lost, spent, vec![]).await;
        assert_eq!(sums(&world), [(3_000, 0, 2_000), (3_000, 5_000, 0)]);
        world.check_ledger();
    }
    world.report(&lost, vec![final_report(&lost.lease(1), micro(8_500))], vec![]).await;
    assert_eq!(sums(&world), [(8_500, 0, 7_500), (8_500, 0, 500)]);
    world.check_ledger();
    assert!(matches!(
        world.refused(&other, &key, 2, ask(1_000)).await,
        Refusal::BudgetExceeded { left, .. } if left == micro(1_500)
    ));
}

#[tokio::test]
async fn a_report_within_the_day_leaves_nothing_to_release() {
    let (world, _, lost) = lost().await;
    world.report(&lost, vec![final_report(&lost.lease(1), micro(2_000))], vec![]).await;
    world.pass(2 * DAY_MS).await;
    assert_eq!(sums(&world), [(2_000, 0, 0), (2_000, 0, 0)]);
    assert!(audit(&world).is_empty());
    assert!(!world.app.sweep().await.unwrap(), "nothing is due for ever");
}

#[tokio::test]
async fn a_wall_clock_that_is_set_forward_releases_nothing_and_one_set_back_delays_nothing() {
    let (world, _, _) = lost().await;
    world.clock.set_unix_ms(NOON + 30 * DAY_MS);
    world.pass(0).await;
    assert_eq!(sums(&world)[0], (1_000, 7_000, 0));
    // A restart knows no better what time it is.
    let world = world.restart();
    world.pass(1_000).await;
    assert_eq!(sums(&world)[0], (1_000, 7_000, 0));
    world.clock.set_unix_ms(NOON - DAY_MS);
    world.pass(DAY_MS - 1_001).await;
    assert_eq!(sums(&world)[0], (1_000, 7_000, 0));
    world.pass(1_001).await;
    assert_eq!(sums(&world)[0], (1_000, 0, 0));
    assert_eq!(audit(&world).len(), 1);
    world.check_ledger();
}

#[tokio::test]
async fn the_day_is_of_time_that_the_server_runs_less_at_most_a_minute_of_each_life() {
    const MINUTE_MS: u64 = 60_000;
    let (mut world, _, _) = lost().await;
    for _ in 0..3 {
        for _ in 0..6 * 60 {
            world.pass(MINUTE_MS).await;
        }
        // What comes after the last note is lost, and so is all that the server is away.
        world.pass(MINUTE_MS - 1).await;
        let mut stopped = world.stop();
        stopped.unix_ms += DAY_MS;
        world = stopped.start();
    }
    world.pass(6 * 60 * MINUTE_MS - 1).await;
    assert_eq!(sums(&world)[0], (1_000, 7_000, 0));
    world.pass(1).await;
    assert_eq!(sums(&world)[0], (1_000, 0, 0));
    world.check_ledger();
}

#[tokio::test]
async fn many_shares_take_several_sweeps() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key_with_cap("1.00", "none").await;
    let lost = world.holder(1).await;
    for n in 0..300 {
        world.granted(&lost, &key, n, ask(1)).await;
    }
    world.pass(GONE_MS).await;
    world.clock.advance_ms(DAY_MS);
    assert!(world.app.sweep().await.unwrap(), "a sweep is bounded");
    let [(_, first, _), _] = sums(&world);
    assert_eq!(first, 600 - 2 * 256);
    world.pass(0).await;
    assert_eq!(sums(&world)[0], (0, 0, 0));
    assert_eq!(audit(&world).len(), 300);
    world.check_ledger();
}

#[tokio::test]
async fn an_operator_releases_what_is_parked_for_a_key_in_all_its_budgets() {
    let (world, key, lost) = lost().await;
    let path = format!("keys/{}/release-parked", key.id);
    let answer = world.admin_ok("POST", &path, Value::Null).await;
    let released =
        json!({"released_shares": 2, "released_usd": "0.014", "more": false, "applied": true});
    assert_eq!(answer, released);
    assert_eq!(sums(&world), [(1_000, 0, 0), (1_000, 0, 0)]);
    assert!(audit(&world).iter().all(|line| line.0 == "admin" && line.3 == 7_000));
    world.check_ledger();
    let again = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!(again["released_shares"], 0);
    world.pass(2 * DAY_MS).await;
    assert_eq!(audit(&world).len(), 2, "nothing is released twice");
    world.report(&lost, vec![final_report(&lost.lease(1), micro(5_000))], vec![]).await;
    assert_eq!(sums(&world), [(5_000, 0, 4_000), (5_000, 0, 4_000)]);
    world.check_ledger();
    world.admin_refused("POST", "keys/nobody/release-parked", Value::Null, 404).await;
    world.admin_refused("POST", &path, json!({"amount": 1}), 400).await;
}

/// What cannot be released stays; nothing else waits for it.
#[tokio::test]
async fn a_damaged_account_keeps_nothing_else_from_being_swept() {
    let (world, key, _) = lost().await;
    let other = world.key_with_cap("0.01", "none").await;
    let second = world.holder(2).await;
    world.granted(&second, &other, 1, ask(1_000)).await;
    world.pass(GONE_MS).await;
    let damage = "UPDATE accounts SET parked = 0 WHERE level = 'key' AND owner = ?";
    assert_eq!(world.tables().execute(damage, [key.id.as_str()]).unwrap(), 1);
    world.pass(DAY_MS).await;
    assert_eq!(world.spend(&other).await["parked_usd"], "0.00");
    let third = world.holder(3).await;
    world.granted(&third, &other, 1, ask(1_000)).await;
    world.pass(GONE_MS).await;
    assert_eq!(world.spend(&other).await["parked_usd"], "0.002", "its session is over");
    let status = world.admin_ok("GET", "status", Value::Null).await;
    assert!(status["damaged_rows"].as_u64().unwrap() > 0, "{status}");
}
