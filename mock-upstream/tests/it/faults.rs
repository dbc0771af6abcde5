//! An upstream that fails on request, and counts right all the same.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{TestServer, events, json_body};

const PLAIN: &str = r#"{"model":"m","messages":[{"content":"hello"}],"max_tokens":8}"#;
const STREAM: &str = r#"{"model":"m","messages":[{"content":"hello"}],"max_tokens":8,"stream":true,"stream_options":{"include_usage":true}}"#;

#[test]
fn a_status_answers_with_an_error_and_produces_nothing() {
    let server = TestServer::start();
    for status in [400_u16, 429, 500, 503] {
        let answer = server.raw_chat(PLAIN, &format!("status={status}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(json_body(&answer)["error"]["message"].is_string());
    }
    let stats = server.settled_stats();
    assert_eq!((&stats["requests"], &stats["completion_tokens"]), (&json!(4), &json!(0)));
}

#[test]
fn a_cut_stream_counts_what_was_sent_and_ends_without_a_terminator() {
    let server = TestServer::start();
    let answer = server.raw_chat(STREAM, "cut=3");
    let events = events(&answer);
    assert_eq!(events.len(), 4, "the role and three deltas: {answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "ended in order");
    let stats = server.settled_stats();
    assert_eq!(stats["completion_tokens"], 3);
    assert_eq!(stats["prompt_tokens"], 5);
    assert_eq!(stats["completed"], 0);
}

#[test]
fn a_cut_plain_answer_is_shorter_than_it_says() {
    let server = TestServer::start();
    let answer = server.raw_chat(PLAIN, "cut=10");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 10);
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(length > 100);
    // It was produced as a whole; only its delivery failed.
    let stats = server.settled_stats();
    assert_eq!((&stats["completion_tokens"], &stats["completed"]), (&json!(8), &json!(0)));
}

#[test]
fn a_reset_sends_not_one_byte() {
    let server = TestServer::start();
    assert_eq!(server.raw_chat(PLAIN, "connect_reset"), "");
    assert_eq!(server.settled_stats()["answered"], 0);
}

#[test]
fn usage_can_be_left_out_or_equal_the_reservation() {
    let server = TestServer::start();
    assert!(json_body(&server.raw_chat(PLAIN, "no_usage")).get("usage").is_none());
    let streamed = events(&server.raw_chat(STREAM, "no_usage"));
    assert!(streamed.iter().all(|event| !event.contains("prompt_tokens")), "{streamed:?}");
    assert_eq!(streamed.last().unwrap(), "[DONE]");

    let limit = r#"{"model":"big","messages":[{"content":"hello"}],"max_completion_tokens":900}"#;
    let usage = json_body(&server.raw_chat(limit, "usage=reservation"))["usage"].clone();
    assert_eq!(usage["prompt_tokens"], limit.len());
    assert_eq!(usage["completion_tokens"], 900);
    let stats = server.settled_stats();
    assert_eq!(
        stats["by_model"]["big"],
        json!({"requests": 1, "prompt_tokens": limit.len(), "completion_tokens": 900})
    );
}

#[test]
fn more_tokens_than_asked_for_can_be_produced() {
    let server = TestServer::start();
    let streamed = events(&server.raw_chat(STREAM, "tokens=40"));
    assert_eq!(streamed.iter().filter(|event| event.contains("tok ")).count(), 40);
    let usage: Value = serde_json::from_str(&streamed[streamed.len() - 2]).unwrap();
    assert_eq!(usage["usage"]["completion_tokens"], 40);
    assert_eq!(server.settled_stats()["completion_tokens"], 40);
}

#[test]
fn waits_happen_where_they_were_asked_for() {
    let server = TestServer::start();
    let started = Instant::now();
    let mut stream = server.open_chat(STREAM, "delay=300,chunk_delay=50");
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300 + 8 * 50));
}

#[test]
fn a_client_that_leaves_stops_the_production() {
    let server = TestServer::start();
    let mut stream = server.open_chat(STREAM, "chunk_delay=50,tokens=10000");
    let mut first = [0; 512];
    stream.read_exact(&mut first).unwrap();
    drop(stream);
    let stats = server.settled_stats();
    assert_eq!(stats["completed"], 0);
    assert!(stats["completion_tokens"].as_u64().unwrap() < 1_000, "{stats}");
}

#[test]
fn a_standing_fault_gives_way_to_a_request_with_its_own() {
    let server = TestServer::start();
    assert_eq!(server.post("/_mock/config", &json!({"fault": "status=503"})), 204);
    assert!(server.raw_chat(PLAIN, "").starts_with("HTTP/1.1 503 "));
    assert!(server.raw_chat(PLAIN, "no_usage").starts_with("HTTP/1.1 200 "));
    assert_eq!(server.post("/_mock/config", &json!({"fault": null})), 204);
    assert!(server.raw_chat(PLAIN, "").starts_with("HTTP/1.1 200 "));
    assert_eq!(server.post("/_mock/config", &json!({"fault": "nonsense"})), 400);
}
