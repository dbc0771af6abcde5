//! Calls that are sent again under the same `Idempotency-Key`, to several workers of one Envoy.

use e2e::Fixture;
use e2e::load::Tally;
use serde_json::json;
use xtask::envoy_config::EnvoyConfig;
use xtask::http_client::{Answer, Client};
use xtask::stack::StackOptions;

fn call(client: &Client, name: &str) -> anyhow::Result<Answer> {
    let body = json!({"model": "fast", "max_tokens": 16,
        "messages": [{"role": "user", "content": "hello"}]});
    let named = [("idempotency-key", name)];
    client.send("POST", "/v1/chat/completions", &named, Some(body.to_string()))
}

#[test]
fn a_call_is_made_and_charged_once_however_often_it_is_sent() {
    let filter_config = EnvoyConfig::filter_config_of_profile("mindproxy");
    let options = StackOptions { filter_config, concurrency: 4, ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    let (id, key) = fixture.key(json!({"budget": {"usd": "1", "period": "none"}})).unwrap();
    let (_, other) = fixture.key(json!({})).unwrap();

    // All at once, over connections of their own: one goes, whichever worker it came to.
    fixture.upstream_fault("delay=1500").unwrap();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let clients = (0..24).map(|_| fixture.stack.gateway(&key));
        let sent: Vec<_> =
            clients.map(|client| scope.spawn(move || call(&client, "first"))).collect();
        for answer in sent {
            tally.add(&answer.join().unwrap());
        }
    });
    assert_eq!((tally.count("200"), tally.count("409")), (1, 23), "{tally:?}");
    fixture.upstream_fault("").unwrap();
    let (client, others) = (fixture.stack.gateway(&key), fixture.stack.gateway(&other));
    let again = call(&client, "first").unwrap();
    assert_eq!((again.status, again.header("x-should-retry")), (409, Some("false")));
    assert_eq!(again.json()["error"]["type"], "idempotent_replay");

    // What failed is sent again; another name and another key's are other calls.
    fixture.upstream_fault("status=503").unwrap();
    assert_eq!(call(&client, "second").unwrap().status, 503);
    fixture.upstream_fault("").unwrap();
    for (client, name) in [(&client, "second"), (&client, "third"), (&others, "first")] {
        assert_eq!(call(client, name).unwrap().status, 200, "{name}");
    }
    let records = fixture.records(&id, 4).unwrap();
    let charged = records.iter().filter(|record| record["basis"] == "measured");
    assert_eq!((records.len(), charged.count()), (4, 3), "{records:?}");
    for seen in fixture.upstream_requests().unwrap() {
        assert!(!seen["headers"].to_string().contains("idempotency"), "{seen}");
    }
}
