//! Shared data with compare-and-swap, queues, metrics.

use wasm_tests::{Effect, Host, Profile, Status, Vm};

use crate::probe::{GET, answers, logged, probe, start};

const CREATE_ONLY: &str = r#"
    (drop (call $set_shared "slot" "v1" (i32.const -1)))
    (i32.const 0)"#;

#[test]
fn a_swap_number_that_was_never_given_out_creates_only_where_absent() {
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", CREATE_ONLY)]);
    for _ in 0..2 {
        vm.request(GET).send().unwrap();
    }
    assert_eq!(answers(&host, "proxy_set_shared_data"), [0, Status::CasMismatch.code()]);
    host.shared(|shared| {
        assert_eq!(shared.get("slot").unwrap().0, b"v1");
        assert_eq!((shared.writes(), shared.mismatches()), (1, 1));
    });
}

#[test]
fn another_worker_meets_the_value_that_the_first_created() {
    let host = Host::new(Profile::envoy());
    let module = probe(&[("proxy_on_request_headers", CREATE_ONLY)]);
    let workers: Vec<Vm> = (0..4).map(|_| Vm::start(&host, &module, "").unwrap()).collect();
    for worker in &workers {
        worker.request(GET).send().unwrap();
    }
    assert_eq!(answers(&host, "proxy_set_shared_data"), [0, 8, 8, 8]);
}

#[test]
fn a_swap_succeeds_with_the_number_that_was_read_and_fails_after_a_race() {
    let swap = r#"
    (drop (call $shared "slot" (i32.const 0) (i32.const 4) (i32.const 12)))
    (drop (call $set_shared "slot" "mine" (i32.load (i32.const 12))))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", swap)]);
    vm.request(GET).send().unwrap();
    vm.request(GET).send().unwrap();
    assert_eq!(answers(&host, "proxy_get_shared_data"), [1, 0]);
    assert_eq!(answers(&host, "proxy_set_shared_data"), [0, 0]);

    let race = host.race(
        "proxy_set_shared_data",
        0,
        1,
        Box::new(|shared| shared.set("slot", "theirs", 0).unwrap()),
    );
    vm.request(GET).send().unwrap();
    assert_eq!(race.fired(), 1);
    assert_eq!(answers(&host, "proxy_set_shared_data"), [0, 0, 8]);
    assert_eq!(host.shared(|shared| shared.get("slot").unwrap().0.to_vec()), b"theirs");
}

#[test]
fn zero_as_swap_number_writes_always() {
    let body = r#"
    (drop (call $set_shared "slot" "a" (i32.const 0)))
    (drop (call $set_shared "slot" "b" (i32.const 0)))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", body)]);
    vm.request(GET).send().unwrap();
    assert_eq!(answers(&host, "proxy_set_shared_data"), [0, 0]);
    assert_eq!(host.shared(|shared| shared.get("slot").unwrap().0.to_vec()), b"b");
}

#[test]
fn a_message_in_a_queue_wakes_the_root_that_registered_it() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            (
                "proxy_on_configure",
                r#"(drop (call $register "news" (i32.const 16))) (i32.const 1)"#,
            ),
            (
                "proxy_on_request_headers",
                r#"(drop (call $enqueue (i32.load (i32.const 16)) "hello")) (i32.const 0)"#,
            ),
            (
                "proxy_on_queue_ready",
                r#"(drop (call $dequeue (local.get $token) (i32.const 0) (i32.const 4)))
                   (call $log_read)
                   (drop (call $dequeue (local.get $token) (i32.const 0) (i32.const 4)))"#,
            ),
        ],
    );
    vm.request(GET).send().unwrap();
    assert_eq!(logged(&host), ["hello"]);
    assert_eq!(answers(&host, "proxy_dequeue_shared_queue"), [0, Status::Empty.code()]);
}

#[test]
fn metrics_add_up_over_workers_and_refuse_what_envoy_refuses() {
    let host = Host::new(Profile::envoy());
    let module = probe(&[(
        "proxy_on_configure",
        r#"(drop (call $define (i32.const 0) "calls" (i32.const 0)))
           (drop (call $increment (i32.load (i32.const 0)) (i64.const 3)))
           (drop (call $increment (i32.load (i32.const 0)) (i64.const 0)))
           (drop (call $define (i32.const 1) "open" (i32.const 0)))
           (drop (call $increment (i32.load (i32.const 0)) (i64.const -1)))
           (drop (call $record (i32.load (i32.const 0)) (i64.const 7)))
           (drop (call $define (i32.const 2) "latency" (i32.const 0)))
           (drop (call $record (i32.load (i32.const 0)) (i64.const 40)))
           (drop (call $increment (i32.const 400) (i64.const 1)))
           (i32.const 1)"#,
    )]);
    let _first = Vm::start(&host, &module, "").unwrap();
    assert_eq!(answers(&host, "proxy_increment_metric"), [0, 2, 0, 1]);
    let _second = Vm::start(&host, &module, "").unwrap();
    assert_eq!(host.metric("calls"), Some(6));
    assert_eq!(host.metric("open"), Some(7));
    assert_eq!(host.samples("latency"), [40, 40]);
    assert_eq!(host.metric("never defined"), None);
}

#[test]
fn a_swap_can_be_made_to_fail_again_and_again() {
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", CREATE_ONLY)]);
    let contended = host.fault("proxy_set_shared_data", 1, 2, Effect::Return(Status::CasMismatch));
    host.shared(|shared| assert!(shared.get("slot").is_none()));
    for _ in 0..2 {
        vm.request(GET).send().unwrap();
        host.shared(|shared| *shared = Default::default());
    }
    assert_eq!(answers(&host, "proxy_set_shared_data"), [0, 8]);
    assert_eq!(contended.fired(), 1);
}
