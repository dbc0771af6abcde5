//! Signing in by personal tokens: issued, used, rotated, ended, and how often it may fail.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::{Value, json};
use std::net::SocketAddr;

use crate::people::{ask, person};
use crate::world::{World, exchange};

const DAY_MS: u64 = 86_400_000;

/// Asks who one is, from an address; answers status, code and the seconds to wait.
async fn who_from(world: &World, token: &str, address: &str) -> (u16, String, Option<String>) {
    let connection: SocketAddr = address.parse().unwrap();
    let request = Request::builder()
        .uri("/admin/v1/me")
        .header("authorization", format!("Bearer {token}"))
        .extension(ConnectInfo(connection))
        .body(Body::empty())
        .unwrap();
    let (status, headers, bytes) = exchange(&world.app.admin, request).await;
    let wait = headers.get("retry-after");
    let wait = wait.map(|wait| wait.to_str().unwrap().to_owned());
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    (status.as_u16(), answer["error"]["code"].as_str().unwrap_or("-").to_owned(), wait)
}

#[tokio::test]
async fn a_token_is_shown_once_and_only_its_digest_is_stored() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    assert!(ada.token.starts_with("tgp_") && ada.token.len() == 56, "{}", ada.token.len());
    let path = format!("orgs/acme/users/ada/tokens/{}", ada.token_id);
    let shown = world.admin_ok("GET", &path, Value::Null).await;
    assert!(ada.token.starts_with(shown["prefix"].as_str().unwrap()));
    assert_eq!((&shown["status"], &shown["issued_by"]), (&json!("active"), &json!("admin")));
    assert_eq!(shown["expires_at"], "2027-02-18T12:00:00Z", "90 days");
    assert_eq!((&shown["token"], &shown["last_used_at"]), (&Value::Null, &Value::Null));
    let secret = &ada.token[16..];
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the secret is stored");
    }
    let audit = world.admin_ok("GET", "audit", Value::Null).await.to_string();
    assert!(audit.contains("token.create") && !audit.contains(secret));
}

#[tokio::test]
async fn the_last_use_is_known_to_the_minute_and_by_address() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    let last = async || {
        let path = format!("orgs/acme/users/ada/tokens/{}", ada.token_id);
        let shown = world.admin_ok("GET", &path, Value::Null).await;
        (shown["last_used_at"].clone(), shown["last_address"].clone())
    };
    assert_eq!(who_from(&world, &ada.token, "[::ffff:192.0.2.7]:999").await.0, 200);
    assert_eq!(last().await, (json!("2026-11-20T12:00:00Z"), json!("192.0.2.7")));
    world.clock.advance_ms(59_999);
    who_from(&world, &ada.token, "192.0.2.7:1").await;
    assert_eq!(last().await.0, "2026-11-20T12:00:00Z", "not a write for every request");
    world.clock.advance_ms(1);
    who_from(&world, &ada.token, "192.0.2.7:1").await;
    assert_eq!(last().await.0, "2026-11-20T12:01:00Z");
    who_from(&world, &ada.token, "[2001:db8::1]:1").await;
    assert_eq!(last().await.1, "2001:db8::1");
}

