//! Time, environment, random numbers, properties, traps, and what it all costs.

use wasm_tests::{Effect, HostError, Phase, Profile, Support, TraceLevel, WasmModule};

use crate::probe::{GET, answers, logged, start};

#[test]
fn wall_time_and_monotonic_time_are_virtual_and_part_company_only_on_demand() {
    let clocks = r#"
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 16)))
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 24)))
    (drop (call $now (i32.const 32)))
    (drop (call $set_shared "clocks" (i32.const 16) (i32.const 24) (i32.const 0)))
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", clocks)]);
    let read = || {
        vm.request(GET).send().unwrap();
        let bytes = host.shared(|shared| shared.get("clocks").unwrap().0.to_vec());
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        [number(0), number(8), number(16)]
    };
    let [monotonic, wall, current] = read();
    assert_eq!((wall, current), (host.wall_ns(), host.wall_ns()));
    assert_eq!(monotonic, host.now_ns());
    host.advance_ms(1500).unwrap();
    assert_eq!(read(), [monotonic + 1_500_000_000, wall + 1_500_000_000, wall + 1_500_000_000]);
    host.set_wall_ns(wall - 1);
    assert_eq!(read(), [monotonic + 1_500_000_000, wall - 1, wall - 1]);
}

#[test]
fn the_environment_can_be_read_as_wasi_lays_it_out() {
    let read = r#"
    (drop (call $environ_sizes (i32.const 16) (i32.const 20)))
    (drop (call $environ (i32.const 32) (i32.const 64)))
    (i32.store (i32.const 0) (i32.load (i32.const 36)))
    (i32.store (i32.const 4) (i32.const 8))
    (call $log_read)
    (i32.const 1)"#;
    let host = wasm_tests::Host::new(Profile::envoy());
    host.set_environment("A", "1");
    host.set_environment("TOKEN", "x");
    host.set_environment("TOKEN", "yz");
    let module = crate::probe::probe(&[("proxy_on_vm_start", read)]);
    let _vm = wasm_tests::Vm::start(&host, &module, "").unwrap();
    assert_eq!(logged(&host), ["TOKEN=yz"]);
}

#[test]
fn random_numbers_are_the_same_for_the_same_seed_and_differ_between_vms() {
    let draw = r#"
    (drop (call $random (i32.const 16) (i32.const 13)))
    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 13)))
    (i32.const 1)"#;
    let module = crate::probe::probe(&[("proxy_on_vm_start", draw)]);
    let run = |seed: u64| {
        let host = wasm_tests::Host::new(Profile::envoy());
        host.seed(seed);
        let vms: Vec<_> =
            (0..2).map(|_| wasm_tests::Vm::start(&host, &module, "").unwrap()).collect();
        drop(vms);
        logged(&host)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let drawn = run(7);
    assert_ne!(drawn[0], drawn[1]);
}

#[test]
fn properties_come_from_the_stream_its_messages_and_the_plugin() {
    let read = r#"
    (drop (call $property "source\0address" (i32.const 0) (i32.const 4))) (call $log_read)
    (drop (call $property "request\0url_path" (i32.const 0) (i32.const 4))) (call $log_read)
    (drop (call $property "request\0query" (i32.const 0) (i32.const 4))) (call $log_read)
    (drop (call $property "plugin_root_id" (i32.const 0) (i32.const 4))) (call $log_read)
    (drop (call $property "nothing" (i32.const 0) (i32.const 4)))
    (drop (call $set_property "verdict" "yes"))
    (drop (call $property "verdict" (i32.const 0) (i32.const 4))) (call $log_read)
    (i32.const 0)"#;
    let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", read)]);
    host.set_property(&["source", "address"], "10.0.0.1:1234");
    let exchange = vm.request(GET).send().unwrap();
    assert_eq!(logged(&host), ["10.0.0.1:1234", "/a", "b=c", "tollgate", "yes"]);
    assert_eq!(answers(&host, "proxy_get_property"), [0, 0, 0, 0, 1, 0]);
    assert_eq!(exchange.filter_state("verdict").as_deref(), Some(&b"yes"[..]));
}

