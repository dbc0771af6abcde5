//! What becomes of the keys of somebody who is deleted or leaves a team.

use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer, KeyState, Level};

use crate::people::member;
use crate::world::{Holder, Key, World};

async fn lines(world: &World, query: &str) -> Vec<Value> {
    let page = world.admin_ok("GET", &format!("audit?{query}"), Value::Null).await;
    page["data"].as_array().unwrap().clone()
}

async fn state(world: &World, holder: &Holder, key: &Key, n: u64) -> KeyState {
    match world.admit(holder, key, n, None).await.key {
        KeyAnswer::Known(policy) => policy.state,
        KeyAnswer::Unknown => panic!("unknown"),
    }
}

fn living(world: &World, user: &str) -> i64 {
    let sql = "SELECT count(*) FROM keys WHERE user = ? AND life = 'active'";
    world.tables().query_row(sql, [user], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn each_key_that_ends_with_its_owner_has_a_line_of_the_audit_and_its_owners_line_counts_them()
{
    let world = World::with_org(None).await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    let boss = crate::people::person(&world, "acme", "boss", "org_admin").await;
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        let key = dev.ok(&world, "POST", "me/keys", json!({"name": name, "team": "search"})).await;
        made.push(Key::of(&key));
    }
    // the last one outside of the team: it goes with the user
    let other = world.key(json!({"user": "dev"})).await;
    boss.ok(&world, "DELETE", "orgs/acme/teams/search/members/dev", Value::Null).await;
    let of_keys = lines(&world, "action=key.revoke_by_removal").await;
    assert_eq!(of_keys.len(), 3);
    for key in &made {
        let line = of_keys.iter().find(|line| line["target"] == json!(key.id)).unwrap();
        assert_eq!(
            [&line["actor"], &line["token"], &line["org"], &line["kind"], &line["outcome"]],
            [
                &json!("acme/boss"),
                &json!(boss.token_id),
                &json!("acme"),
                &json!("key"),
                &json!("done")
            ]
        );
        assert_eq!(line["before"], json!({"status": "active"}));
        assert_eq!(line["after"], json!({"status": "revoked"}));
    }
    let removed = &lines(&world, "action=member.remove").await[0];
    assert_eq!(
        (&removed["target"], &removed["after"]),
        (&json!("acme/search/dev"), &json!({"revoked_keys": 3}))
    );
    world.admin_ok("DELETE", "orgs/acme/users/dev", Value::Null).await;
    let line = &lines(&world, &format!("target={}", other.id)).await[0];
    assert_eq!(
        (&line["action"], &line["actor"]),
        (&json!("key.revoke_by_removal"), &json!("admin"))
    );
    assert_eq!(lines(&world, "action=user.delete").await[0]["after"], json!({"revoked_keys": 1}));
}

#[tokio::test]
async fn many_keys_are_dead_at_once_and_their_rows_follow_some_at_a_time() {
    let world = World::with_org(Some("100.00")).await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    let mut keys = Vec::new();
    for _ in 0..300 {
        keys.push(world.key(json!({"team": "search", "user": "dev"})).await);
    }
    let elsewhere = world.key(json!({"team": "ads", "user": "dev"})).await;
    let holder = world.holder(1).await;
    assert_eq!(state(&world, &holder, &keys[299], 1).await, KeyState::Active);
    let left = dev.ok(&world, "DELETE", "me/teams/search?wait=0", Value::Null).await;
    assert_eq!(left["revoked_keys"], 300);
    let changes = world.changes(&holder).await;
    let below = Change::Below { level: Level::User, owner: "acme/dev".to_owned() };
    assert!(changes.contains(&below) && !changes.contains(&Change::AllKeys), "{changes:?}");
    assert!(changes.len() < 8, "{} changes", changes.len());
    // dead where they are looked up, although nothing was written of them yet
    assert_eq!(living(&world, "dev"), 301);
    for (n, key) in keys.iter().enumerate() {
        let known = state(&world, &holder, key, n as u64 + 2).await;
        assert_eq!(known, KeyState::Revoked, "{}", key.id);
    }
    assert_eq!(state(&world, &holder, &elsewhere, 400).await, KeyState::Active);
    // nothing brings one back, and no new key comes to be ended with them
    let path = format!("keys/{}", keys[0].id);
    for (method, path, body) in [
        ("PATCH", path.clone(), json!({"team": "ads"})),
        ("POST", format!("{path}/enable"), Value::Null),
        ("POST", format!("{path}/rotate"), Value::Null),
    ] {
        let error = world.admin_refused(method, &path, body, 409).await;
        assert_eq!(error["code"], "key_revoked", "{method} {path}");
    }
    let member = "orgs/acme/teams/search/members/dev";
    world.admin_ok("PUT", member, json!({"role": "team_developer"})).await;
    let new = json!({"org": "acme", "team": "search", "user": "dev"});
    let error = world.admin_refused("POST", "keys", new, 400).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("user_being_removed"), &json!("user")));
    // one job of the sweeper does a part
    assert!(world.app.sweep().await.unwrap());
    assert_eq!(living(&world, "dev"), 301 - 256);
    world.pass(0).await;
    assert_eq!(living(&world, "dev"), 1);
    let sql =
        "SELECT count(*) FROM audit WHERE action = 'key.revoke_by_removal' AND actor = 'acme/dev'";
    let told: i64 = world.tables().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(told, 300);
    dev.ok(&world, "POST", "me/keys", json!({"name": "new", "team": "search"})).await;
    // and a server that was stopped in between goes on
    for _ in 0..70 {
        world.key(json!({"team": "search", "user": "bob"})).await;
    }
    world.admin_ok("DELETE", "orgs/acme/users/bob", Value::Null).await;
    assert_eq!(living(&world, "bob"), 70);
    let world = world.restart();
    world.pass(0).await;
    assert_eq!(living(&world, "bob"), 0);
}
