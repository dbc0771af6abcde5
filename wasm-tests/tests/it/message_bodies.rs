//! Reading and writing bodies.

use wasm_tests::{Profile, Status, ViolationKind};

use crate::probe::{GET, POST, answers, logged, start};

#[test]
fn a_body_can_be_replaced_prepended_and_appended_and_nothing_else() {
    let write = r#"
    (drop (call $write (i32.const 0) (i32.const 0) (i32.const 100) "mid"))
    (drop (call $write (i32.const 0) (i32.const 0) (i32.const 0) "<"))
    (drop (call $write (i32.const 0) (i32.const 9) (i32.const 0) ">"))
    (drop (call $write (i32.const 0) (i32.const 1) (i32.const 2) "?"))
    (drop (call $write (i32.const 0) (i32.const 0) (i32.const 2) "?"))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_body", write)]);
    let exchange = vm.request(POST).body(["original"]).send().unwrap();
    assert_eq!(exchange.forwarded().text(), "<mid>");
    assert_eq!(answers(&host, "proxy_set_buffer_bytes"), [0, 0, 0, 2, 2]);
}

#[test]
fn pausing_in_the_body_accumulates_what_the_filter_sees() {
    let read_all = r#"
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 4)))
    (call $log_read)
    (i32.eqz (local.get $end))"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_body", read_all)]);
    let exchange = vm.open();
    exchange.send_headers(POST, false).unwrap();
    exchange.send_body("abc", false).unwrap();
    exchange.send_body("def", false).unwrap();
    assert_eq!(exchange.forwarded().text(), "", "held back");
    exchange.send_body("", true).unwrap();
    assert_eq!(logged(&host), ["abc", "abcdef", "abcdef"]);
    assert_eq!(exchange.forwarded().chunks, [b"abcdef"]);
    assert!(exchange.forwarded().complete);
}

#[test]
fn what_is_held_can_be_rewritten_as_a_whole_and_the_length_must_agree() {
    let rewrite = r#"
    (if (local.get $end)
      (then (drop (call $write (i32.const 0) (i32.const 0) (local.get $n) "new"))))
    (i32.eqz (local.get $end))"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_body", rewrite)]);
    let request = vm.request(POST).header("content-length", "6");
    let exchange = request.body(["abc", "def"]).send().unwrap();
    assert_eq!(exchange.forwarded().chunks, [b"new"]);
    assert_eq!(host.violations()[0].kind, ViolationKind::ContentLengthMismatch);
}

#[test]
fn a_response_that_outgrows_its_declared_length_reaches_the_client_cut_short() {
    let grow = r#"
    (drop (call $write (i32.const 1) (i32.const 0) (local.get $n) "{\"longer\":true}"))
    (i32.const 0)"#
        .replace("\\\"", "'");
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_response_body", &grow)]);
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[("content-length", "2")], ["{}"]).unwrap();
    assert_eq!(exchange.client().text(), "{'");
    assert_eq!(host.violations()[0].kind, ViolationKind::ContentLengthMismatch);
}

#[test]
fn an_empty_body_hands_over_nothing_and_a_read_behind_the_end_is_refused() {
    let read = r#"
    (i32.store (i32.const 0) (i32.const 77))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 0) (i32.const 4)))
    (drop (call $read (i32.const 0) (i32.const 4) (i32.const 1) (i32.const 0) (i32.const 4)))
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 77)) (then unreachable))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_body", read)]);
    vm.request(POST).body([""]).send().unwrap();
    assert_eq!(answers(&host, "proxy_get_buffer_bytes"), [0, Status::BadArgument.code()]);
}

#[test]
fn bodies_of_the_other_direction_cannot_be_written() {
    let write = r#"
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 9) "x"))
    (drop (call $write (i32.const 7) (i32.const 0) (i32.const 9) "x"))
    (drop (call $write (i32.const 4) (i32.const 0) (i32.const 9) "x"))
    (drop (call $write (i32.const 12) (i32.const 0) (i32.const 9) "x"))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_body", write)]);
    vm.request(POST).body(["b"]).send().unwrap();
    assert_eq!(answers(&host, "proxy_set_buffer_bytes"), [2, 1, 1, 2]);
}

#[test]
fn a_held_request_above_the_buffer_limit_is_answered_413_by_the_proxy() {
    let (host, vm) = start(
        Profile::envoy().with_buffer_limit_bytes(10),
        &[
            ("proxy_on_request_body", "(i32.const 1)"),
            (
                "proxy_on_response_headers",
                r#"(drop (call $get (i32.const 2) ":status" (i32.const 0) (i32.const 4)))
                   (call $log_read) (i32.const 0)"#,
            ),
        ],
    );
    let exchange = vm.open();
    exchange.send_headers(POST, false).unwrap();
    exchange.send_body("12345678", false).unwrap();
    exchange.send_body("12345678", false).unwrap();
    assert_eq!(exchange.status(), Some(413));
    assert_eq!(logged(&host), ["413"], "the filter sees the proxy's own answer");
    assert!(exchange.ended());
    let body_callbacks =
        host.trace(|t| t.phases().iter().filter(|p| p.name() == "request_body").count());
    assert_eq!(body_callbacks, 2, "the piece that was too much is still shown");
}

#[test]
fn a_held_response_above_the_buffer_limit_is_cut_off_once_its_headers_left() {
    let (_, vm) = start(
        Profile::envoy().with_buffer_limit_bytes(10),
        &[("proxy_on_response_body", "(i32.const 1)")],
    );
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[], ["12345678", "12345678"]).unwrap();
    let client = exchange.client();
    assert_eq!((client.status(), client.text().as_str(), client.reset), (Some(200), "", true));
}

#[test]
fn a_pointer_outside_the_memory_is_refused_and_recorded() {
    let wild = r#"
    (drop (call $log (i32.const 2) (i32.const -16) (i32.const 64)))
    (drop (call $now (i32.const -4)))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", wild)]);
    vm.request(GET).send().unwrap();
    assert_eq!(answers(&host, "proxy_log"), [6]);
    assert_eq!(answers(&host, "proxy_get_current_time_nanoseconds"), [6]);
    assert!(host.violations().iter().all(|v| v.kind == ViolationKind::BadMemory));
    assert_eq!(host.violations().len(), 2);
}
