//! What can be said of a key beyond its name: description, tags, notes, kind, lifetime, ceiling per
//! call, networks; and changing it only as it was seen.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use wire::v1::{KeyAnswer, KeyKind, KeyPolicy, Refusal};

use crate::world::{Holder, Key, World, ask, ask_up_to, exchange, micro};

async fn policy(world: &World, holder: &Holder, key: &Key) -> KeyPolicy {
    match world.admit(holder, key, 0, None).await.key {
        KeyAnswer::Known(policy) => *policy,
        KeyAnswer::Unknown => panic!("the key is not known"),
    }
}

#[tokio::test]
async fn a_key_holds_what_people_say_of_it_and_filters_are_told_what_they_enforce() {
    let world = World::with_org(None).await;
    let said = json!({
        "org": "acme", "description": "Summaries for the morning mail",
        "notes": "asked for by Ada\nsee the wiki", "tags": ["batch", "prod eu"], "kind": "user",
        "user": "ada", "max_call_usd": "0.50", "allowed_ips": ["192.0.2.0/24", "2001:db8::7"],
    });
    let created = world.admin_ok("POST", "keys", said.clone()).await;
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(&created[name], value, "{name}");
    }
    let key = Key::of(&created);
    let holder = world.holder(1).await;
    let told = policy(&world, &holder, &key).await;
    assert_eq!((told.kind, told.max_call), (KeyKind::User, Some(micro(500_000))));
    let networks = told.allowed_ips.unwrap();
    assert!(networks.contains("192.0.2.9".parse().unwrap()));
    assert!(!networks.contains("192.0.3.9".parse().unwrap()));

    let path = format!("keys/{}?wait=0", key.id);
    let cleared = json!({"description": null, "notes": null, "tags": null, "max_call_usd": null,
                         "allowed_ips": []});
    let cleared = world.admin_ok("PATCH", &path, cleared).await;
    for name in ["description", "notes"] {
        assert_eq!(cleared[name], "", "{name}");
    }
    assert_eq!((&cleared["tags"], &cleared["allowed_ips"]), (&json!([]), &json!([])));
    assert_eq!((&cleared["max_call_usd"], &cleared["kind"]), (&Value::Null, &json!("user")));
    let told = policy(&world, &holder, &key).await;
    assert_eq!((told.max_call, told.allowed_ips), (None, None));
    let error = world.admin_refused("PATCH", &path, json!({"kind": "application"}), 400).await;
    assert_eq!((&error["code"], &error["param"]), (&json!("unsupported_field"), &json!("kind")));
}

#[tokio::test]
async fn networks_are_written_in_one_form_and_each_once() {
    let world = World::with_org(None).await;
    let given = json!(["2001:DB8::/32", "10.0.0.7/32", "10.0.0.7", "::ffff:10.1.0.0/112"]);
    let key = world.admin_ok("POST", "keys", json!({"org": "acme", "allowed_ips": given})).await;
    assert_eq!(key["allowed_ips"], json!(["2001:db8::/32", "10.0.0.7", "10.1.0.0/16"]));
}

#[tokio::test]
async fn fields_that_cannot_be_accepted_are_named() {
    let world = World::with_org(None).await;
    let many = |count: usize| (0..count).map(|n| format!("10.0.{n}.1")).collect::<Vec<_>>();
    for (name, value) in [
        ("description", json!("x".repeat(257))),
        ("description", json!("two\nlines")),
        ("notes", json!("x".repeat(4_097))),
        ("notes", json!("bell\u{7}")),
        ("tags", json!("batch")),
        ("tags", json!([""])),
        ("tags", json!([" a"])),
        ("tags", json!(["x".repeat(65)])),
        ("tags", json!((0..33).map(|n| n.to_string()).collect::<Vec<_>>())),
        ("kind", json!("robot")),
        ("expires_in", json!("90")),
        ("expires_in", json!("11y")),
        ("expires_in", json!(90)),
        ("max_call_usd", json!("-1")),
        ("max_call_usd", json!(1)),
        ("allowed_ips", json!(["10.0.0.1/8"])),
        ("allowed_ips", json!(["10.0.0.0/33"])),
        ("allowed_ips", json!(["localhost"])),
        ("allowed_ips", json!(many(65))),
    ] {
        let body = json!({"org": "acme", name: value});
        let error = world.admin_refused("POST", "keys", body, 400).await;
        assert_eq!((&error["param"], &error["code"]), (&json!(name), &json!("invalid_field")));
    }
    let body = json!({"org": "acme", "allowed_ips": many(64)});
    world.admin_ok("POST", "keys", body).await;
    let body = json!({"org": "acme", "allowed_ips": ["10.0.0.1/8"]});
    let error = world.admin_refused("POST", "keys", body, 400).await;
    assert!(error["message"].as_str().unwrap().contains("10.0.0.0/8"), "{error}");
}

