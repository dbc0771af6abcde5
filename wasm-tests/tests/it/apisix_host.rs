//! APISIX's engine, asked by probes: what it calls, what it refuses, what ends its worker.

use wasm_tests::{CallReply, HostError, Phase, Profile, Status, ViolationKind, Vm};

use crate::probe::{GET, POST, answers, logged, probe, start, start_module};

/// Asks for the body, as a filter must under APISIX.
const WANT_BODY: &str = r#"(drop (call $set_property "wasm_process_req_body" "1"))"#;

const ASK: &str = "(drop (call $call_server)) (i32.const 0)";

fn phases(host: &wasm_tests::Host) -> Vec<Phase> {
    host.trace(|trace| {
        let phases = trace.phases();
        trace.clear();
        phases
    })
}

#[test]
fn nothing_is_configured_before_the_first_request_and_the_vm_never_starts() {
    let (host, vm) = start(
        Profile::apisix(),
        &[
            ("proxy_on_vm_start", "unreachable"),
            (
                "proxy_on_configure",
                r#"(drop (call $log (i32.const 2) "configured")) (i32.const 1)"#,
            ),
            ("proxy_on_log", "unreachable"),
        ],
    );
    assert_eq!(logged(&host), [""; 0]);
    for _ in 0..2 {
        vm.request(GET).send().unwrap().respond(200, &[], ["x"]).unwrap();
    }
    assert_eq!(logged(&host), ["configured"]);
}

#[test]
fn a_refused_configuration_answers_503_and_is_tried_again() {
    let refuse = [("proxy_on_configure", "(i32.const 0)")];
    let (host, vm) = start(Profile::apisix(), &refuse);
    for _ in 0..2 {
        let exchange = vm.request(GET).send().unwrap();
        assert_eq!((exchange.status(), exchange.forwarded().headers), (Some(503), None));
    }
    assert_eq!(phases(&host).iter().filter(|phase| **phase == Phase::Configure).count(), 2);
}

#[test]
fn the_head_always_ends_the_request_and_the_body_comes_only_when_asked_for() {
    let tell = r#"(if (local.get $end) (then (drop (call $log (i32.const 2) "end"))))
                  (if (local.get $n) (then (drop (call $log (i32.const 2) "n"))))"#;
    let head = format!("{tell} (i32.const 0)");
    let body = format!("{tell} (i32.const 0)");
    for (wants, expected) in [("", vec!["end"]), (WANT_BODY, vec!["end", "end", "n"])] {
        let head = format!("{wants} {head}");
        let callbacks =
            [("proxy_on_request_headers", head.as_str()), ("proxy_on_request_body", &body)];
        let (host, vm) = start(Profile::apisix(), &callbacks);
        let exchange = vm.request(POST).body(["abc", "def"]).send().unwrap();
        assert_eq!(exchange.forwarded().text(), "abcdef");
        assert_eq!(logged(&host), expected);
    }
    // Also of a request that has none.
    let head = format!("{WANT_BODY} (i32.const 0)");
    let callbacks = [("proxy_on_request_headers", head.as_str()), ("proxy_on_request_body", &body)];
    let (host, vm) = start(Profile::apisix(), &callbacks);
    vm.request(GET).send().unwrap();
    assert_eq!(logged(&host), ["end"]);
}

#[test]
fn a_request_without_a_body_shows_the_last_ones() {
    let head = format!("{WANT_BODY} (i32.const 0)");
    let body = r#"
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4)))
        (call $log_read) (i32.const 0)"#;
    let callbacks = [("proxy_on_request_headers", head.as_str()), ("proxy_on_request_body", body)];
    let (host, vm) = start(Profile::apisix(), &callbacks);
    vm.request(POST).body(["secret"]).send().unwrap();
    assert_eq!(host.violations(), []);
    vm.request(GET).send().unwrap();
    assert_eq!(logged(&host), ["secret", "secret"]);
    assert_eq!(host.violations()[0].kind, ViolationKind::StaleBody);
}

