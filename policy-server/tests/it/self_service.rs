//! Keys that people make for themselves, and what a team's policy says to it.

use serde_json::{Value, json};
use wire::v1::{Change, KeyAnswer, KeyState, Level};

use crate::people::{Person, ask, member, person};
use crate::world::{Key, World, exchange};

async fn developer(policy: Value) -> (World, Person) {
    let world = World::with_org(None).await;
    let dev = member(&world, "acme", "search", "dev", "team_developer").await;
    world.admin_ok("PUT", "orgs/acme/teams/search", policy).await;
    (world, dev)
}

/// The codes and fields of a refusal.
async fn refused(world: &World, dev: &Person, body: Value, expected: u16) -> Vec<(String, String)> {
    let (status, answer) = dev.ask(world, "POST", "me/keys", body).await;
    assert_eq!(status, expected, "{answer}");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    match answer["error"]["problems"].as_array() {
        Some(all) => all.iter().map(|p| (text(&p["code"]), text(&p["param"]))).collect(),
        None => vec![(text(&answer["error"]["code"]), text(&answer["error"]["param"]))],
    }
}

fn one(code: &str, param: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), param.to_owned())]
}

#[tokio::test]
async fn a_member_makes_keys_of_his_own_and_nobody_elses() {
    let (world, dev) = developer(json!({})).await;
    let body = json!({"name": "mine", "team": "search"});
    let made = dev.ok(&world, "POST", "me/keys", body.clone()).await;
    assert_eq!(
        (&made["org"], &made["team"], &made["user"]),
        (&json!("acme"), &json!("search"), &json!("dev"))
    );
    let key = Key::of(&made);
    let holder = world.holder(1).await;
    let known = world.admit(&holder, &key, 1, None).await.key;
    assert!(matches!(known, KeyAnswer::Known(policy) if policy.state == KeyState::Active));
    for (field, value, code) in [
        ("user", json!("other"), "owner_not_caller"),
        ("org", json!("beta"), "owner_not_caller"),
        ("name", json!(""), "name_required"),
        ("name", Value::Null, "name_required"),
    ] {
        let mut body = body.clone();
        body[field] = value;
        assert_eq!(refused(&world, &dev, body, 400).await, one(code, field));
    }
    let nameless = json!({"team": "search"});
    assert_eq!(refused(&world, &dev, nameless, 400).await, one("name_required", "name"));
    let teamless = json!({"name": "mine"});
    assert_eq!(refused(&world, &dev, teamless, 400).await, one("team_required", "team"));
    let elsewhere = json!({"name": "mine", "team": "ads"});
    assert_eq!(refused(&world, &dev, elsewhere, 403).await, one("permission_denied", "-"));
    // nor by the way of administrators
    let (status, _) =
        dev.ask(&world, "POST", "keys", json!({"team": "search", "user": "dev"})).await;
    assert_eq!(status, 403);

    let others = world.key(json!({"team": "search", "user": "other"})).await;
    let listed = dev.ok(&world, "GET", "me/keys", Value::Null).await;
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert_eq!(ids, [&made["id"]]);
    for (method, action) in [
        ("GET", ""),
        ("POST", "/rotate"),
        ("POST", "/disable"),
        ("POST", "/revoke"),
        ("DELETE", ""),
    ] {
        let path = format!("me/keys/{}{action}", others.id);
        assert_eq!(dev.refused(&world, method, &path, Value::Null, 404).await, "not_found");
    }
    assert_eq!(
        world.admin_ok("GET", &format!("keys/{}", others.id), Value::Null).await["status"],
        "active"
    );
}

