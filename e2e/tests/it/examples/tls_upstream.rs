//! The mock upstream behind TLS, by the terminator of `examples/envoy/server-tls`.

use e2e::Fixture;
use xtask::envoy_process::StartedEnvoy;

use super::certificates::Certificates;
use super::{Example, port, port_of};

/// Starts it with a certificate for these host names; the Envoy that carries it and its port.
pub fn start(
    fixture: &Fixture,
    certificates: &Certificates,
    hosts: &[&str],
    name: &str,
) -> (StartedEnvoy, u16) {
    certificates.issue("policy-server", hosts);
    let front = Example::read("envoy/server-tls/terminator.yaml")
        .with("/etc/envoy/tls", &certificates.folder.display().to_string())
        .with("address: 0.0.0.0", "address: 127.0.0.1")
        .with("require_client_certificate: true", "require_client_certificate: false")
        .with("prefix: /proxy/v1/", "prefix: /")
        .with(&port(8443), &port(0))
        .with(&port(9902), &port(0))
        .with(&port(8700), &port(port_of(&fixture.stack.upstream_url)))
        .start(fixture, name);
    let tls_port = front.listener_port("filter_api").unwrap();
    (front, tls_port)
}
