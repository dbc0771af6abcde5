//! Many requests of one key at the same moment, through a real Envoy that has never seen the key: each
//! gets its own answer soon, and the server is asked a few times only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::{Fixture, RawAnswer};
use serde_json::{Value, json};
use xtask::stack::StackOptions;

use crate::observability::scraped;

/// Requests at once.
const REQUESTS: usize = 300;

/// How long one of them may take: some ticks of the filter (50 ms each) and the upstream's half a second, on
/// two processors that have three hundred clients as well.
const SOON: Duration = Duration::from_secs(10);

/// Answers by status and code, and the longest time that one took.
fn burst(fixture: &Fixture, key: &str) -> (BTreeMap<String, usize>, Duration) {
    let body = json!({"model": "fast", "stream": true, "max_tokens": 50,
        "messages": [{"role": "user", "content": "hello"}]})
    .to_string();
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\
         x-mock-fault: tokens=20,chunk_delay=25\r\nauthorization: Bearer {key}\r\n\r\n{body}"
    );
    let url = &fixture.stack.gateway_url;
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..REQUESTS)
            .map(|_| {
                scope.spawn(|| {
                    let sent = Instant::now();
                    (RawAnswer::of(url, request.as_bytes()).unwrap(), sent.elapsed())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut tally = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for (answer, took) in answers {
        longest = longest.max(took);
        let body: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
        let code = body["error"]["code"].as_str().unwrap_or_default();
        *tally.entry(format!("{} {code}", answer.status).trim().to_owned()).or_default() += 1;
    }
    println!("{tally:?}, the longest {longest:?}");
    (tally, longest)
}

fn asks(fixture: &Fixture) -> f64 {
    let asks =
        |name: &str| name.contains("purpose=\"admit\"") || name.contains("purpose=\"lease\"");
    let counted = scraped(fixture);
    let counted = counted.iter().filter(|(name, _)| name.starts_with("tollgate_callouts_total"));
    counted.filter(|(name, _)| asks(name)).map(|(_, count)| count).sum()
}

#[test]
fn each_gets_its_answer_and_few_ask() {
    let options = StackOptions { concurrency: 2, ..StackOptions::default() };
    let fixture = Fixture::with(&options).unwrap();
    let (id, key) = fixture.key(json!({"budget": {"usd": "100.00", "period": "none"}})).unwrap();
    let (tally, longest) = burst(&fixture, &key);
    assert_eq!(tally, BTreeMap::from([("200".to_owned(), REQUESTS)]));
    assert!(longest < SOON, "{longest:?}");
    assert_eq!(fixture.records(&id, REQUESTS).unwrap().len(), REQUESTS);
    let asks = asks(&fixture);
    println!("{asks} asks");
    assert!(asks > 0.0 && asks < REQUESTS as f64 / 2.0, "{asks} asks");
}

#[test]
fn those_that_are_refused_hold_no_other_up() {
    let fixture = Fixture::start(2).unwrap();
    let (_, key) = fixture
        .key(json!({"budget": {"usd": "100.00", "period": "none"},
            "limits": [{"unit": "concurrent", "max": 5, "scope": "proxy"}]}))
        .unwrap();
    let (tally, longest) = burst(&fixture, &key);
    assert!(longest < SOON, "{longest:?}");
    let outcomes: Vec<_> = tally.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["200", "429 concurrency_exceeded"]);
    assert!(tally["200"] >= 5, "{tally:?}");
}

#[test]
fn at_the_end_of_a_budget_each_is_told_so() {
    let fixture = Fixture::start(2).unwrap();
    // Money for some twenty of them at the same time.
    let (id, key) = fixture.key(json!({"budget": {"usd": "0.001", "period": "none"}})).unwrap();
    let (tally, longest) = burst(&fixture, &key);
    assert!(longest < SOON, "{longest:?}");
    let expected = ["200", "402 budget_exceeded", "429 budget_contended"];
    assert!(tally.keys().all(|outcome| expected.contains(&outcome.as_str())), "{tally:?}");
    assert!(tally["200"] > 0, "{tally:?}");
    fixture.spend_at_rest(&id, SOON).unwrap().assert_within_cap();
}