#[tokio::test]
async fn own_keys_are_rotated_disabled_revoked_and_deleted_but_not_changed_or_enabled() {
    let (world, dev) = developer(json!({})).await;
    let made = dev.ok(&world, "POST", "me/keys", json!({"name": "a", "team": "search"})).await;
    let own = format!("me/keys/{}", made["id"].as_str().unwrap());
    let rotated = dev.ok(&world, "POST", &format!("{own}/rotate"), Value::Null).await;
    assert_ne!(rotated["key"], made["key"]);
    let holder = world.holder(1).await;
    assert_eq!(world.admit(&holder, &Key::of(&made), 1, None).await.key, KeyAnswer::Unknown);
    let disabled = dev.ok(&world, "POST", &format!("{own}/disable"), Value::Null).await;
    assert_eq!(disabled["status"], "disabled");
    // an administrator's word on a key stands
    assert_eq!(
        dev.refused(&world, "POST", &format!("{own}/enable"), Value::Null, 404).await,
        "unknown_endpoint"
    );
    assert_eq!(
        dev.refused(&world, "PATCH", &own, json!({"name": "b"}), 405).await,
        "unknown_endpoint"
    );
    let path = format!("keys/{}", made["id"].as_str().unwrap());
    assert_eq!(
        dev.refused(&world, "PATCH", &path, json!({"name": "b"}), 403).await,
        "permission_denied"
    );
    assert_eq!(
        dev.refused(&world, "POST", &format!("{path}/enable"), Value::Null, 403).await,
        "permission_denied"
    );
    assert_eq!(
        dev.ok(&world, "POST", &format!("{own}/revoke"), Value::Null).await["status"],
        "revoked"
    );
    assert_eq!(dev.ok(&world, "DELETE", &own, Value::Null).await["status"], "deleted");
    let (_, audit) =
        ask(&world, &world.admin_token, "GET", "audit?actor=acme/dev&outcome=done", Value::Null)
            .await;
    let actions: Vec<_> =
        audit["data"].as_array().unwrap().iter().map(|line| &line["action"]).collect();
    assert_eq!(
        actions,
        [
            "key.self_delete",
            "key.self_revoke",
            "key.self_disable",
            "key.self_rotate",
            "key.self_create"
        ]
    );
}

