//! Rate limits above the key, and of single models: what filters are told of them.

use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer, KeyPolicy, Level};

use crate::people::{ask as send_as, member};
use crate::world::{Holder, Key, MODEL, World};

const SEARCH: &str = "orgs/acme/teams/search";
const ANNA: &str = "orgs/acme/users/anna";

async fn policy(world: &World, holder: &Holder, key: &Key) -> KeyPolicy {
    match world.admit(holder, key, 1, None).await.key {
        KeyAnswer::Known(policy) => *policy,
        KeyAnswer::Unknown => panic!("the key is not known"),
    }
}

/// Whose, of which model, and how many.
fn told(policy: &KeyPolicy) -> Vec<(Level, String, Option<String>, u64)> {
    let limits = policy.limits.iter().map(|limit| {
        let subject = &limit.subject;
        let model = subject.model.as_ref().map(|model| model.as_str().to_owned());
        (subject.level, subject.id.clone(), model, limit.max)
    });
    limits.collect()
}

fn per_minute(max: u64) -> Value {
    json!({"unit": "requests", "window": "1m", "max": max})
}

fn of_model(model: &str, max: u64) -> Value {
    json!({"unit": "requests", "window": "1m", "max": max, "model": model})
}

#[tokio::test]
async fn every_level_has_limits_and_each_may_be_of_one_model() {
    let world = World::with_org(None).await;
    world.put_model("gpt-4o", "1", "2").await;
    world.admin_ok("PUT", "aliases/fast", json!({"model": "gpt-4o"})).await;
    let limits = json!([per_minute(500), of_model("fast", 50)]);
    world.admin_ok("PATCH", "orgs/acme", json!({"limits": limits})).await;
    world.admin_ok("PUT", SEARCH, json!({"limits": [of_model(MODEL, 40)]})).await;
    world.admin_ok("PUT", ANNA, json!({"limits": [per_minute(30), of_model("gpt-4o", 3)]})).await;
    let fields = json!({"team": "search", "user": "anna", "limits": [of_model(MODEL, 20)]});
    let key = world.key(fields).await;
    let holder = world.holder(1).await;
    let named = |model: &str| Some(model.to_owned());
    assert_eq!(
        told(&policy(&world, &holder, &key).await),
        [
            (Level::Key, key.id.as_str().to_owned(), named(MODEL), 20),
            (Level::User, "acme/anna".to_owned(), None, 30),
            (Level::User, "acme/anna".to_owned(), named("gpt-4o"), 3),
            (Level::Team, "acme/search".to_owned(), named(MODEL), 40),
            (Level::Org, "acme".to_owned(), None, 500),
            (Level::Org, "acme".to_owned(), named("gpt-4o"), 50),
        ]
    );
    let org = world.admin_ok("GET", "orgs/acme", Value::Null).await;
    let mut shown = of_model("gpt-4o", 50);
    shown["scope"] = json!("proxy");
    assert_eq!(org["limits"][1], shown);
    let user = world.admin_ok("GET", ANNA, Value::Null).await;
    assert_eq!(user["limits"][0]["max"], 30);
    // an alias that moves takes no limit with it
    world.admin_ok("PUT", "aliases/fast", json!({"model": MODEL})).await;
    let org = world.admin_ok("GET", "orgs/acme", Value::Null).await;
    assert_eq!(org["limits"][1]["model"], "gpt-4o");
    // another user's key has none of hers
    let other = world.key(json!({"user": "bob"})).await;
    let levels: Vec<_> =
        told(&policy(&world, &holder, &other).await).into_iter().map(|limit| limit.0).collect();
    assert_eq!(levels, [Level::Org, Level::Org]);
}

#[tokio::test]
async fn filters_hear_of_every_change_at_once() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", ANNA, json!({})).await;
    world.admin_ok("PUT", SEARCH, json!({})).await;
    let holder = world.holder(1).await;
    let below = |level, owner: &str| Change::Below { level, owner: owner.to_owned() };
    let nothing = world.admin_ok("PUT", &format!("{ANNA}?wait=0"), json!({"name": "A"})).await;
    assert_eq!((&nothing["applied"], &nothing["limits"]), (&json!(true), &json!([])));
    let limits = json!({"limits": [per_minute(5)]});
    let put = world.admin_ok("PUT", &format!("{ANNA}?wait=0"), limits.clone()).await;
    assert_eq!(put["applied"], false);
    world.admin_ok("PATCH", &format!("{ANNA}?wait=0"), json!({"limits": null})).await;
    world.admin_ok("PATCH", &format!("{SEARCH}?wait=0"), limits.clone()).await;
    world.admin_ok("PATCH", "orgs/acme?wait=0", limits).await;
    assert_eq!(
        world.changes(&holder).await,
        [
            below(Level::User, "acme/anna"),
            below(Level::User, "acme/anna"),
            below(Level::Team, "acme/search"),
            below(Level::Org, "acme"),
        ]
    );
    let audit = world.admin_ok("GET", "audit?action=team.models", Value::Null).await;
    assert_eq!(audit["data"][0]["after"]["limits"][0]["max"], 5, "{audit}");
}

