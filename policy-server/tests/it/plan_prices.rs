//! Plans as things of their own: who has them, what they multiply prices by, and what of that
//! records may say afterwards.

use serde_json::{Value, json};
use wire::v1::{Ask, CallRecord, Change, KeyAnswer, KeyPolicy, LeaseAnswer, ModelSet};
use wire::{NanoUsd, PriceMultiplier};

use crate::people::{member, person};
use crate::world::{Holder, Key, MODEL, World, ask, micro, record};

fn times(decimal: &str) -> PriceMultiplier {
    PriceMultiplier::from_decimal(decimal).unwrap()
}

async fn policy(world: &World, holder: &Holder, key: &Key) -> KeyPolicy {
    match world.admit(holder, key, 0, None).await.key {
        KeyAnswer::Known(policy) => *policy,
        KeyAnswer::Unknown => panic!("the key is not known"),
    }
}

async fn put(world: &World, path: &str, body: Value) -> Value {
    world.admin_ok("PUT", &format!("{path}?wait=0"), body).await
}

#[tokio::test]
async fn plans_are_put_listed_shown_and_deleted() {
    let world = World::with_org(None).await;
    let plan = put(&world, "plans/gold", json!({})).await;
    assert_eq!((&plan["name"], &plan["models"]), (&json!("gold"), &json!(["*"])));
    assert_eq!(plan["price_multiplier"], Value::Null);
    let body = json!({"name": "Gold", "models": [MODEL], "price_multiplier": "0.9"});
    let plan = put(&world, "plans/gold", body).await;
    assert_eq!((&plan["id"], &plan["name"]), (&json!("gold"), &json!("Gold")));
    assert_eq!((&plan["models"], &plan["price_multiplier"]), (&json!([MODEL]), &json!("0.90")));
    assert_eq!(world.admin_ok("GET", "plans/gold", Value::Null).await["name"], "Gold");
    for id in ["bronze", "silver", "tin"] {
        put(&world, &format!("plans/{id}"), json!({})).await;
    }
    let first = world.admin_ok("GET", "plans?limit=3", Value::Null).await;
    assert_eq!(first["next_cursor"], "silver");
    let rest = world.admin_ok("GET", "plans?cursor=silver", Value::Null).await;
    assert_eq!((&rest["data"][0]["id"], &rest["next_cursor"]), (&json!("tin"), &Value::Null));

    for (body, code) in [
        (json!({"models": ["nope"]}), "unknown_model"),
        (json!({"price_multiplier": "0"}), "invalid_field"),
        (json!({"price_multiplier": 1}), "invalid_field"),
        (json!({"budget": null}), "unknown_field"),
    ] {
        let error = world.admin_refused("PUT", "plans/gold", body, 400).await;
        assert_eq!(error["code"], code, "{error}");
    }
    world.admin_refused("PUT", "plans/a%20b", json!({}), 400).await;
    world.admin_refused("GET", "plans/none", Value::Null, 404).await;
    world.admin_refused("DELETE", "plans/none", Value::Null, 404).await;
    world.admin_ok("DELETE", "plans/tin", Value::Null).await;
    world.admin_refused("GET", "plans/tin", Value::Null, 404).await;
}

