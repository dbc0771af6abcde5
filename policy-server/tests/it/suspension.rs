//! Suspending an organisation, a team or a user stops all of its keys at once.

use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer, KeyState, Level, Refusal};

use crate::people::member;
use crate::world::{Key, World, ask, lease_request, micro};

async fn state(world: &World, holder: &crate::world::Holder, key: &Key, n: u64) -> KeyState {
    match world.admit(holder, key, n, None).await.key {
        KeyAnswer::Known(policy) => policy.state,
        KeyAnswer::Unknown => panic!("unknown"),
    }
}

#[tokio::test]
async fn all_keys_below_stop_and_go_on_and_no_others() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    member(&world, "acme", "search", "ada", "team_developer").await;
    let fields = |team: &str, user: &str| json!({"team": team, "user": user});
    let in_team = world.key(fields("search", "ada")).await;
    let colleague = world.key(fields("search", "bob")).await;
    let own = world.key(fields("ads", "ada")).await;
    let elsewhere = world.key(json!({"org": "beta", "team": "search", "user": "ada"})).await;
    let disabled = world.key(fields("search", "ada")).await;
    world.admin_ok("POST", &format!("keys/{}/disable", disabled.id), Value::Null).await;
    let keys = [&in_team, &colleague, &own, &elsewhere];
    let holder = world.holder(1).await;
    let mut n = 0;
    for (path, level, stopped) in [
        ("orgs/acme", "org", [true, true, true, false]),
        ("orgs/acme/teams/search", "team", [true, true, false, false]),
        ("orgs/acme/users/ada", "user", [true, false, true, false]),
    ] {
        let answer = world.admin_ok("POST", &format!("{path}/suspend?wait=0"), Value::Null).await;
        assert_eq!(answer["suspended_at"], "2026-11-20T12:00:00Z");
        assert_eq!(answer["applied"], false, "a holder has yet to hear of it");
        let shown = world.admin_ok("GET", path, Value::Null).await;
        assert_eq!(shown["suspended_at"], answer["suspended_at"]);
        for (key, stopped) in keys.iter().zip(stopped) {
            n += 1;
            let expected = if stopped { KeyState::Disabled } else { KeyState::Active };
            assert_eq!(state(&world, &holder, key, n).await, expected, "{path} {}", key.id);
            let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
            let above = if stopped { json!(level) } else { Value::Null };
            assert_eq!((&shown["suspended"], &shown["status"]), (&above, &json!("active")));
        }
        let answer = world.admin_ok("POST", &format!("{path}/resume"), Value::Null).await;
        assert_eq!(answer["suspended_at"], Value::Null);
        for key in keys {
            n += 1;
            assert_eq!(state(&world, &holder, key, n).await, KeyState::Active, "{path}");
        }
        n += 1;
        assert_eq!(state(&world, &holder, &disabled, n).await, KeyState::Disabled, "by itself");
    }
}

#[tokio::test]
async fn money_is_asked_back_nothing_more_is_granted_and_the_change_waits_for_every_holder() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({"team": "search", "budget": {"usd": "1"}})).await;
    let holder = world.holder(1).await;
    world.granted(&holder, &key, 1, ask(100)).await;
    let path = "orgs/acme/teams/search/suspend?wait=5000";
    let (suspended, polled) = tokio::join!(world.admin_ok("POST", path, Value::Null), async {
        // acknowledges what it hears
        let first = world.poll(&holder, holder.revision, 2_000).await;
        world.poll(&holder, first.revision, 0).await;
        first.changes
    });
    assert_eq!(suspended["applied"], true);
    let recall = Change::Recall { level: Level::Team, owner: "acme/search".to_owned() };
    // no key of anybody else is forgotten
    let below = Change::Below { level: Level::Team, owner: "acme/search".to_owned() };
    assert_eq!(polled, [recall, below]);
    let request = lease_request(&holder, &key, 2, ask(100), micro(0));
    let (_, answer) = world.filter("POST", "leases", &request).await;
    let refused = serde_json::to_value(Refusal::KeyNotUsable).unwrap();
    assert!(answer.to_string().contains(refused.as_str().unwrap_or("key_not_usable")), "{answer}");
    // repeating it changes nothing
    let revision = world.app.shared().live().revision();
    world.admin_ok("POST", path, Value::Null).await;
    assert_eq!(world.app.shared().live().revision(), revision);
    // and it outlives the server
    let world = world.restart();
    let holder = world.holder(2).await;
    assert_eq!(state(&world, &holder, &key, 1).await, KeyState::Disabled);
    world.admin_ok("POST", "orgs/acme/teams/search/resume", Value::Null).await;
    world.granted(&holder, &key, 2, ask(100)).await;
}

#[tokio::test]
async fn a_suspended_user_gets_no_new_keys() {
    let world = World::with_org(None).await;
    world.key(json!({"user": "ada"})).await;
    world.admin_ok("POST", "orgs/acme/users/ada/suspend", Value::Null).await;
    let error =
        world.admin_refused("POST", "keys", json!({"org": "acme", "user": "ada"}), 400).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("user_suspended"), &json!("user")));
    for path in ["orgs/nope", "orgs/acme/teams/nope", "orgs/acme/users/nope"] {
        for action in ["suspend", "resume"] {
            world.admin_refused("POST", &format!("{path}/{action}"), Value::Null, 404).await;
        }
    }
}
