//! Secrets of keys: their forms, rotation with and without grace, import by digest, and requests that
//! are repeated.

use axum::body::Body;
use axum::http::Request;
use metering::api_key::ApiKey;
use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer};

use crate::world::{Holder, Key, World, exchange};

async fn is_known(world: &World, holder: &Holder, key: &Key) -> bool {
    matches!(world.admit(holder, key, 0, None).await.key, KeyAnswer::Known(_))
}

/// The same key with the secret that an answer tells.
fn with_secret(key: &Key, answer: &Value) -> Key {
    Key { id: key.id.clone(), secret: answer["key"].as_str().unwrap().to_owned() }
}

#[tokio::test]
async fn every_form_of_secret_is_well_formed_and_stays_when_rotated() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let mut owners = Vec::new();
    for (format, begins, length) in
        [("tollgate", "sk-tg-", 73), ("privatemind", "PMIND", 97), ("openai", "sk-", 51)]
    {
        for user in ["ada", "bob"] {
            let body = json!({"org": "acme", "format": format, "user": user});
            let created = world.admin_ok("POST", "keys", body).await;
            let key = Key::of(&created);
            let rotate = format!("keys/{}/rotate", key.id);
            let rotated = with_secret(&key, &world.admin_ok("POST", &rotate, Value::Null).await);
            for secret in [&key.secret, &rotated.secret] {
                assert!(secret.starts_with(begins) && secret.len() == length, "{format} {secret}");
                assert!(ApiKey::parse(secret.as_bytes()).is_ok());
            }
            let prefix = created["prefix"].as_str().unwrap();
            assert!(key.secret.starts_with(prefix) && prefix.len() < length / 2, "{prefix}");
            assert!(!is_known(&world, &holder, &key).await, "a replaced secret ends at once");
            assert!(is_known(&world, &holder, &rotated).await);
            if format == "privatemind" {
                let (id, secret) = key.secret.split_once(':').unwrap();
                assert_eq!(
                    (id.len(), secret.len(), created["format"].as_str()),
                    (32, 64, Some(format))
                );
                owners.push(id[20..].to_owned());
                owners.push(rotated.secret[20..32].to_owned());
            }
        }
    }
    // the id of a pair tells whose it is, and of no two owners the same
    assert!(owners[0] == owners[1] && owners[2] == owners[3] && owners[0] != owners[2]);
}

#[tokio::test]
async fn a_replaced_secret_is_good_until_its_grace_is_over() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let old = world.key(json!({"name": "n"})).await;
    let path = format!("keys/{}", old.id);
    let rotate = format!("{path}/rotate?wait=0");
    let rotated = world.admin_ok("POST", &rotate, json!({"grace_s": 3_600})).await;
    assert_eq!(rotated["previous_secret_until"], "2026-11-20T13:00:00Z");
    let new = with_secret(&old, &rotated);
    world.pass(3_599_999).await;
    let holder_of_later = world.holder(2).await;
    assert!(is_known(&world, &holder_of_later, &old).await);
    assert!(is_known(&world, &holder_of_later, &new).await);
    let before = world.changes(&holder_of_later).await.len();

    // the store itself knows the end, before anybody sweeps
    world.clock.advance_ms(1);
    assert!(!is_known(&world, &holder_of_later, &old).await);
    let shown = world.admin_ok("GET", &path, Value::Null).await;
    assert_eq!(shown["previous_secret_until"], Value::Null);
    world.pass(0).await;
    let changes = world.changes(&holder_of_later).await;
    assert_eq!(changes.len(), before + 1, "filters are told once");
    let Some(Change::Key { digests, .. }) = changes.last() else { panic!("{changes:?}") };
    assert!(digests.contains(&old.digest()) && digests.contains(&new.digest()));
    world.pass(1_000).await;
    assert_eq!(world.changes(&holder_of_later).await.len(), before + 1);
    assert!(is_known(&world, &holder_of_later, &new).await);
    drop(holder);
}

#[tokio::test]
async fn a_key_has_two_secrets_at_most() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let first = world.key(json!({})).await;
    let rotate = format!("keys/{}/rotate?wait=0", first.id);
    let hour = json!({"grace_s": 3_600});
    let second = with_secret(&first, &world.admin_ok("POST", &rotate, hour.clone()).await);
    let third = with_secret(&first, &world.admin_ok("POST", &rotate, hour).await);
    assert!(!is_known(&world, &holder, &first).await);
    assert!(is_known(&world, &holder, &second).await && is_known(&world, &holder, &third).await);
    // one without grace ends both
    let fourth = with_secret(&first, &world.admin_ok("POST", &rotate, json!({})).await);
    assert!(!is_known(&world, &holder, &second).await && !is_known(&world, &holder, &third).await);
    let revoke = format!("keys/{}/revoke?wait=0", first.id);
    world.admin_ok("POST", &rotate, json!({"grace_s": 60})).await;
    world.admin_ok("POST", &revoke, Value::Null).await;
    match world.admit(&holder, &fourth, 0, None).await.key {
        KeyAnswer::Known(policy) => assert_eq!(policy.state, wire::v1::KeyState::Revoked),
        KeyAnswer::Unknown => panic!("a revoked key is told from an unknown one"),
    }
    for body in [json!({"grace_s": -1}), json!({"grace_s": 2_592_001}), json!({"grace": 1})] {
        let other = world.key(json!({})).await;
        let rotate = format!("keys/{}/rotate?wait=0", other.id);
        world.admin_refused("POST", &rotate, body, 400).await;
        assert!(is_known(&world, &holder, &other).await);
    }
}

