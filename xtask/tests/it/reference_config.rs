//! The reference configuration in the Envoy that runs it: what the renderer writes must be
//! accepted.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::envoy_config::{AccessLog, EnvoyConfig, credential_secret};
use xtask::{envoy_binary, run_folder, workspace};

/// A module with the least that Envoy asks of a filter.
const EMPTY_FILTER: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0))
  (func (export "proxy_on_context_create") (param i32 i32)))"#;

#[track_caller]
fn accepted(config: &Path) {
    let output = Command::new(envoy_binary::find().unwrap())
        .args(["--mode", "validate", "--disable-hot-restart", "--config-path"])
        .arg(config)
        .current_dir(workspace::root())
        .env("TOLLGATE_FILTER_TOKEN", "0".repeat(64))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // A field that is about to disappear is a problem of tomorrow.
    assert!(!text.contains("Deprecated field"), "{text}");
}

fn config(upstream: &str, folder: &Path) -> EnvoyConfig {
    let wasm_file = folder.join("empty.wasm");
    std::fs::write(&wasm_file, wat::parse_str(EMPTY_FILTER).unwrap()).unwrap();
    EnvoyConfig {
        gateway_port: 0,
        admin_port: 0,
        policy_server_port: 8700,
        upstream: upstream.parse().unwrap(),
        wasm_file,
        filter_config: EnvoyConfig::default_filter_config(),
        credential_file: None,
        further_access_log: None,
    }
}

#[track_caller]
fn rendered_is_accepted(config: &EnvoyConfig, folder: &Path) {
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, config.render().unwrap()).unwrap();
    accepted(&file);
}

#[test]
fn the_configuration_for_a_local_upstream_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    rendered_is_accepted(&config("http://127.0.0.1:8701", folder.path()), folder.path());
}

#[test]
fn the_configuration_for_a_provider_with_tls_base_path_and_key_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let secret: PathBuf = folder.path().join("key.yaml");
    run_folder::write_private(&secret, &credential_secret("sk-provider").unwrap()).unwrap();
    let mut config = config("https://provider.invalid/base/v1", folder.path());
    config.credential_file = Some(secret);
    rendered_is_accepted(&config, folder.path());
}

#[test]
fn a_further_access_log_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("http://127.0.0.1:8701", folder.path());
    config.further_access_log = Some(AccessLog {
        file: folder.path().join("access.log"),
        format: r#"%REQ(:PATH)% "%REQ(X-API-KEY)%" \"#.to_owned(),
    });
    rendered_is_accepted(&config, folder.path());
}

#[test]
fn the_file_as_it_stands_is_accepted() {
    // It names the filter where `build-plugin` puts it, so that comes first.
    let plugin = xtask::plugin_build::build().unwrap();
    assert!(plugin.path.ends_with("tollgate/tollgate.wasm"));
    if workspace::target_dir() == workspace::root().join("target") {
        accepted(&workspace::root().join("envoy-config/envoy.yaml"));
    }
}

#[test]
fn the_file_as_it_stands_means_what_is_rendered_by_default() {
    let text = std::fs::read_to_string(workspace::root().join("envoy-config/envoy.yaml")).unwrap();
    let begin = text.find("value: >-").unwrap() + "value: >-".len();
    let end = text.find("# @end filter_config").unwrap();
    let written: serde_json::Value = serde_json::from_str(&text[begin..end]).unwrap();
    assert_eq!(written, EnvoyConfig::default_filter_config());
}
