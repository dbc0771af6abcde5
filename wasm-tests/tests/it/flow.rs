//! What Pause holds back and what Continue lets go.

use wasm_tests::{CallReply, HeaderMap, MessageEnd, Phase, Profile, ViolationKind};

use crate::probe::{GET, POST, logged, start};

const RESUME_ON_REPLY: &str = r#"
    (drop (call $effective (global.get $state)))
    (drop (call $continue (i32.const 0)))"#;

const ASK_AND_PAUSE: &str = r#"
    (global.set $state (local.get $id))
    (drop (call $call_server))
    (i32.const 1)"#;

const LOG_SIZE_AND_PAUSE: &str = r#"
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 4)))
    (call $log_read)
    (i32.const 1)"#;

#[test]
fn with_stop_iteration_a_body_that_continues_releases_paused_headers() {
    let (host, vm) = start(
        Profile::envoy_stop_iteration(),
        &[("proxy_on_request_headers", ASK_AND_PAUSE), ("proxy_on_request_body", "(i32.const 0)")],
    );
    let exchange = vm.open();
    exchange.send_headers(POST, false).unwrap();
    assert!(exchange.forwarded().headers.is_none());
    exchange.send_body("body", true).unwrap();
    assert!(exchange.forwarded().complete, "passed before the server answered");
    assert_eq!(host.violations()[0].kind, ViolationKind::ForwardedWithCallPending);
}

#[test]
fn with_stop_iteration_pausing_everywhere_holds_until_the_verdict() {
    let (host, vm) = start(
        Profile::envoy_stop_iteration(),
        &[
            ("proxy_on_request_headers", ASK_AND_PAUSE),
            ("proxy_on_request_body", LOG_SIZE_AND_PAUSE),
            ("proxy_on_request_trailers", "(i32.const 1)"),
            ("proxy_on_http_call_response", RESUME_ON_REPLY),
        ],
    );
    let trailers = HeaderMap::from_pairs([("x-checksum", "1")]);
    let request = vm.request(POST).body(["abc", "def"]).ending(MessageEnd::Trailers(trailers));
    let exchange = request.send().unwrap();
    assert!(exchange.forwarded().headers.is_none());
    host.answer_all(&CallReply::new(200, "")).unwrap();
    let forwarded = exchange.forwarded();
    assert_eq!(forwarded.text(), "abcdef");
    assert_eq!(forwarded.trailers.unwrap().text("x-checksum"), Some("1"));
    assert!(forwarded.complete);
    assert_eq!(logged(&host), ["abc", "abcdef"]);
    assert_eq!(host.violations(), []);
}

#[test]
fn without_stop_iteration_paused_headers_hold_back_the_body_which_then_comes_at_once() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            ("proxy_on_request_headers", ASK_AND_PAUSE),
            ("proxy_on_request_body", LOG_SIZE_AND_PAUSE),
            ("proxy_on_http_call_response", RESUME_ON_REPLY),
        ],
    );
    let exchange = vm.request(POST).body(["abc", "def"]).send().unwrap();
    assert_eq!(logged(&host), [""; 0], "no body callback while headers are paused");
    host.answer_all(&CallReply::new(200, "")).unwrap();
    assert_eq!(logged(&host), ["abcdef"]);
    assert!(exchange.forwarded().headers.is_some(), "the head has left");
    assert!(!exchange.forwarded().complete, "the body is held by its own callback");
}

#[test]
fn trailers_end_a_body_that_was_never_said_to_end() {
    let pause_until_end = "(i32.eqz (local.get $end))";
    let (_, vm) = start(Profile::envoy(), &[("proxy_on_request_body", pause_until_end)]);
    let trailers = HeaderMap::from_pairs([("a", "b")]);
    let request = vm.request(POST).body(["abc"]).ending(MessageEnd::Trailers(trailers));
    let exchange = request.send().unwrap();
    assert_eq!(exchange.forwarded().text(), "abc", "released by the missing trailers callback");
    assert!(exchange.forwarded().complete);
}

