//! What ends in shadow mode as it would without: keys, and calls that end without usage.

use gate::Token;
use gate::testing::{Filter, Native, Seen};
use serde_json::{Value, json};

const BODY: &[u8] = br#"{"model":"m","max_tokens":100,"stream":true,"messages":[]}"#;

/// A filter that knows no key yet, with so many requests that wait for the same one.
fn waiting(requests: u32) -> Native {
    let config = gate::config::parse(br#"{"server": {"cluster": "policy"}}"#).unwrap();
    let mut filter = Native::new(config, Token::new("filter-token-for-tests-0123456789"));
    filter.clock(1_000);
    for stream in 1..=requests {
        let headers = [
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("authorization", "Bearer sk-AbCdEfGhIjKlMnOpQrStUv"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        filter.request(stream, headers.to_vec(), false);
        filter.body(stream, BODY, true);
    }
    let registered = json!({"holder": "h1", "epoch": 7, "revision": 1, "session_ttl_ms": 60_000,
        "catalogue_version": 1});
    let catalogue = json!({"epoch": 7, "revision": 1, "version": 1, "models": [
        {"name": "m", "price": {"input": 1_000_000, "output": 1_000_000}, "context_length": 9_000,
         "max_output_tokens": 900}]});
    while answer(&mut filter, "/proxy/v1/holders", &registered)
        || answer(&mut filter, "/proxy/v1/catalogue", &catalogue)
    {}
    filter
}

fn answer(filter: &mut Native, path: &str, body: &Value) -> bool {
    filter.answer(path, Some(200), body.to_string().as_bytes())
}

/// What the server says of the key, and of the money for a call.
fn admitted(policy: &Value) -> Value {
    let mut known = json!({"key": "key_1", "org": "o", "state": "active", "models": "all",
        "budgeted": true});
    for (name, value) in policy.as_object().unwrap() {
        known[name] = value.clone();
    }
    let lease = json!({"granted": {"lease": "l1", "n": 1, "amount": 20_000_000,
        "output_tokens": 100}});
    json!({"epoch": 7, "revision": 1, "key": {"known": known}, "lease": lease})
}

/// A request that waits for the server hears from another's answer that the key has ended. When its own
/// calls fail, that refuses it, and the key's shadow mode, which ended with the key, lets nothing pass.
#[test]
fn a_key_that_has_ended_lets_nothing_pass_whatever_refuses() {
    for ended in [
        json!({"state": "disabled", "shadow": true}),
        json!({"state": "revoked", "shadow": true}),
        json!({"expires_at_unix_ms": 500, "shadow": true}),
    ] {
        let mut filter = waiting(2);
        // The first one asks again, and hears nothing.
        assert!(filter.answer("/proxy/v1/admit", None, b""));
        assert!(answer(&mut filter, "/proxy/v1/admit", &admitted(&ended)));
        while filter.answer("/proxy/v1", None, b"") {}
        let seen = filter.seen();
        let went_on = seen.iter().any(|one| matches!(one, Seen::Upstream { .. }));
        assert!(!went_on, "{ended}: {seen:?}");
        let replies = seen.iter().filter(|one| matches!(one, Seen::Reply { .. })).count();
        assert_eq!(replies, 2, "{ended}: {seen:?}");
    }
    // One that is good lets it pass.
    let mut filter = waiting(2);
    assert!(filter.answer("/proxy/v1/admit", None, b""));
    assert!(answer(&mut filter, "/proxy/v1/admit", &admitted(&json!({"shadow": true}))));
    while filter.answer("/proxy/v1", None, b"") {}
    let went_on = |seen: &&Seen| matches!(seen, Seen::Upstream { .. });
    assert_eq!(filter.seen().iter().filter(went_on).count(), 2);
}

/// The record of a call that breaks off before any usage.
fn cut_call(policy: &Value) -> Value {
    let mut filter = waiting(1);
    assert!(answer(&mut filter, "/proxy/v1/admit", &admitted(policy)));
    let status = (":status".to_owned(), b"200".to_vec());
    let kind = ("content-type".to_owned(), b"text/event-stream".to_vec());
    filter.response(1, vec![status, kind], false);
    filter.data(1, b"data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n", false);
    filter.end(1);
    filter.clock(9_000);
    filter.tick();
    let report = filter.seen().into_iter().find_map(|seen| match seen {
        Seen::Call { path, body, .. } if path.ends_with("/reports") => Some(body),
        _ => None,
    });
    let report: Value = serde_json::from_slice(&report.unwrap()).unwrap();
    report["records"][0].clone()
}

/// It is charged as it would be without shadow mode: all that was set aside where its key says so.
#[test]
fn a_call_that_breaks_off_is_charged_as_ever() {
    for cut_calls in ["reservation", "estimate"] {
        let plain = cut_call(&json!({"cut_calls": cut_calls}));
        let shadow = cut_call(&json!({"cut_calls": cut_calls, "shadow": true}));
        for member in ["basis", "cost", "reserved", "usage", "lease"] {
            assert_eq!(shadow[member], plain[member], "{cut_calls}: {member}");
        }
        assert_eq!(shadow["cost"] == shadow["reserved"], cut_calls == "reservation", "{shadow}");
    }
}
