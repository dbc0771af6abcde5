//! `request_timeout` of the examples: who stalls on his way in is sent away, and nothing is counted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use e2e::Fixture;
use serde_json::json;

use super::{Example, chat_of, client_of, port};

#[test]
fn a_request_that_stalls_is_given_up_and_counted_nowhere() {
    let fixture = Fixture::start(1).unwrap();
    let limits = json!([{"unit": "requests", "window": "1m", "max": 1, "scope": "proxy"}]);
    let (id, key) = fixture.key(json!({"limits": limits})).unwrap();
    let envoy = Example::read("envoy/two-listeners/envoy.yaml")
        .in_place_of(&fixture)
        .with(&port(10_001), &port(0))
        .with("request_timeout: 120s", "request_timeout: 1s")
        .start(&fixture, "stalled");
    let gateway = envoy.listener_port("programs").unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", gateway)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"model\":"
    );
    let begun = Instant::now();
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(client);
    // The one call of the window is still there, and the upstream has seen no other.
    let whole = client_of(&envoy, "programs", Some(&key));
    assert_eq!((chat_of(&whole, 1).status, chat_of(&whole, 1).status), (200, 429));
    assert_eq!(fixture.upstream_calls(&id).unwrap().len(), 1);
}