#[test]
fn continue_without_pause_is_a_violation() {
    let eager = "(drop (call $continue (i32.const 0))) (i32.const 0)";
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", eager)]);
    let exchange = vm.request(GET).send().unwrap();
    assert!(exchange.forwarded().complete);
    assert_eq!(host.violations()[0].kind, ViolationKind::ContinueNotPaused);
}

#[test]
fn responses_stream_piece_by_piece_and_can_be_held_to_the_end() {
    let hold = "(i32.eqz (local.get $end))";
    let (_, streaming) = start(Profile::envoy(), &[]);
    let (_, holding) = start(Profile::envoy(), &[("proxy_on_response_body", hold)]);
    for (vm, chunks_before_end) in [(streaming, 2), (holding, 0)] {
        let exchange = vm.request(GET).send().unwrap();
        exchange.respond_headers([(":status", "200")], false).unwrap();
        exchange.respond_body("a", false).unwrap();
        exchange.respond_body("b", false).unwrap();
        assert_eq!(exchange.client().chunks.len(), chunks_before_end);
        exchange.respond_body("", true).unwrap();
        assert_eq!(exchange.client().text(), "ab");
        assert!(exchange.client().complete && exchange.ended());
    }
}

#[test]
fn response_headers_can_wait_for_the_body_with_stop_iteration() {
    let (_, vm) = start(
        Profile::envoy_stop_iteration(),
        &[
            ("proxy_on_response_headers", "(i32.const 1)"),
            (
                "proxy_on_response_body",
                r#"(if (local.get $end)
                     (then (drop (call $set (i32.const 2) "x-late" "1"))))
                   (i32.eqz (local.get $end))"#,
            ),
        ],
    );
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[], ["abc", "def"]).unwrap();
    assert_eq!(exchange.client().header("x-late"), Some("1"));
    assert_eq!(exchange.client().text(), "abcdef");
}

#[test]
fn close_in_the_callback_of_a_piece_loses_it_and_at_the_next_piece_delivers_it() {
    let close_at_once = r#"
    (drop (call $write (i32.const 1) (i32.const 0) (local.get $n) "event: error"))
    (drop (call $close (i32.const 1)))
    (i32.const 0)"#;
    let close_at_next = r#"
    (if (i32.eqz (global.get $state))
      (then (drop (call $write (i32.const 1) (i32.const 0) (local.get $n) "event: error"))
            (global.set $state (i32.const 1)))
      (else (drop (call $close (i32.const 1)))))
    (i32.const 0)"#;
    for (body, text) in [(close_at_once, ""), (close_at_next, "event: error")] {
        let (host, vm) = start(Profile::envoy(), &[("proxy_on_response_body", body)]);
        let exchange = vm.request(GET).send().unwrap();
        exchange.respond_headers([(":status", "200")], false).unwrap();
        exchange.respond_body("data: 1", false).unwrap();
        exchange.respond_body("data: 2", false).unwrap();
        let client = exchange.client();
        assert_eq!(client.text(), text);
        assert!(client.reset && !client.complete && exchange.forwarded().reset);
        assert!(exchange.ended());
        assert_eq!(host.violations(), []);
    }
}

#[test]
fn the_last_callbacks_come_in_envoys_order_also_when_the_client_leaves() {
    let all: &[(&str, &str)] = &[
        ("proxy_on_context_create", ""),
        ("proxy_on_log", ""),
        ("proxy_on_done", "(i32.const 1)"),
        ("proxy_on_delete", ""),
    ];
    let order = [Phase::ContextCreate, Phase::Log, Phase::Done, Phase::Delete];
    let (host, vm) = start(Profile::envoy(), all);

    host.trace(|trace| trace.clear());
    vm.request(GET).send().unwrap().respond(200, &[], ["x"]).unwrap();
    assert_eq!(host.trace(|trace| trace.phases()), order);

    host.trace(|trace| trace.clear());
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond_headers([(":status", "200")], false).unwrap();
    exchange.client_disconnect().unwrap();
    assert_eq!(host.trace(|trace| trace.phases()), order);
    assert!(exchange.forwarded().reset);
    exchange.client_disconnect().unwrap();
    assert_eq!(host.trace(|trace| trace.phases()), order, "only once");
    assert_eq!(vm.live_streams(), 0);
}

