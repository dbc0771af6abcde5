//! What a plan multiplies prices by: set, shown, told to filters, asked by and checked by.

use serde_json::{Value, json};
use wire::v1::{
    Ask, Basis, CallRecord, Change, KeyAnswer, KeyPolicy, LeaseAnswer, Level, ModelSet, Refusal,
};
use wire::{NanoUsd, PriceMultiplier};

use crate::world::{Holder, Key, World, ask, micro, record};

fn times(decimal: &str) -> PriceMultiplier {
    PriceMultiplier::from_decimal(decimal).unwrap()
}

async fn put_org(world: &World, multiplier: Value) -> Value {
    let org = json!({"budget": {"usd": "0.001", "period": "none"}, "price_multiplier": multiplier});
    world.admin_ok("PUT", "orgs/acme", org).await
}

async fn policy(world: &World, holder: &Holder, key: &Key) -> KeyPolicy {
    match world.admit(holder, key, 0, None).await.key {
        KeyAnswer::Known(policy) => *policy,
        KeyAnswer::Unknown => panic!("the key is not known"),
    }
}

#[tokio::test]
async fn a_multiplier_is_shown_as_it_was_set_and_told_with_every_key() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let shown = world.admin_ok("GET", "orgs/acme", Value::Null).await;
    assert_eq!(shown["price_multiplier"], "1.00");
    assert_eq!(policy(&world, &holder, &key).await.price_multiplier, PriceMultiplier::ONE);

    assert_eq!(put_org(&world, json!("1.25")).await["price_multiplier"], "1.25");
    let below = Change::Below { level: Level::Org, owner: "acme".to_owned() };
    assert_eq!(world.changes(&holder).await.last(), Some(&below));
    let told = policy(&world, &holder, &key).await;
    assert_eq!((told.price_multiplier, told.models), (times("1.25"), ModelSet::All));
    let world = world.restart();
    let list = world.admin_ok("GET", "orgs", Value::Null).await;
    assert_eq!(list["data"][0]["price_multiplier"], "1.25");

    for wrong in ["0", "0.0000001", "1.0000001", "1000.000001", "-1", "x", ""] {
        let org = json!({"price_multiplier": wrong});
        let error = world.admin_refused("PUT", "orgs/acme", org, 400).await;
        assert!(error.to_string().contains("\"price_multiplier\""), "{wrong}: {error}");
    }
    for wrong in [json!(1), json!(1.25), json!(["1"])] {
        let org = json!({"price_multiplier": wrong});
        world.admin_refused("PUT", "orgs/acme", org, 400).await;
    }
    let shown = world.admin_ok("GET", "orgs/acme", Value::Null).await;
    assert_eq!(shown["price_multiplier"], "1.25", "nothing was changed by what was refused");
    // `put` replaces everything
    assert_eq!(put_org(&world, Value::Null).await["price_multiplier"], "1.00");
}

/// 100 output tokens are 200 micro-USD; the cap is 1000.
#[tokio::test]
async fn leases_are_priced_by_the_multiplier_that_the_holder_will_use() {
    let world = World::with_org(None).await;
    put_org(&world, json!("2.5")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    // it learns of the key in the same answer, whatever it has said
    let guess = Ask { price_multiplier: times("0.1"), ..ask(100) };
    assert_eq!(world.granted(&holder, &key, 1, guess).await.amount, micro(500));

    // it has not heard of the change yet
    put_org(&world, json!("1.000001")).await;
    let with = |multiplier| Ask { price_multiplier: times(multiplier), ..ask(100) };
    let lease = async |n, ask| world.ahead(&holder, &key, n, ask, NanoUsd::ZERO).await;
    let LeaseAnswer::Granted(grant) = lease(2, with("2.5")).await else { panic!("not granted") };
    assert_eq!(grant.amount, micro(500));
    let exceeded =
        Refusal::BudgetExceeded { level: Level::Org, need: micro(2_000), left: micro(1_000) };
    assert_eq!(lease(3, with("10")).await, LeaseAnswer::Refused(exceeded));
    let room = json!({"budget": {"usd": "1"}, "price_multiplier": "1.000001"});
    world.admin_ok("PUT", "orgs/acme", room).await;
    let LeaseAnswer::Granted(grant) = lease(4, with("1.000001")).await else {
        panic!("not granted")
    };
    assert_eq!(grant.amount, NanoUsd(200_001), "rounded up once");
    world.check_ledger();
}

#[tokio::test]
async fn records_are_checked_by_the_multiplier_of_their_admission() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let other = json!({"name": "Other", "price_multiplier": "3"});
    world.admin_ok("PUT", "orgs/other", other).await;
    let holder = world.holder(1).await;
    put_org(&world, json!("1.25")).await;
    put_org(&world, json!("0.333333")).await;
    // 7 output tokens are 14 micro-USD
    let call = |sequence, multiplier: &str, nano| CallRecord {
        price_multiplier: times(multiplier),
        cost: NanoUsd(nano),
        ..record(&key, None, sequence, 7)
    };
    let calls = vec![
        // as it is, as it was, as it was at first
        call(1, "0.333333", 4_667),
        call(2, "1.25", 17_500),
        call(3, "1", 14_000),
        // rounded down, and not multiplied
        call(4, "0.333333", 4_666),
        call(5, "1.25", 14_000),
        // what only another organisation has, and nobody
        call(6, "3", 42_000),
        call(7, "0.000001", 1),
        CallRecord { basis: Basis::Estimated, ..call(8, "1.25", 17_500) },
    ];
    assert_eq!(world.report(&holder, vec![], calls.clone()).await.differing, [4, 5, 6, 7]);
    let world = world.restart();
    assert_eq!(world.report(&holder, vec![], calls).await.differing, [4, 5, 6, 7]);

    let shown = |request: &'static str| {
        let path = format!("records?request={request}");
        let world = &world;
        async move { world.admin_ok("GET", &path, Value::Null).await["data"][0].clone() }
    };
    let right = shown("req-2").await;
    assert_eq!((&right["price_multiplier"], &right["differs"]), (&json!("1.25"), &json!(false)));
    assert_eq!(shown("req-5").await["computed_cost_usd"], "0.0000175");
    let foreign = shown("req-6").await;
    assert_eq!(foreign["price_multiplier"], "3.00");
    assert_eq!(foreign["computed_cost_usd"], "0.000004667", "by the one that it has");
}
