//! The configurations in `examples`: those for Envoy are loaded into the real one and get traffic.

mod certificates;
mod compose;
mod credentials;
mod documented_fields;
mod dynamic;
mod early_head;
mod field_tree;
mod hot_restart;
mod server_tls;
mod stalled;
mod tls_upstream;
mod two_listeners;
mod without_server;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use e2e::Fixture;
use serde_json::json;
use xtask::envoy_binary;
use xtask::envoy_process::{EnvoyCommand, Generation, StartedEnvoy};
use xtask::http_client::{Answer, Client};

/// Where the examples expect the module.
const SHIPPED_MODULE: &str = "/etc/envoy/tollgate.wasm";

/// A file of `examples`, into which what is of this machine is put. Nothing else of it is changed.
struct Example {
    path: &'static str,
    text: String,
}

impl Example {
    fn read(path: &'static str) -> Self {
        let text = std::fs::read_to_string(folder().join(path)).unwrap();
        Self { path, text }
    }

    /// Puts something in the place of a text that the example has.
    fn with(mut self, shipped: &str, here: &str) -> Self {
        assert!(self.text.contains(shipped), "{} has no `{shipped}`", self.path);
        self.text = self.text.replace(shipped, here);
        self
    }

    /// The addresses of this fixture in the place of the documented ports, the module that was
    /// built, and free ports for what listens.
    fn in_place_of(self, fixture: &Fixture) -> Self {
        let module = xtask::plugin_build::build().unwrap().path;
        let mut example = self;
        for (shipped, here) in [
            (SHIPPED_MODULE.to_owned(), module.display().to_string()),
            (port(8700), port(port_of(&fixture.stack.policy_server_url))),
            (port(8701), port(port_of(&fixture.stack.upstream_url))),
            (port(9901), port(0)),
            (port(10_000), port(0)),
        ] {
            if example.text.contains(&shipped) {
                example = example.with(&shipped, &here);
            }
        }
        example
    }

    /// Starts Envoy with it.
    fn start(&self, fixture: &Fixture, name: &str) -> StartedEnvoy {
        self.command(fixture, name).start(&self.text, &fixture.stack.run_folder).unwrap()
    }

    /// The same, where what has been replaced ends after so many seconds and not after ten minutes.
    fn start_draining_for(&self, fixture: &Fixture, name: &str, drain_s: u32) -> StartedEnvoy {
        let generation = Generation { epoch: 0, drain_s, parent_shutdown_s: drain_s + 1 };
        let command = self.command(fixture, name);
        let command = EnvoyCommand { generation: Some(generation), ..command };
        command.start(&self.text, &fixture.stack.run_folder).unwrap()
    }

    fn command(&self, fixture: &Fixture, name: &str) -> EnvoyCommand {
        let binary = envoy_binary::find().unwrap();
        EnvoyCommand::new(binary, name, 1, fixture.stack.filter_token())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// As an Envoy configuration says it.
fn port(number: u16) -> String {
    format!("port_value: {number}\n")
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.trim_end_matches('/').parse().unwrap()
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn client_of(envoy: &StartedEnvoy, listener: &str, key: Option<&str>) -> Client {
    let port = envoy.listener_port(listener).unwrap();
    Client::new(&format!("http://127.0.0.1:{port}"), key)
}

/// A chat call whose message has this many bytes.
fn chat_of(client: &Client, bytes: usize) -> Answer {
    let message = json!({"role": "user", "content": "x".repeat(bytes)});
    let body = json!({"model": e2e::MODEL, "messages": [message]});
    client.post("/v1/chat/completions", &body).unwrap()
}

/// Whoever has no key, or a wrong one, gets nowhere; nobody's call is free.
fn assert_guarded(envoy: &StartedEnvoy, listener: &str) {
    assert_eq!(chat_of(&client_of(envoy, listener, None), 1).status, 401);
    assert_eq!(chat_of(&client_of(envoy, listener, Some("sk-tg-nobody")), 1).status, 401);
}
