//! Keys exchanged for user keys, through a real Envoy and in the manner of the product that has them.

use e2e::disk::files_holding;
use e2e::operations::{get, post};
use e2e::{Fixture, RawAnswer};
use serde_json::{Value, json};
use xtask::envoy_config::EnvoyConfig;
use xtask::stack::StackOptions;

/// Paths of a user and of nobody, which cost nothing.
fn fixture() -> Fixture {
    let mut filter_config = EnvoyConfig::filter_config_of_profile("privatemind");
    filter_config["paths"] = json!([
        {"method": "GET", "path": "/v1/conversations*", "model": "free", "keys": "user"},
        {"method": "POST", "path": "/v1/jobs", "model": "free", "keys": "application"},
    ]);
    let options = StackOptions { filter_config, concurrency: 2, ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    let free = json!({"free": true, "context_length": 1, "max_output_tokens": 1});
    fixture.stack.admin().put("/admin/v1/models/free", &free).unwrap().success().unwrap();
    fixture
}

fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

fn send(fixture: &Fixture, request: &[u8]) -> (u16, Value) {
    let answer = RawAnswer::of(&fixture.stack.gateway_url, request).unwrap();
    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status, body)
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default())
}

#[test]
fn a_key_is_exchanged_and_its_user_key_ends_with_it() {
    let mut fixture = fixture();
    let (id, key) = fixture
        .key(json!({"user": "ada", "format": "privatemind", "budget": {"usd": "1", "period": "none"}}))
        .unwrap();

    // As clients of PrivateMind ask: the key in the body, and nothing in the head.
    let body = json!({"api_key": key}).to_string();
    let request = post("/v1/auth/exchange", "content-type: application/json\r\n", &body);
    let answer = RawAnswer::of(&fixture.stack.gateway_url, &request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let shown: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((shown.as_object().unwrap().len(), &shown["success"]), (3, &json!(true)));
    let user = shown["user_key"].as_str().unwrap().to_owned();
    assert!(user.starts_with("pminduser_"), "{user}");
    assert!(shown["expires_at"].as_str().unwrap().ends_with('Z'), "{shown}");
    // And as others: the key in the head.
    let (status, _) = send(&fixture, &post("/v1/auth/exchange", &bearer(&key), ""));
    assert_eq!(status, 200);

    // What belongs to a user is open to user keys only, and the upstream is told whose it is.
    let list = "/v1/conversations?archived=true";
    assert_eq!(code(&send(&fixture, &get(list, &bearer(&key)))), (403, "user_key_required"));
    let before = fixture.upstream_requests().unwrap().len();
    let (status, _) = send(&fixture, &get(list, &bearer(&user)));
    assert_ne!(status, 403);
    let seen = fixture.upstream_requests().unwrap();
    assert_eq!(seen.len(), before + 1);
    let headers = seen[before]["headers"].to_string();
    assert!(headers.contains(r#"["x-tollgate-user","ada"]"#), "{headers}");
    assert!(!headers.contains("authorization"), "{headers}");
    for request in [
        post("/v1/jobs", &bearer(&user), "{}"),
        post("/v1/auth/exchange", &bearer(&user), ""),
        post("/v1/auth/exchange", "", &json!({"api_key": user}).to_string()),
    ] {
        assert_eq!(code(&send(&fixture, &request)), (403, "endpoint_not_allowed"));
    }

    // It spends from its key, by whose records its calls are found and told apart.
    let question =
        r#"{"model":"fast","max_tokens":16,"messages":[{"role":"user","content":"hello"}]}"#;
    for key in [&user, &key] {
        let (status, answer) =
            send(&fixture, &post("/v1/chat/completions", &bearer(key), question));
        assert_eq!(status, 200, "{answer}");
    }
    let records = fixture.records(&id, 3).unwrap();
    let calls: Vec<_> = records.iter().filter(|record| record["model"] != "free").collect();
    let by_user: Vec<_> = calls.iter().filter(|record| record["user_key"].is_string()).collect();
    assert_eq!((calls.len(), by_user.len()), (2, 1), "{records:?}");
    let prefix = format!("ukey_{}", &user["pminduser_".len()..][..12]);
    assert_eq!(by_user[0]["user_key"], json!(prefix));
    assert_eq!(by_user[0]["cost_usd"], calls[0]["cost_usd"]);

    // The key ends: so does the user key, on the next request to any worker.
    let (revoked, _) = fixture.revoke(&id, 5_000).unwrap();
    assert_eq!(revoked["applied"], true);
    for _ in 0..8 {
        assert_eq!(code(&send(&fixture, &get(list, &bearer(&user)))), (401, "key_revoked"));
        let again = post("/v1/auth/exchange", &bearer(&key), "");
        assert_eq!(code(&send(&fixture, &again)), (401, "key_revoked"));
    }

    // Neither of them is in any file.
    for gateway in fixture.stack.gateways_mut() {
        gateway.stop();
    }
    for secret in [&key, &user] {
        let (holding, files) = files_holding(&fixture.stack.run_folder, secret).unwrap();
        assert!(files >= 3, "{files} files");
        assert_eq!(holding, Vec::<String>::new());
    }
}

#[test]
fn a_rotation_ends_user_keys_at_once() {
    let fixture = fixture();
    let (id, key) = fixture.key(json!({})).unwrap();
    let exchange = post("/v1/auth/exchange", &bearer(&key), "{}");
    let (_, shown) = send(&fixture, &exchange);
    let user = shown["user_key"].as_str().unwrap().to_owned();
    for _ in 0..8 {
        assert_ne!(send(&fixture, &get("/v1/conversations", &bearer(&user))).0, 401);
    }
    let path = format!("/admin/v1/keys/{id}/rotate?wait=5000");
    let rotated = fixture.stack.admin().post(&path, &json!({})).unwrap().success().unwrap();
    assert_eq!(rotated.json()["applied"], true);
    for _ in 0..8 {
        let answer = send(&fixture, &get("/v1/conversations", &bearer(&user)));
        assert_eq!(code(&answer), (401, "key_expired"));
    }
    let exchange = post("/v1/auth/exchange", &bearer(rotated.json()["key"].as_str().unwrap()), "");
    assert_eq!(send(&fixture, &exchange).0, 200);
}
