//! `ngx_wasm_module`, asked by probes: what it calls, what ends the VM, what ends its worker.

use wasm_tests::{CallReply, Host, HostError, Phase, Profile, Status, ViolationKind};

use crate::probe::{GET, POST, answers, logged, start};

const ASK_AND_PAUSE: &str = "(drop (call $call_server)) (i32.const 1)";

fn kinds(host: &Host) -> Vec<ViolationKind> {
    host.violations().into_iter().map(|violation| violation.kind).collect()
}

#[test]
fn the_head_never_ends_the_request_and_a_body_comes_whole_or_not_at_all() {
    let tell = r#"(if (local.get $end) (then (drop (call $log (i32.const 2) "end")))
                      (else (drop (call $log (i32.const 2) "no end")))) (i32.const 0)"#;
    let callbacks = [("proxy_on_request_headers", tell), ("proxy_on_request_body", tell)];
    let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
    assert!(vm.request(GET).send().unwrap().forwarded().complete);
    assert_eq!(logged(&host), ["no end"]);
    host.clear_logs();
    assert_eq!(vm.request(POST).body(["ab", "cd"]).send().unwrap().forwarded().text(), "abcd");
    assert_eq!(logged(&host), ["no end", "end"]);
}

#[test]
fn the_offset_of_a_read_is_ignored_and_a_body_in_a_file_cannot_be_read() {
    let read = r#"
        (if (i32.eqz (call $read (i32.const 0) (i32.const 2) (i32.const 99) (i32.const 0) (i32.const 4)))
          (then (call $log_read)))
        (drop (call $write (i32.const 0) (i32.const 0) (i32.const 99) "new"))
        (i32.const 0)"#;
    let (host, vm) = start(Profile::ngx_wasm(), &[("proxy_on_request_body", read)]);
    assert_eq!(vm.request(POST).body(["abcd"]).send().unwrap().forwarded().text(), "new");
    assert_eq!(logged(&host), ["abcd"]);

    let profile = Profile { body_in_memory_bytes: 3, ..Profile::ngx_wasm() };
    let (host, vm) = start(profile, &[("proxy_on_request_body", read)]);
    assert_eq!(vm.request(POST).body(["abcd"]).send().unwrap().forwarded().text(), "abcdnew");
    assert_eq!(answers(&host, "proxy_get_buffer_bytes"), [Status::NotFound.code()]);
}

#[test]
fn a_request_waits_for_its_call_and_goes_on_with_or_without_being_told() {
    for told in ["", "(drop (call $continue (i32.const 0)))"] {
        let callbacks =
            [("proxy_on_request_headers", ASK_AND_PAUSE), ("proxy_on_http_call_response", told)];
        let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
        let exchange = vm.request(POST).body(["x"]).send().unwrap();
        assert!(exchange.forwarded().headers.is_none());
        host.answer_all(&CallReply::new(200, "")).unwrap();
        assert!(exchange.forwarded().complete);
        assert_eq!(host.violations(), []);
    }
}

#[test]
fn going_on_with_a_call_under_way_ends_the_worker() {
    let go_on = "(drop (call $call_server)) (i32.const 0)";
    let (host, vm) = start(Profile::ngx_wasm(), &[("proxy_on_request_headers", go_on)]);
    assert!(matches!(vm.request(GET).send(), Err(HostError::DeadVm(_))));
    assert_eq!(kinds(&host), [ViolationKind::WorkerCrashed]);
}

#[test]
fn a_trap_in_the_answer_of_a_call_lets_the_request_through() {
    let callbacks = [
        ("proxy_on_request_headers", ASK_AND_PAUSE),
        ("proxy_on_http_call_response", "unreachable"),
    ];
    let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
    let exchange = vm.request(POST).body(["x"]).send().unwrap();
    assert!(host.answer_all(&CallReply::new(200, "")).is_err());
    assert!(exchange.forwarded().complete, "as it came");
    exchange.respond(200, &[], ["y"]).unwrap();
    assert_eq!(exchange.client().text(), "y");
    // The next request meets a new VM.
    vm.request(GET).send().unwrap();
    assert_eq!(vm.death(), None);
}