#[tokio::test]
async fn every_rule_of_the_policy_refuses_with_its_own_code() {
    let key = |fields: Value| {
        let mut body = json!({"name": "mine", "team": "search"});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let (world, dev) = developer(json!({"self_service": {"enabled": false}})).await;
    let set = async |policy: Value| {
        world.admin_ok("PUT", "orgs/acme/teams/search", policy).await;
    };
    assert_eq!(refused(&world, &dev, key(json!({})), 403).await, one("self_service_disabled", "-"));

    set(json!({"self_service": {"budget_ceiling": {"usd": "10", "period": "month"}}})).await;
    let refusal = refused(&world, &dev, key(json!({})), 400).await;
    assert_eq!(refusal, one("budget_required", "budget"));
    for (usd, period, fits) in [
        ("10", "month", true),
        ("10", "none", true),
        ("10.01", "month", false),
        ("1", "week", false),
        ("1", "day", false),
    ] {
        let body = key(json!({"budget": {"usd": usd, "period": period}}));
        if fits {
            dev.ok(&world, "POST", "me/keys", body).await;
        } else {
            let refusal = refused(&world, &dev, body, 400).await;
            assert_eq!(refusal, one("budget_above_ceiling", "budget"), "{usd} {period}");
        }
    }

    set(json!({"self_service": {"require_expiry": true, "max_expiry_days": 30}})).await;
    let refusal = refused(&world, &dev, key(json!({})), 400).await;
    assert_eq!(refusal, one("expiry_required", "expires_at"));
    let late = key(json!({"expires_at": "2026-12-20T12:00:00.001Z"}));
    assert_eq!(refused(&world, &dev, late, 400).await, one("expiry_too_far", "expires_at"));
    let fits = key(json!({"expires_at": "2026-12-20T12:00:00Z"}));
    dev.ok(&world, "POST", "me/keys", fits).await;
    // a longest expiry alone asks for none
    set(json!({"self_service": {"max_expiry_days": 30}})).await;
    dev.ok(&world, "POST", "me/keys", key(json!({}))).await;

    let team = [("requests", "1m", 60), ("tokens", "1d", 1_000)];
    let limits: Vec<_> = team
        .iter()
        .map(|(unit, window, max)| json!({"unit": unit, "window": window, "max": max}))
        .collect();
    set(json!({"limits": limits})).await;
    let above = key(json!({"limits": [
        {"unit": "requests", "window": "1m", "max": 61},
        {"unit": "requests", "window": "1h", "max": 9_999},
        {"unit": "tokens", "window": "1d", "max": 1_001},
    ]}));
    let refusal = refused(&world, &dev, above, 400).await;
    let expected = ["limits[0].max", "limits[2].max"]
        .map(|param| ("limit_above_team".to_owned(), param.to_owned()));
    assert_eq!(refusal, expected);
    dev.ok(&world, "POST", "me/keys", key(json!({}))).await;

    // keys that have expired count as well: five were made
    set(json!({"self_service": {"max_keys_per_user": 6}})).await;
    dev.ok(&world, "POST", "me/keys", key(json!({}))).await;
    world.clock.advance_ms(31 * 86_400_000);
    let refusal = refused(&world, &dev, key(json!({})), 403).await;
    assert_eq!(refusal, one("self_service_key_limit", "-"));
    let keys = dev.ok(&world, "GET", "me/keys", Value::Null).await;
    let first = keys["data"][0]["id"].as_str().unwrap();
    dev.ok(&world, "POST", &format!("me/keys/{first}/revoke"), Value::Null).await;
    dev.ok(&world, "POST", "me/keys", key(json!({}))).await;

    world.admin_ok("POST", "orgs/acme/teams/search/suspend", Value::Null).await;
    assert_eq!(refused(&world, &dev, key(json!({})), 403).await, one("team_suspended", "-"));
    // administrators are not bound by the policy of self-service
    world.admin_ok("POST", "keys", json!({"org": "acme", "team": "search", "user": "dev"})).await;
}

/// Two people who choose the same word for their requests do not meet each other's keys.
#[tokio::test]
async fn an_idempotency_key_is_its_senders_own_and_a_repeated_request_meets_no_rule_again() {
    let (world, dev) = developer(json!({"self_service": {"max_keys_per_user": 1}})).await;
    let tom = member(&world, "acme", "search", "tom", "team_developer").await;
    let make = async |who: &Person| {
        let request = axum::http::Request::builder()
            .method("POST")
            .uri("/admin/v1/me/keys")
            .header("authorization", format!("Bearer {}", who.token))
            .header("idempotency-key", "nightly")
            .body(axum::body::Body::from(json!({"name": "a", "team": "search"}).to_string()))
            .unwrap();
        let (status, _, bytes) = exchange(&world.app.admin, request).await;
        (status.as_u16(), serde_json::from_slice::<Value>(&bytes).unwrap())
    };
    let (status, of_dev) = make(&dev).await;
    assert_eq!(status, 201);
    let (status, of_tom) = make(&tom).await;
    assert_eq!((status, &of_tom["user"]), (201, &json!("tom")));
    let (status, again) = make(&dev).await;
    assert_eq!((status, &again["id"], &again["key"]), (200, &of_dev["id"], &Value::Null));
}

#[tokio::test]
async fn a_teams_limits_bind_all_its_keys() {
    let (world, dev) =
        developer(json!({"limits": [{"unit": "requests", "window": "1m", "max": 60}]})).await;
    let made = dev.ok(&world, "POST", "me/keys", json!({"name": "a", "team": "search"})).await;
    let holder = world.holder(1).await;
    let KeyAnswer::Known(policy) = world.admit(&holder, &Key::of(&made), 1, None).await.key else {
        panic!("unknown")
    };
    let limit = &policy.limits[0];
    assert_eq!((limit.max, limit.subject.id.as_str()), (60, "acme/search"));
    assert_eq!(limit.subject.level, wire::v1::Level::Team);
    let cluster =
        json!({"limits": [{"unit": "requests", "window": "1m", "max": 6, "scope": "cluster"}]});
    let error = world.admin_refused("PUT", "orgs/acme/teams/search", cluster, 400).await;
    assert_eq!(error["code"], "unsupported_scope");
}

#[tokio::test]
async fn leaving_a_team_ends_ones_keys_there_and_only_those() {
    let (world, dev) = developer(json!({})).await;
    world.admin_ok("PUT", "orgs/acme/teams/ads", json!({})).await;
    let body = json!({"role": "team_developer"});
    world.admin_ok("PUT", "orgs/acme/teams/ads/members/dev", body.clone()).await;
    let make = async |team: &str| {
        let made = dev.ok(&world, "POST", "me/keys", json!({"name": team, "team": team})).await;
        Key::of(&made)
    };
    let (one, two, ads) = (make("search").await, make("search").await, make("ads").await);
    let others = world.key(json!({"team": "search", "user": "other"})).await;
    let status = async |key: &Key| {
        let shown = world.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
        shown["status"].as_str().unwrap().to_owned()
    };
    let left = dev.ok(&world, "DELETE", "me/teams/search", Value::Null).await;
    assert_eq!((&left["revoked_keys"], &left["applied"]), (&json!(2), &json!(true)));
    for (key, expected) in
        [(&one, "revoked"), (&two, "revoked"), (&ads, "active"), (&others, "active")]
    {
        assert_eq!(status(key).await, expected, "{}", key.id);
    }
    assert_eq!(refused(&world, &dev, json!({"name": "a", "team": "search"}), 403).await.len(), 1);
    // an administrator removes from the other one
    let removed = world.admin_ok("DELETE", "orgs/acme/teams/ads/members/dev", Value::Null).await;
    assert_eq!(removed["revoked_keys"], 1);
    assert_eq!(status(&ads).await, "revoked");
    world.admin_refused("DELETE", "orgs/acme/teams/ads/members/dev", Value::Null, 404).await;
    // whoever leaves with many keys ends them all
    world.admin_ok("PUT", "orgs/acme/teams/ads/members/dev", body).await;
    let holder = world.holder(1).await;
    for _ in 0..70 {
        make("ads").await;
    }
    let last = make("ads").await;
    assert!(matches!(world.admit(&holder, &last, 1, None).await.key, KeyAnswer::Known(_)));
    let removed =
        world.admin_ok("DELETE", "orgs/acme/teams/ads/members/dev?wait=0", Value::Null).await;
    assert_eq!(removed["revoked_keys"], 71);
    let below = Change::Below { level: Level::User, owner: "acme/dev".to_owned() };
    assert!(world.changes(&holder).await.contains(&below));
    let known = world.admit(&holder, &last, 2, None).await.key;
    assert!(matches!(known, KeyAnswer::Known(policy) if policy.state == KeyState::Revoked));
}

#[tokio::test]
async fn team_admins_make_keys_for_members_and_service_accounts_of_their_team() {
    let (world, _) = developer(json!({})).await;
    let tara = member(&world, "acme", "search", "tara", "team_admin").await;
    person(&world, "acme", "stranger", "org_member").await;
    let account = json!({"team": "search", "name": "Nightly"});
    let account = tara.ok(&world, "POST", "orgs/acme/service-accounts", account).await;
    let id = account["id"].as_str().unwrap();
    assert!(id.starts_with("svc-") && account.get("role").is_none());
    let again = json!({"team": "search", "name": "nightly"});
    let code = tara.refused(&world, "POST", "orgs/acme/service-accounts", again, 409).await;
    assert_eq!(code, "name_taken");
    for user in [id, "dev", "tara"] {
        tara.ok(&world, "POST", "keys", json!({"team": "search", "user": user})).await;
    }
    let key = tara.ok(&world, "POST", "keys", json!({"team": "search"})).await;
    let path = format!("keys/{}", key["id"].as_str().unwrap());
    for (body, expected, code) in [
        (json!({"team": "search", "user": "stranger"}), 400, "unknown_user"),
        (json!({"team": "search", "user": "nobody"}), 400, "unknown_user"),
        (json!({"team": "ads"}), 403, "permission_denied"),
        (json!({}), 403, "permission_denied"),
        (json!({"org": "beta", "team": "search"}), 404, "not_found"),
    ] {
        assert_eq!(
            tara.refused(&world, "POST", "keys", body.clone(), expected).await,
            code,
            "{body}"
        );
    }
    // nor is a key moved to where one may not make one
    for (body, expected, code) in [
        (json!({"team": "ads"}), 403, "permission_denied"),
        (json!({"team": null}), 403, "permission_denied"),
        (json!({"user": "stranger"}), 400, "unknown_user"),
    ] {
        assert_eq!(
            tara.refused(&world, "PATCH", &path, body.clone(), expected).await,
            code,
            "{body}"
        );
    }
    tara.ok(&world, "PATCH", &path, json!({"user": "dev"})).await;
    // a service account owns keys of its team only
    world.admin_ok("PUT", "orgs/acme/teams/ads", json!({})).await;
    let body = json!({"org": "acme", "team": "ads", "user": id});
    let error = world.admin_refused("POST", "keys", body, 400).await;
    assert_eq!(error["code"], "service_account_of_another_team");
    let error = world.admin_refused("DELETE", "orgs/acme/teams/search", Value::Null, 409).await;
    assert_eq!(error["code"], "team_not_empty");
    let gone =
        tara.ok(&world, "DELETE", &format!("orgs/acme/service-accounts/{id}"), Value::Null).await;
    assert_eq!(gone["revoked_keys"], 1);
}
