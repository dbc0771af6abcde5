//! `tollgate doctor` on a running deployment, whole and broken.

use std::collections::BTreeMap;
use std::process::Command;

use e2e::{Fixture, chat};
use serde_json::{Value, json};
use xtask::stack::StackOptions;

/// The state of each check, and whether it exited with success.
fn doctor(arguments: &[&str], variables: &[(&str, &str)]) -> (BTreeMap<String, String>, bool) {
    let tollgate = xtask::binaries::build(false).unwrap().tollgate;
    let output = Command::new(tollgate)
        .args(["doctor", "--json"])
        .args(arguments)
        .env_remove("TOLLGATE_ADMIN_TOKEN")
        .env_remove("TOLLGATE_FILTER_TOKEN")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    for (_, secret) in variables.iter().filter(|(name, _)| name.ends_with("TOKEN")) {
        assert!(!text.contains(secret), "a secret is shown: {text}");
    }
    assert_eq!(said["ok"] == true, output.status.success(), "{text}");
    let checks = said["checks"].as_array().unwrap().iter();
    let text = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    for check in checks {
        let (name, state) = (text(check, "check"), text(check, "state"));
        if state != "ok" {
            assert!(!text(check, "says").is_empty(), "{check}");
        }
        states.insert(name, state);
    }
    (states, output.status.success())
}

#[test]
fn a_whole_deployment_is_in_order_and_a_broken_one_is_not() {
    let options = StackOptions { concurrency: 1, journal: true, ..StackOptions::default() };
    let mut fixture = Fixture::with(&options).unwrap();
    let (_, secret) = fixture.key(json!({})).unwrap();
    chat(&fixture.stack.gateway(&secret), json!({})).unwrap().success().unwrap();
    let stack = &fixture.stack;
    let filter_token = stack.filter_token().to_owned();
    let (admin, token) = (stack.admin_url.clone(), stack.admin_token.clone().unwrap());
    let variables = [
        ("TOLLGATE_ADMIN_URL", admin.as_str()),
        ("TOLLGATE_ADMIN_TOKEN", token.as_str()),
        ("TOLLGATE_FILTER_TOKEN", filter_token.as_str()),
    ];
    let (filter_api, gateway) = (stack.policy_server_url.clone(), stack.gateway_url.clone());
    let (envoy, upstream) = (stack.envoy_admin_url.clone(), stack.upstream_url.clone());
    let database = stack.database().display().to_string();
    let journal = stack.journal().unwrap().display().to_string();
    let whole = [
        "--filter-api",
        &filter_api,
        "--gateway",
        &gateway,
        "--envoy-admin",
        &envoy,
        "--database",
        &database,
        "--journal",
        &journal,
    ];
    let (states, good) = doctor(&whole, &variables);
    let bad: Vec<_> = states.iter().filter(|(_, state)| *state != "ok").collect();
    assert!(good && bad.is_empty(), "{bad:?}");
    for check in [
        "server",
        "clock",
        "filter token",
        "proxies",
        "models",
        "keys",
        "database",
        "journal",
        "keyless request",
        "wrong key",
        "filter",
        "headers",
        "buffer",
        "vms",
        "vm failures",
        "cluster",
        "token in configuration",
    ] {
        assert!(states.contains_key(check), "{check} is not among {:?}", states.keys());
    }

    // A proxy without the filter: everything passes.
    let (states, good) = doctor(&["--filter-api", &filter_api, "--gateway", &upstream], &variables);
    assert!(!good);
    assert_eq!((&*states["keyless request"], &*states["wrong key"]), ("fail", "fail"));

    // Another token than the server's.
    let other =
        [variables[0], variables[1], ("TOLLGATE_FILTER_TOKEN", "9f86d081884c7d659a2feaa0c55ad015")];
    let (states, good) = doctor(&["--filter-api", &filter_api], &other);
    assert!(!good && states["filter token"] == "fail", "{states:?}");

    // No server. The filter still refuses what has no key.
    fixture.stack.kill_server();
    let (states, good) = doctor(&whole, &variables);
    assert!(!good);
    assert_eq!((&*states["server"], &*states["keyless request"]), ("fail", "ok"), "{states:?}");
}
