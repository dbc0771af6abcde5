//! The filter API's edge: tokens, messages and problems.

use serde_json::{Value, json};
use wire::v1::{Catalogue, KeyAnswer, KeyState, ModelSet, Problem};

use crate::world::{FILTER_TOKEN, World, admit_request, ask, send};

#[tokio::test]
async fn without_the_filters_token_nothing_is_answered() {
    let world = World::new();
    let routes = [
        ("POST", "/proxy/v1/holders"),
        ("POST", "/proxy/v1/admit"),
        ("POST", "/proxy/v1/leases"),
        ("POST", "/proxy/v1/reports"),
        ("GET", "/proxy/v1/changes"),
        ("GET", "/proxy/v1/catalogue"),
        ("POST", "/proxy/v1/usage"),
        ("POST", "/proxy/v1/exchange"),
        ("GET", "/proxy/v1/nope"),
    ];
    let near = "9f86d081884c7d659a2feaa0c55ad016";
    for (method, path) in routes {
        for token in [None, Some(""), Some(near), Some(world.admin_token.as_str())] {
            let (status, answer) = send(&world.app.filter, method, path, token, "{}").await;
            assert_eq!(status.as_u16(), 401, "{method} {path}");
            assert_eq!(answer["error"]["code"], Problem::BAD_FILTER_TOKEN);
        }
    }
    // nor does the filter's token open the admin API
    let (status, _) = send(&world.app.admin, "GET", "/admin/v1/keys", Some(FILTER_TOKEN), "").await;
    assert_eq!(status.as_u16(), 401);
    let (status, answer) = send(&world.app.filter, "GET", "/healthz", None, "").await;
    assert_eq!((status.as_u16(), answer), (200, json!({"status": "ok"})));
}

