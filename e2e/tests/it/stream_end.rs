//! Running calls end when their key does, or when they have more output than was reserved.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use e2e::audit::nano_of;
use e2e::{Fixture, MODEL, chat};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A running call is over so soon after the change that ends it was answered.
const SOON: Duration = Duration::from_secs(1);
/// What a call has cost is reported within this.
const REPORTED: Duration = Duration::from_secs(3);
/// A client waits so long for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that sees the raw bytes of one answer as they come.
struct Watcher {
    socket: TcpStream,
    seen: String,
}

impl Watcher {
    /// Sends a chat with faults of the upstream's.
    fn begin(fixture: &Fixture, key: &str, fault: &str, members: Value) -> Self {
        let mut body = json!({
            "model": MODEL, "stream": true, "max_tokens": 4000,
            "messages": [{"role": "user", "content": "hello"}],
        });
        for (name, value) in members.as_object().unwrap() {
            body[name] = value.clone();
        }
        let body = body.to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\
             authorization: Bearer {key}\r\nx-mock-fault: {fault}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let address = fixture.stack.gateway_url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        Self { socket, seen: String::new() }
    }

    /// Reads what has come. False once the connection has ended.
    fn look(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.socket.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                true
            }
            Err(_) => false,
        }
    }

    /// Reads until so many deltas have come.
    fn until_deltas(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.seen.matches("\"content\":\"tok").count() < count {
            assert!(self.look(), "the stream ended by itself: {}", self.seen);
            assert!(Instant::now() < deadline, "too slow: {}", self.seen);
        }
    }

    /// Reads to the end of the connection, which must come in time.
    fn until_end(&mut self, deadline: Instant) {
        while self.look() {
            assert!(Instant::now() < deadline, "it goes on: {:?}", self.seen);
        }
    }

    /// The data of the last event.
    fn last_event(&self) -> Value {
        let (_, last) = self.seen.rsplit_once("data: ").unwrap();
        let (data, rest) = last.split_once("\n\n").unwrap();
        // Chunked, and without the chunk that ends a whole answer.
        assert_eq!(rest.trim(), "", "{}", self.seen);
        serde_json::from_str(data).unwrap()
    }
}

fn change(fixture: &Fixture, key: &str, what: &str) {
    let path = format!("/admin/v1/keys/{key}/{what}");
    let answer = fixture.stack.admin().post(&path, &json!({})).unwrap().success().unwrap();
    assert_eq!(answer.json()["applied"], true, "{}", answer.body);
}

