//! The filter as stock Istio runs it: without `allow_on_headers_stop_iteration`, and with the buffer filter
//! of `examples/istio/buffer.yaml` behind it.

use e2e::{Fixture, MODEL, streamed_chat};
use serde_json::json;
use serde_yaml_ng::Value;

use super::{Example, assert_guarded, chat_of, client_of, port};

/// The one document of a file.
fn document(path: &str) -> Value {
    let text = std::fs::read_to_string(super::folder().join(path)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

#[test]
fn stock_istio_serves_and_nothing_that_is_refused_reaches_the_provider() {
    let fixture = Fixture::start(1).unwrap();
    let budget = json!({"usd": "5.00", "period": "month"});
    let (id, key) = fixture.key(json!({"budget": budget})).unwrap();
    let example = Example::read("envoy/two-listeners/envoy.yaml")
        .in_place_of(&fixture)
        .with(&port(10_001), &port(0))
        .with("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false");
    let mut config: Value = serde_yaml_ng::from_str(&example.text).unwrap();
    let plugin = document("istio/wasm-plugin.yaml")["spec"]["pluginConfig"].clone();
    let mut plugin = serde_json::to_value(plugin).unwrap();
    plugin["server"] = json!({"cluster": "tollgate_policy_server"});
    let buffer = document("istio/buffer.yaml");
    let buffer = buffer["spec"]["configPatches"][0]["patch"]["value"].clone();
    let manager = &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filters = manager["typed_config"]["http_filters"].as_sequence_mut().unwrap();
    filters[0]["typed_config"]["config"]["configuration"]["value"] = plugin.to_string().into();
    filters.insert(1, buffer);
    let text = serde_yaml_ng::to_string(&config).unwrap();
    let envoy = Example { text, ..example }.start(&fixture, "early-head");

    assert_guarded(&envoy, "programs");
    let client = client_of(&envoy, "programs", Some(&key));
    let refusals = [
        json!({"model": "none", "messages": []}),
        json!({"model": MODEL, "messages": [], "web_search_options": {}}),
        json!("no object"),
    ];
    for body in refusals {
        let answer = client.post("/v1/chat/completions", &body).unwrap();
        assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.body);
    }
    assert_eq!(chat_of(&client, 11 << 20).status, 413);
    assert!(fixture.upstream_requests().unwrap().is_empty(), "a refused one came through");

    // A cold key, a warm one, an alias that is written into the body, a long body, a stream.
    for bytes in [1, 1, 200_000] {
        let answer = chat_of(&client, bytes);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let alias = json!({"model": "fast", "messages": [{"role": "user", "content": "hello"}]});
    let answer = client.post("/v1/chat/completions", &alias).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!streamed_chat(&client, json!({})).unwrap().is_empty());
    assert_eq!(client.get("/v1/models").unwrap().status, 200);
    let seen = fixture.upstream_requests().unwrap();
    assert_eq!(seen.len(), 5);
    for request in &seen {
        assert!(!request.to_string().contains(&key), "{request}");
    }
    let (spend, books) = fixture.settled_books(&id, std::time::Duration::from_secs(20)).unwrap();
    assert!(books.upstream <= spend.settled + spend.parked, "{spend:?} {books:?}");
    let stats = xtask::http_client::Client::new(&envoy.admin_url, None).get("/stats").unwrap().body;
    let failed =
        stats.lines().find(|line| line.contains("runtime_error") && !line.ends_with(": 0"));
    assert_eq!(failed, None);
}
