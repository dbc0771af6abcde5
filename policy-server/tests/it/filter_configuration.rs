//! Keys and models as filters without a server take them, and what gets lost.

use serde_json::{Value, json};

use crate::world::{MODEL, World};

async fn export(world: &World, query: &str) -> Value {
    world.admin_ok("GET", &format!("filter-configuration{query}"), Value::Null).await
}

fn ids(page: &Value) -> Vec<&str> {
    page["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect()
}

fn notes(page: &Value) -> Vec<(&str, &str)> {
    let notes = page["notes"].as_array().unwrap().iter();
    notes.map(|note| (note["about"].as_str().unwrap(), note["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn what_gets_lost_is_said() {
    let world = World::with_org(None).await;
    let unpriced = json!({"input_usd_per_mtok": null, "output_usd_per_mtok": null,
        "context_length": 90, "max_output_tokens": 9});
    world.admin_ok("PUT", "models/unpriced", unpriced).await;
    let made = |body: Value| async { world.admin_ok("POST", "keys", body).await };
    let capped = made(json!({"org": "acme", "models": [MODEL, "unpriced"],
        "budget": {"usd": "5", "period": "month"}}))
    .await;
    let windowed = made(json!({"org": "acme", "limits": [
        {"unit": "requests", "window": "1m", "max": 5, "scope": "cluster"},
        {"unit": "requests", "window": "1h", "max": 50},
        {"unit": "requests", "window": "1d", "max": 9, "model": "unpriced"}]}))
    .await;
    let page = export(&world, "").await;
    let id = |key: &Value| key["id"].as_str().unwrap().to_owned();
    assert_eq!(
        notes(&page),
        [("unpriced", "no_price"), (&*id(&capped), "budget"), (&*id(&windowed), "cluster_window")]
    );
    assert_eq!(page["keys"][0]["models"], json!([MODEL]));
    assert_eq!(page["keys"][0]["budget"], Value::Null);
    let left = json!([{"unit": "requests", "window": "1h", "max": 50, "level": "key"}]);
    assert_eq!(page["keys"][1]["limits"], left);
    let names: Vec<_> = page["models"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [MODEL]);
    let secret = capped["key"].as_str().unwrap();
    assert!(!page.to_string().contains(secret));
}

#[tokio::test]
async fn pages_hold_every_key_once_with_the_secrets_that_are_good() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/other", json!({})).await;
    let mut all = Vec::new();
    for org in ["acme", "other", "acme"] {
        let key = world.admin_ok("POST", "keys", json!({"org": org})).await;
        all.push(key["id"].as_str().unwrap().to_owned());
    }
    let rotate = |grace_s: u64| json!({"grace_s": grace_s});
    world.admin_ok("POST", &format!("keys/{}/rotate", all[0]), rotate(60)).await;
    world.admin_ok("POST", &format!("keys/{}/rotate", all[1]), rotate(0)).await;
    let first = export(&world, "?limit=2").await;
    assert_eq!(ids(&first), [&*all[0], &*all[1]]);
    assert_eq!(first["keys"][0]["digests"].as_array().unwrap().len(), 2);
    assert!(first["keys"][0]["digests"][1]["expires_at"].is_string());
    assert_eq!(first["keys"][1]["digests"].as_array().unwrap().len(), 1);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = export(&world, &format!("?limit=2&cursor={cursor}")).await;
    assert_eq!((ids(&second), &second["models"]), (vec![&*all[2]], &Value::Null));
    let of_one = export(&world, "?org=other").await;
    assert_eq!(ids(&of_one), [&*all[1]]);
}

#[tokio::test]
async fn shadow_mode_is_written_where_a_key_is_in_it() {
    let world = World::with_org(None).await;
    for shadow in [true, false] {
        world.admin_ok("POST", "keys", json!({"org": "acme", "shadow": shadow})).await;
    }
    let page = export(&world, "").await;
    assert_eq!(page["keys"][0]["shadow"], true);
    assert_eq!(page["keys"][1].get("shadow"), None);
}
