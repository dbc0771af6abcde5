//! Clients leave in the middle of their streams: a thousand of chats, some of other dialects.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use e2e::Fixture;
use e2e::audit::{SEARCH_USD, compare, nano_of};
use e2e::models::add_models;
use e2e::operations::post;
use e2e::streaming::OpenStream;
use serde_json::json;

const CLIENTS: usize = 20;
const STREAMS_EACH: usize = 50;
const STREAMS: usize = CLIENTS * STREAMS_EACH;

/// Tokens that each answer would have. Each is one delta.
const FULL_ANSWER: u64 = 200;

/// How fast the upstream writes: the faster, the more is written that nobody reads.
const PACES: [&str; 3] =
    ["tokens=200,chunk_delay=1", "tokens=200,chunk_delay=3", "tokens=200,chunk_delay=10"];

#[test]
fn a_thousand_clients_that_leave_are_charged_once_for_what_they_got() {
    let fixture = Fixture::start(2).unwrap();
    let (id, secret) = fixture.key(json!({"budget": {"usd": "1", "period": "none"}})).unwrap();
    // What each client read before it left, by the name of its call.
    let read: Mutex<BTreeMap<String, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (read, secret, url) = (&read, &secret, &fixture.stack.gateway_url);
            scope.spawn(move || {
                for number in 0..STREAMS_EACH {
                    let pace = [("x-mock-fault", PACES[number % PACES.len()])];
                    let mut stream = OpenStream::start(url, secret, &pace, FULL_ANSWER).unwrap();
                    // Some leave at once, some after a while, none after the last delta.
                    stream.read_deltas((client + number) % 12 + 1).unwrap();
                    let request = stream.request_id().unwrap();
                    let deltas = u64::try_from(stream.deltas()).unwrap();
                    drop(stream);
                    assert!(read.lock().unwrap().insert(request, deltas).is_none());
                }
            });
        }
    });
    let read = read.into_inner().unwrap();
    fixture.upstream_at_rest().unwrap();
    let records = fixture.records(&id, STREAMS).unwrap();
    let spend = fixture.spend_at_rest(&id, Duration::from_secs(30)).unwrap();
    let records = if records.len() == STREAMS { records } else { panic!("charged twice") };
    assert_eq!((spend.outstanding, spend.parked, spend.overdraft), (0, 0, 0), "{spend:?}");

    let calls = fixture.upstream_calls(&id).unwrap();
    let written: BTreeMap<_, _> =
        calls.iter().map(|call| (call.request.as_str(), call.completion_tokens)).collect();
    let (mut received, mut charged, mut produced, mut left) = (0, 0, 0, 0);
    for record in &records {
        let request = record["request"].as_str().unwrap();
        let tokens = record["usage"]["output_tokens"].as_u64().unwrap();
        let (read, written) = (read[request], written[request]);
        // Nobody gets less than what they pay for, and nobody pays for what was not written.
        assert!(read <= tokens && tokens <= written, "{read} {tokens} {written}: {record}");
        if tokens < FULL_ANSWER {
            assert_eq!((&record["basis"], &record["ending"]), (&json!("estimated"), &json!("cut")));
            left += 1;
        }
        received += read;
        charged += tokens;
        produced += written;
    }
    assert!(left > STREAMS * 9 / 10, "only {left} clients left in the middle");
    let recorded: u64 = records.iter().map(|record| nano_of(record, "cost_usd")).sum();
    assert_eq!(spend.settled, recorded);
    let upstream: u64 = calls.iter().map(e2e::audit::UpstreamCall::cost).sum();
    println!(
        "{STREAMS} streams, {left} left in the middle: output tokens read by clients {received}, \
         charged {charged}, written by the upstream {produced}; \
         written and not charged {} ({:.2} %); charged {recorded} nano-USD with the input as \
         estimated, {upstream} by the upstream's count",
        produced - charged,
        100.0 * (produced - charged) as f64 / produced as f64
    );
    // In the other mode such a call costs all that was reserved, and is covered in any case.
    let (id, secret) = fixture
        .key(json!({"budget": {"usd": "1", "period": "none"}, "cut_calls": "reservation"}))
        .unwrap();
    for _ in 0..20 {
        let url = &fixture.stack.gateway_url;
        let pace = [("x-mock-fault", PACES[2])];
        OpenStream::start(url, &secret, &pace, FULL_ANSWER).unwrap().read_deltas(2).unwrap();
    }
    fixture.upstream_at_rest().unwrap();
    fixture.records(&id, 20).unwrap();
    let spend = fixture.spend_at_rest(&id, Duration::from_secs(30)).unwrap();
    let both = compare(&fixture.all_records(&id).unwrap(), &fixture.upstream_calls(&id).unwrap());
    assert_eq!((both.records, both.lost, spend.overdraft), (20, 0, 0), "{both:?}");
    assert!(both.recorded >= both.upstream, "{both:?}");
}