#[test]
fn a_trap_elsewhere_is_500_and_the_next_request_meets_a_vm_that_was_configured_but_not_started() {
    let callbacks = [
        ("proxy_on_vm_start", r#"(drop (call $log (i32.const 2) "start")) (i32.const 1)"#),
        ("proxy_on_configure", r#"(drop (call $log (i32.const 2) "configure")) (i32.const 1)"#),
        ("proxy_on_request_headers", "unreachable"),
        ("proxy_on_log", "unreachable"),
    ];
    let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
    for _ in 0..2 {
        let exchange = vm.open();
        assert!(exchange.send_headers(GET, true).is_err());
        assert_eq!((exchange.status(), exchange.forwarded().headers), (Some(500), None));
    }
    assert_eq!(logged(&host), ["start", "configure", "configure"]);
}

#[test]
fn what_the_engine_lacks_ends_the_vm() {
    let in_request: &[(&str, &str)] = &[
        ("close", "(drop (call $close (i32.const 1)))"),
        ("done", "(drop (call $done))"),
        ("tick", "(drop (call $tick (i32.const 50)))"),
        ("queue", r#"(drop (call $register "q" (i32.const 0)))"#),
        ("write", r#"(drop (call $write (i32.const 0) (i32.const 0) (i32.const 9) "x"))"#),
        ("response", r#"(drop (call $set (i32.const 2) "a" "b"))"#),
        ("metric", "(drop (call $increment (i32.const 77) (i64.const 1)))"),
        (
            "foreign",
            r#"(drop (call $foreign "x" (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 4)))"#,
        ),
    ];
    for (what, call) in in_request {
        let head = format!("{call} (i32.const 0)");
        let callbacks = [("proxy_on_request_headers", head.as_str())];
        let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
        assert!(vm.request(GET).send().is_err(), "{what}");
        assert_eq!(kinds(&host), [ViolationKind::HostCallTraps], "{what}");
    }
    let read =
        "(drop (call $read (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))";
    let callbacks =
        [("proxy_on_request_headers", ASK_AND_PAUSE), ("proxy_on_http_call_response", read)];
    let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
    vm.request(POST).body(["x"]).send().unwrap();
    assert!(host.answer_all(&CallReply::new(200, "")).is_err());
    assert_eq!(kinds(&host), [ViolationKind::HostCallTraps]);
}

#[test]
fn the_root_has_a_timer_once_calls_from_it_only_and_nothing_of_a_request() {
    let configure = "(drop (call $tick (i32.const 50))) (i32.const 1)";
    let tick = r#"(drop (call $call_server)) (drop (call $effective (i32.const 2)))"#;
    let callbacks = [("proxy_on_configure", configure), ("proxy_on_tick", tick)];
    let (host, _vm) = start(Profile::ngx_wasm(), &callbacks);
    host.advance_ms(60).unwrap();
    assert_eq!(answers(&host, "proxy_http_call"), [0]);
    assert_eq!(host.violations(), []);

    let profile = Profile::ngx_wasm;
    let twice = "(drop (call $tick (i32.const 5))) (drop (call $tick (i32.const 5))) (i32.const 1)";
    let call = "(drop (call $call_server)) (i32.const 1)";
    let of_request = r#"(drop (call $property "ngx\0remote_addr" (i32.const 0) (i32.const 4)))
                        (i32.const 1)"#;
    for configure in [twice, call, of_request] {
        let module = crate::probe::probe(&[("proxy_on_configure", configure)]);
        assert!(crate::probe::start_module(profile(), &module).is_err(), "{configure}");
    }
}

#[test]
fn shared_data_is_created_with_zero_and_written_only_with_its_number() {
    let swap = r#"
        (drop (call $set_shared "slot" "a" (i32.const -1)))
        (drop (call $set_shared "slot" "a" (i32.const 0)))
        (drop (call $set_shared "slot" "b" (i32.const 0)))
        (drop (call $shared "slot" (i32.const 0) (i32.const 4) (i32.const 12)))
        (drop (call $set_shared "slot" "c" (i32.load (i32.const 12))))
        (i32.const 0)"#;
    let (host, vm) = start(Profile::ngx_wasm(), &[("proxy_on_request_headers", swap)]);
    vm.request(GET).send().unwrap();
    let mismatch = Status::CasMismatch.code();
    assert_eq!(answers(&host, "proxy_set_shared_data"), [mismatch, 0, mismatch, 0]);

    let bare = Profile::ngx_wasm_without_shared_data();
    let (host, vm) = start(bare, &[("proxy_on_request_headers", swap)]);
    assert!(vm.request(GET).send().is_err());
    assert_eq!(kinds(&host), [ViolationKind::HostCallTraps]);
}

#[test]
fn authority_and_path_are_taken_and_not_used() {
    let edit = r#"(drop (call $set (i32.const 0) ":authority" "x"))
        (drop (call $set (i32.const 0) ":path" "/y"))
        (drop (call $set (i32.const 0) "x-a" "b")) (i32.const 0)"#;
    let (host, vm) = start(Profile::ngx_wasm(), &[("proxy_on_request_headers", edit)]);
    let forwarded = vm.request(GET).send().unwrap().forwarded();
    assert_eq!(
        (forwarded.header(":authority"), forwarded.header(":path")),
        (Some("gateway"), Some("/a?b=c"))
    );
    assert_eq!(forwarded.header("x-a"), Some("b"));
    assert_eq!(answers(&host, "proxy_replace_header_map_value"), [0, 0, 0]);
}

#[test]
fn an_answer_in_a_response_hangs_or_ends_the_vm() {
    let reply = r#"(drop (call $reply (i32.const 418) "" "no" "" (i32.const -1))) (i32.const 0)"#;
    let (host, vm) = start(Profile::ngx_wasm(), &[("proxy_on_response_headers", reply)]);
    let exchange = vm.request(GET).send().unwrap();
    exchange.respond(200, &[], ["x"]).unwrap();
    assert_eq!(kinds(&host), [ViolationKind::ReplyLost]);
    let (host, vm) = start(Profile::ngx_wasm(), &[("proxy_on_response_body", reply)]);
    let exchange = vm.request(GET).send().unwrap();
    assert!(exchange.respond(200, &[], ["x"]).is_err());
    assert_eq!(kinds(&host), [ViolationKind::HostCallTraps]);
}

#[test]
fn done_comes_before_the_log_and_answers_get_a_line_more() {
    let reply = r#"(drop (call $reply (i32.const 401) "" "no" "" (i32.const -1))) (i32.const 1)"#;
    let callbacks = [
        ("proxy_on_request_headers", reply),
        ("proxy_on_done", "(i32.const 1)"),
        ("proxy_on_log", ""),
        ("proxy_on_delete", ""),
    ];
    let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
    let exchange = vm.request(GET).send().unwrap();
    assert_eq!((exchange.status(), exchange.client().text()), (Some(401), "no\n".to_owned()));
    let phases = host.trace(|trace| trace.phases());
    assert_eq!(phases[phases.len() - 3..], [Phase::Done, Phase::Log, Phase::Delete]);
}

#[test]
fn an_unknown_address_shows_only_in_the_answer() {
    let call = r#"(drop (call $call "nowhere" P":method=GET|:path=/|:authority=a" "" ""
                   (i32.const 100) (i32.const 8))) (i32.const 1)"#;
    let tell = r#"(if (i32.eqz (local.get $n)) (then (drop (call $log (i32.const 2) "none"))))"#;
    let callbacks = [("proxy_on_request_headers", call), ("proxy_on_http_call_response", tell)];
    let (host, vm) = start(Profile::ngx_wasm(), &callbacks);
    let exchange = vm.request(GET).send().unwrap();
    assert_eq!(
        (answers(&host, "proxy_http_call"), logged(&host)),
        (vec![0], vec!["none".to_owned()])
    );
    assert!(exchange.forwarded().complete);
}
