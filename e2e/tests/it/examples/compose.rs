//! `examples/compose/envoy.yaml` and `examples/apisix/check.sh`, the check after a deployment.

use std::process::{Command, Output};

use e2e::Fixture;
use serde_json::json;

use super::certificates::Certificates;
use super::{Example, assert_guarded, chat_of, client_of, port};

fn check(gateway: &str) -> Output {
    Command::new(super::folder().join("apisix/check.sh"))
        .arg(gateway)
        .env("ROUNDS", "3")
        .output()
        .unwrap()
}

#[test]
fn the_gateway_of_the_compose_file_serves_and_the_check_tells_a_guarded_door_from_an_open_one() {
    let fixture = Fixture::start(1).unwrap();
    let (_, key) = fixture.key(json!({})).unwrap();
    let folder = fixture.stack.run_folder.join("compose");
    let certificates = Certificates::new(&folder);
    let (_front, tls_port) =
        super::tls_upstream::start(&fixture, &certificates, &["api.openai.com"], "compose-front");
    let secret = super::folder().join("compose");
    let envoy = Example::read("compose/envoy.yaml")
        .in_place_of(&fixture)
        .with("address: 0.0.0.0", "address: 127.0.0.1")
        .with("address: policy-server\n", "address: 127.0.0.1\n")
        .with("address: api.openai.com\n", "address: 127.0.0.1\n")
        .with(&port(443), &port(tls_port))
        .with("/etc/envoy/secrets", &secret.display().to_string())
        .with("/etc/ssl/certs/ca-certificates.crt", &format!("{}/ca.crt", folder.display()))
        .start(&fixture, "compose");
    assert_guarded(&envoy, "gateway");
    assert_eq!(chat_of(&client_of(&envoy, "gateway", Some(&key)), 1).status, 200);
    let seen = fixture.upstream_requests().unwrap();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].to_string().contains("Bearer REPLACE-WITH-THE-PROVIDERS-KEY"));

    let gateway = format!("http://127.0.0.1:{}", envoy.listener_port("gateway").unwrap());
    let guarded = check(&gateway);
    assert!(guarded.status.success(), "{}", String::from_utf8_lossy(&guarded.stderr));
    // The provider without a filter in front of it, and a door where nobody is.
    let open = check(&fixture.stack.upstream_url);
    assert!(!open.status.success());
    assert!(String::from_utf8_lossy(&open.stderr).contains("a request without a key was answered"));
    assert!(!check(&format!("http://127.0.0.1:{}", super::free_port())).status.success());
    assert_eq!(check("").status.code(), Some(2));
}
