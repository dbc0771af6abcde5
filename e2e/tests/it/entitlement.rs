//! A change above keys is in force on the next request, at every worker.

use e2e::{Fixture, MODEL, chat};
use serde_json::{Value, json};
use xtask::http_client::Client;

/// The other model of every fixture.
const OTHER: &str = "gpt-4o";

/// Status and, where it is refused, the code of a call of a model.
fn call(client: &Client, model: &str) -> (u16, String) {
    let answer = chat(client, json!({"model": model, "max_tokens": 16})).unwrap();
    let code = if answer.status == 200 { String::new() } else { answer.error_code() };
    (answer.status, code)
}

#[test]
fn what_takes_models_away_or_gives_them_is_in_force_on_the_next_request() {
    let fixture = Fixture::start(2).unwrap();
    let members = json!({"team": "search", "user": "ada", "budget": {"usd": "1.00"}});
    let (id, key) = fixture.key(members).unwrap();
    let (_, beside) = fixture.key(json!({"team": "other"})).unwrap();
    let connect = |key: &str| {
        let client = fixture.stack.gateway(key);
        chat(&client, json!({}))?.success()?;
        Ok(client)
    };
    let clients = fixture.clients_of_every_worker(4, 2, || connect(&key)).unwrap();
    let bystander = connect(&beside).unwrap();

    let admin = fixture.stack.admin();
    let change = |method: &str, path: &str, body: Value| {
        let path = format!("/admin/v1/{path}?wait=5000");
        let answer = match method {
            "PUT" => admin.put(&path, &body),
            _ => admin.patch(&path, &body),
        };
        assert_eq!(answer.unwrap().success().unwrap().json()["applied"], true, "{path}");
    };
    let (ok, no) = ((200, String::new()), (403, "model_not_allowed".to_owned()));
    let restrict = |models: Value, groups: Value| json!({"models": {"mode": "restrict", "models": models, "groups": groups}});
    let check = |expected: [&(u16, String); 2], why: &str| {
        for client in &clients {
            let found = [MODEL, OTHER].map(|model| call(client, model));
            assert_eq!(found.each_ref(), expected, "{why}");
        }
    };
    check([&ok, &ok], "at first");
    change("PATCH", "orgs/acme/teams/search", restrict(json!([OTHER]), json!(["small"])));
    check([&no, &ok], "the team");
    assert_eq!(call(&bystander, MODEL), ok);
    change("PUT", "groups/small", json!({"models": [MODEL]}));
    check([&ok, &ok], "the group");
    change("PATCH", "orgs/acme/users/ada", restrict(json!([MODEL]), json!([])));
    check([&ok, &no], "the user");
    change("PUT", "plans/bulk", json!({"models": [MODEL], "price_multiplier": "3"}));
    change("PUT", "orgs/acme/plan", json!({"plan": "bulk"}));
    check([&ok, &no], "the plan");
    assert_eq!(call(&bystander, OTHER), no);
    let answer = chat(&bystander, json!({"max_tokens": 16})).unwrap().success().unwrap();
    // 5 prompt tokens and 16 of the answer: 3 * (5 * 0.153 + 16 * 0.617) micro-USD
    assert_eq!(answer.json()["usage"]["cost_usd"].to_string(), "0.000031911");
    change("PUT", "plans/bulk", json!({"models": [OTHER]}));
    check([&no, &no], "nothing is left");

    let path = format!("/admin/v1/keys/{id}/models");
    let page = admin.get(&path).unwrap().success().unwrap().json();
    let reasons: Vec<_> = page["data"].as_array().unwrap().iter().map(|m| &m["reasons"]).collect();
    assert_eq!(reasons, [&json!(["user"]), &json!(["not_in_plan"])]);

    // The alias that stood at one model stands at the other; whoever may call that may go on.
    assert_eq!(call(&bystander, "fast"), no);
    change("PUT", "aliases/fast", json!({"model": OTHER}));
    assert_eq!(call(&bystander, "fast"), ok);
    let seen = fixture.upstream_requests().unwrap();
    let last = seen.last().unwrap().to_string();
    assert!(last.contains(OTHER) && !last.contains("fast"), "{last}");
}
