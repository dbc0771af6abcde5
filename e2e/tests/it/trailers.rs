//! HTTP/2 requests that end with trailers: no body callback of the filter says that it is the last.

use bytes::Bytes;
use e2e::Fixture;
use http::{HeaderMap, HeaderValue, Request};
use serde_json::json;

async fn post_with_trailers(address: &str, key: &str, body: &'static str) -> (u16, String) {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(tcp).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::post("http://gateway/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let (answer, mut stream) = client.send_request(request, false).unwrap();
    let (first, second) = body.split_at(body.len() / 2);
    stream.send_data(Bytes::from_static(first.as_bytes()), false).unwrap();
    stream.send_data(Bytes::from_static(second.as_bytes()), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", HeaderValue::from_bytes(b"\xfe").unwrap());
    trailers.insert("authorization", HeaderValue::from_static("Bearer secret-in-a-trailer"));
    trailers.insert("x-tollgate-org", HeaderValue::from_static("liar-in-a-trailer"));
    stream.send_trailers(trailers).unwrap();
    let answer = answer.await.unwrap();
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        text.extend_from_slice(&chunk);
    }
    driver.abort();
    (status, String::from_utf8(text).unwrap())
}

#[test]
fn a_body_that_ends_with_trailers_is_checked_like_any_other() {
    let fixture = Fixture::start(1).unwrap();
    let (_, key) = fixture.key(json!({"budget": {"usd": "1", "period": "day"}})).unwrap();
    let address = fixture.stack.gateway_url.strip_prefix("http://").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, text) = runtime.block_on(post_with_trailers(
        address,
        &key,
        r#"{"model":"fast","messages":[{"role":"user","content":"hello"}]}"#,
    ));
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"cost_usd\":0.000010637"), "{text}");
    let seen = fixture.upstream_requests().unwrap();
    assert!(seen.last().unwrap()["body"].as_str().unwrap().contains("\"max_tokens\":16384"));

    let (status, text) = runtime.block_on(post_with_trailers(address, &key, "{\"model\":"));
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("invalid_json"), "{text}");
    assert_eq!(fixture.upstream_stats().unwrap()["requests"], 1);
}