/// Streams of each kind and mode.
const STREAMS_OF_A_KIND: usize = 10;

/// Output tokens that a request of another dialect may have.
const LIMIT: u64 = 400;

/// A request whose answer comes piece by piece, as path, body and the upstream's faults.
fn other_dialects() -> [(&'static str, String, &'static str); 4] {
    let contents = r#""contents":[{"role":"user","parts":[{"text":"hello"}]}]"#;
    let gemini = format!(r#"{{{contents},"generationConfig":{{"maxOutputTokens":{LIMIT}}}}}"#);
    let search = r#"{"type":"web_search_20250305","name":"web_search","max_uses":3}"#;
    let messages = |model: &str, more: &str| {
        format!(
            r#"{{"model":"{model}","max_tokens":{LIMIT},"stream":true,{more}
                "messages":[{{"role":"user","content":"hello"}}]}}"#
        )
    };
    [
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", gemini.clone(), ""),
        ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", gemini, ""),
        ("/v1/messages", messages("claude-mock", ""), ""),
        (
            "/v1/messages",
            messages("claude-search", &format!(r#""tools":[{search}],"#)),
            ",searches=2",
        ),
    ]
}

#[test]
fn clients_of_other_dialects_that_leave_are_charged_within_what_was_reserved() {
    let fixture = Fixture::start(2).unwrap();
    add_models(&fixture).unwrap();
    let model = json!({
        "input_usd_per_mtok": "0.153", "output_usd_per_mtok": "0.617",
        "usd_per_server_tool_call": SEARCH_USD,
        "context_length": 4_000, "max_output_tokens": 4_000, "input_overhead_tokens": 0,
    });
    let path = "/admin/v1/models/claude-search";
    fixture.stack.admin().put(path, &model).unwrap().success().unwrap();
    let url = &fixture.stack.gateway_url;
    for (path, body, faults) in other_dialects() {
        for mode in ["estimate", "reservation"] {
            let members = json!({"budget": {"usd": "1", "period": "none"}, "cut_calls": mode});
            let (id, secret) = fixture.key(members).unwrap();
            let headers = format!(
                "x-goog-api-key: {secret}\r\nx-mock-fault: tokens=300,chunk_delay=4{faults}\r\n"
            );
            let headers = match path {
                "/v1/messages" => headers.replace("x-goog-api-key", "x-api-key"),
                _ => headers,
            };
            let request = post(path, &headers, &body);
            let mut read = BTreeMap::new();
            for number in 0..STREAMS_OF_A_KIND {
                let mut stream = OpenStream::send(url, &request, r#""text":"tok"#).unwrap();
                stream.read_deltas(number * 3 + 1).unwrap();
                let deltas = u64::try_from(stream.deltas()).unwrap();
                read.insert(stream.request_id().unwrap(), deltas);
            }
            fixture.upstream_at_rest().unwrap();
            let records = fixture.records(&id, STREAMS_OF_A_KIND).unwrap();
            let spend = fixture.spend_at_rest(&id, Duration::from_secs(30)).unwrap();
            let records =
                if records.len() == read.len() { records } else { panic!("charged twice") };
            let calls: BTreeMap<_, _> = fixture
                .upstream_calls(&id)
                .unwrap()
                .into_iter()
                .map(|call| (call.request.clone(), call))
                .collect();
            let (mut charged, mut upstream, mut reserved) = (0, 0, 0);
            for record in &records {
                let request = record["request"].as_str().unwrap();
                let (read, call) = (read[request], &calls[request]);
                let (cost, most) = (nano_of(record, "cost_usd"), nano_of(record, "reserved_usd"));
                assert_eq!(
                    (&record["basis"], &record["ending"]),
                    (&json!("estimated"), &json!("cut")),
                    "{record}"
                );
                assert_eq!(call.searches, if faults.is_empty() { 0 } else { 2 }, "{call:?}");
                let tokens = record["usage"]["output_tokens"].as_u64().unwrap();
                // What the provider bills is within the reservation in both modes.
                assert!(cost <= most && call.cost() <= most, "{record} {call:?}");
                if mode == "reservation" {
                    assert_eq!(cost, most, "{record}");
                } else {
                    let written = call.completion_tokens;
                    assert!(read <= tokens && tokens <= written, "{read}: {record} {call:?}");
                }
                charged += cost;
                upstream += call.cost();
                reserved += most;
            }
            assert_eq!(
                (spend.settled, spend.overdraft, spend.parked),
                (charged, 0, 0),
                "{spend:?}"
            );
            println!("{path}{faults}, {mode}: charged {charged}, upstream {upstream}, {reserved}");
        }
    }
}
