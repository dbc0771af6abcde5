//! However a call ends, it is charged exactly once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use e2e::{Fixture, chat};
use serde_json::{Value, json};
use xtask::stack::StackOptions;
use xtask::upstream::Upstream;

fn one_record(fixture: &Fixture, fault: &str, members: Value) -> (u16, Value) {
    let (id, key) = fixture.key(json!({"budget": {"usd": "1", "period": "none"}})).unwrap();
    fixture.upstream_fault(fault).unwrap();
    let answer = chat(&fixture.stack.gateway(&key), members);
    // A cut answer is an error to the client, but a call to us.
    let status = answer.map(|answer| answer.status).unwrap_or(0);
    let record = fixture.records(&id, 1).unwrap().remove(0);
    let spend = fixture.settled_spend(&id).unwrap();
    assert_eq!(spend["settled_usd"], record["cost_usd"], "{fault}: {spend} {record}");
    // A later report could hold a second record: one of the only worker that is sure to come later
    // has come.
    let (marker, key) = fixture.key(json!({})).unwrap();
    fixture.upstream_fault("").unwrap();
    chat(&fixture.stack.gateway(&key), json!({})).unwrap().success().unwrap();
    fixture.records(&marker, 1).unwrap();
    assert_eq!(fixture.records(&id, 1).unwrap().len(), 1, "{fault}: charged twice");
    (status, record)
}

#[test]
fn upstream_faults_are_charged_as_they_should() {
    let fixture = Fixture::start(1).unwrap();
    let plain = || json!({"max_tokens": 50});
    let stream = || json!({"max_tokens": 50, "stream": true});
    let tokens = |record: &Value| record["usage"]["output_tokens"].as_u64().unwrap();

    for fault in ["status=400", "status=429", "status=500", "status=503"] {
        let (status, record) = one_record(&fixture, fault, plain());
        assert!(status >= 400, "{fault}: {status}");
        assert_eq!(
            (&record["basis"], &record["cost_usd"]),
            (&json!("refunded"), &json!("0.00")),
            "{fault}"
        );
        assert_eq!(record["ending"], "upstream_error", "{fault}");
    }
    // It has the request and hangs up: it may have worked.
    let (status, record) = one_record(&fixture, "connect_reset", plain());
    assert_eq!((status, &record["basis"]), (503, &json!("estimated")), "{record}");
    assert_eq!(record["ending"], "no_answer", "{record}");
    let (status, record) = one_record(&fixture, "no_usage", plain());
    assert_eq!((status, &record["basis"]), (200, &json!("estimated")));
    assert!(tokens(&record) > 0, "{record}");
    let (status, record) = one_record(&fixture, "no_usage", stream());
    assert_eq!((status, &record["basis"]), (200, &json!("estimated")));
    assert_eq!(tokens(&record), 16, "one token for each delta: {record}");
    let (_, record) = one_record(&fixture, "cut=5", stream());
    assert_eq!((&record["basis"], &record["ending"]), (&json!("estimated"), &json!("cut")));
    assert_eq!(tokens(&record), 5, "{record}");
    let (_, record) = one_record(&fixture, "cut=40", plain());
    assert_eq!((&record["basis"], &record["ending"]), (&json!("estimated"), &json!("cut")));
    let (_, record) = one_record(&fixture, "delay=300,chunk_delay=5", stream());
    assert_eq!((&record["basis"], &record["ending"]), (&json!("measured"), &json!("complete")));
}

#[test]
fn an_upstream_that_cannot_be_reached_costs_nothing() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let options = StackOptions { upstream: Some(Upstream::local(port)), ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    let (id, key) = fixture.key(json!({"budget": {"usd": "1", "period": "none"}})).unwrap();
    assert_eq!(chat(&fixture.stack.gateway(&key), json!({})).unwrap().status, 503);
    let record = fixture.records(&id, 1).unwrap().remove(0);
    assert_eq!((&record["basis"], &record["cost_usd"]), (&json!("refunded"), &json!("0.00")));
    assert_eq!(fixture.settled_spend(&id).unwrap()["settled_usd"], "0.00");
}

#[test]
fn a_client_that_leaves_is_charged_for_what_was_produced() {
    let fixture = Fixture::start(2).unwrap();
    let members = json!({"budget": {"usd": "1", "period": "none"}});
    let (id, key) = fixture.key(members.clone()).unwrap();
    fixture.upstream_fault("chunk_delay=50").unwrap();
    let body = r#"{"model":"gpt-4o-mini","stream":true,"max_tokens":1000,"messages":[{"role":"user","content":"hello"}]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let address = fixture.stack.gateway_url.strip_prefix("http://").unwrap().to_owned();
    for _ in 0..10 {
        let mut client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let mut seen = String::new();
        let mut buffer = [0; 512];
        while seen.matches("\"content\":\"tok").count() < 3 {
            let read = client.read(&mut buffer).unwrap();
            assert!(read > 0, "the stream ended by itself: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        drop(client);
    }
    let records = fixture.records(&id, 10).unwrap();
    let spend = fixture.settled_spend(&id).unwrap();
    assert_eq!(records.len(), 10);
    for record in &records {
        assert_eq!((&record["basis"], &record["ending"]), (&json!("estimated"), &json!("cut")));
        let tokens = record["usage"]["output_tokens"].as_u64().unwrap();
        assert!((3..16).contains(&tokens), "{record}");
    }
    assert_ne!(spend["settled_usd"], "0.00");

    // `cut_calls: reservation` charges the whole reservation instead
    let mut members = members;
    members["cut_calls"] = json!("reservation");
    let (id, key) = fixture.key(members).unwrap();
    fixture.upstream_fault("cut=2").unwrap();
    let _ = chat(&fixture.stack.gateway(&key), json!({"stream": true, "max_tokens": 1000}));
    let record = fixture.records(&id, 1).unwrap().remove(0);
    assert_eq!(record["cost_usd"], record["reserved_usd"], "{record}");
}