fn until_idle(fixture: &Fixture) {
    let deadline = Instant::now() + SOON;
    while fixture.upstream_stats().unwrap()["running"] != 0 {
        assert!(Instant::now() < deadline, "the upstream works on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const BUDGET: fn() -> Value = || json!({"budget": {"usd": "5", "period": "none"}});

#[test]
fn a_revoked_key_ends_every_running_call_within_a_second() {
    let fixture = Fixture::start(2).unwrap();
    let (id, key) = fixture.key(BUDGET()).unwrap();
    let (other_id, other) = fixture.key(BUDGET()).unwrap();
    let mut slow: Vec<_> = (0..6)
        .map(|_| Watcher::begin(&fixture, &key, "chunk_delay=150,tokens=1000", json!({})))
        .collect();
    let mut silent = Watcher::begin(&fixture, &key, "chunk_delay=60000", json!({}));
    let mut waiting = Watcher::begin(&fixture, &key, "delay=60000", json!({}));
    let mut untouched = Watcher::begin(&fixture, &other, "chunk_delay=50", json!({}));
    for watcher in &mut slow {
        watcher.until_deltas(2);
    }
    // A stream counts as silent when nothing has come for a second.
    std::thread::sleep(SOON);
    silent.look();
    assert!(silent.seen.contains("\"role\""), "{}", silent.seen);
    slow.iter_mut().for_each(|watcher| {
        while watcher.seen.matches("\"content\":\"tok").count() < 5 {
            assert!(watcher.look());
        }
    });
    // The other key's call may have ended by now.
    let running = fixture.upstream_stats().unwrap()["running"].as_u64().unwrap();
    assert!((7..=8).contains(&running), "{running}");

    change(&fixture, &id, "revoke");
    let deadline = Instant::now() + SOON;
    for watcher in &mut slow {
        watcher.until_end(deadline);
        let error = watcher.last_event();
        assert_eq!(error["error"]["code"], "key_revoked", "{}", watcher.seen);
        assert_eq!(watcher.seen.matches("\"error\"").count(), 1, "{}", watcher.seen);
        assert!(!watcher.seen.contains("[DONE]"), "{}", watcher.seen);
    }
    silent.until_end(deadline);
    assert!(!silent.seen.contains("\"error\""), "{}", silent.seen);
    while !waiting.seen.contains("key_revoked") {
        assert!(waiting.look() && Instant::now() < deadline, "{}", waiting.seen);
    }
    assert!(waiting.seen.starts_with("HTTP/1.1 401 "), "{}", waiting.seen);
    while is_running(&mut untouched) {}
    assert!(untouched.seen.contains("[DONE]"), "{}", untouched.seen);
    until_idle(&fixture);

    let records = fixture.records(&id, 8).unwrap();
    let spend = fixture.settled_spend(&id).unwrap();
    assert_eq!(records.len(), 8, "{records:?}");
    for record in &records {
        assert_eq!((&record["basis"], &record["ending"]), (&json!("estimated"), &json!("cut")));
    }
    let seen: Vec<_> =
        records.iter().filter_map(|record| record["usage"]["output_tokens"].as_u64()).collect();
    assert_eq!(seen.iter().filter(|tokens| **tokens >= 5).count(), 6, "{seen:?}");
    assert_ne!(spend["settled_usd"], "0.00", "{spend}");
    assert_eq!(spend["overdraft_usd"], "0.00", "{spend}");
    assert_eq!(fixture.records(&other_id, 1).unwrap()[0]["ending"], "complete");
}

#[test]
fn a_call_that_spends_the_budget_beyond_its_reservation_ends_the_others() {
    let fixture = Fixture::start(2).unwrap();
    // Each of these streams may cost about 2,468,000 nano-USD of the 10,000,000.
    let (id, key) = fixture.key(json!({"budget": {"usd": "0.01", "period": "none"}})).unwrap();
    let (_, other) = fixture.key(BUDGET()).unwrap();
    let slow = "chunk_delay=100,tokens=1000";
    let mut running = Watcher::begin(&fixture, &key, slow, json!({}));
    let mut untouched = Watcher::begin(&fixture, &other, slow, json!({}));
    running.until_deltas(2);
    let begun = Instant::now();
    let mut greedy = Watcher::begin(&fixture, &key, "tokens=3,unseen=20000", json!({}));
    // Its usage comes last, and shows that it has had more than it may: too late to end it.
    while !greedy.seen.contains("[DONE]") {
        assert!(greedy.look() && begun.elapsed() < PATIENCE, "{}", greedy.seen);
    }
    running.until_end(Instant::now() + REPORTED + SOON);
    println!("told {:?} after the other call began", begun.elapsed());
    let error = running.last_event();
    assert_eq!(error["error"]["code"], "budget_exceeded", "{}", running.seen);
    assert_eq!(error["error"]["param"], "key", "{}", running.seen);
    assert_eq!(running.seen.matches("\"error\"").count(), 1, "{}", running.seen);
    untouched.until_deltas(untouched.seen.matches("\"content\":\"tok").count() + 2);

    let client = fixture.stack.gateway(&key);
    let refused = chat(&client, json!({"max_tokens": 64})).unwrap();
    assert_eq!((refused.status, refused.error_code().as_str()), (402, "budget_exceeded"));
    let records = fixture.records(&id, 2).unwrap();
    let basis = |basis: &str| records.iter().find(|record| record["basis"] == basis).unwrap();
    assert_eq!(basis("estimated")["ending"], "cut");
    let paid = nano_of(basis("measured"), "cost_usd");
    let spend = fixture.spend_at_rest(&id, PATIENCE).unwrap();
    let charged: u64 = records.iter().map(|record| nano_of(record, "cost_usd")).sum();
    assert_eq!(spend.settled, charged);
    assert!(paid > 10_000_000 && spend.overdraft >= paid - 10_000_000, "{spend:?} {paid}");

    let raised = json!({"budget": {"usd": "1.00", "period": "none"}});
    let path = format!("/admin/v1/keys/{id}");
    fixture.stack.admin().patch(&path, &raised).unwrap().success().unwrap();
    chat(&client, json!({"max_tokens": 64})).unwrap().success().unwrap();
}

/// Reads on; false once the whole answer is there.
fn is_running(watcher: &mut Watcher) -> bool {
    let open = watcher.look();
    assert!(open, "cut: {}", watcher.seen);
    !watcher.seen.contains("[DONE]")
}

/// The same over HTTP/2: the events of a stream, and whether it was reset after them.
async fn watch_h2(address: &str, key: &str, revoke: impl FnOnce()) -> (String, bool) {
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(tcp).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post("http://gateway/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("x-mock-fault", "chunk_delay=100,tokens=1000")
        .body(())
        .unwrap();
    let (answer, mut sending) = client.send_request(request, false).unwrap();
    let question = json!({
        "model": MODEL, "stream": true, "max_tokens": 4000,
        "messages": [{"role": "user", "content": "hello"}],
    });
    sending.send_data(bytes::Bytes::from(question.to_string()), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut text = String::new();
    let mut revoke = Some(revoke);
    let was_reset = loop {
        match tokio::time::timeout(PATIENCE, body.data()).await.unwrap() {
            None => break false,
            Some(Err(error)) => break error.is_reset(),
            Some(Ok(chunk)) => {
                body.flow_control().release_capacity(chunk.len()).unwrap();
                text.push_str(&String::from_utf8_lossy(&chunk));
            }
        }
        if text.matches("\"content\":\"tok").count() >= 3
            && let Some(revoke) = revoke.take()
        {
            revoke();
        }
    };
    driver.abort();
    (text, was_reset)
}

#[test]
fn an_http2_client_gets_the_error_event_and_a_reset() {
    let fixture = Fixture::start(1).unwrap();
    let (id, key) = fixture.key(BUDGET()).unwrap();
    let address = fixture.stack.gateway_url.strip_prefix("http://").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let revoked = std::cell::Cell::new(None);
    let revoke = || {
        change(&fixture, &id, "revoke");
        revoked.set(Some(Instant::now()));
    };
    let (text, was_reset) = runtime.block_on(watch_h2(address, &key, revoke));
    assert!(revoked.get().unwrap().elapsed() < SOON);
    assert!(was_reset, "{text}");
    let (_, last) = text.trim_end().rsplit_once("\n\n").unwrap();
    assert!(last.starts_with("data: {\"error\"") && last.contains("key_revoked"), "{text}");
    assert_eq!(fixture.records(&id, 1).unwrap().len(), 1);
    until_idle(&fixture);
}

#[test]
fn a_key_that_is_rotated_goes_on_and_one_that_is_disabled_does_not() {
    let fixture = Fixture::start(1).unwrap();
    let (id, key) = fixture.key(BUDGET()).unwrap();
    let mut slow = Watcher::begin(&fixture, &key, "chunk_delay=100,tokens=1000", json!({}));
    let mut plain = Watcher::begin(&fixture, &key, "", json!({"stream": false, "max_tokens": 20}));
    slow.until_deltas(2);
    change(&fixture, &id, "rotate");
    let before = slow.seen.matches("\"content\":\"tok").count();
    slow.until_deltas(before + 10);
    change(&fixture, &id, "disable");
    slow.until_end(Instant::now() + SOON);
    assert_eq!(slow.last_event()["error"]["code"], "key_disabled", "{}", slow.seen);
    plain.look();
    assert!(plain.seen.contains("cost_usd"), "{}", plain.seen);
    assert_eq!(fixture.records(&id, 2).unwrap().len(), 2);
}

#[test]
fn a_key_that_expires_ends_its_running_calls() {
    let fixture = Fixture::start(2).unwrap();
    let expires = OffsetDateTime::now_utc() + Duration::from_secs(3);
    let mut members = BUDGET();
    members["expires_at"] = json!(expires.format(&Rfc3339).unwrap());
    let (id, key) = fixture.key(members).unwrap();
    let mut slow = Watcher::begin(&fixture, &key, "chunk_delay=100,tokens=1000", json!({}));
    let mut silent = Watcher::begin(&fixture, &key, "chunk_delay=60000", json!({}));
    let mut waiting = Watcher::begin(&fixture, &key, "delay=60000", json!({}));
    slow.until_deltas(5);
    let left = Duration::try_from(expires - OffsetDateTime::now_utc()).unwrap();
    let deadline = Instant::now() + left + SOON;
    slow.until_end(deadline);
    assert!(OffsetDateTime::now_utc() >= expires, "too early");
    assert_eq!(slow.last_event()["error"]["code"], "key_expired", "{}", slow.seen);
    silent.until_end(deadline);
    while !waiting.seen.contains("key_expired") {
        assert!(waiting.look() && Instant::now() < deadline, "{}", waiting.seen);
    }
    assert_eq!(fixture.records(&id, 3).unwrap().len(), 3);
    until_idle(&fixture);
}

#[test]
fn more_output_than_was_reserved_ends_the_stream() {
    let fixture = Fixture::start(1).unwrap();
    let (id, key) = fixture.key(BUDGET()).unwrap();
    let limit = || json!({"max_tokens": 7});
    let mut greedy = Watcher::begin(&fixture, &key, "tokens=1000,chunk_delay=30", limit());
    greedy.until_deltas(7);
    greedy.until_end(Instant::now() + SOON);
    assert_eq!(greedy.last_event()["error"]["code"], "output_bound_exceeded", "{}", greedy.seen);
    assert_eq!(greedy.seen.matches("\"content\":\"tok").count(), 7, "{}", greedy.seen);
    let record = fixture.records(&id, 1).unwrap().remove(0);
    let tokens = record["usage"]["output_tokens"].as_u64().unwrap();
    assert!((8..=12).contains(&tokens), "{record}");
    assert_eq!(record["ending"], "cut");
    until_idle(&fixture);

    // Exactly what was reserved is no offence.
    let mut exact = Watcher::begin(&fixture, &key, "tokens=7", limit());
    while is_running(&mut exact) {}
    assert!(!exact.seen.contains("\"error\""), "{}", exact.seen);
}
