//! Budgets of every level, through the gateway.

use e2e::{Fixture, chat};
use serde_json::{Value, json};
use xtask::http_client::Client;

/// Too little for any call.
const NOTHING: &str = "0.000001";

fn put(admin: &Client, path: &str, body: &Value) {
    let answer = admin.put(&format!("/admin/v1/{path}?wait=2000"), body).unwrap();
    assert_eq!(answer.success().unwrap().json()["applied"], true, "{path}");
}

#[test]
fn each_level_refuses_in_its_own_name_and_lets_go_when_it_is_raised() {
    let fixture = Fixture::start(2).unwrap();
    let admin = fixture.stack.admin();
    let (id, key) = fixture.key(json!({"team": "search", "user": "ada"})).unwrap();
    let client = fixture.stack.gateway(&key);
    let refused = |level: &str, code: &str| {
        let answer = chat(&client, json!({"max_tokens": 64})).unwrap();
        assert_eq!((answer.status, answer.error_code().as_str()), (402, code), "{level}");
        assert_eq!(answer.json()["error"]["param"], json!(level), "{}", answer.body);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    };
    let served = || chat(&client, json!({"max_tokens": 64})).unwrap().success().unwrap();
    served();
    let org = |usd: &str| json!({"name": "Acme", "models": ["*"], "budget": {"usd": usd}});
    for (level, path) in
        [("team", "orgs/acme/teams/search/budget"), ("user", "orgs/acme/users/ada/budget")]
    {
        put(&admin, path, &json!({"usd": NOTHING, "period": "month"}));
        refused(level, "budget_exceeded");
        put(&admin, path, &json!({"usd": "1.00"}));
        served();
    }
    put(&admin, "orgs/acme", &org(NOTHING));
    refused("org", "budget_exceeded");
    put(&admin, "orgs/acme", &org("1.00"));
    served();
    let patch = |usd: &str| {
        let body = json!({"budget": {"usd": usd}});
        admin.patch(&format!("/admin/v1/keys/{id}?wait=2000"), &body).unwrap().success().unwrap();
    };
    patch(NOTHING);
    refused("key", "budget_exceeded");
    patch("1.00");
    served();
}

#[test]
fn an_empty_wallet_is_a_shortfall_until_it_is_topped_up() {
    let fixture = Fixture::start(2).unwrap();
    let admin = fixture.stack.admin();
    let (_, key) = fixture.key(json!({})).unwrap();
    let client = fixture.stack.gateway(&key);
    chat(&client, json!({"max_tokens": 64})).unwrap().success().unwrap();
    let top_up = |usd: &str, id: &str| {
        let body = json!({"usd": usd, "id": id, "note": "invoice"});
        let path = "/admin/v1/orgs/acme/wallet/top-ups?wait=2000";
        admin.post(path, &body).unwrap().success().unwrap().json()
    };
    top_up(NOTHING, "first");
    let answer = chat(&client, json!({"max_tokens": 64})).unwrap();
    assert_eq!((answer.status, answer.error_code().as_str()), (402, "billing_shortfall"));
    assert_eq!(answer.json()["error"]["type"], "billing_error");
    assert_eq!(answer.json()["error"]["param"], Value::Null);
    top_up("0.01", "second");
    chat(&client, json!({"max_tokens": 64})).unwrap().success().unwrap();
    // the same payment counts once
    top_up("0.01", "second");
    let wallet = admin.get("/admin/v1/orgs/acme/wallet").unwrap().success().unwrap().json();
    assert_eq!(wallet["cap_usd"], "0.010001", "{wallet}");
}