#[tokio::test]
async fn a_plan_in_use_stays_and_tells_its_keys_of_changes() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    put(&world, "plans/gold", json!({})).await;
    let before = world.changes(&holder).await.len();
    put(&world, "plans/gold", json!({"price_multiplier": "2"})).await;
    assert_eq!(world.changes(&holder).await.len(), before, "nobody has it");

    let unknown = json!({"org": "acme", "plan": "none"});
    assert_eq!(world.admin_refused("POST", "keys", unknown, 400).await["code"], "unknown_plan");
    let unknown = json!({"plan": "none"});
    for path in ["orgs/acme/plan", "orgs/acme"] {
        let error = world.admin_refused("PUT", path, unknown.clone(), 400).await;
        assert_eq!((&error["code"], &error["param"]), (&json!("unknown_plan"), &json!("plan")));
    }
    world.admin_refused("PUT", "orgs/acme/plan", json!({}), 400).await;
    world.admin_refused("PUT", "orgs/nobody/plan", json!({"plan": "gold"}), 404).await;

    let key = world.key(json!({"plan": "gold"})).await;
    let path = format!("keys/{}", key.id);
    assert_eq!(world.admin_ok("GET", &path, Value::Null).await["plan"], "gold");
    let error = world.admin_refused("DELETE", "plans/gold", Value::Null, 409).await;
    assert_eq!(error["code"], "plan_in_use");
    assert!(error["message"].as_str().unwrap().contains(key.id.as_str()), "{error}");
    let before = world.changes(&holder).await.len();
    put(&world, "plans/gold", json!({"price_multiplier": "3"})).await;
    assert_eq!(world.changes(&holder).await[before..], [Change::AllKeys]);
    // a deleted key has none any more
    world.admin_ok("DELETE", &format!("{path}?wait=0"), Value::Null).await;
    put(&world, "orgs/acme/plan", json!({"plan": "gold"})).await;
    assert_eq!(world.admin_ok("GET", "orgs/acme", Value::Null).await["plan"], "gold");
    let error = world.admin_refused("DELETE", "plans/gold", Value::Null, 409).await;
    assert!(error["message"].as_str().unwrap().contains("acme"), "{error}");
    world.admin_ok("DELETE", "orgs/acme?wait=0", Value::Null).await;
    world.admin_ok("DELETE", "plans/gold", Value::Null).await;
}

#[tokio::test]
async fn the_keys_plan_wins_and_decides_models_and_multiplier() {
    let world = World::with_org(None).await;
    world.put_model("other", "1.00", "1.00").await;
    let holder = world.holder(1).await;
    let org = |plan: Value| json!({"price_multiplier": "1.25", "plan": plan});
    put(&world, "orgs/acme", org(Value::Null)).await;
    put(&world, "plans/org", json!({"price_multiplier": "2", "models": [MODEL]})).await;
    put(&world, "plans/own", json!({"price_multiplier": "0.5", "models": ["other"]})).await;
    put(&world, "plans/unpriced", json!({})).await;
    let key = world.key(json!({})).await;
    let own = format!("keys/{}", key.id);
    let give = async |plan: Value| {
        world.admin_ok("PATCH", &format!("{own}?wait=0"), json!({"plan": plan})).await
    };
    let told = async || {
        let told = policy(&world, &holder, &key).await;
        let page = world.admin_ok("GET", &format!("{own}/models"), Value::Null).await;
        let multiplier = told.price_multiplier.to_decimal();
        assert_eq!(page["price_multiplier"], multiplier);
        (page["plan"].as_str().unwrap_or("-").to_owned(), multiplier, told.models)
    };
    let only = |name| ModelSet::Only(vec![wire::ModelName::new(name).unwrap()]);
    let of = |plan: &str, times: &str, models| (plan.to_owned(), times.to_owned(), models);
    assert_eq!(told().await, of("-", "1.25", ModelSet::All));
    put(&world, "orgs/acme", org(json!("org"))).await;
    assert_eq!(told().await, of("org", "2.00", only(MODEL)));
    assert_eq!(give(json!("own")).await["plan"], "own");
    assert_eq!(told().await, of("own", "0.50", only("other")));
    // one that says nothing of prices leaves the organisation's multiplier
    give(json!("unpriced")).await;
    assert_eq!(told().await, of("unpriced", "1.25", ModelSet::All));
    assert_eq!(give(Value::Null).await["plan"], Value::Null);
    assert_eq!(told().await, of("org", "2.00", only(MODEL)));
    // `put` replaces everything
    put(&world, "orgs/acme", json!({})).await;
    assert_eq!(told().await, of("-", "1.00", ModelSet::All));
}

/// 100 output tokens are 200 micro-USD.
#[tokio::test]
async fn leases_are_priced_by_the_plan_that_the_holder_will_use() {
    let world = World::with_org(Some("1.00")).await;
    put(&world, "plans/half", json!({"price_multiplier": "0.5"})).await;
    let key = world.key(json!({"plan": "half", "budget": {"usd": "0.5"}})).await;
    let holder = world.holder(1).await;
    assert_eq!(world.granted(&holder, &key, 1, ask(100)).await.amount, micro(100));
    put(&world, "plans/half", json!({"price_multiplier": "4"})).await;
    // it has not heard of the change yet: the ask has the multiplier of its admission
    let with = |multiplier| Ask { price_multiplier: times(multiplier), ..ask(100) };
    for (n, multiplier, expected) in [(2, "0.5", 100), (3, "4", 800)] {
        let answer = world.ahead(&holder, &key, n, with(multiplier), NanoUsd::ZERO).await;
        let LeaseAnswer::Granted(grant) = answer else { panic!("not granted: {answer:?}") };
        assert_eq!(grant.amount, micro(expected));
    }
    world.check_ledger();
}

