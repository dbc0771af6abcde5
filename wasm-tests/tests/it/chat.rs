//! The filter as it ships, with the real policy server: one chat, whole.

use serde_json::json;
use wasm_tests::{Gateway, Profile};

#[test]
fn a_chat_is_allowed_priced_and_refused_without_a_key() {
    let gateway = Gateway::start(Profile::envoy_stop_iteration(), 1).unwrap();
    gateway.furnish().unwrap();
    let budget = json!({"budget": {"usd": "1.00", "period": "none"}});
    let key = gateway.mint_key(&budget).unwrap();

    let exchange = gateway.whole_chat(0, &key, (9, 2)).unwrap();
    let client = exchange.client();
    assert_eq!(client.status(), Some(200), "{}", client.text());
    let forwarded = exchange.forwarded();
    assert_eq!(forwarded.header("authorization"), None);
    // 9 × 0.15 + 2 × 0.60 USD per million.
    assert_eq!(client.json()["usage"]["cost_usd"], json!(0.00000255), "{}", client.text());
    assert_eq!(gateway.host().violations(), []);
}
