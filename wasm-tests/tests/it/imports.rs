//! What the shipped module asks of a proxy. One import too many keeps it from loading somewhere, and
//! where APISIX cannot load a plugin it serves the route without it.

use std::path::Path;

use wasm_tests::{Host, Profile, Vm, WasmModule};

/// Every proxy that the filter is stated to run in.
pub fn every_host() -> Vec<Profile> {
    vec![
        Profile::envoy_stop_iteration(),
        Profile::envoy(),
        Profile::higress(),
        Profile::apisix(),
        Profile::ngx_wasm(),
    ]
}

#[test]
fn the_imports_are_those_that_were_agreed_on() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/imports.txt");
    let imports = WasmModule::shipped().unwrap().import_lines();
    if std::env::var_os("UPDATE_IMPORTS").is_some() {
        std::fs::write(&path, imports.join("\n") + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    let agreed: Vec<&str> = golden.lines().collect();
    let fresh = imports.iter().filter(|import| !agreed.contains(&import.as_str()));
    let told: Vec<String> = fresh.map(|import| format!("{import}: {}", lacking(import))).collect();
    assert!(told.is_empty(), "new imports:\n{}", told.join("\n"));
    let gone: Vec<_> = agreed.iter().filter(|line| !imports.iter().any(|i| i == **line)).collect();
    assert!(gone.is_empty(), "no longer imported (UPDATE_IMPORTS=1 writes the list): {gone:?}");
}

fn lacking(import: &str) -> String {
    let mut words = import.split(' ');
    let (module, name) = (words.next().unwrap(), words.next().unwrap());
    let hosts = every_host();
    let lacks = hosts.iter().filter(|host| !host.offers(module, name)).map(|host| host.name);
    let lacks: Vec<_> = lacks.collect();
    if lacks.is_empty() { "every host has it".to_owned() } else { format!("not in {lacks:?}") }
}

#[test]
fn every_host_has_every_import() {
    let module = WasmModule::shipped().unwrap();
    for import in module.import_lines() {
        assert_eq!(lacking(&import), "every host has it", "{import}");
    }
    for profile in every_host() {
        let name = profile.name;
        let host = Host::new(profile);
        host.add_cluster("policy");
        host.set_environment("TOLLGATE_FILTER_TOKEN", "filter-token-for-tests-0123456789");
        let started = Vm::start(&host, &module, r#"{"server": {"cluster": "policy"}}"#);
        assert!(started.is_ok(), "{name}: {:?}", started.err());
        assert_eq!(host.violations(), [], "{name}");
    }
}

#[test]
fn an_import_that_somebody_lacks_is_told_by_name() {
    assert!(lacking("env proxy_get_metric (i32, i32) -> (i32)").contains("apisix"));
    assert!(lacking("env proxy_get_log_level (i32) -> (i32)").contains("ngx_wasm"));
    assert!(lacking("wasi_snapshot_preview1 fd_write () -> ()").contains("envoy"));
    assert!(!Profile::envoy().offers("env", "proxy_redis_call"));
}