#[test]
fn a_request_that_never_reached_the_filter_is_still_logged() {
    let (host, vm) = start(
        Profile::envoy(),
        &[("proxy_on_context_create", ""), ("proxy_on_log", ""), ("proxy_on_delete", "")],
    );
    host.trace(|trace| trace.clear());
    vm.open().client_disconnect().unwrap();
    assert_eq!(
        host.trace(|trace| trace.phases()),
        [Phase::ContextCreate, Phase::Log, Phase::Delete]
    );
}

#[test]
fn a_filter_can_add_trailers_in_the_callback_that_ends_the_body() {
    let add = r#"
    (if (local.get $end) (then (drop (call $add (i32.const 3) "x-cost" "1"))))
    (i32.const 0)"#;
    let (_, vm) = start(Profile::envoy(), &[("proxy_on_response_body", add)]);
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[], ["a", "b"]).unwrap();
    let client = exchange.client();
    assert_eq!(client.trailers.as_ref().unwrap().text("x-cost"), Some("1"));
    assert!(client.complete);
    assert_eq!(client.text(), "ab");
}

#[test]
fn an_upstream_that_breaks_off_is_503_before_headers_and_a_cut_after() {
    let (host, vm) = start(
        Profile::envoy(),
        &[(
            "proxy_on_response_headers",
            r#"(drop (call $get (i32.const 2) ":status" (i32.const 0) (i32.const 4)))
               (call $log_read) (i32.const 0)"#,
        )],
    );
    let early = vm.request(GET).send().unwrap();
    early.upstream_reset().unwrap();
    assert_eq!(early.status(), Some(503));
    let refused = vm.request(GET).send().unwrap();
    refused.upstream_refused().unwrap();
    assert_eq!(refused.status(), Some(503));
    assert_eq!(logged(&host), ["503", "503"]);

    let late = vm.request(GET).send().unwrap();
    late.respond_headers([(":status", "200")], false).unwrap();
    late.respond_body("half", false).unwrap();
    late.upstream_reset().unwrap();
    let client = late.client();
    assert_eq!((client.status(), client.reset, client.complete), (Some(200), true, false));
    assert!(late.ended());
}

#[test]
fn a_body_resumed_half_way_goes_on_piece_by_piece() {
    let pause_first = r#"
    (drop (call $read (i32.const 0) (i32.const 0) (local.get $n) (i32.const 0) (i32.const 4)))
    (call $log_read)
    (global.set $state (local.get $id))
    (i32.eqz (global.get $heard))"#;
    let resume = r#"
    (global.set $heard (i32.const 1))
    (drop (call $effective (global.get $state)))
    (drop (call $continue (i32.const 0)))"#;
    let (host, vm) = start(
        Profile::envoy_stop_iteration(),
        &[
            ("proxy_on_request_headers", ASK_AND_PAUSE),
            ("proxy_on_request_body", pause_first),
            ("proxy_on_http_call_response", resume),
        ],
    );
    let exchange = vm.open();
    exchange.send_headers(POST, false).unwrap();
    exchange.send_body("one", false).unwrap();
    host.answer_all(&CallReply::new(200, "")).unwrap();
    exchange.send_body("two", false).unwrap();
    exchange.send_body("", true).unwrap();
    assert_eq!(logged(&host)[..2], ["one", "two"]);
    let forwarded = exchange.forwarded();
    assert_eq!(forwarded.chunks, [b"one", b"two"]);
    assert!(forwarded.complete);
}
