//! Bodies as large as they may be, through the shipped filter in a real Envoy.

use e2e::process_memory::peak_bytes;
use e2e::{Fixture, RawAnswer};
use serde_json::{Value, json};
use xtask::bench::process_cpu;

const MEBIBYTE: usize = 1 << 20;

/// Envoy may need this much more for one body of 8 MiB: it and the filter have some copies of it at
/// the same time. About 34 MB were seen.
const MOST_MORE_BYTES: u64 = 64 << 20;

/// Sends a body to the only worker and says what became of it, for a reader how long Envoy worked.
fn send(fixture: &Fixture, key: &str, body: &str) -> RawAnswer {
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\
         authorization: Bearer {key}\r\n\r\n{body}"
    );
    let envoy = fixture.stack.gateways()[0].id();
    let before = process_cpu::used(envoy).unwrap();
    let answer = RawAnswer::of(&fixture.stack.gateway_url, request.as_bytes()).unwrap();
    let worked = process_cpu::used(envoy).unwrap().saturating_sub(before);
    println!("{length} bytes: {}, Envoy worked for {worked:?}", answer.status);
    answer
}

#[test]
fn a_body_of_8_mib_with_the_model_at_its_end_passes() {
    let fixture = Fixture::start(1).unwrap();
    let (id, key) = fixture.key(json!({})).unwrap();
    let small = send(&fixture, &key, r#"{"messages":[],"model":"fast"}"#);
    assert_eq!(small.status, 200, "{}", small.text());
    let envoy = fixture.stack.gateways()[0].id();
    let before = peak_bytes(envoy).unwrap();
    let text = "plain text, ".repeat(8 * MEBIBYTE / 12);
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}],"model":"fast"}}"#);
    let answer = send(&fixture, &key, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let more = peak_bytes(envoy).unwrap().saturating_sub(before);
    println!("{more} bytes more in Envoy");
    assert!(more <= MOST_MORE_BYTES, "{more}");

    // The alias at its end has become the model, and nothing is lost.
    let seen = fixture.upstream_requests().unwrap();
    let length = body.len() - "fast".len() + "gpt-4o-mini".len();
    assert_eq!(seen.last().unwrap()["body_bytes"], json!(length));
    let records = fixture.records(&id, 2).unwrap();
    let models: Vec<&Value> = records.iter().map(|record| &record["model"]).collect();
    assert_eq!(models, ["gpt-4o-mini", "gpt-4o-mini"]);
}

#[test]
fn a_body_that_would_take_long_to_read_is_refused() {
    let fixture = Fixture::start(1).unwrap();
    let (_, key) = fixture.key(json!({})).unwrap();
    let members = vec![r#""a":0"#; 10 * MEBIBYTE / 6 - 10].join(",");
    let answer = send(&fixture, &key, &format!(r#"{{{members},"model":"fast"}}"#));
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains(r#""code":"body_too_large""#), "{}", answer.text());
    assert_eq!(fixture.upstream_stats().unwrap()["requests"], 0);
}
