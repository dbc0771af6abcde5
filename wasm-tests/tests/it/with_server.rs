//! The policy server's routers behind a probe: the seam itself, without the filter.

use serde_json::json;
use wasm_tests::{Gateway, Profile};

use crate::probe::{GET, logged, probe};

const POLL_REPLY: (&str, &str) = (
    "proxy_on_http_call_response",
    r#"(drop (call $read (i32.const 4) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
       (call $log_read)"#,
);

#[test]
fn keys_are_minted_by_the_real_server_in_virtual_time() {
    let gateway = Gateway::start_module(&probe(&[]), Profile::envoy(), 1).unwrap();
    gateway.furnish().unwrap();
    let expires = json!({"expires_at": "2026-01-01T00:00:05Z", "models": ["gpt-4o-mini"]});
    let key = gateway.mint_key(&expires).unwrap();
    assert!(!key.secret.is_empty() && !format!("{key:?}").contains(&key.secret));
    let path = format!("/admin/v1/keys/{}", key.id);
    let status = || gateway.administer("GET", &path, None).unwrap()["status"].clone();
    assert_eq!(status(), "active");
    gateway.advance_ms(5_000).unwrap();
    assert_eq!(status(), "expired");
}

#[test]
fn call_outs_reach_the_filter_api_and_need_its_token() {
    let ask = (
        "proxy_on_request_headers",
        r#"(drop (call $call "tollgate_policy_server"
             P":method=POST|:path=/proxy/v1/admit|:authority=tollgate" "{}" ""
             (i32.const 5000) (i32.const 8)))
           (i32.const 0)"#,
    );
    let module = probe(&[ask, POLL_REPLY]);
    let gateway = Gateway::start_module(&module, Profile::envoy(), 2).unwrap();
    gateway.workers()[1].request(GET).send().unwrap();
    let [answer] = logged(gateway.host()).try_into().unwrap();
    assert!(answer.contains("error"), "{answer}");
}