#[test]
fn a_pause_with_nothing_under_way_ends_the_worker() {
    for name in ["proxy_on_request_headers", "proxy_on_request_body"] {
        let head = format!("{WANT_BODY} (i32.const 0)");
        let mut callbacks = vec![(name, "(i32.const 1)")];
        if name == "proxy_on_request_body" {
            callbacks.push(("proxy_on_request_headers", &head));
        }
        let (host, vm) = start(Profile::apisix(), &callbacks);
        let sent = vm.request(POST).body(["x"]).send();
        assert!(matches!(sent, Err(HostError::DeadVm(_))), "{name}");
        assert_eq!(host.violations()[0].kind, ViolationKind::WorkerCrashed);
        assert!(vm.death().is_some());
    }
}

#[test]
fn a_call_out_pauses_whatever_is_returned_and_its_answer_lets_the_request_go() {
    let (host, vm) = start(
        Profile::apisix(),
        &[
            ("proxy_on_request_headers", ASK),
            (
                "proxy_on_http_call_response",
                r#"(drop (call $set (i32.const 0) "x-late" "1"))
                   (drop (call $read (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0)
                          (i32.const 4)))"#,
            ),
        ],
    );
    let exchange = vm.request(POST).body(["body"]).send().unwrap();
    assert!(exchange.forwarded().headers.is_none());
    host.answer_all(&CallReply::new(200, "")).unwrap();
    assert_eq!(exchange.forwarded().header("x-late"), Some("1"));
    assert_eq!(exchange.forwarded().text(), "body");
    assert_eq!(answers(&host, "proxy_get_buffer_bytes"), [Status::NotFound.code()]);
    assert_eq!(host.violations(), []);
}

#[test]
fn one_call_at_a_time_each_after_the_other_and_none_outside_a_request() {
    let chained = "(if (i32.eqz (global.get $state))
                     (then (global.set $state (i32.const 1)) (drop (call $call_server))))";
    let two = "(drop (call $call_server)) (drop (call $call_server)) (i32.const 0)";
    let (host, vm) = start(
        Profile::apisix(),
        &[
            ("proxy_on_configure", "(drop (call $call_server)) (i32.const 1)"),
            ("proxy_on_request_headers", two),
            ("proxy_on_http_call_response", chained),
            ("proxy_on_response_headers", ASK),
        ],
    );
    let exchange = vm.request(GET).send().unwrap();
    host.answer_all(&CallReply::new(200, "")).unwrap();
    assert!(exchange.forwarded().headers.is_none(), "the second call is under way");
    host.answer_all(&CallReply::new(200, "")).unwrap();
    assert!(exchange.forwarded().complete);
    exchange.respond(200, &[], ["x"]).unwrap();
    let [bad, busy] = [Status::BadArgument.code(), Status::InternalFailure.code()];
    assert_eq!(answers(&host, "proxy_http_call"), [bad, 0, busy, 0, bad]);
}

#[test]
fn a_call_that_fails_answers_with_nothing_and_a_post_without_a_body_always_fails() {
    let tell = r#"(if (i32.eqz (local.get $n)) (then (drop (call $log (i32.const 2) "none"))))"#;
    let post = r#"(drop (call $call "server" P":method=POST|:path=/|:authority=server" "" ""
                   (i32.const 100) (i32.const 8))) (i32.const 0)"#;
    for head in [post, ASK] {
        let callbacks = [("proxy_on_request_headers", head), ("proxy_on_http_call_response", tell)];
        let (host, vm) = start(Profile::apisix(), &callbacks);
        let exchange = vm.request(GET).send().unwrap();
        host.advance_ms(6_000).unwrap();
        assert_eq!(logged(&host), ["none"]);
        assert!(exchange.forwarded().complete, "it goes on all the same");
    }
}

#[test]
fn a_call_without_headers_ends_the_worker() {
    let call =
        r#"(drop (call $call "server" "" "" "" (i32.const 100) (i32.const 8))) (i32.const 0)"#;
    let (host, vm) = start(Profile::apisix(), &[("proxy_on_request_headers", call)]);
    assert!(vm.request(GET).send().is_err());
    assert_eq!(host.violations()[0].kind, ViolationKind::WorkerCrashed);
}