#[tokio::test]
async fn tokens_end_by_time_by_revocation_and_with_their_user() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_admin").await;
    let tokens = "orgs/acme/users/ada/tokens";
    for (expires_at, expected) in [
        (json!("2026-11-20T12:00:00Z"), 400),
        (json!("2027-11-21T12:00:01Z"), 400),
        (json!("soon"), 400),
        (json!("2027-11-21T12:00:00Z"), 201),
    ] {
        let (status, _) = world.admin("POST", tokens, json!({"expires_at": expires_at})).await;
        assert_eq!(status.as_u16(), expected, "{expires_at}");
    }
    let day = json!({"name": "day", "expires_at": "2026-11-21T12:00:00Z"});
    let day = world.admin_ok("POST", tokens, day).await["token"].as_str().unwrap().to_owned();
    world.clock.advance_ms(DAY_MS - 1);
    assert_eq!(ask(&world, &day, "GET", "me", Value::Null).await.0, 200);
    world.clock.advance_ms(1);
    let (status, answer) = ask(&world, &day, "GET", "me", Value::Null).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("token_expired")));

    let other = ada.ok(&world, "POST", "me/tokens", json!({"name": "mine"})).await;
    assert_eq!(other["issued_by"], "acme/ada");
    let other_text = other["token"].as_str().unwrap().to_owned();
    let revoke = format!("me/tokens/{}/revoke", ada.token_id);
    assert_eq!(ada.ok(&world, "POST", &revoke, Value::Null).await["status"], "revoked");
    assert_eq!(ada.refused(&world, "GET", "me", Value::Null, 401).await, "token_revoked");
    // the other one goes on, until the user is suspended, and again afterwards
    let who = async |expected: u16| {
        let (status, answer) = ask(&world, &other_text, "GET", "me", Value::Null).await;
        assert_eq!(status, expected, "{answer}");
        answer["error"]["code"].as_str().unwrap_or("-").to_owned()
    };
    who(200).await;
    world.admin_ok("POST", "orgs/acme/users/ada/suspend", Value::Null).await;
    assert_eq!(who(401).await, "user_suspended");
    world.admin_ok("POST", "orgs/acme/users/ada/resume", Value::Null).await;
    who(200).await;
    world.admin_ok("POST", "orgs/acme/suspend", Value::Null).await;
    assert_eq!(who(401).await, "org_suspended");
    world.admin_ok("POST", "orgs/acme/resume", Value::Null).await;
    who(200).await;
    world.admin_ok("DELETE", "orgs/acme/users/ada", Value::Null).await;
    assert_eq!(who(401).await, "token_revoked");
    // whoever is given the same id is somebody else
    world.admin_ok("PUT", "orgs/acme/users/ada", json!({"role": "org_owner"})).await;
    assert_eq!(who(401).await, "token_revoked");
}

#[tokio::test]
async fn a_rotated_token_goes_on_for_the_overlap_and_no_longer_than_it_would_have() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    let rotate = format!("me/tokens/{}/rotate", ada.token_id);
    assert_eq!(
        ada.refused(&world, "POST", &rotate, json!({"overlap_s": 604_801}), 400).await,
        "invalid_field"
    );
    world.clock.advance_ms(DAY_MS);
    let new = ada.ok(&world, "POST", &rotate, json!({"overlap_s": 3_600})).await;
    assert_eq!(new["expires_at"], "2027-02-19T12:00:00Z", "as long a life again");
    let new_text = new["token"].as_str().unwrap();
    assert_eq!(ask(&world, new_text, "GET", "me", Value::Null).await.0, 200);
    world.clock.advance_ms(3_599_999);
    ada.ok(&world, "GET", "me", Value::Null).await;
    world.clock.advance_ms(1);
    assert_eq!(ada.refused(&world, "GET", "me", Value::Null, 401).await, "token_expired");
    assert_eq!(ask(&world, new_text, "GET", "me", Value::Null).await.0, 200);
    // at once
    let path = format!("me/tokens/{}/rotate", new["id"].as_str().unwrap());
    let (status, _) = ask(&world, new_text, "POST", &path, Value::Null).await;
    assert_eq!(status, 200);
    let (status, answer) = ask(&world, new_text, "GET", "me", Value::Null).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("token_revoked")));
    let path = format!("orgs/acme/users/ada/tokens/{}/rotate", new["id"].as_str().unwrap());
    assert_eq!(world.admin_refused("POST", &path, Value::Null, 409).await["code"], "token_ended");
}

