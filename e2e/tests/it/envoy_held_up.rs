//! An Envoy is held up (SIGSTOP) for longer than its session, with a key revoked meanwhile: when it
//! goes on, it acts on nothing that it remembers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::audit::compare;
use e2e::streaming::OpenStream;
use e2e::{Fixture, chat, wait_within};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use xtask::stack::StackOptions;

const SESSION_TTL: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(5);
const STREAMS: usize = 4;

fn status_of(answer: &Value) -> (Option<bool>, Option<OffsetDateTime>) {
    let until = answer["pending_until"].as_str();
    (answer["applied"].as_bool(), until.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok()))
}

#[test]
fn after_its_session_it_admits_nothing_that_it_remembers() {
    let options = StackOptions {
        gateways: 2,
        server_arguments: vec![format!("--session-ttl-ms={}", SESSION_TTL.as_millis())],
        ..StackOptions::default()
    };
    let fixture = Fixture::with(&options).unwrap();
    let [here, away] = fixture.stack.gateways() else { panic!("two gateways") };
    let (revoked, revoked_secret) = fixture.key(json!({})).unwrap();
    let (paying, paying_secret) =
        fixture.key(json!({"budget": {"usd": "0.001", "period": "none"}})).unwrap();
    // Both workers know the key that is going to be revoked, and hold money of the other one:
    // streams of 15 seconds.
    let known = away.client(&revoked_secret);
    for _ in 0..8 {
        chat(&away.client(&revoked_secret), json!({})).unwrap().success().unwrap();
        chat(&known, json!({})).unwrap().success().unwrap();
    }
    let holders = fixture.holders_of(away, 2).unwrap();
    let pace = [("x-mock-fault", "tokens=150,chunk_delay=100")];
    let mut streams: Vec<_> = (0..STREAMS)
        .map(|_| OpenStream::start(&away.url, &paying_secret, &pace, 150).unwrap())
        .collect();
    streams.iter_mut().for_each(|stream| stream.read_deltas(1).unwrap());
    let admitted_before = fixture.upstream_calls(&revoked).unwrap().len();

    away.pause().unwrap();
    let paused = Instant::now();
    let admin = fixture.stack.admin();
    let revoke = |wait_ms: u64| {
        let path = format!("/admin/v1/keys/{revoked}/revoke?wait={wait_ms}");
        admin.post(&path, &json!({})).unwrap().success().unwrap().json()
    };
    let answer = revoke(200);
    let (applied, until) = status_of(&answer);
    assert_eq!(applied, Some(false), "{answer}");
    let named: BTreeSet<_> = answer["pending_holders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|holder| holder["holder"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((&named, &answer["pending"]), (&holders, &json!(2)), "{answer}");
    let until = until.unwrap();
    let left = until - OffsetDateTime::now_utc();
    assert!(left.is_positive() && left <= SESSION_TTL + GRACE, "{answer}");
    // Requests that wait for Envoy while it is held up: the first that it sees when it goes on.
    let waiting: Vec<_> = (0..8)
        .map(|number| {
            let fresh = away.client(&revoked_secret);
            let client = if number % 2 == 0 { known.clone() } else { fresh };
            std::thread::spawn(move || chat(&client, json!({})))
        })
        .collect();
    let answer = revoke(20_000);
    assert_eq!(status_of(&answer).0, Some(true), "{answer}");
    let early = until - OffsetDateTime::now_utc();
    assert!(early < Duration::from_millis(50), "applied {early} before {until}");

    // Its money is parked, and the rest of the budget is all that others can spend.
    let mut parked = fixture.spend(&paying).unwrap();
    wait_within(
        Duration::from_secs(5),
        Duration::from_millis(50),
        "the money to be parked",
        || {
            parked = fixture.spend(&paying)?;
            Ok(parked.outstanding == 0)
        },
    )
    .unwrap();
    assert!(parked.parked > 0, "{parked:?}");
    let mut calls = 0;
    let refused = loop {
        let answer = chat(&here.client(&paying_secret), json!({"max_tokens": 64})).unwrap();
        if answer.status == 402 {
            break answer;
        }
        calls += 1;
        assert!(calls < 200 && [200, 429].contains(&answer.status), "{}", answer.body);
    };
    assert_eq!(refused.error_code(), "budget_exceeded");
    fixture.spend(&paying).unwrap().assert_within_cap();

    let held_up = paused.elapsed();
    assert!(held_up > SESSION_TTL + GRACE);
    away.resume().unwrap();
    for request in waiting {
        let answer = request.join().unwrap().unwrap();
        assert!([401, 503].contains(&answer.status), "{}: {}", answer.status, answer.body);
    }
    for _ in 0..8 {
        let answer = chat(&away.client(&revoked_secret), json!({})).unwrap();
        assert_eq!(answer.error_code(), "key_revoked", "{}", answer.status);
    }
    assert_eq!(fixture.upstream_calls(&revoked).unwrap().len(), admitted_before);

    // The streams went on; what they cost is settled out of what had been parked.
    streams.iter_mut().for_each(|stream| {
        while stream.read_more().unwrap() && !stream.seen().contains("[DONE]") {}
    });
    fixture.upstream_at_rest().unwrap();
    fixture.records(&paying, calls_with(&fixture, &paying)).unwrap();
    let spend = fixture.spend_at_rest(&paying, Duration::from_secs(30)).unwrap();
    let both =
        compare(&fixture.all_records(&paying).unwrap(), &fixture.upstream_calls(&paying).unwrap());
    spend.assert_within_cap();
    assert_eq!((both.lost, spend.settled), (0, both.upstream), "{spend:?} {both:?}");
    assert!(spend.parked < parked.parked, "{spend:?} {parked:?}");
    println!("held up for {held_up:?}: {parked:?}, then {spend:?}");
}

fn calls_with(fixture: &Fixture, key: &str) -> usize {
    fixture.upstream_calls(key).unwrap().len()
}