#[tokio::test]
async fn records_are_checked_by_plans_that_the_key_or_its_organisation_had() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    for (id, multiplier) in [("a", "2"), ("b", "3"), ("c", "5"), ("never", "7")] {
        put(&world, &format!("plans/{id}"), json!({"price_multiplier": multiplier})).await;
    }
    let key = world.key(json!({"plan": "a"})).await;
    let other = world.key(json!({"plan": "c"})).await;
    let patch = format!("keys/{}?wait=0", key.id);
    world.admin_ok("PATCH", &patch, json!({"plan": null})).await;
    put(&world, "orgs/acme/plan", json!({"plan": "b"})).await;
    put(&world, "plans/b", json!({"price_multiplier": "3.5"})).await;
    put(&world, "orgs/acme/plan", json!({"plan": null})).await;
    world.admin_ok("DELETE", "plans/a", Value::Null).await;
    // 7 output tokens are 14 micro-USD
    let call = |key: &Key, sequence, multiplier: &str, micro_usd| CallRecord {
        price_multiplier: times(multiplier),
        cost: micro(micro_usd),
        ..record(key, None, sequence, 7)
    };
    let calls = vec![
        // the key's own before it was taken away, the organisation's, before and after its change
        call(&key, 1, "2", 28),
        call(&key, 2, "3", 42),
        call(&key, 3, "3.5", 49),
        call(&key, 4, "1", 14),
        // another key's, and nobody's
        call(&key, 5, "5", 70),
        call(&key, 6, "7", 98),
        call(&other, 7, "5", 70),
        call(&other, 8, "2", 28),
    ];
    assert_eq!(world.report(&holder, vec![], calls.clone()).await.differing, [5, 6, 8]);
    let world = world.restart();
    assert_eq!(world.report(&holder, vec![], calls).await.differing, [5, 6, 8]);
    let shown = world.admin_ok("GET", "records?request=req-8", Value::Null).await;
    assert_eq!(shown["data"][0]["computed_cost_usd"], "0.00007", "by the one that it has");
}

/// A plan decides what calls cost: whoever runs the platform gives it, not who spends.
#[tokio::test]
async fn only_who_may_change_an_organisation_gives_plans() {
    let world = World::with_org(None).await;
    put(&world, "plans/half", json!({"price_multiplier": "0.5"})).await;
    let owner = person(&world, "acme", "olga", "org_owner").await;
    let developer = member(&world, "acme", "search", "dev", "team_developer").await;
    let key = world.key(json!({"team": "search"})).await;
    let path = format!("keys/{}", key.id);
    let half = json!({"plan": "half"});
    for (method, path) in [("PATCH", path.as_str()), ("POST", "keys")] {
        for plan in [json!("half"), Value::Null] {
            let body = json!({"team": "search", "plan": plan});
            let code = owner.refused(&world, method, path, body, 403).await;
            assert_eq!(code, "permission_denied", "{method} {path}");
        }
    }
    let own = json!({"team": "search", "name": "mine", "plan": "half"});
    let code = developer.refused(&world, "POST", "me/keys", own, 403).await;
    assert_eq!(code, "permission_denied");
    owner.refused(&world, "PUT", "orgs/acme/plan", half.clone(), 403).await;
    owner.refused(&world, "GET", "plans", Value::Null, 403).await;
    owner.refused(&world, "GET", "plans/half", Value::Null, 403).await;
    owner.ok(&world, "PATCH", &path, json!({"name": "other"})).await;
    let shown = world.admin_ok("GET", &path, Value::Null).await;
    assert_eq!((&shown["plan"], &shown["name"]), (&Value::Null, &json!("other")));
    world.admin_ok("PATCH", &format!("{path}?wait=0"), half).await;
    assert_eq!(owner.ok(&world, "GET", &path, Value::Null).await["plan"], "half");
}