#[test]
fn an_answer_beside_a_call_out_is_forgotten_and_the_request_goes_on() {
    let both = r#"(drop (call $call_server))
        (drop (call $reply (i32.const 401) "" "no" "" (i32.const -1))) (i32.const 1)"#;
    let (host, vm) = start(Profile::apisix(), &[("proxy_on_request_headers", both)]);
    let exchange = vm.request(GET).send().unwrap();
    host.answer_all(&CallReply::new(200, "")).unwrap();
    assert!(exchange.forwarded().complete);
    assert_eq!(host.violations()[0].kind, ViolationKind::ReplyLost);
}

#[test]
fn what_the_engine_lacks_answers_twelve_or_does_nothing() {
    let use_all = r#"
        (drop (call $now (i32.const 0)))
        (drop (call $tick (i32.const 50)))
        (drop (call $shared "k" (i32.const 0) (i32.const 4) (i32.const 8)))
        (drop (call $set_shared "k" "v" (i32.const 0)))
        (drop (call $set_pairs (i32.const 0) P"a=b"))
        (drop (call $write (i32.const 0) (i32.const 0) (i32.const 100) "x"))
        (drop (call $foreign "clear_route_cache" (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4)))
        (drop (call $done))
        (i32.store (i32.const 8) (i32.const 77))
        (drop (call $define (i32.const 0) "m" (i32.const 8)))
        (if (i32.ne (i32.load (i32.const 8)) (i32.const 77)) (then unreachable))
        (drop (call $increment (i32.const 77) (i64.const 1)))
        (drop (call $continue (i32.const 0)))
        (drop (call $close (i32.const 1)))
        (drop (call $effective (i32.const 4711)))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0)))
        (drop (call $set_property "unknown" "1"))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 4)))
        (i32.const 0)"#;
    let head = format!("{WANT_BODY} (i32.const 0)");
    let callbacks =
        [("proxy_on_request_headers", head.as_str()), ("proxy_on_request_body", use_all)];
    let (host, vm) = start(Profile::apisix(), &callbacks);
    let exchange = vm.request(POST).body(["abc"]).send().unwrap();
    assert_eq!(exchange.forwarded().text(), "abc");
    let unimplemented = Status::Unimplemented.code();
    for name in [
        "proxy_get_current_time_nanoseconds",
        "proxy_set_tick_period_milliseconds",
        "proxy_get_shared_data",
        "proxy_set_shared_data",
        "proxy_set_header_map_pairs",
        "proxy_set_buffer_bytes",
        "proxy_call_foreign_function",
        "proxy_done",
    ] {
        assert_eq!(answers(&host, name), [unimplemented], "{name}");
    }
    for name in [
        "proxy_define_metric",
        "proxy_increment_metric",
        "proxy_continue_stream",
        "proxy_close_stream",
        "proxy_set_effective_context",
        "clock_time_get",
    ] {
        assert_eq!(answers(&host, name), [0], "{name}");
    }
    assert_eq!(answers(&host, "proxy_set_property")[1], Status::InternalFailure.code());
    assert_eq!(answers(&host, "proxy_get_buffer_bytes"), [Status::BadArgument.code()]);
    host.advance_ms(1_000).unwrap();
    assert!(!phases(&host).contains(&Phase::Tick));
}

#[test]
fn the_request_line_is_not_to_be_touched() {
    let edit = r#"
        (drop (call $set (i32.const 0) ":authority" "localhost"))
        (drop (call $set (i32.const 0) ":authority" "a.b:1"))
        (drop (call $set (i32.const 0) ":path" "/new?x=1"))
        (drop (call $remove (i32.const 0) ":path"))
        (i32.const 0)"#;
    let (host, vm) = start(Profile::apisix(), &[("proxy_on_request_headers", edit)]);
    let forwarded = vm.request(GET).send().unwrap().forwarded();
    assert_eq!(forwarded.header(":method"), Some("localhost"));
    assert_eq!(forwarded.header(":path"), Some("/new%3Fx=1?b=c"));
    let bad = Status::BadArgument.code();
    assert_eq!(answers(&host, "proxy_replace_header_map_value"), [0, bad, 0]);
    assert_eq!(answers(&host, "proxy_remove_header_map_value"), [bad]);
}

