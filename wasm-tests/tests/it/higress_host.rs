//! Higress, a fork of Envoy: what differs.

use serde_json::json;
use wasm_tests::{Gateway, HostError, POLICY_CLUSTER, Profile, Vm, VmOptions, WasmModule};

use crate::probe::{GET, POST, logged, start};

#[test]
fn its_own_abi_is_taken_and_ours_cannot_stop_headers_alone() {
    let module = |version: &str| {
        let text = format!(
            r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_{version}")))"#
        );
        WasmModule::from_bytes(text.as_bytes()).unwrap()
    };
    let loads = |profile: Profile, version: &str| {
        crate::probe::start_module(profile, &module(version)).is_ok()
    };
    assert!(loads(Profile::higress(), "0_2_100") && !loads(Profile::envoy(), "0_2_100"));
    assert!(loads(Profile::higress(), "0_2_1") && !loads(Profile::higress(), "0_3_0"));

    let seen = r#"(drop (call $log (i32.const 2) "body")) (i32.const 0)"#;
    let callbacks =
        [("proxy_on_request_headers", "(i32.const 1)"), ("proxy_on_request_body", seen)];
    let (host, vm) = start(Profile::higress(), &callbacks);
    vm.request(POST).body(["x"]).send().unwrap();
    assert_eq!(logged(&host), [""; 0]);
}

#[test]
fn a_vm_that_trapped_comes_back_but_not_within_five_seconds() {
    let once = r#"(drop (call $set_shared "n" "x" (i32.const 0))) unreachable"#;
    let callbacks = [("proxy_on_request_headers", once)];
    let (host, vm) = start(Profile::higress(), &callbacks);
    let send = || vm.open().send_headers(GET, true);
    host.advance_ms(6_000).unwrap();
    assert!(matches!(send(), Err(HostError::Trapped { .. })));
    assert!(matches!(send(), Err(HostError::Trapped { .. })), "a new one, so it traps anew");
    assert!(matches!(send(), Err(HostError::DeadVm(_))), "not so soon");
    host.advance_ms(4_999).unwrap();
    assert!(matches!(send(), Err(HostError::DeadVm(_))));
    host.advance_ms(1).unwrap();
    assert!(matches!(send(), Err(HostError::Trapped { .. })));
}

#[test]
fn rules_for_single_routes_are_refused_and_not_passed_over() {
    let gateway = Gateway::start(Profile::higress(), 0).unwrap();
    let rules = json!({
        "server": {"cluster": POLICY_CLUSTER},
        "_rules_": [{"_match_route_": ["chat"], "server": {"cluster": "elsewhere"}}],
    });
    let options = VmOptions::with_configuration(rules.to_string());
    let started = Vm::start_with(gateway.host(), &WasmModule::shipped().unwrap(), options);
    let Err(HostError::ConfigurationRefused(lines)) = started else { panic!("it was taken") };
    assert!(lines.iter().any(|line| line.contains("_rules_")), "{lines:?}");
}
