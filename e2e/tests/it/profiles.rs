//! The gateway in the manner of other products, through a real Envoy.

use e2e::{Fixture, MODEL};
use serde_json::{Value, json};
use xtask::envoy_config::EnvoyConfig;
use xtask::stack::StackOptions;

fn fixture(profile: &str) -> Fixture {
    let filter_config = EnvoyConfig::filter_config_of_profile(profile);
    Fixture::with(&StackOptions { filter_config, ..StackOptions::default() }).unwrap()
}

/// A call with a key, and with further header fields: status, header fields, document.
struct Called {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Called {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

fn call(fixture: &Fixture, key: &str, more: Value) -> Called {
    call_with(fixture, key, &[], more)
}

fn call_with(fixture: &Fixture, key: &str, headers: &[(&str, &str)], more: Value) -> Called {
    let mut body = json!({"model": "fast", "max_tokens": 16,
        "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let client = fixture.stack.gateway(key);
    let answer =
        client.send("POST", "/v1/chat/completions", headers, Some(body.to_string())).unwrap();
    Called { status: answer.status, headers: answer.headers.clone(), body: answer.json() }
}

fn models(fixture: &Fixture, key: &str) -> Vec<Value> {
    let answer = fixture.stack.gateway(key).get("/v1/models").unwrap().success().unwrap();
    answer.json()["data"].as_array().unwrap().clone()
}

const NO_KEY: &str = "sk-0123456789012345678901";

fn one_a_minute() -> Value {
    json!([{"unit": "requests", "window": "1m", "max": 1, "scope": "proxy"}])
}

#[test]
fn privatemind_answers_as_its_clients_know_it() {
    let fixture = fixture("privatemind");
    let (_, key) = fixture.key(json!({"limits": one_a_minute(), "format": "privatemind"})).unwrap();
    let first = call(&fixture, &key, json!({}));
    assert_eq!(first.status, 200);
    assert!(first.body["usage"]["cost_usd"].as_f64().unwrap() > 0.0);
    let second = call(&fixture, &key, json!({}));
    assert_eq!((second.status, &second.body["error"]["code"]), (429, &json!("rpm_exceeded")));
    assert!(second.body["error"].get("param").is_none());

    let (_, poor) = fixture.key(json!({"budget": {"usd": "0.000001", "period": "none"}})).unwrap();
    let refused = call(&fixture, &poor, json!({}));
    assert_eq!((refused.status, &refused.body["error"]["type"]), (402, &json!("billing_error")));
    assert_eq!(refused.body["error"]["code"], "budget_exceeded");

    let (_, narrow) = fixture.key(json!({"models": []})).unwrap();
    assert_eq!(call(&fixture, &narrow, json!({})).status, 403);
    assert_eq!(call(&fixture, &narrow, json!({"model": "nope"})).status, 400);
    let half = key.split(':').next().unwrap();
    assert_eq!(call(&fixture, half, json!({})).status, 401);

    let (_, free) = fixture.key(json!({})).unwrap();
    let listed = models(&fixture, &free);
    let model = listed.iter().find(|model| model["id"] == MODEL).unwrap();
    assert_eq!(model["owned_by"], "privatemind");
    assert!(model["aliases"].as_array().unwrap().contains(&json!("fast")));

    // Usage ends every stream, though nobody asked for it.
    let body = json!({"model": "fast", "stream": true, "max_tokens": 16,
        "messages": [{"role": "user", "content": "hello"}]});
    let client = fixture.stack.gateway(&free);
    let stream = client.post("/v1/chat/completions", &body).unwrap().success().unwrap();
    assert!(stream.body.contains("\"cost_usd\""), "{}", stream.body);
}

#[test]
fn mindproxy_answers_as_its_clients_know_it() {
    let fixture = fixture("mindproxy");
    let (_, key) = fixture.key(json!({"limits": one_a_minute()})).unwrap();
    let first = call(&fixture, &key, json!({}));
    assert_eq!((first.status, first.header("x-ratelimit-limit")), (200, Some("1")));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(first.header("x-tt-request-id"), first.header("x-tollgate-request-id"));
    assert!(first.body["usage"].get("cost_usd").is_none(), "{}", first.body);
    let second = call(&fixture, &key, json!({}));
    assert_eq!((second.status, &second.body["error"]["type"]), (429, &json!("rate_limited")));
    assert!(second.header("retry-after").is_some());

    let unknown = call(&fixture, NO_KEY, json!({}));
    assert_eq!((unknown.status, &unknown.body["error"]["type"]), (401, &json!("unauthorized")));
    let (_, poor) = fixture.key(json!({"budget": {"usd": "0.000001", "period": "month"}})).unwrap();
    let refused = call(&fixture, &poor, json!({}));
    let quota = json!("api_key_quota_exceeded");
    assert_eq!((refused.status, &refused.body["error"]["type"]), (402, &quota));
    let (_, narrow) = fixture.key(json!({"models": []})).unwrap();
    let refused = call(&fixture, &narrow, json!({}));
    let code = json!("model_not_allowed");
    assert_eq!((refused.status, &refused.body["error"]["type"]), (403, &code));

    let (id, free) = fixture.key(json!({})).unwrap();
    let dry = call_with(&fixture, &free, &[("x-tt-dry-run", "true")], json!({}));
    assert_eq!((dry.status, &dry.body["allowed"]), (200, &json!(true)));
    let model = &models(&fixture, &free)[0];
    assert_eq!((&model["owned_by"], model.as_object().unwrap().len()), (&json!("tt"), 3));
    assert_eq!(call(&fixture, &free, json!({})).status, 200);
    assert_eq!(fixture.records(&id, 1).unwrap().len(), 1, "the dry run is no call");
    let sent = fixture.upstream_requests().unwrap();
    assert!(!sent.last().unwrap().to_string().contains("x-tt-dry-run"));
}

#[test]
fn deltallm_answers_as_its_clients_know_it() {
    let fixture = fixture("deltallm");
    let (_, key) = fixture.key(json!({"limits": one_a_minute()})).unwrap();
    let first = call(&fixture, &key, json!({}));
    assert_eq!((first.status, first.header("x-ratelimit-limit-requests")), (200, Some("1")));
    assert_eq!(first.header("x-ratelimit-limit-tokens"), Some("0"));
    assert_eq!(first.header("x-deltallm-ratelimit-scope"), Some("key_rpm"));
    assert_eq!(first.header("x-ratelimit-warning"), Some("near_limit"));
    assert!(first.body["usage"].get("cost_usd").is_none(), "{}", first.body);
    let second = call(&fixture, &key, json!({}));
    let code = json!("key_rpm_exceeded");
    assert_eq!((second.status, &second.body["error"]["code"]), (429, &code));
    // The window is told before the model.
    let other = call(&fixture, &key, json!({"model": "nope"}));
    assert_eq!((other.status, &other.body["error"]["code"]), (429, &code));

    let unknown = call(&fixture, NO_KEY, json!({}));
    assert_eq!((unknown.status, &unknown.body), (401, &json!({"detail": "Invalid API key"})));
    let (_, poor) = fixture.key(json!({"budget": {"usd": "0.000001", "period": "none"}})).unwrap();
    let refused = call(&fixture, &poor, json!({}));
    let spent = json!("budget_exceeded");
    assert_eq!((refused.status, &refused.body["error"]["type"]), (429, &spent));
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let (_, narrow) = fixture.key(json!({"models": []})).unwrap();
    for model in ["fast", "nope"] {
        let refused = call(&fixture, &narrow, json!({"model": model}));
        let kind = json!("permission_denied");
        assert_eq!((refused.status, &refused.body["error"]["type"]), (403, &kind));
    }
    let (_, free) = fixture.key(json!({})).unwrap();
    assert_eq!(models(&fixture, &free)[0]["owned_by"], "deltallm");
}
