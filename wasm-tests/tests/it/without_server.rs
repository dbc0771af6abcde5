//! The shipped module with keys and models in its own configuration: what a server exports makes it
//! decide as the server's own filters do, and nobody is ever called.

use std::time::Instant;

use serde_json::{Value, json};
use wasm_tests::{Exchange, Gateway, Host, MintedKey, Profile, Vm, WasmModule};

/// A proxy where there is neither a server nor a token.
fn start(configuration: &Value) -> (Host, Vm) {
    let host = Host::new(Profile::envoy_stop_iteration());
    let vm = Vm::start(&host, &WasmModule::shipped().unwrap(), configuration.to_string()).unwrap();
    (host, vm)
}

/// What the server writes, as `tollgate export` puts it together.
fn exported(gateway: &Gateway) -> Value {
    let path = "/admin/v1/filter-configuration?limit=200";
    let page = gateway.administer("GET", path, None).unwrap();
    assert_eq!((&page["next_cursor"], &page["notes"]), (&Value::Null, &json!([])));
    json!({"models": page["models"], "keys": page["keys"]})
}

/// Status, error code and wait of an answer, or what the upstream got.
fn outcome(exchange: &Exchange) -> (Option<u16>, String, String, String) {
    let client = exchange.client();
    let code = client.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    let wait = client.header("retry-after").unwrap_or_default().to_owned();
    let forwarded = exchange.forwarded();
    let body = if forwarded.headers.is_some() { forwarded.text() } else { String::new() };
    (exchange.status(), code, wait, body)
}

fn post(vm: &Vm, secret: &str, body: &Value) -> Exchange {
    let exchange = Gateway::chat_through(vm, secret, [body.to_string()]).send().unwrap();
    if !exchange.ended() {
        Gateway::answer_plainly(&exchange, (40, 10)).unwrap();
    }
    exchange
}

#[test]
fn what_a_server_exports_makes_a_filter_decide_as_its_own_do() {
    let gateway = Gateway::start(Profile::envoy_stop_iteration(), 1).unwrap();
    gateway.furnish().unwrap();
    let administer = |method: &str, path: &str, body: Value| {
        gateway.administer(method, &format!("/admin/v1/{path}"), Some(&body)).unwrap()
    };
    let model = json!({"input_usd_per_mtok": "1", "output_usd_per_mtok": "2",
        "context_length": 9000, "max_output_tokens": 900, "image_tokens": 85,
        "supported_parameters": ["temperature", "max_tokens"],
        "tiers": [{"above_input_tokens": 5000, "input_usd_per_mtok": "2",
                   "output_usd_per_mtok": "4"}]});
    administer("PUT", "models/tiered", model);
    let free = json!({"free": true, "context_length": 90, "max_output_tokens": 9});
    administer("PUT", "models/gratis", free.clone());
    administer("PUT", "models/gone", free);
    administer("DELETE", "models/gone", json!({}));
    let team = json!({"limits": [{"unit": "tokens", "window": "1h", "max": 700}]});
    administer("PUT", "orgs/acme/teams/search", team);
    let mint = |fields: Value| gateway.mint_key(&fields).unwrap();
    let keys: Vec<MintedKey> = vec![
        mint(json!({"limits": [{"unit": "requests", "window": "1m", "max": 2}]})),
        mint(json!({"team": "search"})),
        mint(
            json!({"models": ["tiered"], "default_max_output_tokens": 77, "max_call_usd": "0.0005"}),
        ),
        mint(json!({"models": []})),
        mint(json!({"expires_at": "2026-01-01T00:00:30Z"})),
        mint(json!({"allowed_ips": ["192.0.2.0/24"]})),
        mint(json!({})),
        mint(json!({})),
    ];
    administer("POST", &format!("keys/{}/disable", keys[6].id), json!({}));
    administer("POST", &format!("keys/{}/revoke", keys[7].id), json!({}));
    let (host, vm) = start(&exported(&gateway));
    let bodies = [
        json!({"model": "fast", "max_tokens": 20}),
        json!({"model": "gpt-4o-mini", "stream": false}),
        json!({"model": "tiered", "max_tokens": 500}),
        json!({"model": "tiered"}),
        json!({"model": "tiered", "seed": 1}),
        json!({"model": "gratis", "max_tokens": 500}),
        json!({"model": "gone"}),
        json!({"model": "nothing"}),
    ];
    let mut codes = std::collections::BTreeSet::new();
    for round in 0..3 {
        host.set_clocks_ns(gateway.host().now_ns(), gateway.host().wall_ns());
        for (number, key) in keys.iter().enumerate() {
            for body in &bodies {
                let with = outcome(&post(&gateway.workers()[0], &key.secret, body));
                let without = outcome(&post(&vm, &key.secret, body));
                assert_eq!(with, without, "round {round}, key {number}, {body}");
                codes.insert(without.1);
            }
        }
        gateway.advance_ms(20_000).unwrap();
    }
    for code in [
        "",
        "rpm_exceeded",
        "tph_exceeded",
        "model_not_allowed",
        "key_expired",
        "key_disabled",
        "key_revoked",
        "ip_not_allowed",
        "unknown_model",
        "model_removed",
        "unsupported_parameter",
        "context_length_exceeded",
    ] {
        assert!(codes.contains(code), "{code} was never said: {codes:?}");
    }
    let unknown = post(&vm, "sk-NobodyKnowsThisKeyAtAll", &bodies[0]);
    assert_eq!(outcome(&unknown).1, "invalid_api_key");
    assert_eq!((host.calls_made(), host.violations()), (0, vec![]));
}

