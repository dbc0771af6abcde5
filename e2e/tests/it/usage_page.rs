//! What a key sees of its own calls through the gateway, and what an administrator sees of the same.

use std::time::{Duration, Instant};

use e2e::operations::{get, post};
use e2e::{Fixture, RawAnswer};
use serde_json::{Value, json};

fn chat(key: &str, metadata: &str) -> Vec<u8> {
    let headers = format!("authorization: Bearer {key}\r\nx-tollgate-metadata: {metadata}\r\n");
    let body = r#"{"model":"fast","messages":[{"role":"user","content":"hello"}]}"#;
    post("/v1/chat/completions", &headers, body)
}

fn answer(fixture: &Fixture, request: &[u8], status: u16) -> Value {
    let answer = RawAnswer::of(&fixture.stack.gateway_url, request).unwrap();
    assert_eq!(answer.status, status, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_key_reads_its_own_usage_through_envoy() {
    let fixture = Fixture::start(2).unwrap();
    let (id, key) = fixture.key(json!({"budget": {"usd": "5", "period": "month"}})).unwrap();
    let (_, other) = fixture.key(json!({})).unwrap();
    let usage = |query: &str| {
        let path = format!("/v1/usage{query}");
        answer(&fixture, &get(&path, &format!("authorization: Bearer {key}\r\n")), 200)
    };
    assert_eq!(usage(""), json!({"success": true, "data": [], "next_cursor": null}));
    let mut costs = Vec::new();
    for step in 0..5 {
        let metadata = format!(r#"{{"project":"nightly","step":"{step}"}}"#);
        let shown = answer(&fixture, &chat(&key, &metadata), 200);
        costs.push(shown["usage"]["cost_usd"].clone());
        answer(&fixture, &chat(&other, r#"{"project":"theirs"}"#), 200);
    }
    // Nothing of it reaches the upstream.
    for seen in fixture.upstream_requests().unwrap() {
        let seen = seen.to_string();
        assert!(!seen.contains("metadata") && !seen.contains("nightly"), "{seen}");
    }
    let begun = Instant::now();
    let mut shown = usage("");
    while shown["data"].as_array().unwrap().len() < 5 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the records do not come: {shown}");
        std::thread::sleep(Duration::from_millis(100));
        shown = usage("");
    }
    let calls = shown["data"].as_array().unwrap().clone();
    assert_eq!(calls.len(), 5);
    for (call, (step, cost)) in calls.iter().rev().zip(costs.iter().enumerate()) {
        let metadata = json!({"project": "nightly", "step": step.to_string()});
        assert_eq!((&call["metadata"], &call["cost_usd"]), (&metadata, cost), "{call}");
        assert_eq!((&call["model"], &call["status_code"]), (&json!("gpt-4o-mini"), &json!(200)));
        assert!(call["prompt_tokens"].as_u64() > Some(0), "{call}");
        // The same call, as an administrator finds it by the id that the answer had.
        let path = format!("/admin/v1/requests/{}", call["id"].as_str().unwrap());
        let record = fixture.stack.admin().get(&path).unwrap().success().unwrap().json();
        assert_eq!((&record["key"], &record["metadata"]), (&json!(id), &metadata));
        assert_eq!(record["duration_ms"], call["latency_ms"]);
    }
    // pages
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = usage(&query);
        seen.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, calls);
    assert_eq!(usage("?to=2020-01-01")["data"], json!([]));
    // refusals
    let with_key = format!("authorization: Bearer {key}\r\n");
    for (path, param) in [("/v1/usage?from=yesterday", "from"), ("/v1/usage?limit=1001", "limit")] {
        let error = answer(&fixture, &get(path, &with_key), 400);
        assert_eq!(
            (&error["error"]["code"], &error["error"]["param"]),
            (&json!("invalid_value"), &json!(param))
        );
    }
    let error = answer(&fixture, &get("/v1/usage", ""), 401);
    assert_eq!(error["error"]["code"], "missing_api_key");
    let error = answer(&fixture, &chat(&key, r#"{"project":1}"#), 400);
    assert_eq!(error["error"]["param"], "x-tollgate-metadata");
    let path = format!("/admin/v1/usage?group_by=key&key={id}");
    let sums = fixture.stack.admin().get(&path).unwrap().success().unwrap().json();
    assert_eq!(sums["data"][0]["requests"], 5, "{sums}");
    fixture.revoke(&id, 5_000).unwrap();
    let error = answer(&fixture, &get("/v1/usage", &with_key), 401);
    assert_eq!(error["error"]["code"], "key_revoked");
}
