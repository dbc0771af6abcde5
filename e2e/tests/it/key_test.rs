//! What a test of a key says is what the gateway answers.

use std::time::{Duration, SystemTime};

use e2e::{Fixture, MODEL, chat};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Keys in every state, with the models to call with them; what each is about.
fn keys(fixture: &Fixture) -> Vec<(&'static str, String, &'static str)> {
    let admin = |method: &str, path: &str, body: Value| {
        let body = Some(body.to_string());
        let answer = fixture.stack.admin().send(method, &format!("/admin/v1/{path}"), &[], body);
        answer.unwrap().success().unwrap().json()
    };
    let empty = || json!({});
    let key = |members: Value| fixture.key(members).unwrap();
    let after = |members: Value, method: &str, rest: &str| {
        let (id, secret) = key(members);
        admin(method, &format!("keys/{id}{rest}"), empty());
        secret
    };
    let end = OffsetDateTime::from(SystemTime::now() + Duration::from_secs(1));
    let end = end.format(&Rfc3339).unwrap();
    for (id, models) in [("bare", json!([])), ("still", json!(["*"])), ("poor", json!(["*"]))] {
        admin("PUT", &format!("orgs/{id}"), json!({"models": models}));
    }
    let still = key(json!({"org": "still"})).1;
    admin("POST", "orgs/still/suspend", empty());
    let poor = key(json!({"org": "poor"})).1;
    admin("POST", "orgs/poor/wallet/top-ups", json!({"usd": "0.000000001"}));
    admin("PUT", "orgs/acme/teams/broke/budget", json!({"usd": "0"}));
    let mut model = json!({"input_usd_per_mtok": "1", "output_usd_per_mtok": "2",
        "context_length": 128_000, "max_output_tokens": 16_384});
    admin("PUT", "models/old", model.clone());
    admin("POST", "models/old/retire", empty());
    model["input_usd_per_mtok"] = json!("1000000");
    admin("PUT", "models/dear?wait=5000", model);
    let cheap = json!({"usd": "0.5"});
    vec![
        ("good", key(empty()).1, MODEL),
        ("by alias", key(json!({"models": [MODEL]})).1, "fast"),
        ("unknown", "sk-0123456789012345678901".to_owned(), MODEL),
        ("half", "PMIND0123456789012345678901234567".to_owned(), MODEL),
        ("disabled", after(empty(), "POST", "/disable"), MODEL),
        ("revoked", after(empty(), "POST", "/revoke"), MODEL),
        ("deleted", after(empty(), "DELETE", ""), MODEL),
        ("replaced", after(empty(), "POST", "/rotate"), MODEL),
        ("expired", key(json!({"expires_at": end})).1, MODEL),
        ("suspended", still, MODEL),
        ("elsewhere", key(json!({"allowed_ips": ["192.0.2.0/24"]})).1, MODEL),
        ("no such model", key(empty()).1, "nope"),
        ("withdrawn", key(empty()).1, "old"),
        ("not allowed", key(json!({"models": [MODEL]})).1, "gpt-4o"),
        ("nothing allowed", key(json!({"org": "bare"})).1, MODEL),
        ("spent", key(json!({"budget": {"usd": "0"}})).1, MODEL),
        ("too little", key(json!({"budget": cheap})).1, "dear"),
        ("team is spent", key(json!({"team": "broke"})).1, MODEL),
        ("prepaid is spent", poor, MODEL),
        ("ceiling", key(json!({"max_call_usd": "0.000000001"})).1, MODEL),
    ]
}

#[test]
fn a_test_of_a_key_says_what_the_gateway_answers() {
    let fixture = Fixture::start(1).unwrap();
    let keys = keys(&fixture);
    std::thread::sleep(Duration::from_millis(1_100));
    let mut refused = 0;
    for (what, secret, model) in keys {
        let client = fixture.stack.gateway(&secret);
        let answer = chat(&client, json!({"model": model, "max_tokens": 1})).unwrap();
        let error = answer.json()["error"].take();
        let question = json!({"key": secret, "model": model, "address": "127.0.0.1"});
        let told = fixture.stack.admin().post("/admin/v1/keys/test", &question).unwrap();
        let told = told.success().unwrap().json();
        assert_eq!(told["allowed"], answer.status == 200, "{what}: {error} {told}");
        if answer.status != 200 {
            let refusal = &told["refusal"];
            assert_eq!(refusal["status"], answer.status, "{what}: {error} {told}");
            for member in ["code", "param"] {
                assert_eq!(refusal[member], error[member], "{what}: {error} {told}");
            }
            refused += 1;
        }
    }
    assert_eq!(refused, 18);
}
