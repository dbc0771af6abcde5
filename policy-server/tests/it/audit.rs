//! The audit: who did what and who tried, read by pages and by those who may.

use serde_json::{Value, json};

use crate::people::{ask, member, person};
use crate::world::World;

const DAY_MS: u64 = 86_400_000;

async fn lines(world: &World, query: &str) -> Vec<Value> {
    let page = world.admin_ok("GET", &format!("audit?{query}"), Value::Null).await;
    page["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_change_is_written_with_what_differs_before_and_after() {
    let world = World::with_org(None).await;
    let olga = person(&world, "acme", "olga", "org_owner").await;
    let key = world.key(json!({"name": "old", "budget": {"usd": "1.00", "period": "month"}})).await;
    let path = format!("keys/{}", key.id);
    world.clock.advance_ms(1_000);
    olga.ok(&world, "PATCH", &path, json!({"name": "new", "budget": {"usd": "2.00"}})).await;
    let of_key = lines(&world, &format!("target={}", key.id)).await;
    assert_eq!(
        of_key[0],
        json!({
            "at": "2026-11-20T12:00:01Z", "actor": "acme/olga", "action": "key.change",
            "kind": "key", "target": key.id, "org": "acme", "amount_usd": null,
            "before": {"name": "old", "budget": {"usd": "1.00", "period": "month"}},
            "after": {"name": "new", "budget": {"usd": "2.00", "period": "month"}},
            "address": null, "outcome": "done", "code": null, "token": olga.token_id,
        })
    );
    assert_eq!(
        (&of_key[1]["action"], &of_key[1]["actor"]),
        (&json!("key.create"), &json!("admin"))
    );
    assert_eq!((&of_key[1]["before"], &of_key[1]["after"]["name"]), (&Value::Null, &json!("old")));
    assert!(!json!(of_key).to_string().contains(&key.secret), "never a secret");
    world.admin_ok("DELETE", &path, Value::Null).await;
    let deleted = &lines(&world, "action=key.delete").await[0];
    assert_eq!(deleted["before"], json!({"status": "active"}));
    assert_eq!(deleted["after"], json!({"status": "deleted"}));
    // reading is no event
    let before = lines(&world, "limit=200").await.len();
    olga.ok(&world, "GET", &path, Value::Null).await;
    olga.refused(&world, "GET", "orgs/beta", Value::Null, 404).await;
    assert_eq!(lines(&world, "limit=200").await.len(), before);
}

#[tokio::test]
async fn what_was_refused_and_what_failed_is_written_as_well_and_changes_nothing() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    let audrey = person(&world, "acme", "audrey", "org_auditor").await;
    let key = world.key(json!({})).await;
    let foreign = world.key(json!({"org": "beta"})).await;
    audrey.refused(&world, "POST", &format!("keys/{}/revoke", key.id), Value::Null, 403).await;
    audrey.refused(&world, "POST", &format!("keys/{}/revoke", foreign.id), Value::Null, 404).await;
    audrey.refused(&world, "GET", "status", Value::Null, 403).await;
    world.admin_refused("PUT", "orgs/acme", json!({"models": ["nope"]}), 400).await;
    let tried: Vec<_> = lines(&world, "outcome=refused").await;
    let tried: Vec<_> = tried
        .iter()
        .map(|line| ["actor", "action", "target", "org", "code"].map(|name| line[name].clone()))
        .collect();
    let audrey_line = |action: &str, target: &str, code: &str| {
        ["acme/audrey", action, target, "acme", code].map(|text| json!(text))
    };
    assert_eq!(
        tried,
        [
            audrey_line("server.read", "", "permission_denied"),
            // into the log of her own organisation, not of the other
            audrey_line("key.revoke", foreign.id.as_str(), "not_found"),
            audrey_line("key.revoke", key.id.as_str(), "permission_denied"),
        ]
    );
    let failed = lines(&world, "outcome=failed").await;
    assert_eq!(
        (&failed[0]["action"], &failed[0]["target"], &failed[0]["code"]),
        (&json!("org.put"), &json!("acme"), &json!("unknown_model"))
    );
    for key in [&key, &foreign] {
        let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
        assert_eq!(shown["status"], "active");
    }
}