/// A change of one thing leaves the others.
#[tokio::test]
async fn patches_leave_the_rest() {
    let world = World::with_org(Some("5")).await;
    let limits = json!({"limits": [per_minute(5)]});
    for (path, first, second) in [
        (SEARCH, json!({"models": [MODEL]}), limits.clone()),
        (ANNA, limits.clone(), json!({"models": [MODEL]})),
    ] {
        world.admin_ok("PATCH", path, first).await;
        let both = world.admin_ok("PATCH", path, second).await;
        assert_eq!(both["limits"][0]["max"], 5, "{both}");
        assert_eq!(both["models"]["models"], json!([MODEL]), "{both}");
    }
    let before = world.admin_ok("GET", "orgs/acme", Value::Null).await;
    let changed = world.admin_ok("PATCH", "orgs/acme", limits).await;
    for name in ["name", "models", "budget", "price_multiplier", "plan"] {
        assert_eq!(changed[name], before[name], "{name}");
    }
    world.admin_refused("PATCH", "orgs/nobody", json!({}), 404).await;
    world.admin_refused("PATCH", SEARCH, json!({}), 400).await;
}

#[tokio::test]
async fn what_cannot_be_counted_is_refused() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "aliases/fast", json!({"model": MODEL})).await;
    let cluster = json!({"unit": "requests", "window": "1m", "max": 5, "scope": "cluster"});
    let mut of_one = cluster.clone();
    of_one["model"] = json!(MODEL);
    let too_many: Vec<_> = (0..17).map(|n| of_model(&format!("m{n}"), 1)).collect();
    for (path, method) in [
        ("orgs/acme", "PUT"),
        ("orgs/acme", "PATCH"),
        (SEARCH, "PUT"),
        (ANNA, "PUT"),
        (SEARCH, "PATCH"),
    ] {
        for (limits, param, code) in [
            (json!([of_model("nothing", 1)]), "limits[0].model", "unknown_model"),
            (json!([of_model(MODEL, 1), of_model("fast", 2)]), "limits[1]", "invalid_field"),
            (json!([of_model(MODEL, 1), of_model(MODEL, 2)]), "limits[1]", "invalid_field"),
            (json!([cluster]), "limits[0].scope", "unsupported_scope"),
            (json!(too_many), "limits", "invalid_field"),
        ] {
            let body = json!({"limits": limits});
            let error = world.admin_refused(method, path, body, 400).await;
            assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{error}");
        }
    }
    for limits in [json!([of_one]), json!([of_model("nothing", 1)])] {
        let body = json!({"org": "acme", "limits": limits});
        world.admin_refused("POST", "keys", body, 400).await;
    }
    // of each unit and window one for all models and one for this
    let key = world.key(json!({"limits": [per_minute(9), of_model("fast", 3)]})).await;
    let path = format!("keys/{}", key.id);
    let shown = world.admin_ok("GET", &path, Value::Null).await;
    assert_eq!(shown["limits"][1]["model"], MODEL);
    let error =
        world.admin_refused("PATCH", &path, json!({"limits": [of_model("x", 1)]}), 400).await;
    assert_eq!(error["code"], "unknown_model");
}

#[tokio::test]
async fn own_keys_stay_within_the_teams_limits_of_all_models_and_of_each() {
    let world = World::with_org(None).await;
    world.put_model("gpt-4o", "1", "2").await;
    let limits = json!([per_minute(100), of_model("gpt-4o", 10)]);
    world.admin_ok("PUT", SEARCH, json!({"limits": limits})).await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    for (limits, status) in [
        (json!([per_minute(100), of_model("gpt-4o", 10)]), 201),
        (json!([of_model("gpt-4o", 11)]), 400),
        (json!([of_model(MODEL, 100)]), 201),
        (json!([of_model(MODEL, 101)]), 400),
        (json!([per_minute(101)]), 400),
    ] {
        let body = json!({"name": "mine", "team": "search", "limits": limits});
        let (answered, answer) = send_as(&world, &dev.token, "POST", "me/keys", body).await;
        assert_eq!(answered, status, "{limits}: {answer}");
        if status == 400 {
            assert_eq!(answer["error"]["code"], "limit_above_team");
        }
    }
}
