//! `examples/envoy/dynamic`: listeners and clusters in files that change while Envoy runs.

use std::path::Path;
use std::time::Duration;

use e2e::{Fixture, wait_within};
use serde_json::json;
use xtask::http_client::Client;

use super::{Example, assert_guarded, chat_of, client_of};

const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);

/// As an operator does: a file beside it, moved over it.
fn move_over(folder: &Path, text: &str) {
    std::fs::write(folder.join("listeners.new.yaml"), text).unwrap();
    std::fs::rename(folder.join("listeners.new.yaml"), folder.join("listeners.yaml")).unwrap();
}

fn stat(admin_url: &str, name: &str) -> u64 {
    let stats = Client::new(admin_url, None).get("/stats").unwrap().success().unwrap().body;
    let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or("0").parse().unwrap()
}

#[test]
fn a_configuration_that_is_moved_into_place_takes_effect_and_a_wrong_one_does_not() {
    let fixture = Fixture::start(1).unwrap();
    let (_, key) = fixture.key(json!({})).unwrap();
    let folder = fixture.stack.run_folder.join("dynamic");
    std::fs::create_dir(&folder).unwrap();
    let read = |path| Example::read(path).in_place_of(&fixture).text;
    let listeners = read("envoy/dynamic/listeners.yaml");
    std::fs::write(folder.join("listeners.yaml"), &listeners).unwrap();
    std::fs::write(folder.join("clusters.yaml"), read("envoy/dynamic/clusters.yaml")).unwrap();
    let bootstrap = Example::read("envoy/dynamic/envoy.yaml").in_place_of(&fixture);
    let bootstrap = bootstrap.with("/etc/envoy", &folder.display().to_string());
    let envoy = bootstrap.start_draining_for(&fixture, "dynamic", 2);
    wait_within(LIMIT, PAUSE, "the listener", || Ok(envoy.listener_port("gateway").is_ok()))
        .unwrap();
    assert_guarded(&envoy, "gateway");
    let send = || chat_of(&client_of(&envoy, "gateway", Some(&key)), 3_000).status;
    assert_eq!(send(), 200);

    let small = listeners.replace("\"body_bytes\": 10485760", "\"body_bytes\": 2048");
    assert_ne!(small, listeners);
    move_over(&folder, &small);
    wait_within(LIMIT, PAUSE, "the smaller limit", || Ok(send() == 413)).unwrap();

    // A slip: Envoy goes on with what it has.
    move_over(&folder, &small.replace("\"body_bytes\"", "\"body_byte\""));
    let rejected = || stat(&envoy.admin_url, "listener_manager.lds.update_rejected") > 0;
    wait_within(LIMIT, PAUSE, "the refusal", || Ok(rejected())).unwrap();
    assert_eq!(send(), 413);
    let log = std::fs::read_to_string(envoy.process.log()).unwrap();
    assert!(log.contains("limits.body_byte: is not known"), "the log does not name the slip");

    // Back to what was there at first. Envoy still has a plugin with that text and tells it nothing: it
    // holds when the newer one has drained.
    move_over(&folder, &listeners);
    wait_within(LIMIT, PAUSE, "the way back", || Ok(send() == 200)).unwrap();

    // With one more space it is another text, and holds at once.
    move_over(&folder, &small.replace("2048", "1024"));
    wait_within(LIMIT, PAUSE, "the smaller limit", || Ok(send() == 413)).unwrap();
    move_over(&folder, &listeners.replace("\"body_bytes\": 10485760", "\"body_bytes\":  10485760"));
    wait_within(LIMIT, PAUSE, "the way back", || Ok(send() == 200)).unwrap();
    assert_guarded(&envoy, "gateway");
}
