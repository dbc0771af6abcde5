//! `examples/envoy/server-tls`: TLS between gateway and policy server, with certificates on both
//! sides.

use e2e::Fixture;
use serde_json::json;

use super::certificates::Certificates;
use super::{Example, chat_of, client_of, port};

const HOST: &str = "policy.tollgate.internal";

#[test]
fn gateway_and_server_know_each_other_by_certificates() {
    let fixture = Fixture::start(1).unwrap();
    let (_, key) = fixture.key(json!({})).unwrap();
    let folder = fixture.stack.run_folder.join("tls");
    let ours = Certificates::new(&folder);
    ours.issue("gateway", &["gateway.tollgate.internal"]);
    ours.issue("policy-server", &[HOST]);
    let others = Certificates::new(&fixture.stack.run_folder.join("other-tls"));
    others.issue("gateway", &["gateway.tollgate.internal"]);

    let terminator = Example::read("envoy/server-tls/terminator.yaml")
        .in_place_of(&fixture)
        .with("/etc/envoy/tls", &folder.display().to_string())
        .with("address: 0.0.0.0", "address: 127.0.0.1")
        .with(&port(8443), &port(0))
        .with(&port(9902), &port(0));
    let terminator = terminator.start(&fixture, "terminator");
    let tls_port = terminator.listener_port("filter_api").unwrap();

    let gateway = |name, tls: &Certificates| {
        let address = format!("address: {HOST}");
        Example::read("envoy/server-tls/gateway.yaml")
            .in_place_of(&fixture)
            .with("/etc/envoy/tls", &tls.folder.display().to_string())
            .with(&address, "address: 127.0.0.1")
            .with(&port(8443), &port(tls_port))
            .start(&fixture, name)
    };
    let trusted = gateway("gateway-tls", &ours);
    super::assert_guarded(&trusted, "gateway");
    assert_eq!(chat_of(&client_of(&trusted, "gateway", Some(&key)), 1).status, 200);

    // A stranger's certificates: neither side takes the other's, and nobody is let through.
    let stranger = gateway("gateway-stranger", &others);
    let answer = chat_of(&client_of(&stranger, "gateway", Some(&key)), 1);
    assert_eq!((answer.status, answer.error_code().as_str()), (503, "policy_unavailable"));
    let log = std::fs::read_to_string(trusted.process.log()).unwrap();
    assert!(!log.contains(fixture.stack.filter_token()), "the token is in the log");
}
