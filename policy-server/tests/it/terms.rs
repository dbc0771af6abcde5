//! On which terms changes are made: `If-Match` on everything that can be changed, `Idempotency-Key` on
//! everything that changes something.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::people::person;
use crate::world::{World, exchange};

struct Answer {
    status: u16,
    tag: Option<String>,
    replayed: bool,
    body: Value,
}

/// Sends a request with one more header.
async fn send(
    world: &World,
    method: &str,
    path: &str,
    header: Option<(&str, &str)>,
    body: &Value,
) -> Answer {
    send_as(world, &world.admin_token, method, path, header, body).await
}

async fn send_as(
    world: &World,
    token: &str,
    method: &str,
    path: &str,
    header: Option<(&str, &str)>,
    body: &Value,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/admin/v1/{path}"))
        .header("authorization", format!("Bearer {token}"));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let sent = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = request.body(sent).unwrap();
    let (status, headers, bytes) = exchange(&world.app.admin, request).await;
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let (tag, replayed) =
        (header("etag").map(str::to_owned), header("idempotency-replayed").is_some());
    Answer {
        status: status.as_u16(),
        tag,
        replayed,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

/// What can be changed, how it is described at first, and how it is changed then.
fn changes() -> Vec<(&'static str, &'static str, Value, Value)> {
    let model = |output: &str| {
        json!({"input_usd_per_mtok": "1", "output_usd_per_mtok": output, "context_length": 1000,
            "max_output_tokens": 100})
    };
    let budget = |usd: &str| json!({"usd": usd, "period": "month"});
    vec![
        ("orgs/beta", "PUT", json!({"name": "Beta"}), json!({"name": "Gamma"})),
        ("orgs/acme/teams/one", "PUT", json!({"name": "One"}), json!({"name": "Two"})),
        ("orgs/acme/users/ada", "PUT", json!({"name": "Ada"}), json!({"name": "Bea"})),
        ("models/m-one", "PUT", model("2"), model("3")),
        ("plans/gold", "PUT", json!({"name": "Gold"}), json!({"name": "Silver"})),
        ("groups/small", "PUT", json!({"models": ["m-one"]}), json!({"models": []})),
        ("groups/small", "PATCH", json!({"add": ["m-one"]}), json!({"remove": ["m-one"]})),
        ("aliases/swift", "PUT", json!({"model": "m-one"}), json!({"model": "m"})),
        ("orgs/acme/teams/one/budget", "PUT", budget("1.00"), budget("2.00")),
        ("orgs/acme/users/ada/budget", "PUT", budget("1.00"), budget("2.00")),
        (
            "settings",
            "PUT",
            json!({"audit_retention_days": 90}),
            json!({"audit_retention_days": 91}),
        ),
    ]
}

async fn world() -> World {
    let world = World::with_org(None).await;
    world.put_model("m", "1", "2").await;
    world
}

#[tokio::test]
async fn a_change_of_what_somebody_else_has_changed_is_refused() {
    let world = world().await;
    for (path, method, first, then) in changes() {
        assert!(send(&world, method, path, None, &first).await.status < 300, "{path}");
        let seen = send(&world, "GET", path, None, &Value::Null).await.tag.unwrap();
        let again = send(&world, "GET", path, None, &Value::Null).await.tag;
        assert_eq!(again.as_ref(), Some(&seen), "{path}: reading is no change");
        let made = send(&world, method, path, Some(("if-match", &seen)), &then).await;
        assert!(made.status < 300, "{path}: {}", made.body);
        let now = send(&world, "GET", path, None, &Value::Null).await.tag.unwrap();
        assert!(now != seen && made.tag.as_ref() == Some(&now), "{path}");
        for stale in [seen.as_str(), "\"7\"", &format!("W/{now}")] {
            let late = send(&world, method, path, Some(("if-match", stale)), &first).await;
            let code = &late.body["error"]["code"];
            assert_eq!((late.status, code), (412, &json!("precondition_failed")), "{path}");
        }
        let wrong = send(&world, method, path, Some(("if-match", "7")), &first).await;
        assert_eq!(wrong.body["error"]["code"], "invalid_header", "{path}");
        let kept = send(&world, "GET", path, None, &Value::Null).await.tag.unwrap();
        assert_eq!(kept, now, "{path}: what is refused changes nothing");
        let any = send(&world, method, path, Some(("if-match", "*")), &first).await;
        assert!(any.status < 300, "{path}");
    }
}

#[tokio::test]
async fn nothing_is_made_by_a_change_that_is_meant_for_what_is_there() {
    let world = world().await;
    let body = json!({"name": "New"});
    for condition in ["*", "\"abc\""] {
        let answer = send(&world, "PUT", "orgs/new", Some(("if-match", condition)), &body).await;
        assert_eq!(answer.status, 412);
    }
    world.admin_refused("GET", "orgs/new", Value::Null, 404).await;
}

/// What a team is restricted to is changed at the team's own address.
#[tokio::test]
async fn the_version_of_a_team_or_user_holds_what_it_is_restricted_to() {
    let world = world().await;
    person(&world, "acme", "ada", "org_member").await;
    world.admin_ok("PUT", "orgs/acme/teams/one", json!({"name": "One"})).await;
    for path in ["orgs/acme/teams/one", "orgs/acme/users/ada"] {
        let seen = send(&world, "GET", path, None, &Value::Null).await.tag.unwrap();
        let body = json!({"models": {"mode": "restrict", "models": ["m"]}});
        let made = send(&world, "PATCH", path, Some(("if-match", &seen)), &body).await;
        assert_eq!(made.status, 200, "{path}: {}", made.body);
        let now = send(&world, "GET", path, None, &Value::Null).await.tag.unwrap();
        assert!(now != seen && made.tag == Some(now), "{path}");
        assert_eq!(send(&world, "PATCH", path, Some(("if-match", &seen)), &body).await.status, 412);
    }
}

#[tokio::test]
async fn whatever_is_asked_for_twice_under_one_word_is_done_once() {
    let world = world().await;
    let ada = person(&world, "acme", "ada", "org_owner").await;
    world.admin_ok("PUT", "orgs/acme/teams/one", json!({"name": "One"})).await;
    let key = world.key(json!({})).await;
    let rotate = format!("keys/{}/rotate", key.id);
    let revoke_token = format!("orgs/acme/users/ada/tokens/{}/rotate", ada.token_id);
    let asked = [
        ("POST", "orgs/acme/users/ada/tokens", json!({"name": "ci"})),
        ("POST", "orgs/acme/service-accounts", json!({"team": "one", "name": "nightly"})),
        ("POST", "orgs/acme/wallet/top-ups", json!({"usd": "5.00", "note": "x"})),
        ("POST", rotate.as_str(), Value::Null),
        ("POST", revoke_token.as_str(), Value::Null),
        ("POST", "orgs/acme/teams/one/suspend", Value::Null),
        ("PUT", "orgs/acme/teams/two", json!({"name": "Two"})),
        ("DELETE", "orgs/acme/teams/two", Value::Null),
    ];
    let lines = async || {
        let audit = world.admin_ok("GET", "audit?limit=100", Value::Null).await;
        audit["data"].as_array().unwrap().len()
    };
    for (index, (method, path, body)) in asked.iter().enumerate() {
        let word = format!("word-{index}");
        let before = lines().await;
        let header = Some(("idempotency-key", word.as_str()));
        let first = send(&world, method, path, header, body).await;
        assert!(first.status < 300 && !first.replayed, "{path}: {}", first.body);
        let second = send(&world, method, path, header, body).await;
        assert!(second.status == 200 && second.replayed, "{path}: {}", second.body);
        let mut told = first.body.clone();
        for secret in ["key", "token"] {
            let told = told.as_object_mut().unwrap().remove(secret);
            let Some(secret) = told.as_ref().and_then(Value::as_str) else { continue };
            for entry in std::fs::read_dir(world.folder.path()).unwrap() {
                let bytes = std::fs::read(entry.unwrap().path()).unwrap();
                let mut windows = bytes.windows(secret.len());
                assert!(!windows.any(|window| window == secret.as_bytes()), "{path}: stored");
            }
        }
        assert_eq!(second.body, told, "{path}");
        assert_eq!(lines().await, before + 1, "{path}: the audit has one line");
        let other = json!({"name": "Other"});
        let other = send(&world, "PUT", "orgs/acme/teams/three", header, &other).await;
        assert_eq!(other.body["error"]["code"], "idempotency_key_reused", "{path}");
    }
    let tokens = world.admin_ok("GET", "orgs/acme/users/ada/tokens", Value::Null).await;
    let named_ci = tokens["data"].as_array().unwrap().iter().filter(|one| one["name"] == "ci");
    assert_eq!(named_ci.count(), 1);
    let wallet = world.admin_ok("GET", "orgs/acme/wallet", Value::Null).await;
    assert_eq!(wallet["cap_usd"], "5.00", "{wallet}");
}

#[tokio::test]
async fn nobody_hears_what_another_was_answered() {
    let world = world().await;
    let ada = person(&world, "acme", "ada", "org_owner").await;
    let bob = person(&world, "acme", "bob", "org_owner").await;
    let body = json!({"name": "mine"});
    let header = Some(("idempotency-key", "same"));
    let of = async |token: &str| send_as(&world, token, "POST", "me/tokens", header, &body).await;
    let (first, second) = (of(&ada.token).await, of(&bob.token).await);
    assert!(first.status < 300 && second.status < 300 && !second.replayed);
    assert_ne!(first.body["id"], second.body["id"]);
}

#[tokio::test]
async fn that_a_token_was_used_is_no_change_of_it() {
    let world = world().await;
    let ada = person(&world, "acme", "ada", "org_member").await;
    let path = format!("orgs/acme/users/ada/tokens/{}", ada.token_id);
    let seen = send(&world, "GET", &path, None, &Value::Null).await.tag.unwrap();
    world.clock.advance_ms(120_000);
    assert_eq!(send_as(&world, &ada.token, "GET", "me", None, &Value::Null).await.status, 200);
    let used = world.admin_ok("GET", &path, Value::Null).await;
    assert!(used["last_used_at"].is_string());
    let rotate = format!("{path}/rotate");
    let made = send(&world, "POST", &rotate, Some(("if-match", &seen)), &Value::Null).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let late = send(&world, "POST", &rotate, Some(("if-match", &seen)), &Value::Null).await;
    assert_eq!(late.status, 412, "it was rotated since");
}

#[tokio::test]
async fn parked_money_of_another_version_of_a_key_is_not_released() {
    let world = world().await;
    let key = world.key(json!({})).await;
    let path = format!("keys/{}/release-parked", key.id);
    let stale = send(&world, "POST", &path, Some(("if-match", "\"99\"")), &Value::Null).await;
    assert_eq!(stale.status, 412, "{}", stale.body);
    let now = send(&world, "GET", &format!("keys/{}", key.id), None, &Value::Null).await.tag;
    let made =
        send(&world, "POST", &path, now.as_deref().map(|tag| ("if-match", tag)), &Value::Null);
    assert_eq!(made.await.status, 200);
}

#[tokio::test]
async fn requests_are_forgotten_when_nothing_else_is_due() {
    let world = world().await;
    for index in 0..600 {
        let word = format!("word-{index}");
        let header = Some(("idempotency-key", word.as_str()));
        let body = json!({"name": "One"});
        assert!(send(&world, "PUT", "orgs/acme/teams/one", header, &body).await.status < 300);
    }
    let kept = || -> u32 {
        let tables = world.tables();
        tables.query_row("SELECT count(*) FROM repeatable_requests", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(kept(), 600);
    world.pass(24 * 60 * 60 * 1_000 + 1).await;
    assert_eq!(kept(), 0);
}

#[tokio::test]
async fn what_is_not_there_has_no_terms() {
    let world = World::with_org(None).await;
    for (method, path, status) in [("TRACE", "orgs/acme", 405), ("PUT", "nothing", 404)] {
        let answer = send(&world, method, path, Some(("if-match", "7")), &Value::Null).await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    let answer = send(&world, "PUT", "orgs/acme", Some(("if-match", "7")), &json!({})).await;
    assert_eq!(answer.status, 400);
}
