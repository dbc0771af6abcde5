//! From where a key may be used, and what one call of it may cost.

use e2e::{Fixture, chat};
use serde_json::{Value, json};

#[test]
fn a_key_works_only_from_its_networks() {
    let fixture = Fixture::start(2).unwrap();
    let here = json!({"allowed_ips": ["10.0.0.0/8", "127.0.0.0/8"]});
    let (id, key) = fixture.key(here).unwrap();
    let client = fixture.stack.gateway(&key);
    chat(&client, json!({})).unwrap().success().unwrap();
    let records = fixture.records(&id, 1).unwrap();
    assert_eq!(records.len(), 1, "{records:?}");

    let path = format!("/admin/v1/keys/{id}?wait=2000");
    let elsewhere = json!({"allowed_ips": ["10.0.0.0/8", "2001:db8::/32"]});
    fixture.stack.admin().patch(&path, &elsewhere).unwrap().success().unwrap();
    for answer in [chat(&client, json!({})).unwrap(), client.get("/v1/models").unwrap()] {
        let code = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, code), (403, json!("ip_not_allowed")));
    }
    fixture.stack.admin().patch(&path, &json!({"allowed_ips": []})).unwrap().success().unwrap();
    chat(&client, json!({})).unwrap().success().unwrap();
}

#[test]
fn one_call_costs_no_more_than_its_ceiling() {
    let fixture = Fixture::start(1).unwrap();
    for budget in [json!({"usd": "5", "period": "none"}), Value::Null] {
        let members = json!({"max_call_usd": "0.001", "budget": budget});
        let (_, key) = fixture.key(members).unwrap();
        let client = fixture.stack.gateway(&key);
        chat(&client, json!({"max_tokens": 16})).unwrap().success().unwrap();
        // 2,000 tokens of output at 0.617 micro-USD are above it, though money is there.
        let dear = chat(&client, json!({"max_tokens": 2000})).unwrap();
        let error = &dear.json()["error"];
        assert_eq!((dear.status, &error["code"]), (402, &json!("budget_exceeded")), "{budget}");
        assert_eq!(error["param"], "key");
        // A limit that the client leaves open is lowered to what the ceiling pays.
        chat(&client, json!({})).unwrap().success().unwrap();
        let seen = fixture.upstream_requests().unwrap();
        let sent: Value =
            serde_json::from_str(seen.last().unwrap()["body"].as_str().unwrap()).unwrap();
        let written = sent["max_tokens"].as_u64().unwrap();
        assert!((1_000..1_700).contains(&written), "{written}");
    }
}
