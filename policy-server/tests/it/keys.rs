//! Keys through the admin API: made, found, changed, ended.

use metering::api_key::ApiKey;
use serde_json::{Value, json};

use crate::world::{Key, World};

#[tokio::test]
async fn a_key_is_shown_with_its_secret_once() {
    let world = World::with_org(None).await;
    let body = json!({
        "org": "acme", "team": "search", "name": "nightly summariser",
        "expires_at": "2027-06-01T00:00:00Z",
        "limits": [
            {"unit": "requests", "window": "1m", "max": 60, "scope": "proxy"},
            {"unit": "concurrent", "max": 4},
        ],
        "budget": {"usd": "25.00", "period": "month"},
        "models": ["gpt-4o-mini"], "allowed_ips": [],
    });
    let (status, created) = world.admin("POST", "keys", body.clone()).await;
    assert_eq!(status.as_u16(), 201);
    let secret = created["key"].as_str().unwrap();
    assert!(secret.starts_with("sk-tg-") && ApiKey::parse(secret.as_bytes()).is_ok());
    assert!(secret.starts_with(created["prefix"].as_str().unwrap()));
    for name in ["org", "team", "name", "expires_at", "budget", "models", "allowed_ips"] {
        assert_eq!(created[name], body[name], "{name}");
    }
    assert_eq!(
        created["limits"][1],
        json!({"unit": "concurrent", "window": null, "max": 4, "scope": "proxy"})
    );
    assert_eq!((&created["status"], &created["format"]), (&json!("active"), &json!("tollgate")));
    assert_eq!((&created["applied"], &created["cut_calls"]), (&json!(true), &json!("estimate")));
    let path = format!("keys/{}", created["id"].as_str().unwrap());
    let shown = world.admin_ok("GET", &path, Value::Null).await;
    assert!(shown.get("key").is_none());
    let listed = world.admin_ok("GET", "keys", Value::Null).await;
    assert!(!listed.to_string().contains(secret));
    let mut expected = created.clone();
    let fields = expected.as_object_mut().unwrap();
    fields.remove("key");
    fields.remove("applied");
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn the_smallest_key_and_the_pair() {
    let world = World::with_org(None).await;
    let small = world.admin_ok("POST", "keys", json!({"org": "acme"})).await;
    for name in ["team", "expires_at", "budget", "models", "default_max_output_tokens"] {
        assert_eq!(small[name], Value::Null, "{name}");
    }
    let pair =
        world.admin_ok("POST", "keys", json!({"org": "acme", "format": "privatemind"})).await;
    let secret = pair["key"].as_str().unwrap();
    let (id, hidden) = secret.split_once(':').unwrap();
    assert!(ApiKey::parse(secret.as_bytes()).is_ok());
    assert_eq!((pair["prefix"].as_str(), hidden.len()), (Some(id), 64));
    let path = format!("keys/{}/rotate", pair["id"].as_str().unwrap());
    let rotated = world.admin_ok("POST", &path, Value::Null).await;
    assert_ne!(rotated["key"], pair["key"]);
    assert!(rotated["key"].as_str().unwrap().contains(':'), "the form stays");
    world.admin_refused("POST", "keys", json!({}), 400).await;
    let error = world.admin_refused("POST", "keys", json!({"org": "nope"}), 400).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("unknown_org"), &json!("org")));
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_leaves_the_rest() {
    let world = World::with_org(None).await;
    let full = json!({
        "team": "t", "name": "n", "expires_at": "2027-01-01T00:00:00Z", "models": ["gpt-4o-mini"],
        "limits": [{"unit": "requests", "window": "1m", "max": 6}],
        "budget": {"usd": "1.00", "period": "week"}, "default_max_output_tokens": 9,
        "cut_calls": "reservation",
    });
    let key = world.key(full.clone()).await;
    let path = format!("keys/{}", key.id);
    let before = world.admin_ok("GET", &path, Value::Null).await;
    world.clock.advance_ms(1_000);
    let same = world.admin_ok("PATCH", &path, json!({"name": "other"})).await;
    for (name, value) in before.as_object().unwrap() {
        if !["name", "updated_at", "version"].contains(&name.as_str()) {
            assert_eq!(&same[name], value, "{name}");
        }
    }
    assert_eq!((&before["version"], &same["version"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&same["name"], &same["updated_at"]),
        (&json!("other"), &json!("2026-11-20T12:00:01Z"))
    );
    let cleared = json!({
        "team": null, "name": null, "expires_at": null, "models": null, "limits": null,
        "budget": null, "default_max_output_tokens": null, "cut_calls": null,
    });
    let cleared = world.admin_ok("PATCH", &path, cleared).await;
    for name in ["team", "expires_at", "budget", "models", "default_max_output_tokens"] {
        assert_eq!(cleared[name], Value::Null, "{name}");
    }
    assert_eq!((&cleared["limits"], &cleared["name"]), (&json!([]), &json!("")));
    assert_eq!(cleared["cut_calls"], "estimate");
    let error = world.admin_refused("PATCH", &path, json!({"org": "beta"}), 400).await;
    assert_eq!(error["code"], "unsupported_field");
    world.admin_refused("PATCH", &path, json!({"format": "privatemind"}), 400).await;
    world.admin_ok("PATCH", &path, json!({"org": "acme", "format": "tollgate"})).await;
    let twice = json!([{"unit": "tokens", "window": "1d", "max": 5},
                       {"unit": "tokens", "window": "1d", "max": 6}]);
    let error = world.admin_refused("PATCH", &path, json!({"limits": twice}), 400).await;
    assert_eq!(error["param"], "limits[1]");
}

#[tokio::test]
async fn ends_are_final_and_repeating_them_is_harmless() {
    let world = World::with_org(None).await;
    let key = world.key(json!({"expires_at": "2026-11-20T12:00:05Z"})).await;
    let path = |action: &str| format!("keys/{}{action}?wait=0", key.id);
    let act = async |action: &str| {
        world.admin_ok("POST", &path(action), Value::Null).await["status"].clone()
    };
    assert_eq!(act("/disable").await, "disabled");
    assert_eq!(act("/disable").await, "disabled");
    assert_eq!(act("/enable").await, "active");
    world.clock.advance_ms(5_000);
    assert_eq!(act("/enable").await, "expired", "enabling does not outlive the date");
    assert_eq!(act("/revoke").await, "revoked");
    assert_eq!(act("/revoke").await, "revoked");
    for (method, action, body) in [
        ("POST", "/enable", Value::Null),
        ("POST", "/disable", Value::Null),
        ("POST", "/rotate", Value::Null),
        ("PATCH", "", json!({"name": "x"})),
    ] {
        let error = world.admin_refused(method, &path(action), body, 409).await;
        assert_eq!(error["code"], "key_revoked", "{action}");
    }
    for _ in 0..2 {
        let deleted = world.admin_ok("DELETE", &path(""), Value::Null).await;
        assert_eq!(deleted["status"], "deleted");
    }
    let error = world.admin_refused("POST", &path("/revoke"), Value::Null, 409).await;
    assert_eq!(error["code"], "key_deleted");
    let surprise = json!({"reason": "leaked"});
    world.admin_refused("POST", &path("/disable"), surprise, 400).await;
}

#[tokio::test]
async fn keys_are_found_by_text_status_and_page() {
    let world = World::with_org(None).await;
    world.admin_ok("PUT", "orgs/other", json!({})).await;
    let names = ["alpha 100%", "beta_b", "gamma", "delta"];
    let mut keys: Vec<Key> = Vec::new();
    for name in names {
        keys.push(
            world.key(json!({"name": name, "team": format!("team-{name}").replace(' ', "")})).await,
        );
    }
    let foreign = json!({"org": "other", "name": "foreign"});
    let foreign = Key::of(&world.admin_ok("POST", "keys", foreign).await);
    let expired = world.key(json!({"name": "old", "expires_at": "2026-11-20T12:00:00Z"})).await;
    for (index, action) in [(1, "disable"), (2, "revoke")] {
        let path = format!("keys/{}/{action}", keys[index].id);
        world.admin_ok("POST", &path, Value::Null).await;
    }
    world.admin_ok("DELETE", &format!("keys/{}", keys[3].id), Value::Null).await;
    let found = async |query: &str| {
        let page = world.admin_ok("GET", &format!("keys?{query}"), Value::Null).await;
        let names = page["data"].as_array().unwrap().iter();
        names.map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("").await, ["old", "foreign", "gamma", "beta_b", "alpha 100%"]);
    assert_eq!(found("status=active").await, ["foreign", "alpha 100%"]);
    assert_eq!(found("status=expired").await, ["old"]);
    assert_eq!(found("status=disabled").await, ["beta_b"]);
    assert_eq!(found("status=revoked").await, ["gamma"]);
    assert_eq!(found("status=deleted").await, ["delta"]);
    assert_eq!(found("search=ALPHA").await, ["alpha 100%"]);
    assert_eq!(found("search=team-beta").await, ["beta_b"]);
    // characters that SQL patterns know are taken literally
    assert_eq!(found("search=0%25").await, ["alpha 100%"]);
    assert_eq!(found("search=%25").await, ["alpha 100%"]);
    assert_eq!(found("search=a_b").await, ["beta_b"]);
    assert_eq!(found("search=%27%20OR%201=1").await, [] as [&str; 0]);
    assert_eq!(found(&format!("search={}", foreign.id)).await, ["foreign"]);
    let prefix = expired.secret.get(..18).unwrap();
    assert_eq!(found(&format!("search={prefix}")).await, ["old"]);
    assert_eq!(found("org=other").await, ["foreign"]);
    let page = world.admin_ok("GET", "keys?limit=3", Value::Null).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = world.admin_ok("GET", &format!("keys?limit=3&cursor={cursor}"), Value::Null).await;
    assert_eq!(
        (page["data"].as_array().unwrap().len(), rest["data"].as_array().unwrap().len()),
        (3, 2)
    );
    assert_eq!(rest["next_cursor"], Value::Null);
}
