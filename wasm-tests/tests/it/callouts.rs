//! Call-outs: refusals, replies, timeouts, and streams that are gone.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_tests::{Answer, CallOut, CallReply, Event, Host, HostError, Phase, Profile, Vm};
use wasm_tests::{CallId, ViolationKind};

use crate::probe::{GET, answers, logged, probe, start};

const ASK_AND_PAUSE: (&str, &str) = (
    "proxy_on_request_headers",
    "(global.set $state (local.get $id)) (drop (call $call_server)) (i32.const 1)",
);

/// Logs the reply's body and lets the stream go on.
const LOG_AND_RESUME: (&str, &str) = (
    "proxy_on_http_call_response",
    r#"(drop (call $effective (global.get $state)))
       (drop (call $get (i32.const 6) ":status" (i32.const 0) (i32.const 4)))
       (drop (call $read (i32.const 4) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
       (call $log_read)
       (drop (call $continue (i32.const 0)))"#,
);

#[test]
fn an_unknown_cluster_and_missing_pseudo_headers_are_refused_at_once() {
    let (host, vm) = start(
        Profile::envoy(),
        &[(
            "proxy_on_request_headers",
            r#"(i32.store (i32.const 8) (i32.const 99))
               (drop (call $call "nobody" P":method=GET|:path=/|:authority=a" "" ""
                 (i32.const 1) (i32.const 8)))
               (if (i32.load (i32.const 8)) (then unreachable))
               (drop (call $call "server" P":method=GET|:authority=a" "" ""
                 (i32.const 1) (i32.const 8)))
               (drop (call $call "server" "" "" "" (i32.const 1) (i32.const 8)))
               (i32.const 0)"#,
        )],
    );
    vm.request(GET).send().unwrap();
    assert_eq!(answers(&host, "proxy_http_call"), [2, 2, 2]);
    assert!(host.pending_calls().is_empty());
    let kinds: Vec<_> = host.violations().into_iter().map(|v| v.kind).collect();
    use ViolationKind::{IncompleteCall, UnknownCluster};
    assert_eq!(kinds, [UnknownCluster, IncompleteCall, IncompleteCall]);
}

#[test]
fn the_reply_comes_in_the_root_context_and_can_act_on_the_stream() {
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, LOG_AND_RESUME]);
    let exchange = vm.request(GET).send().unwrap();
    let [call] = host.pending_calls().try_into().unwrap();
    assert_eq!((call.cluster.as_str(), call.method(), call.path()), ("server", "GET", "/ask"));
    assert_eq!((call.context, call.root), (exchange.context(), vm.newest_root()));
    assert_eq!((call.token, call.timeout_ms), (4, 5000));

    host.answer_call(call.id, CallReply::new(200, "allowed")).unwrap();
    assert_eq!(logged(&host), ["allowed"]);
    assert!(exchange.forwarded().complete);
    let entered = host.trace(|trace| {
        let is_reply =
            |event: &&Event| matches!(event, Event::Entered { phase: Phase::CallReply, .. });
        trace.events().iter().find(is_reply).cloned()
    });
    let expected = Event::Entered {
        vm: 0,
        context: vm.newest_root(),
        phase: Phase::CallReply,
        arguments: vec![4, 2, 7, 0],
    };
    assert_eq!(entered, Some(expected));
    assert!(matches!(
        host.answer_call(call.id, CallReply::reset()),
        Err(HostError::UnknownCall(_))
    ));
}

#[test]
fn a_call_that_takes_too_long_reads_as_504_exactly_at_its_timeout() {
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, LOG_AND_RESUME]);
    vm.request(GET).send().unwrap();
    host.advance_ms(4999).unwrap();
    assert_eq!(host.pending_calls().len(), 1);
    host.advance_ms(1).unwrap();
    assert_eq!(host.pending_calls().len(), 0);
    assert_eq!(logged(&host), ["upstream request timeout"]);
}

#[test]
fn a_broken_connection_calls_back_without_headers_or_body() {
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, LOG_AND_RESUME]);
    vm.request(GET).send().unwrap();
    let call = host.pending_calls().remove(0);
    host.fail_call(call.id).unwrap();
    assert_eq!(answers(&host, "proxy_get_header_map_value"), [2]);
    assert_eq!(answers(&host, "proxy_get_buffer_bytes"), [1]);
}

