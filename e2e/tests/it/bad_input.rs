//! Each kind of bad input gets its own error, none reaches the upstream, none traps a VM.

use e2e::{Fixture, raw_request};
use serde_json::json;

#[test]
fn each_bad_input_has_its_own_error() {
    let fixture = Fixture::start(2).unwrap();
    let (_, key) = fixture.key(json!({"budget": {"usd": "5", "period": "day"}})).unwrap();
    let gateway = &fixture.stack.gateway_url;
    let auth = format!("authorization: Bearer {key}\r\n");
    let post = |headers: &str, body: &str| {
        let length = body.len();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        )
        .into_bytes()
    };
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n{headers}\r\n").into_bytes()
    };
    let good = r#"{"model":"gpt-4o-mini","messages":[]}"#;
    let pair = "PMIND000000000000000000000000000";
    let large = format!(r#"{{"model":"gpt-4o-mini","messages":["{}"]}}"#, "x".repeat(11 << 20));
    let mut not_utf8 = post("", good);
    let at = not_utf8.windows(5).position(|window| window == b"host:").unwrap();
    not_utf8.splice(at..at, b"authorization: Bearer \xff\xfe\xfd\r\n".iter().copied());
    let mut odd_header = get("/v1/unknown", &auth);
    let at = odd_header.windows(5).position(|window| window == b"host:").unwrap();
    odd_header.splice(at..at, b"x-odd: \xff\xfe\r\n".iter().copied());

    let two = format!("{auth}x-api-key: {key}\r\n");
    let half = format!("authorization: Bearer {pair}\r\n");
    let in_url = String::from_utf8(post("", good)).unwrap();
    let in_url =
        in_url.replacen("/v1/chat/completions", &format!("/v1/chat/completions?key={key}"), 1);
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("truncated", post(&auth, &good[..20]), 400, "invalid_json"),
        ("empty", post(&auth, ""), 400, "invalid_json"),
        ("not JSON", post(&auth, "hello"), 400, "invalid_json"),
        ("an array", post(&auth, "[]"), 400, "invalid_json"),
        ("two documents", post(&auth, "{}{}"), 400, "invalid_json"),
        ("no model", post(&auth, "{}"), 400, "invalid_value"),
        ("model a number", post(&auth, r#"{"model":7}"#), 400, "invalid_value"),
        ("stream a text", post(&auth, r#"{"model":"fast","stream":"yes"}"#), 400, "invalid_value"),
        ("limit huge", post(&auth, r#"{"model":"fast","max_tokens":1e30}"#), 400, "invalid_value"),
        ("model twice", post(&auth, r#"{"model":"a","model":"b"}"#), 400, "duplicate_field"),
        ("model escaped", post(&auth, r#"{"model":"a","m\u006fdel":"b"}"#), 400, "duplicate_field"),
        ("unknown model", post(&auth, r#"{"model":"nope"}"#), 400, "unknown_model"),
        ("too large", post(&auth, &large), 413, "body_too_large"),
        (
            "compressed",
            post(&format!("{auth}content-encoding: gzip\r\n"), good),
            415,
            "unsupported_encoding",
        ),
        ("unknown path", get("/v1/files", &auth), 404, "unknown_endpoint"),
        ("other method", get("/v1/chat/completions", &auth), 404, "unknown_endpoint"),
        ("trailing slash", get("/v1/models/", &auth), 404, "unknown_endpoint"),
        ("no credential", post("", good), 401, "missing_api_key"),
        ("two credentials", post(&two, good), 401, "invalid_api_key"),
        ("the same header twice", post(&format!("{auth}{auth}"), good), 401, "invalid_api_key"),
        ("half a pair", post(&half, good), 401, "invalid_api_key"),
        ("key in the URL", in_url.into_bytes(), 401, "invalid_api_key"),
        ("key not UTF-8", not_utf8, 401, "invalid_api_key"),
        ("header not UTF-8", odd_header, 404, "unknown_endpoint"),
        ("basic", post("authorization: Basic dTpw\r\n", good), 401, "invalid_api_key"),
        (
            "unknown key",
            post("authorization: Bearer sk-0123456789012345678901\r\n", "not even JSON"),
            401,
            "invalid_api_key",
        ),
        (
            "unknown key, too large",
            post("authorization: Bearer sk-0123456789012345678902\r\n", &large),
            401,
            "invalid_api_key",
        ),
    ];
    for (name, request, status, code) in cases {
        let (seen, answer) = raw_request(gateway, &request).unwrap_or_else(|why| {
            panic!("{name}: {why}");
        });
        assert_eq!(seen, status, "{name}: {answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{name}: {answer}");
        assert!(answer.contains("x-tollgate-request-id: req_"), "{name}: {answer}");
        assert!(!answer.contains(&key), "{name} repeats the key");
    }
    assert_eq!(fixture.upstream_stats().unwrap()["requests"], 0, "something reached the upstream");
}