#[test]
fn a_trap_is_an_error_answers_503_and_kills_the_vm() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            (
                "proxy_on_request_headers",
                r#"(drop (call $log (i32.const 5) "last words")) unreachable"#,
            ),
            ("proxy_on_response_headers", "unreachable"),
            ("proxy_on_log", "unreachable"),
        ],
    );
    let exchange = vm.open();
    let error = exchange.send_headers(GET, true).unwrap_err();
    let HostError::Trapped { phase, logs, .. } = &error else { panic!("{error}") };
    assert_eq!((*phase, logs.as_slice()), ("request_headers", &["last words".to_owned()][..]));
    assert_eq!(exchange.status(), Some(503));
    assert!(exchange.ended());
    assert!(vm.death().unwrap().contains("request_headers"));

    let next = vm.open();
    assert!(matches!(next.send_headers(GET, true), Err(HostError::DeadVm(_))));
    assert_eq!(next.status(), Some(503));
    assert_eq!(host.trace(|trace| trace.phases()), [Phase::RequestHeaders]);
}

#[test]
fn a_trap_in_a_reply_leaves_the_request_hanging() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            ("proxy_on_request_headers", "(drop (call $call_server)) (i32.const 1)"),
            ("proxy_on_http_call_response", "unreachable"),
        ],
    );
    let exchange = vm.request(GET).send().unwrap();
    assert!(host.answer_all(&wasm_tests::CallReply::new(200, "")).is_err());
    assert_eq!(exchange.status(), None);
    assert!(!exchange.ended());
}

#[test]
fn an_endless_loop_ends_as_a_trap() {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
          (loop $again (br $again)) (i32.const 1)))"#;
    let module = WasmModule::from_bytes(text.as_bytes()).unwrap();
    let host = wasm_tests::Host::new(Profile::envoy());
    host.set_fuel_per_entry(1_000_000);
    assert!(matches!(
        wasm_tests::Vm::start(&host, &module, ""),
        Err(HostError::Trapped { phase: "vm_start", .. })
    ));
}

#[test]
fn quirks_answer_or_trap_instead_of_the_call() {
    let log = ("proxy_on_request_headers", r#"(drop (call $now (i32.const 0))) (i32.const 0)"#);
    let name = "proxy_get_current_time_nanoseconds";
    let unimplemented = Support::Answers(wasm_tests::Status::Unimplemented);
    let (host, vm) = start(Profile::envoy().with_host_call(name, unimplemented), &[log]);
    vm.request(GET).send().unwrap();
    assert_eq!(answers(&host, name), [12]);

    let (_, vm) = start(Profile::envoy().with_host_call(name, Support::Traps), &[log]);
    assert!(matches!(vm.request(GET).send(), Err(HostError::Trapped { .. })));
}

#[test]
fn the_same_script_costs_the_same_fuel_and_counts_entries_and_calls() {
    let work = r#"
    (drop (call $get (i32.const 0) ":path" (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 0) "x-none" (i32.const 0) (i32.const 4)))
    (i32.const 0)"#;
    let run = || {
        let (host, vm) = start(Profile::envoy(), &[("proxy_on_request_headers", work)]);
        host.reset_meter();
        vm.request(GET).send().unwrap().respond(200, &[], ["x"]).unwrap();
        host.meter()
    };
    let meter = run();
    assert_eq!(meter, run());
    let headers = meter.of(Phase::RequestHeaders);
    assert_eq!((headers.callbacks, headers.vm_entries, headers.host_calls), (1, 2, 2));
    assert!(headers.fuel > 0);
    assert_eq!(meter.total(), headers, "no other callback is exported");
}

#[test]
fn the_trace_keeps_what_its_level_asks_for() {
    let (host, vm) = start(
        Profile::envoy(),
        &[("proxy_on_request_headers", r#"(drop (call $log (i32.const 2) "hi")) (i32.const 0)"#)],
    );
    host.trace(|trace| trace.clear());
    vm.request(GET).send().unwrap();
    let rendered = host.trace(|trace| trace.render());
    assert_eq!(
        rendered,
        "vm0 ctx2 > request_headers[4, 1]\n\
         vm0 ctx2   proxy_log(2 hi) = 0\n\
         vm0 < request_headers = 0\n"
    );
    for (level, events) in [(TraceLevel::Callbacks, 2), (TraceLevel::Off, 0)] {
        host.trace(|trace| {
            trace.clear();
            trace.set_level(level);
        });
        vm.request(GET).send().unwrap();
        assert_eq!(host.trace(|trace| trace.events().len()), events);
    }
}

#[test]
fn a_scripted_trap_is_met_at_its_turn() {
    let (host, vm) = start(
        Profile::envoy(),
        &[("proxy_on_request_headers", r#"(drop (call $log (i32.const 2) "hi")) (i32.const 0)"#)],
    );
    let trap = host.fault("proxy_log", 1, 1, Effect::Trap);
    vm.request(GET).send().unwrap();
    assert_eq!(trap.fired(), 0);
    assert!(vm.request(GET).send().is_err());
    assert_eq!(trap.fired(), 1);
}