#[tokio::test]
async fn keys_expire_after_a_time_or_at_a_date() {
    let world = World::with_org(None).await;
    for (expires_in, expires_at) in [
        ("30d", "2026-12-20T12:00:00Z"),
        ("90d", "2027-02-18T12:00:00Z"),
        ("6mo", "2027-05-20T12:00:00Z"),
        ("1y", "2027-11-20T12:00:00Z"),
        ("2y", "2028-11-20T12:00:00Z"),
        ("10y", "2036-11-20T12:00:00Z"),
    ] {
        let body = json!({"org": "acme", "expires_in": expires_in});
        let key = world.admin_ok("POST", "keys", body).await;
        assert_eq!(key["expires_at"], expires_at, "{expires_in}");
    }
    let both = json!({"org": "acme", "expires_in": "30d", "expires_at": "2027-01-01T00:00:00Z"});
    let error = world.admin_refused("POST", "keys", both, 400).await;
    assert_eq!(error["param"], "expires_in");
    let key = world.key(json!({"expires_at": "2026-11-20T12:00:01Z"})).await;
    let path = format!("keys/{}?wait=0", key.id);
    world.clock.advance_ms(60_000);
    let shown = world.admin_ok("GET", &path.replace("?wait=0", ""), Value::Null).await;
    assert_eq!(shown["status"], "expired");
    // time counts from the change
    let longer = world.admin_ok("PATCH", &path, json!({"expires_in": "1d"})).await;
    assert_eq!(longer["expires_at"], "2026-11-21T12:01:00Z");
    assert_eq!(longer["status"], "active");
}

/// One output token costs 2 micro-USD.
#[tokio::test]
async fn one_call_sets_no_more_aside_than_its_key_allows() {
    let world = World::with_org(None).await;
    let budget = json!({"usd": "1.00", "period": "none"});
    let key = world.key(json!({"budget": budget, "max_call_usd": "0.001"})).await;
    let holder = world.holder(1).await;
    let refused = world.refused(&holder, &key, 1, ask(501)).await;
    let (need, most) = (micro(1_002), micro(1_000));
    assert_eq!(refused, Refusal::CallTooExpensive { need, most });
    assert_eq!(world.granted(&holder, &key, 2, ask(500)).await.amount, micro(1_000));
    // a limit that the client did not choose is lowered, though not below what is of use
    let lowered = world.granted(&holder, &key, 3, ask_up_to(16_384)).await;
    assert_eq!((lowered.amount, lowered.output_tokens), (micro(1_000), 500));
    let path = format!("keys/{}?wait=0", key.id);
    world.admin_ok("PATCH", &path, json!({"max_call_usd": "0.0005"})).await;
    let refused = world.refused(&holder, &key, 4, ask_up_to(16_384)).await;
    let (need, most) = (micro(512), micro(500));
    assert_eq!(refused, Refusal::CallTooExpensive { need, most });
    // the ceiling is of one call, not of what is granted ahead
    world.admin_ok("PATCH", &path, json!({"max_call_usd": "0.001"})).await;
    let ahead = world.granted_ahead(&holder, &key, 5, ask(100), micro(50_000)).await;
    assert!(ahead.amount > micro(1_000), "{ahead:?}");
    world.admin_ok("PATCH", &path, json!({"max_call_usd": null})).await;
    assert_eq!(world.granted(&holder, &key, 6, ask(2_000)).await.amount, micro(4_000));
    world.check_ledger();
}

/// Sends a request and answers its status, its ETag and its error code.
async fn conditional(
    world: &World,
    method: &str,
    path: &str,
    if_match: Option<&str>,
    body: Value,
) -> (u16, String, Value) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/admin/v1/{path}"))
        .header("authorization", format!("Bearer {}", world.admin_token));
    if let Some(tag) = if_match {
        request = request.header("if-match", tag);
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = request.body(Body::from(body)).unwrap();
    let (status, headers, bytes) = exchange(&world.app.admin, request).await;
    let tag = headers.get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    (status.as_u16(), tag.unwrap_or_default(), answer["error"]["code"].clone())
}

#[tokio::test]
async fn a_change_meant_for_another_version_is_refused() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let path = format!("keys/{}", key.id);
    let (_, seen, _) = conditional(&world, "GET", &path, None, Value::Null).await;
    let name = |name: &str| json!({"name": name});
    let (status, tag, _) = conditional(&world, "PATCH", &path, Some(&seen), name("one")).await;
    assert!(status == 200 && tag != seen, "{status} {tag}");
    let refused = json!("precondition_failed");
    for (method, action, body) in [
        ("PATCH", "", name("two")),
        ("POST", "/rotate", Value::Null),
        ("POST", "/disable", Value::Null),
        ("POST", "/revoke", Value::Null),
        ("DELETE", "", Value::Null),
    ] {
        let path = format!("{path}{action}");
        let (status, _, code) = conditional(&world, method, &path, Some(&seen), body).await;
        assert_eq!((status, &code), (412, &refused), "{method} {action}");
    }
    let (_, now, _) = conditional(&world, "GET", &path, None, Value::Null).await;
    assert_eq!(now, tag, "nothing was changed by what was refused");
    for (value, expected) in
        [("*", 200), ("W/\"2\"", 412), ("\"something else\"", 412), ("not a tag", 400)]
    {
        let (status, ..) = conditional(&world, "PATCH", &path, Some(value), name("x")).await;
        assert_eq!(status, expected, "{value}");
    }
    let (_, now, _) = conditional(&world, "GET", &path, None, Value::Null).await;
    let either = format!("{seen}, {now}");
    let (status, ..) = conditional(&world, "DELETE", &path, Some(&either), Value::Null).await;
    assert_eq!(status, 200);
    let unknown = conditional(&world, "PATCH", "keys/key_nope", Some("*"), name("x")).await;
    assert_eq!(unknown.0, 404);
}