fn many(count: usize) -> Value {
    let key = |number: usize| {
        let digest = format!("{number:064x}");
        json!({"id": format!("key_{number:08}"), "org": "acme", "digests": [digest],
            "models": ["m"], "limits": [{"unit": "requests", "window": "1m", "max": 60}]})
    };
    let models = json!([{"name": "m", "context_length": 1000, "max_output_tokens": 100}]);
    json!({"models": models, "keys": (0..count).map(key).collect::<Vec<_>>()})
}

/// Bounds with room above what was measured, so that a tenfold growth cannot go unseen.
#[test]
fn ten_thousand_keys_take_little_memory_and_start_soon() {
    let (_, few) = start(&many(0));
    let configuration = many(10_000);
    let text = configuration.to_string().len() as u64;
    let began = Instant::now();
    let (_, vm) = start(&configuration);
    let took = began.elapsed();
    let bytes = vm.memory_bytes() - few.memory_bytes();
    let of_keys = bytes.saturating_sub(text) / 10_000;
    println!(
        "{bytes} bytes more, {text} of them the text, {of_keys} for a key; started in {took:?}"
    );
    assert!(of_keys < 1_000, "{of_keys} bytes for a key");
    // The same configuration again needs no more than its text anew, for what was there before goes.
    vm.reconfigure(configuration.to_string()).unwrap();
    vm.retire_old_roots().unwrap();
    let again = vm.memory_bytes() - few.memory_bytes();
    println!("{again} bytes after a second one");
    assert!(again < 2 * bytes + 2 * text, "{again} bytes after a second configuration");
    assert!(took.as_secs() < 20, "{took:?}");
}

#[test]
fn a_configuration_takes_a_machine_from_a_server_and_gives_it_back() {
    let local = json!({"models": [{"name": "m", "context_length": 1000, "max_output_tokens": 100}],
        "keys": [{"id": "k", "org": "o", "digests": ["8d4be1bc480e7edb96e0fb485045beadc9d07e43eefd2b00f594393ec45d93cd"]}]});
    let (host, vm) = start(&local);
    let ask = || post(&vm, "sk-AbCdEfGhIjKlMnOpQrStUv", &json!({"model": "m"}));
    assert_eq!(ask().status(), Some(200));
    let server = json!({"server": {"cluster": "policy"}}).to_string();
    assert!(vm.reconfigure(&server).is_err(), "a server needs a token");
    assert_eq!(ask().status(), Some(200), "the configuration that was there stays");
    host.set_environment("TOLLGATE_FILTER_TOKEN", "filter-token-for-tests-0123456789");
    assert_eq!(host.violations(), []);
}
