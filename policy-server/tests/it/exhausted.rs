//! Calls that run on money of an account of which nothing is left are told to end.

use serde_json::{Value, json};
use wire::v1::{Change, Level, Refusal};
use wire::{LeaseId, NanoUsd};

use crate::world::{
    GRACE_MS, Holder, Key, NOON, TTL_MS, World, accounts, ask, final_report, micro, record,
    running_report,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn exhausted(level: Level, owner: &str) -> Change {
    Change::Exhausted { level, owner: owner.to_owned() }
}

/// Every change since the holder registered that says so of the key's own budget.
async fn ended(world: &World, holder: &Holder, key: &Key) -> usize {
    let said = exhausted(Level::Key, key.id.as_str());
    world.changes(holder).await.iter().filter(|change| **change == said).count()
}

async fn spends(world: &World, holder: &Holder, lease: &LeaseId, spent: NanoUsd) {
    world.report(holder, vec![final_report(lease, spent)], vec![]).await;
}

#[tokio::test]
async fn a_cap_that_is_lowered_to_what_is_spent_ends_the_calls_that_run() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key_with_cap("0.10", "none").await;
    let one = world.holder(1).await;
    let lease = world.granted(&one, &key, 1, ask(1_000)).await.lease;
    world.report(&one, vec![final_report(&lease, micro(2_000))], vec![]).await;
    let lower = |usd: &'static str| {
        let path = format!("keys/{}?wait=0", key.id);
        let world = &world;
        async move {
            let body = json!({"budget": {"usd": usd}});
            world.admin_ok("PATCH", &path, body).await;
        }
    };
    let ended = |changes: &[Change]| {
        let ended = Change::Exhausted { level: Level::Key, owner: key.id.as_str().to_owned() };
        changes.iter().filter(|change| **change == ended).count()
    };
    lower("0.05").await;
    assert_eq!(ended(&world.changes(&one).await), 0, "something is left");
    lower("0.002").await;
    assert_eq!(ended(&world.changes(&one).await), 1, "exactly what is spent");
    lower("0.001").await;
    assert_eq!(ended(&world.changes(&one).await), 2);
    lower("0.10").await;
    assert_eq!(ended(&world.changes(&one).await), 2, "raised");
}

#[tokio::test]
async fn a_call_that_costs_more_than_was_reserved_ends_the_others_where_nothing_is_left() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key_with_cap("0.01", "month").await;
    let (one, two) = (world.holder(1).await, world.holder(2).await);
    let over = world.granted(&one, &key, 1, ask(1_000)).await.lease;
    let runs = world.granted(&two, &key, 1, ask(1_000)).await.lease;
    // The reservation is passed, but something is left for the other call.
    world.report(&one, vec![running_report(&over, micro(9_000), None)], vec![]).await;
    assert_eq!(world.changes(&two).await, []);
    spends(&world, &one, &over, micro(10_000)).await;
    let owner = key.id.as_str();
    let recall = Change::Recall { level: Level::Key, owner: owner.to_owned() };
    let told = [recall, exhausted(Level::Key, owner)];
    assert_eq!(world.changes(&two).await, told, "the organisation has more");
    // A repeated report, and the end of the call that was ended, are no news.
    spends(&world, &one, &over, micro(10_000)).await;
    spends(&world, &two, &runs, micro(500)).await;
    assert_eq!(world.changes(&two).await, told);
    let refused = world.refused(&two, &key, 2, ask(1_000)).await;
    assert!(matches!(refused, Refusal::BudgetExceeded { .. }), "{refused:?}");

    let raised = json!({"budget": {"usd": "0.02"}});
    world.admin_ok("PATCH", &format!("keys/{}?wait=0", key.id), raised).await;
    let runs = world.granted(&two, &key, 3, ask(1_000)).await.lease;
    let over = world.granted(&one, &key, 3, ask(1_000)).await.lease;
    spends(&world, &one, &over, micro(9_500)).await;
    assert_eq!(ended(&world, &two, &key).await, 2, "and again under the raised cap");
    spends(&world, &two, &runs, micro(0)).await;
    world.check_ledger();
}

#[tokio::test]
async fn every_level_of_which_nothing_is_left_is_named_and_no_other() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({"team": "search", "user": "ada"})).await;
    for (path, usd) in [("teams/search/budget", "0.01"), ("users/ada/budget", "5.00")] {
        let body = json!({"usd": usd, "period": "none"});
        world.admin_ok("PUT", &format!("orgs/acme/{path}?wait=0"), body).await;
    }
    let holder = world.holder(1).await;
    let over = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    world.granted(&holder, &key, 2, ask(1_000)).await;
    spends(&world, &holder, &over, micro(12_000)).await;
    let told = world.changes(&holder).await;
    let told: Vec<_> =
        told.into_iter().filter(|change| matches!(change, Change::Exhausted { .. })).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    for expected in [exhausted(Level::Team, "acme/search"), exhausted(Level::Org, "acme")] {
        assert!(told.contains(&expected), "{told:?}");
    }
}