#[test]
fn the_last_callbacks_have_no_request_and_ids_are_used_again() {
    let read = r#"(drop (call $pairs (i32.const 0) (i32.const 0) (i32.const 4))) (i32.const 1)"#;
    let (host, vm) = start(
        Profile::apisix(),
        &[("proxy_on_done", read), ("proxy_on_delete", ""), ("proxy_on_context_create", "")],
    );
    let first = vm.request(GET).send().unwrap();
    let id = first.context();
    first.respond(200, &[], ["x"]).unwrap();
    let second = vm.request(GET).send().unwrap();
    assert_eq!(second.context(), id);
    assert_eq!(first.client().text(), "x", "the first one's record is kept");
    assert_eq!(answers(&host, "proxy_get_header_map_pairs"), [Status::BadArgument.code()]);
}

#[test]
fn responses_are_shown_when_asked_for_and_cannot_be_answered_otherwise() {
    let reply = r#"(drop (call $reply (i32.const 418) "" "no" P"x-leak=1" (i32.const -1)))
                   (i32.const 1)"#;
    let body = r#"(if (local.get $end) (then (drop (call $log (i32.const 2) "end"))))
        (drop (call $read (i32.const 1) (i32.const 0) (i32.const 99) (i32.const 0) (i32.const 4)))
        (if (local.get $n) (then (call $log_read))) (i32.const 0)"#;
    for (wants, seen) in [("", vec![]), ("1", vec!["a", "b", "end"])] {
        let head =
            format!(r#"(drop (call $set_property "wasm_process_resp_body" "{wants}")) {reply}"#);
        let callbacks =
            [("proxy_on_response_headers", head.as_str()), ("proxy_on_response_body", body)];
        let (host, vm) = start(Profile::apisix(), &callbacks);
        let exchange = vm.request(GET).send().unwrap();
        exchange.respond(200, &[], ["a", "b"]).unwrap();
        let client = exchange.client();
        assert_eq!((client.status(), client.text()), (Some(200), "ab".to_owned()));
        assert_eq!(client.header("x-leak"), Some("1"));
        assert_eq!(logged(&host), seen);
        assert_eq!(host.violations()[0].kind, ViolationKind::ReplyLost);
    }
}

#[test]
fn a_trap_before_the_upstream_is_503_from_then_on_and_one_behind_it_is_ignored() {
    let (_, vm) = start(Profile::apisix(), &[("proxy_on_request_headers", "unreachable")]);
    for _ in 0..2 {
        let exchange = vm.open();
        assert!(exchange.send_headers(GET, true).is_err());
        assert_eq!((exchange.status(), exchange.forwarded().headers), (Some(503), None));
    }
    let (_, vm) = start(Profile::apisix(), &[("proxy_on_response_headers", "unreachable")]);
    let exchange = vm.request(GET).send().unwrap();
    assert!(exchange.respond_headers([(":status", "200")], false).is_err());
    exchange.respond_body("x", true).unwrap();
    assert_eq!((exchange.status(), exchange.client().text()), (Some(200), "x".to_owned()));
}

#[test]
fn trailers_and_the_log_never_come() {
    let (host, vm) = start(
        Profile::apisix(),
        &[("proxy_on_request_trailers", "unreachable"), ("proxy_on_log", "unreachable")],
    );
    let ending = wasm_tests::MessageEnd::Trailers(wasm_tests::HeaderMap::from_pairs([("a", "b")]));
    let exchange = vm.request(POST).body(["x"]).ending(ending).send().unwrap();
    exchange.respond(200, &[], ["y"]).unwrap();
    assert_eq!(exchange.forwarded().trailers, None);
    assert_eq!(host.violations(), []);
}

#[test]
fn a_module_with_an_import_that_the_engine_lacks_does_not_load() {
    let module = probe(&[]);
    assert!(Vm::start(&wasm_tests::Host::new(Profile::apisix()), &module, "{}").is_ok());
    let text = r#"(module (import "env" "proxy_get_metric" (func (param i32 i32) (result i32)))
        (memory (export "memory") 1))"#;
    let lacking = wasm_tests::WasmModule::from_bytes(text.as_bytes()).unwrap();
    assert!(start_module(Profile::apisix(), &lacking).is_err());
    assert!(start_module(Profile::ngx_wasm(), &probe(&[])).is_ok());
}