#[tokio::test]
async fn a_key_made_elsewhere_is_imported_by_its_digest() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let secret = "sk-AbCdEfGhIjKlMnOpQrStUvWxYz012345";
    let hex = metering::api_key::digest(secret.as_bytes()).to_string();
    let body = json!({"org": "acme", "name": "from before", "sha256": hex.to_uppercase(),
                      "prefix": "sk-AbCdEf", "format": "openai", "tags": ["old"]});
    let (status, imported) = world.admin("POST", "keys/import", body.clone()).await;
    assert_eq!(status.as_u16(), 201);
    assert!(imported.get("key").is_none());
    assert_eq!((&imported["prefix"], &imported["tags"]), (&body["prefix"], &body["tags"]));
    let id = wire::KeyId::new(imported["id"].as_str().unwrap()).unwrap();
    let key = Key { id, secret: secret.to_owned() };
    assert!(is_known(&world, &holder, &key).await);

    let error = world.admin_refused("POST", "keys/import", body.clone(), 409).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("digest_taken"), &json!("sha256")));
    let rotate = format!("keys/{}/rotate?wait=0", key.id);
    let rotated = world.admin_ok("POST", &rotate, Value::Null).await;
    assert!(rotated["key"].as_str().unwrap().starts_with("sk-"));
    assert!(!is_known(&world, &holder, &key).await);
    world.admin_refused("POST", "keys/import", body, 409).await;

    let digest = |text: &str| metering::api_key::digest(text.as_bytes()).to_string();
    for (name, value) in [
        ("sha256", json!("12")),
        ("sha256", json!("g".repeat(64))),
        ("sha256", Value::Null),
        ("sha256", json!(digest("sk-whole"))),
        ("prefix", json!("sk-0123456789")),
    ] {
        let mut body = json!({"org": "acme", "sha256": digest("other"), "prefix": "sk-whole"});
        body[name] = value;
        let error = world.admin_refused("POST", "keys/import", body, 400).await;
        assert_eq!(error["param"], name);
    }
}

async fn post(world: &World, path: &str, word: &str, body: &Value) -> (u16, bool, Value) {
    let request = Request::post(format!("/admin/v1/{path}"))
        .header("authorization", format!("Bearer {}", world.admin_token))
        .header("idempotency-key", word)
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, headers, bytes) = exchange(&world.app.admin, request).await;
    let replayed = headers.contains_key("idempotency-replayed");
    (status.as_u16(), replayed, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_repeated_request_makes_one_key_and_tells_its_secret_once() {
    let world = World::with_org(None).await;
    let body = json!({"org": "acme", "name": "nightly"});
    let (status, replayed, made) = post(&world, "keys", "word-1", &body).await;
    assert!(status == 201 && !replayed && made["key"].is_string());
    let (status, replayed, again) = post(&world, "keys", "word-1", &body).await;
    assert!(status == 200 && replayed && again.get("key").is_none());
    assert_eq!(again["id"], made["id"]);
    let other = json!({"org": "acme", "name": "daily"});
    let (status, _, error) = post(&world, "keys", "word-1", &other).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("idempotency_key_reused")));
    let (status, _, second) = post(&world, "keys", "word-2", &body).await;
    assert!(status == 201 && second["id"] != made["id"]);
    // what was refused is not remembered
    let (status, ..) = post(&world, "keys", "word-3", &json!({"org": "nope"})).await;
    assert_eq!(status, 400);
    assert_eq!(post(&world, "keys", "word-3", &body).await.0, 201);
    for word in ["", "w\u{e9}", &"x".repeat(256)] {
        let (status, _, error) = post(&world, "keys", word, &body).await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("invalid_header")), "{word}");
    }
    let digest = metering::api_key::digest(b"sk-AbCdEfGhIjKlMnOpQrStUvWxYz012345").to_string();
    let import = json!({"org": "acme", "sha256": digest});
    let (status, _, imported) = post(&world, "keys/import", "word-4", &import).await;
    assert_eq!(status, 201);
    let (status, replayed, again) = post(&world, "keys/import", "word-4", &import).await;
    assert!(status == 200 && replayed && again["id"] == imported["id"]);

    let world = world.restart();
    let (status, _, again) = post(&world, "keys", "word-1", &body).await;
    assert_eq!((status, &again["id"]), (200, &made["id"]), "a restart does not forget it");
    world.pass(24 * 60 * 60 * 1_000 + 1).await;
    assert_eq!(post(&world, "keys", "word-1", &body).await.0, 201, "a day later it is a new one");
    let kept: u32 = world
        .tables()
        .query_row("SELECT count(*) FROM repeatable_requests", [], |row| row.get(0))
        .unwrap();
    assert!(kept <= 5, "{kept} are kept");
}
