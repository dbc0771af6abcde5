//! Spans of requests that belong to a trace, as a collector gets them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{FILTER_TOKEN, World, admit_request, ask};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that takes messages of one connection each, and the bodies that it got.
fn collector() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
            let body = loop {
                let count = connection.read(&mut chunk).unwrap();
                text.extend_from_slice(&chunk[..count]);
                let whole = String::from_utf8_lossy(&text).into_owned();
                let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
                assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
                if let Ok(body) = serde_json::from_str::<Value>(body) {
                    break body;
                }
                assert!(count > 0, "{whole}");
            };
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            connection.write_all(answer.as_bytes()).unwrap();
            if sender.send(body).is_err() {
                return;
            }
        }
    });
    (url, bodies)
}

async fn admit(world: &World, traceparent: &str, body: String) -> u16 {
    let request = Request::post("/proxy/v1/admit")
        .header("authorization", format!("Bearer {FILTER_TOKEN}"))
        .header("traceparent", traceparent);
    let request = request.body(Body::from(body)).unwrap();
    world.app.filter.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_request_of_a_trace_that_is_kept_is_a_child_span() {
    let world = World::with_org(Some("0.01")).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let (url, bodies) = collector();
    world.app.trace_to(&url).unwrap();
    let body = |n| serde_json::to_string(&admit_request(&holder, &key, n, Some(ask(100)))).unwrap();
    // Not sampled, and no context at all: nobody asked for a span.
    assert_eq!(admit(&world, &format!("00-{TRACE}-{PARENT}-00"), body(1)).await, 200);
    assert_eq!(admit(&world, "nonsense", body(2)).await, 200);
    assert_eq!(admit(&world, &format!("00-{TRACE}-{PARENT}-01"), body(3)).await, 200);
    assert_eq!(admit(&world, &format!("00-{TRACE}-{PARENT}-01"), "{".to_owned()).await, 400);

    let message = bodies.recv_timeout(Duration::from_secs(10)).unwrap();
    let resource = &message["resourceSpans"][0];
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 2, "{message}");
    for span in spans {
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(PARENT)));
        assert_eq!((&span["name"], &span["kind"]), (&json!("POST /proxy/v1/admit"), &json!(2)));
        let at = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(at("startTimeUnixNano") <= at("endTimeUnixNano"));
        assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
    }
    assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
    let of = |span: &Value, name: &str| {
        let all = span["attributes"].as_array().unwrap();
        let found = all.iter().find(|attribute| attribute["key"] == name);
        found.map(|found| found["value"].clone())
    };
    let text = |value: &str| Some(json!({"stringValue": value}));
    assert_eq!(of(&spans[0], "tollgate.holder"), text(holder.id.as_str()));
    assert_eq!(of(&spans[0], "tollgate.outcome"), text("granted"));
    assert_eq!(of(&spans[0], "http.response.status_code"), Some(json!({"intValue": "200"})));
    assert_eq!(of(&spans[1], "http.response.status_code"), Some(json!({"intValue": "400"})));
    assert_eq!(of(&spans[1], "tollgate.outcome"), None);
    let whole = message.to_string();
    assert!(!whole.contains(&key.secret) && !whole.contains(FILTER_TOKEN), "{whole}");
}
