//! `examples/envoy/hot-restart/envoy.sh`: one Envoy takes over from another.

use std::process::Command;
use std::time::Duration;

use e2e::{Fixture, wait_within};
use serde_json::json;
use xtask::envoy_binary;
use xtask::http_client::Client;
use xtask::process::Process;

use super::{Example, chat_of, free_port, port, port_of};

const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn the_script_replaces_a_running_envoy_without_a_refused_connection() {
    let fixture = Fixture::start(1).unwrap();
    let (_, key) = fixture.key(json!({})).unwrap();
    let (programs, users, admin) = (free_port(), free_port(), free_port());
    let config = fixture.stack.run_folder.join("hot-restart.yaml");
    // Ports that a successor takes over must have numbers, so the placeholders for free ones do not do.
    let text = Example::read("envoy/two-listeners/envoy.yaml")
        .with(&port(10_000), &port(programs))
        .with(&port(10_001), &port(users))
        .with(&port(9901), &port(admin))
        .with(&port(8700), &port(port_of(&fixture.stack.policy_server_url)))
        .with(&port(8701), &port(port_of(&fixture.stack.upstream_url)))
        .with(
            super::SHIPPED_MODULE,
            &xtask::plugin_build::build().unwrap().path.display().to_string(),
        )
        .text;
    std::fs::write(&config, text).unwrap();
    let start = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(super::folder().join("envoy/hot-restart/envoy.sh"));
        command
            .args(arguments)
            .env("ENVOY", envoy_binary::find().unwrap())
            .env("CONFIG", &config)
            .env("BASE_ID", (std::process::id() % 10_000 + 20_000).to_string())
            .env("CONCURRENCY", "1")
            .env("DRAIN", "1")
            .env("SHUTDOWN", "2")
            .env("TOLLGATE_FILTER_TOKEN", fixture.stack.filter_token());
        Process::start(name, command, &fixture.stack.run_folder, |_| false).unwrap()
    };
    let admin = Client::new(&format!("http://127.0.0.1:{admin}"), None);
    let client = || Client::new(&format!("http://127.0.0.1:{programs}"), Some(&key));
    let epoch = || {
        let info = admin.get("/server_info").ok()?;
        let info = info.success().ok()?.json();
        let live = info["state"] == "LIVE";
        info["command_line_options"]["restart_epoch"].as_u64().or(Some(0)).filter(|_| live)
    };
    let mut first = start("hot-first", &["first"]);
    first.wait_until("ready", LIMIT, || epoch() == Some(0)).unwrap();
    assert_eq!(chat_of(&client(), 1).status, 200);
    let second = start("hot-second", &["next", "1"]);
    let mut calls = 0;
    wait_within(LIMIT, PAUSE, "the first to end", || {
        // Every call on a connection of its own is served, whoever takes it.
        assert_eq!(chat_of(&client(), 1).status, 200);
        calls += 1;
        Ok(!first.is_running())
    })
    .unwrap();
    assert!(calls > 2 && second.is_running(), "{calls} calls");
    assert_eq!(epoch(), Some(1));
    assert_eq!(chat_of(&client(), 1).status, 200);
}

#[test]
fn the_script_refuses_to_start_without_a_token() {
    let mut script = Command::new(super::folder().join("envoy/hot-restart/envoy.sh"));
    let run = script.arg("first").env_remove("TOLLGATE_FILTER_TOKEN").output().unwrap();
    assert!(!run.status.success());
    assert!(String::from_utf8_lossy(&run.stderr).contains("TOLLGATE_FILTER_TOKEN"));
}
