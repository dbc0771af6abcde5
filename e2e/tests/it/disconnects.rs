//! A thousand clients leave in the middle of their streams.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use e2e::Fixture;
use e2e::audit::{compare, nano_of};
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
    fixture.assert_no_trap();
}
