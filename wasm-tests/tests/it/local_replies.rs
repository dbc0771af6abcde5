//! Answers that the filter makes itself.

use wasm_tests::{Phase, Profile, ViolationKind};

use crate::probe::{GET, POST, answers, logged, start};

const REFUSE: &str = r#"
    (drop (call $reply (i32.const 401) "no_key" "no key" P"www-authenticate=Bearer"
      (i32.const -1)))
    (i32.const 1)"#;

const LOG_STATUS: &str = r#"
    (drop (call $get (i32.const 2) ":status" (i32.const 0) (i32.const 4)))
    (call $log_read)
    (i32.const 0)"#;

#[test]
fn a_reply_reaches_the_client_through_the_response_callbacks_and_nothing_is_forwarded() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            ("proxy_on_request_headers", REFUSE),
            ("proxy_on_response_headers", LOG_STATUS),
            ("proxy_on_response_body", "(i32.const 0)"),
            ("proxy_on_log", ""),
        ],
    );
    host.trace(|trace| trace.clear());
    let exchange = vm.request(POST).body(["body"]).send().unwrap();
    let client = exchange.client();
    assert_eq!(client.status(), Some(401));
    assert_eq!(client.text(), "no key");
    assert_eq!(client.header("www-authenticate"), Some("Bearer"));
    assert_eq!(client.header("content-length"), Some("6"));
    assert_eq!(client.header("content-type"), Some("text/plain"));
    assert!(client.complete && exchange.ended());
    assert!(exchange.forwarded().headers.is_none());
    assert_eq!(exchange.local_reply_details().as_deref(), Some("no_key"));
    assert_eq!(logged(&host), ["401"]);
    assert_eq!(
        host.trace(|trace| trace.phases()),
        [Phase::RequestHeaders, Phase::ResponseHeaders, Phase::ResponseBody, Phase::Log]
    );
    assert_eq!(host.violations(), []);
}

#[test]
fn the_stream_stops_even_if_the_callback_says_continue() {
    let refuse_and_continue = REFUSE.replace("(i32.const 1)", "(i32.const 0)");
    let (_, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", &refuse_and_continue)]);
    let exchange = vm.request(GET).send().unwrap();
    assert_eq!(exchange.status(), Some(401));
    assert!(exchange.forwarded().headers.is_none());
}

#[test]
fn a_second_reply_is_a_violation_and_changes_nothing() {
    let twice = format!("(drop (block (result i32) {REFUSE})) {REFUSE}");
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", &twice)]);
    let exchange = vm.request(GET).send().unwrap();
    assert_eq!(exchange.status(), Some(401));
    assert_eq!(host.violations()[0].kind, ViolationKind::DoubleLocalReply);
    assert_eq!(host.violations().len(), 1);
}

#[test]
fn a_reply_from_a_call_out_callback_answers_the_paused_request() {
    let (host, vm) = start(
        Profile::envoy_stop_iteration(),
        &[
            (
                "proxy_on_request_headers",
                "(global.set $state (local.get $id)) (drop (call $call_server)) (i32.const 1)",
            ),
            ("proxy_on_request_body", "(i32.const 1)"),
            (
                "proxy_on_http_call_response",
                r#"(drop (call $effective (global.get $state)))
                   (drop (call $reply (i32.const 402) "" "" "" (i32.const -1)))"#,
            ),
        ],
    );
    let exchange = vm.open();
    exchange.send_headers(POST, false).unwrap();
    exchange.send_body("half", false).unwrap();
    host.answer_all(&wasm_tests::CallReply::new(200, "")).unwrap();
    let client = exchange.client();
    assert_eq!(client.status(), Some(402));
    assert_eq!(client.header("content-length"), None, "no length without a body");
    assert!(client.complete && exchange.ended());
    exchange.send_body("rest", true).unwrap();
    assert!(exchange.forwarded().headers.is_none());
    assert_eq!(host.violations(), []);
}

#[test]
fn a_reply_in_response_headers_replaces_them_without_a_second_callback() {
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_response_headers", REFUSE)]);
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[], ["secret"]).unwrap();
    assert_eq!(exchange.status(), Some(401));
    assert_eq!(exchange.client().text(), "no key");
    assert_eq!(host.trace(|trace| trace.host_calls("proxy_send_local_response")), 1);
}

#[test]
fn a_reply_after_the_response_headers_left_cuts_the_stream() {
    let (_, vm) = start(Profile::envoy(), &[("proxy_on_response_body", REFUSE)]);
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[], ["a", "b"]).unwrap();
    let client = exchange.client();
    assert_eq!((client.status(), client.text().as_str(), client.reset), (Some(200), "", true));
}

#[test]
fn a_reply_and_a_close_together_are_a_violation() {
    let both = format!("(drop (call $close (i32.const 0))) {REFUSE}");
    let both = both
        .replacen("(drop (call $close (i32.const 0)))", "", 1)
        .replace("(i32.const 1)", "(drop (call $close (i32.const 0))) (i32.const 1)");
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", &both)]);
    let exchange = vm.request(GET).send().unwrap();
    assert_eq!(exchange.status(), None);
    assert!(exchange.client().reset);
    assert_eq!(host.violations()[0].kind, ViolationKind::CloseWithLocalReply);
}

#[test]
fn outside_a_stream_nothing_can_be_answered_or_continued() {
    let stray = r#"
    (drop (call $reply (i32.const 500) "" "" "" (i32.const -1)))
    (drop (call $continue (i32.const 0)))
    (drop (call $continue (i32.const 3)))
    (drop (call $close (i32.const 9)))"#;
    let (host, vm) = start(
        Profile::envoy(),
        &[
            ("proxy_on_configure", "(drop (call $tick (i32.const 10))) (i32.const 1)"),
            ("proxy_on_tick", stray),
        ],
    );
    host.advance_ms(10).unwrap();
    assert_eq!(answers(&host, "proxy_continue_stream"), [0, 12]);
    assert_eq!(answers(&host, "proxy_close_stream"), [2]);
    let kinds: Vec<_> = host.violations().into_iter().map(|v| v.kind).collect();
    assert_eq!(kinds, [ViolationKind::OutsideStream; 2]);
    assert_eq!(vm.death(), None);
}

#[test]
fn a_reply_and_a_close_in_a_call_out_callback_leave_the_client_with_nothing() {
    let both = r#"
    (drop (call $effective (global.get $state)))
    (drop (call $reply (i32.const 401) "" "no" "" (i32.const -1)))
    (drop (call $close (i32.const 0)))"#;
    let (host, vm) = start(
        Profile::envoy_stop_iteration(),
        &[
            (
                "proxy_on_request_headers",
                "(global.set $state (local.get $id)) (drop (call $call_server)) (i32.const 1)",
            ),
            ("proxy_on_http_call_response", both),
            ("proxy_on_response_headers", LOG_STATUS),
        ],
    );
    let exchange = vm.request(GET).send().unwrap();
    host.answer_all(&wasm_tests::CallReply::new(200, "")).unwrap();
    assert_eq!(logged(&host), ["401"]);
    assert_eq!(exchange.status(), None);
    assert!(exchange.client().reset && exchange.ended());
    assert_eq!(host.violations()[0].kind, ViolationKind::CloseWithLocalReply);
}