#[tokio::test]
async fn lines_are_filtered_paged_and_seen_by_who_may() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/beta", json!({})).await;
    let audrey = person(&world, "acme", "audrey", "org_auditor").await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    for _ in 0..5 {
        world.clock.advance_ms(1_000);
        world.admin_ok("POST", "keys", json!({"org": "beta"})).await;
        dev.ok(&world, "POST", "me/keys", json!({"name": "a", "team": "search"})).await;
    }
    assert_eq!(lines(&world, "actor=acme/dev").await.len(), 5);
    assert_eq!(lines(&world, "action=key.create&org=beta").await.len(), 5);
    assert_eq!(lines(&world, "actor=acme/dev&org=beta").await.len(), 0);
    let of_time = "action=key.create&since=2026-11-20T12:00:02Z&until=2026-11-20T12:00:04Z";
    assert_eq!(lines(&world, of_time).await.len(), 2);
    let mut seen = Vec::new();
    let mut query = "actor=acme/dev&limit=2".to_owned();
    loop {
        let page = world.admin_ok("GET", &format!("audit?{query}"), Value::Null).await;
        let items = page["data"].as_array().unwrap();
        seen.extend(items.iter().map(|line| line["target"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("actor=acme/dev&limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let different: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (5, 5));
    for wrong in ["outcome=maybe", "since=yesterday", "org=a%20b", "limit=0", "x=1"] {
        world.admin_refused("GET", &format!("audit?{wrong}"), Value::Null, 400).await;
    }

    let own = audrey.ok(&world, "GET", "audit?limit=200", Value::Null).await;
    let own = own["data"].as_array().unwrap();
    assert!(own.len() > 5 && own.iter().all(|line| line["org"] == "acme"), "{own:?}");
    let code = audrey.refused(&world, "GET", "audit?org=beta", Value::Null, 404).await;
    assert_eq!(code, "not_found");
    assert_eq!(dev.refused(&world, "GET", "audit", Value::Null, 403).await, "permission_denied");
}

#[tokio::test]
async fn old_lines_are_forgotten_when_that_is_set_and_only_then() {
    let world = World::with_org(None).await;
    let count = || -> i64 {
        world.tables().query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap()
    };
    for _ in 0..300 {
        world.admin_ok("PUT", "settings", json!({"audit_retention_days": null})).await;
    }
    let before = count();
    world.pass(400 * DAY_MS).await;
    assert_eq!(count(), before, "for ever where nothing is said");
    let shown = world.admin_ok("GET", "settings", Value::Null).await;
    assert_eq!(shown, json!({"audit_retention_days": null}));
    for wrong in [json!(0), json!(36_501), json!("30")] {
        world.admin_refused("PUT", "settings", json!({"audit_retention_days": wrong}), 400).await;
    }
    world.admin_ok("PUT", "settings", json!({"audit_retention_days": 401})).await;
    world.pass(0).await;
    assert_eq!(count(), before + 4, "three refusals and the setting itself");
    world.pass(DAY_MS).await;
    assert_eq!(count(), before + 4, "a line is as old as that, not older");
    world.pass(1).await;
    assert_eq!(count(), 4);
    let kept = &lines(&world, "action=settings.put&outcome=done").await[0];
    assert_eq!(kept["after"], json!({"audit_retention_days": 401}));
}

/// Whoever may not do something does not fill the disk by trying it.
#[tokio::test]
async fn what_somebody_names_is_kept_as_far_as_a_name_goes() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    let long = "x".repeat(500_000);
    let body = json!({"level": "org", "id": long});
    let (status, _) = ask(&world, &ada.token, "POST", "budgets/release", body).await;
    assert!((400..500).contains(&status), "{status}");
    let path = format!("me/tokens/{}/revoke", &long[..20_000]);
    let (status, _) = ask(&world, &ada.token, "POST", &path, Value::Null).await;
    assert!((400..500).contains(&status), "{status}");
    let longest: u32 = world
        .tables()
        .query_row("SELECT max(length(target)) FROM audit", [], |row| row.get(0))
        .unwrap();
    assert!(longest <= 1_024, "{longest}");
}
