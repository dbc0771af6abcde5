//! Bodies as large as they may be, through the shipped filter in a real Envoy.

use std::time::Instant;

use e2e::process_memory::peak_bytes;
use e2e::{Fixture, RawAnswer};
use serde_json::{Value, json};

const MEBIBYTE: usize = 1 << 20;

/// Envoy may need this much more for one body of 8 MiB: it, the filter and the buffers in between
/// have some copies of it at the same time.
const MOST_MORE_BYTES: u64 = 96 << 20;

fn chat(key: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\
         authorization: Bearer {key}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[test]
fn a_body_of_8_mib_with_the_model_at_its_end_passes() {
    let fixture = Fixture::start(1).unwrap();
    let (id, key) = fixture.key(json!({})).unwrap();
    let gateway = &fixture.stack.gateway_url;
    let send = |body: &str| RawAnswer::of(gateway, &chat(&key, body)).unwrap();
    assert_eq!(send(r#"{"messages":[],"model":"fast"}"#).status, 200);
    let envoy = fixture.stack.gateways()[0].id();
    let before = peak_bytes(envoy).unwrap();
    let text = "plain text, ".repeat(8 * MEBIBYTE / 12);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"fast"}}"#);
    let begun = Instant::now();
    let answer = send(&body);
    let took = begun.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let more = peak_bytes(envoy).unwrap().saturating_sub(before);
    println!("{} bytes: {took:?}, {more} bytes more in Envoy", body.len());
    assert!(more <= MOST_MORE_BYTES, "{more}");
    let records = fixture.records(&id, 2).unwrap();
    let models: Vec<&Value> = records.iter().map(|record| &record["model"]).collect();
    assert_eq!(models, ["gpt-4o-mini", "gpt-4o-mini"]);
    let seen = fixture.upstream_requests().unwrap();
    let last = seen.last().unwrap();
    println!("{}", last.to_string().chars().take(300).collect::<String>());
    let worst =
        format!(r#"{{{},"model":"fast"}}"#, vec![r#""a":0"#; 10 * MEBIBYTE / 6 - 10].join(","));
    let begun = Instant::now();
    let answer = send(&worst);
    println!("worst {} bytes: {:?} {}", worst.len(), begun.elapsed(), answer.status);
    fixture.assert_no_trap();
}
