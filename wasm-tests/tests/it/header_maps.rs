//! Which header map can be read or changed in which phase.

use wasm_tests::{Profile, Status, ViolationKind};

use crate::probe::{GET, POST, answers, logged, start};

const SET_IN_HEADERS: &str = r#"
    (drop (call $set (i32.const 0) "x-added" "1"))
    (i32.const 0)"#;

#[test]
fn request_headers_can_be_changed_until_they_have_gone_on() {
    let (host, vm) = start(
        Profile::envoy_stop_iteration(),
        &[
            ("proxy_on_request_headers", SET_IN_HEADERS),
            (
                "proxy_on_request_body",
                r#"(drop (call $set (i32.const 0) "x-late" "1")) (i32.const 0)"#,
            ),
        ],
    );
    let exchange = vm.request(POST).body(["body"]).send().unwrap();
    assert_eq!(answers(&host, "proxy_replace_header_map_value"), [0, Status::BadArgument.code()]);
    assert_eq!(exchange.forwarded().header("x-added"), Some("1"));
    assert_eq!(exchange.forwarded().header("x-late"), None);
    assert_eq!(host.violations()[0].kind, ViolationKind::MapNotLive);
}

#[test]
fn paused_headers_stay_editable_in_the_body_callback_and_not_after_continue() {
    let (host, vm) = start(
        Profile::envoy_stop_iteration(),
        &[
            ("proxy_on_request_headers", "(drop (call $call_server)) (i32.const 1)"),
            (
                "proxy_on_request_body",
                r#"(drop (call $set (i32.const 0) "x-late" "1"))
                   (global.set $state (local.get $id)) (i32.const 1)"#,
            ),
            (
                "proxy_on_http_call_response",
                r#"(drop (call $effective (global.get $state)))
                   (drop (call $set (i32.const 0) "x-verdict" "yes"))
                   (drop (call $continue (i32.const 0)))
                   (drop (call $set (i32.const 0) "x-too-late" "1"))"#,
            ),
        ],
    );
    let exchange = vm.request(POST).body(["body"]).send().unwrap();
    assert!(exchange.forwarded().headers.is_none(), "nothing leaves before the verdict");
    host.answer_all(&wasm_tests::CallReply::new(200, "")).unwrap();
    assert_eq!(answers(&host, "proxy_replace_header_map_value"), [0, 0, 2]);
    let forwarded = exchange.forwarded();
    assert_eq!(forwarded.header("x-late"), Some("1"));
    assert_eq!(forwarded.header("x-verdict"), Some("yes"));
    assert_eq!(forwarded.header("x-too-late"), None);
    assert!(forwarded.complete);
}

#[test]
fn a_header_value_is_bytes_and_comes_back_as_it_went_in() {
    let copy = r#"
    (drop (call $get (i32.const 0) "x-odd" (i32.const 0) (i32.const 4)))
    (drop (call $add (i32.const 0) "x-copy" (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", copy)]);
    let exchange = vm.request(GET).header("x-odd", b"\xff\xfe\x80").send().unwrap();
    let forwarded = exchange.forwarded().headers.unwrap();
    assert_eq!(forwarded.get("x-copy"), Some(&b"\xff\xfe\x80"[..]));
    assert_eq!(host.violations(), []);
}

#[test]
fn an_absent_header_is_not_found_and_a_map_that_is_gone_is_a_bad_argument() {
    let read = r#"
    (drop (call $get (i32.const 0) "x-none" (i32.const 0) (i32.const 4)))
    (i32.const 0)"#;
    let read_request = r#"
    (drop (call $get (i32.const 0) ":path" (i32.const 0) (i32.const 4)))
    (drop (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 9) ":path" (i32.const 0) (i32.const 4)))
    (i32.const 0)"#;
    let (host, vm) = start(
        Profile::envoy(),
        &[("proxy_on_request_headers", read), ("proxy_on_response_headers", read_request)],
    );
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[], ["x"]).unwrap();
    assert_eq!(answers(&host, "proxy_get_header_map_value"), [1, 2, 2]);
    assert_eq!(answers(&host, "proxy_get_header_map_pairs"), [0], "reads as empty, without error");
}

#[test]
fn on_log_sees_both_messages_as_they_ended_up() {
    let log = r#"
    (drop (call $get (i32.const 0) "x-added" (i32.const 0) (i32.const 4)))
    (call $log_read)
    (drop (call $get (i32.const 2) ":status" (i32.const 0) (i32.const 4)))
    (call $log_read)
    (drop (call $get (i32.const 2) "x-none" (i32.const 0) (i32.const 4)))"#;
    let (host, vm) = start(
        Profile::envoy(),
        &[("proxy_on_request_headers", SET_IN_HEADERS), ("proxy_on_log", log)],
    );
    vm.request(GET).send().unwrap().respond(204, &[], [""; 0]).unwrap();
    assert_eq!(logged(&host), ["1", "204"]);
    assert_eq!(answers(&host, "proxy_get_header_map_value"), [0, 0, 1]);
}

#[test]
fn all_pairs_can_be_replaced_at_once() {
    let replace = r#"
    (drop (call $set_pairs (i32.const 0) P":method=GET|:path=/new|:authority=b|x-only=1"))
    (i32.const 0)"#;
    let (_, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", replace)]);
    let forwarded = vm.request(GET).send().unwrap().forwarded();
    let headers = forwarded.headers.unwrap();
    assert_eq!(headers.len(), 4);
    assert_eq!(headers.text(":path"), Some("/new"));
    assert_eq!(headers.text(":scheme"), None);
}

#[test]
fn a_request_without_authority_or_with_a_line_break_is_a_violation() {
    let break_it = r#"
    (drop (call $remove (i32.const 0) ":authority"))
    (drop (call $set (i32.const 0) "bad name" "v"))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", break_it)]);
    vm.request(GET).send().unwrap();
    let kinds: Vec<_> = host.violations().into_iter().map(|v| v.kind).collect();
    assert_eq!(kinds, [ViolationKind::IllegalHeader, ViolationKind::MissingPseudoHeader]);
}

#[test]
fn response_headers_can_be_changed_while_they_are_with_the_filter() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            (
                "proxy_on_response_headers",
                r#"(drop (call $remove (i32.const 2) "content-length"))
                   (drop (call $add (i32.const 2) "x-tag" "1"))
                   (drop (call $add (i32.const 2) "x-tag" "2"))
                   (i32.const 0)"#,
            ),
            (
                "proxy_on_response_body",
                r#"(drop (call $set (i32.const 2) "x-late" "1")) (i32.const 0)"#,
            ),
        ],
    );
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[("content-length", "5")], ["12345"]).unwrap();
    let headers = exchange.client().headers.unwrap();
    assert_eq!(headers.get_all("x-tag"), [b"1", b"2"]);
    assert_eq!(headers.get("content-length"), None);
    assert_eq!(answers(&host, "proxy_replace_header_map_value"), [2]);
}
