//! The shipped filter in several workers: windows, revocation, budgets, bad input.

use serde_json::{Value, json};
use wasm_tests::{Effect, Exchange, Gateway, HeaderMap, MessageEnd, MintedKey, Profile, Status};

fn gateway(workers: usize) -> Gateway {
    let gateway = Gateway::start(Profile::envoy_stop_iteration(), workers).unwrap();
    gateway.furnish().unwrap();
    gateway
}

fn code(exchange: &Exchange) -> String {
    exchange.client().json()["error"]["code"].as_str().unwrap_or("none").to_owned()
}

fn question() -> Value {
    json!({
        "model": "gpt-4o-mini", "max_tokens": 64,
        "messages": [{"role": "user", "content": "Say hello."}],
    })
}

/// Sends a raw body with a key, in pieces.
fn post(gateway: &Gateway, key: &MintedKey, pieces: &[&[u8]]) -> Exchange {
    let bearer = format!("Bearer {}", key.secret);
    let headers = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":authority", "gateway"),
        (":scheme", "http"),
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    gateway.workers()[0].request(headers).body(pieces).send().unwrap()
}

#[test]
fn four_workers_share_one_window_to_the_request() {
    let gateway = gateway(4);
    let limit = json!({"limits": [
        {"unit": "requests", "window": "1m", "max": 60, "scope": "proxy"}]});
    let key = gateway.mint_key(&limit).unwrap();
    let mut allowed = 0;
    for number in 0..100 {
        let exchange = gateway.whole_chat(number % 4, &key, (9, 2)).unwrap();
        match exchange.status() {
            Some(200) => allowed += 1,
            Some(429) => {
                assert_eq!(code(&exchange), "rpm_exceeded");
                let wait = exchange.client().header("retry-after").unwrap().to_owned();
                assert!((1..=60).contains(&wait.parse::<u64>().unwrap()), "{wait}");
                assert!(exchange.forwarded().headers.is_none());
            }
            other => panic!("{other:?} {}", exchange.client().text()),
        }
        gateway.advance_ms(10).unwrap();
    }
    assert_eq!(allowed, 60);
    // The first was admitted a minute ago, less one step.
    gateway.advance_ms(58_990).unwrap();
    assert_eq!(gateway.whole_chat(0, &key, (9, 2)).unwrap().status(), Some(429));
    gateway.advance_ms(10).unwrap();
    assert_eq!(gateway.whole_chat(1, &key, (9, 2)).unwrap().status(), Some(200));
    assert_eq!(gateway.host().violations(), []);
}

#[test]
fn a_revoked_key_is_refused_by_every_worker_at_its_next_request() {
    let gateway = gateway(4);
    let key = gateway.mint_key(&json!({})).unwrap();
    for worker in 0..4 {
        assert_eq!(gateway.whole_chat(worker, &key, (9, 2)).unwrap().status(), Some(200));
    }
    // By now every worker has a poll open.
    gateway.advance_ms(2_000).unwrap();
    let path = format!("/admin/v1/keys/{}/revoke", key.id);
    let answer = gateway.administer("POST", &path, None).unwrap();
    assert_eq!(answer["applied"], json!(true), "{answer}");
    for worker in 0..4 {
        let exchange = gateway.whole_chat(worker, &key, (9, 2)).unwrap();
        assert_eq!((exchange.status(), code(&exchange)), (Some(401), "key_revoked".to_owned()));
    }
    assert_eq!(gateway.host().violations(), []);
}

#[test]
fn a_spent_budget_is_402_until_the_cap_is_raised() {
    let gateway = gateway(1);
    let budget = |usd: &str| json!({"budget": {"usd": usd, "period": "none"}});
    let key = gateway.mint_key(&budget("0.0005")).unwrap();
    let mut spent = 0;
    let refusal = loop {
        let exchange = gateway.whole_chat(0, &key, (9, 64)).unwrap();
        match exchange.status() {
            Some(200) => spent += 1,
            // Money that is out may still come back; with the next report it has.
            Some(429) => assert_eq!(code(&exchange), "budget_contended"),
            _ => break exchange,
        }
        assert!(spent < 100, "the budget never ends");
        gateway.advance_ms(2_000).unwrap();
    };
    assert_eq!((refusal.status(), code(&refusal)), (Some(402), "budget_exceeded".to_owned()));
    // One call costs 9 × 0.15 + 64 × 0.60 = 39.75 USD per million calls: 12 fit, not 13.
    assert!((1..=12).contains(&spent), "{spent} calls");
    let path = format!("/admin/v1/keys/{}", key.id);
    gateway.administer("PATCH", &path, Some(&budget("1.00"))).unwrap();
    assert_eq!(gateway.whole_chat(0, &key, (9, 64)).unwrap().status(), Some(200));
}

#[test]
fn bad_input_gets_its_own_error_never_reaches_the_upstream_and_never_traps() {
    let gateway = gateway(1);
    let key = gateway.mint_key(&json!({})).unwrap();
    let cases: &[(&[&[u8]], u16, &str)] = &[
        (&[b"{\"model\": \"gpt-4o-mini\", \"mess"], 400, "invalid_json"),
        (&[b""], 400, "invalid_json"),
        (&[b"hello"], 400, "invalid_json"),
        (&[b"\xff\xfe"], 400, "invalid_json"),
        (&[b"[1, 2]"], 400, "invalid_json"),
        (&[b"{\"model\":\"a\",", b"\"model\":\"b\",\"messages\":[]}"], 400, "duplicate_field"),
        (&[b"{\"model\":\"nobody\",\"messages\":[]}"], 400, "unknown_model"),
    ];
    for (pieces, status, expected) in cases {
        let exchange = post(&gateway, &key, pieces);
        let shown = pieces.concat().escape_ascii().to_string();
        assert_eq!(exchange.status(), Some(*status), "{shown}: {}", exchange.client().text());
        assert_eq!(code(&exchange), *expected, "{shown}");
        assert!(exchange.forwarded().headers.is_none(), "{shown}");
    }
    assert_eq!(gateway.workers()[0].death(), None);
    assert_eq!(gateway.host().violations(), []);
}

