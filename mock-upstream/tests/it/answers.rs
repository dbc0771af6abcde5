//! A healthy upstream.

use serde_json::{Value, json};

use crate::server::{TestServer, events, json_body};

const PLAIN: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"max_tokens":3}"#;

fn streamed(include_usage: bool) -> String {
    json!({
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 3,
        "stream": true,
        "stream_options": {"include_usage": include_usage},
    })
    .to_string()
}

#[test]
fn a_plain_answer_reports_what_it_produced() {
    let server = TestServer::start();
    let body = json_body(&server.raw_chat(PLAIN, ""));
    assert_eq!(body["choices"][0]["message"]["content"], "tok tok tok ");
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    let usage = &body["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(5), &json!(3)));
    assert_eq!(usage["total_tokens"], 8);

    let stats = server.settled_stats();
    assert_eq!(
        stats["by_model"],
        json!({"m": {"requests": 1, "prompt_tokens": 5, "completion_tokens": 3}})
    );
    assert_eq!((&stats["completed"], &stats["answered"]), (&json!(1), &json!(1)));
    assert_eq!(stats["last_request"]["body"], PLAIN);
    let calls = server.get("/_mock/calls");
    let call = &calls["calls"][0];
    assert_eq!((&calls["missing"], &call["complete"]), (&json!(0), &json!(true)));
    assert_eq!((&call["prompt_tokens"], &call["completion_tokens"]), (&json!(5), &json!(3)));
}

#[test]
fn choices_multiply_the_output() {
    let server = TestServer::start();
    let body = r#"{"model":"m","messages":[],"n":3,"max_tokens":2}"#;
    let answer = json_body(&server.raw_chat(body, ""));
    assert_eq!(answer["choices"].as_array().unwrap().len(), 3);
    assert_eq!(answer["usage"]["completion_tokens"], 6);
    assert_eq!(server.settled_stats()["completion_tokens"], 6);
}

#[test]
fn a_stream_with_usage_says_null_until_the_last_chunk() {
    let server = TestServer::start();
    let events = events(&server.raw_chat(&streamed(true), ""));
    // Role, three deltas, finish, usage, end.
    assert_eq!(events.len(), 7);
    assert_eq!(events[6], "[DONE]");
    let chunks: Vec<Value> =
        events[..6].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    for chunk in &chunks[..5] {
        assert!(chunk.as_object().unwrap().contains_key("usage") && chunk["usage"].is_null());
        assert_eq!(chunk["choices"].as_array().unwrap().len(), 1);
    }
    assert_eq!(chunks[4]["choices"][0]["finish_reason"], "length");
    assert_eq!(chunks[5]["choices"], json!([]));
    assert_eq!(chunks[5]["usage"]["completion_tokens"], 3);
    assert_eq!(server.settled_stats()["completed"], 1);
}

#[test]
fn a_stream_without_usage_never_mentions_it() {
    let server = TestServer::start();
    let answer = server.raw_chat(&streamed(false), "");
    assert!(answer.ends_with("0\r\n\r\n"), "not ended in order");
    assert_eq!(events(&answer).len(), 6);
    assert!(!answer.contains("usage"), "{answer}");
    assert_eq!(server.settled_stats()["completion_tokens"], 3);
}

#[test]
fn requests_are_recorded_whatever_they_ask_for() {
    let server = TestServer::start();
    assert_eq!(server.get("/v1/models")["object"], "list");
    assert_eq!(server.post("/v1/nothing?key=k", &json!({"a": 1})), 200);
    let seen = server.get("/_mock/requests?limit=1")["requests"][0].clone();
    assert_eq!((&seen["method"], &seen["path"]), (&json!("POST"), &json!("/v1/nothing?key=k")));
    assert_eq!(seen["body"], r#"{"a":1}"#);
    assert!(seen["headers"].as_array().unwrap().contains(&json!(["content-length", "7"])));
    let stats = server.get("/_mock/stats");
    assert_eq!((&stats["requests"], &stats["elsewhere"]), (&json!(2), &json!(1)));
    let call = server.get("/_mock/calls")["calls"][1].clone();
    assert_eq!((&call["path"], &call["credentials"]), (&json!("/v1/nothing"), &json!(["?key"])));

    assert_eq!(server.post("/_mock/reset", &Value::Null), 204);
    assert_eq!(server.get("/_mock/stats")["requests"], 0);
    assert_eq!(server.get("/_mock/requests")["requests"], json!([]));
    assert_eq!(server.get("/_mock/calls")["calls"], json!([]));
}

#[test]
fn what_is_no_chat_request_is_refused_and_produces_nothing() {
    let server = TestServer::start();
    for body in ["", "{", "[]", r#"{"messages":[]}"#, r#"{"model":1,"messages":[]}"#] {
        let answer = server.raw_chat(body, "");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        assert_eq!(json_body(&answer)["error"]["code"], "invalid_json");
    }
    let stats = server.settled_stats();
    assert_eq!((&stats["answered"], &stats["prompt_tokens"]), (&json!(0), &json!(0)));
}

#[test]
fn only_loopback_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bound = mock_upstream::serve::MockServer::bind("0.0.0.0:0".parse().unwrap());
    let problem = runtime.block_on(bound).unwrap_err();
    assert!(problem.to_string().contains("not a loopback address"), "{problem}");
}