#[tokio::test]
async fn nobody_signs_in_as_somebody_above_or_as_a_service_account() {
    let world = World::with_org(None).await;
    let adam = person(&world, "acme", "adam", "org_admin").await;
    let olga = person(&world, "acme", "olga", "org_owner").await;
    let token = "orgs/acme/users/olga/tokens";
    assert_eq!(adam.refused(&world, "POST", token, json!({}), 403).await, "role_above_own");
    for action in ["rotate", "revoke"] {
        let path = format!("{token}/{}/{action}", olga.token_id);
        assert_eq!(adam.refused(&world, "POST", &path, Value::Null, 403).await, "role_above_own");
    }
    for (method, path, body) in [
        ("PUT", "orgs/acme/users/olga", json!({})),
        ("DELETE", "orgs/acme/users/olga", Value::Null),
        ("POST", "orgs/acme/users/olga/suspend", Value::Null),
        ("PUT", "orgs/acme/users/new", json!({"role": "org_owner"})),
        ("PUT", "orgs/acme/users/new", json!({"role": "platform_admin"})),
    ] {
        assert_eq!(adam.refused(&world, method, path, body, 403).await, "role_above_own", "{path}");
    }
    // nor ends oneself, or gives oneself another role
    let own = json!({"role": "org_admin"});
    assert_eq!(olga.refused(&world, "PUT", "orgs/acme/users/olga", own, 409).await, "own_account");
    for (method, path) in
        [("DELETE", "orgs/acme/users/olga"), ("POST", "orgs/acme/users/olga/suspend")]
    {
        assert_eq!(olga.refused(&world, method, path, Value::Null, 409).await, "own_account");
    }
    olga.ok(&world, "POST", "orgs/acme/users/adam/tokens", json!({})).await;
    world.admin_ok("PUT", "orgs/acme/teams/search", json!({})).await;
    let account = json!({"team": "search", "name": "nightly"});
    let account = olga.ok(&world, "POST", "orgs/acme/service-accounts", account).await;
    let path = format!("orgs/acme/users/{}/tokens", account["id"].as_str().unwrap());
    assert_eq!(olga.refused(&world, "POST", &path, json!({}), 409).await, "is_service_account");
}

#[tokio::test]
async fn failed_sign_ins_are_limited_by_address_and_by_prefix_and_right_tokens_go_on() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    let here = "192.0.2.7:1";
    assert_eq!(who_from(&world, &ada.token, here).await.0, 200);
    let wrong = |n: usize| format!("tgp_{n:012}{}", "x".repeat(40));
    for n in 0..30 {
        let (status, code, _) = who_from(&world, &wrong(n), here).await;
        assert_eq!((status, code.as_str()), (401, "invalid_admin_token"), "{n}");
    }
    world.clock.advance_ms(10_500);
    let (status, code, wait) = who_from(&world, &wrong(99), here).await;
    assert_eq!((status, code.as_str(), wait.as_deref()), (429, "too_many_attempts", Some("50")));
    // whoever was right goes on, and other places are not concerned
    assert_eq!(who_from(&world, &ada.token, here).await.0, 200);
    assert_eq!(who_from(&world, &wrong(99), "192.0.2.8:1").await.0, 401);
    world.clock.advance_ms(49_500);
    assert_eq!(who_from(&world, &wrong(99), here).await.0, 401);

    // the beginning of a real token, from many places
    let prefix = &ada.token[..16];
    for n in 0..11 {
        let guess = format!("{prefix}{}{n:02}", "y".repeat(38));
        let (status, ..) = who_from(&world, &guess, &format!("198.51.100.{n}:1")).await;
        assert_eq!(status, if n < 10 { 401 } else { 429 }, "{n}");
    }
    assert_eq!(who_from(&world, &ada.token, "203.0.113.1:1").await.0, 200);
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_tokens() {
    let world = World::with_org(None).await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    for _ in 1..64 {
        ada.ok(&world, "POST", "me/tokens", json!({})).await;
    }
    let code = ada.refused(&world, "POST", "me/tokens", json!({}), 409).await;
    assert_eq!(code, "too_many_tokens");
    let page = ada.ok(&world, "GET", "me/tokens?limit=60", Value::Null).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = ada.ok(&world, "GET", &format!("me/tokens?cursor={cursor}"), Value::Null).await;
    assert_eq!(rest["data"].as_array().unwrap().len(), 4);
    world.clock.advance_ms(91 * DAY_MS);
    assert_eq!(ada.refused(&world, "GET", "me", Value::Null, 401).await, "token_expired");
    world.admin_ok("POST", "orgs/acme/users/ada/tokens", json!({})).await;
}
