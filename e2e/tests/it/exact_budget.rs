//! A budget of exactly so many calls serves exactly so many, whoever asks for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::audit::{compare, nano_of};
use e2e::{Fixture, chat};
use serde_json::json;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

const CALLS: u64 = 1_000;
const CLIENTS: usize = 64;

/// The test's own bound on time; far above what it takes.
const LIMIT: Duration = Duration::from_secs(120);

/// Calls until the budget is spent. Answers how many were served and how many refused for the
/// moment.
fn call_until_spent(client: &Client, served: &AtomicU64, contended: &AtomicU64) {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < LIMIT, "the budget is never spent");
        let answer = chat(client, json!({"max_tokens": 64})).unwrap();
        match (answer.status, answer.error_code().as_str()) {
            (200, _) => {
                served.fetch_add(1, Ordering::Relaxed);
            }
            (429, "budget_contended") => {
                contended.fetch_add(1, Ordering::Relaxed);
                let wait = answer.header("retry-after").and_then(|wait| wait.parse().ok());
                std::thread::sleep(Duration::from_secs(wait.unwrap()));
            }
            (402, "budget_exceeded") => return,
            (status, code) => panic!("{status} {code}: {}", answer.body),
        }
    }
}

#[test]
fn a_budget_of_a_thousand_calls_serves_a_thousand() {
    let options = StackOptions { gateways: 2, concurrency: 2, ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    fixture.upstream_fault("usage=reservation").unwrap();
    // What one call may cost, which is also what this upstream bills.
    let (probe, secret) = fixture.key(json!({"budget": {"usd": "1", "period": "none"}})).unwrap();
    chat(&fixture.stack.gateway(&secret), json!({"max_tokens": 64})).unwrap().success().unwrap();
    let record = fixture.records(&probe, 1).unwrap().remove(0);
    let reservation = nano_of(&record, "reserved_usd");
    assert_eq!(reservation, nano_of(&record, "cost_usd"), "{record}");

    let cap = CALLS * reservation;
    let usd = format!("{}.{:09}", cap / 1_000_000_000, cap % 1_000_000_000);
    let (id, secret) = fixture.key(json!({"budget": {"usd": usd, "period": "none"}})).unwrap();
    let (served, contended) = (AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let gateways = fixture.stack.gateways();
            let client = gateways[number % gateways.len()].client(&secret);
            let (served, contended) = (&served, &contended);
            scope.spawn(move || call_until_spent(&client, served, contended));
        }
    });
    let took = begun.elapsed();
    assert_eq!(served.into_inner(), CALLS);
    let spend = fixture.spend_at_rest(&id, Duration::from_secs(30)).unwrap();
    spend.assert_within_cap();
    assert_eq!((spend.settled, spend.cap), (cap, Some(cap)), "{spend:?}");
    let both = compare(&fixture.all_records(&id).unwrap(), &fixture.upstream_calls(&id).unwrap());
    assert_eq!((both.calls, both.lost, both.upstream), (1_000, 0, cap), "{both:?}");
    println!("{CALLS} calls in {took:?}, refused for the moment {} times", contended.into_inner());
}
