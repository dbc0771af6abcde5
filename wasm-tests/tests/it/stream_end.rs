//! Running calls of a key that is revoked, through the shipped filter and the real server, with a
//! proxy that does what it is told and with one that refuses.

use serde_json::{Value, json};
use wasm_tests::{Effect, Exchange, Gateway, MintedKey, Profile, Status};

/// Statuses that proxies refuse with: unknown, bad argument, forbidden, not offered.
const STATUSES: [Status; 4] =
    [Status::NotFound, Status::BadArgument, Status::InternalFailure, Status::Unimplemented];

/// Time for a refused host call to be asked for again, and for the report of the call.
const SETTLE_MS: u64 = 2_500;

fn gateway() -> (Gateway, MintedKey) {
    let gateway = Gateway::start(Profile::envoy_stop_iteration(), 1).unwrap();
    gateway.furnish().unwrap();
    let key = gateway.mint_key(&json!({"budget": {"usd": "1.00", "period": "none"}})).unwrap();
    (gateway, key)
}

/// A chat that the upstream has got and not answered yet.
fn waiting(gateway: &Gateway, key: &MintedKey, stream: bool) -> Exchange {
    let question = json!({
        "model": "gpt-4o-mini", "max_tokens": 64, "stream": stream,
        "messages": [{"role": "user", "content": "Say hello."}],
    });
    let exchange = gateway.chat(0, key, &question).unwrap().send().unwrap();
    assert!(exchange.forwarded().complete, "{}", exchange.client().text());
    // The timer begins to poll.
    gateway.advance_ms(100).unwrap();
    exchange
}

/// A chat whose answer is being streamed; nothing of it has come but the head.
fn streaming(gateway: &Gateway, key: &MintedKey) -> Exchange {
    let exchange = waiting(gateway, key, true);
    let head = [(":status", "200"), ("content-type", "text/event-stream")];
    exchange.respond_headers(head, false).unwrap();
    exchange
}

fn delta(exchange: &Exchange, text: &str) {
    let choices = json!([{"index": 0, "delta": {"content": text}}]);
    exchange.respond_body(format!("data: {}\n\n", json!({"choices": choices})), false).unwrap();
}

fn revoke(gateway: &Gateway, key: &MintedKey) {
    let path = format!("/admin/v1/keys/{}/revoke", key.id);
    assert_eq!(gateway.administer("POST", &path, None).unwrap()["applied"], true);
}

fn records(gateway: &Gateway, key: &MintedKey) -> Vec<Value> {
    let path = format!("/admin/v1/records?key={}&limit=100", key.id);
    let page = gateway.administer("GET", &path, None).unwrap();
    page["data"].as_array().cloned().unwrap_or_default()
}

fn is_cut(exchange: &Exchange) -> bool {
    exchange.ended() && exchange.client().reset && exchange.forwarded().reset
}

const REVOKED: &str = "data: {\"error\":{\"code\":\"key_revoked\"";