#[test]
fn the_reply_of_a_stream_that_is_gone_still_comes_and_finds_no_context() {
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, LOG_AND_RESUME]);
    let exchange = vm.request(GET).send().unwrap();
    exchange.client_disconnect().unwrap();
    assert_eq!(host.pending_calls().len(), 1, "the call goes on");
    host.answer_all(&CallReply::new(200, "late")).unwrap();
    assert_eq!(answers(&host, "proxy_set_effective_context"), [2]);
    assert_eq!(logged(&host), ["late"]);
    assert_eq!(vm.death(), None);
}

#[test]
fn a_server_answers_now_later_or_after_a_while() {
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, LOG_AND_RESUME]);
    let open = Rc::new(RefCell::new(false));
    let gate = Rc::clone(&open);
    let mut asked = 0;
    host.serve(move |_: &CallOut| {
        asked += 1;
        match asked {
            1 => Answer::Now(CallReply::new(200, "now")),
            2 => Answer::After(300, CallReply::new(200, "after")),
            _ if *gate.borrow() => Answer::Now(CallReply::new(200, "at last")),
            _ => Answer::Later,
        }
    });
    let first = vm.request(GET).send().unwrap();
    assert!(first.forwarded().complete, "answered by itself");

    let second = vm.request(GET).send().unwrap();
    host.advance_ms(299).unwrap();
    assert!(!second.forwarded().complete);
    host.advance_ms(1).unwrap();
    assert!(second.forwarded().complete);

    let third = vm.request(GET).send().unwrap();
    host.advance_ms(1000).unwrap();
    assert!(!third.forwarded().complete);
    *open.borrow_mut() = true;
    host.settle().unwrap();
    assert!(third.forwarded().complete);
    assert_eq!(logged(&host), ["now", "after", "at last"]);
}

#[test]
fn held_replies_wait_for_the_script() {
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, LOG_AND_RESUME]);
    host.serve(|_: &CallOut| Answer::Now(CallReply::new(200, "")));
    host.set_auto_settle(false);
    let exchange = vm.request(GET).send().unwrap();
    assert!(!exchange.forwarded().complete);
    host.settle().unwrap();
    assert!(exchange.forwarded().complete);
}

#[test]
fn calls_of_a_dead_vm_are_forgotten_and_the_server_is_told() {
    struct Watching(Rc<RefCell<Vec<CallId>>>);
    impl wasm_tests::Server for Watching {
        fn answer(&mut self, _: &CallOut, _: u64) -> Answer {
            Answer::Later
        }
        fn abandoned(&mut self, call: CallId) {
            self.0.borrow_mut().push(call);
        }
    }
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE]);
    let gone = Rc::new(RefCell::new(Vec::new()));
    host.serve(Watching(Rc::clone(&gone)));
    let _exchange = vm.request(GET).send().unwrap();
    let id = host.pending_calls().remove(0).id;
    vm.kill();
    assert!(host.pending_calls().is_empty());
    assert_eq!(*gone.borrow(), [id]);
    assert!(matches!(vm.request(GET).send(), Err(HostError::DeadVm(_))));
}

#[test]
fn a_call_answered_by_a_call_for_ever_is_seen_as_a_storm() {
    let again = ("proxy_on_http_call_response", "(drop (call $call_server))");
    let (host, vm) = start(Profile::envoy(), &[ASK_AND_PAUSE, again]);
    host.trace(|trace| trace.set_level(wasm_tests::TraceLevel::Off));
    host.serve(|_: &CallOut| Answer::Now(CallReply::refused()));
    assert!(matches!(vm.request(GET).send(), Err(HostError::Unsettled(_))));
}

#[test]
fn each_worker_gets_its_own_replies() {
    let host = Host::new(Profile::envoy());
    host.add_cluster("server");
    let module = probe(&[ASK_AND_PAUSE, LOG_AND_RESUME]);
    let workers: Vec<Vm> = (0..4).map(|_| Vm::start(&host, &module, "").unwrap()).collect();
    let exchanges: Vec<_> = workers.iter().map(|vm| vm.request(GET).send().unwrap()).collect();
    let calls = host.pending_calls();
    assert_eq!(
        calls.iter().map(|call| (call.vm, call.token)).collect::<Vec<_>>(),
        [(0, 4), (1, 4), (2, 4), (3, 4)]
    );
    host.answer_call(calls[2].id, CallReply::new(200, "two")).unwrap();
    let done: Vec<bool> = exchanges.iter().map(|x| x.forwarded().complete).collect();
    assert_eq!(done, [false, false, true, false]);
}
