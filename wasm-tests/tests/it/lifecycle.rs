//! Start, configuration, several roots in one VM, ticks, the end.

use wasm_tests::{Ending, Host, HostError, Phase, Profile, Status, Support, Vm, WasmModule};

use crate::probe::{GET, answers, logged, probe, probe_text, start};

const LOG_CONFIGURATION: &str = r#"
    (drop (call $read (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
    (call $log_read)
    (i32.const 1)"#;

#[test]
fn start_and_configuration_come_in_order_and_the_configuration_is_readable_only_then() {
    let read_again = r#"
    (drop (call $read (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
    (i32.const 0)"#;
    let (host, vm) = start(
        Profile::envoy(),
        &[
            ("proxy_on_context_create", ""),
            ("proxy_on_vm_start", "(i32.const 1)"),
            ("proxy_on_configure", LOG_CONFIGURATION),
            ("proxy_on_request_headers", read_again),
        ],
    );
    assert_eq!(
        host.trace(|trace| trace.phases()),
        [Phase::ContextCreate, Phase::VmStart, Phase::Configure]
    );
    assert_eq!(logged(&host), ["configuration"]);
    vm.request(GET).send().unwrap();
    assert_eq!(answers(&host, "proxy_get_buffer_bytes"), [0, Status::NotFound.code()]);
}

#[test]
fn a_refused_configuration_says_why_and_leaves_the_old_one_in_force() {
    let refuse_bad = r#"
    (drop (call $read (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
    (call $log_read)
    (i32.ne (local.get $size) (i32.const 3))"#;
    let module = probe(&[("proxy_on_configure", refuse_bad), ("proxy_on_done", "(i32.const 1)")]);
    let host = Host::new(Profile::envoy());
    let refused = Vm::start(&host, &module, "bad");
    assert!(matches!(refused, Err(HostError::ConfigurationRefused(lines)) if lines == ["bad"]));

    let vm = Vm::start(&host, &module, "good").unwrap();
    let root = vm.newest_root();
    assert!(vm.reconfigure("bad").is_err());
    assert_eq!((vm.newest_root(), vm.live_roots()), (root, vec![root]));
    vm.reconfigure("better").unwrap();
    assert_eq!(vm.live_roots().len(), 2, "the old root stays for the drain");
    assert_ne!(vm.newest_root(), root);
    vm.retire_old_roots().unwrap();
    assert_eq!(vm.live_roots(), [vm.newest_root()]);
}

#[test]
fn a_root_that_is_not_done_is_deleted_when_it_says_so() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            ("proxy_on_configure", "(drop (call $tick (i32.const 100))) (i32.const 1)"),
            ("proxy_on_done", "(global.set $state (i32.const 1)) (i32.const 0)"),
            ("proxy_on_tick", "(if (global.get $state) (then (drop (call $done))))"),
            ("proxy_on_delete", ""),
        ],
    );
    host.advance_ms(100).unwrap();
    vm.shut_down().unwrap();
    assert_eq!(vm.live_roots().len(), 1);
    host.advance_ms(100).unwrap();
    assert_eq!(vm.live_roots().len(), 0);
    assert_eq!(answers(&host, "proxy_done"), [0]);
    host.advance_ms(1000).unwrap();
    let ticks = host.trace(|t| t.phases().iter().filter(|p| **p == Phase::Tick).count());
    assert_eq!(ticks, 2, "a deleted root does not tick");
}

#[test]
fn ticks_come_when_due_and_follow_a_changed_period() {
    let (host, vm) = start(
        Profile::envoy(),
        &[
            ("proxy_on_configure", "(drop (call $tick (i32.const 100))) (i32.const 1)"),
            (
                "proxy_on_tick",
                r#"(global.set $state (i32.add (global.get $state) (i32.const 1)))
                   (if (i32.eq (global.get $state) (i32.const 3))
                     (then (drop (call $tick (i32.const 1000)))))
                   (if (i32.eq (global.get $state) (i32.const 4))
                     (then (drop (call $tick (i32.const 0)))))"#,
            ),
        ],
    );
    let ticks = || host.trace(|t| t.phases().iter().filter(|p| **p == Phase::Tick).count());
    host.advance_ms(99).unwrap();
    assert_eq!(ticks(), 0);
    host.advance_ms(1).unwrap();
    assert_eq!(ticks(), 1);
    host.advance_ms(200).unwrap();
    assert_eq!((ticks(), vm.tick_period_ms()), (3, 1000));
    host.advance_ms(999).unwrap();
    assert_eq!(ticks(), 3);
    host.advance_ms(100_000).unwrap();
    assert_eq!((ticks(), vm.tick_period_ms()), (4, 0));
}

#[test]
fn every_worker_ticks_on_its_own() {
    let module = probe(&[
        ("proxy_on_configure", "(drop (call $tick (i32.const 50))) (i32.const 1)"),
        ("proxy_on_tick", ""),
    ]);
    let host = Host::new(Profile::envoy());
    let _workers: Vec<Vm> = (0..3).map(|_| Vm::start(&host, &module, "").unwrap()).collect();
    host.advance_ms(100).unwrap();
    let ticks = host.trace(|t| t.phases().iter().filter(|p| **p == Phase::Tick).count());
    assert_eq!(ticks, 6);
}

#[test]
fn a_missing_import_keeps_the_module_from_loading() {
    let wants_files = r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
          (func (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1")))"#;
    let module = WasmModule::from_bytes(wants_files.as_bytes()).unwrap();
    let host = Host::new(Profile::envoy());
    let Err(HostError::Load(reason)) = Vm::start(&host, &module, "") else {
        panic!("loaded without fd_write");
    };
    assert!(reason.contains("fd_write"), "{reason}");

    let lacking = Profile::envoy().with_host_call("proxy_define_metric", Support::Missing);
    let refused = Vm::start(&Host::new(lacking), &probe(&[]), "");
    assert!(matches!(refused, Err(HostError::Load(reason)) if reason.contains("define_metric")));
}

#[test]
fn a_module_without_an_abi_version_is_not_loaded_where_that_is_needed() {
    let text = probe_text(&[]).replace("proxy_abi_version_0_2_1", "some_other_export");
    let module = WasmModule::from_bytes(text.as_bytes()).unwrap();
    assert!(matches!(
        Vm::start(&Host::new(Profile::envoy()), &module, ""),
        Err(HostError::Load(_))
    ));
    let lenient = Profile { abi_versions: &[], ..Profile::envoy() };
    assert!(Vm::start(&Host::new(lenient), &module, "").is_ok());
}

#[test]
fn a_profile_without_ticks_reuses_ids_and_orders_the_end_in_its_own_way() {
    let odd = Profile {
        name: "odd",
        ticks: false,
        vm_start: false,
        reuses_context_ids: true,
        endings: &[Ending::Done, Ending::Delete],
        ..Profile::envoy()
    };
    let (host, vm) = start(
        odd,
        &[
            ("proxy_on_vm_start", "unreachable"),
            ("proxy_on_configure", "(drop (call $tick (i32.const 1))) (i32.const 1)"),
            ("proxy_on_tick", "unreachable"),
            ("proxy_on_log", "unreachable"),
            ("proxy_on_done", "(i32.const 1)"),
            ("proxy_on_delete", ""),
        ],
    );
    host.advance_ms(10).unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let exchange = vm.request(GET).send().unwrap();
        exchange.respond(200, &[], ["x"]).unwrap();
        ids.push(exchange.context());
    }
    assert_eq!(ids[0], ids[1]);
}