#[tokio::test]
async fn a_budget_that_is_spent_to_the_end_by_calls_within_their_reservations_ends_none() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.01", "none").await;
    let holder = world.holder(1).await;
    for n in 1..=5 {
        world.granted(&holder, &key, n, ask(1_000)).await;
    }
    for n in 1..=5 {
        spends(&world, &holder, &holder.lease(n), micro(2_000)).await;
    }
    assert_eq!(world.spend(&key).await["settled_usd"], "0.01");
    assert_eq!(world.changes(&holder).await, []);
}

#[tokio::test]
async fn under_a_lowered_cap_the_call_that_takes_the_rest_ends_the_others() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.01", "none").await;
    let holder = world.holder(1).await;
    let first = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    world.granted(&holder, &key, 2, ask(1_000)).await;
    let lower = json!({"budget": {"usd": "0.002"}});
    world.admin_ok("PATCH", &format!("keys/{}?wait=0", key.id), lower).await;
    assert_eq!(ended(&world, &holder, &key).await, 0, "either of them may take what is left");
    spends(&world, &holder, &first, micro(2_000)).await;
    assert_eq!(ended(&world, &holder, &key).await, 1);
    assert_eq!(world.spend(&key).await["overdraft_usd"], "0.00");
}

#[tokio::test]
async fn what_a_lost_holder_may_have_spent_counts() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.01", "none").await;
    let (lost, lives) = (world.holder(1).await, world.holder(2).await);
    world.granted(&lost, &key, 1, ask(3_000)).await;
    let over = world.granted(&lives, &key, 1, ask(1_000)).await.lease;
    world.granted(&lives, &key, 2, ask(1_000)).await;
    spends(&world, &lives, &over, micro(4_000)).await;
    world.pass(TTL_MS).await;
    assert_eq!(ended(&world, &lives, &key).await, 0, "the polls keep it alive");
    world.pass(GRACE_MS + 1).await;
    assert_eq!(world.spend(&key).await["parked_usd"], "0.006");
    assert_eq!(ended(&world, &lives, &key).await, 1);
    world.check_ledger();
}

#[tokio::test]
async fn a_late_report_on_released_money_counts() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.01", "none").await;
    let lost = world.holder(1).await;
    let late = world.granted(&lost, &key, 1, ask(5_000)).await.lease;
    world.pass(TTL_MS + GRACE_MS + 1).await;
    world.admin_ok("POST", &format!("keys/{}/release-parked", key.id), Value::Null).await;
    let lives = world.holder(2).await;
    world.granted(&lives, &key, 1, ask(1_000)).await;
    spends(&world, &lost, &late, micro(9_999)).await;
    assert_eq!(ended(&world, &lives, &key).await, 0);
    spends(&world, &lost, &late, micro(10_000)).await;
    assert_eq!(ended(&world, &lives, &key).await, 1);
    world.check_ledger();
}

#[tokio::test]
async fn a_late_report_of_the_last_period_ends_nothing_in_this_one() {
    let world = World::with_org(None).await;
    let key = world.key_with_cap("0.01", "day").await;
    let holder = world.holder(1).await;
    let old = world.granted(&holder, &key, 1, ask(1_000)).await.lease;
    let longer = world.granted(&holder, &key, 2, ask(1_000)).await.lease;
    world.clock.set_unix_ms(NOON + DAY_MS);
    world.granted(&holder, &key, 3, ask(1_000)).await;
    spends(&world, &holder, &old, micro(20_000)).await;
    spends(&world, &holder, &longer, micro(20_000)).await;
    assert_eq!(ended(&world, &holder, &key).await, 0);
    let all = accounts(&world.tables());
    let overdrawn = all.iter().filter(|account| account.level == "key" && account.overdraft > 0);
    assert_eq!(overdrawn.count(), 1, "{all:?}");
}

#[tokio::test]
async fn a_call_that_was_admitted_before_there_was_a_cap_counts() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let capped = json!({"budget": {"usd": "0.01", "period": "none"}});
    world.admin_ok("PATCH", &format!("keys/{}?wait=0", key.id), capped).await;
    world.granted(&holder, &key, 1, ask(1_000)).await;
    world.report(&holder, vec![], vec![record(&key, None, 1, 4_999)]).await;
    assert_eq!(ended(&world, &holder, &key).await, 0);
    world.report(&holder, vec![], vec![record(&key, None, 2, 1)]).await;
    assert_eq!(ended(&world, &holder, &key).await, 1);
}