#[tokio::test]
async fn messages_that_are_none_are_refused_with_a_code() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let (id, epoch) = (&holder.id, holder.epoch.0);
    let post = async |path: &str, body: String| {
        let path = format!("/proxy/v1/{path}");
        send(&world.app.filter, "POST", &path, Some(FILTER_TOKEN), body).await
    };
    let large = "x".repeat(3 * 1024 * 1024 + 1);
    for (path, body, status) in [
        ("holders", "".to_owned(), 400),
        ("holders", "[]".to_owned(), 400),
        ("holders", r#"{"protocol":1}"#.to_owned(), 400),
        ("holders", r#"{"protocol":1,"nonce":"zz","plugin":""}"#.to_owned(), 400),
        ("admit", format!(r#"{{"holder":"{id}","epoch":{epoch},"surprise":1}}"#), 400),
        ("reports", r#"{"holder":"a b","epoch":1}"#.to_owned(), 400),
        ("reports", format!(r#"{{"holder":"{id}","epoch":{epoch},"leases":7}}"#), 400),
        ("reports", large, 413),
        ("nope", "{}".to_owned(), 404),
    ] {
        let (answered, answer) = post(path, body.clone()).await;
        assert_eq!(answered.as_u16(), status, "{path} {:.80}: {answer}", body);
        assert_eq!(answer["error"]["code"], Problem::BAD_MESSAGE);
    }
    let (status, answer) = world.filter("GET", "changes?holder=x", &Value::Null).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (400, &json!("bad_message")));
    let (status, _) = world.filter("GET", "admit", &Value::Null).await;
    assert_eq!(status.as_u16(), 405);
    let other = json!({"protocol": 2, "nonce": "ab".repeat(16), "plugin": "p"});
    let (status, answer) = world.filter("POST", "holders", &other).await;
    assert_eq!(
        (status.as_u16(), &answer["error"]["code"]),
        (426, &json!(Problem::UNSUPPORTED_PROTOCOL))
    );
    let long = json!({"protocol": 1, "nonce": "ab".repeat(16), "plugin": "p".repeat(257)});
    assert_eq!(world.filter("POST", "holders", &long).await.0.as_u16(), 400);
}

#[tokio::test]
async fn numbers_beyond_what_can_be_stored_are_refused_not_wrapped() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let request = admit_request(&holder, &key, u64::MAX, Some(ask(1)));
    assert_eq!(world.filter("POST", "admit", &request).await.0.as_u16(), 400);
    let mut request = admit_request(&holder, &key, 1, Some(ask(1)));
    request.void = vec![1 << 63];
    assert_eq!(world.filter("POST", "admit", &request).await.0.as_u16(), 400);
    request.void = (0..1_025).collect();
    assert_eq!(world.filter("POST", "admit", &request).await.0.as_u16(), 400);
    // a call that asks for more than there is in the world is only too dear
    world.refused(&holder, &key, 2, ask(u64::MAX)).await;
    world.check_ledger();
}

#[tokio::test]
async fn another_epoch_is_said_before_anything_else() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let mut holder = world.holder(1).await;
    holder.epoch.0 += 1;
    let request = admit_request(&holder, &key, 1, None);
    let (status, answer) = world.filter("POST", "admit", &request).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (409, &json!(Problem::OTHER_EPOCH)));
    let path = format!("catalogue?epoch={}", holder.epoch.0);
    assert_eq!(world.filter("GET", &path, &Value::Null).await.0.as_u16(), 409);
}

#[tokio::test]
async fn a_digest_answers_what_a_filter_must_know() {
    let world = World::with_org(None).await;
    world.put_model("dear", "10.00", "30.00").await;
    let restricted = json!({"models": ["gpt-4o-mini"]});
    world.admin_ok("PUT", "orgs/acme", restricted).await;
    let fields = json!({
        "team": "search", "expires_at": "2027-06-01T00:00:00Z", "models": ["dear", "gpt-4o-mini"],
        "limits": [{"unit": "tokens", "window": "1h", "max": 5_000}],
        "budget": {"usd": "25.00", "period": "week"},
        "default_max_output_tokens": 512, "cut_calls": "reservation",
    });
    let key = world.key(fields).await;
    let holder = world.holder(1).await;
    let policy = async |key: &crate::world::Key| match world.admit(&holder, key, 1, None).await.key
    {
        KeyAnswer::Known(policy) => Some(*policy),
        KeyAnswer::Unknown => None,
    };
    let known = serde_json::to_value(policy(&key).await.unwrap()).unwrap();
    assert_eq!(
        known,
        json!({
            "key": key.id, "org": "acme", "team": "search", "state": "active",
            "expires_at_unix_ms": 1_811_808_000_000u64, "org_has_no_models": false,
            "models": {"only": ["gpt-4o-mini"]},
            "limits": [{
                "unit": "tokens", "window": "1h", "max": 5_000, "scope": "proxy",
                "subject": {"level": "key", "id": key.id},
            }],
            "budgeted": true, "default_max_output_tokens": 512, "cut_calls": "reservation",
        })
    );
    let path = |action: &str| format!("keys/{}/{action}?wait=0", key.id);
    world.admin_ok("POST", &path("disable"), Value::Null).await;
    assert_eq!(policy(&key).await.unwrap().state, KeyState::Disabled);
    world.admin_ok("POST", &path("enable"), Value::Null).await;
    assert_eq!(policy(&key).await.unwrap().state, KeyState::Active);
    let rotated =
        crate::world::Key::of(&world.admin_ok("POST", &path("rotate"), Value::Null).await);
    assert!(policy(&key).await.is_none(), "the old secret is unknown at once");
    assert_eq!(policy(&rotated).await.unwrap().key, key.id);
    world.admin_ok("POST", &path("revoke"), Value::Null).await;
    assert_eq!(policy(&rotated).await.unwrap().state, KeyState::Revoked);
    world.admin_ok("DELETE", &format!("keys/{}?wait=0", key.id), Value::Null).await;
    assert!(policy(&rotated).await.is_none(), "deleted");
}

#[tokio::test]
async fn allowlists_are_put_together_from_organisation_and_key() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let only = |names: &[&str]| {
        let names = names.iter().map(|name| wire::ModelName::new(*name).unwrap());
        ModelSet::Only(names.collect())
    };
    for name in ["a", "b"] {
        world.put_model(name, "1.00", "1.00").await;
    }
    let n_of = |index: usize| u64::try_from(index).unwrap();
    let cases = [
        (json!(["*"]), Value::Null, ModelSet::All, false),
        (Value::Null, json!(["*"]), ModelSet::All, false),
        (json!(["*"]), json!(["a"]), only(&["a"]), false),
        (json!(["a", "b"]), Value::Null, only(&["a", "b"]), false),
        (json!(["a"]), json!(["*"]), only(&["a"]), false),
        (json!(["a"]), json!(["b"]), only(&[]), false),
        (json!(["*"]), json!([]), only(&[]), false),
        (json!([]), json!(["*"]), only(&[]), true),
        (json!([]), Value::Null, only(&[]), true),
    ];
    for (index, (of_org, of_key, expected, none)) in cases.into_iter().enumerate() {
        world.admin_ok("PUT", "orgs/acme?wait=0", json!({"models": of_org})).await;
        let key = world.key(json!({"models": of_key})).await;
        let reply = world.admit(&holder, &key, n_of(index), None).await;
        let KeyAnswer::Known(policy) = reply.key else { panic!("unknown") };
        assert_eq!(policy.models, expected, "organisation {of_org}, key {of_key}");
        assert_eq!(policy.org_has_no_models, none, "organisation {of_org}, key {of_key}");
    }
}

#[tokio::test]
async fn the_catalogue_is_one_versioned_snapshot() {
    let world = World::with_org(None).await;
    let unpriced = json!({
        "input_usd_per_mtok": null, "output_usd_per_mtok": null, "aliases": ["later"],
        "context_length": 10, "max_output_tokens": 5, "reasoning": true,
        "input_overhead_tokens": 0,
    });
    world.admin_ok("PUT", "models/openai%2Fo9", unpriced).await;
    world.admin_ok("DELETE", "models/gpt-4o-mini", Value::Null).await;
    let catalogue: Catalogue = world.filter_ok("GET", "catalogue", &Value::Null).await;
    assert_eq!(catalogue.version.0, 3);
    let shown = serde_json::to_value(&catalogue.models).unwrap();
    let created = crate::world::NOON / 1_000;
    assert_eq!(
        shown,
        json!([
            {
                "name": "gpt-4o-mini", "aliases": [], "context_length": 128_000,
                "max_output_tokens": 16_384, "input_overhead_tokens": 64, "reasoning": false,
                "price": {"input": 1_000_000, "output": 2_000_000},
                "retired": true, "created_unix_s": created,
            },
            {
                "name": "openai/o9", "aliases": ["later"], "context_length": 10,
                "max_output_tokens": 5, "input_overhead_tokens": 0, "reasoning": true,
                "retired": false, "created_unix_s": created,
            },
        ])
    );
}