#[test]
fn every_kind_of_running_call_ends_as_it_can() {
    let (gateway, key) = gateway();
    let other = gateway.mint_key(&json!({})).unwrap();
    let told = streaming(&gateway, &key);
    let silent = streaming(&gateway, &key);
    let unanswered = waiting(&gateway, &key, false);
    let plain = waiting(&gateway, &key, false);
    let head = [(":status", "200"), ("content-type", "application/json")];
    plain.respond_headers(head, false).unwrap();
    let untouched = streaming(&gateway, &other);
    delta(&told, "seen");
    delta(&untouched, "seen");

    revoke(&gateway, &key);
    assert!(is_cut(&silent), "a silent stream is closed at once");
    assert_eq!(unanswered.status(), Some(401));
    assert_eq!(unanswered.client().json()["error"]["code"], "key_revoked");
    assert!(unanswered.forwarded().reset, "the upstream still works");
    assert!(!told.ended() && !plain.ended());

    delta(&told, "not shown");
    let text = told.client().text();
    assert!(text.contains("seen") && !text.contains("not shown"), "{text}");
    let (_, last) = text.trim_end().rsplit_once("\n\n").unwrap();
    assert!(last.starts_with(REVOKED), "{text}");
    gateway.advance_ms(10).unwrap();
    delta(&told, "not shown either");
    assert!(is_cut(&told));
    assert_eq!(told.client().text(), text, "something follows the error event");

    plain
        .respond_body(r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#, true)
        .unwrap();
    assert!(plain.client().complete);
    delta(&untouched, "shown");
    assert!(untouched.client().text().contains("shown"));

    gateway.advance_ms(SETTLE_MS).unwrap();
    let mut endings: Vec<_> = records(&gateway, &key)
        .iter()
        .map(|record| (record["ending"].to_string(), record["usage"]["output_tokens"].clone()))
        .collect();
    endings.sort_by_key(|(ending, tokens)| (ending.clone(), tokens.as_u64()));
    let cut = |tokens: u64| ("\"cut\"".to_owned(), json!(tokens));
    let complete = ("\"complete\"".to_owned(), json!(1));
    // The told one had 29 bytes of output, a quarter of them in tokens, though the client saw four.
    // The one without an answer was no stream: the provider may have made all of it.
    assert_eq!(endings, [complete, cut(0), cut(8), cut(64)]);
    assert_eq!(gateway.host().violations(), []);
    assert_eq!(gateway.workers()[0].death(), None);
}

/// A call is to end, and one host call is refused on the way: it is over all the same, and charged
/// once.
fn ends_although(name: &str, skip: u64, run: impl Fn(&Gateway, &MintedKey, &dyn Fn()) -> Exchange) {
    for status in STATUSES {
        let what = format!("{name} {status} {skip}");
        let (gateway, key) = gateway();
        let fired = std::cell::RefCell::new(None);
        let refuse = || {
            let fault = gateway.host().fault(name, skip, 1, Effect::Return(status));
            fired.replace(Some(fault));
        };
        let exchange = run(&gateway, &key, &refuse);
        gateway.advance_ms(SETTLE_MS).unwrap();
        let fired = fired.into_inner().map(|fault| fault.fired());
        assert_eq!(fired, Some(1), "{what}: never refused");
        assert!(is_cut(&exchange), "{what}: it goes on");
        gateway.advance_ms(SETTLE_MS).unwrap();
        let records = records(&gateway, &key);
        assert_eq!(records.len(), 1, "{what}: {records:?}");
        assert_eq!(records[0]["ending"], "cut", "{what}");
        assert_eq!(gateway.workers()[0].death(), None, "{what}");
        assert_eq!(gateway.host().violations(), [], "{what}");
    }
}

const CLOSE: &str = "proxy_close_stream";
const ENTER: &str = "proxy_set_effective_context";

#[test]
fn a_close_that_is_refused_is_asked_for_again() {
    // at the chunk after the error event
    ends_although(CLOSE, 0, |gateway, key, refuse| {
        let exchange = streaming(gateway, key);
        delta(&exchange, "seen");
        revoke(gateway, key);
        delta(&exchange, "not shown");
        gateway.advance_ms(10).unwrap();
        refuse();
        delta(&exchange, "not shown");
        assert!(!exchange.ended());
        delta(&exchange, "not shown");
        assert!(!exchange.client().text().contains("not shown"));
        exchange
    });
    // by the timer, which must enter the stream first
    for name in [CLOSE, ENTER] {
        ends_although(name, 0, |gateway, key, refuse| {
            let exchange = streaming(gateway, key);
            delta(&exchange, "seen");
            revoke(gateway, key);
            delta(&exchange, "not shown");
            refuse();
            exchange
        });
    }
    // by the answer of the poll; the SDK itself enters the root before
    for (name, skip) in [(CLOSE, 0), (ENTER, 1)] {
        ends_although(name, skip, |gateway, key, refuse| {
            let exchange = streaming(gateway, key);
            refuse();
            revoke(gateway, key);
            assert!(!exchange.ended());
            exchange
        });
    }
}

#[test]
fn an_answer_that_is_refused_becomes_a_close() {
    for (name, skip) in [("proxy_send_local_response", 0), (ENTER, 1)] {
        ends_although(name, skip, |gateway, key, refuse| {
            let exchange = waiting(gateway, key, true);
            refuse();
            revoke(gateway, key);
            assert_eq!(exchange.status(), None);
            exchange
        });
    }
}

#[test]
fn an_error_event_that_is_refused_still_ends_the_stream() {
    ends_although("proxy_set_buffer_bytes", 0, |gateway, key, refuse| {
        let exchange = streaming(gateway, key);
        delta(&exchange, "seen");
        revoke(gateway, key);
        refuse();
        // The proxy lets this one pass.
        delta(&exchange, "shown");
        delta(&exchange, "hidden");
        assert!(!exchange.client().text().contains("hidden"));
        exchange
    });
}