#[test]
fn a_body_in_any_pieces_and_with_any_ending_is_forwarded_alike() {
    let gateway = gateway(1);
    let key = gateway.mint_key(&json!({})).unwrap();
    let body = question().to_string();
    let whole = post(&gateway, &key, &[body.as_bytes()]).forwarded();
    assert!(whole.complete);
    for size in [1, 2, 7, 50] {
        for end in [
            MessageEnd::OnLastPiece,
            MessageEnd::ExtraEmptyPiece,
            MessageEnd::Trailers(HeaderMap::from_pairs([("x-checksum", "1")])),
        ] {
            let script = gateway.chat(0, &key, &question()).unwrap();
            let pieces = body.as_bytes().chunks(size);
            let exchange = script.body(pieces).ending(end.clone()).send().unwrap();
            let forwarded = exchange.forwarded();
            assert!(forwarded.complete, "pieces of {size}, {end:?}");
            assert_eq!(forwarded.text(), whole.text(), "pieces of {size}, {end:?}");
            exchange.client_disconnect().unwrap();
        }
    }
    assert_eq!(gateway.host().violations(), []);
}

#[test]
fn when_the_newest_root_goes_another_takes_over_its_work() {
    let gateway = gateway(1);
    let budget = json!({"budget": {"usd": "1.00", "period": "none"}});
    let key = gateway.mint_key(&budget).unwrap();
    let vm = &gateway.workers()[0];
    let again = json!({"server": {"cluster": wasm_tests::POLICY_CLUSTER}}).to_string();
    vm.reconfigure(again).unwrap();
    assert_eq!(vm.live_roots().len(), 2);
    vm.retire_newest_root().unwrap();
    let exchange = gateway.whole_chat(0, &key, (9, 2)).unwrap();
    exchange.finish().unwrap();
    gateway.advance_ms(500).unwrap();
    let records = gateway.administer("GET", "/admin/v1/records", None).unwrap();
    let count = records["data"].as_array().map(Vec::len);
    assert_eq!(count, Some(1), "the call was never reported");
}

#[test]
fn trailers_carry_no_credential_to_the_upstream() {
    let gateway = gateway(1);
    let key = gateway.mint_key(&json!({})).unwrap();
    let trailers = HeaderMap::from_pairs([
        ("x-checksum", "1"),
        ("authorization", "Bearer secret"),
        ("x-tollgate-org", "liar"),
    ]);
    let script = gateway.chat(0, &key, &question()).unwrap();
    let ending = MessageEnd::Trailers(trailers.clone());
    let body = question().to_string();
    let exchange = script.body([body.as_bytes()]).ending(ending).send().unwrap();
    let seen = exchange.forwarded().trailers.unwrap();
    assert_eq!(seen.text("x-checksum"), Some("1"));
    assert_eq!((seen.text("authorization"), seen.text("x-tollgate-org")), (None, None));

    // Where they cannot be taken away, the request stays.
    let host = gateway.host();
    // The head's own credential is the first removal, the trailers' the second.
    let refused = Effect::Return(Status::BadArgument);
    let fault = host.fault("proxy_remove_header_map_value", 1, 1, refused);
    let script = gateway.chat(0, &key, &question()).unwrap();
    let ending = MessageEnd::Trailers(trailers);
    let exchange = script.body([body.as_bytes()]).ending(ending).send().unwrap();
    assert_eq!(fault.fired(), 1);
    assert!(exchange.forwarded().headers.is_none());
    assert_eq!(exchange.status(), Some(503));
}

#[test]
fn headers_that_are_not_text_do_not_kill_the_worker() {
    let gateway = gateway(1);
    let key = gateway.mint_key(&json!({})).unwrap();
    let anonymous = MintedKey { id: String::new(), secret: String::new() };
    for name in ["authorization", "x-api-key", "content-type", "user-agent", "x-request-id"] {
        let script = gateway.chat(0, &anonymous, &question()).unwrap();
        script.header(name, b"\xff\xfe").send().unwrap().finish().unwrap();
    }
    assert_eq!(gateway.whole_chat(0, &key, (9, 2)).unwrap().status(), Some(200));
}

#[test]
fn a_client_that_leaves_at_any_point_leaves_nothing_behind() {
    let gateway = gateway(1);
    let budget = json!({"budget": {"usd": "1.00", "period": "none"}});
    let key = gateway.mint_key(&budget).unwrap();
    let worker = &gateway.workers()[0];
    gateway.host().set_auto_settle(false);
    for _ in 0..20 {
        let exchange = gateway.chat(0, &key, &question()).unwrap().send().unwrap();
        exchange.client_disconnect().unwrap();
        gateway.host().settle().unwrap();
    }
    gateway.host().set_auto_settle(true);
    assert_eq!(worker.live_streams(), 0);
    assert_eq!(gateway.whole_chat(0, &key, (9, 2)).unwrap().status(), Some(200));
    assert_eq!(gateway.host().violations(), []);
}
